#![allow(
    clippy::disallowed_methods,
    reason = "this is the door to the file system"
)]

mod place;
mod regular;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use self::place::{give, place, sync_parent, temporary_name};
use super::{HostError, RealAccounts, accounts::Accounts as _};
use crate::model::Mode;
use crate::resource::{BinaryState, Owner, PathState};

/// Files are read whole up to this; nothing that Tavern manages is larger.
pub(super) const READ_LIMIT: u64 = 16 * 1024 * 1024;

/// Files and directories. Writes are atomic and on disk when they return.
pub trait Files: Send + Sync {
    /// What is at `path`, links not followed.
    ///
    /// # Errors
    /// When the kernel refuses, other than that there is nothing.
    fn state(&self, path: &Path) -> Result<PathState, HostError>;

    /// As [`state`](Self::state), but no byte of a file is read: its content is said to be empty.
    ///
    /// # Errors
    /// When the kernel refuses, other than that there is nothing.
    fn outline(&self, path: &Path) -> Result<PathState, HostError>;

    /// The bytes of a file, or nothing if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError>;

    /// Writes a file: temporary beside it, synced, renamed, directory synced.
    ///
    /// # Errors
    /// When it cannot be written; what was there is untouched.
    fn write(&self, path: &Path, bytes: &[u8], mode: Mode, owner: &Owner) -> Result<(), HostError>;

    /// Adds to the end of a file, which is made if there is none, and waits for the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    fn append(&self, path: &Path, bytes: &[u8], mode: Mode) -> Result<(), HostError>;

    /// Gives a file or directory another name on the same file system.
    ///
    /// # Errors
    /// When it cannot.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError>;

    /// Removes what a killed [`write`](Self::write) or [`link`](Self::link) left beside `path`.
    ///
    /// # Errors
    /// When it is there and stays.
    fn sweep(&self, path: &Path) -> Result<(), HostError>;

    /// Whether something is at `path`.
    fn exists(&self, path: &Path) -> bool {
        matches!(self.binary_state(path), Ok(state) if state != BinaryState::Absent)
    }

    /// Makes a directory, or gives one its mode and owner.
    ///
    /// # Errors
    /// When it cannot.
    fn make_directory(&self, path: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError>;

    /// Makes or replaces a link.
    ///
    /// # Errors
    /// When it cannot.
    fn link(&self, path: &Path, target: &Path) -> Result<(), HostError>;

    /// Removes a file or link; nothing there is fine.
    ///
    /// # Errors
    /// When it is there and stays.
    fn remove(&self, path: &Path) -> Result<(), HostError>;

    /// Removes a directory if it is empty; says whether it is gone.
    ///
    /// # Errors
    /// When the kernel refuses for another reason.
    fn remove_directory(&self, path: &Path) -> Result<bool, HostError>;

    /// Removes a directory with all that is in it; nothing there is fine.
    ///
    /// # Errors
    /// When something stays.
    fn remove_tree(&self, path: &Path) -> Result<(), HostError>;

    /// The names in a directory, sorted; empty if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, path: &Path) -> Result<Vec<PathBuf>, HostError>;

    /// The running program beside the file at `path`.
    ///
    /// # Errors
    /// When either cannot be read.
    fn binary_state(&self, path: &Path) -> Result<BinaryState, HostError>;

    /// Copies the running program to `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn install_binary(&self, path: &Path) -> Result<(), HostError>;

    /// Copies a file of any size, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be read or written.
    fn copy(&self, from: &Path, to: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError>;

    /// How full the file system is that holds `path`, or would.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn space(&self, path: &Path) -> Result<Space, HostError>;
}

/// A file system's room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Its device number: the same for all paths on it.
    pub device: u64,
    /// Bytes that may be used.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Inodes that may be used.
    pub free_inodes: u64,
    /// Inodes in all; 0 where the file system does not count them.
    pub total_inodes: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

const SELF: &str = "/proc/self/exe";

impl Files for RealFiles {
    fn state(&self, path: &Path) -> Result<PathState, HostError> {
        let mut state = self.outline(path)?;
        if let PathState::File { content, .. } = &mut state {
            *content = self.read(path)?.unwrap_or_default();
        }
        Ok(state)
    }

    fn outline(&self, path: &Path) -> Result<PathState, HostError> {
        let data = match fs::symlink_metadata(path) {
            Ok(data) => data,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(PathState::Absent);
            }
            Err(error) => return Err(HostError::io("look at", path, error)),
        };
        let mode = Mode(data.mode() & 0o7777);
        let owner = RealAccounts.owner(data.uid(), data.gid());
        let kind = data.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|error| HostError::io("read", path, error))?;
            Ok(PathState::Link { target })
        } else if kind.is_dir() {
            Ok(PathState::Directory { mode, owner })
        } else if kind.is_file() {
            Ok(PathState::File {
                content: Vec::new(),
                mode,
                owner,
            })
        } else {
            Ok(PathState::Other)
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        let file = match regular::open(path) {
            Ok(file) => file,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(HostError::io("read", path, error)),
        };
        let mut bytes = Vec::new();
        file.take(READ_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| HostError::io("read", path, error))?;
        // Half a file must never pass for the whole: it may be what is given back later.
        if bytes.len() as u64 > READ_LIMIT {
            let error = std::io::Error::from(ErrorKind::FileTooLarge);
            return Err(HostError::io("read", path, error));
        }
        Ok(Some(bytes))
    }

    fn write(&self, path: &Path, bytes: &[u8], mode: Mode, owner: &Owner) -> Result<(), HostError> {
        place(path, mode, owner, |file| file.write_all(bytes))
    }

    fn append(&self, path: &Path, bytes: &[u8], mode: Mode) -> Result<(), HostError> {
        let failed = |error| HostError::io("write", path, error);
        let is_new = !path.exists();
        let mut options = fs::OpenOptions::new();
        options.append(true).create(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode.0);
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::libc::O_NOFOLLOW);
        let mut file = options.open(path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?.len();
        file.write_all(bytes)
            .and_then(|()| file.sync_data())
            .map_err(|error| {
                // Half a line would spoil the one after it.
                let _ = file.set_len(before);
                failed(error)
            })?;
        if is_new { sync_parent(path) } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        fs::rename(from, to).map_err(|error| HostError::io("rename", from, error))?;
        sync_parent(to)
    }

    fn sweep(&self, path: &Path) -> Result<(), HostError> {
        self.remove(&temporary_name(path))
    }

    fn make_directory(&self, path: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError> {
        match fs::create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_directory(path) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(parent) = path.parent() {
                    self.make_directory(parent, Mode(0o755), &Owner::root())?;
                }
                fs::create_dir(path)
                    .map_err(|error| HostError::io("make directory", path, error))?;
            }
            Err(error) => return Err(HostError::io("make directory", path, error)),
        }
        give(path, mode, owner)?;
        sync_parent(path)
    }

    fn link(&self, path: &Path, target: &Path) -> Result<(), HostError> {
        let failed = |error| HostError::io("link", path, error);
        let temporary = temporary_name(path);
        let _ = fs::remove_file(&temporary);
        symlink(target, &temporary).map_err(failed)?;
        fs::rename(&temporary, path).map_err(|error| {
            let _ = fs::remove_file(&temporary);
            failed(error)
        })?;
        sync_parent(path)
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        match fs::remove_file(path) {
            Ok(()) => sync_parent(path),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(())
            }
            Err(error) => Err(HostError::io("remove", path, error)),
        }
    }

    fn remove_directory(&self, path: &Path) -> Result<bool, HostError> {
        match fs::remove_dir(path) {
            Ok(()) => sync_parent(path).map(|()| true),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Ok(true),
                // Busy: something is mounted there.
                ErrorKind::DirectoryNotEmpty
                | ErrorKind::NotADirectory
                | ErrorKind::ResourceBusy => Ok(false),
                _ => Err(HostError::io("remove", path, error)),
            },
        }
    }

    fn remove_tree(&self, path: &Path) -> Result<(), HostError> {
        match fs::remove_dir_all(path) {
            Ok(()) => sync_parent(path),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // What was mounted there is empty now.
            Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(()),
            Err(error) => Err(HostError::io("remove", path, error)),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>, HostError> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(HostError::io("list", path, error)),
        };
        let mut paths: Vec<_> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        Ok(paths)
    }

    fn binary_state(&self, path: &Path) -> Result<BinaryState, HostError> {
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BinaryState::Absent),
            Err(error) => return Err(HostError::io("look at", path, error)),
        };
        if !found.is_file() {
            return Ok(BinaryState::NotAFile);
        }
        let own = fs::metadata(SELF).map_err(|error| HostError::io("look at", SELF, error))?;
        let usable = found.mode() & 0o7777 == 0o755 && found.uid() == 0;
        if usable && (own.dev(), own.ino()) == (found.dev(), found.ino()) {
            return Ok(BinaryState::Same);
        }
        if !usable || own.len() != found.len() {
            return Ok(BinaryState::Differs);
        }
        Ok(if same_bytes(Path::new(SELF), path)? {
            BinaryState::Same
        } else {
            BinaryState::Differs
        })
    }

    fn install_binary(&self, path: &Path) -> Result<(), HostError> {
        self.copy(Path::new(SELF), path, Mode(0o755), &Owner::root())
    }

    fn copy(&self, from: &Path, to: &Path, mode: Mode, owner: &Owner) -> Result<(), HostError> {
        let mut source =
            fs::File::open(from).map_err(|error| HostError::io("read", from, error))?;
        place(to, mode, owner, |file| {
            std::io::copy(&mut source, file).map(|_| ())
        })
    }

    fn space(&self, path: &Path) -> Result<Space, HostError> {
        let existing = path
            .ancestors()
            .find(|part| part.exists())
            .unwrap_or(Path::new("/"));
        let failed = |error| HostError::io("look at", existing, error);
        let stat = statvfs(existing).map_err(|error| failed(error.into()))?;
        Ok(Space {
            device: fs::metadata(existing).map_err(failed)?.dev(),
            free: stat.blocks_available() * stat.fragment_size(),
            total: stat.blocks() * stat.fragment_size(),
            free_inodes: stat.files_available(),
            total_inodes: stat.files(),
            read_only: stat.flags().contains(FsFlags::ST_RDONLY),
        })
    }
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_dir())
}

fn same_bytes(a: &Path, b: &Path) -> Result<bool, HostError> {
    let open =
        |path: &Path| fs::File::open(path).map_err(|error| HostError::io("read", path, error));
    let (mut a_file, mut b_file) = (open(a)?, open(b)?);
    let (mut a_part, mut b_part) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = a_file
            .read(&mut a_part)
            .map_err(|error| HostError::io("read", a, error))?;
        if count == 0 {
            return Ok(true);
        }
        if b_file.read_exact(&mut b_part[..count]).is_err() || a_part[..count] != b_part[..count] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests;
