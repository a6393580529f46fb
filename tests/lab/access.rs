//! Who gets in: what the rules say, what nginx does, and what `allow` and `user` make of both.

use std::collections::BTreeMap;

use crate::site::{STACK, edit, exits, installed, manifest, password, reload_nginx, same, status};
use crate::support::lab::{Host, Image};

/// Addresses that the host is given to ask from, beside its loopback.
const SOURCES: [&str; 8] = [
    "127.0.0.1",
    "127.0.0.2",
    "10.9.0.1",
    "10.9.0.5",
    "10.9.1.5",
    "10.10.0.1",
    "192.168.77.7",
    "172.30.1.2",
];

/// Access rules, each tried from every address and as everybody.
const RULES: [&str; 12] = [
    r#"{ accounts = ["admin"] }"#,
    r#"{ accounts = ["admin", "ann"], require = "any" }"#,
    r#"{ allow = ["10.9.0.0/24"] }"#,
    r#"{ allow = ["10.9.0.5"] }"#,
    r#"{ allow = ["127.0.0.1", "::1"], require = "any" }"#,
    r#"{ allow = ["10.0.0.0/8", "172.16.0.0/12"] }"#,
    r#"{ allow = ["::ffff:10.9.0.0/112"] }"#,
    r#"{ allow = ["0.0.0.0/0"], force = true }"#,
    r#"{ accounts = ["admin"], allow = ["10.9.0.0/24"] }"#,
    r#"{ accounts = ["admin"], allow = ["10.9.0.0/24"], require = "any" }"#,
    r#"{ accounts = ["admin", "ann"], allow = ["127.0.0.2", "192.168.77.0/24"] }"#,
    r#"{ accounts = ["ann"], allow = ["10.9.0.1", "2001:db8::/32"], require = "any" }"#,
];

/// A stack with a site for each rule.
fn stack() -> String {
    let mut text = String::from(
        "name = \"counter\"\nhosts = [\"*\"]\n[tls]\nissuer = \"self-signed\"\n[[site]]\npath = \"/\"\nstatic = \"main\"\n",
    );
    for (at, rule) in RULES.iter().enumerate() {
        text.push_str(&format!(
            "[[site]]\npath = \"/r{at}\"\nname = \"r{at}\"\nstatic = \"open\"\naccess = {rule}\nlimits = {{ rate = 1000, burst = 1000 }}\n"
        ));
    }
    text
}

/// What `access explain` says: its exit code stands for the verdict, its status for the reason.
fn explained(host: &Host, site: &str, from: &str, account: Option<&str>) -> u16 {
    let who = account.map_or(String::new(), |name| format!(" --as {name}"));
    let output = host.sh(&format!(
        "tavernctl access explain {site} --from {from}{who} --json"
    ));
    let said: serde_json::Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!(said["by_stack_file"], false, "{said}");
    let status = u16::try_from(said["status"].as_u64().expect("a status")).expect("a status");
    exits(&output, if status == 200 { 0 } else { 2 });
    status
}

/// Several hundred questions, each asked of the rules and of nginx.
fn the_rules_are_what_nginx_does(host: &Host) {
    for source in &SOURCES[2..] {
        host.ok(&format!("ip address add {source}/32 dev lo"));
    }
    host.write(STACK, &stack(), 0o644);
    host.ok("tavernctl install --yes");
    let mut questions = 0;
    let mut faults = Vec::new();
    for (at, rule) in RULES.iter().enumerate() {
        let site = format!("r{at}");
        let mut passwords = BTreeMap::new();
        for name in ["admin", "ann"] {
            if rule.contains(&format!("\"{name}\"")) {
                passwords.insert(name, password(host, &format!("site {site} {name}")));
            }
        }
        for source in SOURCES {
            // Basic authentication is limited for each address; what is asked here is not how often.
            host.ok("sleep 0.4");
            for account in [None, Some("admin"), Some("ann"), Some("eve")] {
                let login = match account {
                    None => String::new(),
                    Some(name) => {
                        let password = passwords.get(name).map_or("no such account", |p| p);
                        host.write(
                            "/root/netrc",
                            &format!(
                                "machine 127.0.0.1 login {name} password {}\n",
                                password.replace(' ', "-")
                            ),
                            0o600,
                        );
                        " --netrc-file /root/netrc".to_owned()
                    }
                };
                let real = status(
                    host,
                    &format!("--interface {source}{login} https://127.0.0.1/{site}/"),
                );
                let said = explained(host, &site, source, account);
                questions += 1;
                if real != said {
                    faults.push(format!(
                        "{site} {rule} from {source} as {account:?}: nginx {real}, explained {said}",
                    ));
                }
            }
        }
    }
    assert!(questions >= 300, "{questions}");
    assert!(
        faults.is_empty(),
        "{questions} questions:\n{}",
        faults.join("\n")
    );
}

/// `check` asks for real: each visit that the host can pay is in its table.
fn check_asks_for_real(host: &Host) {
    let output = host.sh("tavernctl check --json");
    let said: serde_json::Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let findings = said["findings"].as_array().expect("findings");
    for (subject, reason) in [
        ("site /close, elsewhere", "403"),
        ("site /close, no password", "401"),
        ("site /close, password", "200"),
    ] {
        let found = findings.iter().find(|one| one["subject"] == subject);
        let found = found.unwrap_or_else(|| panic!("no {subject} in {output}"));
        assert_eq!(found["verdict"], "healthy", "{found}");
        let said = found["reason"].as_str().expect("a reason");
        assert!(said.starts_with(reason), "{found}");
    }
    // A door that somebody opened by hand is seen.
    host.ok(
        "cp -a /etc/nginx/sites-available/tavern-counter.conf /root/kept && \
             sed -i '/deny all;/d' /etc/nginx/sites-available/tavern-counter.conf",
    );
    reload_nginx(host);
    let output = host.sh("tavernctl check");
    exits(&output, 2);
    assert!(output.stdout.contains("401 instead of 403"), "{output}");
    host.ok("cp -a /root/kept /etc/nginx/sites-available/tavern-counter.conf");
    reload_nginx(host);
    exits(&host.sh("tavernctl check"), 0);
}

/// The status of `/close/` from an address, with this account's password.
fn close(host: &Host, from: &str, login: Option<(&str, &str)>) -> u16 {
    let login = login.map_or(String::new(), |(name, password)| {
        let netrc = format!("machine 127.0.0.1 login {name} password {password}\n");
        host.write("/root/netrc", &netrc, 0o600);
        " --netrc-file /root/netrc".to_owned()
    });
    status(
        host,
        &format!("--interface {from}{login} https://127.0.0.1/close/"),
    )
}

fn allow_changes_one_entry(host: &Host) {
    let before = host.read(STACK);
    assert_eq!(close(host, "127.0.0.2", None), 403);
    let output = host.sh("tavernctl allow add close 127.0.0.2");
    exits(&output, 0);
    assert_eq!(close(host, "127.0.0.2", None), 401);
    let after = host.read(STACK);
    assert_eq!(
        after,
        before.replace("\"10.0.0.5\"]", "\"10.0.0.5\", \"127.0.0.2\"]")
    );
    assert_eq!(
        host.ok("tavernctl allow list /close"),
        "127.0.0.1\n::1\n192.168.1.0/24\n10.0.0.5\n127.0.0.2\n"
    );
    exits(&host.sh("tavernctl allow remove close 127.0.0.2"), 0);
    assert_eq!(close(host, "127.0.0.2", None), 403);
    assert_eq!(host.read(STACK), before);
    exits(&host.sh("tavernctl plan"), 0);
    let still = manifest(host);
    for (command, words) in [
        ("allow add close 10.0.0.1/8", "host bits"),
        ("allow add close 0.0.0.0/0", "allows everybody"),
        ("allow add close ::1", "already"),
        ("allow remove close 203.0.113.7", "not in"),
        ("allow add open 10.0.0.1", "everybody may see it"),
        ("allow add nosuch 10.0.0.1", "no site called"),
        ("allow add close '10.0.0.1; allow all'", "not an address"),
        ("user add close 'a:b' --generate", "is not a name"),
        ("user remove close admin", "last"),
        ("user remove counter admin", "last"),
        ("user passwd close eve --generate", "has no account"),
        ("user add close eve </dev/null", "no terminal"),
        ("user add close eve --password-stdin </dev/null", "0 bytes"),
        ("user add nosuch eve --generate", "no site or app"),
    ] {
        let output = host.sh(&format!("tavernctl {command}"));
        exits(&output, 1);
        assert!(output.stderr.contains(words), "{command}: {output}");
        assert!(output.stderr.contains("help: "), "{command}: {output}");
    }
    same(&still, &manifest(host));
}

const FIRST: &str = "canary-of-ann-4711";
const SECOND: &str = "another canary: 0815";

fn accounts_come_and_go(host: &Host) {
    let hashes = "/etc/tavern/htpasswd/counter-close";
    let admin = host.read(hashes);
    host.write("/root/first", &format!("{FIRST}\n"), 0o600);
    host.write("/root/second", &format!("{SECOND}\n"), 0o600);
    assert_eq!(close(host, "127.0.0.1", Some(("ann", FIRST))), 401);
    let output = host.sh("tavernctl user add close ann --password-stdin </root/first");
    exits(&output, 0);
    assert_eq!(close(host, "127.0.0.1", Some(("ann", FIRST))), 200);
    let both = host.read(hashes);
    assert!(
        both.starts_with(&admin) && both.contains("\nann:$6$"),
        "the other's hash changed"
    );
    assert_eq!(host.ok("tavernctl user list close"), "admin\nann\n");
    exits(&host.sh("tavernctl plan"), 0);
    // Another password, and the old one opens nothing.
    exits(
        &host.sh("tavernctl user passwd /close ann --password-stdin </root/second"),
        0,
    );
    assert!(host.read(hashes).starts_with(&admin));
    host.ok("sleep 1");
    assert_eq!(close(host, "127.0.0.1", Some(("ann", FIRST))), 401);
    exits(&host.sh("tavernctl plan"), 0);
    exits(&host.sh("tavernctl user remove close ann"), 0);
    let gone = host.sh(&format!(
        "curl -sSk -o /dev/null -w '%{{http_code}}' -K - https://127.0.0.1/close/ <<'E'\nuser = \"ann:{SECOND}\"\nE"
    ));
    assert_eq!(gone.stdout, "401", "{gone}");
    assert_eq!(host.read(hashes), admin);
    // An app's account, which is made a password.
    exits(&host.sh("tavernctl user add counter bob --generate"), 0);
    let made = password(host, "app counter bob");
    let login = |password: &str| {
        host.write(
            "/root/body",
            &format!(r#"{{"username":"bob","password":"{password}"}}"#),
            0o600,
        );
        host.ok("curl -sSk https://localhost/flask/auth/login -H 'Content-Type: application/json' --data @/root/body")
    };
    let answer = login(&made);
    let token = answer.split('"').find(|part| part.starts_with("eyJ"));
    let token = token
        .unwrap_or_else(|| panic!("no token: {answer}"))
        .to_owned();
    host.write(
        "/root/header",
        &format!("Authorization: Bearer {token}\n"),
        0o600,
    );
    let count = "-H @/root/header https://localhost/flask/api/count";
    assert_eq!(status(host, count), 200);
    exits(&host.sh("tavernctl user remove app:counter bob"), 0);
    // At once, the token that was good until now included.
    assert_eq!(status(host, count), 401);
    assert!(!login(&made).contains("eyJ"));
    exits(&host.sh("tavernctl plan"), 0);
    // Neither password is anywhere but in the files that this test wrote.
    for canary in [FIRST, SECOND] {
        let found = host.sh(&format!(
            "rm -f /root/first /root/second /root/netrc /root/body; grep -rlaF '{canary}' /etc /var/lib/tavern /var/log /run/log 2>/dev/null; \
             journalctl --no-pager | grep -aF '{canary}' | grep -v grep"
        ));
        assert_eq!(found.stdout, "", "{canary}: {found}");
    }
}

const THIRD: &str = "canary-of-eve-1234";

/// On a terminal: asked twice, nothing shown.
fn a_password_is_typed_unseen(host: &Host) {
    host.write("/root/typed.py", include_str!("edge/typed.py"), 0o755);
    let typed = |lines: &str, command: &str| {
        host.sh(&format!("/root/typed.py {lines} -- tavernctl {command}"))
    };
    let still = manifest(host);
    for (lines, words) in [
        (format!("'{FIRST}' '{THIRD}'"), "the two differ"),
        ("short short".to_owned(), "5 bytes"),
        ("'' ''".to_owned(), "0 bytes"),
    ] {
        let refused = typed(&lines, "user add close eve");
        exits(&refused, 1);
        assert!(
            refused.stdout.contains(words)
                && refused.stdout.contains("The same again: ")
                && !refused.stdout.contains("canary"),
            "{lines}: {refused}"
        );
    }
    same(&still, &manifest(host));
    let output = typed(&format!("'{FIRST}' '{FIRST}'"), "user add close eve");
    exits(&output, 0);
    assert!(
        output.stdout.contains("Password for eve: ") && !output.stdout.contains(FIRST),
        "{output}"
    );
    assert_eq!(close(host, "127.0.0.1", Some(("eve", FIRST))), 200);
    let output = typed(&format!("'{THIRD}' '{THIRD}'"), "user passwd close eve");
    exits(&output, 0);
    assert_eq!(close(host, "127.0.0.1", Some(("eve", THIRD))), 200);
    exits(&host.sh("tavernctl user remove close eve"), 0);
}

/// Whoever has one address of IPv6 has the /64 around it, and passwords to try from each: the limit is the network's.
fn a_network_of_ipv6_is_one_client(host: &Host) {
    let ours = ["fd00:6::1", "fd00:6::2", "fd00:6::3", "fd00:7::1"];
    for address in ours {
        host.ok(&format!("ip -6 address add {address}/128 dev lo nodad"));
    }
    // How many of so many were too many.
    let refused = |from: &str, times: u32| -> u32 {
        let statuses = host.ok(&format!(
            "curl -sSk -o /dev/null -w '%{{http_code}}\\n' --interface {from} --resolve 'six.test:443:[fd00:6::1]' \
             'https://six.test/close/?[1-{times}]'"
        ));
        let refused = statuses.lines().filter(|line| *line == "429");
        u32::try_from(refused.count()).expect("a few hundred")
    };
    let first = refused("fd00:6::2", 300);
    assert!(first > 100, "{first}");
    let neighbour = refused("fd00:6::3", 30);
    assert!(neighbour > 10, "{neighbour} of 30: one network, one client");
    assert_eq!(
        refused("fd00:7::1", 30),
        0,
        "another network is another client"
    );
    for address in ours {
        host.ok(&format!("ip -6 address delete {address}/128 dev lo"));
    }
}

/// A run that did not end comes first, and so does what waits in the files.
fn nothing_is_changed_on_top_of_something_else(host: &Host) {
    edit(host, "count-key = \"visits\"", "count-key = \"other\"");
    let waits = host.sh("tavernctl allow add close 127.0.0.2");
    exits(&waits, 1);
    assert!(waits.stderr.contains("other changes wait"), "{waits}");
    edit(host, "count-key = \"other\"", "count-key = \"visits\"");
    // Killed in the middle: it ends or never was, and the command can be given again.
    for pause in ["0.05", "0.2", "0.5", "0.9"] {
        host.sh(&format!(
            "timeout -s KILL {pause} tavernctl user add close eve --generate >/dev/null 2>&1"
        ));
        let unfinished = host.sh("test -e /var/lib/tavern/journal.jsonl").success();
        if unfinished {
            let refused = host.sh("tavernctl user add close eve --generate");
            exits(&refused, 1);
            assert!(refused.stderr.contains("did not end"), "{refused}");
            exits(&host.sh("tavernctl recover"), 0);
        }
        let listed = host.ok("tavernctl user list close").contains("eve");
        let hashed = host
            .read("/etc/tavern/htpasswd/counter-close")
            .contains("eve:");
        assert_eq!(listed, hashed, "after {pause} s");
        exits(&host.sh("tavernctl plan"), 0);
        if listed {
            exits(&host.sh("tavernctl user remove close eve"), 0);
        }
    }
}

/// Rows 45 and 61 with a real proxy in front: who is listed is believed, others are not.
fn behind_a_proxy(host: &Host) {
    let from = |claim: &str| {
        status(
            host,
            &format!(
                "--interface 127.0.0.2 -H 'X-Forwarded-For: {claim}' https://127.0.0.1/close/"
            ),
        )
    };
    assert_eq!(from("10.0.0.5"), 403, "an unlisted hop was believed");
    edit(
        host,
        "[firewall]",
        "[proxy]\ntrusted = [\"127.0.0.2\"]\n\n[firewall]",
    );
    let output = host.sh("tavernctl install --yes");
    exits(&output, 0);
    assert_eq!(from("10.0.0.5"), 401);
    assert_eq!(from("203.0.113.7"), 403);
    // The last that is no listed proxy counts: what stands before it is the visitor's claim.
    assert_eq!(from("10.0.0.5, 203.0.113.7"), 403);
    assert_eq!(from("203.0.113.7, 10.0.0.5, 127.0.0.2"), 401);
    assert_eq!(close(host, "127.0.0.1", None), 401);
}

fn the_doors(image: Image, name: &str) {
    let host = installed(image, name);
    check_asks_for_real(&host);
    allow_changes_one_entry(&host);
    accounts_come_and_go(&host);
    a_password_is_typed_unseen(&host);
    nothing_is_changed_on_top_of_something_else(&host);
    a_network_of_ipv6_is_one_client(&host);
    behind_a_proxy(&host);
    the_rules_are_what_nginx_does(&host);
}

#[test]
fn debian_12_lets_in_who_the_rules_let_in() {
    the_doors(Image::BookwormPrepared, "access12");
}

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_13_lets_in_who_the_rules_let_in() {
    the_doors(Image::TrixiePrepared, "access13");
}
