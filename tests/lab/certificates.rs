//! Certificates on a real host: Debian's pebble as the authority, which takes half of all nonces for wrong; the CA of
//! the host; the owner's own pairs.

use std::time::Duration;

use crate::site::{host_with_binary, manifest};
use crate::support::lab::{Host, Image};

/// An authority on the host itself, on port 14000, and the names that lead here.
fn with_pebble(host: &Host) {
    host.ok(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install -y --no-install-recommends pebble openssl >/dev/null",
    );
    host.ok("echo '127.0.0.1 shop.lan www.shop.lan blog.lan' >>/etc/hosts");
    host.ok(
        "mkdir -p /root/ca && cd /root/ca && \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 90 -subj '/CN=Lab directory' 2>/dev/null && \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.csr -subj /CN=localhost 2>/dev/null && \
         printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' >ext && \
         openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile ext -out tls.pem 2>/dev/null",
    );
    host.write(
        "/root/ca/pebble.json",
        r#"{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
            "certificate": "/root/ca/tls.pem", "privateKey": "/root/ca/tls.key",
            "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": false}}"#,
        0o644,
    );
    start_pebble(host);
}

fn start_pebble(host: &Host) {
    host.ok(
        "systemd-run --quiet --unit=pebble --setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=50 \
         \"$(command -v pebble)\" -config /root/ca/pebble.json",
    );
    host.wait("pebble", Duration::from_secs(20), || {
        let asked = host.sh("curl -sf --cacert /root/ca/ca.pem https://localhost:14000/dir");
        asked.success().then_some(()).ok_or(asked.stderr)
    });
}

fn declare(host: &Host, name: &str, hosts: &str, tls: &str) {
    host.ok("mkdir -p /etc/tavern/stacks");
    host.write(
        &format!("/etc/tavern/stacks/{name}.toml"),
        &format!(
            "name = \"{name}\"\nhosts = [{hosts}]\n\n[tls]\n{tls}\n\n[[site]]\npath = \"/\"\nstatic = \"main\"\n"
        ),
        0o644,
    );
}

const ACME: &str = "issuer = \"acme\"\nemail = \"admin@example.org\"\n\
                    directory = \"https://localhost:14000/dir\"\nca-file = \"/root/ca/ca.pem\"";

fn serial(host: &Host, name: &str) -> String {
    host.ok(&format!(
        "openssl x509 -in /etc/tavern/tls/{name}/fullchain.pem -noout -serial"
    ))
}

fn served(host: &Host, name: &str) -> String {
    host.ok(&format!(
        "openssl s_client -connect 127.0.0.1:443 -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    ))
}

fn issuer(host: &Host, name: &str) -> String {
    host.ok(&format!(
        "openssl x509 -in /etc/tavern/tls/{name}/fullchain.pem -noout -issuer"
    ))
}

#[test]
fn debian_12_gets_renews_and_takes_back_what_an_authority_signs() {
    let host = host_with_binary(Image::BookwormPrepared, "acme");
    with_pebble(&host);
    declare(&host, "shop", "\"shop.lan\", \"www.shop.lan\"", ACME);
    let said = host.ok("/root/tavernctl install --yes 2>&1");
    assert!(said.contains("certificate of shop: renewed"), "{said}");
    assert!(
        issuer(&host, "shop").contains("Pebble"),
        "{}",
        issuer(&host, "shop")
    );
    let first = serial(&host, "shop");
    assert_eq!(served(&host, "www.shop.lan"), first);
    let again = host.ok("tavernctl install --yes");
    assert!(again.contains("Nothing to change."), "{again}");
    // Not due; then by hand; then taken back.
    let said = host.ok("tavernctl cert renew --due");
    assert!(said.contains("not due before"), "{said}");
    assert_eq!(serial(&host, "shop"), first);
    host.ok("tavernctl cert renew shop");
    let second = serial(&host, "shop");
    assert!(second != first && served(&host, "shop.lan") == second);
    let said = host.ok("tavernctl cert revoke shop");
    assert!(
        said.contains("shop: revoked") && said.contains("renewed"),
        "{said}"
    );
    let third = serial(&host, "shop");
    assert!(third != second && served(&host, "shop.lan") == third);
    let shown = host.ok("tavernctl cert show --json");
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown[0]["is_served"], true, "{shown}");
    // A name that leads nowhere: the other stack is none the worse.
    declare(&host, "blog", "\"blog.lan\", \"nowhere.invalid.lan\"", ACME);
    let refused = host.sh("tavernctl install --yes 2>&1");
    assert!(
        refused.stdout.contains("certificate of blog: failed"),
        "{refused}"
    );
    assert_eq!(served(&host, "shop.lan"), third);
    let waits = host.ok("tavernctl cert renew --due");
    assert!(
        waits.contains("blog: failed, not tried again before"),
        "{waits}"
    );
    host.ok("tavernctl uninstall --yes blog");
    // The authority is gone: what serves goes on, and it is said why.
    host.ok("systemctl stop pebble");
    let down = host.sh("tavernctl cert renew shop 2>&1");
    assert_eq!(down.code, 1, "{down}");
    assert!(down.stdout.contains("cannot be asked"), "{down}");
    assert_eq!(
        (serial(&host, "shop"), served(&host, "shop.lan")),
        (third.clone(), third.clone())
    );
    host.ok("tavernctl cert show | grep -q 'cannot be asked'");
    // Killed while it asks.
    start_pebble(&host);
    host.ok("tavernctl cert renew shop & sleep 0.3; kill -9 $! ; wait");
    host.ok("tavernctl recover; tavernctl cert renew shop");
    let last = serial(&host, "shop");
    assert!(last != third && served(&host, "shop.lan") == last);
    host.ok("systemctl start tavern-renew.service && systemctl is-active tavern-renew.timer");
    host.ok("tavernctl uninstall --yes --purge");
    assert!(
        !host
            .sh("test -e /var/lib/tavern -o -e /etc/tavern")
            .success()
    );
    assert!(!host.sh("systemctl cat tavern-renew.timer").success());
}

#[test]
fn debian_12_trusts_its_own_ca_for_its_own_names() {
    let host = host_with_binary(Image::BookwormPrepared, "local-ca");
    host.ok("echo '127.0.0.1 shop.lan blog.lan' >>/etc/hosts");
    declare(&host, "shop", "\"shop.lan\"", "issuer = \"local-ca\"");
    host.ok("/root/tavernctl install --yes");
    assert!(!host.sh("curl -s https://shop.lan/").success());
    host.ok("tavernctl cert trust");
    host.ok("curl -sSf https://shop.lan/ >/dev/null");
    assert_eq!(
        host.ok("stat -c %a /etc/tavern/local-ca/key.pem").trim(),
        "600"
    );
    let exported = host.ok("tavernctl cert export");
    assert!(exported.starts_with("-----BEGIN CERTIFICATE") && !exported.contains("PRIVATE"));
    // Its key, in the wrong hands, vouches for no other name.
    host.ok(
        "cd /root && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout e.key -out e.csr -subj /CN=bank.example 2>/dev/null && \
         printf 'subjectAltName=DNS:bank.example\\n' >ext && \
         openssl x509 -req -in e.csr -CA /etc/tavern/local-ca/fullchain.pem -CAkey /etc/tavern/local-ca/key.pem -CAcreateserial -days 9 -extfile ext -out e.pem 2>/dev/null",
    );
    let judged =
        host.sh("openssl verify -CAfile /etc/tavern/local-ca/fullchain.pem /root/e.pem 2>&1");
    assert!(
        !judged.success() && judged.stdout.contains("permitted subtree violation"),
        "{judged}"
    );
    host.ok("tavernctl cert trust --uninstall");
    assert!(!host.sh("curl -s https://shop.lan/").success());
    host.ok("tavernctl cert trust && tavernctl uninstall --yes --purge");
    let left = host.ok("find /usr/local/share/ca-certificates /etc/ssl/certs -iname '*tavern*'");
    assert_eq!(left, "");
}

#[test]
fn debian_12_refuses_pairs_that_cannot_be_served_before_it_writes() {
    let host = host_with_binary(Image::BookwormPrepared, "files");
    host.ok("echo '127.0.0.1 shop.lan' >>/etc/hosts; mkdir -p /srv/pair");
    let leaf = |days: &str, names: &str| {
        host.ok(&format!(
            "cd /srv/pair && test -e ca.pem || openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 900 -subj '/CN=Lab root' 2>/dev/null; \
             cd /srv/pair && openssl req -newkey rsa:2048 -nodes -keyout key.pem -out c.csr -subj /CN=shop.lan 2>/dev/null && \
             printf 'subjectAltName={names}\\nbasicConstraints=CA:FALSE\\n' >ext && \
             openssl x509 -req -in c.csr -CA ca.pem -CAkey ca.key -CAcreateserial {days} -extfile ext -out chain.pem 2>/dev/null && \
             chmod 600 key.pem && cp ca.pem /usr/local/share/ca-certificates/lab.crt && update-ca-certificates >/dev/null 2>&1"
        ));
    };
    declare(
        &host,
        "shop",
        "\"shop.lan\"",
        "issuer = \"files\"\ncertificate = \"/srv/pair/chain.pem\"\nkey = \"/srv/pair/key.pem\"",
    );
    leaf("-days 90", "DNS:shop.lan");
    let refused = |spoil: &str, words: &str| {
        host.ok("rm -rf /srv/good && cp -a /srv/pair /srv/good");
        host.ok(spoil);
        let before = manifest(&host);
        let said = host.sh("/root/tavernctl install --yes 2>&1");
        assert_eq!(said.code, 1, "{spoil}: {said}");
        assert!(said.stdout.contains(words), "{spoil}: {said}");
        assert_eq!(manifest(&host), before, "{spoil}");
        host.ok("rm -rf /srv/pair && cp -a /srv/good /srv/pair");
    };
    for (spoil, words) in [
        ("rm /srv/pair/key.pem", "there is no such file"),
        ("chmod 644 /srv/pair/key.pem", "everybody may read it"),
        (
            "cd /srv/pair && openssl genrsa -out key.pem 2048 2>/dev/null && chmod 600 key.pem",
            "not the certificate's",
        ),
        (
            "cd /srv/pair && openssl pkey -in key.pem -aes256 -passout pass:x -out k && mv k key.pem",
            "encrypted",
        ),
        (
            "cd /srv/pair && openssl x509 -in chain.pem -outform der -out c && mv c chain.pem",
            "binary",
        ),
        (
            "cd /srv/pair && cat ca.pem >>chain.pem",
            "ends with the root",
        ),
        (
            "cd /srv/pair && cat ca.pem chain.pem >c && mv c chain.pem",
            "wrong order",
        ),
        (
            "rm /usr/local/share/ca-certificates/lab.crt && update-ca-certificates --fresh >/dev/null 2>&1; sleep 1",
            "incomplete",
        ),
        (
            "cd /srv/pair && mkdir -m 777 open && mv chain.pem open/ && ln -s /srv/pair/open/../ca.pem open/link && ln -sf open/link chain.pem",
            "is a link that anybody could point elsewhere",
        ),
    ] {
        refused(spoil, words);
        host.ok("cp /srv/pair/ca.pem /usr/local/share/ca-certificates/lab.crt && update-ca-certificates >/dev/null 2>&1");
    }
    leaf("-days -1", "DNS:shop.lan");
    refused("true", "expired on");
    leaf("-days 90", "DNS:other.lan");
    refused("true", "only in the certificate's common name");
    leaf("-days 90", "DNS:shop.lan");
    host.ok("/root/tavernctl install --yes");
    host.ok("curl -sSf https://shop.lan/ >/dev/null");
    // The owner's new pair is taken by the next look.
    let old = serial(&host, "shop");
    leaf("-days 90", "DNS:shop.lan");
    host.ok("tavernctl cert renew --due");
    assert!(serial(&host, "shop") != old && served(&host, "shop.lan") == serial(&host, "shop"));
}
