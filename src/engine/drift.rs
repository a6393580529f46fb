//! Live beside applied beside declared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::overlays::overlay_name;
use super::prior::Prior;
use super::receipt::Receipt;
use super::{Engine, EngineError, Lock, Request, Source};
use crate::expand;
use crate::host::gather;
use crate::model::Mode;
use crate::resource::{
    Change, Claim, Content, Desired, NginxTree, Observed, Owner, PathState, Resource, ResourceId,
};
use crate::stack::Overlay;

/// A resource whose live state is not what was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The resource's name.
    pub id: ResourceId,
    /// What would put it back: its text is live before, applied after.
    #[serde(flatten)]
    pub change: Change,
    /// What the stack files say of it.
    pub declared: Declared,
    #[serde(skip)]
    applied: Resource,
    #[serde(skip)]
    live: Observed,
}

/// What the stack files say of a resource, beside what was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Declared {
    /// The same.
    AsApplied,
    /// Something else: the next install changes it.
    Otherwise,
    /// Nothing: the next install removes it.
    Gone,
    /// The stack files cannot be read.
    Unknown,
}

/// What became of hand edits that were to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Overlay files that were written.
    pub overlays: Vec<PathBuf>,
    /// What no overlay can express, with the reason.
    pub refused: Vec<String>,
    /// Edits that were not asked for, and are as they were: an install would put them back.
    pub others: usize,
}

impl Engine<'_> {
    /// Everything of ours whose live state is not what the newest generation applied.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn drift(&self) -> Result<Vec<Drift>, EngineError> {
        Lock::is_free(&self.layout.lock)?;
        self.drift_from(&self.receipt_as_if_recovered()?)
    }

    fn drift_from(&self, receipt: &Receipt) -> Result<Vec<Drift>, EngineError> {
        let applied: Vec<Desired> = receipt
            .entries
            .iter()
            .filter(|entry| entry.prior != Prior::Present)
            .map(|entry| entry.resource.clone().into())
            .collect();
        let observed = self.observe(&applied)?;
        let declared = self.declared();
        let mut drifts = Vec::new();
        for Desired { resource, .. } in applied {
            let id = resource.id();
            let Some(live) = observed.get(&id) else {
                continue;
            };
            // It is about what is there, not about what a new tavernctl would carry.
            if matches!(resource, Resource::Binary(_)) {
                continue;
            }
            if let Some(change) = resource.compare(live, Claim::Ours) {
                drifts.push(Drift {
                    declared: said(declared.as_ref(), &resource),
                    id,
                    change,
                    live: live.clone(),
                    applied: resource,
                });
            }
        }
        Ok(drifts)
    }

    fn declared(&self) -> Option<BTreeMap<ResourceId, Resource>> {
        let desired = self.declared_of(&Request::default()).ok()?;
        Some(
            desired
                .into_iter()
                .map(|item| (item.resource.id(), item.resource))
                .collect(),
        )
    }

    fn declared_of(&self, request: &Request) -> Result<Vec<Desired>, EngineError> {
        let wanted = self.wanted(request, false, &self.receipt()?)?;
        let facts = gather(self.host)?;
        let mut desired = expand::expand(&wanted.stacks, &facts, &self.layout, &self.edge)?;
        self.lay_over(&wanted.snapshot, &mut desired)?;
        desired.extend(wanted.files);
        Ok(desired)
    }

    /// Writes the overlays that keep hand edits. `only` names paths; all if it is empty. Nothing else is changed:
    /// the next install finds the host as declared.
    ///
    /// # Errors
    /// When another run holds the lock, or an overlay cannot be written.
    pub fn adopt_drift(&self, only: &[PathBuf]) -> Result<Adopted, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        self.refuse_while_pending()?;
        self.recover_locked(false)?;
        let mut receipt = self.receipt()?;
        let drifts = self.drift_from(&receipt)?;
        let bases = self.bases(&receipt)?;
        let mut owed = receipt.owed.clone();
        let earlier = self.overlays(&self.snapshot()?)?;
        let mut adopted = Adopted::default();
        for drift in &drifts {
            let edits = edits(drift);
            if edits.is_empty() && only.is_empty() {
                adopted.refused.push(format!(
                    "{}: {}: no edit of a file's text, mode or owner; change the stack, or put it back",
                    drift.id, drift.change.reason
                ));
            }
            for mut edit in edits {
                if !only.is_empty() && !only.contains(&edit.overlay.path) {
                    adopted.others += 1;
                    continue;
                }
                let Some(base) = bases.get(&edit.overlay.path) else {
                    adopted.refused.push(format!(
                        "{}: no stack declares it any more",
                        edit.overlay.path.display()
                    ));
                    continue;
                };
                if let Some(live) = &edit.text {
                    let path = edit.overlay.path.clone();
                    edit.overlay.edit = Overlay::between(path, &base.text, live).edit;
                }
                if let Some(earlier) = earlier.iter().find(|o| o.path == edit.overlay.path) {
                    edit.overlay.mode = edit.overlay.mode.or_else(|| earlier.mode.clone());
                    edit.overlay.owner = edit.overlay.owner.or_else(|| earlier.owner.clone());
                }
                // Whoever reads it may not have read it yet.
                owed.extend(base.restarts.iter().cloned());
                adopted.overlays.push(self.write_overlay(&edit.overlay)?);
            }
        }
        if owed != receipt.owed {
            receipt.owed = owed;
            self.save_receipt(&receipt)?;
        }
        Ok(adopted)
    }

    fn write_overlay(&self, overlay: &Overlay) -> Result<PathBuf, EngineError> {
        let files = &self.host.files;
        let file = self.layout.etc.join(overlay_name(&overlay.path));
        files.make_directory(
            &self.layout.etc.join("overlays"),
            Mode(0o700),
            &Owner::root(),
        )?;
        let text = overlay.to_toml();
        files.write(&file, text.as_bytes(), Mode(0o600), &Owner::root())?;
        Ok(file)
    }

    /// What the applied stacks make of each text file, without overlays and without nginx's generation.
    fn bases(&self, receipt: &Receipt) -> Result<BTreeMap<PathBuf, Base>, EngineError> {
        let request = Request {
            source: Source::Applied,
            ..Request::default()
        };
        let wanted = self.wanted(&request, false, receipt)?;
        let facts = gather(self.host)?;
        let desired = expand::expand(&wanted.stacks, &facts, &self.layout, &self.edge)?;
        let mut bases = BTreeMap::new();
        for Desired { resource, restarts } in desired {
            match resource {
                Resource::File(file) => {
                    if let Content::Text(text) = file.content {
                        bases.insert(file.path, Base { text, restarts });
                    }
                }
                Resource::Nginx(tree) => {
                    for (path, text) in &tree.files {
                        let base = Base {
                            text: expand::without_generation(&tree, text),
                            restarts: Vec::new(),
                        };
                        bases.insert(path.clone(), base);
                    }
                }
                _ => {}
            }
        }
        Ok(bases)
    }
}

fn said(declared: Option<&BTreeMap<ResourceId, Resource>>, applied: &Resource) -> Declared {
    match declared.map(|declared| declared.get(&applied.id())) {
        None => Declared::Unknown,
        Some(None) => Declared::Gone,
        Some(Some(resource)) if resource == applied => Declared::AsApplied,
        Some(Some(_)) => Declared::Otherwise,
    }
}

/// What the stacks make of a file.
struct Base {
    text: String,
    restarts: Vec<ResourceId>,
}

/// A hand edit of one file.
struct Edit {
    overlay: Overlay,
    /// The text as it is, where it is not what was applied.
    text: Option<String>,
}

fn edits(drift: &Drift) -> Vec<Edit> {
    let overlay = |path: &Path| Overlay {
        path: path.to_owned(),
        mode: None,
        owner: None,
        edit: None,
    };
    match (&drift.applied, &drift.live) {
        (
            Resource::File(file),
            Observed::Path {
                state:
                    PathState::File {
                        content,
                        mode,
                        owner,
                    },
                ..
            },
        ) => {
            let Content::Text(_) = &file.content else {
                return Vec::new();
            };
            let Ok(live) = String::from_utf8(content.clone()) else {
                return Vec::new();
            };
            vec![Edit {
                overlay: Overlay {
                    mode: (*mode != file.mode).then(|| mode.to_string()),
                    owner: (*owner != file.owner).then(|| owner.to_string()),
                    ..overlay(&file.path)
                },
                // An earlier overlay of it goes on.
                text: Some(live),
            }]
        }
        (Resource::Nginx(tree), Observed::Nginx(state)) => {
            let differs = |path: &Path, content: &[u8]| {
                tree.files
                    .get(path)
                    .is_some_and(|applied| applied.as_bytes() != content)
            };
            let states = state.paths.iter();
            states
                .filter_map(|(path, state)| match state {
                    PathState::File { content, .. } if differs(path, content) => Some(Edit {
                        overlay: overlay(path),
                        text: Some(live_text(tree, content)?),
                    }),
                    _ => None,
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn live_text(tree: &NginxTree, content: &[u8]) -> Option<String> {
    let text = String::from_utf8(content.to_vec()).ok()?;
    Some(expand::without_generation(tree, &text))
}
