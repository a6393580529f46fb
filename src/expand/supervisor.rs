use minijinja::context;

use super::base::{managed, managed_for};
use super::emit::{EmitError, emit};
use super::metrics;
use crate::model::{Facts, Layout};
use crate::resource::{Desired, Resource, ResourceId, Unit};
use crate::stack::Stack;

const NAME: &str = "tavernd.service";

/// Its name among the resources, on a host that has it: for whatever makes it restart.
pub(super) fn id(stacks: &[Stack]) -> Option<ResourceId> {
    (!stacks.is_empty()).then(|| ResourceId(format!("unit:{NAME}")))
}

/// The supervisor's unit, and the timer that has all asked every minute; on every host with a stack.
pub(super) fn units(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    let Some(id) = id(stacks) else {
        return Ok(Vec::new());
    };
    let values = context! {
        binary => facts.binary.to_string_lossy(),
        state => layout.state.to_string_lossy(),
        metrics_group => metrics::group(stacks),
    };
    let unit = Unit {
        name: NAME.to_owned(),
        alias: None,
        service: None,
        is_beside: false,
    };
    let timer = Unit {
        name: "tavern-check.timer".to_owned(),
        alias: None,
        service: None,
        is_beside: false,
    };
    let round = layout.units.join("tavern-check.service");
    Ok(vec![
        managed_for(layout.units.join(NAME), emit(NAME, &values)?, vec![id]),
        Resource::Unit(unit).into(),
        managed(round, 0o644, emit("check.service", &values)?).into(),
        managed_for(
            layout.units.join(&timer.name),
            emit("check.timer", &values)?,
            vec![ResourceId(format!("unit:{}", timer.name))],
        ),
        Resource::Unit(timer).into(),
    ])
}
