use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::format;
use super::{Engine, EngineError};
use crate::host::{Session, Sessions, Uptime};
use crate::model::{Mode, Span};
use crate::resource::Owner;

/// The version of the form that this build writes.
const VERSION: u32 = 1;

/// A change that goes back unless somebody confirms it. On disk while it waits: a reboot does not end the wait, it
/// ends the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The version of this form.
    version: u32,
    /// The generation that comes back.
    pub back_to: u64,
    /// How many seconds somebody has to confirm.
    pub(super) within: u32,
    /// When it comes back, by the host's clock: for people.
    pub deadline: String,
    /// Which boot it was.
    boot: String,
    /// When it comes back, in milliseconds since that boot.
    due: u64,
    /// Who asked for the change.
    asked_by: Session,
    /// Who was logged in before all of it was in place: none of them shows that one can still get in.
    there_before: Sessions,
}

impl Pending {
    /// What the time is by which somebody must have confirmed.
    fn set_deadline(&mut self, now: &Uptime, clock: time::OffsetDateTime) {
        let span = Span::seconds(self.within).duration();
        let deadline = (clock + span).replace_nanosecond(0).unwrap_or(clock + span);
        self.deadline = deadline
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap_or_default();
        self.boot.clone_from(&now.boot);
        let due = now.length + Duration::from_secs(self.within.into());
        self.due = u64::try_from(due.as_millis()).unwrap_or(u64::MAX);
    }

    /// How much time is left to confirm. None after a reboot: that is no way to keep a change.
    pub fn left(&self, now: &Uptime) -> Duration {
        if self.boot == now.boot {
            Duration::from_millis(self.due).saturating_sub(now.length)
        } else {
            Duration::ZERO
        }
    }

    /// Whether this session shows that one can get in after the change.
    ///
    /// # Errors
    /// When it was there before, or when that cannot be told.
    pub(super) fn admit(&self, session: &Session) -> Result<(), EngineError> {
        let refused = |what: &str| EngineError::NotReady {
            what: what.to_owned(),
            help: "log in anew, as you will have to from now on, and confirm from there".to_owned(),
        };
        match self.there_before.contains(session) {
            Some(false) => Ok(()),
            Some(true) => Err(refused(
                "this session was there before the change: it does not show that one can still log in",
            )),
            None => Err(refused(
                "this is no login session that the kernel or systemd knows: it cannot be told from those before the change",
            )),
        }
    }
}

impl Engine<'_> {
    fn pending_path(&self) -> PathBuf {
        self.layout.state.join("pending.json")
    }

    /// The change that waits to be confirmed, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or is of a newer version.
    pub fn pending(&self) -> Result<Option<Pending>, EngineError> {
        let path = self.pending_path();
        let Some(bytes) = self.host.files.read(&path)? else {
            return Ok(None);
        };
        let pending = format::read(&bytes, VERSION).map_err(|unread| EngineError::NotReady {
            what: format!(
                "cannot tell what waits to be confirmed: {}: {unread}",
                path.display()
            ),
            help:
                "a newer tavernctl may read it; else move it away: what is applied now then stays"
                    .to_owned(),
        })?;
        Ok(Some(pending))
    }

    /// Writes down that from now on a change goes back to `back_to` unless it is confirmed `within` that time.
    /// `now` is when its timer was about to start.
    pub(super) fn begin_pending(
        &self,
        back_to: u64,
        within: Span,
        now: &Uptime,
    ) -> Result<(), EngineError> {
        let mut pending = Pending {
            version: VERSION,
            back_to,
            within: within.whole_seconds(),
            deadline: String::new(),
            boot: String::new(),
            due: 0,
            asked_by: self.host.logins.own(),
            there_before: Sessions::default(),
        };
        self.save_pending(&mut pending, now)
    }

    /// Sets the deadline anew, from `now` on, and takes note of who is logged in.
    pub(super) fn save_pending(
        &self,
        pending: &mut Pending,
        now: &Uptime,
    ) -> Result<(), EngineError> {
        pending.there_before.extend(self.host.logins.all());
        pending.set_deadline(now, self.host.clock.now());
        let path = self.pending_path();
        let mut bytes =
            serde_json::to_vec_pretty(pending).map_err(|error| EngineError::Receipt {
                path: path.display().to_string(),
                reason: error.to_string(),
            })?;
        bytes.push(b'\n');
        Ok(self
            .host
            .files
            .write(&path, &bytes, Mode(0o600), &Owner::root())?)
    }

    pub(super) fn forget_pending(&self) -> Result<(), EngineError> {
        let path = self.pending_path();
        self.host.files.remove(&path)?;
        Ok(self.host.files.sweep(&path)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// As version 1 writes it. Every later version must read it.
    const VERSION_1: &str = r#"{
  "version": 1,
  "back_to": 3,
  "within": 60,
  "deadline": "2026-11-20T18:31:00Z",
  "boot": "0e6b… 7",
  "due": 1060500,
  "asked_by": {
    "audit": 3,
    "scope": "session-3.scope"
  },
  "there_before": {
    "audit": [
      3,
      4
    ],
    "scopes": [
      "session-3.scope"
    ]
  }
}"#;

    fn pending() -> Pending {
        let mut pending = Pending {
            version: 1,
            back_to: 3,
            within: 60,
            deadline: String::new(),
            boot: String::new(),
            due: 0,
            asked_by: session(Some(3), Some("session-3.scope")),
            there_before: Sessions {
                audit: BTreeSet::from([3, 4]),
                scopes: BTreeSet::from(["session-3.scope".to_owned()]),
            },
        };
        let clock = time::macros::datetime!(2026-11-20 18:30:00.7 UTC);
        pending.set_deadline(&up("0e6b… 7", 1_000_500), clock);
        pending
    }

    fn session(audit: Option<u32>, scope: Option<&str>) -> Session {
        Session {
            audit,
            scope: scope.map(str::to_owned),
        }
    }

    fn up(boot: &str, millis: u64) -> Uptime {
        Uptime {
            boot: boot.to_owned(),
            length: Duration::from_millis(millis),
        }
    }

    #[test]
    fn the_form_on_disk_stays_readable() {
        assert_eq!(serde_json::to_string_pretty(&pending()).unwrap(), VERSION_1);
        assert_eq!(
            serde_json::from_str::<Pending>(VERSION_1).unwrap(),
            pending()
        );
    }

    #[test]
    fn the_time_is_over_at_the_deadline_and_after_a_reboot() {
        let left = |boot, millis| pending().left(&up(boot, millis)).as_millis();
        assert_eq!(left("0e6b… 7", 1_000_500), 60_000);
        assert_eq!(left("0e6b… 7", 1_060_499), 1);
        assert_eq!(left("0e6b… 7", 1_060_500), 0);
        assert_eq!(left("0e6b… 7", 2_000_000), 0);
        assert_eq!(left("0e6b… 8", 5), 0);
    }

    #[test]
    fn only_who_came_after_the_change_may_confirm_it() {
        let admits = |audit, scope| pending().admit(&session(audit, scope)).is_ok();
        assert!(admits(Some(5), Some("session-5.scope")) && admits(None, Some("session-5.scope")));
        assert!(!admits(Some(3), None) && !admits(Some(4), None));
        assert!(!admits(None, Some("session-3.scope")) && !admits(None, None));
    }
}
