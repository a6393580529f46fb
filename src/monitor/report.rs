//! What the monitor says: one small file, replaced as a whole.
#![allow(
    clippy::disallowed_methods,
    reason = "a unit of its own: it writes the one file that it is for, and has no host adapter"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::detect::Finding;
use super::run::SSH;
use super::tally::{MINUTES, Sum};

/// The report's name in the monitor's own directory.
pub const REPORT_FILE: &str = "report.json";

/// The version of the form that this build writes.
const VERSION: u32 = 1;
/// A longer one is not ours: a hundred sites with every finding there can be take less.
const LONGEST: usize = 1024 * 1024;

/// What has been seen of all sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the form.
    pub version: u32,
    /// Seconds since 1970 at which it was written.
    pub time: u64,
    /// By the log's name: `STACK-SITE`, and `STACK` for what no site answers.
    pub sites: BTreeMap<String, SiteReport>,
    /// What the journal says.
    #[serde(default)]
    pub journal: JournalReport,
}

/// What has been seen of the journal, since the monitor began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JournalReport {
    /// Whether somebody reads it.
    pub is_followed: bool,
    /// By the unit: those of the stacks, and those that all of them need.
    pub units: BTreeMap<String, UnitReport>,
    /// Who did not get in over SSH, how often.
    pub failed_logins: u64,
    /// Who tries to get in over SSH.
    pub findings: Vec<Finding>,
    /// Entries that nothing could be made of.
    pub unreadable: u64,
}

/// What one unit wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitReport {
    /// Entries of priority `err` or worse.
    pub errors: u64,
    /// What stands out.
    pub findings: Vec<Finding>,
}

/// One site, over the last five minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteReport {
    /// How many seconds that are.
    pub window: u64,
    /// Requests.
    pub requests: u64,
    /// Answers by the first digit of the status, 1 to 5.
    pub statuses: [u64; 5],
    /// The time that half of them took at most, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The time that all but one of a hundred took at most, in milliseconds.
    pub p99_ms: Option<f64>,
    /// What stands out.
    pub findings: Vec<Finding>,
    /// Lines since the start that nginx did not write so.
    pub unreadable: u64,
}

/// Whether a log may have this name: those that Tavern makes are joined of names.
pub(super) fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

impl JournalReport {
    /// Everything that stands out in the journal, and of what it is said.
    pub fn found(&self) -> impl Iterator<Item = (&str, &Finding)> {
        let units = self.units.iter();
        let units = units.flat_map(|(name, about)| of(name, &about.findings));
        units.chain(of(SSH, &self.findings))
    }
}

fn of<'a>(name: &'a str, findings: &'a [Finding]) -> impl Iterator<Item = (&'a str, &'a Finding)> {
    findings.iter().map(move |one| (name, one))
}

/// Whether a service may have this name: nothing in it moves a terminal or a page.
fn is_unit(name: &str) -> bool {
    let is_fit = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'@');
    name.len() < 256 && name.ends_with(".service") && name.bytes().all(is_fit)
}

impl SiteReport {
    pub(super) fn new(sum: &Sum, findings: Vec<Finding>, unreadable: u64) -> Self {
        let milliseconds = |share| Some(sum.quantile(share)? * 1000.0);
        Self {
            window: MINUTES * 60,
            requests: sum.requests(),
            statuses: sum.classes,
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            findings,
            unreadable,
        }
    }
}

impl Report {
    pub(super) fn new(time: u64) -> Self {
        Self {
            version: VERSION,
            time,
            sites: BTreeMap::new(),
            journal: JournalReport::default(),
        }
    }

    /// Everything that stands out, and of what it is said.
    pub fn found(&self) -> impl Iterator<Item = (&str, &Finding)> {
        let sites = self.sites.iter();
        let sites = sites.flat_map(|(name, about)| of(name, &about.findings));
        sites.chain(self.journal.found())
    }

    /// Replaces the file. Not synced: a reboot takes its directory along.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let next = path.with_extension("next");
        let mut file = std::fs::File::create(&next)?;
        file.write_all(&text)?;
        std::fs::rename(&next, path)
    }

    /// Reads what the monitor wrote. Strangers write what it reads, so its word is taken only in its form: no text
    /// but names of logs and units, and addresses.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LONGEST {
            return None;
        }
        let report: Self = serde_json::from_slice(bytes).ok()?;
        let is_client = |client: &String| {
            let address = client.strip_suffix("/64").unwrap_or(client);
            address.parse::<IpAddr>().is_ok()
        };
        let findings = report.sites.values().flat_map(|site| &site.findings);
        let of_units = report.journal.units.values();
        let findings = findings
            .chain(of_units.flat_map(|unit| &unit.findings))
            .chain(&report.journal.findings);
        let mut clients = findings.filter_map(|finding| finding.client.as_ref());
        let is_ours = report.version == VERSION
            && report.sites.keys().all(|name| is_name(name))
            && report.journal.units.keys().all(|name| is_unit(name))
            && clients.all(is_client);
        is_ours.then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::super::detect::Kind;
    use super::*;

    #[test]
    fn only_what_has_our_form_is_taken() {
        let about = |client: &str| SiteReport {
            window: MINUTES * 60,
            requests: 1,
            statuses: [0, 1, 0, 0, 0],
            p50_ms: None,
            p99_ms: None,
            findings: vec![Finding {
                kind: Kind::Scanner,
                client: Some(client.into()),
                count: 100,
                of: 0,
                minutes: 1,
            }],
            unreadable: 0,
        };
        let read = |name: &str, client: &str, version| {
            let report = Report {
                version,
                time: 1,
                sites: [(name.to_owned(), about(client))].into(),
                journal: JournalReport::default(),
            };
            Report::parse(&serde_json::to_vec(&report).unwrap())
        };
        assert!(read("a-main", "192.0.2.1", VERSION).is_some());
        assert!(read("a-main", "2001:db8::/64", VERSION).is_some());
        assert_eq!(read("a-main", "192.0.2.1", VERSION + 1), None);
        assert_eq!(read("a\u{1b}[2J", "192.0.2.1", VERSION), None);
        assert_eq!(read("a-main", "\u{1b}]0;owned\u{7}", VERSION), None);
        let journal = |unit: &str, client: &str| {
            let mut report = Report::new(1);
            let unit_report = UnitReport {
                errors: 3,
                findings: about(client).findings,
            };
            report.journal.units.insert(unit.to_owned(), unit_report);
            Report::parse(&serde_json::to_vec(&report).unwrap())
        };
        assert!(journal("tavern-a.service", "192.0.2.1").is_some());
        assert_eq!(journal("tavern-a.service", "<b>"), None);
        assert_eq!(journal("<b>.service", "192.0.2.1"), None);
        assert_eq!(journal("\u{1b}[2J", "192.0.2.1"), None);
        // One that was written before the journal was read.
        let old = Report::parse(b"{\"version\":1,\"time\":1,\"sites\":{}}").unwrap();
        assert!(!old.journal.is_followed);
        assert_eq!(Report::parse(b"{}"), None);
        assert_eq!(Report::parse(&vec![b' '; LONGEST + 1]), None);
    }
}
