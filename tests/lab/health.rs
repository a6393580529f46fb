//! What the probes say over time: the journal, alerts, the self-test after a reboot, numbers.

use std::time::Duration;

use crate::site::{STACK, exits, installed, round, wait_until_healthy};
use crate::support::lab::{Host, Image};

const SOON: Duration = Duration::from_secs(30);
const NUMBERS: &str =
    "curl -sS --unix-socket /run/tavern/tavernd.metrics.sock http://localhost/metrics";

#[test]
fn debian_13_says_what_changed() {
    let host = installed(Image::TrixiePrepared, "health13");
    // Rounds are ours from here on: the timer's would come in between.
    host.ok("systemctl is-active tavern-check.timer && systemctl stop tavern-check.timer");
    wait_until_healthy(&host, "the site");
    alerts_arrive(&host);
    a_change_is_told_once(&host);
    numbers_are_served(&host);
    the_rounds_themselves_are_watched(&host);
    after_a_reboot_it_is_compared(&host);
    exits(&host.sh("tavernctl uninstall --yes --purge"), 0);
    host.ok("test ! -e /var/lib/tavern && test ! -e /run/tavern");
}

fn journal(host: &Host) -> String {
    host.ok("journalctl --sync; journalctl -u tavern-check -o cat --no-pager")
}

/// By webhook, mail and program, each to a receiver of this host.
fn alerts_arrive(host: &Host) {
    let nobody = host.sh("tavernctl alert test");
    exits(&nobody, 1);
    assert!(nobody.stderr.contains("no stack says who"), "{nobody}");
    host.write(
        "/usr/local/bin/receive",
        "#!/usr/bin/python3\nimport http.server\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_POST(self):\n\
         \x20       body = self.rfile.read(int(self.headers['content-length']))\n\
         \x20       open('/root/webhook', 'ab').write(self.path.encode() + b' ' + body + b'\\n')\n\
         \x20       self.send_response(200); self.end_headers()\n\
         http.server.HTTPServer(('127.0.0.1', 9099), H).serve_forever()\n",
        0o755,
    );
    host.ok("systemd-run --unit=receive /usr/local/bin/receive");
    host.write(
        "/usr/local/bin/page",
        "#!/bin/bash\n(cat; echo) >>/root/page\n",
        0o755,
    );
    host.ok("apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
         apt-get -qq -y --no-install-recommends install dma");
    host.write("/root/address", "http://127.0.0.1:9099/T/secret\n", 0o600);
    let text = host.read(STACK);
    let alert = "\n[alert]\nwebhook = \"/root/address\"\nmail = [\"root\"]\nprogram = [\"/usr/local/bin/page\"]\n";
    host.write(STACK, &format!("{text}{alert}"), 0o644);
    host.ok("tavernctl install --yes");
    host.wait("the receiver", SOON, || {
        let sent = host.sh("tavernctl alert test");
        if sent.success() {
            Ok(())
        } else {
            Err(sent.to_string())
        }
    });
    assert!(
        host.read("/root/webhook")
            .contains("/T/secret {\"text\":\"")
    );
    delivered(host, "To: root\nSubject: [tavern] health13: a test\n");
    // A file that others may read is refused, and the address is never said.
    host.ok("chmod 644 /root/address");
    let refused = host.sh("tavernctl alert test");
    exits(&refused, 1);
    assert!(
        refused
            .stdout
            .contains("webhook: failed: /root/address: others may read it"),
        "{refused}"
    );
    assert!(!refused.to_string().contains("secret"), "{refused}");
    host.ok("chmod 600 /root/address; rm -f /root/webhook /var/mail/root /root/page");
}

/// The mail program delivers when it likes.
fn delivered(host: &Host, text: &str) {
    host.wait("the mail", SOON, || {
        let mail = host.sh("cat /var/mail/root");
        let is_there = mail.stdout.contains(text);
        is_there.then_some(()).ok_or(mail.to_string())
    });
}

fn a_change_is_told_once(host: &Host) {
    round(host);
    round(host);
    assert!(
        !host.sh("test -e /root/page").success(),
        "{}",
        journal(host)
    );
    let status = host.ok("tavernctl status");
    assert!(status.contains("probes healthy"), "{status}");
    // As on a busy host, or with Exim: it goes on when the round is over.
    host.ok("mv /usr/sbin/sendmail /usr/sbin/sendmail.real");
    host.write(
        "/usr/sbin/sendmail",
        "#!/bin/bash\ntext=$(cat)\n(sleep 3; sendmail.real \"$@\" <<<\"$text\") >/dev/null 2>&1 &\n",
        0o755,
    );
    host.ok("systemctl stop nginx");
    round(host);
    assert!(
        !host.sh("test -e /root/page").success(),
        "one answer is no verdict"
    );
    round(host);
    let said = journal(host);
    assert!(said.contains("unhealthy, was healthy"), "{said}");
    let fields = host.ok("journalctl -u tavern-check -o json --no-pager | grep TAVERN_PROBE | jq -r .TAVERN_STATE | sort -u");
    assert!(fields.contains("unhealthy"), "{fields}");
    delivered(host, "nginx");
    host.ok("mv /usr/sbin/sendmail.real /usr/sbin/sendmail");
    // Many probes, and one message over each way.
    for (file, mark) in [
        ("/root/page", "\"title\":\"trouble: "),
        ("/var/mail/root", "Subject: "),
        ("/root/webhook", "trouble: "),
    ] {
        let told = host.read(file);
        assert_eq!(told.matches(mark).count(), 1, "{file}: {told}");
        assert!(told.contains("nginx"), "{file}: {told}");
    }
    host.ok("systemctl start nginx");
    wait_until_healthy(host, "nginx to be back");
    round(host);
    round(host);
    let said = journal(host);
    assert!(said.contains("healthy, was unhealthy"), "{said}");
    // The recovery waits for its time: no second message in five minutes.
    assert_eq!(host.read("/root/page").lines().count(), 1);
    let status = host.ok("tavernctl status");
    assert!(!status.contains("  probe "), "{status}");
}

fn numbers_are_served(host: &Host) {
    let numbers = host.ok(NUMBERS);
    for line in [
        "tavern_container_up{container=\"redis-flask\",stack=\"counter\"} 1",
        "tavern_container_crash_loop{container=\"redis-flask\",stack=\"counter\"} 0",
        "tavern_container_mends_total{container=\"redis-flask\",stack=\"counter\"} 0",
        "tavern_probe_healthy{probe=\"tavernd\"} 1",
    ] {
        assert!(numbers.contains(line), "no {line} in {numbers}");
    }
    let certificate = numbers.lines().find(|line| {
        line.starts_with("tavern_probe_healthy{probe=\"counter: certificate")
            && line.ends_with(" 1")
    });
    assert!(certificate.is_some(), "{numbers}");
    // Private: nobody else may ask.
    exits(
        &host.sh(&format!(
            "setpriv --reuid=www-data --clear-groups {NUMBERS}"
        )),
        7,
    );
}

/// Neither a timer that was stopped nor an engine that hangs leaves the last good answers standing.
fn the_rounds_themselves_are_watched(host: &Host) {
    let at = || host.ok("jq .at /var/lib/tavern/health/now.json");
    host.ok("pkill -STOP -x dockerd");
    let before = at();
    round(host);
    host.ok("pkill -CONT -x dockerd");
    assert_ne!(at(), before, "{}", journal(host));

    host.ok("sed -Ei 's/\"at\":[0-9]+/\"at\":1700000000/' /var/lib/tavern/health/now.json");
    let ill = "probe      health rounds: unhealthy";
    let status = host.ok("tavernctl status");
    assert!(status.contains(ill), "{status}");
    let numbers = host.ok(NUMBERS);
    let number = "tavern_probe_healthy{probe=\"health rounds\"} 0";
    assert!(numbers.contains(number), "{numbers}");
    host.wait("tavernd to say so", Duration::from_secs(60), || {
        let said = host.sh("journalctl --sync; journalctl -u tavernd -o cat --no-pager");
        let is_said = said.stdout.contains("health rounds: the last was");
        is_said.then_some(()).ok_or(said.to_string())
    });
    round(host);
    let status = host.ok("tavernctl status");
    assert!(!status.contains(ill), "{status}");
}

fn after_a_reboot_it_is_compared(host: &Host) {
    assert!(!journal(host).contains("after the reboot"));
    host.reboot();
    wait_until_healthy(host, "the site after a reboot");
    round(host);
    let said = journal(host);
    assert!(
        said.contains("after the reboot all is as generation 2 made it, and healthy"),
        "{said}"
    );
    // What the reboot did not bring back is named.
    host.ok("systemctl disable tavern-renew.timer");
    host.reboot();
    wait_until_healthy(host, "the site after another reboot");
    round(host);
    let said = journal(host);
    assert!(
        said.contains(
            "after the reboot not all is as generation 2 made it; differs: unit:tavern-renew.timer"
        ),
        "{said}"
    );
}
