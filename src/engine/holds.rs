use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::format;
use super::{Engine, EngineError, Lock};
use crate::model::{Layout, Mode};
use crate::plan::Plan;
use crate::resource::{Owner, ResourceId};

/// The version of the form that this build writes.
const VERSION: u32 = 1;

/// What somebody asked not to be touched: neither repaired nor restarted. Kept over a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    version: u32,
    holds: Vec<Hold>,
}

/// One thing that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is held.
    pub thing: Held,
    /// When the hold began, in RFC 3339.
    since: String,
    /// When it ends by itself, in RFC 3339; not at all if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// What can be held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Every unit and container, and nginx.
    Everything,
    /// An app's socket and service, by their common name, such as `tavern-counter`.
    App(String),
    /// A container, by Docker's name.
    Container(String),
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::App(unit) => write!(f, "app {unit}"),
            Self::Container(name) => write!(f, "container {name}"),
        }
    }
}

impl Held {
    fn covers(&self, id: &ResourceId) -> bool {
        match (self, id.0.split_once(':')) {
            (Self::Everything, Some((kind, _))) => matches!(kind, "unit" | "container" | "nginx"),
            (Self::App(stem), Some(("unit", unit))) => {
                let is_own = unit.rsplit_once('.').is_some_and(|(name, _)| name == stem);
                is_own || unit == Layout::metrics_unit(stem)
            }
            (Self::Container(name), Some(("container", id))) => id == name,
            _ => false,
        }
    }
}

impl Hold {
    /// When it ends by itself. A time that cannot be read holds on: to wake what was to be left alone is worse.
    pub fn until(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.until.as_deref()?, &Rfc3339).ok()
    }

    fn is_over(&self, now: OffsetDateTime) -> bool {
        self.until().is_some_and(|until| until <= now)
    }

    /// `held until 18:30 UTC`, with the date if it is another day's.
    pub fn describe(&self, now: OffsetDateTime) -> String {
        self.until().map_or_else(
            || "held until its hold is ended".to_owned(),
            |until| format!("held until {}", moment(until, now)),
        )
    }
}

/// A time as a person reads it, whose time zone is not known to us.
fn moment(time: OffsetDateTime, now: OffsetDateTime) -> String {
    let (time, now) = (
        time.to_offset(UtcOffset::UTC),
        now.to_offset(UtcOffset::UTC),
    );
    let text = if time.date() == now.date() {
        time.format(format_description!("[hour]:[minute] UTC"))
    } else {
        time.format(format_description!(
            "[year]-[month]-[day] [hour]:[minute] UTC"
        ))
    };
    text.unwrap_or_else(|_| time.to_string())
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            version: VERSION,
            holds: Vec::new(),
        }
    }
}

impl Holds {
    /// Whether a thing is held at `now`. Pure, for the supervisor too.
    pub fn is_held(&self, id: &ResourceId, now: OffsetDateTime) -> bool {
        self.on(id, now).is_some()
    }

    /// The hold on a thing at `now`: the one that lasts longest.
    pub fn on(&self, id: &ResourceId, now: OffsetDateTime) -> Option<&Hold> {
        let holds = self.current(now).filter(|hold| hold.thing.covers(id));
        holds.max_by_key(|hold| (hold.until().is_none(), hold.until()))
    }

    /// Those that last at `now`.
    pub fn current(&self, now: OffsetDateTime) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(move |hold| !hold.is_over(now))
    }

    /// Holds a thing from `now` on; an earlier hold on the same thing is replaced.
    fn add(&mut self, thing: Held, until: Option<OffsetDateTime>, now: OffsetDateTime) {
        self.holds.retain(|hold| hold.thing != thing);
        let text = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
        self.holds.push(Hold {
            thing,
            since: text(now),
            until: until.map(text),
        });
        self.holds.sort_by(|a, b| a.thing.cmp(&b.thing));
    }
}

impl Engine<'_> {
    fn holds_path(&self) -> PathBuf {
        self.layout.state.join("holds.json")
    }

    /// What is held.
    ///
    /// # Errors
    /// When the file cannot be read, or is of a newer version.
    pub fn holds(&self) -> Result<Holds, EngineError> {
        let path = self.holds_path();
        let Some(bytes) = self.host.files.read(&path)? else {
            return Ok(Holds::default());
        };
        format::read(&bytes, VERSION).map_err(|unread| EngineError::NotReady {
            what: format!("cannot tell what is held: {}: {unread}", path.display()),
            help: "a newer tavernctl may read it; else move it away (what was held is not any more), and hold again"
                .to_owned(),
        })
    }

    /// Holds things, for `length` or until the hold is ended.
    ///
    /// # Errors
    /// When another run is at work: what it does next would touch them all the same.
    pub fn hold(
        &self,
        things: &[Held],
        length: Option<time::Duration>,
    ) -> Result<Vec<Hold>, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let now = self.host.clock.now();
        let mut holds = self.holds()?;
        for thing in things {
            let until = length.and_then(|length| now.checked_add(length));
            holds.add(thing.clone(), until, now);
        }
        self.save_holds(&mut holds, now)?;
        let are_new = |hold: &Hold| things.contains(&hold.thing);
        Ok(holds.holds.into_iter().filter(are_new).collect())
    }

    /// Ends the holds on these things, or all holds. Gives those that it ended.
    ///
    /// # Errors
    /// When another run is at work.
    pub fn end_holds(&self, things: Option<&[Held]>) -> Result<Vec<Hold>, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let now = self.host.clock.now();
        let mut holds = self.holds()?;
        let (ended, rest) = holds.holds.into_iter().partition(|hold| {
            !hold.is_over(now) && things.is_none_or(|things| things.contains(&hold.thing))
        });
        holds.holds = rest;
        self.save_holds(&mut holds, now)?;
        Ok(ended)
    }

    fn save_holds(&self, holds: &mut Holds, now: OffsetDateTime) -> Result<(), EngineError> {
        holds.holds.retain(|hold| !hold.is_over(now));
        let path = self.holds_path();
        if holds.holds.is_empty() {
            return Ok(self.host.files.remove(&path)?);
        }
        let mut bytes = serde_json::to_vec_pretty(holds).map_err(|error| EngineError::Receipt {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        bytes.push(b'\n');
        Ok(self
            .host
            .files
            .write(&path, &bytes, Mode(0o600), &Owner::root())?)
    }

    pub(super) fn forget_holds(&self) -> Result<(), EngineError> {
        Ok(self.host.files.remove(&self.holds_path())?)
    }

    /// The plan without what would touch something held.
    pub(super) fn leave_held(&self, plan: Plan) -> Result<Plan, EngineError> {
        let (holds, now) = (self.holds()?, self.host.clock.now());
        Ok(plan.set_aside(|id| Some(holds.on(id, now)?.describe(now))))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-20 17:30 UTC);
    const LATER: OffsetDateTime = datetime!(2026-11-20 18:30 UTC);

    fn id(text: &str) -> ResourceId {
        ResourceId(text.into())
    }

    fn holding(thing: Held, until: Option<OffsetDateTime>) -> Holds {
        let mut holds = Holds::default();
        holds.add(thing, until, NOW);
        holds
    }

    #[test]
    fn each_thing_covers_what_it_names() {
        let all = [
            "unit:tavern-counter.socket",
            "unit:tavern-counter.service",
            "unit:tavern-counter.metrics.socket",
            "unit:tavern-counter-worker.service",
            "container:redis",
            "nginx:sites",
            "file:/etc/systemd/system/tavern-counter.service",
            "package:nginx",
        ];
        for (thing, held) in [
            (Held::App("tavern-counter".into()), &all[..3]),
            (Held::Container("redis".into()), &all[4..5]),
            (Held::Everything, &all[..6]),
        ] {
            let holds = holding(thing, None);
            let found = all.into_iter().filter(|name| holds.is_held(&id(name), NOW));
            assert_eq!(found.collect::<Vec<_>>(), held);
        }
    }

    #[test]
    fn it_ends_at_its_time() {
        let holds = holding(Held::Container("redis".into()), Some(LATER));
        let redis = id("container:redis");
        assert!(holds.is_held(&redis, LATER - time::Duration::SECOND));
        assert!(!holds.is_held(&redis, LATER));
        assert_eq!(holds.current(LATER).count(), 0);
        let endless = holding(Held::Container("redis".into()), None);
        assert!(endless.is_held(&redis, datetime!(9999-01-01 0:00 UTC)));
    }

    #[test]
    fn the_longest_hold_speaks_for_a_thing() {
        let mut holds = holding(Held::Everything, Some(LATER));
        let redis = id("container:redis");
        holds.add(Held::Container("redis".into()), None, NOW);
        let said = |holds: &Holds| holds.on(&redis, NOW).unwrap().describe(NOW);
        assert_eq!(said(&holds), "held until its hold is ended");
        let tomorrow = Some(datetime!(2026-11-21 0:05 UTC));
        holds.add(Held::Container("redis".into()), tomorrow, NOW);
        assert_eq!(holds.current(NOW).count(), 2);
        assert_eq!(said(&holds), "held until 2026-11-21 00:05 UTC");
        holds.add(Held::Container("redis".into()), Some(NOW), NOW);
        assert_eq!(said(&holds), "held until 18:30 UTC");
    }

    /// As version 1 writes it. Every later version must read it.
    const VERSION_1: &str = r#"{
  "version": 1,
  "holds": [
    {
      "thing": "everything",
      "since": "2026-11-20T17:30:00Z"
    },
    {
      "thing": {
        "app": "tavern-counter"
      },
      "since": "2026-11-20T17:30:00Z",
      "until": "2026-11-20T18:30:00Z"
    },
    {
      "thing": {
        "container": "redis"
      },
      "since": "2026-11-20T17:30:00Z",
      "until": "2026-11-20T18:30:00Z"
    }
  ]
}"#;

    #[test]
    fn the_form_on_disk_stays_readable() {
        let mut holds = holding(Held::Container("redis".into()), Some(LATER));
        holds.add(Held::Everything, None, NOW);
        holds.add(Held::App("tavern-counter".into()), Some(LATER), NOW);
        assert_eq!(serde_json::to_string_pretty(&holds).unwrap(), VERSION_1);
        assert_eq!(serde_json::from_str::<Holds>(VERSION_1).unwrap(), holds);
    }
}
