use minijinja::context;

use super::base::managed_for;
use super::emit::{EmitError, emit};
use crate::model::{Facts, Layout};
use crate::resource::{Desired, Resource, ResourceId, Unit};
use crate::stack::Stack;

const NAME: &str = "tavern-monitor.service";

/// What restarts with another binary.
pub(super) fn unit() -> ResourceId {
    ResourceId(format!("unit:{NAME}"))
}

/// The unit that follows the logs of all sites. After the logs: it reads on from what is there.
pub(super) fn resources(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    if stacks.is_empty() {
        return Ok(Vec::new());
    }
    let values = context! { binary => facts.binary.to_string_lossy() };
    let text = emit("monitor.service", &values)?;
    let service = Unit {
        name: NAME.to_owned(),
        alias: None,
        service: None,
        is_beside: false,
    };
    Ok(vec![
        managed_for(layout.units.join(NAME), text, vec![unit()]),
        Resource::Unit(service).into(),
    ])
}
