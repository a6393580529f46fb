use super::UpError;
use crate::host::{Host, HostError, is_free_on_loopback};

/// Where HTTP is served if nobody says otherwise.
pub const HTTP_PORT: u16 = 8080;

/// Where HTTPS is served if nobody says otherwise.
pub const HTTPS_PORT: u16 = 8443;

/// How many ports after the usual one are tried.
const TRIES: u16 = 200;

/// Which port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortWish {
    /// This one.
    Exactly(u16),
    /// This one, or the next that is free.
    From(u16),
}

/// Picks both ports: HTTP, HTTPS.
pub(super) fn choose(host: &Host, http: PortWish, https: PortWish) -> Result<(u16, u16), UpError> {
    if let (PortWish::Exactly(http), PortWish::Exactly(https)) = (http, https)
        && http == https
    {
        return Err(UpError::refused(
            format!("HTTP and HTTPS cannot both have port {http}"),
            "give `--http-port` and `--https-port` different numbers",
        ));
    }
    let named = |wish| match wish {
        PortWish::Exactly(port) => Some(port),
        PortWish::From(_) => None,
    };
    let http = pick(host, http, "--http-port", named(https))?;
    let https = pick(host, https, "--https-port", Some(http))?;
    Ok((http, https))
}

fn pick(host: &Host, wish: PortWish, flag: &str, not: Option<u16>) -> Result<u16, UpError> {
    let is_free = |port| is_free_on_loopback(port).map_err(|error| forbidden(&error, flag));
    match wish {
        PortWish::Exactly(port) if is_free(port)? => Ok(port),
        PortWish::Exactly(port) => Err(taken(host, port, flag)),
        PortWish::From(first) => {
            for port in (first..first.saturating_add(TRIES)).filter(|port| Some(*port) != not) {
                if is_free(port)? {
                    return Ok(port);
                }
            }
            Err(taken(host, first, flag))
        }
    }
}

fn forbidden(error: &HostError, flag: &str) -> UpError {
    UpError::refused(
        error.to_string(),
        format!("ports below 1024 are root's: give `{flag}` a higher number, or leave it out"),
    )
}

fn taken(host: &Host, port: u16, flag: &str) -> UpError {
    let holder = host
        .net
        .listeners()
        .into_iter()
        .filter(|one| one.port == port)
        .find_map(|one| one.owner);
    let who = match holder {
        Some((pid, name)) => format!("{name} (process {pid})"),
        None => format!("another user's process (`sudo ss -ltnp 'sport = :{port}'` shows it)"),
    };
    UpError::refused(
        format!("port {port} is taken by {who}"),
        format!("give `{flag}` another number, or leave it out for the next free one"),
    )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_or_its_holder_named() {
        let host = Host::real();
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let (http, https) = choose(&host, PortWish::From(port), PortWish::From(port)).unwrap();
        assert!(port < http && http < https, "{port} {http} {https}");
        let error = choose(&host, PortWish::Exactly(port), PortWish::From(HTTPS_PORT)).unwrap_err();
        let me = format!("(process {})", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
        assert!(error.help().unwrap().contains("--http-port"));
    }

    #[test]
    fn one_port_is_not_both() {
        let host = Host::real();
        let same = PortWish::Exactly(HTTP_PORT);
        assert!(choose(&host, same, same).is_err());
        // What is asked for by number is not given away as the next free one.
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        drop(holder);
        let (http, https) = choose(&host, PortWish::From(port), PortWish::Exactly(port)).unwrap();
        assert!(http != port && https == port);
    }
}
