//! The loop that reads, sends and waits. What answers mean is in `settle`.

use std::collections::BinaryHeap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::flight::{Line, Sent};
use super::lane::{Group, Lanes, Ready};
use super::order::KeyOrder;
use super::pending::{Pending, Track, Waiting, held};
use super::route::ShardRange;
use super::{
    BatchLimits, Input, Order, PutAnswer, PutEnd, PutError, PutEvent, PutOptions, PutResult, PutSummary,
    Transport, Unsent,
};
use crate::record::{HashKeys, Record};
use ground::backoff::Backoff;
use ground::error::Error;
use ground::error::aws::Class;

/// Reading pauses while this many batches wait to be sent, and one more for each lane.
const WAITING_BATCHES: usize = 16;
/// The shard map is read again at most this often, and less often while it stays the same.
const REFRESH: Duration = Duration::from_secs(1);
const LONGEST_REFRESH: Duration = Duration::from_secs(60);

pub(super) type Events<'a> = &'a mut (dyn FnMut(PutEvent<'_>) + Send);
/// Resolves when a run is to end early.
pub type Stopped<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
/// A run of the engine.
pub type Run<'a> = Pin<Box<dyn Future<Output = PutResult> + Send + 'a>>;

/// Sends all records from `input`, until it ends, `stop` resolves, or the target rejects every request.
///
/// After `stop`, no new request is sent, requests in flight are completed, and every record that was read but not
/// acknowledged is reported as [`PutEvent::Unsent`].
///
/// Nothing here is generic, and the future is in a box, so that the code of the engine is compiled with this crate.
pub fn put<'a>(
    input: mpsc::Receiver<Input>,
    transport: Arc<dyn Transport>,
    options: &'a PutOptions,
    stop: Stopped<'a>,
    events: Events<'a>,
) -> Run<'a> {
    Box::pin(run(input, transport, options, stop, events))
}

async fn run(
    mut input: mpsc::Receiver<Input>,
    transport: Arc<dyn Transport>,
    options: &PutOptions,
    mut stop: Stopped<'_>,
    events: Events<'_>,
) -> PutResult {
    let started = Instant::now();
    // Without a shard map, one lane has all records.
    let (shards, end) = tokio::select! {
        shards = transport.shards(false) => match shards {
            Err(error) if options.aggregate.is_some() => (Vec::new(), Some(PutEnd::Aborted(error))),
            shards => (shards.unwrap_or_default(), None),
        },
        () = &mut stop => (Vec::new(), Some(PutEnd::Interrupted)),
    };
    let mut engine = Engine::new(transport, options, shards, events);
    engine.end = end;
    while !engine.is_finished() {
        engine.adopt();
        engine.send_ready();
        let wake = engine.wake_at();
        tokio::select! {
            biased;
            () = &mut stop, if engine.end.is_none() => engine.end = Some(PutEnd::Interrupted),
            Some(answer) = engine.flying.join_next(), if !engine.flying.is_empty() => match answer {
                Ok(flight) => engine.settle(flight),
                Err(error) => engine.abort(Error::failed("a request ended unexpectedly").cause(error)),
            },
            Some(shards) = engine.maps.join_next(), if !engine.maps.is_empty() => {
                engine.new_map = Some(shards.unwrap_or_default());
            }
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
    let (mut summary, end) = engine.give_up();
    summary.elapsed = started.elapsed();
    PutResult {
        summary,
        input_ended: input_ended && !matches!(end, Some(PutEnd::BadInput(_))),
        end: end.unwrap_or(PutEnd::Complete),
    }
}

/// A request and its response.
pub(super) struct Flight {
    pub(super) records: Vec<Record>,
    pub(super) parts: Parts,
    pub(super) sent: Sent,
    /// `None` if there was none within the time limit.
    pub(super) answer: Option<Result<PutAnswer, PutError>>,
}

/// What the entries of a request are made of.
pub(super) enum Parts {
    /// Each is a record of the input.
    Records(Vec<Track>),
    /// Each is an aggregate of records of the input.
    Groups(Vec<Group>),
}

pub(super) struct Engine<'a> {
    transport: Arc<dyn Transport>,
    pub(super) options: &'a PutOptions,
    pub(super) events: Events<'a>,
    pub(super) lanes: Lanes,
    pub(super) hash_keys: HashKeys,
    order: KeyOrder,
    /// Records that failed and wait for their next attempt.
    waiting: BinaryHeap<Waiting>,
    /// Records of requests that were refused for good.
    refused: Vec<Pending>,
    /// When an incomplete batch is sent.
    linger_until: Option<Instant>,
    pub(super) flying: JoinSet<Flight>,
    pub(super) line: Line,
    /// A shard map that is being read.
    maps: JoinSet<Vec<ShardRange>>,
    /// A shard map that is not used yet.
    new_map: Option<Vec<ShardRange>>,
    /// An aggregate was stored in another shard than its lane's: nothing is sent before the shard map is read again.
    pub(super) awaits_map: bool,
    /// Whether answers name the shards of the map.
    pub(super) trusts_map: bool,
    refresh_at: Instant,
    refresh_pause: Duration,
    /// Size of all records that are read and not settled, in bytes.
    held: usize,
    /// The end of the input was reached.
    drained: bool,
    /// Set when nothing new may be sent, or once the input has an error.
    pub(super) end: Option<PutEnd>,
    pub(super) summary: PutSummary,
    /// When the target last responded, or the start.
    pub(super) last_success: Instant,
    /// Whether the last requests failed as a whole, other than by throttling.
    pub(super) failing: bool,
    /// Results of one request by lane: stored and throttled records.
    pub(super) tally: Vec<(u64, u64)>,
}

impl<'a> Engine<'a> {
    fn new(
        transport: Arc<dyn Transport>,
        options: &'a PutOptions,
        shards: Vec<ShardRange>,
        events: Events<'a>,
    ) -> Self {
        let now = Instant::now();
        Self {
            transport,
            options,
            events,
            lanes: Lanes::new(shards, now),
            hash_keys: HashKeys::default(),
            order: KeyOrder::default(),
            waiting: BinaryHeap::new(),
            refused: Vec::new(),
            linger_until: None,
            flying: JoinSet::new(),
            line: Line::new(options.in_flight, now),
            maps: JoinSet::new(),
            new_map: None,
            awaits_map: false,
            trusts_map: true,
            refresh_at: now,
            refresh_pause: REFRESH,
            held: 0,
            drained: false,
            end: None,
            summary: PutSummary::default(),
            last_success: now,
            failing: false,
            tally: Vec::new(),
        }
    }

    /// Whether nothing new may be sent. After an input error, the records before it are still sent.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.end, Some(PutEnd::Interrupted | PutEnd::Aborted(_)))
    }

    fn is_finished(&self) -> bool {
        let idle = self.lanes.len() == 0 && self.waiting.is_empty();
        self.flying.is_empty() && (self.is_stopping() || (self.drained && idle))
    }

    /// What may be sent now.
    fn ready(&mut self, now: Instant) -> Ready {
        let limits = self.limits();
        match self.options.aggregate {
            Some(size) => self.lanes.ready_aggregates(limits, size, now),
            None => self.lanes.ready(limits, now),
        }
    }

    /// Whether more input is needed: there is room in memory, and less than a request is ready.
    fn wants_more(&mut self) -> bool {
        let most = match self.options.aggregate {
            // An aggregate has any number of records.
            Some(_) => usize::MAX,
            None => self.options.limits.records * (WAITING_BATCHES + self.lanes.count()),
        };
        let waiting = self.lanes.len() + self.order.waiting() + self.waiting.len();
        if self.drained || self.end.is_some() || self.held >= self.options.held_bytes || waiting >= most {
            return false;
        }
        !self.ready(Instant::now()).is_full
    }

    /// Limits of the next request.
    fn limits(&self) -> BatchLimits {
        let BatchLimits { records, bytes } = self.options.limits;
        BatchLimits {
            records,
            bytes: self.line.request_bytes(bytes),
        }
    }

    /// Handles one input message; `None` is the end of the input.
    fn take(&mut self, next: Option<Input>) {
        match next {
            Some(Input::Records(records)) => {
                let now = Instant::now();
                for record in records {
                    let place = self.summary.count_read(&record);
                    self.held += held(&record);
                    self.add(record, place, now);
                }
                self.linger_until.get_or_insert(now + self.options.linger);
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

    /// A record was read.
    fn add(&mut self, record: Record, place: u64, now: Instant) {
        // A random key has no order to keep.
        let has_key = !record.has_random_key || record.explicit_hash_key.is_some();
        let keeps_order = has_key && self.options.order == Order::Key;
        let is_ordered = keeps_order && self.options.aggregate.is_none();
        let hash = match is_ordered || self.lanes.are_known() {
            true => self.hash_keys.of(&record),
            false => 0,
        };
        let track = Track {
            hash,
            place,
            tries: 0,
            since: None,
            is_open: false,
            is_ordered,
            is_serial: keeps_order && !is_ordered,
        };
        if !is_ordered {
            self.lanes.push(record, track, now);
        } else if let Some(Pending { record, track }) = self.order.admit(Pending { record, track }) {
            self.lanes.push(record, track, now);
        }
    }

    fn may_send(&self) -> bool {
        !self.is_stopping() && self.line.is_free() && !self.awaits_map && self.new_map.is_none()
    }

    /// The next time at which work is due without a new event.
    fn wake_at(&mut self) -> Option<Instant> {
        if !self.may_send() {
            return None;
        }
        let now = Instant::now();
        let retry = self.waiting.peek().map(|waiting| waiting.due);
        let linger = match self.ready(now).records {
            // Records that become sendable gather for a while.
            0 => self
                .lanes
                .due(self.options.aggregate, now)
                .map(|due| due.max(self.linger_until.unwrap_or(due))),
            _ => self.linger_until,
        };
        retry.into_iter().chain(linger).min()
    }

    fn send_ready(&mut self) {
        let now = Instant::now();
        while self.may_send() {
            while let Some(waiting) = self.waiting.peek()
                && waiting.due <= now
                && let Some(Waiting { pending, .. }) = self.waiting.pop()
            {
                self.lanes.came_back(pending.track.hash, 1);
                self.lanes.push(pending.record, pending.track, now);
                self.hurry(now);
            }
            if !self.is_ready(now) || !self.send(now) {
                return;
            }
        }
    }

    /// Whether to send a batch: it is full, or has waited long enough.
    fn is_ready(&mut self, now: Instant) -> bool {
        let ready = self.ready(now);
        let lingered = self.linger_until.is_none_or(|until| until <= now);
        let last = self.drained && ready.records == self.lanes.len();
        ready.records > 0 && (ready.is_full || lingered || last)
    }

    /// Sends what is ready at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.linger_until = Some(now);
    }

    /// Sends one batch; `false` if there was none.
    fn send(&mut self, now: Instant) -> bool {
        let (records, parts) = match self.options.aggregate {
            Some(size) => self.aggregates(size, now),
            None => self.records(now),
        };
        self.linger_until = (self.lanes.len() > 0).then(|| now + self.options.linger);
        if records.is_empty() {
            return false;
        }
        let sent = self.line.send(records.iter().map(Record::size).sum(), now);
        let transport = Arc::clone(&self.transport);
        self.flying.spawn(async move {
            let answer = timeout(sent.limit, transport.put(&records)).await.ok();
            Flight {
                records,
                parts,
                sent,
                answer,
            }
        });
        true
    }

    /// The records of the next request.
    fn records(&mut self, now: Instant) -> (Vec<Record>, Parts) {
        let (records, mut tracks) = self.lanes.take(self.limits(), now);
        for track in &mut tracks {
            self.summary.retries += u64::from(track.tries > 0);
            track.since.get_or_insert(now);
        }
        (records, Parts::Records(tracks))
    }

    /// The aggregates of the next request.
    fn aggregates(&mut self, size: usize, now: Instant) -> (Vec<Record>, Parts) {
        let mut groups = self.lanes.take_aggregates(self.limits(), size, now);
        let mut records = Vec::with_capacity(groups.len());
        for group in &mut groups {
            for track in &mut group.tracks {
                self.summary.retries += u64::from(track.tries > 0);
                track.since.get_or_insert(now);
            }
            records.extend(group.record.take());
        }
        self.summary.aggregates += groups.iter().filter(|group| group.tracks.len() > 1).count() as u64;
        (records, Parts::Groups(groups))
    }

    /// The shard of an answer is not that of its lane: the stream was resharded.
    pub(super) fn refresh(&mut self) {
        let now = Instant::now();
        let is_due = self.awaits_map || now >= self.refresh_at;
        if self.is_stopping() || !self.maps.is_empty() || !is_due {
            return;
        }
        self.refresh_at = now + self.refresh_pause;
        let transport = Arc::clone(&self.transport);
        self.maps
            .spawn(async move { transport.shards(true).await.unwrap_or_default() });
    }

    /// Uses a new shard map. Aggregates that are away keep the order of their lane, so those settle first.
    fn adopt(&mut self) {
        let now = Instant::now();
        if self.options.aggregate.is_some() && !self.flying.is_empty() {
            return;
        }
        let Some(shards) = self.new_map.take() else { return };
        if self.options.aggregate.is_some() {
            for Waiting { pending, .. } in std::mem::take(&mut self.waiting) {
                self.lanes.came_back(pending.track.hash, 1);
                self.lanes.push(pending.record, pending.track, now);
            }
        }
        match self.lanes.adopt(shards, now) {
            true => self.refresh_pause = REFRESH,
            // Where answers name other shards all the time, the map does not tell why.
            false => {
                self.refresh_pause = (self.refresh_pause * 2).min(LONGEST_REFRESH);
                self.trusts_map &= !self.awaits_map;
            }
        }
        self.awaits_map = false;
        self.hurry(now);
    }

    /// With full jitter.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.backoff, self.options.max_backoff).jitter(0.0, 1.0)
    }

    /// Retries a record at `due`.
    pub(super) fn wait(&mut self, mut pending: Pending, due: Instant) {
        pending.track.tries += 1;
        self.waiting.push(Waiting { due, pending });
    }

    /// The record is acknowledged or given up: the next of its key may be sent.
    pub(super) fn release(&mut self, record: &Record, track: Track) {
        self.held -= held(record);
        self.summary.settled.settle(track.place);
        if self.options.aggregate.is_some() {
            self.lanes.came_back(track.hash, 1);
        }
        if track.is_ordered
            && let Some(next) = self.order.settled(track.hash)
        {
            let now = Instant::now();
            self.lanes.push(next.record, next.track, now);
            self.hurry(now);
        }
    }

    /// Gives a record up.
    pub(super) fn fail(&mut self, pending: &Pending, reason: String) {
        self.summary.failed += 1;
        self.release(&pending.record, pending.track);
        (self.events)(PutEvent::Unsent {
            record: &pending.record,
            reason: &Unsent::Failed(reason),
        });
    }

    /// Keeps records of a request that was refused for good, to report them at the end.
    pub(super) fn keep_refused(&mut self, pending: Pending) {
        self.refused.push(pending);
    }

    pub(super) fn abort(&mut self, error: Error) {
        if !matches!(self.end, Some(PutEnd::Aborted(_))) {
            self.end = Some(PutEnd::Aborted(error));
        }
    }

    /// Reports all records that will not be sent, in the order of the input.
    fn give_up(self) -> (PutSummary, Option<PutEnd>) {
        let mut summary = self.summary;
        let waiting = self.waiting.into_iter().map(|waiting| waiting.pending);
        let mut left: Vec<Pending> = self
            .lanes
            .into_records()
            .chain(waiting)
            .chain(self.refused)
            .chain(self.order.into_waiting())
            .collect();
        left.sort_by_key(|pending| pending.track.place);
        for pending in &left {
            summary.stopped += 1;
            (self.events)(PutEvent::Unsent {
                record: &pending.record,
                reason: &Unsent::Stopped,
            });
        }
        (summary, self.end)
    }
}

/// Whether the request with this failure cannot have been stored.
pub(super) fn is_unsent(error: &Error) -> bool {
    matches!(error.class(), Some(Class::Unreachable | Class::Credentials))
}
