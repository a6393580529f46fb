//! Backups of more than a Redis, at more places than a directory: databases of the owner's, the CA of the host, a host
//! that is reached by SSH.

use crate::site::{STACK, edit, exits, installed};
use crate::support::lab::{Host, Image};

const KEY: &str = "/etc/tavern/credentials/counter/backup-key";

fn with_backups(host: &Host, backup: &str) {
    host.ok("apt-get -q update >/dev/null");
    let text = host.read(STACK);
    host.write(STACK, &format!("{text}\n[backup]\n{backup}\n"), 0o644);
    host.ok("tavernctl install --yes");
}

/// Two rows a transaction, one in each table: a copy that is torn has more of the one than of the other.
const WRITER: &str = r#"
import sqlite3, time
database = sqlite3.connect('/srv/shop/shop.db', isolation_level=None, timeout=60)
database.execute('PRAGMA journal_mode=WAL')
for table in ('orders', 'bills'):
    database.execute(f'CREATE TABLE IF NOT EXISTS {table} (n INTEGER PRIMARY KEY, text BLOB)')
while True:
    database.execute('BEGIN IMMEDIATE')
    for table in ('orders', 'bills'):
        database.execute(f'INSERT INTO {table} (text) VALUES (randomblob(2000))')
        time.sleep(0.002)
    database.execute('COMMIT')
"#;

fn rows(host: &Host, table: &str) -> u64 {
    let said = host.ok(&format!(
        "sqlite3 /srv/shop/shop.db 'SELECT count(*) FROM {table}'"
    ));
    said.trim().parse().expect("a number")
}

fn ca(host: &Host) -> String {
    host.ok("openssl x509 -in /etc/tavern/local-ca/fullchain.pem -noout -fingerprint -sha256")
}

fn greets(host: &Host, ca: &str) -> bool {
    let ask = "curl -sS -o /dev/null --resolve shop.example:443:127.0.0.1 https://shop.example/";
    host.sh(&format!("{ask} --cacert {ca}")).success()
}

#[test]
fn debian_13_databases_and_the_ca_come_back_elsewhere() {
    let backup = "to = \"/srv/backup\"\nsqlite = [\"/srv/shop/shop.db\"]";
    let first = installed(Image::TrixiePrepared, "shop13");
    shop(&first);
    with_backups(&first, backup);
    first.ok("dpkg -s sqlite3 >/dev/null");
    exits(&first.sh("tavernctl plan"), 0);
    // Saved while somebody writes.
    let before = rows(&first, "orders");
    first.ok("tavernctl backup now && tavernctl backup verify");
    assert!(
        rows(&first, "orders") > before,
        "the writer was held up for good"
    );
    first.ok("systemctl stop writer");
    let most = rows(&first, "orders");
    let key = first.read(KEY);
    let (theirs, pem) = (ca(&first), first.read("/etc/tavern/local-ca/fullchain.pem"));
    let tar = first.ok("tar -C / -c srv/backup | base64 -w0");
    a_damaged_database_is_said(&first);
    drop(first);

    let second = installed(Image::TrixiePrepared, "other13");
    shop(&second);
    with_backups(&second, backup);
    second.ok("systemctl stop writer; echo old >/srv/shop/shop.db-wal");
    second.write("/root/backup.b64", &tar, 0o600);
    second.ok("base64 -d /root/backup.b64 | tar -C / -x; rm /root/backup.b64");
    second.write("/root/old.key", &key, 0o600);
    second.write("/root/old-ca.pem", &pem, 0o644);
    assert_ne!(ca(&second), theirs);
    assert!(!greets(&second, "/root/old-ca.pem"));
    exits(&second.sh("tavernctl restore --yes --key /root/old.key"), 0);
    // Whole, of one moment, whose it was, and without what belonged to another one.
    let (orders, bills) = (rows(&second, "orders"), rows(&second, "bills"));
    assert_eq!(orders, bills);
    assert!(
        (before..=most).contains(&orders),
        "{before} {orders} {most}"
    );
    assert_eq!(
        second.ok("stat -c '%U %G %a' /srv/shop/shop.db").trim(),
        "shop shop 640"
    );
    second.ok("test ! -e /srv/shop/shop.db-wal && test ! -e /srv/shop/shop.db-shm");
    // Whoever trusts the old host's CA trusts what this one serves.
    assert_eq!(ca(&second), theirs);
    assert!(greets(&second, "/root/old-ca.pem"));
    exits(&second.sh("tavernctl plan"), 0);
    assert_eq!(
        second.ok("ls -d /etc/tavern/local-ca.* | wc -l").trim(),
        "1",
        "the pair of the CA that was there is gone"
    );
    // And the second time nothing of it changes.
    second.ok("tavernctl backup now && tavernctl restore --yes");
    assert_eq!(ca(&second), theirs);
    exits(&second.sh("tavernctl uninstall --yes --purge"), 0);
    second.ok("test -e /srv/shop/shop.db && test ! -e /etc/tavern");
}

/// A stack that lives by the host's CA, and a program of the owner's that writes all the time.
fn shop(host: &Host) {
    host.ok("useradd --system shop; install -d -o shop -g shop /srv/shop");
    host.write("/usr/local/bin/writer.py", WRITER, 0o755);
    host.ok(
        "systemd-run --unit=writer -p User=shop -p UMask=0027 /usr/bin/python3 /usr/local/bin/writer.py",
    );
    edit(host, "hosts = [\"*\"]", "hosts = [\"shop.example\"]");
    edit(host, "issuer = \"self-signed\"", "issuer = \"local-ca\"");
    host.wait(
        "the shop's database",
        std::time::Duration::from_secs(30),
        || {
            let there = host.sh("test -s /srv/shop/shop.db && chmod 640 /srv/shop/shop.db");
            there.success().then_some(()).ok_or(there.to_string())
        },
    );
}

fn a_damaged_database_is_said(host: &Host) {
    host.ok(
        "cp -a /srv/shop/shop.db /srv/shop/sound; \
         printf 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' | dd of=/srv/shop/shop.db bs=1 seek=4096 conv=notrunc status=none",
    );
    let refused = host.sh("tavernctl backup now");
    exits(&refused, 1);
    assert!(refused.stderr.contains("/srv/shop/shop.db"), "{refused}");
    let check = host.sh("tavernctl check --json");
    assert!(check.stdout.contains("the last try failed"), "{check}");
    host.ok("mv /srv/shop/sound /srv/shop/shop.db; tavernctl backup now");
}

#[test]
fn debian_12_backups_over_ssh() {
    let host = installed(Image::BookwormPrepared, "sftp12");
    host.ok(
        "apt-get -q update >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends openssh-server >/dev/null; \
         useradd --create-home keeper; install -d -o keeper /srv/far; \
         mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; \
         install -d -m 700 -o keeper /home/keeper/.ssh; \
         install -m 600 -o keeper /root/.ssh/id_ed25519.pub /home/keeper/.ssh/authorized_keys; \
         systemctl start ssh.service",
    );
    with_backups(&host, "to = \"sftp:keeper@localhost:/srv/far\"");
    // Nobody has said yet that this is the host that is meant.
    let unknown = host.sh("tavernctl backup now </dev/null");
    exits(&unknown, 1);
    assert!(unknown.stderr.contains("error: "), "{unknown}");
    host.ok("ssh-keyscan -t ed25519 localhost 2>/dev/null >>/root/.ssh/known_hosts");
    // In the timer's sandbox, as every night.
    for unit in ["tavern-backup", "tavern-drill"] {
        let output = host.sh(&format!(
            "systemctl start {unit}.service; journalctl --no-pager -u {unit}"
        ));
        let state = host.ok(&format!("systemctl show -p Result --value {unit}.service"));
        assert_eq!(state.trim(), "success", "{output}");
    }
    exits(&host.sh("tavernctl check"), 0);
    assert_eq!(
        host.ok("stat -c %U /srv/far/counter/config").trim(),
        "keeper"
    );
    host.ok("echo new >/var/www/counter/open/new.html");
    exits(&host.sh("tavernctl restore --yes"), 0);
    host.ok("test ! -e /var/www/counter/open/new.html");
    // Away, it is said so, and nothing hangs.
    host.ok("systemctl stop ssh.service ssh.socket 2>/dev/null; true");
    let away = host.sh("tavernctl backup now </dev/null");
    exits(&away, 1);
    assert!(away.stderr.contains("reachable from this host"), "{away}");
    let check = host.sh("tavernctl check --json");
    exits(&check, 2);
    assert!(check.stdout.contains("the last try failed"), "{check}");
}
