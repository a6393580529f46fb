//! Where a run's stacks come from: the host's stack files, a generation's, or the host's without some.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::amend::Amended;
use super::generations::Snapshot;
use super::journal::Verb;
use super::receipt::Receipt;
use super::stacks::{NamedStack, parse_stacks};
use super::{Engine, EngineError, Request};
use crate::model::Mode;
use crate::plan::Orphan;
use crate::resource::{Content, Desired, File, Keep, Owner, Resource, ResourceId, Rotation};
use crate::stack::Stack;

/// Where the stacks come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// The stack files of the host; if it has none, the default stack.
    #[default]
    Host,
    /// The stack files of an older generation, which become the host's.
    Generation(u64),
    /// The stack files of the newest generation, whatever the host's say now.
    Applied,
    /// As [`Source::Applied`], but nothing changes except the signing keys of apps.
    Rotated {
        /// Their names or aliases; all apps if there is none.
        apps: Vec<String>,
        /// What becomes of the keys before.
        rotation: Rotation,
    },
    /// The stack files of the host, with a change in one of them that becomes the host's.
    Amended(Amended),
    /// The stack files of the host but for those of these stacks, which are removed.
    Without {
        /// The stacks that go.
        names: Vec<String>,
        /// Their data goes too.
        purge: bool,
    },
}

impl Source {
    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::Host => Verb::Install,
            Self::Generation(to) => Verb::Rollback { to: *to },
            Self::Applied => Verb::Revert,
            Self::Rotated { apps, .. } => Verb::RotateKeys { apps: apps.clone() },
            Self::Amended(amended) => Verb::Amend {
                what: amended.what.clone(),
            },
            Self::Without { names, purge } => Verb::UninstallStacks {
                names: names.clone(),
                purge: *purge,
            },
        }
    }
}

/// What a source comes to.
pub(super) struct Wanted {
    pub(super) stacks: Vec<Stack>,
    pub(super) snapshot: Snapshot,
    /// The files of the snapshot, as things on the host.
    pub(super) files: Vec<Desired>,
    /// Those of them that are to be written over what is there.
    pub(super) insisted: BTreeSet<ResourceId>,
    /// What goes, though a receipt alone would keep it.
    pub(super) leaving: Vec<Orphan>,
}

impl Engine<'_> {
    pub(super) fn wanted(
        &self,
        request: &Request,
        legacy: bool,
        receipt: &Receipt,
    ) -> Result<Wanted, EngineError> {
        match &request.source {
            Source::Host => {
                let named = self.stacks(&request.asked, legacy)?;
                self.wanted_of(named, self.snapshot()?)
            }
            Source::Amended(amended) => self.wanted_amended(amended),
            Source::Generation(number) => self.wanted_of_generation(*number),
            Source::Rotated { .. } if receipt.generation == 0 => Err(EngineError::NotReady {
                what: "no stack is installed on this host".into(),
                help: "`sudo tavernctl install` sets up `counter`".into(),
            }),
            Source::Applied | Source::Rotated { .. } => {
                let snapshot = self.snapshot_of(receipt.generation)?;
                let named = parse_stacks(&self.generation_dir(receipt.generation), &snapshot)?;
                let mut wanted = self.wanted_of(named, snapshot)?;
                // The stack files may be ahead of what was applied: that is what the next install is for.
                wanted.files.clear();
                Ok(wanted)
            }
            Source::Without { names, purge } => self.wanted_without(names, *purge, receipt),
        }
    }

    pub(super) fn wanted_of(
        &self,
        named: Vec<NamedStack>,
        mut snapshot: Snapshot,
    ) -> Result<Wanted, EngineError> {
        for stack in &named {
            let name = format!("stacks/{}.toml", stack.stack.name);
            snapshot.files.insert(name, stack.source.clone());
        }
        Ok(Wanted {
            files: snapshot
                .files
                .iter()
                .map(|(name, bytes)| self.declaration(name, bytes).into())
                .collect(),
            stacks: named.into_iter().map(|named| named.stack).collect(),
            snapshot,
            insisted: BTreeSet::new(),
            leaving: Vec::new(),
        })
    }

    fn wanted_of_generation(&self, number: u64) -> Result<Wanted, EngineError> {
        let snapshot = self.snapshot_of(number)?;
        let named = parse_stacks(&self.generation_dir(number), &snapshot)?;
        let mut wanted = self.wanted_of(named, snapshot)?;
        wanted.insisted = wanted.files.iter().map(|file| file.resource.id()).collect();
        let now = self.snapshot()?;
        wanted.leaving = now
            .files
            .iter()
            .filter(|(name, _)| !wanted.snapshot.files.contains_key(*name))
            .map(|(name, bytes)| goes_first(self.declaration(name, bytes)))
            .collect();
        Ok(wanted)
    }

    fn wanted_without(
        &self,
        names: &[String],
        purge: bool,
        receipt: &Receipt,
    ) -> Result<Wanted, EngineError> {
        let (gone, stay): (Vec<_>, Vec<_>) = self
            .stacks(names, false)?
            .into_iter()
            .partition(|named| names.contains(&named.stack.name.to_string()));
        // What the others' files say by now is for an install to apply, not for this.
        let (stay, mut snapshot) = match self.snapshot_of(receipt.generation) {
            Ok(snapshot) => {
                let place = self.generation_dir(receipt.generation);
                let applied = parse_stacks(&place, &snapshot)?.into_iter();
                let stays = |named: &NamedStack| !names.contains(&named.stack.name.to_string());
                (applied.filter(stays).collect(), snapshot)
            }
            Err(_) => (stay, self.snapshot()?),
        };
        let mut leaving = Vec::new();
        for named in &gone {
            let name = format!("stacks/{}.toml", named.stack.name);
            snapshot.files.remove(&name);
            leaving.push(goes_first(self.declaration(&name, &named.source)));
        }
        let mut wanted = self.wanted_of(stay, snapshot)?;
        if purge {
            leaving.extend(self.data_of(&gone, &wanted.stacks, receipt)?);
        }
        wanted.leaving = leaving;
        Ok(wanted)
    }

    /// The data that only these stacks have, in the order of removal.
    fn data_of(
        &self,
        gone: &[NamedStack],
        stay: &[Stack],
        receipt: &Receipt,
    ) -> Result<Vec<Orphan>, EngineError> {
        let facts = crate::host::gather(self.host)?;
        let ids = |stacks: &[Stack]| -> Result<BTreeSet<ResourceId>, EngineError> {
            let desired = crate::expand::expand(stacks, &facts, &self.layout, &self.edge)?;
            Ok(desired.iter().map(|d| d.resource.id()).collect())
        };
        let gone: Vec<Stack> = gone.iter().map(|named| named.stack.clone()).collect();
        let (theirs, others) = (ids(&gone)?, ids(stay)?);
        let entries = receipt.entries.iter().rev().filter(|entry| {
            entry.resource.is_data() && theirs.contains(&entry.id) && !others.contains(&entry.id)
        });
        Ok(entries
            .map(|entry| Orphan {
                resource: entry.resource.clone(),
                edited: Vec::new(),
                first: false,
            })
            .collect())
    }

    /// A stack file or overlay: the owner's, made if it is missing.
    fn declaration(&self, name: &str, bytes: &[u8]) -> Resource {
        Resource::File(File {
            path: self.declaration_path(name),
            // An overlay has the text of a file that may be for few eyes only.
            mode: Mode(if name.starts_with("overlays/") {
                0o600
            } else {
                0o644
            }),
            owner: Owner::root(),
            content: Content::Text(String::from_utf8_lossy(bytes).into_owned()),
            keep: Keep::Seeded,
        })
    }

    fn declaration_path(&self, name: &str) -> PathBuf {
        self.layout.etc.join(name)
    }
}

fn goes_first(resource: Resource) -> Orphan {
    Orphan {
        resource,
        edited: Vec::new(),
        first: true,
    }
}
