//! What happens on the sites, as alerts: failures, guesses, and when they are over. Whatever stands in the logs.

use std::process::Command;
use std::time::Duration;

use crate::site::{STACK, exits, installed, round, wait_until_healthy};
use crate::support::lab::{Host, Image};

const SOON: Duration = Duration::from_secs(60);
const LOG: &str = "/var/log/nginx/counter-main.access.json";

#[test]
fn debian_12_says_what_happens_on_the_sites() {
    let host = with_receiver(Image::BookwormPrepared, "traffic12");
    bad_rules_are_shown_with_their_place(&host);
    hostile_lines_move_no_alert(&host);
    failures_and_guesses_are_told(&host);
    exits(&host.sh("tavernctl uninstall --yes --purge"), 0);
    host.ok("test ! -e /etc/tavern && test ! -e /run/tavern-monitor");
}

/// Ten minutes: somebody is named for five, and an alert rests for five before the next one.
#[test]
#[ignore = "longer: tests/full"]
fn debian_13_says_when_it_is_over() {
    let host = with_receiver(Image::TrixiePrepared, "traffic13");
    failures_and_guesses_are_told(&host);
    host.wait("the recovery", Duration::from_secs(600), || {
        std::thread::sleep(Duration::from_secs(20));
        round(&host);
        let told = host.read("/root/webhook");
        let is_over = [
            "counter: error rate: healthy again",
            "counter: visitors: healthy again",
        ];
        is_over
            .iter()
            .all(|line| told.contains(line))
            .then_some(())
            .ok_or(told)
    });
    let told = host.read("/root/webhook");
    assert!(told.contains(": recovered: "), "{told}");
}

/// A host whose alerts reach a real receiver on it. Rounds are the test's: the timer's would come in between.
fn with_receiver(image: Image, name: &str) -> Host {
    let host = installed(image, name);
    host.write(
        "/usr/local/bin/receive",
        "#!/usr/bin/python3\nimport http.server\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_POST(self):\n\
         \x20       body = self.rfile.read(int(self.headers['content-length']))\n\
         \x20       open('/root/webhook', 'ab').write(body + b'\\n')\n\
         \x20       self.send_response(200); self.end_headers()\n\
         http.server.HTTPServer(('127.0.0.1', 9099), H).serve_forever()\n",
        0o755,
    );
    host.ok("systemd-run --unit=receive /usr/local/bin/receive");
    host.ok("systemctl stop tavern-check.timer; touch /root/webhook");
    let text = host.read(STACK);
    let added = "\n[alert]\nwebhook = \"http://127.0.0.1:9099/\"\n\n[monitor]\nerror-minutes = 1\nbrute-force = 12\n";
    host.write(STACK, &format!("{text}{added}"), 0o644);
    let plan = host.sh("tavernctl plan");
    exits(&plan, 2);
    assert!(plan.stdout.contains("+brute-force = 12"), "{plan}");
    let before = monitors_pid(&host);
    host.ok("tavernctl install --yes");
    assert_ne!(
        before,
        monitors_pid(&host),
        "new rules, and it did not take them up"
    );
    exits(&host.sh("tavernctl plan"), 0);
    host
}

fn monitors_pid(host: &Host) -> String {
    host.ok("systemctl show -p MainPID --value tavern-monitor")
}

fn bad_rules_are_shown_with_their_place(host: &Host) {
    let text = host.read(STACK);
    host.write(
        STACK,
        &text.replace("error-minutes = 1", "error-minutes = 60"),
        0o644,
    );
    let refused = host.sh("tavernctl plan");
    exits(&refused, 1);
    assert!(
        refused.stderr.contains("60 is out of bounds")
            && refused.stderr.contains("^^")
            && refused.stderr.contains("help: write a number from 1 to 15"),
        "{refused}"
    );
    host.write(STACK, &text, 0o644);
}

fn failures_and_guesses_are_told(host: &Host) {
    round(host);
    round(host);
    assert_eq!(host.read("/root/webhook"), "");
    // The app is away: nginx answers 502. Somebody else guesses meanwhile.
    host.ok("systemctl stop tavern-counter.socket tavern-counter.service");
    host.ok("for i in $(seq 40); do curl -sk -o /dev/null https://localhost/flask/api/ping; done");
    let close = format!("https://{}/close/", host.ip());
    for _ in 0..20 {
        let asked = Command::new("curl")
            .args(["-sk", "-u", "admin:wrong", "-o", "/dev/null", &close])
            .status();
        assert!(asked.expect("curl is installed by tests/run").success());
    }
    host.wait("the monitor to see it", SOON, || {
        let status = host.ok("tavernctl status");
        let is_seen = status.contains("answers of the last minute were failures (5xx)")
            && status.contains("was refused");
        is_seen.then_some(()).ok_or(status)
    });
    round(host);
    round(host);
    let told = host.read("/root/webhook");
    assert_eq!(told.lines().count(), 1, "all of it is one message: {told}");
    for line in [
        "counter: error rate: unhealthy: counter: ",
        "answers of the last minute were failures (5xx)",
        "counter: visitors: unhealthy: counter-close: ",
        " times within a minute",
    ] {
        assert!(told.contains(line), "no `{line}` in {told}");
    }
    host.ok("systemctl start tavern-counter.socket tavern-counter.service");
    wait_until_healthy(host, "the app to be back");
}

/// What a client says of itself, and what never came from nginx at all.
fn hostile_lines_move_no_alert(host: &Host) {
    let pid = monitors_pid(host);
    host.ok(
        "for i in $(seq 40); do curl -sk -o /dev/null -A \"$(printf 'x\\033]0;owned\\007\\\",\\\"status\\\":\\\"500<script>owned</script>')\" \
         -H 'X-Forwarded-For: 203.0.113.66' \"https://localhost/?<script>owned\"; done",
    );
    host.write(
        "/root/hostile.py",
        &format!(
            "log = open('{LOG}', 'ab', buffering=0)\n\
             for _ in range(100):\n\
             \x20   log.write(b'x' * 1000000 + b'\\n')\n\
             \x20   log.write(b'\\xff\\xfe\\x1b[2J\\x1b]0;owned\\x07{{\"status\":\"500\"}}\\n')\n\
             \x20   log.write(b'{{\"client\":\"<script>owned</script>\",\"status\":\"500\",\"request_time\":\"1\"}}\\n')\n\
             \x20   log.write(b'{{\"client\":\"203.0.113.66\",\"status\":\"200\",\"status\":\"500\",\"request_time\":\"1\"}}\\n')\n"
        ),
        0o600,
    );
    host.ok("python3 /root/hostile.py");
    host.wait("the lines to be read", SOON, || {
        let seen =
            host.ok("jq '.sites[\"counter-main\"].unreadable' /run/tavern-monitor/report.json");
        (seen.trim() == "300").then_some(()).ok_or(seen)
    });
    round(host);
    round(host);
    // No message was sent yet: one would not wait.
    assert_eq!(host.read("/root/webhook"), "");
    let status = host.ok("tavernctl status");
    let said = host
        .ok("journalctl --sync; journalctl -u tavern-check -u tavern-monitor -o cat --no-pager");
    for text in [&status, &said] {
        for word in ["owned", "\u{1b}", "<script", "203.0.113.66"] {
            assert!(!text.contains(word), "{word:?} in {text}");
        }
    }
    assert_eq!(monitors_pid(host), pid);
}
