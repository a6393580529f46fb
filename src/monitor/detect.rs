//! What stands out: a burst of errors, somebody who guesses passwords, somebody who looks for holes.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::crowd::Crowd;
use super::line::Request;
use super::tally::Sum;
use crate::model::LogRules;

/// What kind of thing stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Too many answers are failures.
    Errors,
    /// Somebody is refused again and again.
    BruteForce,
    /// Somebody asks for much that is not there.
    Scanner,
    /// A unit writes errors in a burst.
    JournalErrors,
    /// Somebody fails to log in over SSH again and again.
    SshBruteForce,
}

impl Kind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::BruteForce => "brute-force",
            Self::Scanner => "scanner",
            Self::JournalErrors => "journal-errors",
            Self::SshBruteForce => "ssh-brute-force",
        }
    }
}

/// One thing that stands out now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// Who, for what one client does: an address, for IPv6 its /64.
    pub client: Option<String>,
    /// How many answers make it up.
    pub count: u64,
    /// Among how many, where it is a share.
    #[serde(default)]
    pub of: u64,
    /// Within how many minutes.
    #[serde(default)]
    pub minutes: u64,
}

/// Clients of one site: refused, and not found.
#[derive(Default)]
pub(super) struct Clients(Crowd<IpAddr>);

impl Clients {
    pub(super) fn note(&mut self, request: &Request, now: u64) {
        let counts = match request.status {
            401 | 403 | 429 => [1, 0],
            400 | 404 | 405 | 414 => [0, 1],
            _ => return,
        };
        self.0.note(network(request.client), counts, now);
    }

    /// Those that stand out, or did a while ago.
    pub(super) fn findings(&mut self, rules: &LogRules, now: u64) -> Vec<Finding> {
        let limits = [
            (Kind::BruteForce, rules.brute_force),
            (Kind::Scanner, rules.scanner),
        ];
        let all = self.0.findings(limits, now).into_iter();
        all.map(|(kind, client, most)| Finding::of_client(kind, client, most))
            .collect()
    }
}

impl Finding {
    /// What one client did within a minute.
    pub(super) fn of_client(kind: Kind, client: IpAddr, most: u32) -> Self {
        let shown = match client {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{address}/64"),
        };
        Self {
            kind,
            client: Some(shown),
            count: most.into(),
            of: 0,
            minutes: 1,
        }
    }
}

/// Whether too much fails.
pub(super) fn errors(sum: &Sum, rules: &LogRules) -> Option<Finding> {
    let (all, failures) = (sum.requests(), sum.failures());
    let is_much =
        failures.saturating_mul(1000) > all.saturating_mul(u64::from(rules.error_permille));
    (all >= u64::from(rules.error_requests) && is_much).then_some(Finding {
        kind: Kind::Errors,
        client: None,
        count: failures,
        of: all,
        minutes: rules.error_minutes.into(),
    })
}

/// Whoever has one address of IPv6 has all of its /64.
pub(super) fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::crowd::{NAMED, SIZE as CLIENTS};
    use super::super::tally::Tally;
    use super::*;

    fn request(client: &str, status: u16) -> Request {
        Request {
            client: client.parse().unwrap(),
            status,
            seconds: 0.001,
        }
    }

    #[test]
    fn who_guesses_is_found_with_all_addresses_of_the_network() {
        let rules = LogRules::default();
        let mut clients = Clients::default();
        for n in 0..rules.brute_force {
            clients.note(&request(&format!("2001:db8::{n:x}"), 401), 6000);
            clients.note(&request("192.0.2.7", 200), 6000);
        }
        clients.note(&request("192.0.2.8", 401), 6000);
        let found = clients.findings(&rules, 6030);
        assert_eq!(
            found,
            [Finding {
                kind: Kind::BruteForce,
                client: Some("2001:db8::/64".into()),
                count: rules.brute_force.into(),
                of: 0,
                minutes: 1,
            }]
        );
        // It is named for a while, for those who ask once a minute.
        assert_eq!(clients.findings(&rules, 6030 + NAMED - 1), found);
        assert_eq!(clients.findings(&rules, 6030 + NAMED), []);
    }

    #[test]
    fn a_flood_of_attackers_takes_no_memory() {
        let rules = LogRules {
            brute_force: 1,
            ..LogRules::default()
        };
        let mut clients = Clients::default();
        for n in 0..10_000_u32 {
            let one = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
            clients.note(&request(&one.to_string(), 401), 6000);
            if n % 1000 == 0 {
                clients.findings(&rules, 6000);
            }
        }
        assert_eq!(clients.findings(&rules, 6000).len(), CLIENTS);
    }

    #[test]
    fn a_scanner_is_found_in_a_crowd() {
        let rules = LogRules::default();
        let mut clients = Clients::default();
        for n in 0..40_000_u32 {
            let one = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
            clients.note(&request(&one.to_string(), 404), 6000);
            if n % 100 == 0 {
                clients.note(&request("198.51.100.9", 404), 6000);
            }
        }
        assert!(clients.0.size() <= CLIENTS);
        let found = clients.findings(&rules, 6000);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].client.as_deref(), Some("198.51.100.9"));
        assert_eq!((found[0].kind, found[0].count), (Kind::Scanner, 400));
    }

    #[test]
    fn a_few_failures_are_no_burst() {
        let rules = LogRules::default();
        let sum = |good: u32, bad: u32| {
            let mut tally = Tally::over(5);
            for n in 0..good + bad {
                let status = if n < bad { 502 } else { 200 };
                tally.note(&request("192.0.2.1", status), 1000);
            }
            tally.sum(1000, 5)
        };
        assert_eq!(errors(&sum(0, 19), &rules), None, "too few to tell");
        assert_eq!(errors(&sum(95, 5), &rules), None, "5 % is not over 5 %");
        let found = errors(&sum(94, 6), &rules).unwrap();
        assert_eq!((found.count, found.of, found.minutes), (6, 100, 5));
        let strict = LogRules {
            error_permille: 5,
            error_requests: 1000,
            ..rules
        };
        assert_eq!(errors(&sum(989, 5), &strict), None, "too few to tell");
        assert_eq!(errors(&sum(995, 5), &strict), None, "0.5 % is not over");
        assert_eq!(errors(&sum(994, 6), &strict).unwrap().count, 6);
        assert_eq!(errors(&sum(0, 0), &rules), None);
    }
}
