use std::path::{Path, PathBuf};

use super::facts::{BINARY, PACKAGED_BINARY};
use super::firewall::ufw_state;
use super::{Host, HostError};
use crate::model::Facts;

/// Where an image has a Docker engine, from whatever source.
const ENGINES: [&str; 3] = ["/usr/bin/dockerd", "/usr/sbin/dockerd", "/snap/bin/docker"];

/// Reads what the plan must know of an image. What only a booted host has is left empty: its addresses, the ports
/// of its sshd, and what apt would install.
///
/// # Errors
/// When the image cannot be read.
pub fn gather_rooted(host: &Host) -> Result<Facts, HostError> {
    let has = |path: &str| -> Result<bool, HostError> {
        let path = Path::new(path);
        // Not by its state, which would read it: programs are large.
        let parent = path.parent().unwrap_or(path);
        Ok(host.files.list(parent)?.iter().any(|found| found == path))
    };
    let text = |path: &str| -> Result<String, HostError> {
        let bytes = host.files.read(Path::new(path))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let nginx = host.nginx.version();
    let mut missing = Vec::new();
    if nginx.is_none() {
        missing.push("nginx".to_owned());
    }
    let there = host
        .packages
        .installed(&["logrotate", "restic", "sqlite3"])?;
    if !there.contains("logrotate") {
        missing.push("logrotate".to_owned());
    }
    let mut has_docker = false;
    for engine in ENGINES {
        has_docker |= has(engine)?;
    }
    if !has_docker {
        missing.push("docker.io".to_owned());
    }
    let packaged = has(PACKAGED_BINARY)? && host.packages.owner_of(PACKAGED_BINARY).is_some();
    Ok(Facts {
        hostname: text("/etc/hostname")?.trim().to_owned(),
        ipv4: true,
        ipv6: true,
        nginx,
        missing_packages: missing,
        has_restic: there.contains("restic"),
        has_sqlite: there.contains("sqlite3"),
        ufw: ufw_state(&text("/etc/ufw/ufw.conf")?),
        binary: PathBuf::from(if packaged { PACKAGED_BINARY } else { BINARY }),
        binary_is_packaged: packaged,
        ..Facts::default()
    })
}
