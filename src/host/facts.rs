use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Host, HostError, Listener};
use crate::model::{DockerFacts, Facts, NginxVersion};

/// Packages that may have to be installed, by the names Debian and Ubuntu have.
const CANDIDATES: [&str; 4] = ["nginx", "docker.io", "docker-cli", "logrotate"];

const BINARY: &str = "/usr/local/bin/tavernctl";
const PACKAGED_BINARY: &str = "/usr/bin/tavernctl";

/// Reads what the plan must know of the host.
///
/// # Errors
/// When the host cannot be asked.
pub fn gather(host: &Host) -> Result<Facts, HostError> {
    let nginx = host.nginx.version();
    let docker_installed = [
        "/usr/bin/dockerd",
        "/usr/sbin/dockerd",
        "/snap/bin/dockerd",
        "/snap/bin/docker",
    ]
    .iter()
    .any(|path| Path::new(path).exists())
        || Path::new("/var/run/docker.sock").exists();
    let installed = host.packages.installed(&CANDIDATES)?;
    let complete = installed.contains("logrotate") && nginx.is_some() && docker_installed;
    let known = if complete {
        BTreeMap::new()
    } else {
        candidates(host)?
    };
    let known_packages = if complete {
        CANDIDATES.map(str::to_owned).to_vec()
    } else {
        known.keys().cloned().collect()
    };
    Ok(Facts {
        hostname: nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        addresses: host.net.addresses(),
        ipv6: host.net.has_ipv6(),
        // What apt would install decides the syntax as well as what is installed.
        nginx: nginx.or_else(|| NginxVersion::of_package(known.get("nginx")?)),
        docker: if docker_installed {
            DockerFacts::Installed
        } else {
            DockerFacts::Missing
        },
        known_packages,
        ufw: host.firewall.state()?,
        ssh_ports: ssh_ports(&host.net.listeners()),
        binary_target: binary_target(host),
    })
}

/// What apt could install. A bare image comes without the repositories' lists.
fn candidates(host: &Host) -> Result<BTreeMap<String, String>, HostError> {
    let known = host.packages.available(&CANDIDATES)?;
    if known.contains_key("nginx") && known.contains_key("docker.io") {
        return Ok(known);
    }
    host.packages.refresh()?;
    host.packages.available(&CANDIDATES)
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

/// Nowhere when a package owns a tavernctl: then the package upgrades it.
fn binary_target(host: &Host) -> Option<PathBuf> {
    let packaged =
        Path::new(PACKAGED_BINARY).exists() && host.packages.owner_of(PACKAGED_BINARY).is_some();
    (!packaged).then(|| PathBuf::from(BINARY))
}
