use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::prior::Prior;
use super::receipt::Entry;
use super::{Engine, EngineError};
use crate::model::Mode;
use crate::resource::{Action, Owner, PathState, Resource, ResourceId, SecretKind};

/// The version of the journal's form that this build writes.
const VERSION: u32 = 2;

/// What a run is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// The host becomes what its stack files say.
    Install,
    /// The host becomes what an older generation's stack files say.
    Rollback {
        /// That generation.
        to: u64,
    },
    /// What differs from the applied generation is put back.
    Revert,
    /// A certificate is renewed, and nothing else.
    Renew {
        /// Of this stack.
        stack: String,
    },
    /// A container is put back as the newest generation made it. It makes no generation, and nothing of it is undone:
    /// every step of it leads to what is wanted anyway.
    Mend {
        /// Docker's name for it.
        container: String,
    },
    /// Apps get a new signing key.
    RotateKeys {
        /// Those that were named; all if none was.
        apps: Vec<String>,
    },
    /// One entry of one list of a stack file changes, or one password.
    Amend {
        /// The command, without any secret.
        what: String,
    },
    /// Some stacks go, the others stay.
    UninstallStacks {
        /// Those that go.
        names: Vec<String>,
        /// Their data goes too.
        purge: bool,
    },
    /// What Tavern made goes.
    Uninstall {
        /// Data goes too.
        purge: bool,
        /// Packages go too.
        purge_packages: bool,
    },
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Install => "install",
            Self::Rollback { .. } => "rollback",
            Self::Revert => "drift --revert",
            Self::Renew { .. } => "cert renew",
            Self::Mend { .. } => "supervise",
            Self::RotateKeys { .. } => "secret rotate",
            Self::Amend { what } => what,
            Self::Uninstall { .. } | Self::UninstallStacks { .. } => "uninstall",
        })
    }
}

/// The first line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The version of the journal's form.
    pub version: u32,
    /// What the run is for.
    pub verb: Verb,
    /// The generation it makes.
    pub generation: u64,
    /// The host had no state of ours before.
    pub first: bool,
    /// The process that ran it.
    pub pid: u32,
    /// When it began, by the host's clock: for people, nothing is ordered by it.
    pub at: String,
}

/// One step, on disk before it is taken.
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

impl Record {
    /// Whether a signing key ends with it: no undo takes that back.
    pub(super) fn ends_a_key(&self) -> bool {
        let is_ring = matches!(&self.resource, Resource::Secret(secret) if secret.kind == SecretKind::KeyRing);
        is_ring && self.action == Action::Replace
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Begin(Begin),
    Step(Box<Record>),
    /// The step was taken. Written with the line that follows it: a step is safe to repeat and to undo.
    Done {
        id: ResourceId,
    },
    /// All is made and proven. What follows only removes what no stack asks for.
    Commit {
        /// What is still to be removed, and so in no generation's receipt.
        #[serde(default)]
        pending: Vec<Entry>,
    },
    /// The run failed, and is being undone.
    Abort {},
}

/// What a journal says of a run that did not end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Its first line; a journal of the first version has none.
    pub begin: Option<Begin>,
    pub(super) records: Vec<Record>,
    /// It is past the point from where it is finished, not undone.
    pub is_committed: bool,
    /// What it was about to remove then.
    pub(super) pending: Vec<Entry>,
}

impl Unfinished {
    /// What it was for, in words.
    pub fn what(&self) -> String {
        self.begin
            .as_ref()
            .map_or("a run".into(), |begin| begin.verb.to_string())
    }

    /// Whether it only put a container back.
    pub(super) fn is_mend(&self) -> bool {
        let begin = self.begin.as_ref();
        begin.is_some_and(|begin| matches!(begin.verb, Verb::Mend { .. }))
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut run = Self::default();
        // A last line without its end was never acted on: what it speaks of waits for the disk.
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end);
        let lines = bytes[..whole].split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Line::Begin(begin)) => run.begin = Some(begin),
                Ok(Line::Step(record)) => run.records.push(*record),
                Ok(Line::Done { .. }) => {}
                Ok(Line::Commit { pending }) => {
                    run.is_committed = true;
                    run.pending = pending;
                }
                Ok(Line::Abort {}) => run.is_committed = false,
                // The first version had bare records, and went forward from whatever was done.
                Err(_) => {
                    run.records.push(serde_json::from_slice(line)?);
                    run.is_committed = true;
                }
            }
        }
        Ok(run)
    }
}

/// The record of the run in progress. Its file exists only while a run is unfinished.
pub(super) struct Journal<'a> {
    engine: &'a Engine<'a>,
    /// The generation that the run makes.
    pub(super) generation: u64,
    done: Option<ResourceId>,
}

impl Journal<'_> {
    fn line(&mut self, line: &Line) -> Result<(), EngineError> {
        let done = self.done.take().map(|id| Line::Done { id });
        let mut bytes = Vec::new();
        for line in done.iter().chain([line]) {
            bytes.extend(serde_json::to_vec(line).map_err(|error| self.engine.damaged(&error))?);
            bytes.push(b'\n');
        }
        let files = &self.engine.host.files;
        Ok(files.append(&self.engine.journal_path(), &bytes, Mode(0o600))?)
    }

    /// What is about to be done.
    pub(super) fn step(&mut self, record: &Record) -> Result<(), EngineError> {
        self.line(&Line::Step(Box::new(record.clone())))
    }

    pub(super) fn done(&mut self, id: ResourceId) {
        self.done = Some(id);
    }

    pub(super) fn commit(&mut self, pending: Vec<Entry>) -> Result<(), EngineError> {
        self.line(&Line::Commit { pending })
    }
}

impl<'a> Engine<'a> {
    pub(super) fn journal_path(&self) -> PathBuf {
        self.layout.state.join("journal.jsonl")
    }

    /// To go on with the journal of a run that was killed.
    pub(super) fn reopen_journal(&'a self, generation: u64) -> Journal<'a> {
        Journal {
            engine: self,
            generation,
            done: None,
        }
    }

    pub(super) fn begin_journal(
        &'a self,
        verb: Verb,
        generation: u64,
        first: bool,
    ) -> Result<Journal<'a>, EngineError> {
        let mut journal = Journal {
            engine: self,
            generation,
            done: None,
        };
        journal.line(&Line::Begin(Begin {
            version: VERSION,
            verb,
            generation,
            first,
            pid: std::process::id(),
            at: self.host.clock.now_text(),
        }))?;
        // What a cut-off uninstall left of itself ends where something is begun anew.
        self.host.files.remove_tree(&self.doomed())?;
        Ok(journal)
    }
}

impl Engine<'_> {
    /// Says in the journal that the run is being undone: whoever comes after a kill goes on with that.
    pub(super) fn note_abort(&self) -> Result<(), EngineError> {
        let mut journal = Journal {
            engine: self,
            generation: 0,
            done: None,
        };
        journal.line(&Line::Abort {})
    }

    /// Cuts off the line that a killed run had begun to write: the next one would run on from it, and neither
    /// could be read.
    pub(super) fn cut_torn_line(&self) -> Result<(), EngineError> {
        let path = self.journal_path();
        let bytes = self.host.files.read(&path)?.unwrap_or_default();
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = end.map_or(0, |end| end + 1);
        if whole == bytes.len() {
            return Ok(());
        }
        let files = &self.host.files;
        Ok(files.write(&path, &bytes[..whole], Mode(0o600), &Owner::root())?)
    }

    /// Keeps the journal of a run that is over with the generation that it made.
    pub(super) fn archive_journal(&self, generation: u64) -> Result<(), EngineError> {
        let journal = self.journal_path();
        if self.host.files.state(&journal)? == PathState::Absent {
            return Ok(());
        }
        let kept = self.generation_dir(generation).join("journal.jsonl");
        Ok(self.host.files.rename(&journal, &kept)?)
    }

    /// The run never was, or is recorded elsewhere.
    pub(super) fn close_journal(&self) -> Result<(), EngineError> {
        Ok(self.host.files.remove(&self.journal_path())?)
    }

    /// An uninstall that was cut off while it removed its own records.
    fn last_of_an_uninstall(&self) -> Option<Unfinished> {
        let files = &self.host.files;
        // With a state of its own, a later run has begun anew.
        let is_cut_off = files.exists(&self.doomed()) && !files.exists(&self.layout.state);
        is_cut_off.then(|| Unfinished {
            begin: Some(Begin {
                version: VERSION,
                verb: Verb::Uninstall {
                    purge: true,
                    purge_packages: false,
                },
                generation: 0,
                first: false,
                pid: 0,
                at: "earlier".to_owned(),
            }),
            ..Unfinished::default()
        })
    }

    /// The run that did not end, if there is one.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn unfinished(&self) -> Result<Option<Unfinished>, EngineError> {
        let Some(bytes) = self.host.files.read(&self.journal_path())? else {
            return Ok(self.last_of_an_uninstall());
        };
        #[derive(Deserialize)]
        struct Head {
            begin: Version,
        }
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let first = bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        if let Ok(Head { begin }) = serde_json::from_slice(first)
            && begin.version > VERSION
        {
            return Err(self.too_new(&self.journal_path(), begin.version, VERSION));
        }
        Unfinished::read(&bytes)
            .map(Some)
            .map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &serde_json::Error) -> EngineError {
        EngineError::Receipt {
            path: self.journal_path().display().to_string(),
            reason: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = r#"{"action":"create","resource":{"type":"group","name":"g"},"prior":"absent","restarts":[]}"#;

    fn read(text: &str) -> Unfinished {
        Unfinished::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_run_is_committed_between_its_commit_and_its_abort() {
        let step = format!("{{\"step\":{GROUP}}}\n");
        assert!(!read(&step).is_committed);
        assert!(read(&format!("{step}{{\"commit\":{{}}}}\n")).is_committed);
        assert!(!read(&format!("{step}{{\"commit\":{{}}}}\n{{\"abort\":{{}}}}\n")).is_committed);
        // A line that did not reach the disk whole.
        assert!(!read(&format!("{step}{{\"commit\":{{}}}}")).is_committed);
        assert_eq!(read(&step).records.len(), 1);
    }

    #[test]
    fn a_journal_of_the_first_version_is_gone_on_with() {
        let run = read(&format!("{GROUP}\n{GROUP}\n"));
        assert!(run.is_committed && run.begin.is_none());
        assert_eq!(run.records.len(), 2);
        assert!(Unfinished::read(b"junk\n").is_err());
    }
}
