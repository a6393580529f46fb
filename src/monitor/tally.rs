//! Statuses and times of a site over the last minutes, in memory that does not grow with the traffic.

use super::line::Request;

/// Seconds that one slot counts.
const SLOT: u64 = 10;
const SLOTS_A_MINUTE: u64 = 60 / SLOT;
/// Minutes over which is reported, whatever the error rule looks at.
pub(super) const MINUTES: u64 = 5;
/// More minutes than this are not kept.
const MOST_MINUTES: u64 = 15;
/// Upper ends in seconds; a last bucket takes the rest.
const BOUNDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

#[derive(Clone, Default)]
struct Slot {
    /// Which stretch of time it holds, since 1970.
    number: u64,
    /// By the status's first digit, 1 to 5.
    classes: [u64; 5],
    times: [u64; BOUNDS.len() + 1],
}

/// The last minutes of one site.
#[derive(Clone)]
pub(super) struct Tally {
    slots: Vec<Slot>,
}

/// What a tally comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) classes: [u64; 5],
    times: [u64; BOUNDS.len() + 1],
}

impl Tally {
    /// One that knows so many minutes, and what is reported.
    pub(super) fn over(minutes: u64) -> Self {
        let slots = minutes.clamp(MINUTES, MOST_MINUTES) * SLOTS_A_MINUTE;
        Self {
            slots: vec![Slot::default(); usize::try_from(slots).unwrap_or_default()],
        }
    }

    pub(super) fn note(&mut self, request: &Request, now: u64) {
        let number = now / SLOT;
        let slots = self.slots.len().max(1) as u64;
        let index = usize::try_from(number % slots).unwrap_or_default();
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if slot.number != number {
            *slot = Slot {
                number,
                ..Slot::default()
            };
        }
        if let Some(class) = slot.classes.get_mut(usize::from(request.status / 100 - 1)) {
            *class += 1;
        }
        let bucket = BOUNDS.partition_point(|bound| *bound < request.seconds);
        if let Some(times) = slot.times.get_mut(bucket) {
            *times += 1;
        }
    }

    /// The minutes up to now.
    pub(super) fn sum(&self, now: u64, minutes: u64) -> Sum {
        let newest = now / SLOT;
        let oldest = (newest + 1).saturating_sub(minutes.saturating_mul(SLOTS_A_MINUTE));
        let mut sum = Sum::default();
        let recent = |slot: &&Slot| (oldest..=newest).contains(&slot.number);
        for slot in self.slots.iter().filter(recent) {
            let all = sum.classes.iter_mut().chain(&mut sum.times);
            for (total, part) in all.zip(slot.classes.iter().chain(&slot.times)) {
                *total += part;
            }
        }
        sum
    }
}

impl Sum {
    pub(super) fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Failures of the server: 5xx.
    pub(super) fn failures(&self) -> u64 {
        self.classes[4]
    }

    /// The time in seconds that this share of the requests took at most, as far as the buckets tell. Nothing without
    /// requests, or where it is past the last bound.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let all = self.requests();
        let mut left = (all as f64 * share).ceil().max(1.0) as u64;
        if all == 0 {
            return None;
        }
        for (count, bound) in self.times.iter().zip(BOUNDS) {
            if *count >= left {
                return Some(bound);
            }
            left -= count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(status: u16, seconds: f64) -> Request {
        Request {
            client: [192, 0, 2, 1].into(),
            status,
            seconds,
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        for minutes in [MINUTES, MOST_MINUTES] {
            let window = minutes * 60;
            let mut tally = Tally::over(minutes);
            let start = 1_800_000_000;
            for second in 0..2 * window {
                tally.note(&request(200, 0.002), start + second);
            }
            let end = start + 2 * window - 1;
            assert_eq!(tally.sum(end, minutes).requests(), window);
            assert_eq!(tally.sum(end, 2).requests(), 120);
            assert_eq!(tally.sum(end + SLOT, minutes).requests(), window - SLOT);
            assert_eq!(tally.sum(end + window, minutes).requests(), 0);
            // A slot that is used again starts anew.
            tally.note(&request(503, 9.0), end + window);
            let sum = tally.sum(end + window, minutes);
            assert_eq!((sum.requests(), sum.failures()), (1, 1));
            // A clock that was set back counts nothing twice.
            assert_eq!(tally.sum(start, minutes).requests(), 0);
        }
    }

    #[test]
    fn quantiles_are_the_bounds_of_their_buckets() {
        let mut tally = Tally::over(MINUTES);
        for _ in 0..98 {
            tally.note(&request(200, 0.002), 1000);
        }
        tally.note(&request(200, 0.3), 1000);
        tally.note(&request(200, 60.0), 1000);
        let sum = tally.sum(1000, MINUTES);
        assert_eq!(sum.quantile(0.5), Some(0.0025));
        assert_eq!(sum.quantile(0.99), Some(0.5));
        assert_eq!(sum.quantile(1.0), None);
        assert_eq!(Sum::default().quantile(0.5), None);
    }
}
