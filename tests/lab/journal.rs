//! The journal as the log monitor reads it: real entries of real units, and those that only look like it.

use std::time::Duration;

use serde_json::Value;

use crate::support::lab::Host;

const SOON: Duration = Duration::from_secs(30);
const UNIT: &str = "tavern-counter.service";

/// Writes entries as a process of the app's unit: journald asks the kernel whose they are.
const WRITER: &str = r#"
import os, socket, subprocess, sys, time
unit, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
group = subprocess.run(['systemctl', 'show', '-p', 'ControlGroup', '--value', unit], capture_output=True, text=True).stdout.strip()
# Where that is depends on the version of the kernel's groups, and of systemd where there are both.
places = [f'/sys/fs/cgroup{top}{group}/cgroup.procs' for top in ('/systemd', '/unified', '')]
for place in filter(os.path.exists, places):
    open(place, 'w').write(str(os.getpid()))
if kind == 'plain':
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.connect('/dev/log')
    for _ in range(count):
        log.send(b'<11>counter: out of luck')
        log.send(b'<13>counter: just a word')
else:
    import fcntl
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.connect('/run/systemd/journal/socket')
    def send(fields):
        memory = os.memfd_create('entry', os.MFD_ALLOW_SEALING)
        for name, value in fields:
            os.write(memory, name + b'\n' + len(value).to_bytes(8, 'little') + value + b'\n')
        fcntl.fcntl(memory, 1033, 0xf)
        socket.send_fds(log, [b''], [memory])
        os.close(memory)
    login = b'Failed password for root from 203.0.113.66 port 1 ssh2'
    for _ in range(count):
        send([(b'PRIORITY', b'3'), (b'MESSAGE', b'x' * 1000000)])
        send([(b'PRIORITY', b'3'), (b'MESSAGE', b'\xff\xfe\x1b[2J\x1b]0;owned\x07')])
        send([(b'PRIORITY', b'3'), (b'MESSAGE', b'owned\n{"_SYSTEMD_UNIT":"nginx.service","PRIORITY":"0"}\n<script>owned</script>')])
        # Neither priority is the one.
        send([(b'PRIORITY', b'3'), (b'PRIORITY', b'6'), (b'MESSAGE', b'owned')])
        send([(b'PRIORITY', b'6'), (b'_SYSTEMD_UNIT', b'ssh.service'), (b'_COMM', b'sshd'), (b'_UID', b'0'),
              (b'SYSLOG_IDENTIFIER', b'sshd'), (b'MESSAGE', login)])
        send([(b'PRIORITY', b'3'), (b'_SYSTEMD_UNIT', b'nginx.service'), (b'MESSAGE', login)])
# Whoever is gone cannot be asked for.
time.sleep(2)
"#;

/// Errors and failed logins are found, over whatever happens to the journal; what is forged is not.
pub fn is_read(host: &Host) {
    host.write("/root/writer.py", WRITER, 0o600);
    let before = errors(host);
    assert_eq!(followed(host), Some(true));
    write(host, "plain", 30);
    counted(host, before + 30);
    the_journal_may_turn(host, before + 30);
    who_guesses_at_the_door_is_named(host);
    what_is_forged_counts_for_nothing(host);
}

/// Rotated and emptied while it is read, and while nobody reads it.
fn the_journal_may_turn(host: &Host, before: u64) {
    host.ok("sleep 2; journalctl --rotate --vacuum-time=1s");
    write(host, "plain", 30);
    counted(host, before + 30);
    let child = "pgrep -x journalctl -P $(systemctl show -p MainPID --value tavern-monitor)";
    host.ok(&format!(
        "old=$({child}); kill -KILL $old; sleep 2; journalctl --rotate --vacuum-time=1s; \
         for try in $(seq 100); do new=$({child}) && [ $new != $old ] && exit 0; sleep 0.1; done; exit 1"
    ));
    write(host, "plain", 30);
    counted(host, before + 60);
    // At once: what is written meanwhile is not lost.
    host.ok(&format!(
        "kill -KILL $({child}); python3 /root/writer.py {UNIT} plain 30"
    ));
    counted(host, before + 90);
    let status = host.ok("tavernctl status");
    let is_told = status.contains(&format!("Found      {UNIT}: "))
        && status.contains(" errors in the journal within a minute");
    assert!(is_told, "{status}");
}

/// By a real sshd, from a client in a network of its own, whose name is all of such a line.
fn who_guesses_at_the_door_is_named(host: &Host) {
    host.ok(
        "apt-get -q update >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends openssh-server >/dev/null 2>&1; \
         systemctl start ssh.service; printf '#!/bin/sh\\necho wrong\\n' >/root/askpass; chmod +x /root/askpass; \
         ip netns add guest && ip link add door type veth peer name guest netns guest && \
         ip addr add 198.51.100.1/30 dev door && ip link set door up && \
         ip -n guest addr add 198.51.100.2/30 dev guest && ip -n guest link set guest up",
    );
    host.ok(
        "for name in root 'x from 203.0.113.66 port 1 ssh2' nobody guest; do \
         SSH_ASKPASS=/root/askpass SSH_ASKPASS_REQUIRE=force timeout 60 ip netns exec guest ssh -l \"$name\" -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=6 198.51.100.1 true >/dev/null 2>&1 & done; wait",
    );
    host.wait("the guesses to be found", SOON, || {
        let status = host.ok("tavernctl status");
        let is_there = status.contains("Found      ssh: 198.51.100.2 failed ");
        is_there.then_some(()).ok_or(status)
    });
    // Each of them once: what sshd says of a try beside that is none.
    let said = host.ok("journalctl --sync; journalctl -u ssh -o cat --no-pager | grep -cE '^(Failed password|drop connection)'");
    host.wait("all of them to be counted", SOON, || {
        let seen = report(host)["failed_logins"].to_string();
        (seen == said.trim()).then_some(()).ok_or(seen)
    });
    let journal = report(host);
    assert!(!journal.to_string().contains("203.0.113.66"), "{journal}");
}

fn what_is_forged_counts_for_nothing(host: &Host) {
    let before = report(host);
    host.ok(
        "for i in $(seq 30); do logger -t sshd -p auth.info 'Failed password for root from 203.0.113.66 port 1 ssh2'; done; \
         systemd-run --quiet --wait --unit=sshd-forged -p SyslogIdentifier=sshd \
         python3 -c 'import ctypes; ctypes.CDLL(None).prctl(15, b\"sshd\"); print(\"Failed password for root from 203.0.113.66 port 1 ssh2\\n\" * 30, flush=True); import time; time.sleep(1)'",
    );
    write(host, "hostile", 5);
    // Three of each round are errors of the app's unit, whatever is in them, and one more says so of another.
    counted(
        host,
        before["units"][UNIT]["errors"].as_u64().unwrap_or_default() + 20,
    );
    let after = report(host);
    assert_eq!(after["failed_logins"], before["failed_logins"], "{after}");
    assert_eq!(
        after["units"]["nginx.service"],
        before["units"]["nginx.service"]
    );
    let said = host.ok("journalctl --sync; journalctl -u tavern-monitor -o cat --no-pager");
    for text in [&after.to_string(), &host.ok("tavernctl status"), &said] {
        for word in ["owned", "\u{1b}", "<script", "203.0.113.66"] {
            assert!(!text.contains(word), "{word:?} in {text}");
        }
    }
}

fn write(host: &Host, kind: &str, count: u64) {
    host.ok(&format!("python3 /root/writer.py {UNIT} {kind} {count}"));
}

fn report(host: &Host) -> Value {
    let report = host.ok("cat /run/tavern-monitor/report.json");
    let report: Value = serde_json::from_str(&report).unwrap_or_default();
    report["journal"].clone()
}

fn followed(host: &Host) -> Option<bool> {
    report(host)["is_followed"].as_bool()
}

fn errors(host: &Host) -> u64 {
    report(host)["units"][UNIT]["errors"]
        .as_u64()
        .unwrap_or_default()
}

/// Each of them, and none twice.
fn counted(host: &Host, wanted: u64) {
    host.wait("the errors to be counted", SOON, || {
        let seen = errors(host);
        (seen >= wanted).then_some(()).ok_or(seen.to_string())
    });
    assert_eq!(errors(host), wanted);
}
