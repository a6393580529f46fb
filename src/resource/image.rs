use serde::{Deserialize, Serialize};

use super::{Action, Change};
use crate::model::ImageRef;

/// A container image that must be on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its reference.
    pub reference: ImageRef,
}

impl Image {
    pub(super) fn compare(id: Option<&str>) -> Option<Change> {
        id.is_none()
            .then(|| Change::new(Action::Create, "not on this host"))
    }
}
