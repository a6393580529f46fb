//! Databases of the owner's: a copy of one moment is saved, also while somebody writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::LaidOut;
use super::manifest::{Database, Manifest};
use super::{BackupError, Backups};
use crate::host::Invocation;
use crate::model::Mode;
use crate::resource::PathState;

/// What SQLite keeps beside a database. What belonged to another one would damage it.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How long a writer is waited for.
const PATIENCE: &str = ".timeout 60000";

/// How long a copy, or a look at all of it, may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// What changes places with a backup's databases.
pub(super) fn places(laid: &LaidOut) -> Vec<PathBuf> {
    let databases = laid.manifest.databases.iter();
    let with_beside = databases.flat_map(|one| {
        let beside = BESIDE.iter().map(|end| beside(&one.path, end));
        std::iter::once(one.path.clone()).chain(beside)
    });
    with_beside.collect()
}

/// Whether a path is one of those.
pub(super) fn is_place(laid: &LaidOut, path: &Path) -> bool {
    places(laid).iter().any(|place| place == path)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

impl Backups<'_> {
    /// Puts a copy of one moment beside the other files of a backup.
    pub(super) fn save_database(
        &self,
        path: &Path,
        number: usize,
        stage: &Path,
        manifest: &mut Manifest,
    ) -> Result<(), BackupError> {
        let PathState::File { mode, owner, .. } = self.engine.host.files.outline(path)? else {
            return Err(BackupError::refused(
                format!("{} is no file, and is to be saved", path.display()),
                "make it, or take it out of `sqlite` in `[backup]`",
            ));
        };
        self.engine
            .progress
            .begin(&format!("copying {}", path.display()));
        let file = format!("sqlite/{number}.db");
        let to = stage.join(&file);
        self.make_private(&stage.join("sqlite"))?;
        // Neither path has a quote: the one is ours, the other of the stack file's grammar.
        let copy = format!("VACUUM INTO '{}'", to.display());
        self.ask_sqlite(path, &copy)?;
        self.is_whole(&to, path)?;
        manifest.files.insert(file.clone(), self.sha256(&to)?);
        manifest.add(Database {
            path: path.to_owned(),
            file,
            mode,
            owner,
        });
        Ok(())
    }

    /// Whether the copy of a database is one, every page of it.
    pub(super) fn is_whole(&self, copy: &Path, of: &Path) -> Result<(), BackupError> {
        let said = self.ask_sqlite(copy, "PRAGMA integrity_check")?;
        if said.trim() == "ok" {
            return Ok(());
        }
        let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
        Err(BackupError::refused(
            format!("{} is damaged: {said}", of.display()),
            "SQLite's own `.recover` may get out what is left of it",
        ))
    }

    fn ask_sqlite(&self, path: &Path, statement: &str) -> Result<String, BackupError> {
        // Never made by being looked at. What the schema says is not carried out.
        let database = format!("file:{}?mode=rw", path.display());
        let args = [
            "-batch",
            "-bail",
            "-init",
            "/dev/null",
            "-cmd",
            PATIENCE,
            "-cmd",
            "PRAGMA trusted_schema=OFF",
            &database,
            statement,
        ];
        let ask = Invocation::new("sqlite3", &args).limit(LIMIT);
        let outcome = self.engine.host.processes.run(&ask)?;
        if outcome.success() {
            return Ok(outcome.stdout);
        }
        let said = outcome.stderr.chars().filter(|c| !c.is_control());
        let said: String = said.take(300).collect();
        Err(BackupError::refused(
            format!("{}: {said}", path.display()),
            "is it a SQLite database, and does nobody keep it locked?",
        ))
    }

    /// Lays out a database; nothing for what is beside it, which goes.
    pub(super) fn prepare_database(
        &self,
        laid: &LaidOut,
        live: &Path,
        ready: &Path,
    ) -> Result<(), BackupError> {
        let mut all = laid.manifest.databases.iter();
        let Some(database) = all.find(|one| one.path == live) else {
            return Ok(());
        };
        let from = laid.file(&database.file);
        let files = &self.engine.host.files;
        let mode = Mode(database.mode.0 & 0o777);
        Ok(files.copy(&from, ready, mode, &database.owner)?)
    }
}
