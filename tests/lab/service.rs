//! The counter service under systemd: what keeps it up, what takes it down, and new keys under load.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::site::{count, edit, exits, installed, password, status, token, wait_until_healthy};
use crate::support::lab::{Host, Image};

const UNIT: &str = "tavern-counter.service";
const SOCKET: &str = "tavern-counter.socket";

#[test]
fn debian_12_service() {
    the_service(&unlimited(Image::BookwormPrepared, "service12"));
}

#[test]
fn debian_13_service() {
    the_service(&unlimited(Image::TrixiePrepared, "service13"));
}

/// An installed host whose nginx lets one client ask as often as it likes.
pub fn unlimited(image: Image, name: &str) -> Host {
    let host = installed(image, name);
    let limits =
        "app = \"counter\"\nlimits = { rate = 100000, burst = 100000, connections = 10000 }";
    edit(&host, "app = \"counter\"", limits);
    host.ok("tavernctl install --yes");
    host
}

fn the_service(host: &Host) {
    numbers_are_for_the_operator(host);
    the_sandbox_is_what_the_unit_says(host);
    a_logout_outlives_the_process(host);
    new_keys_under_load(host);
    every_key_at_once(host);
    wrong_logins_by_the_thousand(host);
    what_the_administrator_added_is_respected(host);
    no_redis_at_the_start(host);
    a_crash_loop_keeps_the_socket(host);
    without_a_credential_it_does_not_start(host);
    a_program_that_is_not_there_is_an_error(host);
    a_foreign_thing_in_the_sockets_place(host);
    out_of_descriptors(host);
    without_a_journal_it_serves(host);
    a_hanging_process_is_ended(host);
}

fn is_answering(host: &Host) {
    assert_eq!(status(host, "https://localhost/flask/api/ping"), 200);
}

/// ab at work in the background, with this token; what it says is judged at the end.
pub fn load(host: &Host, token: &str, requests: u32) -> Child {
    let url = format!("https://{}/flask/api/count", host.ip());
    Command::new("ab")
        .args(["-q", "-k", "-n", &requests.to_string(), "-c", "32", "-H"])
        .arg(format!("Authorization: Bearer {token}"))
        .arg(&url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("ab is installed by tests/run")
}

pub fn none_failed(host: &Host, load: Child, requests: u32) {
    let output = load.wait_with_output().expect("ab ends");
    let report = String::from_utf8_lossy(&output.stdout);
    // What nginx knows of those that failed.
    let failed = host.sh(
        "cd /var/log/nginx; grep -v '\"status\":\"2' counter-flask.access.json | grep api/count | tail -n 5; \
         tail -n 5 counter-flask.error.log",
    );
    let report = format!("{report}{failed}");
    assert!(
        report.contains(&format!("Complete requests:      {requests}")),
        "{report}"
    );
    assert!(!report.contains("Non-2xx responses"), "{report}");
    let failed = report.lines().find(|line| line.contains("(Connect:"));
    // A count grows by a digit now and then: only lengths may differ.
    assert!(
        failed.is_none_or(
            |line| line.contains("Connect: 0, Receive: 0") && line.contains("Exceptions: 0")
        ),
        "{report}"
    );
}

fn numbers_are_for_the_operator(host: &Host) {
    let numbers =
        "curl -sS --unix-socket /run/tavern/counter.metrics.sock http://localhost/metrics";
    is_answering(host);
    // It answers once its own second is over.
    std::thread::sleep(Duration::from_millis(1200));
    let shown = host.ok(numbers);
    for name in [
        r#"tavern_requests_total{route="/flask/api/ping",method="GET",status="200"}"#,
        r#"tavern_request_duration_seconds_bucket{route="/flask/api/ping",le="0.001"}"#,
        r#"tavern_logins_total{outcome="accepted"}"#,
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(shown.contains(name), "no {name} in {shown}");
    }
    let mode = host.ok("stat -c '%a %U:%G' /run/tavern/counter.metrics.sock");
    assert_eq!(mode.trim(), "660 root:root");
    for path in ["/metrics", "/flask/metrics"] {
        assert_eq!(
            status(host, &format!("https://localhost{path}")),
            404,
            "{path}"
        );
    }
    let refused = host.sh(&format!(
        "setpriv --reuid 65534 --regid 65534 --clear-groups {numbers}"
    ));
    assert!(!refused.success(), "{refused}");
}

/// An old systemd takes unknown keys with a warning: what it runs with is what counts.
fn the_sandbox_is_what_the_unit_says(host: &Host) {
    let unit = host.read(&format!("/etc/systemd/system/{UNIT}"));
    let mut compared = 0;
    for line in unit.lines() {
        let Some((key, "yes")) = line.split_once('=') else {
            continue;
        };
        // Shown as the list of those that are left.
        if key == "RestrictNamespaces" {
            continue;
        }
        let shown = host.ok(&format!("systemctl show -p {key} {UNIT}"));
        assert_eq!(shown.trim(), format!("{key}=yes"));
        compared += 1;
    }
    assert!(compared >= 15, "only {compared} settings in {unit}");
    let protect = host.ok(&format!(
        "systemctl show -p ProtectSystem,ProtectProc,UMask,StartLimitIntervalUSec {UNIT}"
    ));
    for line in [
        "ProtectSystem=strict",
        "ProtectProc=invisible",
        "UMask=0077",
        "StartLimitIntervalUSec=0",
    ] {
        assert!(protect.contains(line), "{protect}");
    }
}

fn post(host: &Host, path: &str, token: &str) -> u16 {
    status(
        host,
        &format!("-X POST -H 'Authorization: Bearer {token}' https://localhost/flask/auth/{path}"),
    )
}

pub fn counts(host: &Host, token: &str) -> u16 {
    status(
        host,
        &format!("-H 'Authorization: Bearer {token}' https://localhost/flask/api/count"),
    )
}

fn a_logout_outlives_the_process(host: &Host) {
    let (ended, other) = (token(host), token(host));
    assert_eq!(post(host, "logout", &ended), 204);
    host.ok("tavernctl restart counter");
    assert_eq!(counts(host, &ended), 401);
    assert_eq!(counts(host, &other), 200);
    assert_eq!(post(host, "refresh", &other), 200);
    assert_eq!(counts(host, &other), 401, "renewed once");
}

fn new_keys_under_load(host: &Host) {
    let old = token(host);
    let before = count(host, &old);
    let requests = 30_000;
    let load = load(host, &old, requests);
    for _ in 0..3 {
        let said = host.ok("tavernctl secret rotate --yes");
        assert!(said.contains("All checks passed."), "{said}");
    }
    none_failed(host, load, requests);
    assert_eq!(count(host, &old), before + u64::from(requests) + 1);
    let new = token(host);
    assert_eq!(counts(host, &new), 200);
    let kid = |token: &str| token.split('.').next().unwrap_or_default().to_owned();
    assert_ne!(kid(&old), kid(&new), "another key signs");
    let ring = host.read("/etc/tavern/credentials/counter/jwt-key");
    assert_eq!(ring.lines().count(), 4);
    assert_eq!(
        host.ok("tavernctl install --yes").trim(),
        "Nothing to change."
    );
    let generations = host.ok("tavernctl generations");
    assert!(generations.contains("secret rotate"), "{generations}");
}

fn every_key_at_once(host: &Host) {
    let token_before = token(host);
    host.ok("tavernctl secret rotate counter --at-once --yes");
    assert_eq!(counts(host, &token_before), 401);
    assert_eq!(counts(host, &token(host)), 200);
    let unknown = host.sh("tavernctl secret rotate shop --yes");
    exits(&unknown, 1);
    assert!(
        unknown.stderr.contains("no app or container called `shop`"),
        "{unknown}"
    );
}

fn resident(host: &Host) -> u64 {
    let script = format!("grep VmRSS /proc/$(systemctl show -p MainPID --value {UNIT})/status");
    let line = host.ok(&script);
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok());
    kib.unwrap_or_else(|| panic!("no memory in {line}"))
}

/// Ten thousand of them, past nginx's own limit: throttled, in little memory, and others are not affected.
fn wrong_logins_by_the_thousand(host: &Host) {
    let good = token(host);
    let before = resident(host);
    // Straight to the socket, as from 200 addresses.
    let blocks: Vec<String> = (0..10_000)
        .map(|n| {
            format!(
                "url = \"http://localhost/flask/auth/login\"\nunix-socket = \"/run/tavern/counter.sock\"\n\
                 header = \"X-Real-IP: 198.51.100.{}\"\nheader = \"Content-Type: application/json\"\n\
                 data = \"@/root/wrong.json\"\noutput = \"/dev/null\"\nwrite-out = \"%{{http_code}}\\n\"\n",
                n % 200 + 1
            )
        })
        .collect();
    host.write(
        "/root/wrong.json",
        r#"{"username":"admin","password":"wrong"}"#,
        0o600,
    );
    host.write("/root/wrong.curl", &blocks.join("next\n"), 0o600);
    host.ok("cd /root && curl -s -K wrong.curl | sort | uniq -c > answers");
    let answers = host.read("/root/answers");
    let of = |status: &str| -> u32 {
        let line = answers.lines().find(|line| line.trim().ends_with(status));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    assert_eq!(of("401") + of("429") + of("503"), 10_000, "{answers}");
    // What an account may be guessed at in the minutes that this took.
    assert!(of("401") < 600 && of("429") > 9_000, "{answers}");
    assert_eq!(counts(host, &good), 200, "who is logged in is not affected");
    let after = resident(host);
    assert!(
        after < before + 8 * 1024,
        "{before} KiB before, {after} after"
    );
    // The account's own minute has to pass.
    host.wait("admin to be let in again", Duration::from_secs(90), || {
        let password = password(host, "app counter admin");
        let login = format!(
            "-H 'Content-Type: application/json' -d '{{\"username\":\"admin\",\"password\":\"{password}\"}}' \
             https://localhost/flask/auth/login"
        );
        match status(host, &login) {
            200 => Ok(()),
            other => Err(other.to_string()),
        }
    });
}

fn what_the_administrator_added_is_respected(host: &Host) {
    let directory = format!("/etc/systemd/system/{UNIT}.d");
    host.ok(&format!("mkdir {directory}"));
    host.write(
        &format!("{directory}/more.conf"),
        "[Service]\nTasksMax=99\n",
        0o644,
    );
    host.ok("systemctl daemon-reload && tavernctl restart");
    assert_eq!(
        host.ok("tavernctl install --yes").trim(),
        "Nothing to change."
    );
    assert_eq!(
        host.ok(&format!("systemctl show -p TasksMax --value {UNIT}"))
            .trim(),
        "99"
    );
    let said = host.ok("tavernctl check");
    // The table may have it in two lines.
    let words: String = said.split_whitespace().collect();
    assert!(words.contains("more.conf"), "{said}");
    host.ok(&format!(
        "rm -r {directory} && systemctl daemon-reload && tavernctl restart"
    ));
}

fn no_redis_at_the_start(host: &Host) {
    let token = token(host);
    let before = count(host, &token);
    // Else it would be started again at once.
    host.ok("tavernctl hold redis && docker stop redis-flask && tavernctl restart");
    let text = host.ok(&format!(
        "systemctl status --no-pager {UNIT} | grep Status:"
    ));
    assert!(text.contains("degraded: "), "{text}");
    let answer = host.ok(&format!(
        "curl -sSki -H 'Authorization: Bearer {token}' https://localhost/flask/api/count"
    ));
    let answer = answer.to_ascii_lowercase();
    assert!(
        answer.contains(" 503") && answer.contains("retry-after: "),
        "{answer}"
    );
    assert_eq!(status(host, "https://localhost/flask/health/ready"), 503);
    assert_eq!(status(host, "https://localhost/flask/health/live"), 200);
    exits(&host.sh("tavernctl check"), 2);
    host.ok("docker start redis-flask && tavernctl hold --end redis");
    wait_until_healthy(host, "the service to find Redis alone");
    assert_eq!(
        count(host, &token),
        before + 1,
        "nothing was counted meanwhile, or twice"
    );
}

fn a_crash_loop_keeps_the_socket(host: &Host) {
    for _ in 0..12 {
        host.ok(&format!(
            "systemctl kill -s KILL --kill-who=main {UNIT}; sleep 0.3; curl -sk -m 1 https://localhost/flask/api/ping; true"
        ));
    }
    let state = host.ok(&format!("systemctl is-active {SOCKET}"));
    assert_eq!(state.trim(), "active");
    host.wait(
        "the service to be back",
        Duration::from_secs(20),
        || match status(host, "https://localhost/flask/api/ping") {
            200 => Ok(()),
            other => Err(other.to_string()),
        },
    );
    wait_until_healthy(host, "the crashed service");
}

fn without_a_credential_it_does_not_start(host: &Host) {
    let key = "/etc/tavern/credentials/counter/jwt-key";
    host.ok(&format!("mv {key} /root/kept"));
    let refused = host.sh("tavernctl restart");
    exits(&refused, 1);
    exits(&host.sh("tavernctl check"), 2);
    // Too short to be one.
    host.write(key, "00112233\n", 0o600);
    exits(&host.sh("tavernctl restart"), 1);
    let said = host.ok(&format!(
        "journalctl --sync; journalctl -u {UNIT} -n 20 -o cat --no-pager"
    ));
    assert!(said.contains("at least 32 are needed"), "{said}");
    assert!(!said.contains("00112233"), "{said}");
    host.ok(&format!("mv /root/kept {key} && tavernctl restart"));
    wait_until_healthy(host, "the service with its key");
}

fn a_program_that_is_not_there_is_an_error(host: &Host) {
    let directory = format!("/run/systemd/system/{UNIT}.d");
    host.ok(&format!("mkdir -p {directory}"));
    let text = "[Service]\nExecStart=\nExecStart=/usr/local/bin/not-there\n";
    host.write(&format!("{directory}/gone.conf"), text, 0o644);
    host.ok("systemctl daemon-reload");
    let refused = host.sh("tavernctl restart");
    exits(&refused, 1);
    host.ok(&format!(
        "rm -r {directory} && systemctl daemon-reload && tavernctl restart"
    ));
    wait_until_healthy(host, "the program to be there again");
}

fn a_foreign_thing_in_the_sockets_place(host: &Host) {
    host.ok(
        "tavernctl stop && mkdir /run/tavern/counter.sock && touch /run/tavern/counter.sock/theirs",
    );
    exits(&host.sh("tavernctl start"), 1);
    host.ok("test -e /run/tavern/counter.sock/theirs && rm -r /run/tavern/counter.sock");
    // What a socket that nobody listens on left.
    host.ok("perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"/run/tavern/counter.sock\", Listen => 1) or die'");
    host.ok(&format!(
        "systemctl reset-failed {SOCKET} {UNIT}; tavernctl start"
    ));
    wait_until_healthy(host, "the socket in its place");
}

/// More connections than it may have: those that fit are served, and when they are gone it is as before.
fn out_of_descriptors(host: &Host) {
    host.ok(&format!(
        "prlimit --nofile=40:40 --pid $(systemctl show -p MainPID --value {UNIT})"
    ));
    let said = host.ok(
        "perl -MIO::Socket::UNIX -e 'my @all = map { IO::Socket::UNIX->new(Peer => \"/run/tavern/counter.sock\") or die } 1..100; \
         sleep 2; print scalar(@all)'; systemctl is-active tavern-counter.socket tavern-counter.service",
    );
    assert_eq!(said.trim(), "100active\nactive");
    is_answering(host);
    assert_eq!(counts(host, &token(host)), 200);
    host.ok("tavernctl restart");
}

fn without_a_journal_it_serves(host: &Host) {
    host.ok("systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service");
    let good = token(host);
    for _ in 0..5 {
        status(
            host,
            "-H 'Content-Type: application/json' -d '{\"username\":\"x\",\"password\":\"y\"}' https://localhost/flask/auth/login",
        );
    }
    assert_eq!(counts(host, &good), 200);
    host.ok("tavernctl restart");
    assert_eq!(counts(host, &good), 200);
    host.ok("systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service && tavernctl restart");
}

/// Stopped, it does not answer its own watchdog: systemd ends it and starts another.
fn a_hanging_process_is_ended(host: &Host) {
    let pid = |host: &Host| host.ok(&format!("systemctl show -p MainPID --value {UNIT}"));
    let before = pid(host);
    host.ok(&format!("kill -STOP {}", before.trim()));
    host.wait("the watchdog", Duration::from_secs(90), || {
        let now = pid(host);
        if now != before && now.trim() != "0" {
            Ok(())
        } else {
            Err(now)
        }
    });
    is_answering(host);
    let result = host.ok(&format!(
        "journalctl --sync; journalctl -u {UNIT} -n 40 --no-pager -o cat"
    ));
    assert!(result.contains("atchdog timeout"), "{result}");
}
