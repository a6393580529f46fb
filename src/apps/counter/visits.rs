//! Counts visits. Requests that arrive while a write is under way share the next one, and still
//! each get a number of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::numbers::StoreTimes;
use super::store::{Store, StoreError};

/// Requests that may wait for their number.
const MAX_WAITING: usize = 4096;

type Answer = Result<u64, StoreError>;

pub(super) struct Visits {
    queue: mpsc::Sender<oneshot::Sender<Answer>>,
    store: Arc<dyn Store>,
    /// The last write failed, so an answer to a ping alone proves nothing.
    suspect: Arc<AtomicBool>,
}

impl Visits {
    pub(super) fn start(store: Arc<dyn Store>, times: StoreTimes) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let suspect = Arc::new(AtomicBool::new(false));
        let writer = write_all(waiting, Arc::clone(&store), Arc::clone(&suspect), times);
        tokio::spawn(writer);
        Self {
            queue,
            store,
            suspect,
        }
    }

    /// Counts one visit and returns its number. Never retried: after an error the visit may or may
    /// not have been counted, but it is never counted twice.
    pub(super) async fn increment(&self) -> Answer {
        let (caller, answer) = oneshot::channel();
        self.queue.try_send(caller).map_err(|_| StoreError::Busy)?;
        answer.await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Whether the store works. After a failed write it has to write again: a full Redis or disk
    /// answers pings as if nothing were wrong.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await?;
        if self.suspect.load(Ordering::Relaxed) {
            self.store.add(0).await?;
            self.suspect.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

async fn write_all(
    mut waiting: mpsc::Receiver<oneshot::Sender<Answer>>,
    store: Arc<dyn Store>,
    suspect: Arc<AtomicBool>,
    times: StoreTimes,
) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, MAX_WAITING).await > 0 {
        // who has left meanwhile is not counted
        batch.retain(|caller| !caller.is_closed());
        let count = batch.len() as u64;
        if count == 0 {
            continue;
        }
        let started = Instant::now();
        let first = store.add(count).await.and_then(|total| {
            let before = total.checked_sub(count);
            before.ok_or_else(|| StoreError::Corrupt(format!("{total} after adding {count}")))
        });
        times.wrote(count, started.elapsed(), first.is_ok());
        suspect.store(first.is_err(), Ordering::Relaxed);
        for (caller, place) in batch.drain(..).zip(1..) {
            let _ = caller.send(first.clone().map(|before| before + place));
        }
    }
}
