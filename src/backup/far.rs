//! How far restic has come with a backup.

use serde::Deserialize;

/// What it says of itself, some times a second.
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

/// What a line of `restic backup --json` says of that, for people; nothing if it is about something else.
pub(super) fn far(line: &str) -> Option<String> {
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
        let of = |rest: &str| far(&format!("{{\"message_type\":\"status\"{rest}}}"));
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
            assert_eq!(far(other), None, "{other}");
        }
    }
}
