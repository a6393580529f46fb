use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt, socket, sockopt,
};

/// Ports that nobody listens on yet, kept that way while it lives.
///
/// `nginx -t` listens for a moment on every address that is not taken, and resets whoever connects in that
/// moment. Where the running nginx has a port on IPv4 only, those are the visitors who try IPv6 first. A socket
/// that is bound and does not listen refuses them at once, so that they turn to IPv4, and `nginx -t` passes over
/// an address in use.
#[derive(Debug)]
pub(super) struct PortHold {
    _sockets: Vec<OwnedFd>,
}

impl PortHold {
    /// Takes each of these ports in both families where it is free; whoever has one already keeps it.
    pub(super) fn take(ports: &[u16]) -> Self {
        let sockets = ports
            .iter()
            .flat_map(|&port| [bound_v4(port), bound_v6(port)])
            .filter_map(Result::ok)
            .collect();
        Self { _sockets: sockets }
    }
}

fn bound_v4(port: u16) -> nix::Result<OwnedFd> {
    let socket = stream(AddressFamily::Inet)?;
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    Ok(socket)
}

fn bound_v6(port: u16) -> nix::Result<OwnedFd> {
    let socket = stream(AddressFamily::Inet6)?;
    setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    let address = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?;
    Ok(socket)
}

/// Without SO_REUSEADDR: with it on both sides, nginx's bind would succeed.
fn stream(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_held_port_is_refused_to_both_sides() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let hold = PortHold::take(&[port]);
        // As nginx does: std sets SO_REUSEADDR.
        let taken = TcpListener::bind(("0.0.0.0", port)).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        drop(hold);
        TcpListener::bind(("0.0.0.0", port)).unwrap();
    }

    #[test]
    fn who_listens_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _hold = PortHold::take(&[port]);
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
}
