//! Files of ours that say which version of their form they are.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why such a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// A newer tavernctl wrote it.
    #[error("it is of version {found}, and this tavernctl knows {known} at most")]
    TooNew { found: u32, known: u32 },
    /// It is not what it should be.
    #[error(transparent)]
    Damaged(#[from] serde_json::Error),
}

/// Reads a file of a version up to `known`; the version first, since a newer form need not be readable.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], known: u32) -> Result<T, Unread> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version: found } = serde_json::from_slice(bytes)?;
    if found > known {
        return Err(Unread::TooNew { found, known });
    }
    Ok(serde_json::from_slice(bytes)?)
}
