//! What a round begins with and leaves behind: in the store, or in memory while the disk takes nothing.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::alert::Outbox;
use super::health::Health;
use super::record::last;
use super::store::{Day, Store, StoreError};
use crate::engine::Engine;
use crate::model::Mode;
use crate::resource::Owner;

/// All that one round hands to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book {
    pub(super) health: Health,
    /// The boot that was.
    pub(super) boot: Option<String>,
    pub(super) outboxes: BTreeMap<String, Outbox>,
}

/// The door to the store, which may be damaged, or on a full disk.
pub(super) struct History<'e> {
    engine: &'e Engine<'e>,
    path: PathBuf,
    store: Option<Store>,
    error: Option<StoreError>,
    was_set_aside: bool,
}

impl<'e> History<'e> {
    pub(super) fn of(engine: &'e Engine<'e>) -> Self {
        Self {
            engine,
            path: engine.layout.state.join("health/history.redb"),
            store: None,
            error: None,
            was_set_aside: false,
        }
    }

    /// What the last round left.
    pub(super) fn read(&mut self) -> Book {
        // Newer than the store, which it takes the place of.
        let spare = self.engine.host.files.read(&self.spare()).ok().flatten();
        if let Some(book) = spare.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return book;
        }
        let book = self.with(Store::book);
        match book {
            Some(book) if !self.was_set_aside => book,
            // How it was is known from elsewhere, if not for how long.
            _ => Book {
                health: last(self.engine).unwrap_or_default(),
                ..Book::default()
            },
        }
    }

    /// Writes it down, if only in memory.
    pub(super) fn save(&mut self, book: &Book, answers: &[(String, Day)], today: u32) {
        let files = &self.engine.host.files;
        let saved = self.with(|store| store.save(book, answers, today));
        let spare = self.spare();
        if saved.is_some() {
            if files.exists(&spare) {
                let _ = files.remove(&spare);
            }
            return;
        }
        let bytes = serde_json::to_vec(book).unwrap_or_default();
        if let Err(error) = files.write(&spare, &bytes, Mode(0o600), &Owner::root()) {
            warn!(%error, "what this round found is known to no later one");
        }
    }

    /// The days that are known of every probe; none, while they cannot be read.
    pub(super) fn days(&mut self) -> BTreeMap<String, Vec<(u32, Day)>> {
        self.with(Store::days).unwrap_or_default()
    }

    /// Why it was not all written down.
    ///
    /// # Errors
    /// If it was not.
    pub(super) fn outcome(self) -> Result<(), StoreError> {
        self.error.map_or(Ok(()), Err)
    }

    /// Gone with the next boot, and with `tavernd`.
    fn spare(&self) -> PathBuf {
        self.engine.layout.run.with_file_name("tavernd/health.json")
    }

    /// Does something with the store. A damaged one is kept beside a new one, once.
    fn with<T>(&mut self, work: impl Fn(&Store) -> Result<T, StoreError>) -> Option<T> {
        let error = match self.attempt(&work) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if !error.is_damage() || self.was_set_aside || !self.set_aside(&error) {
            self.error.get_or_insert(error);
            return None;
        }
        match self.attempt(&work) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }

    fn attempt<T>(
        &mut self,
        work: impl Fn(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (path, kept) = (&self.path, self.store.take());
        // Much of what can be damaged is met by redb with a panic.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let store = kept.map_or_else(|| Store::open(path), Ok)?;
            let value = work(&store)?;
            Ok((store, value))
        }));
        // After an error it is opened anew.
        let (store, value) = done.unwrap_or_else(|_| Err(StoreError::damage(path)))?;
        self.store = Some(store);
        Ok(value)
    }

    fn set_aside(&mut self, error: &StoreError) -> bool {
        let kept = self.path.with_extension("redb.damaged");
        self.was_set_aside = true;
        match self.engine.host.files.rename(&self.path, &kept) {
            Ok(()) => {
                warn!(%error, "the history of health cannot be read: it is kept as {}, and begun anew", kept.display());
                true
            }
            Err(other) => {
                warn!(%error, %other, "the history of health cannot be read, nor put aside");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Finding, Verdict};
    use crate::engine::Silent;
    use crate::host::memory::{MemoryHost, Node};
    use crate::host::{Host, RealFiles};
    use crate::model::Layout;

    #[allow(clippy::disallowed_methods, reason = "a place for the store")]
    /// The store is on the real disk, the other files are in memory.
    fn place() -> (tempfile::TempDir, Host) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("health")).unwrap();
        let memory = MemoryHost::prepared();
        let spare = "/run/tavernd/state.json";
        memory.machine().tree.plant(spare, Node::file("{}"));
        (directory, memory.doors())
    }

    fn engine<'a>(directory: &tempfile::TempDir, host: &'a Host) -> Engine<'a> {
        let layout = Layout {
            state: directory.path().to_owned(),
            ..Layout::system()
        };
        Engine {
            layout,
            ..Engine::new(host, &Silent)
        }
    }

    fn book(boot: &str) -> Book {
        let finding = Finding {
            stack: None,
            subject: "disk /".into(),
            verdict: Verdict::Healthy,
            reason: "room".into(),
            took_ms: 1,
        };
        let mut health = Health::default();
        health.take(&[finding], 5);
        Book {
            health,
            boot: Some(boot.to_owned()),
            outboxes: BTreeMap::from([("web/mail".to_owned(), Outbox::default())]),
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "makes what is damaged")]
    fn damage_within_the_history_is_set_aside_too() {
        let (directory, host) = place();
        let files = Box::new(RealFiles);
        let host = Host { files, ..host };
        let engine = engine(&directory, &host);
        let mut history = History::of(&engine);
        let many: Vec<_> = (0..2000)
            .map(|n| (format!("probe {n}"), Day::default()))
            .collect();
        history.save(&book("1"), &many, 1000);
        history.outcome().unwrap();
        // The head stays as it is: it opens, and cannot be read.
        let path = directory.path().join("health/history.redb");
        let mut bytes = std::fs::read(&path).unwrap();
        let head = 4096.min(bytes.len());
        bytes[head..].fill(0xA5);
        std::fs::write(&path, bytes).unwrap();
        let mut history = History::of(&engine);
        let found = history.read();
        history.save(&book("2"), &many, 1001);
        history.outcome().unwrap();
        assert!(found == Book::default() || found == book("1"), "{found:?}");
        assert!(path.with_extension("redb.damaged").exists());
        let mut history = History::of(&engine);
        assert_eq!(history.read(), book("2"));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "takes the disk away")]
    fn where_the_disk_takes_nothing_the_next_round_knows_all_the_same() {
        let (directory, host) = place();
        let engine = engine(&directory, &host);
        let health = directory.path().join("health");
        let mut history = History::of(&engine);
        history.save(&book("1"), &[], 1000);
        history.outcome().unwrap();
        let away = directory.path().join("away");
        std::fs::rename(&health, &away).unwrap();
        let mut history = History::of(&engine);
        history.save(&book("2"), &[], 1000);
        assert!(history.outcome().is_err());
        let mut history = History::of(&engine);
        assert_eq!(history.read(), book("2"));
        // There is room again: what is newer wins, and memory holds nothing any more.
        std::fs::rename(&away, &health).unwrap();
        let mut history = History::of(&engine);
        assert_eq!(history.read(), book("2"));
        history.save(&book("3"), &[], 1000);
        history.outcome().unwrap();
        assert_eq!(History::of(&engine).read(), book("3"));
        assert!(
            !host
                .files
                .exists(&PathBuf::from("/run/tavernd/health.json"))
        );
    }
}
