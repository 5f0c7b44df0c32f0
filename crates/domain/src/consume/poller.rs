//! Reads one shard until its end, or forever.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, sleep_until};

use super::end::End;
use super::pace::Pace;
use super::{IteratorStart, Page, ReadError, ShardInfo, ShardSource, Start, TailOptions, TailRecord};
use ground::error::{Error, Result};

/// Messages of a poller to its tail.
#[derive(Debug)]
pub(super) enum Message {
    /// The shard's first page was read.
    Positioned,
    /// Records, in order, and the memory permits they hold.
    Records(Vec<TailRecord>, OwnedSemaphorePermit),
    /// The shard is closed and has been read to its end.
    Drained {
        shard_id: Arc<str>,
        children: Vec<ShardInfo>,
    },
    /// The shard has been read to its tip as of the start.
    AtTip,
    /// Reads are throttled.
    Throttled(Arc<str>),
    /// The iterator expired and was replaced.
    Expired(Arc<str>),
    /// Reads fail and are retried.
    Failing(Arc<str>, String),
    /// Reads succeed again.
    Recovered(Arc<str>),
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
    pub(super) messages: mpsc::Sender<Message>,
    /// When the tail began, by the service's clock, in milliseconds since the Unix epoch.
    pub(super) start_ms: i64,
}

pub(super) struct Poller<S> {
    shared: Arc<Shared<S>>,
    shard_id: Arc<str>,
    /// Start position of a new iterator: after the last record read, or where reading began.
    resume: IteratorStart,
    iterator: Option<String>,
    pace: Pace,
    throttled: bool,
    failing: bool,
    /// Whether the first page was read, so that the start is fixed.
    positioned: bool,
    /// Where to stop, unless the tail follows.
    end: Option<End>,
}

impl<S: ShardSource> Poller<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, shard_id: &str, start: IteratorStart) -> Self {
        let pace = Pace::new(&shared.options);
        let end = (!shared.options.follow).then(|| End::new(shared.start_ms));
        Self {
            shard_id: Arc::from(shard_id),
            resume: start,
            iterator: None,
            pace,
            throttled: false,
            failing: false,
            positioned: false,
            end,
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
            let Some(next) = page.next.take() else {
                // Only the list of shards names all parents of a merged shard.
                let one = matches!(self.shared.options.start, Start::Sequence { .. });
                let children = match one || page.children.is_empty() {
                    true => self.descendants().await?,
                    false => page.children,
                };
                return Ok(Message::Drained {
                    shard_id: Arc::clone(&self.shard_id),
                    children,
                });
            };
            self.iterator = Some(next);
            let end = self.end.as_mut();
            if end.is_some_and(|end| end.reached(page.is_empty, page.last_arrival_ms, page.behind_ms)) {
                return Ok(Message::AtTip);
            }
            let at_tip = page.behind_ms.unwrap_or(0) <= 0;
            sleep_until(self.pace.next_read(at_tip)).await;
        }
    }

    /// Reads the next page and sends its records.
    ///
    /// The read permit is held until the page fits in memory, so that both limits bound the memory used.
    async fn page(&mut self) -> Result<PageEnd> {
        loop {
            let shared = Arc::clone(&self.shared);
            // The semaphores are not closed while a poller runs.
            let _read = shared.reads.acquire().await.ok();
            self.pace.reads();
            match self.try_page().await {
                Ok(page) => {
                    self.pace.succeeded(&page.records);
                    self.throttled = false;
                    if std::mem::take(&mut self.failing) {
                        self.say(Message::Recovered(Arc::clone(&self.shard_id))).await;
                    }
                    return Ok(self.hand_on(page).await);
                }
                Err(ReadError::Expired) => {
                    self.iterator = None;
                    // "Latest" would skip records that have arrived since.
                    if self.resume == IteratorStart::Latest {
                        self.resume = IteratorStart::AtTimestamp(shared.options.now_ms);
                    }
                    self.say(Message::Expired(Arc::clone(&self.shard_id))).await;
                    let wait = self.pace.failed();
                    sleep(wait).await;
                }
                Err(ReadError::Fatal(error)) => return Err(error),
                Err(ReadError::Throttled(_)) => {
                    let wait = self.pace.failed();
                    if !std::mem::replace(&mut self.throttled, true) {
                        self.say(Message::Throttled(Arc::clone(&self.shard_id))).await;
                    }
                    drop(_read);
                    sleep(wait).await;
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
                    drop(_read);
                    sleep(wait).await;
                }
            }
        }
    }

    async fn try_page(&mut self) -> Result<Page, ReadError> {
        let source = &self.shared.source;
        let iterator = match &self.iterator {
            Some(iterator) => iterator,
            None => {
                let new = source.iterator(&self.shard_id, &self.resume).await?;
                self.iterator.insert(new)
            }
        };
        source.page(&self.shard_id, iterator, self.pace.limit()).await
    }

    async fn hand_on(&mut self, page: Page) -> PageEnd {
        let Page {
            mut records,
            next,
            behind_ms,
            children,
        } = page;
        let end = PageEnd {
            next,
            behind_ms,
            children,
            is_empty: records.is_empty(),
            last_arrival_ms: records.last().and_then(|record| record.arrival_ms),
        };
        let Some(last) = records.last() else { return end };
        self.resume = IteratorStart::After(last.sequence_number.clone());
        if let Some(end) = &self.end {
            records.retain(|record| record.arrival_ms.is_none_or(|arrival| end.includes(arrival)));
        }
        if records.is_empty() {
            return end;
        }
        let kib = records.iter().map(TailRecord::size).sum::<usize>() / 1024 + 1;
        let kib = u32::try_from(kib).unwrap_or(u32::MAX).min(self.shared.memory_kib);
        let memory = Arc::clone(&self.shared.memory);
        if let Ok(permit) = memory.acquire_many_owned(kib).await {
            self.say(Message::Records(records, permit)).await;
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
                Err(ReadError::Throttled(error) | ReadError::Transient(error)) => {
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
        let _ = self.shared.messages.send(message).await;
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
}
