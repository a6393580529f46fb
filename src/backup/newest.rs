//! Which backup is the newest.

use super::{Kind, Snapshot};
use crate::model::BackupRecord;

/// The one that this host made last, if it is among them; else the last of those that are not of the future: what was
/// made while the clock was wrong would be the newest for years.
pub(super) fn newest(all: Vec<Snapshot>, record: &BackupRecord, now: i64) -> Option<Snapshot> {
    let regular: Vec<Snapshot> = all
        .into_iter()
        .filter(|one| one.kind() == Some(Kind::Regular))
        .collect();
    let noted = record.newest.as_ref();
    let is_noted = |one: &&Snapshot| noted.is_some_and(|noted| one.id.starts_with(&noted.id));
    let is_of_the_past = |one: &&Snapshot| one.at().unix_timestamp() <= now;
    let found = regular.iter().rfind(is_noted);
    let found = found.or_else(|| regular.iter().rfind(is_of_the_past));
    // None but of the future: it is this clock that is wrong.
    found.or(regular.last()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Saved;

    const NOW: i64 = 1_795_000_000;

    fn snapshot(id: &str, time: &str, tag: &str) -> Snapshot {
        let text = format!(
            "{{\"id\":\"{id}{id}\",\"short_id\":\"{id}\",\"time\":\"{time}\",\"tags\":[\"{tag}\"]}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    fn made(id: &str) -> BackupRecord {
        let id = id.to_owned();
        BackupRecord {
            newest: Some(Saved { id, at: NOW }),
            ..BackupRecord::default()
        }
    }

    /// bug: one that was made while the clock was years ahead was drilled and restored for years.
    #[test]
    fn what_was_made_in_the_future_is_not_the_newest() {
        let all = [
            snapshot("aaaa", "2026-11-18T03:00:00Z", "tavern"),
            snapshot("bbbb", "2026-11-17T03:00:00Z", "tavern"),
            snapshot("cccc", "2031-01-01T03:00:00Z", "tavern"),
            snapshot("dddd", "2026-11-18T04:00:00Z", "safety"),
        ];
        let mut all = all.to_vec();
        all.sort_by_key(Snapshot::at);
        let of = |all: &[Snapshot], record: &BackupRecord| {
            newest(all.to_vec(), record, NOW).map(|one| one.short_id)
        };
        assert_eq!(of(&all, &BackupRecord::default()).unwrap(), "aaaa");
        assert_eq!(of(&all, &made("bbbb")).unwrap(), "bbbb");
        assert_eq!(of(&all, &made("of another host")).unwrap(), "aaaa");
        let future = all.split_off(3);
        assert_eq!(of(&future, &BackupRecord::default()).unwrap(), "cccc");
        assert_eq!(of(&[], &made("aaaa")), None);
    }
}
