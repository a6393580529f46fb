//! Whose data a volume holds that is to be a Postgres's: one major version does not read another's.

use std::path::Path;

use super::Engine;
use crate::resource::{PathState, Volume};

/// From this version on, the volume has a directory for each.
const DIVIDED: u32 = 18;

impl Engine<'_> {
    /// What a volume holds that the Postgres it is for cannot read, in words; nothing if it is empty or right.
    pub(super) fn holds_of(&self, volume: &Volume, path: &Path) -> Option<String> {
        let wanted = volume.postgres?;
        let mut found = Vec::from_iter(self.version_in(path));
        let inside = self.host.files.list(path).unwrap_or_default();
        let below = inside.iter().map(|one| one.join("docker"));
        found.extend(below.filter_map(|place| self.version_in(&place)));
        let own = if wanted < DIVIDED {
            path.to_owned()
        } else {
            path.join(wanted.to_string()).join("docker")
        };
        match self.version_in(&own) {
            Some(version) if version == wanted.to_string() => None,
            Some(version) => Some(format!("data of PostgreSQL {version}")),
            None => match found.first() {
                Some(version) => Some(format!("data of PostgreSQL {version}")),
                // An empty file system has a directory of its own.
                None if inside.iter().all(|one| one.ends_with("lost+found")) => None,
                None => Some("files that are no data of PostgreSQL's".to_owned()),
            },
        }
    }

    /// What a directory's `PG_VERSION` says. The container could have put anything there: a link is not followed.
    fn version_in(&self, directory: &Path) -> Option<String> {
        let path = directory.join("PG_VERSION");
        let files = &self.host.files;
        if !matches!(files.outline(&path), Ok(PathState::File { .. })) {
            return None;
        }
        let bytes = files.read(&path).ok()??;
        let text = String::from_utf8_lossy(&bytes);
        let said: String = text.trim().chars().take(8).collect();
        let is_version = !said.is_empty() && said.chars().all(|c| c.is_ascii_digit() || c == '.');
        Some(if is_version {
            said
        } else {
            "of an unknown version".to_owned()
        })
    }
}
