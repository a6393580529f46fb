use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure, Printer, installed_stacks, require_host};
use crate::check::render::{self, Colour};
use crate::check::{self, Report, Setting};
use crate::host::Host;
use crate::stack::Stack;

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
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "check")?;
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

pub(super) fn ask(host: &Host, stacks: &[Stack]) -> Report {
    check::run(host, stacks, &Setting::installed())
}

pub(super) fn shown(report: &Report, printer: &Printer) -> String {
    let colour = if printer.colour() {
        Colour::On
    } else {
        Colour::Off
    };
    render::table(report, colour, printer.width())
}
