use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::prior::Prior;
use super::{Engine, EngineError, Receipt};
use crate::host::Files;
use crate::model::Mode;
use crate::resource::{Action, Resource, ResourceId};

/// One line of the journal, on disk before the step it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What is about to be done.
    pub(super) action: Action,
    /// To what.
    pub(super) resource: Resource,
    /// What is there now.
    pub(super) prior: Prior,
    /// What must restart afterwards.
    pub(super) restarts: Vec<ResourceId>,
}

/// The record of the run in progress. Its file exists only while a run is unfinished.
pub(super) struct Journal<'a> {
    files: &'a dyn Files,
    path: PathBuf,
}

impl Journal<'_> {
    /// Writes a record and waits for the disk.
    pub(super) fn write(&mut self, record: &Record) -> Result<(), EngineError> {
        let mut line = serde_json::to_vec(record).map_err(|error| EngineError::Receipt {
            path: self.path.display().to_string(),
            reason: error.to_string(),
        })?;
        line.push(b'\n');
        Ok(self.files.append(&self.path, &line, Mode(0o600))?)
    }
}

impl Engine<'_> {
    fn journal_path(&self) -> PathBuf {
        self.layout.state.join("journal.jsonl")
    }

    pub(super) fn open_journal(&self) -> Result<Journal<'_>, EngineError> {
        let path = self.journal_path();
        let files = self.host.files.as_ref();
        files.append(&path, b"", Mode(0o600))?;
        Ok(Journal { files, path })
    }

    /// The run is over: what it did is in the receipt.
    pub(super) fn close_journal(&self) -> Result<(), EngineError> {
        Ok(self.host.files.remove(&self.journal_path())?)
    }

    /// Whether an earlier run did not end.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn has_unfinished_run(&self) -> Result<bool, EngineError> {
        Ok(self.host.files.read(&self.journal_path())?.is_some())
    }

    /// The steps that a killed run began.
    pub(super) fn unfinished_records(&self) -> Result<Vec<Record>, EngineError> {
        let path = self.journal_path();
        let bytes = self.host.files.read(&path)?.unwrap_or_default();
        let mut records = Vec::new();
        // A last line without its end was never acted on: the step waits for the disk.
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end);
        for line in bytes[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            records.push(
                serde_json::from_slice(line).map_err(|error| EngineError::Receipt {
                    path: path.display().to_string(),
                    reason: error.to_string(),
                })?,
            );
        }
        Ok(records)
    }

    /// Takes the steps of a killed run into the receipt. The plan that follows is made from what the host really has.
    pub(super) fn fold_journal(&self, receipt: &mut Receipt) -> Result<(), EngineError> {
        if !self.has_unfinished_run()? {
            return Ok(());
        }
        for record in self.unfinished_records()? {
            receipt.take(record);
        }
        self.save_receipt(receipt)?;
        self.collect_blobs("", receipt)?;
        self.close_journal()
    }
}
