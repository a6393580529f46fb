//! A backup laid out on this host, and looked at from all sides before anybody uses it.

use std::path::{Path, PathBuf};

use super::{BackupError, Backups, Manifest, Restic, Snapshot};
use crate::resource::PathState;
use crate::stack::{Container, Stack, parse};

/// A backup whose every byte was compared with what the manifest and restic say of it.
pub struct LaidOut {
    pub(super) manifest: Manifest,
    /// The stack as it was declared then.
    pub(super) stack: Stack,
    root: PathBuf,
    stage: PathBuf,
}

impl LaidOut {
    /// A file of the manifest.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.stage.join(name)
    }

    /// A container of the stack as it was then.
    pub(super) fn container(&self, name: &str) -> Option<&Container> {
        let mut all = self.stack.containers.iter();
        all.find(|one| one.name.as_str() == name)
    }

    /// A directory that was saved where it was.
    pub(super) fn tree(&self, path: &Path) -> PathBuf {
        below(&self.root, path)
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

impl Backups<'_> {
    /// Lays a backup out in the directory `name` of ours. Nothing else of the host is touched.
    pub(super) fn lay_out(
        &self,
        stack: &Stack,
        restic: &Restic<'_>,
        snapshot: &Snapshot,
        name: &str,
    ) -> Result<LaidOut, BackupError> {
        let progress = self.engine.progress;
        let stage = self.engine.layout.backups().join("stage");
        progress.begin("looking at the repository");
        restic.check(false)?;
        // Of the wrong stack, or too new: said before gigabytes are fetched.
        let text = restic.text(&snapshot.id, &stage.join("manifest.json"))?;
        Manifest::parse(&text, &stack.name)?;
        self.has_room(&self.engine.layout.backups(), restic.size(&snapshot.id)?)?;
        progress.begin(&format!("reading backup {}", snapshot.short_id));
        let root = self.fresh(name)?;
        restic.restore(&snapshot.id, &root)?;
        let stage = below(&root, &stage);
        let manifest = Manifest::parse(&text, &stack.name)?;
        for (file, wanted) in &manifest.files {
            let path = stage.join(file);
            let is_file = matches!(
                self.engine.host.files.outline(&path)?,
                PathState::File { .. }
            );
            if !is_file || self.sha256(&path)? != *wanted {
                return Err(BackupError::refused(
                    format!("backup {}: {file} is not what was saved", snapshot.short_id),
                    "`sudo tavernctl backup list` shows the others",
                ));
            }
        }
        let declared = self.declared(stack, &stage)?;
        let expected = |tree: &PathBuf| {
            let pages = self.engine.layout.www.join(stack.name.as_str());
            let mut named = declared
                .backup
                .iter()
                .flat_map(|backup| &backup.directories);
            *tree == pages || named.any(|directory| directory == tree)
        };
        for tree in &manifest.trees {
            let found = self.engine.host.files.outline(&below(&root, tree))?;
            if !expected(tree) || !matches!(found, PathState::Directory { .. }) {
                return Err(BackupError::refused(
                    format!(
                        "backup {}: {} is not what its stack file says",
                        snapshot.short_id,
                        tree.display()
                    ),
                    "`sudo tavernctl backup list` shows the others",
                ));
            }
        }
        let is_named = |path: &Path| {
            let mut all = declared.backup.iter().flat_map(|backup| &backup.sqlite);
            all.any(|one| one == path)
        };
        if let Some(stray) = manifest.databases.iter().find(|one| !is_named(&one.path)) {
            return Err(BackupError::refused(
                format!(
                    "backup {}: {} is not what its stack file says",
                    snapshot.short_id,
                    stray.path.display()
                ),
                "`sudo tavernctl backup list` shows the others",
            ));
        }
        Ok(LaidOut {
            manifest,
            stack: declared,
            root,
            stage,
        })
    }

    /// The stack file in the backup, judged as any other.
    fn declared(&self, stack: &Stack, stage: &Path) -> Result<Stack, BackupError> {
        let name = format!("{}.toml", stack.name);
        let path = stage.join("etc/stacks").join(&name);
        let bytes = self.engine.host.files.read(&path)?.unwrap_or_default();
        parse(Path::new(&name), &bytes).map_err(|error| {
            BackupError::refused(
                format!("the stack file in the backup is refused: {error}"),
                "the tavernctl that made the backup takes it",
            )
        })
    }
}
