//! Where the count is kept.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// Seconds in which attempts are counted together.
pub(super) const ATTEMPT_WINDOW: u64 = 60;

pub(super) type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A durable counter. Both ways of keeping it pass the same tests.
pub(super) trait Store: Send + Sync + 'static {
    /// Adds atomically, and returns the new total once it is as durable as the store promises.
    fn add(&self, count: u64) -> Reply<'_, u64>;

    /// Keeps the id of an ended token until that second.
    fn revoke<'a>(&'a self, id: &'a str, until: u64) -> Reply<'a, ()>;

    /// The ended tokens that have not expired at `now`; the others are forgotten.
    fn revoked(&self, now: u64) -> Reply<'_, Vec<(String, u64)>>;

    /// Counts one attempt of whoever `key` stands for, and returns how many there were in this
    /// `window`; those of earlier windows are forgotten.
    fn attempt<'a>(&'a self, key: &'a str, window: u64) -> Reply<'a, u64>;

    /// Whether the store answers, and as whom we think we are.
    fn ping(&self) -> Reply<'_, ()>;
}

/// Told to the operator, not to clients: they learn that it is unavailable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    #[error("{0}")]
    Unreachable(String),
    #[error("Redis refuses the user or its password: {0}")]
    Refused(String),
    /// The rules were written by an older Tavern: its binary was replaced, and nobody has installed since.
    #[error(
        "Redis does not permit a command that this version needs: `sudo tavernctl install` brings its rules up to date ({0})"
    )]
    NotPermitted(String),
    #[error("Redis is loading its data")]
    Loading,
    #[error("the store does not accept writes: {0}")]
    NoWrites(String),
    #[error("the stored count is not usable: {0}")]
    Corrupt(String),
    #[error("no answer in time")]
    TimedOut,
    #[error("too many requests wait for the store")]
    Busy,
    #[error("{0}")]
    Open(String),
}
