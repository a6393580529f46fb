//! A change that goes back by itself unless somebody who logs in after it confirms it.
//!
//! Before the run the units of the way back are put in place, then the deadline is written down and the timer started:
//! whatever ends the run, something is left that ends the change. After the run the deadline is set anew. The service
//! of the way back waits for the lock, so that a run in progress is never torn, and one that was killed is set right
//! first.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Engine, EngineError, Lock, Pending, Request};
use crate::expand::revert_units;
use crate::host::HostError;
use crate::model::{Mode, Span};
use crate::resource::{Owner, PathState};

const SERVICE: &str = "tavern-revert.service";
const TIMER: &str = "tavern-revert.timer";

/// Longer than any run: a pull over a slow line included.
const LONGEST_RUN: Duration = Duration::from_secs(6 * 3600);

/// What became of a change that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reverted {
    /// Nothing waits.
    Nothing,
    /// Its time is not over.
    NotYet {
        /// What is left of it.
        left: Duration,
    },
    /// The generation that the host was at before is back.
    Back {
        /// Its number then.
        to: u64,
        /// Its number now.
        as_generation: u64,
    },
}

impl Engine<'_> {
    /// Refuses another change while one waits to be confirmed: what came back would take it along.
    ///
    /// # Errors
    /// When one waits.
    pub fn refuse_while_pending(&self) -> Result<(), EngineError> {
        let Some(pending) = self.pending()? else {
            return Ok(());
        };
        let left = pending.left(&self.host.clock.uptime()?);
        Err(EngineError::NotReady {
            what: format!(
                "a change waits to be confirmed: {} s are left, then generation {} comes back",
                left.as_secs(),
                pending.back_to
            ),
            help: "`sudo tavernctl confirm` from a new login keeps it; else it goes back by itself, at once if the \
                   host is rebooted. Then run this again"
                .to_owned(),
        })
    }

    /// Runs what changes the host. If it is to be confirmed, the way back is ready before it begins, and open until
    /// it is confirmed; when the run came to nothing, there is no way back to keep.
    pub(super) fn under_confirmation<T>(
        &self,
        within: Option<Span>,
        back_to: u64,
        run: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let Some(within) = within else {
            return run();
        };
        self.arm(within, back_to).inspect_err(|_| {
            let _ = self.disarm();
        })?;
        let outcome = run();
        // A run that fails after its commit has changed the host, and one that could not be undone may have.
        let is_as_before = self.receipt().is_ok_and(|now| now.generation == back_to)
            && matches!(self.unfinished(), Ok(None));
        let settled = if is_as_before {
            self.disarm()
        } else {
            self.begin_countdown()
        };
        let value = outcome?;
        settled.map(|()| value)
    }

    /// Whether a run or a confirmation that was killed left something of the way back, which leads nowhere.
    pub(super) fn is_way_back_left(&self) -> Result<bool, EngineError> {
        if self.pending()?.is_some() {
            return Ok(false);
        }
        Ok(self.host.files.state(&self.revert_dir())? != PathState::Absent)
    }

    fn arm(&self, within: Span, back_to: u64) -> Result<(), EngineError> {
        if !self.generations()?.contains(&back_to) {
            return Err(EngineError::NotReady {
                what: "there is no earlier generation to come back to".to_owned(),
                help: "install once without `--confirm-within`; `sudo tavernctl uninstall` gives back what was there before"
                    .to_owned(),
            });
        }
        let files = &self.host.files;
        let binary = self.revert_dir().join("tavernctl");
        let units = revert_units(back_to, within, &binary)?;
        // A copy of its own: the installed one may be another version's, or be changed by the very run.
        files.make_directory(&self.revert_dir(), Mode(0o700), &Owner::root())?;
        files.install_binary(&binary)?;
        for (name, text) in [(SERVICE, units.service), (TIMER, units.timer)] {
            let path = self.layout.units.join(name);
            files.write(&path, text.as_bytes(), Mode(0o644), &Owner::root())?;
        }
        let systemd = &self.host.systemd;
        systemd.act("daemon-reload", &[])?;
        systemd.act("enable", &[SERVICE])?;
        // The timer first: one that finds nothing to do takes the rest away, and nothing may wait without one.
        let now = self.host.clock.uptime()?;
        systemd.act("restart", &[TIMER])?;
        self.begin_pending(back_to, within, &now)
    }

    /// All is in place: from now on the time counts.
    fn begin_countdown(&self) -> Result<(), EngineError> {
        if let Some(mut pending) = self.pending()? {
            self.save_pending(&mut pending, &self.host.clock.uptime()?)?;
            self.host.systemd.act("restart", &[TIMER])?;
        }
        Ok(())
    }

    /// Takes the way back away, whatever of it is there.
    pub(super) fn disarm(&self) -> Result<(), EngineError> {
        self.forget_pending()?;
        let files = &self.host.files;
        let systemd = &self.host.systemd;
        let paths: Vec<PathBuf> = [SERVICE, TIMER]
            .iter()
            .map(|name| self.layout.units.join(name))
            .collect();
        let is_there = |path: &Path| -> Result<bool, HostError> { Ok(files.read(path)?.is_some()) };
        if is_there(&paths[1])? {
            systemd.act("stop", &[TIMER])?;
        }
        if is_there(&paths[0])? {
            systemd.act("disable", &[SERVICE])?;
            // It may have failed before; not loaded is fine too.
            let _ = systemd.act("reset-failed", &[SERVICE]);
        }
        let mut is_changed = false;
        for path in &paths {
            is_changed |= is_there(path)?;
            files.remove(path)?;
            files.sweep(path)?;
        }
        if is_changed {
            systemd.act("daemon-reload", &[])?;
        }
        // Made first and removed last: as long as it is there, there may be something to take away.
        Ok(files.remove_tree(&self.revert_dir())?)
    }

    fn revert_dir(&self) -> PathBuf {
        self.layout.state.join("revert")
    }

    /// Keeps the change that waits. Gives the generation that stays.
    ///
    /// # Errors
    /// When nothing waits, or who asks was logged in before the change.
    pub fn confirm(&self) -> Result<u64, EngineError> {
        let _lock = Lock::take(&self.layout.lock)?;
        let refused = |what: &str, help: &str| EngineError::NotReady {
            what: what.to_owned(),
            help: help.to_owned(),
        };
        let pending = self.pending()?.ok_or_else(|| {
            refused(
                "nothing waits to be confirmed",
                "`tavernctl generations` shows what the host is at: the time may have been over",
            )
        })?;
        let generation = self.receipt()?.generation;
        if generation == pending.back_to || self.unfinished()?.is_some() {
            return Err(refused(
                "the change did not come to its end: there is nothing to keep",
                "what is left of it goes when its time is over; `sudo tavernctl recover` does it now",
            ));
        }
        if pending.left(&self.host.clock.uptime()?).is_zero() {
            return Err(refused(
                "too late: the time is over",
                "the generation before it comes back now; apply the change again if it is to stay",
            ));
        }
        pending.admit(&self.host.logins.own())?;
        self.disarm()?;
        Ok(generation)
    }

    /// Comes back to the generation before the change that nobody confirmed. Waits for a run in progress.
    ///
    /// # Errors
    /// When a step fails: then it is tried again later.
    pub fn revert(&self) -> Result<Reverted, EngineError> {
        let _lock = Lock::wait(&self.layout.lock, LONGEST_RUN)?;
        let Some(pending) = self.pending()? else {
            self.disarm()?;
            return Ok(Reverted::Nothing);
        };
        let left = pending.left(&self.host.clock.uptime()?);
        if !left.is_zero() {
            // Somebody else started it, or the run has set the deadline anew, and may have been killed over it.
            let timer = self.host.systemd.reports(&[TIMER])?;
            if timer.first().is_none_or(|timer| timer.sub != "waiting") {
                self.host.systemd.act("restart", &[TIMER])?;
            }
            return Ok(Reverted::NotYet { left });
        }
        self.come_back(&pending)?;
        self.disarm()?;
        Ok(Reverted::Back {
            to: pending.back_to,
            as_generation: self.receipt()?.generation,
        })
    }

    /// Sets right what a killed run left, then returns to the generation before it.
    fn come_back(&self, pending: &Pending) -> Result<(), EngineError> {
        self.recover_locked(false)?;
        if self.receipt()?.generation != pending.back_to {
            let request = Request {
                adopt: true,
                must_come_back: true,
                ..Request::to_generation(pending.back_to)
            };
            self.install_locked(None, &request)?;
        }
        Ok(())
    }
}
