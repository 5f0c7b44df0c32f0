//! The data plane in JSON and CBOR, decoded and encoded without a value tree.

pub mod cbor;
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

/// A body that is not a valid input: answered as `SerializationException`, HTTP status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// In AWS's wording. Empty if the body is not JSON: AWS then gives no message.
    pub message: String,
}

/// Body of PutRecords. Absent members and nulls are `None`. Unknown members are ignored.
#[derive(Debug, Default)]
pub struct PutRecords<'a> {
    pub stream_name: Option<Cow<'a, str>>,
    pub stream_arn: Option<Cow<'a, str>>,
    pub dry_run: Option<bool>,
    pub records: Option<Vec<PutEntry<'a>>>,
    /// The data of all records: decoded base64, or a body in CBOR.
    blob: Cow<'a, [u8]>,
}

impl PutRecords<'_> {
    /// The decoded data of a record.
    pub fn data(&self, entry: &PutEntry<'_>) -> Option<&[u8]> {
        entry.data.clone().and_then(|range| self.blob.get(range))
    }
}

#[derive(Debug, Default, Clone)]
pub struct PutEntry<'a> {
    pub partition_key: Option<Cow<'a, str>>,
    pub explicit_hash_key: Option<Cow<'a, str>>,
    data: Option<Range<usize>>,
}

/// Body of PutRecord. Absent members and nulls are `None`. Unknown members are ignored.
#[derive(Debug, Default)]
pub struct PutRecord<'a> {
    pub stream_name: Option<Cow<'a, str>>,
    pub stream_arn: Option<Cow<'a, str>>,
    pub dry_run: Option<bool>,
    pub partition_key: Option<Cow<'a, str>>,
    pub explicit_hash_key: Option<Cow<'a, str>>,
    pub sequence_number_for_ordering: Option<Cow<'a, str>>,
    /// Decoded.
    pub data: Option<Vec<u8>>,
}

/// Result of one entry of PutRecords.
#[derive(Debug, Clone, Copy)]
pub enum PutResult<'a> {
    Stored {
        sequence_number: SequenceNumber,
        shard_id: &'a str,
    },
    Refused {
        /// `ProvisionedThroughputExceededException` or `InternalFailure`.
        code: &'a str,
        message: &'a str,
    },
}

#[derive(Debug, Clone, Copy)]
pub struct GetRecords<'a> {
    pub records: &'a [StoredRecord],
    /// `None` at the end of a closed shard.
    pub next_shard_iterator: Option<&'a str>,
    pub millis_behind_latest: u64,
    /// Omitted if empty.
    pub child_shards: &'a [ChildShard<'a>],
}

/// A child of a shard that has been read to its end.
#[derive(Debug, Clone, Copy)]
pub struct ChildShard<'a> {
    pub shard_id: &'a str,
    pub parent_shards: &'a [String],
    /// First and last hash key, both inclusive.
    pub hash_key_range: (HashKey, HashKey),
}
