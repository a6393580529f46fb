//! The stack file: one TOML file that declares one system.
//!
//! `raw` is what TOML gives, `validate` makes it a [`Stack`], `report` shows what is wrong with line and caret.

mod access;
mod edit;
mod hash_cost;
mod overlay;
mod proxy;
mod raw;
mod report;
mod tls;
mod validate;

use std::path::PathBuf;

use crate::model::{HashCost, HostPattern, ImageRef, Name, UrlPath};

pub use access::{Access, Answer, Require};
pub use edit::{Amendment, Door, NotAmended, amend, doors, is_called};
pub use overlay::{Edit, Overlay};
pub use proxy::Proxy;
pub use report::StackError;
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
    /// Who signs its certificate.
    pub issuer: Issuer,
    /// Whether browsers that trust it are to insist on TLS for the names below its own too.
    pub include_subdomains: bool,
    /// What nginx serves for it, longest path last.
    pub sites: Vec<Site>,
    /// Its processes.
    pub apps: Vec<App>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// The proxies in front of it.
    pub proxy: Proxy,
    /// What the firewall lets in, if it is active.
    pub firewall: Vec<Opening>,
}

impl Stack {
    /// Whether the stack answers to any name.
    pub fn is_default_server(&self) -> bool {
        self.hosts.contains(&HostPattern::Any)
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
    /// Where it lives.
    pub path: UrlPath,
    /// What is served there.
    pub content: SiteContent,
    /// Who may see it; everybody if absent.
    pub access: Option<Access>,
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
    /// Docker's name for its data volume.
    pub volume: String,
}

/// What a container is, and so how Tavern configures, reaches and probes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerKind {
    /// Redis 7 on a Unix socket.
    Redis,
}

/// A port the firewall lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The ports sshd really has.
    Ssh,
    /// A TCP port.
    Tcp(u16),
}
