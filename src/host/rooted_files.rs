#![allow(
    clippy::disallowed_methods,
    reason = "this is the door to an image's files"
)]

use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::accounts::Accounts as _;
use super::rooted::{Root, Spot};
use super::{Files, HostError, RealFiles, RootedAccounts, Space};
use crate::model::Mode;
use crate::resource::{BinaryState, Owner, PathState};

/// The files of an image. Directories are resolved within it and then held, so that the real door works on the
/// very thing; owners are those of the image's own accounts.
#[derive(Debug, Clone)]
pub struct RootedFiles {
    pub(super) root: Arc<Root>,
    accounts: RootedAccounts,
}

impl RootedFiles {
    /// The files of `root`.
    pub fn new(root: Arc<Root>) -> Self {
        let accounts = RootedAccounts::new(Arc::clone(&root));
        Self { root, accounts }
    }

    /// The entry at `path`, in a directory that must be there.
    fn entry(&self, action: &'static str, path: &Path) -> Result<Spot, HostError> {
        self.root
            .entry(path)?
            .ok_or_else(|| self.missing(action, path))
    }

    fn missing(&self, action: &'static str, path: &Path) -> HostError {
        HostError::io(
            action,
            self.root.join(path),
            Error::from(ErrorKind::NotFound),
        )
    }

    fn said<T>(&self, path: &Path, result: Result<T, HostError>) -> Result<T, HostError> {
        result.map_err(|error| self.root.said(path, error))
    }

    /// The owner by the image's numbers: the running host may give those names to others.
    fn numbered(&self, owner: &Owner) -> Result<Owner, HostError> {
        let (uid, gid) = self.accounts.ids(owner)?;
        Ok(Owner {
            user: uid.to_string(),
            group: gid.to_string(),
        })
    }

    fn seen(
        &self,
        path: &Path,
        look: impl Fn(&Path) -> Result<PathState, HostError>,
    ) -> Result<PathState, HostError> {
        let Some(spot) = self.root.entry(path)? else {
            return Ok(PathState::Absent);
        };
        let mut state = self.said(path, look(&spot.path))?;
        if let PathState::File { owner, .. } | PathState::Directory { owner, .. } = &mut state {
            *owner = self.named(path, &spot)?;
        }
        Ok(state)
    }

    fn named(&self, path: &Path, spot: &Spot) -> Result<Owner, HostError> {
        let data = std::fs::symlink_metadata(&spot.path)
            .map_err(|error| HostError::io("look at", self.root.join(path), error))?;
        Ok(self.accounts.owner(data.uid(), data.gid()))
    }
}

impl Files for RootedFiles {
    fn state(&self, path: &Path) -> Result<PathState, HostError> {
        self.seen(path, |place| RealFiles.state(place))
    }

    fn outline(&self, path: &Path) -> Result<PathState, HostError> {
        self.seen(path, |place| RealFiles.outline(place))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        self.root.read(path)
    }

    fn write(&self, path: &Path, bytes: &[u8], mode: Mode, owner: &Owner) -> Result<(), HostError> {
        let spot = self.entry("write", path)?;
        let owner = self.numbered(owner)?;
        self.said(path, RealFiles.write(&spot.path, bytes, mode, &owner))
    }

    fn append(&self, path: &Path, bytes: &[u8], mode: Mode) -> Result<(), HostError> {
        let spot = self.entry("write", path)?;
        // The one write that is not a rename: at its end a link would be followed, out of the image.
        if matches!(RealFiles.state(&spot.path), Ok(PathState::Link { .. })) {
            let error = Error::from(nix::errno::Errno::ELOOP);
            return Err(HostError::io("write", self.root.join(path), error));
        }
        self.said(path, RealFiles.append(&spot.path, bytes, mode))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        let source = self.entry("rename", from)?;
        let target = self.entry("rename", to)?;
        self.said(from, RealFiles.rename(&source.path, &target.path))
    }

    fn sweep(&self, path: &Path) -> Result<(), HostError> {
        match self.root.entry(path)? {
            Some(spot) => self.said(path, RealFiles.sweep(&spot.path)),
            None => Ok(()),
        }
    }

    fn make_directory(&self, path: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError> {
        let owner = self.numbered(owner)?;
        if let (None, Some(parent)) = (self.root.entry(path)?, path.parent()) {
            self.make_directory(parent, Mode(0o755), &Owner::root())?;
        }
        let spot = self.entry("make directory", path)?;
        self.said(path, RealFiles.make_directory(&spot.path, mode, &owner))
    }

    fn link(&self, path: &Path, target: &Path) -> Result<(), HostError> {
        let spot = self.entry("link", path)?;
        self.said(path, RealFiles.link(&spot.path, target))
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        match self.root.entry(path)? {
            Some(spot) => self.said(path, RealFiles.remove(&spot.path)),
            None => Ok(()),
        }
    }

    fn remove_directory(&self, path: &Path) -> Result<bool, HostError> {
        match self.root.entry(path)? {
            Some(spot) => self.said(path, RealFiles.remove_directory(&spot.path)),
            None => Ok(true),
        }
    }

    fn remove_tree(&self, path: &Path) -> Result<(), HostError> {
        match self.root.entry(path)? {
            Some(spot) => self.said(path, RealFiles.remove_tree(&spot.path)),
            None => Ok(()),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>, HostError> {
        let Some(spot) = self.root.whole(path, OFlag::O_DIRECTORY)? else {
            return Ok(Vec::new());
        };
        let found = self.said(path, RealFiles.list(&spot.path))?;
        let names = found.iter().filter_map(|found| found.file_name());
        Ok(names.map(|name| path.join(name)).collect())
    }

    fn binary_state(&self, path: &Path) -> Result<BinaryState, HostError> {
        match self.root.entry(path)? {
            Some(spot) => self.said(path, RealFiles.binary_state(&spot.path)),
            None => Ok(BinaryState::Absent),
        }
    }

    fn install_binary(&self, path: &Path) -> Result<(), HostError> {
        let spot = self.entry("write", path)?;
        self.said(path, RealFiles.install_binary(&spot.path))
    }

    fn copy(&self, from: &Path, to: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError> {
        let source = self.root.whole(from, OFlag::empty())?;
        let source = source.ok_or_else(|| self.missing("read", from))?;
        let spot = self.entry("write", to)?;
        let owner = self.numbered(owner)?;
        self.said(to, RealFiles.copy(&source.path, &spot.path, mode, &owner))
    }

    fn space(&self, path: &Path) -> Result<Space, HostError> {
        for part in path.ancestors() {
            if let Some(spot) = self.root.whole(part, OFlag::empty())? {
                return self.said(part, RealFiles.space(&spot.path));
            }
        }
        Err(self.missing("look at", path))
    }
}
