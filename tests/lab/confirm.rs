//! A change that somebody who logs in after it confirms stays; any other goes back by itself: at its deadline, at a
//! boot, after a run that was killed. With real logins over SSH.
#![allow(clippy::print_stdout, reason = "how many moments there were")]

use std::time::Duration;

use crate::site::{STACK, edit, exits, host_with_binary, same, status};
use crate::support::lab::{Host, Image, Output, redis_image_tar};

const ANY: &str = r#"hosts = ["*"]"#;
const NAMED: &str = r#"hosts = ["tavern.example"]"#;
/// What a way back is made of.
const TRACES: &str = "/etc/systemd/system/tavern-revert.service /etc/systemd/system/tavern-revert.timer \
                      /etc/systemd/system/multi-user.target.wants/tavern-revert.service \
                      /var/lib/tavern/pending.json /var/lib/tavern/revert";

#[test]
fn debian_12_confirms() {
    confirms(Image::BookwormPrepared, "confirm12");
}

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_13_confirms() {
    confirms(Image::TrixiePrepared, "confirm13");
}

fn confirms(image: Image, name: &str) {
    let host = with_ssh(image, name);
    nothing_to_come_back_to(&host);
    host.ok("/root/tavernctl install --yes");
    only_a_new_login_confirms(&host);
    an_unconfirmed_change_goes_back(&host);
    so_does_an_unconfirmed_rollback(&host);
    a_boot_brings_it_back(&host);
    so_does_a_killed_run(&host);
    a_failed_run_leaves_nothing_to_confirm(&host);
    an_uninstall_takes_the_way_back_along(&host);
}

fn with_ssh(image: Image, name: &str) -> Host {
    let host = host_with_binary(image, name);
    host.load_image(&redis_image_tar());
    host.ok("apt-get -q update && DEBIAN_FRONTEND=noninteractive \
             apt-get -q install -y --no-install-recommends openssh-server libpam-systemd");
    host.ok(
        "mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id && \
             cp /root/.ssh/id.pub /root/.ssh/authorized_keys",
    );
    host.ok("systemctl start ssh.service");
    host
}

/// Logs in, runs one command, logs out.
fn ssh(host: &Host, command: &str) -> Output {
    host.run(&[
        "ssh",
        "-n",
        "-q",
        "-i",
        "/root/.ssh/id",
        "-o",
        "StrictHostKeyChecking=no",
        "127.0.0.1",
        command,
    ])
}

fn generation(host: &Host) -> u64 {
    let text = host.ok("jq .generation /var/lib/tavern/receipt.json");
    text.trim().parse().expect("a generation's number")
}

#[track_caller]
fn no_way_back_is_left(host: &Host) {
    let left = host.sh(&format!("ls -d {TRACES} 2>/dev/null"));
    assert_eq!(left.stdout, "");
    let units = host.ok("systemctl list-units --all --no-legend 'tavern-revert*'");
    assert_eq!(units, "");
    let status = host.sh("tavernctl status");
    assert!(!format!("{status}").contains("confirm"), "{status}");
}

/// Waits until the way back has gone all the way, and asks for what it should have brought back.
#[track_caller]
fn comes_back(host: &Host, files: &str) {
    host.wait("the change to go back", Duration::from_secs(150), || {
        let left = host.sh(&format!("ls -d {TRACES} 2>/dev/null"));
        let is_over = left.stdout.is_empty()
            && !host
                .sh("systemctl is-active --quiet tavern-revert.service || systemctl status tavern-revert.service | grep -q activating")
                .success();
        is_over.then_some(()).ok_or_else(|| {
            host.ok("journalctl -u tavern-revert --no-pager -o cat | tail -20; systemctl list-timers --all")
        })
    });
    no_way_back_is_left(host);
    same(files, &declared(host));
    let plan = host.sh("tavernctl plan");
    exits(&plan, 0);
    exits(&host.sh("tavernctl check"), 0);
}

/// What the stack says, and what nginx was told because of it.
fn declared(host: &Host) -> String {
    host.read(STACK) + &host.read("/etc/nginx/sites-available/tavern-counter.conf")
}

fn nothing_to_come_back_to(host: &Host) {
    let refused = ssh(host, "/root/tavernctl install --yes --confirm-within 60s");
    exits(&refused, 1);
    assert!(
        refused
            .stderr
            .contains("error: there is no earlier generation to come back to"),
        "{refused}"
    );
    host.ok("test ! -e /var/lib/tavern/receipt.json && test ! -e /etc/nginx/sites-enabled/tavern-counter.conf");
    let left = host.sh(&format!("ls -d {TRACES} 2>/dev/null"));
    assert_eq!(left.stdout, "");
}

fn only_a_new_login_confirms(host: &Host) {
    for length in ["29s", "2h", "60", "soon"] {
        let refused = host.sh(&format!(
            "tavernctl install --yes --confirm-within {length}"
        ));
        exits(&refused, 1);
        no_way_back_is_left(host);
    }
    let nothing = ssh(host, "tavernctl confirm");
    exits(&nothing, 1);
    assert!(
        nothing.stderr.contains("nothing waits to be confirmed"),
        "{nothing}"
    );
    // Nothing to change is nothing to confirm.
    exits(
        &ssh(host, "tavernctl install --yes --confirm-within 60s"),
        0,
    );
    no_way_back_is_left(host);

    // Somebody is logged in all the while, and tries when told to.
    host.ok("systemd-run --quiet --collect --unit=lab-other ssh -n -q -i /root/.ssh/id -o StrictHostKeyChecking=no 127.0.0.1 \
             'touch /root/there; while ! test -e /root/go; do sleep 0.1; done; tavernctl confirm > /root/said 2>&1; echo $? > /root/code'");
    host.wait("the other login", Duration::from_secs(30), || {
        let is_there = host.sh("test -e /root/there");
        is_there
            .success()
            .then_some(())
            .ok_or_else(|| is_there.to_string())
    });
    edit(host, ANY, NAMED);
    // sudo and su are no new login; the one that asked is none either.
    let same_session = ssh(
        host,
        "tavernctl install --yes --confirm-within 30m && tavernctl confirm; echo code $?; su - -c 'tavernctl confirm'; echo code $?",
    );
    assert!(
        same_session.stdout.ends_with("code 1\ncode 1\n")
            && same_session
                .stderr
                .contains("error: this session was there before the change"),
        "{same_session}"
    );
    let number = generation(host);
    assert_eq!(
        status(
            host,
            "--resolve tavern.example:443:127.0.0.1 https://tavern.example/open/"
        ),
        200
    );
    host.ok("touch /root/go");
    host.wait("the other login's answer", Duration::from_secs(30), || {
        let code = host.sh("test -e /root/code && cat /root/code");
        code.success().then_some(()).ok_or_else(|| code.to_string())
    });
    assert_eq!(host.read("/root/code"), "1\n");
    assert!(
        host.read("/root/said")
            .contains("this session was there before the change")
    );
    // No login at all.
    let without = host.sh("tavernctl confirm");
    exits(&without, 1);
    assert!(
        without.stderr.contains("this is no login session"),
        "{without}"
    );

    // Everybody is told, and nothing else is changed meanwhile.
    let told = host.sh("tavernctl status");
    assert!(
        told.stderr.contains("note: a change waits to be confirmed: `sudo tavernctl confirm` from a new login within ")
            && told.stdout.contains(" s to confirm, then generation 1 comes back"),
        "{told}"
    );
    for verb in [
        "install --yes",
        "rollback --yes",
        "rollback 1 --yes --confirm-within 60s",
    ] {
        let refused = ssh(host, &format!("tavernctl {verb}"));
        exits(&refused, 1);
        assert!(
            refused
                .stderr
                .contains("error: a change waits to be confirmed"),
            "{refused}"
        );
    }
    exits(&ssh(host, "tavernctl plan"), 0);
    // Started by hand too early, the way back stays what it is.
    host.ok("systemctl start tavern-revert.service && systemctl is-active tavern-revert.timer");
    assert_eq!(generation(host), number);

    let confirmed = ssh(host, "tavernctl confirm");
    exits(&confirmed, 0);
    assert_eq!(
        confirmed.stdout,
        format!("Confirmed: generation {number} stays.\n")
    );
    no_way_back_is_left(host);
    assert_eq!(generation(host), number);
    assert!(host.read(STACK).contains(NAMED));
    exits(&host.sh("tavernctl check"), 0);
}

fn an_unconfirmed_change_goes_back(host: &Host) {
    let before = declared(host);
    edit(host, NAMED, ANY);
    // The stack file as it was is the generation's.
    exits(
        &ssh(host, "tavernctl install --yes --confirm-within 30s"),
        0,
    );
    assert_ne!(declared(host), before);
    let number = generation(host);
    comes_back(host, &before);
    assert_eq!(generation(host), number + 1);
    let journal = host.ok("journalctl -u tavern-revert --no-pager -o cat");
    assert!(
        journal.contains("nobody confirmed the change: generation"),
        "{journal}"
    );
}

fn so_does_an_unconfirmed_rollback(host: &Host) {
    let before = declared(host);
    exits(
        &ssh(host, "tavernctl rollback 1 --yes --confirm-within 30s"),
        0,
    );
    assert!(host.read(STACK).contains(ANY));
    comes_back(host, &before);
}

fn a_boot_brings_it_back(host: &Host) {
    let before = declared(host);
    edit(host, NAMED, ANY);
    exits(&ssh(host, "tavernctl install --yes --confirm-within 1h"), 0);
    assert_ne!(declared(host), before);
    host.reboot();
    comes_back(host, &before);
}

/// Killed when its journal is there: before its commit, with a part of its steps taken.
fn so_does_a_killed_run(host: &Host) {
    let before = declared(host);
    let number = generation(host);
    edit(host, NAMED, ANY);
    host.ok("echo '# by hand' >> /etc/systemd/system/tavern-counter.service");
    let killed = host.sh(
        "tavernctl install --yes --confirm-within 30s & \
         while ! grep -q '\"step\"' /var/lib/tavern/journal.jsonl; do :; done 2>/dev/null; kill -KILL $!; wait $!",
    );
    exits(&killed, 137);
    host.ok(
        "test -e /var/lib/tavern/journal.jsonl && test -e /var/lib/tavern/pending.json && \
             systemctl is-active tavern-revert.timer",
    );
    let refused = ssh(host, "tavernctl confirm");
    exits(&refused, 1);
    assert!(
        refused.stderr.contains("there is nothing to keep"),
        "{refused}"
    );
    host.wait(
        "the killed run to be set right",
        Duration::from_secs(90),
        || {
            let pending = host.sh("test -e /var/lib/tavern/pending.json");
            (!pending.success())
                .then_some(())
                .ok_or_else(|| host.ok("systemctl list-timers --all"))
        },
    );
    host.wait("the way back to be gone", Duration::from_secs(30), || {
        let left = host.sh(&format!("ls -d {TRACES} 2>/dev/null"));
        left.stdout.is_empty().then_some(()).ok_or(left.stdout)
    });
    host.ok("test ! -e /var/lib/tavern/journal.jsonl");
    assert_eq!(generation(host), number);
    // The stack file is the owner's, and ahead of what is applied, as it was before the run.
    edit(host, ANY, NAMED);
    same(&before, &declared(host));
    host.ok("tavernctl install --yes");
    no_way_back_is_left(host);
    exits(&host.sh("tavernctl check"), 0);
}

fn a_failed_run_leaves_nothing_to_confirm(host: &Host) {
    let before = declared(host);
    let number = generation(host);
    host.ok("ufw --force enable && iptables -I INPUT -p tcp --dport 443 -j DROP");
    let failed = ssh(host, "tavernctl install --yes --confirm-within 60s");
    exits(&failed, 1);
    assert!(
        failed
            .stderr
            .contains("error: firewall: a new connection does not get in"),
        "{failed}"
    );
    host.ok("iptables -D INPUT -p tcp --dport 443 -j DROP && ufw --force disable");
    no_way_back_is_left(host);
    assert_eq!(generation(host), number);
    same(&before, &declared(host));
}

fn an_uninstall_takes_the_way_back_along(host: &Host) {
    edit(host, NAMED, ANY);
    exits(&ssh(host, "tavernctl install --yes --confirm-within 1h"), 0);
    exits(&host.sh("/root/tavernctl uninstall --yes --purge"), 0);
    let left = host.sh(&format!("ls -d /var/lib/tavern {TRACES} 2>/dev/null"));
    assert_eq!(left.stdout, "");
}

/// Every moment at which the way back is made or taken away: what is left leads back, or nowhere and is swept.
#[test]
#[ignore = "longer: tests/full"]
fn debian_12_kills_around_a_confirmation() {
    let host = with_ssh(Image::BookwormPrepared, "confirm12-kills");
    host.ok("/root/tavernctl install --yes");
    edit(&host, ANY, NAMED);
    let before = host.read(STACK);
    let mut points = 0;
    for verb in ["install --yes --confirm-within 10m", "confirm"] {
        for nth in 1.. {
            host.write(STACK, &before, 0o644);
            if verb == "confirm" {
                exits(
                    &ssh(&host, "tavernctl install --yes --confirm-within 10m"),
                    0,
                );
            }
            let number = generation(&host);
            let killed = ssh(
                &host,
                &format!(
                    "strace -f -qq -o /dev/null -e trace=execve,rename,renameat,renameat2,unlink,unlinkat,rmdir \
                 -e inject=rename,renameat,renameat2,unlink,unlinkat,rmdir:signal=KILL:when={nth} tavernctl {verb}; exit $?"
                ),
            );
            if killed.code == 0 {
                break;
            }
            exits(&killed, 137);
            points += 1;
            let waits = host.sh("test -e /var/lib/tavern/pending.json").success();
            if verb == "confirm" {
                assert_eq!(generation(&host), number, "{verb} {nth}");
            }
            if waits {
                host.ok("systemctl is-active tavern-revert.timer");
                // As after a boot.
                host.ok(
                    "cd /var/lib/tavern && jq '.boot = \"another\"' pending.json > /root/pending && \
                     cat /root/pending > pending.json && systemctl start tavern-revert.service",
                );
                assert!(
                    host.read(STACK).contains(ANY) || generation(&host) == number,
                    "{verb} {nth}"
                );
            }
            // Once more, without a confirmation: nothing of the way back stays.
            if verb == "confirm" && !waits {
                assert!(host.read(STACK).contains(NAMED), "{verb} {nth}");
            }
            host.write(STACK, &before.replace(NAMED, ANY), 0o644);
            exits(&host.sh("tavernctl install --yes"), 0);
            no_way_back_is_left(&host);
            exits(&host.sh("tavernctl plan"), 0);
        }
        // The last one was not killed.
        if verb != "confirm" {
            exits(&ssh(&host, "tavernctl confirm"), 0);
            host.write(STACK, &before.replace(NAMED, ANY), 0o644);
            host.ok("tavernctl install --yes");
        }
    }
    crate::points::note(&format!("kills around a confirmation: {points} moments"));
    assert!(points > 10, "only {points} moments were found");
}
