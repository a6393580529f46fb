use std::collections::BTreeSet;

use super::apply::Gains;
use super::apply_secret::NewAccount;
use super::{Engine, EngineError, Lock, NamedStack};
use crate::expand;
use crate::host::gather;
use crate::model::{Mode, UfwFacts};
use crate::plan::{self, Plan};
use crate::resource::{Content, Desired, File, Keep, Owner, Resource};
use crate::stack::{Site, SiteContent, Stack};

use super::prior::Prior;
use super::receipt::Receipt;

/// A plan, with what it was made from.
pub struct Proposal {
    /// What would change.
    pub plan: Plan,
    /// The stacks it makes true.
    pub stacks: Vec<Stack>,
    /// An earlier run did not end; this plan finishes it.
    pub finishes: bool,
    pub(super) desired: Vec<Desired>,
    pub(super) apt_trouble: Option<String>,
}

impl Proposal {
    /// What of somebody else's is in the way.
    pub(super) fn conflicts(&self) -> Vec<String> {
        self.plan
            .conflicts()
            .map(|step| format!("  {}: {}", step.id, step.change.reason))
            .collect()
    }

    /// The owner's directories that this would serve and `other` would not.
    fn pages_beyond(&self, other: &Self) -> Vec<String> {
        let sites = |proposal: &Self| -> Vec<Site> {
            let stacks = proposal.stacks.iter();
            stacks.flat_map(|stack| stack.sites.clone()).collect()
        };
        let others = sites(other);
        let own = sites(self)
            .into_iter()
            .filter(|site| !others.contains(site));
        own.filter_map(|site| match site.content {
            SiteContent::Directory(path) => Some(format!(
                "  pages:{}: served at {}, where they are; Tavern never writes there",
                path.display(),
                site.path
            )),
            _ => None,
        })
        .collect()
    }
}

/// What an install did.
pub struct Installed {
    /// Accounts it made.
    pub accounts: Vec<NewAccount>,
    /// The generation the host is at.
    pub generation: u64,
}

impl Engine<'_> {
    /// What `install` would do. Writes nothing.
    ///
    /// # Errors
    /// When the host is not ready, a stack file is wrong, or something of somebody else's is in the way.
    pub fn propose(&self, asked: &[String], adopt: bool) -> Result<Proposal, EngineError> {
        // What another run is about to change is not worth a plan.
        Lock::is_free()?;
        let finishes = self.has_unfinished_run()?;
        let mut receipt = self.receipt()?;
        if finishes {
            receipt = self.receipt_as_if_folded(receipt)?;
        }
        self.propose_with(asked, adopt, &receipt, finishes)
    }

    fn propose_with(
        &self,
        asked: &[String],
        adopt: bool,
        receipt: &Receipt,
        finishes: bool,
    ) -> Result<Proposal, EngineError> {
        let draft = self.draft(asked, adopt, adopt, receipt)?;
        if draft.plan.conflicts().next().is_some() {
            // First what `--adopt` would not help with.
            let stubborn = self.draft(asked, adopt, true, receipt)?.conflicts();
            if !stubborn.is_empty() {
                return Err(EngineError::InTheWay(stubborn));
            }
            let mut list = draft.conflicts();
            // What `--adopt` would go on with belongs to the list: the volume, the pages.
            if let (false, Ok(whole)) = (adopt, self.draft(asked, true, false, receipt)) {
                list = whole.conflicts();
                list.extend(whole.pages_beyond(&draft));
            }
            return Err(EngineError::Conflicts(list));
        }
        self.preflight(&draft.plan, &draft.stacks, draft.apt_trouble.as_deref())?;
        Ok(Proposal { finishes, ..draft })
    }

    /// A plan, before anybody looked whether it may be carried out.
    fn draft(
        &self,
        asked: &[String],
        legacy: bool,
        adopt: bool,
        receipt: &Receipt,
    ) -> Result<Proposal, EngineError> {
        let named = self.stacks(asked, legacy)?;
        let stacks: Vec<Stack> = named.iter().map(|named| named.stack.clone()).collect();
        let facts = gather(self.host)?;
        let mut desired = expand::expand(&stacks, &facts, &self.layout, &self.edge)?;
        let position = desired
            .iter()
            .position(|d| matches!(d.resource, Resource::Binary(_)))
            .unwrap_or(desired.len());
        desired.splice(
            position..position,
            named.iter().map(|named| self.stack_file(named)),
        );
        let observed = self.observe(&desired)?;
        let wanted: BTreeSet<_> = desired.iter().map(|d| d.resource.id()).collect();
        let mut knowledge = receipt.knowledge(&wanted, adopt);
        if facts.ufw == UfwFacts::Inactive {
            // Switched off for now: its rules are not ours to take away before it is on again.
            let is_rule = |resource: &Resource| matches!(resource, Resource::Opening(_));
            knowledge.orphans.retain(|resource| !is_rule(resource));
        }
        let plan = plan::make(&desired, &observed, &knowledge);
        Ok(Proposal {
            plan,
            stacks,
            finishes: false,
            desired,
            apt_trouble: facts.apt_trouble,
        })
    }

    /// Makes the host what the stacks say.
    ///
    /// `agreed` is the plan that a person said yes to; without one, the plan is what the host needs now.
    ///
    /// # Errors
    /// When the host changed since the plan was agreed to, or a step failed: then the run was undone.
    pub fn install(
        &self,
        agreed: Option<&Plan>,
        asked: &[String],
        adopt: bool,
    ) -> Result<Installed, EngineError> {
        let _lock = Lock::take()?;
        let mut receipt = self.receipt()?;
        self.fold_journal(&mut receipt)?;
        let current = self.propose_with(asked, adopt, &receipt, false)?;
        if agreed.is_some_and(|agreed| *agreed != current.plan) {
            return Err(EngineError::NotReady {
                what: "the host changed while the plan was looked at".into(),
                help: "run it again to see the new plan".into(),
            });
        }
        // No receipt, and yet our units are here: it was lost, and what bears our marks is ours.
        let is_lost = receipt.entries.is_empty() && self.has_marks()?;
        let mut gains = Gains::default();
        if !current.plan.is_empty() {
            self.apply(&current.plan, &mut receipt, &mut gains)?;
        }
        self.record_what_was_right(&current, is_lost, &mut receipt)?;
        Ok(Installed {
            accounts: gains.accounts,
            generation: receipt.generation,
        })
    }

    /// Whether there is nothing to do, not even for the receipt.
    ///
    /// # Errors
    /// When the receipt cannot be read.
    pub fn is_settled(&self, proposal: &Proposal) -> Result<bool, EngineError> {
        let receipt = self.receipt()?;
        Ok(proposal.plan.is_empty() && !proposal.finishes && self.is_recorded(proposal, &receipt))
    }

    fn receipt_as_if_folded(&self, mut receipt: Receipt) -> Result<Receipt, EngineError> {
        for record in self.unfinished_records()? {
            receipt.take(record);
        }
        Ok(receipt)
    }

    fn is_recorded(&self, proposal: &Proposal, receipt: &Receipt) -> bool {
        proposal.desired.iter().all(|d| receipt.knows(&d.resource))
    }

    /// What needed no change is in the receipt too: as ours if it bears our mark, else as having been there.
    pub(super) fn record_what_was_right(
        &self,
        proposal: &Proposal,
        is_lost: bool,
        receipt: &mut Receipt,
    ) -> Result<(), EngineError> {
        let mut changed = false;
        for Desired { resource, .. } in &proposal.desired {
            if receipt.knows(resource) {
                continue;
            }
            let is_marked = self.is_marked(resource, is_lost)?;
            receipt.record(
                resource.clone(),
                if is_marked {
                    Prior::Absent
                } else {
                    Prior::Present
                },
            );
            changed = true;
        }
        if changed {
            self.save_receipt(receipt)
        } else {
            Ok(())
        }
    }

    /// Whether it is ours by its mark, its label or its place, though no receipt says so.
    fn is_marked(&self, resource: &Resource, is_lost: bool) -> Result<bool, EngineError> {
        Ok(match resource {
            Resource::Container(_) | Resource::Unit(_) | Resource::Nginx(_) => true,
            Resource::File(file) if file.keep == Keep::Managed => true,
            Resource::Link(link) => link.target.ends_with("tavernctl"),
            Resource::Group(group) => group.name.starts_with("tavern-"),
            Resource::Volume(volume) => {
                let found = self.host.docker.volume(&volume.name)?;
                found.is_some_and(|found| found.stack.as_ref() == Some(&volume.stack))
            }
            _ => resource.path().is_some_and(|path| {
                // Pages and logs that were here before the first install are somebody's.
                let seeded =
                    is_lost && matches!(resource, Resource::File(_) | Resource::Directory(_));
                path.starts_with(&self.layout.etc)
                    || path.starts_with(&self.layout.run)
                    || path.starts_with(&self.layout.state)
                    || (seeded && path.starts_with(&self.layout.www))
                    || (seeded && path.starts_with(&self.layout.logs))
                    || matches!(resource, Resource::Binary(_))
            }),
        })
    }

    pub(super) fn stack_file(&self, named: &NamedStack) -> Desired {
        Resource::File(File {
            path: self.layout.stack_file(&named.stack.name),
            mode: Mode(0o644),
            owner: Owner::root(),
            content: Content::Text(String::from_utf8_lossy(&named.source).into_owned()),
            keep: Keep::Seeded,
        })
        .into()
    }
}
