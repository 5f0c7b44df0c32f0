//! Input formats of `put`: how records are read, how each gets its partition key, and the errors of both.
//!
//! Input is streamed: a file of any size is read through a buffer, with at most one record in memory. The text of a
//! JSON value becomes the record's data byte for byte. Knows nothing of Kinesis clients, arguments or the terminal.
//!
//! | format | a record is | found by |
//! |---|---|---|
//! | array | an element of one JSON array | the input starts with `[` |
//! | values | a JSON value; one a line (NDJSON), or pretty-printed over several | any other start of JSON |
//! | put-records | the decoded `Data` of an entry `{"Data", "PartitionKey", "ExplicitHashKey"?}` | see below |
//! | lines | a line, whatever it holds | only when asked for |
//!
//! The put-records shape is what `aws kinesis put-records --cli-input-json` (`{"StreamName", "Records": […]}`) and
//! `--records` (an array) take, and what streamctl writes for records that failed (one entry a line). The first
//! record decides: an object with exactly a string `Data`, a string `PartitionKey` and perhaps a string
//! `ExplicitHashKey`. From then on every record must be one; there is no guessing in the middle of a file.

mod entry;
mod error;
mod json;
mod key;
mod reader;
mod source;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use entry::to_entry_json;
pub use error::{RecordError, RecordErrorKind};
pub use key::{KeyPattern, KeyRule};
pub use reader::RecordReader;

/// The default maximum record size, data and partition key together: 1 MiB.
/// Source: "Quotas and limits", Kinesis Data Streams developer guide.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 1024 * 1024;

/// The longest partition key, in characters. Source: PutRecordsRequestEntry, Kinesis API reference.
pub const MAX_PARTITION_KEY_CHARS: usize = 256;

/// A record to be sent to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub data: Bytes,
    /// 1 to 256 characters.
    pub partition_key: String,
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
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// How an input is split into records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InputFormat {
    /// Detect the format from the input.
    #[default]
    Auto,
    /// One JSON array.
    Array,
    /// JSON values one after another.
    Values,
    /// The put-records shape of the AWS CLI.
    PutRecords,
    /// One record per line, whatever the line holds.
    Lines,
    /// The whole input is one record.
    Text,
}

/// Options of a [`RecordReader`].
#[derive(Debug, Clone)]
pub struct ReadOptions {
    pub format: InputFormat,
    /// Source of partition keys for formats without keys.
    pub key: KeyRule,
    /// Maximum size of a record, data and partition key together, in bytes.
    pub max_record_bytes: usize,
    /// Number of records at the start that are checked but not returned.
    pub skip: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: InputFormat::Auto,
            key: KeyRule::Random,
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            skip: 0,
        }
    }
}
