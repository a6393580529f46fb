//! Numbered, immutable records of what was applied: the stack files, and the receipt of what they made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format;
use super::journal::Verb;
use super::receipt::Receipt;
use super::{Engine, EngineError};
use crate::model::Mode;
use crate::resource::{Owner, PathState};

/// The version of the form of `about.json` that this build writes.
const VERSION: u32 = 1;

/// How many generations are kept.
pub(super) const KEPT: u64 = 30;

/// What a generation says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of this form.
    pub version: u32,
    /// Its number.
    pub generation: u64,
    /// When it was made, by the host's clock.
    pub at: String,
    /// By which kind of run.
    pub verb: Verb,
    /// By which tavernctl.
    pub tavernctl: String,
}

/// The files that say what the host is: stack files and overlays, by their path below `/etc/tavern`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `stacks/NAME.toml`, `overlays/NAME.toml`.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The folders of a snapshot.
pub(super) const FOLDERS: [&str; 2] = ["stacks", "overlays"];

impl Engine<'_> {
    fn generations_dir(&self) -> PathBuf {
        self.layout.state.join("generations")
    }

    pub(super) fn generation_dir(&self, generation: u64) -> PathBuf {
        self.generations_dir().join(generation.to_string())
    }

    fn new_generation_dir(&self) -> PathBuf {
        self.generations_dir().join(".new")
    }

    /// The numbers of the generations of this host, oldest first.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub fn generations(&self) -> Result<Vec<u64>, EngineError> {
        let paths = self.host.files.list(&self.generations_dir())?;
        let mut numbers: Vec<u64> = paths
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn next_generation(&self, receipt: &Receipt) -> Result<u64, EngineError> {
        // The receipt may have been lost.
        let newest = self.generations()?.into_iter().max().unwrap_or_default();
        Ok(newest.max(receipt.generation) + 1)
    }

    /// What a generation says of itself.
    ///
    /// # Errors
    /// When there is no such generation, or it cannot be read.
    pub fn about(&self, generation: u64) -> Result<About, EngineError> {
        let path = self.generation_dir(generation).join("about.json");
        let bytes = self.host.files.read(&path)?;
        let bytes = bytes.ok_or_else(|| self.no_generation(generation))?;
        format::read(&bytes, VERSION).map_err(|unread| self.unread(&path, &unread))
    }

    fn no_generation(&self, generation: u64) -> EngineError {
        let known = self.generations().unwrap_or_default();
        let help = match (known.first(), known.last()) {
            (Some(first), Some(last)) => {
                format!("this host has {first} to {last}: `tavernctl generations`")
            }
            _ => "this host has none: `sudo tavernctl install` makes the first".to_owned(),
        };
        EngineError::NotReady {
            what: format!("there is no generation {generation}"),
            help,
        }
    }

    /// The receipt as it was when a generation was made.
    ///
    /// # Errors
    /// When there is no such generation, or it cannot be read.
    pub fn generation_receipt(&self, generation: u64) -> Result<Receipt, EngineError> {
        let path = self.generation_dir(generation).join("receipt.json");
        let bytes = self.host.files.read(&path)?;
        let bytes = bytes.ok_or_else(|| self.no_generation(generation))?;
        self.read_receipt(&path, &bytes)
    }

    /// The stack files of a generation.
    ///
    /// # Errors
    /// When there is no such generation, or it cannot be read.
    pub fn snapshot_of(&self, generation: u64) -> Result<Snapshot, EngineError> {
        self.about(generation)?;
        self.snapshot_at(&self.generation_dir(generation))
    }

    /// The stack files of the host as they are now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, EngineError> {
        self.snapshot_at(&self.layout.etc)
    }

    fn snapshot_at(&self, place: &Path) -> Result<Snapshot, EngineError> {
        let files = &self.host.files;
        let mut snapshot = Snapshot::default();
        for folder in FOLDERS {
            for path in files.list(&place.join(folder))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with('.') || !name.ends_with(".toml") {
                    continue;
                }
                if let PathState::File { content, .. } = files.state(&path)? {
                    snapshot.files.insert(format!("{folder}/{name}"), content);
                }
            }
        }
        Ok(snapshot)
    }

    /// Writes a generation, whole or not at all.
    pub(super) fn write_generation(
        &self,
        verb: Verb,
        snapshot: &Snapshot,
        receipt: &Receipt,
    ) -> Result<(), EngineError> {
        let files = &self.host.files;
        let new = self.new_generation_dir();
        files.remove_tree(&new)?;
        for folder in FOLDERS {
            files.make_directory(&new.join(folder), Mode(0o700), &Owner::root())?;
        }
        for parent in [&self.generations_dir(), &new] {
            files.make_directory(parent, Mode(0o700), &Owner::root())?;
        }
        let write = |name: &str, bytes: &[u8]| {
            files.write(&new.join(name), bytes, Mode(0o600), &Owner::root())
        };
        for (name, bytes) in &snapshot.files {
            write(name, bytes)?;
        }
        let about = About {
            version: VERSION,
            generation: receipt.generation,
            at: self.host.clock.now_text(),
            verb,
            tavernctl: env!("CARGO_PKG_VERSION").to_owned(),
        };
        write("about.json", &json(&about)?)?;
        write("receipt.json", &json(receipt)?)?;
        let place = self.generation_dir(receipt.generation);
        files.remove_tree(&place)?;
        Ok(files.rename(&new, &place)?)
    }

    /// A run that was undone made no generation.
    pub(super) fn forget_generation(&self, generation: u64) -> Result<(), EngineError> {
        let files = &self.host.files;
        files.remove_tree(&self.new_generation_dir())?;
        files.remove_tree(&self.generation_dir(generation))?;
        files.remove_directory(&self.generations_dir())?;
        Ok(())
    }

    /// Removes the oldest, and the copies of edits that they overwrote.
    pub(super) fn collect_generations(&self, newest: u64) -> Result<(), EngineError> {
        self.host.files.remove_tree(&self.new_generation_dir())?;
        for old in self.generations()? {
            if old + KEPT <= newest {
                self.host.files.remove_tree(&self.generation_dir(old))?;
                self.host.files.remove_tree(&self.edited(old))?;
            }
        }
        Ok(())
    }
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, EngineError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| EngineError::Receipt {
        path: "a record".to_owned(),
        reason: error.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}
