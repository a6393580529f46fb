//! Backups as restic lists them.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a backup was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By the clock or by hand.
    Regular,
    /// Before a restore.
    Safety,
}

impl Kind {
    /// Its tag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "tavern",
            Self::Safety => "safety",
        }
    }
}

/// A backup in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its name, whole.
    pub id: String,
    /// Its name as people write it.
    pub short_id: String,
    /// When it was made, in RFC 3339.
    time: String,
    /// What it is for.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The host it was made on.
    #[serde(default)]
    pub hostname: String,
}

impl Snapshot {
    /// When it was made; long ago if it does not say so in a way that can be read.
    pub fn at(&self) -> OffsetDateTime {
        OffsetDateTime::parse(&self.time, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// What it was made for; nothing if Tavern did not make it.
    pub fn kind(&self) -> Option<Kind> {
        [Kind::Safety, Kind::Regular]
            .into_iter()
            .find(|kind| self.tags.iter().any(|tag| tag == kind.as_str()))
    }
}
