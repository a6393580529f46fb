//! The monitor's loop: looks for logs, reads them and the journal, and writes what it saw.
#![allow(
    clippy::disallowed_methods,
    reason = "a unit of its own: it lists the logs that it is for, and has no host adapter"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sd_notify::NotifyState;
use thiserror::Error;
use tracing::{info, warn};

use super::detect::{Clients, Finding, Kind, errors};
use super::follow::Follower;
use super::journal::Journal;
use super::line;
use super::reader::Reader;
use super::report::{JournalReport, Report, SiteReport, is_name};
use super::rules::RuleBook;
use super::tally::{MINUTES, Tally};
use crate::model::LogRules;

const SUFFIX: &str = ".access.json";
/// Between two looks at the logs; a line is counted this late.
const PAUSE: Duration = Duration::from_millis(250);
/// Seconds between two reports, and between two looks for logs of new sites.
const REPORT: u64 = 2;
const LOOK: u64 = 5;
/// More logs than this are not all ours.
const MOST: usize = 2048;

/// Why the monitor ends.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// The logs cannot be listed.
    #[error("cannot list {}: {source}", path.display())]
    Logs {
        /// Where they are.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Nobody knows which of the journal's entries are of this machine.
    #[error("cannot read {}: {source}", path.display())]
    Machine {
        /// Where its number is.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// What was seen cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Report {
        /// Where it goes.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Where the monitor reads and writes.
#[derive(Debug, Clone)]
pub struct Places {
    /// The directory of the logs.
    pub logs: PathBuf,
    /// The file with the machine's number, which journald writes into each entry.
    pub machine: PathBuf,
    /// The file with the report.
    pub report: PathBuf,
}

struct Site {
    log: Follower,
    rules: LogRules,
    tally: Tally,
    clients: Clients,
    unreadable: u64,
    found: Vec<Finding>,
    is_broken: bool,
}

/// Follows the logs and the journal until a stop is wanted.
///
/// # Errors
/// When the logs cannot be listed at all, or the report cannot be written.
pub fn run(
    places: &Places,
    rules: RuleBook,
    is_stop_wanted: &dyn Fn() -> bool,
) -> Result<(), MonitorError> {
    let units = rules.journal.errors.keys();
    let failed = |source| MonitorError::Machine {
        path: places.machine.clone(),
        source,
    };
    let machine = std::fs::read_to_string(&places.machine).map_err(failed)?;
    let mut reader = Reader::new(units, machine.trim(), seconds());
    let mut journal = Journal::new(rules.journal.clone());
    let mut told = JournalReport::default();
    let mut monitor = Monitor {
        sites: BTreeMap::new(),
        rules,
    };
    let (mut looked, mut reported) = (0, 0);
    while !is_stop_wanted() {
        let now = seconds();
        if now.abs_diff(looked) >= LOOK {
            let failed = |source| MonitorError::Logs {
                path: places.logs.clone(),
                source,
            };
            monitor
                .look_for_logs(&places.logs, looked == 0)
                .map_err(failed)?;
            looked = now;
        }
        let more = monitor.read(now) | reader.read(now, &mut |entry| journal.take(entry, now));
        if now.abs_diff(reported) >= REPORT {
            let failed = |source| MonitorError::Report {
                path: places.report.clone(),
                source,
            };
            let mut report = monitor.report(now);
            report.journal = journal.report(reader.is_followed(), now);
            report.write(&places.report).map_err(failed)?;
            say_journals_changes(&told, &report.journal);
            told = report.journal;
            if reported == 0 {
                notify(&[NotifyState::Ready]);
            }
            notify(&[NotifyState::Watchdog]);
            reported = now;
        }
        if !more {
            std::thread::sleep(PAUSE);
        }
    }
    notify(&[NotifyState::Stopping]);
    Ok(())
}

struct Monitor {
    sites: BTreeMap<String, Site>,
    rules: RuleBook,
}

impl Monitor {
    /// Logs that appear later are read from their first line, those that went are forgotten.
    fn look_for_logs(&mut self, directory: &Path, is_first: bool) -> io::Result<()> {
        let mut there = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            there.extend(name.filter(|name| is_name(name)).map(str::to_owned));
        }
        there.sort_unstable();
        there.truncate(MOST);
        self.sites.retain(|name, site| {
            // Between a rotation's two renames there is none of that name.
            there.binary_search(name).is_ok() || site.log.is_lingering()
        });
        for name in there {
            if self.sites.contains_key(&name) {
                continue;
            }
            let path = directory.join(format!("{name}{SUFFIX}"));
            let log = if is_first {
                match Follower::from_end(path) {
                    Ok(log) => log,
                    Err(error) => {
                        warn!(state = "unreadable", error = %error, "a log of {name} cannot be read");
                        continue;
                    }
                }
            } else {
                Follower::from_start(path)
            };
            let rules = self.rules.of(&name);
            let site = Site {
                log,
                rules,
                tally: Tally::over(rules.error_minutes.into()),
                clients: Clients::default(),
                unreadable: 0,
                found: Vec::new(),
                is_broken: false,
            };
            self.sites.insert(name, site);
        }
        Ok(())
    }

    fn read(&mut self, now: u64) -> bool {
        let mut more = false;
        for (name, site) in &mut self.sites {
            let Site {
                log,
                tally,
                clients,
                unreadable,
                ..
            } = site;
            let read = log.read(now, &mut |text| match line::parse(text) {
                Some(request) => {
                    tally.note(&request, now);
                    clients.note(&request, now);
                }
                None => *unreadable += 1,
            });
            match read {
                Ok(again) => {
                    more |= again;
                    site.is_broken = false;
                }
                // One log that cannot be read is no reason to stop reading the others.
                Err(error) if !site.is_broken => {
                    site.is_broken = true;
                    warn!(state = "unreadable", error = %error, "a log of {name} cannot be read");
                }
                Err(_) => {}
            }
        }
        more
    }

    fn report(&mut self, now: u64) -> Report {
        let mut report = Report::new(now);
        for (name, site) in &mut self.sites {
            let rules = &site.rules;
            let failing = site.tally.sum(now, rules.error_minutes.into());
            let mut found: Vec<Finding> = errors(&failing, rules).into_iter().collect();
            found.extend(site.clients.findings(rules, now));
            say_changes(name, &site.found, &found);
            site.found.clone_from(&found);
            let about = SiteReport::new(&site.tally.sum(now, MINUTES), found, site.unreadable);
            report.sites.insert(name.clone(), about);
        }
        report
    }
}

fn say_journals_changes(before: &JournalReport, now: &JournalReport) {
    for (unit, about) in &now.units {
        let known = before.units.get(unit);
        let known = known.map_or(&[][..], |known| &known.findings);
        say_changes(unit, known, &about.findings);
    }
    say_changes(SSH, &before.findings, &now.findings);
}

/// To the journal: what begins to stand out, and what no longer does.
fn say_changes(site: &str, before: &[Finding], now: &[Finding]) {
    let is_in = |one: &Finding, list: &[Finding]| {
        let mut list = list.iter();
        list.any(|other| (other.kind, &other.client) == (one.kind, &one.client))
    };
    for one in now.iter().filter(|one| !is_in(one, before)) {
        let text = describe(site, one);
        warn!(state = "found", address = one.client, "{text}");
    }
    for one in before.iter().filter(|one| !is_in(one, now)) {
        let text = describe(site, one);
        info!(state = "over", address = one.client, "over: {text}");
    }
}

/// What the journal's findings of logins are said of.
pub const SSH: &str = "ssh";

/// A finding in words, of a site, a unit or [`SSH`].
pub fn describe(site: &str, finding: &Finding) -> String {
    let count = finding.count;
    let who = finding.client.as_deref().unwrap_or("somebody");
    match finding.kind {
        Kind::Errors => {
            let (of, minutes) = (finding.of, finding.minutes);
            let within = match minutes {
                1 => "minute".to_owned(),
                minutes => format!("{minutes} minutes"),
            };
            format!("{site}: {count} of {of} answers of the last {within} were failures (5xx)")
        }
        Kind::BruteForce => format!("{site}: {who} was refused {count} times within a minute"),
        Kind::Scanner => {
            format!("{site}: {who} asked {count} times within a minute for what is not there")
        }
        Kind::JournalErrors => format!("{site}: {count} errors in the journal within a minute"),
        Kind::SshBruteForce => {
            format!("{site}: {who} failed {count} times within a minute to log in")
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(error = %error, "cannot notify systemd");
    }
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::super::line::tests::written;
    use super::*;

    /// 100,000 lines through a rotation, none lost; hostile ones counted apart.
    #[test]
    fn every_line_is_counted_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a-main.access.json");
        fs::write(&path, "history\n").unwrap();
        let mut monitor = Monitor {
            sites: BTreeMap::new(),
            rules: RuleBook::default(),
        };
        monitor.look_for_logs(directory.path(), true).unwrap();
        let mut log = fs::File::options().append(true).open(&path).unwrap();
        let good = [written("192.0.2.1", 200, "x"), b"\n".to_vec()].concat();
        for round in 0..10 {
            log.write_all(&good.repeat(10_000)).unwrap();
            if round == 5 {
                fs::rename(&path, path.with_extension("1")).unwrap();
                log = fs::File::create(&path).unwrap();
            }
            while monitor.read(1000) {}
        }
        log.write_all(b"\x1b]0;owned\x07\n{\"status\":\"500\"}\n\xff\xfe\n<script>\n")
            .unwrap();
        let bad = [written("2001:db8::5", 502, ""), b"\n".to_vec()].concat();
        log.write_all(&bad.repeat(20_000)).unwrap();
        while monitor.read(1001) {}
        let report = monitor.report(1001);
        let site = &report.sites["a-main"];
        assert_eq!(site.statuses, [0, 100_000, 0, 0, 20_000]);
        assert_eq!(site.unreadable, 4);
        assert_eq!(site.p50_ms, Some(5.0));
        assert_eq!(site.findings.len(), 1, "{:?}", site.findings);
        assert_eq!(site.findings[0].kind, Kind::Errors);
        let file = directory.path().join("report.json");
        report.write(&file).unwrap();
        assert_eq!(Report::parse(&fs::read(&file).unwrap()), Some(report));
    }

    #[test]
    fn logs_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let mut monitor = Monitor {
            sites: BTreeMap::new(),
            rules: RuleBook::default(),
        };
        monitor.look_for_logs(directory.path(), true).unwrap();
        let path = directory.path().join("b.access.json");
        fs::write(&path, [&written("192.0.2.1", 200, "")[..], b"\n"].concat()).unwrap();
        fs::write(directory.path().join("b.access.log"), "not this one\n").unwrap();
        monitor.look_for_logs(directory.path(), false).unwrap();
        while monitor.read(1000) {}
        assert_eq!(monitor.report(1000).sites["b"].requests, 1);
        fs::remove_file(&path).unwrap();
        while monitor.read(1000) {}
        monitor.look_for_logs(directory.path(), false).unwrap();
        assert!(monitor.report(1000).sites.is_empty());
    }
}
