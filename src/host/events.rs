#![allow(clippy::disallowed_methods, reason = "reads /proc")]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::HostError;

/// What the kernel tells a process that runs in the foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is to end: Ctrl-C, `kill`, or its terminal was closed.
    Stop,
    /// Some child ended.
    Child,
}

/// Signals as messages. From `catch` on they no longer act on the process by themselves.
#[derive(Debug)]
pub struct Events(Receiver<Event>);

impl Events {
    /// Catches SIGINT, SIGTERM, SIGHUP and SIGCHLD. By handlers, which exec(2) takes away again: a
    /// blocked signal would stay blocked in our children.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn catch() -> Result<Self, HostError> {
        let refused = |error| HostError::Unexpected(format!("cannot catch signals: {error}"));
        let mut caught = vec![
            (SignalKind::interrupt(), Event::Stop),
            (SignalKind::terminate(), Event::Stop),
            (SignalKind::child(), Event::Child),
        ];
        // `nohup` asks us to outlive the terminal.
        if !is_ignored(Signal::SIGHUP) {
            caught.push((SignalKind::hangup(), Event::Stop));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(refused)?;
        let (sender, receiver) = channel();
        let mut watchers = JoinSet::new();
        {
            let _inside = runtime.enter();
            for (kind, event) in caught {
                watchers.spawn(forward(
                    signal(kind).map_err(refused)?,
                    event,
                    sender.clone(),
                ));
            }
        }
        std::thread::spawn(move || {
            runtime.block_on(async { while watchers.join_next().await.is_some() {} });
        });
        Ok(Self(receiver))
    }

    /// Whether it was told to end since it was last asked. Forgets which children ended.
    pub fn is_stop_wanted(&self) -> bool {
        self.0
            .try_iter()
            .filter(|event| *event == Event::Stop)
            .count()
            > 0
    }

    /// The next event; nothing if none comes within `limit`.
    pub fn wait(&self, limit: Option<Duration>) -> Option<Event> {
        match limit {
            Some(limit) => self.0.recv_timeout(limit).ok(),
            None => self.0.recv().ok(),
        }
    }
}

async fn forward(mut signals: tokio::signal::unix::Signal, event: Event, to: Sender<Event>) {
    while signals.recv().await.is_some() && to.send(event).is_ok() {}
}

/// Whether our caller made us ignore a signal. By /proc: sigaction(2) is not to be had in safe code.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}
