//! What is the owner's stays the owner's; what goes wrong half-way leaves a way on.

use crate::site::{count, exits, host_with_binary, status, token, wait_until_healthy};
use crate::support::lab::{Host, Image, redis_image_tar};

const STACK: &str = "/etc/tavern/stacks/counter.toml";

#[test]
fn the_owners_things_on_debian_12() {
    let host = host_with_binary(Image::BookwormPrepared, "owner12");
    host.load_image(&redis_image_tar());
    host.ok(
        "mkdir -p /var/www/counter/main && echo MINE > /var/www/counter/main/index.html && \
         chown -R www-data:www-data /var/www/counter",
    );
    host.ok("/root/tavernctl install --yes");
    pages_that_were_there_are_kept(&host);
    the_redis_user_may_only_count(&host);
    no_default_over_a_lost_stack_file(&host);
    a_signal_undoes_the_run(&host);
    a_failed_uninstall_leaves_a_way_on(&host);
}

/// bug: pages that were there before the first install were taken for ours, and purged.
fn pages_that_were_there_are_kept(host: &Host) {
    assert_eq!(host.ok("curl -sSk https://localhost/").trim(), "MINE");
    let owner = host.ok("stat -c %U /var/www/counter/main /var/www/counter/main/index.html");
    assert_eq!(owner, "www-data\nwww-data\n");
    // bug: a deploy user's directory was drift.
    host.ok("chown -R nobody /var/www/counter/open && chmod 2775 /var/www/counter/open");
    host.ok("mv /var/www/counter/close /srv/close && ln -s /srv/close /var/www/counter/close");
    exits(&host.sh("tavernctl plan"), 0);
}

/// bug: FLUSHALL was the app's to call.
fn the_redis_user_may_only_count(host: &Host) {
    let as_app = |command: &str| {
        host.ok(&format!(
            "REDISCLI_AUTH=$(cat /etc/tavern/credentials/counter/redis-password) \
             docker exec -e REDISCLI_AUTH redis-flask redis-cli --no-auth-warning --user counter {command}"
        ))
    };
    for refused in [
        "FLUSHALL",
        "KEYS '*'",
        "CONFIG GET '*'",
        "SET other 1",
        "CLIENT PAUSE 1000",
        "SWAPDB 0 1",
    ] {
        assert!(as_app(refused).contains("NOPERM"), "{refused}");
    }
    assert_eq!(as_app("PING").trim(), "PONG");
    for refused in ["GET visits", "FLUSHALL", "CONFIG GET '*'"] {
        let answer = host.ok(&format!("docker exec redis-flask redis-cli {refused}"));
        assert!(answer.contains("NOPERM"), "{refused}: {answer}");
    }
    let token = token(host);
    assert_eq!(count(host, &token) + 1, count(host, &token));
}

/// bug: with the stack file gone, the default stack swapped the volume of an installed one.
fn no_default_over_a_lost_stack_file(host: &Host) {
    host.ok(&format!("mv {STACK} /root/"));
    let output = host.sh("tavernctl install --yes");
    exits(&output, 1);
    assert!(output.stderr.contains("holds no stack file"), "{output}");
    host.ok(&format!("mv /root/counter.toml {STACK}"));
    exits(&host.sh("tavernctl plan"), 0);
}

fn a_signal_undoes_the_run(host: &Host) {
    host.ok(&format!("sed -i 's/\"10.0.0.5\"/\"10.0.0.9\"/; s/count-key = \"visits\"/count-key = \"hits\"/' {STACK}"));
    // A step that takes its time: the app leaves only when nobody is on the line.
    let output = host.sh(
        "tavernctl install --yes & pid=$!; \
         while ! test -e /var/lib/tavern/journal.jsonl; do sleep 0.01; done; kill -HUP $pid; wait $pid",
    );
    exits(&output, 130);
    assert!(output.stderr.contains("stopped by a signal"), "{output}");
    assert!(!host.sh("test -e /var/lib/tavern/journal.jsonl").success());
    wait_until_healthy(host, "the site after a signal");
    assert!(
        host.ok("cat /etc/systemd/system/tavern-counter.service")
            .contains("--count-key visits")
    );
    host.ok(&format!("sed -i 's/\"10.0.0.9\"/\"10.0.0.5\"/; s/count-key = \"hits\"/count-key = \"visits\"/' {STACK}"));
    exits(&host.sh("tavernctl plan"), 0);
}

/// bug: an uninstall that failed took `tavernctl` away all the same.
fn a_failed_uninstall_leaves_a_way_on(host: &Host) {
    host.ok("systemctl stop docker.socket docker.service && systemctl mask docker.socket docker.service");
    let output = host.sh("tavernctl uninstall --yes --purge");
    exits(&output, 2);
    assert!(output.stdout.contains("container:redis-flask"), "{output}");
    host.ok("systemctl unmask docker.socket docker.service && systemctl start docker.service");
    exits(&host.sh("tavernctl uninstall --yes --purge"), 2);
    // What keeps it from being clean is the owner's, and named.
    assert_eq!(
        host.ok("cat /var/www/counter/main/index.html").trim(),
        "MINE"
    );
    host.ok("nginx -t && systemctl restart nginx");
    assert_eq!(status(host, "http://localhost/"), 200);
    assert!(
        host.ok("docker ps -aq; docker volume ls -q")
            .trim()
            .is_empty()
    );
}
