use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Refused, serde_by_text};

/// A range of addresses in an allowlist; a single address is its own range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

impl Cidr {
    /// Whether `address` lies in the range; IPv4-mapped IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Cidr {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address.to_canonical()),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                Refused::new(
                    format!("`{}` is not an address or a range", text.escape_default()),
                    "write an address such as `192.0.2.7` or a range such as `192.0.2.0/24`",
                )
            })?,
        };
        if net.prefix_len() == 0 {
            return Err(Refused::new(
                format!("`{net}` allows everybody"),
                "leave `allow` out to let every address in, or name the ranges you mean",
            ));
        }
        if net.addr() != net.network() {
            return Err(Refused::new(
                format!("`{net}` has host bits set: the range is `{}`", net.trunc()),
                "write the range's first address, or the single address without a slash",
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
            "0.0.0.0/0",
            "::/0",
            "10.0.0.1/8",
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
    }
}
