//! A stack with a Redis and a Postgres on a real host: made, kept, saved, restored, refused, given back.

use std::time::Duration;

use crate::site::{STACK, edit, exits, host_with_binary, wait_until_healthy};
use crate::support::lab::{Host, Image, Output, postgres_image_tar, redis_image_tar};

const DB: &str = "\n[container.db]\nkind = \"postgres\"\nname = \"orders\"\nimage = \"postgres:15-alpine\"\n\
                  database = \"shop\"\nuser = \"clerk\"\n";
const BACKUP: &str = "\n[backup]\nto = \"/srv/backup\"\n";
const CONTENT: &str = "SELECT count(*), md5(string_agg(id || name, ',' ORDER BY id)) FROM goods";
const PASSWORD: &str = "/etc/tavern/credentials/counter/postgres-password";

/// A query as the stack's programs ask it: as its role, over the socket, with its password, from outside of the
/// container.
fn query(host: &Host, statement: &str) -> Output {
    let image = "postgres:15-alpine";
    // As its user in the group of the socket; the host has no psql of its own.
    host.sh(&format!(
        "docker run --rm --network none --user 70:$(getent group tavern-orders | cut -d: -f3) \
         -v /run/tavern/orders:/s -v /etc/tavern/containers/orders/password:/password:ro \
         --entrypoint bash {image} -c \
         'PGPASSWORD=$(cat /password) psql -h /s -U clerk -d shop -XAtq -v ON_ERROR_STOP=1 -c \"$0\"' \"{statement}\""
    ))
}

fn ask(host: &Host, statement: &str) -> String {
    let answer = query(host, statement);
    exits(&answer, 0);
    answer.stdout.trim().to_owned()
}

#[test]
fn debian_12_keeps_a_postgres() {
    keeps(Image::BookwormPrepared, "postgres12");
}

#[test]
#[ignore = "longer: tests/full"]
fn debian_13_keeps_a_postgres() {
    keeps(Image::TrixiePrepared, "postgres13");
}

fn keeps(image: Image, name: &str) {
    let host = host_with_binary(image, name);
    host.load_image(&redis_image_tar());
    host.load_image(&postgres_image_tar());
    host.ok("apt-get -q update >/dev/null; docker run -d --name foreign redis:7-alpine");
    host.ok("mkdir -p /etc/tavern/stacks; /root/tavernctl install --yes");
    let text = host.read(STACK);
    host.write(STACK, &format!("{text}{DB}{BACKUP}"), 0o644);
    exits(&host.sh("tavernctl install --yes"), 0);
    let again = host.sh("tavernctl install --yes");
    assert!(again.stdout.contains("Nothing to change."), "{again}");
    wait_until_healthy(&host, "the host with a Postgres");
    let check = host.ok("tavernctl check");
    assert!(check.contains("postgres orders as clerk"), "{check}");

    ask(
        &host,
        "CREATE TABLE goods (id serial PRIMARY KEY, name text)",
    );
    ask(
        &host,
        "INSERT INTO goods (name) SELECT 'thing ' || n FROM generate_series(1, 1000) n",
    );
    the_role_is_no_superuser(&host);
    nothing_secret_is_in_the_open(&host);
    it_is_kept(&host);
    its_owner_gains_nothing_by_a_backup(&host);
    rows_may_come_and_go(&host);
    it_is_saved_and_restored(&host);
    a_damaged_dump_is_refused(&host);
    a_new_password_is_really_one(&host);
    a_major_upgrade_is_refused(&host);
    it_is_given_back(&host);
}

fn the_role_is_no_superuser(host: &Host) {
    let may = ask(
        host,
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = 'clerk'",
    );
    assert_eq!(may, "f|f|f|f|f");
    let checksums = ask(host, "SHOW data_checksums");
    assert_eq!(checksums, "on");
    // Nobody else's password, and no superuser from outside.
    let others = query(host, "SELECT rolpassword FROM pg_authid");
    assert!(others.stderr.contains("permission denied"), "{others}");
    let group = "$(getent group tavern-orders | cut -d: -f3)";
    let outside = host.sh(&format!(
        "docker run --rm --network none --user 999:{group} -v /run/tavern/orders:/s --entrypoint psql \
         postgres:15-alpine -h /s -U postgres -c 'SELECT 1'"
    ));
    assert_ne!(outside.code, 0, "{outside}");
    // Who is not in the group does not come to the socket.
    let stranger =
        host.sh("setpriv --reuid=65534 --regid=65534 --clear-groups -- ls /run/tavern/orders");
    assert_ne!(stranger.code, 0, "{stranger}");
}

/// Row 96.
fn nothing_secret_is_in_the_open(host: &Host) {
    let secret = host.ok(&format!("cat {PASSWORD}"));
    let secret = secret.trim();
    let seen = host.ok(
        "docker inspect orders; docker logs orders 2>&1; journalctl --no-pager -o cat; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; \
         cat /etc/tavern/containers/orders/role.sql",
    );
    assert!(!seen.contains(secret), "the password is in the open");
    let modes = host.ok(&format!(
        "stat -c '%a %U:%G' {PASSWORD} /etc/tavern/containers/orders/password"
    ));
    assert_eq!(modes, "600 root:root\n640 root:tavern-orders\n");
    let least = host.ok(
        "docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.NetworkMode}} \
         {{.Config.User}}' orders",
    );
    assert!(least.starts_with("true [ALL] none 70:"), "{least}");
}

fn it_is_kept(host: &Host) {
    for harm in ["docker kill orders", "docker rm -f orders"] {
        host.ok(harm);
        host.wait(harm, Duration::from_secs(60), || {
            let rows = query(host, "SELECT count(*) FROM goods");
            (rows.stdout.trim() == "1000")
                .then_some(())
                .ok_or_else(|| rows.to_string())
        });
    }
    wait_until_healthy(host, "the host after its Postgres was killed and removed");
    exits(&host.sh("tavernctl plan"), 0);
    assert!(host.ok("docker ps").contains("foreign"));
}

/// bug: the superuser counted rows with a function of whoever owned the database, and within his time limit.
fn its_owner_gains_nothing_by_a_backup(host: &Host) {
    ask(
        host,
        "CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE plpgsql AS \\$\\$ BEGIN \
         EXECUTE 'ALTER ROLE clerk SUPERUSER'; RETURN 'SELECT 1 AS n'; END \\$\\$",
    );
    ask(
        host,
        "ALTER DATABASE shop SET search_path = public, pg_catalog; ALTER DATABASE shop SET role = 'clerk'; \
         ALTER DATABASE shop SET statement_timeout = '1ms'; \
         ALTER DATABASE shop SET default_transaction_read_only = on",
    );
    host.ok("tavernctl backup now && tavernctl backup verify");
    let may = host.ok("docker exec orders psql -U postgres -Atc \"SELECT rolsuper FROM pg_roles WHERE rolname = 'clerk'\"");
    assert_eq!(may.trim(), "f");
    host.ok("docker exec orders psql -U postgres -c 'ALTER DATABASE shop RESET ALL'");
    ask(host, "DROP FUNCTION public.format(text, name, name)");
}

/// bug: the counts before and after a dump were taken for the limits of what is in it.
fn rows_may_come_and_go(host: &Host) {
    ask(host, "CREATE TABLE churn (n int)");
    host.ok(
        "docker exec orders touch /tmp/churn; docker exec -d orders sh -c 'while [ -e /tmp/churn ]; do \
         psql -q -U postgres -d shop -c \"INSERT INTO churn SELECT generate_series(1, 1000)\" -c \"DELETE FROM churn\"; done'",
    );
    for _ in 0..3 {
        host.ok("tavernctl backup now && tavernctl backup verify");
    }
    host.ok("docker exec orders rm /tmp/churn");
    ask(host, "DROP TABLE churn");
}

fn it_is_saved_and_restored(host: &Host) {
    // More than the stack's own: another role, and a database that the owner made by hand.
    host.ok("docker exec orders psql -U postgres -c 'CREATE ROLE auditor' -c 'CREATE DATABASE books OWNER clerk'");
    host.ok("docker exec orders psql -U postgres -d shop -c 'GRANT SELECT ON goods TO auditor'");
    host.ok("docker exec orders psql -U postgres -d books -c 'CREATE TABLE pages AS SELECT generate_series(1, 7)'");
    host.ok("docker exec orders psql -U postgres -c \"ALTER SYSTEM SET work_mem = '5MB'\"");
    let before = ask(host, CONTENT);
    host.ok("tavernctl backup now");
    let verified = host.ok("tavernctl backup verify");
    assert!(verified.contains("and 1007 rows"), "{verified}");
    nothing_is_left(host);
    ask(host, "DELETE FROM goods WHERE id > 500");
    ask(host, "UPDATE goods SET name = 'other'");
    ask(host, "CREATE TABLE later (n int)");
    host.ok("docker exec orders psql -U postgres -c 'DROP DATABASE books'");
    host.ok("docker exec orders psql -U postgres -c 'ALTER SYSTEM RESET ALL'");
    exits(&host.sh("tavernctl secret rotate db --at-once --yes"), 0);
    // A name that has no dump made: what is there is saved as it lies, and no server writes meanwhile.
    host.ok("docker exec orders psql -U postgres -c 'CREATE DATABASE \"a b\"'");
    let restored = host.sh("tavernctl restore --yes");
    exits(&restored, 0);
    let files = host.ok(
        "export RESTIC_PASSWORD_FILE=/etc/tavern/credentials/counter/backup-key; r='restic -q -r /srv/backup/counter'; \
         $r ls $($r snapshots --json | python3 -c 'import json,sys; print([s for s in json.load(sys.stdin) if \"safety\" in str(s.get(\"tags\"))][-1][\"id\"])')",
    );
    assert!(files.contains("_data/PG_VERSION"), "{files}");
    assert!(
        !files.contains("postmaster.pid"),
        "a running server was copied"
    );
    assert_eq!(ask(host, "SHOW work_mem"), "5MB");
    assert!(restored.stdout.contains("All checks passed."), "{restored}");
    assert_eq!(ask(host, CONTENT), before);
    let later = query(host, "SELECT * FROM later");
    assert!(later.stderr.contains("does not exist"), "{later}");
    assert_eq!(
        ask(
            host,
            "SELECT has_table_privilege('auditor', 'goods', 'SELECT')"
        ),
        "t"
    );
    let books =
        host.ok("docker exec orders psql -U postgres -d books -Atc 'SELECT count(*) FROM pages'");
    assert_eq!(books.trim(), "7");
    exits(&host.sh("tavernctl plan"), 0);
    wait_until_healthy(host, "the host after the restore");
    nothing_is_left(host);
    // What was there before can be had back: the safety copy is a backup like any other.
    let listed = host.ok("tavernctl backup list");
    assert!(listed.contains("safety copy"), "{listed}");
}

fn nothing_is_left(host: &Host) {
    let names = host.ok("docker ps -a --format '{{.Names}}'");
    assert!(!names.contains("drill"), "{names}");
    let left = host.ok("ls /var/lib/tavern/backup; find / -xdev -name '.*.tavern-ready' -o -xdev -name '.*.tavern-before'");
    assert_eq!(
        left.split_whitespace().collect::<Vec<_>>(),
        ["cache", "counter.json"]
    );
}

/// By somebody who has the key, and makes the manifest fit, on a host that has no note of its own which is the newest: the dump itself is tried before anything is touched.
fn a_damaged_dump_is_refused(host: &Host) {
    host.ok(
        "cp -a /srv/backup /srv/sound; export RESTIC_PASSWORD_FILE=/etc/tavern/credentials/counter/backup-key; \
         s=/var/lib/tavern/backup/stage; r='restic -q -r /srv/backup/counter'; \
         $r restore $($r snapshots --json | python3 -c 'import json,sys; print([s for s in json.load(sys.stdin) if \"safety\" not in str(s.get(\"tags\"))][-1][\"id\"])') --target / --include $s; \
         cd $s; for f in postgres/orders/*.dump; do a=$(sha256sum $f | cut -c-64); \
         printf 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' | dd of=$f bs=1 seek=400 conv=notrunc status=none; \
         sed -i s/$a/$(sha256sum $f | cut -c-64)/ manifest.json; done; cd /; \
         $r backup --host counter --tag tavern $s /var/www/counter; rm -r $s /var/lib/tavern/backup/counter.json",
    );
    let state = || {
        let id = host.ok("docker inspect -f '{{.Id}} {{.State.StartedAt}}' orders");
        format!("{id} {}", ask(host, CONTENT))
    };
    let before = state();
    for verb in ["restore --yes", "backup verify"] {
        let refused = host.sh(&format!("tavernctl {verb}"));
        exits(&refused, 1);
        assert!(refused.stderr.contains("pg_restore"), "{refused}");
        assert!(!refused.stderr.contains("safety"), "{refused}");
    }
    assert_eq!(before, state());
    nothing_is_left(host);
    host.ok("rm -rf /srv/backup /var/lib/tavern/backup/cache; mv /srv/sound /srv/backup; tavernctl backup verify");
}

fn a_new_password_is_really_one(host: &Host) {
    let before = host.read(PASSWORD);
    let soft = host.sh("tavernctl secret rotate db --yes");
    exits(&soft, 1);
    assert!(soft.stderr.contains("has one password"), "{soft}");
    exits(&host.sh("tavernctl secret rotate db --at-once --yes"), 0);
    assert_ne!(before, host.read(PASSWORD));
    assert_eq!(ask(host, "SELECT count(*) FROM goods"), "1000");
    wait_until_healthy(host, "the host with a new password");
    exits(&host.sh("tavernctl plan"), 0);
    host.write("/root/old", before.trim(), 0o644);
    let old = host.sh(
        "docker run --rm --network none --user 70:$(getent group tavern-orders | cut -d: -f3) \
         -v /run/tavern/orders:/s -v /root/old:/password:ro --entrypoint bash postgres:15-alpine -c \
         'PGPASSWORD=$(cat /password) psql -h /s -U clerk -d shop -c \"SELECT 1\"'",
    );
    assert!(
        old.stderr.contains("password authentication failed"),
        "{old}"
    );
    host.ok("rm /root/old");
}

/// Row 97.
fn a_major_upgrade_is_refused(host: &Host) {
    host.ok("docker tag postgres:15-alpine postgres:16-alpine");
    let before = host.ok("docker inspect -f '{{.Id}} {{.State.StartedAt}}' orders");
    edit(host, "postgres:15-alpine", "postgres:16-alpine");
    for verb in ["plan", "install --yes", "install --yes --adopt"] {
        let refused = host.sh(&format!("tavernctl {verb}"));
        exits(&refused, 1);
        assert!(
            refused.stderr.contains("data of PostgreSQL 15"),
            "{refused}"
        );
    }
    assert_eq!(
        before,
        host.ok("docker inspect -f '{{.Id}} {{.State.StartedAt}}' orders")
    );
    edit(host, "postgres:16-alpine", "postgres:15-alpine");
    exits(&host.sh("tavernctl plan"), 0);
    assert_eq!(ask(host, "SELECT count(*) FROM goods"), "1000");
}

fn it_is_given_back(host: &Host) {
    exits(&host.sh("tavernctl uninstall --yes"), 0);
    assert!(host.ok("docker volume ls -q").contains("orders-data"));
    assert!(!host.ok("docker ps -a").contains("orders"));
    // The data is where it was, and so is the password that opens it.
    host.ok("/root/tavernctl install --yes");
    assert_eq!(ask(host, "SELECT count(*) FROM goods"), "1000");
    exits(&host.sh("tavernctl uninstall --purge --yes"), 0);
    let left = host.sh("ls -d /etc/tavern /run/tavern /var/lib/tavern; docker volume ls -q; getent group tavern-orders");
    assert!(!left.stdout.contains("orders"), "{left}");
    assert!(host.ok("docker ps").contains("foreign"));
}
