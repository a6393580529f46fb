//! Tokens that ended before they expired. Every request asks this memory, never the store; the
//! store keeps the list for the next process. Until it has been read, nobody is let in.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

/// Each lives for an hour at most; renewing and logging out are limited per account.
const MAX_ENTRIES: usize = 100_000;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused<E> {
    #[error("this token has ended already")]
    Already,
    #[error("too many tokens were ended within the last hour")]
    Full,
    #[error("it could not be written down, and goes on")]
    NotKept(E),
}

/// Ids of ended tokens, each with the second after which it may be forgotten.
#[derive(Debug)]
pub struct Revocations {
    ended: RwLock<HashMap<String, u64>>,
    known: watch::Sender<bool>,
    /// One ends at a time: who is told that a token has ended already must not see it go on.
    turn: tokio::sync::Mutex<()>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            ended: RwLock::default(),
            known: watch::Sender::new(false),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl Revocations {
    /// Whether the store's list has been read.
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Waits until it has been read. A request that comes right after a restart would else be
    /// refused for nothing.
    pub async fn become_known(&self, patience: Duration) -> bool {
        if self.is_known() {
            return true;
        }
        let mut known = self.known.subscribe();
        matches!(
            tokio::time::timeout(patience, known.wait_for(|known| *known)).await,
            Ok(Ok(_))
        )
    }

    /// Takes over what the store knows.
    pub fn load(&self, ended: impl IntoIterator<Item = (String, u64)>) {
        let mut all = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        all.extend(ended);
        drop(all);
        self.known.send_replace(true);
    }

    pub fn contains(&self, id: &str) -> bool {
        let all = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        all.contains_key(id)
    }

    /// Ends a token once `keep` has written it down where the next process finds it. Of two who try, one succeeds.
    pub async fn end<E>(
        &self,
        id: &str,
        until: u64,
        keep: impl Future<Output = Result<(), E>>,
    ) -> Result<(), Refused<E>> {
        let _turn = self.turn.lock().await;
        if self.contains(id) {
            return Err(Refused::Already);
        }
        if self.count() >= MAX_ENTRIES {
            return Err(Refused::Full);
        }
        keep.await.map_err(Refused::NotKept)?;
        let mut all = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(id.to_owned(), until);
        Ok(())
    }

    fn count(&self) -> usize {
        let all = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        all.len()
    }

    /// Forgets tokens that have expired anyway.
    pub fn sweep(&self, now: u64) {
        let mut all = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, until| *until >= now);
        all.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept() -> Result<(), ()> {
        Ok(())
    }

    #[tokio::test]
    async fn it_is_bounded_and_forgets() {
        let all = Revocations::default();
        all.load((0..MAX_ENTRIES as u64).map(|n| (n.to_string(), n)));
        assert_eq!(all.end("more", 0, kept()).await, Err(Refused::Full));
        assert!(!all.contains("more"));
        all.sweep(MAX_ENTRIES as u64 - 1);
        assert!(!all.contains("0") && all.contains(&(MAX_ENTRIES - 1).to_string()));
        all.end("more", 0, kept()).await.unwrap();
        assert_eq!(all.end("more", 0, kept()).await, Err(Refused::Already));
    }

    /// bug: it passed for ended while the store was still being asked, and went on when the store refused.
    #[tokio::test]
    async fn what_could_not_be_kept_goes_on_and_nobody_is_told_otherwise() {
        let all = Revocations::default();
        let (answer, store) = tokio::sync::oneshot::channel::<Result<(), ()>>();
        let first = all.end("a", 0, async { store.await.unwrap() });
        let second = all.end("a", 0, kept());
        let refuse = async {
            tokio::task::yield_now().await;
            assert!(!all.contains("a"), "not before it is kept");
            answer.send(Err(())).unwrap();
        };
        let (first, second, ()) = tokio::join!(first, second, refuse);
        assert_eq!(first, Err(Refused::NotKept(())));
        assert_eq!(second, Ok(()), "its own try counts");
        assert!(all.contains("a"));
    }

    #[tokio::test]
    async fn nothing_is_known_before_the_store_has_answered() {
        let all = Revocations::default();
        assert!(!all.become_known(Duration::from_millis(5)).await);
        all.load([("a".to_owned(), 7)]);
        assert!(all.become_known(Duration::from_millis(5)).await);
        assert!(all.contains("a"));
    }
}
