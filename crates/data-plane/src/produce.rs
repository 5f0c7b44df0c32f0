//! The put engine: sends records and counts acknowledgements.
//!
//! Each open shard has a lane: its records, and the rate at which it takes them (`rate`). A request takes records of all
//! lanes within PutRecords' limits. How many requests are in flight, how large they are and how long one may take follows
//! what the line carries (`flight`). Only the entries that a response rejects are sent again, with exponential backoff
//! and full jitter. A throttled record is given up when its shard has stored nothing for the retry time. A record is
//! acknowledged only when a response gives its sequence number.
//!
//! Memory is bounded in bytes: input is read only while there is room, so a slow stream slows reading.
//!
//! Delivery is at least once: a request without an answer may have been stored before it is sent again. PutRecords does
//! not preserve order ("PutRecords doesn't guarantee the ordering of records", Kinesis API reference). With
//! [`Order::Key`], one record of a key is on its way at a time (`order`), so those of a key are stored in the order of the
//! input.
//!
//! Knows neither the wall clock nor the terminal: events go to a callback, and the service is a
//! [`Transport`].

mod batch;
mod engine;
mod feed;
mod flight;
mod lane;
mod latency;
mod order;
mod pending;
mod rate;
mod resume;
mod route;
mod settle;
mod settled;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;

pub use batch::{Batch, BatchLimits};
pub use engine::put;
pub use feed::{Feed, feed};
pub use latency::Latencies;
pub use resume::{ResumeFile, ResumeScope};
pub use route::ShardRange;
pub use settled::{NumberRange, Settled};
pub use summary::{PutSummary, ShardSummary};

use crate::record::{Record, RecordError};
pub use crate::wire::{EntryResult, PutAnswer, Refusal, StoredIn};
use ground::error::Error;

/// The service, as used by the engine.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends `records` in one request; the answer has one entry per record, in the same order.
    async fn put(&self, records: &[Record]) -> Result<PutAnswer, PutError>;

    /// The open shards; none where they are not known, or where records are distributed without regard to their keys.
    /// `again` means that those of an earlier call are no longer right.
    async fn shards(&self, again: bool) -> Result<Vec<ShardRange>, Error> {
        let _ = again;
        Ok(Vec::new())
    }
}

/// Which records keep the order of the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Those with the same key. Random keys have no order.
    #[default]
    Key,
    /// None.
    None,
}

/// A request that failed as a whole.
#[derive(Debug)]
pub enum PutError {
    /// Can be retried: throttled, timed out, or a failure of the service or the network.
    Transient {
        /// Whether the request was throttled.
        throttled: bool,
        error: Error,
    },
    /// Not retryable: no such stream, or no permission.
    Fatal(Error),
}

#[derive(Debug, Clone)]
pub struct PutOptions {
    /// Limits of one request.
    pub limits: BatchLimits,
    /// Maximum number of requests in flight.
    pub in_flight: usize,
    /// Maximum size of the records in memory, in bytes: read, waiting or in flight.
    pub held_bytes: usize,
    pub order: Order,
    /// Puts the records of a shard together in Kinesis records of at most this many bytes, in the format of the Kinesis
    /// Producer Library. The shards must be known.
    pub aggregate: Option<usize>,
    /// How long a record is retried: since its shard has stored a record, or since its first attempt.
    pub retry_for: Duration,
    /// The first backoff; it doubles with every retry up to [`PutOptions::max_backoff`].
    pub backoff: Duration,
    pub max_backoff: Duration,
    /// How long an incomplete batch waits for more input.
    pub linger: Duration,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self {
            limits: BatchLimits::default(),
            in_flight: 8,
            held_bytes: 32 * 1024 * 1024,
            order: Order::Key,
            aggregate: None,
            retry_for: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            linger: Duration::from_millis(20),
        }
    }
}

/// Progress of sending.
#[derive(Debug)]
pub enum PutEvent<'a> {
    /// A response was processed.
    Progress(&'a PutSummary),
    /// Records were throttled and will be sent again.
    Throttled {
        /// The shard, where the response names one.
        shard_id: Option<&'a str>,
        /// Number of records.
        records: u64,
    },
    /// A request failed and its records will be sent again. Reported once until a request succeeds.
    Failing {
        reason: &'a Error,
        /// How long records are sent again.
        retry_for: Duration,
    },
    /// Requests succeed again.
    Recovered,
    /// A record was read but not acknowledged, and will not be sent again.
    Unsent { record: &'a Record, reason: &'a Unsent },
}

/// Why a record was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// It was rejected until its retry time was over.
    Failed(String),
    /// The run ended before the record was sent or acknowledged.
    Stopped,
}

/// Result of sending all input.
#[derive(Debug)]
pub struct PutResult {
    pub summary: PutSummary,
    pub end: PutEnd,
    /// Whether the input was read to its end.
    pub input_ended: bool,
}

#[derive(Debug)]
pub enum PutEnd {
    /// All input was read and settled.
    Complete,
    /// The user stopped the run; requests in flight were completed.
    Interrupted,
    /// The input has an error; the records before it were sent.
    BadInput(RecordError),
    /// The target rejects every request: no such stream, or no permission.
    Aborted(Error),
}

/// Input of the engine.
#[derive(Debug)]
pub enum Input {
    /// The next records.
    Records(Vec<Record>),
    /// The input cannot be read any further.
    Error(RecordError),
}
