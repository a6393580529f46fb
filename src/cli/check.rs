use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure, Printer, installed_stacks, require_host};
use crate::check::render::{self, Colour};
use crate::check::{self, Report, Setting};
use crate::engine::{Engine, Silent};
use crate::host::Host;
use crate::stack::Stack;
use crate::supervise;
use crate::web::telemetry;

#[derive(Args)]
#[command(
    after_help = "Example:\n  sudo tavernctl check     exit code 0: healthy, 2: unhealthy, 1: could not check"
)]
pub(super) struct Arguments {
    /// Stacks to ask; all if none is named
    stacks: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Write down what was found, and tell the journal what changed; `tavern-check.timer` does so every minute
    #[arg(long, hide = true, conflicts_with_all = ["json", "stacks"])]
    record: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "check")?;
    if arguments.record {
        return recorded(&host);
    }
    let report = ask(&host, &installed_stacks(&host, &arguments.stacks)?);
    if arguments.json {
        let text = render::json(&report).map_err(|error| {
            Failure::new(format!("cannot write JSON: {error}"), "leave `--json` out")
        })?;
        printer.out(&text);
    } else {
        printer.out(&shown(&report, printer));
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// A round for the history. What is ill is no failure of the round.
fn recorded(host: &Host) -> Answer {
    let _telemetry = telemetry::start("tavern-check");
    let engine = Engine::new(host, &Silent);
    // What a run is about to change is not to be judged.
    if engine.is_changing() {
        return Ok(ExitCode::SUCCESS);
    }
    // By nobody else for hours, and until then nothing is mended.
    if let Err(error) = engine.end_what_was_cut_off() {
        tracing::warn!(%error, "a run that was cut off is not settled");
    }
    // A stack file that is being edited says what is to be, not what is.
    let stacks = match engine.stacks_as_applied() {
        Ok(stacks) if !stacks.is_empty() => stacks,
        _ => installed_stacks(host, &[])?,
    };
    let report = ask(host, &stacks);
    if engine.is_changing() {
        return Ok(ExitCode::SUCCESS);
    }
    match supervise::record(&engine, &stacks, &report) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(
            format!("this round was not written down: {error}"),
            "the next one tries again; `df -h /var/lib/tavern` shows whether there is room",
        )),
    }
}

pub(super) fn ask(host: &Host, stacks: &[Stack]) -> Report {
    let engine = Engine::new(host, &Silent);
    // Who may not look is told so by other probes.
    let open = engine.open_exchange().ok().flatten();
    let setting = Setting {
        cut_off: open.filter(|_| !engine.is_at_work()),
        ..Setting::installed()
    };
    check::run(host, stacks, &setting)
}

pub(super) fn shown(report: &Report, printer: &Printer) -> String {
    let colour = if printer.colour() {
        Colour::On
    } else {
        Colour::Off
    };
    render::table(report, colour, printer.width())
}
