//! A whole host before `install` equals the one after `uninstall --purge --purge-packages`: every
//! file, unit, container, account, rule and package, on hosts whose owners had things of their own.
//!
//! What may differ stands in `tests/lab/manifest-exclusions.txt`, each with its reason, and only
//! that: a line there that no host needs fails the test.

use std::collections::BTreeSet;
use std::path::Path;

use crate::site::{exits, host_with_binary, status, wait_until_healthy};
use crate::support::lab::{Host, Image, registry};

const EXCLUSIONS: &str = include_str!("manifest-exclusions.txt");

#[test]
fn a_host_is_given_back_whole() {
    let rules = rules();
    let used = std::thread::scope(|scope| {
        let bare = scope.spawn(|| there_and_back(Image::BookwormBare, "whole12", &rules));
        let prepared = scope.spawn(|| there_and_back(Image::TrixiePrepared, "whole13", &rules));
        [bare, prepared].map(|host| host.join().expect("a host that is as it was"))
    });
    let idle: Vec<&str> = rules
        .iter()
        .filter(|rule| !used.iter().any(|used| used.contains(rule.pattern)))
        .map(|rule| rule.pattern)
        .collect();
    assert!(
        idle.is_empty(),
        "these exclusions exclude nothing: {idle:?}"
    );
}

fn there_and_back<'r>(image: Image, name: &str, rules: &'r [Rule]) -> BTreeSet<&'r str> {
    let registry = registry();
    let host = host_with_binary(image, name);
    registry.serve(&host);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    host.put(&here.join("state.sh"), "/root/state");
    host.put(&here.join("owners-things.sh"), "/root/owners-things");
    host.ok("/root/owners-things");
    // What they start in the middle of a comparison is no doing of ours.
    host.ok("systemctl stop '*.timer'");
    let before = whole(&host);

    host.ok("/root/tavernctl install --yes");
    wait_until_healthy(&host, "the site beside what was there");
    if image.prepared() {
        owners_sites_answer(&host);
    }
    // Lived on, so that there is something to give back besides the first state of things.
    host.ok("sed -i 's/\"10.0.0.5\"/\"10.0.0.6\"/' /etc/tavern/stacks/counter.toml && tavernctl install --yes");
    let output = host.sh("tavernctl uninstall --yes --purge --purge-packages");
    exits(&output, 0);
    if image.prepared() {
        owners_sites_answer(&host);
    }

    let after = whole(&host);
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), after.lines().collect());
    assert!(before.len() > 10_000, "{} lines", before.len());
    let mut used = BTreeSet::new();
    let mut differences = String::new();
    for (sign, line) in before
        .difference(&after)
        .map(|line| ('-', line))
        .chain(after.difference(&before).map(|line| ('+', line)))
    {
        match rules.iter().find(|rule| rule.excludes(line)) {
            Some(rule) => drop(used.insert(rule.pattern)),
            None => differences.push_str(&format!("{sign} {line}\n")),
        }
    }
    assert!(
        differences.is_empty(),
        "{} is not as it was:\n{differences}{output}",
        image.name()
    );
    used
}

fn whole(host: &Host) -> String {
    host.ok("/root/state whole")
}

fn owners_sites_answer(host: &Host) {
    assert_eq!(status(host, "http://localhost:8081/"), 200);
    let other = host.ok("curl -sS --resolve other.example:80:127.0.0.1 http://other.example/");
    assert_eq!(other, "other");
    assert_eq!(
        host.ok("docker inspect -f '{{.State.Running}}' mine"),
        "true\n"
    );
}

/// A pattern of the first word of a line, or of the first two where the first is no path.
struct Rule {
    pattern: &'static str,
}

impl Rule {
    fn excludes(&self, line: &str) -> bool {
        let mut words = line.splitn(3, ' ');
        let first = words.next().unwrap_or_default();
        let key = if first.starts_with('/') {
            first.to_owned()
        } else {
            format!("{first} {}", words.next().unwrap_or_default())
        };
        fits(self.pattern.as_bytes(), key.as_bytes())
    }
}

/// `*` stands for anything within a part of a path, `**` for anything.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| fits(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let part = text.iter().position(|byte| *byte == b'/');
            (0..=part.unwrap_or(text.len())).any(|at| fits(rest, &text[at..]))
        }
        [byte, rest @ ..] => text.first() == Some(byte) && fits(rest, &text[1..]),
    }
}

fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for line in EXCLUSIONS.lines().filter(|line| !line.starts_with('#')) {
        let (pattern, reason) = line.split_once('\t').unwrap_or((line, ""));
        assert!(
            !pattern.is_empty() && reason.len() > 10,
            "no reason: {line:?}"
        );
        rules.push(Rule { pattern });
    }
    rules
}

#[test]
fn an_exclusion_excludes_no_more_than_it_says() {
    let excludes = |pattern, line| Rule { pattern }.excludes(line);
    assert!(excludes("/var/log/*.log", "/var/log/dpkg.log f 644 0:0 "));
    assert!(!excludes(
        "/var/log/*.log",
        "/var/log/nginx/access.log f 644 0:0 "
    ));
    assert!(excludes(
        "/var/log/**",
        "/var/log/nginx/access.log sha256 0"
    ));
    assert!(!excludes("/var/log/**", "/var/logs f 644 0:0 "));
    assert!(excludes(
        "unit nginx.*",
        "unit nginx.service active running"
    ));
    assert!(!excludes("unit nginx.*", "unit-file nginx.service enabled"));
}
