use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;

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
}
