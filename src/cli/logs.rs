use std::process::ExitCode;

use clap::Args;

use super::{Answer, Printer, installed_stacks, require_host};
use crate::host::Host;
use crate::logs;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl logs             the last lines of everything, by time\n  sudo tavernctl logs counter -f  follow one app"
)]
pub(super) struct Arguments {
    /// Apps, sites or containers by name; all if none is named
    names: Vec<String>,
    /// Go on as new lines come
    #[arg(long, short)]
    follow: bool,
    /// How many lines of each
    #[arg(long, short = 'n', default_value_t = 20)]
    lines: u32,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "logs")?;
    let stacks = installed_stacks(&host, &[])?;
    logs::show(
        &host,
        &stacks,
        &arguments.names,
        arguments.lines,
        arguments.follow,
        &mut |line| printer.out(line),
    );
    Ok(ExitCode::SUCCESS)
}
