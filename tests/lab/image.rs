//! `--root DIR`: an image is prepared by a host that must not notice, boots, and becomes a site.

use crate::site::{
    count, exits, host_with_binary, installed, manifest, round, same, status, token,
    wait_until_healthy,
};
use crate::support::lab::{Host, Image, redis_image_tar};

const IMAGE: &str = "/srv/image";
const INSTALL: &str = "/root/tavernctl install --root /srv/image --yes";

/// What a program sees on a machine without systemd: no manager, no bus, no Docker.
const NO_SYSTEMD: &str = "unshare --mount bash -c 'mount -t tmpfs none /run && exec \"$@\"' -";

#[test]
fn an_image_is_prepared_beside_a_running_site_and_boots_into_one() {
    // A site of its own, and of another Debian: what is the image's is not to be taken from here.
    let builder = installed(Image::BookwormPrepared, "builder");
    builder.ok("systemctl stop '*.timer'");
    // None is under way then.
    round(&builder);
    let token_here = token(&builder);
    let counted = count(&builder, &token_here);
    builder.unpack(Image::TrixiePrepared, IMAGE);
    // Other numbers than this host's: names are the image's.
    builder.ok(&format!(
        "echo own-image > {IMAGE}/etc/hostname && \
         groupmod --prefix {IMAGE} --gid 4444 adm && \
         echo 'deliberately empty' > {IMAGE}/etc/motd"
    ));
    let before = state(&builder);

    what_cannot_be_prepared_is_refused(&builder);
    a_run_that_fails_leaves_the_image_as_it_was(&builder);
    a_planted_link_leads_nowhere(&builder);
    same(&before, &state(&builder));

    let planned = builder.sh(&format!("/root/tavernctl plan --root {IMAGE}"));
    exits(&planned, 2);
    let output = builder.sh(&format!("{NO_SYSTEMD} {INSTALL}"));
    exits(&output, 0);
    for left in [
        "image:redis:7-alpine",
        "container:redis-flask",
        "credential:/etc/tavern/credentials/counter/jwt-key",
        "certificate:/etc/tavern/tls/counter",
        "unit:tavern-counter.service",
        "nginx:sites",
    ] {
        assert!(output.stdout.contains(left), "{left} in {output}");
    }
    assert!(!output.stdout.contains("package:"), "{output}");
    exits(
        &builder.sh(&format!("/root/tavernctl plan --root {IMAGE}")),
        0,
    );
    same(&before, &state(&builder));
    assert_eq!(count(&builder, &token_here), counted + 1);
    the_image_is_as_declared(&builder);

    let tree = builder.pack(IMAGE);
    let clone = Host::boot_tree(&tree, "clone");
    the_clone_becomes_a_site(&clone);
    uninstall_knows_what_the_image_brought(&clone);
}

/// No nginx, no Docker in it: what has no place yet waits for its package.
#[test]
fn a_bare_image_waits_for_its_packages() {
    let builder = host_with_binary(Image::TrixiePrepared, "builder");
    builder.unpack(Image::BookwormBare, IMAGE);
    let output = builder.sh(INSTALL);
    exits(&output, 0);
    for left in [
        "package:nginx",
        "package:docker.io",
        "directory:/var/www/counter",
    ] {
        assert!(output.stdout.contains(left), "{left} in {output}");
    }
    builder.ok(&format!(
        "test ! -e {IMAGE}/var/www -a ! -e {IMAGE}/etc/nginx"
    ));
    builder.ok(&format!(
        "cmp /root/tavernctl {IMAGE}/usr/local/bin/tavernctl"
    ));
}

/// The journal is in the image, so whoever runs it next knows.
#[test]
fn a_killed_run_in_an_image_is_set_right_by_the_next() {
    let builder = host_with_binary(Image::BookwormPrepared, "builder");
    // Many copies, none of them for long.
    builder.ok("mount -t tmpfs none /srv");
    builder.unpack(Image::TrixieBare, IMAGE);
    builder.ok(&format!("cp -a {IMAGE} /srv/pristine"));
    exits(&builder.sh(INSTALL), 0);
    let whole = listing(&builder);
    for (call, when) in [
        ("mkdir", 9),
        ("fdatasync", 1),
        ("fdatasync", 12),
        // The commit.
        ("fdatasync", 23),
        ("rename", 4),
        ("symlink", 2),
        ("fsync", 45),
    ] {
        builder.ok(&format!("rm -r {IMAGE} && cp -a /srv/pristine {IMAGE}"));
        let killed = builder.sh(&format!(
            "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={when} {INSTALL}"
        ));
        assert_eq!(killed.code, 137, "{call} {when}: {killed}");
        exits(&builder.sh(INSTALL), 0);
        exits(
            &builder.sh(&format!("/root/tavernctl plan --root {IMAGE}")),
            0,
        );
        same(&whole, &listing(&builder));
    }
}

/// Whether anything of the running host changed, or was restarted.
fn state(host: &Host) -> String {
    let units = host.ok("systemctl list-units --plain --no-legend --full --type=service,socket");
    let processes = host.ok("systemctl show -p MainPID,NRestarts tavern-counter nginx docker");
    let containers = host.ok("docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}'");
    format!("{}\n{units}\n{processes}\n{containers}", manifest(host))
}

/// Every path of the image, without the backups that groupadd and groupdel keep, and without the sizes of records
/// that name processes and times.
fn listing(host: &Host) -> String {
    host.ok(&format!(
        "cd {IMAGE} && find . -type f -printf '%p %m %U:%G %s\\n' -o -printf '%p %m %U:%G %l\\n' | \
         grep -vE '^./etc/(g?shadow|group|passwd)- ' | \
         sed -E 's,^(./var/lib/tavern/[^ ]+ [0-9]+ [0-9:]+) .*,\\1,' | sort"
    ))
}

fn what_cannot_be_prepared_is_refused(host: &Host) {
    for (directory, what) in [
        ("/", "is the root of the running host"),
        ("/proc/1/root", "is the root of the running host"),
        ("/srv/nowhere", "is not there"),
        ("/srv", "holds no root file system"),
    ] {
        let output = host.sh(&format!("/root/tavernctl install --root {directory} --yes"));
        exits(&output, 1);
        assert!(output.stderr.contains(what), "{output}");
        assert!(output.stderr.contains("help: "), "{output}");
    }
    let output = host.sh(&format!("/root/tavernctl install --root {IMAGE}"));
    exits(&output, 1);
    assert!(output.stderr.contains("--yes"), "{output}");
}

fn a_run_that_fails_leaves_the_image_as_it_was(host: &Host) {
    // Half-way, when the group is to be made: its file is a link that leads out of the image.
    host.ok(&format!(
        "cd {IMAGE}/etc && mv group group.kept && cp /etc/group /root/group && ln -s /root/group group"
    ));
    let before = listing(host);
    let output = host.sh(INSTALL);
    exits(&output, 1);
    assert!(
        output.stderr.contains("is, or is behind, a link"),
        "{output}"
    );
    assert!(!output.stderr.contains("except"), "{output}");
    same(&before, &listing(host));
    host.ok(&format!(
        "cmp /etc/group /root/group && cd {IMAGE}/etc && rm group && mv group.kept group && rm /root/group"
    ));
    // And at its end, with all else done and the group made.
    host.ok(&format!(
        "chattr +i {IMAGE}/etc/systemd/system/sockets.target.wants"
    ));
    let before = listing(host);
    let output = host.sh(INSTALL);
    host.ok(&format!(
        "chattr -i {IMAGE}/etc/systemd/system/sockets.target.wants"
    ));
    exits(&output, 1);
    assert!(
        output.stderr.contains("unit:tavern-counter.socket"),
        "{output}"
    );
    assert!(!output.stderr.contains("except"), "{output}");
    same(&before, &listing(host));
}

fn a_planted_link_leads_nowhere(host: &Host) {
    host.ok("mkdir /root/outside");
    for planted in [
        "usr/local/bin",
        "etc/tmpfiles.d",
        "etc/systemd/system/planted.target.wants",
        "var/lib/tavern",
    ] {
        host.ok(&format!(
            "cd {IMAGE} && if test -e {planted}; then mv {planted} kept; fi && ln -s /root/outside {planted}"
        ));
        let before = listing(host);
        let output = host.sh(INSTALL);
        exits(&output, 1);
        assert!(!output.stderr.contains("except"), "{output}");
        same(&before, &listing(host));
        assert_eq!(host.ok("find /root/outside -mindepth 1"), "", "{planted}");
        host.ok(&format!(
            "cd {IMAGE} && rm {planted} && if test -e kept; then mv kept {planted}; fi"
        ));
    }
    host.ok("rmdir /root/outside");
}

fn the_image_is_as_declared(host: &Host) {
    let keys = host.ok(&format!(
        "find {IMAGE}/etc/tavern/credentials {IMAGE}/etc/tavern/tls {IMAGE}/etc/tavern/htpasswd -type f"
    ));
    assert_eq!(keys, "", "no image holds a key");
    host.ok(&format!(
        "! grep -rlE 'BEGIN .*PRIVATE KEY' {IMAGE}/etc/tavern {IMAGE}/var/lib/tavern"
    ));
    let link = host.ok(&format!("readlink {IMAGE}/usr/local/bin/check-flask"));
    assert_eq!(
        link, "/usr/local/bin/tavernctl\n",
        "as the booted host sees it"
    );
    host.ok(&format!(
        "cmp /root/tavernctl {IMAGE}/usr/local/bin/tavernctl"
    ));
    let enabled = |unit: &str| {
        host.sh(&format!("systemctl --root={IMAGE} is-enabled {unit}"))
            .stdout
    };
    assert_eq!(enabled("tavern-counter.socket"), "enabled\n");
    assert_eq!(enabled("tavern-counter.service"), "disabled\n");
    let log = host.ok(&format!(
        "stat -c %g {IMAGE}/var/log/nginx/counter.access.log"
    ));
    assert_eq!(log, "4444\n", "the image's adm");
    host.ok(&format!("grep ^tavern-redis-flask: {IMAGE}/etc/group"));
    host.ok(&format!(
        "test ! -e {IMAGE}/etc/nginx/sites-enabled/tavern-counter.conf"
    ));
}

fn the_clone_becomes_a_site(clone: &Host) {
    assert_eq!(
        clone.ok("systemctl list-units --failed --no-legend --plain"),
        ""
    );
    clone.ok("systemctl is-active nginx tavern-counter.socket");
    assert_eq!(status(clone, "http://localhost/"), 200, "nginx as it was");
    let output = clone.sh("tavernctl plan");
    exits(&output, 2);
    assert!(output.stdout.contains("nginx:sites"), "{output}");
    assert!(!output.stdout.contains("binary:"), "{output}");
    clone.load_image(&redis_image_tar());
    let output = clone.sh("tavernctl install --yes");
    exits(&output, 0);
    assert!(output.stdout.contains("All checks passed."), "{output}");
    assert_eq!(count(clone, &token(clone)), 1);
    assert_eq!(status(clone, "https://localhost/close/"), 401);
    let output = clone.sh("tavernctl install --yes");
    exits(&output, 0);
    assert_eq!(output.stdout.trim(), "Nothing to change.");
    clone.reboot();
    wait_until_healthy(clone, "the site after a reboot");
}

fn uninstall_knows_what_the_image_brought(clone: &Host) {
    // Programs and their packages' files are in /usr; what of ours is in /usr/local.
    let ours = || {
        clone.ok(
            "find /etc /var /srv /usr/local -xdev -path /var/log/journal -prune -o \
             \\( -name '*tavern*' -o -name 'counter*' -o -name check-flask \\) -print",
        )
    };
    assert!(ours().lines().count() > 20, "{}", ours());
    exits(&clone.sh("tavernctl uninstall --yes --purge"), 0);
    assert_eq!(ours(), "");
    exits(&clone.sh("grep -c tavern /etc/group"), 1);
    assert_eq!(
        status(clone, "http://localhost/"),
        200,
        "the site that was there"
    );
}
