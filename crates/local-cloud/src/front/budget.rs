//! A bound on the bytes that all connections together hold in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit stands for.
const UNIT: usize = 1 << 10;
/// How long a connection may make no progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same, while others wait for the memory that it may hold.
const PATIENCE_WHEN_SCARCE: Duration = Duration::from_secs(5);
/// How long others wait: until connections without progress have lost their memory.
const MAX_WAIT: Duration = Duration::from_secs(15);

pub(super) struct Budget {
    /// Waits in the order of arrival.
    permits: Arc<Semaphore>,
    total: usize,
    waiting: AtomicUsize,
}

/// Bytes of a budget. They go back to it when this is dropped.
#[derive(Debug)]
pub(super) struct Held(OwnedSemaphorePermit);

/// No memory was free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    pub fn new(bytes: usize) -> Arc<Self> {
        let total = bytes / UNIT;
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(total)),
            total,
            waiting: AtomicUsize::new(0),
        })
    }

    fn permits_of(&self, bytes: usize) -> u32 {
        // Nothing can need more than there is.
        u32::try_from(bytes.div_ceil(UNIT).min(self.total)).unwrap_or(u32::MAX)
    }

    /// Takes `bytes` without waiting.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let permits = Arc::clone(&self.permits).try_acquire_many_owned(self.permits_of(bytes));
        permits.ok().map(Held)
    }

    /// Takes `bytes`, after those who came before.
    pub async fn take(self: Arc<Self>, bytes: usize) -> Result<Held, Exhausted> {
        if let Some(held) = self.try_take(bytes) {
            return Ok(held);
        }
        let _waiting = Waiting::new(&self.waiting);
        let permits = Arc::clone(&self.permits).acquire_many_owned(self.permits_of(bytes));
        match tokio::time::timeout(MAX_WAIT, permits).await {
            Ok(Ok(permit)) => Ok(Held(permit)),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Exhausted),
        }
    }

    /// How long a connection may make no progress now.
    pub fn patience(&self) -> Duration {
        match self.waiting.load(Ordering::Relaxed) {
            0 => PATIENCE,
            _ => PATIENCE_WHEN_SCARCE,
        }
    }

    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.permits.available_permits() * UNIT
    }
}

impl Held {
    pub fn bytes(&self) -> usize {
        self.0.num_permits() * UNIT
    }

    pub fn add(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    /// The part for `bytes`, if there is as much.
    pub fn split(&mut self, bytes: usize) -> Option<Self> {
        self.0.split(bytes.div_ceil(UNIT)).map(Self)
    }
}

/// Counts a request that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_back_and_waiting_ends() {
        let budget = Budget::new(10 << 10);
        let mut held = Arc::clone(&budget).take(8 << 10).await.unwrap();
        assert_eq!(budget.patience(), PATIENCE);
        assert!(budget.try_take(3 << 10).is_none());
        let waiter = tokio::spawn(Arc::clone(&budget).take(3 << 10));
        tokio::task::yield_now().await;
        assert_eq!(budget.patience(), PATIENCE_WHEN_SCARCE);
        drop(held.split(2 << 10));
        let taken = waiter.await.unwrap().unwrap();
        assert_eq!((taken.bytes(), budget.free()), (3 << 10, 1 << 10));
        assert_eq!(Arc::clone(&budget).take(5 << 10).await.unwrap_err(), Exhausted);
        assert_eq!(budget.patience(), PATIENCE);
        held.add(taken);
        drop(held);
        assert_eq!(budget.free(), 10 << 10);
        // More than there is at all means all.
        assert_eq!(budget.take(1 << 30).await.unwrap().bytes(), 10 << 10);
    }
}
