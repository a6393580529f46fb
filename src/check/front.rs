use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Setting;
use crate::host::{Door, Request};
use crate::model::HostPattern;
use crate::stack::{Site, Stack};

/// A name under which nginx is asked for a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// For the handshake; none when asked by address.
    sni: Option<String>,
    /// For the `Host` field, without a port.
    pub host: String,
    /// The port of HTTPS, if it is not the usual one.
    port: Option<u16>,
}

impl Front {
    /// The name that stands for the stack: its first DNS name, else the first of its host patterns.
    pub fn of(stack: &Stack) -> Self {
        let named = |pattern: &&HostPattern| matches!(pattern, HostPattern::Dns(_));
        Self::at(
            stack,
            stack.hosts.iter().find(named).or(stack.hosts.first()),
        )
    }

    /// The name that a site is found at.
    pub fn of_site(stack: &Stack, site: &Site) -> Self {
        Self::at(stack, stack.host_of(site))
    }

    fn at(stack: &Stack, host: Option<&HostPattern>) -> Self {
        let usual = stack.is_on_standard_port();
        Self {
            port: stack.ports.first().copied().filter(|_| !usual),
            ..Self::from(host.unwrap_or(&HostPattern::Any))
        }
    }

    /// The port of HTTPS.
    pub fn https_port(&self, site: &Setting) -> u16 {
        self.port.unwrap_or(site.https_port)
    }

    /// The stack's other DNS names.
    pub fn others(stack: &Stack) -> Vec<Self> {
        let first = Self::of(stack);
        stack
            .hosts
            .iter()
            .filter(|pattern| matches!(pattern, HostPattern::Dns(_)))
            .map(|host| Self::at(stack, Some(host)))
            .filter(|front| *front != first)
            .collect()
    }

    /// A request through nginx and TLS.
    pub fn request(&self, site: &Setting, path: &str, from: Option<IpAddr>) -> Request {
        let port = self.https_port(site);
        let address = SocketAddr::new(beside(from, site), port);
        let door = Door::Tls {
            address,
            name: self.sni.clone(),
        };
        let request = Request::get(door, path).header("host", self.authority(port, 443));
        match from {
            Some(from) => request.from(from),
            None => request,
        }
    }

    /// A request through nginx in the clear.
    pub fn plain(&self, site: &Setting, path: &str) -> Request {
        let address = SocketAddr::new(site.loopback, site.http_port);
        Request::get(Door::Plain(address), path).header("host", self.authority(site.http_port, 80))
    }

    /// Name and port as a browser writes them.
    pub fn authority(&self, port: u16, default: u16) -> String {
        if port == default {
            self.host.clone()
        } else {
            format!("{}:{port}", self.host)
        }
    }
}

impl From<&HostPattern> for Front {
    fn from(pattern: &HostPattern) -> Self {
        match pattern {
            HostPattern::Any => Self {
                sni: None,
                host: "localhost".into(),
                port: None,
            },
            HostPattern::Address(address) => Self {
                sni: None,
                host: match address {
                    IpAddr::V4(v4) => v4.to_string(),
                    IpAddr::V6(v6) => format!("[{v6}]"),
                },
                port: None,
            },
            HostPattern::Dns(name) => {
                // Any name will do below a wildcard.
                let name = match name.strip_prefix("*.") {
                    Some(parent) => format!("tavern-check.{parent}"),
                    None => name.clone(),
                };
                Self {
                    sni: Some(name.clone()),
                    host: name,
                    port: None,
                }
            }
        }
    }
}

/// The loopback address of the family that `from` is of, or else of one that the host has.
fn beside(from: Option<IpAddr>, site: &Setting) -> IpAddr {
    match from {
        Some(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        Some(IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
        None => site.loopback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(hosts: &str) -> Stack {
        let text = crate::stack::DEFAULT.replace("[\"*\"]", hosts);
        crate::stack::parse(std::path::Path::new("counter.toml"), text.as_bytes()).unwrap()
    }

    #[test]
    fn asks_by_name_where_there_is_one() {
        let any = Front::of(&stack("[\"*\"]"));
        assert_eq!((any.sni, any.host.as_str()), (None, "localhost"));
        let named = stack("[\"192.0.2.7\", \"*.example.org\", \"www.example.net\"]");
        assert_eq!(Front::of(&named).host, "tavern-check.example.org");
        let others = Front::others(&named);
        assert_eq!(
            (others.len(), others[0].host.as_str()),
            (1, "www.example.net")
        );
        let six = Front::of(&stack("[\"2001:db8::1\"]"));
        assert_eq!((six.sni, six.host.as_str()), (None, "[2001:db8::1]"));
    }

    #[test]
    fn a_site_is_asked_for_at_its_own_name_and_port() {
        let text = crate::stack::DEFAULT
            .replace("[\"*\"]", "[\"a.example\", \"b.example\"]\nports = [5085]")
            .replace("path = \"/open\"", "path = \"/open\"\nhost = \"b.example\"");
        let stack =
            crate::stack::parse(std::path::Path::new("counter.toml"), text.as_bytes()).unwrap();
        let [main, open] = [0, 1].map(|at| Front::of_site(&stack, &stack.sites[at]));
        assert_eq!(
            (main.host.as_str(), open.host.as_str()),
            ("a.example", "b.example")
        );
        let request = open.request(&Setting::installed(), "/open/", None);
        assert_eq!(request.headers[0].1, "b.example:5085");
        assert_eq!(
            open.plain(&Setting::installed(), "/").headers[0].1,
            "b.example"
        );
    }

    #[test]
    fn requests_go_to_loopback_and_name_odd_ports() {
        let site = Setting {
            https_port: 8443,
            ..Setting::installed()
        };
        let front = Front::of(&stack("[\"a.example\"]"));
        let request = front.request(&site, "/x/", Some("::1".parse().unwrap()));
        let door = Door::Tls {
            address: "[::1]:8443".parse().unwrap(),
            name: Some("a.example".into()),
        };
        assert_eq!(request.door, door);
        assert_eq!(request.headers, [("host".into(), "a.example:8443".into())]);
        assert_eq!(front.plain(&site, "/").headers[0].1, "a.example");
    }
}
