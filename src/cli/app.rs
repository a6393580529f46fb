use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure, Printer, hold, installed_stacks, require_host};
use crate::engine::{Engine, Silent};
use crate::host::Host;
use crate::model::Layout;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl restart            every app of every stack\n  sudo tavernctl restart counter    one app"
)]
pub(super) struct Arguments {
    /// Apps by name; all if none is named
    apps: Vec<String>,
}

#[derive(Clone, Copy)]
pub(super) enum Act {
    Restart,
    Start,
    Stop,
}

impl Act {
    fn verb(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

pub(super) fn run(arguments: &Arguments, act: Act, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, act.verb())?;
    let mut units = Vec::new();
    let mut known = Vec::new();
    for stack in installed_stacks(&host, &[])? {
        for app in &stack.apps {
            let aliases = [
                Some(app.name.to_string()),
                app.alias.as_ref().map(ToString::to_string),
            ];
            let named = |name: &String| aliases.iter().flatten().any(|alias| alias == name);
            if arguments.apps.is_empty() || arguments.apps.iter().any(named) {
                units.push(Layout::unit_stem(&stack.name, &app.name));
            }
            known.extend(aliases.into_iter().flatten());
        }
    }
    if let Some(unknown) = arguments.apps.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(
            format!("there is no app called `{unknown}`"),
            format!("this host has: {}", known.join(", ")),
        ));
    }
    let engine = Engine::new(&host, &Silent);
    if matches!(act, Act::Restart) {
        engine.refuse_outdated_rules()?;
    }
    let (holds, now) = (engine.holds()?, host.clock.now());
    let held = |unit: &String| hold::on_app(&holds, unit, now);
    if let Some((unit, (how, end))) = units.iter().find_map(|unit| Some((unit, held(unit)?)))
        && !arguments.apps.is_empty()
    {
        return Err(Failure::new(
            format!("{unit} is {how}"),
            format!("`{end}` first"),
        ));
    }
    for unit in units {
        if let Some((how, _)) = held(&unit) {
            printer.note(&format!("left alone: {unit} is {how}"));
            continue;
        }
        let (socket, service) = (format!("{unit}.socket"), format!("{unit}.service"));
        let metrics = Layout::metrics_unit(&unit);
        match act {
            // The sockets keep listening: requests wait, none is refused.
            Act::Restart => host.systemd.act("restart", &[&service])?,
            Act::Start => host.systemd.act("start", &[&socket, &service])?,
            // Together: a service alone would be started again by the next request.
            Act::Stop => {
                // A host that an older Tavern set up has none of these yet.
                let reports = host.systemd.reports(&[&metrics])?;
                if reports
                    .first()
                    .is_some_and(|report| report.load == "loaded")
                {
                    host.systemd.act("stop", &[&metrics])?;
                }
                host.systemd.act("stop", &[&socket, &service])?;
            }
        }
        printer.out(&format!("{}: {}", act.verb(), unit));
    }
    Ok(ExitCode::SUCCESS)
}
