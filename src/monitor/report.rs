//! What the monitor says: one small file, replaced as a whole.
#![allow(
    clippy::disallowed_methods,
    reason = "a unit of its own: it writes the one file that it is for, and has no host adapter"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::detect::Finding;
use super::tally::{Sum, WINDOW};

/// The version of the form that this build writes.
const VERSION: u32 = 1;
/// A longer one is not ours: a hundred sites with every finding there can be take less.
const LONGEST: u64 = 1024 * 1024;

/// What has been seen of all sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the form.
    pub version: u32,
    /// Seconds since 1970 at which it was written.
    pub time: u64,
    /// By the log's name: `STACK-SITE`, and `STACK` for what no site answers.
    pub sites: BTreeMap<String, SiteReport>,
}

/// One site, over the last five minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteReport {
    /// How many seconds that are.
    pub window: u64,
    /// Requests.
    pub requests: u64,
    /// Answers by the first digit of the status, 1 to 5.
    pub statuses: [u64; 5],
    /// The time that half of them took at most, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The time that all but one of a hundred took at most, in milliseconds.
    pub p99_ms: Option<f64>,
    /// What stands out.
    pub findings: Vec<Finding>,
    /// Lines since the start that nginx did not write so.
    pub unreadable: u64,
}

impl SiteReport {
    pub(super) fn new(sum: &Sum, findings: Vec<Finding>, unreadable: u64) -> Self {
        let milliseconds = |share| Some(sum.quantile(share)? * 1000.0);
        Self {
            window: WINDOW,
            requests: sum.requests(),
            statuses: sum.classes,
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            findings,
            unreadable,
        }
    }
}

impl Report {
    pub(super) fn new(time: u64) -> Self {
        Self {
            version: VERSION,
            time,
            sites: BTreeMap::new(),
        }
    }

    /// Replaces the file. Not synced: a reboot takes its directory along.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let next = path.with_extension("next");
        let mut file = std::fs::File::create(&next)?;
        file.write_all(&text)?;
        std::fs::rename(&next, path)
    }

    /// Reads what the monitor wrote, which is nobody's word but its own: nothing if it is of another form.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() as u64 > LONGEST {
            return None;
        }
        let report: Self = serde_json::from_slice(bytes).ok()?;
        (report.version == VERSION).then_some(report)
    }
}
