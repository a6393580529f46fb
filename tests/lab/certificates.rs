//! Certificates on a real host: Debian's pebble as the authority, which takes half of all nonces for wrong; the CA of
//! the host; the owner's own pairs.

use std::time::Duration;

use crate::site::{host_with_binary, manifest};
use crate::support::lab::{Host, Image};

/// An authority on the host itself, on port 14000, and the names that lead here. If it is `bound_to` accounts of its
/// own (`"NAME": "KEY"`), it takes no other.
pub fn with_pebble(host: &Host, bound_to: Option<&str>) {
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
        &format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
            "certificate": "/root/ca/tls.pem", "privateKey": "/root/ca/tls.key",
            "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": {},
            "externalAccountMACKeys": {{{}}}}}}}"#,
            bound_to.is_some(),
            bound_to.unwrap_or_default()
        ),
        0o600,
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

pub fn declare(host: &Host, name: &str, hosts: &str, tls: &str) {
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

pub fn serial(host: &Host, name: &str) -> String {
    host.ok(&format!(
        "openssl x509 -in /etc/tavern/tls/{name}/fullchain.pem -noout -serial"
    ))
}

pub fn served(host: &Host, name: &str) -> String {
    host.ok(&format!(
        "openssl s_client -connect 127.0.0.1:443 -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    ))
}

pub fn issuer(host: &Host, name: &str) -> String {
    host.ok(&format!(
        "openssl x509 -in /etc/tavern/tls/{name}/fullchain.pem -noout -issuer"
    ))
}

#[test]
fn debian_12_gets_renews_and_takes_back_what_an_authority_signs() {
    let host = host_with_binary(Image::BookwormPrepared, "acme");
    with_pebble(&host, None);
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
    own_ca(Image::BookwormPrepared, "local-ca12");
}

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_13_trusts_its_own_ca_for_its_own_names() {
    own_ca(Image::TrixiePrepared, "local-ca13");
}

fn own_ca(image: Image, name: &str) {
    let host = host_with_binary(image, name);
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
    browsers_trust_it_too(&host);
    host.ok("tavernctl cert trust && tavernctl uninstall --yes --purge");
    let left = host.ok("find /usr/local/share/ca-certificates /etc/ssl/certs -iname '*tavern*'");
    assert_eq!(left, "");
}

/// Chromium's store and a profile of Firefox, as their programs keep them, of the user who called sudo.
fn browsers_trust_it_too(host: &Host) {
    host.ok(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install -y --no-install-recommends libnss3-tools >/dev/null; \
         useradd --create-home ann && cd /home/ann && \
         for store in .pki/nssdb .mozilla/firefox/one.default; do \
         runuser -u ann -- mkdir -p $store && runuser -u ann -- certutil -d sql:$store -N --empty-password; done",
    );
    let chromium = "/home/ann/.pki/nssdb";
    let firefox = "/home/ann/.mozilla/firefox/one.default";
    let names = |store: &str| host.ok(&format!("certutil -d sql:{store} -L"));
    // NSS itself judges the certificate that nginx shows.
    let is_valid = |store: &str, name: &str| {
        host.ok(&format!(
            "cp -r {store} /root/judged; certutil -d sql:/root/judged -A -n leaf -t ,, -i /etc/tavern/tls/{name}/fullchain.pem"
        ));
        let judged =
            host.sh("certutil -d sql:/root/judged -V -u V -n leaf 2>&1; rm -r /root/judged");
        judged.stdout.contains("certificate is valid")
    };
    assert!(!is_valid(chromium, "shop"));
    let trust = "SUDO_USER=ann tavernctl cert trust";
    host.ok(trust);
    let own = host.ok("find /home/ann ! -user ann");
    assert_eq!(own, "", "somebody else's files in a home");
    for store in [chromium, firefox] {
        assert!(names(store).contains("Tavern local CA"), "{store}");
        assert!(is_valid(store, "shop"), "{store}");
    }
    // Another name, another CA: those who trusted it do so still, and the old one is gone.
    declare(host, "blog", "\"blog.lan\"", "issuer = \"local-ca\"");
    let said = host.ok("tavernctl install --yes 2>&1");
    assert!(said.contains("the CA was made anew"), "{said}");
    host.ok("curl -sSf https://blog.lan/ >/dev/null && curl -sSf https://shop.lan/ >/dev/null");
    for store in [chromium, firefox] {
        assert_eq!(
            names(store).matches("Tavern local CA").count(),
            1,
            "{store}"
        );
        assert!(
            is_valid(store, "blog") && is_valid(store, "shop"),
            "{store}"
        );
    }
    assert!(
        host.ok("tavernctl install --yes 2>&1")
            .contains("Nothing to change.")
    );
    // One store that cannot be written is not forgotten.
    host.ok(&format!(
        "chown -R root:root {firefox}; chmod -R go= {firefox}"
    ));
    let said = host.sh("tavernctl cert trust --uninstall 2>&1");
    assert_eq!(said.code, 1, "{said}");
    assert!(
        said.stdout.contains("one.default still trusts it"),
        "{said}"
    );
    assert!(!names(chromium).contains("Tavern") && names(firefox).contains("Tavern"));
    let left = host.sh("tavernctl uninstall --yes 2>&1");
    assert_eq!(left.code, 2, "{left}");
    assert!(
        left.stdout.contains("one.default still trusts it"),
        "{left}"
    );
    host.ok(&format!("chown -R ann:ann {firefox}"));
    host.ok("tavernctl uninstall --yes");
    assert!(!names(firefox).contains("Tavern"), "{}", names(firefox));
    host.ok("rm /etc/tavern/stacks/blog.toml && /root/tavernctl install --yes");
}

#[test]
fn debian_12_refuses_pairs_that_cannot_be_served_before_it_writes() {
    owners_pairs(Image::BookwormPrepared, "files12");
}

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_13_refuses_pairs_that_cannot_be_served_before_it_writes() {
    owners_pairs(Image::TrixiePrepared, "files13");
}

fn owners_pairs(image: Image, name: &str) {
    let host = host_with_binary(image, name);
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
    // A newer openssl makes no life of less than no days, an older one takes no dates.
    let over = match image {
        Image::TrixiePrepared => {
            "-not_before $(date -u -d '3 days ago' +%Y%m%d000000Z) -not_after $(date -u -d yesterday +%Y%m%d000000Z)"
        }
        _ => "-days -1",
    };
    leaf(over, "DNS:shop.lan");
    refused("true", "expired on");
    if image == Image::TrixiePrepared {
        // An older openssl cannot write one that is yet to begin.
        leaf(
            "-not_before $(date -u -d tomorrow +%Y%m%d000000Z) -days 90",
            "DNS:shop.lan",
        );
        refused("true", "is not valid before");
    }
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
