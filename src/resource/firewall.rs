use serde::{Deserialize, Serialize};

use super::{Action, Change};

/// A TCP port that ufw lets in. Only declared while ufw is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The port.
    pub port: u16,
}

impl Opening {
    pub(super) fn compare(open: bool) -> Option<Change> {
        (!open).then(|| Change::new(Action::Create, "the firewall does not let it in"))
    }
}
