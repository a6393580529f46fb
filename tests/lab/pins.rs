//! Which image runs: pinned at the first install, pulled with a login, newer only by asking, and back by a rollback.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::site::{count, edit, exits, installed, token, wait_until_healthy};
use crate::support::lab::{Host, Image};

const SOON: Duration = Duration::from_secs(60);
const NAME: &str = "127.0.0.1:5000/redis";
const WORD: &str = "registry-word-5f1c";
const LOGIN: &str = "/etc/registry-login.json";

#[test]
fn debian_12_runs_the_image_it_is_pinned_to() {
    let host = installed(Image::BookwormPrepared, "pins12");
    a_registry_with_a_password(&host);
    let session = token(&host);
    let before = count(&host, &session);
    a_login_is_needed_and_told_nobody(&host);
    let first = image_id(&host);
    assert!(count(&host, &session) > before);
    a_tag_that_moves_is_another_matter(&host, &first);
    let second = a_newer_one_is_taken_by_asking(&host, &first);
    host.ok("tavernctl rollback --yes");
    assert_eq!(image_id(&host), first, "a rollback has its image");
    host.ok("tavernctl install --yes --pull");
    assert_eq!(image_id(&host), second);
    wait_until_healthy(&host, "the newer image");
    assert!(count(&host, &session) > before + 1);
    let purged = host.sh("tavernctl uninstall --yes --purge");
    exits(&purged, 0);
    let left = host.ok("docker images -q --no-trunc");
    assert!(
        !left.contains(first.trim()) && !left.contains(second.trim()),
        "{left}"
    );
    host.ok("docker image inspect redis:7-alpine");
}

/// On this host's loopback, with one account; it has the stand-in for Redis.
fn a_registry_with_a_password(host: &Host) {
    host.put(
        Path::new("/usr/bin/docker-registry"),
        "/usr/local/bin/docker-registry",
    );
    let made = Command::new("htpasswd")
        .args(["-nbB", "ann", WORD])
        .output()
        .expect("htpasswd is installed by tests/run");
    host.write(
        "/srv/registry.htpasswd",
        &String::from_utf8_lossy(&made.stdout),
        0o600,
    );
    host.write(
        "/srv/registry.yml",
        "version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: /srv/registry}, delete: {enabled: true}}\n\
         http: {addr: \"127.0.0.1:5000\"}\nauth: {htpasswd: {realm: lab, path: /srv/registry.htpasswd}}\n",
        0o600,
    );
    host.ok("chmod 755 /usr/local/bin/docker-registry && \
             systemd-run --unit=registry /usr/local/bin/docker-registry serve /srv/registry.yml");
    host.wait("the registry", SOON, || {
        let login = host.sh(&format!(
            "echo {WORD} | docker --config /srv/login login -u ann --password-stdin 127.0.0.1:5000"
        ));
        if login.success() {
            Ok(())
        } else {
            Err(login.to_string())
        }
    });
    // Another image than the one that is there: it comes from the registry alone.
    host.ok("docker create --name base redis:7-alpine");
    push(host, "one");
}

/// Pushes another image under the one tag, and leaves nothing of it here.
fn push(host: &Host, label: &str) {
    host.ok(&format!(
        "docker commit --change 'LABEL which={label}' base {NAME}:7 && \
         docker --config /srv/login push -q {NAME}:7 && docker rmi {NAME}:7"
    ));
}

fn image_id(host: &Host) -> String {
    host.ok("docker inspect -f '{{.Image}}' redis-flask")
}

fn a_login_is_needed_and_told_nobody(host: &Host) {
    let before = image_id(host);
    edit(
        host,
        "image = \"redis:7-alpine\"",
        &format!("image = \"{NAME}:7\""),
    );
    let refused = host.sh("tavernctl install --yes");
    exits(&refused, 1);
    assert!(
        refused.stderr.contains("cannot pull")
            && refused.stderr.contains("the registry wants a login"),
        "{refused}"
    );
    assert_eq!(image_id(host), before);
    edit(
        host,
        "kind = \"redis\"",
        &format!("kind = \"redis\"\nauth-file = \"{LOGIN}\""),
    );
    let refused = host.sh("tavernctl plan");
    exits(&refused, 1);
    assert!(
        refused.stderr.contains("there is no such file"),
        "{refused}"
    );
    host.ok(&format!(
        "cp /srv/login/config.json {LOGIN} && chmod 644 {LOGIN}"
    ));
    let refused = host.sh("tavernctl plan");
    exits(&refused, 1);
    assert!(
        refused.stderr.contains("others may read this login"),
        "{refused}"
    );
    host.ok(&format!("chmod 600 {LOGIN}"));
    let plan = host.sh("tavernctl plan");
    exits(&plan, 2);
    assert!(plan.stdout.contains(&format!("{NAME}@sha256:")), "{plan}");
    let installed = host.sh("tavernctl install --yes");
    exits(&installed, 0);
    exits(&host.sh("tavernctl plan"), 0);
    assert_ne!(image_id(host), before);
    // Nobody else has been told, and nothing keeps it.
    let auth = host.ok(&format!("jq -r '.auths[].auth' {LOGIN}"));
    for word in [WORD, auth.trim()] {
        for said in [&plan, &installed] {
            assert!(!said.to_string().contains(word), "{said}");
        }
        let kept = host.sh(&format!(
            "grep -rlF -e '{word}' /var/lib/tavern /etc/tavern /run/tavern /run/tavernd /var/log/nginx; \
             journalctl --no-pager -u tavernd -u tavern-check | grep -F -e '{word}'; docker inspect redis-flask | grep -F -e '{word}'"
        ));
        assert_eq!(kept.stdout, "", "{kept}");
    }
}

fn a_tag_that_moves_is_another_matter(host: &Host, first: &str) {
    push(host, "two");
    exits(&host.sh("tavernctl plan"), 0);
    let is_back = |what: &str| {
        host.wait(what, SOON, || {
            let found =
                host.sh("docker inspect -f '{{.State.Health.Status}} {{.Image}}' redis-flask");
            // What is wrong next is told only of one that was well.
            let status = host.ok("tavernctl status");
            if found.stdout.contains(first.trim()) && status.contains("watched: up since") {
                Ok(())
            } else {
                Err(format!("{found}\n{status}"))
            }
        });
    };
    // Made again, and pulled again, it is the same one.
    host.ok("docker rm -f redis-flask");
    is_back("the container, of the same image");
    host.ok("tavernctl hold redis");
    host.wait("the hold to be seen", SOON, || {
        let status = host.ok("tavernctl status");
        let is_held = status.contains("watched: held since");
        is_held.then_some(()).ok_or(status)
    });
    host.ok(&format!(
        "docker rm -f redis-flask && docker rmi {NAME}:7; docker rmi -f {}; tavernctl hold --end",
        first.trim()
    ));
    is_back("the same image, pulled with the login");
    let journal = host.ok("journalctl -u tavernd -o cat --no-pager");
    assert!(
        journal.contains("it and its image are gone; both are brought back"),
        "{journal}"
    );
    // Another one under its name on this host changes nothing either.
    host.ok(&format!("docker tag redis:7-alpine {NAME}:7"));
    exits(&host.sh("tavernctl plan"), 0);
    host.ok("docker rm -f redis-flask");
    is_back("the container, whatever has its name");
    wait_until_healthy(host, "all to be well");
}

fn a_newer_one_is_taken_by_asking(host: &Host, first: &str) -> String {
    let plan = host.sh("tavernctl plan --pull");
    exits(&plan, 2);
    let digest = format!("{NAME}@sha256:");
    assert!(plan.stdout.contains(&digest), "{plan}");
    host.ok("tavernctl install --yes --pull");
    let second = image_id(host);
    assert_ne!(second, first);
    let label = host.ok("docker inspect -f '{{.Config.Labels.which}}' redis-flask");
    assert_eq!(label.trim(), "two");
    exits(&host.sh("tavernctl plan"), 0);
    exits(&host.sh("tavernctl plan --pull"), 0);
    second
}
