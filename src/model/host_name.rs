use std::net::IpAddr;
use std::str::FromStr;

use super::{Refused, serde_by_text};

/// A name that a stack answers to: `*` (any), a DNS name, `*.` and a DNS name, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// Any name or address: the stack is the default server.
    Any,
    /// A DNS name in ASCII, lower case; may begin with `*.`.
    Dns(String),
    /// A literal address.
    Address(IpAddr),
}

const HELP: &str =
    "write a DNS name such as `example.org`, `*.example.org`, an address, or `*` for any name";

impl FromStr for HostPattern {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        let lower = text.to_ascii_lowercase();
        let labels = lower.strip_prefix("*.").unwrap_or(&lower);
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        // All-numeric last labels would be read as addresses by browsers (RFC 3696, section 2).
        let numeric_end = labels
            .rsplit('.')
            .next()
            .is_some_and(|l| l.chars().all(|c| c.is_ascii_digit()));
        if lower.len() <= 253 && labels.split('.').all(label_ok) && !numeric_end {
            Ok(Self::Dns(lower))
        } else {
            Err(Refused::new(
                format!("`{}` is not a host name", text.escape_default()),
                HELP,
            ))
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

serde_by_text!(HostPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in [
            "*",
            "example.org",
            "*.example.org",
            "EXAMPLE.org",
            "localhost",
            "192.0.2.1",
            "2001:db8::1",
            "xn--bcher-kva.example",
        ] {
            assert!(good.parse::<HostPattern>().is_ok(), "{good}");
        }
        let long = format!("{}.org", "a".repeat(260));
        for bad in [
            "",
            "a;return 200 pwn",
            "a\nb",
            "$host",
            "~.*",
            "a b",
            "a..b",
            "-a.org",
            "a_b.org",
            "a{",
            "\"a\"",
            "bücher.example",
            "999.999.1.1",
            "*",
            "*.*",
            "a.*",
            "/a",
            &long,
        ] {
            let parsed = bad.parse::<HostPattern>();
            assert!(parsed.is_err() || bad == "*", "{bad:?} gave {parsed:?}");
        }
    }
}
