//! The pair that each stack serves with, who signs it, and what that takes on the host.

use std::collections::BTreeSet;

use minijinja::context;

use super::base::{managed, managed_for};
use super::emit::{EmitError, emit};
use super::nginx;
use crate::model::{Facts, HostPattern, Layout, Mode};
use crate::resource::{
    Certificate, Desired, Directory, Keep, Owner, Resource, ResourceId, Signer, Unit,
};
use crate::stack::{Issuer, Stack};

/// Days a certificate of our own lives: browsers refuse more than 398, and Mozilla's profile 366 and more.
const DAYS: u16 = 365;

/// Days the CA of this host lives: who trusts it should not have to do so again every year.
const AUTHORITY_DAYS: u16 = 3650;

/// The certificate of a stack.
pub(super) fn of(stack: &Stack, facts: &Facts, layout: &Layout) -> Desired {
    let signer = match &stack.issuer {
        Issuer::SelfSigned => Signer::Itself,
        Issuer::LocalCa => Signer::LocalCa {
            authority: layout.local_ca(),
        },
        Issuer::Acme(acme) => Signer::Acme {
            directory: acme.directory.clone(),
            staged: layout.acme(&stack.name).join("staged"),
        },
        Issuer::Files { certificate, key } => Signer::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        },
    };
    // A stack that answers to any name serves whatever its owner's certificate is for.
    let names = match (&stack.issuer, stack.is_default_server()) {
        (Issuer::Files { .. }, true) => Vec::new(),
        _ => names(stack, facts),
    };
    Desired {
        resource: Resource::Certificate(Certificate {
            path: layout.certificate(&stack.name),
            names,
            days: DAYS,
            signer,
        }),
        restarts: vec![nginx::id()],
    }
}

/// The CA of this host, if a stack asks for it: for the names of those stacks only.
pub(super) fn local_ca(stacks: &[Stack], facts: &Facts, layout: &Layout) -> Option<Desired> {
    let with_it = stacks
        .iter()
        .filter(|stack| stack.issuer == Issuer::LocalCa);
    let names: BTreeSet<String> = with_it.flat_map(|stack| names(stack, facts)).collect();
    (!names.is_empty()).then(|| {
        Resource::Certificate(Certificate {
            path: layout.local_ca(),
            names: names.into_iter().collect(),
            days: AUTHORITY_DAYS,
            signer: Signer::Authority,
        })
        .into()
    })
}

/// Where an ACME authority's proofs are put, if a stack has such an authority.
pub(super) fn challenges(stacks: &[Stack], layout: &Layout) -> Option<Resource> {
    let has_authority = |stack: &Stack| matches!(stack.issuer, Issuer::Acme(_));
    stacks.iter().any(has_authority).then(|| {
        Resource::Directory(Directory {
            path: layout.challenges(),
            mode: Mode(0o750),
            owner: Owner::root_and("www-data"),
            keep: Keep::Managed,
        })
    })
}

/// The timer that renews what is due, and what it starts.
pub(super) fn renewal(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    if stacks.is_empty() {
        return Ok(Vec::new());
    }
    let values = context! { binary => facts.binary.to_string_lossy() };
    let timer = Unit {
        name: "tavern-renew.timer".to_owned(),
        alias: None,
        service: None,
        is_beside: false,
    };
    let service = layout.units.join("tavern-renew.service");
    Ok(vec![
        managed(service, 0o644, emit("renew.service", &values)?).into(),
        managed_for(
            layout.units.join(&timer.name),
            emit("renew.timer", &values)?,
            vec![ResourceId(format!("unit:{}", timer.name))],
        ),
        Resource::Unit(timer).into(),
    ])
}

/// The stack's names; for a stack that answers to any name, all that the host is known by.
fn names(stack: &Stack, facts: &Facts) -> Vec<String> {
    if !stack.is_default_server() {
        return stack.hosts.iter().map(ToString::to_string).collect();
    }
    let hostname = facts.hostname.to_ascii_lowercase();
    let is_dns = matches!(hostname.parse(), Ok(HostPattern::Dns(_)));
    let mut names: Vec<String> = is_dns.then_some(hostname).into_iter().collect();
    names.push("localhost".to_owned());
    names.extend(["127.0.0.1", "::1"].map(str::to_owned));
    names.extend(facts.addresses.iter().map(ToString::to_string));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}
