//! What the app's unit may not do, and what strict readers say of the files Tavern writes.

use std::process::Command;

use crate::site::installed;
use crate::support::lab::{Host, Image};

#[test]
fn debian_12_sandbox_and_graders() {
    graders_are_content(&installed(Image::BookwormPrepared, "sandbox12"));
}

#[test]
fn debian_13_sandbox_and_graders() {
    graders_are_content(&installed(Image::TrixiePrepared, "sandbox13"));
}

fn graders_are_content(host: &Host) {
    exposure_is_low(host);
    verify_prints_nothing(host);
    the_unit_reaches_nothing(host);
    gixy_finds_nothing(host, "tavern-counter.conf");
    // With named hosts there is a server for all other names.
    host.ok(
        "sed -i 's/^hosts = .*/hosts = [\"tavern.example\"]/' /etc/tavern/stacks/counter.toml && \
         tavernctl install --yes",
    );
    gixy_finds_nothing(host, "tavern-0-default.conf");
}

fn exposure_is_low(host: &Host) {
    for (unit, most) in [("tavern-counter", 0.4), ("tavern-monitor", 0.4)] {
        let report = host.ok(&format!(
            "systemd-analyze security --no-pager {unit}.service | tail -n 1"
        ));
        let level: f64 = report
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("no level in {report}"));
        assert!(level <= most, "{report}");
    }
}

/// `verify` exits 0 on misspelt keys: any word is a failure.
fn verify_prints_nothing(host: &Host) {
    let output = host.sh("systemd-analyze verify /etc/systemd/system/tavern-*.service /etc/systemd/system/tavern-*.socket");
    assert!(
        output.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output}"
    );
}

/// The unit's own settings around a program that tries the doors.
fn the_unit_reaches_nothing(host: &Host) {
    let probe = "#!/bin/bash\n\
        try() { if \"${@:2}\" >/dev/null 2>&1; then echo \"$1 OPEN\"; else echo \"$1 refused\"; fi; }\n\
        try own-credential test -r \"$CREDENTIALS_DIRECTORY/jwt-key\"\n\
        try docker-socket curl -sf --unix-socket /run/docker.sock http://localhost/version\n\
        try etc-tavern ls /etc/tavern\n\
        try state ls /var/lib/tavern\n\
        try tcp-loopback bash -c 'exec 3<>/dev/tcp/127.0.0.1/443'\n\
        try tcp-outside bash -c 'exec 3<>/dev/tcp/198.51.100.1/80'\n\
        try write-etc touch /etc/x\n\
        try shadow cat /etc/shadow\n\
        try home ls /root\n\
        try redis-socket test -S /run/tavern/redis-flask/redis.sock\n";
    host.write("/usr/local/lib/tavern-probe", probe, 0o755);
    host.ok(
        "sed -e 's|^ExecStart=.*|ExecStart=/usr/local/lib/tavern-probe|' -e 's/^Type=notify/Type=oneshot/' \
             -e '/^Requires=/d' -e '/^Wants=/d' -e '/^Sockets=/d' -e '/^WatchdogSec=/d' -e '/^Restart/d' -e '/^Alias=/d' -e '/^SyslogIdentifier=/d' \
             /etc/systemd/system/tavern-counter.service > /run/systemd/system/tavern-probe.service && \
         systemctl daemon-reload && systemctl start tavern-probe.service",
    );
    let said = host.ok("journalctl --sync; journalctl -u tavern-probe.service -o cat --no-pager");
    for open in ["own-credential OPEN", "redis-socket OPEN"] {
        assert!(said.contains(open), "what the app needs is refused: {said}");
    }
    for refused in [
        "docker-socket",
        "etc-tavern",
        "state",
        "tcp-loopback",
        "tcp-outside",
        "write-etc",
        "shadow",
        "home",
    ] {
        assert!(said.contains(&format!("{refused} refused")), "{said}");
    }
    host.ok("rm /usr/local/lib/tavern-probe /run/systemd/system/tavern-probe.service; systemctl daemon-reload");
}

/// In any file of ours, `expected` among them.
pub fn gixy_finds_nothing(host: &Host, expected: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let listing = host
        .ok("grep -rl 'Written by Tavern' /etc/nginx --include='*.conf' | grep -v sites-enabled");
    assert!(
        listing.lines().any(|path| path.ends_with(expected)),
        "no {expected} bears our mark: {listing}"
    );
    // As nginx includes them, what is shared first: whose port has a default server is in another file.
    let mut paths: Vec<&str> = listing.lines().collect();
    paths.sort_by_key(|path| !path.contains("/conf.d/"));
    assert!(paths.len() >= 2, "only {paths:?} bear our mark");
    let inner: String = paths.iter().map(|path| host.read(path) + "\n").collect();
    let file = directory.path().join("whole.conf");
    std::fs::write(&file, format!("http {{\n{inner}}}\n")).expect("a file in it");
    let output = Command::new(gixy())
        .args(["-f", "json"])
        .arg(&file)
        .output()
        .expect("gixy is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.trim(),
        "[]",
        "{paths:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// No other than the one that is pinned: what a gixy finds depends on its version.
fn gixy() -> String {
    std::env::var("TAVERN_GIXY").unwrap_or_else(|_| {
        panic!(
            "TAVERN_GIXY is not set: run tests/run, which installs the pinned gixy, \
             or set it to a gixy-ng of the version at the head of tests/run"
        )
    })
}
