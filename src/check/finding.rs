use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::host::HostError;
use crate::model::Name;
use crate::stack::is_not_for_terminals;

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As declared.
    Healthy,
    /// Not as declared; the reason says what to do.
    Unhealthy,
    /// Could not be asked.
    Unknown,
    /// Worth knowing, never a failure.
    Note,
}

impl Verdict {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
            Self::Note => "note",
        }
    }
}

/// A verdict with its reason: what a pure judge gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub verdict: Verdict,
    pub reason: String,
}

pub fn healthy(reason: impl Into<String>) -> Judged {
    judged(Verdict::Healthy, reason)
}

pub fn unhealthy(reason: impl Into<String>) -> Judged {
    judged(Verdict::Unhealthy, reason)
}

pub fn unknown(reason: impl Into<String>) -> Judged {
    judged(Verdict::Unknown, reason)
}

pub fn note(reason: impl Into<String>) -> Judged {
    judged(Verdict::Note, reason)
}

fn judged(verdict: Verdict, reason: impl Into<String>) -> Judged {
    // Some of it somebody else said: it must not move the terminal.
    let reason = reason.into().replace(is_not_for_terminals, "\u{fffd}");
    Judged { verdict, reason }
}

/// A refusal of the machine: unknown where the caller lacks the right to ask, else unhealthy.
pub fn refused(error: &HostError) -> Judged {
    let text = match error.help() {
        Some(help) => format!("{error}: {help}"),
        None => error.to_string(),
    };
    if lacks_permission(error) {
        unknown(text)
    } else {
        unhealthy(text)
    }
}

/// Whether the caller lacks the right to ask: then the answer is not known.
fn lacks_permission(error: &HostError) -> bool {
    match error {
        HostError::Io { source, .. } | HostError::Spawn { source, .. } => {
            source.kind() == std::io::ErrorKind::PermissionDenied
        }
        other => other.to_string().contains("ermission denied"),
    }
}

/// One health question, answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stack it is about; nothing for the host as a whole.
    pub stack: Option<Name>,
    /// What was asked about.
    pub subject: String,
    /// The answer.
    pub verdict: Verdict,
    /// Why, and what to do next if it is not healthy.
    pub reason: String,
    /// How long asking took.
    pub took_ms: u64,
}

impl Finding {
    pub(super) fn new(
        stack: Option<&Name>,
        subject: impl Into<String>,
        judged: Judged,
        took_ms: u64,
    ) -> Self {
        Self {
            stack: stack.cloned(),
            subject: subject.into(),
            verdict: judged.verdict,
            reason: judged.reason,
            took_ms,
        }
    }
}

/// Milliseconds since `begun`.
pub fn since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Every probe of every stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The answers, stack by stack, then the host.
    pub findings: Vec<Finding>,
    /// How long all of it took.
    pub took_ms: u64,
}

impl Report {
    /// Whether nothing is unhealthy and nothing could not be asked.
    pub fn is_healthy(&self) -> bool {
        self.exit_code() == 0
    }

    /// 2 when something is unhealthy, else 1 when something could not be asked, else 0.
    pub fn exit_code(&self) -> u8 {
        if self.count(Verdict::Unhealthy) > 0 {
            2
        } else {
            u8::from(self.count(Verdict::Unknown) > 0)
        }
    }

    /// How many findings have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[Judged]) -> Report {
        Report {
            findings: verdicts
                .iter()
                .map(|judged| Finding::new(None, "x", judged.clone(), 0))
                .collect(),
            took_ms: 1,
        }
    }

    /// bug: what a Prometheus, or whoever answered in its place, called its rules came to root's terminal as it was.
    #[test]
    fn what_somebody_said_moves_no_terminal() {
        let reason = healthy("a\u{1b}[2J\u{202e}b\nc").reason;
        assert_eq!(reason, "a\u{fffd}[2J\u{fffd}b\nc");
    }

    #[test]
    fn exit_codes() {
        let (good, bad, dark, aside) = (healthy("a"), unhealthy("b"), unknown("c"), note("d"));
        assert_eq!(report(&[]).exit_code(), 0);
        assert_eq!(report(&[good.clone(), aside.clone()]).exit_code(), 0);
        assert_eq!(report(&[good.clone(), dark.clone()]).exit_code(), 1);
        assert_eq!(report(&[dark, bad, good, aside]).exit_code(), 2);
    }

    #[test]
    fn no_permission_is_unknown_other_refusals_unhealthy() {
        let io = |kind| HostError::Io {
            action: "read",
            path: "/x".into(),
            source: std::io::Error::from(kind),
        };
        let denied = refused(&io(std::io::ErrorKind::PermissionDenied));
        assert_eq!(denied.verdict, Verdict::Unknown);
        assert!(denied.reason.contains("sudo"), "{}", denied.reason);
        let absent = refused(&io(std::io::ErrorKind::NotFound));
        assert_eq!(absent.verdict, Verdict::Unhealthy);
        let nginx = HostError::Nginx("open() failed (13: Permission denied)".into());
        assert_eq!(refused(&nginx).verdict, Verdict::Unknown);
    }
}
