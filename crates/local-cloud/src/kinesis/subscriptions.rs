//! The active subscriptions of SubscribeToShard.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::stream::locked;

/// Maximum duration of a subscription.
pub(super) const SESSION_MS: i64 = 300_000;
/// Minimum time before the same consumer may subscribe to the same shard again.
const AGAIN_MS: i64 = 5_000;

/// The active subscriptions.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// Consumer ARN and shard index → start time and subscription id.
    current: Mutex<HashMap<(String, u32), (i64, u64)>>,
    /// The last subscription id. Ids are never reused.
    turns: AtomicU64,
}

impl Subscriptions {
    /// Replaces `consumer`'s subscription to `shard`. `None` if the last one started less than [`AGAIN_MS`] ago.
    pub(super) fn start(&self, consumer: &str, shard: u32, now_ms: i64) -> Option<u64> {
        let mut all = locked(&self.current);
        // A start time in the future is from before the clock went back. Ignore it.
        all.retain(|_, (started, _)| (0..=SESSION_MS).contains(&(now_ms - *started)));
        let key = (consumer.to_owned(), shard);
        let last = all.get(&key);
        if last.is_some_and(|(started, _)| now_ms - started < AGAIN_MS) {
            return None;
        }
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        all.insert(key, (now_ms, turn));
        Some(turn)
    }

    pub(super) fn is_current(&self, consumer: &str, shard: u32, turn: u64) -> bool {
        let all = locked(&self.current);
        all.get(&(consumer.to_owned(), shard))
            .is_none_or(|&(_, current)| current == turn)
    }
}
