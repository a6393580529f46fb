use std::process::ExitCode;

use clap::Args;

use super::{Answer, FOUND, Printer, require_host};
use crate::engine::{Engine, Silent};
use crate::host::Host;

#[derive(Args)]
#[command(
    after_help = "Example:\n  sudo tavernctl diff 3 5     exit code 0: the same, 2: they differ, 1: error"
)]
pub(super) struct Arguments {
    /// The earlier generation
    a: u64,
    /// The later one
    b: u64,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "diff")?;
    let engine = Engine::new(&host, &Silent);
    let text = engine.compare_generations(arguments.a, arguments.b)?;
    if text.is_empty() {
        printer.out("The same.");
        return Ok(ExitCode::SUCCESS);
    }
    printer.out(&text);
    Ok(ExitCode::from(FOUND))
}
