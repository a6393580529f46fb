use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Host, HostError, Listener};
use crate::model::{Facts, NginxVersion};

const BINARY: &str = "/usr/local/bin/tavernctl";
const PACKAGED_BINARY: &str = "/usr/bin/tavernctl";

/// Reads what the plan must know of the host.
///
/// # Errors
/// When the host cannot be asked.
pub fn gather(host: &Host) -> Result<Facts, HostError> {
    let nginx = host.nginx.version();
    let mut missing = Vec::new();
    if nginx.is_none() {
        missing.push("nginx");
    }
    if host.packages.installed(&["logrotate"])?.is_empty() {
        missing.push("logrotate");
    }
    let no_docker = !has_docker();
    if no_docker {
        missing.push("docker.io");
    }
    let known = candidates(host, &missing)?;
    // Debian 13 keeps the `docker` command in a package of its own; elsewhere there is none of that name.
    if no_docker && known.contains_key("docker-cli") {
        missing.push("docker-cli");
    }
    let packaged = is_packaged(host);
    Ok(Facts {
        hostname: nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        addresses: host.net.addresses(),
        ipv6: host.net.has_ipv6(),
        // What apt would install decides the syntax as well as what is installed.
        nginx: nginx.or_else(|| NginxVersion::of_package(known.get("nginx")?)),
        missing_packages: missing.into_iter().map(str::to_owned).collect(),
        ufw: host.firewall.state()?,
        ssh_ports: ssh_ports(&host.net.listeners()),
        binary: PathBuf::from(if packaged { PACKAGED_BINARY } else { BINARY }),
        binary_is_packaged: packaged,
    })
}

/// An engine from whatever source: Debian, Docker, snap, or one that only shows its socket.
fn has_docker() -> bool {
    let engines = [
        "/usr/bin/dockerd",
        "/usr/sbin/dockerd",
        "/snap/bin/docker",
        "/var/run/docker.sock",
    ];
    engines.iter().any(|path| Path::new(path).exists())
}

/// What apt could install of these. A bare image comes without the repositories' lists: they are read once.
/// A package that stays unknown is the preflight's to refuse.
fn candidates(host: &Host, missing: &[&str]) -> Result<BTreeMap<String, String>, HostError> {
    if missing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked = [missing, &["docker-cli"]].concat();
    let known = host.packages.available(&asked)?;
    if missing.iter().all(|name| known.contains_key(*name)) {
        return Ok(known);
    }
    match host.packages.refresh() {
        Ok(()) => host.packages.available(&asked),
        Err(_) => Ok(known),
    }
}

/// The ports of sshd, or of systemd where it listens for sshd. Empty when no sshd runs.
fn ssh_ports(listeners: &[Listener]) -> Vec<u16> {
    let mut ports: Vec<_> = listeners
        .iter()
        .filter(|listener| !listener.address.is_loopback())
        .filter(|listener| match &listener.owner {
            Some((_, name)) => name == "sshd" || (name == "systemd" && listener.port == 22),
            None => false,
        })
        .map(|listener| listener.port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Whether a package brought tavernctl: then the package upgrades it, and it runs from there.
fn is_packaged(host: &Host) -> bool {
    Path::new(PACKAGED_BINARY).exists() && host.packages.owner_of(PACKAGED_BINARY).is_some()
}
