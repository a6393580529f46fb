//! A host that was set up by hand after the seed (`homework/`): refused by default, taken over with
//! `--adopt`, given back by `uninstall`, and left as it was when a step fails.
//!
//! redis:7-alpine is the lab's stand-in, made of Debian's Redis.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use crate::site::{password, same, status, wait_until_healthy};
use crate::support::lab::{Host, Image, Output, redis_image_tar, tavernctl};

const TAVERNCTL: &str = "/root/tavernctl";
const STACK_FILE: &str = "/etc/tavern/stacks/counter.toml";

/// What a person would miss if it changed: files, links, containers, volumes, units. Docker writes `/etc/hosts`.
const MANIFEST: &str = r#"
cd /
find etc var/www usr/local/bin opt -path etc/tavern -prune -o -printf '%y %m %u:%g %p %l\n' |
    grep -vE ' etc/(passwd|group|shadow|gshadow|subuid|subgid)- | etc/(\.pwd\.lock|hosts|hostname|resolv\.conf) ' | sort
find etc var/www usr/local/bin opt -path etc/tavern -prune -o -type f -print0 |
    grep -zvE '^etc/((passwd|group|shadow|gshadow|subuid|subgid)-|hosts|hostname|resolv\.conf)$' | sort -z | xargs -0 sha256sum
docker ps -aq | xargs docker inspect -f \
    '{{.Name}} {{.Config.Image}} {{.State.Status}} {{.HostConfig.RestartPolicy}}' | sort
docker volume ls -q | sort
systemctl list-unit-files --no-legend --plain | grep -E 'tavern|flask|mine|nginx|docker' | sort
for unit in flask-app mine nginx docker; do
    systemctl show -p Id,ActiveState,FragmentPath,DropInPaths,Environment "$unit"
done
systemctl list-units --all --no-legend --plain 'tavern*'
"#;

/// Asks for a static page without a pause until `/tmp/stop` is there; the answers are in `/tmp/answers`.
///
/// The old site is on IPv4 only. Asking `localhost`, which is `::1` first, sees it if that port is open before nginx
/// serves it. When a configuration without IPv6 comes back, nginx itself resets who waits on the port that it closes:
/// there the address is IPv4's.
///
/// Over HTTP/1.1: whoever opens a connection of HTTP/2 while nginx changes workers may be told to ask again (GOAWAY, RFC
/// 9113, 6.8), as browsers do and Debian 12's curl does not.
fn watch(host: &Host, name: &str) {
    host.ok(&WATCH.replace("NAME", name));
}

const WATCH: &str = r#"
rm -f /tmp/stop /tmp/answers
for i in 1 2 3; do (until [ -e /tmp/stop ]; do
    curl -sk --http1.1 -o /dev/null -w '%{http_code} %{errormsg}\n' https://NAME/open/ >>/tmp/answers
done) >/dev/null 2>&1 & done
"#;

fn hand_made(image: Image, name: &str) -> Host {
    let host = Host::boot(image, name);
    host.load_image(&redis_image_tar());
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/homework");
    for file in [
        "build",
        "flask-app.py",
        "flask-app.service",
        "homework.conf",
        "other.conf",
    ] {
        host.put(&files.join(file), &format!("/root/homework/{file}"));
    }
    host.ok("/root/homework/build");
    host.put(&tavernctl(), TAVERNCTL);
    the_old_site_answers(&host);
    host
}

fn the_old_site_answers(host: &Host) {
    host.wait("the old API", Duration::from_secs(10), || {
        let answer = get(host, "/flask/api/ping", "");
        if answer.contains("ok") {
            Ok(())
        } else {
            Err(answer)
        }
    });
    for (path, page) in [("/", "main"), ("/open/", "site1")] {
        assert!(get(host, path, "").contains(&format!("{page}, written by hand")));
    }
    assert!(get(host, "/close/", "-u admin:homework").contains("site2, written by hand"));
    assert!(get(host, "/flask/api/count", "").contains("token"));
    assert!(
        login(host, "password").is_some(),
        "the old account is the old host's"
    );
}

fn get(host: &Host, path: &str, options: &str) -> String {
    host.sh(&format!("curl -skL {options} https://localhost{path}"))
        .stdout
}

fn login(host: &Host, password: &str) -> Option<String> {
    let answer = get(
        host,
        "/flask/auth/login",
        &format!(
            "-H 'Content-Type: application/json' \
             -d '{{\"username\":\"admin\",\"password\":\"{password}\"}}'"
        ),
    );
    let token = answer.split("\"token\"").nth(1)?.split('"').nth(1)?;
    Some(token.to_owned())
}

/// One more visit.
fn count(host: &Host, password: &str) -> u64 {
    let token = login(host, password).expect("a token");
    let answer = get(
        host,
        "/flask/api/count",
        &format!("-H 'Authorization: Bearer {token}'"),
    );
    let digits: String = answer.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{answer}"))
}

fn foreign_things_are_untouched(host: &Host) {
    let other = host.ok("curl -sk --resolve other.example:443:127.0.0.1 https://other.example/");
    assert_eq!(other, "other\n");
    assert_eq!(
        host.ok("docker exec foreign redis-cli get mine").trim(),
        "7"
    );
    assert_eq!(host.ok("systemctl is-active mine").trim(), "active");
}

fn foreign_start(host: &Host) -> String {
    host.ok("docker inspect -f '{{.State.StartedAt}} {{.HostConfig.RestartPolicy}}' foreign; systemctl show -p ExecMainStartTimestampMonotonic mine")
}

#[track_caller]
fn answered_without_a_gap(host: &Host) {
    host.ok("touch /tmp/stop; sleep 0.2");
    let answers = host.read("/tmp/answers");
    assert!(answers.lines().count() > 3, "{answers}");
    let others: Vec<_> = answers.lines().filter(|line| *line != "200 ").collect();
    assert!(others.is_empty(), "{others:?}");
}

fn install(host: &Host, options: &str) -> Output {
    host.sh(&format!("{TAVERNCTL} install --yes {options} </dev/null"))
}

fn is_ours(host: &Host, password: &str, seen: u64) {
    let check = host.sh("tavernctl check");
    assert!(check.success(), "{check}");
    assert_eq!(count(host, password), seen);
    assert!(get(host, "/", "").contains("main, written by hand"));
    let unit = host.ok("systemctl show -p Id,ActiveState,Environment flask-app");
    assert!(unit.contains("Id=tavern-counter.service"), "{unit}");
    assert!(unit.contains("ActiveState=active"), "{unit}");
    assert!(!unit.contains("FLASK_ENV"), "{unit}");
    foreign_things_are_untouched(host);
}

fn adopted_and_given_back(image: Image, name: &str) {
    let host = hand_made(image, name);
    let before = host.ok(MANIFEST);
    let foreign = foreign_start(&host);

    let refused = install(&host, "");
    assert_eq!(refused.code, 1, "{refused}");
    for thing in [
        "container:redis-flask",
        "volume:flask-app_redis-data",
        "flask-app.service",
        "sites-enabled/homework",
        "/usr/local/bin/check-flask",
        "/usr/local/bin/restart-flask",
        "/var/www/main",
        "/var/www/site1",
        "/var/www/site2",
        "--adopt",
    ] {
        assert!(refused.stderr.contains(thing), "{thing}: {refused}");
    }
    for thing in ["foreign", "other", "mine.service"] {
        assert!(!refused.stderr.contains(thing), "{thing}: {refused}");
    }
    same(&before, &host.ok(MANIFEST));
    assert!(
        !host
            .sh("test -e /etc/tavern -o -e /var/lib/tavern")
            .success()
    );

    watch(&host, "localhost");
    let adopted = install(&host, "--adopt");
    assert!(adopted.success(), "{adopted}");
    answered_without_a_gap(&host);
    let api = password(&host, "app counter admin");
    let close = password(&host, "site close admin");
    assert!(!format!("{adopted}").contains(&api), "{adopted}");
    is_ours(&host, &api, 43);

    // No account of the old host opens anything.
    assert_eq!(login(&host, "password"), None);
    assert_eq!(
        status(&host, "-u admin:homework https://localhost/close/"),
        401
    );
    assert!(get(&host, "/close/", &format!("-u admin:{close}")).contains("site2, written by hand"));
    // Pages are where they were, and the owner's.
    host.ok("echo 'edited now' >/var/www/site1/index.html");
    assert_eq!(get(&host, "/open/", ""), "edited now\n");
    host.ok("check-flask && restart-flask && flask=$(systemctl is-active flask-app) && [ $flask = active ]");
    assert_eq!(
        host.ok("docker exec redis-flask redis-cli ping").trim(),
        "PONG"
    );
    assert_eq!(foreign, foreign_start(&host), "restarted");

    let again = install(&host, "");
    assert!(
        again.success() && again.stdout.contains("Nothing to change"),
        "{again}"
    );

    host.reboot();
    wait_until_healthy(&host, "the site after a reboot");
    is_ours(&host, &api, 44);
    host.ok("echo 'site1, written by hand' >/var/www/site1/index.html");
    watch(&host, "127.0.0.1");
    let gone = host.sh("tavernctl uninstall --yes");
    assert!(gone.success(), "{gone}");
    answered_without_a_gap(&host);
    the_old_site_answers(&host);
    let page = "var/www/site1/index.html";
    let but_the_page = |text: &str| -> String {
        text.lines()
            .filter(|line| !line.ends_with(page))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    same(&but_the_page(&before), &but_the_page(&host.ok(MANIFEST)));
    assert_eq!(count(&host, "password"), 45);
    assert_eq!(host.ok("docker exec redis-flask ls /data"), "dump.rdb\n");
    foreign_things_are_untouched(&host);

    // Once more: what was kept of the first time does not stand in the way, and the count has gone on.
    assert_eq!(install(&host, "").code, 1);
    let adopted = install(&host, "--adopt");
    assert!(adopted.success(), "{adopted}");
    is_ours(&host, &password(&host, "app counter admin"), 46);
    assert!(host.read(STACK_FILE).contains("flask-app_redis-data"));

    // A Redis that died has saved nothing for the old one to read: it is made to, from its append-only file.
    host.ok("systemctl stop tavernd && docker kill redis-flask");
    let gone = host.sh("tavernctl uninstall --yes");
    assert!(gone.success(), "{gone}");
    assert_eq!(
        host.ok("docker exec redis-flask redis-cli get visits")
            .trim(),
        "46"
    );
    the_old_site_answers(&host);
}

#[test]
fn a_hand_made_host_is_adopted_and_given_back_on_debian_12() {
    adopted_and_given_back(Image::BookwormPrepared, "adopt12");
}

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn a_hand_made_host_is_adopted_and_given_back_on_debian_13() {
    adopted_and_given_back(Image::TrixiePrepared, "adopt13");
}

#[test]
fn an_adoption_that_fails_leaves_the_old_host_serving() {
    let host = hand_made(Image::BookwormPrepared, "adoptfail");

    // The image is gone from the host while the old container still runs, and there is no registry.
    host.ok("docker save -o /root/redis.tar redis:7-alpine && docker rmi -f redis:7-alpine");
    fails_and_leaves_everything(&host, "image:redis:7-alpine");
    host.ok("docker load -q -i /root/redis.tar");

    // A line of the owner's that is right by itself, and with ours is not: the very last step fails.
    host.write(
        "/etc/nginx/conf.d/mine.conf",
        "log_format tavern '$remote_addr';\n",
        0o644,
    );
    fails_and_leaves_everything(&host, "nginx");

    host.ok("rm /etc/nginx/conf.d/mine.conf");
    let adopted = install(&host, "--adopt");
    assert!(adopted.success(), "{adopted}");
    let seen = 45; // each of the two looked once
    is_ours(&host, &password(&host, "app counter admin"), seen);
}

#[track_caller]
fn fails_and_leaves_everything(host: &Host, reason: &str) {
    let before = host.ok(MANIFEST);
    let seen: u64 = host
        .ok("docker exec redis-flask redis-cli get visits")
        .trim()
        .parse()
        .unwrap();
    watch(host, "127.0.0.1");
    let failed = install(host, "--adopt");
    assert_eq!(failed.code, 1, "{failed}");
    assert!(failed.stderr.contains(reason), "{failed}");
    assert!(!failed.stderr.contains("except"), "{failed}");
    answered_without_a_gap(host);
    the_old_site_answers(host);
    same(&before, &host.ok(MANIFEST));
    assert!(!host.sh("test -e /etc/tavern").success());
    assert_eq!(count(host, "password"), seen + 1);
    let data = host.ok("docker exec redis-flask ls /data");
    assert!(!data.contains("appendonly"), "{data}");
    foreign_things_are_untouched(host);
}
