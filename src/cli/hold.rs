use std::process::ExitCode;

use clap::Args;
use time::OffsetDateTime;

use super::{Answer, Failure, Printer, installed_stacks, require_host};
use crate::engine::{Engine, Held, Holds, Silent};
use crate::host::Host;
use crate::model::{Layout, Span};
use crate::resource::ResourceId;
use crate::stack::Stack;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl hold counter --for 1h   leave the app alone for an hour\n  \
                        sudo tavernctl hold redis             leave the container alone until told otherwise\n  \
                        sudo tavernctl hold                   leave every unit and container alone, and nginx\n  \
                        sudo tavernctl hold --end             end every hold\n\n\
                        While it is held, no install, rollback or repair changes or restarts a thing; `tavernctl plan` \n\
                        shows what waits. A hold outlives a reboot."
)]
pub(super) struct Arguments {
    /// Apps and containers by name; everything if none is named
    things: Vec<String>,
    /// How long, such as 30m or 1h30m; until ended if not said
    #[arg(long = "for", value_name = "TIME", conflicts_with = "end")]
    length: Option<String>,
    /// End the hold on these things; every hold if none is named
    #[arg(long)]
    end: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "hold")?;
    let length = arguments.length.as_deref().map(str::parse::<Span>);
    let length = length
        .transpose()
        .map_err(|refused| Failure::new(refused.message, refused.help))?;
    let engine = Engine::new(&host, &Silent);
    let stacks = installed_stacks(&host, &[])?;
    let named: Vec<Held> = things_named(&stacks, &arguments.things)?;
    let now = host.clock.now();
    if !arguments.end {
        let things = if named.is_empty() {
            vec![Held::Everything]
        } else {
            named
        };
        for hold in engine.hold(&things, length.map(Span::duration))? {
            printer.out(&format!("{}: {}", hold.thing, hold.describe(now)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let asked = (!named.is_empty()).then_some(named.as_slice());
    let ended = engine.end_holds(asked)?;
    for hold in &ended {
        printer.out(&format!("{}: no longer held", hold.thing));
    }
    let holds = engine.holds()?;
    if asked.is_some() && is_everything_held(&holds, now) {
        return Err(Failure::new(
            "everything is held, these things too",
            "`sudo tavernctl hold --end` ends every hold",
        ));
    }
    if ended.is_empty() {
        printer.out("Nothing of that was held.");
    } else {
        printer.note("`sudo tavernctl install` does what waited.");
    }
    Ok(ExitCode::SUCCESS)
}

fn is_everything_held(holds: &Holds, now: OffsetDateTime) -> bool {
    holds
        .current(now)
        .any(|hold| hold.thing == Held::Everything)
}

/// All that bear these names: apps by name, alias or unit, containers by role or Docker's name.
fn things_named(stacks: &[Stack], names: &[String]) -> Result<Vec<Held>, Failure> {
    let mut known: Vec<(String, Held)> = Vec::new();
    for stack in stacks {
        for app in &stack.apps {
            let unit = Layout::unit_stem(&stack.name, &app.name);
            let all = [
                Some(app.name.to_string()),
                app.alias.as_ref().map(ToString::to_string),
                Some(unit.clone()),
                Some(format!("{unit}.service")),
                Some(format!("{unit}.socket")),
            ];
            let all = all.into_iter().flatten();
            known.extend(all.map(|name| (name, Held::App(unit.clone()))));
        }
        for container in &stack.containers {
            let held = Held::Container(container.name.to_string());
            known.push((container.role.to_string(), held.clone()));
            known.push((container.name.to_string(), held));
        }
    }
    let mut found = Vec::new();
    for name in names {
        let before = found.len();
        let bearers = known.iter().filter(|(known, _)| known == name);
        found.extend(bearers.map(|(_, held)| held.clone()));
        if found.len() == before {
            let names = known.iter().map(|(name, _)| name.as_str());
            let mut names: Vec<_> = names
                .filter(|name| !name.ends_with(".service") && !name.ends_with(".socket"))
                .collect();
            names.sort_unstable();
            names.dedup();
            return Err(Failure::new(
                format!("there is no app or container called `{name}`"),
                format!("this host has: {}", names.join(", ")),
            ));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// How an app is held, if it is, and what would end that.
pub(super) fn on_app(holds: &Holds, unit: &str, now: OffsetDateTime) -> Option<(String, String)> {
    let hold = holds.on(&ResourceId(format!("unit:{unit}.service")), now)?;
    let end = match hold.thing {
        Held::Everything => "sudo tavernctl hold --end".to_owned(),
        _ => format!("sudo tavernctl hold --end {unit}"),
    };
    Some((hold.describe(now), end))
}
