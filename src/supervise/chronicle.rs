//! What a round leaves for those who show it: 90 days of each probe, and what was told of late. A file of its own, for
//! only a round opens the store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::alert::{is_good, line};
use super::health::{News, Second};
use super::store::Day;
use crate::engine::Engine;
use crate::host::HostError;
use crate::model::Mode;
use crate::resource::Owner;

const VERSION: u32 = 1;
/// News that are kept.
const NEWS: usize = 20;
/// Of a longer text so many characters.
const LONGEST: usize = 500;

/// A day of a probe: its number since 1970, and how often it was healthy, unhealthy, unknown.
pub type Counted = (u32, u32, u32, u32);

/// What was, in the form that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chronicle {
    /// The version of this form.
    pub version: u32,
    /// The day it was written, since 1970.
    pub today: u32,
    /// The days of each probe, oldest first.
    pub probes: BTreeMap<String, Vec<Counted>>,
    /// What was told of late, newest first.
    pub news: Vec<Told>,
}

/// Something that people were told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Second,
    /// In words.
    pub text: String,
    /// Whether it is good.
    pub good: bool,
}

fn path(engine: &Engine<'_>) -> PathBuf {
    engine.layout.state.join("health/chronicle.json")
}

impl Chronicle {
    /// As the last round left it; nothing if there was none, or it was another version's.
    pub fn read(engine: &Engine<'_>) -> Option<Self> {
        let bytes = engine.host.files.read(&path(engine)).ok()??;
        let chronicle: Self = serde_json::from_slice(&bytes).ok()?;
        (chronicle.version == VERSION).then_some(chronicle)
    }

    /// Goes on from here: these are the days now, and these are news.
    pub(super) fn advance(
        &mut self,
        today: u32,
        days: BTreeMap<String, Vec<(u32, Day)>>,
        news: &[News],
        now: Second,
    ) {
        self.version = VERSION;
        self.today = today;
        let counted = |(date, day): (u32, Day)| (date, day.healthy, day.unhealthy, day.unknown);
        let counts = days.into_iter();
        self.probes = counts
            .map(|(probe, days)| (probe, days.into_iter().map(counted).collect()))
            .collect();
        for one in news {
            let told = Told {
                at: now,
                text: line(one).chars().take(LONGEST).collect(),
                good: is_good(one),
            };
            self.news.insert(0, told);
        }
        self.news.truncate(NEWS);
    }

    pub(super) fn write(&self, engine: &Engine<'_>) -> Result<(), HostError> {
        let bytes =
            serde_json::to_vec(self).map_err(|error| HostError::Unexpected(error.to_string()))?;
        let files = &engine.host.files;
        files.write(&path(engine), &bytes, Mode(0o600), &Owner::root())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    #[test]
    fn the_first_form_is_still_read() {
        let text = include_str!("../../tests/formats/chronicle-v1.json");
        let chronicle: Chronicle = serde_json::from_str(text).unwrap();
        assert_eq!(chronicle.probes["disk /"], [(20777, 1380, 2, 0)]);
        assert!(!chronicle.news[0].good);
    }

    #[test]
    fn news_are_bounded_and_the_newest_comes_first() {
        let mut chronicle = Chronicle::default();
        for second in 0..100 {
            let news = News::Changed {
                subject: format!("probe {second}"),
                from: Verdict::Healthy,
                to: Verdict::Unhealthy,
                reason: "x".repeat(10_000),
            };
            chronicle.advance(5, BTreeMap::new(), &[news], second);
        }
        assert_eq!(chronicle.news.len(), NEWS);
        assert_eq!(chronicle.news[0].at, 99);
        assert!(chronicle.news[0].text.starts_with("probe 99: unhealthy: x"));
        assert_eq!(chronicle.news[0].text.chars().count(), LONGEST);
    }
}
