//! Stacks and facts become the resources the host must have. Pure: the same input gives the same bytes.
//!
//! Templates are the files in `units/`, `nginx-sites/` and `provision/`; pages come from `www/`.

mod app;
mod base;
mod container;
mod emit;
mod nginx;
mod pages;
mod revert;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::model::{Facts, Layout};
use crate::resource::{Certificate, Desired, Resource};
use crate::stack::Stack;

pub use app::base_path;
pub use emit::EmitError;
pub use nginx::{main_conf, retold, tree as nginx_tree, without_generation};
pub use pages::page;
pub use revert::{RevertUnits, revert_units};

/// Where nginx listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Port for plain HTTP.
    pub http_port: u16,
    /// Port for HTTPS.
    pub https_port: u16,
    /// Loopback only, for `up`.
    pub loopback_only: bool,
}

impl Edge {
    /// Ports 80 and 443 on every address.
    pub fn public() -> Self {
        Self {
            http_port: 80,
            https_port: 443,
            loopback_only: false,
        }
    }
}

/// Days a self-signed certificate lives; browsers refuse more than 398.
const CERTIFICATE_DAYS: u16 = 397;

/// All that the host must have for these stacks, in the order it is made.
///
/// # Errors
/// When a value cannot be written in a file's language.
pub fn expand(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
    edge: &Edge,
) -> Result<Vec<Desired>, EmitError> {
    let mut desired = base::resources(stacks, facts, layout)?;
    for stack in stacks {
        desired.extend(pages::seeds(stack, layout));
        desired.extend(container::resources(stack, layout)?);
        desired.extend(app::resources(stack, facts, layout)?);
        desired.push(certificate(stack, facts, layout));
        desired.extend(nginx::password_files(stack, layout));
        desired.extend(nginx::log_files(stack, layout));
    }
    desired.extend(base::openings(stacks, facts));
    desired.extend(nginx::logrotate(stacks, layout)?);
    desired.extend(nginx::unit_drop_in(layout)?);
    // Last: what it replaces is restored by the step itself, so no later step may fail.
    desired.push(Resource::Nginx(nginx::tree(stacks, facts, layout, edge)?).into());
    Ok(once_each(desired))
}

/// What several parts ask for alike, such as one image for two containers, is made once.
fn once_each(desired: Vec<Desired>) -> Vec<Desired> {
    let mut places = HashMap::new();
    let mut once: Vec<Desired> = Vec::with_capacity(desired.len());
    for item in desired {
        match places.entry(item.resource.id()) {
            Entry::Vacant(place) => {
                place.insert(once.len());
                once.push(item);
            }
            Entry::Occupied(place) => {
                let known = &mut once[*place.get()];
                for id in item.restarts {
                    if !known.restarts.contains(&id) {
                        known.restarts.push(id);
                    }
                }
            }
        }
    }
    once
}

fn certificate(stack: &Stack, facts: &Facts, layout: &Layout) -> Desired {
    let certificate = Certificate {
        path: layout.certificate(&stack.name),
        names: certificate_names(stack, facts),
        days: CERTIFICATE_DAYS,
    };
    Desired {
        resource: Resource::Certificate(certificate),
        restarts: vec![nginx::id()],
    }
}

/// The stack's names; for a stack that answers to any name, all that the host is known by.
fn certificate_names(stack: &Stack, facts: &Facts) -> Vec<String> {
    if !stack.is_default_server() {
        return stack.hosts.iter().map(ToString::to_string).collect();
    }
    let hostname = facts.hostname.to_ascii_lowercase();
    let is_dns = matches!(hostname.parse(), Ok(crate::model::HostPattern::Dns(_)));
    let mut names: Vec<String> = is_dns.then_some(hostname).into_iter().collect();
    names.push("localhost".to_owned());
    names.extend(["127.0.0.1", "::1"].map(str::to_owned));
    names.extend(facts.addresses.iter().map(ToString::to_string));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
