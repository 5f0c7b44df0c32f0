//! The loop that reads, sends, counts and retries.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::pace::{ShardPaces, Window, shard_in};
use super::{
    Batch, EntryResult, Input, PutEnd, PutError, PutEvent, PutOptions, PutResult, PutSummary, Transport,
    Unsent,
};
use crate::record::Record;
use ground::backoff::Backoff;
use ground::error::Error;
use ground::error::aws::{self, Class};

/// Overhead of a record in memory besides its data and key, in bytes.
const OVERHEAD: usize = 160;
/// Reading pauses while this many batches wait to be retried.
const WAITING_BATCHES: usize = 4;

type Events<'a> = &'a mut (dyn FnMut(PutEvent<'_>) + Send);

/// Sends all records from `input`, until it ends, `stop` resolves, or the target rejects every request.
///
/// After `stop`, no new request is sent, requests in flight are completed, and every record that was read but not
/// acknowledged is reported as [`PutEvent::Unsent`].
pub async fn put<T: Transport>(
    mut input: mpsc::Receiver<Input>,
    transport: Arc<T>,
    options: &PutOptions,
    stop: impl Future<Output = ()>,
    events: Events<'_>,
) -> PutResult {
    let started = Instant::now();
    let mut engine = Engine::new(transport, options, events);
    let mut stop = std::pin::pin!(stop);
    while !engine.is_finished() {
        engine.send_ready();
        let wake = engine.wake_at();
        tokio::select! {
            biased;
            () = &mut stop, if engine.end.is_none() => engine.end = Some(PutEnd::Interrupted),
            Some(answer) = engine.flying.join_next(), if !engine.flying.is_empty() => match answer {
                Ok(flight) => engine.settle(flight),
                Err(error) => engine.abort(Error::failed("a request ended unexpectedly").cause(error)),
            },
            next = input.recv(), if engine.wants_more() => engine.take(next),
            () = sleep_until(wake.unwrap_or(started)), if wake.is_some() => {}
        }
    }
    // The input is closed: only the records already in the channel remain.
    let input_ended = engine.drained || input.sender_strong_count() == 0;
    input.close();
    while let Some(next) = input.recv().await {
        engine.take(Some(next));
    }
    engine.give_up();
    let mut summary = engine.summary;
    summary.elapsed = started.elapsed();
    PutResult {
        summary,
        input_ended: input_ended && !matches!(engine.end, Some(PutEnd::BadInput(_))),
        end: engine.end.unwrap_or(PutEnd::Complete),
    }
}

/// A record and its attempts.
#[derive(Debug)]
struct Pending {
    record: Record,
    /// Failed attempts so far.
    tries: u32,
    /// When it was first sent.
    since: Option<Instant>,
}

/// A record to retry at `due`. The earliest compares greatest, because the heap is a max-heap.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    pending: Pending,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |w: &Self| (w.due, w.pending.record.number);
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

/// A request and its response.
struct Flight {
    records: Vec<Record>,
    /// Attempts and first attempt of each record.
    history: Vec<(u32, Instant)>,
    answer: Result<Vec<EntryResult>, PutError>,
}

struct Engine<'a, T> {
    transport: Arc<T>,
    options: &'a PutOptions,
    events: Events<'a>,
    /// Read, not yet sent.
    fresh: VecDeque<Record>,
    fresh_bytes: usize,
    /// When an incomplete batch is sent.
    linger_until: Option<Instant>,
    waiting: BinaryHeap<Waiting>,
    flying: JoinSet<Flight>,
    window: Window,
    shards: ShardPaces,
    /// Size of all records that are read and not settled, in bytes.
    held: usize,
    /// The end of the input was reached.
    drained: bool,
    /// Set when nothing new may be sent, or once the input has an error.
    end: Option<PutEnd>,
    summary: PutSummary,
    /// When the target last responded, or the start.
    last_success: Instant,
    /// Whether the last requests failed as a whole, other than by throttling.
    failing: bool,
}

impl<'a, T: Transport> Engine<'a, T> {
    fn new(transport: Arc<T>, options: &'a PutOptions, events: Events<'a>) -> Self {
        Self {
            transport,
            options,
            events,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            linger_until: None,
            waiting: BinaryHeap::new(),
            flying: JoinSet::new(),
            window: Window::new(options.in_flight),
            shards: ShardPaces::default(),
            held: 0,
            drained: false,
            end: None,
            summary: PutSummary::default(),
            last_success: Instant::now(),
            failing: false,
        }
    }

    /// Whether nothing new may be sent. After an input error, the records before it are still sent.
    fn is_stopping(&self) -> bool {
        matches!(self.end, Some(PutEnd::Interrupted | PutEnd::Aborted(_)))
    }

    fn is_finished(&self) -> bool {
        let idle = self.fresh.is_empty() && self.waiting.is_empty();
        self.flying.is_empty() && (self.is_stopping() || (self.drained && idle))
    }

    fn wants_more(&self) -> bool {
        !self.drained
            && self.end.is_none()
            && self.held < self.options.held_bytes
            && self.fresh.len() < self.options.limits.records
            && self.fresh_bytes < self.options.limits.bytes
            && self.waiting.len() < self.options.limits.records * WAITING_BATCHES
    }

    /// Handles one input message; `None` is the end of the input.
    fn take(&mut self, next: Option<Input>) {
        match next {
            Some(Input::Records(records)) => {
                for record in records {
                    self.summary.count_read(&record);
                    self.held += record.size() + OVERHEAD;
                    self.fresh_bytes += record.size();
                    self.fresh.push_back(record);
                }
                self.linger_until
                    .get_or_insert_with(|| Instant::now() + self.options.linger);
            }
            Some(Input::Error(error)) => {
                self.drained = true;
                if !self.is_stopping() {
                    self.end = Some(PutEnd::BadInput(error));
                }
            }
            None => self.drained = true,
        }
    }

    fn may_send(&self) -> bool {
        !self.is_stopping() && self.window.allows(self.flying.len())
    }

    /// The next time at which work is due without a new event.
    fn wake_at(&self) -> Option<Instant> {
        if !self.may_send() {
            return None;
        }
        let due = self.waiting.peek().map(|waiting| waiting.due);
        let linger = self.linger_until.filter(|_| !self.fresh.is_empty());
        due.into_iter().chain(linger).min()
    }

    fn send_ready(&mut self) {
        let now = Instant::now();
        while self.may_send() && self.is_ready(now) {
            self.send(now);
        }
    }

    /// Whether to send a batch: it is full, or has waited long enough.
    fn is_ready(&self, now: Instant) -> bool {
        let retry = self.waiting.peek().is_some_and(|waiting| waiting.due <= now);
        let limits = self.options.limits;
        let full = self.fresh.len() >= limits.records || self.fresh_bytes >= limits.bytes;
        let lingered = self.drained || self.linger_until.is_none_or(|until| until <= now);
        retry || full || (!self.fresh.is_empty() && lingered)
    }

    /// Sends one batch: retries that are due first, then new records.
    fn send(&mut self, now: Instant) {
        let mut batch = Batch::new(self.options.limits);
        while let Some(waiting) = self.waiting.peek() {
            let size = waiting.pending.record.size();
            if waiting.due > now || !batch.fits(size) {
                break;
            }
            if let Some(Waiting { pending, .. }) = self.waiting.pop() {
                batch.push(pending, size);
            }
        }
        while let Some(size) = self.fresh.front().map(Record::size) {
            if !batch.fits(size) {
                break;
            }
            if let Some(record) = self.fresh.pop_front() {
                self.fresh_bytes -= size;
                let pending = Pending {
                    record,
                    tries: 0,
                    since: None,
                };
                batch.push(pending, size);
            }
        }
        if self.fresh.is_empty() {
            self.linger_until = None;
        }
        let mut records = Vec::with_capacity(batch.len());
        let mut history = Vec::with_capacity(batch.len());
        for pending in batch.into_items() {
            self.summary.retries += u64::from(pending.tries > 0);
            history.push((pending.tries, pending.since.unwrap_or(now)));
            records.push(pending.record);
        }
        let transport = Arc::clone(&self.transport);
        self.flying.spawn(async move {
            let answer = transport.put(&records).await;
            Flight {
                records,
                history,
                answer,
            }
        });
    }

    fn settle(&mut self, flight: Flight) {
        let pending = flight
            .records
            .into_iter()
            .zip(flight.history)
            .map(|(record, (tries, since))| Pending {
                record,
                tries,
                since: Some(since),
            });
        match flight.answer {
            Ok(outcomes) => self.settle_entries(pending, outcomes),
            Err(PutError::Transient { throttled, error }) => {
                self.settle_failure(pending.collect(), throttled, error);
            }
            Err(PutError::Fatal(error)) => {
                // Reported at the end as never sent.
                for pending in pending {
                    self.fresh.push_back(pending.record);
                }
                self.abort(error);
            }
        }
        (self.events)(PutEvent::Progress(&self.summary));
    }

    fn settle_entries(&mut self, pending: impl Iterator<Item = Pending>, outcomes: Vec<EntryResult>) {
        let now = Instant::now();
        self.last_success = now;
        if std::mem::take(&mut self.failing) {
            (self.events)(PutEvent::Recovered);
        }
        // Throttled records by shard ("" where the message names none).
        let mut throttled: BTreeMap<String, u64> = BTreeMap::new();
        let mut took = std::collections::BTreeSet::new();
        for (pending, outcome) in pending.zip(outcomes) {
            match outcome {
                EntryResult::Stored {
                    shard_id,
                    sequence_number,
                } => {
                    self.held -= pending.record.size() + OVERHEAD;
                    self.summary
                        .count_stored(&pending.record, &shard_id, sequence_number);
                    if !took.contains(&shard_id) {
                        took.insert(shard_id);
                    }
                }
                EntryResult::Refused { code, message } => {
                    let due = if aws::class_of(&code, &message) == Some(Class::Throttle) {
                        let shard = shard_in(&message).unwrap_or_default();
                        *throttled.entry(shard.to_owned()).or_default() += 1;
                        let backoff = self.backoff();
                        self.shards.throttled(shard, now, &backoff)
                    } else {
                        now + self.backoff().pause(pending.tries)
                    };
                    self.again(pending, due, || format!("{code}: {message}"));
                }
            }
        }
        for shard in took.iter().filter(|shard| !throttled.contains_key(*shard)) {
            self.shards.accepted(shard);
        }
        match throttled.is_empty() {
            true => self.window.widen(),
            false => self.window.narrow(),
        }
        for (shard, records) in &throttled {
            (self.events)(PutEvent::Throttled {
                shard_id: (!shard.is_empty()).then_some(shard),
                records: *records,
            });
        }
    }

    /// Handles the failure of a whole request. It may have been stored; it is sent again all the same.
    fn settle_failure(&mut self, pending: Vec<Pending>, throttled: bool, error: Error) {
        let now = Instant::now();
        let failed = self.summary.failed;
        let tries = pending.iter().map(|p| p.tries).max().unwrap_or(0);
        let due = now + self.backoff().pause(tries);
        self.window.narrow();
        if throttled {
            (self.events)(PutEvent::Throttled {
                shard_id: None,
                records: pending.len() as u64,
            });
        }
        if !throttled && !std::mem::replace(&mut self.failing, true) {
            (self.events)(PutEvent::Failing {
                reason: &error,
                retry_for: self.options.retry_for,
            });
        }
        for pending in pending {
            self.again(pending, due, || error.chain().join(": "));
        }
        // No request succeeds: the rest of a long input would fail as well.
        if self.summary.failed > failed && now.duration_since(self.last_success) >= self.options.retry_for {
            self.abort(error);
        }
    }

    /// With full jitter.
    fn backoff(&self) -> Backoff {
        Backoff::new(self.options.backoff, self.options.max_backoff).jitter(0.0, 1.0)
    }

    /// Retries a record at `due`, and at the end of its time for the last time.
    fn again(&mut self, mut pending: Pending, due: Instant, reason: impl Fn() -> String) {
        let now = Instant::now();
        let deadline = pending.since.unwrap_or(now) + self.options.retry_for;
        if now < deadline || self.is_stopping() {
            let due = due.min(deadline.max(now));
            pending.tries += 1;
            self.waiting.push(Waiting { due, pending });
            return;
        }
        self.held -= pending.record.size() + OVERHEAD;
        self.summary.failed += 1;
        (self.events)(PutEvent::Unsent {
            record: &pending.record,
            reason: &Unsent::Failed(reason()),
        });
    }

    fn abort(&mut self, error: Error) {
        if !matches!(self.end, Some(PutEnd::Aborted(_))) {
            self.end = Some(PutEnd::Aborted(error));
        }
    }

    /// Reports all records that will not be sent, in the order of the input.
    fn give_up(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        let waiting = std::mem::take(&mut self.waiting);
        let mut left: Vec<Record> = waiting
            .into_iter()
            .map(|w| w.pending.record)
            .chain(fresh)
            .collect();
        left.sort_by_key(|record| record.number);
        for record in &left {
            self.summary.stopped += 1;
            (self.events)(PutEvent::Unsent {
                record,
                reason: &Unsent::Stopped,
            });
        }
    }
}
