//! tavernd on a real host: what is lost comes back, by itself, and nothing else is touched.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::site::{count, edit, exits, installed, status, token, wait_until_healthy};
use crate::support::lab::{Host, Image};

/// What became possible is done by then, with some room for a busy machine.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn debian_12_keeps_its_containers() {
    keeps_its_containers(Image::BookwormPrepared, "keep12");
}

#[test]
fn debian_13_keeps_its_containers() {
    keeps_its_containers(Image::TrixiePrepared, "keep13");
}

fn keeps_its_containers(image: Image, name: &str) {
    let host = installed(image, name);
    let limits =
        "app = \"counter\"\nlimits = { rate = 100000, burst = 100000, connections = 10000 }";
    edit(&host, "app = \"counter\"", limits);
    host.ok("tavernctl install --yes");
    host.ok(
        "docker tag redis:7-alpine theirs:1 && docker run -d --name theirs --network none theirs:1",
    );
    its_sandbox_is_tight(&host);
    what_is_lost_comes_back(&host);
    let theirs = its_start(&host, "theirs");
    a_hold_is_respected(&host);
    a_foreign_container_is_left_alone(&host);
    a_crash_loop_is_said(&host);
    nobody_notices_what_becomes_of_it(&host);
    assert_eq!(its_start(&host, "theirs"), theirs, "not ours to touch");
    a_pruned_image_comes_from_its_file(&host);
    // By all that but the upgrade no generation was made, and nothing is left to do.
    assert_eq!(host.ok("ls /var/lib/tavern/generations"), "1\n2\n3\n");
    exits(&host.sh("tavernctl plan"), 0);
    exits(&host.sh("tavernctl uninstall --yes --purge"), 0);
    host.ok(
        "test ! -e /run/tavernd && test ! -e /etc/systemd/system/tavernd.service && \
         test ! -e /var/lib/tavern",
    );
    assert!(!host.sh("systemctl cat tavernd.service").success());
    host.ok("docker inspect theirs");
}

fn its_start(host: &Host, container: &str) -> String {
    host.ok(&format!(
        "docker inspect -f '{{{{.State.StartedAt}}}}' {container}"
    ))
}

fn its_sandbox_is_tight(host: &Host) {
    host.ok("systemctl is-active tavernd && systemctl is-enabled tavernd");
    let report = host.ok("systemd-analyze security --no-pager tavernd.service | tail -n 1");
    let level: f64 = report
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no level in {report}"));
    assert!(level <= 2.5, "{report}");
    let said = host.sh("systemd-analyze verify /etc/systemd/system/tavernd.service");
    assert!(
        said.success() && said.stdout.is_empty() && said.stderr.is_empty(),
        "{said}"
    );
}

/// Waits until a count is answered, and says what it was.
fn counted(host: &Host, token: &str, what: &str) -> u64 {
    host.wait(what, SOON, || {
        let asked = "https://localhost/flask/api/count -H";
        match status(host, &format!("{asked} 'Authorization: Bearer {token}'")) {
            200 => Ok(()),
            other => Err(format!(
                "{other}\n{}",
                host.ok("docker ps -a; journalctl -u tavernd -n 20 --no-pager -o cat")
            )),
        }
    });
    count(host, token)
}

fn what_is_lost_comes_back(host: &Host) {
    let token = token(host);
    let mut before = count(host, &token);
    let losses = [
        ("docker kill redis-flask", true),
        ("docker stop redis-flask", true),
        ("docker rm -f redis-flask", false),
        // It is not seen to stop, or started, before it is gone.
        (
            "systemctl stop tavernd && docker kill redis-flask && docker container prune -f; \
             systemctl start tavernd",
            false,
        ),
        ("systemctl restart docker", true),
        (
            "systemctl stop docker.socket docker && sleep 3 && systemctl start docker",
            true,
        ),
        (
            "docker kill -s KILL redis-flask; docker kill -s KILL redis-flask; docker rm -f redis-flask",
            false,
        ),
    ];
    for (loss, is_same) in losses {
        let id = host.ok("docker inspect -f '{{.Id}}' redis-flask");
        host.sh(loss);
        let now = counted(host, &token, loss);
        assert!(now > before, "{loss}: {before}, then {now}");
        assert!(now <= before + 8, "{loss}: {before}, then {now}");
        before = now;
        let after = host.ok("docker inspect -f '{{.Id}}' redis-flask");
        assert_eq!(id == after, is_same, "{loss}");
        if loss.contains("start docker") {
            // It has no restart policy: nobody but its owner starts it.
            host.ok("test \"$(docker inspect -f '{{.State.Running}}' theirs)\" = false && docker start theirs");
        }
    }
    wait_until_healthy(host, "all to be as before");
    let journal = host.ok("journalctl -u tavernd -o cat --no-pager");
    for line in [
        "container redis-flask is not as it was applied: it is gone; it is made again",
        "container redis-flask is not as it was applied: it is stopped; it is started",
        "container redis-flask is well again",
    ] {
        assert!(journal.contains(line), "no `{line}` in {journal}");
    }
}

/// What the supervisor says of Redis.
fn phase(host: &Host) -> String {
    host.ok(
        "jq -r '.containers[] | select(.name == \"redis-flask\") | .phase' /run/tavernd/state.json",
    )
    .trim()
    .to_owned()
}

fn wait_for_phase(host: &Host, wanted: &str) {
    host.wait(&format!("Redis to be {wanted}"), SOON, || {
        let phase = phase(host);
        if phase == wanted { Ok(()) } else { Err(phase) }
    });
}

fn a_hold_is_respected(host: &Host) {
    let token = token(host);
    let before = count(host, &token);
    host.ok("tavernctl hold redis");
    wait_for_phase(host, "held");
    let status = host.ok("tavernctl status");
    assert!(status.contains("watched: held since "), "{status}");
    host.ok("docker kill redis-flask");
    // A new one looks at everything first, and has by now.
    host.ok("systemctl restart tavernd");
    wait_for_phase(host, "held");
    let running = "docker inspect -f '{{.State.Running}}' redis-flask";
    assert_eq!(host.ok(running).trim(), "false");
    host.ok("tavernctl hold --end redis");
    assert_eq!(counted(host, &token, "the end of the hold"), before + 2);
}

fn a_foreign_container_is_left_alone(host: &Host) {
    let token = token(host);
    let before = count(host, &token);
    host.ok("systemctl stop tavernd && docker rm -f redis-flask && \
         docker run -d --name redis-flask --network none theirs:1 && systemctl start tavernd");
    let theirs = its_start(host, "redis-flask");
    wait_for_phase(host, "foreign");
    host.ok("docker kill redis-flask");
    host.ok("systemctl restart tavernd");
    wait_for_phase(host, "foreign");
    assert_eq!(its_start(host, "redis-flask"), theirs);
    host.ok("docker rm -f redis-flask");
    let now = counted(host, &token, "the name to be free again");
    assert!(now > before && now <= before + 2, "{before}, then {now}");
}

/// Its process dies again and again; Docker and tavernd start it each time.
fn a_crash_loop_is_said(host: &Host) {
    let token = token(host);
    let before = count(host, &token);
    let said = "container redis-flask crashes again and again";
    let journal = "journalctl -u tavernd -o cat --no-pager";
    assert!(!host.ok(journal).contains(said));
    host.wait("the crash loop to be said", SOON * 4, || {
        host.sh("kill -9 $(docker inspect -f '{{.State.Pid}}' redis-flask)");
        let status = host.ok("tavernctl status");
        if status.contains("crash loop") {
            Ok(())
        } else {
            Err(status)
        }
    });
    let now = counted(host, &token, "the end of the crash loop");
    assert!(now > before, "{before}, then {now}");
    host.wait("its end to be said", SOON * 4, || {
        let journal = host.ok(journal);
        if journal.contains("container redis-flask crashes no more") {
            Ok(())
        } else {
            Err(journal)
        }
    });
    assert_eq!(host.ok(journal).matches(said).count(), 1);
}

/// Requests without end, until they are told to.
struct Load<'a> {
    host: &'a Host,
    ab: Child,
}

impl<'a> Load<'a> {
    fn begin(host: &'a Host) -> Self {
        let ab = Command::new("ab")
            .args(["-q", "-k", "-n", "2000000", "-c", "32"])
            .arg(format!("https://{}/flask/api/ping", host.ip()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("ab is installed by tests/run");
        let load = Self { host, ab };
        load.goes_on("the beginning");
        load
    }

    fn answers(&self) -> u64 {
        let log = "/var/log/nginx/counter-flask.access.json";
        let lines = self.host.ok(&format!("wc -l <{log}"));
        lines.trim().parse().expect("a number")
    }

    /// What happens now happens under load.
    fn goes_on(&self, what: &str) {
        let before = self.answers();
        self.host.wait("requests to go on", SOON, || {
            let now = self.answers();
            (now > before + 64)
                .then_some(())
                .ok_or(format!("{what}: {before}, {now}"))
        });
    }

    /// What ab says of all of them.
    fn end(self) -> String {
        let interrupt = Command::new("kill")
            .args(["-INT", &self.ab.id().to_string()])
            .status();
        assert!(interrupt.expect("kill").success());
        let output = self.ab.wait_with_output().expect("ab ended");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Killed, hanging, stopped and replaced by another build: no request fails, and nothing it keeps is started anew.
fn nobody_notices_what_becomes_of_it(host: &Host) {
    let containers = || its_start(host, "redis-flask") + &its_start(host, "theirs");
    let what_runs = || {
        containers() + &host.ok("systemctl show -P MainPID tavern-counter.service nginx.service")
    };
    let process = || host.ok("systemctl show -P MainPID tavernd.service");
    let before = what_runs();
    let load = Load::begin(host);
    let by = |what: &str, script: &str| {
        let old = process();
        host.ok(script);
        load.goes_on(what);
        host.wait(&format!("tavernd after {what}"), SOON, || {
            let state = host.sh("systemctl is-active tavernd").stdout;
            let is_new = state == "active\n" && process() != old;
            is_new.then_some(()).ok_or(state)
        });
    };
    for _ in 0..3 {
        by(
            "a kill",
            "systemctl kill -s KILL --kill-who=main tavernd; true",
        );
    }
    // What its unit says in a minute, in five seconds.
    let dropin = "/run/systemd/system/tavernd.service.d";
    by(
        "a shorter watchdog",
        &format!(
            "mkdir -p {dropin} && printf '[Service]\\nWatchdogSec=5\\n' >{dropin}/lab.conf && \
             systemctl daemon-reload && systemctl restart tavernd"
        ),
    );
    by("a hang", "systemctl kill -s STOP --kill-who=main tavernd");
    let said = host.ok("journalctl --sync; journalctl --no-pager -o cat -u tavernd");
    assert!(said.contains("Watchdog timeout"), "{said}");
    host.ok(&format!(
        "rm -r {dropin} && systemctl daemon-reload && systemctl stop tavernd"
    ));
    load.goes_on("a stop");
    by("a start", "systemctl start tavernd");
    wait_for_phase(host, "up");
    assert_eq!(what_runs(), before, "it adopts what runs");
    assert_eq!(host.ok("ls /var/lib/tavern/generations"), "1\n2\n");
    let before = containers();
    by(
        "an upgrade",
        "cp /root/tavernctl /root/newer && printf x >>/root/newer && /root/newer install --yes && \
         cmp /root/newer /usr/local/bin/tavernctl",
    );
    wait_for_phase(host, "up");
    assert_eq!(containers(), before, "so does another build");
    let report = load.end();
    let complete = report
        .lines()
        .find_map(|line| line.strip_prefix("Complete requests:"));
    let complete: u64 = complete
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_default();
    assert!(complete >= 5000, "{report}");
    assert!(report.contains("Failed requests:        0"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
}

fn a_pruned_image_comes_from_its_file(host: &Host) {
    let token = token(host);
    let before = count(host, &token);
    host.ok(
        "cp /etc/resolv.conf /root/resolv.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf; \
         docker save -o /root/redis.tar redis:7-alpine; systemctl restart docker",
    );
    // With any name of it gone, it is still there to be found by what it is.
    host.ok(
        "tavernctl hold redis; docker rm -f redis-flask; docker rmi -f $(docker images -q redis:7-alpine); \
         tavernctl hold --end",
    );
    host.wait("the failure to be said", SOON, || {
        let status = host.ok("tavernctl status");
        if status.contains("cannot pull redis:7-alpine") {
            Ok(())
        } else {
            Err(status)
        }
    });
    host.ok("mkdir -p /var/lib/tavern/images && mv /root/redis.tar /var/lib/tavern/images/redis_7-alpine.tar");
    let now = counted(host, &token, "the image to be loaded");
    assert!(now > before, "{before}, then {now}");
    let status = host.ok("tavernctl status");
    assert!(!status.contains("cannot pull"), "{status}");
    host.ok("cat /root/resolv.conf >/etc/resolv.conf");
}
