//! What the journal says of the units and of those who do not get in over SSH.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::crowd::Crowd;
use super::detect::{Finding, Kind, network};
use super::entry;
use super::report::{JournalReport, UnitReport};
use super::rules::JournalBook;

/// Whose tries are remembered, so that his going is not counted as one more.
const TRIED: usize = 256;

/// What has been seen of the journal.
pub(super) struct Journal {
    rules: JournalBook,
    units: BTreeMap<String, Unit>,
    guessers: Crowd<IpAddr>,
    tried: VecDeque<(IpAddr, u16)>,
    failed_logins: u64,
    unreadable: u64,
}

struct Unit {
    most: u32,
    errors: u64,
    minutes: Crowd<()>,
}

impl Journal {
    pub(super) fn new(rules: JournalBook) -> Self {
        let unit = |(name, most): (&String, &u32)| {
            let unit = Unit {
                most: *most,
                errors: 0,
                minutes: Crowd::default(),
            };
            (name.clone(), unit)
        };
        Self {
            units: rules.errors.iter().map(unit).collect(),
            rules,
            guessers: Crowd::default(),
            tried: VecDeque::new(),
            failed_logins: 0,
            unreadable: 0,
        }
    }

    /// Counts an entry, and says where in the journal it is.
    pub(super) fn take(&mut self, line: &[u8], now: u64) -> Option<String> {
        let Some(entry) = entry::parse(line) else {
            self.unreadable += 1;
            return None;
        };
        let at = entry.at.min(now);
        let unit = entry.unit.and_then(|unit| self.units.get_mut(&unit));
        if let Some(unit) = unit.filter(|_| entry.is_error) {
            unit.errors += 1;
            unit.minutes.note((), [1, 0], at);
        }
        if let Some(refused) = entry.refused {
            let is_known = self.tried.contains(&refused.client);
            if !(refused.is_end && is_known) {
                self.failed_logins += 1;
                self.guessers.note(network(refused.client.0), [1, 0], at);
            }
            if !is_known {
                self.tried.truncate(TRIED - 1);
                self.tried.push_front(refused.client);
            }
        }
        Some(entry.cursor)
    }

    pub(super) fn report(&mut self, is_followed: bool, now: u64) -> JournalReport {
        let limits = |kind, most| [(kind, most), (kind, u32::MAX)];
        let units = self.units.iter_mut().map(|(name, unit)| {
            let found = unit
                .minutes
                .findings(limits(Kind::JournalErrors, unit.most), now);
            let about = UnitReport {
                errors: unit.errors,
                findings: found.into_iter().map(|(_, (), most)| burst(most)).collect(),
            };
            (name.clone(), about)
        });
        let guessers = self
            .guessers
            .findings(limits(Kind::SshBruteForce, self.rules.ssh_brute_force), now);
        JournalReport {
            is_followed,
            units: units.collect(),
            failed_logins: self.failed_logins,
            findings: guessers
                .into_iter()
                .map(|(kind, client, most)| Finding::of_client(kind, client, most))
                .collect(),
            unreadable: self.unreadable,
        }
    }
}

fn burst(most: u32) -> Finding {
    Finding {
        kind: Kind::JournalErrors,
        client: None,
        count: most.into(),
        of: 0,
        minutes: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::{CURSOR, printed};
    use super::*;

    const NOW: u64 = 6010;

    fn journal() -> Journal {
        Journal::new(JournalBook {
            ssh_brute_force: 3,
            errors: [("tavern-a.service".to_owned(), 5)].into(),
        })
    }

    fn write(journal: &mut Journal, unit: &str, priority: &str) {
        let entry = printed(unit, "a", "33", priority, &"x".into()).to_string();
        assert_eq!(journal.take(entry.as_bytes(), NOW).as_deref(), Some(CURSOR));
    }

    fn log_in(journal: &mut Journal, message: &str) {
        let entry = printed("ssh.service", "sshd-session", "0", "6", &message.into());
        journal.take(entry.to_string().as_bytes(), NOW);
    }

    #[test]
    fn a_burst_is_a_units_own() {
        let mut journal = journal();
        for _ in 0..4 {
            write(&mut journal, "tavern-a.service", "3");
            write(&mut journal, "tavern-a.service", "4");
            write(&mut journal, "other.service", "0");
        }
        let report = journal.report(true, NOW);
        assert_eq!(report.units["tavern-a.service"].findings, []);
        assert_eq!(report.units.len(), 1);
        write(&mut journal, "tavern-a.service", "0");
        let report = journal.report(true, NOW);
        let unit = &report.units["tavern-a.service"];
        assert_eq!((unit.errors, unit.findings[0].count), (5, 5));
        assert_eq!(unit.findings[0].kind, Kind::JournalErrors);
        assert_eq!(journal.take(b"\xff{}", NOW), None);
        assert_eq!(journal.report(true, NOW).unreadable, 1);
    }

    #[test]
    fn each_try_counts_once_and_going_away_is_a_try_of_those_who_made_none() {
        let mut journal = journal();
        let tried = "Failed password for root from 2001:db8::7 port 400 ssh2";
        log_in(&mut journal, tried);
        log_in(&mut journal, tried);
        let gone = |port: u16| {
            format!(
                "Connection closed by authenticating user root 2001:db8::9 port {port} [preauth]"
            )
        };
        log_in(&mut journal, &gone(400).replace("::9", "::7"));
        assert_eq!(journal.report(true, NOW).failed_logins, 2);
        assert_eq!(journal.report(true, NOW).findings, []);
        log_in(&mut journal, &gone(500));
        let report = journal.report(true, NOW);
        assert_eq!(report.failed_logins, 3);
        assert_eq!(report.findings[0].client.as_deref(), Some("2001:db8::/64"));
        assert_eq!(report.findings[0].kind, Kind::SshBruteForce);
        for port in 0..5000 {
            log_in(&mut journal, &gone(port));
        }
        assert!(journal.tried.len() <= TRIED);
    }
}
