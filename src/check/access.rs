use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::expect::Expect;
use crate::model::Cidr;
use crate::stack::{Access, Require};

/// Who asks for a site, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// In the table, after the site's path.
    pub what: &'static str,
    /// The address to ask from; any if none.
    pub from: Option<IpAddr>,
    /// Whether to log in.
    pub with_password: bool,
    /// What must come.
    pub expect: Expect,
}

/// The visits that prove a site's access rule, and what cannot be proven from this host.
pub fn visits(
    access: Option<&Access>,
    own: &[IpAddr],
    loopback: IpAddr,
) -> (Vec<Visit>, Vec<&'static str>) {
    let Some(access) = access else {
        return (vec![visit("", None, false, Expect::Served)], Vec::new());
    };
    let mut visits = Vec::new();
    let mut unproven = Vec::new();
    let inside = source(&access.allow, own, loopback, true);
    let outside = source(&access.allow, own, loopback, false);
    let either = access.require == Require::Any;
    match (access.accounts.is_empty(), access.allow.is_empty()) {
        (true, true) => visits.push(visit("", None, false, Expect::Served)),
        (false, true) => {
            visits.push(visit("no password", None, false, Expect::PasswordAsked));
            visits.push(visit("password", None, true, Expect::LoggedIn));
        }
        (no_accounts, false) => {
            match inside {
                Some(from) if no_accounts || either => {
                    visits.push(visit("allowed", Some(from), false, Expect::Served));
                }
                Some(from) => {
                    visits.push(visit(
                        "no password",
                        Some(from),
                        false,
                        Expect::PasswordAsked,
                    ));
                    visits.push(visit("password", Some(from), true, Expect::LoggedIn));
                }
                None => {
                    unproven.push("no address of this host is allowed: try it from one that is")
                }
            }
            match outside {
                Some(from) if either && !no_accounts => {
                    visits.push(visit("elsewhere", Some(from), false, Expect::PasswordAsked));
                    visits.push(visit("elsewhere, password", Some(from), true, Expect::LoggedIn));
                }
                Some(from) => {
                    visits.push(visit("elsewhere", Some(from), false, Expect::AddressRefused));
                }
                None => unproven.push(
                    "every address of this host is allowed: whether others are refused shows elsewhere",
                ),
            }
        }
    }
    (visits, unproven)
}

fn visit(what: &'static str, from: Option<IpAddr>, with_password: bool, expect: Expect) -> Visit {
    Visit {
        what,
        from,
        with_password,
        expect,
    }
}

/// An address of this host that the list lets in, or one that it keeps out.
pub(super) fn source(
    allow: &[Cidr],
    own: &[IpAddr],
    loopback: IpAddr,
    inside: bool,
) -> Option<IpAddr> {
    let fits = |address: &IpAddr| allow.iter().any(|range| range.contains(*address)) == inside;
    if loopback.is_ipv6() {
        let own = own.iter().copied().filter(IpAddr::is_ipv6);
        return [loopback].into_iter().chain(own).find(fits);
    }
    // 127.0.0.2 first among those to be kept out: every host has it, and no list means it.
    let candidates = if inside {
        [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)]
    } else {
        [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST]
    };
    candidates
        .into_iter()
        .map(IpAddr::from)
        .chain(own.iter().copied().filter(IpAddr::is_ipv4))
        .chain([IpAddr::from(Ipv6Addr::LOCALHOST)])
        .find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn access(accounts: &[&str], allow: &[&str], require: Require) -> Access {
        Access {
            accounts: accounts.iter().map(|name| name.parse().unwrap()).collect(),
            allow: allow.iter().map(|range| range.parse().unwrap()).collect(),
            require,
        }
    }

    fn planned(access: Option<&Access>) -> Vec<(String, bool, Expect)> {
        let own = ["192.0.2.7".parse().unwrap()];
        visits(access, &own, HERE)
            .0
            .into_iter()
            .map(|one| {
                let from = one.from.map(|address| address.to_string());
                (from.unwrap_or_default(), one.with_password, one.expect)
            })
            .collect()
    }

    #[test]
    fn both_doors() {
        let both = access(&["admin"], &["127.0.0.1", "10.0.0.0/8"], Require::All);
        assert_eq!(
            planned(Some(&both)),
            [
                ("127.0.0.1".into(), false, Expect::PasswordAsked),
                ("127.0.0.1".into(), true, Expect::LoggedIn),
                ("127.0.0.2".into(), false, Expect::AddressRefused),
            ]
        );
    }

    #[test]
    fn either_door() {
        let either = access(&["admin"], &["127.0.0.1"], Require::Any);
        assert_eq!(
            planned(Some(&either)),
            [
                ("127.0.0.1".into(), false, Expect::Served),
                ("127.0.0.2".into(), false, Expect::PasswordAsked),
                ("127.0.0.2".into(), true, Expect::LoggedIn),
            ]
        );
    }

    #[test]
    fn one_door_or_none() {
        assert_eq!(planned(None), [(String::new(), false, Expect::Served)]);
        let accounts = access(&["admin"], &[], Require::All);
        assert_eq!(
            planned(Some(&accounts)),
            [
                (String::new(), false, Expect::PasswordAsked),
                (String::new(), true, Expect::LoggedIn),
            ]
        );
        let allow = access(&[], &["192.0.2.0/24"], Require::All);
        assert_eq!(
            planned(Some(&allow)),
            [
                ("192.0.2.7".into(), false, Expect::Served),
                ("127.0.0.2".into(), false, Expect::AddressRefused),
            ]
        );
    }

    #[test]
    fn what_cannot_be_proven_is_said() {
        let far = access(&["admin"], &["10.0.0.5"], Require::All);
        let (planned, unproven) = visits(Some(&far), &[], HERE);
        assert_eq!((planned.len(), unproven.len()), (1, 1));
        let six = access(&[], &["::1"], Require::All);
        assert_eq!(
            visits(Some(&six), &[], HERE).0[0].from,
            Some(Ipv6Addr::LOCALHOST.into())
        );
        let wide = access(&[], &["127.0.0.0/8", "::1"], Require::All);
        let (planned, unproven) = visits(Some(&wide), &[], HERE);
        assert_eq!((planned.len(), unproven.len()), (1, 1));
    }

    /// bug: on a host without IPv4 everything was asked of 127.0.0.1, and so nothing was healthy.
    #[test]
    fn a_host_without_ipv4_is_asked_by_ipv6() {
        let here = std::net::Ipv6Addr::LOCALHOST.into();
        let own = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        let from =
            |allow: &str, inside: bool| source(&[allow.parse().unwrap()], &own, here, inside);
        assert_eq!(from("127.0.0.1", false), Some(here));
        assert_eq!(from("::1", false), Some(own[1]));
        assert_eq!(from("192.0.2.0/24", true), None);
    }
}
