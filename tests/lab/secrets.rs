//! No secret in argv, environment, journal, log, record, container inspection or world-readable
//! file, after everything that handles one has run.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::path::Path;

use crate::support::lab::{Host, Image, redis_image_tar, tavernctl};

const BINARY: &str = "/root/tavernctl";
const CREDENTIALS: &str = "/etc/tavern/credentials/counter";

/// Typed by somebody who mistook one password for another: it may well be a good one elsewhere.
const MISTYPED: &str = "Mistyped-but-real-8351";

/// Proves that the search finds what is there.
const CANARY: &str = "canary-0c5e1f7a";

fn host(image: Image, name: &str) -> Host {
    let host = Host::boot(image, name);
    host.put(&tavernctl(), BINARY);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/leaks.sh");
    host.put(&script, "/root/leaks");
    host.load_image(&redis_image_tar());
    host.ok("mkdir -m 700 /root/said");
    host
}

/// Runs `tavernctl` on the host; what it says is kept for the search.
fn tavern(host: &Host, arguments: &str) -> String {
    let name = arguments.replace([' ', '/'], "_");
    let output = host.sh(&format!(
        "umask 000; {BINARY} {arguments} </dev/null >/root/said/{name} 2>&1; code=$?; \
         chmod 600 /root/said/*; cat /root/said/{name}; exit $code"
    ));
    assert!(output.success(), "{arguments}: {output}");
    output.stdout
}

/// `what name password`, as the file for the owner has them.
fn passwords(host: &Host) -> Vec<(String, String)> {
    let text = host.read(&format!("{CREDENTIALS}/passwords"));
    let accounts: Vec<_> = text
        .lines()
        .map(|line| {
            let (rest, password) = line.rsplit_once(' ').unwrap();
            (rest.to_owned(), password.to_owned())
        })
        .collect();
    assert!(accounts.len() >= 2, "{text}");
    accounts
}

fn password<'a>(accounts: &'a [(String, String)], of: &str) -> &'a str {
    let found = accounts.iter().find(|(account, _)| account.starts_with(of));
    &found.unwrap_or_else(|| panic!("no {of}")).1
}

/// Logs in, rightly and wrongly, at every door; gives the token. No secret goes by argv here either.
fn use_every_door(host: &Host, accounts: &[(String, String)]) -> String {
    let name = |of: &str| -> String {
        let (account, _) = accounts.iter().find(|(a, _)| a.starts_with(of)).unwrap();
        account.rsplit(' ').next().unwrap().to_owned()
    };
    let (user, site_user) = (name("app "), name("site "));
    let login = |password: &str| {
        let body = format!("{{\"username\":\"{user}\",\"password\":\"{password}\"}}");
        host.write("/root/login.json", &body, 0o600);
        host.ok(
            "curl -sk -H 'Content-Type: application/json' --data @/root/login.json https://127.0.0.1/flask/auth/login",
        )
    };
    let answer = login(password(accounts, "app "));
    let token = answer
        .split('"')
        .find(|part| part.starts_with("eyJ"))
        .unwrap_or_else(|| panic!("no token: {answer}"))
        .to_owned();
    assert!(!login(MISTYPED).contains("eyJ"));
    let bearer = |token: &str| {
        host.write(
            "/root/header",
            &format!("Authorization: Bearer {token}\n"),
            0o600,
        );
        host.ok("curl -sk -H @/root/header https://127.0.0.1/flask/api/count")
    };
    assert!(bearer(&token).contains("\"visits\":1"));
    bearer(&format!("{token}x"));
    for (password, code) in [(password(accounts, "site "), "200"), (MISTYPED, "401")] {
        let netrc = format!("machine 127.0.0.1 login {site_user} password {password}\n");
        host.write("/root/netrc", &netrc, 0o600);
        let got = host.ok(
            "curl -sk --netrc-file /root/netrc -o /dev/null -w '%{http_code}' https://127.0.0.1/close/",
        );
        assert_eq!(got, code);
    }
    token
}

/// Writes every secret of the host to `/root/secrets`, one a line; says what each is.
fn collect(host: &Host, accounts: &[(String, String)], token: &str) -> Vec<String> {
    let mut secrets = vec![
        ("canary".to_owned(), CANARY.to_owned()),
        ("mistyped password".to_owned(), MISTYPED.to_owned()),
        ("token".to_owned(), token.to_owned()),
    ];
    for (account, password) in accounts {
        secrets.push((format!("password of {account}"), password.clone()));
    }
    for key in ["jwt-key", "redis-password"] {
        let text = host.read(&format!("{CREDENTIALS}/{key}"));
        assert_eq!(text.trim().len(), 64, "{key}");
        secrets.push((key.to_owned(), text.trim().to_owned()));
    }
    for (what, file, mark) in [
        (
            "hash of an app's account",
            format!("{CREDENTIALS}/accounts"),
            "$argon2id$",
        ),
        (
            "hash of a site's account",
            "/etc/tavern/htpasswd/counter-close".into(),
            "$6$",
        ),
    ] {
        let text = host.read(&file);
        for line in text.lines() {
            let hash = line.split_once(':').unwrap().1;
            assert!(hash.starts_with(mark), "{file}");
            secrets.push((what.to_owned(), hash.to_owned()));
        }
    }
    let acl = host.read("/etc/tavern/containers/redis-flask/users.acl");
    let hash = acl
        .split_whitespace()
        .find_map(|word| word.strip_prefix('#'));
    secrets.push((
        "hash of redis-password".to_owned(),
        hash.unwrap().to_owned(),
    ));
    let key = host.read("/etc/tavern/tls/counter/key.pem");
    let body = key.lines().nth(1).unwrap();
    secrets.push(("private key".to_owned(), body.to_owned()));
    let basic = format!("admin:{}", password(accounts, "site "));
    host.write("/root/basic", &basic, 0o600);
    secrets.push((
        "basic authentication".to_owned(),
        host.ok("base64 -w0 /root/basic"),
    ));
    let text: String = secrets
        .iter()
        .map(|(_, secret)| format!("{secret}\n"))
        .collect();
    host.write("/root/secrets", &text, 0o600);
    secrets.into_iter().map(|(what, _)| what).collect()
}

fn assert_no_leak(host: &Host, names: &[String]) {
    // One canary in each place: a search that is blind there would prove nothing.
    host.ok(&format!(
        "umask 077; logger {CANARY}; echo {CANARY} >/root/said/canary; echo {CANARY} >/var/lib/tavern/lab; \
         echo {CANARY} >/var/log/lab.log; echo {CANARY} >/tmp/lab.txt; chmod 644 /tmp/lab.txt; \
         docker volume create --label lab={CANARY} lab; docker exec redis-flask echo {CANARY}; \
         systemd-run --quiet --unit=lab-canary --setenv=LAB={CANARY} \
             bash -c 'exec -a {CANARY} sleep 600'"
    ));
    let report = host.ok("/root/leaks");
    host.ok("systemctl stop lab-canary; docker volume rm lab; \
         rm /tmp/lab.txt /var/log/lab.log /var/lib/tavern/lab /root/said/canary");
    let mut found = Vec::new();
    let mut leaks = Vec::new();
    for line in report.lines() {
        let (place, what) = line.split_once(": ").unwrap();
        match what.parse::<usize>() {
            Ok(1) => found.push(place),
            // The transient unit's file is systemd's, and as readable as all unit files.
            _ if what == "/tmp/lab.txt" || what.ends_with("lab-canary.service") => {
                found.push(place);
            }
            Ok(number) => leaks.push(format!("{place}: {}", names[number - 1])),
            Err(_) => leaks.push(line.to_owned()),
        }
    }
    for place in [
        "argv",
        "environment",
        "journal",
        "logs",
        "inspection",
        "docker exec",
        "systemctl show",
        "records",
        "said",
        "world-readable",
    ] {
        assert!(
            found.contains(&place),
            "the search is blind in {place}: {report}"
        );
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

fn assert_modes(host: &Host) {
    let wrong = host.ok(
        "find /etc/tavern/credentials ! \\( -type d -perm 0700 -o -type f -perm 0600 \\) -printf '%M %u:%g %p\\n'; \
         find /etc/tavern/credentials /var/lib/tavern ! \\( -user root -group root \\) -printf '%M %u:%g %p\\n'; \
         find /var/lib/tavern ! \\( -type d -perm 0700 -o -type f -perm 0600 \\) -printf '%M %u:%g %p\\n'",
    );
    assert!(wrong.is_empty(), "{wrong}");
    let modes = host.ok(
        "stat -Lc '%a %U:%G %n' /etc/tavern/tls/counter /etc/tavern/tls/counter/* /etc/tavern/htpasswd/* \
         /etc/tavern/containers/redis-flask/users.acl",
    );
    let expected = [
        "700 root:root /etc/tavern/tls/counter",
        "644 root:root /etc/tavern/tls/counter/fullchain.pem",
        "600 root:root /etc/tavern/tls/counter/key.pem",
        "640 root:www-data /etc/tavern/htpasswd/counter-close",
        "640 root:tavern-redis-flask /etc/tavern/containers/redis-flask/users.acl",
    ];
    assert_eq!(modes.lines().collect::<Vec<_>>(), expected);
    // Nobody can read the credentials as they are given to the unit, either.
    let given = host.sh("setpriv --reuid=65534 --regid=65534 --clear-groups cat /run/credentials/tavern-counter.service/jwt-key");
    assert!(!given.success() && given.stdout.is_empty(), "{given}");
}

#[test]
fn no_secret_is_where_others_can_see_it() {
    let host = host(Image::TrixiePrepared, "secrets");
    // The children of an install are gone before anybody could look at them: strace has seen them.
    host.ok(&format!(
        "umask 000; strace -f -v -s 65535 -e trace=execve -o /root/said/children \
         {BINARY} install --yes </dev/null >/root/said/install 2>&1 || {{ cat /root/said/install; exit 1; }}; \
         chmod 600 /root/said/*"
    ));
    let accounts = passwords(&host);
    let said = host.read("/root/said/install");
    assert!(said.contains(&format!("{CREDENTIALS}/passwords")), "{said}");
    assert!(!said.contains("shown this once"), "{said}");
    let token = use_every_door(&host, &accounts);
    let names = collect(&host, &accounts, &token);
    for arguments in [
        "restart",
        "check",
        "check --json",
        "status",
        "plan",
        "plan --json",
        "install --yes",
        "install --dry-run",
        "logs -n 1000",
    ] {
        tavern(&host, arguments);
    }
    // A change that a plan shows, and a run that fails and is undone: its journal and blobs too.
    host.ok("sed -i 's|redis:7-alpine|127.0.0.1:5/redis:8|' /etc/tavern/stacks/counter.toml");
    for arguments in ["plan", "plan --json", "install --yes"] {
        host.sh(&format!(
            "{BINARY} {arguments} </dev/null >'/root/said/changed {arguments}' 2>&1; chmod 600 /root/said/*"
        ));
    }
    host.ok("sed -i 's|127.0.0.1:5/redis:8|redis:7-alpine|' /etc/tavern/stacks/counter.toml");
    // A crash, of the kind that would leave a core.
    host.ok("systemctl kill --signal=SEGV tavern-counter.service");
    host.wait(
        "the app to be back",
        std::time::Duration::from_secs(20),
        || {
            let answer = host.sh("curl -sfk https://127.0.0.1/flask/api/ping");
            if answer.success() {
                Ok(())
            } else {
                Err(answer.to_string())
            }
        },
    );
    assert_modes(&host);
    assert_no_leak(&host, &names);
}

#[test]
fn passwords_are_shown_once_and_only_to_eyes() {
    let host = host(Image::BookwormPrepared, "eyes");
    let on_a_terminal = || {
        let output = host.sh(&format!(
            "script -qec '{BINARY} install --yes' /dev/null </dev/null"
        ));
        assert!(output.success(), "{output}");
        output.stdout
    };
    let first = on_a_terminal();
    for (account, password) in passwords(&host) {
        assert_eq!(first.matches(&password).count(), 1, "{account}: {first}");
    }
    let second = on_a_terminal();
    assert!(second.contains("Nothing to change."), "{second}");
    // An account that comes later is shown alone.
    host.ok("sed -i 's/accounts = \\[\"admin\"\\]/accounts = [\"admin\", \"later\"]/' /etc/tavern/stacks/counter.toml");
    let before = passwords(&host);
    let third = on_a_terminal();
    let after = passwords(&host);
    assert!(after.len() > before.len(), "{third}");
    for (account, password) in &after {
        let shown = usize::from(!before.iter().any(|(known, _)| known == account));
        assert_eq!(third.matches(password).count(), shown, "{account}: {third}");
    }
    for (account, password) in &before {
        assert!(
            after.contains(&(account.clone(), password.clone())),
            "{account} was changed"
        );
        assert!(!second.contains(password), "{account}: {second}");
    }
}
