//! Health: every probe of every stack, asked at once. What is asked is planned from the stacks,
//! and each verdict is a pure function of the answer.

mod access;
mod backup;
mod certificate;
mod container;
mod disk;
mod expect;
mod explain;
mod exposure;
mod finding;
mod front;
mod grafana;
mod login;
mod nginx;
mod passwords;
mod postgres;
mod prometheus;
mod proxy;
mod redis;
pub mod render;
mod saved;
mod unit;
mod web;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Instant;

pub use backup::age;
pub use explain::{Explained, Question};
pub use finding::{Finding, Report, Verdict};
pub use login::{Login, try_login};
pub use proxy::{Doubt, doubts};
pub use saved::unsaved;

use crate::host::Host;
use crate::model::{Layout, Name};
use crate::stack::Stack;

/// The leaf certificate in each stack's file, DER.
type Leaves = BTreeMap<Name, Option<Vec<u8>>>;

/// Where the stacks run, and what is there beside them.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Where things are.
    pub layout: Layout,
    /// nginx's port in the clear.
    pub http_port: u16,
    /// nginx's port with TLS.
    pub https_port: u16,
    /// Whether systemd, Docker and the firewall are Tavern's to use: true on an installed host, false under `up`.
    pub managed: bool,
    /// The generation nginx must run, if it is known.
    pub generation: Option<String>,
    /// What was cut off, so that its data may be half that of before.
    pub cut_off: Option<String>,
    /// The host's own address, of a family that its kernel has.
    pub loopback: IpAddr,
}

impl Setting {
    /// A host that `install` set up.
    pub fn installed() -> Self {
        Self {
            layout: Layout::system(),
            http_port: 80,
            https_port: 443,
            managed: true,
            generation: None,
            cut_off: None,
            loopback: Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// A private directory that `up` serves from.
    pub fn private(dir: &Path, http_port: u16, https_port: u16) -> Self {
        Self {
            layout: Layout::private(dir),
            http_port,
            https_port,
            managed: false,
            generation: None,
            cut_off: None,
            loopback: Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// The same, asked by an address that this host has.
    pub fn seen_from(mut self, host: &Host) -> Self {
        if !host.net.has_ipv4() {
            self.loopback = Ipv6Addr::LOCALHOST.into();
        }
        self
    }
}

/// Asks everything there is to ask, all at once. Changes nothing on the host.
pub fn run(host: &Host, stacks: &[Stack], site: &Setting) -> Report {
    let begun = Instant::now();
    let site = &site.clone().seen_from(host);
    let mut findings = std::thread::scope(|scope| {
        let mut running = vec![
            start(scope, "listeners", || exposure::probe(host, stacks, site)),
            start(scope, "nginx", || vec![nginx::probe_generation(host, site)]),
        ];
        if site.managed {
            running.extend([
                start(scope, "nginx", || {
                    vec![nginx::probe_configuration(host, stacks)]
                }),
                start(scope, "systemd", || unit::probe(host, stacks)),
                start(scope, "firewall", || exposure::probe_firewall(host, stacks)),
                start(scope, "docker", || container::probe_docker(host, stacks)),
                start(scope, "prometheus", || {
                    let numbers = |stack| prometheus::probe(host, stack);
                    stacks.iter().flat_map(numbers).collect()
                }),
                start(scope, "grafana", || {
                    let pages = |stack| grafana::probe(host, stack);
                    stacks.iter().flat_map(pages).collect()
                }),
                start(scope, "postgres", || {
                    let postgres = |stack| postgres::probe(host, stack, site);
                    stacks.iter().flat_map(postgres).collect()
                }),
                start(scope, "redis", || {
                    let redis = |stack| container::probe_redis(host, stack, site);
                    stacks.iter().flat_map(redis).collect()
                }),
            ]);
        }
        // The web's probes need the certificates, which are quickly read.
        let (mut findings, leaves): (Vec<_>, Leaves) = stacks
            .iter()
            .map(|stack| {
                let (finding, leaf) = certificate::probe(host, &site.layout, stack);
                (finding, (stack.name.clone(), leaf))
            })
            .unzip();
        running.push(start(scope, "web", move || {
            web::probe(host, stacks, site, &leaves)
        }));
        findings.extend(disk::probe(host, &disks(site)));
        if let Some(what) = &site.cut_off {
            let judged = finding::unhealthy(format!(
                "{what} was cut off: `sudo tavernctl recover` puts back what was there; what is written meanwhile is lost by it"
            ));
            findings.push(Finding::new(None, "restore", judged, 0));
        }
        if site.managed {
            findings.extend(backup::probe(host, stacks, &site.layout));
        }
        findings.extend(proxy::probe(host, stacks, site));
        findings.extend(running.into_iter().flat_map(Running::finish));
        findings
    });
    sort(&mut findings, stacks);
    Report {
        findings,
        took_ms: finding::since(begun),
    }
}

/// A group of probes on its own thread.
struct Running<'scope> {
    subject: &'static str,
    thread: ScopedJoinHandle<'scope, Vec<Finding>>,
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    subject: &'static str,
    work: impl FnOnce() -> Vec<Finding> + Send + 'scope,
) -> Running<'scope> {
    Running {
        subject,
        thread: scope.spawn(work),
    }
}

impl Running<'_> {
    /// What they found. A probe that broke down is said to have, never left out.
    fn finish(self) -> Vec<Finding> {
        let Self { subject, thread } = self;
        thread.join().unwrap_or_else(|_| {
            let judged = finding::unknown("the probe broke down: please report it");
            vec![Finding::new(None, subject, judged, 0)]
        })
    }
}

fn disks(site: &Setting) -> Vec<&Path> {
    if site.managed {
        let mut paths = ["/", "/var", "/var/lib/docker"].map(Path::new).to_vec();
        paths.push(&site.layout.state);
        paths
    } else {
        vec![&site.layout.state]
    }
}

/// Stack by stack, the host last; in each, by subject.
fn sort(findings: &mut [Finding], stacks: &[Stack]) {
    let place = |finding: &Finding| {
        let stack = finding.stack.as_ref();
        stacks
            .iter()
            .position(|one| Some(&one.name) == stack)
            .unwrap_or(stacks.len())
    };
    findings.sort_by_cached_key(|finding| (place(finding), finding.subject.clone()));
}

#[cfg(test)]
mod tests;
