//! Backups: made with restic, tried in throw-away containers, and restored as one.
//!
//! A backup has a manifest that says of which stack it is and what must be found in it. It counts as good only after
//! it was restored and counted.

mod authority;
mod count;
mod drill;
mod error;
mod far;
mod journal;
mod layout;
mod manifest;
mod newest;
mod postgres;
mod proof;
mod redis;
mod restic;
mod restore;
mod room;
mod save;
mod snapshot;
mod sqlite;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::{Engine, EngineError, Lock};
use crate::model::{BackupRecord, Mode, Name};
use crate::resource::Owner;
use crate::stack::{Backup, Stack, Target};

pub use error::BackupError;
pub use manifest::Manifest;
pub use restic::Restic;
pub use restore::Restorable;
pub use snapshot::{Kind, Snapshot};

/// The longest that others are waited for.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Where backups are put together, tried and fetched, below the place of ours.
const PLACES: [&str; 5] = ["stage", "drill", "drill-data", "drill-cluster", "restore"];

/// The backups of a host's stacks.
pub struct Backups<'a> {
    engine: &'a Engine<'a>,
    /// How long another backup, or a run of the engine, is waited for.
    patience: Duration,
}

impl<'a> Backups<'a> {
    /// Through this engine.
    pub fn new(engine: &'a Engine<'a>) -> Self {
        Self {
            engine,
            patience: PATIENCE,
        }
    }

    /// The repository of a stack, with its own key or another.
    ///
    /// # Errors
    /// When the stack has no backups, or the access to its store cannot be read.
    pub fn repository(&self, stack: &Stack, key: Option<&Path>) -> Result<Restic<'a>, BackupError> {
        let backup = asked_for(stack)?;
        let layout = &self.engine.layout;
        let own = layout.backup_key(&stack.name);
        let key = key.map_or(own, Path::to_owned);
        if self.engine.host.files.read(&key)?.is_none() {
            return Err(BackupError::refused(
                format!("there is no key {}", key.display()),
                "`sudo tavernctl install` makes one; for backups of another host, `--key FILE` takes its",
            ));
        }
        Ok(Restic {
            processes: self.engine.host.processes.as_ref(),
            progress: self.engine.progress,
            repository: backup.to.repository(&stack.name),
            key,
            cache: layout.backups().join("cache"),
            access: self.access(stack, &backup.to)?,
        })
    }

    /// The variables that open the store, from the credential that the stack file names.
    fn access(&self, stack: &Stack, to: &Target) -> Result<Vec<(String, String)>, BackupError> {
        let Target::S3 { credentials, .. } = to else {
            return Ok(Vec::new());
        };
        let path = self
            .engine
            .layout
            .credential(&stack.name, credentials.as_str());
        let help = format!(
            "`sudo install -m 600 /dev/stdin {}` takes two lines: AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…",
            path.display()
        );
        let Some(bytes) = self.engine.host.files.read(&path)? else {
            return Err(BackupError::refused(
                format!("there is no {}", path.display()),
                help,
            ));
        };
        access(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
            BackupError::refused(format!("{} is not understood", path.display()), help)
        })
    }

    /// One backup, drill or restore at a time.
    fn alone(&self) -> Result<Lock, BackupError> {
        let lock = Lock::wait(&self.lock(), self.patience)?;
        self.clear()?;
        Ok(lock)
    }

    fn lock(&self) -> PathBuf {
        self.engine.layout.lock.with_extension("backup.lock")
    }

    /// What killed ones left lies open: credentials and data as they were.
    fn clear(&self) -> Result<(), BackupError> {
        self.engine.end_throw_aways()?;
        for name in PLACES {
            let path = self.engine.layout.backups().join(name);
            self.engine.host.files.remove_tree(&path)?;
        }
        Ok(())
    }

    /// Clears away what killed ones left, unless one is at work.
    ///
    /// # Errors
    /// When it stays.
    pub fn clear_leftovers(&self) -> Result<(), BackupError> {
        match Lock::take(&self.lock()) {
            Ok(_alone) => self.clear(),
            Err(EngineError::Locked { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of a stack's backups.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn record(&self, stack: &Name) -> Result<BackupRecord, BackupError> {
        let path = self.engine.layout.backup_record(stack);
        let Some(bytes) = self.engine.host.files.read(&path)? else {
            return Ok(BackupRecord::default());
        };
        BackupRecord::parse(&bytes).map_err(|reason| {
            BackupError::refused(
                format!("cannot read {}: {reason}", path.display()),
                "remove it: the next backup writes another",
            )
        })
    }

    fn note(
        &self,
        stack: &Name,
        change: impl FnOnce(&mut BackupRecord),
    ) -> Result<(), BackupError> {
        let mut record = self.record(stack)?;
        change(&mut record);
        self.make_private(&self.engine.layout.backups())?;
        let path = self.engine.layout.backup_record(stack);
        let files = &self.engine.host.files;
        Ok(files.write(&path, &record.to_bytes(), Mode(0o600), &Owner::root())?)
    }

    fn make_private(&self, path: &Path) -> Result<(), BackupError> {
        let files = &self.engine.host.files;
        Ok(files.make_directory(path, Mode(0o700), &Owner::root())?)
    }

    /// An empty directory of root's alone.
    fn fresh(&self, name: &str) -> Result<PathBuf, BackupError> {
        let path = self.engine.layout.backups().join(name);
        self.make_private(&self.engine.layout.backups())?;
        self.engine.host.files.remove_tree(&path)?;
        self.make_private(&path)?;
        Ok(path)
    }

    fn now(&self) -> i64 {
        self.engine.host.clock.now().unix_timestamp()
    }
}

/// What a stack asks for its backups.
fn asked_for(stack: &Stack) -> Result<&Backup, BackupError> {
    stack.backup.as_ref().ok_or_else(|| {
        BackupError::refused(
            format!("stack `{}` has no backups", stack.name),
            "add `[backup]` with `to = \"…\"` to its stack file, then `sudo tavernctl install`",
        )
    })
}

/// `NAME=value` lines, of names that restic's stores read.
fn access(text: &str) -> Option<Vec<(String, String)>> {
    const KNOWN: [&str; 4] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
    ];
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=')?;
        let name = name.trim();
        if !KNOWN.contains(&name) {
            return None;
        }
        found.push((name.to_owned(), value.trim().trim_matches('"').to_owned()));
    }
    let has = |name: &str| found.iter().any(|(known, _)| known == name);
    (has(KNOWN[0]) && has(KNOWN[1])).then_some(found)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod access_tests {
    use super::access;

    #[test]
    fn access_is_two_lines_and_nothing_strange() {
        let good = "# of the store\nAWS_ACCESS_KEY_ID=abc\nAWS_SECRET_ACCESS_KEY=\"d=f\"\n";
        let found = access(good).unwrap();
        assert_eq!(found[1].1, "d=f");
        for bad in [
            "",
            "AWS_ACCESS_KEY_ID=abc",
            "abc:def",
            "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\nLD_PRELOAD=/x",
        ] {
            assert!(access(bad).is_none(), "{bad}");
        }
    }
}
