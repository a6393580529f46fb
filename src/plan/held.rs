use std::collections::BTreeSet;

use serde::Serialize;

use super::{Plan, Step};
use crate::resource::{Action, ResourceId};

/// A step that is not taken, for something is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldStep {
    /// What would be done.
    #[serde(flatten)]
    pub step: Step,
    /// Until when, and because of what.
    pub held: String,
}

impl Plan {
    /// Sets aside what would touch something held; `hold` says of a thing how it is held, if it is.
    ///
    /// Held is a step on the thing itself, and one whose change nothing but held things would read: it is left
    /// undone, so that a held app that restarts by itself starts as it was. What others read as well is done, and
    /// the restart of the held ones is owed ([`Self::owed`]). When something held would be removed, all removals
    /// wait: what belongs to it cannot be told from the rest.
    pub fn set_aside(mut self, hold: impl Fn(&ResourceId) -> Option<String>) -> Self {
        let removes = |step: &Step| step.change.action == Action::Remove;
        let removal = self.steps.iter().find_map(|step| {
            let held = hold(&step.id).filter(|_| removes(step))?;
            Some(format!("{held}, with {}", step.id))
        });
        let reason = |step: &Step| {
            let readers: Option<Vec<String>> = step.restarts.iter().map(&hold).collect();
            let by_readers = readers.and_then(|held| {
                let reader = step.restarts.first()?;
                Some(format!("{}, with {reader}", held.first()?))
            });
            hold(&step.id)
                .or(by_readers)
                .or_else(|| removal.clone().filter(|_| removes(step)))
        };
        let (mut steps, mut held) = (Vec::new(), Vec::new());
        for step in self.steps {
            match reason(&step) {
                Some(reason) => held.push(HeldStep { step, held: reason }),
                None => steps.push(step),
            }
        }
        self.steps = steps;
        self.held.extend(held);
        self
    }

    /// Whether a step on this thing waits.
    pub fn is_held(&self, id: &ResourceId) -> bool {
        self.held.iter().any(|held| held.step.id == *id)
    }

    /// The restarts that are due when the holds end: what they read is changed by this plan.
    pub fn owed(&self) -> BTreeSet<ResourceId> {
        let restarts = self.steps.iter().flat_map(|step| &step.restarts);
        restarts.filter(|id| self.is_held(id)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::render;
    use crate::plan::{Diffs, Knowledge, Orphan, make};
    use crate::resource::{
        Content, Desired, File, Keep, Observed, Owner, PathState, Resource, Unit, UnitState,
    };
    use std::collections::BTreeMap;

    fn unit(name: &str) -> Resource {
        Resource::Unit(Unit {
            name: name.into(),
            alias: None,
            service: None,
            is_beside: false,
        })
    }

    fn file(path: &str, restarts: &[&str]) -> Desired {
        Desired {
            resource: Resource::File(File {
                path: path.into(),
                mode: crate::model::Mode(0o644),
                owner: Owner::root(),
                content: Content::Text("new\n".into()),
                keep: Keep::Managed,
            }),
            restarts: restarts.iter().map(|name| unit(name).id()).collect(),
        }
    }

    /// Apps a and b are right; the file of each, one of both and one of nobody are not there.
    fn desired() -> Vec<Desired> {
        vec![
            file("/etc/a", &["a.service"]),
            file("/etc/b", &["b.service"]),
            file("/etc/both", &["b.service", "a.service"]),
            file("/etc/nobody", &[]),
            unit("a.service").into(),
            unit("b.service").into(),
        ]
    }

    fn plan(knowledge: &Knowledge) -> Plan {
        let observed: BTreeMap<_, _> = desired()
            .iter()
            .map(|desired| {
                let state = match &desired.resource {
                    Resource::Unit(_) => Observed::Unit(UnitState {
                        enabled: true,
                        active: true,
                        ..UnitState::default()
                    }),
                    _ => Observed::Path {
                        state: PathState::Absent,
                        wanted: Some(b"new\n".to_vec()),
                    },
                };
                (desired.resource.id(), state)
            })
            .collect();
        make(&desired(), &observed, knowledge)
    }

    fn holding<'a>(names: &'a [&str]) -> impl Fn(&ResourceId) -> Option<String> + 'a {
        |id| {
            let is_held = names.iter().any(|name| unit(name).id() == *id);
            is_held.then(|| "held".to_owned())
        }
    }

    fn ids<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<&'a str> {
        steps.into_iter().map(|step| step.id.0.as_str()).collect()
    }

    #[test]
    fn nothing_held_nothing_changed() {
        let before = plan(&Knowledge::default());
        assert_eq!(before.clone().set_aside(|_| None), before);
        assert!(before.owed().is_empty());
    }

    #[test]
    fn what_only_the_held_one_reads_waits_with_it() {
        let plan = plan(&Knowledge::default()).set_aside(holding(&["a.service"]));
        assert_eq!(
            ids(plan.held.iter().map(|held| &held.step)),
            ["file:/etc/a", "unit:a.service"]
        );
        assert_eq!(
            ids(&plan.steps),
            [
                "file:/etc/b",
                "file:/etc/both",
                "file:/etc/nobody",
                "unit:b.service"
            ]
        );
        // It reads what is changed for the other one: to restart when the hold ends.
        assert_eq!(plan.owed(), BTreeSet::from([unit("a.service").id()]));
        let shown = render(&plan, Diffs::OfChanges);
        assert!(
            shown.contains("‖ file:/etc/a  (held, with unit:a.service: ")
                && shown.contains("‖ unit:a.service  (held: what it runs changed)"),
            "{shown}"
        );
    }

    #[test]
    fn with_all_readers_held_nothing_is_owed() {
        let plan = plan(&Knowledge::default()).set_aside(holding(&["a.service", "b.service"]));
        assert_eq!(ids(&plan.steps), ["file:/etc/nobody"]);
        assert!(plan.owed().is_empty());
    }

    #[test]
    fn a_restart_that_was_owed_before_waits_on() {
        let knowledge = Knowledge {
            applied: desired()
                .into_iter()
                .map(|d| (d.resource.id(), d.resource))
                .collect(),
            owed: BTreeSet::from([unit("a.service").id()]),
            ..Knowledge::default()
        };
        let plan = plan(&knowledge).set_aside(holding(&["a.service"]));
        assert!(plan.is_held(&unit("a.service").id()) && !plan.is_held(&unit("b.service").id()));
    }

    #[test]
    fn nothing_is_removed_around_a_held_thing() {
        let orphan = |resource| Orphan {
            resource,
            edited: Vec::new(),
            first: false,
        };
        let orphans = [unit("old.service"), file("/etc/old", &[]).resource]
            .map(orphan)
            .to_vec();
        let knowledge = Knowledge {
            orphans,
            ..Knowledge::default()
        };
        let held = plan(&knowledge).set_aside(holding(&["old.service"]));
        assert_eq!(
            ids(held.held.iter().map(|held| &held.step)),
            ["unit:old.service", "file:/etc/old"]
        );
        let free = plan(&knowledge).set_aside(holding(&["a.service"]));
        assert!(ids(&free.steps).ends_with(&["unit:old.service", "file:/etc/old"]));
    }
}
