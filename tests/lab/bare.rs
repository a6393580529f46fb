//! The main job: a bare host, one command, a site; then its life until it is uninstalled.

use tavern::mint::{key_fits, read_certificate};

use crate::site::{
    count, exits, host_with_binary, manifest, password, same, status, token, wait_until_healthy,
};
use crate::support::browser;
use crate::support::lab::{Host, Image, registry};

#[test]
fn debian_12_from_bare_to_site_and_back() {
    life_of_a_host(Image::BookwormBare, "bare12");
}

#[test]
fn debian_13_from_bare_to_site_and_back() {
    life_of_a_host(Image::TrixieBare, "bare13");
}

fn life_of_a_host(image: Image, name: &str) {
    let registry = registry();
    let host = host_with_binary(image, name);
    // No nginx, no Docker: what the registry serves is pulled for real.
    registry.serve(&host);
    assert!(!host.sh("command -v nginx || command -v dockerd").success());
    let default_before = host.sh("readlink /etc/nginx/sites-enabled/default").stdout;

    let output = host.sh("/root/tavernctl install --yes");
    exits(&output, 0);
    assert!(output.stdout.contains("All checks passed."), "{output}");
    assert!(output.stdout.contains("https://"), "{output}");
    exits(&host.sh("tavernctl check"), 0);

    second_install_changes_nothing(&host);
    doors_are_as_declared(&host);
    certificate_is_as_declared(&host, name);
    browser::shows_three_frames(&host, &password(&host, "site close admin"));
    pages_are_the_owners(&host);
    logs_are_rotated(&host);
    logins_are_records(&host);
    counts_outlive_everything(&host);
    stop_stays_stopped(&host);
    uninstall_gives_back(&host, &default_before);
}

/// Exit 0, nothing written, nothing reloaded. How long it takes is `tests/bench`'s to say.
fn second_install_changes_nothing(host: &Host) {
    let state = |host: &Host| {
        // Workers of before the first install may still say goodbye to their connections.
        let workers = host.ok("pgrep -f '^nginx: worker process$' | sort");
        let app =
            host.ok("systemctl show -p MainPID,NRestarts tavern-counter.service nginx.service");
        let container = host.ok("docker inspect -f '{{.State.StartedAt}} {{.Id}}' redis-flask");
        format!("{}\n{workers}\n{app}\n{container}", manifest(host))
    };
    let before = state(host);
    let output = host.sh("tavernctl install --yes");
    exits(&output, 0);
    assert_eq!(output.stdout.trim(), "Nothing to change.");
    same(&before, &state(host));
    exits(&host.sh("tavernctl plan"), 0);
}

fn doors_are_as_declared(host: &Host) {
    let site = password(host, "site close admin");
    let local = "https://localhost";
    assert_eq!(status(host, "http://localhost/open/"), 301);
    for path in [
        "/",
        "/open/",
        "/flask/",
        "/flask/api/ping",
        "/flask/swagger/",
    ] {
        assert_eq!(status(host, &format!("{local}{path}")), 200, "{path}");
    }
    assert_eq!(status(host, &format!("{local}/open")), 301);
    for path in ["/close", "/close/"] {
        assert_eq!(
            status(host, &format!("{local}{path}")),
            401,
            "{path} without a password"
        );
        assert_eq!(status(host, &format!("{local}{path} -u admin:wrong")), 401);
        assert_eq!(
            status(host, &format!("--interface 127.0.0.2 {local}{path}")),
            403
        );
        let from_afar = format!(
            "--interface {} https://{}{path} -u admin:{site}",
            host.ip(),
            host.ip()
        );
        assert_eq!(status(host, &from_afar), 403);
    }
    assert_eq!(
        status(host, &format!("{local}/close/ -u admin:{site}")),
        200
    );
    // By address and without a name, as the seed's host is reached.
    assert_eq!(status(host, &format!("https://{}/", host.ip())), 200);
    // No password of the seed works.
    for guess in ["admin:admin", "admin:homework", "admin:password"] {
        assert_eq!(status(host, &format!("{local}/close/ -u {guess}")), 401);
    }
    let headers = host.ok("curl -sSkI --compressed https://localhost/style.css");
    assert!(
        headers.to_lowercase().contains("content-encoding: gzip"),
        "{headers}"
    );
    assert!(
        headers.to_lowercase().contains("cache-control: no-cache"),
        "{headers}"
    );
}

/// ECDSA on P-256, for the host by every name it has, for no longer than browsers take.
fn certificate_is_as_declared(host: &Host, name: &str) {
    let certificate = host.read("/etc/tavern/tls/counter/fullchain.pem");
    let key = host.read("/etc/tavern/tls/counter/key.pem");
    let info = read_certificate(certificate.as_bytes()).expect("a certificate");
    // 1.2.840.10045.3.1.7
    const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    assert!(
        info.der.windows(P256.len()).any(|bytes| bytes == P256),
        "not of P-256: {certificate}"
    );
    assert!(key_fits(certificate.as_bytes(), key.as_bytes()).expect("a key"));
    for wanted in ["localhost", name, &host.ip().to_string()] {
        assert!(
            info.names.iter().any(|name| name == wanted),
            "{wanted} is not in {:?}",
            info.names
        );
    }
    let now = std::time::SystemTime::now();
    assert!(info.not_before < now && now < info.not_after, "{info:?}");
    let days = (info.not_after - info.not_before).as_seconds_f64() / 86_400.0;
    assert!(days <= 398.0, "good for {days} days");
}

/// A login, right and wrong, is a record with fields, and no secret is in any record.
fn logins_are_records(host: &Host) {
    let password = password(host, "app counter admin");
    let token = token(host);
    let wrong = r#"{"username":"admin","password":"Wrong-but-typed-4711"}"#;
    let request = "https://localhost/flask/auth/login -H 'Content-Type: application/json'";
    assert_eq!(status(host, &format!("{request} -d '{wrong}'")), 401);
    let journal =
        host.ok("journalctl --sync; journalctl -u tavern-counter -o json --all --no-pager");
    let records: Vec<serde_json::Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record is JSON"))
        .collect();
    for (outcome, priority) in [("accepted", "5"), ("refused", "4")] {
        let record = records
            .iter()
            .rfind(|record| record["MESSAGE"] == "login" && record["TAVERN_OUTCOME"] == outcome)
            .unwrap_or_else(|| panic!("no login {outcome} in {journal}"));
        assert_eq!(record["SYSLOG_IDENTIFIER"], "tavern-counter", "{record:#}");
        assert_eq!(record["PRIORITY"], priority, "{record:#}");
        assert_eq!(record["TAVERN_USER"], "admin", "{record:#}");
        // `localhost` is either.
        let address = record["TAVERN_ADDRESS"].as_str();
        assert!(matches!(address, Some("127.0.0.1" | "::1")), "{record:#}");
        assert!(
            record["TAVERN_REQUEST_ID"].as_str() > Some(""),
            "{record:#}"
        );
    }
    for secret in [token.as_str(), &password, "Wrong-but-typed-4711"] {
        assert!(!journal.contains(secret), "a secret is in the journal");
    }
}

fn pages_are_the_owners(host: &Host) {
    host.ok("echo '<!doctype html><title>mine</title>' > /var/www/counter/open/index.html");
    assert!(
        host.ok("curl -sSk https://localhost/open/")
            .contains("<title>mine</title>")
    );
    host.ok("rm /var/www/counter/close/favicon.svg");
    let output = host.sh("tavernctl install --yes");
    assert_eq!(output.stdout.trim(), "Nothing to change.", "{output}");
    assert!(
        host.ok("cat /var/www/counter/open/index.html")
            .contains("mine")
    );
}

fn logs_are_rotated(host: &Host) {
    for site in ["main", "open", "close", "flask"] {
        for kind in ["access", "error"] {
            host.ok(&format!("test -f /var/log/nginx/counter-{site}.{kind}.log"));
        }
    }
    let rotation = host.sh("logrotate -d /etc/logrotate.conf 2>&1");
    assert!(
        rotation
            .stdout
            .contains("/var/log/nginx/counter-open.access.log"),
        "{rotation}"
    );
}

/// A restart of the app, of Redis and of the host lose no count.
fn counts_outlive_everything(host: &Host) {
    let token = token(host);
    let first = count(host, &token);
    assert_eq!(count(host, &token), first + 1);
    host.ok("tavernctl restart");
    assert_eq!(count(host, &token), first + 2);
    host.ok("systemctl restart flask-app");
    host.ok("restart-flask");
    assert_eq!(count(host, &token), first + 3);
    assert!(
        host.ok("systemctl status flask-app --no-pager")
            .contains("tavern-counter.service")
    );
    assert_eq!(
        host.ok("docker exec redis-flask redis-cli ping").trim(),
        "PONG"
    );
    host.reboot();
    wait_until_healthy(host, "the site after a reboot");
    assert_eq!(count(host, &token), first + 4);
}

/// Stopped apps are not started by the next request; the site says so and comes back.
fn stop_stays_stopped(host: &Host) {
    host.ok("tavernctl stop");
    assert_eq!(status(host, "https://localhost/flask/api/ping"), 502);
    assert_eq!(
        host.sh("systemctl is-active tavern-counter.service")
            .stdout
            .trim(),
        "inactive"
    );
    exits(&host.sh("tavernctl check"), 2);
    exits(&host.sh("check-flask"), 2);
    host.ok("tavernctl start");
    assert_eq!(status(host, "https://localhost/flask/api/ping"), 200);
    exits(&host.sh("check-flask"), 0);
}

fn uninstall_gives_back(host: &Host, default_before: &str) {
    let output = host.sh("tavernctl uninstall --yes");
    exits(&output, 0);
    assert!(
        output.stdout.contains("volume:redis-flask-data"),
        "kept data is listed: {output}"
    );
    host.ok("nginx -t");
    assert_eq!(status(host, "http://localhost/"), 200);
    let default = host.ok("readlink /etc/nginx/sites-enabled/default");
    assert!(default_before.is_empty() || default == default_before);
    for gone in [
        "/etc/systemd/system/tavern-counter.service",
        "/etc/systemd/system/tavern-counter.socket",
        "/etc/systemd/system/flask-app.service",
        "/etc/nginx/conf.d/tavern.conf",
        "/etc/nginx/sites-enabled/tavern-counter.conf",
        "/etc/tmpfiles.d/tavern.conf",
        "/run/tavern",
        "/usr/local/bin/tavernctl",
        "/usr/local/bin/check-flask",
    ] {
        assert!(
            !host.sh(&format!("test -e {gone} -o -L {gone}")).success(),
            "{gone} is still there"
        );
    }
    assert!(host.ok("docker ps -aq").trim().is_empty());
    // The data is there for the next install.
    host.ok("/root/tavernctl install --yes");
    let token = token(host);
    assert!(count(host, &token) > 4);
    exits(&host.sh("tavernctl uninstall --yes --purge"), 0);
    for gone in [
        "/etc/tavern",
        "/var/lib/tavern",
        "/var/www/counter",
        "/run/tavern",
    ] {
        assert!(
            !host.sh(&format!("test -e {gone}")).success(),
            "{gone} is still there"
        );
    }
    assert!(host.ok("docker volume ls -q").trim().is_empty());
    assert!(!host.sh("getent group tavern-redis-flask").success());
}
