#![allow(
    clippy::disallowed_methods,
    reason = "flock needs an open file of its own"
)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};

use super::EngineError;
use crate::host::HostError;

const PATH: &str = "/run/tavern.lock";

/// The one lock of all runs that change the host. The kernel lets go of it when the process ends.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// [`EngineError::Locked`] with the holder's process number.
    pub fn take() -> Result<Self, EngineError> {
        let failed = |source| HostError::Io {
            action: "lock",
            path: PATH.into(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(PATH)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim().to_owned();
                return Err(EngineError::Locked {
                    pid: if pid.is_empty() {
                        "unknown".into()
                    } else {
                        pid
                    },
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error).into()),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
