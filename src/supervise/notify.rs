//! What systemd is told.

use std::time::Duration;

use sd_notify::NotifyState;

/// The line to systemd; silent where there is none.
#[derive(Debug, Default)]
pub(super) struct Notify {
    status: String,
    is_ready: bool,
}

impl Notify {
    /// How often it wants to hear that all goes on.
    pub(super) fn beat() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|limit| limit / 3)
    }

    /// Says what is going on, if that is news.
    pub(super) fn status(&mut self, text: &str) {
        if self.status != text {
            text.clone_into(&mut self.status);
            tell(&[NotifyState::Status(text)]);
        }
        if !std::mem::replace(&mut self.is_ready, true) {
            tell(&[NotifyState::Ready]);
        }
    }

    /// All goes on.
    pub(super) fn alive() {
        tell(&[NotifyState::Watchdog]);
    }

    /// It ends.
    pub(super) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd does not listen");
    }
}
