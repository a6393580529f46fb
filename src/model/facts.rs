use std::net::IpAddr;

/// What the plan must know of the host. Gathered once by `host`, then plain data.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The host's own name.
    pub hostname: String,
    /// Addresses of its interfaces, loopback left out.
    pub addresses: Vec<IpAddr>,
    /// Whether the kernel can listen on IPv4.
    pub ipv4: bool,
    /// Whether the kernel can listen on IPv6.
    pub ipv6: bool,
    /// nginx, if it is installed.
    pub nginx: Option<NginxVersion>,
    /// That nginx was built without the module that sends files which were packed before.
    pub lacks_gzip_static: bool,
    /// Debian's names of the packages to install: nginx, logrotate and Docker where they are not there from any source.
    pub missing_packages: Vec<String>,
    /// Whether restic is there, for stacks with backups.
    pub has_restic: bool,
    /// Whether the `sqlite3` program is there, for stacks that have databases saved.
    pub has_sqlite: bool,
    /// Why apt could not read its sources, in its own words, if it was told to and could not.
    pub apt_trouble: Option<String>,
    /// ufw's state.
    pub ufw: UfwFacts,
    /// The ports sshd listens on.
    pub ssh_ports: Vec<u16>,
    /// Where tavernctl runs from.
    pub binary: std::path::PathBuf,
    /// A package brought it there: it is not ours to write.
    pub binary_is_packaged: bool,
}

/// Whether ufw would drop what we serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UfwFacts {
    /// Not installed, or not enabled.
    #[default]
    Inactive,
    /// Enabled.
    Active,
}

/// nginx's version, for the syntax that changed between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NginxVersion(pub u16, pub u16, pub u16);

impl NginxVersion {
    /// Reads `nginx version: nginx/1.22.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let version = text.split("nginx/").nth(1)?;
        let version = version
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()?;
        let mut parts = version.split('.').map(|p| p.parse().ok());
        Some(Self(parts.next()??, parts.next()??, parts.next()??))
    }

    /// Reads a package's version, such as `1.22.1-9+deb12u2`.
    pub fn of_package(version: &str) -> Option<Self> {
        Self::parse(&format!("nginx/{version}"))
    }

    /// `http2 on;` came with 1.25.1; before, it was a parameter of `listen`.
    pub fn has_http2_directive(self) -> bool {
        self >= Self(1, 25, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_version() {
        assert_eq!(
            NginxVersion::parse("nginx version: nginx/1.22.1\n"),
            Some(NginxVersion(1, 22, 1))
        );
        assert_eq!(
            NginxVersion::parse("nginx version: nginx/1.24.0 (Ubuntu)"),
            Some(NginxVersion(1, 24, 0))
        );
        assert_eq!(NginxVersion::parse("nope"), None);
        assert!(
            NginxVersion(1, 26, 3).has_http2_directive()
                && !NginxVersion(1, 25, 0).has_http2_directive()
        );
    }
}
