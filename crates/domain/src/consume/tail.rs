//! Runs the pollers and orders their messages.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval_at, sleep};

use super::lineage::{Lineage, ShardStart};
use super::pace::Pace;
use super::poller::{Message, Poller, Shared};
use super::wake::{self, Wakes};
use super::{IteratorStart, Progress, ReadError, ShardInfo, ShardSource, TailOptions, TailRecord};
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// Capacity of the channel from the pollers; the size of their records is bounded separately.
const MESSAGES: usize = 64;

/// Attempts of the first call while no connection can be made: the endpoint may be wrong.
const FIRST_TRIES: u32 = 4;

/// How often the children that answers named are compared with the list of shards.
const AUDIT: Duration = Duration::from_secs(60);

/// A stream being read. Dropping it ends all reads.
pub struct Tail<S> {
    pub(super) shared: Arc<Shared<S>>,
    messages: mpsc::Receiver<(u64, Message)>,
    /// Newer lists of the shards.
    lists: mpsc::Receiver<Vec<ShardInfo>>,
    tasks: JoinSet<()>,
    /// The pollers, by number: the shard, and a handle to end it.
    readers: HashMap<u64, (Arc<str>, AbortHandle)>,
    pollers: u64,
    lineage: Lineage,
    /// Whether it goes on without shards: others are assigned later.
    is_assigned: bool,
    /// Shards whose start is not fixed yet.
    unpositioned: usize,
    /// Events to be returned before others.
    ready: VecDeque<TailEvent>,
}

/// Events of a tail.
#[derive(Debug)]
pub enum TailEvent {
    /// Reading has begun on every initial shard: from now on, "latest" misses nothing.
    Started,
    /// Records of one shard.
    Records(Batch),
    /// A closed shard has been read to its end.
    Drained {
        shard_id: Arc<str>,
        /// The children that replaced it.
        children: Vec<String>,
        /// The children that are new to the tail and are read now.
        followed: Vec<String>,
    },
    /// A shard has no unread record that arrived before this time, in milliseconds since the Unix epoch.
    UpTo { shard_id: Arc<str>, ms: i64 },
    /// The tail does not read the shard any further: it came to the end that was asked for.
    AtEnd { shard_id: Arc<str> },
    /// Reads of a shard are throttled and have slowed down.
    Throttled { shard_id: Arc<str> },
    /// Reads of a shard fail and are retried for [`TailOptions::retry_for`].
    Failing { shard_id: Arc<str>, reason: String },
    /// Reads of a shard succeed again, from the same position.
    Recovered { shard_id: Arc<str> },
    /// A shard's iterator expired and was replaced without loss.
    Expired { shard_id: Arc<str> },
    /// Something could not be decoded and is left out.
    Damaged { shard_id: Arc<str>, what: String },
    /// Shards that no answer had named were found in the list of shards, and are read from their beginning.
    Found { shards: Vec<String> },
    /// A shard with a checkpoint does not exist any more: what was not read of it has expired.
    Gone { shard_id: Arc<str> },
    /// The shard is read by this member of the group from now on.
    Taken { shard_id: Arc<str> },
    /// The shard is read by another member of the group from now on.
    Released { shard_id: Arc<str> },
}

/// Records of one shard, in order. Releases its memory permits when dropped.
#[derive(Debug)]
pub struct Batch {
    pub records: Vec<TailRecord>,
    /// [`Page::behind_ms`](super::Page::behind_ms) of the page that they are of.
    pub behind_ms: Option<i64>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Batch {
    /// A part of a batch that is elsewhere.
    pub(super) fn part(records: Vec<TailRecord>, behind_ms: Option<i64>) -> Self {
        Self {
            records,
            behind_ms,
            _memory: None,
        }
    }

    /// The records, and the memory permits that they hold.
    pub(super) fn into_parts(self) -> (Vec<TailRecord>, Option<OwnedSemaphorePermit>) {
        (self.records, self._memory)
    }
}

impl<S: ShardSource> Tail<S> {
    /// Lists the shards and starts to read. `waiting` is called with the first failure of the list that is retried.
    ///
    /// # Errors
    /// Exit 2 for an unknown shard; else the error of ListShards.
    pub async fn start(
        source: Arc<S>,
        options: TailOptions,
        waiting: &mut (dyn FnMut(&Error) + Send),
    ) -> Result<Self> {
        let shards = first_list(&*source, &options, waiting).await?;
        let lineage = Lineage::plan(source.stream(), &shards, &options)?;
        let mut ended: Vec<Arc<str>> = options
            .progress
            .iter()
            .filter(|(id, at)| **at != Progress::Ended && !shards.iter().any(|shard| shard.id == **id))
            .map(|(id, _)| Arc::from(id.as_str()))
            .collect();
        ended.sort();
        let mut tail = Self::new(source, options, lineage);
        tail.ready
            .extend(ended.into_iter().map(|shard_id| TailEvent::Gone { shard_id }));
        tail.start_ready();
        tail.unpositioned = tail.readers.len();
        tail.start_helpers();
        Ok(tail)
    }

    /// A tail that reads the shards that are assigned to it.
    pub(super) fn assigned(source: Arc<S>, options: TailOptions) -> Self {
        let mut tail = Self::new(source, options, Lineage::default());
        tail.is_assigned = true;
        tail.start_wakes();
        tail
    }

    fn new(source: Arc<S>, options: TailOptions, lineage: Lineage) -> Self {
        let (sender, messages) = mpsc::channel(MESSAGES);
        let memory_kib = u32::try_from(options.held_bytes / 1024)
            .unwrap_or(u32::MAX)
            .max(1);
        let shared = Shared {
            start_ms: match options.is_same_clock {
                true => options.now_ms,
                false => source.time_ms().unwrap_or(options.now_ms),
            },
            started: Instant::now(),
            source,
            reads: Semaphore::new(options.concurrency.max(1)),
            memory: Arc::new(Semaphore::new(memory_kib as usize)),
            memory_kib,
            messages: sender,
            options,
            active: AtomicUsize::new(0),
            wakes: Wakes::default(),
        };
        Self {
            shared: Arc::new(shared),
            messages,
            lists: mpsc::channel(1).1,
            tasks: JoinSet::new(),
            readers: HashMap::new(),
            pollers: 0,
            lineage,
            is_assigned: false,
            unpositioned: 0,
            ready: VecDeque::new(),
        }
    }

    /// Starts what a tail that follows needs besides its pollers.
    fn start_helpers(&mut self) {
        if !self.shared.options.follow {
            return;
        }
        let (sender, lists) = mpsc::channel(1);
        self.lists = lists;
        self.tasks.spawn(list_often(Arc::clone(&self.shared), sender));
        self.start_wakes();
    }

    fn start_wakes(&mut self) {
        if self.shared.options.asks_for_appended && !self.shared.source.waits() {
            self.tasks.spawn(wake::run(Arc::clone(&self.shared)));
        }
    }

    /// Number of shards the tail reads or will read, as far as known.
    pub fn shard_count(&self) -> usize {
        self.lineage.len().max(self.readers.len())
    }

    /// Number of shards that are read at the moment.
    pub(super) fn reading_count(&self) -> usize {
        self.readers.len()
    }

    /// Where each shard starts that is to be read, for the first checkpoint: "latest" is the time of the start, so that a
    /// later tail misses nothing.
    pub(super) fn first_progress(&self) -> Vec<(String, Progress)> {
        let now =
            IteratorStart::AtTimestamp(self.shared.start_ms.min(self.shared.options.now_ms) / 1000 * 1000);
        let start = |start: &ShardStart| match start {
            ShardStart::Iterator(IteratorStart::Latest) => Progress::From(now.clone()),
            ShardStart::Last(_) => Progress::From(now.clone()),
            ShardStart::Iterator(IteratorStart::After(number)) => Progress::After(number.clone()),
            ShardStart::Iterator(start) => Progress::From(start.clone()),
        };
        let shards = self.lineage.unread();
        shards.map(|(id, from)| (id.to_owned(), start(from))).collect()
    }

    /// The next event; `None` once every shard has been read to its end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<TailEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.readers.is_empty() && !self.is_assigned {
                return None;
            }
            tokio::select! {
                biased;
                Some(shards) = self.lists.recv() => {
                    let found = self.lineage.audit(&shards);
                    if !found.is_empty() {
                        self.start_ready();
                        return Some(Ok(TailEvent::Found { shards: found }));
                    }
                },
                message = self.messages.recv() => {
                    let (number, message) = message?;
                    if let Some(outcome) = self.take(number, message) {
                        return Some(outcome);
                    }
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Err(error) if !error.is_cancelled() => {
                        self.end();
                        return Some(Err(Error::failed("a shard's reader ended unexpectedly").cause(error)));
                    }
                    _ => {}
                },
            }
        }
    }

    /// Reads `shard_id` from `start` on.
    pub(super) fn assign(&mut self, shard_id: &str, start: IteratorStart) {
        self.spawn(shard_id, ShardStart::Iterator(start));
    }

    /// Ends reading of `shard_id`. Records of it that were not returned yet are dropped.
    pub(super) fn withdraw(&mut self, shard_id: &str) {
        if let Some(reader) = self.remove(shard_id) {
            reader.abort();
        }
    }

    fn end(&mut self) {
        self.is_assigned = false;
        self.readers.clear();
        self.tasks.abort_all();
    }

    fn remove(&mut self, shard_id: &str) -> Option<AbortHandle> {
        self.shared.wakes.forget(shard_id);
        let (number, _) = self.readers.iter().find(|(_, (id, _))| **id == *shard_id)?;
        let number = *number;
        let (_, reader) = self.readers.remove(&number)?;
        self.shared.active.store(self.readers.len(), Ordering::Relaxed);
        Some(reader)
    }

    fn take(&mut self, number: u64, message: Message) -> Option<Result<TailEvent>> {
        // A message of a shard that was withdrawn.
        let shard_id = Arc::clone(&self.readers.get(&number)?.0);
        Some(Ok(match message {
            Message::Records(records, memory, behind_ms) => TailEvent::Records(Batch {
                records,
                behind_ms,
                _memory: Some(memory),
            }),
            Message::Drained { shard_id, children } => {
                self.remove(&shard_id);
                let known = self.lineage.drained(&shard_id, &children);
                let is_child = |child: &ShardInfo| child.parents.iter().any(|parent| **parent == *shard_id);
                let children: Vec<String> = children.into_iter().filter(is_child).map(|c| c.id).collect();
                let followed = children.iter().filter(|id| known.contains(id)).cloned().collect();
                self.start_ready();
                TailEvent::Drained {
                    shard_id,
                    children,
                    followed,
                }
            }
            Message::Positioned => {
                // Shards found later do not count.
                let last = self.unpositioned == 1;
                self.unpositioned = self.unpositioned.saturating_sub(1);
                return last.then_some(Ok(TailEvent::Started));
            }
            Message::AtEnd => {
                self.remove(&shard_id);
                TailEvent::AtEnd { shard_id }
            }
            Message::UpTo(shard_id, ms) => TailEvent::UpTo { shard_id, ms },
            Message::Throttled(shard_id) => TailEvent::Throttled { shard_id },
            Message::Expired(shard_id) => TailEvent::Expired { shard_id },
            Message::Failing(shard_id, reason) => TailEvent::Failing { shard_id, reason },
            Message::Recovered(shard_id) => TailEvent::Recovered { shard_id },
            Message::Damaged(shard_id, what) => TailEvent::Damaged { shard_id, what },
            Message::Failed(error) => {
                self.end();
                return Some(Err(error));
            }
        }))
    }

    fn start_ready(&mut self) {
        for (shard_id, start) in self.lineage.take_ready() {
            self.spawn(&shard_id, start);
        }
    }

    fn spawn(&mut self, shard_id: &str, start: ShardStart) {
        self.pollers += 1;
        let poller = Poller::new(Arc::clone(&self.shared), self.pollers, shard_id, start);
        let reader = self.tasks.spawn(poller.run());
        self.readers.insert(self.pollers, (Arc::from(shard_id), reader));
        self.shared.active.store(self.readers.len(), Ordering::Relaxed);
    }
}

/// Lists the shards from time to time.
async fn list_often<S: ShardSource>(shared: Arc<Shared<S>>, lists: mpsc::Sender<Vec<ShardInfo>>) {
    let mut times = interval_at(Instant::now() + AUDIT, AUDIT);
    loop {
        times.tick().await;
        // The next list is as good as one that could not be read.
        if let Ok(shards) = shared.source.shards().await
            && lists.send(shards).await.is_err()
        {
            return;
        }
    }
}

/// Lists the shards at the start. A service that fails is asked again for as long as reads are; an endpoint to which no
/// connection can be made is given up earlier.
async fn first_list(
    source: &impl ShardSource,
    options: &TailOptions,
    waiting: &mut (dyn FnMut(&Error) + Send),
) -> Result<Vec<ShardInfo>> {
    let mut pace = Pace::new(options);
    let (mut failures, mut unreachable) = (0, 0);
    loop {
        let error = match source.shards().await {
            Ok(shards) => return Ok(shards),
            Err(ReadError::Fatal(error)) => return Err(error),
            Err(ReadError::Expired) => Error::failed("could not list the shards"),
            Err(
                ReadError::Throttled(error) | ReadError::Transient(error) | ReadError::Damaged { error, .. },
            ) => error,
        };
        unreachable += u32::from(error.class() == Some(Class::Unreachable));
        let Some(wait) = pace.failed_within(options.retry_for) else {
            return Err(error);
        };
        if unreachable == FIRST_TRIES {
            return Err(error);
        }
        if failures == 0 {
            waiting(&error);
        }
        failures += 1;
        sleep(wait).await;
    }
}
