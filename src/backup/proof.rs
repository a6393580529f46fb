//! Whether what was restored is there: counted while nobody but us is led to it, then asked once more.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::layout::LaidOut;
use super::manifest::Store;
use super::{BackupError, Backups};

/// How long a store may take until it answers.
const COMING_UP: Duration = Duration::from_secs(60);

impl Backups<'_> {
    /// What was saved is there, as far as the stores themselves say so. They still have the passwords of before.
    pub(super) fn count_live(
        &self,
        laid: &LaidOut,
        password: &str,
        seen: &RefCell<BTreeSet<String>>,
    ) -> Result<(), BackupError> {
        for store in &laid.manifest.stores {
            let Some(container) = laid.container(&store.container) else {
                continue;
            };
            let asked = self
                .session_with(password, container)
                .and_then(|mut session| session.lasting_keys());
            match asked {
                Ok(keys) => {
                    has_all(store, keys)?;
                    seen.borrow_mut().insert(store.container.clone());
                }
                // It may not know that password: it is counted when it knows the one that came.
                Err(error) => self.engine.progress.detail(&error.to_string()),
            }
        }
        // Their rows were counted in the throw-away one. Here whoever uses them may remove some at once.
        for cluster in &laid.manifest.clusters {
            let place = self.fresh("drill-data")?;
            for dump in &cluster.databases {
                self.answers(&cluster.container, &dump.name, &place)?;
            }
            self.engine.host.files.remove_tree(&place)?;
        }
        Ok(())
    }

    /// The stores let in whoever has the passwords that came. How many keys they have is no longer said: an app that
    /// starts forgets what has expired.
    pub(super) fn prove(&self, laid: &LaidOut, seen: &BTreeSet<String>) -> Result<(), BackupError> {
        for store in &laid.manifest.stores {
            let Some(container) = laid.container(&store.container) else {
                continue;
            };
            let begun = Instant::now();
            let keys = loop {
                let asked = self
                    .session(&laid.stack, container)
                    .and_then(|mut session| session.lasting_keys());
                match asked {
                    Err(_) if begun.elapsed() < COMING_UP => {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    asked => break asked?,
                }
            };
            if !seen.contains(&store.container) {
                has_all(store, keys)?;
            }
        }
        Ok(())
    }
}

/// The site is up: there may be more by now.
fn has_all(store: &Store, keys: u64) -> Result<(), BackupError> {
    if keys >= store.least {
        return Ok(());
    }
    Err(BackupError::refused(
        format!("{} has {keys} keys, not {}", store.container, store.least),
        "`sudo tavernctl backup list` shows the other backups",
    ))
}
