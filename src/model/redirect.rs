use std::str::FromStr;

use super::{HostPattern, Refused, text_newtype};

/// Where a redirect leads: a path of the same host, or an address with `https://` or `http://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectTo(String);

const LONGEST: usize = 500;
const HELP: &str = "write a path such as `/new/`, or an address such as `https://example.org/new/`, \
                    with other characters as `%XX`";

impl RedirectTo {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An address without a path: path and query of the request are kept.
    pub fn keeps_path(&self) -> bool {
        self.after_scheme().is_some_and(|rest| !rest.contains('/'))
    }

    /// The path on the same host, without query; none if it leads elsewhere.
    pub fn local_path(&self) -> Option<&str> {
        let path = self.0.split(['?', '#']).next()?;
        path.starts_with('/').then_some(path)
    }

    fn after_scheme(&self) -> Option<&str> {
        let (scheme, rest) = self.0.split_once("://")?;
        matches!(scheme, "https" | "http").then_some(rest)
    }

    fn is_well_formed(&self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/?&=%+:@,!*#[]".contains(c);
        let escapes = self.0.split('%').skip(1).all(|rest| {
            rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
        });
        if self.0.len() > LONGEST || !self.0.chars().all(plain) || !escapes {
            return false;
        }
        match self.after_scheme() {
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                // A query without a path would be taken for a name with one.
                rest[end..].is_empty() && is_authority(rest)
                    || rest[end..].starts_with('/') && is_authority(&rest[..end])
            }
            // `//name` is another host to a browser.
            None => self.0.starts_with('/') && !self.0.starts_with("//"),
        }
    }
}

/// A name or address, and perhaps a port.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_six = host.starts_with('[') && host.ends_with(']');
    let host = if is_six {
        &host[1..host.len() - 1]
    } else {
        host
    };
    let port_ok = port.is_none_or(|port| {
        port.parse::<u16>()
            .is_ok_and(|number| number != 0 && port.len() < 6)
    });
    port_ok
        && match host.parse() {
            Ok(HostPattern::Dns(name)) => !is_six && !name.starts_with("*."),
            Ok(HostPattern::Address(address)) => address.is_ipv6() == is_six,
            _ => false,
        }
}

impl FromStr for RedirectTo {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let to = Self(text.to_owned());
        if to.is_well_formed() {
            Ok(to)
        } else {
            let message = format!(
                "`{}` is not where a redirect can lead",
                text.escape_default()
            );
            Err(Refused::new(message, HELP))
        }
    }
}

text_newtype!(RedirectTo);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in [
            "/",
            "/new/",
            "/a?b=c&d=%20#e",
            "https://example.org",
            "https://example.org/",
            "http://example.org:8080/x",
            "https://192.0.2.1/",
            "https://[2001:db8::1]:8443",
        ] {
            assert!(good.parse::<RedirectTo>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "new",
            "//evil.example",
            "/\\evil.example",
            "/a b",
            "/$host",
            "/a;b",
            "/a\r\nSet-Cookie:x",
            "/a\"",
            "/a{b}",
            "/%2",
            "/%zz",
            "/é",
            "javascript://x/",
            "https://",
            "https:///x",
            "https://*.example.org/",
            "https://a@b/",
            "https://a:0/",
            "https://a:99999/",
            "https://2001:db8::1/",
            "https://example.org?x",
            "https://$host/",
        ] {
            assert!(bad.parse::<RedirectTo>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_without_a_path_keeps_the_requests() {
        let keeps = |text: &str| text.parse::<RedirectTo>().unwrap().keeps_path();
        assert!(keeps("https://example.org") && keeps("https://example.org:8443"));
        assert!(!keeps("https://example.org/") && !keeps("/x"));
        let local = |text: &str| {
            let to: RedirectTo = text.parse().unwrap();
            to.local_path().map(str::to_owned)
        };
        assert_eq!(local("/a/?b=/c").as_deref(), Some("/a/"));
        assert_eq!(local("https://example.org/a"), None);
    }
}
