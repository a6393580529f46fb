use std::process::ExitCode;

use clap::Args;

use super::change::said;
use super::uninstall;
use super::{Answer, Printer, require_host};
use crate::backup::Backups;
use crate::engine::{Engine, Purge, Recovered};
use crate::host::Host;

#[derive(Args)]
#[command(after_help = "Example:\n  sudo tavernctl recover\n\n\
                        A run that was killed before its commit is undone; one that was past it is finished.\n\
                        A damaged receipt is replaced by its newest copy. `install`, `rollback` and `uninstall`\n\
                        do the first of themselves before anything else.")]
pub(super) struct Arguments {
    /// Leave as it is what cannot be put back
    #[arg(long)]
    give_up: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "recover")?;
    let engine = Engine::new(&host, printer);
    let mended = engine.mend_receipt()?;
    if let Some(text) = &mended {
        printer.out(text);
    }
    Backups::new(&engine).clear_leftovers()?;
    let Some(recovered) = engine.recover(arguments.give_up)? else {
        if mended.is_none() {
            printer.out("Nothing to recover: no run is unfinished.");
        }
        return Ok(ExitCode::SUCCESS);
    };
    printer.out(&said(&recovered));
    match recovered {
        Recovered::Undone { .. } | Recovered::Finished { .. } | Recovered::SetAside { .. } => {
            Ok(ExitCode::SUCCESS)
        }
        Recovered::Uninstall {
            purge,
            purge_packages,
        } => uninstall::everything(
            &host,
            Purge {
                data: purge,
                packages: purge_packages,
            },
            printer,
        ),
    }
}
