use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

use super::{HostError, Invocation, Processes as _, RealProcesses};

/// Our end of the pair, and the caller's. A link has 15 characters at most.
const OURS: &str = "tavern-door";
const CALLERS: &str = "tavern-caller";

/// Locally administered, and set at once: udev would give a link without an address of its own another one
/// while it is in use.
const OUR_MAC: &str = "02:54:41:56:4e:01";
const CALLERS_MAC: &str = "02:54:41:56:4e:02";

/// Link-local: no route to anybody else goes through these.
const OUR_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 213, 253);
const CALLERS_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 213, 254);
const OUR_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x7461, 1);
const CALLERS_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x7461, 2);

/// The kernel asks again after one second, and after three.
const PATIENCE: Duration = Duration::from_millis(3500);

/// Where a new connection is tried: a TCP port of this host, over one family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entrance {
    /// The port.
    pub port: u16,
    /// Over IPv6.
    pub ipv6: bool,
}

impl std::fmt::Display for Entrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = if self.ipv6 { "IPv6" } else { "IPv4" };
        write!(f, "{}/tcp over {family}", self.port)
    }
}

/// What became of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// It got in.
    Open,
    /// It was answered with a refusal, though something listens: a rule rejects it.
    Rejected,
    /// Nobody answered: a rule drops it.
    Dropped,
}

/// Opens a new connection to each entrance from a network namespace of its own, so that it comes in by a link and
/// through the rules for others: the host itself is always let in, and established connections survive any rule.
///
/// Nothing but this process holds the namespace: when it is done, or killed, the kernel takes it back, and the link
/// with it.
pub(super) fn knock(entrances: &[Entrance]) -> Result<Vec<Reception>, HostError> {
    remove_link()?;
    // A thread of its own: which namespace one is in is the thread's own affair.
    let received = thread::scope(|scope| {
        let caller = scope.spawn(|| call(entrances)).join();
        caller.unwrap_or_else(|_| Err(HostError::Unexpected("the caller's thread died".to_owned())))
    });
    // The kernel does so by and by; what comes next should not see it any more.
    let _ = remove_link();
    received
}

fn remove_link() -> Result<(), HostError> {
    match if_nametoindex(OURS) {
        Ok(_) => ip(&["link", "delete", OURS]),
        Err(_) => Ok(()),
    }
}

fn call(entrances: &[Entrance]) -> Result<Vec<Reception>, HostError> {
    let failed =
        |error: nix::Error| HostError::io("use a network namespace for", OURS, error.into());
    let ipv6 = entrances.iter().any(|entrance| entrance.ipv6);
    let home = own_namespace()?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(failed)?;
    let away = own_namespace()?;
    let host = std::process::id().to_string();
    let callers = [
        "link",
        "add",
        CALLERS,
        "address",
        CALLERS_MAC,
        "type",
        "veth",
    ];
    let ours = ["peer", "name", OURS, "address", OUR_MAC, "netns", &host];
    ip(&[&callers[..], &ours[..]].concat())?;
    ip(&["link", "set", CALLERS, "up"])?;

    setns(&home, CloneFlags::CLONE_NEWNET).map_err(failed)?;
    ip(&["link", "set", OURS, "up"])?;
    give_addresses(OURS, OUR_V4, ipv6.then_some(OUR_V6))?;
    let scope = if_nametoindex(OURS).map_err(failed)?;
    let mut listeners = Vec::new();
    for entrance in entrances {
        listeners.extend(listen_if_nobody_does(address(*entrance, scope))?);
    }

    setns(&away, CloneFlags::CLONE_NEWNET).map_err(failed)?;
    give_addresses(CALLERS, CALLERS_V4, ipv6.then_some(CALLERS_V6))?;
    let scope = if_nametoindex(CALLERS).map_err(failed)?;
    // All at once: each that is dropped takes all of its time. What is born here is in this namespace.
    Ok(thread::scope(|threads| {
        let calls: Vec<_> = entrances
            .iter()
            .map(|entrance| threads.spawn(move || connect(address(*entrance, scope))))
            .collect();
        let ended = calls.into_iter().map(|call| call.join());
        ended
            .map(|reception| reception.unwrap_or(Reception::Dropped))
            .collect()
    }))
}

fn own_namespace() -> Result<File, HostError> {
    const PATH: &str = "/proc/thread-self/ns/net";
    File::open(PATH).map_err(|error| HostError::io("open", PATH, error))
}

fn give_addresses(link: &str, v4: Ipv4Addr, v6: Option<Ipv6Addr>) -> Result<(), HostError> {
    ip(&["address", "add", &format!("{v4}/30"), "dev", link])?;
    // Without the second in which the kernel asks whether somebody else has it.
    v6.map_or(Ok(()), |v6| {
        ip(&["address", "add", &format!("{v6}/64"), "dev", link, "nodad"])
    })
}

/// Our end's address, as seen from the link with number `scope`.
fn address(entrance: Entrance, scope: u32) -> SocketAddr {
    if entrance.ipv6 {
        SocketAddrV6::new(OUR_V6, entrance.port, 0, scope).into()
    } else {
        (OUR_V4, entrance.port).into()
    }
}

/// So that a refusal is always the firewall's. Nothing, if somebody listens there already.
fn listen_if_nobody_does(address: SocketAddr) -> Result<Option<TcpListener>, HostError> {
    match TcpListener::bind(address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(HostError::io("listen on", address.to_string(), error)),
    }
}

fn connect(address: SocketAddr) -> Reception {
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Reception::Open,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Reception::Rejected,
        // What a rule answers with ICMP is a rejection too.
        Err(error) if error.kind() == ErrorKind::HostUnreachable => Reception::Rejected,
        Err(error) if error.kind() == ErrorKind::NetworkUnreachable => Reception::Rejected,
        Err(_) => Reception::Dropped,
    }
}

fn ip(args: &[&str]) -> Result<(), HostError> {
    RealProcesses
        .run_ok(&Invocation::new("ip", args))
        .map(|_| ())
}
