use std::path::PathBuf;

use clap::Args;
use std::process::ExitCode;

use super::backup::moment;
use super::cert::pass_on_trust;
use super::change::{may, said, settled};
use super::{Answer, Failure, Printer, check, installed_stacks, require_host};
use crate::backup::Backups;
use crate::engine::Engine;
use crate::host::{Events, Host, raise_open_files};
use crate::stack::Stack;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl restore                      the newest backup of the only stack\n  \
                        sudo tavernctl restore 8f1c2d3e             another one, of `tavernctl backup list`\n  \
                        sudo tavernctl restore --key old-host.key   of a host that is gone, with the key it showed at its install\n\n\
                        The backup is fetched, compared with its hashes and counted in a throw-away container before\n\
                        anything is touched; what is there is saved as a safety copy. The site answers, the API with 503,\n\
                        while it is swapped in. If any of it fails, all is as it was."
)]
pub(super) struct Arguments {
    /// The backup; the newest if none is named
    id: Option<String>,
    /// Of this stack; needed where more than one has backups
    #[arg(long)]
    stack: Option<String>,
    /// A file with the key of the host that made it; it becomes this host's
    #[arg(long)]
    key: Option<PathBuf>,
    /// Restore without asking
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "restore")?;
    raise_open_files();
    let stack = the_stack(&host, arguments.stack.as_deref())?;
    let engine = Engine::new(&host, printer);
    if engine.open_exchange()?.is_some()
        && let Some(recovered) = engine.recover(false)?
    {
        printer.note(&said(&recovered));
    }
    let fetching = Backups::new(&engine);
    let key = arguments.key.as_deref();
    let restorable = fetching.restorable(&stack, arguments.id.as_deref(), key)?;
    printer.note(&format!(
        "\nBackup {} of stack {}, made {}:",
        restorable.name(),
        stack.name,
        moment(restorable.at())
    ));
    for line in restorable.contents() {
        printer.note(&format!("  {line}"));
    }
    printer
        .note("It takes the place of what is there now, of which a safety copy is made first.\n");
    if !arguments.yes
        && let Err(refused) = may(printer, "Restore it?", "not restored")
    {
        fetching.leave(restorable)?;
        return Err(refused);
    }
    // From here on a signal puts back what was there.
    let events = Events::catch()?;
    let is_stop_wanted = || events.is_stop_wanted();
    let engine = Engine {
        is_stop_wanted: &is_stop_wanted,
        ..Engine::new(&host, printer)
    };
    let backups = Backups::new(&engine);
    backups.restore(&stack, &restorable)?;
    pass_on_trust(&engine, printer);
    printer.out(&format!(
        "{}: backup {} restored.",
        stack.name,
        restorable.name()
    ));
    printer.out(
        "Keys, accounts and ended sessions are as they were then: `sudo tavernctl secret rotate --at-once` has \
         everybody log in again.",
    );
    let report = settled(&host, &installed_stacks(&host, &[stack.name.to_string()])?);
    if report.exit_code() == 0 {
        printer.out("All checks passed.");
        return Ok(ExitCode::SUCCESS);
    }
    printer.out(&check::shown(&report, printer));
    Err(Failure::new(
        "restored, but not healthy: see the table above",
        "mend what it names, then `sudo tavernctl check`; the safety copy is in `sudo tavernctl backup list`",
    ))
}

fn the_stack(host: &Host, asked: Option<&str>) -> Result<Stack, Failure> {
    let names: Vec<String> = asked.map(str::to_owned).into_iter().collect();
    let mut stacks = installed_stacks(host, &names)?;
    if asked.is_none() {
        stacks.retain(|stack| stack.backup.is_some());
    }
    let known: Vec<String> = stacks.iter().map(|stack| stack.name.to_string()).collect();
    match (stacks.pop(), stacks.is_empty()) {
        (Some(stack), true) => Ok(stack),
        (None, _) => Err(Failure::new(
            "no stack of this host has backups",
            "add `[backup]` with the `to` of the backup to its stack file, then `sudo tavernctl install`",
        )),
        (Some(_), false) => Err(Failure::new(
            "more than one stack has backups",
            format!("add `--stack`: one of {}", known.join(", ")),
        )),
    }
}
