use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Files as _, HostError, RealFiles};

/// A moment that no change of the clock moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Which boot: another text after each.
    pub boot: String,
    /// Since that boot.
    pub length: Duration,
}

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;

    /// How long the host has been up, whatever the clock says.
    ///
    /// # Errors
    /// When the kernel does not tell.
    fn uptime(&self) -> Result<Uptime, HostError>;

    /// Now, as RFC 3339 writes it, to the second.
    fn now_text(&self) -> String {
        let now = self.now();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        now.format(&Rfc3339).unwrap_or_default()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn uptime(&self) -> Result<Uptime, HostError> {
        let read = |path: &str| -> Result<String, HostError> {
            let bytes = RealFiles.read(Path::new(path))?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let unclear = || HostError::Unexpected("the kernel does not say when it booted".to_owned());
        let boot = read("/proc/sys/kernel/random/boot_id")?;
        // In a container the boot is the host's, and the first process is its own.
        let first = read("/proc/1/stat")?;
        let began = first
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(19));
        let uptime = read("/proc/uptime")?;
        let seconds = uptime
            .split_whitespace()
            .next()
            .and_then(|text| text.parse().ok());
        Ok(Uptime {
            boot: format!("{} {}", boot.trim(), began.ok_or_else(unclear)?),
            length: Duration::try_from_secs_f64(seconds.ok_or_else(unclear)?)
                .map_err(|_| unclear())?,
        })
    }
}
