#![allow(clippy::disallowed_methods, reason = "reads /proc")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use nix::ifaddrs::getifaddrs;

use super::HostError;

/// A TCP socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address it is bound to; unspecified for any.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Who holds it: process number and name, if we may see it.
    pub owner: Option<(u32, String)>,
}

/// Addresses and listeners of the host.
pub trait Net: Send + Sync {
    /// Addresses by which others know the host: no loopback, link-local, or passing ones, and none of
    /// bridges and tunnels.
    fn addresses(&self) -> Vec<IpAddr>;

    /// Whether the kernel has IPv4.
    fn has_ipv4(&self) -> bool;

    /// Whether the kernel has IPv6.
    fn has_ipv6(&self) -> bool;

    /// All TCP sockets that listen.
    fn listeners(&self) -> Vec<Listener>;
}

/// The machine's network.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealNet;

impl Net for RealNet {
    fn addresses(&self) -> Vec<IpAddr> {
        let Ok(interfaces) = getifaddrs() else {
            return Vec::new();
        };
        let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        let passing = passing_addresses(&table);
        let mut found: Vec<IpAddr> = interfaces
            .filter(|interface| leads_here(&interface.interface_name))
            .filter_map(|interface| {
                let address = interface.address?;
                let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
            })
            .filter(|address| match address {
                IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
                IpAddr::V6(v6) => {
                    !v6.is_loopback() && !v6.is_unicast_link_local() && !passing.contains(v6)
                }
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn has_ipv4(&self) -> bool {
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_ok()
    }

    fn has_ipv6(&self) -> bool {
        std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }

    fn listeners(&self) -> Vec<Listener> {
        let mut sockets = Vec::new();
        for (file, v6) in [("/proc/net/tcp", false), ("/proc/net/tcp6", true)] {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            sockets.extend(
                text.lines()
                    .skip(1)
                    .filter_map(|line| parse_listener(line, v6)),
            );
        }
        let owners = socket_owners();
        sockets
            .into_iter()
            .map(|(address, port, inode)| Listener {
                address,
                port,
                owner: owners.get(&inode).cloned(),
            })
            .collect()
    }
}

/// Whether a TCP port can be listened on, at every loopback address that the host has.
///
/// # Errors
/// When it is not ours to take, such as a low port without root.
pub fn is_free_on_loopback(port: u16) -> Result<bool, HostError> {
    let addresses = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    for address in addresses {
        match std::net::TcpListener::bind((address, port)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Ok(false),
            // No IPv6 here.
            Err(_) if address.is_ipv6() => {}
            Err(error) => return Err(HostError::io("listen on", format!("port {port}"), error)),
        }
    }
    Ok(true)
}

/// Whether an interface may be somebody's way to this host: bridges of containers and virtual machines
/// are not, and tunnels come and go.
fn leads_here(interface: &str) -> bool {
    const INNER: [&str; 9] = [
        "docker",
        "br-",
        "veth",
        "virbr",
        "tailscale",
        "wg",
        "lxc",
        "cni",
        "flannel",
    ];
    !INNER.iter().any(|prefix| interface.starts_with(prefix))
}

/// The addresses of `/proc/net/if_inet6` that will not stay: temporary ones, made for privacy, and those
/// that are deprecated.
fn passing_addresses(table: &str) -> BTreeSet<Ipv6Addr> {
    const TEMPORARY: u32 = 0x01;
    const DEPRECATED: u32 = 0x20;
    let passing = table.lines().filter_map(|line| {
        // address, interface number, prefix length, scope, flags, name
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        (flags & (TEMPORARY | DEPRECATED) != 0).then(|| Ipv6Addr::from(address))
    });
    passing.collect()
}

/// A line of `/proc/net/tcp`, if its socket listens (state 0A): address, port, inode.
fn parse_listener(line: &str, v6: bool) -> Option<(IpAddr, u16, u64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    if *words.get(3)? != "0A" {
        return None;
    }
    let (address, port) = words.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // The kernel prints 32-bit words in its own byte order.
    let word = |i: usize| {
        u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    let address = if v6 {
        let mut bytes = [0; 16];
        for i in 0..4 {
            bytes[i * 4..i * 4 + 4].copy_from_slice(&word(i)?);
        }
        IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
    } else {
        IpAddr::from(Ipv4Addr::from(word(0)?))
    };
    Some((address, port, words.get(9)?.parse().ok()?))
}

/// Process number and name by socket inode, for the processes we may look into.
fn socket_owners() -> BTreeMap<u64, (u32, String)> {
    let mut owners = BTreeMap::new();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return owners;
    };
    for process in processes.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let Ok(target) = std::fs::read_link(descriptor.path()) else {
                continue;
            };
            let inode = target
                .to_str()
                .and_then(|text| text.strip_prefix("socket:["))
                .and_then(|text| text.strip_suffix(']'))
                .and_then(|text| text.parse::<u64>().ok());
            if let Some(inode) = inode {
                // The lowest process number wins: nginx's master, not its workers.
                owners
                    .entry(inode)
                    .and_modify(|(p, n)| {
                        if pid < *p {
                            *p = pid;
                            *n = name_of(&process.path());
                        }
                    })
                    .or_insert_with(|| (pid, name_of(&process.path())));
            }
        }
    }
    owners
}

fn name_of(process: &Path) -> String {
    std::fs::read_to_string(process.join("comm"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_addresses_are_temporary_or_deprecated() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     20010db8000000000000000000000005 02 40 00 80     eth0\n\
                     20010db800000000a1b2c3d4e5f60718 02 40 00 01     eth0\n\
                     20010db800000000a1b2c3d4e5f60719 02 40 00 21     eth0\n\
                     20010db8000000000000000000000006 02 40 00 a0     eth0\n\
                     junk\n20010db8 02\n\n";
        let passing: Vec<_> = passing_addresses(table)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            passing,
            [
                "2001:db8::6",
                "2001:db8::a1b2:c3d4:e5f6:718",
                "2001:db8::a1b2:c3d4:e5f6:719"
            ]
        );
    }

    #[test]
    fn bridges_and_tunnels_lead_nowhere() {
        for inner in [
            "docker0",
            "br-1a2b",
            "veth0a",
            "virbr0",
            "tailscale0",
            "wg0",
            "lxcbr0",
            "cni0",
            "flannel.1",
        ] {
            assert!(!leads_here(inner), "{inner}");
        }
        for outer in ["eth0", "enp1s0", "wlan0", "br0", "bond0", "ens3"] {
            assert!(leads_here(outer), "{outer}");
        }
    }

    #[test]
    fn finds_its_own_listener() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = RealNet
            .listeners()
            .into_iter()
            .find(|l| l.port == port)
            .unwrap();
        assert_eq!(found.address, IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_eq!(found.owner.unwrap().0, std::process::id());
    }
}
