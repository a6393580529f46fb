use std::time::Instant;

use super::finding::{Finding, Judged, healthy, note, refused, since, unhealthy};
use crate::host::Host;
use crate::model::{BackupRecord, Layout, Saved};
use crate::stack::{Backup, Stack};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// How old a stack's backups are, and whether the newest could be restored.
pub fn probe(host: &Host, stacks: &[Stack], layout: &Layout) -> Vec<Finding> {
    let now = host.clock.now().unix_timestamp();
    let with = stacks
        .iter()
        .filter_map(|stack| Some((stack, stack.backup.as_ref()?)));
    with.map(|(stack, backup)| {
        let begun = Instant::now();
        let path = layout.backup_record(&stack.name);
        let judged = match host.files.read(&path) {
            Ok(None) => judge(&BackupRecord::default(), backup, now),
            Ok(Some(bytes)) => match BackupRecord::parse(&bytes) {
                Ok(record) => judge(&record, backup, now),
                Err(reason) => unhealthy(format!(
                    "cannot read {}: {reason}; remove it, then `sudo tavernctl backup now`",
                    path.display()
                )),
            },
            Err(error) => refused(&error),
        };
        Finding::new(Some(&stack.name), "backup", judged, since(begun))
    })
    .collect()
}

fn judge(record: &BackupRecord, backup: &Backup, now: i64) -> Judged {
    if let Some(failure) = &record.failure {
        return unhealthy(format!(
            "the last try failed {} ago: {}; mend that, then `sudo tavernctl backup now`",
            age(now - failure.at),
            failure.fault.as_deref().unwrap_or("it does not say why"),
        ));
    }
    // A night and a day for one that is large, or goes by a slow line.
    if let Some(begun) = record.begun
        && now - begun > DAY
    {
        return unhealthy(format!(
            "one was begun {} ago and has come to no end: `journalctl -u tavern-backup` says how far it came",
            age(now - begun)
        ));
    }
    let Some(newest) = &record.newest else {
        if let Some(begun) = record.begun {
            return note(format!("the first was begun {} ago", age(now - begun)));
        }
        return note("none yet: the timer makes one, or `sudo tavernctl backup now`");
    };
    let old = now - newest.at;
    // An hour is what a clock may be set back; what is of the future would never be too old.
    let is_of_the_future = |saved: &Saved| saved.at > now + HOUR;
    if [Some(newest), record.good.as_ref()]
        .into_iter()
        .flatten()
        .any(is_of_the_future)
    {
        return unhealthy(
            "it was made while the clock was ahead, or this one is behind: `timedatectl`, then `sudo tavernctl backup now` and `sudo tavernctl backup verify`",
        );
    }
    // A night may be missed while the host is off; the timer makes up for it.
    if old > i64::from(backup.days_between()) * DAY + DAY {
        return unhealthy(format!(
            "the newest is {} old: `systemctl status tavern-backup.timer`, and `sudo tavernctl backup now`",
            age(old)
        ));
    }
    if let Some(drill) = &record.drill
        && let Some(fault) = &drill.fault
    {
        return unhealthy(format!(
            "{} could not be restored: {fault}; `sudo tavernctl backup now`, then `sudo tavernctl backup verify`",
            drill.id.as_deref().unwrap_or("the newest"),
        ));
    }
    let limit = i64::from(backup.drill.days() + backup.days_between()) * DAY + DAY;
    let Some(good) = &record.good else {
        if let Some(since) = record.since
            && now - since > limit
        {
            return unhealthy(format!(
                "made for {}, and none was ever tried: `systemctl status tavern-drill.timer`, and `sudo tavernctl backup verify`",
                age(now - since)
            ));
        }
        return note(format!(
            "{} old, not tried yet: `sudo tavernctl backup verify` restores it into a throw-away container",
            age(old)
        ));
    };
    let tried = now - good.at;
    if tried > limit {
        return unhealthy(format!(
            "the last good one is {} old: `systemctl status tavern-drill.timer`, and `sudo tavernctl backup verify`",
            age(tried)
        ));
    }
    healthy(format!(
        "{} old; the last good one {} old",
        age(old),
        age(tried)
    ))
}

/// A length of time in one unit.
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        minutes @ 0..7200 => format!("{} min", minutes / 60),
        hours @ 7200..172_800 => format!("{} h", hours / HOUR),
        days => format!("{} days", days / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict;
    use crate::model::Tried;
    use crate::stack::{DEFAULT, parse};

    const NOW: i64 = 1_800_000_000;

    fn backup() -> Backup {
        let text = format!("{DEFAULT}\n[backup]\nto = \"/srv/backup\"\n");
        let stack = parse(std::path::Path::new("counter.toml"), text.as_bytes()).unwrap();
        stack.backup.unwrap()
    }

    fn saved(ago: i64) -> Option<Saved> {
        let id = "abc".to_owned();
        Some(Saved { id, at: NOW - ago })
    }

    fn tried(fault: Option<&str>) -> Option<Tried> {
        Some(Tried {
            at: NOW - HOUR,
            id: Some("abc".to_owned()),
            fault: fault.map(str::to_owned),
        })
    }

    #[test]
    fn only_a_backup_that_was_restored_counts_as_good() {
        let verdict = |record: &BackupRecord| judge(record, &backup(), NOW).verdict;
        let mut record = BackupRecord::default();
        assert_eq!(verdict(&record), Verdict::Note);
        record.newest = saved(HOUR);
        assert_eq!(verdict(&record), Verdict::Note);
        record.good = saved(HOUR);
        record.drill = tried(None);
        assert_eq!(verdict(&record), Verdict::Healthy);
    }

    #[test]
    fn what_never_comes_to_an_end_or_to_a_trial_is_unhealthy() {
        let verdict = |record: &BackupRecord| judge(record, &backup(), NOW).verdict;
        let begun = |ago: i64| BackupRecord {
            since: Some(NOW - ago),
            begun: Some(NOW - ago),
            ..BackupRecord::default()
        };
        assert_eq!(verdict(&begun(HOUR)), Verdict::Note);
        assert_eq!(verdict(&begun(2 * DAY)), Verdict::Unhealthy);
        // A new one every night, and no drill.
        let made = |ago: i64| BackupRecord {
            newest: saved(HOUR),
            begun: None,
            ..begun(ago)
        };
        assert_eq!(verdict(&made(3 * DAY)), Verdict::Note);
        assert_eq!(verdict(&made(30 * DAY)), Verdict::Unhealthy);
        // Of an older build, which did not say since when.
        let unsaid = BackupRecord {
            since: None,
            ..made(0)
        };
        assert_eq!(verdict(&unsaid), Verdict::Note);
    }

    #[test]
    fn age_and_failures_are_unhealthy() {
        let good = BackupRecord {
            newest: saved(HOUR),
            good: saved(2 * DAY),
            drill: tried(None),
            ..BackupRecord::default()
        };
        let faults: [fn(&mut BackupRecord); 6] = [
            |record| record.failure = tried(Some("no space left")),
            |record| record.newest = saved(3 * DAY),
            |record| record.drill = tried(Some("3 keys, not 4")),
            |record| record.good = saved(10 * DAY),
            |record| record.good = saved(-10 * DAY),
            |record| record.newest = saved(-10 * DAY),
        ];
        assert_eq!(judge(&good, &backup(), NOW).verdict, Verdict::Healthy);
        for fault in faults {
            let mut bad = good.clone();
            fault(&mut bad);
            let judged = judge(&bad, &backup(), NOW);
            assert_eq!(judged.verdict, Verdict::Unhealthy, "{bad:?}");
            assert!(
                judged.reason.contains("`sudo tavernctl backup"),
                "{}",
                judged.reason
            );
        }
    }
}
