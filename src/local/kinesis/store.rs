//! The durable log of one shard.
//!
//! Owns sequence numbers, the records on disk, retention and where a read starts. Knows nothing of streams,
//! limits or the wire.

use std::io;
use std::path::Path;

use bytes::Bytes;
use tokio::sync::watch;

use super::sequence::SequenceNumber;

/// A record to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Partition key, at most 256 characters (up to 65,535 bytes are stored).
    pub partition_key: &'a str,
    /// The data blob, as the producer sent it (after base64), at most 10 MiB.
    pub data: &'a [u8],
    /// Whether the stream was encrypted when the record arrived.
    pub encrypted: bool,
}

/// A record as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its sequence number.
    pub sequence_number: SequenceNumber,
    /// When it arrived, milliseconds since the Unix epoch.
    pub arrival_ms: i64,
    /// Partition key, UTF-8.
    pub partition_key: Bytes,
    /// The data blob.
    pub data: Bytes,
    /// Whether the stream was encrypted when the record arrived.
    pub encrypted: bool,
}

impl StoredRecord {
    /// The partition key as text.
    pub fn partition_key(&self) -> &str {
        std::str::from_utf8(&self.partition_key).unwrap_or_default()
    }
}

/// A place in the log of a shard: before the record with this index, whether it is written yet or not.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Index of the next record, see [`SequenceNumber::index`].
    pub index: u64,
    /// Where that record starts in its file, if known: a shortcut that reads check before they trust it.
    pub hint: u32,
}

impl Position {
    /// The place before the record with `index`.
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

/// Where to start reading.
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
    /// At the first record that arrived then or later, milliseconds since the Unix epoch; else as `Latest`.
    Timestamp(i64),
}

/// Why a place cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The number belongs to the shard with this index.
    #[error("the sequence number belongs to the shard with index {0}")]
    OtherShard(u32),
    /// The number has the index of this shard, but was not made by it.
    #[error("the sequence number belongs to another stream")]
    OtherStream,
    /// No record with this number has been written.
    #[error("the sequence number is newer than every record of the shard")]
    NotWritten,
    /// The log cannot be read.
    #[error("the log of the shard cannot be read")]
    Io(#[from] io::Error),
}

/// Why records were not stored. None of the batch is.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The shard takes no more records.
    #[error("the shard is closed")]
    Closed,
    /// The log cannot be written.
    #[error("the log of the shard cannot be written")]
    Io(#[from] io::Error),
}

/// What one read returns.
#[derive(Debug)]
pub struct Page {
    /// The records, in order, without a gap.
    pub records: Vec<StoredRecord>,
    /// Where the next read starts.
    pub next: Position,
    /// The shard is closed and nothing comes after `next`.
    pub end_of_shard: bool,
    /// Arrival of the record at `next`, milliseconds since the Unix epoch; `None` at the tip.
    pub next_arrival_ms: Option<i64>,
}

/// The log of one shard.
#[derive(Debug)]
pub struct ShardStore {
    appended: watch::Sender<u64>,
}

impl ShardStore {
    /// Makes the log of a new shard in `dir`, which is made too. `created_ms`: milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When `dir` cannot be written or already holds a log.
    pub fn create(_dir: &Path, _shard_index: u32, _created_ms: i64) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens the log in `dir` and recovers what a crash left: a torn tail is cut. `shard_index` and `created_ms`
    /// are those of [`Self::create`]. Call [`Self::trim_before`] next: what retention hid is not remembered.
    ///
    /// # Errors
    /// When `dir` holds no log, one of another shard, or cannot be read.
    pub fn open(_dir: &Path, _shard_index: u32, _created_ms: i64) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Below that of every record.
    pub fn starting_sequence_number(&self) -> SequenceNumber {
        SequenceNumber::new(0, 0, 0, 0)
    }

    /// Stores `records` in order, all or none, arrived at `now_ms` (milliseconds since the Unix epoch). When it returns,
    /// readers see them and the operating system has them: they survive the end of the process, not a power
    /// failure.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(
        &self,
        _records: &[NewRecord<'_>],
        _now_ms: i64,
    ) -> Result<Vec<SequenceNumber>, AppendError> {
        Err(AppendError::Closed)
    }

    /// Takes no more records, from now on and for ever. Returns the ending sequence number, above that of
    /// every record. Closing again returns the same.
    ///
    /// # Errors
    /// When that cannot be written; the shard then stays open.
    pub fn close(&self, _now_ms: i64) -> io::Result<SequenceNumber> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The ending sequence number of a closed shard.
    pub fn ending_sequence_number(&self) -> Option<SequenceNumber> {
        None
    }

    /// Reads on from `from`: at most `max_records`, and at most `max_bytes` of keys and data, but at least one
    /// record if there is one and `max_records` is not 0.
    ///
    /// # Errors
    /// When the log cannot be read or is damaged.
    pub fn read(&self, _from: Position, _max_records: usize, _max_bytes: usize) -> io::Result<Page> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Finds a place. Numbers older than the oldest record kept are taken as that one.
    ///
    /// # Errors
    /// [`PositionError`].
    pub fn position(&self, _start: Start) -> Result<Position, PositionError> {
        Err(PositionError::NotWritten)
    }

    /// Retention: hides what arrived before `arrival_ms` (milliseconds since the Unix epoch) and deletes files with
    /// nothing else in them. Cheap when there is nothing to do.
    ///
    /// # Errors
    /// When the log cannot be read or a file cannot be deleted.
    pub fn trim_before(&self, _arrival_ms: i64) -> io::Result<()> {
        Ok(())
    }

    /// Arrival of the newest record, milliseconds since the Unix epoch.
    pub fn last_arrival_ms(&self) -> Option<i64> {
        None
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        0
    }

    /// Number of records that can be read, about.
    pub fn record_count_hint(&self) -> u64 {
        0
    }

    /// Changes at every append and at the close: wakes who waits for records.
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }
}
