//! What to do next about one container, as a pure function. Time is a number that is handed in; nothing here waits,
//! looks or acts.

use std::collections::VecDeque;
use std::time::Duration;

use crate::resource::{Mend, Sight};

/// A moment, since the supervisor began.
pub type Moment = Duration;

/// The first pause after a mend; each further one is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two mends: what became possible is done within it.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Docker starts again what ended by itself; it is left this long to do so.
pub const DOCKERS_TURN: Duration = Duration::from_secs(5);
/// How long a container may run without an answer.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Up for this long, and what was before is forgotten.
pub const STEADY: Duration = Duration::from_secs(60);
/// So many deaths …
pub const DEATHS: usize = 5;
/// … in this time are a crash loop.
pub const DEATHS_WITHIN: Duration = Duration::from_secs(300);
/// When to look again where no event of Docker's will say.
pub const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not looked at yet.
    Unseen,
    /// Runs and answers.
    Up {
        /// From when on.
        since: Moment,
    },
    /// Runs and does not answer yet.
    Settling {
        /// From when on.
        since: Moment,
    },
    /// Something must be done, and waits for its time. A step that failed is what is tried again.
    Needs {
        /// What.
        mend: Mend,
        /// Not before.
        at: Moment,
    },
    /// It is being done.
    Mending {
        /// What.
        mend: Mend,
    },
    /// A container of this name is somebody else's.
    Foreign,
    /// Docker does not answer.
    NoDocker,
    /// Somebody asked that it be left alone.
    Held,
}

impl Phase {
    /// Its name, as in the diagram.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Up { .. } => "up",
            Self::Settling { .. } => "settling",
            Self::Needs { mend, .. } => match mend {
                Mend::Image => "needs_image",
                Mend::Create => "needs_create",
                Mend::Renew => "needs_renew",
                Mend::Start => "needs_start",
                Mend::Answer => "needs_answer",
            },
            Self::Mending { mend } => match mend {
                Mend::Image => "mending_image",
                Mend::Create => "mending_create",
                Mend::Renew => "mending_renew",
                Mend::Start => "mending_start",
                Mend::Answer => "mending_answer",
            },
            Self::Foreign => "foreign",
            Self::NoDocker => "no_docker",
            Self::Held => "held",
        }
    }
}

/// What is known of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// Mends since it was last steady.
    pub mends: u32,
    /// It crashes again and again.
    pub is_crash_loop: bool,
    /// No mend before.
    not_before: Moment,
    deaths: VecDeque<Moment>,
    /// What was said of it last.
    said: Option<Saying>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            phase: Phase::Unseen,
            mends: 0,
            is_crash_loop: false,
            not_before: Duration::ZERO,
            deaths: VecDeque::new(),
            said: None,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody looked.
    Seen(Sight),
    /// Its process ended.
    Died,
    /// A mend is over.
    Mended(Mended),
    /// A moment that was asked for has come.
    Tick,
    /// It is to be left alone from now on.
    Held,
    /// It need not be left alone any more.
    Unheld,
}

/// How a mend went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// It is over. What was done, which may be more than was asked for; nothing if all was well by then.
    Done(Option<Mend>),
    /// Nothing was done: another run has the lock.
    Busy,
    /// It failed there.
    Failed(Mend),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Look at it, and say what was seen.
    Look,
    /// Mend it from there on, and say how it went.
    Mend(Mend),
    /// Send a tick at this moment.
    WakeAt(Moment),
    /// Tell people.
    Say(Saying),
}

/// What people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saying {
    /// It is not as it was applied, and this is being done about it.
    Down(Mend),
    /// A mend failed there, and is tried again.
    Failed(Mend),
    /// It is as it was applied again.
    Recovered,
    /// It crashes again and again.
    CrashLoop,
    /// It has stopped doing so.
    CrashLoopOver,
    /// Its name is somebody else's.
    Foreign,
}

/// The next state, and what is to be done.
pub fn step(state: &State, event: Event, now: Moment) -> (State, Vec<Effect>) {
    let mut next = state.clone();
    let mut effects = Vec::new();
    next.take(event, now, &mut effects);
    (next, effects)
}

/// How long to wait after so many mends in a row.
pub fn pause(mends: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << mends.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE)
}

impl State {
    fn take(&mut self, event: Event, now: Moment, effects: &mut Vec<Effect>) {
        match (self.phase, event) {
            (Phase::Held, Event::Unheld) => {
                self.phase = Phase::Unseen;
                effects.push(Effect::Look);
            }
            (Phase::Held, _) | (_, Event::Unheld) => {}
            (_, Event::Held) => self.phase = Phase::Held,
            // What it goes through while it is mended is our own doing.
            (Phase::Mending { .. }, Event::Seen(_) | Event::Died | Event::Tick) => {}
            (Phase::Mending { mend }, Event::Mended(how)) => {
                self.mended(mend, how, now, effects);
            }
            // Of a mend that was overtaken by a hold.
            (_, Event::Mended(_)) => effects.push(Effect::Look),
            (_, Event::Died) => self.died(now, effects),
            (_, Event::Seen(sight)) => self.seen(sight, now, effects),
            (_, Event::Tick) => self.tick(now, effects),
        }
    }

    fn died(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.forget_what_was_before(now, effects);
        // However soon Docker starts it again: it was not up all the time.
        if matches!(self.phase, Phase::Up { .. }) {
            self.phase = Phase::Settling { since: now };
        }
        self.deaths
            .retain(|at| now.saturating_sub(*at) < DEATHS_WITHIN);
        self.deaths.push_back(now);
        while self.deaths.len() > DEATHS {
            self.deaths.pop_front();
        }
        if self.deaths.len() >= DEATHS && !self.is_crash_loop {
            self.is_crash_loop = true;
            effects.push(Effect::Say(Saying::CrashLoop));
        }
        effects.push(Effect::Look);
    }

    fn seen(&mut self, sight: Sight, now: Moment, effects: &mut Vec<Effect>) {
        match sight {
            Sight::Right => self.is_up(now, effects),
            Sight::Loading => {
                self.phase = Phase::Settling { since: now };
                effects.push(Effect::WakeAt(now + LOOK_AGAIN));
            }
            Sight::Silent => {
                let since = match self.phase {
                    Phase::Settling { since } => since,
                    _ => now,
                };
                if now.saturating_sub(since) < PATIENCE {
                    self.phase = Phase::Settling { since };
                    effects.push(Effect::WakeAt(now + LOOK_AGAIN));
                } else {
                    self.needs(Mend::Answer, now, now, effects);
                }
            }
            Sight::Unhealthy => self.needs(Mend::Answer, now, now, effects),
            Sight::Restarting => {
                // Seen a second time, its turn goes on.
                let at = match self.phase {
                    Phase::Needs {
                        mend: Mend::Start,
                        at,
                    } => at,
                    _ => now + DOCKERS_TURN,
                };
                self.needs(Mend::Start, at, now, effects);
            }
            Sight::Stopped => self.needs(Mend::Start, now, now, effects),
            Sight::Changed => self.needs(Mend::Renew, now, now, effects),
            Sight::Missing => self.needs(Mend::Create, now, now, effects),
            Sight::NoImage => self.needs(Mend::Image, now, now, effects),
            Sight::Foreign => {
                self.phase = Phase::Foreign;
                self.say_once(Saying::Foreign, effects);
            }
            Sight::NoDocker => {
                self.phase = Phase::NoDocker;
                effects.push(Effect::WakeAt(now + LOOK_AGAIN));
            }
        }
    }

    fn is_up(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Up { .. }) {
            self.phase = Phase::Up { since: now };
            if self.said.take().is_some() {
                effects.push(Effect::Say(Saying::Recovered));
            }
        }
        self.forget_what_was_before(now, effects);
        if let (Phase::Up { since }, true) = (self.phase, self.mends > 0 || self.is_crash_loop) {
            effects.push(Effect::WakeAt(since + STEADY));
        }
    }

    /// Up for long enough, it begins anew.
    fn forget_what_was_before(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Phase::Up { since } = self.phase else {
            return;
        };
        if now.saturating_sub(since) < STEADY {
            return;
        }
        self.mends = 0;
        if self.is_crash_loop {
            self.is_crash_loop = false;
            self.deaths.clear();
            effects.push(Effect::Say(Saying::CrashLoopOver));
        }
    }

    /// Something must be done, not before `at`.
    fn needs(&mut self, mend: Mend, at: Moment, now: Moment, effects: &mut Vec<Effect>) {
        self.forget_what_was_before(now, effects);
        let at = at.max(self.not_before);
        self.phase = Phase::Needs { mend, at };
        if at > now {
            effects.push(Effect::WakeAt(at));
            return;
        }
        // A step that is tried again was spoken of.
        if self.said.is_none() {
            self.say_once(Saying::Down(mend), effects);
        }
        self.phase = Phase::Mending { mend };
        self.mends = self.mends.saturating_add(1);
        self.not_before = now + pause(self.mends);
        effects.push(Effect::Mend(mend));
    }

    fn mended(&mut self, mend: Mend, how: Mended, now: Moment, effects: &mut Vec<Effect>) {
        match how {
            Mended::Done(done) => {
                if let Some(done) = done.filter(|done| *done < mend) {
                    self.say_once(Saying::Down(done), effects);
                }
                self.phase = Phase::Settling { since: now };
                effects.push(Effect::Look);
            }
            Mended::Busy => {
                // Nothing was tried.
                self.mends = self.mends.saturating_sub(1);
                self.not_before = now + FIRST_PAUSE;
                self.phase = Phase::Needs {
                    mend,
                    at: self.not_before,
                };
                effects.push(Effect::WakeAt(self.not_before));
            }
            Mended::Failed(failed) => {
                self.say_once(Saying::Failed(failed), effects);
                self.not_before = now + pause(self.mends);
                self.phase = Phase::Needs {
                    mend: failed,
                    at: self.not_before,
                };
                effects.push(Effect::WakeAt(self.not_before));
            }
        }
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Needs { mend, at } if at <= now => self.needs(mend, at, now, effects),
            Phase::Up { .. } => self.forget_what_was_before(now, effects),
            Phase::Unseen | Phase::Settling { .. } | Phase::NoDocker => effects.push(Effect::Look),
            _ => {}
        }
    }

    fn say_once(&mut self, saying: Saying, effects: &mut Vec<Effect>) {
        if self.said != Some(saying) {
            self.said = Some(saying);
            effects.push(Effect::Say(saying));
        }
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
