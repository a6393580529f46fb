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
        let lower = in_ascii(text).unwrap_or_else(|| text.to_ascii_lowercase());
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

/// A name in another script as DNS has it (IDNA 2008 by UTS 46); nothing if there is no such form.
fn in_ascii(text: &str) -> Option<String> {
    let (star, labels) = match text.strip_prefix("*.") {
        Some(labels) => ("*.", labels),
        None => ("", text),
    };
    let ascii = idna::domain_to_ascii_strict(labels).ok()?;
    Some(format!("{star}{ascii}"))
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
    fn names_in_other_scripts_are_what_dns_has_of_them() {
        for (text, ascii) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("ＥＸＡＭＰＬＥ.org", "example.org"),
            ("faß.example", "xn--fa-hia.example"),
        ] {
            let parsed = text.parse::<HostPattern>().unwrap();
            assert_eq!(parsed.to_string(), ascii);
        }
    }

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
            "b\u{200b}cher.example",
            "xn--a",
            "１２７.０.０.１",
            "ex\u{202e}ample.org",
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
