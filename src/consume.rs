//! The tail engine: every record of a stream's shards, each once, in order within a shard and parents before
//! children.
//!
//! A [`Tail`] runs one poller a shard. A poller reads pages, waits out throttles, replaces expired iterators, and
//! ends when its shard is closed and drained; then the shard's children start from their beginning. What was read
//! and is not yet taken is bounded in bytes.
//!
//! Knows neither the terminal nor the SDK: the service is a [`ShardSource`], what happens comes out of
//! [`Tail::next`].

mod kinesis;
mod lineage;
mod pace;
mod poller;
mod start;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use kinesis::KinesisShards;
pub(crate) use start::full_shard_id;
pub use start::{Start, StartRule};
pub use tail::{Batch, Tail, TailEvent};

use ground::error::Error;

/// One record as it stands in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailRecord {
    /// The shard it was read from.
    pub shard_id: Arc<str>,
    /// Its place in the shard.
    pub sequence_number: String,
    /// When the stream stored it, in milliseconds since the Unix epoch.
    pub arrival_ms: Option<i64>,
    /// The producer's key.
    pub partition_key: String,
    /// What the producer sent.
    pub data: Bytes,
    /// `KMS` where the record is encrypted at rest.
    pub encryption: Option<String>,
}

impl TailRecord {
    /// What it weighs in memory, in bytes.
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.len() + self.sequence_number.len() + 128
    }
}

/// A shard's place in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Shard id.
    pub id: String,
    /// The one or two shards it came from; they may be trimmed away by now.
    pub parents: Vec<String>,
    /// Whether it takes records.
    pub open: bool,
}

/// Where an iterator starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IteratorStart {
    /// The oldest record.
    TrimHorizon,
    /// After the newest record, as of the call.
    Latest,
    /// The first record from this time on, in milliseconds since the Unix epoch.
    AtTimestamp(i64),
    /// This record.
    At(String),
    /// The record after this one.
    After(String),
}

/// An answer of GetRecords.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The records, in order.
    pub records: Vec<TailRecord>,
    /// Where to read on; `None` when the shard is closed and drained.
    pub next: Option<String>,
    /// How far the end of this page is from the newest record, in milliseconds; 0 at the tip.
    pub behind_ms: Option<i64>,
    /// The shards that follow a drained one.
    pub children: Vec<ShardInfo>,
}

/// A read that failed.
#[derive(Debug)]
pub enum ReadError {
    /// The shard or the account is at its limit.
    Throttled(Error),
    /// The iterator is older than five minutes.
    Expired,
    /// Worth another try: the service or the network failed.
    Transient(Error),
    /// Would fail again.
    Fatal(Error),
}

/// The service, as the engine sees it.
pub trait ShardSource: Send + Sync + 'static {
    /// All shards of the stream, closed ones included.
    fn shards(&self) -> impl Future<Output = Result<Vec<ShardInfo>, ReadError>> + Send;

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

/// How to tail.
#[derive(Debug, Clone)]
pub struct TailOptions {
    /// Where to start.
    pub start: Start,
    /// Only these shards, by full id; empty for all of them. Children of a named shard are not read.
    pub shards: Vec<String>,
    /// Read on for ever, rather than end at each shard's tip as of the start.
    pub follow: bool,
    /// The time now, in milliseconds since the Unix epoch: what "latest" means once its iterator has expired.
    pub now_ms: i64,
    /// Time between two reads of one shard at least. AWS allows 5 a second.
    pub min_interval: Duration,
    /// Time between two reads of one shard that has nothing new.
    pub idle_interval: Duration,
    /// Shards read at the same time at most.
    pub concurrency: usize,
    /// Records read and not yet taken at most, in bytes.
    pub held_bytes: usize,
    /// How long a shard's reads may fail one after another.
    pub retry_for: Duration,
}

impl TailOptions {
    /// The pace that AWS's limits ask for: 5 GetRecords a second and shard.
    /// Source: GetRecords, Kinesis API reference.
    pub fn new(start: Start, now_ms: i64) -> Self {
        Self {
            start,
            shards: Vec::new(),
            follow: true,
            now_ms,
            min_interval: Duration::from_millis(200),
            idle_interval: Duration::from_millis(250),
            concurrency: 32,
            held_bytes: 64 * 1024 * 1024,
            retry_for: Duration::from_secs(60),
        }
    }

    /// The pace for the local cloud, which has no such limits unless told to enforce them.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.min_interval = Duration::ZERO;
        self.idle_interval = Duration::from_millis(25);
        self
    }
}
