use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use super::{Answer, FOUND, Failure, Printer, require_host};
use crate::engine::{Engine, Purge};
use crate::host::{Events, Host};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl uninstall            keeps pages, counts and credentials\n  \
                        sudo tavernctl uninstall --purge    removes those too\n\nPackages stay: others may use them by now."
)]
pub(super) struct Arguments {
    /// Remove data too: volumes, pages, credentials, stack files
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "uninstall")?;
    if !arguments.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::new(
                "nobody can be asked: standard input is no terminal",
                "add `--yes`",
            ));
        }
        let question = if arguments.purge {
            "Remove everything Tavern made, data included?"
        } else {
            "Remove what Tavern made, keep the data?"
        };
        if !printer.ask(question) {
            return Err(Failure::new("not uninstalled", "nothing was changed"));
        }
    }
    let purge = if arguments.purge {
        Purge::Everything
    } else {
        Purge::KeepData
    };
    // It always finishes: a closed terminal or Ctrl-C would leave half a host.
    let _caught = Events::catch()?;
    let left = Engine::new(&host, printer).uninstall(purge)?;
    let (rules, data): (Vec<_>, Vec<_>) = left.kept.iter().partition(|kept| kept.hint.is_some());
    if !data.is_empty() {
        printer.out(
            "Kept for the next install; `uninstall --purge` with a copy of tavernctl removes it:",
        );
        data.iter()
            .for_each(|kept| printer.out(&format!("  {}", kept.id)));
    }
    if !rules.is_empty() {
        printer.out("Kept, for SSH comes in by it:");
        for kept in rules {
            let hint = kept.hint.as_deref().unwrap_or_default();
            printer.out(&format!("  {}: {hint}", kept.id));
        }
    }
    if left.failed.is_empty() {
        printer.out("Uninstalled.");
        return Ok(ExitCode::SUCCESS);
    }
    printer.out("Left over:");
    left.failed
        .iter()
        .for_each(|line| printer.out(&format!("  {line}")));
    Ok(ExitCode::from(FOUND))
}
