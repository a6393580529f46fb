//! Faults of the catalogue that no other test shows: see `tests/faults.rs` for which row is shown where.

use std::time::Duration;

use crate::site::{exits, host_with_binary, installed, status, wait_until_healthy};
use crate::support::lab::{Host, Image, redis_image_tar};

const UNIT: &str = "/etc/systemd/system/tavern-counter.service";
const SITE: &str = "/etc/nginx/sites-available/tavern-counter.conf";
const INSTALL: &str = "tavernctl install --yes";

#[test]
fn debian_12_rows_of_an_installed_host() {
    let host = installed(Image::BookwormPrepared, "rows12");
    an_emptied_unit_is_named_and_written_again(&host);
    what_was_deleted_is_made_again(&host);
    a_killed_run_is_reported_after_a_reboot_and_not_guessed_at(&host);
    what_root_reads_is_roots(&host);
    an_uninstall_keeps_edits_and_misses_nothing(&host);
}

/// umask, locale, time zone, `PATH` and `HOME` of the caller make no difference.
#[test]
fn debian_13_rows_of_the_environment() {
    let list = "find /etc/tavern /etc/nginx /etc/systemd/system /var/lib/tavern /var/www /usr/local/bin /run/tavern \
                -not -path '*/generations/*' -not -path '/var/lib/tavern/health/*' -not -path '/etc/tavern/tls/*' -not -path '/run/tavern/.status/*' -printf '%p %y %m %U:%G\\n' | sort";
    let mut lists = Vec::new();
    for (name, caller) in [
        ("env13-plain", "umask 022; "),
        (
            "env13-open",
            "umask 000; env -i PATH=/nonexistent TZ=Asia/Tokyo ",
        ),
        (
            "env13-odd",
            "umask 077; env -u HOME LANG=tr_TR.UTF-8 LC_ALL=de_DE PATH=/tmp:/usr/bin SHELL=/bin/false SUDO_USER=nobody ",
        ),
    ] {
        let host = host_with_binary(Image::TrixiePrepared, name);
        host.load_image(&redis_image_tar());
        // Whoever can write to a directory of the caller's PATH must not be run by root.
        host.ok("for p in nginx systemctl dpkg-query docker; do printf '#!/bin/sh\\ntouch /root/caught\\nexit 1\\n' >/tmp/$p; chmod 755 /tmp/$p; done");
        let output = host.sh(&format!("{caller}/root/tavernctl install --yes"));
        exits(&output, 0);
        assert!(!host.sh("test -e /root/caught").success(), "{name}");
        lists.push(host.ok(list));
    }
    assert_eq!(lists[0], lists[1]);
    assert_eq!(lists[0], lists[2]);
}

/// What a power cut leaves of a file that nobody waited for.
fn an_emptied_unit_is_named_and_written_again(host: &Host) {
    host.ok(&format!(": >{UNIT}; systemctl daemon-reload"));
    let check = host.sh("tavernctl check --json");
    exits(&check, 2);
    assert!(check.stdout.contains("its file is empty"), "{check}");
    host.ok(INSTALL);
    exits(&host.sh("tavernctl check"), 0);
    // Masked by the operator is another thing.
    host.ok("systemctl mask --now tavern-counter.socket 2>/dev/null || { mv /etc/systemd/system/tavern-counter.socket /root/; systemctl mask --now tavern-counter.socket; }");
    let refused = host.sh(INSTALL);
    exits(&refused, 1);
    assert!(
        refused.stderr.contains("tavern-counter.socket"),
        "{refused}"
    );
    host.ok("systemctl unmask tavern-counter.socket; mv /root/tavern-counter.socket /etc/systemd/system/; systemctl daemon-reload");
    host.ok(INSTALL);
    exits(&host.sh("tavernctl check"), 0);
}

fn what_was_deleted_is_made_again(host: &Host) {
    host.ok(&format!(
        "rm {SITE} {UNIT} /etc/sysusers.d/tavern.conf; rm -r /etc/tavern/containers/redis-flask"
    ));
    host.ok(INSTALL);
    exits(&host.sh("tavernctl check"), 0);
    exits(&host.sh("tavernctl plan"), 0);
}

fn a_killed_run_is_reported_after_a_reboot_and_not_guessed_at(host: &Host) {
    let before = host.read(UNIT);
    host.ok("sed -i 's/alias = \"flask-app\"/alias = \"flask-two\"/; s/hosts = \\[\"\\*\"\\]/hosts = [\"a.example\"]/' /etc/tavern/stacks/counter.toml");
    // Before the third record of the journal is on the disk.
    host.sh("strace -f -b execve -o /dev/null -e trace=fdatasync -e inject=fdatasync:signal=KILL:when=3 tavernctl install --yes");
    assert!(host.sh("test -e /var/lib/tavern/journal.jsonl").success());
    let journal = host.read("/var/lib/tavern/journal.jsonl");
    host.reboot();
    assert_eq!(host.read("/var/lib/tavern/journal.jsonl"), journal);
    for verb in ["status", "check", "plan", "generations", "drift", "logs"] {
        let said = host.sh(&format!("tavernctl {verb}"));
        assert!(
            said.stderr.contains("a run did not end (install, begun"),
            "{verb}: {said}"
        );
        assert!(
            said.stderr.contains("tavernctl recover` undoes it"),
            "{said}"
        );
    }
    assert_eq!(host.read("/var/lib/tavern/journal.jsonl"), journal);
    host.ok("tavernctl recover");
    assert_eq!(host.read(UNIT), before);
    host.ok("sed -i 's/alias = \"flask-two\"/alias = \"flask-app\"/; s/hosts = \\[\"a.example\"\\]/hosts = [\"*\"]/' /etc/tavern/stacks/counter.toml");
    exits(&host.sh("tavernctl plan"), 0);
    wait_until_healthy(host, "the site after a reboot and a recovery");
}

/// Nobody but root may write what root reads, or what is run.
fn what_root_reads_is_roots(host: &Host) {
    let others = host.ok(
        "find /etc/tavern /etc/nginx /etc/systemd/system /var/lib/tavern /usr/local/bin \
         \\( -not -user root -o -perm /022 \\) -not -type l -not -path '/etc/nginx/modules*' -print",
    );
    assert_eq!(others, "");
}

fn an_uninstall_keeps_edits_and_misses_nothing(host: &Host) {
    host.ok(&format!("echo '# mine' >>{SITE}; rm /etc/sysusers.d/tavern.conf; systemctl stop tavernd tavern-counter.socket tavern-counter.service; docker rm -f redis-flask"));
    let output = host.sh("tavernctl uninstall --yes");
    exits(&output, 0);
    let kept = format!("find /var/lib/tavern/edited -path '*{SITE}'");
    let kept = host.ok(&kept);
    assert!(host.read(kept.trim()).ends_with("# mine\n"), "{output}");
    assert!(output.stdout.contains(kept.trim()), "{output}");
    host.wait(
        "Debian's own page",
        Duration::from_secs(10),
        || match status(host, "http://localhost/") {
            200 => Ok(()),
            other => Err(other.to_string()),
        },
    );
    exits(&host.sh("/root/tavernctl uninstall --yes --purge"), 0);
    assert!(!host.sh("test -e /var/lib/tavern").success());
}
