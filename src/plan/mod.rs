//! Desired and observed become an ordered plan: plain data that can be shown, stored and compared.

mod held;
mod schema;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::resource::{
    Action, Change, Claim, ContainerState, Desired, Observed, Resource, ResourceId,
};

pub use held::HeldStep;
pub use schema::SCHEMA;
pub use text::{Diffs, render, unified};

/// One change to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The resource's name.
    pub id: ResourceId,
    /// The resource; for a removal, as the receipt has it.
    #[serde(skip)]
    pub resource: Resource,
    /// What changes and why.
    #[serde(flatten)]
    pub change: Change,
    /// What must restart afterwards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<ResourceId>,
    /// Taken once all that is wanted is made and proven: from there on a run only goes forward.
    pub after_commit: bool,
}

/// The ordered changes that make observed equal desired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In the order they are applied.
    pub steps: Vec<Step>,
    /// What waits until a hold ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldStep>,
}

/// What the receipt knows that bears on a plan.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// What we made, as it was applied.
    pub applied: BTreeMap<ResourceId, Resource>,
    /// What must restart because an earlier run died before it did.
    pub owed: BTreeSet<ResourceId>,
    /// What we made and no stack wants, in the order of removal.
    pub orphans: Vec<Orphan>,
    /// Files of the owner's that are to be as wanted all the same.
    pub insisted: BTreeSet<ResourceId>,
    /// What is to be made anew in part though it is right, and why.
    pub renewed: BTreeMap<ResourceId, String>,
    /// The operator said that what is in the way may be taken over.
    pub adopt: bool,
}

/// What we made and no stack wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// As the receipt has it.
    pub resource: Resource,
    /// Files of it that somebody edited since.
    pub edited: Vec<PathBuf>,
    /// It must go before the containers are made, not last.
    pub first: bool,
}

impl Plan {
    /// Whether there is nothing to do, but for what is held.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Steps that would take somebody else's thing without leave.
    pub fn conflicts(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.change.conflict)
    }
}

/// Compares what is wanted with what is there, in the order wanted.
pub fn make(
    desired: &[Desired],
    observed: &BTreeMap<ResourceId, Observed>,
    knowledge: &Knowledge,
) -> Plan {
    let mut owed = knowledge.owed.clone();
    let mut reread = BTreeSet::new();
    let mut steps = Vec::new();
    for Desired { resource, restarts } in desired {
        let id = resource.id();
        let Some(state) = observed.get(&id) else {
            continue;
        };
        let mut state = state.clone();
        if owed.contains(&id) {
            owe_restart(&mut state);
        }
        if let (true, Observed::Container(ContainerState::Present(container))) =
            (reread.contains(&id), &mut state)
        {
            container.owes_reload = true;
        }
        let applied = knowledge.applied.get(&id);
        // Whoever came later may be in the way of what is ours, too.
        let may_be_rivalled = matches!(resource, Resource::Nginx(_) | Resource::Unit(_));
        let claim = match (applied.is_some(), knowledge.adopt) {
            (true, true) if may_be_rivalled => Claim::Adopted,
            (true, _) => Claim::Ours,
            (false, true) => Claim::Adopted,
            (false, false) => Claim::Foreign,
        };
        let change = if knowledge.insisted.contains(&id) {
            resource.managed().compare(&state, Claim::Ours)
        } else {
            resource.compare(&state, claim)
        };
        let change = change.or_else(|| {
            let reason = knowledge.renewed.get(&id)?;
            Some(Change::new(Action::Update, reason.clone()))
        });
        if let Some(mut change) = change {
            if resource.is_read_again() {
                reread.extend(restarts.iter().cloned());
            } else {
                owed.extend(restarts.iter().cloned());
            }
            change.edited =
                applied.map_or_else(Vec::new, |applied| applied.edits(&state, Some(resource)));
            steps.push(Step {
                id,
                resource: resource.clone(),
                change,
                restarts: restarts.clone(),
                after_commit: false,
            });
        }
    }
    let (first, last): (Vec<_>, Vec<_>) = knowledge.orphans.iter().partition(|orphan| orphan.first);
    let before = steps
        .iter()
        .position(|step| matches!(step.resource, Resource::Container(_) | Resource::Nginx(_)))
        .unwrap_or(steps.len());
    steps.splice(before..before, first.into_iter().map(removal));
    steps.extend(last.into_iter().map(removal));
    Plan {
        steps,
        held: Vec::new(),
    }
}

/// The step that removes what no stack wants.
pub fn removal(orphan: &Orphan) -> Step {
    Step {
        id: orphan.resource.id(),
        resource: orphan.resource.clone(),
        change: Change {
            edited: orphan.edited.clone(),
            ..Change::new(Action::Remove, "no stack asks for it any more")
        },
        restarts: Vec::new(),
        after_commit: !orphan.first,
    }
}

fn owe_restart(state: &mut Observed) {
    match state {
        Observed::Unit(unit) => unit.owes_restart = true,
        Observed::Container(ContainerState::Present(container)) => container.owes_restart = true,
        Observed::Nginx(nginx) => nginx.owes_reload = true,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mode;
    use crate::resource::{Content, File, Keep, Owner, PathState, Unit, UnitState};

    fn file_and_unit() -> Vec<Desired> {
        let unit = Resource::Unit(Unit {
            name: "a.service".into(),
            alias: None,
            service: None,
            is_beside: false,
        });
        let file = Resource::File(File {
            path: "/etc/a".into(),
            mode: Mode(0o644),
            owner: Owner::root(),
            content: Content::Text("new\n".into()),
            keep: Keep::Managed,
        });
        vec![
            Desired {
                resource: file,
                restarts: vec![unit.id()],
            },
            unit.into(),
        ]
    }

    fn observed(content: &str) -> BTreeMap<ResourceId, Observed> {
        let wanted = file_and_unit();
        let state = PathState::File {
            content: content.into(),
            mode: Mode(0o644),
            owner: Owner::root(),
        };
        let unit = UnitState {
            enabled: true,
            active: true,
            ..UnitState::default()
        };
        BTreeMap::from([
            (
                wanted[0].resource.id(),
                Observed::Path {
                    state,
                    wanted: Some(b"new\n".to_vec()),
                },
            ),
            (wanted[1].resource.id(), Observed::Unit(unit)),
        ])
    }

    fn owned() -> Knowledge {
        Knowledge {
            applied: file_and_unit()
                .into_iter()
                .map(|d| (d.resource.id(), d.resource))
                .collect(),
            ..Knowledge::default()
        }
    }

    #[test]
    fn a_right_host_needs_nothing() {
        assert!(make(&file_and_unit(), &observed("new\n"), &owned()).is_empty());
    }

    #[test]
    fn a_changed_file_restarts_what_reads_it() {
        let plan = make(&file_and_unit(), &observed("old\n"), &owned());
        let actions: Vec<_> = plan.steps.iter().map(|step| step.change.action).collect();
        assert_eq!(actions, [Action::Update, Action::Restart]);
    }

    #[test]
    fn an_edit_is_what_differs_from_what_was_applied() {
        let edited = |content: &str| {
            let plan = make(&file_and_unit(), &observed(content), &owned());
            plan.steps[0].change.edited.clone()
        };
        assert_eq!(edited("by hand\n"), [PathBuf::from("/etc/a")]);
        let mut older = owned();
        let id = file_and_unit()[0].resource.id();
        if let Some(Resource::File(file)) = older.applied.get_mut(&id) {
            file.content = Content::Text("old\n".into());
        }
        let plan = make(&file_and_unit(), &observed("old\n"), &older);
        assert_eq!(plan.steps[0].change.action, Action::Update);
        assert!(plan.steps[0].change.edited.is_empty());
    }

    #[test]
    fn removals_come_last_but_for_those_in_the_way() {
        let group = |name: &str| Resource::Group(crate::resource::Group { name: name.into() });
        let orphan = |name: &str, first| Orphan {
            resource: group(name),
            edited: Vec::new(),
            first,
        };
        let mut knowledge = owned();
        knowledge.orphans = vec![orphan("late", false), orphan("early", true)];
        let plan = make(&file_and_unit(), &observed("old\n"), &knowledge);
        let steps: Vec<_> = plan
            .steps
            .iter()
            .map(|step| (step.id.0.as_str(), step.after_commit))
            .collect();
        assert_eq!(
            steps,
            [
                ("file:/etc/a", false),
                ("unit:a.service", false),
                ("group:early", false),
                ("group:late", true)
            ]
        );
    }

    #[test]
    fn a_restart_owed_by_a_killed_run_is_planned() {
        let mut knowledge = owned();
        knowledge.owed.insert(file_and_unit()[1].resource.id());
        let plan = make(&file_and_unit(), &observed("new\n"), &knowledge);
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.steps[0].change.reason, "what it runs changed");
    }

    #[test]
    fn what_is_not_ours_is_a_conflict_unless_adopted() {
        let mut knowledge = Knowledge::default();
        assert_eq!(
            make(&file_and_unit(), &observed("old\n"), &knowledge)
                .conflicts()
                .count(),
            1
        );
        knowledge.adopt = true;
        assert_eq!(
            make(&file_and_unit(), &observed("old\n"), &knowledge)
                .conflicts()
                .count(),
            0
        );
    }
}
