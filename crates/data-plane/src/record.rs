//! Input formats of `put`: how records are read, how each gets its partition key, and the errors of both.
//!
//! Input is streamed: a file of any size is read in blocks, with at most one record ahead. The text of a JSON value
//! becomes the record's data byte for byte, without a copy. Knows nothing of Kinesis clients, arguments or the terminal.
//!
//! | format | a record is | found by |
//! |---|---|---|
//! | array | an element of one JSON array | the input starts with `[` |
//! | values | a JSON value; one on each line (NDJSON), or pretty-printed over several | any other start of JSON |
//! | put-records | the decoded `Data` of an entry `{"Data", "PartitionKey", "ExplicitHashKey"?}` | see below |
//! | get-records | the decoded `Data` of a record in an answer of GetRecords | see below |
//! | recording | the data of a record that `tail -o json` wrote | see below |
//! | csv, tsv | a row, as a JSON object of strings that the header names | the name of the file |
//! | lines | a line, whatever it holds | only when asked for |
//! | length-delimited, varint-delimited | bytes after their length | only when asked for |
//! | whole | the whole input | only when asked for |
//!
//! The put-records shape is what `aws kinesis put-records --cli-input-json` (`{"StreamName", "Records": […]}`) and
//! `--records` (an array) take, and what streamctl writes for records that failed (one entry on each line). The first
//! record decides: an object with the members `Data` and `PartitionKey` is an entry, with `SequenceNumber` also it is a
//! record of GetRecords, and `shard_id`, `sequence_number` and `partition_key` are those of a recording. From then on
//! every record must be one, the first included; there is no guessing in the middle of a file.

pub mod aggregate;
mod bad;
mod compression;
mod csv;
mod detect;
mod entry;
mod error;
mod format;
mod hash_keys;
mod hot;
mod input;
mod json;
mod key;
mod plain;
mod reader;
mod recording;
mod source;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use md5::{Digest as _, Md5};

pub use bad::BadRecords;
pub use entry::{to_entry_json, to_failed_json};
pub use error::{RecordError, RecordErrorKind};
pub use format::{DataEncoding, InputFormat};
pub(crate) use hash_keys::HashKeys;
pub use hot::{HotKey, HotKeys};
pub use input::{Check, InputIdentity, InputReader, Inputs, ReadProgress, Repeat};
use key::KEYS_IN_TURN;
pub(crate) use key::random_key;
use key::set_random_key;
pub use key::{FieldPath, HashKeyRule, KeyPattern, KeyRule, RANDOM_KEY_LENGTH};
pub use reader::RecordReader;
pub use recording::{RecordingData, RecordingLine, RecordingLogEvent};

/// The default maximum record size, data and partition key together: 1 MiB.
/// Source: "Quotas and limits", Kinesis Data Streams developer guide.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 1024 * 1024;

/// The largest maximum record size that a stream can have: 10,240 KiB.
/// Source: UpdateMaxRecordSize, Kinesis API reference.
pub const LARGEST_RECORD_BYTES: usize = 10_240 * 1024;

/// The longest partition key, in characters. Source: PutRecordsRequestEntry, Kinesis API reference.
pub const MAX_PARTITION_KEY_CHARS: usize = 256;

/// A partition key. One of at most 24 bytes, as most are, takes no memory of its own.
pub type PartitionKey = CompactString;

/// A record to be sent to a stream. The default is a place for one, and no record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub data: Bytes,
    /// 1 to 256 characters.
    pub partition_key: PartitionKey,
    /// A decimal number below 2^128. It selects the shard instead of the partition key.
    pub explicit_hash_key: Option<String>,
    /// Whether the partition key was made up at random. It may then be replaced by another, to use another shard.
    pub has_random_key: bool,
    /// Number of the record in the input, from 1.
    pub number: u64,
    /// The line of the input it starts on, from 1.
    pub line: u64,
}

impl Record {
    /// The size that counts against Kinesis's limits: data and partition key, in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }

    /// What selects the shard: the explicit hash key, or the MD5 of the partition key as a number.
    /// Source: "Partition key", Kinesis terminology and concepts.
    pub fn hash_key(&self) -> u128 {
        let explicit = self.explicit_hash_key.as_deref();
        let explicit = explicit.and_then(|key| key.parse().ok());
        explicit.unwrap_or_else(|| hash_of(self.partition_key.as_bytes()))
    }

    /// Whether Kinesis takes the record.
    fn check(&self, max_bytes: usize) -> Result<(), RecordErrorKind> {
        let key = &self.partition_key;
        if key.is_empty() {
            return Err(RecordErrorKind::KeyEmpty);
        }
        // No text has more characters than bytes.
        if key.len() > MAX_PARTITION_KEY_CHARS {
            let chars = key.chars().count();
            if chars > MAX_PARTITION_KEY_CHARS {
                return Err(RecordErrorKind::KeyTooLong(chars));
            }
        }
        match self.size() > max_bytes {
            true => Err(RecordErrorKind::TooLarge { limit: max_bytes }),
            false => Ok(()),
        }
    }
}

/// The MD5 of a partition key as a number.
fn hash_of(partition_key: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

/// Where records come from, one after another.
pub trait RecordSource {
    /// Reads the next record into `record`; `false` at the end, or after an error. May block.
    ///
    /// The record is made where the caller keeps it: a processor that moves what it has just written waits for it.
    ///
    /// # Errors
    /// The first error of the input; then it is at its end.
    fn read_into(&mut self, record: &mut Record) -> Result<bool, RecordError>;

    /// As [`RecordSource::read_into`]; the next record, `None` at the end.
    ///
    /// # Errors
    /// As [`RecordSource::read_into`].
    fn read(&mut self) -> Result<Option<Record>, RecordError> {
        let mut record = Record::default();
        Ok(self.read_into(&mut record)?.then_some(record))
    }

    /// Whether reading the next record may block on more input, as from a pipe whose writer pauses.
    fn may_wait(&self) -> bool;
}

/// Options of a [`RecordReader`].
#[derive(Debug, Clone)]
pub struct ReadOptions {
    pub format: InputFormat,
    pub data_encoding: DataEncoding,
    /// Source of partition keys; `None` for the records' own, or random ones for formats without keys.
    pub key: Option<KeyRule>,
    pub hash_key: HashKeyRule,
    /// Maximum size of a record, data and partition key together, in bytes.
    pub max_record_bytes: usize,
    /// Number of records at the start that are checked but not returned.
    pub skip: u64,
    /// Ranges of records, by number and in order, that are checked but not returned.
    pub done: Arc<[(u64, u64)]>,
    /// What takes bad records; `None` where the first one ends the reading.
    pub bad: Option<Arc<BadRecords>>,
    /// The stream that the records go to. An input of put-records that names another one is refused.
    pub stream: Option<String>,
}

impl ReadOptions {
    /// Whether the record with this number is passed over.
    fn skips(&self, number: u64) -> bool {
        number <= self.skip || {
            let later = self.done.partition_point(|(_, last)| *last < number);
            self.done.get(later).is_some_and(|(first, _)| *first <= number)
        }
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: InputFormat::Auto,
            data_encoding: DataEncoding::Base64,
            key: None,
            hash_key: HashKeyRule::Own,
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            skip: 0,
            done: Arc::default(),
            bad: None,
            stream: None,
        }
    }
}
