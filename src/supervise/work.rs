//! Looks and mends, each on a thread of its own: Docker may take its time over one.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::cause::Cause;
use super::keeper::Message;
use super::step::{Event, Mended};
use super::watch::spawn;
use crate::engine::{Engine, EngineError, Silent};
use crate::host::{Host, HostError};
use crate::resource::{Container, Mend, Sight};

/// What of a log is read for why a process ended.
const LAST_LINES: u32 = 40;

/// A piece of work to be done.
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) container: Container,
    pub(super) work: Work,
}

/// What came of a piece of work.
pub(super) struct Done {
    pub(super) number: u64,
    /// About which container.
    pub(super) name: String,
    /// What the state machine is told.
    pub(super) event: Event,
    /// Why a mend failed.
    pub(super) error: Option<String>,
    /// Why its process ended, if it did.
    pub(super) cause: Option<Cause>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Look,
    Mend(Mend),
}

/// Begins it; its end is a message.
pub(super) fn begin(host: &Arc<Host>, order: Order, to: Sender<Message>) -> Result<(), HostError> {
    let host = Arc::clone(host);
    let Order {
        number,
        container,
        work,
    } = order;
    spawn(&container.name.clone(), move || {
        let engine = Engine::new(&host, &Silent);
        let mut cause = None;
        let (event, error) = match work {
            Work::Look => {
                let sight = match engine.glance(&container) {
                    // A run that is under way makes it so, and has not written it down yet.
                    Sight::Changed if engine.is_at_work() => Sight::Loading,
                    sight => sight,
                };
                if matches!(sight, Sight::Restarting | Sight::Stopped) {
                    cause = why_it_ended(&host, &container.name);
                }
                (Event::Seen(sight), None)
            }
            Work::Mend(from) => match engine.mend(&container.name, from) {
                Ok(done) => (Event::Mended(Mended::Done(done)), None),
                Err(unmended) => {
                    let how = unmended.at.map_or(Mended::Busy, Mended::Failed);
                    (Event::Mended(how), Some(in_words(&unmended.error)))
                }
            },
        };
        // Nobody listens any more when it is to end.
        let _ = to.send(Message::Done(Done {
            number,
            name: container.name,
            event,
            error,
            cause,
        }));
    })
}

fn why_it_ended(host: &Host, name: &str) -> Option<Cause> {
    let found = host.docker.container(name).ok()??;
    let log = host.docker.logs(name, LAST_LINES).ok()?;
    Some(Cause::of(&log, found.exit_code, found.is_oom_killed))
}

fn in_words(error: &EngineError) -> String {
    match error.help() {
        Some(help) => format!("{error}: {help}"),
        None => error.to_string(),
    }
}
