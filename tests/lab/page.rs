//! The status page on a real host: who may see it, what a browser makes of it, and what hostile text does to it.

#[path = "page/imagined.rs"]
mod imagined;
#[path = "page/shown.rs"]
mod shown;
#[path = "page/terminal.rs"]
mod terminal;

use std::time::Duration;

use serde_json::{Value, json};

use crate::site::{STACK, edit, exits, installed, round, status};
use crate::support::browser::{Browser, screenshot};
use crate::support::lab::{Host, Image};

const PAGE: &str = "https://localhost/tavern/";
const SNAPSHOT: &str = "/run/tavern/.status/snapshot.json";
/// As the default stack has it.
const SITE: &str = "[[site]]\npath = \"/tavern/\"\nname = \"status\"\npage = \"status\"                     \
                    # how the host fares; without `access`, for this host itself alone\n\n";

#[test]
#[ignore = "the same on the other Debian: tests/full"]
fn debian_12_status_page() {
    the_page_is_shown(&installed(Image::BookwormPrepared, "page12"));
}

#[test]
fn debian_13_status_page() {
    the_page_is_shown(&installed(Image::TrixiePrepared, "page13"));
}

fn the_page_is_shown(host: &Host) {
    it_comes_with_its_site(host);
    only_its_unit_reads_the_snapshot(host);
    it_is_closed_to_others(host);
    changes_are_told_as_they_happen(host);
    terminal::shows_the_same(host);
    a_browser_shows_it(host);
    it_costs_no_tavernd(host);
    it_goes_with_its_site(host);
}

fn it_comes_with_its_site(host: &Host) {
    assert!(host.read(STACK).contains(SITE));
    exits(&host.sh("tavernctl plan"), 0);
    let again = host.ok("tavernctl install --yes");
    assert_eq!(again.trim(), "Nothing to change.");
    exits(&host.sh("tavernctl check"), 0);
    round(host);
    host.wait("a snapshot with probes", Duration::from_secs(30), || {
        let now = now(host);
        let probes = now["probes"].as_array().map(Vec::len);
        (probes > Some(10)).then_some(()).ok_or(now.to_string())
    });
}

fn now(host: &Host) -> Value {
    let text = host.sh(&format!("curl -sSk {PAGE}now.json")).stdout;
    serde_json::from_str(&text).unwrap_or_default()
}

fn only_its_unit_reads_the_snapshot(host: &Host) {
    let mode = host.ok(&format!(
        "stat -c '%a %U:%G' {SNAPSHOT} /run/tavern/.status"
    ));
    assert_eq!(mode, "640 root:tavernstatus\n2750 root:tavernstatus\n");
    for user in ["nobody", "www-data"] {
        assert!(
            !host
                .sh(&format!("runuser -u {user} -- cat {SNAPSHOT}"))
                .success()
        );
    }
    let process = "/proc/$(systemctl show -p MainPID --value tavern-status)";
    let ids = host.ok(&format!(
        "grep -E '^(Uid|CapEff|NoNewPrivs)' {process}/status"
    ));
    assert!(
        !ids.contains("Uid:\t0\t") && ids.contains("CapEff:\t0000000000000000"),
        "{ids}"
    );
    let report = host.ok("systemd-analyze security --no-pager tavern-status.service | tail -n 1");
    let level = report
        .split_whitespace()
        .find_map(|word| word.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level <= 0.5), "{report}");
    for secret in ["passwords", "jwt-key"] {
        let text = host.read(&format!("/etc/tavern/credentials/counter/{secret}"));
        let snapshot = host.read(SNAPSHOT);
        for word in text.split_whitespace().filter(|word| word.len() > 12) {
            assert!(
                !snapshot.contains(word),
                "a secret of {secret} is in the snapshot"
            );
        }
    }
}

fn it_is_closed_to_others(host: &Host) {
    assert_eq!(status(host, PAGE), 200);
    assert_eq!(status(host, "https://localhost/tavern"), 301);
    let ip = host.ip();
    for path in ["", "now.json", "events", "page.js"] {
        let from_afar = format!("--interface {ip} https://{ip}/tavern/{path}");
        assert_eq!(status(host, &from_afar), 403, "{path}");
    }
    let stack = host.read(STACK);
    edit(
        host,
        SITE,
        &format!(
            "{}access = {{ accounts = [\"admin\"] }}\n\n",
            SITE.trim_end().to_owned() + "\n"
        ),
    );
    exits(&host.sh("tavernctl install --yes"), 0);
    assert_eq!(status(host, PAGE), 401);
    let password = crate::site::password(host, "site status admin");
    assert_eq!(status(host, &format!("-u admin:{password} {PAGE}")), 200);
    exits(&host.sh("tavernctl check"), 0);
    host.write(STACK, &stack, 0o644);
    exits(&host.sh("tavernctl install --yes"), 0);
    assert_eq!(status(host, PAGE), 200);
}

/// Through nginx, at once, and a stream that is open keeps neither the service nor nginx.
fn changes_are_told_as_they_happen(host: &Host) {
    let first = host
        .sh(&format!("timeout 10 curl -sSkN {PAGE}events | head -c 200"))
        .stdout;
    assert!(first.starts_with("event: now\ndata: {"), "{first}");
    host.ok(&format!(
        "curl -skN {PAGE}events > /root/events & sleep 1; time systemctl restart tavern-status"
    ));
    let before = now(host)["time"].clone();
    host.wait("another snapshot", Duration::from_secs(40), || {
        let time = now(host)["time"].clone();
        (time != before && time.is_number())
            .then_some(())
            .ok_or(time.to_string())
    });
}

/// Real at first; then 90 days, trouble and hostile words that no test can wait for.
fn a_browser_shows_it(host: &Host) {
    let profile = tempfile::tempdir().expect("a temporary directory");
    let browser = Browser::open(host, profile.path(), "normal");
    browser.visit(PAGE);
    shows(&browser, "#banner", "probes are healthy");
    shows(&browser, "#line", "live");
    requests_are_counted_without_a_reload(host, &browser);
    keys_are_enough(&browser);
    host.ok("systemctl stop tavernd tavern-check.timer");
    let real = now(host);
    hostile_text_is_text(host, &browser, &real);
    probes_are_not_contradicted(host, &browser, &real);
    long_lists_are_reached_by_keys(&browser);
    let times: Vec<i64> = (0..24).map(|n| epoch(host) - 30 * (23 - n)).collect();
    let mut snapshot = Value::Null;
    for (at, time) in times.iter().enumerate() {
        snapshot = imagined::a_host_with_a_past(&real, *time, at);
        publish(host, &snapshot);
        std::thread::sleep(Duration::from_millis(1100));
    }
    shows(&browser, "#banner", "1 of");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.visit(PAGE);
    shows(&browser, "#sites", "requests");
    shows(&browser, "#probes", "%");
    shown::all_of(&browser, &snapshot);
    for (width, height, name) in [(1280, 1000, "desktop"), (390, 844, "phone")] {
        for scheme in ["light", "dark"] {
            looks_right(
                &browser,
                width,
                height,
                scheme,
                &format!("status-{name}-{scheme}"),
            );
        }
    }
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    host.ok("systemctl start tavernd tavern-check.timer");
}

fn shows(browser: &Browser, place: &str, wanted: &str) {
    let begun = std::time::Instant::now();
    loop {
        let seen = browser.script(&format!(
            "return document.querySelector('{place}')?.innerText ?? ''"
        ));
        if seen.as_str().unwrap_or_default().contains(wanted) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "waited for {wanted}, saw {seen}: {:?}",
            browser.complaints()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn requests_are_counted_without_a_reload(host: &Host, browser: &Browser) {
    let ask = "return [...document.querySelectorAll('.site')].find(s => s.innerText.includes('counter-open'))?.querySelector('.big b').innerText";
    browser.script("window.same = true");
    let count = |seen: &Value| {
        seen.as_str()
            .unwrap_or_default()
            .replace([',', '.'], "")
            .parse::<u64>()
            .unwrap_or_default()
    };
    let before = count(&browser.script(ask));
    host.ok("for n in $(seq 50); do curl -sk -o /dev/null https://localhost/open/; done");
    host.wait("the page to count them", Duration::from_secs(30), || {
        let seen = browser.script(ask);
        (count(&seen) >= before + 40)
            .then_some(())
            .ok_or(seen.to_string())
    });
    assert_eq!(browser.script("return window.same"), true);
}

fn press(browser: &Browser, key: &str, code: u32) {
    for kind in ["keyDown", "keyUp"] {
        let text = if key == "Enter" && kind == "keyDown" {
            "\r"
        } else {
            ""
        };
        browser.devtools(
            "Input.dispatchKeyEvent",
            &json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}),
        );
    }
}

/// From the first link through every probe: opened by Enter, and the focus stays where it is when data comes.
fn keys_are_enough(browser: &Browser) {
    let press = |key: &str, code: u32| press(browser, key, code);
    let at = || {
        browser.script("const a = document.activeElement; return [a.tagName, a.className, getComputedStyle(a).outlineStyle]")
    };
    press("Tab", 9);
    assert_eq!(at()[1], "skip");
    press("Tab", 9);
    assert_eq!(at()[0], "SUMMARY");
    assert_eq!(at()[2], "solid", "the focus is seen");
    press("Enter", 13);
    assert_eq!(
        browser.script("return document.activeElement.parentElement.open"),
        true
    );
    let all = browser
        .script("return document.querySelectorAll('summary').length")
        .as_u64();
    for _ in 1..all.unwrap_or_default() {
        press("Tab", 9);
        assert_eq!(at()[0], "SUMMARY");
    }
    press("Enter", 13);
    browser.script("drawn.delete('probes'); drawAll()");
    assert_eq!(at()[0], "SUMMARY", "drawn anew, the focus is where it was");
    assert_eq!(
        browser.script("return document.querySelectorAll('details[open]').length"),
        2
    );
    browser.script(
        "document.querySelectorAll('details').forEach((one) => one.open = false); scrollTo(0, 0)",
    );
}

fn probes_are_not_contradicted(host: &Host, browser: &Browser, real: &Value) {
    // What the real one says is the real probe's.
    let asked = |subject: &str| {
        let probes = real["probes"].as_array().into_iter().flatten();
        let mut of =
            probes.filter(|probe| probe["stack"] == "counter" && probe["subject"] == subject);
        of.next().map(|probe| probe["verdict"].clone())
    };
    assert_eq!(
        asked("certificate").as_ref(),
        Some(&real["certificates"][0]["verdict"]),
        "{real}"
    );
    let planted = imagined::contradictions(real, epoch(host));
    publish(host, &planted);
    shows(browser, "#backups", "forgotten");
    shown::rows_say_what_the_snapshot_says(browser, &planted);
    let torn = browser.script(
        "return [...document.querySelectorAll('#certificates li')].filter((row) => row.innerText.includes('has ended')).map((row) => row.querySelector('.name').innerText)",
    );
    assert_eq!(torn, json!(["over"]));
}

/// Alerts and generations scroll in boxes of their own: each is reached, says what it is, and moves.
fn long_lists_are_reached_by_keys(browser: &Browser) {
    browser.script(
        "document.activeElement.blur(); scrollTo(0, 0); document.querySelector('.skip').focus()",
    );
    let at = || {
        browser.script(
            "const a = document.activeElement; return [a.parentElement.id, a.getAttribute('role'), \
             document.getElementById(a.getAttribute('aria-labelledby'))?.innerText, getComputedStyle(a).outlineStyle, a.scrollTop, a.tagName]",
        )
    };
    let presses = browser
        .script("return document.querySelectorAll('summary').length")
        .as_u64()
        .unwrap_or_default();
    for (id, label) in [("alerts", "Recent alerts"), ("generations", "Generations")] {
        let mut tries = 0;
        while at()[0] != id {
            press(browser, "Tab", 9);
            tries += 1;
            assert!(tries < presses + 5, "{id} is not reached: {}", at());
        }
        let seen = at();
        assert_eq!(seen, json!([id, "group", label, "solid", 0, "DIV"]), "{id}");
        press(browser, "End", 35);
        let begun = std::time::Instant::now();
        while at()[4].as_f64() < Some(100.0) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{id}: {}", at());
            std::thread::sleep(Duration::from_millis(50));
        }
        browser.script(&format!("drawn.delete('{id}'); drawAll()"));
        let seen = at();
        assert!(
            seen[0] == id && seen[4].as_f64() >= Some(100.0),
            "drawn anew: {seen}"
        );
    }
    browser.script("document.activeElement.blur(); scrollTo(0, 0)");
}

fn epoch(host: &Host) -> i64 {
    host.ok("date +%s").trim().parse().expect("a number")
}

fn publish(host: &Host, snapshot: &Value) {
    let next = "/run/tavern/.status/.next";
    host.write("/root/snapshot.json", &snapshot.to_string(), 0o600);
    host.ok(&format!(
        "cat /root/snapshot.json > {next} && chown root:tavernstatus {next} && chmod 640 {next} && mv {next} {SNAPSHOT}"
    ));
}

fn hostile_text_is_text(host: &Host, browser: &Browser, real: &Value) {
    let hostile = format!(
        "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\u{1b}]0;owned\u{7}\u{202e}\u{0}{}",
        "x".repeat(100_000)
    );
    let mut snapshot = real.clone();
    snapshot["time"] = epoch(host).into();
    snapshot["host"] = hostile.clone().into();
    snapshot["alerts"] = json!([{"at": 1, "text": hostile, "good": false}]);
    snapshot["probes"][0]["reason"] = hostile.clone().into();
    snapshot["probes"][0]["subject"] = hostile.clone().into();
    snapshot["containers"][0]["error"] = hostile.clone().into();
    snapshot["sites"][0]["name"] = hostile.clone().into();
    snapshot["sites"][0]["findings"] = json!([{"kind": "scanner", "client": hostile, "count": 70}, {"kind": hostile, "client": null, "count": 1}]);
    snapshot["days"] = json!({"today": 1, "probes": {}});
    publish(host, &snapshot);
    shows(browser, "#alerts", "<img src=x");
    let seen = browser.script(
        "return [document.title.includes('<img'), document.querySelectorAll('main img, main script').length, \
         /[\\u0000-\\u0008\\u001b\\u202e]/.test(document.body.textContent), document.body.textContent.length < 100000]",
    );
    assert_eq!(seen, json!([true, 0, false, true]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Nothing to scroll sideways, every text with contrast AA; and a picture to be looked at.
fn looks_right(browser: &Browser, width: u32, height: u32, scheme: &str, name: &str) {
    browser.devtools(
        "Emulation.setDeviceMetricsOverride",
        &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}),
    );
    browser.devtools(
        "Emulation.setEmulatedMedia",
        &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
    );
    browser.visit(PAGE);
    shows(browser, "#banner", "1 of");
    shows(browser, "#probes", "%");
    let widths = browser.script("return [innerWidth, document.documentElement.scrollWidth]");
    // A scroll bar takes its part of the first.
    assert_eq!(widths[0], width, "{name}");
    assert!(widths[1].as_u64() <= Some(width.into()), "{name}: {widths}");
    browser.script("document.querySelector('details').open = true");
    for place in ["summary", "#generations .body", ".skip"] {
        // By a key, as the ring is only for those.
        press(browser, "Tab", 9);
        browser.script(&format!("document.querySelector('{place}').focus()"));
        let ring = browser.script("return getComputedStyle(document.activeElement).outlineStyle");
        assert_eq!(ring, "solid", "{place}");
        let faint = browser.script(include_str!("page/contrast.js"));
        assert_eq!(faint, json!([]), "{name}, {place}");
    }
    shown::every_state_is_readable(browser, name);
    browser.script("document.activeElement.blur(); document.querySelector('details').open = false; scrollTo(0, 0)");
    if let Ok(directory) = std::env::var("TAVERN_SHOTS") {
        let tall = browser
            .script("return document.documentElement.scrollHeight")
            .as_u64()
            .unwrap_or(1000);
        browser.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": tall.min(12_000), "deviceScaleFactor": 1, "mobile": width < 500}),
        );
        std::thread::sleep(Duration::from_millis(300));
        screenshot(browser, &format!("{directory}/{name}.png"));
    }
}

/// It shows what was, and says since when nobody says more; killed it comes back.
fn it_costs_no_tavernd(host: &Host) {
    host.ok("systemctl kill -s KILL tavern-status");
    host.wait("the page after a kill", Duration::from_secs(20), || {
        let now = now(host);
        (now["version"] == 1).then_some(()).ok_or(now.to_string())
    });
    let memory =
        host.ok("grep VmRSS /proc/$(systemctl show -p MainPID --value tavern-status)/status");
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    assert!(kib < Some(40 * 1024), "{memory}");
}

fn it_goes_with_its_site(host: &Host) {
    edit(host, SITE, "");
    exits(&host.sh("tavernctl install --yes"), 0);
    exits(&host.sh("tavernctl plan"), 0);
    assert_eq!(status(host, PAGE), 404);
    let nothing_left = |host: &Host| {
        assert!(
            !host
                .sh("systemctl cat tavern-status.service tavern-status.socket")
                .success()
        );
        assert!(!host.sh("getent group tavernstatus").success());
        assert!(
            !host
                .sh("test -e /run/tavern/.status -o -e /run/tavern/.status.sock")
                .success()
        );
    };
    nothing_left(host);
    edit(host, "[app.counter]", &format!("{SITE}[app.counter]"));
    exits(&host.sh("tavernctl install --yes"), 0);
    host.reboot();
    host.wait("the page after a reboot", Duration::from_secs(60), || {
        let now = now(host);
        (now["version"] == 1).then_some(()).ok_or(now.to_string())
    });
    exits(&host.sh("tavernctl uninstall --yes --purge"), 0);
    nothing_left(host);
    assert!(!host.sh("test -e /run/tavern").success());
}
