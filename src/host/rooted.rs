//! A root file system in a directory: an image that is mounted or unpacked, and not the running host.

#![allow(
    clippy::disallowed_methods,
    reason = "opens the image and looks at what is in it"
)]

use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::rooted_closed::Closed;
use super::rooted_nginx::RootedNginx;
use super::rooted_systemd::RootedSystemd;
use super::{
    Files as _, Host, HostError, RealClock, RealFiles, RootedAccounts, RootedFiles, RootedPackages,
};

/// How often a path is looked up again while others move directories: the kernel then refuses to follow `..`.
const TRIES: u32 = 64;

/// An image directory. Paths are looked up by the kernel as if it were `/`: whatever links are in it, none leads out.
/// Held by one process at a time, without a file that would end up in the image.
#[derive(Debug)]
pub struct Root {
    directory: File,
    path: PathBuf,
}

/// A thing in the image, by a path that leads there and nowhere else for as long as this lives.
pub(super) struct Spot {
    _directory: OwnedFd,
    pub(super) path: PathBuf,
}

impl Root {
    /// Opens an image directory, and keeps every other tavernctl out of it.
    ///
    /// # Errors
    /// When it is no root file system, that of the running host, or in use.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let refuse = |what: &str, help| {
            Err(HostError::NoImage {
                what: format!("{} {what}", path.display()),
                help,
            })
        };
        let whole = match path.canonicalize() {
            Ok(whole) if whole.is_dir() => whole,
            Ok(_) => return refuse("is no directory", UNPACK),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return refuse("is not there", UNPACK);
            }
            Err(error) => return Err(HostError::io("open", path, error)),
        };
        let failed = |error| HostError::io("open", &whole, error);
        let directory = File::open(&whole).map_err(failed)?;
        let id = |data: std::fs::Metadata| (data.dev(), data.ino());
        if id(directory.metadata().map_err(failed)?) == id(std::fs::metadata("/").map_err(failed)?)
        {
            return refuse(
                "is the root of the running host",
                "`sudo tavernctl install` without `--root` sets up the running host",
            );
        }
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return refuse(
                    "is in use by another tavernctl",
                    "wait until it has ended; the lock goes with the process",
                );
            }
            Err(TryLockError::Error(error)) => return Err(HostError::io("lock", &whole, error)),
        }
        let root = Self {
            directory,
            path: whole,
        };
        for mark in ["/etc/os-release", "/etc/debian_version"] {
            if root.read(Path::new(mark))?.is_some() {
                return Ok(root);
            }
        }
        refuse(
            "holds no root file system: neither etc/os-release nor etc/debian_version is in it",
            UNPACK,
        )
    }

    /// Where it is on the running host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image's path for `path`, for messages and for programs that take `--root`.
    pub(super) fn join(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The entry at `path`, its last part not followed; nothing if its directory is not there.
    pub(super) fn entry(&self, path: &Path) -> Result<Option<Spot>, HostError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            let error = Error::from(ErrorKind::InvalidInput);
            return Err(HostError::io("look at", self.join(path), error));
        };
        let spot = self.whole(parent, OFlag::O_DIRECTORY)?;
        Ok(spot.map(|spot| Spot {
            path: spot.path.join(name),
            ..spot
        }))
    }

    /// What `path` leads to within the image; nothing if it leads nowhere.
    pub(super) fn whole(&self, path: &Path, flags: OFlag) -> Result<Option<Spot>, HostError> {
        match self.resolve(path, flags, ResolveFlag::RESOLVE_IN_ROOT) {
            Ok(directory) => Ok(Some(Spot {
                path: format!("/proc/self/fd/{}", directory.as_raw_fd()).into(),
                _directory: directory,
            })),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(self.unresolved(path, error)),
        }
    }

    /// The bytes of a file; nothing if there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        match self.whole(path, OFlag::empty())? {
            Some(spot) => RealFiles
                .read(&spot.path)
                .map_err(|error| self.said(path, error)),
            None => Ok(None),
        }
    }

    /// Refuses a path with a link in it: a program that is given `--root` would follow that out of the image.
    ///
    /// # Errors
    /// When there is a link, or the kernel cannot say.
    pub(super) fn must_be_plain(&self, path: &Path) -> Result<(), HostError> {
        match self.resolve(path, OFlag::empty(), ResolveFlag::RESOLVE_NO_SYMLINKS) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(Errno::ELOOP) => Err(HostError::NoImage {
                what: format!("{} is, or is behind, a link", self.join(path).display()),
                help: "systemd's and dpkg's programs would follow it out of the image: put the real thing there",
            }),
            Err(error) => Err(self.unresolved(path, error)),
        }
    }

    /// An error with the path as people know it.
    pub(super) fn said(&self, path: &Path, error: HostError) -> HostError {
        match error {
            HostError::Io { action, source, .. } => HostError::io(action, self.join(path), source),
            other => other,
        }
    }

    fn unresolved(&self, path: &Path, error: Errno) -> HostError {
        match error {
            // Before Linux 5.6, or in a container whose filter does not know the call.
            Errno::ENOSYS | Errno::EPERM => HostError::NoImage {
                what: "this kernel does not offer openat2, which keeps links in an image from leading out".into(),
                help: "use Linux 5.6 or later, and in a container a filter that lets openat2 through",
            },
            error => HostError::io("look at", self.join(path), error.into()),
        }
    }

    fn resolve(&self, path: &Path, flags: OFlag, how: ResolveFlag) -> Result<OwnedFd, Errno> {
        let inner = path.strip_prefix("/").unwrap_or(path);
        let inner = if inner == Path::new("") {
            Path::new(".")
        } else {
            inner
        };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC | flags)
            .resolve(how | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let mut tried = 0;
        loop {
            match openat2(&self.directory, inner, how) {
                Err(Errno::EAGAIN) if tried < TRIES => tried += 1,
                result => return result,
            }
        }
    }
}

const UNPACK: &str = "name the directory that the image is mounted or unpacked in: the one with its etc, usr and var";

impl Host {
    /// An image: its files, accounts and unit states. It has nothing that runs, and nothing of the running host's.
    pub fn rooted(root: &Arc<Root>) -> Self {
        let files = || RootedFiles::new(Arc::clone(root));
        let packages = RootedPackages::new(Arc::clone(root));
        Self {
            files: Box::new(files()),
            processes: Box::new(Closed),
            systemd: Box::new(RootedSystemd::new(files())),
            nginx: Box::new(RootedNginx::new(files(), packages.clone())),
            docker: Box::new(Closed),
            packages: Box::new(packages),
            accounts: Box::new(RootedAccounts::new(Arc::clone(root))),
            firewall: Box::new(Closed),
            net: Box::new(Closed),
            http: Box::new(Closed),
            clock: Box::new(RealClock),
            acme: Box::new(super::RealAcme),
            logins: Box::new(Closed),
        }
    }
}

#[cfg(test)]
mod tests;
