//! Backups on real hosts: made, tried, carried to another host, refused when anything is wrong with them.

use std::time::Duration;

use crate::site::{
    STACK, count, edit, exits, host_with_binary, installed, manifest, password, round, same,
    status, token, wait_until_healthy,
};
use crate::support::lab::{Host, Image, Output, redis_image_tar, registry};

const REPOSITORY: &str = "/srv/backup/counter";
const CREDENTIALS: &str = "/etc/tavern/credentials/counter";
const BACKUP: &str = "\n[backup]\nto = \"/srv/backup\"\nkeep = { daily = 2 }\ndirectories = [\"/srv/uploads\"]\n\
                      \n[alert]\nprogram = [\"/usr/local/bin/page\"]\n";

/// What Prometheus is told of backups.
pub const NUMBERS: [&str; 3] = [
    "tavern_backup_ok",
    "tavern_backup_age_seconds",
    "tavern_backup_good_age_seconds",
];

/// Debian's restic from the mirror, as an install gets it.
fn with_backups(image: Image, name: &str) -> Host {
    let host = installed(image, name);
    add_backups(&host);
    host
}

fn add_backups(host: &Host) {
    host.ok("mkdir -p /srv/uploads; chmod g+s /srv/uploads; echo kept >/srv/uploads/file; apt-get -q update >/dev/null");
    let text = host.read(STACK);
    host.write(STACK, &format!("{text}{BACKUP}"), 0o644);
    host.write(
        "/usr/local/bin/page",
        "#!/bin/bash\n(cat; echo) >>/root/page\n",
        0o755,
    );
    // A copy of the key, for whoever looks.
    let said = on_a_terminal(host, "tavernctl install --yes", "");
    exits(&said, 0);
    let key = host.read(&format!("{CREDENTIALS}/backup-key"));
    assert_eq!(said.stdout.matches(key.trim()).count(), 1, "{said}");
}

/// What is said to eyes; `typed` is what they answer.
fn on_a_terminal(host: &Host, command: &str, typed: &str) -> Output {
    host.sh(&format!(
        "printf '{typed}' | script -qec '{command}' /dev/null"
    ))
}

/// The repository of a host, on another one.
fn carry(from: &Host, to: &Host) {
    let tar = from.ok("tar -C / -c srv/backup | base64 -w0");
    to.write("/root/backup.b64", &tar, 0o600);
    to.ok("rm -rf /srv/backup; base64 -d /root/backup.b64 | tar -C / -x; rm /root/backup.b64");
}

fn secrets(host: &Host) -> String {
    host.ok(&format!(
        "cd {CREDENTIALS}; sha256sum jwt-key accounts redis-password passwords; cd /; \
         sha256sum etc/tavern/htpasswd/counter-close; find var/www/counter srv/uploads -type f | sort | xargs sha256sum"
    ))
}

#[test]
fn debian_12_backups_on_another_host() {
    let first = with_backups(Image::BookwormPrepared, "backup12");
    the_key_is_shown_once(&first);
    let session = token(&first);
    for _ in 0..41 {
        count(&first, &session);
    }
    first.ok("echo '<p>ours</p>' >/var/www/counter/open/index.html");
    first.ok("echo 'another-password' | tavernctl user add close ann --password-stdin");

    // Somebody logged out, and the token has expired since: an app that starts forgets it.
    let secret = first.read(&format!("{CREDENTIALS}/redis-password"));
    let added = first.ok(&format!(
        "docker exec redis-flask redis-cli --no-auth-warning --user counter --pass {} ZADD visits:revoked 1 long-gone",
        secret.split_whitespace().next().unwrap()
    ));
    assert_eq!(added.trim(), "1");
    // A backup is none until it was tried.
    let listed = first.ok("tavernctl backup now && tavernctl backup list");
    assert!(!listed.contains("good"), "{listed}");
    let verified = first.ok("tavernctl backup verify");
    assert!(verified.contains("is good"), "{verified}");
    let listed = first.ok("tavernctl backup list");
    assert!(
        listed.contains("good: it was restored and counted"),
        "{listed}"
    );
    exits(&first.sh("tavernctl check"), 0);
    assert!(first.ok("tavernctl status").contains("last good"));
    its_numbers_are(&first, [Some(1), Some(0), Some(0)]);
    nothing_is_left_of_a_drill(&first);
    nothing_secret_is_in_the_open(&first);
    the_timers_do_the_same(&first);

    let before = (secrets(&first), count(&first, &session));
    assert_eq!(before.1, 42);
    first.ok("tavernctl backup now");
    let key = first.read(&format!("{CREDENTIALS}/backup-key"));

    let second = with_backups(Image::BookwormPrepared, "other12");
    carry(&first, &second);
    // On its way, the first one goes for good.
    exits(&first.sh("tavernctl uninstall --purge --yes"), 0);
    let left =
        first.sh("ls /etc/systemd/system/tavern-* /etc/tavern /var/lib/tavern; docker ps -aq");
    assert_eq!(left.stdout.trim(), "", "{left}");

    assert_ne!(before.0, secrets(&second));
    let wrong = second.sh("tavernctl restore --yes");
    exits(&wrong, 1);
    assert!(wrong.stderr.contains("the key does not open"), "{wrong}");
    second.write("/root/old.key", &key, 0o600);
    let restored = second.sh("tavernctl restore --yes --key /root/old.key");
    exits(&restored, 0);
    assert!(restored.stdout.contains("All checks passed."), "{restored}");
    same(&before.0, &secrets(&second));
    // The token of the first host is good on the second: it has its keys.
    assert_eq!(count(&second, &session), 43);
    let admin = password(&second, "site close admin");
    assert_eq!(
        status(
            &second,
            &format!("-u admin:{admin} https://localhost/close/")
        ),
        200
    );
    let plan = second.sh("tavernctl plan");
    exits(&plan, 0);
    // What was there before the restore can be had back.
    let listed = second.ok("tavernctl backup list");
    assert!(listed.contains("safety copy"), "{listed}");
    second.ok("tavernctl backup now && tavernctl backup verify");
    nothing_beside(&second);
    exits(&second.sh("tavernctl uninstall --purge --yes"), 0);
}

/// The first install has shown it; later it takes a terminal, and a yes.
fn the_key_is_shown_once(host: &Host) {
    let key = host.read(&format!("{CREDENTIALS}/backup-key"));
    let shown = |output: &Output| output.to_string().matches(key.trim()).count();
    let again = on_a_terminal(host, "tavernctl install --yes", "");
    assert!(again.stdout.contains("Nothing to change."), "{again}");
    assert_eq!(shown(&again), 0, "{again}");
    let nobody = host.sh("echo y | tavernctl backup key counter");
    exits(&nobody, 1);
    assert!(nobody.stderr.contains("on a terminal only"), "{nobody}");
    assert_eq!(shown(&nobody), 0, "{nobody}");
    for (typed, code) in [("n\\n", 1), ("y\\n", 0)] {
        let asked = on_a_terminal(host, "tavernctl backup key counter", typed);
        exits(&asked, code);
        assert!(asked.stdout.contains("Show the key"), "{asked}");
        assert_eq!(shown(&asked), usize::from(code == 0), "{asked}");
    }
}

/// Whether all is well, and in hours how old the newest and the last good one are.
fn its_numbers_are(host: &Host, wanted: [Option<u64>; 3]) {
    let ask = "curl -sS --unix-socket /run/tavern/tavernd.metrics.sock http://localhost/metrics";
    // It looks every half minute, and when it begins.
    host.ok("systemctl restart tavernd");
    host.wait("the numbers", Duration::from_secs(60), || {
        let text = host.ok(ask);
        let of = |name: &str| -> Option<u64> {
            let start = format!("{name}{{stack=\"counter\"}} ");
            let number = text.lines().find_map(|line| line.strip_prefix(&start))?;
            let number: f64 = number.parse().expect("a number");
            assert!(number >= 0.0, "{start}{number}");
            let unit = if name.ends_with("_seconds") {
                3600.0
            } else {
                1.0
            };
            Some((number / unit) as u64)
        };
        let found = NUMBERS.map(of);
        (found == wanted).then_some(()).ok_or(format!("{found:?}"))
    });
}

fn nothing_is_left_of_a_drill(host: &Host) {
    let names = host.ok("docker ps -a --format '{{.Names}}'");
    assert!(!names.contains("drill"), "{names}");
    let left = host.ok("ls /var/lib/tavern/backup");
    assert_eq!(
        left.split_whitespace().collect::<Vec<_>>(),
        ["cache", "counter.json"]
    );
}

fn nothing_beside(host: &Host) {
    let left = host.ok("find / -xdev -name '.*.tavern-ready' -o -xdev -name '.*.tavern-before'");
    assert_eq!(left, "");
    let volume = host.ok("ls -A /var/lib/docker/volumes/redis-flask-data/_data");
    assert!(!volume.contains("tavern"), "{volume}");
}

/// Nobody else reads it, the key is not in it, and no secret is an argument or in the journal.
fn nothing_secret_is_in_the_open(host: &Host) {
    assert_eq!(
        host.ok(&format!("find {REPOSITORY} -perm /077 -type f | head")),
        ""
    );
    let key = host.read(&format!("{CREDENTIALS}/backup-key"));
    let secret = host.read(&format!("{CREDENTIALS}/redis-password"));
    for text in [key.trim(), secret.trim()] {
        let found = host.sh(&format!(
            "grep -rlF {text} {REPOSITORY} /var/lib/tavern /etc/systemd /var/log | head; journalctl --no-pager | grep -cF {text}"
        ));
        assert_eq!(found.stdout.trim(), "0", "{found}");
    }
    let restored = host.ok(&format!(
        "export RESTIC_PASSWORD_FILE={CREDENTIALS}/backup-key; restic -r {REPOSITORY} ls latest"
    ));
    assert!(
        restored.contains("etc/credentials/jwt-key") && !restored.contains("backup-key"),
        "{restored}"
    );
}

fn the_timers_do_the_same(host: &Host) {
    for unit in ["tavern-backup", "tavern-drill"] {
        assert_eq!(
            host.ok(&format!("systemctl is-active {unit}.timer")).trim(),
            "active"
        );
        let output = host.sh(&format!(
            "systemctl start {unit}.service; journalctl --no-pager -u {unit}"
        ));
        let state = host.ok(&format!("systemctl show -p Result --value {unit}.service"));
        assert_eq!(state.trim(), "success", "{output}");
    }
    let said =
        host.ok("journalctl --no-pager TAVERN_EVENT=drill-passed TAVERN_STACK=counter -o cat");
    assert!(said.contains("is good"), "{said}");
}

#[test]
fn debian_13_backups_are_refused_before_anything_is_touched() {
    let host = with_backups(Image::TrixiePrepared, "backup13");
    let session = token(&host);
    count(&host, &session);
    host.ok("systemctl stop tavern-check.timer; tavernctl backup now");
    old_ones_are_forgotten(&host);
    host.ok("tavernctl backup verify; cp -a /srv/backup /srv/sound");
    wait_until_healthy(&host, "the site");
    // Rounds are ours, and nothing was told before them.
    host.ok("rm -f /root/page /var/lib/tavern/health/history.redb");
    round(&host);
    round(&host);
    host.ok("test ! -e /root/page");
    let damage: [(&str, &str, &str); 6] = [
        (
            "data damaged",
            "f=$(ls -S $(find /srv/backup/counter/data -type f) | head -1); \
             printf 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' | dd of=$f bs=1 seek=64 conv=notrunc status=none",
            "is damaged",
        ),
        (
            "cut off",
            "f=$(ls -S $(find /srv/backup/counter/data -type f) | head -1); truncate -s -100 $f",
            "is damaged",
        ),
        (
            "a part missing",
            "rm $(ls -S $(find /srv/backup/counter/data -type f) | head -1)",
            "is damaged",
        ),
        (
            "of another stack",
            "rm -rf /srv/backup/counter; export RESTIC_PASSWORD_FILE=/etc/tavern/credentials/counter/backup-key; \
             restic -q -r /srv/backup/counter init; mkdir -p /var/lib/tavern/backup/stage; \
             echo '{\"version\":1,\"tavern\":\"0.1.0\",\"stack\":\"shop\",\"made\":1,\"files\":{},\"stores\":[],\"trees\":[]}' \
             >/var/lib/tavern/backup/stage/manifest.json; \
             restic -q -r /srv/backup/counter backup --host counter --tag tavern /var/lib/tavern/backup/stage; \
             rm -r /var/lib/tavern/backup/stage",
            "of stack `shop`, not of `counter`",
        ),
        (
            "of nobody's",
            "rm -rf /srv/backup/counter; export RESTIC_PASSWORD_FILE=/etc/tavern/credentials/counter/backup-key; \
             restic -q -r /srv/backup/counter init; restic -q -r /srv/backup/counter backup --tag tavern /etc/hostname",
            "has no manifest",
        ),
        (
            "with another key",
            "rm -rf /srv/backup/counter; head -c 32 /dev/urandom | sha256sum | cut -c-64 >/root/k; \
             RESTIC_PASSWORD_FILE=/root/k restic -q -r /srv/backup/counter init; rm /root/k",
            "the key does not open",
        ),
    ];
    for (what, script, word) in damage {
        host.ok(
            "rm -rf /srv/backup; cp -a /srv/sound /srv/backup; rm -rf /var/lib/tavern/backup/cache",
        );
        host.ok(script);
        let before = untouched(&host);
        let output = host.sh("tavernctl restore --yes");
        exits(&output, 1);
        assert!(output.stderr.contains(word), "{what}: {output}");
        assert!(!output.stderr.contains("safety"), "{what}: {output}");
        same(&before, &untouched(&host));
        // A drill says the same, and the check after it.
        let drill = host.sh("tavernctl backup verify");
        exits(&drill, 1);
        assert!(drill.stderr.contains(word), "{what}: {drill}");
    }
    let check = host.sh("tavernctl check --json");
    exits(&check, 2);
    assert!(check.stdout.contains("could not be restored"), "{check}");
    let said = host.ok(
        "journalctl --no-pager TAVERN_EVENT=drill-failed TAVERN_STACK=counter PRIORITY=3 -o cat",
    );
    assert!(said.contains("failed"), "{said}");
    // And it is told to whoever is to be told.
    round(&host);
    round(&host);
    let page = host.read("/root/page");
    assert!(page.contains("could not be restored"), "{page}");
    its_numbers_are(&host, [Some(0), Some(0), None]);
    host.ok("systemctl start tavern-check.timer");
    nothing_beside(&host);
    // Sound again, it is good again, also after a full disk.
    host.ok(
        "rm -rf /srv/backup; cp -a /srv/sound /srv/backup; rm -rf /var/lib/tavern/backup/cache",
    );
    host.ok("tavernctl backup verify");
    exits(&host.sh("tavernctl check"), 0);
    a_full_target(&host);
    one_is_chosen_by_its_name(&host, &session);
    a_kill_in_the_middle(&host, &session);
}

/// The host but for what a drill and a refused restore may note of themselves.
fn untouched(host: &Host) -> String {
    let lines = manifest(host);
    let lines = lines.lines().filter(|line| {
        !line.starts_with("/var/lib/tavern/backup") && !line.starts_with("/var/lib/tavern ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn a_full_target(host: &Host) {
    // Not mounted, it is not made anew in the mount point.
    host.ok("mv /srv/backup /srv/away && mkdir /srv/backup");
    let output = host.sh("tavernctl backup now");
    exits(&output, 1);
    assert!(output.stderr.contains("is gone"), "{output}");
    assert_eq!(
        host.ok("ls -A /srv/backup; rmdir /srv/backup; mv /srv/away /srv/backup"),
        ""
    );
    host.ok(
        "cp -a /srv/backup /srv/full; mount -t tmpfs -o size=16m tmpfs /srv/backup && cp -a /srv/full/. /srv/backup/; \
         head -c 20M /dev/urandom >/srv/backup/fill; rm -rf /srv/full; head -c 300K /dev/urandom >/srv/uploads/more",
    );
    let output = host.sh("tavernctl backup now");
    exits(&output, 1);
    let check = host.sh("tavernctl check --json");
    assert!(check.stdout.contains("the last try failed"), "{check}");
    host.ok("umount /srv/backup");
    host.ok("tavernctl backup now && tavernctl backup verify");
    exits(&host.sh("tavernctl check"), 0);
}

/// On a terminal one line that is written anew; in a log none.
fn how_far_it_is_is_shown(host: &Host) {
    host.ok("truncate -s 1G /srv/uploads/large");
    let shown = on_a_terminal(host, "tavernctl backup now", "");
    exits(&shown, 0);
    let lines: Vec<&str> = shown.stdout.split('\r').collect();
    let is_far = |line: &&&str| line.contains(" %: ") && line.contains("B of 1.0 GB");
    assert!(lines.iter().filter(is_far).count() > 1, "{shown}");
    assert!(!shown.stdout.contains("message_type"), "{shown}");
    let logged = host.sh("rm /srv/uploads/large; tavernctl backup now");
    exits(&logged, 0);
    assert!(
        !logged.to_string().contains(['%', '\r', '\u{1b}']),
        "{logged}"
    );
}

/// Of this stack the last of so many days are kept; what others have there is theirs.
fn old_ones_are_forgotten(host: &Host) {
    let restic = format!(
        "export RESTIC_REPOSITORY={REPOSITORY} RESTIC_PASSWORD_FILE={CREDENTIALS}/backup-key;"
    );
    let save = "restic -q backup /etc/hostname --time";
    host.ok(&format!(
        "{restic} set -e; for day in 1 2 3; do {save} \"2020-01-0$day 00:00:00\" --host counter --tag tavern; done; \
         for hour in 1 2; do {save} \"2020-01-01 0$hour:00:00\" --host other --tag tavern; done; \
         {save} '2020-01-01 00:00:00' --host counter"
    ));
    how_far_it_is_is_shown(host);
    let left = host.ok(&format!(
        "{restic} restic snapshots --json | jq -r '.[] | [.hostname, (.tags // [\"-\"] | join(\" \")), \
         (.time[:10] | if startswith(\"2020\") then . else \"now\" end)] | join(\" \")' | sort"
    ));
    let theirs = ["counter - 2020-01-01"];
    let ours = ["counter tavern 2020-01-03", "counter tavern now"];
    let others = ["other tavern 2020-01-01"; 2];
    let kept: Vec<&str> = [&theirs[..], &ours, &others].concat();
    assert_eq!(left.lines().collect::<Vec<_>>(), kept);
}

/// The names of the backups of a kind, oldest first.
fn names(host: &Host, kind: &str) -> Vec<String> {
    let listed = host.ok("tavernctl backup list --json");
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let rows = listed.as_array().expect("a list").iter();
    rows.filter(|row| row["kind"] == kind)
        .map(|row| row["id"].as_str().expect("a name").to_owned())
        .collect()
}

/// By the beginning of its name; and the safety copy of a restore gives back what it took.
fn one_is_chosen_by_its_name(host: &Host, session: &str) {
    let page = "/var/www/counter/open/mine.html";
    host.ok(&format!("echo saved >{page}; tavernctl backup now"));
    let visits = count(host, session);
    host.ok(&format!("echo later >{page}"));
    for unknown in ["0000000000", "-"] {
        let refused = host.sh(&format!("tavernctl restore --yes -- {unknown}"));
        exits(&refused, 1);
        assert!(refused.stderr.contains("there is no backup"), "{refused}");
    }
    let refused = host.sh("tavernctl restore --yes ''");
    exits(&refused, 1);
    assert!(refused.stderr.contains("more than one backup"), "{refused}");
    for (kind, was, found) in [
        ("backup", "saved\n", visits),
        ("safety copy", "later\n", visits + 1),
    ] {
        let id = names(host, kind).pop().expect("a backup");
        let restored = host.sh(&format!("tavernctl restore --yes {}", &id[..6]));
        exits(&restored, 0);
        assert!(restored.stdout.contains(&id), "{restored}");
        assert_eq!(host.read(page), was);
        assert_eq!(count(host, session), found, "{kind}");
    }
}

/// Killed while it is swapped in, the host is as it was after its next boot.
fn a_kill_in_the_middle(host: &Host, session: &str) {
    let visits = count(host, session);
    host.ok("echo newer >/var/www/counter/open/newer.html");
    host.ok(
        "tavernctl restore --yes >/root/restore.log 2>&1 & pid=$!; \
         for i in $(seq 600); do grep -q swapping /root/restore.log && break; sleep 0.05; done; kill -9 $pid; wait $pid; true",
    );
    let noted = host.sh("tavernctl status");
    if noted.stderr.contains("did not end") {
        let refused = host.sh("tavernctl backup now");
        exits(&refused, 1);
        assert!(refused.stderr.contains("did not end"), "{refused}");
        let check = host.sh("tavernctl check --json");
        assert!(check.stdout.contains("was cut off"), "{check}");
        // As after a power cut: nobody says anything to it.
        host.reboot();
        // It is at work until all else is in line, too.
        let recovered = "test ! -e /var/lib/tavern/exchange.json && \
             test \"$(systemctl show -P ActiveState tavern-recover.service)\" = inactive && \
             journalctl --no-pager -u tavern-recover";
        host.wait("tavern-recover at boot", Duration::from_secs(180), || {
            let said = host.sh(recovered);
            said.success().then_some(()).ok_or(said.to_string())
        });
        wait_until_healthy(host, "the host after recover");
        assert_eq!(count(host, session), visits + 1);
        assert_eq!(host.read("/var/www/counter/open/newer.html"), "newer\n");
    }
    nothing_beside(host);
    exits(&host.sh("tavernctl plan"), 0);
}

/// On a bare host restic comes with the first install.
#[test]
fn restic_comes_with_the_stack_that_asks_for_it() {
    let registry = registry();
    let host = host_with_binary(Image::BookwormPrepared, "restic");
    registry.serve(&host);
    host.load_image(&redis_image_tar());
    host.ok("apt-get -q update >/dev/null; mkdir -p /srv/uploads");
    host.ok("/root/tavernctl install --yes");
    let plan = host.sh("tavernctl plan");
    exits(&plan, 0);
    edit(
        &host,
        "[firewall]",
        "[backup]\nto = \"/srv/backup\"\n\n[firewall]",
    );
    let plan = host.sh("tavernctl plan");
    exits(&plan, 2);
    for step in ["package:restic", "unit:tavern-backup.timer", "backup-key"] {
        assert!(plan.stdout.contains(step), "no {step} in {plan}");
    }
    host.ok("tavernctl install --yes");
    let plan = host.sh("tavernctl plan");
    exits(&plan, 0);
    // The stack file without it: timers go, the key stays with the data.
    edit(&host, "[backup]\nto = \"/srv/backup\"\n\n", "");
    host.ok("tavernctl install --yes");
    assert_eq!(
        host.ok("ls /etc/systemd/system | grep -c 'tavern-backup\\|tavern-drill' || true")
            .trim(),
        "0"
    );
    host.ok(&format!("test -f {CREDENTIALS}/backup-key"));
}
