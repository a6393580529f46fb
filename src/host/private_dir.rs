#![allow(
    clippy::disallowed_methods,
    reason = "this is the door to the user's own directories"
)]

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::HostError;

/// Names the directories that end with their run.
const PREFIX: &str = "tavern-up.";

/// Held as long as a directory is in use; also tells our directories from others.
const LOCK: &str = "up.lock";

/// A directory of this user's alone, in use by this process alone.
#[derive(Debug)]
pub struct PrivateDir {
    path: PathBuf,
    /// Whether it goes when this value does.
    passing: bool,
    _lock: fs::File,
}

impl PrivateDir {
    /// A new one where the session or the environment keeps such things. It goes with this value;
    /// what a killed run left is removed first.
    ///
    /// # Errors
    /// When no place takes it.
    pub fn fresh() -> Result<Self, HostError> {
        let mut failure = None;
        for base in bases() {
            sweep(&base);
            let made = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir_in(&base);
            match made {
                Ok(made) => {
                    let path = made.path().to_owned();
                    let lock = lock(&path)?;
                    return Ok(Self {
                        path: made.keep(),
                        passing: true,
                        _lock: lock,
                    });
                }
                Err(error) => {
                    failure.get_or_insert(HostError::io("make a directory in", base, error));
                }
            }
        }
        Err(failure.unwrap_or_else(|| HostError::Unexpected("there is no /tmp".into())))
    }

    /// The one at `path`, made if it is missing. It stays.
    ///
    /// # Errors
    /// When it is somebody else's, holds other things, or is in use.
    pub fn at(path: &Path) -> Result<Self, HostError> {
        let path = std::path::absolute(path).map_err(|error| HostError::io("find", path, error))?;
        let failed = |action| {
            let path = path.clone();
            move |error| HostError::io(action, path, error)
        };
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(HostError::io("make directory", &path, error)),
        }
        let path = fs::canonicalize(&path).map_err(failed("find"))?;
        let data = fs::metadata(&path).map_err(failed("look at"))?;
        let refuse = |why: &str| Err(HostError::Unexpected(format!("{} {why}", path.display())));
        if !data.is_dir() {
            return refuse("is not a directory");
        }
        if data.uid() != geteuid().as_raw() {
            return refuse("belongs to another user");
        }
        let ours = path.join(LOCK).is_file();
        let empty = fs::read_dir(&path)
            .map_err(failed("read"))?
            .next()
            .is_none();
        if !ours && !empty {
            return refuse("holds other things");
        }
        if data.mode() & 0o777 != 0o700 {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
                .map_err(failed("set the mode of"))?;
        }
        let lock = lock(&path)?;
        Ok(Self {
            path,
            passing: false,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes at the end.
    pub fn is_passing(&self) -> bool {
        self.passing
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if self.passing {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Where a directory may go, the best place first.
fn bases() -> Vec<PathBuf> {
    let named = ["XDG_RUNTIME_DIR", "TMPDIR"]
        .into_iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from);
    named
        .chain([PathBuf::from("/tmp")])
        .filter(|path| path.is_absolute() && path.is_dir())
        .collect()
}

/// The kernel lets go of it when the process ends.
fn lock(directory: &Path) -> Result<fs::File, HostError> {
    let path = directory.join(LOCK);
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| HostError::io("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(HostError::Unexpected(format!(
            "{} is in use by another `tavernctl up`",
            directory.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(HostError::io("lock", path, error)),
    }
}

/// Removes what runs left that were killed: directories of this user's whose lock nobody holds.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && fs::symlink_metadata(entry.path())
                .is_ok_and(|data| data.is_dir() && data.uid() == geteuid().as_raw());
        // One without a lock file is being made at this moment.
        if ours
            && let Ok(file) = fs::File::open(entry.path().join(LOCK))
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_ones_own_is_private_locked_and_stays() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("d");
        fs::DirBuilder::new().mode(0o755).create(&path).unwrap();
        let dir = PrivateDir::at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let error = PrivateDir::at(&path).unwrap_err().to_string();
        assert!(error.contains("in use by another"), "{error}");
        drop(dir);
        assert!(
            PrivateDir::at(&path).is_ok(),
            "with our lock file in it, it is ours"
        );
    }

    #[test]
    fn other_things_are_left_alone() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("letter"), "x").unwrap();
        let before = fs::metadata(base.path()).unwrap().mode();
        let error = PrivateDir::at(base.path()).unwrap_err().to_string();
        assert!(error.contains("holds other things"), "{error}");
        let file = base.path().join("letter");
        let error = PrivateDir::at(&file).unwrap_err().to_string();
        assert!(error.contains("not a directory"), "{error}");
        assert_eq!(fs::metadata(base.path()).unwrap().mode(), before);
    }

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let base = tempfile::tempdir().unwrap();
        let [held, left, young] = ["held", "left", "young"].map(|name| {
            let path = base.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&path).unwrap();
            path
        });
        let _held = lock(&held).unwrap();
        drop(lock(&left).unwrap());
        sweep(base.path());
        assert!(held.exists() && young.exists() && !left.exists());
    }
}
