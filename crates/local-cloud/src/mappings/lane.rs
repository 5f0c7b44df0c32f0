//! One line of batches of a shard: what is gathered, what is under way, and what failure makes of it. No effects: the
//! worker reads, waits and invokes.
//!
//! A shard has as many lanes as batches may be under way at once. A partition key always falls into the same lane, and
//! a lane does one thing at a time, so that the order within a key is kept.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::event::MOST_BYTES;
use super::settings::Settings;
use super::verdict::Verdict;
use crate::kinesis::store::StoredRecord;
use ground::backoff::Backoff;

/// The largest state of a window: 1 MB.
/// Source: "Implementing stateful Kinesis Data Streams processing in Lambda", AWS Lambda developer guide.
pub(super) const MOST_STATE: usize = 1024 * 1024;

/// Pause before the first retry; doubles with each. AWS backs off exponentially and publishes no numbers.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Between tries of a function that fails.
const FAILED: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_secs(60));
/// Between tries of a function that does not run: throttled, or not there.
const NOT_RUN: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_secs(1));

/// A record, and the bytes it takes in an event.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub record: StoredRecord,
    pub size: usize,
}

/// A tumbling window that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Milliseconds since the Unix epoch, a multiple of the window's length.
    pub start_ms: i64,
    /// Where the next one starts.
    pub end_ms: i64,
    /// What the function returned last, JSON.
    pub state: Bytes,
}

/// Why records are given up, as the destination is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Condition {
    /// The function failed too often.
    RetryAttemptsExhausted,
    /// The records are too old.
    RecordAgeExceeded,
}

/// What the last invocation of a batch answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub request_id: String,
    pub status: u16,
    pub function_error: Option<String>,
}

/// Records that go to the function together. Never empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub items: Vec<Item>,
    /// Failures that count as attempts.
    pub attempts: i64,
    /// Invocations so far, also of the batches it was split from.
    pub invocations: u32,
    /// Tries in a row in which the function did not run.
    waits: u32,
    pub not_before_ms: i64,
    pub answered: Option<Answered>,
}

/// One thing that a lane does after the other.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Hand records to the function.
    Run(Batch),
    /// Give records up.
    Discard(Batch, Condition),
    /// Tell the function that the window is over.
    Close {
        early: bool,
        tries: u32,
        not_before_ms: i64,
    },
}

/// One line of batches.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: VecDeque<Item>,
    /// Bytes of the queue in an event.
    queued: usize,
    /// When the first of the queue was read.
    since_ms: i64,
    pub work: VecDeque<Work>,
    /// Whether the first work is under way.
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

    /// Records that wait for a batch.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of all its records in events.
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

    /// The index of the first record that is not done.
    pub(super) fn lowest(&self) -> Option<u64> {
        let under_way = self
            .work
            .iter()
            .find_map(Work::batch)
            .and_then(|batch| batch.items.first());
        let first = under_way.or_else(|| self.queue.front());
        first.map(|item| item.record.sequence_number.index())
    }

    /// The first waiting record's arrival.
    pub(super) fn next_arrival_ms(&self) -> Option<i64> {
        self.queue.front().map(|item| item.record.arrival_ms)
    }

    /// When the batch that is gathered goes without being full.
    pub(super) fn due_ms(&self, settings: &Settings) -> Option<i64> {
        let wait = i64::from(settings.window_seconds) * 1000;
        (!self.queue.is_empty()).then(|| self.since_ms.saturating_add(wait))
    }

    /// Whether a batch goes even if its window is not over.
    pub(super) fn is_full(&self, settings: &Settings) -> bool {
        self.queue.len() >= settings.batch_size || self.queued >= MOST_BYTES
    }

    /// Takes the next batch from the queue: as many records as fit, in one tumbling window. A record that fits into no
    /// event is given up alone.
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
        let mut room = MOST_BYTES.saturating_sub(envelope);
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

    /// Gives up what is too old of the batch that comes next: `limit_ms` is the oldest arrival that is not.
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
            answered: expired.answered.clone(),
        };
        self.work.pop_front();
        if !rest.items.is_empty() {
            self.work.push_front(Work::Run(rest));
        }
        self.work
            .push_front(Work::Discard(expired, Condition::RecordAgeExceeded));
    }

    /// What comes after the first work, which was invoked with this result.
    pub(super) fn settle(&mut self, verdict: Verdict, answered: Answered, settings: &Settings, now_ms: i64) {
        match self.work.pop_front() {
            Some(Work::Run(mut batch)) => {
                batch.answered = Some(answered);
                self.settle_batch(verdict, batch, settings, now_ms);
            }
            Some(Work::Close { early, tries, .. }) => match verdict {
                Verdict::Done(_) => self.window = None,
                // "Your function suspends further processing until a successful invocation."
                _ => self.work.push_front(Work::Close {
                    early,
                    tries: tries.saturating_add(1),
                    not_before_ms: now_ms + pause_ms(i64::from(tries) + 1, FAILED),
                }),
            },
            Some(other) => self.work.push_front(other),
            None => {}
        }
    }

    fn settle_batch(&mut self, verdict: Verdict, mut batch: Batch, settings: &Settings, now_ms: i64) {
        if verdict == Verdict::NotRun {
            batch.waits = batch.waits.saturating_add(1);
            batch.not_before_ms = now_ms + pause_ms(i64::from(batch.waits), NOT_RUN);
            self.work.push_front(Work::Run(batch));
            return;
        }
        batch.waits = 0;
        batch.not_before_ms = now_ms;
        batch.invocations = batch.invocations.saturating_add(1);
        match verdict {
            Verdict::Done(state) => self.keep(state),
            Verdict::FailedFrom(from, state) if from > 0 => {
                self.keep(state);
                batch.items.drain(..from);
                if settings.bisect {
                    // The batch was split at the failed record, and splitting is no attempt.
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
            answered: batch.answered.clone(),
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
        batch.not_before_ms = now_ms + pause_ms(batch.attempts, FAILED);
        self.work.push_front(Work::Run(batch));
    }

    fn keep(&mut self, state: Option<Bytes>) {
        let (Some(window), Some(state)) = (&mut self.window, state) else {
            return;
        };
        let early = state.len() > MOST_STATE;
        window.state = state;
        if early {
            self.close(true);
        }
    }

    /// Puts the end of the window before everything else.
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

    /// When it may start.
    pub(super) fn not_before_ms(&self) -> i64 {
        match self {
            Self::Run(batch) => batch.not_before_ms,
            Self::Discard(..) => 0,
            Self::Close { not_before_ms, .. } => *not_before_ms,
        }
    }
}

/// The pause before try number `failures` + 1.
fn pause_ms(failures: i64, backoff: Backoff) -> i64 {
    let pause = backoff.pause(u32::try_from(failures.saturating_sub(1)).unwrap_or(0));
    i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{FAILED, NOT_RUN, pause_ms};

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pauses: Vec<i64> = (1..=12).map(|n| pause_ms(n, FAILED)).collect();
        assert_eq!(
            pauses,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
        );
        assert_eq!(pause_ms(10_000, NOT_RUN), 1_000);
    }
}
