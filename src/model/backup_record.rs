use serde::{Deserialize, Serialize};

/// What is known of a stack's backups on its host. Written by whoever makes or tries them, read by whoever judges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// The version of this form.
    pub version: u32,
    /// Where the newest backup went.
    #[serde(default)]
    pub place: Option<String>,
    /// The newest backup.
    #[serde(default)]
    pub newest: Option<Saved>,
    /// The newest backup that was restored into a throw-away container and found whole.
    #[serde(default)]
    pub good: Option<Saved>,
    /// Why the last try to make one failed, if it did.
    #[serde(default)]
    pub failure: Option<Tried>,
    /// What became of the last try to restore one.
    #[serde(default)]
    pub drill: Option<Tried>,
    /// When the first try to make one began, in seconds since 1970.
    #[serde(default)]
    pub since: Option<i64>,
    /// When a try began that has come to no end yet: it is under way, or was killed.
    #[serde(default)]
    pub begun: Option<i64>,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// restic's name for it.
    pub id: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A try, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// When, in seconds since 1970.
    pub at: i64,
    /// Which backup, if it came so far.
    #[serde(default)]
    pub id: Option<String>,
    /// What was wrong; nothing if all was well.
    #[serde(default)]
    pub fault: Option<String>,
}

impl BackupRecord {
    /// The version of its form that this build writes.
    pub const VERSION: u32 = 1;

    /// Reads one.
    ///
    /// # Errors
    /// When it is damaged, or of a newer form.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if record.version > Self::VERSION {
            let (found, known) = (record.version, Self::VERSION);
            return Err(format!(
                "it is of version {found}, and this tavernctl knows {known} at most"
            ));
        }
        Ok(record)
    }

    /// Its bytes on the disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let record = Self {
            version: Self::VERSION,
            ..self.clone()
        };
        // Numbers and strings only: nothing in it can fail to be written.
        let mut bytes = serde_json::to_vec_pretty(&record).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_is_still_read() {
        let text = include_str!("../../tests/formats/backup-record-v1.json");
        let record = BackupRecord::parse(text.as_bytes()).unwrap();
        assert_eq!(record.good.as_ref().unwrap().at, 1_795_000_000);
        let drill = record.drill.as_ref().unwrap();
        assert_eq!(drill.fault.as_deref(), Some("3 keys, not 4"));
        assert_eq!(BackupRecord::parse(&record.to_bytes()), Ok(record));
        assert!(
            BackupRecord::parse(b"{\"version\":2}")
                .unwrap_err()
                .contains("version 2")
        );
    }
}
