//! Who does how much within a minute, in memory that does not grow with the crowd.

use std::collections::BTreeMap;

use super::detect::Kind;

/// So many are kept apart; the ones that did least make room.
pub(super) const SIZE: usize = 2048;
/// Seconds for which somebody is named after he last stood out: whoever asks once a minute sees it.
pub(super) const NAMED: u64 = 300;

/// What is counted of one of them: two things.
type Counts = [u32; 2];

/// A crowd, by the minute.
pub(super) struct Crowd<K> {
    minute: u64,
    /// This minute and the one before.
    now: BTreeMap<K, Counts>,
    before: BTreeMap<K, Counts>,
    /// Those that stand out: the most within a minute, and when last.
    named: BTreeMap<(Kind, K), (u32, u64)>,
}

impl<K> Default for Crowd<K> {
    fn default() -> Self {
        Self {
            minute: 0,
            now: BTreeMap::new(),
            before: BTreeMap::new(),
            named: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Crowd<K> {
    /// What somebody did at that second. What is older than the minute before is too old to matter.
    pub(super) fn note(&mut self, who: K, counts: Counts, at: u64) {
        let minute = at / 60;
        if minute > self.minute {
            self.turn(minute);
        }
        let all = if minute == self.minute {
            &mut self.now
        } else if minute + 1 == self.minute {
            &mut self.before
        } else {
            return;
        };
        if all.len() >= SIZE && !all.contains_key(&who) {
            make_room(all);
        }
        let known = all.entry(who).or_default();
        for (sum, one) in known.iter_mut().zip(counts) {
            *sum = sum.saturating_add(one);
        }
    }

    /// A clock that was set back begins anew as well.
    fn turn(&mut self, minute: u64) {
        if minute == self.minute {
            return;
        }
        let last = std::mem::take(&mut self.now);
        self.before = if minute == self.minute + 1 {
            last
        } else {
            BTreeMap::new()
        };
        self.minute = minute;
    }

    /// Those that stand out, or did a while ago: with how much. Each limit is of the count in its place.
    pub(super) fn findings(&mut self, limits: [(Kind, u32); 2], now: u64) -> Vec<(Kind, K, u32)> {
        self.turn(now / 60);
        for (who, counts) in self.before.iter().chain(&self.now) {
            for (count, (kind, limit)) in counts.iter().zip(limits) {
                if *count < limit {
                    continue;
                }
                let key = (kind, who.clone());
                if self.named.len() < SIZE || self.named.contains_key(&key) {
                    let (most, last) = self.named.entry(key).or_default();
                    (*most, *last) = ((*count).max(*most), now);
                }
            }
        }
        // A clock that was set back is no reason to name it for ever.
        self.named
            .retain(|_, (_, last)| now.abs_diff(*last) < NAMED);
        let named = self.named.iter();
        named
            .map(|((kind, who), (most, _))| (*kind, who.clone(), *most))
            .collect()
    }

    /// So many are kept apart now.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.now.len()
    }
}

/// Half of them go, those that did least: whoever does much stays in sight of a crowd.
fn make_room<K: Ord>(all: &mut BTreeMap<K, Counts>) {
    let size = |counts: &Counts| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
    let mut sizes: Vec<u64> = all.values().map(size).collect();
    let middle = sizes.len() / 2;
    let (_, median, _) = sizes.select_nth_unstable(middle);
    let median = *median;
    let mut spare = middle;
    all.retain(|_, counts| {
        let goes = size(counts) <= median && spare > 0;
        spare -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: [(Kind, u32); 2] = [(Kind::BruteForce, 3), (Kind::Scanner, u32::MAX)];

    /// What is read late is counted in the minute in which it was done.
    #[test]
    fn what_comes_late_is_counted_where_it_belongs() {
        let mut crowd = Crowd::default();
        crowd.findings(LIMITS, 6030);
        for at in [5990, 6001, 5999, 6002, 5000] {
            crowd.note("a", [1, 0], at);
        }
        assert_eq!(crowd.findings(LIMITS, 6030), []);
        crowd.note("a", [1, 0], 5998);
        assert_eq!(crowd.findings(LIMITS, 6030), [(Kind::BruteForce, "a", 3)]);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let mut crowd = Crowd::default();
        crowd.note("a", [9, 0], 600_000);
        assert_eq!(crowd.findings(LIMITS, 600_000).len(), 1);
        assert_eq!(crowd.findings(LIMITS, 6000), []);
        crowd.note("b", [9, 0], 6001);
        assert_eq!(crowd.findings(LIMITS, 6002), [(Kind::BruteForce, "b", 9)]);
    }
}
