use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::change::{Consent, carry_out};
use super::{Answer, FOUND, Failure, Printer, require_host};
use crate::engine::{Declared, Drift, Engine, Request, Silent, Source};
use crate::host::Host;
use crate::plan;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl drift                what differs from what was applied\n  \
                        sudo tavernctl drift --revert       put it back\n  \
                        sudo tavernctl drift --adopt        keep the edits: they become overlays, and survive every install\n\n\
                        Exit codes: 0 no drift, 2 drift, 1 error."
)]
pub(super) struct Arguments {
    /// Only the edits of these files, with --adopt
    #[arg(requires = "adopt")]
    paths: Vec<PathBuf>,
    /// Put back what was applied
    #[arg(long, conflicts_with = "adopt")]
    revert: bool,
    /// Keep edits of files as overlays of the stack, below /etc/tavern/overlays
    #[arg(long)]
    adopt: bool,
    /// With --revert or --adopt: do not ask
    #[arg(long, short)]
    yes: bool,
    /// As JSON
    #[arg(long, conflicts_with_all = ["revert", "adopt"])]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "drift")?;
    let consent = Consent {
        yes: arguments.yes,
        dry_run: false,
    };
    if arguments.revert {
        let request = Request {
            source: Source::Applied,
            ..Request::default()
        };
        return carry_out(&host, &request, consent, printer);
    }
    let engine = Engine::new(&host, &Silent);
    if arguments.adopt {
        return adopt(&host, arguments, consent, printer);
    }
    let drifts = engine.drift()?;
    if arguments.json {
        printer.json(&drifts);
    } else if drifts.is_empty() {
        printer.out("No drift: everything is as it was applied.");
    } else {
        printer.out(&text(&drifts));
        printer.note("`sudo tavernctl drift --revert` puts it back, `sudo tavernctl drift --adopt` keeps edits of files");
    }
    Ok(ExitCode::from(if drifts.is_empty() { 0 } else { FOUND }))
}

fn adopt(host: &Host, arguments: &Arguments, consent: Consent, printer: &Printer) -> Answer {
    let engine = Engine::new(host, &Silent);
    if !arguments.yes && !std::io::stdin().is_terminal() {
        // Before an overlay is written, not after.
        return Err(Failure::new(
            "nobody can be asked: standard input is no terminal",
            "add `--yes` to go on without",
        ));
    }
    let adopted = engine.adopt_drift(&arguments.paths)?;
    for path in &adopted.overlays {
        printer.out(&format!("kept in {}", path.display()));
    }
    for refused in &adopted.refused {
        printer.out(&format!("not kept: {refused}"));
    }
    if adopted.overlays.is_empty() {
        return if adopted.refused.is_empty() && arguments.paths.is_empty() {
            printer.out("No drift: there is nothing to keep.");
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::new(
                "no edit of a file was kept",
                "`tavernctl drift` shows what differs",
            ))
        };
    }
    if adopted.others > 0 {
        printer.out("Other edits are as they were: `sudo tavernctl install` would put them back, and takes this one up.");
        return Ok(ExitCode::SUCCESS);
    }
    // Declared and live agree by now but for nginx, which is told and proven.
    carry_out(host, &Request::default(), consent, printer)
}

fn text(drifts: &[Drift]) -> String {
    let mut text = String::new();
    for drift in drifts {
        let declared = match drift.declared {
            Declared::AsApplied => "declared as applied",
            Declared::Otherwise => "declared otherwise: the next install changes it anyway",
            Declared::Gone => "no longer declared: the next install removes it",
            Declared::Unknown => "the stack files cannot be read",
        };
        text.push_str(&format!(
            "{} {}  ({}; {declared})\n",
            drift.change.action.sign(),
            drift.id,
            drift.change.reason
        ));
        if let Some(diff) = &drift.change.diff {
            // The other way round than in a plan: what somebody did, not what would undo it.
            text.push_str(&plan::unified(&diff.after, &diff.before));
        }
    }
    text
}
