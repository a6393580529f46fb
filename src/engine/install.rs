use std::collections::BTreeSet;

use super::amend::ChosenPassword;
use super::apply::{Gains, Run};
use super::apply_secret::NewAccount;
use super::generations::Snapshot;
use super::pins::Images;
use super::prior::Prior;
use super::receipt::Receipt;
use super::source::{Source, Wanted};
use super::{Engine, EngineError, Lock};
use crate::expand;
use crate::host::gather;
use crate::model::{Layout, Span, UfwFacts};
use crate::plan::{self, Plan, Step};
use crate::resource::{Action, Content, Desired, Keep, Mount, Resource};
use crate::stack::{Site, SiteContent, Stack};

/// What is asked of a run.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where the stacks come from.
    pub source: Source,
    /// Stacks that must be among them.
    pub asked: Vec<String>,
    /// What is in the way may be taken over.
    pub adopt: bool,
    /// It goes back by itself unless somebody confirms it within that time.
    pub confirm_within: Option<Span>,
    /// The password of one account is to be this one.
    pub chosen: Option<ChosenPassword>,
    /// It is the way back from what may have locked somebody out: nothing but the host itself may refuse it.
    pub must_come_back: bool,
    /// Images are to be those that their registries have now.
    pub pull: bool,
}

impl Request {
    /// The host as a generation had it.
    pub fn to_generation(number: u64) -> Self {
        Self {
            source: Source::Generation(number),
            ..Self::default()
        }
    }
}

/// A plan, with what it was made from.
pub struct Proposal {
    /// What would change.
    pub plan: Plan,
    /// The stacks it makes true.
    pub stacks: Vec<Stack>,
    pub(super) snapshot: Snapshot,
    pub(super) desired: Vec<Desired>,
    pub(super) apt_trouble: Option<String>,
}

impl Proposal {
    /// Refuses another plan than the one that a person said yes to.
    pub(super) fn is_as_agreed(&self, agreed: Option<&Plan>) -> Result<(), EngineError> {
        if agreed.is_none_or(|agreed| *agreed == self.plan) {
            return Ok(());
        }
        Err(EngineError::NotReady {
            what: "what is there changed while the plan was looked at".into(),
            help: "run it again to see the new plan".into(),
        })
    }

    /// What is wanted, but for what a hold keeps from being made.
    fn unheld(&self) -> impl Iterator<Item = &Resource> {
        let wanted = self.desired.iter().map(|desired| &desired.resource);
        wanted.filter(|resource| !self.plan.is_held(&resource.id()))
    }

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

/// What a run did.
pub struct Installed {
    /// Accounts it made.
    pub accounts: Vec<NewAccount>,
    /// The generation the host is at.
    pub generation: u64,
}

impl Engine<'_> {
    /// What `install` and its kin would do. Writes nothing.
    ///
    /// # Errors
    /// When the host is not ready, a stack file is wrong, or something of somebody else's is in the way.
    pub fn propose(&self, request: &Request) -> Result<Proposal, EngineError> {
        // What another run is about to change is not worth a plan.
        Lock::is_free(&self.layout.lock)?;
        self.propose_with(request, &self.receipt_as_if_recovered()?)
    }

    fn propose_with(&self, request: &Request, receipt: &Receipt) -> Result<Proposal, EngineError> {
        let adopt = request.adopt;
        let draft = self.draft(request, adopt, adopt, receipt)?;
        if draft.plan.conflicts().next().is_some() {
            // First what `--adopt` would not help with.
            let stubborn = self.draft(request, adopt, true, receipt)?.conflicts();
            if !stubborn.is_empty() {
                return Err(EngineError::InTheWay(stubborn));
            }
            let mut list = draft.conflicts();
            // What `--adopt` would go on with belongs to the list: the volume, the pages.
            if let (false, Ok(whole)) = (adopt, self.draft(request, true, false, receipt)) {
                list = whole.conflicts();
                list.extend(whole.pages_beyond(&draft));
            }
            return Err(EngineError::Conflicts(list));
        }
        if !request.must_come_back {
            self.preflight(&draft.plan, &draft.stacks, draft.apt_trouble.as_deref())?;
        }
        Ok(draft)
    }

    /// A plan, before anybody looked whether it may be carried out.
    fn draft(
        &self,
        request: &Request,
        legacy: bool,
        adopt: bool,
        receipt: &Receipt,
    ) -> Result<Proposal, EngineError> {
        let Wanted {
            stacks,
            snapshot,
            files,
            insisted,
            leaving,
        } = self.wanted(request, legacy, receipt)?;
        let facts = gather(self.host)?;
        let mut desired = expand::expand(&stacks, &facts, &self.layout, &self.edge)?;
        self.lay_over(&snapshot, &mut desired)?;
        self.pin_images(request, receipt, &mut desired)?;
        let position = desired
            .iter()
            .position(|d| matches!(d.resource, Resource::Binary(_)))
            .unwrap_or(desired.len());
        desired.splice(position..position, files);
        let mut observed = self.observe(&desired)?;
        let rotated = self.ask_for_keys(&request.source, &stacks, &desired, &mut observed)?;
        let wanted: BTreeSet<_> = desired.iter().map(|d| d.resource.id()).collect();
        let mut knowledge = receipt.knowledge(&wanted, adopt);
        if facts.ufw == UfwFacts::Inactive {
            // Switched off for now: its rules are not ours to take away before it is on again.
            let is_rule = |resource: &Resource| matches!(resource, Resource::Opening(_));
            knowledge
                .orphans
                .retain(|orphan| !is_rule(&orphan.resource));
        }
        knowledge.insisted = insisted;
        if let Some(chosen) = &request.chosen {
            let hashes = desired.iter().filter(|d| chosen.is_of(&d.resource));
            let reason = format!("a new password for {}", chosen.account);
            knowledge.renewed = hashes.map(|d| (d.resource.id(), reason.clone())).collect();
        }
        knowledge.orphans.extend(leaving);
        // What no generation has is nowhere else.
        let recorded = self.snapshot_of(receipt.generation).unwrap_or_default();
        for orphan in &mut knowledge.orphans {
            orphan.edited = orphan
                .resource
                .edits(&self.look_at(&orphan.resource)?, None);
            if orphan.edited.is_empty()
                && let Resource::File(file) = &orphan.resource
                && let (Ok(name), Content::Text(text)) =
                    (file.path.strip_prefix(&self.layout.etc), &file.content)
                && recorded
                    .files
                    .get(&*name.to_string_lossy())
                    .map(Vec::as_slice)
                    != Some(text.as_bytes())
                && file.keep == Keep::Seeded
            {
                orphan.edited.push(file.path.clone());
            }
            orphan.first |= shares_a_volume(&orphan.resource, &desired);
        }
        let mut plan = plan::make(&desired, &observed, &knowledge);
        if let Some(rotated) = rotated {
            // Whatever else differs is for an install: it would be news to whoever asked for a key.
            plan.steps.retain(|step| rotated.contains(&step.id));
            desired.retain(|desired| rotated.contains(&desired.resource.id()));
        }
        if !request.must_come_back {
            plan = self.leave_held(plan)?;
            refuse_held_removals(&plan)?;
            refuse_held_rules(&plan, &request.source)?;
        }
        Ok(Proposal {
            plan,
            stacks,
            snapshot,
            desired,
            apt_trouble: facts.apt_trouble,
        })
    }

    /// Makes the host what is asked for.
    ///
    /// `agreed` is the plan that a person said yes to; without one, the plan is what the host needs now.
    ///
    /// # Errors
    /// When the host changed since the plan was agreed to, or a step failed: then the run was undone.
    pub fn install(
        &self,
        agreed: Option<&Plan>,
        request: &Request,
    ) -> Result<Installed, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        self.refuse_while_pending()?;
        self.recover_locked(false)?;
        if self.is_way_back_left()? {
            self.disarm()?;
        }
        self.install_locked(agreed, request)
    }

    /// The run that carries a proposal out.
    pub(super) fn run_of<'p>(
        &self,
        proposal: &'p Proposal,
        request: &Request,
        receipt: &mut Receipt,
    ) -> Result<Run<'p>, EngineError> {
        // No receipt, and yet our units are here: it was lost, and what bears our marks is ours.
        let is_lost = receipt.entries.is_empty() && self.has_marks()?;
        receipt.spares_blobs |= is_lost;
        Ok(Run {
            verb: request.source.verb(),
            snapshot: &proposal.snapshot,
            found: self.what_was_right(proposal, is_lost, receipt)?,
        })
    }

    pub(super) fn install_locked(
        &self,
        agreed: Option<&Plan>,
        request: &Request,
    ) -> Result<Installed, EngineError> {
        let mut receipt = self.receipt()?;
        let current = self.propose_with(request, &receipt)?;
        current.is_as_agreed(agreed)?;
        let mut gains = Gains {
            chosen: request.chosen.clone(),
            images: Images::among(current.desired.iter().map(|desired| &desired.resource))
                .or(Images::of(&receipt)),
            ..Gains::default()
        };
        if !self.is_recorded(&current, &receipt)? {
            let run = self.run_of(&current, request, &mut receipt)?;
            let back_to = receipt.generation;
            self.under_confirmation(request.confirm_within, back_to, || {
                self.apply(run, &current.plan, &mut receipt, &mut gains)
            })?;
        }
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
        Ok(self.unfinished()?.is_none()
            && !self.is_way_back_left()?
            && self.is_recorded(proposal, &self.receipt()?)?)
    }

    pub(super) fn is_recorded(
        &self,
        proposal: &Proposal,
        receipt: &Receipt,
    ) -> Result<bool, EngineError> {
        let is_known = |resource: &Resource| receipt.knows(resource);
        if !proposal.plan.is_empty() || !proposal.unheld().all(is_known) {
            return Ok(false);
        }
        // A generation of old, or one that was collected, is no reason to fail.
        let recorded = self.snapshot_of(receipt.generation);
        Ok(recorded.is_ok_and(|recorded| recorded == proposal.snapshot))
    }

    /// What needs no change is in the receipt too: as ours if it bears our mark, else as having been there.
    pub(super) fn what_was_right(
        &self,
        proposal: &Proposal,
        is_lost: bool,
        receipt: &Receipt,
    ) -> Result<Vec<(Resource, Prior)>, EngineError> {
        let planned: BTreeSet<_> = proposal.plan.steps.iter().map(|step| &step.id).collect();
        let mut found = Vec::new();
        for resource in proposal.unheld() {
            if receipt.knows(resource) || planned.contains(&resource.id()) {
                continue;
            }
            let prior = match receipt.entry(resource) {
                Some(entry) => entry.prior.clone(),
                None if self.is_marked(resource, is_lost)? => Prior::Absent,
                None => Prior::Present,
            };
            found.push((resource.clone(), prior));
        }
        Ok(found)
    }

    /// Whether it is ours by its mark, its label or its place, though no receipt says so.
    pub(super) fn is_marked(
        &self,
        resource: &Resource,
        is_lost: bool,
    ) -> Result<bool, EngineError> {
        Ok(match resource {
            Resource::Container(_) | Resource::Unit(_) | Resource::Nginx(_) => true,
            Resource::File(file) if file.keep == Keep::Managed => true,
            Resource::Link(link) => link.target.ends_with("tavernctl"),
            Resource::Group(group) => Layout::is_group_of_ours(&group.name),
            Resource::Opening(opening) => {
                is_lost && self.host.firewall.opened_by_us()?.contains(&opening.port)
            }
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
                    // Of drop-ins; it goes only if nothing else is in it.
                    || (seeded && path.parent() == Some(&self.layout.units))
                    || matches!(resource, Resource::Binary(_))
            }),
        })
    }
}

/// What must go before something else is made cannot wait: two containers would have the same volume.
fn refuse_held_removals(plan: &Plan) -> Result<(), EngineError> {
    let is_first = |step: &Step| step.change.action == Action::Remove && !step.after_commit;
    match plan.held.iter().find(|held| is_first(&held.step)) {
        None => Ok(()),
        Some(held) => Err(EngineError::NotReady {
            what: format!(
                "{} must be removed first, and is {}",
                held.step.id, held.held
            ),
            help: "`sudo tavernctl hold --end`, then run it again".into(),
        }),
    }
}

/// An app would come with a password that its held Redis has not learnt.
fn refuse_held_rules(plan: &Plan, source: &Source) -> Result<(), EngineError> {
    let held = plan
        .held
        .iter()
        .find(|held| held.step.resource.is_read_again());
    match (source, held) {
        (Source::Rotated { .. }, Some(held)) => Err(EngineError::NotReady {
            what: format!("{} is {}", held.step.id, held.held),
            help: "`sudo tavernctl hold --end`, then run it again".into(),
        }),
        _ => Ok(()),
    }
}

/// Whether it is a container on a volume that another one is to have: never two on the same data.
fn shares_a_volume(resource: &Resource, desired: &[Desired]) -> bool {
    let Resource::Container(old) = resource else {
        return false;
    };
    desired.iter().any(|wanted| match &wanted.resource {
        Resource::Container(new) => new.mounts.iter().filter_map(Mount::volume).any(|volume| {
            old.mounts
                .iter()
                .any(|mount| mount.volume() == Some(volume))
        }),
        _ => false,
    })
}
