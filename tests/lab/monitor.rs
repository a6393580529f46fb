//! The log monitor on a real host: what it sees, what it survives, and what hostile lines do to it.
#![allow(clippy::print_stdout, reason = "the numbers are for people")]

use std::time::Duration;

use serde_json::Value;

use crate::journal;
use crate::site::installed;
use crate::support::lab::{Host, Image};

const REPORT: &str = "/run/tavern-monitor/report.json";
const LOG: &str = "/var/log/nginx/counter-main.access.json";

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_12_logs_are_watched() {
    the_logs_are_watched(&installed(Image::BookwormPrepared, "monitor12"));
}

#[test]
fn debian_13_logs_are_watched() {
    the_logs_are_watched(&installed(Image::TrixiePrepared, "monitor13"));
}

/// 10,000 lines a second for a minute, as nginx writes them, with a rotation in the middle: none is lost, and what the
/// monitor says is two seconds old at most. `TAVERN_FLOOD_SECONDS` makes a trial shorter.
#[test]
#[ignore = "longer: tests/full"]
fn a_minute_of_ten_thousand_lines_a_second() {
    let said = std::env::var("TAVERN_FLOOD_SECONDS").ok();
    let seconds: u64 = said.map_or(60, |text| {
        text.parse().expect("TAVERN_FLOOD_SECONDS is a number")
    });
    // The report looks back five minutes.
    assert!((10..=240).contains(&seconds), "10 to 240 seconds");
    let host = installed(Image::BookwormPrepared, "flood12");
    // The minute's own requests would be counted with them.
    host.ok("systemctl stop tavern-check.timer; curl -sk -o /dev/null https://localhost/");
    host.write("/root/flood.py", FLOOD, 0o600);
    let report = host.ok(&format!("python3 /root/flood.py {LOG} {REPORT} {seconds}"));
    println!("note: flood: {}", report.trim());
    let number = |name: &str| -> f64 {
        let mut words = report.split_whitespace();
        words
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {report}"))
    };
    assert!(number("lines") >= (seconds * 10_000) as f64, "{report}");
    assert!(
        (number("lines") - number("counted")).abs() < 0.5,
        "{report}"
    );
    assert!(number("behind") <= 2.0, "{report}");
}

/// Writes the newest line of the log again and again, and compares each report with what was written by its time.
const FLOOD: &str = r#"
import json, os, sys, threading, time
log, report, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
line = open(log, 'rb').read().splitlines()[-1] + b'\n'
site = os.path.basename(log).removesuffix('.access.json')
def seen():
    while True:
        try:
            read = json.load(open(report))
            return read['time'], read['sites'][site]['requests']
        except (OSError, ValueError, KeyError):
            time.sleep(0.05)
time.sleep(5)
before = seen()[1]
written, marks, behind = 0, [(time.time(), 0)], 0.0
over = False
def watch():
    global behind
    last = 0
    while not over:
        at, count = seen()
        if at != last:
            last = at
            # When the first line was written that it has not counted.
            missed = next((when for when, lines in marks if lines > count - before), None)
            if missed is not None:
                # It was written within the second after that.
                behind = max(behind, at + 1 - missed)
        time.sleep(0.1)
watcher = threading.Thread(target=watch)
watcher.start()
file = open(log, 'ab', buffering=0)
begun = time.monotonic()
for step in range(seconds * 20):
    for _ in range(10):
        file.write(line * 50)
    written += 500
    marks.append((time.time(), written))
    if step == seconds * 10:
        os.rename(log, log + '.1')
        fresh = open(log, 'ab', buffering=0)
        # nginx goes on with the old one until it is told.
        for _ in range(20):
            file.write(line * 50)
        written += 1000
        marks.append((time.time(), written))
        file = fresh
    time.sleep(max(0, begun + (step + 1) / 20 - time.monotonic()))
took = time.monotonic() - begun
end = time.time()
while time.time() < end + 30 and seen()[1] - before < written:
    time.sleep(0.1)
time.sleep(5)
over = True
watcher.join()
print(f'lines={written} counted={seen()[1] - before} seconds={took:.1f} bytes={len(line)} behind={behind:.2f}')
"#;

fn the_logs_are_watched(host: &Host) {
    who_guesses_is_named(host);
    no_line_is_lost_over_a_rotation(host);
    hostile_lines_move_nothing(host);
    a_killed_monitor_comes_back(host);
    // An address comes with it, which the certificate would have to cover.
    journal::is_read(host);
    its_reader_is_small(host);
    it_is_given_back(host);
}

fn site(host: &Host, name: &str) -> Option<Value> {
    // Its directory goes and comes with it.
    let report = host.sh(&format!("cat {REPORT}")).stdout;
    let report: Value = serde_json::from_str(&report).ok()?;
    report.get("sites")?.get(name).cloned()
}

fn requests(host: &Host, name: &str) -> u64 {
    let site = site(host, name);
    let requests = site.as_ref().and_then(|site| site["requests"].as_u64());
    requests.unwrap_or_default()
}

fn who_guesses_is_named(host: &Host) {
    // From another machine: the host's own checks are not what is looked for.
    let close = format!("https://{}/close/", host.ip());
    for _ in 0..40 {
        let asked = std::process::Command::new("curl")
            .args(["-sk", "-u", "admin:wrong", "-o", "/dev/null", &close])
            .status();
        assert!(asked.expect("curl is installed by tests/run").success());
    }
    let holes = format!("https://{}/setup-[1-90].php", host.ip());
    let asked = std::process::Command::new("curl")
        .args(["-sk", "-o", "/dev/null", &holes])
        .status();
    assert!(asked.expect("curl is installed by tests/run").success());
    let both = ["was refused", "for what is not there"];
    host.wait("both to be found", Duration::from_secs(20), || {
        let status = host.ok("tavernctl status");
        let is_there = both.iter().all(|text| {
            let mut lines = status.lines();
            lines.any(|line| line.starts_with("Found") && line.contains(text))
        });
        is_there.then_some(()).ok_or(status)
    });
    let journal = host.ok("journalctl --sync; journalctl -u tavern-monitor -o json --no-pager");
    for text in both {
        assert!(journal.contains(text), "{journal}");
    }
}

fn no_line_is_lost_over_a_rotation(host: &Host) {
    let before = requests(host, "counter-main");
    // Written by one process to one open file, as nginx does; renamed and made anew under it, as logrotate does.
    host.write(
        "/root/flood.py",
        &format!(
            "import os, time\n\
             line = b'{{\"client\":\"198.51.100.3\",\"status\":\"200\",\"request_time\":\"0.003\"}}\\n'\n\
             log = open('{LOG}', 'ab', buffering=0)\n\
             for second in range(8):\n\
             \x20   begun = time.monotonic()\n\
             \x20   for _ in range(100):\n\
             \x20       log.write(line * 100)\n\
             \x20   if second == 3:\n\
             \x20       os.rename('{LOG}', '{LOG}.1')\n\
             \x20       fresh = open('{LOG}', 'ab', buffering=0)\n\
             \x20       log.write(line * 100)\n\
             \x20       log = fresh\n\
             \x20   time.sleep(max(0, 1 - (time.monotonic() - begun)))\n"
        ),
        0o600,
    );
    host.ok("python3 /root/flood.py");
    host.wait("all lines to be counted", Duration::from_secs(20), || {
        let seen = requests(host, "counter-main") - before;
        (seen >= 80_100).then_some(()).ok_or(seen.to_string())
    });
    assert_eq!(requests(host, "counter-main") - before, 80_100);
    host.ok("chown www-data:adm /var/log/nginx/counter-main.access.json; chmod 0640 /var/log/nginx/counter-main.access.json; nginx -s reopen");
}

fn hostile_lines_move_nothing(host: &Host) {
    let pid = host.ok("systemctl show -p MainPID --value tavern-monitor");
    // Through nginx: a client's own words. And past it, whatever gets into the file.
    host.ok(
        "curl -sk -o /dev/null -A \"$(printf 'x\\033]0;owned\\007\\\"status\\\":\\\"500\\\"<script>')\" https://localhost/ && \
         head -c 1000000 /dev/zero | tr '\\0' x >> /var/log/nginx/counter-main.access.json && \
         printf '\\n\\377\\376\\033[2J{\"status\":\"500\"}\\n{\"client\":\"\\033[31m\",\"status\":\"500\",\"request_time\":\"1\"}\\n' \
         >> /var/log/nginx/counter-main.access.json",
    );
    host.wait("the lines to be read", Duration::from_secs(20), || {
        let unreadable = site(host, "counter-main").and_then(|site| site["unreadable"].as_u64());
        (unreadable >= Some(2))
            .then_some(())
            .ok_or(format!("{unreadable:?}"))
    });
    let seen = site(host, "counter-main").unwrap_or_default();
    assert_eq!(seen["statuses"][4], 0, "{seen}");
    let status = host.ok("tavernctl status");
    assert!(!status.contains('\u{1b}'), "{status}");
    assert_eq!(
        host.ok("systemctl show -p MainPID --value tavern-monitor"),
        pid
    );
    let memory =
        host.ok("grep VmRSS /proc/$(systemctl show -p MainPID --value tavern-monitor)/status");
    let kib: u64 = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(u64::MAX);
    assert!(kib < 25 * 1024, "{memory}");
}

/// The monitor and its `journalctl`, after all that: what is theirs alone, and of what they share their part.
fn its_reader_is_small(host: &Host) {
    let said = host.ok(
        "main=$(systemctl show -p MainPID --value tavern-monitor); \
         for pid in $main $(pgrep -P $main); do echo \"$(cat /proc/$pid/comm) $(awk '/^Pss:/ { print $2 }' /proc/$pid/smaps_rollup)\"; done",
    );
    println!(
        "note: the log monitor, KiB: {}",
        said.trim().replace('\n', ", ")
    );
    let sizes = said
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    let kib: u64 = sizes.filter_map(|size| size.parse::<u64>().ok()).sum();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!((1..25 * 1024).contains(&kib), "{said}");
}

fn a_killed_monitor_comes_back(host: &Host) {
    host.ok("systemctl kill -s KILL tavern-monitor");
    host.wait("the monitor to come back", Duration::from_secs(30), || {
        host.ok("curl -sk -o /dev/null https://localhost/");
        let seen = requests(host, "counter-main");
        (1..80_000)
            .contains(&seen)
            .then_some(())
            .ok_or(seen.to_string())
    });
    assert_eq!(
        host.ok("tavernctl install --yes").trim(),
        "Nothing to change."
    );
}

fn it_is_given_back(host: &Host) {
    host.ok("tavernctl uninstall --yes --purge");
    assert!(!host.sh("systemctl cat tavern-monitor.service").success());
    assert!(!host.sh("test -e /run/tavern-monitor").success());
}
