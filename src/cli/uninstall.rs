use std::process::ExitCode;

use clap::Args;

use super::change::{Consent, carry_out, may};
use super::{Answer, FOUND, Printer, require_host};
use crate::engine::{Engine, Purge, Request, Source};
use crate::host::{Events, Host};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl uninstall                          keeps pages, counts and credentials\n  \
                        sudo tavernctl uninstall --purge                  removes those too\n  \
                        sudo tavernctl uninstall --purge --purge-packages removes nginx and Docker too, if Tavern installed them\n  \
                        sudo tavernctl uninstall shop                     that stack only; the others stay as they are"
)]
pub(super) struct Arguments {
    /// Only these stacks; their files are kept in the generations
    stacks: Vec<String>,
    /// Remove data too: volumes, pages, credentials, stack files
    #[arg(long)]
    purge: bool,
    /// Remove the packages that Tavern installed, and what came with them, unless somebody else needs them
    #[arg(long, requires = "purge", conflicts_with = "stacks")]
    purge_packages: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "uninstall")?;
    if !arguments.stacks.is_empty() {
        super::installed_stacks(&host, &arguments.stacks)?;
    }
    if !arguments.stacks.is_empty() && !is_all(&host, &arguments.stacks) {
        let request = Request {
            source: Source::Without {
                names: arguments.stacks.clone(),
                purge: arguments.purge,
            },
            ..Request::default()
        };
        let consent = Consent {
            yes: arguments.yes,
            dry_run: false,
        };
        return carry_out(&host, &request, consent, printer);
    }
    if !arguments.yes {
        let question = if arguments.purge {
            "Remove everything Tavern made, data included?"
        } else {
            "Remove what Tavern made, keep the data?"
        };
        may(printer, question, "not uninstalled")?;
    }
    let purge = Purge {
        data: arguments.purge,
        packages: arguments.purge_packages,
    };
    everything(&host, purge, printer)
}

/// Whether no stack would stay.
fn is_all(host: &Host, named: &[String]) -> bool {
    super::installed_stacks(host, &[]).is_ok_and(|stacks| {
        let mut names = stacks.iter().map(|stack| stack.name.to_string());
        names.all(|name| named.contains(&name))
    })
}

/// Removes all that Tavern made.
pub(super) fn everything(host: &Host, purge: Purge, printer: &Printer) -> Answer {
    // It always finishes: a closed terminal or Ctrl-C would leave half a host.
    let _caught = Events::catch()?;
    let left = Engine::new(host, printer).uninstall(purge)?;
    left.notes
        .iter()
        .for_each(|note| printer.out(&format!("note: {note}")));
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
