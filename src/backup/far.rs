//! How far restic has come with what takes long.

use serde::Deserialize;

/// What `backup --json` says, some times a second.
#[derive(Deserialize)]
struct Status {
    message_type: String,
    #[serde(default)]
    percent_done: f64,
    #[serde(default)]
    total_bytes: u64,
    #[serde(default)]
    bytes_done: u64,
}

/// What a line of restic says of that, for people; nothing if it is about something else.
pub(super) fn far(verb: &str, line: &str) -> Option<String> {
    match verb {
        "backup" => saved(line),
        "restore" | "check" | "prune" => percent(line),
        _ => None,
    }
}

/// `[0:01] 52.58%  0 files, …`: Debian 12's does not say so of a restore.
fn percent(line: &str) -> Option<String> {
    let (_time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (number, _) = rest.split_once('%')?;
    let percent: f64 = number.trim().parse().ok()?;
    Some(format!("{percent:.0} %"))
}

fn saved(line: &str) -> Option<String> {
    let status: Status = serde_json::from_str(line).ok()?;
    (status.message_type == "status").then(|| {
        // All of it is only done when restic has ended.
        let percent = (status.percent_done * 100.0).clamp(0.0, 99.0).floor();
        format!(
            "{percent} %: {} of {}",
            amount(status.bytes_done),
            amount(status.total_bytes)
        )
    })
}

/// In a unit that people read at a glance.
fn amount(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is_is_told_in_few_words() {
        let of = |rest: &str| far("backup", &format!("{{\"message_type\":\"status\"{rest}}}"));
        // As 0.14 and 0.18 begin, and as they go on.
        assert_eq!(of(",\"percent_done\":0").unwrap(), "0 %: 0 kB of 0 kB");
        assert_eq!(
            of(",\"seconds_elapsed\":3,\"percent_done\":0.4271,\"total_files\":12,\"files_done\":2,\
                 \"total_bytes\":7412345678,\"bytes_done\":3165999999,\"current_files\":[\"/srv/\\u001b[2J\"]")
            .unwrap(),
            "42 %: 3.1 GB of 7.4 GB"
        );
        assert_eq!(
            of(",\"percent_done\":1,\"total_bytes\":12345678,\"bytes_done\":12345678").unwrap(),
            "99 %: 12 MB of 12 MB"
        );
        for other in [
            "{\"message_type\":\"summary\",\"snapshot_id\":\"8f1c2d3e\"}",
            "{\"message_type\":\"verbose_status\",\"percent_done\":0.5}",
            "repository 8f1c2d3e opened",
            "",
        ] {
            assert_eq!(far("backup", other), None, "{other}");
        }
    }

    #[test]
    fn so_it_is_of_a_restore_and_a_check() {
        for (line, said) in [
            (
                "[0:01] 52.58%  0 files/dirs 210.334 MiB, total 2 files/dirs 400.000 MiB",
                Some("53 %"),
            ),
            ("[1:02:03] 100.00%  8 / 8 packs", Some("100 %")),
            ("[{\"time\":\"2026-11-18T03:00:00Z\"}]", None),
            ("[0:02] all of it", None),
            ("verifying files in /var/lib/tavern/backup/drill", None),
        ] {
            assert_eq!(far("restore", line).as_deref(), said, "{line}");
            assert_eq!(far("snapshots", line), None);
        }
    }
}
