//! How fast to send: backoff with full jitter, per shard where the shard is known, and the number of requests in
//! flight (additive increase, multiplicative decrease).
//! Source of full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog.

use std::collections::HashMap;

use tokio::time::Instant;

use ground::backoff::Backoff;

/// A shard that has throttled for long has so many levels to go down again.
const MAX_LEVEL: u32 = 16;

/// Backoff of throttled shards.
#[derive(Debug, Default)]
pub(super) struct ShardPaces {
    shards: HashMap<String, ShardPace>,
}

#[derive(Debug)]
struct ShardPace {
    level: u32,
    until: Instant,
}

impl ShardPaces {
    /// `shard` throttled: when to try its records again. Responses of requests that were already in flight when it
    /// first did say nothing new, and do not double the wait again.
    pub(super) fn throttled(&mut self, shard: &str, now: Instant, backoff: &Backoff) -> Instant {
        let pace = self
            .shards
            .entry(shard.to_owned())
            .or_insert(ShardPace { level: 0, until: now });
        if now >= pace.until {
            pace.until = now + backoff.pause(pace.level);
            pace.level = (pace.level + 1).min(MAX_LEVEL);
        }
        pace.until
    }

    /// `shard` took all it was sent.
    pub(super) fn accepted(&mut self, shard: &str) {
        if let Some(pace) = self.shards.get_mut(shard) {
            pace.level = pace.level.saturating_sub(1);
        }
    }
}

/// How many requests may be in flight.
#[derive(Debug)]
pub(super) struct Window {
    size: f64,
    max: f64,
}

impl Window {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1) as f64;
        Self { size: max, max }
    }

    pub(super) fn allows(&self, in_flight: usize) -> bool {
        (in_flight as f64) < self.size.floor()
    }

    pub(super) fn widen(&mut self) {
        self.size = (self.size + 1.0 / self.size).min(self.max);
    }

    pub(super) fn narrow(&mut self) {
        self.size = (self.size * 0.7).max(1.0);
    }
}

/// The shard that AWS's message of a throttled entry names ("Rate exceeded for shard shardId-000000000001 in …").
pub(super) fn shard_in(message: &str) -> Option<&str> {
    let start = message.find("shardId-")?;
    let rest = &message[start..];
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .unwrap_or(rest.len());
    Some(&rest[..end])
}
