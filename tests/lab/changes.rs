//! Sites change while others are asked for.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::site::{edit, exits, installed, status};
use crate::support::lab::{Host, Image};

/// Twenty changes of other sites, of headers, limits and whole stacks; not one request to the sites that stay fails.
#[test]
fn sites_that_did_not_change_answer_every_request_through_twenty_changes() {
    let host = installed(Image::BookwormPrepared, "changes12");
    let ended = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let load = ["/open/", "/flask/api/ping"].map(|path| {
            let (host, ended) = (&host, &ended);
            scope.spawn(move || {
                let mut asked = 0;
                while !ended.load(Ordering::Relaxed) {
                    asked += all_answered(host, path);
                }
                asked
            })
        });
        // Also when a change fails, so that the load ends.
        let changes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..10 {
                change(&host, round);
            }
        }));
        ended.store(true, Ordering::Relaxed);
        let asked: u32 = load
            .into_iter()
            .map(|one| one.join().expect("every request was answered"))
            .sum();
        changes.expect("every change was made");
        asked
    });
    assert!(asked >= 2000, "only {asked} requests");
    exits(&host.sh("tavernctl check"), 0);
}

/// Two changes: a stack comes or goes, and the main site says something else.
fn change(host: &Host, round: u32) {
    let news = "/etc/tavern/stacks/news.toml";
    if round.is_multiple_of(2) {
        let text = "name = \"news\"\nhosts = [\"news.test\"]\n[tls]\nissuer = \"self-signed\"\n\
                    [[site]]\npath = \"/\"\nstatic = \"news\"\n";
        host.write(news, text, 0o644);
    } else {
        host.ok(&format!("rm {news}"));
    }
    host.ok("tavernctl install --yes");
    let there = "--resolve news.test:443:127.0.0.1 https://news.test/";
    let expected = if round.is_multiple_of(2) {
        "title"
    } else {
        "three sites"
    };
    let page = host.ok(&format!("curl -sSk {there}"));
    assert!(page.contains(expected), "round {round}: {page}");

    let says = |round: u32| format!("static = \"main\"\nheaders = {{ X-Round = \"{round}\" }}");
    let before = if round == 0 {
        "static = \"main\"".to_owned()
    } else {
        says(round - 1)
    };
    edit(host, &before, &says(round));
    host.ok("tavernctl install --yes");
    assert_eq!(status(host, "https://localhost/"), 200);
    let head = host.ok("curl -sSkI https://localhost/");
    assert!(head.contains(&format!("x-round: {round}")), "{head}");
}

/// Two hundred requests from the host itself, which is not counted, each by a connection of its own.
fn all_answered(host: &Host, path: &str) -> u32 {
    let pid = Command::new("docker")
        .args(["inspect", "--format", "{{.State.Pid}}", host.container()])
        .output()
        .expect("docker inspect");
    let output = Command::new("nsenter")
        .args([
            "--target",
            String::from_utf8_lossy(&pid.stdout).trim(),
            "--net",
        ])
        .args([
            "ab",
            "-q",
            "-n",
            "200",
            "-c",
            "8",
            &format!("https://127.0.0.1{path}"),
        ])
        .output()
        .expect("ab is installed by tests/run");
    let report = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        report.contains("Complete requests:      200")
            && report.contains("Failed requests:        0")
            && !report.contains("Non-2xx responses"),
        "{path}: {report}{complaints}"
    );
    200
}
