use std::path::{Path, PathBuf};

use super::Name;

/// The chain, leaf first, in a certificate's directory.
pub const CHAIN: &str = "fullchain.pem";

/// The key beside it.
pub const KEY: &str = "key.pem";

/// Where things go: on the host, or for `up` below one private directory.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Tavern's own configuration.
    pub etc: PathBuf,
    /// Sockets.
    pub run: PathBuf,
    /// Page content.
    pub www: PathBuf,
    /// nginx's configuration tree.
    pub nginx: PathBuf,
    /// nginx's logs.
    pub logs: PathBuf,
    /// Unit files.
    pub units: PathBuf,
    /// Receipts, journal, things set aside.
    pub state: PathBuf,
    /// The file whose kernel lock a run holds.
    pub lock: PathBuf,
}

impl Layout {
    /// The places an administrator would look in.
    pub fn system() -> Self {
        Self {
            etc: "/etc/tavern".into(),
            run: "/run/tavern".into(),
            www: "/var/www".into(),
            nginx: "/etc/nginx".into(),
            logs: "/var/log/nginx".into(),
            units: "/etc/systemd/system".into(),
            state: "/var/lib/tavern".into(),
            lock: "/run/tavern.lock".into(),
        }
    }

    /// Everything below `dir`.
    pub fn private(dir: &Path) -> Self {
        Self {
            etc: dir.join("etc"),
            run: dir.join("run"),
            www: dir.join("www"),
            nginx: dir.join("nginx"),
            logs: dir.join("log"),
            units: dir.join("units"),
            state: dir.join("state"),
            lock: dir.join("lock"),
        }
    }

    /// The stack file of `stack`.
    pub fn stack_file(&self, stack: &Name) -> PathBuf {
        self.stacks().join(format!("{stack}.toml"))
    }

    /// The folder of the stack files.
    pub fn stacks(&self) -> PathBuf {
        self.etc.join("stacks")
    }

    /// The one root-only place of secrets.
    pub fn credentials(&self) -> PathBuf {
        self.etc.join("credentials")
    }

    /// A credential of `stack`.
    pub fn credential(&self, stack: &Name, name: &str) -> PathBuf {
        self.credentials().join(stack.as_str()).join(name)
    }

    /// What a stack's backups are encrypted with.
    pub fn backup_key(&self, stack: &Name) -> PathBuf {
        self.credential(stack, "backup-key")
    }

    /// What is known of backups, and where they are put together.
    pub fn backups(&self) -> PathBuf {
        self.state.join("backup")
    }

    /// What is known of a stack's backups.
    pub fn backup_record(&self, stack: &Name) -> PathBuf {
        self.backups().join(format!("{stack}.json"))
    }

    /// Generated passwords, kept for the owner to read once.
    pub fn passwords(&self, stack: &Name) -> PathBuf {
        self.credential(stack, "passwords")
    }

    /// The certificate directory of `stack`: a link to the pair in use.
    pub fn certificate(&self, stack: &Name) -> PathBuf {
        self.etc.join("tls").join(stack.as_str())
    }

    /// What the log monitor is to call a finding.
    pub fn monitor_rules(&self) -> PathBuf {
        self.etc.join("monitor.toml")
    }

    /// What the log monitor says.
    pub fn monitor(&self) -> PathBuf {
        self.run.with_file_name("tavern-monitor")
    }

    /// Where the supervisor puts what the status page shows.
    pub fn status(&self) -> PathBuf {
        // As with `.acme`: no container is called so.
        self.run.join(".status")
    }

    /// The file in it.
    pub fn status_snapshot(&self) -> PathBuf {
        self.status().join("snapshot.json")
    }

    /// The socket of the status page.
    pub fn status_socket(&self) -> PathBuf {
        self.run.join(".status.sock")
    }

    /// The CA of this host: a link to the pair in use.
    pub fn local_ca(&self) -> PathBuf {
        self.etc.join("local-ca")
    }

    /// What an ACME authority and `stack` have to do with each other: account, notes, what waits to be taken up.
    pub fn acme(&self, stack: &Name) -> PathBuf {
        self.state.join("acme").join(stack.as_str())
    }

    /// Where an ACME authority finds the proof that a name is ours; nginx's workers read it.
    pub fn challenges(&self) -> PathBuf {
        // A container's folder is beside it, and no name begins with a dot.
        self.run.join(".acme")
    }

    /// The password file of a site; nginx's workers read it, so it is not below `credentials`.
    pub fn htpasswd(&self, stack: &Name, site: &Name) -> PathBuf {
        self.etc.join("htpasswd").join(format!("{stack}-{site}"))
    }

    /// Configuration of a container, mounted read-only into it.
    pub fn container(&self, container: &str) -> PathBuf {
        self.etc.join("containers").join(container)
    }

    /// The folder of a container's sockets.
    pub fn container_run(&self, container: &str) -> PathBuf {
        self.run.join(container)
    }

    /// The socket of an app.
    pub fn app_socket(&self, stack: &Name, app: &Name) -> PathBuf {
        self.run.join(format!(
            "{}.sock",
            Self::unit_stem(stack, app).trim_start_matches("tavern-")
        ))
    }

    /// Where an app shows its numbers to the operator; nginx does not lead there.
    pub fn metrics_socket(&self, stack: &Name, app: &Name) -> PathBuf {
        self.app_socket(stack, app).with_extension("metrics.sock")
    }

    /// Where `tavernd` shows its numbers.
    pub fn own_metrics_socket(&self) -> PathBuf {
        self.run.join("tavernd.metrics.sock")
    }

    /// The port of loopback where a Prometheus finds what is on those sockets.
    pub const RELAY_PORT: u16 = 9179;

    /// Who may read those sockets then, beside root. A container's group has a dash where this has none.
    pub const METRICS_GROUP: &str = "tavernmetrics";

    /// Who may read what the status page shows.
    pub const STATUS_GROUP: &str = "tavernstatus";

    /// Whether a group is called as only Tavern calls one: a container's, or one of its own.
    pub fn is_group_of_ours(name: &str) -> bool {
        name.starts_with("tavern-") || [Self::METRICS_GROUP, Self::STATUS_GROUP].contains(&name)
    }

    /// The socket unit of an app's numbers; no app's name has a dot, so it is no other app's.
    pub fn metrics_unit(unit_stem: &str) -> String {
        format!("{unit_stem}.metrics.socket")
    }

    /// The document root of a static site that the stack names without a path.
    pub fn site_root(&self, stack: &Name, site: &Name) -> PathBuf {
        self.www.join(stack.as_str()).join(site.as_str())
    }

    /// Where pages for errors are that the stack names without a path.
    pub fn error_pages(&self, stack: &Name) -> PathBuf {
        self.www.join(stack.as_str()).join("error-pages")
    }

    /// `tavern-counter` for app `counter` of stack `counter`, else `tavern-STACK-APP`.
    pub fn unit_stem(stack: &Name, app: &Name) -> String {
        if stack == app {
            format!("tavern-{app}")
        } else {
            format!("tavern-{stack}-{app}")
        }
    }

    /// Stems of the units that Tavern has for itself: no app's unit may be called so.
    pub const OWN_UNITS: [&str; 10] = [
        "tavern-backup",
        "tavern-check",
        "tavern-drill",
        "tavern-metrics",
        "tavern-monitor",
        "tavern-recover",
        "tavern-renew",
        "tavern-revert",
        "tavern-status",
        "tavernd",
    ];
}
