use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Action, Change, Owner};
use crate::model::{HashCost, Mode};

/// What a generated credential is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretKind {
    /// 256 random bits in hexadecimal.
    Key,
    /// As a key, for a stack's backups: shown once when it is made, since without it they are worth nothing.
    BackupKey {
        /// The stack.
        stack: String,
    },
    /// Signing keys of an app: the first signs, the others are on their way out.
    KeyRing,
    /// `name:argon2id-hash` lines for an app; new accounts get a generated password.
    Accounts {
        /// The app.
        app: String,
        /// Who may log in.
        names: Vec<String>,
        /// What the hash of a new password costs.
        #[serde(default)]
        cost: HashCost,
    },
}

/// What is to become of tokens that the signing key before signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// They hold until they expire.
    WithOverlap,
    /// They end at once.
    AtOnce,
}

/// A credential, made once, root-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Where it lives.
    pub path: PathBuf,
    /// What it is.
    pub kind: SecretKind,
    /// Where generated passwords are written for the owner.
    pub passwords: PathBuf,
    /// Where an older Tavern had it: it begins as a copy of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<PathBuf>,
}

/// A credential file as found. Never its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretState {
    /// None.
    Absent,
    /// A link, a directory or a device: who put it there may read what is written to it.
    NotAFile,
    /// There, with these accounts if it holds accounts.
    Present {
        /// Names in the file.
        accounts: Vec<String>,
        /// Whether it is root's alone (0600 or less).
        private: bool,
        /// Whether it is usable: a key of 64 hex digits, or lines that parse.
        usable: bool,
        /// Somebody asked for a new signing key.
        rotation: Option<Rotation>,
    },
}

impl Secret {
    pub(super) fn compare(&self, state: &SecretState) -> Option<Change> {
        match state {
            SecretState::Absent => Some(Change::new(Action::Create, "not made yet")),
            SecretState::NotAFile => Some(Change {
                conflict: true,
                ..Change::new(Action::Update, "something that is no file is in its place")
            }),
            SecretState::Present { usable: false, .. } => Some(Change {
                conflict: true,
                ..Change::new(
                    Action::Update,
                    "cannot be read as what it should be: restore it, or move it away to have a new one made",
                )
            }),
            SecretState::Present {
                rotation: Some(rotation),
                ..
            } => Some(match rotation {
                Rotation::WithOverlap if self.kind == SecretKind::Key => Change::new(
                    Action::Rotate,
                    "a new password; the one before is accepted until the next rotation",
                ),
                Rotation::AtOnce if self.kind == SecretKind::Key => Change::new(
                    Action::Replace,
                    "a new password; the ones before end at once",
                ),
                Rotation::WithOverlap => Change::new(
                    Action::Rotate,
                    "a new key signs; tokens of the one before hold until they expire",
                ),
                Rotation::AtOnce => Change::new(
                    Action::Replace,
                    "a new key signs; every token of the ones before ends at once",
                ),
            }),
            SecretState::Present { private: false, .. } => {
                Some(Change::new(Action::Update, "others than root can read it"))
            }
            SecretState::Present { accounts, .. } => match &self.kind {
                SecretKind::Key | SecretKind::BackupKey { .. } | SecretKind::KeyRing => None,
                SecretKind::Accounts { names, .. } => accounts_differ(names, accounts),
            },
        }
    }
}

fn accounts_differ(wanted: &[String], found: &[String]) -> Option<Change> {
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !found.contains(name))
        .cloned()
        .collect();
    let surplus: Vec<_> = found
        .iter()
        .filter(|name| !wanted.contains(name))
        .cloned()
        .collect();
    let mut reasons = Vec::new();
    if !missing.is_empty() {
        reasons.push(format!("no account for {}", missing.join(", ")));
    }
    if !surplus.is_empty() {
        reasons.push(format!("{} left the stack", surplus.join(", ")));
    }
    (!reasons.is_empty()).then(|| Change::new(Action::Update, reasons.join("; ")))
}

/// A site's password file for basic authentication, read by nginx's workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Htpasswd {
    /// Where.
    pub path: PathBuf,
    /// Who has an account.
    pub accounts: Vec<String>,
    /// Where generated passwords are written for the owner.
    pub passwords: PathBuf,
    /// The heading there.
    pub heading: String,
    /// Permission bits.
    pub mode: Mode,
    /// Owner and group.
    pub owner: Owner,
}

/// A password file as found. Never its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HtpasswdState {
    /// None.
    Absent,
    /// There.
    Present {
        /// Names with a hash that nginx checks cheaply enough (`$5$`, `$6$`, apr1).
        accounts: Vec<String>,
        /// Permission bits.
        mode: Mode,
        /// Who owns it.
        owner: Owner,
    },
}

impl Htpasswd {
    pub(super) fn compare(&self, state: &HtpasswdState) -> Option<Change> {
        match state {
            HtpasswdState::Absent => Some(Change::new(Action::Create, "not made yet")),
            HtpasswdState::Present {
                accounts,
                mode,
                owner,
            } => accounts_differ(&self.accounts, accounts).or_else(|| {
                (*mode != self.mode || *owner != self.owner).then(|| {
                    Change::new(
                        Action::Update,
                        format!("is {owner} {mode}, not {} {}", self.owner, self.mode),
                    )
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_follow_the_stack_both_ways() {
        let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(accounts_differ(&names(&["a"]), &names(&["a"])), None);
        let change = accounts_differ(&names(&["a", "b"]), &names(&["a", "c"])).unwrap();
        assert_eq!(change.reason, "no account for b; c left the stack");
    }
}
