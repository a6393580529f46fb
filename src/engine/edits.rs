//! What a person edited is shown before it is overwritten, and a copy is kept.

use std::path::{Path, PathBuf};

use super::{Engine, EngineError};
use crate::model::Mode;
use crate::resource::{Owner, PathState};

impl Engine<'_> {
    /// The folder of copies of edited files that a run overwrote.
    pub fn edited(&self, generation: u64) -> PathBuf {
        self.layout
            .state
            .join("edited")
            .join(generation.to_string())
    }

    pub(super) fn keep_edit(&self, path: &Path, generation: u64) -> Result<(), EngineError> {
        let files = &self.host.files;
        let PathState::File { content, .. } = files.state(path)? else {
            return Ok(());
        };
        let kept = self
            .edited(generation)
            .join(path.strip_prefix("/").unwrap_or(path));
        if let Some(parent) = kept.parent() {
            files.make_directory(parent, Mode(0o700), &Owner::root())?;
        }
        Ok(files.write(&kept, &content, Mode(0o600), &Owner::root())?)
    }

    /// A run that was undone overwrote nothing.
    pub(super) fn forget_edits(&self, generation: u64) -> Result<(), EngineError> {
        let files = &self.host.files;
        files.remove_tree(&self.edited(generation))?;
        files.remove_directory(&self.layout.state.join("edited"))?;
        Ok(())
    }
}
