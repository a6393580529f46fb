//! Writes down for the status page what there is to show, while there is such a page. The page serves people; it reads
//! this file and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::snapshot::{Snapshot, Survey};
use super::watch::spawn;
use crate::engine::{Engine, Silent};
use crate::host::{Host, HostError};
use crate::model::Mode;
use crate::resource::{Owner, PathState};

const LOOK: Duration = Duration::from_secs(5);
/// What did not change is written all the same: whoever reads it is to know that somebody writes.
const BEAT: Duration = Duration::from_secs(30);

/// Writes on a thread of its own.
pub(super) fn begin(host: &Arc<Host>) -> Result<(), HostError> {
    let host = Arc::clone(host);
    spawn("scribe", move || {
        let mut scribe = Scribe::default();
        loop {
            scribe.look(&Engine::new(&host, &Silent));
            std::thread::sleep(LOOK);
        }
    })
}

/// Takes away what was written: the supervisor ends.
pub(super) fn end(host: &Host) {
    let engine = Engine::new(host, &Silent);
    let _ = host.files.remove(&engine.layout.status_snapshot());
}

#[derive(Default)]
struct Scribe {
    survey: Survey,
    written: Option<(Instant, Snapshot)>,
    is_failing: bool,
}

impl Scribe {
    fn look(&mut self, engine: &Engine<'_>) {
        let (files, place) = (&engine.host.files, engine.layout.status());
        // It is made with the page, and belongs to whom it is for.
        let Ok(PathState::Directory { owner, .. }) = files.state(&place) else {
            *self = Self::default();
            return;
        };
        let snapshot = self.survey.look(engine);
        let is_old = |at: &Instant| at.elapsed() >= BEAT;
        let is_news = match &self.written {
            Some((at, known)) => is_old(at) || !is_same(known, &snapshot),
            None => true,
        };
        if !is_news {
            return;
        }
        let bytes = serde_json::to_vec(&snapshot).unwrap_or_default();
        let written = files.write(
            &engine.layout.status_snapshot(),
            &bytes,
            Mode(0o640),
            &Owner::root_and(&owner.group),
        );
        match written {
            Ok(()) => {
                self.written = Some((Instant::now(), snapshot));
                self.is_failing = false;
            }
            Err(error) => {
                // Once: it is tried again every five seconds.
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!(%error, "the status page is not told");
                }
            }
        }
    }
}

/// Whether they differ in their time at most.
fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
    let mut one = one.clone();
    one.time = other.time;
    one == *other
}
