use std::collections::BTreeMap;

use minijinja::{Value, context};

use super::base::managed_for;
use super::emit::{EmitError, emit};
use crate::model::{Facts, JournalRules, Layout, LogRules};
use crate::resource::{Desired, Resource, ResourceId, Unit};
use crate::stack::Stack;

const NAME: &str = "tavern-monitor.service";

/// What restarts with another binary.
pub(super) fn unit() -> ResourceId {
    ResourceId(format!("unit:{NAME}"))
}

/// The unit that follows the logs of all sites and the journal, and its rules. After the logs: it reads on from what is
/// there.
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
    let journal = journal(stacks);
    let told = emit("monitor.toml", &context! { logs, journal })?;
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

/// Of the whole host: what goes wrong with them goes wrong with every stack.
const HOSTS_UNITS: [&str; 3] = ["nginx.service", "docker.service", "tavernd.service"];

/// The rules of the journal: each app's unit by its stack, and what all stacks share by the strictest of them.
fn journal(stacks: &[Stack]) -> Value {
    let of_apps = stacks.iter().flat_map(|stack| {
        let apps = stack.apps.iter();
        apps.map(move |app| {
            let stem = Layout::unit_stem(&stack.name, &app.name);
            (format!("{stem}.service"), stack.journal.errors)
        })
    });
    let strictest = |of: fn(&JournalRules) -> u32| {
        let all = stacks.iter().map(|stack| of(&stack.journal));
        all.min().unwrap_or_default()
    };
    let errors = strictest(|rules| rules.errors);
    let of_host = HOSTS_UNITS.map(|unit| (unit.to_owned(), errors));
    let units: BTreeMap<String, u32> = of_apps.chain(of_host).collect();
    let units: Vec<Value> = units
        .into_iter()
        .map(|(name, errors)| context! { name, errors })
        .collect();
    context! {
        ssh_brute_force => strictest(|rules| rules.ssh_brute_force),
        units,
    }
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
