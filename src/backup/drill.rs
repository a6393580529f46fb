//! Whether the newest backup can be restored: only then does it count as good.

use super::journal::Priority;
use super::newest::newest;
use super::{BackupError, Backups, Snapshot};
use crate::model::{Saved, Tried};
use crate::stack::Stack;

/// What a drill found.
pub struct Drilled {
    /// The backup.
    pub id: String,
    /// Keys in its stores.
    pub keys: u64,
    /// Rows in its Postgres.
    pub rows: u64,
    /// Files that were compared.
    pub files: usize,
}

impl Backups<'_> {
    /// Restores the newest backup of a stack into throw-away containers, counts, and notes what came of it. With
    /// `all_data`, every byte of every backup is read as well.
    ///
    /// # Errors
    /// When it is not good: the record and the journal have it then.
    pub fn drill(&self, stack: &Stack, all_data: bool) -> Result<Drilled, BackupError> {
        let mut tried = None;
        let (alone, outcome) = match self.alone() {
            Ok(alone) => {
                let outcome = self.try_newest(stack, all_data, &mut tried);
                (Some(alone), outcome)
            }
            Err(error) => (None, Err(error)),
        };
        // What lies there without the lock is another's.
        let cleared = match alone {
            Some(_) => self.engine.host.files.remove_tree(&self.drill_place()),
            None => Ok(()),
        };
        let at = self.now();
        match &outcome {
            Ok(drilled) => {
                let made = tried.as_ref().map_or(at, |one| one.at().unix_timestamp());
                self.note(&stack.name, |record| {
                    record.good = Some(Saved {
                        id: drilled.id.clone(),
                        at: made,
                    });
                    record.drill = Some(Tried {
                        at,
                        id: Some(drilled.id.clone()),
                        fault: None,
                    });
                })?;
                let text = format!("backup {} of stack {} is good", drilled.id, stack.name);
                self.tell(
                    Priority::Notice,
                    "drill-passed",
                    &stack.name,
                    Some(&drilled.id),
                    &text,
                );
            }
            // It says nothing of any backup; one that is never tried is told by its age.
            Err(error) if error.is_another_at_work() => {
                let text = format!("the drill of stack {} was not tried: {error}", stack.name);
                self.tell(Priority::Error, "drill-failed", &stack.name, None, &text);
            }
            Err(error) => {
                let id = tried.map(|one| one.short_id);
                let text = format!("the drill of stack {} failed: {error}", stack.name);
                self.tell(
                    Priority::Error,
                    "drill-failed",
                    &stack.name,
                    id.as_deref(),
                    &text,
                );
                let fault = Some(error.to_string());
                let is_its_own = matches!(error, BackupError::Refused { .. });
                // The first error is the one to be told.
                let _ = self.note(&stack.name, |record| {
                    // It was good once, and is no longer; a full disk or a dead Docker says nothing of it.
                    let is_it = |good: &mut Saved| is_its_own && Some(&good.id) == id.as_ref();
                    record.good.take_if(is_it);
                    record.drill = Some(Tried { at, id, fault });
                });
            }
        }
        let drilled = outcome?;
        cleared?;
        Ok(drilled)
    }

    fn drill_place(&self) -> std::path::PathBuf {
        self.engine.layout.backups().join("drill")
    }

    fn try_newest(
        &self,
        stack: &Stack,
        all_data: bool,
        tried: &mut Option<Snapshot>,
    ) -> Result<Drilled, BackupError> {
        let restic = self.repository(stack, None)?;
        restic.open()?;
        restic.unlock()?;
        let record = self.record(&stack.name).unwrap_or_default();
        let found = newest(restic.snapshots()?, &record, self.now());
        let snapshot = found.ok_or_else(|| {
            BackupError::refused(
                format!("there is no backup at {} yet", restic.repository),
                "`sudo tavernctl backup now` makes one",
            )
        })?;
        *tried = Some(snapshot.clone());
        if all_data {
            self.engine.progress.begin("reading the whole repository");
            restic.check(true)?;
        }
        let laid = self.lay_out(stack, &restic, &snapshot, "drill")?;
        let found = self.count(stack, &laid)?;
        Ok(Drilled {
            id: snapshot.short_id,
            keys: found.keys,
            rows: found.rows,
            files: laid.manifest.files.len(),
        })
    }
}
