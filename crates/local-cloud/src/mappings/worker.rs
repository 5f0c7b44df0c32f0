//! Reads one shard for one mapping, and sends its records to the function.
//!
//! A worker is one task. It wakes when records arrive, an invocation ends, a backoff or window ends, or its control
//! changes. An idle shard needs no CPU. [`super::lane`] decides about batches.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lambda_host::filter::Filters;
use tokio::sync::watch;

use super::batch_result::{BatchResult, ResponseMode, evaluate};
use super::budget::Share;
use super::destination::{self, Discarded};
use super::event::{FinalInvoke, Writer};
use super::lane::{Batch, Condition, FunctionResponse, Item, Lane, Window, Work};
use super::mapping::{Control, Shared};
use super::measure;
use super::settings::Settings;
use super::{FAILED, OK, cannot_access, files::Checkpoint, may_read};
use crate::clock::until;
use crate::deliver::Undelivered;
use crate::invoke::{Invocation, InvokeResult};
use crate::kinesis::hash_key::HashKey;
use crate::kinesis::reader;
use crate::kinesis::sequence::SequenceNumber;
use crate::kinesis::store::{Page, Position};
use crate::kinesis::stream::{Shard, Stream};

/// Maximum bytes of one read of the log.
const PAGE_BYTES: usize = 1 << 20;
/// Records to read ahead for each lane if its batches are smaller.
const MIN_AHEAD: usize = 500;
/// Maximum bytes of events in a lane, besides the batch in progress.
const LANE_BYTES: usize = super::lane::MAX_BYTES;
/// Backoff after the log could not be read.
const READ_BACKOFF_MS: i64 = 1_000;

/// How long a positive permission check of the function's role is valid.
const PERMISSION_TTL_MS: i64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The shard is closed and processed to its end: its children may start.
    Drained,
    Stopped,
}

/// Result of an asynchronous operation of a lane.
enum Completion {
    Invoked(Invocation),
    Delivered(Result<(), Undelivered>),
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    control: watch::Receiver<Arc<Control>>,
    stop: watch::Receiver<bool>,
    appended: watch::Receiver<u64>,
    stream: Arc<Stream>,
    shard: Arc<Shard>,
    settings: Arc<Settings>,
    filters: Arc<Filters>,
    writer: Writer,
    lanes: Vec<Lane>,
    pending: FuturesUnordered<BoxFuture<'static, (usize, Completion)>>,
    share: Share,
    next: Position,
    /// The shard is closed and read to its end.
    ended: bool,
    /// All available records have been read.
    at_tip: bool,
    /// The memory budget did not allow more reads.
    budget_exhausted: bool,
    /// The lanes do not match the settings. They are rebuilt when nothing is in progress.
    must_rebuild: bool,
    read_again_ms: i64,
    /// When the role was last checked.
    permission_checked_ms: i64,
    saved: Checkpoint,
}

impl Worker {
    /// A worker that continues from `checkpoint`.
    pub(super) fn new(
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
        stream: Arc<Stream>,
        shard: Arc<Shard>,
        checkpoint: Checkpoint,
    ) -> Self {
        let control = shared.control.subscribe();
        let current = Arc::clone(&control.borrow());
        let mut worker = Self {
            control,
            stop,
            appended: shard.store.appended(),
            stream,
            settings: Arc::clone(&current.settings),
            filters: Arc::clone(&current.filters),
            writer: writer(&shared, &current.settings, &shard),
            lanes: Vec::new(),
            pending: FuturesUnordered::new(),
            share: Share::of(&shared.budget),
            next: Position::at(checkpoint.next),
            ended: false,
            at_tip: false,
            budget_exhausted: false,
            must_rebuild: false,
            read_again_ms: 0,
            permission_checked_ms: i64::MIN,
            saved: checkpoint,
            shard,
            shared,
        };
        worker.build_lanes();
        worker
    }

    /// Runs until the shard is drained or the worker must stop. Waits for operations in progress.
    pub(super) async fn run(mut self) -> End {
        loop {
            self.appended.mark_unchanged();
            self.apply_settings();
            let stopping = self.is_stopping();
            if stopping && self.pending.is_empty() {
                self.save(false);
                return End::Stopped;
            }
            let now_ms = self.shared.clock.now_ms();
            if self.must_rebuild && self.pending.is_empty() {
                self.rebuild_lanes();
            }
            if !stopping && !self.must_rebuild {
                self.read(now_ms);
                self.dispatch(now_ms);
            }
            self.save(false);
            if self.is_drained() {
                self.save(true);
                return End::Drained;
            }
            self.wait(stopping, now_ms).await;
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err() || !self.control.borrow().run
    }

    fn is_drained(&self) -> bool {
        self.ended
            && self
                .lanes
                .iter()
                .all(|lane| lane.is_idle() && lane.window.is_none())
    }

    fn apply_settings(&mut self) {
        let current = Arc::clone(&self.control.borrow_and_update());
        if Arc::ptr_eq(&current.settings, &self.settings) {
            return;
        }
        let before = std::mem::replace(&mut self.settings, Arc::clone(&current.settings));
        self.must_rebuild |= before.lanes() != self.settings.lanes()
            || before.tumbling_seconds != self.settings.tumbling_seconds
            || before.filters != self.settings.filters;
        self.filters = Arc::clone(&current.filters);
        self.writer = writer(&self.shared, &self.settings, &self.shard);
    }

    fn build_lanes(&mut self) {
        self.lanes = (0..self.settings.lanes()).map(|_| Lane::default()).collect();
        if let (Some(window), Some(lane)) = (&self.saved.window, self.lanes.first_mut()) {
            let length_ms = i64::from(self.settings.tumbling_seconds) * 1000;
            // Discard a window of another length.
            lane.window = Some(window.clone()).filter(|window| window.end_ms - window.start_ms == length_ms);
        }
    }

    /// Restarts from the first unprocessed record, with lanes that match the settings.
    fn rebuild_lanes(&mut self) {
        self.save(false);
        self.next = Position::at(self.saved.next);
        self.ended = false;
        self.must_rebuild = false;
        self.build_lanes();
        self.share.keep(0);
    }

    fn bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    /// Reads while there are records and memory budget.
    fn read(&mut self, now_ms: i64) {
        self.budget_exhausted = false;
        if self.ended || now_ms < self.read_again_ms {
            return;
        }
        let most = self
            .settings
            .batch_size
            .max(MIN_AHEAD)
            .saturating_mul(self.lanes.len());
        let mut bytes = self.bytes();
        loop {
            let waiting: usize = self.lanes.iter().map(Lane::waiting).sum();
            // With small batches, one read covers many of them.
            let plenty = waiting >= most / 2 && waiting >= 2 * self.settings.batch_size * self.lanes.len();
            if plenty || waiting >= most || bytes >= 2 * LANE_BYTES * self.lanes.len() {
                self.at_tip = false;
                break;
            }
            if !self.may_read(now_ms) {
                self.at_tip = false;
                break;
            }
            if !self.share.reserve(bytes) {
                self.budget_exhausted = true;
                self.at_tip = false;
                break;
            }
            let page = reader::read(
                &self.stream,
                &self.shard,
                self.next,
                now_ms,
                most - waiting,
                PAGE_BYTES,
            );
            match page {
                Ok(page) => bytes += self.take(page, now_ms),
                Err(error) => {
                    self.unreadable(&error, now_ms);
                    break;
                }
            }
            if self.ended || self.at_tip {
                break;
            }
        }
        self.share.keep(bytes);
    }

    /// Whether the function's role allows reading the stream. Checked every 50 ms.
    fn may_read(&mut self, now_ms: i64) -> bool {
        if now_ms < self.permission_checked_ms.saturating_add(PERMISSION_TTL_MS) {
            return true;
        }
        let stream = &self.settings.event_source_arn;
        if may_read(&*self.shared.invoke, &self.settings.function_arn, stream) {
            self.permission_checked_ms = now_ms;
            return true;
        }
        self.shared.report(&format!("PROBLEM: {}", cannot_access(stream)));
        self.read_again_ms = now_ms + READ_BACKOFF_MS;
        false
    }

    fn unreadable(&mut self, error: &io::Error, now_ms: i64) {
        tracing::warn!(shard = %self.shard.id, %error, "a mapping cannot read its shard");
        self.shared
            .report(&format!("PROBLEM: Cannot read {}: {error}", self.shard.id));
        self.read_again_ms = now_ms + READ_BACKOFF_MS;
        self.at_tip = false;
    }

    /// Distributes the records of a page to the lanes. Returns the bytes of their events.
    fn take(&mut self, page: Page, now_ms: i64) -> usize {
        if let Some(first) = page.records.first() {
            let index = first.sequence_number.index();
            let skipped = index.saturating_sub(self.next.index.max(1));
            if skipped > 0 && self.next.index > 0 {
                tracing::warn!(shard = %self.shard.id, skipped, "records expired or were lost before a mapping read them");
                self.count(
                    "DroppedEventCount",
                    usize::try_from(skipped).unwrap_or(usize::MAX),
                );
            }
        }
        let read = page.records.len();
        let (mut bytes, mut kept) = (0, 0);
        for record in page.records {
            if !self.filters.is_empty() {
                let (filters, writer) = (&self.filters, &self.writer);
                if !filters.matches(&record.data, || writer.metadata(&record)) {
                    continue;
                }
            }
            let size = self.writer.length(&record);
            let lanes = self.lanes.len();
            let lane = if lanes > 1 {
                // Use the low bits: the keys of a shard have the high bits in common.
                (HashKey::of_partition_key(record.partition_key()).0 % lanes as u128) as usize
            } else {
                0
            };
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.push(Item { record, size }, now_ms);
            }
            bytes += size;
            kept += 1;
        }
        self.next = page.next;
        self.ended = page.end_of_shard;
        self.at_tip = page.next_arrival_ms.is_none();
        self.count("PolledEventCount", read);
        self.count("FilteredOutEventCount", read - kept);
        bytes
    }

    fn count(&self, name: &str, count: usize) {
        measure::events(self.shared.metrics.as_ref(), &self.settings, name, count);
    }

    /// Starts everything that is due.
    fn dispatch(&mut self, now_ms: i64) {
        for at in 0..self.lanes.len() {
            self.update_window(at, now_ms);
            let settings = Arc::clone(&self.settings);
            let ready = self.ended || self.budget_exhausted;
            let Some(lane) = self.lanes.get_mut(at) else {
                continue;
            };
            if lane.work.is_empty() && !lane.busy {
                let due = lane.due_ms(&settings).is_some_and(|due| due <= now_ms);
                if due || ready || lane.is_full(&settings) {
                    let envelope = self.writer.envelope(lane.window.as_ref());
                    lane.form(&settings, envelope, now_ms);
                }
            }
            if lane.busy {
                continue;
            }
            let expires = lane.expiry_ms(&settings).is_some_and(|expiry| expiry <= now_ms);
            if expires || lane.is_due(now_ms) {
                let horizon = self.stream.view(now_ms).meta.horizon_ms(now_ms);
                let oldest = match settings.max_age_seconds {
                    age if age > 0 => now_ms.saturating_sub(age * 1000).max(horizon),
                    _ => horizon,
                };
                lane.expire(oldest);
            }
            if lane.is_due(now_ms) {
                lane.busy = true;
                self.start(at, now_ms);
            }
        }
    }

    /// Opens a tumbling window before its first batch. Closes it when a later record has arrived, when its time has
    /// passed and everything has been read, or when the shard has ended.
    fn update_window(&mut self, at: usize, now_ms: i64) {
        let length_ms = i64::from(self.settings.tumbling_seconds) * 1000;
        let Some(lane) = self.lanes.get_mut(at).filter(|_| length_ms > 0) else {
            return;
        };
        if lane.busy || !lane.work.is_empty() {
            return;
        }
        let arrival = lane.next_arrival_ms();
        match (&lane.window, arrival) {
            (Some(window), Some(arrival)) if arrival >= window.end_ms => lane.close(false),
            (Some(window), None) if self.ended || self.at_tip && now_ms >= window.end_ms => lane.close(false),
            (None, Some(arrival)) => {
                let start_ms = arrival.div_euclid(length_ms) * length_ms;
                lane.window = Some(Window {
                    start_ms,
                    end_ms: start_ms + length_ms,
                    state: bytes::Bytes::from_static(b"{}"),
                });
            }
            _ => {}
        }
    }

    /// Starts the first work item of the lane.
    fn start(&mut self, at: usize, now_ms: i64) {
        let Some(lane) = self.lanes.get(at) else {
            return;
        };
        let window = lane.window.as_ref();
        let payload = match lane.work.front() {
            Some(Work::Run(batch)) => {
                self.count("InvokedEventCount", batch.items.len());
                self.writer
                    .event(&batch.items, window.map(|window| (window, FinalInvoke::No)))
            }
            Some(Work::Close { early, .. }) => {
                let last = if *early {
                    FinalInvoke::Early
                } else {
                    FinalInvoke::WindowEnded
                };
                self.writer.event(&[], window.map(|window| (window, last)))
            }
            Some(Work::Discard(batch, condition)) => {
                self.pending.push(self.discard(at, batch, *condition, now_ms));
                return;
            }
            None => return,
        };
        let invoke = Arc::clone(&self.shared.invoke);
        let settings = Arc::clone(&self.settings);
        self.pending.push(Box::pin(async move {
            let invocation = invoke.invoke(&settings.function_arn, payload).await;
            (at, Completion::Invoked(invocation))
        }));
    }

    /// Sends a discarded batch to the destination.
    fn discard(
        &self,
        at: usize,
        batch: &Batch,
        condition: Condition,
        now_ms: i64,
    ) -> BoxFuture<'static, (usize, Completion)> {
        tracing::warn!(
            shard = %self.shard.id, records = batch.items.len(), ?condition,
            function = %self.settings.function_arn, "a batch was discarded"
        );
        self.count("DroppedEventCount", batch.items.len());
        let Some(arn) = self.settings.on_failure.clone() else {
            return Box::pin(async move { (at, Completion::Delivered(Ok(()))) });
        };
        let bucket = destination::is_bucket(&arn);
        let stream_arn = self.stream.view(now_ms).meta.arn();
        let discarded = Discarded {
            batch,
            condition,
            shard_id: &self.shard.id,
            stream_arn: &stream_arn,
            payload: bucket.then(|| self.writer.event(&batch.items, None)),
            now_ms,
        };
        let (message, key) = (discarded.message(&self.settings), discarded.key(&self.settings));
        let (deliver, settings) = (Arc::clone(&self.shared.deliver), Arc::clone(&self.settings));
        if let Err(refused) = destination::allowed(&*self.shared.invoke, &settings, &arn, &key) {
            return Box::pin(async move { (at, Completion::Delivered(Err(refused))) });
        }
        Box::pin(async move {
            let sent = destination::send(deliver, settings, arn, key, message).await;
            (at, Completion::Delivered(sent))
        })
    }

    /// Applies the result of an operation to its lane.
    fn complete(&mut self, at: usize, completion: Completion) {
        let now_ms = self.shared.clock.now_ms();
        let settings = Arc::clone(&self.settings);
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        lane.busy = false;
        match completion {
            Completion::Invoked(invocation) => self.complete_invocation(at, &invocation, now_ms),
            Completion::Delivered(sent) => {
                let discarded = lane.work.pop_front();
                if let Err(error) = sent {
                    tracing::warn!(%error, "the on-failure destination rejected a batch");
                    measure::delivery_failure(self.shared.metrics.as_ref(), &settings);
                } else if settings.on_failure.is_some() {
                    let records = discarded
                        .as_ref()
                        .and_then(Work::batch)
                        .map_or(0, |batch| batch.items.len());
                    self.count("OnFailureDestinationDeliveredEventCount", records);
                }
            }
        }
        let bytes = self.bytes();
        self.share.keep(bytes);
    }

    fn complete_invocation(&mut self, at: usize, invocation: &Invocation, now_ms: i64) {
        let settings = Arc::clone(&self.settings);
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        let batch = lane.work.front().and_then(Work::batch);
        let items = batch.map_or(&[][..], |batch| &batch.items);
        let mode = ResponseMode {
            reports_failures: settings.report_failures && batch.is_some(),
            needs_state: settings.tumbling_seconds > 0 && batch.is_some(),
        };
        let result = evaluate(&invocation.result, mode, |id| {
            let number = SequenceNumber::parse(id)?;
            items
                .binary_search_by_key(&number, |item| item.record.sequence_number)
                .ok()
        });
        if result != BatchResult::NotRun
            && let Some(last) = items.last()
        {
            measure::iterator_age(
                self.shared.metrics.as_ref(),
                &settings,
                now_ms - last.record.arrival_ms,
            );
        }
        let failed = match &result {
            BatchResult::Done(_) => 0,
            BatchResult::FailedFrom(from, _) => items.len() - from,
            BatchResult::Failed | BatchResult::NotRun => items.len(),
        };
        let succeeded = matches!(result, BatchResult::Done(_));
        lane.settle(result, response(invocation), &settings, now_ms);
        self.count("FailedInvokeEventCount", failed);
        self.shared.report(if succeeded { OK } else { FAILED });
    }

    /// Writes the checkpoint if it has changed.
    fn save(&mut self, ended: bool) {
        let lowest = self.lanes.iter().filter_map(Lane::lowest).min();
        let checkpoint = Checkpoint {
            next: lowest.unwrap_or(self.next.index),
            ended,
            window: self.lanes.first().and_then(|lane| lane.window.clone()),
        };
        if checkpoint != self.saved {
            self.shared.save(self.shard.index, &checkpoint);
            self.saved = checkpoint;
        }
    }

    /// When the next time-based action is due.
    fn deadline_ms(&self, now_ms: i64) -> Option<i64> {
        let lanes = self.lanes.iter().filter(|lane| !lane.busy).filter_map(|lane| {
            let window = lane.window.as_ref().map(|window| window.end_ms);
            match lane.work.front() {
                Some(work) => {
                    let expiry = lane.expiry_ms(&self.settings).unwrap_or(i64::MAX);
                    Some(work.not_before_ms().min(expiry))
                }
                None => [
                    lane.due_ms(&self.settings),
                    window.filter(|end| *end > now_ms || self.at_tip),
                ]
                .into_iter()
                .flatten()
                .min(),
            }
        });
        let read = (self.read_again_ms > now_ms).then_some(self.read_again_ms);
        lanes.chain(read).min()
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, stopping: bool, now_ms: i64) {
        let held = stopping || self.must_rebuild;
        let deadline = self.deadline_ms(now_ms).filter(|_| !held);
        let clock = Arc::clone(&self.shared.clock);
        let wants_budget = self.budget_exhausted && !held && self.bytes() == 0;
        let listens = !held && !self.ended;
        tokio::select! {
            biased;
            Some((at, completion)) = self.pending.next(), if !self.pending.is_empty() => self.complete(at, completion),
            _ = self.control.changed(), if !stopping => {}
            _ = self.stop.changed(), if !stopping => {}
            _ = self.appended.changed(), if listens => {}
            () = self.share.wait(), if wants_budget => {}
            () = until(&*clock, deadline.unwrap_or_default()), if deadline.is_some() => {}
            else => {}
        }
    }
}

fn writer(shared: &Shared, settings: &Settings, shard: &Shard) -> Writer {
    let role = shared.invoke.role(&settings.function_arn);
    let role = role.unwrap_or_else(|| format!("arn:aws:iam::{}:role/lambda-role", settings.account));
    Writer::new(&shard.id, &role, &settings.region, &settings.event_source_arn)
}

fn response(invocation: &Invocation) -> FunctionResponse {
    let (status, function_error) = match &invocation.result {
        InvokeResult::Returned(_) => (200, None),
        InvokeResult::FunctionError { kind, .. } => (200, Some((*kind).to_owned())),
        InvokeResult::Throttled => (429, None),
        InvokeResult::Refused { code, .. } => match code.as_str() {
            "ResourceNotFoundException" => (404, None),
            "RequestTooLargeException" => (413, None),
            _ => (500, None),
        },
    };
    FunctionResponse {
        request_id: invocation.request_id.clone(),
        status,
        executed_version: invocation.executed_version.clone(),
        function_error,
    }
}
