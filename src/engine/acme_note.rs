//! What is remembered of a stack and its ACME authority, and when to ask that for a new certificate. The judgement is
//! pure: time comes in.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::host::RenewalWindow;
use crate::mint::CertificateInfo;
use crate::resource::{Certificate, Signer};

/// The version of the form of `note.json` that this build writes.
const VERSION: u32 = 1;

/// After a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::minutes(15);

/// However often it failed: an authority that is back is found within half a day.
const LONGEST_PAUSE: Duration = Duration::hours(6);

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    version: u32,
    /// How often in a row it failed.
    pub(super) failures: u32,
    /// Why it failed last.
    pub(super) error: Option<String>,
    /// What was to be done about it.
    pub(super) help: Option<String>,
    /// Not to be tried before, in seconds since 1970.
    next_try: i64,
    /// The fingerprint of a certificate that was taken back.
    pub(super) revoked: Option<String>,
    /// When the authority wants it renewed.
    window: Option<Window>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// The fingerprint of the certificate it is about.
    of: String,
    start: i64,
    end: i64,
    ask_again: i64,
}

impl Default for Note {
    fn default() -> Self {
        Self {
            version: VERSION,
            failures: 0,
            error: None,
            help: None,
            next_try: 0,
            revoked: None,
            window: None,
        }
    }
}

/// Whether it is time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// Yes, because.
    Now(String),
    /// Not before.
    At(OffsetDateTime),
}

impl Note {
    /// A damaged note is no reason not to renew.
    pub(super) fn read(bytes: Option<Vec<u8>>) -> Self {
        bytes
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|note| note.version == VERSION)
            .unwrap_or_default()
    }

    /// Until when to leave the authority alone.
    pub(super) fn pause(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let until = OffsetDateTime::from_unix_timestamp(self.next_try).ok()?;
        // A pause that is longer than any of ours was written by a clock that was wrong.
        (self.failures > 0 && until > now && until - now <= LONGEST_PAUSE * 8).then_some(until)
    }

    /// One more failure.
    pub(super) fn failed(
        &mut self,
        error: &str,
        help: &str,
        retry_after: Option<std::time::Duration>,
        now: OffsetDateTime,
    ) {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_PAUSE * 2_i32.pow((self.failures - 1).min(8));
        let asked = retry_after.map_or(Duration::ZERO, |asked| {
            Duration::seconds(i64::try_from(asked.as_secs()).unwrap_or(i64::MAX))
        });
        let pause = doubled.min(LONGEST_PAUSE).max(asked.min(LONGEST_PAUSE * 8));
        self.next_try = (now + pause).unix_timestamp();
        self.error = Some(error.to_owned());
        self.help = Some(help.to_owned());
    }

    /// A new certificate: what was noted of the one before it no longer counts.
    pub(super) fn issued() -> Self {
        Self::default()
    }

    /// Whether the authority should be asked when it wants this certificate renewed.
    pub(super) fn asks_for_window(&self, fingerprint: &str, now: OffsetDateTime) -> bool {
        self.window.as_ref().is_none_or(|window| {
            window.of != fingerprint || now.unix_timestamp() >= window.ask_again
        })
    }

    /// What it answered.
    pub(super) fn remember_window(
        &mut self,
        fingerprint: &str,
        window: &RenewalWindow,
        now: OffsetDateTime,
    ) {
        // An authority that wants to be asked every second, or never, is not taken at its word.
        let pause = window.ask_again.as_secs().clamp(3600, 7 * 24 * 3600);
        self.window = Some(Window {
            of: fingerprint.to_owned(),
            start: window.start.unix_timestamp(),
            end: window.end.unix_timestamp(),
            ask_again: now.unix_timestamp() + i64::try_from(pause).unwrap_or_default(),
        });
    }

    /// Whether the authority is to be asked for another certificate than this one.
    pub(super) fn due(
        &self,
        wanted: &Certificate,
        signer: &Signer,
        info: &CertificateInfo,
        now: OffsetDateTime,
    ) -> Due {
        if !is_of_authority(wanted, signer) {
            return Due::Now(match &wanted.signer {
                Signer::Acme { directory, .. } => format!("{directory} has not signed one yet"),
                _ => "it is signed by somebody else".to_owned(),
            });
        }
        let fingerprint = info.fingerprint();
        if self.revoked.as_ref() == Some(&fingerprint) {
            return Due::Now("it was revoked".to_owned());
        }
        if let Some(missing) = wanted.names.iter().find(|name| !info.covers(name)) {
            return Due::Now(format!("it does not cover {missing}"));
        }
        let life = info.not_after - info.not_before;
        let window = self
            .window
            .as_ref()
            .filter(|window| window.of == fingerprint);
        let at = match window.and_then(|window| chosen(window, &fingerprint)) {
            // However late the authority would have it: the last sixth is for repairs.
            Some(at) => at.min(info.not_after - life / 6),
            None => info.not_after - life / 3,
        };
        if now < at {
            return Due::At(at);
        }
        Due::Now(if now >= info.not_after {
            "it has expired".to_owned()
        } else if window.is_some() {
            "its authority wants it renewed".to_owned()
        } else {
            format!("{} days left", (info.not_after - now).whole_days())
        })
    }
}

fn is_of_authority(wanted: &Certificate, signer: &Signer) -> bool {
    match (&wanted.signer, signer) {
        (Signer::Acme { directory: a, .. }, Signer::Acme { directory: b, .. }) => a == b,
        _ => false,
    }
}

/// A point in the window, the same at every look: hosts spread over it, as its authority wants.
fn chosen(window: &Window, fingerprint: &str) -> Option<OffsetDateTime> {
    let part = u32::from_str_radix(fingerprint.get(..4)?, 16).ok()?;
    let length = (window.end - window.start).max(0);
    OffsetDateTime::from_unix_timestamp(window.start + length * i64::from(part) / 0x1_0000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint::{read_certificate, self_signed};

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
    }

    fn wanted(directory: &str) -> Certificate {
        Certificate {
            path: "/etc/tavern/tls/a".into(),
            names: vec!["a.example".into()],
            days: 397,
            signer: Signer::Acme {
                directory: directory.into(),
                staged: "/s".into(),
            },
        }
    }

    fn ninety_days() -> CertificateInfo {
        let pair = self_signed(&["a.example".to_owned()], 90, now()).unwrap();
        read_certificate(pair.certificate.as_bytes()).unwrap()
    }

    fn is_now(due: &Due) -> bool {
        matches!(due, Due::Now(_))
    }

    #[test]
    fn renewed_before_a_third_of_its_life_is_left() {
        let (wanted, info, note) = (wanted("https://a"), ninety_days(), Note::default());
        let at = |days| note.due(&wanted, &wanted.signer, &info, now() + Duration::days(days));
        assert!(!is_now(&at(0)) && !is_now(&at(59)));
        assert!(is_now(&at(60)) && is_now(&at(91)));
    }

    #[test]
    fn the_authority_knows_better_when() {
        let (wanted, info) = (wanted("https://a"), ninety_days());
        let window = |start: i64, end: i64| {
            let mut note = Note::default();
            let window = RenewalWindow {
                start: now() + Duration::days(start),
                end: now() + Duration::days(end),
                ask_again: std::time::Duration::ZERO,
            };
            note.remember_window(&info.fingerprint(), &window, now());
            note
        };
        let at = |note: &Note, days| {
            note.due(&wanted, &wanted.signer, &info, now() + Duration::days(days))
        };
        // Revoked by its authority: the window is past.
        assert!(is_now(&at(&window(-2, -1), 0)));
        assert!(!is_now(&at(&window(70, 71), 69)) && is_now(&at(&window(70, 71), 71)));
        // One that would have it too late.
        assert!(is_now(&at(&window(200, 201), 76)));
        // One that is about another certificate.
        let mut other = window(-2, -1);
        other.window.as_mut().unwrap().of = "0000".into();
        assert!(!is_now(&at(&other, 0)) && other.asks_for_window(&info.fingerprint(), now()));
        let asked = window(70, 71);
        assert!(!asked.asks_for_window(&info.fingerprint(), now()));
        assert!(asked.asks_for_window(&info.fingerprint(), now() + Duration::hours(1)));
    }

    #[test]
    fn revoked_or_of_another_authority_or_without_a_name_is_due_at_once() {
        let (wanted_a, info) = (wanted("https://a"), ninety_days());
        let mut note = Note::default();
        let due = |note: &Note, wanted: &Certificate, signer: &Signer| {
            is_now(&note.due(wanted, signer, &info, now()))
        };
        assert!(!due(&note, &wanted_a, &wanted_a.signer));
        assert!(due(&note, &wanted_a, &Signer::Itself));
        assert!(due(&note, &wanted_a, &wanted("https://staging").signer));
        let more = Certificate {
            names: vec!["a.example".into(), "b.example".into()],
            ..wanted_a.clone()
        };
        assert!(due(&note, &more, &more.signer));
        note.revoked = Some(info.fingerprint());
        assert!(due(&note, &wanted_a, &wanted_a.signer));
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut note = Note::default();
        assert_eq!(note.pause(now()), None);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            note.failed("no", "help", None, now());
            pauses.push(note.pause(now()).unwrap() - now());
        }
        assert_eq!(pauses[..3], [15, 30, 60].map(Duration::minutes));
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        note.failed(
            "limit",
            "",
            Some(std::time::Duration::from_secs(40_000)),
            now(),
        );
        assert_eq!(
            note.pause(now()).unwrap() - now(),
            Duration::seconds(40_000)
        );
        assert_eq!(note.pause(now() + Duration::hours(12)), None);
        // The clock was years ahead when it failed.
        assert_eq!(note.pause(now() - Duration::days(900)), None);
        assert_eq!(Note::issued().pause(now()), None);
    }

    #[test]
    fn a_damaged_note_is_an_empty_one() {
        assert_eq!(Note::read(Some(b"{".to_vec())), Note::default());
        assert_eq!(Note::read(None), Note::default());
        let mut note = Note::default();
        note.failed("no", "help", None, now());
        let text = serde_json::to_vec(&note).unwrap();
        assert_eq!(Note::read(Some(text)), note);
    }
}
