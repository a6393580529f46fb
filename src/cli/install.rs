use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::image::{self, Wish};
use super::{Answer, FOUND, Failure, Printer, check, require_host};
use crate::check::Report;
use crate::engine::{Engine, Installed, Proposal};
use crate::host::{Events, Host};
use crate::model::{HostPattern, Layout};
use crate::plan::{self, Diffs};
use crate::stack::Stack;

/// How long a new site may take until everything is healthy.
const SETTLING: Duration = Duration::from_secs(15);

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl install              show the plan, ask, apply, check\n  \
                        sudo tavernctl install --yes        for cloud-init and scripts\n  \
                        sudo tavernctl install --adopt      take over a host that was set up by hand\n  \
                        sudo tavernctl install --root DIR   prepare an image; its first boot's install finishes it"
)]
pub(super) struct Arguments {
    /// Stacks that must be among those of this host; all are applied together
    stacks: Vec<String>,
    /// Apply without asking
    #[arg(long, short)]
    yes: bool,
    /// Show the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// Take over what somebody else set up; its data is kept, uninstall gives it back
    #[arg(long)]
    adopt: bool,
    /// Prepare the image in DIR, a mounted or unpacked root file system, and touch nothing of this host
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    if let Some(root) = &arguments.root {
        let wish = Wish {
            root,
            stacks: &arguments.stacks,
            adopt: arguments.adopt,
        };
        return image::install(&wish, arguments.yes, arguments.dry_run, printer);
    }
    let host = Host::real();
    require_host(&host, "install")?;
    let engine = Engine::new(&host, printer);
    let proposal = engine.propose(&arguments.stacks, arguments.adopt)?;
    if proposal.finishes {
        printer.note("an earlier run did not end; this one finishes it");
    }
    if arguments.dry_run {
        printer.out(&shown(&proposal, Diffs::All));
        return Ok(ExitCode::from(if proposal.plan.is_empty() {
            0
        } else {
            FOUND
        }));
    }
    if !proposal.plan.is_empty() && !arguments.yes {
        printer.note(&shown(&proposal, Diffs::OfChanges));
        agree(printer, &proposal)?;
    }
    if engine.is_settled(&proposal)? {
        printer.out("Nothing to change.");
        return Ok(ExitCode::SUCCESS);
    }
    // From here on a signal ends the run between two steps: what was begun is undone, not left.
    let events = Events::catch()?;
    let is_stop_wanted = || events.is_stop_wanted();
    let engine = Engine {
        is_stop_wanted: &is_stop_wanted,
        ..engine
    };
    let agreed = (!arguments.yes).then_some(&proposal.plan);
    let installed = engine.install(agreed, &arguments.stacks, arguments.adopt)?;
    if proposal.plan.is_empty() {
        printer.out("Nothing to change.");
        return Ok(ExitCode::SUCCESS);
    }
    finish(&host, &proposal, &installed, printer)
}

pub(super) fn shown(proposal: &Proposal, diffs: Diffs) -> String {
    if proposal.plan.is_empty() {
        "Nothing to change.\n".to_owned()
    } else {
        plan::render(&proposal.plan, diffs)
    }
}

pub(super) fn agree(printer: &Printer, proposal: &Proposal) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "nobody can be asked: standard input is no terminal",
            "add `--yes` to apply this plan",
        ));
    }
    let steps = proposal.plan.steps.len();
    if printer.ask(&format!("Apply these {steps} changes?")) {
        Ok(())
    } else {
        Err(Failure::new("not applied", "nothing was changed"))
    }
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
fn settled(host: &Host, stacks: &[Stack]) -> Report {
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
        let name = match stack.hosts.first() {
            Some(HostPattern::Any) | None => host.net.addresses().first().map_or_else(
                || "localhost".to_owned(),
                |address| match address {
                    std::net::IpAddr::V6(v6) => format!("[{v6}]"),
                    std::net::IpAddr::V4(v4) => v4.to_string(),
                },
            ),
            Some(host) => host.to_string(),
        };
        for site in &stack.sites {
            text.push_str(&format!("  https://{name}{}\n", site.path));
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
