//! Counts under load, and what must not lose one.

#![allow(clippy::print_stdout, reason = "what a soak saw is for people")]

use std::process::Command;

use crate::site::{count, edit, installed, token, wait_until_healthy};
use crate::support::lab::{Host, Image};

#[test]
fn ten_thousand_counts_are_ten_thousand() {
    let host = without_limits(Image::BookwormPrepared, "load12");
    let token = token(&host);
    let before = count(&host, &token);
    ten_thousand(&host, &token);
    assert_eq!(count(&host, &token), before + 10_001);

    host.ok("docker restart redis-flask");
    wait_until_healthy(&host, "Redis to be back");
    assert_eq!(count(&host, &token), before + 10_002);

    host.reboot();
    wait_until_healthy(&host, "the site to be back");
    assert_eq!(count(&host, &token), before + 10_003);

    a_newer_binary_upgrades(&host);
    assert_eq!(count(&host, &token), before + 10_004);
}

/// A host whose API may be asked more than people do.
fn without_limits(image: Image, name: &str) -> Host {
    let host = installed(image, name);
    let limits =
        "app = \"counter\"\nlimits = { rate = 100000, burst = 100000, connections = 10000 }";
    edit(&host, "app = \"counter\"", limits);
    host.ok("tavernctl install --yes");
    host
}

/// 256 in flight, over TLS, with a client that counts what is not 200.
fn ten_thousand(host: &Host, token: &str) {
    let url = format!("https://{}/flask/api/count", host.ip());
    let output = Command::new("ab")
        .args([
            "-q",
            "-k",
            "-n",
            "10000",
            "-c",
            "256",
            "-H",
            &format!("Authorization: Bearer {token}"),
            &url,
        ])
        .output()
        .expect("ab is installed by tests/run");
    let report = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        report.contains("Complete requests:      10000"),
        "{report}{complaints}"
    );
    let refused = || {
        host.ok(
            "grep -hv '\" 200 ' /var/log/nginx/counter-flask.access.log | tail -n 3; \
             tail -n 3 /var/log/nginx/counter-flask.error.log",
        )
    };
    assert!(
        !report.contains("Non-2xx responses"),
        "{report}{}",
        refused()
    );
    // A count grows by a digit now and then: only lengths may differ.
    let failed = report.lines().find(|line| line.contains("(Connect:"));
    assert!(
        failed.is_none_or(
            |line| line.contains("Connect: 0, Receive: 0") && line.contains("Exceptions: 0")
        ),
        "{report}"
    );
}

fn a_newer_binary_upgrades(host: &Host) {
    // Another build: the same program with a byte behind its end.
    host.ok("cp /root/tavernctl /root/newer && printf x >> /root/newer && chmod 755 /root/newer");
    let pid = host.ok("systemctl show -p MainPID --value tavern-counter");
    let output = host.ok("/root/newer install --yes 2>&1");
    assert!(
        output.contains("binary:/usr/local/bin/tavernctl"),
        "{output}"
    );
    host.ok("cmp /root/newer /usr/local/bin/tavernctl");
    assert_ne!(
        host.ok("systemctl show -p MainPID --value tavern-counter"),
        pid
    );
    assert_eq!(
        host.ok("tavernctl install --yes").trim(),
        "Nothing to change."
    );
}

/// Requests go on while the app restarts again and again: the socket keeps them, none is refused or counted twice,
/// and none waits longer than a quarter of a second.
#[test]
#[ignore = "longer: tests/full"]
fn a_hundred_thousand_counts_over_twenty_restarts() {
    let host = without_limits(Image::TrixiePrepared, "restarts13");
    let token = token(&host);
    let before = count(&host, &token);
    let mut longest = 0.0_f64;
    let (mut sent, mut restarts) = (0, 0);
    while sent < 100_000 || restarts < 20 {
        std::thread::scope(|scope| {
            let load = scope.spawn(|| some_counts(&host, &token, 20_000));
            while !load.is_finished() {
                host.ok("tavernctl restart");
                restarts += 1;
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            let report = load.join().expect("no request failed");
            longest = longest.max(reported(&report, "100%"));
        });
        sent += 20_000;
    }
    println!("note: {restarts} restarts, {sent} counts, the longest took {longest} ms");
    assert_eq!(count(&host, &token), before + sent + 1);
    assert!(longest <= 250.0, "a request waited for {longest} ms");
}

/// A number of ab's report.
fn reported(report: &str, label: &str) -> f64 {
    let line = report.lines().find(|line| line.trim().starts_with(label));
    line.and_then(|line| {
        line.split_whitespace()
            .find_map(|word| word.parse::<f64>().ok())
    })
    .unwrap_or_else(|| panic!("no {label} in {report}"))
}

/// `requests` counts, 32 in flight; what ab says of them.
fn some_counts(host: &Host, token: &str, requests: u32) -> String {
    let output = Command::new("ab")
        .args(["-q", "-k", "-n", &requests.to_string(), "-c", "32", "-H"])
        .arg(format!("Authorization: Bearer {token}"))
        .arg(format!("https://{}/flask/api/count", host.ip()))
        .output()
        .expect("ab is installed by tests/run");
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        report.contains(&format!("Complete requests:      {requests}"))
            && !report.contains("Non-2xx responses"),
        "{report}"
    );
    let failed = report.lines().find(|line| line.contains("(Connect:"));
    assert!(
        failed.is_none_or(
            |line| line.contains("Connect: 0, Receive: 0") && line.contains("Exceptions: 0")
        ),
        "{report}"
    );
    report
}

/// What the process has: KiB of memory, and descriptors.
fn belongings(host: &Host) -> (u64, u64) {
    let said = host.ok("pid=$(systemctl show -p MainPID --value tavern-counter); \
         awk '/VmRSS/ { print $2 }' /proc/$pid/status; ls /proc/$pid/fd | wc -l");
    let mut numbers = said
        .split_whitespace()
        .map(|word| word.parse().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    (next(), next())
}

/// Ten, or for a trial as many as `TAVERN_SOAK_MINUTES` says: two at least, for one alone compares nothing.
fn minutes() -> usize {
    let said = std::env::var("TAVERN_SOAK_MINUTES").ok();
    let minutes = said.map_or(10, |text| {
        text.parse().expect("TAVERN_SOAK_MINUTES is a number")
    });
    assert!(minutes >= 2, "two minutes at least");
    minutes
}

/// Ten minutes at half of what it can: memory and descriptors stay where they were after the first; how long
/// requests took is printed for people.
#[test]
#[ignore = "longer: tests/full"]
fn ten_minutes_at_half_the_peak() {
    let host = crate::service::unlimited(Image::BookwormPrepared, "soak12");
    let mut token = token(&host);
    let peak = reported(&some_counts(&host, &token, 50_000), "Requests per second:");
    let a_second = (peak / 2.0) as u32;
    let mut seen = Vec::new();
    for minute in 0..minutes() {
        let begun = std::time::Instant::now();
        let mut slowest: f64 = 0.0;
        let mut sent = 0;
        while begun.elapsed() < std::time::Duration::from_secs(60) {
            slowest = slowest.max(reported(&some_counts(&host, &token, a_second), "99%"));
            sent += a_second;
            // As many as half the peak has had time for.
            let due = std::time::Duration::from_secs_f64(f64::from(sent) / f64::from(a_second));
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let (memory, descriptors) = belongings(&host);
        println!(
            "note: soak, minute {minute}: {sent} counts, p99 {slowest} ms, {memory} KiB, {descriptors} descriptors"
        );
        seen.push((memory, descriptors));
        token = crate::site::token(&host);
    }
    let (memory, descriptors) = seen[0];
    for (later, open) in &seen[1..] {
        assert!(*later <= memory + 2048, "memory grew: {seen:?}");
        // nginx keeps 64 connections at most.
        assert!(*open <= descriptors + 64, "descriptors grew: {seen:?}");
    }
}
