use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Refused, serde_by_text};

/// A range of addresses; a single address is its own range. IPv4 written as IPv6 (`::ffff:10.0.0.0/104`) is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether `address` lies in the range; IPv4-mapped IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.contains(&other.0.network()) || other.0.contains(&self.0.network())
    }

    /// A family of which these ranges leave nobody out, if there is one: by one range, or by many together.
    pub fn everybody(ranges: &[Self]) -> Option<Self> {
        let ranges: Vec<IpNet> = ranges.iter().map(|range| range.0).collect();
        let whole = |net: &IpNet| net.prefix_len() == 0;
        IpNet::aggregate(&ranges).into_iter().find(whole).map(Self)
    }
}

const HELP: &str = "write an address such as `192.0.2.7` or a range such as `192.0.2.0/24`";

/// An address and a length, strictly: `/08`, `/+8` and `10.0/16` are mistakes.
fn net(text: &str) -> Option<IpNet> {
    let (address, length) = match text.split_once('/') {
        None => (text, None),
        Some((address, length)) => (address, Some(length)),
    };
    let address: IpAddr = address.parse().ok()?;
    let length = match length {
        None => return Some(IpNet::from(address.to_canonical())),
        Some(length) => {
            let is_plain = length.chars().all(|c| c.is_ascii_digit())
                && (length == "0" || !length.starts_with('0'));
            is_plain.then(|| length.parse::<u8>().ok())??
        }
    };
    let canonical = address.to_canonical();
    if canonical != address && length >= 96 {
        return IpNet::new(canonical, length - 96).ok();
    }
    IpNet::new(address, length).ok()
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self(address.into())
    }
}

impl FromStr for Cidr {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let net = net(text).ok_or_else(|| {
            Refused::new(
                format!("`{}` is not an address or a range", text.escape_default()),
                HELP,
            )
        })?;
        if net.addr() != net.network() {
            let range = net.trunc();
            return Err(Refused::new(
                format!("`{net}` has host bits set: the range is `{range}`"),
                format!(
                    "write `{range}` for the range, or `{}` for that one address",
                    net.addr()
                ),
            ));
        }
        Ok(Self(net))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

serde_by_text!(Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_nginx_would_take() {
        for bad in [
            "",
            "10.0.0.1/8",
            "::ffff:10.0.0.1/104",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "010.0.0.0/8",
            "10.0/16",
            "10.0.0.0/8/8",
            "fe80::1%eth0",
            "192.168.1.0/33",
            "all",
            "1.2.3",
            "10.0.0.5; allow all",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn single_addresses_and_mapped_ones() {
        let one: Cidr = "10.0.0.5".parse().unwrap();
        assert_eq!(one.to_string(), "10.0.0.5");
        assert!(one.contains("::ffff:10.0.0.5".parse().unwrap()));
        assert!(!one.contains("10.0.0.6".parse().unwrap()));
        assert_eq!("::ffff:10.0.0.5".parse::<Cidr>().unwrap(), one);
        assert_eq!(
            "192.168.1.0/24".parse::<Cidr>().unwrap().to_string(),
            "192.168.1.0/24"
        );
        let mapped: Cidr = "::ffff:10.0.0.0/104".parse().unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.0/8");
    }

    #[test]
    fn the_corrected_form_is_in_the_help() {
        let refused = "10.0.0.1/8".parse::<Cidr>().unwrap_err();
        assert!(refused.help.contains("`10.0.0.0/8`"), "{}", refused.help);
        assert!(refused.help.contains("`10.0.0.1`"), "{}", refused.help);
    }

    #[test]
    fn everybody_is_seen_however_it_is_written() {
        let everybody = |ranges: &[&str]| {
            let ranges: Vec<Cidr> = ranges.iter().map(|range| range.parse().unwrap()).collect();
            Cidr::everybody(&ranges).map(|range| range.to_string())
        };
        for (ranges, family) in [
            (&["0.0.0.0/0"][..], "0.0.0.0/0"),
            (&["::/0"], "::/0"),
            (&["::ffff:0.0.0.0/96"], "0.0.0.0/0"),
            (&["10.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1"], "0.0.0.0/0"),
            (&["::/1", "8000::/1"], "::/0"),
        ] {
            assert_eq!(everybody(ranges).as_deref(), Some(family), "{ranges:?}");
        }
        assert_eq!(everybody(&["0.0.0.0/1", "::1"]), None);
        assert_eq!(everybody(&[]), None);
    }

    #[test]
    fn overlaps_both_ways() {
        let range = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(range("10.0.0.0/8").overlaps(&range("10.1.2.3")));
        assert!(range("10.1.2.3").overlaps(&range("10.0.0.0/8")));
        assert!(!range("10.0.0.0/8").overlaps(&range("11.0.0.0/8")));
        assert!(!range("10.0.0.0/8").overlaps(&range("::1")));
    }
}
