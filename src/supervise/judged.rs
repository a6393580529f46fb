//! What a probe says of a thing that is also shown by itself.

use serde::Serialize;

use super::snapshot::Probe;
use crate::check::Verdict;

/// A probe's word on a thing that has a place of its own: nobody who shows it judges anew.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The verdict that holds; unknown until it was asked.
    pub verdict: Verdict,
    /// Why, where all is not well.
    pub reason: Option<String>,
}

impl Default for Judged {
    fn default() -> Self {
        Self {
            verdict: Verdict::Unknown,
            reason: Some("not asked yet".to_owned()),
        }
    }
}

impl Judged {
    pub(super) fn by(probes: &[Probe], stack: &str, subject: &str) -> Self {
        let is_its =
            |probe: &&Probe| probe.stack.as_deref() == Some(stack) && probe.subject == subject;
        let Some(probe) = probes.iter().find(is_its) else {
            return Self::default();
        };
        let is_well = matches!(probe.verdict, Verdict::Healthy | Verdict::Note);
        Self {
            verdict: probe.verdict,
            reason: (!is_well).then(|| probe.reason.clone()),
        }
    }
}
