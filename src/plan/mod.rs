//! Desired and observed become an ordered plan: plain data that can be shown, stored and compared.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::resource::{
    Action, Change, Claim, ContainerState, Desired, Observed, Resource, ResourceId,
};

pub use text::{Diffs, render};

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
}

/// The ordered changes that make observed equal desired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In the order they are applied.
    pub steps: Vec<Step>,
}

/// What the receipt knows that bears on a plan.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// What we made.
    pub owned: BTreeSet<ResourceId>,
    /// What must restart because an earlier run died before it did.
    pub owed: BTreeSet<ResourceId>,
    /// What we made and no stack wants, newest first.
    pub orphans: Vec<Resource>,
    /// The operator said that what is in the way may be taken over.
    pub adopt: bool,
}

impl Plan {
    /// Whether the host is as it should be.
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
        let claim = match (knowledge.owned.contains(&id), knowledge.adopt) {
            (true, _) => Claim::Ours,
            (false, true) => Claim::Adopted,
            (false, false) => Claim::Foreign,
        };
        if let Some(change) = resource.compare(&state, claim) {
            owed.extend(restarts.iter().cloned());
            steps.push(Step {
                id,
                resource: resource.clone(),
                change,
                restarts: restarts.clone(),
            });
        }
    }
    for resource in &knowledge.orphans {
        let change = Change::new(Action::Remove, "no stack asks for it any more");
        steps.push(Step {
            id: resource.id(),
            resource: resource.clone(),
            change,
            restarts: Vec::new(),
        });
    }
    Plan { steps }
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
            owned: file_and_unit().iter().map(|d| d.resource.id()).collect(),
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
