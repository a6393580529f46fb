use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whether what is on the host is ours to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The receipt says we made it.
    Ours,
    /// Somebody else's, or unknown.
    Foreign,
    /// Somebody else's, and the operator said to take it over.
    Adopted,
}

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is not there.
    Create,
    /// It is there and differs.
    Update,
    /// Somebody else's thing is in its place: kept aside, then created.
    TakeOver,
    /// It must run again to see what changed.
    Restart,
    /// It reads again what changed, as it runs.
    Reload,
    /// A newer one takes over, beside what is there.
    Rotate,
    /// A newer one takes over, instead of what is there.
    Replace,
    /// It left the stack files.
    Remove,
}

impl Action {
    /// The sign a plan shows before the resource.
    pub fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update | Self::Rotate | Self::Replace => '~',
            Self::TakeOver => '!',
            Self::Restart | Self::Reload => '↻',
            Self::Remove => '-',
        }
    }
}

/// A difference between desired and observed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What will be done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// The texts, for a file that is no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<TextChange>,
    /// It would take somebody else's thing and nobody said it may.
    pub conflict: bool,
    /// Files that somebody edited since Tavern wrote them; a copy of each is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<PathBuf>,
}

/// A file's text before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextChange {
    /// As it is.
    pub before: String,
    /// As it will be.
    pub after: String,
}

impl Change {
    /// A change without a diff.
    pub fn new(action: Action, reason: impl Into<String>) -> Self {
        Self {
            action,
            reason: reason.into(),
            diff: None,
            conflict: false,
            edited: Vec::new(),
        }
    }

    pub(super) fn with_diff(mut self, before: &[u8], after: &[u8]) -> Self {
        if let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) {
            self.diff = Some(TextChange {
                before: before.to_owned(),
                after: after.to_owned(),
            });
        }
        self
    }

    /// A thing of somebody else's stands in the way: taken over if adopted, else a conflict.
    pub(super) fn take_over(reason: impl Into<String>, claim: Claim) -> Self {
        Self {
            conflict: claim != Claim::Adopted,
            ..Self::new(Action::TakeOver, reason)
        }
    }
}
