//! The web server side of an installed host: sites of every kind, names, ports, errors, and who is slow or rude.

use std::time::Duration;

use crate::sandbox::gixy_finds_nothing;
use crate::site::{edit, exits, installed, reload_nginx, status, wait_until_healthy};
use crate::support::lab::{Host, Image};

const INSTALL: &str = "tavernctl install --yes";

/// A second stack, by names, an address and on a port of its own, beside the one that answers to any name.
const SHOP: &str = r#"name = "shop"
hosts = ["shop.test", "www.shop.test"]
ports = [443, 5085]
error-pages = { 404 = "404.html" }

[tls]
issuer = "self-signed"

[[site]]
path = "/"
static = "home"
headers = { X-Robots-Tag = "noindex; \"a\" {b} #", Referrer-Policy = "" }

[[site]]
path = "/few"
static = "few"
limits = { rate = 1, burst = 2, body = "1k" }

[[site]]
path = "/old"
name = "old"
redirect = "/few/?a=b"
status = 308

[[site]]
path = "/"
host = "www.shop.test"
name = "www"
redirect = "https://shop.test"
"#;

#[test]
fn debian_12_sites_of_every_kind() {
    sites_of_every_kind(Image::BookwormPrepared, "edge12");
}

#[test]
fn debian_13_sites_of_every_kind() {
    sites_of_every_kind(Image::TrixiePrepared, "edge13");
}

fn sites_of_every_kind(image: Image, name: &str) {
    let host = installed(image, name);
    host.write("/etc/tavern/stacks/shop.toml", SHOP, 0o644);
    host.ok(INSTALL);
    exits(&host.sh("tavernctl plan"), 0);
    // Redirects, names, ports and limits of their own included.
    gixy_finds_nothing(&host, "tavern-shop.conf");
    sites_are_found(&host);
    only_the_stack_that_was_asked_for_answers(&host);
    answers_say_what_they_must(&host);
    logs_are_kept_in_both_forms(&host);
    crate::websocket::goes_through(&host);
    an_app_that_does_not_answer_has_a_page(&host);
    a_lost_password_file_is_named_and_made_again(&host);
    named_stacks_alone_leave_the_rest_to_nobody(&host);
    nginx_comes_back_and_its_own_unit_is_untouched(&host);
    // What the test has put there is its own.
    host.ok("cd /var/www/counter/open && rm data.txt app-0123abcd.js small.css small.css.gz");
    host.ok("tavernctl uninstall --yes --purge");
    for path in [
        "/etc/systemd/system/nginx.service.d",
        "/etc/logrotate.d/tavern",
        "/etc/nginx/conf.d/tavern.conf",
    ] {
        assert!(
            !host.sh(&format!("test -e {path}")).success(),
            "{path} is left"
        );
    }
    assert_eq!(
        host.ok("systemctl show -p Restart --value nginx").trim(),
        "no"
    );
}

/// Where curl is led to, from an address that is counted.
fn asked(host: &Host, arguments: &str) -> (u16, String) {
    let ip = host.ip();
    let names = [
        "shop.test:443",
        "shop.test:5085",
        "www.shop.test:443",
        "www.shop.test:80",
        "nobody.test:443",
    ];
    let names: String = names.map(|name| format!("--resolve {name}:{ip} ")).concat();
    let said = host.ok(&format!(
        "curl -sSk -o /dev/null -w '%{{http_code}} %{{redirect_url}}' {names} {arguments} || true"
    ));
    let (code, to) = said.split_once(' ').unwrap_or((&said, ""));
    (code.parse().unwrap_or(0), to.to_owned())
}

fn sites_are_found(host: &Host) {
    let ip = host.ip();
    let leads = |arguments: &str, code: u16, to: &str| {
        assert_eq!(asked(host, arguments), (code, to.to_owned()), "{arguments}");
    };
    leads("https://shop.test/", 200, "");
    leads("https://shop.test:5085/", 200, "");
    leads("https://shop.test/old", 308, "https://shop.test/few/?a=b");
    leads("https://shop.test/old/x", 308, "https://shop.test/few/?a=b");
    leads(
        "'https://www.shop.test/a?b=c%20d'",
        302,
        "https://shop.test/a?b=c%20d",
    );
    leads("http://www.shop.test/q", 301, "https://www.shop.test/q");
    // Plain HTTP to a port of HTTPS.
    leads(
        &format!("-H 'Host: shop.test:5085' http://{ip}:5085/x"),
        301,
        "https://shop.test:5085/x",
    );
    for path in ["/.git/config", "/.git/x.css", "/x/.y"] {
        leads(&format!("https://shop.test{path}"), 404, "");
    }
    let burst = (0..8).map(|_| asked(host, "https://shop.test/few/").0);
    let burst: Vec<u16> = burst.collect();
    assert!(burst[0] == 200 && burst.contains(&429), "{burst:?}");
    // This host itself is not counted.
    let own = (0..8).map(|_| {
        status(
            host,
            "--resolve shop.test:443:127.0.0.1 https://shop.test/few/",
        )
    });
    assert!(own.into_iter().all(|code| code == 200));
    host.ok("head -c 2000 /dev/zero >/root/body");
    let too_long =
        "--resolve shop.test:443:127.0.0.1 --data-binary @/root/body https://shop.test/few/";
    assert_eq!(status(host, too_long), 413);
}

/// fault 39
fn only_the_stack_that_was_asked_for_answers(host: &Host) {
    let ip = host.ip();
    for wrong in [
        // The right name in the handshake, another in the request.
        "-H 'Host: nobody.test' https://shop.test/",
        "-H 'Host: localhost' https://shop.test/",
        // The other way round: another's page under our certificate.
        &format!("-H 'Host: shop.test' https://{ip}/"),
        "-H 'Host: shop.test' https://nobody.test/",
    ] {
        assert_eq!(asked(host, wrong).0, 421, "{wrong}");
    }
    assert_eq!(
        asked(host, "https://nobody.test/").0,
        200,
        "counter answers to any name"
    );
    // Names of one stack share a connection.
    assert_eq!(
        asked(host, "-H 'Host: www.shop.test' https://shop.test/").0,
        302
    );
}

fn answers_say_what_they_must(host: &Host) {
    let head = |url: &str| {
        let resolve = "--resolve shop.test:443:127.0.0.1";
        host.ok(&format!(
            "curl -sSk --http1.1 -H 'Accept-Encoding: gzip' -o /dev/null -D - {resolve} {url}"
        ))
        .to_ascii_lowercase()
    };
    let home = head("https://shop.test/");
    assert!(
        home.contains("x-robots-tag: noindex; \"a\" {b} #"),
        "{home}"
    );
    assert!(
        !home.contains("referrer-policy") && home.contains("x-frame-options: deny"),
        "{home}"
    );
    // Said once each, by the app or for it, and by nginx where it refuses.
    for (url, code) in [
        ("https://localhost/", 200),
        ("https://localhost/open/", 200),
        ("https://localhost/close/", 401),
        ("https://localhost/flask/", 200),
        ("https://localhost/flask/api/ping", 200),
        ("https://localhost/flask/swagger/", 200),
    ] {
        let head = head(url);
        assert!(
            head.starts_with(&format!("http/1.1 {code} ")),
            "{url}: {head}"
        );
        for field in [
            "content-security-policy",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "permissions-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
        ] {
            let said = head.matches(&format!("\n{field}: ")).count();
            assert_eq!(said, 1, "{url}: {field} in {head}");
        }
        assert!(!head.contains("content-encoding"), "BREACH: {url}: {head}");
        assert!(
            !head.contains("strict-transport-security"),
            "self-signed: {url}: {head}"
        );
        assert!(head.contains("\nserver: nginx\r"), "{url}: {head}");
    }
    host.ok("seq 1 9999 >/var/www/counter/open/data.txt; printf x >/var/www/counter/open/app-0123abcd.js; \
             seq 1 9999 | gzip >/var/www/counter/open/small.css.gz; seq 1 9999 >/var/www/counter/open/small.css");
    let text = head("https://localhost/open/data.txt");
    assert!(
        text.contains("content-encoding: gzip") && text.contains("cache-control: no-cache"),
        "{text}"
    );
    let packed = head("https://localhost/open/small.css");
    let size = host.ok("stat -c %s /var/www/counter/open/small.css.gz");
    assert!(
        packed.contains(&format!("content-length: {}\r", size.trim())),
        "{packed}"
    );
    let hashed = head("https://localhost/open/app-0123abcd.js");
    assert!(hashed.contains("max-age=31536000, immutable"), "{hashed}");
}

fn logs_are_kept_in_both_forms(host: &Host) {
    host.ok("curl -sSk -o /dev/null -A 'a \"quote\"' https://localhost/flask/api/ping");
    host.ok("tail -n 1 /var/log/nginx/counter-flask.access.json | jq -e \
             '.status == \"200\" and .user_agent == \"a \\\"quote\\\"\" and .tls_protocol == \"TLSv1.3\" and \
              .upstream_status == \"200\" and (.request_id | length) == 32 and (.upstream_time | tonumber) >= 0'");
    assert!(
        host.ok("tail -n 1 /var/log/nginx/counter-flask.access.log")
            .contains("/flask/api/ping")
    );
    // The id is the app's too.
    let id = host.ok("curl -sSk -o /dev/null -D - https://localhost/flask/api/ping | sed -n 's/^x-request-id: //ip'");
    host.ok(&format!(
        "grep -q {} /var/log/nginx/counter-flask.access.json",
        id.trim()
    ));
    let said = host.sh("logrotate -d /etc/logrotate.conf");
    assert!(said.success() && !said.stderr.contains("error:"), "{said}");
    // Rotated once, nginx goes on in the new file.
    host.ok("logrotate -f /etc/logrotate.d/tavern && curl -sSk -o /dev/null https://localhost/open/ && sleep 1 && \
             test -s /var/log/nginx/counter-open.access.json && test -s /var/log/nginx/counter-open.access.json.1");
    assert_eq!(
        host.ok("stat -c '%a %U:%G' /var/log/nginx/counter-open.access.json")
            .trim(),
        "640 www-data:adm"
    );
}

/// fault 46
fn an_app_that_does_not_answer_has_a_page(host: &Host) {
    host.ok("tavernctl stop");
    let page = host.ok("curl -sSki https://localhost/flask/");
    assert!(
        page.contains(" 502") && page.contains("One moment") && page.contains("etry-"),
        "{page}"
    );
    let check = host.sh("tavernctl check");
    exits(&check, 2);
    assert!(check.stdout.contains("tavern-counter.socket"), "{check}");
    host.ok("tavernctl start");
    wait_until_healthy(host, "the app to be back");
    assert_eq!(
        host.ok("stat -c '%a %G' /run/tavern/counter.sock").trim(),
        "660 www-data"
    );
}

/// fault 41
fn a_lost_password_file_is_named_and_made_again(host: &Host) {
    let file = "/etc/tavern/htpasswd/counter-close";
    host.ok(&format!("chown root:root {file}"));
    let check = host.sh("tavernctl check");
    exits(&check, 2);
    assert!(check.stdout.contains("/close"), "{check}");
    host.ok(INSTALL);
    wait_until_healthy(host, "the password file to be readable");
    host.ok(&format!("rm {file}"));
    exits(&host.sh("tavernctl check"), 2);
    host.ok(INSTALL);
    wait_until_healthy(host, "the password file to be back");
}

/// fault 38: no stack answers to any name now.
fn named_stacks_alone_leave_the_rest_to_nobody(host: &Host) {
    let ip = host.ip();
    edit(host, "hosts = [\"*\"]", "hosts = [\"counter.test\"]");
    host.ok(INSTALL);
    let handshake = |name: &str| {
        host.sh(&format!(
            "curl -sSk --resolve {name}:443:{ip} https://{name}/"
        ))
    };
    let refused = handshake("nobody.test");
    assert!(
        !refused.success() && refused.stderr.contains("nrecognized name"),
        "{refused}"
    );
    assert_eq!(
        asked(host, &format!("https://{ip}/")).0,
        0,
        "no name, no handshake"
    );
    // Nothing at all from Debian 12's nginx; newer ones say 421 themselves where the handshake would have been refused.
    let is_old = host.sh("nginx -v").stderr.contains("/1.22.");
    assert_eq!(
        asked(host, "-H 'Host: nobody.test' https://shop.test/").0,
        if is_old { 0 } else { 421 }
    );
    assert_eq!(asked(host, &format!("http://{ip}/")).0, 0);
    assert_eq!(
        asked(host, "-H 'Host: counter.test' https://shop.test/").0,
        421
    );
    assert!(handshake("counter.test").success());
    // nginx takes protocols and curves from the default server: an old client gets in nowhere.
    for old in ["-tls1_1", "-groups X448"] {
        let said = host.sh(&format!(
            "openssl s_client -connect {ip}:443 -servername shop.test {old} </dev/null"
        ));
        assert!(!said.success(), "{old}: {said}");
    }

    // Who is found by an address must shake hands without a name.
    edit(
        host,
        "[\"counter.test\"]",
        &format!("[\"counter.test\", \"{ip}\"]"),
    );
    host.ok(INSTALL);
    assert_eq!(asked(host, &format!("https://{ip}/")).0, 200);
    assert_eq!(
        asked(host, "https://nobody.test/").0,
        0,
        "a certificate, and nothing more"
    );
    edit(host, &format!("[\"counter.test\", \"{ip}\"]"), "[\"*\"]");
    host.ok(INSTALL);
}

/// fault 54
fn nginx_comes_back_and_its_own_unit_is_untouched(host: &Host) {
    let before = host.ok("systemctl show -p MainPID --value nginx");
    host.ok("kill -9 $(cat /run/nginx.pid)");
    host.wait("nginx to be back", Duration::from_secs(20), || {
        let now = host.ok("systemctl show -p MainPID --value nginx");
        let code = host
            .sh("curl -sk -o /dev/null -w '%{http_code}' https://localhost/")
            .stdout;
        if now != before && code == "200" {
            Ok(())
        } else {
            Err(format!("{now} {code}"))
        }
    });
    host.ok("dpkg --verify nginx-common && test \"$(systemctl show -p LimitNOFILE --value nginx)\" = 65536");
}

/// faults 55 to 58: logs without room, slow headers, slow bodies, streams that are reset at once.
#[test]
fn debian_12_serves_on_through_slow_and_rude_clients() {
    let host = installed(Image::BookwormPrepared, "rude12");
    host.write("/root/slow.py", include_str!("edge/slow.py"), 0o755);
    host.write("/root/reset.py", include_str!("edge/reset.py"), 0o755);
    let ip = host.ip();
    for what in ["headers", "body"] {
        let said = host.ok(&format!("/root/slow.py {ip} {what}"));
        assert!(
            said.starts_with("40 [200] 0 "),
            "{what}: all are ended, others are served: {said}"
        );
    }
    let said = host.ok(&format!("/root/reset.py {ip}"));
    let sent: u32 = said
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    assert!(
        said.contains("answers") && (1..19_000).contains(&sent),
        "the connection was not ended: {said}"
    );
    wait_until_healthy(&host, "all to be well after that");

    host.ok("mount -t tmpfs -o size=64k tmpfs /var/log/nginx");
    reload_nginx(&host);
    host.ok("head -c 1M /dev/zero >/var/log/nginx/full || true");
    assert_eq!(status(&host, "https://localhost/open/"), 200);
    assert_eq!(status(&host, "https://localhost/flask/api/ping"), 200);
    host.ok("umount -l /var/log/nginx; systemctl reload nginx");
}

/// fault 48: as on a kernel without a family.
#[test]
fn debian_12_listens_on_the_families_that_the_kernel_has() {
    let host = installed(Image::BookwormPrepared, "family12");
    let confined = |families: &str, command: &str| {
        host.sh(&format!(
            "systemd-run --quiet --wait --pipe --collect -p 'RestrictAddressFamilies=AF_UNIX AF_NETLINK {families}' {command}"
        ))
    };
    let both = confined("AF_INET", "nginx -t");
    assert!(
        !both.success(),
        "a kernel without IPv6 would refuse this: {both}"
    );
    for (families, wanted, other) in [
        ("AF_INET", "listen 443 ssl", "listen [::]"),
        ("AF_INET6", "listen [::]:443 ssl", "listen 443"),
    ] {
        let planned = confined(families, "tavernctl install --yes");
        let text = host.read("/etc/nginx/sites-available/tavern-counter.conf");
        assert!(
            planned.success() && text.contains(wanted) && !text.contains(other),
            "{planned}{text}"
        );
        let test = confined(families, "nginx -t");
        assert!(test.success(), "{test}");
        // The running nginx has read it: over the one family it answers, over the other nobody does.
        let (own, none) = if families == "AF_INET" {
            ("-4", "-6")
        } else {
            ("-6", "-4")
        };
        assert_eq!(
            status(&host, &format!("{own} https://localhost/open/")),
            200
        );
        assert!(
            !host
                .sh(&format!("curl -sSk {none} https://localhost/open/"))
                .success()
        );
    }
}
