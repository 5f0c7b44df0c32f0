//! Wakes the pollers of idle shards, where the service tells which shards have new records.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::sleep;

use super::pace::Pace;
use super::poller::Shared;
use super::{Appended, ShardSource};

/// The pollers of a tail, by shard.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_shard: Mutex<HashMap<Arc<str>, Arc<Notify>>>,
    asked: AtomicBool,
}

impl Wakes {
    /// What wakes the poller of `shard_id`.
    pub(super) fn of(&self, shard_id: &Arc<str>) -> Arc<Notify> {
        Arc::clone(self.locked().entry(Arc::clone(shard_id)).or_default())
    }

    pub(super) fn forget(&self, shard_id: &str) {
        self.locked().remove(shard_id);
    }

    /// Whether idle pollers are woken at the moment, so that they need not look.
    pub(super) fn are_asked_for(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn wake(&self, shards: Option<&[String]>) {
        let pollers = self.locked();
        // A poller that does not wait yet finds the permit when it does.
        match shards {
            None => pollers.values().for_each(|poller| poller.notify_one()),
            Some(shards) => {
                let named = shards.iter().filter_map(|id| pollers.get(id.as_str()));
                named.for_each(|poller| poller.notify_one());
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Notify>>> {
        self.by_shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the service for shards with new records, and wakes their pollers. Ends if the service cannot tell.
pub(super) async fn run<S: ShardSource>(shared: Arc<Shared<S>>) {
    let mut pace = Pace::new(&shared.options);
    let mut mark: Option<String> = None;
    loop {
        match shared.source.appended(mark.as_deref()).await {
            Ok(Some(Appended { mark: next, shards })) => {
                pace.succeeded(&[]);
                // Records that arrived before the first answer are in no list.
                let shards = mark.replace(next).and(shards);
                shared.wakes.asked.store(true, Ordering::Relaxed);
                shared.wakes.wake(shards.as_deref());
            }
            Ok(None) => break,
            Err(_) => {
                // Pollers look by themselves meanwhile. One that waits for long must not miss what comes now.
                mark = None;
                if shared.wakes.asked.swap(false, Ordering::Relaxed) {
                    shared.wakes.wake(None);
                }
                sleep(pace.failed()).await;
            }
        }
    }
    shared.wakes.asked.store(false, Ordering::Relaxed);
    shared.wakes.wake(None);
}
