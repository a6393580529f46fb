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

/// Behind the holder's number: it will soon be done.
const BRIEF: &str = " for a moment";

/// How long that is waited for.
const A_MOMENT: Duration = Duration::from_secs(60);

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
        let begun = Instant::now();
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if is_worth_waiting(&mut file, begun) => {
                    std::thread::sleep(A_LOOK / 2);
                }
                Err(TryLockError::WouldBlock) => return Err(held(&mut file)),
                Err(TryLockError::Error(error)) => return Err(failed(path, error)),
            }
        }
    }

    /// Whether a run has it that takes its time. Waits for nobody.
    pub(super) fn is_held_for_long(path: &Path) -> bool {
        let Ok(mut file) = File::open(path) else {
            return false;
        };
        let tried = file.try_lock_shared();
        matches!(tried, Err(TryLockError::WouldBlock)) && !holder(&mut file).ends_with(BRIEF)
    }

    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// [`EngineError::Locked`] with the holder's process number.
    pub fn take(path: &Path) -> Result<Self, EngineError> {
        Self::take_as(path, "")
    }

    /// As [`Lock::take`], for something that takes a moment: whoever comes meanwhile waits for its end.
    ///
    /// # Errors
    /// [`EngineError::Locked`] with the holder's process number.
    pub(super) fn take_briefly(path: &Path) -> Result<Self, EngineError> {
        Self::take_as(path, BRIEF)
    }

    fn take_as(path: &Path, how: &str) -> Result<Self, EngineError> {
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
                Err(TryLockError::WouldBlock)
                    if begun.elapsed() < A_LOOK || is_worth_waiting(&mut file, begun) =>
                {
                    std::thread::sleep(A_LOOK / 10);
                }
                Err(TryLockError::WouldBlock) => return Err(held(&mut file)),
                Err(TryLockError::Error(error)) => return Err(failed(path, error)),
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}{how}", std::process::id()))
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

/// What the holder wrote of itself.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    text.trim().to_owned()
}

/// Whether who has it will soon be done.
fn is_worth_waiting(file: &mut File, begun: Instant) -> bool {
    begun.elapsed() < A_MOMENT && holder(file).ends_with(BRIEF)
}

fn held(file: &mut File) -> EngineError {
    let pid = match holder(file).trim_end_matches(BRIEF) {
        "" => "unknown".to_owned(),
        pid => pid.to_owned(),
    };
    EngineError::Locked { pid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_moment_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let brief = Lock::take_briefly(&path).unwrap();
        assert!(!Lock::is_held_for_long(&path));
        let other = std::thread::spawn({
            let path = path.clone();
            move || Lock::is_free(&path).and_then(|()| Lock::take(&path))
        });
        std::thread::sleep(3 * A_LOOK);
        drop(brief);
        let taken = other.join().unwrap().unwrap();
        assert!(Lock::is_held_for_long(&path));
        // A run has no such end.
        let Err(EngineError::Locked { pid }) = Lock::take(&path).map(|_| ()) else {
            panic!("taken twice");
        };
        assert_eq!(pid, std::process::id().to_string());
        drop(taken);
    }
}
