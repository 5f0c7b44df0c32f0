//! The tail engine: reads every record of a stream's shards once, in order within a shard, parents before children.
//!
//! A [`Tail`] runs one poller per shard. A poller reads pages, backs off when throttled, replaces expired iterators,
//! and ends when its shard is closed and read to its end; then the children are read from their beginning. Records that
//! were read and not yet taken are bounded in bytes.
//!
//! A [`Reader`] reads one or more streams for a sink, and keeps [checkpoints](checkpoint) of what the sink acknowledges:
//! in no place, in a file, or in the lease table of a [`group`]. A [`Merge`] orders records across shards. What a sink shows of
//! a record is an [`Item`]: [`decode`] makes them, a [`filter`] chooses them, and [`stats`] counts them.
//!
//! Knows neither the terminal nor the SDK: the service is a [`ShardSource`], and [`Tail::next`] returns what happens.

pub mod checkpoint;
mod damaged;
pub mod decode;
mod end;
pub mod fan_out;
pub mod filter;
pub mod group;
mod item;
mod kinesis;
mod last;
mod lineage;
mod merge;
mod pace;
mod poller;
mod reader;
mod start;
pub mod stats;
mod tail;
#[cfg(test)]
mod tests;
mod wake;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use end::End;
pub use item::{Item, LogEvent};
pub use kinesis::KinesisShards;
pub use merge::Merge;
pub use reader::{Acknowledgement, Reader};
pub use start::{ArrivalRange, Span, Start, StartRule, Until, UntilRule};
pub use tail::{Batch, Tail, TailEvent};

use ground::error::Error;

/// A record read from a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailRecord {
    pub shard_id: Arc<str>,
    /// Its position in the shard.
    pub sequence_number: String,
    /// When the stream stored it, in milliseconds since the Unix epoch.
    pub arrival_ms: Option<i64>,
    pub partition_key: String,
    pub data: Bytes,
    /// `KMS` where the record is encrypted at rest.
    pub encryption: Option<String>,
}

impl TailRecord {
    /// Its size in memory, in bytes.
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len() + self.sequence_number.len() + 128
    }
}

/// A shard and its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    pub id: String,
    /// The one or two parents; they may have expired.
    pub parents: Vec<String>,
    /// Whether the shard is open.
    pub open: bool,
    /// The lowest and the highest hash key, if the endpoint names them.
    pub hash_keys: Option<(u128, u128)>,
}

impl ShardInfo {
    /// Whether records with the hash key `hash` can be in the shard.
    fn covers(&self, hash: u128) -> bool {
        self.hash_keys
            .is_none_or(|(first, last)| (first..=last).contains(&hash))
    }
}

/// How far a shard was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// No record of it was: it is read from here.
    From(IteratorStart),
    /// To this sequence number, inclusive.
    After(String),
    /// To its end.
    Ended,
}

/// Start position of an iterator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IteratorStart {
    /// The oldest record.
    TrimHorizon,
    /// After the newest record at the time of the call.
    Latest,
    /// The first record from this time on, in milliseconds since the Unix epoch.
    AtTimestamp(i64),
    /// This record.
    At(String),
    /// The record after this one.
    After(String),
}

/// Response of GetRecords.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The records, in order.
    pub records: Vec<TailRecord>,
    /// The next iterator; `None` when the shard is closed and read to its end.
    pub next: Option<String>,
    /// How far the end of this page is behind the newest record, in milliseconds; 0 at the tip. A hint: it is measured to
    /// the next unread record, and endpoints other than AWS answer anything.
    pub behind_ms: Option<i64>,
    /// The children of a shard that was read to its end.
    pub children: Vec<ShardInfo>,
    /// What of the page could not be decoded and is missing from `records`, a sentence each.
    pub damaged: Vec<String>,
}

/// What has new records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// To be given with the next question.
    pub mark: String,
    /// The shards with new records; `None` if it can be any.
    pub shards: Option<Vec<String>>,
}

#[derive(Debug)]
pub enum ReadError {
    /// The read was throttled, by the shard's or the account's limit.
    Throttled(Error),
    /// The iterator is older than five minutes.
    Expired,
    /// Can be retried: a failure of the service or the network.
    Transient(Error),
    /// The answer could not be decoded.
    Damaged {
        error: Error,
        /// What could be decoded, with its next iterator.
        page: Option<Box<Page>>,
    },
    /// Not retryable.
    Fatal(Error),
}

/// The service, as used by the engine.
pub trait ShardSource: Send + Sync + 'static {
    /// Name or ARN of the stream, for a command line.
    fn stream(&self) -> &str;

    /// All shards of the stream, closed ones included.
    fn shards(&self) -> impl Future<Output = Result<Vec<ShardInfo>, ReadError>> + Send;

    /// The latest time that it can be at the service, by its last answer, in milliseconds since the Unix epoch; `None` if
    /// no answer told the time.
    fn time_ms(&self) -> Option<i64> {
        None
    }

    /// Whether [`ShardSource::page`] waits for records by itself, so that it may be asked at once and for all shards.
    fn waits(&self) -> bool {
        false
    }

    /// Waits, for at most some seconds, until shards have records that they had not at the mark `since`, or at the time of
    /// the first question. `None` if the service cannot tell.
    fn appended(
        &self,
        _since: Option<&str>,
    ) -> impl Future<Output = Result<Option<Appended>, ReadError>> + Send {
        async { Ok(None) }
    }

    /// A new iterator of `shard_id`.
    fn iterator(
        &self,
        shard_id: &str,
        start: &IteratorStart,
    ) -> impl Future<Output = Result<String, ReadError>> + Send;

    /// The records at `iterator` of `shard_id`, at most `limit` (1 to 10,000).
    fn page(
        &self,
        shard_id: &Arc<str>,
        iterator: &str,
        limit: i32,
    ) -> impl Future<Output = Result<Page, ReadError>> + Send;
}

/// Where a tail ends before the tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// Before the first record of each shard that arrives at this time or later, in milliseconds since the Unix epoch.
    Before(i64),
    /// After the record with this sequence number.
    Through(String),
}

/// Options of a tail.
#[derive(Debug, Clone)]
pub struct TailOptions {
    pub start: Start,
    /// Only these shards, by full id; empty for all. Children of a named shard are not read.
    pub shards: Vec<String>,
    /// Only records with this partition key, and only the shards that its hash key belongs to.
    pub key: Option<String>,
    /// Whether records that may hold others, with keys of their own, are read whatever their partition key is.
    pub splits_aggregated: bool,
    /// Read only records before this, and end there.
    pub until: Option<Limit>,
    /// How far shards were read before; empty at the first start.
    pub progress: HashMap<String, Progress>,
    /// Whether to report how far idle shards were read ([`TailEvent::UpTo`]).
    pub reports_tip: bool,
    /// Read on forever, rather than end after the records that were there at the start.
    pub follow: bool,
    /// The current time, in milliseconds since the Unix epoch: what "latest" means once its iterator has expired, and the
    /// start of a tail of a service that does not tell its time.
    pub now_ms: i64,
    /// Whether the service has the clock of this machine, so that its time need not be asked for.
    pub is_same_clock: bool,
    /// Minimum time between two reads of a shard. AWS allows 5 per second.
    pub min_interval: Duration,
    /// Time between two reads of a shard without new records. It grows while the shard stays idle.
    pub idle_interval: Duration,
    /// Whether the service is asked which shards have new records, so that idle ones need not be read.
    pub asks_for_appended: bool,
    /// What a shard gives out in a second, in bytes; `None` for no limit.
    pub bytes_per_second: Option<usize>,
    /// Maximum number of shards read at once.
    pub concurrency: usize,
    /// Maximum size of records being read, or read and not yet taken, in bytes.
    pub held_bytes: usize,
    /// How long consecutive reads of a shard may fail.
    pub retry_for: Duration,
}

impl TailOptions {
    /// The pace that AWS allows: 5 GetRecords calls per second and shard.
    /// Source: GetRecords, Kinesis API reference.
    pub fn new(start: Start, now_ms: i64) -> Self {
        Self {
            start,
            shards: Vec::new(),
            key: None,
            splits_aggregated: false,
            until: None,
            progress: HashMap::new(),
            reports_tip: false,
            follow: true,
            now_ms,
            is_same_clock: false,
            min_interval: Duration::from_millis(200),
            idle_interval: Duration::from_millis(250),
            asks_for_appended: false,
            bytes_per_second: Some(pace::SHARD_BYTES),
            concurrency: 32,
            held_bytes: 8 * 1024 * 1024,
            retry_for: Duration::from_secs(60),
        }
    }

    /// For records in the order of their arrival: those of some shards wait for those of others.
    #[must_use]
    pub fn merged(mut self) -> Self {
        self.reports_tip = true;
        self.held_bytes = 64 * 1024 * 1024;
        self
    }

    /// The pace and the clock of the local cloud, which enforces limits only on request.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.min_interval = Duration::ZERO;
        self.idle_interval = Duration::from_millis(10);
        self.asks_for_appended = true;
        self.bytes_per_second = None;
        self.is_same_clock = true;
        self
    }
}
