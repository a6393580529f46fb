//! A container that somebody changed, one that has too little memory, one on a full disk, one whose data is damaged.

use std::time::Duration;

use crate::site::{STACK, count, exits, installed, round, status, token, wait_until_healthy};
use crate::support::lab::{Host, Image};

const SOON: Duration = Duration::from_secs(30);
const DATA: &str = "$(docker volume inspect -f '{{.Mountpoint}}' redis-flask-data)";

#[test]
fn debian_12_bears_trouble() {
    bears_trouble(Image::BookwormPrepared, "trouble12");
}

#[test]
#[ignore = "longer: tests/full"]
fn debian_13_bears_trouble() {
    bears_trouble(Image::TrixiePrepared, "trouble13");
}

fn bears_trouble(image: Image, name: &str) {
    let host = installed(image, name);
    host.write(
        "/usr/local/bin/page",
        "#!/bin/bash\n(cat; echo) >>/root/page\n",
        0o755,
    );
    host.ok("apt-get -q update >/dev/null");
    let text = host.read(STACK);
    // The failures of the site meanwhile would be told first, and the next message five minutes later.
    let more = "\n[monitor]\nerror-percent = 100\n\n[alert]\nprogram = [\"/usr/local/bin/page\"]\n\n[backup]\nto = \"/srv/backup\"\n";
    host.write(STACK, &format!("{text}{more}"), 0o644);
    host.ok("tavernctl install --yes && systemctl stop tavern-check.timer");
    host.ok(
        "docker tag redis:7-alpine theirs:1 && docker run -d --name theirs --network none theirs:1",
    );
    let theirs = host.ok("docker inspect -f '{{.State.StartedAt}}' theirs");
    wait_until_healthy(&host, "the site");
    what_somebody_changed_is_made_anew(&host);
    one_of_another_image_is_made_anew(&host);
    a_full_disk_ends(&host);
    too_little_memory_ends(&host);
    damaged_data_is_left_to_people(&host);
    assert_eq!(
        host.ok("docker inspect -f '{{.State.StartedAt}}' theirs"),
        theirs
    );
    exits(&host.sh("tavernctl plan"), 0);
    exits(&host.sh("tavernctl uninstall --yes --purge"), 0);
}

fn inspect(host: &Host, what: &str) -> String {
    host.sh(&format!("docker inspect -f '{{{{{what}}}}}' redis-flask"))
        .stdout
        .trim()
        .to_owned()
}

fn wait_for(host: &Host, what: &str, field: &str, wanted: &str) {
    host.wait(what, SOON, || {
        let found = inspect(host, field);
        if found == wanted {
            Ok(())
        } else {
            Err(format!(
                "{found}\n{}",
                host.ok("tavernctl status; journalctl -u tavernd -n 20 -o cat --no-pager")
            ))
        }
    });
}

fn wait_for_count(host: &Host, token: &str, what: &str) -> u64 {
    host.wait(what, SOON, || {
        let asked = "https://localhost/flask/api/count -H";
        match status(host, &format!("{asked} 'Authorization: Bearer {token}'")) {
            200 => Ok(()),
            other => Err(format!("{other}\n{}", host.ok("tavernctl status"))),
        }
    });
    count(host, token)
}

fn wait_for_status(host: &Host, what: &str, text: &str) {
    host.wait(what, SOON * 4, || {
        let status = host.ok("tavernctl status");
        if status.contains(text) {
            Ok(())
        } else {
            Err(status)
        }
    });
}

/// Under hold: stops Redis, does this to its files, and lets go.
fn with_its_files(host: &Host, script: &str) {
    host.ok("tavernctl hold redis && docker stop redis-flask");
    host.ok(&format!("cd {DATA} && {script}"));
    host.ok("tavernctl hold --end redis");
}

fn what_somebody_changed_is_made_anew(host: &Host) {
    let session = token(host);
    let before = count(host, &session);
    let memory = inspect(host, ".HostConfig.Memory");
    let id = inspect(host, ".Id");
    host.ok("docker update --memory 300m --memory-swap 300m redis-flask");
    wait_for(host, "its memory", ".HostConfig.Memory", &memory);
    assert_ne!(inspect(host, ".Id"), id);
    let journal = host.ok("journalctl -u tavernd -o cat --no-pager");
    assert!(
        journal.contains("somebody changed its settings; it is made anew"),
        "{journal}"
    );
    let now = wait_for_count(host, &session, "the container that was made anew");
    assert!(now > before, "{before}, then {now}");
    // A hold is for whoever means it; plan and drift say what waits.
    host.ok("tavernctl hold redis && docker update --restart no redis-flask");
    host.ok("systemctl restart tavernd");
    wait_for_status(host, "the hold to be seen", "watched: held since ");
    assert_eq!(inspect(host, ".HostConfig.RestartPolicy.Name"), "no");
    let drift = host.sh("tavernctl drift");
    assert!(
        drift
            .stdout
            .contains("restart policy is no instead of unless-stopped"),
        "{drift}"
    );
    host.ok("tavernctl hold --end redis");
    wait_for(
        host,
        "its policy",
        ".HostConfig.RestartPolicy.Name",
        "unless-stopped",
    );
    // Made by somebody, with our label, on a network and without most of its bounds.
    host.ok("tavernctl hold redis && docker rm -f redis-flask && \
             docker run -d --name redis-flask --label io.tavern.stack=counter -p 127.0.0.1:6379:6379 redis:7-alpine && \
             tavernctl hold --end redis");
    wait_for(host, "its network", ".HostConfig.NetworkMode", "none");
    wait_for(host, "its root", ".HostConfig.ReadonlyRootfs", "true");
    let log = "map[max-file:3 max-size:10m]";
    assert_eq!(inspect(host, ".HostConfig.LogConfig.Config"), log);
    let later = wait_for_count(host, &session, "the container with its own settings");
    assert!(later > now, "{now}, then {later}");
    assert_eq!(
        host.ok("ls /var/lib/tavern/generations"),
        "1\n2\n",
        "no generation of it"
    );
}

/// Made with our label and every setting of ours, but not of our image.
fn one_of_another_image_is_made_anew(host: &Host) {
    let session = token(host);
    let before = count(host, &session);
    let image = inspect(host, ".Image");
    let ask = "curl -sSf --unix-socket /var/run/docker.sock -X POST http://localhost/containers";
    host.ok(&format!(
        "set -e; docker create --name their-image theirs:1; docker commit -m theirs their-image another:1; docker rm their-image; \
         tavernctl hold redis; \
         docker inspect redis-flask | jq '.[0] | .Config + {{HostConfig: .HostConfig, Image: \"another:1\"}}' >/root/body; \
         docker rm -f redis-flask; \
         {ask}/create?name=redis-flask -H 'Content-Type: application/json' -d @/root/body; docker start redis-flask"
    ));
    let id = inspect(host, ".Id");
    assert_ne!(inspect(host, ".Image"), image);
    host.ok("tavernctl hold --end redis");
    wait_for(host, "its image", ".Image", &image);
    assert_ne!(inspect(host, ".Id"), id);
    let now = wait_for_count(host, &session, "the container of the image of ours");
    assert!(now > before, "{before}, then {now}");
    host.ok("docker rmi another:1");
}

/// The volume on a small disk of its own, which fills up and is cleared.
fn a_full_disk_ends(host: &Host) {
    let session = token(host);
    let before = count(host, &session);
    with_its_files(
        host,
        "mkdir /root/data && cp -a . /root/data && mount -t tmpfs -o size=16m tmpfs $PWD && \
         cd $PWD && cp -a /root/data/. . && rm -rf /root/data && chown --reference=appendonlydir .",
    );
    // Docker's mount is made as the container starts; it was stopped.
    let now = wait_for_count(host, &session, "Redis on the small disk");
    assert!(now > before);
    host.sh(&format!("dd if=/dev/zero of={DATA}/fill bs=64k; true"));
    host.wait("the app to say 503", SOON, || {
        let asked = "https://localhost/flask/api/count -H";
        match status(host, &format!("{asked} 'Authorization: Bearer {session}'")) {
            503 => Ok(()),
            other => Err(other.to_string()),
        }
    });
    let check = host.sh("tavernctl check");
    exits(&check, 2);
    host.ok(&format!("rm {DATA}/fill"));
    let later = wait_for_count(host, &session, "room again");
    assert!(later > now, "{now}, then {later}");
    with_its_files(
        host,
        "mkdir /root/data && cp -a . /root/data && place=$PWD && cd / && umount $place && \
         rm -rf $place/* && cp -a /root/data/. $place && rm -rf /root/data",
    );
    let last = wait_for_count(host, &session, "Redis on its own disk");
    assert!(last > later, "{later}, then {last}");
}

/// Its data takes more memory than it may have: it is killed at each start.
fn too_little_memory_ends(host: &Host) {
    let session = token(host);
    let before = count(host, &session);
    // Little on a disk, and 640 MB once it is read.
    host.ok("docker run -d --name big --network none --read-only=false theirs:1 redis-server --save '' --appendonly no && \
             for try in $(seq 100); do docker exec big redis-cli ping && break; sleep 0.1; done && \
             docker exec big redis-cli eval \"for i=1,80 do redis.call('set','k'..i,string.rep('x',8388608)) end\" 0 && \
             docker exec big redis-cli save && docker cp big:/data/dump.rdb /root/big.rdb && docker rm -fv big");
    round(host);
    round(host);
    with_its_files(
        host,
        "cp -a appendonlydir /root/good && base=$(ls appendonlydir/*.base.rdb) && \
         cat /root/big.rdb >$base",
    );
    wait_for_status(host, "the crash loop to be said", "crash loop");
    wait_for_status(host, "its cause", "want of memory");
    round(host);
    round(host);
    let page = host.read("/root/page");
    assert!(
        page.contains("it crashes again and again: it was killed")
            && page.contains("want of memory"),
        "{page}"
    );
    with_its_files(
        host,
        "rm -rf appendonlydir && cp -a /root/good appendonlydir",
    );
    let now = wait_for_count(host, &session, "the end of the crash loop");
    assert!(now > before, "{before}, then {now}");
    host.wait("its end to be said", SOON * 4, || {
        let journal = host.ok("journalctl -u tavernd -o cat --no-pager");
        if journal.contains("container redis-flask crashes no more") {
            Ok(())
        } else {
            Err(journal)
        }
    });
}

fn damaged_data_is_left_to_people(host: &Host) {
    let session = token(host);
    let before = count(host, &session);
    host.ok("tavernctl backup now");
    wait_until_healthy(host, "all to be well");
    // Told within five minutes of the one before it: this is another matter.
    host.ok("rm -f /root/page /var/lib/tavern/health/history.redb");
    round(host);
    round(host);
    with_its_files(
        host,
        "printf 'this is not what Redis wrote' | dd of=$(ls appendonlydir/*.incr.aof) conv=notrunc status=none && \
         sha256sum appendonlydir/* >/root/damaged.sums",
    );
    wait_for_status(host, "the damage to be said", "its data is damaged");
    let answer = status(
        host,
        &format!("https://localhost/flask/api/count -H 'Authorization: Bearer {session}'"),
    );
    assert_eq!(answer, 503);
    round(host);
    round(host);
    let page = host.read("/root/page");
    for words in [
        "its data is damaged",
        "append only file",
        "Nothing is repaired by guessing",
        "sudo tavernctl restore",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
    host.ok(&format!(
        "cd {DATA} && sha256sum -c --quiet /root/damaged.sums"
    ));
    // As the manual has it.
    host.ok("tavernctl hold redis && docker stop redis-flask && \
             mv \"$(docker volume inspect -f '{{.Mountpoint}}' redis-flask-data)/appendonlydir\" /root/damaged && \
             tavernctl hold --end");
    wait_for_count(host, &session, "an empty Redis");
    let restored = host.sh("tavernctl restore --yes");
    exits(&restored, 0);
    // Whoever waits for it counts once.
    assert_eq!(wait_for_count(host, &token(host), "the backup"), before + 2);
    wait_until_healthy(host, "all to be well again");
}
