//! One file a verb: arguments, one library call, the printed result and the exit code.

mod access;
mod alert;
mod allow;
mod amend;
mod app;
mod backup;
mod cert;
mod change;
mod check;
mod confirm;
mod diff;
mod drift;
mod generations;
mod hold;
mod image;
mod install;
mod logs;
mod monitor;
mod page;
mod password;
mod plan;
mod printer;
mod recover;
mod relay;
mod restore;
mod revert;
mod rollback;
mod secret;
mod serve;
mod status;
mod supervise;
mod tether;
mod top;
mod uninstall;
mod up;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::engine::{Engine, EngineError, Silent};
use crate::host::Host;
use crate::stack::Stack;

pub(crate) use printer::Printer;

#[derive(Parser)]
#[command(
    name = "tavernctl",
    version,
    about = "Turns a bare Debian or Ubuntu VM into a production web host described by one small file",
    after_help = "Examples:\n  sudo tavernctl install      set up the counter stack, or apply /etc/tavern/stacks/*.toml\n  \
                  tavernctl up                try the same stack in the foreground, without root or Docker\n  \
                  sudo tavernctl check        ask every part whether it is well\n\n\
                  Exit codes: 0 done or healthy, 2 changes or problems found, 1 error."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make this host what its stack files say
    Install(install::Arguments),
    /// Show what install would do, with diffs
    Plan(plan::Arguments),
    /// Ask every part of every stack whether it is well
    Check(check::Arguments),
    /// One screen: stacks, units, containers, certificates
    Status(status::Arguments),
    /// How the host fares, in a terminal, as it changes
    Top(top::Arguments),
    /// Restart apps without losing a request
    Restart(app::Arguments),
    /// Start apps: socket and service
    Start(app::Arguments),
    /// Stop apps: service and socket, so that no request starts them again
    Stop(app::Arguments),
    /// Leave apps and containers alone: nothing repairs or restarts them meanwhile
    Hold(hold::Arguments),
    /// Keep a change that was applied with `--confirm-within`
    Confirm(confirm::Arguments),
    /// Certificates: show, renew, revoke, trust
    Cert(cert::Arguments),
    /// Change who may see a site by their address
    Allow(allow::Arguments),
    /// Change who may log in, and their passwords
    User(user::Arguments),
    /// Say who may see a site, and why
    Access(access::Arguments),
    /// Alerts: send a test
    Alert(alert::Arguments),
    /// Logs of apps, nginx and containers, merged by time
    Logs(logs::Arguments),
    /// List the generations of this host
    Generations(generations::Arguments),
    /// Show how two generations differ
    Diff(diff::Arguments),
    /// Show what was changed by hand since it was applied
    Drift(drift::Arguments),
    /// Return the whole host to an older generation
    Rollback(rollback::Arguments),
    /// Keys that Tavern made: `secret rotate`
    Secret(secret::Arguments),
    /// Backups: make, list, try, and their key
    Backup(backup::Arguments),
    /// Bring a backup back
    Restore(restore::Arguments),
    /// Set right what a killed run or a damaged disk left
    Recover(recover::Arguments),
    /// Remove what Tavern made and give back what was there
    Uninstall(uninstall::Arguments),
    /// Run the stack in the foreground, as you, without root, Docker or systemd
    Up(up::Arguments),
    /// Keep containers as they were applied; this is what `tavernd.service` runs
    Supervise(supervise::Arguments),
    /// Run a built-in app; this is what an app's unit starts
    #[command(hide = true)]
    Serve(serve::Arguments),
    /// Follow the logs of the sites; this is what `tavern-monitor.service` starts
    #[command(hide = true)]
    Monitor(monitor::Arguments),
    /// Serve the status page; this is what `tavern-status.service` starts
    #[command(hide = true)]
    Page(page::Arguments),
    /// Pass numbers on to a Prometheus; this is what `tavern-metrics.service` starts
    #[command(hide = true)]
    Relay(relay::Arguments),
    /// Come back from a change that nobody confirmed; this is what `tavern-revert.service` starts
    #[command(hide = true)]
    Revert(revert::Arguments),
    /// Become a program that ends with its parent; `up` starts its children so
    #[command(hide = true)]
    Tether(tether::Arguments),
}

/// An error for a person: what is wrong and what to do.
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// The exit code: 1, or 130 after a signal.
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: Some(help.into()),
            code: 1,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self {
            message: error.to_string(),
            help: error.help(),
            code: if matches!(error, EngineError::Interrupted) {
                130
            } else {
                1
            },
        }
    }
}

impl From<crate::host::HostError> for Failure {
    fn from(error: crate::host::HostError) -> Self {
        Self {
            message: error.to_string(),
            help: error.help(),
            code: 1,
        }
    }
}

type Answer = Result<ExitCode, Failure>;

/// Exit code for changes planned, or problems found.
const FOUND: u8 = 2;

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let printer = Printer::new();
    let answer = match Arguments::try_parse_from(arguments()) {
        Ok(arguments) => dispatch(arguments.verb, &printer),
        Err(error) => {
            // clap prints help to stdout and faults to stderr, with its own colours.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 1 } else { 0 });
        }
    };
    answer.unwrap_or_else(|failure| {
        printer.failure(&failure);
        ExitCode::from(failure.code)
    })
}

/// The command line, with the names of the old host's own commands understood.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut given: Vec<_> = std::env::args_os().collect();
    let name = given.first().map(|arg| {
        std::path::Path::new(arg)
            .file_name()
            .unwrap_or_default()
            .to_owned()
    });
    match name.as_deref().and_then(|name| name.to_str()) {
        Some("check-flask") => given.splice(0..1, ["tavernctl", "check"].map(Into::into)),
        Some("restart-flask") => given.splice(0..1, ["tavernctl", "restart"].map(Into::into)),
        _ => return given,
    };
    given
}

fn dispatch(verb: Verb, printer: &Printer) -> Answer {
    let concerns_the_host = match &verb {
        Verb::Install(arguments) => !arguments.is_for_an_image(),
        Verb::Plan(arguments) => !arguments.is_for_an_image(),
        Verb::Recover(_)
        | Verb::Revert(_)
        | Verb::Supervise(_)
        | Verb::Up(_)
        | Verb::Serve(_)
        | Verb::Monitor(_)
        | Verb::Page(_)
        | Verb::Relay(_)
        | Verb::Tether(_) => false,
        _ => true,
    };
    if concerns_the_host {
        note_unfinished(printer);
    }
    if concerns_the_host && !matches!(verb, Verb::Confirm(_)) {
        confirm::note_pending(printer);
    }
    match verb {
        Verb::Install(arguments) => install::run(&arguments, printer),
        Verb::Plan(arguments) => plan::run(&arguments, printer),
        Verb::Check(arguments) => check::run(&arguments, printer),
        Verb::Status(arguments) => status::run(&arguments, printer),
        Verb::Top(arguments) => top::run(&arguments, printer),
        Verb::Restart(arguments) => app::run(&arguments, app::Act::Restart, printer),
        Verb::Start(arguments) => app::run(&arguments, app::Act::Start, printer),
        Verb::Stop(arguments) => app::run(&arguments, app::Act::Stop, printer),
        Verb::Hold(arguments) => hold::run(&arguments, printer),
        Verb::Confirm(arguments) => confirm::run(&arguments, printer),
        Verb::Revert(arguments) => revert::run(&arguments, printer),
        Verb::Cert(arguments) => cert::run(&arguments, printer),
        Verb::Allow(arguments) => allow::run(&arguments, printer),
        Verb::User(arguments) => user::run(&arguments, printer),
        Verb::Access(arguments) => access::run(&arguments, printer),
        Verb::Alert(arguments) => alert::run(&arguments, printer),
        Verb::Logs(arguments) => logs::run(&arguments, printer),
        Verb::Generations(arguments) => generations::run(&arguments, printer),
        Verb::Diff(arguments) => diff::run(&arguments, printer),
        Verb::Drift(arguments) => drift::run(&arguments, printer),
        Verb::Rollback(arguments) => rollback::run(&arguments, printer),
        Verb::Secret(arguments) => secret::run(&arguments, printer),
        Verb::Backup(arguments) => backup::run(&arguments, printer),
        Verb::Restore(arguments) => restore::run(&arguments, printer),
        Verb::Recover(arguments) => recover::run(&arguments, printer),
        Verb::Uninstall(arguments) => uninstall::run(&arguments, printer),
        Verb::Up(arguments) => up::run(&arguments, printer),
        Verb::Supervise(arguments) => supervise::run(&arguments),
        Verb::Serve(arguments) => serve::run(&arguments),
        Verb::Monitor(arguments) => monitor::run(&arguments),
        Verb::Page(arguments) => page::run(&arguments),
        Verb::Relay(arguments) => relay::run(&arguments),
        Verb::Tether(arguments) => tether::run(&arguments),
    }
}

/// Says that a run was killed, whatever was asked for.
fn note_unfinished(printer: &Printer) {
    let host = Host::real();
    let engine = Engine::new(&host, &Silent);
    if let Ok(Some(what)) = engine.open_exchange()
        && !engine.is_at_work()
    {
        printer.note(&format!(
            "note: {what} did not end: `sudo tavernctl recover` puts back what was there"
        ));
    }
    // Without root the journal cannot be read, and a run that is at work has one too.
    let run = match engine.unfinished() {
        Ok(Some(run)) => run,
        Err(error @ EngineError::Receipt { .. }) => {
            printer.note(&format!(
                "note: a run did not end, and its journal is damaged: {error}"
            ));
            return;
        }
        _ => return,
    };
    if engine.is_at_work() {
        return;
    }
    let (what, when) = (
        run.what(),
        run.begin
            .map_or(String::new(), |begin| format!(", begun {}", begin.at)),
    );
    let next = if run.is_committed {
        "it was past its commit: `sudo tavernctl recover` finishes it"
    } else {
        "`sudo tavernctl recover` undoes it"
    };
    printer.note(&format!("note: a run did not end ({what}{when}): {next}"));
}

/// Refuses to go on where the host cannot be managed: no root, or no systemd.
fn require_host(host: &Host, verb: &str) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            format!("`tavernctl {verb}` changes or reads the whole host and needs root"),
            format!("run `sudo tavernctl {verb}`; `tavernctl up` runs the same stack as you"),
        ));
    }
    if !host.systemd.is_booted() {
        return Err(Failure::new(
            format!("`tavernctl {verb}` needs a host that was booted with systemd"),
            "in a container or on a development machine, use `tavernctl up`",
        ));
    }
    Ok(())
}

/// The stacks of this host that were asked for; all if none were named.
fn installed_stacks(host: &Host, asked: &[String]) -> Result<Vec<Stack>, Failure> {
    let layout = crate::model::Layout::system();
    let all = crate::engine::load_stacks(host.files.as_ref(), &layout)?;
    if all.is_empty() {
        return Err(Failure::new(
            "no stack is installed on this host",
            "`sudo tavernctl install` sets up `counter`",
        ));
    }
    if let Some(unknown) = asked
        .iter()
        .find(|name| !all.iter().any(|s| s.stack.name.as_str() == name.as_str()))
    {
        let known = all.iter().map(|s| s.stack.name.to_string()).collect();
        return Err(EngineError::NoSuchStack {
            name: unknown.clone(),
            known,
        }
        .into());
    }
    let wanted =
        |stack: &Stack| asked.is_empty() || asked.iter().any(|name| name == stack.name.as_str());
    Ok(all
        .into_iter()
        .map(|named| named.stack)
        .filter(wanted)
        .collect())
}
