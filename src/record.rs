//! Record formats in: what `put` reads, how a record gets its partition key, and the faults of both.
//!
//! Everything streams: a file of any size is read in a window, and no more than one record is held. The text of a
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
mod fault;
mod json;
mod key;
mod reader;
mod source;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use entry::to_entry_json;
pub use fault::{Fault, FaultKind};
pub use key::KeyRule;
pub use reader::RecordReader;

/// The largest record a stream takes unless told otherwise, data and partition key together: 1 MiB.
/// Source: "Quotas and limits", Kinesis Data Streams developer guide.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 1024 * 1024;

/// The longest partition key, in characters. Source: PutRecordsRequestEntry, Kinesis API reference.
pub const MAX_PARTITION_KEY_CHARS: usize = 256;

/// One record on its way to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What the consumer will get.
    pub data: Bytes,
    /// 1 to 256 characters.
    pub partition_key: String,
    /// A decimal number below 2^128 that chooses the shard in place of the partition key.
    pub explicit_hash_key: Option<String>,
    /// Its place in the input, from 1.
    pub number: u64,
    /// The line of the input it starts on, from 1.
    pub line: u64,
}

impl Record {
    /// What counts against Kinesis's limits: data and partition key, in bytes.
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// How an input is split into records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InputFormat {
    /// Look at the input.
    #[default]
    Auto,
    /// One JSON array.
    Array,
    /// JSON values one after another.
    Values,
    /// The AWS CLI's put-records shape.
    PutRecords,
    /// Lines of anything.
    Lines,
    /// The whole input is one record.
    Text,
}

/// What a [`RecordReader`] does with what it reads.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// How the input is split.
    pub format: InputFormat,
    /// Where partition keys come from, for formats that bring none.
    pub key: KeyRule,
    /// The largest record, data and partition key together, in bytes.
    pub max_record_bytes: usize,
    /// Records at the start that are checked and not handed out.
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
