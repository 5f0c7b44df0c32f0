//! When to read a shard next, and how much.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use super::{TailOptions, TailRecord};

/// A page is asked to be about this large: what a shard gives out in a second.
/// Source: "Quotas and limits", Kinesis Data Streams developer guide. A page of 10 MiB would cost a pause of five
/// seconds.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// GetRecords' own limit. Source: Kinesis API reference.
const MAX_RECORDS: usize = 10_000;
/// The first page of a shard, whose records' size is not known.
const FIRST_RECORDS: usize = 1000;
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The pace of one shard.
#[derive(Debug)]
pub(super) struct Pace {
    min_interval: Duration,
    idle_interval: Duration,
    /// Failed reads in a row.
    failures: u32,
    /// When the run of failures began.
    failing_since: Option<Instant>,
    last_read: Instant,
    limit: usize,
}

impl Pace {
    pub(super) fn new(options: &TailOptions) -> Self {
        Self {
            min_interval: options.min_interval,
            idle_interval: options.idle_interval.max(options.min_interval),
            failures: 0,
            failing_since: None,
            last_read: Instant::now(),
            limit: FIRST_RECORDS,
        }
    }

    /// How many records to ask for.
    pub(super) fn limit(&self) -> i32 {
        i32::try_from(self.limit).unwrap_or(i32::MAX)
    }

    /// A read begins.
    pub(super) fn reads(&mut self) {
        self.last_read = Instant::now();
    }

    /// A read went well.
    pub(super) fn succeeded(&mut self, records: &[TailRecord]) {
        self.failures = 0;
        self.failing_since = None;
        if !records.is_empty() {
            let average = records.iter().map(TailRecord::size).sum::<usize>() / records.len();
            self.limit = (PAGE_BYTES / average.max(1)).clamp(1, MAX_RECORDS);
        }
    }

    /// A read failed: how long to wait (full jitter), and since when reads have been failing.
    pub(super) fn failed(&mut self) -> (Duration, Instant) {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let ceiling = FIRST_BACKOFF
            .saturating_mul(1 << self.failures.min(10))
            .min(MAX_BACKOFF);
        self.failures += 1;
        // Never at once: a reader that shares the shard's five calls a second needs a gap.
        let wait = ceiling.mul_f64(rand::rng().random_range(0.25..=1.0));
        (wait, since)
    }

    /// When to read again; at the tip there is no hurry.
    pub(super) fn next_read(&self, at_tip: bool) -> Instant {
        let interval = if at_tip {
            self.idle_interval
        } else {
            self.min_interval
        };
        self.last_read + interval
    }
}
