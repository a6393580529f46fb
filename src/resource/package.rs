use serde::{Deserialize, Serialize};

use super::{Action, Change};

/// A Debian package that must be installed. Its version is the distribution's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Debian's name for it.
    pub name: String,
}

impl Package {
    pub(super) fn compare(&self, installed: bool) -> Option<Change> {
        (!installed).then(|| Change::new(Action::Create, "not installed"))
    }
}

/// A system group, made by systemd-sysusers from a file in `sysusers.d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
}

impl Group {
    pub(super) fn compare(&self, exists: bool) -> Option<Change> {
        (!exists).then(|| Change::new(Action::Create, "no such group"))
    }
}
