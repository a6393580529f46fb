use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Answer, Failure, Printer, require_host};
use crate::engine::{CertificateReport, Engine, RenewRequest, Renewal, RenewalOutcome};
use crate::host::{Events, Host, raise_open_files};
use crate::stack::{Issuer, Stack};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl cert show            who signed what, and for how long\n  \
                        sudo tavernctl cert renew           order new certificates now\n  \
                        sudo tavernctl cert renew --due     only those whose time has come; tavern-renew.timer does it twice a day\n  \
                        sudo tavernctl cert revoke shop     its key was seen by others: take it back, and order another\n  \
                        sudo tavernctl cert trust           issuer local-ca: this machine and your browsers trust it\n  \
                        sudo tavernctl cert export >ca.pem  for the other machines\n\n\
                        Exit codes: 0 done, 1 error; the certificate in use stays."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Who signed each stack's certificate, for which names, and for how long
    Show(Show),
    /// Make or order new certificates, and have nginx serve them
    Renew(Renew),
    /// Have the ACME authority take a certificate back, and order another
    Revoke(Revoke),
    /// Have this machine and its browsers trust the CA of this host
    Trust(Trust),
    /// Print the certificate of the CA of this host, for other machines to trust
    Export,
}

#[derive(Args)]
struct Show {
    /// Of these stacks; of all if none is named
    stacks: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Renew {
    /// Of these stacks; of all if none is named
    stacks: Vec<String>,
    /// Only those whose time has come
    #[arg(long)]
    due: bool,
}

#[derive(Args)]
struct Revoke {
    /// The stack
    stack: String,
}

#[derive(Args)]
struct Trust {
    /// Take it back
    #[arg(long)]
    uninstall: bool,
    /// Whose browsers; without it, of whoever called sudo
    #[arg(long, env = "SUDO_USER", hide_env_values = true)]
    user: Option<String>,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "cert")?;
    raise_open_files();
    let events = Events::catch()?;
    let is_stop_wanted = || events.is_stop_wanted();
    let engine = Engine {
        is_stop_wanted: &is_stop_wanted,
        ..Engine::new(&host, printer)
    };
    match &arguments.verb {
        Verb::Show(show) => {
            let reports = engine.certificates(&show.stacks)?;
            if show.json {
                printer.json(&reports);
            } else {
                printer.out(&shown(&reports));
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Renew(renew) => {
            let renewals = engine.renew(&RenewRequest {
                stacks: renew.stacks.clone(),
                force: !renew.due,
            })?;
            pass_on_trust(&engine, printer);
            told(&renewals, printer)
        }
        Verb::Revoke(revoke) => {
            let renewals = engine.revoke(&revoke.stack)?;
            printer.out(&format!("{}: revoked", revoke.stack));
            told(&renewals, printer)
        }
        Verb::Trust(trust) => {
            let report = if trust.uninstall {
                engine.distrust()?
            } else {
                let user = trust.user.as_deref();
                let home = user.and_then(|user| Some((user, host.accounts.home(user)?)));
                engine.trust(home.as_ref().map(|(user, home)| (*user, home.as_path())))?
            };
            for line in &report.done {
                printer.out(line);
            }
            if report.failed.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            Err(Failure::new(
                report.failed.join("\n"),
                "mend that, then run it again: what is done stays done, and the rest is tried again",
            ))
        }
        Verb::Export => {
            printer.out(engine.local_ca()?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// After an install: asks the authorities of those stacks that have one, where it is time. What is installed serves
/// in any case, and the timer tries again.
pub(super) fn order_first(engine: &Engine<'_>, stacks: &[Stack], printer: &Printer) {
    let with_authority = stacks
        .iter()
        .filter(|stack| matches!(stack.issuer, Issuer::Acme(_)));
    let request = RenewRequest {
        stacks: with_authority.map(|stack| stack.name.to_string()).collect(),
        force: false,
    };
    if request.stacks.is_empty() {
        return;
    }
    match engine.renew(&request) {
        Ok(renewals) => {
            for renewal in &renewals {
                if !matches!(renewal.outcome, RenewalOutcome::NotDue { .. }) {
                    printer.note(&format!("certificate of {}", line(renewal)));
                }
            }
        }
        Err(error) => printer.note(&format!("note: no certificate was ordered: {error}")),
    }
}

/// A CA that was made anew for another name goes to those who trust it. Nothing else depends on it: what fails is said.
pub(super) fn pass_on_trust(engine: &Engine<'_>, printer: &Printer) {
    match engine.refresh_trust() {
        Ok(report) => {
            for line in report.done {
                printer.note(&format!("the CA was made anew: {line}"));
            }
            for line in report.failed {
                printer.note(&format!(
                    "note: {line}; `sudo tavernctl cert trust` tries again"
                ));
            }
        }
        Err(error) => printer.note(&format!(
            "note: who trusts the CA was not told of the new one: {error}"
        )),
    }
}

/// What became of each, and whether all is well.
fn told(renewals: &[Renewal], printer: &Printer) -> Answer {
    let failed: Vec<_> = renewals
        .iter()
        .filter(|renewal| matches!(renewal.outcome, RenewalOutcome::Failed { .. }))
        .collect();
    for renewal in renewals {
        printer.out(&line(renewal));
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(
        match failed.len() {
            1 => format!("the certificate of {} was not renewed", failed[0].stack),
            number => format!("{number} certificates were not renewed"),
        },
        "what is served stays as it is; `sudo tavernctl cert renew` tries again, and so does tavern-renew.timer",
    ))
}

/// A renewal in words.
fn line(renewal: &Renewal) -> String {
    let stack = &renewal.stack;
    match &renewal.outcome {
        RenewalOutcome::Renewed { reason } => format!("{stack}: renewed ({reason})"),
        RenewalOutcome::NotDue { at: Some(at) } => {
            format!("{stack}: not due before {}", at.date())
        }
        RenewalOutcome::NotDue { at: None } => format!("{stack}: nothing to renew"),
        RenewalOutcome::Held { how } => {
            format!("{stack}: not renewed: everything is {how} (`sudo tavernctl hold --end`)")
        }
        RenewalOutcome::Paused { until, error } => {
            format!("{stack}: failed, not tried again before {until}: {error}")
        }
        RenewalOutcome::Failed { error, help } => {
            let help = help.as_deref().unwrap_or("the one in use stays");
            format!("{stack}: failed: {error}\n  help: {help}")
        }
    }
}

fn shown(reports: &[CertificateReport]) -> String {
    let mut text = String::new();
    for report in reports {
        text.push_str(&format!("{}\n", report.stack));
        let mut row = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("  {name:<12} {value}\n"));
            }
        };
        row("issuer", &report.issuer);
        row(
            "signed by",
            report.signed_by.as_deref().unwrap_or("nobody yet"),
        );
        row("names", &report.names.join(", "));
        if let (Some(from), Some(to), Some(days)) =
            (&report.not_before, &report.not_after, report.days_left)
        {
            row("life", &format!("{from} to {to}, {days} days left"));
        }
        row("serial", report.serial.as_deref().unwrap_or_default());
        row(
            "served",
            match report.is_served {
                Some(true) => "yes",
                Some(false) => "no: nginx shows another one (`systemctl reload nginx`)",
                None => "",
            },
        );
        row("next", report.next.as_deref().unwrap_or_default());
        row("error", report.error.as_deref().unwrap_or_default());
        row("help", report.help.as_deref().unwrap_or_default());
    }
    text.trim_end().to_owned()
}
