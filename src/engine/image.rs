//! Install into an image: a root file system in a directory, which boots later and maybe many times over.
//!
//! Only what is the same on every host that boots it goes in. No key, password or certificate: all clones would
//! share them. Nothing is enabled that would fail without these: the edges that say what must restart when a
//! credential changes say what rests on it, and that is left too. So is nginx as a whole, whose configuration is
//! proven by a request. The booted host's first install plans from what it finds, and makes the rest.

use std::collections::BTreeSet;
use std::path::Path;

use super::apply::Gains;
use super::source::Wanted;
use super::{Engine, EngineError, Proposal, Recovered, Request};
use crate::expand;
use crate::host::gather_rooted;
use crate::plan::{self, Plan};
use crate::resource::{Desired, PathState, Resource, ResourceId};

/// What an install into an image would do.
pub struct ImageProposal {
    /// What changes in the image.
    pub proposal: Proposal,
    /// What the first install on the booted host makes.
    pub left: Vec<ResourceId>,
    /// Keys, passwords and certificates that are in the image already, and so will be in every copy.
    pub held: Vec<ResourceId>,
}

impl Engine<'_> {
    /// What `install` into this image would do. Writes nothing.
    ///
    /// # Errors
    /// When a stack file is wrong, or something of somebody else's is in the way.
    pub fn propose_image(&self, request: &Request) -> Result<ImageProposal, EngineError> {
        let proposed = self.draft_image(request, request.adopt)?;
        if proposed.proposal.plan.conflicts().next().is_none() {
            return Ok(proposed);
        }
        let stubborn = self.draft_image(request, true)?.proposal.conflicts();
        Err(if stubborn.is_empty() {
            EngineError::Conflicts(proposed.proposal.conflicts())
        } else {
            EngineError::InTheWay(stubborn)
        })
    }

    fn draft_image(&self, request: &Request, adopt: bool) -> Result<ImageProposal, EngineError> {
        let receipt = self.receipt_as_if_recovered()?;
        let Wanted {
            stacks,
            snapshot,
            files,
            insisted,
            ..
        } = self.wanted(request, false, &receipt)?;
        let facts = gather_rooted(self.host)?;
        let mut desired = expand::expand(&stacks, &facts, &self.layout, &self.edge)?;
        self.lay_over(&snapshot, &mut desired)?;
        let wanted: BTreeSet<_> = desired
            .iter()
            .chain(&files)
            .map(|d| d.resource.id())
            .collect();
        let selection = self.select(desired, files)?;
        let observed = self.observe(&selection.now)?;
        let mut knowledge = receipt.knowledge(&wanted, adopt);
        knowledge.insisted = insisted;
        let mut left = selection.left;
        // What no stack asks for any more may be in use by what is left: it goes when that goes.
        let orphans = knowledge.orphans.drain(..);
        left.extend(orphans.map(|orphan| orphan.resource.id()));
        Ok(ImageProposal {
            proposal: Proposal {
                plan: self.leave_held(plan::make(&selection.now, &observed, &knowledge))?,
                stacks,
                snapshot,
                desired: selection.now,
                apt_trouble: None,
            },
            left,
            held: selection.held,
        })
    }

    /// Sets right what a killed run left in the image.
    ///
    /// # Errors
    /// When something cannot be put back.
    pub fn recover_image(&self) -> Result<Option<Recovered>, EngineError> {
        self.recover_locked(false)
    }

    /// Makes the image what the stacks say, as far as an image can be. `agreed` is the plan that a person said yes to.
    ///
    /// # Errors
    /// When the image changed since the plan was agreed to, or a step failed: then the run was undone.
    pub fn install_image(
        &self,
        agreed: Option<&Plan>,
        request: &Request,
    ) -> Result<(), EngineError> {
        self.recover_locked(false)?;
        let mut receipt = self.receipt()?;
        let current = self.propose_image(request)?.proposal;
        current.is_as_agreed(agreed)?;
        if self.is_recorded(&current, &receipt)? {
            return Ok(());
        }
        let run = self.run_of(&current, request, &mut receipt)?;
        self.apply(run, &current.plan, &mut receipt, &mut Gains::default())
    }

    fn select(
        &self,
        mut desired: Vec<Desired>,
        files: Vec<Desired>,
    ) -> Result<Selection, EngineError> {
        let binary = |d: &Desired| matches!(d.resource, Resource::Binary(_));
        let position = desired.iter().position(binary).unwrap_or(desired.len());
        desired.splice(position..position, files);
        // What /run holds is made at every boot, by tmpfiles.d.
        desired.retain(|d| {
            let path = d.resource.path();
            path.is_none_or(|path| !path.starts_with(&self.layout.run))
        });
        let paths = desired.iter().filter_map(|d| d.resource.path());
        let places: BTreeSet<_> = paths.filter_map(|path| path.parent()).collect();
        let mut there = BTreeSet::new();
        for place in places {
            if self.host.files.state(place)? != PathState::Absent {
                there.insert(place.to_owned());
                there.extend(self.host.files.list(place)?);
            }
        }
        Ok(divide(desired, |path| there.contains(path)))
    }
}

/// What goes into an image, and what does not.
#[derive(Debug, PartialEq, Eq)]
struct Selection {
    now: Vec<Desired>,
    left: Vec<ResourceId>,
    held: Vec<ResourceId>,
}

/// Divides what is wanted by what an image can have. `is_there` tells what it has.
fn divide(desired: Vec<Desired>, is_there: impl Fn(&Path) -> bool) -> Selection {
    let mut made = BTreeSet::new();
    let mut fits = |resource: &Resource| {
        // What has no directory yet waits for the package that brings it: nginx's logs, say, and its `/var/www`.
        let parent = resource.path().and_then(|path| path.parent());
        let has_place = parent.is_none_or(|parent| made.contains(parent) || is_there(parent));
        match resource {
            Resource::Directory(directory) if has_place => {
                made.insert(directory.path.clone());
                true
            }
            Resource::File(file) => has_place && file.password().is_none(),
            Resource::Link(_) | Resource::Binary(_) => has_place,
            Resource::Group(_) | Resource::Unit(_) => true,
            _ => false,
        }
    };
    let (fit, unfit): (Vec<_>, Vec<_>) = desired
        .iter()
        .map(|d| (d, d.resource.id()))
        .partition(|(d, _)| fits(&d.resource));
    let (mut lacking, mut held) = (BTreeSet::new(), Vec::new());
    for (Desired { resource, restarts }, id) in unfit {
        if !resource.path().is_some_and(|path| is_there(path)) {
            lacking.insert(id);
            lacking.extend(restarts.iter().cloned());
        } else if is_secret(resource) {
            // In the disk of a host that was installed: what rests on it lacks nothing.
            held.push(id);
        }
    }
    let ids = desired.iter().map(|d| d.resource.id());
    let left = ids.filter(|id| lacking.contains(id)).collect();
    let now = fit.into_iter().filter(|(_, id)| !lacking.contains(id));
    // Nothing runs that would have to restart.
    let now = now
        .map(|(d, _)| Desired::from(d.resource.clone()))
        .collect();
    Selection { now, left, held }
}

fn is_secret(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::Secret(_) | Resource::Htpasswd(_) | Resource::Certificate(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Facts, Layout};
    use crate::stack::{DEFAULT, parse};

    fn divided(there: &[&str]) -> Selection {
        let stack = parse(Path::new("counter.toml"), DEFAULT.as_bytes()).unwrap();
        let facts = Facts {
            missing_packages: vec!["nginx".into(), "docker.io".into()],
            binary: "/usr/local/bin/tavernctl".into(),
            ..Facts::default()
        };
        let desired =
            expand::expand(&[stack], &facts, &Layout::system(), &expand::Edge::public()).unwrap();
        divide(desired, |path| there.iter().any(|t| Path::new(t) == path))
    }

    /// What is there in an image without nginx; of `/etc` and the like, what matters here.
    const BARE: [&str; 5] = [
        "/etc",
        "/etc/systemd/system",
        "/etc/tmpfiles.d",
        "/usr/local/bin",
        "/var/lib",
    ];

    #[test]
    fn no_key_and_nothing_that_rests_on_one_is_in_an_image() {
        let Selection { now, left, held } = divided(&BARE);
        assert_eq!(held, []);
        let now: Vec<_> = now.iter().map(|d| d.resource.id().0).collect();
        let left: Vec<_> = left.into_iter().map(|id| id.0).collect();
        for id in &now {
            let kind = id.split(':').next().unwrap_or_default();
            assert!(
                ["directory", "file", "link", "binary", "group", "unit"].contains(&kind),
                "{id}"
            );
        }
        let has = |list: &[String], id: &str| list.iter().any(|found| found == id);
        for id in [
            "binary:/usr/local/bin/tavernctl",
            "file:/etc/systemd/system/tavern-counter.service",
            "file:/etc/tmpfiles.d/tavern.conf",
            "file:/etc/tavern/containers/redis-flask/redis.conf",
            "group:tavern-redis-flask",
            "unit:tavern-counter.socket",
        ] {
            assert!(has(&now, id) && !has(&left, id), "{id}");
        }
        for id in [
            "package:nginx",
            "package:docker.io",
            "credential:/etc/tavern/credentials/counter/jwt-key",
            "certificate:/etc/tavern/tls/counter",
            "htpasswd:/etc/tavern/htpasswd/counter-close",
            "file:/etc/tavern/containers/redis-flask/users.acl",
            "container:redis-flask",
            "unit:tavern-counter.service",
            "nginx:sites",
            // Their directories come with nginx.
            "file:/var/log/nginx/counter.access.log",
            "directory:/var/www/counter",
            "file:/var/www/counter/main/index.html",
        ] {
            assert!(has(&left, id) && !has(&now, id), "{id}");
        }
    }

    #[test]
    fn with_nginx_in_the_image_pages_and_logs_are_too() {
        let there = [BARE.as_slice(), &["/var/www", "/var/log/nginx"]].concat();
        let now: Vec<_> = divided(&there)
            .now
            .into_iter()
            .map(|d| d.resource.id().0)
            .collect();
        for id in [
            "file:/var/log/nginx/counter.access.log",
            "file:/var/www/counter/main/index.html",
        ] {
            assert!(now.iter().any(|found| found == id), "{id}");
        }
        assert!(!now.iter().any(|found| found == "nginx:sites"));
    }

    #[test]
    fn on_a_disk_with_credentials_the_app_is_enabled() {
        let keys = [
            "/etc/tavern/credentials/counter/jwt-key",
            "/etc/tavern/credentials/counter/accounts",
            "/etc/tavern/credentials/counter/redis-password",
        ];
        let enabled = |there: &[&str]| {
            let now = divided(there).now;
            now.iter()
                .any(|d| d.resource.id().0 == "unit:tavern-counter.service")
        };
        let all = [BARE.as_slice(), &keys].concat();
        assert!(enabled(&all));
        assert_eq!(divided(&all).held.len(), keys.len());
        // One that is missing is enough.
        assert!(!enabled(&[BARE.as_slice(), &keys[1..]].concat()));
    }
}
