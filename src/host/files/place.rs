//! A file comes to its place whole or not at all.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the door to the file system"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::host::accounts::Accounts as _;
use crate::host::{HostError, RealAccounts};
use crate::model::Mode;
use crate::resource::Owner;

/// Names a file that the next run may sweep; hidden, so that nothing includes it.
pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tavern-tmp"))
}

pub(super) fn place(
    path: &Path,
    mode: Mode,
    owner: &Owner,
    fill: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
) -> Result<(), HostError> {
    let temporary = temporary_name(path);
    let result = fill_and_rename(path, &temporary, mode, owner, fill);
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn fill_and_rename(
    path: &Path,
    temporary: &Path,
    mode: Mode,
    owner: &Owner,
    fill: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
) -> Result<(), HostError> {
    let failed = |error| HostError::io("write", path, error);
    let _ = fs::remove_file(temporary);
    let mut options = fs::OpenOptions::new();
    // create_new: a link planted under the temporary's name is not followed.
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(temporary).map_err(failed)?;
    fill(&mut file).map_err(failed)?;
    give(temporary, mode, owner)?;
    file.sync_all().map_err(failed)?;
    fs::rename(temporary, path).map_err(failed)?;
    sync_parent(path)
}

pub(super) fn give(path: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError> {
    let (uid, gid) = RealAccounts.ids(owner)?;
    let data = fs::symlink_metadata(path).map_err(|error| HostError::io("look at", path, error))?;
    if (data.uid(), data.gid()) != (uid, gid) {
        chown(path, Some(uid), Some(gid))
            .map_err(|error| HostError::io("give away", path, error))?;
    }
    // After chown, which clears set-id bits.
    if data.mode() & 0o7777 != mode.0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode.0))
            .map_err(|error| HostError::io("set the mode of", path, error))?;
    }
    Ok(())
}

pub(super) fn sync_parent(path: &Path) -> Result<(), HostError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    fs::File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| HostError::io("sync", parent, error))
}
