//! A machine in memory, behind the same doors as the real one, as far as the engine can see.
//!
//! It can refuse its nth change, or die at it: what a `kill -9` there would leave is what is left. Where the real
//! part is pure (which nginx files are ours, what a firewall rule means, as whom nginx works), it is the real part
//! that runs.

mod accounts;
mod acme;
mod contained;
mod docker;
mod files;
mod firewall;
mod net;
mod nginx;
mod packages;
mod picture;
mod registry;
mod stores;
mod systemd;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Host, HostError};
use docker::Contained;
use nginx::Serving;
use systemd::Active;
use tree::Tree;

pub(crate) use picture::{Picture, differences};
pub(crate) use stores::DAMAGED;
pub(crate) use tree::Node;

/// What a call that would change the machine meets from the nth on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trap {
    /// That one is refused, as a full disk or a dead daemon would; later ones work.
    Fail,
    /// That one and all later ones unwind: the process is gone.
    Die,
}

/// Unwound with where the process would have been killed. No panic: nothing is printed.
#[derive(Debug)]
pub(crate) struct Killed;

/// All that the doors lead to.
#[derive(Clone, Default)]
pub(crate) struct Machine {
    /// Files, links, directories.
    pub(crate) tree: Tree,
    /// The bytes of the tavernctl that runs.
    pub(crate) build: Vec<u8>,
    /// What is installed.
    pub(crate) packages: BTreeSet<String>,
    /// Groups by name.
    pub(crate) groups: BTreeMap<String, u32>,
    /// Active units, by their own name.
    pub(crate) units: BTreeMap<String, Active>,
    /// Units whose last start failed.
    pub(crate) failed: BTreeSet<String>,
    /// What the running nginx has read.
    pub(crate) serving: Option<Serving>,
    /// Local images: their ids by reference and by `name@digest`.
    pub(crate) images: BTreeMap<String, String>,
    /// Where more come from.
    pub(crate) registry: registry::Registry,
    /// Volumes with the value of our label.
    pub(crate) volumes: BTreeMap<String, Option<String>>,
    /// Containers by name.
    pub(crate) containers: BTreeMap<String, Contained>,
    /// Where file systems of their own are mounted.
    pub(crate) mounts: BTreeSet<PathBuf>,
    /// Every change, in order.
    pub(crate) log: Vec<String>,
    /// What was added to files, in order.
    pub(crate) appended: Vec<(PathBuf, Vec<u8>)>,
    /// How often it has booted since.
    pub(crate) boots: u32,
    /// How long it has been up.
    pub(crate) up: std::time::Duration,
    /// The only login session.
    pub(crate) session: Option<u32>,
    /// How many things were looked at.
    pub(crate) questions: u64,
    /// How far the clock has been set back.
    pub(crate) set_back: std::time::Duration,
    /// How far it has gone on.
    pub(crate) gone_on: std::time::Duration,
    /// The authority that anybody may ask.
    pub(crate) authority: acme::Authority,
    effects: u64,
    trap: Option<(Trap, u64)>,
}

/// One door to all of it: a machine has one lock, as a real one has one kernel.
#[derive(Clone)]
pub(crate) struct MemoryHost(Arc<Mutex<Machine>>);

impl MemoryHost {
    /// A bare Debian: no nginx, no Docker, no firewall.
    pub(crate) fn bare() -> Self {
        let mut machine = Machine {
            build: b"tavernctl, the first build".to_vec(),
            ..Machine::default()
        };
        machine.tree.lay_out();
        for (id, name) in [(0, "root"), (4, "adm"), (33, "www-data")] {
            machine.groups.insert(name.to_owned(), id);
        }
        machine.packages.insert("logrotate".to_owned());
        Self(Arc::new(Mutex::new(machine)))
    }

    /// As above, with nginx and Docker from Debian's packages, both running.
    pub(crate) fn prepared() -> Self {
        let host = Self::bare();
        for name in ["nginx", "docker.io", "docker-cli"] {
            host.machine().unpack(name);
        }
        host
    }

    /// The same machine in a world of its own, with nothing to trip over.
    pub(crate) fn twin(&self) -> Self {
        let mut machine = self.machine().clone();
        machine.revive();
        Self(Arc::new(Mutex::new(machine)))
    }

    /// The doors that an engine is given.
    pub(crate) fn doors(&self) -> Host {
        Host {
            files: Box::new(self.clone()),
            processes: Box::new(self.clone()),
            systemd: Box::new(self.clone()),
            nginx: Box::new(self.clone()),
            docker: Box::new(self.clone()),
            packages: Box::new(self.clone()),
            accounts: Box::new(self.clone()),
            firewall: Box::new(self.clone()),
            net: Box::new(self.clone()),
            http: Box::new(self.clone()),
            clock: Box::new(self.clone()),
            logins: Box::new(self.clone()),
            acme: Box::new(self.clone()),
        }
    }

    /// The machine itself. A thread that was killed while it held the lock left it usable.
    pub(crate) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine, to be looked at: counted, for tests of how much a plan asks.
    fn look(&self) -> MutexGuard<'_, Machine> {
        let mut machine = self.machine();
        machine.questions += 1;
        machine
    }
}

impl Machine {
    /// Refuses the nth change from now on, once.
    pub(crate) fn fail_at(&mut self, nth: u64) {
        self.trap = Some((Trap::Fail, self.effects + nth));
    }

    /// Dies at the nth change from now on: it is not made, nor is any later one.
    pub(crate) fn die_at(&mut self, nth: u64) {
        self.trap = Some((Trap::Die, self.effects + nth));
    }

    /// Lives again, as a new process finds it.
    pub(crate) fn revive(&mut self) {
        self.trap = None;
    }

    /// How many changes were tried so far.
    pub(crate) fn effects(&self) -> u64 {
        self.effects
    }

    /// A change is about to be made.
    fn effect(&mut self, what: String) -> Result<(), HostError> {
        self.effects += 1;
        match self.trap {
            Some((Trap::Die, at)) if self.effects >= at => {
                std::panic::resume_unwind(Box::new(Killed))
            }
            Some((Trap::Fail, at)) if self.effects == at => Err(HostError::Unexpected(format!(
                "refused by the test: {what}"
            ))),
            _ => {
                self.log.push(what);
                Ok(())
            }
        }
    }
}
