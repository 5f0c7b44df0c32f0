//! Reads one shard until its end, or forever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use super::damaged::Skip;
use super::end::End;
use super::last;
use super::lineage::ShardStart;
use super::pace::Pace;
use super::wake::Wakes;
use super::{IteratorStart, Limit, Page, ReadError, ShardInfo, ShardSource, Start, TailOptions, TailRecord};
use crate::record::aggregate::MAGIC;
use data_plane::sequence;
use ground::error::{Error, Result};

/// Messages of a poller to its tail.
#[derive(Debug)]
pub(super) enum Message {
    /// The shard's first page was read.
    Positioned,
    /// Records, in order, the memory permits they hold, and [`Page::behind_ms`] of their page.
    Records(Vec<TailRecord>, OwnedSemaphorePermit, Option<i64>),
    /// The shard is closed and has been read to its end.
    Drained {
        shard_id: Arc<str>,
        children: Vec<ShardInfo>,
    },
    /// The shard has been read to where the tail ends.
    AtEnd,
    /// The shard has no unread record that arrived before this time.
    UpTo(Arc<str>, i64),
    /// Reads are throttled.
    Throttled(Arc<str>),
    /// The iterator expired and was replaced.
    Expired(Arc<str>),
    /// Reads fail and are retried.
    Failing(Arc<str>, String),
    /// Reads succeed again.
    Recovered(Arc<str>),
    /// Something could not be decoded and was left out.
    Damaged(Arc<str>, String),
    /// The shard cannot be read.
    Failed(Error),
}

/// State shared by all pollers of a tail.
pub(super) struct Shared<S> {
    pub(super) source: Arc<S>,
    pub(super) options: TailOptions,
    /// One permit per read in progress.
    pub(super) reads: Semaphore,
    /// One permit per KiB that is read and not taken.
    pub(super) memory: Arc<Semaphore>,
    pub(super) memory_kib: u32,
    /// Messages, each with the number of its poller.
    pub(super) messages: mpsc::Sender<(u64, Message)>,
    /// When the tail began, by the service's clock, in milliseconds since the Unix epoch.
    pub(super) start_ms: i64,
    pub(super) started: Instant,
    /// Shards being read.
    pub(super) active: AtomicUsize,
    pub(super) wakes: Wakes,
}

/// The longest wait of an idle shard for each shard that is read: 200 reads a second in all.
const IDLE_PER_SHARD: Duration = Duration::from_millis(5);
const LEAST_IDLE: Duration = Duration::from_secs(1);
const MOST_IDLE: Duration = Duration::from_secs(10);
/// No memory is taken before the read of a page of at most this many bytes: shards at their tips are read while the memory
/// is used up.
const SMALL: usize = 64 << 10;
/// While the service tells which shards have new records. Iterators live for five minutes.
const ASKED_IDLE: Duration = Duration::from_secs(60);

impl<S> Shared<S> {
    /// `at` by the service's clock, in milliseconds since the Unix epoch.
    pub(super) fn service_ms(&self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.started).as_millis();
        self.start_ms
            .saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// Memory for `bytes` of records, or for the most that there is.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory);
        // The semaphore is not closed while a poller runs.
        memory.acquire_many_owned(kib.min(self.memory_kib)).await.ok()
    }

    /// `room` as memory for `bytes` of records: what is too much of it is given back, and what is too little is exchanged.
    async fn fit(&self, room: Option<OwnedSemaphorePermit>, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if let Some(mut room) = room
            && let Some(enough) = room.split((bytes / 1024 + 1).min(self.memory_kib as usize))
        {
            return Some(enough);
        }
        // Two that hold some and wait for more would wait for each other: by now, the room is given back.
        self.room(bytes).await
    }

    fn longest_idle(&self) -> Duration {
        let shards = u32::try_from(self.active.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        IDLE_PER_SHARD.saturating_mul(shards).clamp(LEAST_IDLE, MOST_IDLE)
    }
}

pub(super) struct Poller<S> {
    shared: Arc<Shared<S>>,
    number: u64,
    shard_id: Arc<str>,
    /// Start position of a new iterator: after the last record read, or where reading began.
    resume: ShardStart,
    iterator: Option<String>,
    pace: Pace,
    throttled: bool,
    failing: bool,
    /// Whether the first page was read, so that the start is fixed.
    positioned: bool,
    /// Where to stop, unless the tail follows.
    end: Option<End>,
    skip: Skip,
    wake: Arc<Notify>,
}

impl<S: ShardSource> Poller<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, number: u64, shard_id: &str, start: ShardStart) -> Self {
        let end = match &shared.options.until {
            Some(Limit::Before(ms)) => Some(End::new(ms.saturating_sub(1))),
            Some(Limit::Through(_)) => Some(End::new(i64::MAX)),
            None => (!shared.options.follow).then(|| End::new(shared.start_ms)),
        };
        let shard_id = Arc::from(shard_id);
        Self {
            number,
            pace: Pace::new(&shared.options),
            resume: start,
            iterator: None,
            throttled: false,
            failing: false,
            positioned: false,
            end,
            skip: Skip::default(),
            wake: shared.wakes.of(&shard_id),
            shard_id,
            shared,
        }
    }

    /// Reads until the end of the shard, its tip, or a permanent failure.
    pub(super) async fn run(mut self) {
        let last = match self.read_all().await {
            Ok(last) => last,
            Err(error) => Message::Failed(error),
        };
        self.say(last).await;
    }

    async fn read_all(&mut self) -> Result<Message> {
        loop {
            let mut page = self.page().await?;
            if !std::mem::replace(&mut self.positioned, true) {
                self.say(Message::Positioned).await;
            }
            if page.passed_limit {
                return Ok(Message::AtEnd);
            }
            let Some(next) = page.next.take() else {
                // Only the list of shards names all parents of a merged shard.
                let one = matches!(self.shared.options.start, Start::Sequence { .. });
                let children = match one || page.children.is_empty() {
                    true => Box::pin(self.descendants()).await?,
                    false => page.children,
                };
                return Ok(Message::Drained {
                    shard_id: Arc::clone(&self.shard_id),
                    children,
                });
            };
            self.iterator = Some(next);
            let end = self.end.as_mut();
            if end.is_some_and(|end| end.reached(page.is_empty, page.last_arrival_ms, page.behind_ms))
                && self.is_time_to_end()
            {
                return Ok(Message::AtEnd);
            }
            let at_tip = page.behind_ms.unwrap_or(0) <= 0;
            if at_tip && page.is_empty && self.shared.options.reports_tip {
                let up_to = self.shared.service_ms(self.pace.last_read());
                self.say(Message::UpTo(Arc::clone(&self.shard_id), up_to)).await;
            }
            self.wait(at_tip, page.is_empty).await;
        }
    }

    /// Whether no record can arrive any more that is before the tail's end: that may be in the future.
    fn is_time_to_end(&self) -> bool {
        match self.shared.options.until {
            Some(Limit::Before(ms)) => self.shared.service_ms(self.pace.last_read()) >= ms,
            Some(Limit::Through(_)) | None => true,
        }
    }

    /// Waits until it is time for the next read.
    async fn wait(&mut self, at_tip: bool, is_empty: bool) {
        if self.shared.source.waits() {
            return;
        }
        if !at_tip {
            return sleep_until(self.pace.earliest()).await;
        }
        // A page with records may have left some that arrived since.
        let is_idle = is_empty && self.end.is_none();
        let next = match is_idle {
            // The service tells when there are records.
            true if self.shared.wakes.are_asked_for() => self.pace.last_read() + ASKED_IDLE,
            true => self.pace.next_idle(self.shared.longest_idle()),
            false => self.pace.next_idle(Duration::ZERO),
        };
        tokio::select! {
            () = sleep_until(next) => {}
            () = self.wake.notified() => sleep_until(self.pace.earliest()).await,
        }
    }

    /// Reads the next page and sends its records.
    ///
    /// Memory for a page like the last one is taken before the read. The read permit is held until the page fits in
    /// memory, so that both limits bound the memory used.
    async fn page(&mut self) -> Result<PageEnd> {
        loop {
            let shared = Arc::clone(&self.shared);
            let permit = match shared.source.waits() {
                true => None,
                // The semaphores are not closed while a poller runs.
                false => shared.reads.acquire().await.ok(),
            };
            let room = match self.pace.expected_memory() {
                expected if permit.is_some() && expected > SMALL => shared.room(expected).await,
                _ => None,
            };
            self.pace.reads();
            // Apart from the task: of thousands of pollers, few read at the same time, and a call is large.
            let read = Box::pin(self.try_page());
            let wait = match read.await {
                Ok(page) => return self.succeeded(page, room).await,
                Err(ReadError::Expired) => self.expired().await,
                Err(ReadError::Fatal(error)) => return Err(error),
                Err(ReadError::Damaged { error, page }) => match self.damaged(error, page).await {
                    Some(page) => return self.succeeded(page, room).await,
                    None => self.pace.earliest().saturating_duration_since(Instant::now()),
                },
                Err(ReadError::Throttled(_)) => {
                    if !std::mem::replace(&mut self.throttled, true) {
                        self.say(Message::Throttled(Arc::clone(&self.shard_id))).await;
                    }
                    self.pace.throttled()
                }
                Err(ReadError::Transient(error)) => {
                    let Some(wait) = self.pace.failed_within(shared.options.retry_for) else {
                        return Err(error);
                    };
                    if !std::mem::replace(&mut self.failing, true) {
                        let reason = error.chain().join(": ");
                        self.say(Message::Failing(Arc::clone(&self.shard_id), reason))
                            .await;
                    }
                    wait
                }
            };
            drop((permit, room));
            sleep(wait).await;
        }
    }

    async fn succeeded(&mut self, page: Page, room: Option<OwnedSemaphorePermit>) -> Result<PageEnd> {
        self.pace.succeeded(&page.records);
        self.skip.read_to(None);
        self.throttled = false;
        if std::mem::take(&mut self.failing) {
            self.say(Message::Recovered(Arc::clone(&self.shard_id))).await;
        }
        for what in &page.damaged {
            self.say(Message::Damaged(Arc::clone(&self.shard_id), what.clone()))
                .await;
        }
        Ok(self.hand_on(page, room).await)
    }

    /// The iterator expired: how long to wait.
    async fn expired(&mut self) -> Duration {
        self.iterator = None;
        // "Latest" would skip records that have arrived since.
        if self.resume == ShardStart::Iterator(IteratorStart::Latest) {
            self.resume = ShardStart::Iterator(IteratorStart::AtTimestamp(self.shared.options.now_ms));
        }
        self.say(Message::Expired(Arc::clone(&self.shard_id))).await;
        self.pace.failed()
    }

    /// An answer could not be decoded: the part of it to go on with, or `None` to read again.
    async fn damaged(&mut self, error: Error, page: Option<Box<Page>>) -> Option<Page> {
        // It may have been damaged on the way; and a smaller page leaves less out.
        let keeps_nothing = page.as_ref().is_none_or(|page| page.records.is_empty());
        if self.skip.tries_again() || (keeps_nothing && self.pace.narrow()) {
            return None;
        }
        if let Some(page) = page {
            return Some(*page);
        }
        let (from, lost) = self.skip.past(self.shared.service_ms(Instant::now()));
        self.iterator = None;
        self.resume = ShardStart::Iterator(from);
        let what = format!("{}; {lost}", error.chain().join(": "));
        self.say(Message::Damaged(Arc::clone(&self.shard_id), what)).await;
        None
    }

    async fn try_page(&mut self) -> Result<Page, ReadError> {
        let source = &self.shared.source;
        let iterator = match &self.iterator {
            Some(iterator) => iterator,
            None => {
                let start = match &self.resume {
                    ShardStart::Iterator(start) => start.clone(),
                    ShardStart::Last(count) => {
                        let found = last::find(&self.shared, &self.shard_id, *count).await?;
                        self.resume = ShardStart::Iterator(found.clone());
                        found
                    }
                };
                let new = source.iterator(&self.shard_id, &start).await?;
                self.iterator.insert(new)
            }
        };
        source.page(&self.shard_id, iterator, self.pace.limit()).await
    }

    /// Sends the records of a page, in `room`.
    async fn hand_on(&mut self, page: Page, room: Option<OwnedSemaphorePermit>) -> PageEnd {
        let Page {
            mut records,
            next,
            behind_ms,
            children,
            damaged,
        } = page;
        let mut end = PageEnd {
            next,
            behind_ms,
            children,
            is_empty: records.is_empty() && damaged.is_empty(),
            last_arrival_ms: records.last().and_then(|record| record.arrival_ms),
            passed_limit: false,
        };
        let Some(last) = records.last() else { return end };
        self.resume = ShardStart::Iterator(IteratorStart::After(last.sequence_number.clone()));
        self.skip.read_to(end.last_arrival_ms);
        if let Some(Limit::Through(number)) = &self.shared.options.until {
            end.passed_limit = !sequence::is_after(number, &last.sequence_number);
            records.retain(|record| !sequence::is_after(&record.sequence_number, number));
        } else if let Some(end) = &self.end {
            records.retain(|record| record.arrival_ms.is_none_or(|arrival| end.includes(arrival)));
        }
        if let Some(key) = &self.shared.options.key {
            let splits = self.shared.options.splits_aggregated;
            records
                .retain(|record| record.partition_key == *key || (splits && record.data.starts_with(&MAGIC)));
        }
        if records.is_empty() {
            return end;
        }
        let bytes = records.iter().map(TailRecord::size).sum::<usize>();
        if let Some(permit) = self.shared.fit(room, bytes).await {
            self.say(Message::Records(records, permit, behind_ms)).await;
        }
        end
    }

    /// The descendants of this shard, from the list of shards.
    async fn descendants(&mut self) -> Result<Vec<ShardInfo>> {
        loop {
            match self.shared.source.shards().await {
                Ok(shards) => {
                    return Ok(descendants_of(&self.shard_id, shards));
                }
                Err(ReadError::Fatal(error)) => return Err(error),
                Err(
                    ReadError::Throttled(error)
                    | ReadError::Transient(error)
                    | ReadError::Damaged { error, .. },
                ) => {
                    let Some(wait) = self.pace.failed_within(self.shared.options.retry_for) else {
                        return Err(error);
                    };
                    sleep(wait).await;
                }
                Err(ReadError::Expired) => {}
            }
        }
    }

    async fn say(&self, message: Message) {
        // Fails only where the tail was dropped, and this task with it.
        let _ = self.shared.messages.send((self.number, message)).await;
    }
}

/// The shards of `shards` that descend from `shard_id`.
fn descendants_of(shard_id: &str, mut shards: Vec<ShardInfo>) -> Vec<ShardInfo> {
    let mut found: Vec<ShardInfo> = Vec::new();
    loop {
        let before = found.len();
        let (more, rest) = shards.into_iter().partition(|shard| {
            let is_found = |parent: &String| parent == shard_id || found.iter().any(|f| f.id == *parent);
            shard.parents.iter().any(is_found)
        });
        found.extend::<Vec<_>>(more);
        shards = rest;
        if found.len() == before {
            return found;
        }
    }
}

/// A page without its records.
struct PageEnd {
    next: Option<String>,
    behind_ms: Option<i64>,
    children: Vec<ShardInfo>,
    is_empty: bool,
    last_arrival_ms: Option<i64>,
    /// Whether the last record is the one that the tail ends with, or a later one.
    passed_limit: bool,
}
