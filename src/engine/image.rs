//! Install into an image: a root file system in a directory, which boots later and maybe many times over.
//!
//! Only what is the same on every host that boots it goes in. No key, password or certificate: all clones would
//! share them. Nothing is enabled that would fail without these: the edges that say what must restart when a
//! credential changes say what rests on it, and that is left too. So is nginx as a whole, whose configuration is
//! proven by a request. The booted host's first install plans from what it finds, and makes the rest.

use std::collections::BTreeSet;
use std::path::Path;

use super::apply::Gains;
use super::{Engine, EngineError, NamedStack, Proposal};
use crate::expand;
use crate::host::gather_rooted;
use crate::plan::{self, Plan};
use crate::resource::{Content, Desired, PathState, Resource, ResourceId};

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
    pub fn propose_image(
        &self,
        asked: &[String],
        adopt: bool,
    ) -> Result<ImageProposal, EngineError> {
        let proposed = self.draft_image(asked, adopt)?;
        if proposed.proposal.plan.conflicts().next().is_none() {
            return Ok(proposed);
        }
        let stubborn = self.draft_image(asked, true)?.proposal.conflicts();
        Err(if stubborn.is_empty() {
            EngineError::Conflicts(proposed.proposal.conflicts())
        } else {
            EngineError::InTheWay(stubborn)
        })
    }

    fn draft_image(&self, asked: &[String], adopt: bool) -> Result<ImageProposal, EngineError> {
        let named = self.stacks(asked, false)?;
        let stacks: Vec<_> = named.iter().map(|named| named.stack.clone()).collect();
        let facts = gather_rooted(self.host)?;
        let desired = expand::expand(&stacks, &facts, &self.layout, &self.edge)?;
        let wanted: BTreeSet<_> = desired.iter().map(|d| d.resource.id()).collect();
        let receipt = self.receipt()?;
        let selection = self.select(desired, &named)?;
        let observed = self.observe(&selection.now)?;
        let mut knowledge = receipt.knowledge(&wanted, adopt);
        let mut left = selection.left;
        // What no stack asks for any more may be in use by what is left: it goes when that goes.
        left.extend(knowledge.orphans.drain(..).map(|orphan| orphan.id()));
        Ok(ImageProposal {
            proposal: Proposal {
                plan: plan::make(&selection.now, &observed, &knowledge),
                stacks,
                finishes: self.has_unfinished_run()?,
                desired: selection.now,
                apt_trouble: None,
            },
            left,
            held: selection.held,
        })
    }

    /// Makes the image what the stacks say, as far as an image can be. `agreed` is the plan that a person said yes to.
    ///
    /// # Errors
    /// When the image changed since the plan was agreed to, or a step failed: then the run was undone.
    pub fn install_image(
        &self,
        agreed: Option<&Plan>,
        asked: &[String],
        adopt: bool,
    ) -> Result<(), EngineError> {
        let mut receipt = self.receipt()?;
        self.fold_journal(&mut receipt)?;
        let current = self.propose_image(asked, adopt)?.proposal;
        if agreed.is_some_and(|agreed| *agreed != current.plan) {
            return Err(EngineError::NotReady {
                what: "the image changed while the plan was looked at".into(),
                help: "run it again to see the new plan".into(),
            });
        }
        let is_lost = receipt.entries.is_empty() && self.has_marks()?;
        if !current.plan.is_empty() {
            self.apply(&current.plan, &mut receipt, &mut Gains::default())?;
        }
        self.record_what_was_right(&current, is_lost, &mut receipt)
    }

    fn select(
        &self,
        mut desired: Vec<Desired>,
        named: &[NamedStack],
    ) -> Result<Selection, EngineError> {
        let binary = |d: &Desired| matches!(d.resource, Resource::Binary(_));
        let position = desired.iter().position(binary).unwrap_or(desired.len());
        let files = named.iter().map(|named| self.stack_file(named));
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
    let made: BTreeSet<_> = desired
        .iter()
        .filter_map(|d| match &d.resource {
            Resource::Directory(directory) => Some(directory.path.clone()),
            _ => None,
        })
        .collect();
    let has_place = |resource: &Resource| {
        let parent = resource.path().and_then(|path| path.parent());
        parent.is_none_or(|parent| made.contains(parent) || is_there(parent))
    };
    let is_for_images = |resource: &Resource| match resource {
        // Its place is made with it.
        Resource::Directory(_) => true,
        Resource::File(file) => {
            !matches!(file.content, Content::RedisAcl { .. }) && has_place(resource)
        }
        // nginx's logs, say, have no place before its package is there.
        Resource::Link(_) | Resource::Binary(_) => has_place(resource),
        Resource::Group(_) | Resource::Unit(_) => true,
        _ => false,
    };
    let is_secret = |resource: &Resource| {
        matches!(
            resource,
            Resource::Secret(_) | Resource::Htpasswd(_) | Resource::Certificate(_)
        )
    };
    let (mut left, mut held) = (BTreeSet::new(), Vec::new());
    for Desired { resource, restarts } in desired.iter().filter(|d| !is_for_images(&d.resource)) {
        // A credential that is there already, in the disk of a host that was installed, lacks nothing.
        if !resource.path().is_some_and(|path| is_there(path)) {
            left.insert(resource.id());
            left.extend(restarts.iter().cloned());
        } else if is_secret(resource) {
            held.push(resource.id());
        }
    }
    let is_left = |d: &Desired| left.contains(&d.resource.id());
    let named = desired.iter().filter(|d| is_left(d));
    let named = named.map(|d| d.resource.id()).collect();
    let now = desired
        .into_iter()
        .filter(|d| is_for_images(&d.resource) && !left.contains(&d.resource.id()))
        // Nothing runs that would have to restart.
        .map(|d| Desired::from(d.resource))
        .collect();
    Selection {
        now,
        left: named,
        held,
    }
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

    const BARE: [&str; 2] = ["/etc/systemd/system", "/usr/local/bin"];

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
            "file:/var/www/counter/main/index.html",
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
            // Its directory comes with nginx.
            "file:/var/log/nginx/counter.access.log",
        ] {
            assert!(has(&left, id) && !has(&now, id), "{id}");
        }
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
