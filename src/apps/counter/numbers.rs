//! What the counter counts of itself.

use std::time::Duration;

use crate::web::metrics::{Counter, Histogram, Metrics};

/// Logins and tokens by what came of them.
pub(super) struct Logins {
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) throttled: Counter,
    pub(super) busy: Counter,
    /// The store that counts attempts was away.
    pub(super) unlimited: Counter,
    pub(super) renewed: Counter,
    pub(super) ended: Counter,
}

impl Logins {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let login = |outcome| metrics.counter("tavern_logins_total", &[("outcome", outcome)]);
        let token = |outcome| metrics.counter("tavern_tokens_total", &[("outcome", outcome)]);
        Self {
            accepted: login("accepted"),
            refused: login("refused"),
            throttled: login("throttled"),
            busy: login("busy"),
            unlimited: login("store_away"),
            renewed: token("renewed"),
            ended: token("ended"),
        }
    }
}

/// How long the store took to write, how often it failed, and how many visits a write had.
pub(super) struct StoreTimes {
    written: Histogram,
    failed: Counter,
    visits: Counter,
}

impl StoreTimes {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            written: metrics.histogram("tavern_store_duration_seconds", &[("operation", "add")]),
            failed: metrics.counter("tavern_store_errors_total", &[("operation", "add")]),
            visits: metrics.counter("tavern_visits_total", &[]),
        }
    }

    pub(super) fn wrote(&self, visits: u64, took: Duration, worked: bool) {
        self.written.record(took.as_secs_f64());
        if worked {
            self.visits.increment(visits);
        } else {
            self.failed.increment(1);
        }
    }
}
