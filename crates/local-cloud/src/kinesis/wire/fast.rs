//! The JSON of the data plane, read and written without a value tree in between.

mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::ops::Range;

use super::super::hash_key::HashKey;
use super::super::sequence::SequenceNumber;
use super::super::store::StoredRecord;

pub use self::parse::{put_record as parse_put_record, put_records as parse_put_records};
pub use self::write::{
    get_records as write_get_records, put_record as write_put_record, put_records as write_put_records,
};

/// A body that is not what the operation takes: answered as `SerializationException`, HTTP status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// For the error's message, as AWS words it. Empty where AWS gives none: the body is not JSON.
    pub message: String,
}

/// The body of PutRecords. Absent members and nulls are `None`; unknown members are ignored.
#[derive(Debug, Default)]
pub struct PutRecords<'a> {
    /// `StreamName`.
    pub stream_name: Option<Cow<'a, str>>,
    /// `StreamARN`.
    pub stream_arn: Option<Cow<'a, str>>,
    /// `DryRun`.
    pub dry_run: Option<bool>,
    /// `Records`.
    pub records: Option<Vec<PutEntry<'a>>>,
    blob: Vec<u8>,
}

impl PutRecords<'_> {
    /// The decoded data of one of the records.
    pub fn data(&self, entry: &PutEntry<'_>) -> Option<&[u8]> {
        entry.data.clone().and_then(|range| self.blob.get(range))
    }
}

/// One entry of PutRecords.
#[derive(Debug, Default, Clone)]
pub struct PutEntry<'a> {
    /// `PartitionKey`.
    pub partition_key: Option<Cow<'a, str>>,
    /// `ExplicitHashKey`.
    pub explicit_hash_key: Option<Cow<'a, str>>,
    data: Option<Range<usize>>,
}

/// The body of PutRecord. Absent members and nulls are `None`; unknown members are ignored.
#[derive(Debug, Default)]
pub struct PutRecord<'a> {
    /// `StreamName`.
    pub stream_name: Option<Cow<'a, str>>,
    /// `StreamARN`.
    pub stream_arn: Option<Cow<'a, str>>,
    /// `DryRun`.
    pub dry_run: Option<bool>,
    /// `PartitionKey`.
    pub partition_key: Option<Cow<'a, str>>,
    /// `ExplicitHashKey`.
    pub explicit_hash_key: Option<Cow<'a, str>>,
    /// `SequenceNumberForOrdering`.
    pub sequence_number_for_ordering: Option<Cow<'a, str>>,
    /// `Data`, decoded.
    pub data: Option<Vec<u8>>,
}

/// What became of one entry of PutRecords.
#[derive(Debug, Clone, Copy)]
pub enum PutOutcome<'a> {
    /// It is stored.
    Stored {
        /// Its sequence number.
        sequence_number: SequenceNumber,
        /// The shard's id.
        shard_id: &'a str,
    },
    /// It is not.
    Refused {
        /// `ProvisionedThroughputExceededException` or `InternalFailure`.
        code: &'a str,
        /// Why.
        message: &'a str,
    },
}

/// The answer of GetRecords.
#[derive(Debug, Clone, Copy)]
pub struct GetRecords<'a> {
    /// `Records`.
    pub records: &'a [StoredRecord],
    /// `NextShardIterator`; `None` at the end of a closed shard.
    pub next_shard_iterator: Option<&'a str>,
    /// `MillisBehindLatest`, milliseconds.
    pub millis_behind_latest: u64,
    /// `ChildShards`, left out when empty.
    pub child_shards: &'a [ChildShard<'a>],
}

/// A child of a shard that has been read to its end.
#[derive(Debug, Clone, Copy)]
pub struct ChildShard<'a> {
    /// `ShardId`.
    pub shard_id: &'a str,
    /// `ParentShards`.
    pub parent_shards: &'a [String],
    /// `HashKeyRange.StartingHashKey` and `HashKeyRange.EndingHashKey`, both included.
    pub hash_key_range: (HashKey, HashKey),
}
