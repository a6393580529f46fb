use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Action, Change, Claim, MARKER, PostgresRole, RedisAcl};
use crate::model::Mode;

/// Owner and group, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub user: String,
    /// The group.
    pub group: String,
}

impl Owner {
    /// root:root.
    pub fn root() -> Self {
        Self::root_and("root")
    }

    /// root, and a group that may read.
    pub fn root_and(group: &str) -> Self {
        Self {
            user: "root".into(),
            group: group.into(),
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathState {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Its bytes.
        content: Vec<u8>,
        /// Its permission bits.
        mode: Mode,
        /// Who owns it.
        owner: Owner,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: PathBuf,
    },
    /// A directory.
    Directory {
        /// Its permission bits.
        mode: Mode,
        /// Who owns it.
        owner: Owner,
    },
    /// A socket, device or fifo.
    Other,
}

impl PathState {
    fn describe(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::File { .. } => "a file",
            Self::Link { .. } => "a link",
            Self::Directory { .. } => "a directory",
            Self::Other => "a socket or device",
        }
    }
}

fn attributes(
    mode: Mode,
    owner: &Owner,
    wanted_mode: Mode,
    wanted_owner: &Owner,
) -> Option<String> {
    match (mode == wanted_mode, owner == wanted_owner) {
        (true, true) => None,
        (false, true) => Some(format!("mode is {mode}, not {wanted_mode}")),
        (true, false) => Some(format!("owner is {owner}, not {wanted_owner}")),
        (false, false) => Some(format!(
            "is {owner} {mode}, not {wanted_owner} {wanted_mode}"
        )),
    }
}

/// A directory. What others put into it stays theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Where.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: Mode,
    /// Owner and group.
    pub owner: Owner,
    /// Who may change its mode, its owner, or put a link in its place.
    pub keep: Keep,
}

impl Directory {
    pub(super) fn compare(&self, state: &PathState, claim: Claim) -> Option<Change> {
        // A place for pages: made once, then the owner's, who may hand it to a deploy user or remove it.
        if self.keep == Keep::Seeded && (claim == Claim::Ours || *state != PathState::Absent) {
            return None;
        }
        match state {
            PathState::Absent => Some(Change::new(Action::Create, "no such directory")),
            PathState::Directory { mode, owner } => {
                attributes(*mode, owner, self.mode, &self.owner)
                    .map(|reason| Change::new(Action::Update, reason))
            }
            other => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::TakeOver,
                    format!("{} is in its place", other.describe()),
                )
            }),
        }
    }
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// These.
    Text(String),
    /// A page or picture that tavernctl carries, by its name below `www/`.
    Page(String),
    /// Redis's access list, with the hashes of the passwords in a credential file.
    RedisAcl(RedisAcl),
    /// What a Postgres is told of its role, with the password in a credential file as Postgres keeps it.
    PostgresRole(PostgresRole),
    /// The password in a credential file, a copy for whoever may read this file.
    Password(PathBuf),
}

/// Who may change a file after it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Tavern: other content is drift.
    Managed,
    /// The owner: made if it is missing at the first install, then never touched.
    Seeded,
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: Mode,
    /// Owner and group.
    pub owner: Owner,
    /// Its bytes.
    pub content: Content,
    /// Who may change it later.
    pub keep: Keep,
}

impl File {
    /// Whether its bytes are looked at. A page is the owner's after it was made and a log (which begins empty) is
    /// its writers': both may be larger than what can be read.
    pub fn is_read(&self) -> bool {
        match (self.keep, &self.content) {
            (Keep::Managed, _) => true,
            (Keep::Seeded, Content::Text(text)) => !text.is_empty(),
            (Keep::Seeded, _) => false,
        }
    }

    /// The credential that its bytes are made from.
    pub fn password(&self) -> Option<&PathBuf> {
        match &self.content {
            Content::RedisAcl(acl) => Some(&acl.password),
            Content::PostgresRole(role) => Some(&role.password),
            Content::Password(path) => Some(path),
            Content::Text(_) | Content::Page(_) => None,
        }
    }

    pub(super) fn compare(
        &self,
        state: &PathState,
        wanted: Option<&[u8]>,
        claim: Claim,
    ) -> Option<Change> {
        let shown = |change: Change, before: &[u8]| match (&self.content, wanted) {
            (Content::Text(_), Some(wanted)) => change.with_diff(before, wanted),
            _ => change,
        };
        // A page the owner deleted stays deleted: it was seeded once.
        if self.keep == Keep::Seeded && (claim == Claim::Ours || *state != PathState::Absent) {
            return None;
        }
        match state {
            PathState::Absent => Some(shown(Change::new(Action::Create, "no such file"), b"")),
            PathState::File {
                content,
                mode,
                owner,
            } => {
                let differs = wanted != Some(content.as_slice());
                if differs && claim != Claim::Ours && !is_marked(content) {
                    let change = Change::take_over(
                        "a file that Tavern did not write is in its place",
                        claim,
                    );
                    return Some(shown(change, content));
                }
                if differs {
                    let reason = if wanted.is_none() {
                        "its credential is new"
                    } else {
                        "content differs"
                    };
                    return Some(shown(Change::new(Action::Update, reason), content));
                }
                attributes(*mode, owner, self.mode, &self.owner)
                    .map(|reason| Change::new(Action::Update, reason))
            }
            // Never follow a link or empty a directory that somebody put here.
            other => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::TakeOver,
                    format!("{} is in its place", other.describe()),
                )
            }),
        }
    }
}

/// Whether the bytes begin like a file of ours.
fn is_marked(content: &[u8]) -> bool {
    let head = &content[..content.len().min(200)];
    head.windows(MARKER.len())
        .any(|window| window == MARKER.as_bytes())
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where.
    pub path: PathBuf,
    /// What it points to.
    pub target: PathBuf,
}

impl Link {
    pub(super) fn compare(&self, state: &PathState, claim: Claim) -> Option<Change> {
        match state {
            PathState::Absent => Some(Change::new(Action::Create, "no such link")),
            PathState::Link { target } if *target == self.target => None,
            PathState::Link { target } if claim == Claim::Ours => Some(Change::new(
                Action::Update,
                format!("points to {}", target.display()),
            )),
            PathState::Link { .. } | PathState::File { .. } => Some(Change::take_over(
                format!(
                    "{} that Tavern did not make is in its place",
                    state.describe()
                ),
                claim,
            )),
            other => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::TakeOver,
                    format!("{} is in its place", other.describe()),
                )
            }),
        }
    }
}

/// `tavernctl` itself, copied from the running program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// Where it goes.
    pub path: PathBuf,
}

/// The installed binary beside the running one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinaryState {
    /// None.
    Absent,
    /// The same bytes, executable by all.
    Same,
    /// Other bytes, or wrong mode.
    Differs,
    /// Not a file.
    NotAFile,
}

impl Binary {
    pub(super) fn compare(&self, state: &BinaryState, claim: Claim) -> Option<Change> {
        match state {
            BinaryState::Absent => Some(Change::new(Action::Create, "no such file")),
            BinaryState::Same => None,
            BinaryState::Differs if claim == Claim::Ours => {
                Some(Change::new(Action::Update, "another build of tavernctl"))
            }
            BinaryState::Differs => {
                Some(Change::new(Action::TakeOver, "another tavernctl is there"))
            }
            BinaryState::NotAFile => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::TakeOver,
                    "something that is no file is in its place",
                )
            }),
        }
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
