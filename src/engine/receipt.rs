use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::{self, Unread};
use super::generations::json;
use super::prior::Prior;
use super::{Engine, EngineError};
use crate::model::Mode;
use crate::plan::{Knowledge, Orphan, Plan};
use crate::resource::{Image, Owner, Resource, ResourceId};

/// The version of the receipt's form that this build writes.
const VERSION: u32 = 2;

/// What Tavern made on this host, and what was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The version of this form.
    pub version: u32,
    /// Counts the runs that changed something.
    pub generation: u64,
    /// In the order they were made.
    pub entries: Vec<Entry>,
    /// What must restart because a run died before it did.
    #[serde(default)]
    pub owed: BTreeSet<ResourceId>,
    /// The images that runs brought to this host and that are still on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// The receipt before it was lost, or a run could not be undone in full: blobs that it does not speak of may be
    /// all that is left of somebody's file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spares_blobs: bool,
}

/// A resource of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub id: ResourceId,
    /// As it was applied.
    pub resource: Resource,
    /// What was there before the first time.
    pub prior: Prior,
}

impl Default for Receipt {
    fn default() -> Self {
        Self {
            version: VERSION,
            generation: 0,
            entries: Vec::new(),
            owed: BTreeSet::new(),
            images: Vec::new(),
            spares_blobs: false,
        }
    }
}

impl Receipt {
    /// Notes that a resource was applied. The first prior is the one that counts, with what was set aside later.
    pub(super) fn record(&mut self, mut resource: Resource, prior: Prior) {
        let id = resource.id();
        match self.entries.iter_mut().find(|entry| entry.id == id) {
            Some(entry) => {
                entry.prior.absorb(prior, &resource);
                if let (Resource::Opening(now), Resource::Opening(earlier)) =
                    (&mut resource, &entry.resource)
                {
                    now.absorb(earlier);
                }
                if let (Resource::Image(now), Resource::Image(earlier), Prior::Absent) =
                    (&resource, &entry.resource, &entry.prior)
                    && now.pin != earlier.pin
                    && !self.images.contains(earlier)
                {
                    self.images.push(earlier.clone());
                }
                entry.resource = resource;
            }
            None => self.entries.push(Entry {
                id,
                resource,
                prior,
            }),
        }
    }

    /// Notes an image that a run got, unless it was on this host under another name.
    pub(super) fn note_brought(&mut self, image: &Image, before: &BTreeSet<String>) {
        let id = image.pin.as_ref().and_then(|pin| pin.id.as_ref());
        if id.is_some_and(|id| !before.contains(id)) && !self.images.contains(image) {
            self.images.push(image.clone());
        }
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&mut self, id: &ResourceId) {
        self.entries.retain(|entry| entry.id != *id);
    }

    /// Itself as it will be when the plan's removals are done, and what they will have removed.
    pub(super) fn split(&self, plan: &Plan) -> (Self, Vec<Entry>) {
        let leaves = |entry: &Entry| {
            let mut steps = plan.steps.iter().filter(|step| step.after_commit);
            steps.any(|step| step.id == entry.id)
        };
        let (pending, entries) = self.entries.iter().cloned().partition(leaves);
        let recorded = Self {
            entries,
            ..self.clone()
        };
        (recorded, pending)
    }

    /// What it has of a resource's name.
    pub(super) fn entry(&self, resource: &Resource) -> Option<&Entry> {
        let id = resource.id();
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// Whether it knows all that is to be known of a resource.
    pub(super) fn knows(&self, resource: &Resource) -> bool {
        self.entry(resource)
            .is_some_and(|entry| match (&entry.resource, resource) {
                (Resource::Opening(known), Resource::Opening(wanted)) => known.covers(wanted),
                (known, wanted) => known == wanted,
            })
    }

    /// What a plan needs to know, given what is wanted now.
    pub(super) fn knowledge(&self, wanted: &BTreeSet<ResourceId>, adopt: bool) -> Knowledge {
        let orphans = self
            .entries
            .iter()
            .rev()
            .filter(|entry| !wanted.contains(&entry.id) && !entry.resource.is_data())
            .filter(|entry| match &entry.resource {
                Resource::Package(_) => false,
                // sshd may only be stopped for now.
                Resource::Opening(opening) => !opening.is_way_in(),
                _ => true,
            })
            .map(|entry| Orphan {
                resource: entry.resource.clone(),
                edited: Vec::new(),
                first: false,
            })
            .collect();
        let applied = self.entries.iter();
        Knowledge {
            renewed: std::collections::BTreeMap::new(),
            applied: applied
                .map(|entry| (entry.id.clone(), entry.resource.clone()))
                .collect(),
            owed: self.owed.clone(),
            orphans,
            insisted: BTreeSet::new(),
            adopt,
        }
    }
}

impl Engine<'_> {
    pub(super) fn receipt_path(&self) -> PathBuf {
        self.layout.state.join("receipt.json")
    }

    /// The host's receipt; an empty one if there is none.
    ///
    /// # Errors
    /// When it is damaged or of a newer version.
    pub fn receipt(&self) -> Result<Receipt, EngineError> {
        let path = self.receipt_path();
        let Some(bytes) = self.host.files.read(&path)? else {
            // Lost: the newest generation has a copy.
            return match self.generations()?.last() {
                Some(newest) => self.generation_receipt(*newest),
                None => Ok(Receipt::default()),
            };
        };
        self.read_receipt(&path, &bytes)
    }

    pub(super) fn read_receipt(&self, path: &Path, bytes: &[u8]) -> Result<Receipt, EngineError> {
        let receipt: Receipt =
            format::read(bytes, VERSION).map_err(|unread| self.unread(path, &unread))?;
        Ok(Receipt {
            version: VERSION,
            ..receipt
        })
    }

    pub(super) fn unread(&self, path: &Path, unread: &Unread) -> EngineError {
        match unread {
            Unread::TooNew { found, known } => self.too_new(path, *found, *known),
            Unread::Damaged(error) => EngineError::Receipt {
                path: path.display().to_string(),
                reason: error.to_string(),
            },
        }
    }

    pub(super) fn too_new(&self, path: &Path, found: u32, known: u32) -> EngineError {
        EngineError::NotReady {
            what: format!(
                "{} is of version {found}, and this tavernctl knows {known} at most",
                path.display(),
            ),
            help: "a newer tavernctl set up this host: use that one, or one newer still".into(),
        }
    }

    pub(super) fn save_receipt(&self, receipt: &Receipt) -> Result<(), EngineError> {
        let bytes = json(receipt)?;
        self.host
            .files
            .make_directory(&self.layout.state, Mode(0o700), &Owner::root())?;
        self.host
            .files
            .write(&self.receipt_path(), &bytes, Mode(0o600), &Owner::root())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Opening;

    fn opening(port: u16, public: bool, ssh: bool) -> Resource {
        Resource::Opening(Opening { port, public, ssh })
    }

    #[test]
    fn sshs_door_is_nobodys_orphan() {
        let mut receipt = Receipt::default();
        for resource in [
            opening(2222, false, true),
            opening(8080, true, false),
            opening(2200, false, false),
        ] {
            receipt.record(resource, Prior::Absent);
        }
        let orphans = receipt.knowledge(&BTreeSet::new(), false).orphans;
        let orphans: Vec<_> = orphans.into_iter().map(|orphan| orphan.resource).collect();
        assert_eq!(orphans, [opening(8080, true, false)]);
    }

    #[test]
    fn a_port_that_was_sshs_once_stays_so() {
        let mut receipt = Receipt::default();
        receipt.record(opening(2222, false, false), Prior::Absent);
        assert!(!receipt.knows(&opening(2222, false, true)));
        receipt.record(opening(2222, false, true), Prior::Present);
        receipt.record(opening(2222, true, false), Prior::Present);
        assert!(receipt.knows(&opening(2222, true, true)));
        assert_eq!(receipt.entries.len(), 1);
        assert_eq!(receipt.entries[0].prior, Prior::Absent);
    }
}
