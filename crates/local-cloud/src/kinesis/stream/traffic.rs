//! Write traffic since the last sample: of the shards, in counters that writers share, and of the stream.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Bytes and records written to a shard.
#[derive(Debug, Default)]
pub struct ShardTraffic {
    bytes: AtomicU64,
    records: AtomicU64,
}

impl ShardTraffic {
    pub fn add(&self, bytes: usize, records: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.records.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// The traffic since the last call, per second.
    pub fn take(&self, elapsed_ms: i64) -> Rate {
        let per_second = |count: u64| count as f64 * 1000.0 / elapsed_ms.max(1) as f64;
        Rate {
            bytes: per_second(self.bytes.swap(0, Ordering::Relaxed)),
            records: per_second(self.records.swap(0, Ordering::Relaxed)),
        }
    }
}

/// Bytes and records a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    pub bytes: f64,
    pub records: f64,
}

/// When a stream was sampled, and what it needed then.
#[derive(Debug)]
pub struct StreamTraffic {
    sampled_ms: AtomicI64,
    needed: AtomicU32,
}

impl Default for StreamTraffic {
    fn default() -> Self {
        Self {
            sampled_ms: AtomicI64::new(i64::MIN),
            needed: AtomicU32::new(0),
        }
    }
}

impl StreamTraffic {
    /// Starts a sample if the last is at least `least_ms` old. Returns its age, 0 if there is none; `None` if it is not.
    pub fn sample(&self, now_ms: i64, least_ms: i64) -> Option<i64> {
        let last = self.sampled_ms.load(Ordering::Relaxed);
        let age = now_ms.saturating_sub(last);
        // A negative age: the clock was set back.
        if (0..least_ms).contains(&age) {
            return None;
        }
        self.sampled_ms.store(now_ms, Ordering::Relaxed);
        Some(if last == i64::MIN { 0 } else { age.max(0) })
    }

    /// Shards that the last sample needed.
    pub fn needed(&self) -> u32 {
        self.needed.load(Ordering::Relaxed)
    }

    pub fn set_needed(&self, shards: u32) {
        self.needed.store(shards, Ordering::Relaxed);
    }
}
