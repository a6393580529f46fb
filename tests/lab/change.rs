//! Changing an installed host: by its stack file, by hand, by a run that dies, by a step that fails.

use crate::site::{
    count, edit, exits, host_with_binary, installed, manifest, password, same, status, token,
    wait_until_healthy,
};
use crate::support::lab::{Host, Image, redis_image_tar};

#[test]
fn debian_13_changes() {
    let host = installed(Image::TrixiePrepared, "change13");
    the_stack_file_decides(&host);
    a_hand_edit_is_shown_then_replaced(&host);
    a_killed_run_is_finished_by_the_next(&host, 10);
    a_failed_step_is_undone(&host);
    an_account_comes_and_goes(&host);
    an_undone_credential_takes_no_passwords_along(&host);
    a_second_stack_comes_and_goes(&host);
    the_stack_file_decides(&host);
    a_certificate_put_in_by_hand_stays(&host);
    uninstalled_in_two_steps(&host);
}

#[test]
fn debian_12_kills_of_a_first_install() {
    const MOMENTS: u32 = 6;
    let run = took(&fresh("first12"), INSTALL);
    let mut landed = 0;
    for moment in 1..=MOMENTS {
        let host = fresh(&format!("first12-{moment}"));
        let killed = killed(&host, INSTALL, middle(run, moment, MOMENTS));
        landed += u32::from(killed.unfinished);
        finished_by_the_next(&host, &killed);
        assert_eq!(count(&host, &token(&host)), 1);
        exits(&host.sh("/root/tavernctl uninstall --yes --purge"), 0);
        nginx_is_as_it_was(&host);
    }
    assert_landed(landed, MOMENTS, run);
}

#[test]
fn debian_12_kills_of_an_uninstall() {
    const MOMENTS: u32 = 4;
    const UNINSTALL: &str = "/root/tavernctl uninstall --yes";
    let host = installed(Image::BookwormPrepared, "uninstall12");
    let mut visits = count(&host, &token(&host));
    let run = took(&host, UNINSTALL);
    host.ok(INSTALL);
    let mut landed = 0;
    for moment in 1..=MOMENTS {
        // An uninstall keeps no journal: what it has done is in the receipt.
        let killed = killed(&host, UNINSTALL, middle(run, moment, MOMENTS));
        landed += u32::from(killed.code == KILLED);
        exits(&host.sh(UNINSTALL), 0);
        nginx_is_as_it_was(&host);
        host.ok(INSTALL);
        wait_until_healthy(&host, "the site after a killed uninstall");
        visits += 1;
        assert_eq!(count(&host, &token(&host)), visits, "moment {moment}");
    }
    assert_landed(landed, MOMENTS, run);
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
            .sh("test -e /etc/nginx/sites-enabled/tavern-0-default.conf")
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

const INSTALL: &str = "/root/tavernctl install --yes";
/// What a shell says of a command that SIGKILL ended.
const KILLED: i32 = 137;

struct Killed {
    code: i32,
    /// It was in the middle of its steps: the journal is there only then.
    unfinished: bool,
}

/// Runs a command for so many seconds and no longer.
fn killed(host: &Host, command: &str, seconds: f64) -> Killed {
    let output = host.sh(&format!("timeout --signal=KILL {seconds:.3} {command}"));
    let journal = host.sh("test -e /var/lib/tavern/journal.jsonl").success();
    Killed {
        code: output.code,
        unfinished: output.code == KILLED && journal,
    }
}

/// The seconds that a command takes when it is left alone.
fn took(host: &Host, command: &str) -> f64 {
    let said = host.ok(&format!(
        "TIMEFORMAT=%R; {{ time {command} >/root/took 2>&1; }} 2>&1 || {{ cat /root/took; exit 1; }}"
    ));
    said.trim()
        .parse()
        .unwrap_or_else(|_| panic!("no seconds: {said}"))
}

/// The middle of a run's part.
fn middle(run: f64, part: u32, parts: u32) -> f64 {
    run * (f64::from(part) - 0.5) / f64::from(parts)
}

/// Kills that come before or after the steps prove nothing.
fn assert_landed(landed: u32, moments: u32, run: f64) {
    assert!(
        landed * 3 >= moments,
        "only {landed} of {moments} kills came inside a run of {run} s"
    );
}

/// Whatever was half done, the next run ends it, and says that it does.
fn finished_by_the_next(host: &Host, killed: &Killed) {
    let output = host.sh(INSTALL);
    exits(&output, 0);
    assert_eq!(
        output.stderr.contains("a run did not end"),
        killed.unfinished,
        "{output}"
    );
    exits(&host.sh("tavernctl plan"), 0);
    wait_until_healthy(host, "the site after a killed run");
    let leftovers = host.ok(
        "find /etc /var/www /usr/local /var/lib/tavern -name '*.tavern-tmp' -o -name stage -o -path /var/lib/tavern/journal.jsonl",
    );
    assert_eq!(leftovers, "");
}

/// A prepared host on which nothing was installed yet, Redis's image there.
fn fresh(name: &str) -> Host {
    let host = host_with_binary(Image::BookwormPrepared, name);
    host.load_image(&redis_image_tar());
    host
}

/// Killed at moments spread over a run that changes much.
fn a_killed_run_is_finished_by_the_next(host: &Host, moments: u32) {
    let there_and_back = |forth: bool| {
        for (one, other) in [
            ("alias = \"flask-app\"", "alias = \"flask-app2\""),
            ("\"10.0.0.5\"", "\"10.0.0.6\""),
        ] {
            let (from, to) = if forth { (one, other) } else { (other, one) };
            edit(host, from, to);
        }
    };
    let token = token(host);
    let mut visits = count(host, &token);
    there_and_back(true);
    host.ok(INSTALL);
    there_and_back(false);
    let run = took(host, INSTALL);
    let mut landed = 0;
    for moment in 1..=moments {
        there_and_back(moment % 2 == 1);
        let killed = killed(host, INSTALL, middle(run, moment, moments));
        landed += u32::from(killed.unfinished);
        finished_by_the_next(host, &killed);
        visits += 1;
        assert_eq!(count(host, &token), visits, "after moment {moment}");
    }
    assert_landed(landed, moments, run);
}

/// Two stacks on one host; what the second brought leaves with its file, its pages apart.
fn a_second_stack_comes_and_goes(host: &Host) {
    const SECOND: &str = "/etc/tavern/stacks/second.toml";
    let second = "curl -sSk --resolve second.example:443:127.0.0.1 https://second.example/";
    let first = "curl -sSk https://localhost/";
    let ours = host.ok(first);
    host.write(
        SECOND,
        "name = \"second\"\nhosts = [\"second.example\"]\n\n[tls]\nissuer = \"self-signed\"\n\n\
         [[site]]\npath = \"/\"\nname = \"notes\"\nstatic = \"notes\"\n",
        0o644,
    );
    host.ok(INSTALL);
    exits(&host.sh("tavernctl check"), 0);
    host.ok("echo 'the second stack' > /var/www/second/notes/index.html");
    assert_eq!(host.ok(second), "the second stack\n");
    assert_eq!(host.ok(first), ours);

    host.ok(&format!("rm {SECOND}"));
    exits(&host.sh("tavernctl plan"), 2);
    host.ok(INSTALL);
    exits(&host.sh("tavernctl check"), 0);
    let files = host.sh("find /etc/nginx -name '*second*'; nginx -T 2>/dev/null | grep -Fw second");
    assert_eq!(files.stdout, "", "{files}");
    // The first takes every name.
    assert_eq!(host.ok(second), ours);
    assert_eq!(host.ok(first), ours);
    nginx_is_sound(host);
}

/// nginx can be started from the files that are there, and answers.
fn nginx_is_sound(host: &Host) {
    let test = host.sh("nginx -t");
    exits(&test, 0);
    host.ok("systemctl restart nginx.service");
    host.ok("curl -sSk -o /dev/null http://localhost/");
}

/// Nothing of ours is left in a sound nginx; the distribution's own site answers again.
fn nginx_is_as_it_was(host: &Host) {
    nginx_is_sound(host);
    assert_eq!(host.ok("ls /etc/nginx/sites-enabled"), "default\n");
    assert_eq!(status(host, "http://localhost/"), 200);
    assert!(
        host.ok("curl -sS http://localhost/")
            .contains("Welcome to nginx!")
    );
    let ours = host.sh("grep -rl 'Written by Tavern' /etc/nginx");
    assert_eq!(ours.stdout, "", "{ours}");
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
    nginx_is_as_it_was(host);
    exits(&host.sh("/root/tavernctl uninstall --yes --purge"), 0);
    nginx_is_as_it_was(host);
    let left = host.sh(
        "ls -d /etc/tavern /var/lib/tavern /var/www/counter /var/www/second \
         /var/log/nginx/{counter,second}*.log",
    );
    assert_eq!(left.stdout, "", "{left}");
}
