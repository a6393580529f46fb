//! When people are told, as a pure function: what belongs together in one message, and not too many of them.

use serde::{Deserialize, Serialize};

use super::health::{News, Second};
use crate::check::Verdict;

/// Between two messages.
pub const PAUSE: Second = 300;
/// Of a longer message only so many lines are sent.
const LINES: usize = 20;

/// What waits to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    waiting: Vec<News>,
    sent: Option<Second>,
    /// Why the last one was not taken.
    #[serde(default)]
    refused: Option<String>,
}

/// A message to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The host it is about.
    pub host: String,
    /// In a few words.
    pub title: String,
    /// One thing a line.
    pub lines: Vec<String>,
    /// Whether all of it is good.
    pub is_good: bool,
}

impl Outbox {
    /// Takes in what is news. What came back before anybody was told is not told.
    pub fn take(&mut self, news: &[News]) {
        for one in news {
            let place = self
                .waiting
                .iter()
                .position(|other| other.subject() == one.subject());
            let Some(place) = place else {
                self.waiting.push(one.clone());
                continue;
            };
            match (&mut self.waiting[place], one) {
                (News::Changed { from, .. }, News::Changed { to, .. }) if from == to => {
                    self.waiting.remove(place);
                }
                (
                    News::Changed { to, reason, .. },
                    News::Changed {
                        to: newer,
                        reason: why,
                        ..
                    },
                ) => {
                    *to = *newer;
                    why.clone_into(reason);
                }
                (other, _) => *other = one.clone(),
            }
        }
    }

    /// What is to be told now, if anything.
    pub fn due(&self, host: &str, now: Second) -> Option<Message> {
        // A clock that was set back is no reason to be silent.
        let rests = self
            .sent
            .is_some_and(|sent| (0..PAUSE).contains(&(now - sent)));
        (!rests && !self.waiting.is_empty()).then(|| message(host, &self.waiting))
    }

    /// It was told. True if it is the first after some that were not.
    pub fn sent(&mut self, now: Second) -> bool {
        self.waiting.clear();
        self.sent = Some(now);
        self.refused.take().is_some()
    }

    /// It was not taken. True if the last one was: it is said once.
    pub fn refused(&mut self, why: String) -> bool {
        self.refused.replace(why).is_none()
    }

    /// Why the last one was not taken, if it was not.
    pub fn trouble(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

/// Whether it is the end of a trouble.
pub(super) fn is_good(news: &News) -> bool {
    matches!(
        news,
        News::Changed {
            to: Verdict::Healthy,
            ..
        } | News::Still {
            verdict: Verdict::Healthy,
            ..
        }
    )
}

fn message(host: &str, news: &[News]) -> Message {
    let bad = news.iter().filter(|one| !is_good(one)).count();
    let good = news.len() - bad;
    let title = match (bad, good) {
        (0, 1) => "recovered: 1 probe".to_owned(),
        (0, good) => format!("recovered: {good} probes"),
        (bad, 0) => format!(
            "trouble: {bad} {}",
            if bad == 1 { "probe" } else { "probes" }
        ),
        (bad, good) => format!("trouble: {bad}, recovered: {good}"),
    };
    let mut lines: Vec<String> = news.iter().take(LINES).map(line).collect();
    if news.len() > LINES {
        lines.push(format!(
            "and {} more: `sudo tavernctl status`",
            news.len() - LINES
        ));
    }
    Message {
        host: host.to_owned(),
        title,
        lines,
        is_good: bad == 0,
    }
}

/// Some news in a line.
pub(super) fn line(news: &News) -> String {
    match news {
        News::Changed {
            subject,
            from,
            to: Verdict::Healthy,
            ..
        } => {
            format!("{subject}: healthy again, was {}", from.as_str())
        }
        News::Changed {
            subject,
            to,
            reason,
            ..
        } => format!("{subject}: {}: {reason}", to.as_str()),
        News::Wavers { subject } => {
            format!("{subject}: changes again and again; told again when it is still")
        }
        News::Still {
            subject,
            verdict,
            reason,
        } => {
            format!("{subject}: still again, and {}: {reason}", verdict.as_str())
        }
        News::SelfTest { text } => text.clone(),
    }
}

impl Message {
    /// As one text.
    pub fn text(&self) -> String {
        format!("{}: {}\n{}", self.host, self.title, self.lines.join("\n"))
    }

    /// As Slack takes it, and whoever takes what Slack takes.
    pub fn slack(&self) -> Vec<u8> {
        // Its own marks must not come from a log line.
        let text = self
            .text()
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        serde_json::json!({ "text": text }).to_string().into_bytes()
    }

    /// As a mail, with its head. No line of it can be taken for another field, nor for its end.
    pub fn mail(&self, to: &[String]) -> Vec<u8> {
        let plain = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect()
        };
        let ascii = |text: &str| -> String {
            plain(text)
                .chars()
                .map(|c| if c.is_ascii() { c } else { '?' })
                .collect()
        };
        let lines: Vec<String> = self.lines.iter().map(|line| plain(line)).collect();
        format!(
            "To: {}\nSubject: [tavern] {}: {}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{}\n",
            to.join(", "),
            ascii(&self.host),
            ascii(&self.title),
            lines.join("\n")
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed(subject: &str, from: Verdict, to: Verdict) -> News {
        News::Changed {
            subject: subject.into(),
            from,
            to,
            reason: "because".into(),
        }
    }

    #[test]
    fn a_way_that_takes_nothing_is_said_once_and_so_is_its_end() {
        let mut outbox = Outbox::default();
        assert!(outbox.refused("away".into()));
        assert!(!outbox.refused("still away".into()));
        assert_eq!(outbox.trouble(), Some("still away"));
        assert!(outbox.sent(1000));
        assert_eq!(outbox.trouble(), None);
        assert!(!outbox.sent(2000));
        // One that was written down before this was kept.
        let old: Outbox = serde_json::from_str(r#"{"waiting":[],"sent":5}"#).unwrap();
        assert_eq!(old.trouble(), None);
    }

    #[test]
    fn what_happens_together_is_one_message_and_the_next_one_waits() {
        let (up, down) = (Verdict::Healthy, Verdict::Unhealthy);
        let mut outbox = Outbox::default();
        assert_eq!(outbox.due("web", 0), None);
        outbox.take(&[changed("nginx", up, down), changed("redis", up, down)]);
        let first = outbox.due("web", 1000).unwrap();
        assert_eq!(first.title, "trouble: 2 probes");
        assert!(!first.is_good);
        assert_eq!(first.lines[0], "nginx: unhealthy: because");
        // It could not be sent: it is due as before.
        assert_eq!(outbox.due("web", 1060), Some(first));
        outbox.sent(1060);
        outbox.take(&[changed("nginx", down, up)]);
        assert_eq!(outbox.due("web", 1060 + PAUSE - 1), None);
        let second = outbox.due("web", 1060 + PAUSE).unwrap();
        assert!(second.is_good);
        assert_eq!(second.lines, ["nginx: healthy again, was unhealthy"]);
        // A clock that is set back keeps nobody silent.
        assert!(outbox.due("web", 10).is_some());
    }

    #[test]
    fn what_came_back_before_anybody_was_told_is_not_told() {
        let (up, down) = (Verdict::Healthy, Verdict::Unhealthy);
        let mut outbox = Outbox::default();
        outbox.take(&[changed("nginx", up, down)]);
        outbox.take(&[changed("nginx", down, up)]);
        assert_eq!(outbox.due("web", 0), None);
        outbox.take(&[changed("nginx", up, Verdict::Unknown)]);
        outbox.take(&[changed("nginx", Verdict::Unknown, down)]);
        assert_eq!(
            outbox.due("web", 0).unwrap().lines,
            ["nginx: unhealthy: because"]
        );
    }

    #[test]
    fn a_message_is_bounded_and_carries_nothing_else() {
        let mut outbox = Outbox::default();
        let many: Vec<News> = (0..100)
            .map(|n| changed(&format!("p{n}"), Verdict::Healthy, Verdict::Unhealthy))
            .collect();
        outbox.take(&many);
        let message = outbox.due("web", 0).unwrap();
        assert_eq!(message.lines.len(), LINES + 1);
        let hostile = Message {
            host: "web\nBcc: evil@example.org".into(),
            title: "x\r\n.\r\n<!channel>".into(),
            lines: vec!["a\n.\nb & <b>".into()],
            is_good: false,
        };
        let mail = String::from_utf8(hostile.mail(&["root".into()])).unwrap();
        assert!(!mail.contains("\nBcc") && !mail.contains("\n.\n"), "{mail}");
        let slack = String::from_utf8(hostile.slack()).unwrap();
        assert!(
            !slack.contains('<') && slack.contains("&lt;!channel&gt;"),
            "{slack}"
        );
    }

    proptest! {
        #[test]
        fn never_two_messages_within_the_pause(
            story in prop::collection::vec((0..200i64, 0..4u8, any::<bool>()), 1..200)
        ) {
            let (mut outbox, mut now, mut last) = (Outbox::default(), 0, None);
            for (wait, probe, is_up) in story {
                now += wait;
                let (from, to) = if is_up {
                    (Verdict::Unhealthy, Verdict::Healthy)
                } else {
                    (Verdict::Healthy, Verdict::Unhealthy)
                };
                outbox.take(&[changed(&probe.to_string(), from, to)]);
                if outbox.due("web", now).is_some() {
                    if let Some(last) = last {
                        prop_assert!(now - last >= PAUSE);
                    }
                    last = Some(now);
                    outbox.sent(now);
                }
            }
        }
    }
}
