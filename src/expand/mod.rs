//! Stacks and facts become the resources the host must have. Pure: the same input gives the same bytes.
//!
//! Templates are the files in `units/`, `nginx-sites/` and `provision/`; pages come from `www/`.

mod activated;
mod app;
mod backup;
mod base;
mod certificate;
mod container;
mod emit;
mod metrics;
mod monitor;
mod nginx;
mod pages;
mod revert;
mod status;
mod supervisor;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::model::{Facts, Layout};
use crate::resource::{Desired, Resource};
use crate::stack::Stack;

pub use app::{app_credentials, base_path};
pub use container::postgres;
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
    desired.extend(certificate::local_ca(stacks, facts, layout));
    for stack in stacks {
        desired.extend(pages::seeds(stack, layout));
        desired.extend(container::resources(stack, layout)?);
        desired.extend(app::resources(stack, facts, layout)?);
        desired.extend(backup::key(stack, layout));
        desired.push(certificate::of(stack, facts, layout));
        desired.extend(nginx::password_files(stack, layout));
        desired.extend(nginx::log_files(stack, layout));
    }
    desired.extend(certificate::renewal(stacks, facts, layout)?);
    desired.extend(monitor::resources(stacks, facts, layout)?);
    desired.extend(backup::timers(stacks, facts, layout)?);
    desired.extend(supervisor::units(stacks, facts, layout)?);
    desired.extend(metrics::resources(stacks, facts, layout)?);
    desired.extend(status::resources(stacks, facts, layout)?);
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

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
