//! The loop: messages become events, events become effects, effects become work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::cause::Cause;
use super::health::ROUNDS;
use super::metrics;
use super::notify::Notify;
use super::picture::{KeptContainer, Picture};
use super::record::standing;
use super::say::say;
use super::scribe;
use super::step::{Effect, Event, Mended, Moment, Phase, Saying, State, step};
use super::watch;
use super::work::{self, Done, Order, Work};
use crate::engine::{Engine, EngineError, Holds, Silent};
use crate::host::{ContainerEvent, Host, HostError};
use crate::resource::{Container, Resource};

/// Docker's events tell most; this often everything is looked at all the same.
const ROUND: Duration = Duration::from_secs(30);
/// How often the files that others write are looked at: the receipt, the holds.
const FILES: Duration = Duration::from_secs(5);
/// A look that takes longer is stuck, and systemd may know.
const STUCK_LOOK: Duration = Duration::from_secs(1800);
/// A mend may have to fetch an image over a slow line. One that stalls is given up where it is fetched.
const STUCK_MEND: Duration = Duration::from_secs(24 * 3600);

/// What the loop is told.
pub(super) enum Message {
    /// Docker answers, or does so no more.
    Docker(bool),
    /// Something happened to a container.
    Event(ContainerEvent),
    /// A piece of work is over.
    Done(Done),
    /// It is to end.
    Stop,
}

/// A container, and what is known of it.
struct Kept {
    container: Container,
    state: State,
    wake: Option<Moment>,
    /// The number of the work under way, and until when it may take.
    work: Option<(u64, Moment)>,
    look_again: bool,
    since: String,
    mends: u64,
    error: Option<String>,
    /// Why its process ended last, in words, until it is well again.
    cause: Option<String>,
}

/// Begins a piece of work, whose end is a message.
type Begin = fn(&Arc<Host>, Order, Sender<Message>) -> Result<(), HostError>;

/// The supervisor.
pub struct Keeper {
    host: Arc<Host>,
    begun: Instant,
    kept: BTreeMap<String, Kept>,
    holds: Holds,
    /// As it was read last; nothing before the first time.
    receipt: Option<Option<Vec<u8>>>,
    picture: Picture,
    notify: Notify,
    /// How many pieces of work were begun.
    works: u64,
    /// It was said that no round comes.
    misses_rounds: bool,
    begin: Begin,
    to: Sender<Message>,
    from: Receiver<Message>,
}

impl Keeper {
    /// One for this host.
    pub fn new(host: Host) -> Self {
        let (to, from) = channel();
        let since = host.clock.now_text();
        Self {
            host: Arc::new(host),
            begun: Instant::now(),
            kept: BTreeMap::new(),
            holds: Holds::default(),
            receipt: None,
            picture: Picture {
                since,
                ..Picture::default()
            },
            notify: Notify::default(),
            works: 0,
            misses_rounds: false,
            begin: work::begin,
            to,
            from,
        }
    }

    /// Keeps the host until a signal ends it. What runs goes on running then.
    ///
    /// # Errors
    /// When the kernel refuses it signals or threads.
    pub fn run(mut self) -> Result<(), HostError> {
        watch::signals(self.to.clone())?;
        watch::docker(&self.host, self.to.clone())?;
        metrics::serve(&self.host)?;
        scribe::begin(&self.host)?;
        let beat = Notify::beat().unwrap_or(ROUND);
        let (mut files, mut round, mut alive) = (Moment::ZERO, ROUND, Moment::ZERO);
        loop {
            let now = self.now();
            if files <= now {
                files = now + FILES;
                self.read_files();
            }
            if round <= now {
                round = now + ROUND;
                self.look_at_all();
                self.miss_rounds();
            }
            self.wake(now);
            self.tell();
            if alive <= now && !self.is_stuck(now) {
                alive = now + beat;
                Notify::alive();
            }
            let wakes = self.kept.values().filter_map(|kept| kept.wake);
            let next = wakes.fold(files.min(round).min(alive), Moment::min);
            // Never busy, whatever asks to be woken at once.
            let wait = next
                .saturating_sub(self.now())
                .max(Duration::from_millis(10));
            match self.from.recv_timeout(wait) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        Notify::stopping();
        metrics::close(&self.host);
        scribe::end(&self.host);
        Picture::remove(&self.host, &Engine::new(&self.host, &Silent).layout);
        info!(state = "stopping", "what runs goes on running");
        Ok(())
    }

    fn now(&self) -> Moment {
        self.begun.elapsed()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Docker(true) => {
                info!(state = "docker", "following Docker's events");
                self.look_at_all();
            }
            Message::Docker(false) => {
                warn!(
                    state = "no-docker",
                    "Docker does not answer; asked again every second"
                );
                self.look_at_all();
            }
            Message::Event(ContainerEvent { name, is_death }) => {
                if is_death {
                    self.handle(&name, Event::Died);
                } else {
                    self.look(&name);
                }
            }
            Message::Done(done) => self.done(done),
            Message::Stop => {}
        }
    }

    fn done(&mut self, done: Done) {
        let Some(kept) = self.kept.get_mut(&done.name) else {
            return;
        };
        // A mend may have begun meanwhile.
        if kept.work.is_some_and(|(number, _)| number == done.number) {
            kept.work = None;
        }
        if matches!(done.event, Event::Mended(Mended::Done(Some(_)))) {
            kept.mends += 1;
        }
        if let Some(error) = done.error {
            kept.error = Some(error);
        }
        if let Some(cause) = done.cause {
            let text = cause.describe(&kept.container);
            let is_of_data = matches!(cause, Cause::DamagedData(_) | Cause::OtherVersion(_));
            if is_of_data && kept.cause.as_ref() != Some(&text) {
                error!(
                    container = done.name,
                    state = "damaged",
                    "container {}: {text}",
                    done.name
                );
            }
            kept.cause = Some(text);
        }
        self.handle(&done.name, done.event);
        let looks_again = self
            .kept
            .get_mut(&done.name)
            .is_some_and(|kept| std::mem::take(&mut kept.look_again));
        if looks_again {
            self.look(&done.name);
        }
    }

    /// Nobody else would say that nobody asks any more.
    fn miss_rounds(&mut self) {
        let health = standing(&Engine::new(&self.host, &Silent)).unwrap_or_default();
        let missed = health.tracks.get(ROUNDS);
        let Some(track) = missed else {
            self.misses_rounds = false;
            return;
        };
        if !std::mem::replace(&mut self.misses_rounds, true) {
            error!(state = "no-rounds", "{ROUNDS}: {}", track.reason);
        }
    }

    /// What others wrote: which containers there are to be, and what is held.
    fn read_files(&mut self) {
        let engine = Engine::new(&self.host, &Silent);
        match engine.holds() {
            Ok(holds) => self.holds = holds,
            Err(error) => warn!(%error, "the holds cannot be read: those known so far are kept to"),
        }
        let path = engine.layout.state.join("receipt.json");
        let bytes = self.host.files.read(&path).unwrap_or_default();
        if self.receipt.as_ref() != Some(&bytes) {
            match engine.containers() {
                Ok(containers) => {
                    self.receipt = Some(bytes);
                    self.keep(containers);
                }
                Err(error) => report("the receipt cannot be read", &error),
            }
        }
        self.keep_to_holds();
    }

    /// These are the containers now.
    fn keep(&mut self, containers: Vec<Container>) {
        let is_wanted = |name: &String| containers.iter().any(|one| one.name == *name);
        self.kept.retain(|name, _| is_wanted(name));
        for container in containers {
            let name = container.name.clone();
            match self.kept.get_mut(&name) {
                Some(kept) => kept.container = container,
                None => {
                    let kept = Kept {
                        container,
                        state: State::default(),
                        wake: None,
                        work: None,
                        look_again: false,
                        since: self.host.clock.now_text(),
                        mends: 0,
                        error: None,
                        cause: None,
                    };
                    self.kept.insert(name.clone(), kept);
                    self.look(&name);
                }
            }
        }
    }

    fn keep_to_holds(&mut self) {
        let now = self.host.clock.now();
        let mut changed = Vec::new();
        for (name, kept) in &self.kept {
            let id = Resource::Container(kept.container.clone()).id();
            let is_held = self.holds.is_held(&id, now);
            if is_held != (kept.state.phase == Phase::Held) {
                changed.push((name.clone(), is_held));
            }
        }
        for (name, is_held) in changed {
            let event = if is_held { Event::Held } else { Event::Unheld };
            self.handle(&name, event);
        }
    }

    fn look_at_all(&mut self) {
        let names: Vec<String> = self.kept.keys().cloned().collect();
        for name in names {
            self.look(&name);
        }
    }

    fn wake(&mut self, now: Moment) {
        let due = |kept: &Kept| kept.wake.is_some_and(|at| at <= now);
        let names: Vec<String> = self
            .kept
            .iter()
            .filter(|(_, kept)| due(kept))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            if let Some(kept) = self.kept.get_mut(&name) {
                kept.wake = None;
            }
            self.handle(&name, Event::Tick);
        }
    }

    fn look(&mut self, name: &str) {
        self.begin(name, Work::Look);
    }

    fn begin(&mut self, name: &str, work: Work) {
        let now = self.now();
        let Some(kept) = self.kept.get_mut(name) else {
            return;
        };
        // One at a time. A mend that comes while somebody looks is begun all the same: it looks anew.
        if kept.work.is_some() && work == Work::Look {
            kept.look_again = true;
            return;
        }
        self.works += 1;
        let limit = match work {
            Work::Look => STUCK_LOOK,
            Work::Mend(_) => STUCK_MEND,
        };
        kept.work = Some((self.works, now + limit));
        let order = Order {
            number: self.works,
            container: kept.container.clone(),
            work,
        };
        let Err(error) = (self.begin)(&self.host, order, self.to.clone()) else {
            return;
        };
        kept.work = None;
        warn!(%error, container = name, "cannot be looked at");
        match work {
            Work::Look => kept.wake = Some(now + Duration::from_secs(1)),
            // It waits for the end of its mend.
            Work::Mend(_) => self.handle(name, Event::Mended(Mended::Busy)),
        }
    }

    /// Steps one container's machine, and does what it asks for.
    fn handle(&mut self, name: &str, event: Event) {
        let now = self.now();
        let Some(kept) = self.kept.get_mut(name) else {
            return;
        };
        let (state, effects) = step(&kept.state, event, now);
        if event == Event::Unheld {
            // A mend that came before the hold was seen was refused for it.
            kept.error = None;
        }
        if state.phase.name() != kept.state.phase.name() {
            kept.since = self.host.clock.now_text();
        }
        if matches!(state.phase, Phase::Up { .. }) {
            kept.error = None;
            // Until it has been up for long enough, it may end for the same reason.
            if !state.is_crash_loop {
                kept.cause = None;
            }
        }
        kept.state = state;
        for effect in effects {
            match effect {
                Effect::Look => self.look(name),
                Effect::Mend(mend) => self.begin(name, Work::Mend(mend)),
                Effect::WakeAt(at) => {
                    if let Some(kept) = self.kept.get_mut(name) {
                        kept.wake = Some(at);
                    }
                }
                Effect::Say(saying) => self.say(name, saying),
            }
        }
    }

    fn say(&self, name: &str, saying: Saying) {
        let kept = self.kept.get(name);
        let why = kept.and_then(|kept| kept.error.clone()).unwrap_or_default();
        let cause = kept.and_then(|kept| kept.cause.clone()).unwrap_or_default();
        say(name, saying, &why, &cause);
    }

    fn is_stuck(&self, now: Moment) -> bool {
        let is_late = |kept: &Kept| kept.work.is_some_and(|(_, until)| until < now);
        self.kept.values().any(is_late)
    }

    /// Tells whoever asks: systemd, and `tavernctl status`.
    fn tell(&mut self) {
        let containers: Vec<KeptContainer> = self.kept.values().map(Kept::picture).collect();
        let up = self.kept.values();
        let up = up.filter(|kept| matches!(kept.state.phase, Phase::Up { .. }));
        let text = match (up.count(), containers.len()) {
            (_, 0) => "no containers to keep".to_owned(),
            (up, all) => format!("{up} of {all} containers up"),
        };
        self.notify.status(&text);
        if self.picture.containers != containers || self.picture.version == 0 {
            self.picture.containers = containers;
            let layout = Engine::new(&self.host, &Silent).layout;
            if let Err(error) = self.picture.write(&self.host, &layout) {
                warn!(%error, "what is known cannot be written down");
            }
        }
    }
}

impl Kept {
    fn picture(&self) -> KeptContainer {
        KeptContainer {
            name: self.container.name.clone(),
            stack: self.container.stack.clone(),
            phase: self.state.phase.name().to_owned(),
            since: self.since.clone(),
            mends: self.mends,
            crash_loop: self.state.is_crash_loop,
            error: self.error.clone(),
            cause: self.cause.clone(),
        }
    }
}

fn report(what: &str, error: &EngineError) {
    error!(%error, "{what}");
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
