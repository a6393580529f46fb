//! What the supervisor knows, for whoever asks: a file that it writes and others read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::{Host, HostError};
use crate::model::{Layout, Mode};
use crate::resource::Owner;

const VERSION: u32 = 1;

/// What the supervisor knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The version of this form.
    pub version: u32,
    /// Since when it watches, in RFC 3339.
    pub since: String,
    /// Its containers.
    pub containers: Vec<KeptContainer>,
}

/// A container that is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptContainer {
    /// Docker's name for it.
    pub name: String,
    /// The stack it belongs to.
    pub stack: String,
    /// Where it is, by the name in the diagram.
    pub phase: String,
    /// Since when, in RFC 3339.
    pub since: String,
    /// How often it was mended since the supervisor began.
    pub mends: u64,
    /// It crashes again and again.
    pub crash_loop: bool,
    /// Why the last mend failed, until it is well again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why its process ended last, until it is well again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl KeptContainer {
    /// In words, for a person.
    pub fn describe(&self) -> String {
        let mut text = format!("{} since {}", self.phase.replace('_', " "), self.since);
        if self.crash_loop {
            text.push_str(", crash loop");
        }
        match self.mends {
            0 => {}
            1 => text.push_str(", mended once"),
            times => text.push_str(&format!(", mended {times} times")),
        }
        for why in [&self.error, &self.cause].into_iter().flatten() {
            text.push_str(&format!("\n             {why}"));
        }
        text
    }
}

impl Picture {
    fn path(layout: &Layout) -> PathBuf {
        layout.run.with_file_name("tavernd").join("state.json")
    }

    /// As the supervisor wrote it last; nothing if none runs, or it is another version's.
    pub fn read(host: &Host, layout: &Layout) -> Option<Self> {
        let bytes = host.files.read(&Self::path(layout)).ok()??;
        let picture: Self = serde_json::from_slice(&bytes).ok()?;
        (picture.version == VERSION).then_some(picture)
    }

    pub(super) fn write(&mut self, host: &Host, layout: &Layout) -> Result<(), HostError> {
        self.version = VERSION;
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| HostError::Unexpected(error.to_string()))?;
        let path = Self::path(layout);
        host.files
            .write(&path, &bytes, Mode(0o600), &Owner::root())
            .map(|_| ())
    }

    pub(super) fn remove(host: &Host, layout: &Layout) {
        let _ = host.files.remove(&Self::path(layout));
    }
}
