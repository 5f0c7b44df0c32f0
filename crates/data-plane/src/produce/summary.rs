//! Counts of what was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Latencies, Settled};
use crate::record::Record;
use crate::sequence::is_after;
use crate::wire::StoredIn;

/// The counts of one run. Once it is over, `read` = `acknowledged` + `failed` + `stopped`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutSummary {
    pub read: u64,
    /// Records stored by the stream.
    pub acknowledged: u64,
    /// Records given up after their retry time.
    pub failed: u64,
    /// Records read but not acknowledged when the run was stopped.
    pub stopped: u64,
    /// Times a record was sent again.
    pub retries: u64,
    /// Times a record was throttled.
    pub throttles: u64,
    /// Records that were acknowledged after an attempt without an answer: the stream may have them twice.
    pub possible_duplicates: u64,
    /// Data and partition keys acknowledged, in bytes.
    pub bytes: u64,
    /// Kinesis records that were sent for several records each.
    pub aggregates: u64,
    /// How long answered requests took.
    pub latencies: Latencies,
    /// How far the input is settled.
    pub settled: Settled,
    /// Counts of each shard, by shard id.
    pub shards: BTreeMap<String, ShardSummary>,
    /// Number of the last record taken from the input, from 1.
    pub last_number: u64,
    /// The line that record starts on, from 1.
    pub last_line: u64,
    pub elapsed: Duration,
}

/// Counts of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardSummary {
    pub records: u64,
    /// Data and partition keys, in bytes.
    pub bytes: u64,
    /// The lowest sequence number.
    pub first_sequence_number: String,
    /// The highest sequence number.
    pub last_sequence_number: String,
}

impl PutSummary {
    /// A record was read; returns its place among the records read.
    pub(super) fn count_read(&mut self, record: &Record) -> u64 {
        self.read += 1;
        self.last_number = record.number;
        self.last_line = record.line;
        self.settled.read(record.number)
    }

    /// A request has stored `records` records of `bytes` bytes in a shard.
    pub(super) fn count_stored(&mut self, records: u64, bytes: u64, stored: StoredIn) {
        if records == 0 {
            return;
        }
        self.acknowledged += records;
        self.bytes += bytes;
        let shard = self.shards.entry(stored.shard_id).or_default();
        let is_first = shard.records == 0;
        shard.records += records;
        shard.bytes += bytes;
        if is_first || is_after(&shard.first_sequence_number, &stored.first) {
            shard.first_sequence_number = stored.first;
        }
        if is_first || is_after(&stored.last, &shard.last_sequence_number) {
            shard.last_sequence_number = stored.last;
        }
    }
}
