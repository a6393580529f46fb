use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use super::finding::{Finding, Judged, healthy, refused, since, unhealthy};
use crate::host::{Host, Space};

const MEGABYTE: u64 = 1_000_000;

/// Below this a pull, a log day or a Redis rewrite fails.
const LEAST: u64 = 200 * MEGABYTE;

/// The file systems that hold `paths`, each once.
pub fn probe(host: &Host, paths: &[&Path]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for path in paths {
        let begun = Instant::now();
        let judged = match host.files.space(path) {
            Ok(space) if !seen.insert(space.device) => continue,
            Ok(space) => judge(path, space),
            Err(error) => refused(&error),
        };
        let subject = format!("disk {}", path.display());
        findings.push(Finding::new(None, subject, judged, since(begun)));
    }
    findings
}

fn judge(path: &Path, space: Space) -> Judged {
    let percent = |free: u64, total: u64| free.saturating_mul(100) / total.max(1);
    let bytes = percent(space.free, space.total);
    let inodes = percent(space.free_inodes, space.total_inodes);
    let room = format!("{} free, {bytes} %", size(space.free));
    if space.total > 0 && (space.free < LEAST || bytes < 5) {
        unhealthy(format!(
            "{room}: `du -xh --max-depth=2 {}` finds what fills it",
            path.display()
        ))
    } else if space.total_inodes > 0 && inodes < 5 {
        unhealthy(format!(
            "{inodes} % of its inodes free: `du -x --inodes --max-depth=2 {}` finds the many small files",
            path.display()
        ))
    } else {
        healthy(room)
    }
}

fn size(bytes: u64) -> String {
    match bytes / MEGABYTE {
        megabytes @ 0..10_000 => format!("{megabytes} MB"),
        megabytes => format!("{} GB", megabytes / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Verdict;

    fn verdict(free: u64, total: u64, free_inodes: u64, total_inodes: u64) -> Verdict {
        let space = Space {
            device: 1,
            free,
            total,
            free_inodes,
            total_inodes,
            ..Space::default()
        };
        judge(Path::new("/var"), space).verdict
    }

    #[test]
    fn bytes_and_inodes_both_ways() {
        let gigabyte = 1000 * MEGABYTE;
        assert_eq!(verdict(gigabyte, 10 * gigabyte, 50, 100), Verdict::Healthy);
        assert_eq!(
            verdict(gigabyte, 30 * gigabyte, 50, 100),
            Verdict::Unhealthy
        );
        assert_eq!(
            verdict(199 * MEGABYTE, gigabyte, 50, 100),
            Verdict::Unhealthy
        );
        assert_eq!(verdict(gigabyte, 10 * gigabyte, 4, 100), Verdict::Unhealthy);
        // btrfs counts no inodes.
        assert_eq!(verdict(gigabyte, 10 * gigabyte, 0, 0), Verdict::Healthy);
    }
}
