//! How the host fares, in a terminal: what the status page shows, by the same snapshot.

mod keys;
mod rows;
mod screen;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use super::{Answer, Failure, Printer, require_host};
use crate::engine::{Engine, Silent};
use crate::host::{Events, Host};
use crate::supervise::Survey;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl top\n  sudo tavernctl top --once | less\n\n\
                        Keys: arrows, PgUp, PgDn, Home and End move; q or Ctrl-C ends it."
)]
pub(super) struct Arguments {
    /// Print it once; so it is where standard output is no terminal
    #[arg(long)]
    once: bool,
    /// Print the snapshot as JSON, once
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "top")?;
    let engine = Engine::new(&host, &Silent);
    let mut survey = Survey::default();
    if arguments.json {
        printer.json(&survey.look(&engine));
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.once || !printer.is_terminal() {
        for row in rows::rows(&survey.look(&engine)) {
            printer.out(&row.text());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let events = Events::catch()?;
    let manner = screen::Manner {
        colour: printer.colour(),
        reads_keys: std::io::stdin().is_terminal(),
    };
    screen::run(events, manner, &mut || survey.look(&engine)).map_err(|error| {
        Failure::new(
            format!("the terminal refuses: {error}"),
            "`sudo tavernctl top --once` prints it once",
        )
    })?;
    Ok(ExitCode::SUCCESS)
}
