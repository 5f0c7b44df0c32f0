//! Counts of what was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::record::Record;

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
    /// Data and partition keys acknowledged, in bytes.
    pub bytes: u64,
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
    pub(super) fn count_read(&mut self, record: &Record) {
        self.read += 1;
        self.last_number = record.number;
        self.last_line = record.line;
    }

    pub(super) fn count_stored(&mut self, record: &Record, shard_id: &str, sequence_number: String) {
        let size = record.size() as u64;
        self.acknowledged += 1;
        self.bytes += size;
        if !self.shards.contains_key(shard_id) {
            self.shards.insert(shard_id.to_owned(), ShardSummary::default());
        }
        let Some(shard) = self.shards.get_mut(shard_id) else {
            return;
        };
        shard.records += 1;
        shard.bytes += size;
        if shard.records == 1 || is_before(&sequence_number, &shard.first_sequence_number) {
            shard.first_sequence_number.clone_from(&sequence_number);
        }
        if shard.records == 1 || is_before(&shard.last_sequence_number, &sequence_number) {
            shard.last_sequence_number = sequence_number;
        }
    }
}

/// Sequence numbers are decimal numbers without leading zeros, too long for any integer type.
fn is_before(a: &str, b: &str) -> bool {
    (a.len(), a) < (b.len(), b)
}
