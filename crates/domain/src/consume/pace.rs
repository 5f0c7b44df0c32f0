//! When to read a shard next, and how much.

use std::time::Duration;

use tokio::time::Instant;

use super::{TailOptions, TailRecord};
use ground::backoff::{Backoff, Pauses};

/// A page is asked to be about this large: what a shard gives out in a second.
/// Source: "Quotas and limits", Kinesis Data Streams developer guide. A page of 10 MiB would cost a pause of five
/// seconds.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// GetRecords' own limit. Source: Kinesis API reference.
const MAX_RECORDS: usize = 10_000;
/// The first page of a shard, whose records' size is not known.
const FIRST_RECORDS: usize = 1000;
/// Never without a pause: a reader that shares the shard's five calls a second needs a gap.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).jitter(0.25, 1.0);

/// The pace of one shard.
#[derive(Debug)]
pub(super) struct Pace {
    min_interval: Duration,
    idle_interval: Duration,
    /// Of failed reads in a row.
    pauses: Pauses,
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
            pauses: BACKOFF.pauses(),
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
        self.pauses = BACKOFF.pauses();
        self.failing_since = None;
        if !records.is_empty() {
            let average = records.iter().map(TailRecord::size).sum::<usize>() / records.len();
            self.limit = (PAGE_BYTES / average.max(1)).clamp(1, MAX_RECORDS);
        }
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
