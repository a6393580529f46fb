use std::collections::BTreeMap;

use minijinja::{Value, context};

use super::base::managed_for;
use super::emit::{EmitError, emit};
use crate::model::{Facts, Layout, LogRules};
use crate::resource::{Desired, Resource, ResourceId, Unit};
use crate::stack::Stack;

const NAME: &str = "tavern-monitor.service";

/// What restarts with another binary.
pub(super) fn unit() -> ResourceId {
    ResourceId(format!("unit:{NAME}"))
}

/// The unit that follows the logs of all sites, and its rules. After the logs: it reads on from what is there.
pub(super) fn resources(
    stacks: &[Stack],
    facts: &Facts,
    layout: &Layout,
) -> Result<Vec<Desired>, EmitError> {
    if stacks.is_empty() {
        return Ok(Vec::new());
    }
    let rules = layout.monitor_rules();
    let values = context! {
        binary => facts.binary.to_string_lossy(),
        rules => rules.to_string_lossy(),
    };
    let text = emit("monitor.service", &values)?;
    let service = Unit {
        name: NAME.to_owned(),
        alias: None,
        service: None,
        is_beside: false,
    };
    let logs: Vec<Value> = logs(stacks).into_iter().map(row).collect();
    let told = emit("monitor.toml", &context! { logs })?;
    Ok(vec![
        managed_for(rules, told, vec![unit()]),
        managed_for(layout.units.join(NAME), text, vec![unit()]),
        Resource::Unit(service).into(),
    ])
}

/// The rules by the log's name: each site's, and the stack's own for what no site answers.
fn logs(stacks: &[Stack]) -> BTreeMap<String, LogRules> {
    let own = stacks.iter().map(|one| (one.name.to_string(), one.monitor));
    let of_sites = stacks.iter().flat_map(|stack| {
        let sites = stack.sites.iter();
        sites.map(move |site| (format!("{}-{}", stack.name, site.name), site.monitor))
    });
    own.chain(of_sites).collect()
}

fn row((name, rules): (String, LogRules)) -> Value {
    context! {
        name,
        error_permille => rules.error_permille,
        error_minutes => rules.error_minutes,
        error_requests => rules.error_requests,
        brute_force => rules.brute_force,
        scanner => rules.scanner,
    }
}
