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
    },
}

impl Volume {
    pub(super) fn compare(&self, state: &VolumeState, claim: Claim) -> Option<Change> {
        match state {
            VolumeState::Absent => Some(Change::new(Action::Create, "no such volume")),
            VolumeState::Present { stack: Some(stack) } if *stack == self.stack => None,
            VolumeState::Present { stack: Some(stack) } => Some(Change {
                conflict: true,
                ..Change::new(Action::TakeOver, format!("belongs to stack `{stack}`"))
            }),
            // Labels cannot be added later: an adopted volume is known by the receipt.
            VolumeState::Present { stack: None } if claim == Claim::Ours => None,
            VolumeState::Present { stack: None } => Some(Change::take_over(
                "a volume that Tavern did not make: its data is kept and used",
                claim,
            )),
        }
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
}

/// A container without a network, least privilege.
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
            Self::Bind { .. } => None,
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
    fn a_volume_of_somebody_elses_is_not_taken_without_leave() {
        let volume = Volume {
            name: "data".into(),
            stack: "counter".into(),
        };
        let found = |stack: Option<&str>, claim| {
            let state = VolumeState::Present {
                stack: stack.map(str::to_owned),
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
}
