//! Whether what the service depends on answers. One loop asks; everybody else reads its verdict.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);
const WHEN_UP: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has asked yet.
    Unknown,
    Up,
    /// With the reason, for the operator.
    Down(Arc<str>),
}

#[derive(Debug)]
pub struct Health {
    state: watch::Sender<State>,
    doubt: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::Unknown),
            doubt: Notify::new(),
        }
    }
}

impl Health {
    pub fn is_down(&self) -> bool {
        matches!(*self.state.borrow(), State::Down(_))
    }

    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Work has failed: the loop asks again at once.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }

    fn set(&self, new: State) {
        self.state.send_if_modified(|state| {
            let changed = *state != new;
            *state = new;
            changed
        });
    }

    /// Asks for ever, with a growing pause while there is no answer.
    pub async fn keep_asking<F, A>(&self, ask: F)
    where
        F: Fn() -> A,
        A: Future<Output = Result<(), String>>,
    {
        let mut retry = FIRST_RETRY;
        loop {
            let answer = timeout(PATIENCE, ask()).await;
            let reason = match answer {
                Ok(Ok(())) => None,
                Ok(Err(reason)) => Some(reason),
                Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            match reason {
                None => {
                    retry = FIRST_RETRY;
                    self.set(State::Up);
                    let _ = timeout(WHEN_UP, self.doubt.notified()).await;
                }
                Some(reason) => {
                    self.set(State::Down(reason.into()));
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }
}
