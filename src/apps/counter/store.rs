//! Where the count is kept.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

pub(super) type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A durable counter. Both ways of keeping it pass the same tests.
pub(super) trait Store: Send + Sync + 'static {
    /// Adds atomically, and returns the new total once it is as durable as the store promises.
    fn add(&self, count: u64) -> Reply<'_, u64>;

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
