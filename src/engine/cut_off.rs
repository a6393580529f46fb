//! Small runs that were cut off: no reason to have every later one wait for a person.

use super::{Engine, EngineError, Lock, Unfinished, Verb};

impl Engine<'_> {
    /// A renewal that was cut off is two steps to undo, and a mend none.
    pub(super) fn end_cut_off_renewal(&self) -> Result<(), EngineError> {
        // One without its first line has done nothing.
        let is_ours = |run: &Unfinished| match &run.begin {
            Some(begin) => matches!(begin.verb, Verb::Renew { .. } | Verb::Mend { .. }),
            None => run.records.is_empty(),
        };
        if self.unfinished()?.as_ref().is_some_and(is_ours) {
            self.recover_locked(false)?;
        }
        Ok(())
    }

    /// A mend that was cut off. Of more `tavernd` has not the power: a renewal wrote below `/etc`.
    pub(super) fn end_cut_off_mend(&self) -> Result<(), EngineError> {
        let is_ours = |run: &Unfinished| match &run.begin {
            Some(begin) => matches!(begin.verb, Verb::Mend { .. }),
            None => run.records.is_empty(),
        };
        if self.unfinished()?.as_ref().is_some_and(is_ours) {
            self.recover_locked(false)?;
        }
        Ok(())
    }

    /// Ends a renewal or a mend that was cut off, so that mends need not wait for the next renewal.
    ///
    /// # Errors
    /// When another run is at work, or something cannot be put back.
    pub fn end_what_was_cut_off(&self) -> Result<(), EngineError> {
        if self.unfinished()?.is_none() {
            return Ok(());
        }
        let _lock = Lock::take(&self.layout.lock)?;
        self.end_cut_off_renewal()
    }
}
