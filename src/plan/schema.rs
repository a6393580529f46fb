/// The JSON schema of a plan, as `tavernctl plan --schema` prints it.
pub const SCHEMA: &str = include_str!("../../www/docs/plan.schema.json");

#[cfg(test)]
mod tests {
    use super::SCHEMA;
    use crate::plan::{HeldStep, Plan, Step};
    use crate::resource::{Action, Change, Group, Resource, TextChange};

    fn step() -> Step {
        let resource = Resource::Group(Group {
            name: "tavern-x".into(),
        });
        Step {
            id: resource.id(),
            change: Change {
                diff: Some(TextChange {
                    before: String::new(),
                    after: "text".into(),
                }),
                edited: vec!["/etc/x".into()],
                ..Change::new(Action::TakeOver, "somebody else's")
            },
            restarts: vec![resource.id()],
            resource,
            after_commit: true,
        }
    }

    /// The schema names every property that a plan can have, and none besides.
    #[test]
    fn the_published_schema_is_what_is_printed() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let judge = jsonschema::validator_for(&schema).unwrap();
        let plan = Plan {
            steps: vec![step()],
            held: vec![HeldStep {
                step: step(),
                held: "until noon".into(),
            }],
        };
        let mut printed = serde_json::to_value(&plan).unwrap();
        assert!(judge.is_valid(&printed), "{:?}", judge.validate(&printed));
        assert!(judge.is_valid(&serde_json::to_value(Plan::default()).unwrap()));
        let known = schema["$defs"]["step"]["properties"].as_object().unwrap();
        let said = printed["held"][0].as_object().unwrap();
        assert!(known.keys().eq(said.keys()), "{known:?} {said:?}");
        printed["steps"][0]["action"] = "invent".into();
        assert!(!judge.is_valid(&printed));
        for action in [
            Action::Create,
            Action::Update,
            Action::TakeOver,
            Action::Restart,
            Action::Reload,
            Action::Rotate,
            Action::Replace,
            Action::Remove,
        ] {
            printed["steps"][0]["action"] = serde_json::to_value(action).unwrap();
            assert!(judge.is_valid(&printed), "{action:?}");
        }
    }
}
