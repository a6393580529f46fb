//! The stack file: one TOML file that declares one system.
//!
//! `raw` is what TOML gives, `validate` makes it a [`Stack`], `report` shows what is wrong with line and caret.

mod access;
mod alert;
mod backup;
mod backup_paths;
mod edge;
mod edit;
mod hash_cost;
mod monitor;
mod observer;
mod overlay;
mod postgres;
mod proxy;
mod raw;
mod report;
mod tls;
mod validate;

use std::path::PathBuf;

use crate::model::{HashCost, HostPattern, ImageRef, JournalRules, LogRules, Name, UrlPath};

pub use access::{Access, Answer, Require};
pub use alert::{Alert, Webhook, is_webhook};
pub use backup::{Backup, Interval, Retention, Target};
pub use edge::{ErrorPage, ErrorPages, HTTPS_PORT, Headers, Limits, Redirect};
pub use edit::{Amendment, Door, NotAmended, amend, doors, is_called};
pub use observer::Observer;
pub use overlay::{Edit, Overlay};
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use report::{StackError, is_not_for_terminals};
pub use tls::{Acme, Binding, Issuer};
pub use validate::parse;

/// The stack that `install` sets up when the host has none.
pub const DEFAULT: &str = include_str!("../../provision/counter.toml");

/// One system, declared and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name, unique on the host.
    pub name: Name,
    /// The names it answers to.
    pub hosts: Vec<HostPattern>,
    /// The ports of its HTTPS, the first one that others are led to.
    pub ports: Vec<u16>,
    /// Who signs its certificate.
    pub issuer: Issuer,
    /// Whether browsers that trust it are to insist on TLS for the names below its own too.
    pub include_subdomains: bool,
    /// Pages of the owner's for what nginx answers itself.
    pub error_pages: ErrorPages,
    /// What nginx serves for it, longest path last.
    pub sites: Vec<Site>,
    /// Its processes.
    pub apps: Vec<App>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// The proxies in front of it.
    pub proxy: Proxy,
    /// Who is told when something goes wrong.
    pub alert: Alert,
    /// When something stands out in what no site answers.
    pub monitor: LogRules,
    /// When something stands out in the journal.
    pub journal: JournalRules,
    /// What the firewall lets in, if it is active.
    pub firewall: Vec<Opening>,
    /// Its backups, if there are to be any.
    pub backup: Option<Backup>,
}

impl Stack {
    /// Whether the stack answers to any name.
    pub fn is_default_server(&self) -> bool {
        self.hosts.contains(&HostPattern::Any)
    }

    /// Whether one of its sites is the status page.
    pub fn has_status_page(&self) -> bool {
        let mut sites = self.sites.iter();
        sites.any(|site| site.content == SiteContent::Status)
    }

    /// Whether a Prometheus watches it.
    pub fn has_prometheus(&self) -> bool {
        let mut containers = self.containers.iter();
        containers.any(|one| one.kind == ContainerKind::Prometheus)
    }

    /// Whether it is found without a port: it answers on 443.
    pub fn is_on_standard_port(&self) -> bool {
        self.ports.contains(&HTTPS_PORT)
    }

    /// The names that no site has for itself.
    pub fn shared_hosts(&self) -> impl Iterator<Item = &HostPattern> {
        let own = |host: &HostPattern| {
            self.sites
                .iter()
                .any(|site| site.host.as_ref() == Some(host))
        };
        self.hosts.iter().filter(move |host| !own(host))
    }

    /// The name that stands for a site: its own, else the first DNS name that it shares with others.
    pub fn host_of<'a>(&'a self, site: &'a Site) -> Option<&'a HostPattern> {
        let named = |host: &&HostPattern| matches!(host, HostPattern::Dns(_));
        let shared = || {
            self.shared_hosts()
                .find(named)
                .or(self.shared_hosts().next())
        };
        site.host.as_ref().or_else(shared)
    }

    /// The app called `name`.
    pub fn app(&self, name: &Name) -> Option<&App> {
        self.apps.iter().find(|app| &app.name == name)
    }

    /// The container that an app refers to as `name`.
    pub fn container(&self, name: &Name) -> Option<&Container> {
        self.containers
            .iter()
            .find(|container| &container.role == name)
    }
}

/// A path or host name served by nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Names its logs and password file.
    pub name: Name,
    /// The one name of the stack that it is served at; those that no site has for itself if absent.
    pub host: Option<HostPattern>,
    /// Where it lives.
    pub path: UrlPath,
    /// What is served there.
    pub content: SiteContent,
    /// Who may see it; everybody if absent.
    pub access: Option<Access>,
    /// How much one address may ask of it.
    pub limits: Limits,
    /// Whether connections may become WebSockets.
    pub websocket: bool,
    /// Response headers of the owner's, instead of or beside ours.
    pub headers: Headers,
    /// When something stands out in its log.
    pub monitor: LogRules,
}

/// What a site serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteContent {
    /// Files below `/var/www/STACK/NAME`, seeded once.
    Seeded(Name),
    /// Files in a directory of the owner's.
    Directory(PathBuf),
    /// An app of this stack.
    App(Name),
    /// Nothing: it leads elsewhere.
    Redirect(Redirect),
    /// Tavern's own page of how the host fares.
    Status,
    /// A container of this stack, by its role: a Grafana.
    Container(Name),
}

impl SiteContent {
    /// Whether something else than nginx answers.
    pub fn is_passed_on(&self) -> bool {
        matches!(self, Self::App(_) | Self::Status | Self::Container(_))
    }
}

/// A long-running process behind a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Names its units.
    pub name: Name,
    /// What it runs.
    pub program: Program,
    /// The containers it uses, by role.
    pub needs: Vec<Name>,
    /// Who may log in.
    pub accounts: Vec<Name>,
    /// The store's key for the count.
    pub count_key: String,
    /// What the hash of a new password costs.
    pub hash_cost: HashCost,
    /// A second name of its service unit.
    pub alias: Option<Name>,
}

/// What an app runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// The JWT counter API.
    Counter,
}

impl Program {
    /// Its name after `tavernctl serve`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
        }
    }
}

/// A Docker container that the stack needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// What apps call it.
    pub role: Name,
    /// What it is.
    pub kind: ContainerKind,
    /// Docker's name for it.
    pub name: Name,
    /// Its image.
    pub image: ImageRef,
    /// Where the login for the image's registry is; nothing for root's own.
    pub auth_file: Option<PathBuf>,
    /// Docker's name for its data volume.
    pub volume: String,
    /// What it says if it watches the stack.
    pub observer: Option<Observer>,
    /// What it is for, if it is a Postgres.
    pub postgres: Option<Postgres>,
}

/// What a container is, and so how Tavern configures, reaches and probes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerKind {
    /// Redis 7 on a Unix socket.
    Redis,
    /// Prometheus on loopback.
    Prometheus,
    /// Grafana on loopback.
    Grafana,
    /// PostgreSQL on a Unix socket.
    Postgres,
}

/// A port the firewall lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The ports sshd really has.
    Ssh,
    /// A TCP port.
    Tcp(u16),
}
