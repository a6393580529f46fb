//! What every verb that changes the host does: propose, show, ask, apply, check.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{Answer, FOUND, Failure, Printer, cert, check, confirm};
use crate::check::{Report, unsaved};
use crate::engine::{Engine, Installed, Proposal, Recovered, Request};
use crate::host::{Events, Host, raise_open_files};
use crate::model::{HostPattern, Layout};
use crate::plan::{self, Diffs, Plan};
use crate::stack::{Access, Stack};

/// How long a new site may take until everything is healthy.
const SETTLING: Duration = Duration::from_secs(15);

/// How far to go, and whom to ask.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Consent {
    /// Apply without asking.
    pub(super) yes: bool,
    /// Show the plan and stop.
    pub(super) dry_run: bool,
}

/// Makes the host what is asked for.
pub(super) fn carry_out(
    host: &Host,
    request: &Request,
    consent: Consent,
    printer: &Printer,
) -> Answer {
    raise_open_files();
    let engine = Engine::new(host, printer);
    if !consent.dry_run
        && (engine.unfinished()?.is_some() || engine.open_exchange()?.is_some())
        && let Some(recovered) = engine.recover(false)?
    {
        printer.note(&said(&recovered));
    }
    if !consent.dry_run {
        engine.refuse_while_pending()?;
    }
    let proposal = engine.propose(request)?;
    if consent.dry_run {
        printer.out(&shown(&proposal.plan, Diffs::All));
        return Ok(ExitCode::from(if proposal.plan.is_empty() {
            0
        } else {
            FOUND
        }));
    }
    if engine.is_settled(&proposal)? {
        // A run that was killed may have got no further.
        cert::pass_on_trust(&engine, printer);
        printer.out(&shown(&proposal.plan, Diffs::OfChanges));
        return Ok(ExitCode::SUCCESS);
    }
    for line in unsaved(host, &proposal.stacks) {
        printer.note(&format!("note: {line}"));
    }
    if !proposal.plan.is_empty() {
        if consent.yes {
            printer.note(&overwritten(&proposal.plan));
        } else {
            printer.note(&shown(&proposal.plan, Diffs::OfChanges));
            agree(printer, &proposal)?;
        }
    }
    // From here on a signal ends the run between two steps: what was begun is undone, not left.
    let events = Events::catch()?;
    let is_stop_wanted = || events.is_stop_wanted();
    let engine = Engine {
        is_stop_wanted: &is_stop_wanted,
        ..engine
    };
    let agreed = (!consent.yes).then_some(&proposal.plan);
    let installed = engine.install(agreed, request)?;
    if proposal.plan.is_empty() {
        let number = installed.generation;
        printer.out(&format!(
            "Nothing to change; recorded as generation {number}."
        ));
    }
    if request.confirm_within.is_none() {
        // Also where nothing else changes, as from an authority's staging place to the real one.
        cert::order_first(&engine, &proposal.stacks, printer);
        cert::pass_on_trust(&engine, printer);
    }
    if proposal.plan.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if request.confirm_within.is_some() {
        confirm::note_pending(printer);
    }
    finish(host, &proposal, &installed, printer)
}

/// What became of a run that did not end, for a person.
pub(super) fn said(recovered: &Recovered) -> String {
    match recovered {
        Recovered::Undone { what } => {
            format!("an earlier run ({what}) did not end: it was undone (packages stay)")
        }
        Recovered::Finished { what } => {
            format!("an earlier run ({what}) did not end: it was past its commit, and is finished")
        }
        Recovered::SetAside { kept } => format!(
            "the journal of a run that did not end cannot be read, and is kept as {}; what the run had done stays",
            kept.display()
        ),
        Recovered::Uninstall { .. } => {
            "an earlier uninstall did not end: what it had not yet removed is still here".to_owned()
        }
    }
}

pub(super) fn shown(plan: &Plan, diffs: Diffs) -> String {
    let nothing = if plan.is_empty() {
        "Nothing to change.\n"
    } else {
        ""
    };
    plan::render(plan, diffs) + nothing
}

/// The steps that overwrite what a person edited, with what is lost, and those that wait.
pub(super) fn overwritten(plan: &Plan) -> String {
    let steps = plan.steps.iter();
    let edited = steps.filter(|step| !step.change.edited.is_empty());
    plan::render(
        &Plan {
            steps: edited.cloned().collect(),
            held: plan.held.clone(),
        },
        Diffs::OfChanges,
    )
}

/// Asks, where somebody can be asked.
pub(super) fn may(printer: &Printer, question: &str, refused: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "nobody can be asked: standard input is no terminal",
            "add `--yes` to go on without",
        ));
    }
    if printer.ask(question) {
        Ok(())
    } else {
        Err(Failure::new(refused, "nothing was changed"))
    }
}

pub(super) fn agree(printer: &Printer, proposal: &Proposal) -> Result<(), Failure> {
    let question = match proposal.plan.steps.len() {
        1 => "Apply this change?".to_owned(),
        steps => format!("Apply these {steps} changes?"),
    };
    may(printer, &question, "not applied")
}

fn finish(host: &Host, proposal: &Proposal, installed: &Installed, printer: &Printer) -> Answer {
    let report = settled(host, &proposal.stacks);
    printer.out(&summary(
        host,
        &proposal.stacks,
        installed,
        printer.is_terminal(),
    ));
    if report.exit_code() == 0 {
        printer.out("\nAll checks passed.");
        return Ok(ExitCode::SUCCESS);
    }
    printer.out(&check::shown(&report, printer));
    Err(Failure::new(
        "installed, but not healthy: see the table above",
        "mend what it names, then `sudo tavernctl check`; `sudo tavernctl uninstall` gives back what was there",
    ))
}

/// The verdict once everything has had time to come up: the last one after a bounded wait.
pub(super) fn settled(host: &Host, stacks: &[Stack]) -> Report {
    let begun = Instant::now();
    loop {
        let report = check::ask(host, stacks);
        if report.is_healthy() || begun.elapsed() > SETTLING {
            return report;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// What a person needs next. Passwords only for eyes: elsewhere, where they are kept.
fn summary(host: &Host, stacks: &[Stack], installed: &Installed, for_eyes: bool) -> String {
    let layout = Layout::system();
    let mut text = String::new();
    for stack in stacks {
        text.push_str(&format!("\nStack {} is up:\n", stack.name));
        let name = |site| match stack.host_of(site) {
            Some(HostPattern::Any) | None => host.net.addresses().first().map_or_else(
                || "localhost".to_owned(),
                |address| match address {
                    std::net::IpAddr::V6(v6) => format!("[{v6}]"),
                    std::net::IpAddr::V4(v4) => v4.to_string(),
                },
            ),
            Some(host) => host.to_string(),
        };
        let port = match stack.ports.first() {
            Some(port) if !stack.is_on_standard_port() => format!(":{port}"),
            _ => String::new(),
        };
        for site in &stack.sites {
            let is_private = site.access.as_ref().is_some_and(Access::is_for_this_host);
            let is_anywhere = matches!(stack.host_of(site), Some(HostPattern::Any) | None);
            // By its own address, the host is a stranger to itself.
            let name = if is_private && is_anywhere {
                "localhost".to_owned()
            } else {
                name(site)
            };
            let whose = if is_private {
                "   from this host itself"
            } else {
                ""
            };
            text.push_str(&format!("  https://{name}{port}{}{whose}\n", site.path));
        }
        text.push_str(&format!(
            "\nAccounts: {}\n",
            layout.passwords(&stack.name).display()
        ));
    }
    if for_eyes && !installed.accounts.is_empty() {
        text.push_str("They are shown this once:\n");
        for account in &installed.accounts {
            text.push_str(&format!(
                "  {:<14} {:<10} {}\n",
                account.opens, account.name, account.password
            ));
        }
    }
    text.push_str("\nNext:\n");
    text.push_str("  sudo tavernctl check              is everything well?\n");
    for app in stacks.iter().flat_map(|stack| {
        stack
            .apps
            .iter()
            .map(|app| Layout::unit_stem(&stack.name, &app.name))
    }) {
        text.push_str(&format!("  journalctl -u {app:<20} its log\n"));
    }
    for stack in stacks {
        text.push_str(&format!(
            "  {}   the stack; change it, then install again\n",
            layout.stack_file(&stack.name).display()
        ));
    }
    text.trim_end().to_owned()
}
