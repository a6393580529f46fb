//! An ACME authority that takes only accounts which are bound to its own, and that says itself when a certificate is to
//! be renewed: Debian's pebble, with renewal information in front of it.

use std::time::Duration;

use crate::certificates::{declare, issuer, serial, served, with_pebble};
use crate::site::host_with_binary;
use crate::support::lab::{Host, Image};

/// What the authority gave: a secret that must be nowhere but in its file.
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

fn tls(port: u16, kid: &str) -> String {
    format!(
        "issuer = \"acme\"\ndirectory = \"https://localhost:{port}/dir\"\nca-file = \"/root/ca/ca.pem\"\n\
         eab-kid = \"{kid}\"\neab-key-file = \"/root/eab\""
    )
}

#[test]
fn debian_13_is_bound_to_an_account_and_renews_when_its_authority_says_so() {
    let host = host_with_binary(Image::TrixiePrepared, "eab");
    with_pebble(&host, Some(&format!("\"kid-1\": \"{KEY}\"")));
    an_account_is_bound(&host);
    the_authority_says_when(&host);
    // In nothing that we wrote, and in no log.
    let found = host.sh(&format!(
        "grep -rlaF '{KEY}' /etc /var /run/tavern 2>/dev/null; journalctl --no-pager | grep -aF '{KEY}'"
    ));
    assert_eq!(found.stdout, "", "{found}");
    host.ok("tavernctl uninstall --yes --purge");
}

fn an_account_is_bound(host: &Host) {
    // Without an account of its own the authority takes nobody; what is served until then is ours.
    declare(
        host,
        "shop",
        "\"shop.lan\"",
        &tls(14000, "kid-1").replace("eab-", "# eab-"),
    );
    let refused = host.sh("/root/tavernctl install --yes 2>&1");
    assert!(
        refused.stdout.contains("certificate of shop: failed"),
        "{refused}"
    );
    assert!(
        refused.stdout.contains("externalAccountRequired")
            && refused.stdout.contains("add `eab-kid` and `eab-key-file`"),
        "{refused}"
    );
    host.ok("curl -sSkf --resolve shop.lan:443:127.0.0.1 https://shop.lan/ >/dev/null");
    declare(host, "shop", "\"shop.lan\"", &tls(14000, "kid-1"));
    let install = "tavernctl install --yes 2>&1; tavernctl cert renew shop 2>&1";
    for (key, mode, kid, words) in [
        (KEY, 0o644, "kid-1", "others than root may read this key"),
        ("not/base64/url!!", 0o600, "kid-1", "not a key in base64url"),
        (
            "bm90IHRoZSByaWdodCBrZXksIG5vdCBhdCBhbGw",
            0o600,
            "kid-1",
            "failed",
        ),
        (KEY, 0o600, "kid-2", "failed"),
    ] {
        host.write("/root/eab", &format!("{key}\n"), mode);
        declare(host, "shop", "\"shop.lan\"", &tls(14000, kid));
        let refused = host.sh(install);
        assert!(
            refused.code == 1 && refused.stdout.contains(words),
            "{kid} {key}: {refused}"
        );
        assert!(!issuer(host, "shop").contains("Pebble"));
        // The key of an account that was refused is not kept for the next try.
        assert_eq!(
            accounts(host),
            "1",
            "that of the first try, without a binding"
        );
    }
    host.write("/root/eab", &format!("{KEY}\n"), 0o600);
    declare(host, "shop", "\"shop.lan\"", &tls(14000, "kid-1"));
    host.ok(install);
    assert!(
        issuer(host, "shop").contains("Pebble"),
        "{}",
        issuer(host, "shop")
    );
    let first = serial(host, "shop");
    assert_eq!(served(host, "shop.lan"), first);
    // Bound once and for all: the key is not needed again.
    host.ok("rm /root/eab && tavernctl cert renew shop");
    assert_ne!(serial(host, "shop"), first);
    assert_eq!(accounts(host), "2");
}

/// How many accounts' keys there are.
fn accounts(host: &Host) -> String {
    let counted = host.ok("ls /var/lib/tavern/acme/shop | grep -c account-");
    counted.trim().to_owned()
}

fn the_authority_says_when(host: &Host) {
    host.write("/root/ari.py", include_str!("edge/ari.py"), 0o755);
    host.ok("touch /root/ari-now; systemd-run --quiet --unit=ari -p StandardOutput=file:/root/ari.log /root/ari.py");
    host.wait("renewal information", Duration::from_secs(20), || {
        let asked = host.sh("curl -sf --cacert /root/ca/ca.pem https://localhost:14001/dir");
        asked.success().then_some(()).ok_or(asked.stderr)
    });
    host.write("/root/eab", &format!("{KEY}\n"), 0o600);
    declare(host, "shop", "\"shop.lan\"", &tls(14001, "kid-1"));
    host.ok("tavernctl install --yes");
    let first = serial(host, "shop");
    // It is asked for this certificate by its name there: who signed it, and its number.
    let name = host.ok(
        "python3 - <<'E'\nimport base64, re, subprocess\n\
         out = subprocess.run(['openssl', 'x509', '-in', '/etc/tavern/tls/shop/fullchain.pem', '-noout', '-serial', '-ext', 'authorityKeyIdentifier'], capture_output=True, text=True).stdout\n\
         key = re.search('([0-9A-F]{2}:){19}[0-9A-F]{2}', out)[0].replace(':', '')\n\
         number = re.search('serial=([0-9A-F]+)', out)[1]\n\
         number = ('00' if int(number[0], 16) > 7 else '') + number\n\
         print('.'.join(base64.urlsafe_b64encode(bytes.fromhex(part)).decode().rstrip('=') for part in (key, number)))\nE",
    );
    let said = host.ok("tavernctl cert renew --due");
    assert!(said.contains("its authority wants it renewed"), "{said}");
    assert!(
        host.read("/root/ari.log")
            .contains(&format!("/renewal-info/{}\n", name.trim())),
        "{name}"
    );
    let second = serial(host, "shop");
    assert!(second != first && served(host, "shop.lan") == second);
    // The next one may stay until its window, which is sooner than a third of its life.
    host.ok("rm /root/ari-now");
    let said = host.ok("tavernctl cert renew --due");
    let day = host.ok("date -u -d '+5 days' +%F");
    let next = host.ok("date -u -d '+5 days 1 hour' +%F");
    assert!(
        said.contains(day.trim()) || said.contains(next.trim()),
        "{said}"
    );
    let asked = host.read("/root/ari.log");
    // Nor is it asked at every look.
    host.ok("tavernctl cert renew --due && tavernctl cert show | grep -q 'renewed after'");
    assert_eq!(host.read("/root/ari.log"), asked);
    assert_eq!(serial(host, "shop"), second);
    // It is down: the window that it gave holds.
    host.ok("systemctl stop ari && tavernctl cert renew --due | grep -q 'not due before'");
}
