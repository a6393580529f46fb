//! The only door to the machine: one narrow trait per concern, each with its real form.
//!
//! Everything else in Tavern is data; what happens on the host happens through a [`Host`].

mod accounts;
mod acme;
mod acme_client;
mod acme_error;
mod cause;
mod children;
mod clock;
mod docker;
mod docker_body;
mod docker_connection;
mod docker_engine;
mod docker_error;
mod docker_events;
mod docker_exec;
mod docker_images;
mod docker_login;
mod docker_settings;
mod docker_writers;
mod doorstep;
mod error;
mod events;
mod facts;
mod files;
mod firewall;
mod http;
#[cfg(test)]
pub(crate) mod memory;
mod net;
mod nginx;
mod nginx_rivals;
mod nginx_setup;
mod packages;
mod port_hold;
mod private_dir;
mod process;
mod rooted;
mod rooted_accounts;
mod rooted_closed;
mod rooted_facts;
mod rooted_files;
mod rooted_nginx;
mod rooted_packages;
mod rooted_systemd;
mod session;
mod systemd;
mod systemd_many;
mod webhook;

pub use accounts::{Accounts, RealAccounts};
pub use acme::{Acme, AcmeAccount, AcmeError, HttpChallenge, RenewalWindow, Serve};
pub use acme_client::RealAcme;
pub use children::{Child, listen, tether};
pub use clock::{Clock, RealClock, Uptime};
pub use docker::{ContainerEvent, ContainerSpec, Docker, FoundContainer, FoundImage, FoundVolume};
pub use docker_engine::RealDocker;
pub use docker_login::RegistryLogin;
pub use doorstep::{Entrance, Reception};
pub use error::HostError;
pub use events::{Event, Events};
pub use facts::{gather, ssh_ports};
pub use files::{Files, RealFiles, Space};
pub use firewall::{Firewall, RealFirewall};
pub use http::{Answer, Door, Http, RealHttp, Request};
pub use net::{Listener, Net, RealNet, is_free_on_loopback};
pub use nginx::{Nginx, NginxBuild, RealNginx};
pub use nginx_setup::{NginxSetup, Workers};
pub use packages::{Packages, RealPackages};
pub use private_dir::PrivateDir;
pub use process::{Invocation, Outcome, Processes, RealProcesses, raise_open_files};
pub use rooted::Root;
pub use rooted_accounts::RootedAccounts;
pub use rooted_facts::gather_rooted;
pub use rooted_files::RootedFiles;
pub use rooted_packages::RootedPackages;
pub use session::{Logins, RealLogins, Session, Sessions};
pub use systemd::{RealSystemd, Systemd, UnitReport};
pub use webhook::post;

/// The machine, as a set of doors.
pub struct Host {
    /// Files and directories.
    pub files: Box<dyn Files>,
    /// Child processes.
    pub processes: Box<dyn Processes>,
    /// systemd.
    pub systemd: Box<dyn Systemd>,
    /// nginx.
    pub nginx: Box<dyn Nginx>,
    /// Docker.
    pub docker: Box<dyn Docker>,
    /// apt and dpkg.
    pub packages: Box<dyn Packages>,
    /// Users and groups.
    pub accounts: Box<dyn Accounts>,
    /// ufw.
    pub firewall: Box<dyn Firewall>,
    /// Addresses and listeners.
    pub net: Box<dyn Net>,
    /// HTTP requests, for probes.
    pub http: Box<dyn Http>,
    /// The time.
    pub clock: Box<dyn Clock>,
    /// Who is logged in.
    pub logins: Box<dyn Logins>,
    /// Authorities that sign certificates.
    pub acme: Box<dyn Acme>,
}

impl Host {
    /// This machine.
    pub fn real() -> Self {
        Self {
            files: Box::new(RealFiles),
            processes: Box::new(RealProcesses),
            systemd: Box::new(RealSystemd),
            nginx: Box::new(RealNginx),
            docker: Box::new(RealDocker::default()),
            packages: Box::new(RealPackages),
            accounts: Box::new(RealAccounts),
            firewall: Box::new(RealFirewall),
            net: Box::new(RealNet),
            http: Box::new(RealHttp),
            clock: Box::new(RealClock),
            logins: Box::new(RealLogins),
            acme: Box::new(RealAcme),
        }
    }
}
