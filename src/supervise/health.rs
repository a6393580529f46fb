//! Verdicts over time, as a pure function: what changed for good, what only wavers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::{Finding, Verdict, age};

/// Seconds since 1970.
pub type Second = i64;

/// So many answers alike are a verdict: one alone may be a restart that somebody asked for.
pub const ALIKE: u32 = 2;
/// So many changes …
pub const WAVERS: usize = 5;
/// … in this time are a probe that wavers.
pub const WAVERS_WITHIN: Second = 3600;
/// Without a change for so long, it wavers no more.
pub const STILL: Second = 1800;
/// Missing in so many rounds in a row, a probe is asked no more.
pub const MISSED: u32 = 5;

/// Without a round for so long, nobody asks any more: they come by the minute.
pub const OVERDUE: Duration = Duration::from_secs(300);
/// What stands for the rounds themselves.
pub const ROUNDS: &str = "health rounds";

/// What is known of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// What it is about, in words.
    pub subject: String,
    /// The verdict that holds.
    pub verdict: Verdict,
    /// Since when.
    pub since: Second,
    /// Why, by the newest answer of that verdict.
    pub reason: String,
    /// It changes too often to be spoken of.
    pub wavers: bool,
    /// Another answer, and how often in a row.
    other: Option<(Verdict, u32)>,
    changes: Vec<Second>,
    /// Rounds in a row that said nothing of it.
    #[serde(default, skip_serializing_if = "is_zero")]
    missed: u32,
}

impl Track {
    fn new(subject: String, reason: String, since: Second) -> Self {
        Self {
            subject,
            verdict: Verdict::Healthy,
            since,
            reason,
            wavers: false,
            other: None,
            changes: Vec::new(),
            missed: 0,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// All that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// By stack and subject.
    pub tracks: BTreeMap<String, Track>,
    /// When the last round came; older builds did not say.
    #[serde(default)]
    pub at: Second,
}

/// Something that people are to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum News {
    /// The verdict is another one.
    Changed {
        /// Of this probe.
        subject: String,
        /// It was.
        from: Verdict,
        /// It is.
        to: Verdict,
        /// Why.
        reason: String,
    },
    /// It changes all the time; it is not spoken of until it is still.
    Wavers {
        /// This probe.
        subject: String,
    },
    /// After a reboot not all is as it was applied.
    SelfTest {
        /// In words.
        text: String,
    },
    /// It wavers no more.
    Still {
        /// This probe.
        subject: String,
        /// The verdict that holds.
        verdict: Verdict,
        /// Why.
        reason: String,
    },
}

impl News {
    /// What it is about.
    pub fn subject(&self) -> &str {
        match self {
            Self::Changed { subject, .. }
            | Self::Wavers { subject }
            | Self::Still { subject, .. } => subject,
            Self::SelfTest { .. } => "self-test",
        }
    }
}

/// The name that a probe has over time.
pub fn key(finding: &Finding) -> String {
    match &finding.stack {
        Some(stack) => format!("{stack}: {}", finding.subject),
        None => finding.subject.clone(),
    }
}

/// A note is nothing to worry about.
pub fn plain(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Note => Verdict::Healthy,
        other => other,
    }
}

fn gravity(finding: &Finding) -> u8 {
    match plain(finding.verdict) {
        Verdict::Healthy | Verdict::Note => 0,
        Verdict::Unknown => 1,
        Verdict::Unhealthy => 2,
    }
}

impl Health {
    /// The same as it is to be shown at `now`: when nobody has asked for long, that is an ill of its own.
    pub fn standing(mut self, now: Second, up: Duration) -> Self {
        let is_known = self.at != 0 && up > OVERDUE;
        let since = self.at;
        let overdue = u64::try_from(now - since).is_ok_and(|age| age > OVERDUE.as_secs());
        if is_known && overdue {
            let reason = format!(
                "the last was {} ago, and all else here is as it was then: \
                 `systemctl status tavern-check.timer tavern-check.service` says why",
                age(now - since)
            );
            let track = Track::new(ROUNDS.to_owned(), reason, since);
            let track = Track {
                verdict: Verdict::Unhealthy,
                ..track
            };
            self.tracks.insert(ROUNDS.to_owned(), track);
        }
        self
    }

    /// Takes in a round of answers; gives what is news.
    pub fn take(&mut self, findings: &[Finding], now: Second) -> Vec<News> {
        let mut news = Vec::new();
        self.at = now;
        // Two answers of one name: the worse one speaks.
        let mut worst: BTreeMap<String, &Finding> = BTreeMap::new();
        for finding in findings {
            let speaks = worst.entry(key(finding)).or_insert(finding);
            if gravity(finding) > gravity(speaks) {
                *speaks = finding;
            }
        }
        for (key, finding) in &worst {
            let track = self
                .tracks
                .entry(key.clone())
                .or_insert_with(|| Track::new(key.clone(), finding.reason.clone(), now));
            track.missed = 0;
            news.extend(track.take(plain(finding.verdict), &finding.reason, now));
        }
        // Missing once, it may be back in a minute, and its recovery is still to be told. Asked no more, it has
        // nothing to say.
        self.tracks.retain(|key, track| {
            track.missed += u32::from(!worst.contains_key(key));
            track.missed < MISSED
        });
        news
    }
}

impl Track {
    fn take(&mut self, verdict: Verdict, reason: &str, now: Second) -> Option<News> {
        if verdict == self.verdict {
            self.other = None;
            reason.clone_into(&mut self.reason);
            return self.rest(now);
        }
        let alike = match self.other {
            Some((other, times)) if other == verdict => times + 1,
            _ => 1,
        };
        if alike < ALIKE {
            self.other = Some((verdict, alike));
            return self.rest(now);
        }
        let from = std::mem::replace(&mut self.verdict, verdict);
        self.other = None;
        self.since = now;
        reason.clone_into(&mut self.reason);
        self.changes.retain(|at| now - at < WAVERS_WITHIN);
        self.changes.push(now);
        if self.wavers {
            return None;
        }
        if self.changes.len() >= WAVERS {
            self.wavers = true;
            return Some(News::Wavers {
                subject: self.subject.clone(),
            });
        }
        Some(News::Changed {
            subject: self.subject.clone(),
            from,
            to: verdict,
            reason: reason.to_owned(),
        })
    }

    /// Nothing changed; maybe that is news.
    fn rest(&mut self, now: Second) -> Option<News> {
        if !self.wavers || now - self.since < STILL {
            return None;
        }
        self.wavers = false;
        self.changes.clear();
        Some(News::Still {
            subject: self.subject.clone(),
            verdict: self.verdict,
            reason: self.reason.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finding(verdict: Verdict) -> Finding {
        Finding {
            stack: Some("web".parse().unwrap()),
            subject: "nginx".into(),
            verdict,
            reason: format!("it is {}", verdict.as_str()),
            took_ms: 1,
        }
    }

    /// What is said of answers a minute apart: `+` healthy, `-` unhealthy, `?` unknown.
    fn said(answers: &str) -> Vec<String> {
        let mut health = Health::default();
        let mut all = Vec::new();
        for (minute, answer) in answers.chars().enumerate() {
            let verdict = match answer {
                '+' => Verdict::Healthy,
                '-' => Verdict::Unhealthy,
                _ => Verdict::Unknown,
            };
            let news = health.take(&[finding(verdict)], minute as Second * 60);
            all.extend(news.into_iter().map(|news| match news {
                News::Changed { from, to, .. } => {
                    format!("{minute} {}>{}", from.as_str(), to.as_str())
                }
                News::Wavers { .. } => format!("{minute} wavers"),
                News::SelfTest { text } => text,
                News::Still { verdict, .. } => format!("{minute} still {}", verdict.as_str()),
            }));
        }
        all
    }

    #[test]
    fn one_answer_is_no_verdict() {
        assert_eq!(said("+++-+++?++-+"), [""; 0]);
        assert_eq!(said("-+"), [""; 0]);
        assert_eq!(
            said("++--++"),
            ["3 healthy>unhealthy", "5 unhealthy>healthy"]
        );
        assert_eq!(said("--"), ["1 healthy>unhealthy"]);
        assert_eq!(said("++??--"), ["3 healthy>unknown", "5 unknown>unhealthy"]);
    }

    #[test]
    fn what_wavers_is_said_once_and_again_when_it_is_still() {
        let answers = "--++--++--++--++".to_owned() + &"+".repeat(40);
        let said = said(&answers);
        assert_eq!(said.len(), 6, "{said:?}");
        assert_eq!(said[4], "9 wavers");
        assert_eq!(said[5], "45 still healthy");
    }

    #[test]
    fn rounds_that_come_no_more_are_an_ill_of_their_own() {
        let (up, late) = (
            Duration::from_secs(86_400),
            60 + OVERDUE.as_secs().cast_signed(),
        );
        let mut health = Health::default();
        // As an older build wrote it.
        assert_eq!(health.clone().standing(9000, up), health);
        health.take(&[finding(Verdict::Healthy)], 60);
        assert_eq!(health.clone().standing(late, up), health);
        // The first round after a boot is still to come; a clock that was set back proves nothing.
        assert_eq!(health.clone().standing(late + 1, OVERDUE), health);
        assert_eq!(health.clone().standing(-9000, up), health);
        let shown = health.clone().standing(late + 600, up);
        let rounds = &shown.tracks[ROUNDS];
        assert_eq!((rounds.verdict, rounds.since), (Verdict::Unhealthy, 60));
        assert!(rounds.reason.contains("15 min ago"), "{}", rounds.reason);
        assert_eq!(shown.tracks.len(), 2);
    }

    #[test]
    fn a_note_is_no_trouble_and_what_is_asked_no_more_is_forgotten() {
        let mut health = Health::default();
        for minute in 0..5 {
            assert_eq!(health.take(&[finding(Verdict::Note)], minute * 60), []);
        }
        for _ in 0..MISSED {
            assert_eq!(health.tracks.len(), 1);
            health.take(&[], 600);
        }
        assert!(health.tracks.is_empty());
    }

    #[test]
    fn the_recovery_of_a_probe_that_was_missing_for_a_round_is_told() {
        let mut health = Health::default();
        for minute in 0..2 {
            health.take(&[finding(Verdict::Unhealthy)], minute * 60);
        }
        for minute in 2..10 {
            // Every other round says nothing of it: it is not forgotten.
            assert_eq!(health.take(&[], minute * 120), []);
            health.take(&[finding(Verdict::Unhealthy)], minute * 120 + 60);
        }
        health.take(&[], 2000);
        health.take(&[finding(Verdict::Healthy)], 2060);
        let news = health.take(&[finding(Verdict::Healthy)], 2120);
        assert!(
            matches!(
                news[..],
                [News::Changed {
                    to: Verdict::Healthy,
                    ..
                }]
            ),
            "{news:?}"
        );
    }

    #[test]
    fn of_two_answers_of_one_name_the_worse_one_speaks() {
        let (good, unclear, bad) = (Verdict::Healthy, Verdict::Unknown, Verdict::Unhealthy);
        for answers in [[good, bad], [bad, good], [unclear, bad], [bad, unclear]] {
            let answers = answers.map(finding);
            let mut health = Health::default();
            assert_eq!(health.take(&answers, 0), []);
            let news = health.take(&answers, 60);
            let [News::Changed { to, reason, .. }] = &news[..] else {
                panic!("{news:?}");
            };
            assert_eq!((*to, reason.as_str()), (bad, "it is unhealthy"));
        }
    }

    proptest! {
        #[test]
        fn news_are_true_in_order_and_few(answers in "[+?-]{1,300}") {
            let said = said(&answers);
            let mut last = "healthy".to_owned();
            let mut minutes: Vec<i64> = Vec::new();
            for text in &said {
                let (minute, what) = text.split_once(' ').unwrap();
                minutes.push(minute.parse().unwrap());
                if let Some((from, to)) = what.split_once('>') {
                    prop_assert_eq!(from, last.as_str());
                    prop_assert!(from != to);
                    last = to.to_owned();
                } else if let Some(verdict) = what.strip_prefix("still ") {
                    last = verdict.to_owned();
                }
            }
            // In no hour more than it takes to be called wavering, twice.
            for window in minutes.windows(2 * WAVERS + 2) {
                prop_assert!(window[2 * WAVERS + 1] - window[0] >= 30);
            }
        }
    }
}
