//! What the log monitor found, as answers like those of the probes: it is told over the same ways, and when it is over.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::check::{Finding, Verdict};
use crate::engine::Engine;
use crate::model::{Layout, Name};
use crate::monitor::{self, Finding as Found, JournalReport, Kind, REPORT_FILE, Report};
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
            [ERRORS, VISITORS, JOURNAL].map(|subject| {
                finding(Some(&stack.name), subject, Verdict::Unknown, why.to_owned())
            })
        });
        let of_host = [JOURNAL, LOGINS]
            .map(|subject| finding(None, subject, Verdict::Unknown, why.to_owned()));
        let own = finding(None, MONITOR, Verdict::Unhealthy, why.to_owned());
        return unknown.chain(of_host).chain([own]).collect();
    };
    let (verdict, said) = match report.journal.is_followed {
        true => (
            Verdict::Healthy,
            "it watches the logs of the sites, and the journal",
        ),
        false => (Verdict::Unhealthy, UNREAD),
    };
    let of_stacks = stacks
        .iter()
        .flat_map(|stack| of_stack(report, stack, own))
        .chain(of_host(&report.journal, stacks, own))
        .chain([finding(None, MONITOR, verdict, said.to_owned())]);
    of_stacks.collect()
}

const UNREAD: &str = "it watches the logs of the sites, but cannot read the journal: `journalctl -u tavern-monitor` says why";

const ERRORS: &str = "error rate";
const VISITORS: &str = "visitors";
const JOURNAL: &str = "journal";
const LOGINS: &str = "SSH logins";
const MONITOR: &str = "log monitor";

/// What the units of one stack write, or those that are of none.
fn of_units(
    journal: &JournalReport,
    stack: Option<&Name>,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Finding {
    let units = journal.units.iter().filter(|(unit, _)| is_wanted(unit));
    let found: Vec<String> = units
        .flat_map(|(unit, about)| {
            let findings = about.findings.iter();
            findings.map(move |one| monitor::describe(unit, one))
        })
        .collect();
    let quiet = "no unit writes errors in bursts".to_owned();
    let more = "; `journalctl -p err -u UNIT` shows them";
    judged((stack, JOURNAL), journal, &found, quiet, more)
}

fn units_of(stack: &Stack) -> impl Iterator<Item = String> {
    let apps = stack.apps.iter();
    apps.map(|app| format!("{}.service", Layout::unit_stem(&stack.name, &app.name)))
}

fn of_host(journal: &JournalReport, stacks: &[Stack], own: &[IpAddr]) -> [Finding; 2] {
    let of_stacks: Vec<String> = stacks.iter().flat_map(units_of).collect();
    let is_hosts = |unit: &str| of_stacks.iter().all(|other| other != unit);
    let guessers = journal.findings.iter().filter(|one| !is_own(one, own));
    let found: Vec<String> = guessers
        .map(|one| monitor::describe(monitor::SSH, one))
        .collect();
    let quiet = "nobody stands out".to_owned();
    [
        of_units(journal, None, &is_hosts),
        judged((None, LOGINS), journal, &found, quiet, ""),
    ]
}

fn of_stack(report: &Report, stack: &Stack, own: &[IpAddr]) -> [Finding; 3] {
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
    let units: Vec<String> = units_of(stack).collect();
    let is_ours = |unit: &str| units.iter().any(|own| own == unit);
    let nobody = "nobody stands out".to_owned();
    [
        told((Some(&stack.name), ERRORS), &errors, quiet, more),
        told((Some(&stack.name), VISITORS), &visitors, nobody, ""),
        of_units(&report.journal, Some(&stack.name), &is_ours),
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

/// What is found in a journal that nobody reads is found no more, and nobody knows whether it is over.
fn judged(
    about: (Option<&Name>, &str),
    journal: &JournalReport,
    found: &[String],
    quiet: String,
    more: &str,
) -> Finding {
    match journal.is_followed {
        true => told(about, found, quiet, more),
        false => finding(about.0, about.1, Verdict::Unknown, UNREAD.to_owned()),
    }
}

fn told(about: (Option<&Name>, &str), found: &[String], quiet: String, more: &str) -> Finding {
    let (stack, subject) = about;
    if found.is_empty() {
        return finding(stack, subject, Verdict::Healthy, quiet);
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
    finding(stack, subject, Verdict::Unhealthy, text + more)
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
        let journal = json!({
            "is_followed": true, "units": {}, "failed_logins": 0, "findings": [], "unreadable": 0,
        });
        let sites = json!({ "counter-main": site });
        let report = json!({ "version": 1, "time": 1000, "sites": sites, "journal": journal });
        Report::parse(report.to_string().as_bytes())
    }

    fn all(report: Option<&Report>) -> Vec<(String, Verdict, String)> {
        let own = ["192.0.2.99".parse().unwrap()];
        let findings = findings(report, &stacks(), &own).into_iter();
        findings
            .map(|one| (one.subject, one.verdict, one.reason))
            .collect()
    }

    #[test]
    fn each_finding_is_an_answer_of_its_stack() {
        let quiet = report(&json!([]));
        let all = self::all(quiet.as_ref());
        assert_eq!(all.len(), 6);
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
        let all = self::all(loud.as_ref());
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
    fn the_journal_is_told_by_the_stack_and_of_the_host() {
        let mut report = report(&json!([])).unwrap();
        let burst = json!({ "kind": "journal-errors", "client": null, "count": 40, "minutes": 1 });
        for unit in ["tavern-counter.service", "nginx.service"] {
            let about = json!({ "errors": 40, "findings": [burst] });
            let about = serde_json::from_value(about).unwrap();
            report.journal.units.insert(unit.to_owned(), about);
        }
        let guesser =
            |client: &str| json!({ "kind": "ssh-brute-force", "client": client, "count": 12 });
        report.journal.findings = ["192.0.2.7", "127.0.0.1"]
            .map(|client| serde_json::from_value(guesser(client)).unwrap())
            .into();
        let all = self::all(Some(&report));
        let (subjects, said): (Vec<_>, Vec<_>) = all
            .iter()
            .filter(|(_, verdict, _)| *verdict == Verdict::Unhealthy)
            .map(|(subject, _, reason)| (subject.as_str(), reason.as_str()))
            .unzip();
        assert_eq!(subjects, [JOURNAL, JOURNAL, LOGINS]);
        assert!(
            said[0].starts_with("tavern-counter.service: 40 errors in the journal"),
            "{said:?}"
        );
        assert!(said[1].starts_with("nginx.service: 40 errors"), "{said:?}");
        assert_eq!(
            said[2],
            "ssh: 192.0.2.7 failed 12 times within a minute to log in"
        );
        // Nobody knows whether it is over, and that nobody reads is said once.
        report.journal.is_followed = false;
        let all = self::all(Some(&report));
        let verdicts: Vec<Verdict> = all[2..].iter().map(|(_, verdict, _)| *verdict).collect();
        use Verdict::{Unhealthy, Unknown};
        assert_eq!(verdicts, [Unknown, Unknown, Unknown, Unhealthy]);
    }

    #[test]
    fn a_crowd_of_attackers_is_one_short_line() {
        let crowd: Vec<_> = (0..200)
            .map(|n| json!({ "kind": "scanner", "client": format!("192.0.2.{n}"), "count": 99 }))
            .collect();
        let all = self::all(report(&json!(crowd)).as_ref());
        // One of them is the host itself.
        assert!(all[1].2.ends_with("; and 194 more"), "{}", all[1].2);
        assert!(all[1].2.len() < 600);
    }

    #[test]
    fn without_the_monitor_nothing_is_known() {
        let verdicts: Vec<Verdict> = all(None)
            .into_iter()
            .map(|(_, verdict, _)| verdict)
            .collect();
        assert_eq!(
            verdicts,
            [[Verdict::Unknown; 5].as_slice(), &[Verdict::Unhealthy]].concat()
        );
        // Not even its form, or a word in it that is no address.
        let forged = json!([{ "kind": "scanner", "client": "\u{1b}[2J<b>", "count": 1 }]);
        assert!(report(&forged).is_none());
    }
}
