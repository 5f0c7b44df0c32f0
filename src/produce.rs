//! The put engine: records in, acknowledgements out.
//!
//! Records become batches within PutRecords' limits, several requests are in flight, and only the entries that a
//! response refuses are sent again, with exponential backoff and full jitter, until their time is over. Nothing
//! counts as acknowledged before a response names its sequence number.
//!
//! Memory is bounded in bytes: input is read only while there is room. Throttling narrows the number of requests in
//! flight and delays the throttled shard's records, so that a slow stream slows the reading down.
//!
//! Delivery is at least once and unordered: PutRecords keeps no order itself ("PutRecords doesn't guarantee the
//! ordering of records", Kinesis API reference), and a request that timed out may have been stored before it is
//! sent again.
//!
//! Knows neither the clock on the wall nor the terminal: events go to a callback, and the service is a
//! [`Transport`].

mod batch;
mod engine;
mod feed;
mod kinesis;
mod pace;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use batch::{Batch, BatchLimits};
pub use engine::put;
pub use feed::{Feed, feed};
pub use kinesis::{KinesisTransport, StreamLimits};
pub use summary::{PutSummary, ShardSummary};

use crate::record::{Fault, Record};
use ground::error::Error;

/// The service, as the engine sees it.
pub trait Transport: Send + Sync + 'static {
    /// Sends `records` in one request; one outcome a record, in the same order.
    fn put(
        &self,
        records: &[Record],
    ) -> impl Future<Output = std::result::Result<Vec<EntryOutcome>, PutError>> + Send;
}

/// What became of one record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryOutcome {
    /// Stored durably.
    Stored {
        /// The shard that took it.
        shard_id: String,
        /// Its place in the shard.
        sequence_number: String,
    },
    /// Not stored; worth another try.
    Refused {
        /// `ProvisionedThroughputExceededException` or `InternalFailure`.
        code: String,
        /// AWS's message, which names a throttled shard.
        message: String,
    },
}

/// A request that failed as a whole.
#[derive(Debug)]
pub enum PutError {
    /// Worth another try: throttled, timed out, the service or the network failed.
    Transient {
        /// Whether the target said that there were too many requests.
        throttled: bool,
        /// The failure.
        error: Error,
    },
    /// Would fail again: no such stream, no permission.
    Fatal(Error),
}

/// How the engine works.
#[derive(Debug, Clone)]
pub struct PutOptions {
    /// Limits of one request.
    pub limits: BatchLimits,
    /// Requests in flight at most.
    pub in_flight: usize,
    /// Records held at most, in bytes: read, waiting, in flight.
    pub held_bytes: usize,
    /// How long one record is tried again after its first try.
    pub retry_for: Duration,
    /// The first backoff; it doubles with every further try up to [`PutOptions::max_backoff`].
    pub backoff: Duration,
    /// The longest backoff.
    pub max_backoff: Duration,
    /// How long a batch that is not full waits for more input.
    pub linger: Duration,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self {
            limits: BatchLimits::default(),
            in_flight: 8,
            held_bytes: 64 * 1024 * 1024,
            retry_for: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            linger: Duration::from_millis(20),
        }
    }
}

/// What happens while records are sent.
#[derive(Debug)]
pub enum PutEvent<'a> {
    /// A response was counted.
    Progress(&'a PutSummary),
    /// The stream is at its limit: these records will be sent again.
    Throttled {
        /// The shard, where the response names one.
        shard_id: Option<&'a str>,
        /// How many records.
        records: u64,
    },
    /// A record was read and is not acknowledged, and will not be sent again.
    Unsent {
        /// The record.
        record: &'a Record,
        /// Why.
        reason: &'a Unsent,
    },
}

/// Why a record was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// It was refused until its time was over.
    Failed(String),
    /// The run ended before it was its turn, or before an answer came.
    Stopped,
}

/// How sending ended, and what it did.
#[derive(Debug)]
pub struct PutOutcome {
    /// The counts.
    pub summary: PutSummary,
    /// Why it ended.
    pub end: PutEnd,
    /// Whether the input was read to its end.
    pub input_ended: bool,
}

/// Why sending ended.
#[derive(Debug)]
pub enum PutEnd {
    /// All input was read and answered for.
    Complete,
    /// The user asked to stop; what was in flight is answered for.
    Interrupted,
    /// The input is faulty at some place; what stands before it was sent.
    BadInput(Fault),
    /// The target refuses everything: no such stream, no permission.
    Aborted(Error),
}

/// What the engine is fed with.
#[derive(Debug)]
pub enum Input {
    /// The next records.
    Records(Vec<Record>),
    /// The input cannot be read on.
    Fault(Fault),
}
