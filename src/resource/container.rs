use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Action, Change, Claim};
use crate::model::ImageRef;

/// A Docker volume. Docker answers a second `create` with the old volume whatever its labels,
/// so ownership is read before it is relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Docker's name for it.
    pub name: String,
    /// The stack that made it.
    pub stack: String,
    /// The major version of PostgreSQL whose data it is for, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<u32>,
}

/// A volume as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeState {
    /// None.
    Absent,
    /// There.
    Present {
        /// The value of our label, if it has one.
        stack: Option<String>,
        /// What it holds, if that is not what it is for.
        holds: Option<String>,
    },
}

impl Volume {
    pub(super) fn compare(&self, state: &VolumeState, claim: Claim) -> Option<Change> {
        match state {
            VolumeState::Absent => Some(Change::new(Action::Create, "no such volume")),
            VolumeState::Present {
                stack: Some(stack), ..
            } if *stack != self.stack => Some(Change {
                conflict: true,
                ..Change::new(Action::TakeOver, format!("belongs to stack `{stack}`"))
            }),
            VolumeState::Present {
                holds: Some(holds), ..
            } => Some(Change {
                conflict: true,
                ..Change::new(Action::Update, self.unreadable(holds))
            }),
            VolumeState::Present { stack: Some(_), .. } => None,
            // Labels cannot be added later: an adopted volume is known by the receipt.
            VolumeState::Present { stack: None, .. } if claim == Claim::Ours => None,
            VolumeState::Present { stack: None, .. } => Some(Change::take_over(
                "a volume that Tavern did not make: its data is kept and used",
                claim,
            )),
        }
    }
}

impl Volume {
    fn unreadable(&self, holds: &str) -> String {
        let wanted = self.postgres.unwrap_or_default();
        format!(
            "it holds {holds}, which PostgreSQL {wanted} does not read: leave the image as it was, or dump \
             the data with that one, name another `volume`, and load it there"
        )
    }
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mount {
    /// A volume, writable.
    Volume {
        /// Docker's name for it.
        name: String,
        /// Where in the container.
        target: String,
    },
    /// A path of the host.
    Bind {
        /// Where on the host.
        source: PathBuf,
        /// Where in the container.
        target: String,
        /// Whether the container may write there.
        writable: bool,
    },
    /// Memory, empty at each start.
    Memory {
        /// Where in the container.
        target: String,
    },
}

/// A container with the least privilege it can do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Docker's name for it.
    pub name: String,
    /// The stack it belongs to.
    pub stack: String,
    /// Its image.
    pub image: ImageRef,
    /// Arguments to the image's entry point. Never a secret: `docker inspect` shows them.
    pub command: Vec<String>,
    /// Numeric user inside.
    pub uid: u32,
    /// The host's group it runs with, by name: the number is known once the group is made.
    pub group: String,
    /// What it sees of the host.
    pub mounts: Vec<Mount>,
    /// Memory limit in bytes.
    pub memory: i64,
    /// Most processes and threads.
    pub pids: i64,
    /// What it sees of the network.
    #[serde(default, skip_serializing_if = "Network::is_none")]
    pub network: Network,
    /// Its environment. Never a secret: `docker inspect` shows it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// How it is asked whether it is ready.
    #[serde(
        default = "Probe::of_redis",
        skip_serializing_if = "Probe::is_of_redis"
    )]
    pub probe: Probe,
    /// A program that is run in it when it was made or started anew, and for what it reads again; without one, it has
    /// a way of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settle: Vec<String>,
}

/// What a container sees of the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Nothing: it is reached by a Unix socket.
    #[default]
    None,
    /// The host's own: it listens on loopback, and asks what listens there.
    Host,
}

/// A program in a container that says whether the container is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What it prints then; without one, its exit code counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

impl Network {
    // Serde asks by reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Probe {
    /// Redis's. `redis-cli ping` without `-e` exits with 0 when it is refused.
    pub fn of_redis() -> Self {
        Self {
            argv: ["redis-cli", "-e", "ping"].map(str::to_owned).to_vec(),
            says: Some("PONG".to_owned()),
        }
    }

    /// Whether it is that.
    pub fn is_of_redis(&self) -> bool {
        *self == Self::of_redis()
    }

    /// The program and its arguments, as they are passed on.
    pub fn argv(&self) -> Vec<&str> {
        self.argv.iter().map(String::as_str).collect()
    }

    /// Whether such an end of the program means that the container is ready.
    pub fn is_ready(&self, code: i32, stdout: &str) -> bool {
        match &self.says {
            Some(says) => stdout.trim() == says,
            None => code == 0,
        }
    }
}

/// A container as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// None of that name.
    Absent,
    /// There.
    Present(Box<RunningContainer>),
}

impl Mount {
    /// The volume it mounts, if it is one.
    pub fn volume(&self) -> Option<&str> {
        match self {
            Self::Volume { name, .. } => Some(name),
            Self::Bind { .. } | Self::Memory { .. } => None,
        }
    }
}

/// What matters of a container that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningContainer {
    /// The value of our label, if it has one.
    pub stack: Option<String>,
    /// The hash of the settings it was made from, from its label.
    pub settings: Option<String>,
    /// The hash of the settings wanted now, group number included; nothing while that is unknown.
    pub wanted: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// The image it was made from is the one the reference names now.
    pub image_is_current: bool,
    /// What somebody changed of it since it was made, in words.
    pub changes: Vec<String>,
    /// Something it reads has changed since it started.
    pub owes_restart: bool,
    /// Of that, only what it can read again as it runs.
    pub owes_reload: bool,
}

impl Container {
    pub(super) fn compare(&self, state: &ContainerState, claim: Claim) -> Option<Change> {
        let found = match state {
            ContainerState::Absent => {
                return Some(Change::new(Action::Create, "no such container"));
            }
            ContainerState::Present(found) => found,
        };
        match &found.stack {
            None if !self.probe.is_of_redis() => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::TakeOver,
                    "a container that Tavern did not make has this name, and only a Redis is taken over: rename it",
                )
            }),
            None => {
                let reason = "a container that Tavern did not make has this name: it would be stopped, renamed and kept";
                Some(Change::take_over(reason, claim))
            }
            Some(stack) if *stack != self.stack => Some(Change {
                conflict: true,
                ..Change::new(Action::TakeOver, format!("belongs to stack `{stack}`"))
            }),
            _ if found.wanted.is_none() || found.settings != found.wanted => Some(Change::new(
                Action::Update,
                "settings differ: it is made anew, its volume stays",
            )),
            _ if !found.image_is_current => Some(Change::new(
                Action::Update,
                "its image changed: it is made anew, its volume stays",
            )),
            _ if !found.changes.is_empty() => Some(Change::new(
                Action::Update,
                format!(
                    "{}: it is made anew, its volume stays",
                    found.changes.join(", ")
                ),
            )),
            _ if !found.running => Some(Change::new(Action::Restart, "not running")),
            _ if found.owes_restart => {
                Some(Change::new(Action::Restart, "its configuration changed"))
            }
            _ if found.owes_reload => Some(Change::new(
                Action::Reload,
                "its access list changed: it reads it again",
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_what_the_probe_says() {
        let redis = Probe::of_redis();
        assert!(redis.is_ready(0, "PONG\n"));
        // `redis-cli` exits with 0 on it, without `-e`.
        assert!(!redis.is_ready(0, "NOAUTH Authentication required.\n"));
        let quiet = Probe {
            says: None,
            ..redis
        };
        assert!(quiet.is_ready(0, "anything") && !quiet.is_ready(1, ""));
    }

    #[test]
    fn what_a_container_does_without_is_not_written() {
        let old = r#"{"name":"r","stack":"s","image":"redis:7","command":[],"uid":999,"group":"g","mounts":[],"memory":1,"pids":2}"#;
        let container: Container = serde_json::from_str(old).unwrap();
        assert_eq!(container.network, Network::None);
        // So the hash of its settings stays, and it is not made anew by a later Tavern.
        assert_eq!(serde_json::to_string(&container).unwrap(), old);
    }

    #[test]
    fn a_volume_of_somebody_elses_is_not_taken_without_leave() {
        let volume = Volume {
            name: "data".into(),
            stack: "counter".into(),
            postgres: None,
        };
        let found = |stack: Option<&str>, claim| {
            let state = VolumeState::Present {
                stack: stack.map(str::to_owned),
                holds: None,
            };
            volume.compare(&state, claim).map(|change| change.conflict)
        };
        assert_eq!(found(Some("counter"), Claim::Foreign), None);
        assert_eq!(found(None, Claim::Foreign), Some(true));
        assert_eq!(found(None, Claim::Adopted), Some(false));
        // Not even then: the other stack uses it.
        assert_eq!(found(Some("shop"), Claim::Adopted), Some(true));
        assert_eq!(found(Some("shop"), Claim::Ours), Some(true));
    }

    #[test]
    fn a_volume_with_data_of_another_major_version_is_not_taken_at_all() {
        let volume = Volume {
            name: "data".into(),
            stack: "shop".into(),
            postgres: Some(16),
        };
        for (stack, claim) in [
            (Some("shop"), Claim::Ours),
            (None, Claim::Adopted),
            (None, Claim::Ours),
        ] {
            let state = VolumeState::Present {
                stack: stack.map(str::to_owned),
                holds: Some("data of PostgreSQL 15".into()),
            };
            let change = volume.compare(&state, claim).unwrap();
            assert!(change.conflict, "{claim:?}");
            assert!(
                change.reason.contains("of PostgreSQL 15"),
                "{}",
                change.reason
            );
            assert!(
                change.reason.contains("name another `volume`"),
                "{}",
                change.reason
            );
        }
    }
}
