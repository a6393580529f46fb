//! The snapshot as it lies there: read when it is another one, taken apart into what changes all the time and what
//! changes by the minute.
#![allow(
    clippy::disallowed_methods,
    reason = "a unit of its own: it reads the one file that it is for, and has no host adapter"
)]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::charts::Charts;

/// The version of the snapshot that this build shows.
const VERSION: u64 = 1;
/// A longer one is not the supervisor's.
const LONGEST: u64 = 8 * 1024 * 1024;
/// The supervisor writes at least every half minute.
pub(super) const STALE: u64 = 90;

/// What is shown, as JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// What changes all the time; `null` as long as there is nothing.
    pub(super) now: Arc<str>,
    /// 90 days, and the last hour.
    pub(super) history: Arc<str>,
}

pub(super) struct Feed {
    path: PathBuf,
    shown: watch::Sender<Shown>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Which file was read: its inode, time and length.
    seen: Option<(u64, i64, i64, u64)>,
    /// When the supervisor wrote it.
    time: u64,
    charts: Charts,
    days: Value,
    edition: u64,
    trouble: Option<String>,
}

impl Feed {
    pub(super) fn new(path: PathBuf) -> Self {
        let nothing = Shown {
            now: "null".into(),
            history: "null".into(),
        };
        Self {
            path,
            shown: watch::Sender::new(nothing),
            inner: Mutex::default(),
        }
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// Why what is shown is not what is so.
    pub(super) fn trouble(&self) -> Option<String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let old = seconds().saturating_sub(inner.time);
        // Always the same words: each other one would be news.
        let stale = || "tavernd has written nothing for more than a minute".to_owned();
        let trouble = inner.trouble.clone();
        trouble.or_else(|| (old > STALE).then(stale))
    }

    /// Reads the snapshot if it is another one.
    pub(super) fn look(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match self.read(&mut inner) {
            Ok(None) => {}
            Ok(Some(shown)) => {
                inner.trouble = None;
                self.shown.send_replace(shown);
            }
            Err(trouble) => {
                // What was read last stays: its time says how old it is.
                inner.trouble = Some(trouble);
                inner.seen = None;
            }
        }
    }

    fn read(&self, inner: &mut Inner) -> Result<Option<Shown>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let file = File::open(&self.path).map_err(failed)?;
        let data = file.metadata().map_err(failed)?;
        let seen = (data.ino(), data.mtime(), data.mtime_nsec(), data.len());
        if inner.seen == Some(seen) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(LONGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > LONGEST {
            return Err("the snapshot is too long".to_owned());
        }
        let shown = inner.take(&bytes)?;
        inner.seen = Some(seen);
        Ok(Some(shown))
    }
}

impl Inner {
    fn take(&mut self, bytes: &[u8]) -> Result<Shown, String> {
        let mut snapshot: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| format!("the snapshot: {error}"))?;
        let version = snapshot.get("version").and_then(Value::as_u64);
        if version != Some(VERSION) {
            return Err(format!(
                "the snapshot is of version {}, and this page shows {VERSION}: `sudo tavernctl install`",
                version.unwrap_or_default()
            ));
        }
        let time = snapshot.get("time").and_then(Value::as_u64);
        self.time = time.unwrap_or_default();
        let days = snapshot.remove("days").unwrap_or_default();
        let sites = snapshot.get("sites");
        let is_new = self.charts.take(self.time, sites) || days != self.days;
        self.days = days;
        // Another number for another start too: its charts begin anew.
        self.edition = match (is_new, self.edition) {
            (_, 0) => seconds() << 16,
            (true, edition) => edition + 1,
            (false, edition) => edition,
        };
        let edition = self.edition;
        snapshot.insert("edition".to_owned(), edition.into());
        let history =
            json!({"edition": edition, "days": self.days, "charts": self.charts.to_json()});
        Ok(Shown {
            now: Value::Object(snapshot).to_string().into(),
            history: history.to_string().into(),
        })
    }
}

pub(super) fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
