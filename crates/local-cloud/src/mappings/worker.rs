//! Reads one shard for one mapping, and hands its records to the function.
//!
//! A worker is one task. It sleeps until there are records, an invocation has ended, a pause or window is over, or it is
//! told something; an idle shard costs nothing. All that is decided about batches is in [`super::lane`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::budget::Share;
use super::destination::{self, Discarded};
use super::event::{Last, Writer};
use super::filter::Filters;
use super::lane::{Answered, Batch, Condition, Item, Lane, Window, Work};
use super::mapping::{Control, Shared};
use super::measure;
use super::settings::Settings;
use super::verdict::{Manner, Verdict, judge};
use super::{FAILED, OK, cannot_access, files::Place, may_read};
use crate::deliver::Undelivered;
use crate::invoke::{Invocation, InvokeResult};
use crate::kinesis::hash_key::HashKey;
use crate::kinesis::reader;
use crate::kinesis::sequence::SequenceNumber;
use crate::kinesis::store::{Page, Position};
use crate::kinesis::stream::{Shard, Stream};

/// Most bytes of one read of the log.
const PAGE_BYTES: usize = 1 << 20;
/// Records read ahead for each lane, if its batches are smaller.
const LEAST_AHEAD: usize = 500;
/// A lane holds at most this many bytes of events besides the batch it is at.
const LANE_BYTES: usize = super::event::MOST_BYTES;
/// Pause after the log could not be read.
const READ_PAUSE_MS: i64 = 1_000;

/// How long an answer about the function's role counts.
const ASK_AGAIN_MS: i64 = 50;

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The shard is closed and everything in it is done: its children may start.
    Drained,
    /// It was told to stop.
    Stopped,
}

/// What a lane's effect came to.
enum Effect {
    Invoked(Invocation),
    Delivered(Result<(), Undelivered>),
}

/// Reads one shard.
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
    effects: FuturesUnordered<BoxFuture<'static, (usize, Effect)>>,
    share: Share,
    next: Position,
    /// The shard is closed and read to its end.
    ended: bool,
    /// Everything there is has been read.
    at_tip: bool,
    /// There was no room to read more.
    starved: bool,
    /// The lanes no longer fit the settings: they are made anew when nothing is under way.
    relane: bool,
    read_again_ms: i64,
    /// When the function's role was last asked.
    asked_ms: i64,
    saved: Place,
}

impl Worker {
    /// A worker that goes on from `place`.
    pub(super) fn new(
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
        stream: Arc<Stream>,
        shard: Arc<Shard>,
        place: Place,
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
            effects: FuturesUnordered::new(),
            share: Share::of(&shared.budget),
            next: Position::at(place.next),
            ended: false,
            at_tip: false,
            starved: false,
            relane: false,
            read_again_ms: 0,
            asked_ms: i64::MIN,
            saved: place,
            shard,
            shared,
        };
        worker.make_lanes();
        worker
    }

    /// Works until the shard is drained or the worker is told to stop; what is under way then is waited for.
    pub(super) async fn run(mut self) -> End {
        loop {
            self.appended.mark_unchanged();
            self.adopt();
            let stopping = self.is_stopping();
            if stopping && self.effects.is_empty() {
                self.save(false);
                return End::Stopped;
            }
            let now_ms = self.shared.clock.now_ms();
            if self.relane && self.effects.is_empty() {
                self.relane();
            }
            if !stopping && !self.relane {
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

    /// Takes new settings over.
    fn adopt(&mut self) {
        let current = Arc::clone(&self.control.borrow_and_update());
        if Arc::ptr_eq(&current.settings, &self.settings) {
            return;
        }
        let before = std::mem::replace(&mut self.settings, Arc::clone(&current.settings));
        self.relane |= before.lanes() != self.settings.lanes()
            || before.tumbling_seconds != self.settings.tumbling_seconds
            || before.filters != self.settings.filters;
        self.filters = Arc::clone(&current.filters);
        self.writer = writer(&self.shared, &self.settings, &self.shard);
    }

    fn make_lanes(&mut self) {
        self.lanes = (0..self.settings.lanes()).map(|_| Lane::default()).collect();
        if let (Some(window), Some(lane)) = (&self.saved.window, self.lanes.first_mut()) {
            let length_ms = i64::from(self.settings.tumbling_seconds) * 1000;
            // A window of another length is not one of these.
            lane.window = Some(window.clone()).filter(|window| window.end_ms - window.start_ms == length_ms);
        }
    }

    /// Starts again from what is not done, in lanes as the settings want them now.
    fn relane(&mut self) {
        self.save(false);
        self.next = Position::at(self.saved.next);
        self.ended = false;
        self.relane = false;
        self.make_lanes();
        self.share.keep(0);
    }

    fn bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    /// Reads on while there is something to read and room for it.
    fn read(&mut self, now_ms: i64) {
        self.starved = false;
        if self.ended || now_ms < self.read_again_ms {
            return;
        }
        let most = self
            .settings
            .batch_size
            .max(LEAST_AHEAD)
            .saturating_mul(self.lanes.len());
        let mut bytes = self.bytes();
        loop {
            let waiting: usize = self.lanes.iter().map(Lane::waiting).sum();
            // With small batches, many are read at a time.
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
                self.starved = true;
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

    /// Whether the function's role still allows to read the stream, as of the last 50 ms.
    fn may_read(&mut self, now_ms: i64) -> bool {
        if now_ms < self.asked_ms.saturating_add(ASK_AGAIN_MS) {
            return true;
        }
        let stream = &self.settings.event_source_arn;
        if may_read(&*self.shared.invoke, &self.settings.function_arn, stream) {
            self.asked_ms = now_ms;
            return true;
        }
        self.shared.report(&format!("PROBLEM: {}", cannot_access(stream)));
        self.read_again_ms = now_ms + READ_PAUSE_MS;
        false
    }

    fn unreadable(&mut self, error: &io::Error, now_ms: i64) {
        tracing::warn!(shard = %self.shard.id, %error, "a mapping cannot read its shard");
        self.shared
            .report(&format!("PROBLEM: Cannot read {}: {error}", self.shard.id));
        self.read_again_ms = now_ms + READ_PAUSE_MS;
        self.at_tip = false;
    }

    /// Sorts a page's records into the lanes; returns how many bytes of events they are.
    fn take(&mut self, page: Page, now_ms: i64) -> usize {
        if let Some(first) = page.records.first() {
            let index = first.sequence_number.index();
            let skipped = index.saturating_sub(self.next.index.max(1));
            if skipped > 0 && self.next.index > 0 {
                tracing::warn!(shard = %self.shard.id, skipped, "records expired before a mapping read them");
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
                // The low bits: a shard's keys share the high ones.
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

    /// Starts whatever may start now.
    fn dispatch(&mut self, now_ms: i64) {
        for at in 0..self.lanes.len() {
            self.windows(at, now_ms);
            let settings = Arc::clone(&self.settings);
            let ready = self.ended || self.starved;
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
            if !lane.busy
                && lane
                    .work
                    .front()
                    .is_some_and(|work| work.not_before_ms() <= now_ms)
            {
                let horizon = self.stream.view(now_ms).meta.horizon_ms(now_ms);
                let oldest = match settings.max_age_seconds {
                    age if age > 0 => now_ms.saturating_sub(age * 1000).max(horizon),
                    _ => horizon,
                };
                lane.expire(oldest);
                lane.busy = true;
                self.start(at, now_ms);
            }
        }
    }

    /// Opens a tumbling window before its first batch, and closes it when it is over: when a later record has come, or
    /// its time has passed and everything has been read, or the shard has ended.
    fn windows(&mut self, at: usize, now_ms: i64) {
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

    /// Starts the lane's first work.
    fn start(&mut self, at: usize, now_ms: i64) {
        let Some(lane) = self.lanes.get(at) else {
            return;
        };
        let window = lane.window.as_ref();
        let payload = match lane.work.front() {
            Some(Work::Run(batch)) => {
                self.count("InvokedEventCount", batch.items.len());
                self.writer
                    .event(&batch.items, window.map(|window| (window, Last::No)))
            }
            Some(Work::Close { early, .. }) => {
                let last = if *early { Last::Early } else { Last::Over };
                self.writer.event(&[], window.map(|window| (window, last)))
            }
            Some(Work::Discard(batch, condition)) => {
                self.effects.push(self.discard(at, batch, *condition, now_ms));
                return;
            }
            None => return,
        };
        let invoke = Arc::clone(&self.shared.invoke);
        let settings = Arc::clone(&self.settings);
        self.effects.push(Box::pin(async move {
            let invocation = invoke.invoke(&settings.function_arn, payload).await;
            (at, Effect::Invoked(invocation))
        }));
    }

    /// Tells the destination of a batch that is given up.
    fn discard(
        &self,
        at: usize,
        batch: &Batch,
        condition: Condition,
        now_ms: i64,
    ) -> BoxFuture<'static, (usize, Effect)> {
        tracing::warn!(
            shard = %self.shard.id, records = batch.items.len(), ?condition,
            function = %self.settings.function_arn, "a batch is given up"
        );
        self.count("DroppedEventCount", batch.items.len());
        let Some(arn) = self.settings.on_failure.clone() else {
            return Box::pin(async move { (at, Effect::Delivered(Ok(()))) });
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
            return Box::pin(async move { (at, Effect::Delivered(Err(refused))) });
        }
        Box::pin(async move {
            let sent = destination::send(deliver, settings, arn, key, message).await;
            (at, Effect::Delivered(sent))
        })
    }

    /// What an effect's end means for its lane.
    fn settle(&mut self, at: usize, effect: Effect) {
        let now_ms = self.shared.clock.now_ms();
        let settings = Arc::clone(&self.settings);
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        lane.busy = false;
        match effect {
            Effect::Invoked(invocation) => self.invoked(at, &invocation, now_ms),
            Effect::Delivered(sent) => {
                let given_up = lane.work.pop_front();
                if let Err(error) = sent {
                    tracing::warn!(%error, "the on-failure destination did not take a batch");
                    measure::delivery_failure(self.shared.metrics.as_ref(), &settings);
                } else if settings.on_failure.is_some() {
                    let records = given_up
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

    fn invoked(&mut self, at: usize, invocation: &Invocation, now_ms: i64) {
        let settings = Arc::clone(&self.settings);
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        let batch = lane.work.front().and_then(Work::batch);
        let items = batch.map_or(&[][..], |batch| &batch.items);
        let manner = Manner {
            reports: settings.report_failures && batch.is_some(),
            windowed: settings.tumbling_seconds > 0 && batch.is_some(),
        };
        let verdict = judge(&invocation.result, manner, |id| {
            let number = SequenceNumber::parse(id)?;
            items
                .binary_search_by_key(&number, |item| item.record.sequence_number)
                .ok()
        });
        if verdict != Verdict::NotRun
            && let Some(last) = items.last()
        {
            measure::iterator_age(
                self.shared.metrics.as_ref(),
                &settings,
                now_ms - last.record.arrival_ms,
            );
        }
        let failed = match &verdict {
            Verdict::Done(_) => 0,
            Verdict::FailedFrom(from, _) => items.len() - from,
            Verdict::Failed | Verdict::NotRun => items.len(),
        };
        let fine = matches!(verdict, Verdict::Done(_));
        lane.settle(verdict, answered(invocation), &settings, now_ms);
        self.count("FailedInvokeEventCount", failed);
        self.shared.report(if fine { OK } else { FAILED });
    }

    /// Writes down how far the shard is done, if that has changed.
    fn save(&mut self, ended: bool) {
        let lowest = self.lanes.iter().filter_map(Lane::lowest).min();
        let place = Place {
            next: lowest.unwrap_or(self.next.index),
            ended,
            window: self.lanes.first().and_then(|lane| lane.window.clone()),
        };
        if place != self.saved {
            self.shared.save(self.shard.index, &place);
            self.saved = place;
        }
    }

    /// When something starts of itself.
    fn deadline_ms(&self, now_ms: i64) -> Option<i64> {
        let lanes = self.lanes.iter().filter(|lane| !lane.busy).filter_map(|lane| {
            let window = lane.window.as_ref().map(|window| window.end_ms);
            match lane.work.front() {
                Some(work) => Some(work.not_before_ms()),
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

    /// Sleeps until there is something to do.
    async fn wait(&mut self, stopping: bool, now_ms: i64) {
        let held = stopping || self.relane;
        let pause = self
            .deadline_ms(now_ms)
            .filter(|_| !held)
            .map(|deadline| Duration::from_millis(deadline.saturating_sub(now_ms).max(1).unsigned_abs()));
        let hungry = self.starved && !held && self.bytes() == 0;
        let listens = !held && !self.ended;
        tokio::select! {
            biased;
            Some((at, effect)) = self.effects.next(), if !self.effects.is_empty() => self.settle(at, effect),
            _ = self.control.changed(), if !stopping => {}
            _ = self.stop.changed(), if !stopping => {}
            _ = self.appended.changed(), if listens => {}
            () = self.share.wait(), if hungry => {}
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            else => {}
        }
    }
}

fn writer(shared: &Shared, settings: &Settings, shard: &Shard) -> Writer {
    let role = shared.invoke.role(&settings.function_arn);
    let role = role.unwrap_or_else(|| format!("arn:aws:iam::{}:role/lambda-role", settings.account));
    Writer::new(&shard.id, &role, &settings.region, &settings.event_source_arn)
}

fn answered(invocation: &Invocation) -> Answered {
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
    Answered {
        request_id: invocation.request_id.clone(),
        status,
        function_error,
    }
}
