use std::process::ExitCode;

use clap::Args;

use super::{Answer, Printer, require_host};
use crate::engine::{Engine, Silent, Verb};
use crate::host::Host;

#[derive(Args)]
#[command(
    after_help = "Example:\n  sudo tavernctl generations\n\nThe newest 30 are kept. `tavernctl diff A B` compares two, `tavernctl rollback N` returns to one."
)]
pub(super) struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "generations")?;
    let engine = Engine::new(&host, &Silent);
    let now = engine.receipt()?.generation;
    let mut all = Vec::new();
    for number in engine.generations()? {
        match engine.about(number) {
            Ok(about) => all.push(about),
            Err(error) => printer.note(&format!("note: generation {number}: {error}")),
        }
    }
    if arguments.json {
        printer.json(&all);
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        printer.out("No generations yet: `sudo tavernctl install` makes the first.");
    }
    for about in all {
        let by = match &about.verb {
            Verb::Rollback { to } => format!("rollback to {to}"),
            Verb::RotateKeys { apps } => format!("secret rotate {}", apps.join(" ")),
            Verb::UninstallStacks { names, .. } => format!("uninstall {}", names.join(" ")),
            verb => verb.to_string(),
        };
        let mark = if about.generation == now { "*" } else { " " };
        printer.out(&format!(
            "{mark} {:>4}  {}  {by}  (tavernctl {})",
            about.generation, about.at, about.tavernctl
        ));
    }
    Ok(ExitCode::SUCCESS)
}
