use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::packages::reason;
use super::{Host, HostError, Invocation, Listener};
use crate::model::{Facts, NginxVersion, UfwFacts};

pub(super) const BINARY: &str = "/usr/local/bin/tavernctl";
pub(super) const PACKAGED_BINARY: &str = "/usr/bin/tavernctl";

/// Reads what the plan must know of the host.
///
/// # Errors
/// When the host cannot be asked.
pub fn gather(host: &Host) -> Result<Facts, HostError> {
    let nginx = host.nginx.build();
    let mut missing = Vec::new();
    if nginx.is_none() {
        missing.push("nginx");
    }
    let there = host
        .packages
        .installed(&["logrotate", "restic", "sqlite3"])?;
    // Not `missing`: most stacks have no use for it.
    let has_restic = there.contains("restic");
    let has_sqlite = there.contains("sqlite3");
    if !there.contains("logrotate") {
        missing.push("logrotate");
    }
    let no_docker = !has_docker(host);
    if no_docker {
        missing.push("docker.io");
    }
    let (known, apt_trouble) = candidates(host, &missing)?;
    // Debian 13 keeps the `docker` command in a package of its own; elsewhere there is none of that name.
    if no_docker && known.contains_key("docker-cli") {
        missing.push("docker-cli");
    }
    let packaged = is_packaged(host);
    let ufw = host.firewall.state()?;
    // Asked only where it matters: the plan of a host without a firewall need not wait for it.
    let ssh_ports = match ufw {
        UfwFacts::Active => ssh_ports(host),
        UfwFacts::Inactive => Vec::new(),
    };
    Ok(Facts {
        hostname: nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        addresses: host.net.addresses(),
        ipv4: host.net.has_ipv4(),
        ipv6: host.net.has_ipv6(),
        // What apt would install decides the syntax as well as what is installed.
        nginx: nginx
            .map(|build| build.version)
            .or_else(|| NginxVersion::of_package(known.get("nginx")?)),
        lacks_gzip_static: nginx.is_some_and(|build| !build.has_gzip_static),
        missing_packages: missing.into_iter().map(str::to_owned).collect(),
        has_restic,
        has_sqlite,
        apt_trouble,
        ufw,
        ssh_ports,
        binary: PathBuf::from(if packaged { PACKAGED_BINARY } else { BINARY }),
        binary_is_packaged: packaged,
    })
}

/// An engine from whatever source: Debian, Docker, snap, or one that only shows its socket.
fn has_docker(host: &Host) -> bool {
    let engines = [
        "/usr/bin/dockerd",
        "/usr/sbin/dockerd",
        "/snap/bin/docker",
        "/var/run/docker.sock",
    ];
    engines
        .iter()
        .any(|path| host.files.exists(Path::new(path)))
}

type Candidates = BTreeMap<String, String>;

/// What apt could install of these. A bare image comes without the repositories' lists: they are read once.
/// A package that stays unknown is the preflight's to refuse, with the reason why the lists could not be read.
fn candidates(host: &Host, missing: &[&str]) -> Result<(Candidates, Option<String>), HostError> {
    if missing.is_empty() {
        return Ok((BTreeMap::new(), None));
    }
    let asked = [missing, &["docker-cli"]].concat();
    let known = host.packages.available(&asked)?;
    if missing.iter().all(|name| known.contains_key(*name)) {
        return Ok((known, None));
    }
    // One source that fails need not be the one that matters.
    let trouble = host.packages.refresh().err().map(|error| reason(&error));
    Ok((host.packages.available(&asked)?, trouble))
}

/// The ports that lead to sshd: its own, and those that systemd holds for it (Ubuntu's `ssh.socket`).
pub fn ssh_ports(host: &Host) -> Vec<u16> {
    ports_of_sshd(&host.net.listeners(), &ssh_socket(host))
}

fn ports_of_sshd(listeners: &[Listener], socket: &str) -> Vec<u16> {
    let own = listeners
        .iter()
        .filter(|listener| !listener.address.is_loopback())
        .filter(|listener| {
            listener
                .owner
                .as_ref()
                .is_some_and(|(_, name)| name == "sshd")
        })
        .map(|listener| listener.port);
    // `Listen=[::]:2222 (Stream)`
    let held = socket.lines().filter_map(|line| {
        let endpoint = line.strip_prefix("Listen=")?.strip_suffix(" (Stream)")?;
        endpoint.rsplit(':').next()?.parse().ok()
    });
    let mut ports: Vec<_> = own.chain(held).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// What systemd listens on for sshd, in `systemctl show`'s words; nothing where it does not.
fn ssh_socket(host: &Host) -> String {
    let args = ["show", "--property=ActiveState,Listen", "ssh.socket"];
    let outcome = host.processes.run(&Invocation::new("systemctl", &args));
    let text = outcome.map(|outcome| outcome.stdout).unwrap_or_default();
    if text.lines().any(|line| line == "ActiveState=active") {
        text
    } else {
        String::new()
    }
}

/// Whether a package brought tavernctl: then the package upgrades it, and it runs from there.
fn is_packaged(host: &Host) -> bool {
    host.files.exists(Path::new(PACKAGED_BINARY))
        && host.packages.owner_of(PACKAGED_BINARY).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sshs_ports_are_its_own_and_those_held_for_it() {
        let listener = |address: &str, port, name: &str| Listener {
            address: address.parse().unwrap(),
            port,
            owner: Some((1, name.to_owned())),
        };
        let listeners = [
            listener("0.0.0.0", 2200, "sshd"),
            listener("127.0.0.1", 6010, "sshd"),
            listener("0.0.0.0", 22, "systemd"),
        ];
        let socket =
            "ActiveState=active\nListen=0.0.0.0:2222 (Stream)\nListen=[::]:2222 (Stream)\n";
        assert_eq!(ports_of_sshd(&listeners, socket), [2200, 2222]);
        assert_eq!(ports_of_sshd(&listeners, ""), [2200]);
    }
}
