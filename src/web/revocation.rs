//! Tokens that ended before they expired. Every request asks this memory, never the store; the
//! store keeps the list for the next process. Until it has been read, nobody is let in.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

/// Each lives for an hour at most; renewing and logging out are limited per account.
const MAX_ENTRIES: usize = 100_000;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("this token has ended already")]
    Already,
    #[error("too many tokens were ended within the last hour")]
    Full,
}

/// Ids of ended tokens, each with the second after which it may be forgotten.
#[derive(Debug)]
pub struct Revocations {
    ended: RwLock<HashMap<String, u64>>,
    known: watch::Sender<bool>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            ended: RwLock::default(),
            known: watch::Sender::new(false),
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

    /// Ends a token from now on. Of two who try, one succeeds.
    pub fn end(&self, id: &str, until: u64) -> Result<(), Refused> {
        let mut all = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(id) {
            return Err(Refused::Already);
        }
        if all.len() >= MAX_ENTRIES {
            return Err(Refused::Full);
        }
        all.insert(id.to_owned(), until);
        Ok(())
    }

    /// The store did not take it: the token goes on.
    pub fn take_back(&self, id: &str) {
        let mut all = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(id);
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

    #[test]
    fn it_is_bounded_and_forgets() {
        let all = Revocations::default();
        for n in 0..MAX_ENTRIES {
            all.end(&n.to_string(), n as u64).unwrap();
        }
        assert_eq!(all.end("more", 0), Err(Refused::Full));
        assert!(!all.contains("more"));
        all.sweep(MAX_ENTRIES as u64 - 1);
        assert!(!all.contains("0") && all.contains(&(MAX_ENTRIES - 1).to_string()));
        all.end("more", 0).unwrap();
        assert_eq!(all.end("more", 0), Err(Refused::Already));
        all.take_back("more");
        assert!(!all.contains("more"));
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
