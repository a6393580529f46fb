#![allow(
    clippy::disallowed_methods,
    reason = "flock needs an open file of its own"
)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::EngineError;
use crate::host::HostError;

/// Longer than [`Lock::is_free`] holds it.
const A_LOOK: Duration = Duration::from_millis(100);

/// The one lock of all runs that change the host. The kernel lets go of it when the process ends.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Whether a run could begin now. Writes nothing.
    ///
    /// # Errors
    /// [`EngineError::Locked`] with the holder's process number.
    pub fn is_free(path: &Path) -> Result<(), EngineError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(path, error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(held(&mut file)),
            Err(TryLockError::Error(error)) => Err(failed(path, error)),
        }
    }

    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// [`EngineError::Locked`] with the holder's process number.
    pub fn take(path: &Path) -> Result<Self, EngineError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // Root's alone: whoever may open it may lock it, and so keep every run out.
            .mode(0o600)
            .open(path)
            .map_err(|error| failed(path, error))?;
        // Somebody may only be looking whether it is free.
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if begun.elapsed() < A_LOOK => {
                    std::thread::sleep(A_LOOK / 10);
                }
                Err(TryLockError::WouldBlock) => return Err(held(&mut file)),
                Err(TryLockError::Error(error)) => return Err(failed(path, error)),
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| failed(path, error))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock once the run that has it is over, for at most `limit`.
    ///
    /// # Errors
    /// [`EngineError::Locked`] when it is not over by then.
    pub fn wait(path: &Path, limit: Duration) -> Result<Self, EngineError> {
        let begun = Instant::now();
        loop {
            match Self::take(path) {
                Err(EngineError::Locked { .. }) if begun.elapsed() < limit => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                taken => return taken,
            }
        }
    }
}

fn failed(path: &Path, source: std::io::Error) -> EngineError {
    EngineError::Host(HostError::Io {
        action: "lock",
        path: path.to_owned(),
        source,
    })
}

fn held(file: &mut File) -> EngineError {
    let mut pid = String::new();
    let _ = file.read_to_string(&mut pid);
    let pid = match pid.trim() {
        "" => "unknown".to_owned(),
        pid => pid.to_owned(),
    };
    EngineError::Locked { pid }
}
