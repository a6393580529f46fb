//! A host on which nothing happens: what watches it costs next to nothing, and no more as time goes by.
#![allow(clippy::print_stdout, reason = "the numbers are for people")]

use std::time::Duration;

use crate::site::{installed, wait_until_healthy};
use crate::support::lab::{Host, Image};

/// KiB.
const MOST_MEMORY: u64 = 25 * 1024;
/// Of one processor.
const MOST_SHARE: f64 = 0.002;

/// Thirty, or for a trial as many as `TAVERN_IDLE_MINUTES` says: two at least, for one alone compares nothing.
fn minutes() -> usize {
    let said = std::env::var("TAVERN_IDLE_MINUTES").ok();
    let minutes = said.map_or(30, |text| {
        text.parse().expect("TAVERN_IDLE_MINUTES is a number")
    });
    assert!(minutes >= 2, "two minutes at least");
    minutes
}

/// Half an hour in which nobody comes: tavernd's memory, its share of a processor, its descriptors and threads.
#[test]
#[ignore = "longer: tests/full"]
fn half_an_hour_of_idleness() {
    let host = installed(Image::BookwormPrepared, "idle12");
    wait_until_healthy(&host, "the site");
    // What it does once is done by then.
    std::thread::sleep(Duration::from_secs(60));
    let before = Watched::at(&host, "tavernd");
    let monitor = Watched::at(&host, "tavern-monitor");
    let mut seen = vec![before.clone()];
    for minute in 1..=minutes() {
        std::thread::sleep(Duration::from_secs(60));
        let now = Watched::at(&host, "tavernd");
        assert_eq!(now.pid, before.pid, "it was restarted");
        println!(
            "note: idle, minute {minute}: tavernd {} KiB, {:.3} % of a processor, {} threads, {} descriptors",
            now.memory,
            100.0 * now.share(&before),
            now.threads,
            now.descriptors
        );
        seen.push(now);
    }
    let end = Watched::at(&host, "tavern-monitor");
    println!(
        "note: idle, the log monitor: {} KiB, {:.3} % of a processor",
        end.memory,
        100.0 * end.share(&monitor)
    );
    let last = seen.last().expect("the first is in it");
    assert!(last.share(&before) <= MOST_SHARE, "{seen:?}");
    for now in &seen {
        assert!(now.memory <= MOST_MEMORY, "{seen:?}");
        assert!(now.memory <= seen[1].memory + 1024, "memory grew: {seen:?}");
        // A look has a thread and a connection of its own while it lasts.
        assert!(now.threads <= before.threads + 4, "{seen:?}");
        assert!(now.descriptors <= before.descriptors + 8, "{seen:?}");
    }
}

#[derive(Debug, Clone)]
struct Watched {
    pid: u64,
    /// KiB.
    memory: u64,
    threads: u64,
    descriptors: u64,
    /// Seconds of a processor since it began.
    work: f64,
    /// Seconds since the host began.
    at: f64,
}

impl Watched {
    fn at(host: &Host, unit: &str) -> Self {
        let said = host.ok(&format!(
            "pid=$(systemctl show -p MainPID --value {unit}); echo $pid; \
             awk '/^VmRSS|^Threads/ {{ print $2 }}' /proc/$pid/status; ls /proc/$pid/fd | wc -l; \
             awk -v tick=$(getconf CLK_TCK) '{{ sub(/^.*\\) /, \"\"); print ($12 + $13) / tick }}' /proc/$pid/stat; \
             cut -d' ' -f1 /proc/uptime"
        ));
        let numbers: Vec<f64> = said
            .split_whitespace()
            .map(|word| word.parse().expect("a number"))
            .collect();
        let [pid, memory, threads, descriptors, work, at] = numbers[..] else {
            panic!("not six numbers: {said}");
        };
        Self {
            pid: pid as u64,
            memory: memory as u64,
            threads: threads as u64,
            descriptors: descriptors as u64,
            work,
            at,
        }
    }

    fn share(&self, before: &Self) -> f64 {
        (self.work - before.work) / (self.at - before.at).max(1.0)
    }
}
