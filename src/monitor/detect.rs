//! What stands out: a burst of errors, somebody who guesses passwords, somebody who looks for holes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::line::Request;
use super::tally::Sum;
use crate::model::LogRules;

/// Clients that are kept apart for a site; the ones that did least make room.
const CLIENTS: usize = 2048;
/// Seconds for which a client is named after it last stood out: whoever asks once a minute sees it.
const NAMED: u64 = 300;

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
}

impl Kind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::BruteForce => "brute-force",
            Self::Scanner => "scanner",
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

/// Clients of one site, by the minute.
#[derive(Default)]
pub(super) struct Clients {
    minute: u64,
    /// This minute and the one before: refused, not found.
    now: BTreeMap<IpAddr, (u32, u32)>,
    before: BTreeMap<IpAddr, (u32, u32)>,
    /// Those that stand out: the most within a minute, and when last.
    named: BTreeMap<(Kind, IpAddr), (u32, u64)>,
}

impl Clients {
    pub(super) fn note(&mut self, request: &Request, now: u64) {
        let (refused, missing) = match request.status {
            401 | 403 | 429 => (1, 0),
            400 | 404 | 405 | 414 => (0, 1),
            _ => return,
        };
        self.turn(now / 60);
        let client = network(request.client);
        if self.now.len() >= CLIENTS && !self.now.contains_key(&client) {
            self.make_room();
        }
        let counts = self.now.entry(client).or_default();
        counts.0 += refused;
        counts.1 += missing;
    }

    fn turn(&mut self, minute: u64) {
        if minute == self.minute {
            return;
        }
        let last = std::mem::take(&mut self.now);
        self.before = if minute == self.minute + 1 {
            last
        } else {
            BTreeMap::new()
        };
        self.minute = minute;
    }

    /// Half of them go, those that did least: whoever does much stays in sight of a crowd.
    fn make_room(&mut self) {
        let mut sizes: Vec<u32> = self.now.values().map(|(a, b)| a + b).collect();
        let middle = sizes.len() / 2;
        let (_, median, _) = sizes.select_nth_unstable(middle);
        let median = *median;
        let mut spare = middle;
        self.now.retain(|_, (a, b)| {
            let goes = *a + *b <= median && spare > 0;
            spare -= usize::from(goes);
            !goes
        });
    }

    /// Those that stand out, or did a while ago.
    pub(super) fn findings(&mut self, rules: &LogRules, now: u64) -> Vec<Finding> {
        self.turn(now / 60);
        for (client, (refused, missing)) in self.before.iter().chain(&self.now) {
            for (kind, count, limit) in [
                (Kind::BruteForce, *refused, rules.brute_force),
                (Kind::Scanner, *missing, rules.scanner),
            ] {
                if count < limit {
                    continue;
                }
                let is_known = self.named.contains_key(&(kind, *client));
                if is_known || self.named.len() < CLIENTS {
                    let (most, last) = self.named.entry((kind, *client)).or_default();
                    (*most, *last) = (count.max(*most), now);
                }
            }
        }
        // A clock that was set back is no reason to name it for ever.
        self.named
            .retain(|_, (_, last)| now.abs_diff(*last) < NAMED);
        let shown = |client: IpAddr| match client {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{address}/64"),
        };
        let named = self.named.iter();
        named
            .map(|((kind, client), (most, _))| Finding {
                kind: *kind,
                client: Some(shown(*client)),
                count: (*most).into(),
                of: 0,
                minutes: 1,
            })
            .collect()
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
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
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
        assert!(clients.now.len() <= CLIENTS);
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
