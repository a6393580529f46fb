use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use time::UtcOffset;
use time::macros::format_description;

use super::{Answer, Failure, Printer, installed_stacks, require_host};
use crate::backup::{BackupError, Backups, Kind, Snapshot};
use crate::engine::Engine;
use crate::host::{Host, raise_open_files};
use crate::model::{BackupRecord, Layout};
use crate::stack::Stack;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sudo tavernctl backup now             save every stack that has [backup]; tavern-backup.timer does it by the clock\n  \
                        sudo tavernctl backup list            what there is, and which of it is known to be good\n  \
                        sudo tavernctl backup verify          restore the newest into a throw-away container and count\n  \
                        sudo tavernctl backup key counter     the key, on a terminal: without it no backup can be read\n\n\
                        Exit codes: 0 done, 1 error. `tavernctl restore` brings one back."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a backup of each stack now
    Now(Stacks),
    /// List the backups of each stack
    List(List),
    /// Restore the newest backup of each stack into throw-away containers, and count
    Verify(Verify),
    /// Show the key of a stack's backups, on a terminal only
    Key(Key),
}

#[derive(Args, Default)]
struct Stacks {
    /// Of these stacks; of all that have backups if none is named
    stacks: Vec<String>,
}

#[derive(Args, Default)]
struct List {
    #[command(flatten)]
    of: Stacks,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Verify {
    #[command(flatten)]
    of: Stacks,
    /// Read every byte of every backup as well
    #[arg(long)]
    all_data: bool,
}

#[derive(Args)]
struct Key {
    /// The stack
    stack: String,
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Engine(error) => error.into(),
            BackupError::Host(error) => error.into(),
            BackupError::Refused { what, help } | BackupError::NoRoom { what, help } => {
                Self::new(what, help)
            }
        }
    }
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> Answer {
    let host = Host::real();
    require_host(&host, "backup")?;
    raise_open_files();
    let engine = Engine::new(&host, printer);
    let backups = Backups::new(&engine);
    match &arguments.verb {
        Some(Verb::Now(asked)) => each(&host, asked, printer, |stack| {
            let id = backups.save(stack)?;
            printer.out(&format!("{}: backup {id} made", stack.name));
            Ok(())
        }),
        Some(Verb::Verify(asked)) => each(&host, &asked.of, printer, |stack| {
            let drilled = backups.drill(stack, asked.all_data)?;
            let rows = match drilled.rows {
                0 => String::new(),
                rows => format!(" and {rows} rows"),
            };
            printer.out(&format!(
                "{}: backup {} is good: {} keys{rows}, {} files as they were saved",
                stack.name, drilled.id, drilled.keys, drilled.files
            ));
            Ok(())
        }),
        Some(Verb::List(asked)) => list(&host, &backups, asked, printer),
        None => list(&host, &backups, &List::default(), printer),
        Some(Verb::Key(asked)) => key(&host, &asked.stack, printer),
    }
}

/// The stacks that were asked for; without names, those that have backups.
fn asked_for(host: &Host, asked: &Stacks) -> Result<Vec<Stack>, Failure> {
    let mut stacks = installed_stacks(host, &asked.stacks)?;
    if asked.stacks.is_empty() {
        stacks.retain(|stack| stack.backup.is_some());
    }
    if stacks.is_empty() {
        return Err(Failure::new(
            "no stack of this host has backups",
            "add `[backup]` with `to = \"…\"` to a stack file, then `sudo tavernctl install`",
        ));
    }
    Ok(stacks)
}

/// Each stack; one that fails stops no other.
fn each(
    host: &Host,
    asked: &Stacks,
    printer: &Printer,
    work: impl Fn(&Stack) -> Result<(), BackupError>,
) -> Answer {
    let mut failed: Option<Failure> = None;
    for stack in asked_for(host, asked)? {
        if let Err(error) = work(&stack)
            && let Some(earlier) = failed.replace(error.into())
        {
            printer.failure(&earlier);
        }
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

#[derive(Serialize)]
struct Listed {
    stack: String,
    id: String,
    made: String,
    kind: &'static str,
    good: bool,
}

fn list(host: &Host, backups: &Backups<'_>, asked: &List, printer: &Printer) -> Answer {
    let mut rows = Vec::new();
    let mut text = String::new();
    for stack in asked_for(host, &asked.of)? {
        let repository = backups.repository(&stack, None)?;
        let record = backups.record(&stack.name)?;
        repository.open()?;
        text.push_str(&format!("{}  {}\n", stack.name, repository.place()));
        for snapshot in repository.snapshots()? {
            let Some(kind) = snapshot.kind() else {
                continue;
            };
            let row = Listed {
                stack: stack.name.to_string(),
                id: snapshot.short_id.clone(),
                made: made(&snapshot),
                kind: match kind {
                    Kind::Regular => "backup",
                    Kind::Safety => "safety copy",
                },
                good: is_good(&record, &snapshot),
            };
            let good = if row.good {
                "  good: it was restored and counted"
            } else {
                ""
            };
            text.push_str(&format!("  {}  {}  {}{good}\n", row.id, row.made, row.kind));
            rows.push(row);
        }
    }
    if asked.json {
        printer.json(&rows);
    } else {
        printer.out(&text);
    }
    Ok(ExitCode::SUCCESS)
}

fn is_good(record: &BackupRecord, snapshot: &Snapshot) -> bool {
    let good = record.good.as_ref();
    good.is_some_and(|good| snapshot.id.starts_with(&good.id))
}

/// When it was made, as people read it.
pub(super) fn made(snapshot: &Snapshot) -> String {
    moment(snapshot.at())
}

pub(super) fn moment(time: time::OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let time = time.to_offset(UtcOffset::UTC);
    time.format(form).unwrap_or_else(|_| time.to_string())
}

/// Only for eyes, and only on purpose.
fn key(host: &Host, stack: &str, printer: &Printer) -> Answer {
    let stacks = installed_stacks(host, &[stack.to_owned()])?;
    if !printer.is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            "the key is shown on a terminal only",
            "log in and run it there; who has the key and the repository has everything",
        ));
    }
    for stack in &stacks {
        let path = Layout::system().backup_key(&stack.name);
        let Some(bytes) = host.files.read(&path)? else {
            return Err(Failure::new(
                format!("stack `{}` has no key for backups", stack.name),
                "add `[backup]` to its stack file, then `sudo tavernctl install`",
            ));
        };
        let question = format!("Show the key of the backups of {} here?", stack.name);
        if !printer.ask(&question) {
            return Err(Failure::new(
                "not shown",
                "keep a copy away from this host: without it no backup can be read",
            ));
        }
        printer.out(String::from_utf8_lossy(&bytes).trim());
    }
    Ok(ExitCode::SUCCESS)
}
