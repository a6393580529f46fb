//! Bad input on a real host: one clear error that names what, where and the way out, and nothing
//! is changed by it.
//!
//! Each [`Case`] makes its cause on the host, runs a command, and compares the whole host before
//! and after with `tests/lab/manifest.sh`. The cure has to leave the host as it was found, so that
//! one host serves all of them.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::lab::{Host, Image, Output, redis_image_tar, tavernctl};

#[path = "refusals/cases.rs"]
mod cases;
#[path = "refusals/stack_files.rs"]
mod stack_files;

use cases::{Case, Trace};

const BINARY: &str = "/root/tavernctl";
const MANIFEST: &str = "/root/manifest";
const STACK: &str = "/etc/tavern/stacks/counter.toml";
const DEFAULT: &str = include_str!("../../provision/counter.toml");

/// The longest a refusal may take; a registry that swallows every packet is the slowest.
const PATIENCE: Duration = Duration::from_secs(60);

fn host(name: &str) -> Host {
    let host = Host::boot(Image::BookwormPrepared, name);
    host.put(&tavernctl(), BINARY);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/manifest.sh");
    host.put(&script, MANIFEST);
    // What they start in the middle of a comparison is no doing of ours.
    host.ok("systemctl stop '*.timer'");
    // It is stopped and started more often here than systemd lets pass.
    host.ok("mkdir /etc/systemd/system/docker.{service,socket}.d; \
         printf '[Unit]\\nStartLimitIntervalSec=0\\n' | \
         tee /etc/systemd/system/docker.{service,socket}.d/lab.conf; systemctl daemon-reload");
    host
}

fn manifest(host: &Host, trace: Trace) -> String {
    let mode = match trace {
        Trace::Untouched => "untouched",
        Trace::Undone => "undone",
    };
    host.ok(&format!("{MANIFEST} {mode}"))
}

/// The lines that only one of two texts has.
fn difference(before: &str, after: &str) -> String {
    let only = |sign: &str, a: &str, b: &str| -> String {
        let b: std::collections::HashSet<_> = b.lines().collect();
        a.lines()
            .filter(|line| !b.contains(line))
            .map(|line| format!("{sign} {line}\n"))
            .collect()
    };
    only("-", before, after) + &only("+", after, before)
}

/// One error, one help, each with its words; no panic, nothing that a terminal would obey.
#[track_caller]
fn assert_refused(name: &str, output: &Output, error: &[&str], help: &[&str]) {
    let said = &output.stderr;
    assert_eq!(output.code, 1, "{name}: {output}");
    let lines = |start: &str| said.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines("error:"), 1, "{name}: not one error\n{output}");
    assert_eq!(lines("help:"), 1, "{name}: not one help\n{output}");
    let from = said.find("error:").unwrap();
    let (what, way_out) = said[from..].split_once("\nhelp:").unwrap();
    for word in error {
        assert!(
            what.contains(word),
            "{name}: no `{word}` in the error\n{output}"
        );
    }
    for word in help {
        assert!(
            way_out.contains(word),
            "{name}: no `{word}` in the help\n{output}"
        );
    }
    assert!(!said.contains("panicked"), "{name}: {output}");
    assert!(
        !said.chars().any(|c| c.is_control() && c != '\n'),
        "{name}: control characters in {said:?}"
    );
    eprintln!("## {name}\n{}", said[from..].trim_end());
}

/// Gives the host's manifest after the cure, which is the one it was `found` with.
fn refuse(host: &Host, found: String, case: &Case) -> String {
    if let Some(content) = &case.stack {
        host.ok(&format!(
            "mkdir -p {}",
            Path::new(STACK).parent().unwrap().display()
        ));
        host.write(STACK, content, 0o644);
    }
    host.ok(case.cause);
    let before = manifest(host, case.trace);
    let began = Instant::now();
    let output = host.sh(&format!("{} </dev/null", case.command));
    let took = began.elapsed();
    assert_refused(case.name, &output, case.error, case.help);
    assert!(took < PATIENCE, "{}: took {took:?}", case.name);
    eprintln!("({:.1} s)\n", took.as_secs_f32());
    let changes = difference(&before, &manifest(host, case.trace));
    assert!(
        changes.is_empty(),
        "{}: changed\n{changes}{output}",
        case.name
    );
    let served = host.ok("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/");
    assert_eq!(served, "200", "{}: Debian's own site", case.name);
    host.ok(case.cure);
    if case.stack.is_some() {
        host.ok(&format!("rm {STACK}; rmdir /etc/tavern/stacks /etc/tavern"));
    }
    let cured = manifest(host, Trace::Undone);
    eprintln!("(case took {:.1} s)", began.elapsed().as_secs_f32());
    let changes = difference(&found, &cured);
    assert!(changes.is_empty(), "{}: not cured\n{changes}", case.name);
    cured
}

#[test]
fn a_host_that_is_not_ready_is_refused_and_left_as_it_was() {
    let host = host("refusals");
    let found = manifest(&host, Trace::Undone);
    cases::without_image()
        .iter()
        .fold(found, |found, case| refuse(&host, found, case));
    host.load_image(&redis_image_tar());
    let found = manifest(&host, Trace::Undone);
    cases::with_image()
        .iter()
        .fold(found, |found, case| refuse(&host, found, case));
    a_second_run_waits_for_none(&host);
    an_installed_host_keeps_serving(&host);
}

/// The host once what others still do for the stopped run, systemd and Docker, has come to its end.
fn settled(host: &Host) -> String {
    let mut last = manifest(host, Trace::Untouched);
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(500));
        let now = manifest(host, Trace::Untouched);
        if now == last {
            return now;
        }
        last = now;
    }
    panic!("the host does not come to rest");
}

/// The first run is held in its middle, and then let go: what it leaves is an installed host.
fn a_second_run_waits_for_none(host: &Host) {
    let pid = host.ok(&format!(
        "setsid {BINARY} install --yes </dev/null >/root/first.log 2>&1 & pid=$!
         until [ -e /var/lib/tavern/journal.jsonl ]; do :; done
         kill -STOP $pid; sleep 0.5; echo $pid"
    ));
    let pid = pid.trim();
    let before = settled(host);
    for verb in ["install --yes", "plan", "uninstall --yes"] {
        let output = host.sh(&format!("{BINARY} {verb} </dev/null"));
        let error = format!("another tavernctl is at work: process {pid}");
        assert_refused(&format!("locked: {verb}"), &output, &[&error], &["wait"]);
    }
    let changes = difference(&before, &manifest(host, Trace::Untouched));
    assert!(changes.is_empty(), "locked: {changes}");
    host.ok(&format!("kill -CONT {pid}"));
    host.wait("the first run to end", Duration::from_secs(60), || {
        let alive = host.sh(&format!("kill -0 {pid}")).success();
        if alive {
            Err(host.read("/root/first.log"))
        } else {
            Ok(())
        }
    });
    let again = host.sh(&format!("{BINARY} install --yes </dev/null"));
    assert!(
        again.success() && again.stdout.contains("Nothing to change."),
        "{again}\n{}",
        host.read("/root/first.log")
    );
}

fn an_installed_host_keeps_serving(host: &Host) {
    let serves = |what: &str| {
        let codes = host.ok(
            "curl -sk -o /dev/null -w '%{http_code} ' https://127.0.0.1/ https://127.0.0.1/open \
             https://127.0.0.1/flask/api/ping",
        );
        // curl gives one code for each address it was told.
        assert!(codes.starts_with("200 "), "{what}: {codes}");
        host.ok("curl -sfk https://127.0.0.1/flask/api/ping");
    };
    serves("installed");
    for (name, edit, trace, error, help) in cases::edits() {
        let sound = host.read(STACK);
        host.write(STACK, &edit(&sound), 0o644);
        let before = manifest(host, trace);
        let output = host.sh(&format!("{BINARY} install --yes </dev/null"));
        assert_refused(name, &output, error, help);
        let changes = difference(&before, &manifest(host, trace));
        assert!(changes.is_empty(), "{name}: changed\n{changes}{output}");
        serves(name);
        host.write(STACK, &sound, 0o644);
    }
    let again = host.sh(&format!("{BINARY} install --yes </dev/null"));
    assert!(again.stdout.contains("Nothing to change."), "{again}");
}

/// The same image as a plain container: no init, no systemd.
#[test]
fn a_machine_without_systemd_is_told_of_up() {
    let image = Image::BookwormPrepared.ready();
    let script = "cat >/root/tavernctl; chmod 755 /root/tavernctl; cd /; \
        look() { find etc var usr/local run -printf '%p %y %m %U:%G %C@ %s %l\\n' | sort; }; \
        look >/tmp/before; for verb in install\\ --yes plan check uninstall\\ --yes; do \
        /root/tavernctl $verb </dev/null; echo $?; done; look >/tmp/after; diff /tmp/before /tmp/after";
    let binary = std::fs::File::open(tavernctl()).unwrap();
    let output = Command::new("docker")
        .args([
            "run",
            "--rm",
            "--interactive",
            "--network",
            "none",
            image,
            "bash",
            "-c",
            script,
        ])
        .stdin(Stdio::from(binary))
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(out, "1\n1\n1\n1\n", "exit codes, then no difference\n{err}");
    assert_eq!(
        err.matches("needs a host that was booted with systemd")
            .count(),
        4,
        "{err}"
    );
    assert_eq!(err.matches("use `tavernctl up`").count(), 4, "{err}");
    eprintln!("## no systemd\n{err}");
}
