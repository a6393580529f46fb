//! Edits that the owner chose to keep, laid over what the stacks make.

use std::collections::BTreeMap;
use std::path::Path;

use super::generations::Snapshot;
use super::{Engine, EngineError};
use crate::expand;
use crate::model::Mode;
use crate::resource::{Content, Desired, File, Owner, Resource};
use crate::stack::Overlay;

/// Of a clash that is shown.
const CLASH_LINES: usize = 20;

impl Engine<'_> {
    /// The overlays of a snapshot.
    pub(super) fn overlays(&self, snapshot: &Snapshot) -> Result<Vec<Overlay>, EngineError> {
        let files = snapshot.files.iter();
        files
            .filter(|(name, _)| name.starts_with("overlays/"))
            .map(|(name, bytes)| Ok(Overlay::parse(&self.layout.etc.join(name), bytes)?))
            .collect()
    }

    /// Lays a snapshot's overlays over what its stacks make.
    pub(super) fn lay_over(
        &self,
        snapshot: &Snapshot,
        desired: &mut [Desired],
    ) -> Result<(), EngineError> {
        let overlays: BTreeMap<_, _> = self
            .overlays(snapshot)?
            .into_iter()
            .map(|overlay| (overlay.path.clone(), overlay))
            .collect();
        if overlays.is_empty() {
            return Ok(());
        }
        let edited = |path: &Path, text: &str| match overlays.get(path) {
            Some(overlay) => overlay
                .apply(text)
                .map_err(|clash| self.misfit(path, &clash)),
            None => Ok(text.to_owned()),
        };
        for Desired { resource, .. } in desired {
            match resource {
                Resource::File(File {
                    path,
                    mode,
                    owner,
                    content,
                    ..
                }) => {
                    if let Content::Text(text) = content {
                        *text = edited(path, text)?;
                    }
                    if let Some(overlay) = overlays.get(path) {
                        *mode = overlay.mode_bits().map_or(*mode, Mode);
                        if let Some((user, group)) =
                            overlay.owner.as_deref().and_then(|o| o.split_once(':'))
                        {
                            *owner = Owner {
                                user: user.into(),
                                group: group.into(),
                            };
                        }
                    }
                }
                Resource::Nginx(tree) => *tree = expand::retold(tree, edited)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn misfit(&self, path: &Path, clash: &str) -> EngineError {
        let file = self.layout.etc.join(overlay_name(path));
        let lines = clash
            .lines()
            .skip_while(|line| !line.starts_with("<<<<<<<"));
        let mut shown: Vec<&str> = lines.take(CLASH_LINES).collect();
        if let Some(end) = shown.iter().position(|line| line.starts_with(">>>>>>>")) {
            shown.truncate(end + 1);
        }
        EngineError::NotReady {
            what: format!(
                "{}: your edit of {} and what the stacks make of it now change the same lines:\n{}",
                file.display(),
                path.display(),
                shown.join("\n")
            ),
            help: format!(
                "change `text` and `base` there so that they differ in other lines, or remove {} to give the edit up",
                file.display()
            ),
        }
    }
}

/// Where a path's overlay lies below `/etc/tavern`.
pub(super) fn overlay_name(path: &Path) -> String {
    let flat: String = path
        .display()
        .to_string()
        .trim_start_matches('/')
        .replace('/', "-");
    format!("overlays/{flat}.toml")
}
