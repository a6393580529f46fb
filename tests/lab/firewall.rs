//! ufw is told what it must let in while it is active, never switched on, and nobody is locked out.

use crate::site::{host_with_binary, installed};
use crate::support::lab::{Host, Image, redis_image_tar};

const SETTLED: &str = "Nothing to change.";

/// Starts what looks like sshd: a listener whose process bears its name.
fn start_sshd(host: &Host, port: u16) {
    let script = format!(
        "$s = IO::Socket::INET->new(Listen => 5, LocalAddr => '0.0.0.0:{port}', ReuseAddr => 1) or die $!;\n\
         while ($c = $s->accept) {{ close $c }}\n"
    );
    host.write("/root/listen.pl", &script, 0o644);
    host.ok(
        "cp /usr/bin/perl /root/sshd && \
         systemd-run --quiet --collect --unit=lab-sshd /root/sshd -MIO::Socket::INET /root/listen.pl",
    );
    host.wait("sshd", std::time::Duration::from_secs(20), || {
        let listeners = host.ok("ss -Hltnp");
        let is_there = listeners
            .lines()
            .any(|line| line.contains(&format!(":{port} ")) && line.contains("\"sshd\""));
        is_there.then_some(()).ok_or(listeners)
    });
}

fn stop_sshd(host: &Host) {
    host.ok("systemctl stop lab-sshd");
}

/// What the operator would have to type for the rules there are.
fn rules(host: &Host) -> Vec<String> {
    let text = host.ok("ufw show added");
    let mut rules: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ufw "))
        .map(str::to_owned)
        .collect();
    rules.sort();
    rules
}

fn install(host: &Host) -> String {
    host.ok("/root/tavernctl install --yes").trim().to_owned()
}

fn changes_the_receipt_alone(host: &Host) {
    let said = install(host);
    assert!(
        said.starts_with("Nothing to change; recorded as generation "),
        "{said}"
    );
}

#[test]
fn the_firewall_is_told() {
    let host = installed(Image::BookwormPrepared, "firewall12");
    assert!(host.ok("ufw status").contains("inactive"));
    start_sshd(&host, 2222);
    assert_eq!(install(&host), SETTLED);
    host.ok("ufw --force enable");
    assert!(rules(&host).is_empty());

    install(&host);
    let told = ["2222/tcp", "443/tcp", "80/tcp"]
        .map(|port| format!("allow {port} comment 'Tavern'"))
        .to_vec();
    assert_eq!(rules(&host), told);
    assert_eq!(install(&host), SETTLED);

    // Not seen at the moment: the way in stays.
    stop_sshd(&host);
    let plan = host.ok("tavernctl install --dry-run");
    assert_eq!(plan.trim(), SETTLED);
    assert_eq!(install(&host), SETTLED);
    assert_eq!(rules(&host), told);

    // A receipt from before SSH's ports were marked learns it, and keeps it.
    host.ok(
        "cd /var/lib/tavern && jq '(.entries[].resource | select(.type == \"opening\")) |= {type, port}' \
         receipt.json > /root/old && cat /root/old > receipt.json && ! grep -q '\"ssh\"' receipt.json",
    );
    changes_the_receipt_alone(&host);
    assert_eq!(rules(&host), told);
    start_sshd(&host, 2222);
    changes_the_receipt_alone(&host);
    host.ok("jq -e '.entries[].resource | select(.port == 2222).ssh' /var/lib/tavern/receipt.json");
    stop_sshd(&host);

    for purge in ["", "--purge"] {
        let said = host.ok(&format!("/root/tavernctl uninstall --yes {purge}"));
        assert!(
            said.contains("firewall:2222/tcp: `ufw delete allow 2222/tcp` if there is another way"),
            "{said}"
        );
        assert!(!said.contains("firewall:80/tcp:"), "{said}");
        assert_eq!(rules(&host), told[..1]);
        assert!(host.ok("ufw status").contains("Status: active"));
    }
    host.ok("test ! -e /var/lib/tavern && ufw delete allow 2222/tcp");
}

#[test]
fn the_operators_own_rules_are_left_as_they_are() {
    let host = host_with_binary(Image::BookwormPrepared, "firewall12-own");
    host.load_image(&redis_image_tar());
    host.ok(
        "ufw allow from 10.0.0.0/8 to any port 22 && ufw allow 'Nginx Full' && ufw --force enable",
    );
    start_sshd(&host, 22);
    let own = rules(&host);
    assert_eq!(own.len(), 2, "{own:?}");
    install(&host);
    assert_eq!(rules(&host), own);
    assert_eq!(install(&host), SETTLED);
    stop_sshd(&host);
    assert_eq!(install(&host), SETTLED);

    // Open for some is not open for a site's visitors.
    host.ok("ufw delete allow 'Nginx Full' && ufw allow in on lo && ufw allow from 10.0.0.0/8 to any port 443 proto tcp");
    let own = rules(&host);
    install(&host);
    let after = rules(&host);
    let added: Vec<_> = after.iter().filter(|rule| !own.contains(rule)).collect();
    assert_eq!(
        added,
        [
            "allow 443/tcp comment 'Tavern'",
            "allow 80/tcp comment 'Tavern'"
        ]
    );
    assert!(own.iter().all(|rule| after.contains(rule)), "{after:?}");

    let said = host.ok("tavernctl uninstall --yes --purge");
    assert!(!said.contains("firewall:22/tcp"), "{said}");
    assert_eq!(rules(&host), own);
    assert!(host.ok("ufw status").contains("Status: active"));
}
