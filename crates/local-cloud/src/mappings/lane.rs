//! A sequence of batches of a shard: waiting records, work in progress, and failure handling. No effects: the worker
//! reads, waits and invokes.
//!
//! A shard has one lane for each concurrent batch. A partition key always maps to the same lane, and a lane does one
//! thing at a time. This keeps the order within a key.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::batch_result::BatchResult;
use super::settings::Settings;
use crate::kinesis::store::StoredRecord;
use ground::backoff::Backoff;

/// Maximum payload of a synchronous invocation: 6 MB.
/// Source: "Lambda quotas", AWS Lambda developer guide.
pub(super) const MAX_BYTES: usize = 6 * 1024 * 1024;

/// Maximum size of a window's state: 1 MB.
/// Source: "Implementing stateful Kinesis Data Streams processing in Lambda", AWS Lambda developer guide.
pub(super) const MAX_STATE: usize = 1024 * 1024;

/// Backoff before the first retry. It doubles with each retry. AWS backs off exponentially and publishes no numbers.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Backoff after a function error.
const FAILED: Backoff = Backoff::new(FIRST_BACKOFF, Duration::from_secs(60));
/// Backoff while the function does not run: throttled or missing.
const NOT_RUN: Backoff = Backoff::new(FIRST_BACKOFF, Duration::from_secs(1));
/// Records that exceed the maximum age within this time are discarded together.
const EXPIRY_SPREAD_MS: i64 = 1_000;

/// A record and its bytes in an event.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub record: StoredRecord,
    pub size: usize,
}

/// An open tumbling window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Milliseconds since the Unix epoch, a multiple of the window's length.
    pub start_ms: i64,
    /// Start of the next window.
    pub end_ms: i64,
    /// The last state that the function returned, JSON.
    pub state: Bytes,
}

/// Why records are discarded, in the destination's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Condition {
    RetryAttemptsExhausted,
    RecordAgeExceeded,
}

/// Response to the last invocation of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FunctionResponse {
    pub request_id: String,
    pub status: u16,
    /// The version that ran; `None` if none ran.
    pub executed_version: Option<String>,
    pub function_error: Option<String>,
}

/// Records for one invocation. Never empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub items: Vec<Item>,
    /// Failures that count as retry attempts.
    pub attempts: i64,
    /// Invocations so far, including those of the batches it was split from.
    pub invocations: u32,
    /// Successive tries in which the function did not run.
    waits: u32,
    pub not_before_ms: i64,
    pub response: Option<FunctionResponse>,
}

/// A work item of a lane.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Invoke the function.
    Run(Batch),
    /// Discard records.
    Discard(Batch, Condition),
    /// Invoke the function for the end of the window.
    Close {
        early: bool,
        tries: u32,
        not_before_ms: i64,
    },
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: VecDeque<Item>,
    /// Bytes of the queue in an event.
    queued: usize,
    /// When the first record in the queue was read.
    since_ms: i64,
    pub work: VecDeque<Work>,
    /// Whether the first work item is in progress.
    pub busy: bool,
    pub window: Option<Window>,
}

impl Lane {
    pub(super) fn push(&mut self, item: Item, now_ms: i64) {
        if self.queue.is_empty() {
            self.since_ms = now_ms;
        }
        self.queued += item.size;
        self.queue.push_back(item);
    }

    /// Number of records not yet in a batch.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of all records in events.
    pub(super) fn bytes(&self) -> usize {
        let under_way = self
            .work
            .iter()
            .filter_map(Work::batch)
            .flat_map(|batch| &batch.items);
        self.queued + under_way.map(|item| item.size).sum::<usize>()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.work.is_empty() && !self.busy
    }

    /// Whether the first work item may start.
    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        let first = self.work.front();
        first.is_some_and(|work| work.not_before_ms() <= now_ms)
    }

    /// Index of the first record that is not done.
    pub(super) fn lowest(&self) -> Option<u64> {
        let under_way = self
            .work
            .iter()
            .find_map(Work::batch)
            .and_then(|batch| batch.items.first());
        let first = under_way.or_else(|| self.queue.front());
        first.map(|item| item.record.sequence_number.index())
    }

    /// Arrival of the first waiting record.
    pub(super) fn next_arrival_ms(&self) -> Option<i64> {
        self.queue.front().map(|item| item.record.arrival_ms)
    }

    /// When the waiting records form a batch even if it is not full.
    pub(super) fn due_ms(&self, settings: &Settings) -> Option<i64> {
        let wait = i64::from(settings.window_seconds) * 1000;
        (!self.queue.is_empty()).then(|| self.since_ms.saturating_add(wait))
    }

    /// Whether the waiting records form a batch before the batching window ends.
    pub(super) fn is_full(&self, settings: &Settings) -> bool {
        self.queue.len() >= settings.batch_size || self.queued >= MAX_BYTES
    }

    /// Forms the next batch from the queue: as many records as fit, all in one tumbling window. A record too large for
    /// any event is discarded alone.
    pub(super) fn form(&mut self, settings: &Settings, envelope: usize, now_ms: i64) {
        let length_ms = i64::from(settings.tumbling_seconds) * 1000;
        let window = |item: &Item| {
            if length_ms > 0 {
                item.record.arrival_ms.div_euclid(length_ms)
            } else {
                0
            }
        };
        let Some(first) = self.queue.front().map(window) else {
            return;
        };
        let mut room = MAX_BYTES.saturating_sub(envelope);
        let mut count = 0;
        for item in self.queue.iter().take(settings.batch_size) {
            if item.size > room || window(item) != first {
                break;
            }
            room -= item.size;
            count += 1;
        }
        let items: Vec<Item> = self.queue.drain(..count.max(1)).collect();
        self.queued -= items.iter().map(|item| item.size).sum::<usize>();
        self.since_ms = now_ms;
        let batch = Batch {
            items,
            ..Batch::default()
        };
        self.work.push_back(if count == 0 {
            Work::Discard(batch, Condition::RetryAttemptsExhausted)
        } else {
            Work::Run(batch)
        });
    }

    /// When records of the next batch exceed the maximum age, so that its backoff ends.
    pub(super) fn expiry_ms(&self, settings: &Settings) -> Option<i64> {
        let Some(Work::Run(batch)) = self.work.front() else {
            return None;
        };
        let first_ms = batch.items.first()?.record.arrival_ms;
        let arrivals = batch.items.iter().map(|item| item.record.arrival_ms);
        let together = arrivals.take_while(|arrival| *arrival <= first_ms + EXPIRY_SPREAD_MS);
        // A record of exactly the maximum age is not too old.
        let age_ms = settings.max_age_seconds.saturating_mul(1000).saturating_add(1);
        let expiry = together.max()?.saturating_add(age_ms);
        (settings.max_age_seconds > 0).then_some(expiry)
    }

    /// Discards the expired records of the next batch. `limit_ms` is the oldest arrival that is not expired.
    pub(super) fn expire(&mut self, limit_ms: i64) {
        let Some(Work::Run(batch)) = self.work.front_mut() else {
            return;
        };
        let old = batch
            .items
            .partition_point(|item| item.record.arrival_ms < limit_ms);
        if old == 0 {
            return;
        }
        let rest = batch.items.split_off(old);
        let (attempts, not_before_ms) = (batch.attempts, batch.not_before_ms);
        let expired = std::mem::take(batch);
        let rest = Batch {
            items: rest,
            attempts,
            invocations: expired.invocations,
            waits: expired.waits,
            not_before_ms,
            response: expired.response.clone(),
        };
        self.work.pop_front();
        if !rest.items.is_empty() {
            self.work.push_front(Work::Run(rest));
        }
        self.work
            .push_front(Work::Discard(expired, Condition::RecordAgeExceeded));
    }

    /// Applies the result of the invocation for the first work item.
    pub(super) fn settle(
        &mut self,
        result: BatchResult,
        response: FunctionResponse,
        settings: &Settings,
        now_ms: i64,
    ) {
        match self.work.pop_front() {
            Some(Work::Run(mut batch)) => {
                batch.response = Some(response);
                self.settle_batch(result, batch, settings, now_ms);
            }
            Some(Work::Close { early, tries, .. }) => match result {
                BatchResult::Done(_) => self.window = None,
                // "Your function suspends further processing until a successful invocation."
                _ => self.work.push_front(Work::Close {
                    early,
                    tries: tries.saturating_add(1),
                    not_before_ms: now_ms + backoff_ms(i64::from(tries) + 1, FAILED),
                }),
            },
            Some(other) => self.work.push_front(other),
            None => {}
        }
    }

    fn settle_batch(&mut self, result: BatchResult, mut batch: Batch, settings: &Settings, now_ms: i64) {
        if result == BatchResult::NotRun {
            batch.waits = batch.waits.saturating_add(1);
            batch.not_before_ms = now_ms + backoff_ms(i64::from(batch.waits), NOT_RUN);
            self.work.push_front(Work::Run(batch));
            return;
        }
        batch.waits = 0;
        batch.not_before_ms = now_ms;
        batch.invocations = batch.invocations.saturating_add(1);
        match result {
            BatchResult::Done(state) => self.keep(state),
            BatchResult::FailedFrom(from, state) if from > 0 => {
                self.keep(state);
                batch.items.drain(..from);
                if settings.bisect {
                    // The batch was split at the failed record. Splitting is not an attempt.
                    self.work.push_front(Work::Run(batch));
                } else {
                    self.retry(batch, settings, now_ms);
                }
            }
            _ if settings.bisect && batch.items.len() > 1 => self.halve(batch),
            _ => self.retry(batch, settings, now_ms),
        }
    }

    /// "Splitting a batch does not count towards the retry quota."
    fn halve(&mut self, mut batch: Batch) {
        let second = Batch {
            items: batch.items.split_off(batch.items.len() / 2),
            response: batch.response.clone(),
            ..batch
        };
        self.work.push_front(Work::Run(second));
        self.work.push_front(Work::Run(batch));
    }

    fn retry(&mut self, mut batch: Batch, settings: &Settings, now_ms: i64) {
        batch.attempts += 1;
        if settings.retries >= 0 && batch.attempts > settings.retries {
            self.work
                .push_front(Work::Discard(batch, Condition::RetryAttemptsExhausted));
            return;
        }
        batch.not_before_ms = now_ms + backoff_ms(batch.attempts, FAILED);
        self.work.push_front(Work::Run(batch));
    }

    fn keep(&mut self, state: Option<Bytes>) {
        let (Some(window), Some(state)) = (&mut self.window, state) else {
            return;
        };
        let early = state.len() > MAX_STATE;
        window.state = state;
        if early {
            self.close(true);
        }
    }

    /// Queues the end of the window before all other work.
    pub(super) fn close(&mut self, early: bool) {
        self.work.push_front(Work::Close {
            early,
            tries: 0,
            not_before_ms: 0,
        });
    }
}

impl Work {
    pub(super) fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Run(batch) | Self::Discard(batch, _) => Some(batch),
            Self::Close { .. } => None,
        }
    }

    /// Earliest start.
    pub(super) fn not_before_ms(&self) -> i64 {
        match self {
            Self::Run(batch) => batch.not_before_ms,
            Self::Discard(..) => 0,
            Self::Close { not_before_ms, .. } => *not_before_ms,
        }
    }
}

/// The backoff before try number `failures` + 1.
fn backoff_ms(failures: i64, backoff: Backoff) -> i64 {
    let pause = backoff.pause(u32::try_from(failures.saturating_sub(1)).unwrap_or(0));
    i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{FAILED, NOT_RUN, backoff_ms};

    #[test]
    fn backoff_doubles_up_to_a_limit() {
        let backoffs: Vec<i64> = (1..=12).map(|n| backoff_ms(n, FAILED)).collect();
        assert_eq!(
            backoffs,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
        );
        assert_eq!(backoff_ms(10_000, NOT_RUN), 1_000);
    }
}
