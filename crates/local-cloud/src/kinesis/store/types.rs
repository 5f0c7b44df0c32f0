//! Input and output types of a log.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use crate::kinesis::sequence::SequenceNumber;

#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Partition key, at most 256 characters (up to 65,535 bytes are stored).
    pub partition_key: &'a str,
    /// The data blob after base64 decoding, at most 10 MiB.
    pub data: &'a [u8],
    /// Whether the stream was encrypted when the record arrived.
    pub encrypted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    pub sequence_number: SequenceNumber,
    /// Arrival, milliseconds since the Unix epoch.
    pub arrival_ms: i64,
    /// UTF-8.
    pub partition_key: Bytes,
    pub data: Bytes,
    /// Whether the stream was encrypted when the record arrived.
    pub encrypted: bool,
}

impl StoredRecord {
    pub fn partition_key(&self) -> &str {
        std::str::from_utf8(&self.partition_key).unwrap_or_default()
    }
}

/// A position in a shard: before the record with this index, whether it exists yet or not.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Index of the next record, see [`SequenceNumber::index`].
    pub index: u64,
    /// Where that record starts in its file, if known. Reads verify it before they use it.
    pub hint: u32,
}

impl Position {
    /// The position before the record with `index`.
    pub fn at(index: u64) -> Self {
        Self { index, hint: 0 }
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for Position {}

/// A start position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest record still kept.
    TrimHorizon,
    /// After the newest record at the time of the call.
    Latest,
    /// At the record with this number.
    At(SequenceNumber),
    /// After the record with this number.
    After(SequenceNumber),
    /// At the first record that arrived at or after this time, milliseconds since the Unix epoch; without one, as
    /// `Latest`.
    Timestamp(i64),
}

/// Why a start position cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The number belongs to the shard with this index.
    #[error("the sequence number belongs to the shard with index {0}")]
    OtherShard(u32),
    /// The number has the index of this shard, but was not written by it.
    #[error("the sequence number belongs to another stream")]
    OtherStream,
    /// No record with this number has been written.
    #[error("the sequence number is newer than every record of the shard")]
    NotWritten,
    /// The log cannot be read.
    #[error("the log of the shard cannot be read")]
    Io(#[from] io::Error),
}

/// Why records were not stored. The whole batch is rejected.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the shard is closed")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A file that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    pub path: PathBuf,
    /// How many acknowledged records are lost with it, as far as that is known.
    pub records: u64,
    pub what: String,
}

/// Result of one read.
#[derive(Debug)]
pub struct Page {
    /// In order. Only damaged records are left out.
    pub records: Vec<StoredRecord>,
    /// Where the next read starts.
    pub next: Position,
    /// The shard is closed and nothing comes after `next`.
    pub end_of_shard: bool,
    /// Arrival of the record at `next`, milliseconds since the Unix epoch. `None` at the tip.
    pub next_arrival_ms: Option<i64>,
}
