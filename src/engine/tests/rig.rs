//! An engine on a machine in memory, and what its runs must leave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::engine::{Engine, EngineError, Request, Silent};
use crate::expand::Edge;
use crate::host::Host;
use crate::host::memory::{MemoryHost, Node, Picture, differences};
use crate::model::Layout;
use crate::plan::Plan;
use crate::resource::{Action, Resource};

/// Stack files by the stack's name.
pub(super) type Files = BTreeMap<String, String>;

/// A machine with doors, and the lock of its runs.
pub(super) struct Rig {
    pub(super) memory: MemoryHost,
    doors: Host,
    layout: Layout,
    // Goes with the rig.
    _directory: tempfile::TempDir,
}

impl Rig {
    pub(super) fn new(memory: MemoryHost) -> Self {
        // One place for all locks of this process would be one lock.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let directory = tempfile::tempdir().unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let layout = Layout {
            lock: directory.path().join(format!("{number}.lock")),
            ..Layout::system()
        };
        Self {
            doors: memory.doors(),
            memory,
            layout,
            _directory: directory,
        }
    }

    pub(super) fn engine(&self) -> Engine<'_> {
        Engine {
            host: &self.doors,
            layout: self.layout.clone(),
            edge: Edge::public(),
            progress: &Silent,
            is_stop_wanted: &|| false,
        }
    }

    /// What a person does: these are the stack files now, and no others.
    pub(super) fn declare(&self, files: &Files) {
        let stacks = self.layout.stacks();
        let mut machine = self.memory.machine();
        let old: Vec<PathBuf> = machine
            .tree
            .below(&stacks)
            .map(|(path, _)| path.clone())
            .collect();
        for path in old {
            machine.tree.remove(&path);
        }
        for (name, text) in files {
            let path = stacks.join(format!("{name}.toml"));
            machine
                .tree
                .plant(&path.to_string_lossy(), Node::file(text.as_str()));
        }
    }

    pub(super) fn plan(&self) -> Result<Plan, EngineError> {
        Ok(self.engine().propose(&Request::default())?.plan)
    }

    pub(super) fn install(&self, agreed: Option<&Plan>) -> Result<(), EngineError> {
        self.engine()
            .install(agreed, &Request::default())
            .map(|_| ())
    }

    /// As restored from a backup: the keys, accounts and certificates of another machine.
    pub(super) fn bring_secrets(&self, other: &Self) {
        let other = other.memory.machine();
        let mut machine = self.memory.machine();
        for place in ["credentials", "htpasswd", "tls"] {
            for (path, node) in other.tree.below(&self.layout.etc.join(place)) {
                machine.tree.plant(&path.to_string_lossy(), node.clone());
            }
        }
    }

    /// The machine but for what the engine notes for itself.
    pub(super) fn picture(&self) -> Picture {
        self.memory.machine().picture(&self.layout.state)
    }

    /// The steps that were written to journals since there were `from` of their lines.
    pub(super) fn journaled(&self, from: usize) -> Vec<String> {
        let machine = self.memory.machine();
        let lines = machine.appended[from..].iter();
        let lines = lines.filter(|(path, _)| path.ends_with("journal.jsonl"));
        lines
            .flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n'))
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .filter_map(|value| {
                let step = value.get("step").unwrap_or(&value);
                let action = Action::deserialize(step.get("action")?).ok()?;
                let resource = Resource::deserialize(step.get("resource")?).ok()?;
                Some(format!("{} {}", action.sign(), resource.id()))
            })
            .collect()
    }

    /// How many lines journals have got so far.
    pub(super) fn journal_length(&self) -> usize {
        self.memory.machine().appended.len()
    }

    /// The machine with all of that.
    pub(super) fn whole_picture(&self) -> Picture {
        self.memory.machine().picture(Path::new("nothing"))
    }

    /// The same machine in a world of its own.
    pub(super) fn twin(&self) -> Self {
        Self::new(self.memory.twin())
    }

    /// Whether a run has passed its commit since there were `from` lines in journals.
    pub(super) fn has_committed(&self, from: usize) -> bool {
        let machine = self.memory.machine();
        let mut lines = machine.appended[from..]
            .iter()
            .flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n'));
        lines.any(|line| line.starts_with(b"{\"commit\":"))
    }

    /// Nothing is left to do, nothing runs on what is no longer there, and looking again changes nothing.
    pub(super) fn is_right(&self) -> Result<(), String> {
        let stale = self.memory.machine().stale();
        if !stale.is_empty() {
            return Err(format!("after the run: {}", stale.join("; ")));
        }
        let temporaries = self.memory.machine().temporaries();
        if !temporaries.is_empty() {
            return Err(format!("temporaries: {}", temporaries.join(", ")));
        }
        let log = self.memory.machine().log.len();
        self.install(None)
            .map_err(|error| format!("the next install: {error}"))?;
        let changes = self.memory.machine().log.split_off(log);
        if changes.is_empty() {
            Ok(())
        } else {
            Err(format!("the next install changes: {}", changes.join("; ")))
        }
    }
}

use serde::Deserialize as _;

/// What a person reads of a plan: sign and name.
pub(super) fn printed(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter();
    steps
        .map(|step| format!("{} {}", step.change.action.sign(), step.id))
        .collect()
}

/// What is kept on purpose when nothing asks for it any more.
const KEPT: [&str; 14] = [
    "/etc/tavern/credentials",
    "/etc/tavern/htpasswd",
    "/etc/tavern/tls",
    "/var/www",
    "/var/log/nginx",
    "volume ",
    "image ",
    // Packages stay.
    "package docker",
    "package restic",
    "unit docker.service",
    "/etc/systemd/system/multi-user.target.wants/docker.service",
    "/usr/lib/systemd/system/docker.service",
    "/usr/sbin/dockerd",
    "/var/run/docker.sock",
];

/// What tells two pictures apart that should be the same, but for data that was kept on the way, and for what is
/// made of random bytes: of these only whose they are is compared.
pub(super) fn unlike(before: &Picture, after: &Picture) -> Vec<String> {
    let is_kept = |name: &str| KEPT.iter().any(|start| name.starts_with(start));
    let plain = |picture: &Picture, also: &Picture| -> Picture {
        let entries = picture.iter();
        entries
            .filter(|(name, _)| also.contains_key(*name) || !is_kept(name))
            .filter(|(name, _)| !name.starts_with("/etc/tavern/tls/"))
            .map(|(name, how)| (name.clone(), without_secrets(name, how)))
            .collect()
    };
    // Only what is new may be kept data: what was there must be there again.
    differences(&plain(before, before), &plain(after, before))
}

fn without_secrets(name: &str, how: &str) -> String {
    if name.starts_with("/etc/ufw/") {
        // Rules that only let in: their order says nothing.
        let mut lines: Vec<_> = how.lines().collect();
        lines.sort_unstable();
        return lines.join("\n");
    }
    if name.ends_with("/users.acl") {
        // The hash of a random password.
        let words = how.split(' ').filter(|word| !word.starts_with('#'));
        return words.collect::<Vec<_>>().join(" ");
    }
    if name.ends_with("/role.sql") {
        let words = how.split(' ').filter(|word| !word.contains("SCRAM"));
        return words.collect::<Vec<_>>().join(" ");
    }
    if ["/password", "/admin-password", "/secret-key"]
        .iter()
        .any(|end| name.ends_with(end))
    {
        return how.lines().next().unwrap_or_default().to_owned();
    }
    if name.ends_with("/passwords") {
        // Those of accounts that are gone go when their site or app is purged.
        return String::new();
    }
    let is_secret = ["/etc/tavern/credentials/", "/etc/tavern/htpasswd/"];
    if !is_secret.iter().any(|start| name.starts_with(start)) {
        return how.to_owned();
    }
    let mut lines: Vec<_> = how
        .lines()
        // `name:hash`, or a key.
        .map(|line| line.split_once(':').map_or("", |(name, _)| name))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}
