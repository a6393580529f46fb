//! What `allow` and `user` share: one change of a stack file or one password, applied and proven, and nothing else.

use std::process::ExitCode;

use super::change::{settled, shown};
use super::{Failure, Printer, check};
use crate::engine::{Amended, ChosenPassword, Engine, NamedStack, Request, Source, load_stacks};
use crate::host::{Events, Host, raise_open_files};
use crate::model::Layout;
use crate::plan::Diffs;
use crate::stack::{Amendment, NotAmended, Stack, amend};

impl From<NotAmended> for Failure {
    fn from(refused: NotAmended) -> Self {
        Self::new(refused.message, refused.help)
    }
}

/// What is to change.
pub(super) struct Change<'a> {
    /// The stack with its file.
    pub(super) named: &'a NamedStack,
    /// In the file.
    pub(super) amendment: Option<Amendment>,
    /// In the hashes.
    pub(super) chosen: Option<ChosenPassword>,
    /// The command, for the record.
    pub(super) what: String,
}

/// What came of it.
pub(super) enum Done {
    /// It was only shown.
    Shown(ExitCode),
    /// It is so.
    Applied(Box<Stack>),
}

/// The host's stacks with their files, or the one that was named.
pub(super) fn named_stacks(host: &Host, asked: Option<&str>) -> Result<Vec<NamedStack>, Failure> {
    super::installed_stacks(host, asked.map(ToOwned::to_owned).as_slice())?;
    let all = load_stacks(host.files.as_ref(), &Layout::system())?;
    let is_asked = |one: &NamedStack| asked.is_none_or(|name| one.stack.name.as_str() == name);
    Ok(all.into_iter().filter(is_asked).collect())
}

/// Applies it, and asks every part of the host afterwards.
pub(super) fn carry_out(
    host: &Host,
    change: Change<'_>,
    dry_run: bool,
    printer: &Printer,
) -> Result<Done, Failure> {
    let layout = Layout::system();
    let path = layout.stack_file(&change.named.stack.name);
    let before = change.named.source.clone();
    let text = match &change.amendment {
        Some(amendment) => amend(&path, &before, amendment)?,
        None => String::from_utf8_lossy(&before).into_owned(),
    };
    raise_open_files();
    let engine = Engine::new(host, printer);
    if engine.unfinished()?.is_some() {
        return Err(Failure::new(
            "a run did not end: nothing is changed on top of it",
            "`sudo tavernctl recover`, then run this again",
        ));
    }
    engine.refuse_while_pending()?;
    // One change, and not whatever else waits in the files or was changed by hand.
    let waiting = engine.propose(&Request::default())?.plan;
    if !waiting.is_empty() {
        return Err(Failure::new(
            format!(
                "{} other changes wait to be applied: {}",
                waiting.steps.len(),
                waiting.steps[0].id
            ),
            "`tavernctl plan` shows them; `sudo tavernctl install` applies them; then run this again",
        ));
    }
    let request = Request {
        source: Source::Amended(Amended {
            stack: change.named.stack.name.clone(),
            before,
            text,
            what: change.what,
        }),
        chosen: change.chosen,
        ..Request::default()
    };
    let proposal = engine.propose(&request)?;
    if dry_run {
        printer.out(&shown(&proposal.plan, Diffs::All));
        let code = if proposal.plan.is_empty() {
            0
        } else {
            super::FOUND
        };
        return Ok(Done::Shown(ExitCode::from(code)));
    }
    if let Some(held) = proposal.plan.held.first() {
        return Err(Failure::new(
            format!("{} is {}", held.step.id, held.held),
            "`sudo tavernctl hold --end`, then run this again",
        ));
    }
    let events = Events::catch()?;
    let is_stop_wanted = || events.is_stop_wanted();
    let engine = Engine {
        is_stop_wanted: &is_stop_wanted,
        ..engine
    };
    engine.install(Some(&proposal.plan), &request)?;
    let report = settled(host, &proposal.stacks);
    if report.exit_code() != 0 {
        printer.out(&check::shown(&report, printer));
        return Err(Failure::new(
            "applied, but not healthy: see the table above",
            "mend what it names, then `sudo tavernctl check`; `sudo tavernctl rollback` goes back",
        ));
    }
    let name = &change.named.stack.name;
    let stack = proposal
        .stacks
        .into_iter()
        .find(|stack| &stack.name == name)
        .unwrap_or_else(|| change.named.stack.clone());
    Ok(Done::Applied(Box::new(stack)))
}
