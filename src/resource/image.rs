use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Action, Change};
use crate::model::ImageRef;

/// A container image that must be on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its reference, as the stack file has it.
    pub reference: ImageRef,
    /// Which image that is on this host. A tag may move; this does not, until somebody asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Where the login for its registry is, in the form of Docker's `config.json`; nothing for root's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_file: Option<PathBuf>,
}

/// One image out of all that a tag was given to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// What registries call it, with `sha256:`. One that came from a file may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What this host's engine calls it, once it has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Image {
    /// One that is not pinned yet.
    pub fn new(reference: ImageRef) -> Self {
        Self {
            reference,
            pin: None,
            auth_file: None,
        }
    }

    /// By what to ask an engine for it, best first.
    pub fn names(&self) -> Vec<String> {
        match &self.pin {
            None => vec![self.reference.to_string()],
            Some(pin) => {
                let digest = pin.digest.as_ref().map(|digest| self.reference.at(digest));
                digest.into_iter().chain(pin.id.clone()).collect()
            }
        }
    }

    pub(super) fn compare(&self, id: Option<&str>) -> Option<Change> {
        let missing = |reason| Some(Change::new(Action::Create, reason));
        match (id, self.pin.as_ref().and_then(|pin| pin.digest.as_ref())) {
            (Some(_), _) => None,
            (None, Some(digest)) => missing(format!(
                "not on this host: got as {}",
                self.reference.at(digest)
            )),
            (None, None) => missing("not on this host: got, and pinned to its digest".to_owned()),
        }
    }
}
