//! Invokes a function that runs here with the records of a stream, as an event source mapping would.
//!
//! Follows the mapping's rules for batch size, window, payload size, retries, record age, bisection and failure reports.
//! Runs one batch at a time and keeps no checkpoint. Does not support filters, tumbling windows and parallelization.
//! Records that are given up are reported as [`Event::GivenUp`].
//!
//! [`consume`] takes what a [`Tail`] reads. An [`Invoker`] takes the records of whoever reads them.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::{FunctionError, reported};
use super::event::{EventRecord, MAX_PAYLOAD, Source, event, weight};
use super::runtime::{InvokeResult, LocalFunction};
use crate::consume::{ShardSource, Tail, TailEvent, TailRecord};
use ground::backoff::Backoff;
use ground::error::Result;

pub use batch::{Attempt, Next, Policy, next};

/// Backoff of a failed batch.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Runs the function on a payload.
pub trait Run: Send {
    fn run(&mut self, payload: Bytes) -> impl Future<Output = Result<InvokeResult>> + Send;
}

impl Run for LocalFunction {
    async fn run(&mut self, payload: Bytes) -> Result<InvokeResult> {
        self.invoke(payload).await
    }
}

/// An invocation.
#[derive(Debug)]
pub struct Invocation<'a> {
    pub shard_id: &'a str,
    /// How many records its event had.
    pub records: usize,
    /// The sequence number of the first one.
    pub first: &'a str,
    /// The sequence number of the last one.
    pub last: &'a str,
    /// How many are processed, from the first on.
    pub processed: usize,
    pub took: Duration,
    pub outcome: &'a InvokeResult,
}

/// Progress of [`consume`] and of an [`Invoker`].
#[derive(Debug)]
pub enum Event<'a> {
    /// The function was invoked.
    Invoked(Invocation<'a>),
    /// The function failed and will be invoked again.
    Failed {
        shard_id: &'a str,
        reason: &'a str,
        /// The next invocation, as text.
        next: &'a str,
    },
    /// Records are given up.
    GivenUp {
        /// The records, of one shard and in order.
        records: &'a [TailRecord],
        reason: &'a str,
    },
    /// Another event of the tail.
    Tail(&'a TailEvent),
}

/// Receives the events. Its error ends the run.
pub type Events<'a> = &'a mut (dyn FnMut(Event<'_>) -> Result<()> + Send);

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub processed: u64,
    pub given_up: u64,
    pub invocations: u64,
    /// Records that were read, but not processed when the run was stopped.
    pub unprocessed: u64,
}

/// Records of one shard that are collected for a batch.
struct Collected {
    records: Vec<TailRecord>,
    bytes: usize,
    due: Instant,
}

/// Consumes `tail` until it ends or `stop` resolves. After `stop` the running invocation is finished, without retries.
///
/// # Errors
/// When the stream cannot be read, the function cannot be started, or an event is refused by its receiver.
pub async fn consume<S: ShardSource, R: Run>(
    mut tail: Tail<S>,
    function: &mut R,
    source: &Source,
    policy: &Policy,
    stop: impl Future<Output = ()>,
    events: Events<'_>,
) -> Result<Totals> {
    let mut stop = std::pin::pin!(stop);
    let mut collected: HashMap<Arc<str>, Collected> = HashMap::new();
    let mut work = Invoker::new(function, source, policy, events);
    let mut ended = false;
    while !work.stopped {
        let due = collected
            .iter()
            .filter(|(_, one)| !one.records.is_empty())
            .min_by_key(|(_, one)| one.due)
            .map(|(shard, one)| (Arc::clone(shard), one.due));
        if let Some((shard, at)) = &due
            && (ended || *at <= Instant::now() || collected.get(shard).is_some_and(|one| one.is_full(policy)))
            && let Some(one) = collected.get_mut(shard)
        {
            let batch = one.take(policy, source);
            work.batch(batch, stop.as_mut()).await?;
            continue;
        }
        if ended && due.is_none() {
            break;
        }
        let wake = due.map(|(_, at)| at);
        tokio::select! {
            biased;
            () = stop.as_mut() => work.stopped = true,
            next = tail.next(), if !ended => match next.transpose()? {
                None => ended = true,
                Some(TailEvent::Records(batch)) => for record in &batch.records {
                    collected
                        .entry(Arc::clone(&record.shard_id))
                        .or_insert_with(Collected::empty)
                        .add(record, policy, source);
                },
                Some(event) => (work.events)(Event::Tail(&event))?,
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
    work.totals.unprocessed += collected
        .values()
        .map(|one| one.records.len() as u64)
        .sum::<u64>();
    Ok(work.totals)
}

impl Collected {
    fn empty() -> Self {
        Self {
            records: Vec::new(),
            bytes: 0,
            due: Instant::now(),
        }
    }

    fn add(&mut self, record: &TailRecord, policy: &Policy, source: &Source) {
        if self.records.is_empty() {
            self.due = Instant::now() + policy.window;
        }
        self.bytes += weight(source, record.data.len(), record.partition_key.len());
        self.records.push(record.clone());
        // A full batch runs first.
        if self.is_full(policy) {
            self.due = Instant::now();
        }
    }

    fn is_full(&self, policy: &Policy) -> bool {
        self.records.len() >= policy.batch_size || self.bytes >= MAX_PAYLOAD
    }

    /// Removes the records of one batch, at least one.
    fn take(&mut self, policy: &Policy, source: &Source) -> Vec<TailRecord> {
        let mut bytes = 0;
        let mut count = 0;
        for record in self.records.iter().take(policy.batch_size) {
            bytes += weight(source, record.data.len(), record.partition_key.len());
            if count > 0 && bytes > MAX_PAYLOAD {
                break;
            }
            count += 1;
        }
        let rest = self.records.split_off(count);
        self.bytes = rest
            .iter()
            .map(|record| weight(source, record.data.len(), record.partition_key.len()))
            .sum();
        std::mem::replace(&mut self.records, rest)
    }
}

/// Invokes a function with batches of records.
pub struct Invoker<'a, R> {
    function: &'a mut R,
    source: &'a Source,
    policy: &'a Policy,
    events: Events<'a>,
    totals: Totals,
    stopped: bool,
}

impl<'a, R: Run> Invoker<'a, R> {
    /// Invokes `function` with records of `source`.
    pub fn new(function: &'a mut R, source: &'a Source, policy: &'a Policy, events: Events<'a>) -> Self {
        Self {
            function,
            source,
            policy,
            events,
            totals: Totals::default(),
            stopped: false,
        }
    }

    /// Invokes the function with `records`, which are of one shard and in order, batch after batch, until each of them is
    /// processed or given up. After `stop` the running invocation is finished, without retries, and the rest is
    /// unprocessed. Events come in the order of the records. The totals of this call.
    ///
    /// # Errors
    /// When the function cannot be started, or an event is refused by its receiver.
    pub async fn all(mut self, records: Vec<TailRecord>, stop: impl Future<Output = ()>) -> Result<Totals> {
        let mut stop = std::pin::pin!(stop);
        let mut collected = Collected::empty();
        for record in &records {
            collected.add(record, self.policy, self.source);
        }
        while !collected.records.is_empty() && !self.stopped {
            let batch = collected.take(self.policy, self.source);
            self.batch(batch, stop.as_mut()).await?;
            tokio::select! {
                biased;
                () = stop.as_mut(), if !self.stopped => self.stopped = true,
                () = std::future::ready(()) => {}
            }
        }
        self.totals.unprocessed += collected.records.len() as u64;
        Ok(self.totals)
    }

    /// Runs a batch until each record is processed or given up.
    async fn batch(
        &mut self,
        records: Vec<TailRecord>,
        mut stop: std::pin::Pin<&mut (impl Future<Output = ()> + ?Sized)>,
    ) -> Result<()> {
        let mut waiting = vec![Attempt { records, tries: 0 }];
        while let Some(mut attempt) = waiting.pop() {
            if self.stopped {
                self.totals.unprocessed += attempt.records.len() as u64;
                continue;
            }
            self.drop_old(&mut attempt)?;
            let Some(first) = attempt.records.first() else {
                continue;
            };
            let shard = Arc::clone(&first.shard_id);
            let records = attempt.records.len();
            let number = |record: Option<&TailRecord>| record.map(|one| one.sequence_number.clone());
            let first = number(attempt.records.first()).unwrap_or_default();
            let last = number(attempt.records.last()).unwrap_or_default();
            let started = Instant::now();
            let outcome = self.function.run(self.payload(&attempt.records)?).await?;
            let took = started.elapsed();
            self.totals.invocations += 1;
            let next = next(self.policy, attempt, &outcome);
            self.totals.processed += next.processed as u64;
            (self.events)(Event::Invoked(Invocation {
                shard_id: &shard,
                records,
                first: &first,
                last: &last,
                processed: next.processed,
                took,
                outcome: &outcome,
            }))?;
            let reason = reason(&outcome);
            if !next.given_up.is_empty() {
                self.totals.given_up += next.given_up.len() as u64;
                (self.events)(Event::GivenUp {
                    records: &next.given_up,
                    reason: &reason,
                })?;
            }
            let Some(again) = next.again.first() else { continue };
            let tries = again.tries;
            (self.events)(Event::Failed {
                shard_id: &shard,
                reason: &reason,
                next: &next.describe(),
            })?;
            waiting.extend(next.again.into_iter().rev());
            tokio::select! {
                biased;
                () = stop.as_mut() => self.stopped = true,
                () = sleep(BACKOFF.pause(tries)) => {}
            }
        }
        Ok(())
    }

    fn drop_old(&mut self, attempt: &mut Attempt) -> Result<()> {
        let Some(oldest) = self.policy.max_age else {
            return Ok(());
        };
        let now = jiff::Timestamp::now().as_millisecond();
        let limit = now.saturating_sub(i64::try_from(oldest.as_millis()).unwrap_or(i64::MAX));
        let is_young = |record: &TailRecord| record.arrival_ms.is_none_or(|arrival| arrival >= limit);
        let young = attempt
            .records
            .iter()
            .position(is_young)
            .unwrap_or(attempt.records.len());
        let rest = attempt.records.split_off(young);
        let old = std::mem::replace(&mut attempt.records, rest);
        if old.is_empty() {
            return Ok(());
        }
        self.totals.given_up += old.len() as u64;
        (self.events)(Event::GivenUp {
            records: &old,
            reason: "older than the maximum record age",
        })
    }

    fn payload(&self, records: &[TailRecord]) -> Result<Bytes> {
        let records = records.iter().map(|record| EventRecord {
            shard_id: &record.shard_id,
            sequence_number: &record.sequence_number,
            sub_sequence: None,
            partition_key: &record.partition_key,
            arrival_ms: record.arrival_ms.unwrap_or_default(),
            data: &record.data,
        });
        event(self.source, records).map(Bytes::from)
    }
}

fn reason(outcome: &InvokeResult) -> String {
    match outcome {
        InvokeResult::Returned(answer) => match reported(answer).as_slice() {
            [] => "the function reports records as failed".to_owned(),
            [one] => format!("the function reports record {one} as failed"),
            [first, rest @ ..] => format!(
                "the function reports record {first} and {} more as failed",
                rest.len()
            ),
        },
        InvokeResult::Failed(error) => FunctionError::to_string(error),
    }
}
