//! Runs the pollers and orders their messages.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::lineage::Lineage;
use super::pace::Pace;
use super::poller::{Message, Poller, Shared};
use super::{ReadError, ShardInfo, ShardSource, TailOptions, TailRecord};
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// Capacity of the channel from the pollers; the size of their records is bounded separately.
const MESSAGES: usize = 64;

/// Attempts of the first call while no connection can be made: the endpoint may be wrong.
const FIRST_TRIES: u32 = 4;

/// A stream being read. Dropping it ends all reads.
pub struct Tail<S> {
    pub(super) shared: Arc<Shared<S>>,
    messages: mpsc::Receiver<Message>,
    pollers: JoinSet<()>,
    /// Shards being read.
    active: usize,
    lineage: Lineage,
    /// Shards whose start is not fixed yet.
    unpositioned: usize,
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
    /// Reads of a shard are throttled and have slowed down.
    Throttled { shard_id: Arc<str> },
    /// Reads of a shard fail and are retried for [`TailOptions::retry_for`].
    Failing { shard_id: Arc<str>, reason: String },
    /// Reads of a shard succeed again, from the same position.
    Recovered { shard_id: Arc<str> },
    /// A shard's iterator expired and was replaced without loss.
    Expired { shard_id: Arc<str> },
}

/// Records of one shard, in order. Releases its memory permits when dropped.
#[derive(Debug)]
pub struct Batch {
    pub records: Vec<TailRecord>,
    _memory: OwnedSemaphorePermit,
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
        let lineage = Lineage::plan(&shards, &options.start, &options.shards)?;
        let (sender, messages) = mpsc::channel(MESSAGES);
        let memory_kib = u32::try_from(options.held_bytes / 1024)
            .unwrap_or(u32::MAX)
            .max(1);
        let shared = Shared {
            start_ms: match options.is_same_clock {
                true => options.now_ms,
                false => source.time_ms().unwrap_or(options.now_ms),
            },
            source,
            reads: Semaphore::new(options.concurrency.max(1)),
            memory: Arc::new(Semaphore::new(memory_kib as usize)),
            memory_kib,
            messages: sender,
            options,
        };
        let mut tail = Self {
            shared: Arc::new(shared),
            messages,
            pollers: JoinSet::new(),
            active: 0,
            lineage,
            unpositioned: 0,
        };
        tail.start_ready();
        tail.unpositioned = tail.active;
        Ok(tail)
    }

    /// Number of shards the tail reads or will read, as far as known.
    pub fn shard_count(&self) -> usize {
        self.lineage.len()
    }

    /// The next event; `None` once every shard has been read to its end. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<TailEvent>> {
        loop {
            if self.active == 0 {
                return None;
            }
            tokio::select! {
                biased;
                message = self.messages.recv() => if let Some(outcome) = self.take(message?) {
                    return Some(outcome);
                },
                Some(ended) = self.pollers.join_next() => if let Err(error) = ended {
                    self.active = 0;
                    return Some(Err(Error::failed("a shard's reader ended unexpectedly").cause(error)));
                },
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<Result<TailEvent>> {
        Some(Ok(match message {
            Message::Records(records, memory) => TailEvent::Records(Batch {
                records,
                _memory: memory,
            }),
            Message::Drained { shard_id, children } => {
                self.active -= 1;
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
            Message::AtTip => {
                self.active -= 1;
                return None;
            }
            Message::Throttled(shard_id) => TailEvent::Throttled { shard_id },
            Message::Expired(shard_id) => TailEvent::Expired { shard_id },
            Message::Failing(shard_id, reason) => TailEvent::Failing { shard_id, reason },
            Message::Recovered(shard_id) => TailEvent::Recovered { shard_id },
            Message::Failed(error) => {
                self.active = 0;
                self.pollers.abort_all();
                return Some(Err(error));
            }
        }))
    }

    fn start_ready(&mut self) {
        for (shard_id, start) in self.lineage.take_ready() {
            self.active += 1;
            let poller = Poller::new(Arc::clone(&self.shared), &shard_id, start);
            self.pollers.spawn(poller.run());
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
            Err(ReadError::Throttled(error) | ReadError::Transient(error)) => error,
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
