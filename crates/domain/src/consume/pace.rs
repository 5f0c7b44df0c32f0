//! When to read a shard next, and how much.

use std::time::Duration;

use tokio::time::Instant;

use super::{TailOptions, TailRecord};
use ground::backoff::{Backoff, Pauses};

/// What a shard gives out in a second, in bytes. Source: "Quotas and limits", Kinesis Data Streams developer guide.
pub(super) const SHARD_BYTES: usize = 2 * 1024 * 1024;
/// A page is asked to be about this large: what a shard gives out in a second. A page of 10 MiB would cost a pause of
/// five seconds.
const PAGE_BYTES: usize = SHARD_BYTES;
/// GetRecords' own limit. Source: Kinesis API reference.
const MAX_RECORDS: usize = 10_000;
/// The first page of a shard, whose records' size is not known. Small, because the first pages of many shards are read at
/// the same time.
const FIRST_RECORDS: usize = 250;
/// Never without a pause: a reader that shares the shard's five calls a second needs a gap.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).jitter(0.25, 1.0);
/// How much longer the interval becomes with each throttled read, and with each idle one.
const GROWTH: f64 = 1.5;
/// The longest interval of a reader that shares its shard: other readers use the rest of the five calls.
const SHARED_INTERVAL: Duration = Duration::from_secs(2);
/// Reads that go well before the interval becomes shorter again.
const PATIENCE: u32 = 10;

/// The pace of one shard.
#[derive(Debug)]
pub(super) struct Pace {
    min_interval: Duration,
    idle_interval: Duration,
    /// Grows when other readers use up the limits of the shard.
    interval: Duration,
    /// Grows while the shard has no new records.
    idle: Duration,
    bytes_per_second: Option<usize>,
    /// Successful reads since the interval changed.
    successes: u32,
    /// Of failed reads in a row.
    pauses: Pauses,
    /// When the run of failures began.
    failing_since: Option<Instant>,
    last_read: Instant,
    /// The size of the last page, in bytes.
    last_bytes: usize,
    /// The memory that the next page is expected to take, in bytes.
    expected_memory: usize,
    limit: usize,
}

impl Pace {
    pub(super) fn new(options: &TailOptions) -> Self {
        let idle_interval = options.idle_interval.max(options.min_interval);
        Self {
            min_interval: options.min_interval,
            idle_interval,
            interval: options.min_interval,
            idle: idle_interval,
            bytes_per_second: options.bytes_per_second,
            successes: 0,
            pauses: BACKOFF.pauses(),
            failing_since: None,
            last_read: Instant::now(),
            last_bytes: 0,
            expected_memory: 0,
            limit: FIRST_RECORDS,
        }
    }

    /// How many records to ask for.
    pub(super) fn limit(&self) -> i32 {
        i32::try_from(self.limit).unwrap_or(i32::MAX)
    }

    /// The memory that the next page is expected to take, in bytes. After a full page, all that is asked for; else what the
    /// last one took: a shard that is read at its tip has small pages.
    pub(super) fn expected_memory(&self) -> usize {
        self.expected_memory
    }

    /// Asks for fewer records, to find the one that cannot be decoded. `false` if it asks for one already.
    pub(super) fn narrow(&mut self) -> bool {
        let narrower = self.limit > 1;
        self.limit = (self.limit / 10).max(1);
        narrower
    }

    /// A read begins.
    pub(super) fn reads(&mut self) {
        self.last_read = Instant::now();
    }

    /// When the last read began.
    pub(super) fn last_read(&self) -> Instant {
        self.last_read
    }

    /// A read went well.
    pub(super) fn succeeded(&mut self, records: &[TailRecord]) {
        self.pauses = BACKOFF.pauses();
        self.failing_since = None;
        self.successes += 1;
        if self.successes >= PATIENCE {
            self.successes = 0;
            self.interval = self.interval.div_f64(GROWTH).max(self.min_interval);
        }
        // Source: "Quotas and limits": what counts are data and partition keys.
        let bytes = |record: &TailRecord| record.data.len() + record.partition_key.len();
        self.last_bytes = records.iter().map(bytes).sum();
        self.expected_memory = records.iter().map(TailRecord::size).sum();
        if !records.is_empty() {
            let is_full = records.len() >= self.limit;
            let average = self.expected_memory / records.len();
            // After a damaged answer, the next pages stay small.
            let most = self.limit.saturating_mul(10).min(MAX_RECORDS);
            self.limit = (PAGE_BYTES / average.max(1)).clamp(1, most);
            if is_full {
                self.expected_memory = self.limit.saturating_mul(average);
            }
            self.idle = self.idle_interval;
        }
    }

    /// A read was throttled: how long to wait. Later reads are slower too.
    pub(super) fn throttled(&mut self) -> Duration {
        self.successes = 0;
        self.interval = self
            .interval
            .mul_f64(GROWTH)
            .min(SHARED_INTERVAL)
            .max(self.min_interval);
        self.failed()
    }

    /// A read failed: how long to wait.
    pub(super) fn failed(&mut self) -> Duration {
        self.failing_since.get_or_insert_with(Instant::now);
        self.pauses.advance()
    }

    /// A read failed: how long to wait, so that the last try is `longest` after the first failure in a row; `None` once
    /// that time is over.
    pub(super) fn failed_within(&mut self, longest: Duration) -> Option<Duration> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        self.pauses.advance_until(since + longest)
    }

    /// The earliest time of the next read: within the shard's calls and bytes per second.
    pub(super) fn earliest(&self) -> Instant {
        let of_bytes = match self.bytes_per_second {
            // The page that a shard gives out is not larger than that of the records in it.
            Some(rate) => Duration::from_secs_f64(self.last_bytes as f64 / rate as f64),
            None => Duration::ZERO,
        };
        self.last_read + self.interval.max(of_bytes)
    }

    /// When to read again after a page without records at the tip. Each such page makes the next wait longer, up to
    /// `longest`.
    pub(super) fn next_idle(&mut self, longest: Duration) -> Instant {
        let next = (self.last_read + self.idle).max(self.earliest());
        let longest = longest.max(self.idle_interval);
        self.idle = self.idle.mul_f64(GROWTH).min(longest);
        next
    }
}
