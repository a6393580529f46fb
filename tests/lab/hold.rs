//! What is held is left alone: not repaired, not restarted, by nobody, over a reboot, until its time or its end.

use std::time::Duration;

use crate::site::{exits, installed, wait_until_healthy};
use crate::support::lab::{Host, Image};

const UNIT: &str = "/etc/systemd/system/tavern-counter.service";
const SITE: &str = "/etc/nginx/sites-available/tavern-counter.conf";
const SETTLED: &str = "Nothing to change.";

#[test]
fn debian_13_holds() {
    let host = installed(Image::TrixiePrepared, "hold13");
    an_app_is_left_alone(&host);
    what_others_need_is_done_and_the_restart_owed(&host);
    a_container_is_left_alone(&host);
    everything_is_left_alone(&host);
    a_hold_ends_by_itself(&host);
    host.ok("tavernctl uninstall --yes --purge");
}

fn pid(host: &Host) -> String {
    host.ok("systemctl show -P MainPID tavern-counter.service")
}

fn install(host: &Host) -> String {
    host.ok("tavernctl install --yes").trim().to_owned()
}

/// Asserts that the plan has nothing to do but what waits, which is `held`.
#[track_caller]
fn waits(host: &Host, held: &[&str]) {
    let plan = host.sh("tavernctl plan");
    exits(&plan, 0);
    for line in held {
        assert!(plan.stdout.contains(line), "no `{line}`: {plan}");
    }
    let shown = plan.stdout.lines().filter(|line| line.starts_with('‖'));
    assert_eq!(shown.count(), held.len(), "{plan}");
    assert!(plan.stdout.ends_with("Nothing to change.\n"), "{plan}");
}

fn an_app_is_left_alone(host: &Host) {
    let before = pid(host);
    exits(&host.sh("tavernctl hold nonsense"), 1);
    exits(&host.sh("tavernctl hold counter --for 1x"), 1);
    let said = host.ok("tavernctl hold flask-app --for 1h");
    assert!(
        said.starts_with("app tavern-counter: held until "),
        "{said}"
    );
    let status = host.ok("tavernctl status");
    assert!(
        status.contains("Held       app tavern-counter: held until"),
        "{status}"
    );
    let kept =
        host.ok("stat -c %a /var/lib/tavern/holds.json && jq .version /var/lib/tavern/holds.json");
    assert_eq!(kept, "600\n1\n");

    // Its own file, edited by hand: stays so, and so does the app.
    host.ok(&format!(
        "echo '# by hand' >> {UNIT} && systemctl stop tavern-counter.socket tavern-counter.service"
    ));
    waits(
        host,
        &[
            &format!("‖ file:{UNIT}  (held until "),
            "‖ unit:tavern-counter.socket  (held until ",
            "‖ unit:tavern-counter.service  (held until ",
        ],
    );
    assert!(install(host).ends_with(SETTLED));
    assert!(host.read(UNIT).ends_with("# by hand\n"));
    assert_eq!(
        host.sh("systemctl is-active tavern-counter.socket").stdout,
        "inactive\n"
    );
    host.ok("systemctl start tavern-counter.socket tavern-counter.service");

    // Not by name, and not with all the others.
    for verb in ["restart", "start", "stop"] {
        let refused = host.sh(&format!("tavernctl {verb} counter"));
        exits(&refused, 1);
        assert!(
            refused.stderr.contains("tavern-counter is held until")
                && refused
                    .stderr
                    .contains("`sudo tavernctl hold --end tavern-counter` first"),
            "{refused}"
        );
    }
    let started = pid(host);
    assert_ne!(started, before);
    let all = host.sh("tavernctl restart");
    exits(&all, 0);
    assert!(all.stderr.contains("left alone: tavern-counter"), "{all}");
    assert_eq!(pid(host), started);

    // A reboot ends nothing.
    host.reboot();
    wait_until_healthy(host, "the site after a reboot");
    assert!(
        host.ok("tavernctl status")
            .contains("Held       app tavern-counter")
    );
    waits(
        host,
        &[
            &format!("‖ file:{UNIT}  (held until "),
            "‖ unit:tavern-counter.service",
        ],
    );

    let ended = host.ok("tavernctl hold --end counter");
    assert_eq!(ended, "app tavern-counter: no longer held\n");
    host.ok("test ! -e /var/lib/tavern/holds.json");
    exits(&host.sh("tavernctl plan"), 2);
    install(host);
    assert!(!host.read(UNIT).contains("by hand"));
    assert_eq!(install(host), SETTLED);
    assert_eq!(
        host.ok("tavernctl hold --end"),
        "Nothing of that was held.\n"
    );
}

fn what_others_need_is_done_and_the_restart_owed(host: &Host) {
    wait_until_healthy(host, "the site before a hold");
    let before = pid(host);
    host.ok("tavernctl hold counter");
    // The Redis password is read by the container too.
    let password = host
        .ok("find /etc/tavern/credentials -name '*redis*' -type f")
        .trim()
        .to_owned();
    let redis = host.ok("docker inspect -f '{{.State.StartedAt}}' $(docker ps -q)");
    host.ok(&format!("rm {password}"));
    let plan = host.sh("tavernctl plan");
    exits(&plan, 2);
    assert!(
        plan.stdout.contains(&format!("+ credential:{password}"))
            && plan.stdout.contains("‖ unit:tavern-counter.service  (held until its hold is ended: what it runs changed)"),
        "{plan}"
    );
    // Redis has the new one, the app the old one until it may restart: the check says so.
    exits(&host.sh("tavernctl install --yes"), 1);
    assert_eq!(pid(host), before);
    // It reads its list again, and is not restarted for that.
    assert_eq!(
        host.ok("docker inspect -f '{{.State.StartedAt}}' $(docker ps -q)"),
        redis
    );
    waits(host, &["‖ unit:tavern-counter.service"]);
    assert_eq!(
        host.ok("jq -c .owed /var/lib/tavern/receipt.json").trim(),
        r#"["unit:tavern-counter.service"]"#
    );
    assert!(install(host).ends_with(SETTLED));
    host.ok("tavernctl hold --end counter && tavernctl install --yes");
    assert_ne!(pid(host), before);
    assert_eq!(install(host), SETTLED);
    exits(&host.sh("tavernctl check"), 0);
}

fn a_container_is_left_alone(host: &Host) {
    let name = host.ok("docker ps --format '{{.Names}}'").trim().to_owned();
    host.ok(&format!("tavernctl hold {name} && docker stop {name}"));
    waits(
        host,
        &[&format!(
            "‖ container:{name}  (held until its hold is ended: "
        )],
    );
    assert!(install(host).ends_with(SETTLED));
    assert_eq!(host.ok("docker ps -q"), "");
    host.ok("tavernctl hold --end redis && tavernctl install --yes");
    assert_ne!(host.ok("docker ps -q"), "");
    wait_until_healthy(host, "the site after the container came back");
}

fn everything_is_left_alone(host: &Host) {
    assert_eq!(
        host.ok("tavernctl hold"),
        "everything: held until its hold is ended\n"
    );
    host.ok(&format!("echo '# by hand' >> {SITE}"));
    waits(host, &["‖ nginx:sites"]);
    assert!(install(host).ends_with(SETTLED));
    let refused = host.sh("tavernctl hold --end counter");
    exits(&refused, 1);
    assert!(
        refused
            .stderr
            .contains("`sudo tavernctl hold --end` ends every hold"),
        "{refused}"
    );
    let refused = host.sh("tavernctl restart counter");
    assert!(
        refused.stderr.contains("`sudo tavernctl hold --end` first"),
        "{refused}"
    );
    host.ok("tavernctl hold --end && tavernctl install --yes");
    assert!(!host.read(SITE).contains("by hand"));
}

fn a_hold_ends_by_itself(host: &Host) {
    host.ok(&format!(
        "tavernctl hold counter --for 3s && echo '# by hand' >> {UNIT}"
    ));
    host.wait("the hold to end", Duration::from_secs(30), || {
        let status = host.ok("tavernctl status");
        (!status.contains("Held")).then_some(()).ok_or(status)
    });
    install(host);
    assert!(!host.read(UNIT).contains("by hand"));
    // Dropped by the next that writes.
    host.ok("test -e /var/lib/tavern/holds.json && tavernctl hold redis");
    let kept = host.ok("jq -c '[.holds[].thing]' /var/lib/tavern/holds.json");
    assert!(
        kept.contains("container") && !kept.contains("app"),
        "{kept}"
    );
    host.ok("tavernctl hold --end");
}
