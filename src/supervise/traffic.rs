//! What the log monitor found, as answers like those of the probes: it is told over the same ways, and when it is over.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::check::{Finding, Verdict};
use crate::engine::Engine;
use crate::model::Name;
use crate::monitor::{self, Finding as Found, Kind, REPORT_FILE, Report};
use crate::stack::Stack;

/// The monitor writes every other second.
const STALE_SECONDS: u64 = 30;
/// So many are named; the others are counted.
const NAMED: usize = 5;

/// What the monitor wrote, if it is at work.
pub fn traffic(engine: &Engine<'_>) -> Option<Report> {
    let bytes = engine.host.files.read(&place(engine)).ok()??;
    let now = engine.host.clock.now().unix_timestamp();
    let report = Report::parse(&bytes)?;
    (now.abs_diff(report.time.cast_signed()) < STALE_SECONDS).then_some(report)
}

fn place(engine: &Engine<'_>) -> PathBuf {
    engine.layout.monitor().join(REPORT_FILE)
}

/// For each stack whether too much fails and who does what he should not; for the host, whether anybody looks.
/// Strangers write what the monitor reads: no word of theirs is in an answer, see [`Report::parse`]. What comes from
/// the host's `own` addresses is its own probes, or somebody who is in already.
pub(super) fn findings(report: Option<&Report>, stacks: &[Stack], own: &[IpAddr]) -> Vec<Finding> {
    let Some(report) = report else {
        let why = "nobody watches the logs: `journalctl -u tavern-monitor` says why";
        // What was found before it went is neither over nor still so.
        let unknown = stacks.iter().flat_map(|stack| {
            [ERRORS, VISITORS].map(|subject| {
                finding(Some(&stack.name), subject, Verdict::Unknown, why.to_owned())
            })
        });
        let own = finding(None, MONITOR, Verdict::Unhealthy, why.to_owned());
        return unknown.chain([own]).collect();
    };
    let healthy = "it watches the logs of the sites".to_owned();
    let of_stacks = stacks
        .iter()
        .flat_map(|stack| of_stack(report, stack, own))
        .chain([finding(None, MONITOR, Verdict::Healthy, healthy)]);
    of_stacks.collect()
}

const ERRORS: &str = "error rate";
const VISITORS: &str = "visitors";
const MONITOR: &str = "log monitor";

fn of_stack(report: &Report, stack: &Stack, own: &[IpAddr]) -> [Finding; 2] {
    let sites = stack.sites.iter();
    let logs = sites.map(|site| format!("{}-{}", stack.name, site.name));
    let logs: Vec<String> = std::iter::once(stack.name.to_string())
        .chain(logs)
        .collect();
    let about = || {
        let all = logs.iter();
        all.filter_map(|log| Some((log.as_str(), report.sites.get(log)?)))
    };
    let found = |is_wanted: fn(Kind) -> bool| -> Vec<String> {
        about()
            .flat_map(|(log, site)| site.findings.iter().map(move |one| (log, one)))
            .filter(|(_, one)| is_wanted(one.kind) && !is_own(one, own))
            .map(|(log, one)| monitor::describe(log, one))
            .collect()
    };
    let errors = found(|kind| kind == Kind::Errors);
    let visitors = found(|kind| kind != Kind::Errors);
    let requests: u64 = about().map(|(_, site)| site.requests).sum();
    let failures: u64 = about().map(|(_, site)| site.statuses[4]).sum();
    let quiet = format!("{failures} of {requests} answers of the last 5 minutes were failures");
    let more = "; `sudo tavernctl logs` shows them";
    [
        judged(&stack.name, ERRORS, &errors, quiet, more),
        judged(
            &stack.name,
            VISITORS,
            &visitors,
            "nobody stands out".to_owned(),
            "",
        ),
    ]
}

fn is_own(found: &Found, own: &[IpAddr]) -> bool {
    let client = found.client.as_deref().unwrap_or_default();
    // `::1`, as the monitor writes it.
    client == "::/64"
        || client
            .parse::<IpAddr>()
            .is_ok_and(|client| client.is_loopback() || own.contains(&client))
}

fn judged(stack: &Name, subject: &str, found: &[String], quiet: String, more: &str) -> Finding {
    if found.is_empty() {
        return finding(Some(stack), subject, Verdict::Healthy, quiet);
    }
    let mut text = found
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if found.len() > NAMED {
        text.push_str(&format!("; and {} more", found.len() - NAMED));
    }
    finding(Some(stack), subject, Verdict::Unhealthy, text + more)
}

fn finding(stack: Option<&Name>, subject: &str, verdict: Verdict, reason: String) -> Finding {
    Finding {
        stack: stack.cloned(),
        subject: subject.to_owned(),
        verdict,
        reason,
        took_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::stack::{DEFAULT, parse};

    fn stacks() -> [Stack; 1] {
        [parse(Path::new("counter.toml"), DEFAULT.as_bytes()).unwrap()]
    }

    fn report(findings: &serde_json::Value) -> Option<Report> {
        let site = json!({
            "window": 300, "requests": 100, "statuses": [0, 94, 0, 0, 6],
            "p50_ms": 1.0, "p99_ms": null, "findings": findings, "unreadable": 0,
        });
        let report = json!({ "version": 1, "time": 1000, "sites": { "counter-main": site } });
        Report::parse(report.to_string().as_bytes())
    }

    fn told(report: Option<&Report>) -> Vec<(String, Verdict, String)> {
        let own = ["192.0.2.99".parse().unwrap()];
        let findings = findings(report, &stacks(), &own).into_iter();
        findings
            .map(|one| (one.subject, one.verdict, one.reason))
            .collect()
    }

    #[test]
    fn each_finding_is_an_answer_of_its_stack() {
        let quiet = report(&json!([]));
        let all = told(quiet.as_ref());
        assert_eq!(all.len(), 3);
        assert!(
            all.iter()
                .all(|(_, verdict, _)| *verdict == Verdict::Healthy)
        );
        let loud = report(&json!([
            { "kind": "errors", "client": null, "count": 6, "of": 100, "minutes": 5 },
            { "kind": "brute-force", "client": "127.0.0.1", "count": 40 },
            { "kind": "brute-force", "client": "::/64", "count": 40 },
            { "kind": "brute-force", "client": "192.0.2.7", "count": 40 },
            { "kind": "scanner", "client": "192.0.2.99", "count": 90 },
        ]));
        let all = told(loud.as_ref());
        assert_eq!(
            all[0],
            (
                "error rate".to_owned(),
                Verdict::Unhealthy,
                "counter-main: 6 of 100 answers of the last 5 minutes were failures (5xx); `sudo tavernctl logs` shows them".to_owned()
            )
        );
        assert_eq!(
            (all[1].1, all[1].2.as_str()),
            (
                Verdict::Unhealthy,
                "counter-main: 192.0.2.7 was refused 40 times within a minute"
            )
        );
        assert_eq!(all[2].1, Verdict::Healthy);
    }

    #[test]
    fn a_crowd_of_attackers_is_one_short_line() {
        let crowd: Vec<_> = (0..200)
            .map(|n| json!({ "kind": "scanner", "client": format!("192.0.2.{n}"), "count": 99 }))
            .collect();
        let all = told(report(&json!(crowd)).as_ref());
        // One of them is the host itself.
        assert!(all[1].2.ends_with("; and 194 more"), "{}", all[1].2);
        assert!(all[1].2.len() < 600);
    }

    #[test]
    fn without_the_monitor_nothing_is_known() {
        let verdicts: Vec<Verdict> = told(None)
            .into_iter()
            .map(|(_, verdict, _)| verdict)
            .collect();
        assert_eq!(
            verdicts,
            [Verdict::Unknown, Verdict::Unknown, Verdict::Unhealthy]
        );
        // Not even its form, or a word in it that is no address.
        let forged = json!([{ "kind": "scanner", "client": "\u{1b}[2J<b>", "count": 1 }]);
        assert!(report(&forged).is_none());
    }
}
