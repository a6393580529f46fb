//! Changing an installed host: by its stack file, by hand, by a run that dies, by a step that fails.

use crate::site::{
    count, exits, installed, manifest, password, same, status, token, wait_until_healthy,
};
use crate::support::lab::{Host, Image};

const STACK: &str = "/etc/tavern/stacks/counter.toml";

#[test]
fn debian_13_changes() {
    let host = installed(Image::TrixiePrepared, "change13");
    the_stack_file_decides(&host);
    a_hand_edit_is_shown_then_replaced(&host);
    a_killed_run_is_finished_by_the_next(&host, 10);
    a_failed_step_is_undone(&host);
    an_account_comes_and_goes(&host);
    an_undone_credential_takes_no_passwords_along(&host);
    a_certificate_put_in_by_hand_stays(&host);
    uninstalled_in_two_steps(&host);
}

#[test]
#[ignore = "longer: tests/full"]
fn sixty_kills_on_debian_12() {
    a_killed_run_is_finished_by_the_next(&installed(Image::BookwormPrepared, "kills12"), 60);
}

#[test]
#[ignore = "longer: tests/full"]
fn sixty_kills_on_debian_13() {
    a_killed_run_is_finished_by_the_next(&installed(Image::TrixiePrepared, "kills13"), 60);
}

fn edit(host: &Host, from: &str, to: &str) {
    let text = host.read(STACK);
    assert!(text.contains(from), "{from} is not in {text}");
    host.write(STACK, &text.replace(from, to), 0o644);
}

/// Named hosts: unknown names get neither content nor a certificate; and back to any name.
fn the_stack_file_decides(host: &Host) {
    edit(host, r#"hosts = ["*"]"#, r#"hosts = ["tavern.example"]"#);
    exits(&host.sh("tavernctl plan"), 2);
    host.ok("tavernctl install --yes");
    exits(&host.sh("tavernctl check"), 0);
    let named = "--resolve tavern.example:443:127.0.0.1 https://tavern.example";
    assert_eq!(status(host, &format!("{named}/open/")), 200);
    let unknown = host
        .sh("curl -sSk -o /dev/null --resolve other.example:443:127.0.0.1 https://other.example/");
    assert_eq!(unknown.code, 35, "the handshake is refused: {unknown}");
    // Behind the right name in the handshake: 421 over HTTP/2, a closed connection over HTTP/1.1.
    let wrong = format!(
        "curl -sSk -o /dev/null -w '%{{http_code}}' -H 'Host: other.example' {named}/open/"
    );
    assert_eq!(host.sh(&wrong).stdout.trim(), "421");
    assert_eq!(host.sh(&format!("{wrong} --http1.1")).stdout.trim(), "000");
    edit(host, r#"hosts = ["tavern.example"]"#, r#"hosts = ["*"]"#);
    host.ok("tavernctl install --yes");
    assert_eq!(status(host, "https://localhost/open/"), 200);
    // The server for unknown names left with the need for it.
    assert!(
        !host
            .sh("test -e /etc/nginx/sites-enabled/tavern-default.conf")
            .success()
    );
}

fn a_hand_edit_is_shown_then_replaced(host: &Host) {
    let site = "/etc/nginx/sites-available/tavern-counter.conf";
    host.ok(&format!("sed -i 's/keepalive 64;/keepalive 7;/' {site}"));
    let plan = host.sh("tavernctl plan");
    exits(&plan, 2);
    assert!(
        plan.stdout.contains("-    keepalive 7;") && plan.stdout.contains("+    keepalive 64;"),
        "{plan}"
    );
    host.ok("tavernctl install --yes");
    assert!(host.read(site).contains("keepalive 64;"));
    host.ok("chmod 666 /etc/tavern/containers/redis-flask/redis.conf");
    let plan = host.sh("tavernctl plan");
    assert!(plan.stdout.contains("mode is 0666, not 0644"), "{plan}");
    host.ok("tavernctl install --yes");
    exits(&host.sh("tavernctl plan"), 0);
}

/// Killed at moments spread over a run that changes much; whatever was half done, the next run ends it.
fn a_killed_run_is_finished_by_the_next(host: &Host, moments: u32) {
    let token = token(host);
    let mut visits = count(host, &token);
    for moment in 1..=moments {
        let port = if moment % 2 == 1 {
            "alias = \"flask-app\""
        } else {
            "alias = \"flask-app2\""
        };
        let other = if moment % 2 == 1 {
            "alias = \"flask-app2\""
        } else {
            "alias = \"flask-app\""
        };
        edit(host, port, other);
        let (from, to) = if moment % 2 == 1 {
            ("\"10.0.0.5\"", "\"10.0.0.6\"")
        } else {
            ("\"10.0.0.6\"", "\"10.0.0.5\"")
        };
        edit(host, from, to);
        host.sh(&format!(
            "timeout --signal=KILL {:.3} tavernctl install --yes",
            0.6 * f64::from(moment) / f64::from(moments)
        ));
        let output = host.sh("tavernctl install --yes");
        exits(&output, 0);
        exits(&host.sh("tavernctl plan"), 0);
        wait_until_healthy(host, "the site after a killed run");
        visits += 1;
        assert_eq!(count(host, &token), visits);
        let leftovers = host.ok(
            "find /etc /var/www /usr/local /var/lib/tavern -name '*.tavern-tmp' -o -name journal.jsonl -o -name stage",
        );
        assert_eq!(leftovers, "", "after moment {moment}");
    }
}

/// nginx takes the configuration in a test but cannot serve it: everything is as it was, and says why.
fn a_failed_step_is_undone(host: &Host) {
    let before = manifest(host);
    let receipt = |listing: &str| -> String {
        // The receipt itself is written again, with what it held.
        listing
            .lines()
            .filter(|line| !line.contains("/var/lib/tavern"))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    // A site of the owner's whose log directory nginx cannot open once it is real, not staged.
    host.ok("cp /etc/tavern/stacks/counter.toml /root/counter.toml");
    edit(
        host,
        "image = \"redis:7-alpine\"",
        "image = \"redis:0-does-not-exist\"",
    );
    let output = host.sh("tavernctl install --yes");
    exits(&output, 1);
    assert!(
        output.stderr.contains("error:") && output.stderr.contains("redis:0-does-not-exist"),
        "{output}"
    );
    assert!(output.stderr.contains("was undone"), "{output}");
    host.ok("cp -p /root/counter.toml /etc/tavern/stacks/counter.toml");
    let strip = |text: String| {
        receipt(&text)
            .lines()
            .filter(|line| {
                !line.contains("counter.toml") && !line.starts_with("/etc/tavern/stacks ")
            })
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    };
    same(&strip(before), &strip(manifest(host)));
    exits(&host.sh("tavernctl check"), 0);
    exits(&host.sh("tavernctl plan"), 0);
}

fn an_account_comes_and_goes(host: &Host) {
    let admin = password(host, "site close admin");
    edit(
        host,
        r#"access = { accounts = ["admin"]"#,
        r#"access = { accounts = ["admin", "guest"]"#,
    );
    host.ok("tavernctl install --yes");
    let guest = password(host, "site close guest");
    assert_eq!(
        status(host, &format!("https://localhost/close/ -u guest:{guest}")),
        200
    );
    assert_eq!(
        status(host, &format!("https://localhost/close/ -u admin:{admin}")),
        200
    );
    edit(
        host,
        r#"accounts = ["admin", "guest"]"#,
        r#"accounts = ["admin"]"#,
    );
    host.ok("tavernctl install --yes");
    assert_eq!(
        status(host, &format!("https://localhost/close/ -u guest:{guest}")),
        401
    );
    assert!(
        !host
            .read("/etc/tavern/credentials/counter/passwords")
            .contains("guest")
    );
}

/// bug: undoing a credential took the passwords of accounts that were there before along.
fn an_undone_credential_takes_no_passwords_along(host: &Host) {
    host.ok("rm /etc/tavern/credentials/counter/redis-password");
    let passwords = host.read("/etc/tavern/credentials/counter/passwords");
    let image = "image = \"redis:7-alpine\"";
    edit(host, image, "image = \"redis:0-does-not-exist\"");
    exits(&host.sh("tavernctl install --yes"), 1);
    assert_eq!(
        host.read("/etc/tavern/credentials/counter/passwords"),
        passwords
    );
    edit(host, "image = \"redis:0-does-not-exist\"", image);
    host.ok("tavernctl install --yes");
    exits(&host.sh("tavernctl check"), 0);
}

/// The owner's own certificate, as they may have one from elsewhere: with few days, for one name.
fn a_certificate_put_in_by_hand_stays(host: &Host) {
    host.ok(
        "cd /etc/tavern/tls/counter/ && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
         -days 60 -subj /CN=mine -addext subjectAltName=DNS:mine.example -keyout key.pem -out fullchain.pem 2>&1 && \
         chmod 600 key.pem && systemctl reload nginx",
    );
    let mine = host.ok("sha256sum /etc/tavern/tls/counter/fullchain.pem");
    assert_eq!(
        host.ok("tavernctl install --yes").trim(),
        "Nothing to change."
    );
    assert_eq!(
        host.ok("sha256sum /etc/tavern/tls/counter/fullchain.pem"),
        mine
    );
}

/// First without the data, later the data too, with a copy of the binary.
fn uninstalled_in_two_steps(host: &Host) {
    exits(&host.sh("tavernctl uninstall --yes"), 0);
    exits(&host.sh("/root/tavernctl uninstall --yes --purge"), 0);
    let left =
        host.sh("ls -d /etc/tavern /var/lib/tavern /var/www/counter /var/log/nginx/counter*.log");
    assert_eq!(left.stdout, "", "{left}");
}
