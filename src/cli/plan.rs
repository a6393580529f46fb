use std::process::ExitCode;

use clap::Args;

use super::{Answer, FOUND, Printer, require_host};
use crate::engine::{Engine, Request, Silent};
use crate::host::Host;
use crate::plan::{self, Diffs};

#[derive(Args)]
#[command(
    after_help = "Example:\n  sudo tavernctl plan     exit code 0: nothing to do, 2: changes, 1: error"
)]
pub(super) struct Arguments {
    /// Stacks that must be among those of this host
    stacks: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// As if somebody else's things may be taken over
    #[arg(long)]
    adopt: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "plan")?;
    let request = Request {
        asked: arguments.stacks.clone(),
        adopt: arguments.adopt,
        ..Request::default()
    };
    let proposal = Engine::new(&host, &Silent).propose(&request)?;
    if arguments.json {
        printer.json(&proposal.plan);
    } else if proposal.plan.is_empty() {
        printer.out("Nothing to change.");
    } else {
        printer.out(&plan::render(&proposal.plan, Diffs::All));
    }
    Ok(ExitCode::from(if proposal.plan.is_empty() {
        0
    } else {
        FOUND
    }))
}
