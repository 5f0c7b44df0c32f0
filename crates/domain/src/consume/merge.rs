//! Orders records of several shards by arrival.
//!
//! A record is returned once no shard can have an unread one that arrived earlier: each shard has a later record, or was
//! read to its tip. A shard that says nothing delays the others by a bounded time at most, and then records can be out of
//! order. Records of one shard keep their order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::{Acknowledgement, Batch, Reader, ShardSource, TailEvent, TailRecord};
use ground::error::Result;

/// Records returned at once.
const BATCH: usize = 500;

/// Orders what a reader reads.
pub struct Merge<S> {
    reader: Reader<S>,
    longest: Duration,
    shards: HashMap<(Arc<str>, Arc<str>), Held>,
    /// Whether nothing more is read.
    is_over: bool,
}

/// What is held of a shard.
#[derive(Debug)]
struct Held {
    records: VecDeque<(Instant, TailRecord)>,
    /// No unread record arrived before this time, in milliseconds since the Unix epoch.
    up_to_ms: i64,
    /// The memory permits of the pages that the records are of, with the number of records left of each.
    pages: VecDeque<(usize, Option<OwnedSemaphorePermit>)>,
    /// [`Batch::behind_ms`] of the last page.
    behind_ms: Option<i64>,
    /// The end of the shard, to be returned after its records.
    last: Option<TailEvent>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            up_to_ms: i64::MIN,
            pages: VecDeque::new(),
            behind_ms: None,
            last: None,
        }
    }
}

impl Held {
    fn pop(&mut self) -> Option<TailRecord> {
        let (_, record) = self.records.pop_front()?;
        if let Some((left, _)) = self.pages.front_mut() {
            *left -= 1;
            if *left == 0 {
                self.pages.pop_front();
            }
        }
        Some(record)
    }

    /// The arrival of the next record.
    fn next_ms(&self) -> Option<i64> {
        let (_, record) = self.records.front()?;
        Some(record.arrival_ms.unwrap_or(i64::MIN))
    }
}

impl<S: ShardSource> Merge<S> {
    /// Orders what `reader` reads; no record is held for longer than `longest` for the sake of the order.
    pub fn new(reader: Reader<S>, longest: Duration) -> Self {
        Self {
            reader,
            longest,
            shards: HashMap::new(),
            is_over: false,
        }
    }

    /// As [`Reader::next`].
    ///
    /// # Errors
    /// Those of the reader.
    pub async fn next(&mut self) -> Option<Result<(Arc<str>, TailEvent)>> {
        loop {
            if let Some(event) = self.ready() {
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            let wake = self.oldest().map(|since| since + self.longest);
            let event = tokio::select! {
                biased;
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => continue,
                event = self.reader.next() => event,
            };
            match event {
                None => self.is_over = true,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok((stream, event))) => {
                    if let Some(event) = self.take(&stream, event) {
                        return Some(Ok((stream, event)));
                    }
                }
            }
        }
    }

    /// As [`Reader::acknowledge`].
    ///
    /// # Errors
    /// Those of the reader.
    pub async fn acknowledge(&mut self, stream: &Arc<str>, what: Acknowledgement) -> Result<()> {
        self.reader.acknowledge(stream, what).await
    }

    /// As [`Reader::hold`].
    pub async fn hold(&mut self) {
        self.reader.hold().await;
    }

    /// As [`Reader::close`].
    ///
    /// # Errors
    /// Those of the reader.
    pub async fn close(&mut self) -> Result<()> {
        self.reader.close().await
    }

    /// Number of shards that are read or will be read, as far as known.
    pub fn shard_count(&self) -> usize {
        self.reader.shard_count()
    }

    /// Keeps records and ends of shards; returns other events.
    fn take(&mut self, stream: &Arc<str>, event: TailEvent) -> Option<TailEvent> {
        let key = |shard: &Arc<str>| (Arc::clone(stream), Arc::clone(shard));
        match event {
            TailEvent::Records(batch) => {
                let first = batch.records.first()?;
                let held = self.shards.entry(key(&first.shard_id)).or_default();
                held.behind_ms = batch.behind_ms;
                let (records, permit) = batch.into_parts();
                held.pages.push_back((records.len(), permit));
                let now = Instant::now();
                held.records
                    .extend(records.into_iter().map(|record| (now, record)));
                None
            }
            TailEvent::UpTo { shard_id, ms } => {
                let held = self.shards.entry(key(&shard_id)).or_default();
                held.up_to_ms = held.up_to_ms.max(ms);
                None
            }
            TailEvent::Drained { ref shard_id, .. } | TailEvent::AtEnd { ref shard_id } => {
                let key = key(shard_id);
                self.shards.entry(key).or_default().last = Some(event);
                None
            }
            TailEvent::Released { ref shard_id } => {
                // The next owner reads from the last checkpoint.
                self.shards.remove(&key(shard_id));
                Some(event)
            }
            event => Some(event),
        }
    }

    /// What can be returned now: the end of a shard, or records of one shard.
    fn ready(&mut self) -> Option<(Arc<str>, TailEvent)> {
        let is_done = |held: &Held| held.records.is_empty() && held.last.is_some();
        if let Some(key) = self
            .shards
            .iter()
            .find(|(_, held)| is_done(held))
            .map(|(key, _)| key.clone())
        {
            let last = self.shards.remove(&key).and_then(|held| held.last);
            return last.map(|last| (key.0, last));
        }
        let (key, _) = self
            .shards
            .iter()
            .filter_map(|(key, held)| Some((key, held.next_ms()?)))
            .min_by(|(a, a_ms), (b, b_ms)| (a_ms, a).cmp(&(b_ms, b)))?;
        let key = key.clone();
        let others_ms = self.others_ms(&key);
        // What comes before a record that is late is late too.
        let is_late = |since: Instant| self.is_over || since.elapsed() >= self.longest;
        let any_late = self.oldest().is_some_and(is_late);
        let held = self.shards.get(&key)?;
        let fitting = held.records.iter().take(BATCH).enumerate();
        let fitting = fitting.take_while(|(at, (since, record))| {
            let arrival = record.arrival_ms.unwrap_or(i64::MIN);
            let goes_late = any_late && (*at == 0 || is_late(*since));
            arrival <= others_ms.0 || (arrival <= others_ms.1 && goes_late)
        });
        let count = fitting.count();
        let held = self.shards.get_mut(&key)?;
        let behind_ms = held.behind_ms;
        let records: Vec<TailRecord> = (0..count).map_while(|_| held.pop()).collect();
        (!records.is_empty()).then(|| (key.0, TailEvent::Records(Batch::part(records, behind_ms))))
    }

    /// The time up to which the other shards have no unread record, and the arrival of the next record held of them.
    fn others_ms(&self, key: &(Arc<str>, Arc<str>)) -> (i64, i64) {
        let mut certain = i64::MAX;
        let mut held_ms = i64::MAX;
        let mut known = 0;
        for (other, held) in &self.shards {
            known += usize::from(held.last.is_none());
            if other == key {
                continue;
            }
            match held.next_ms() {
                Some(next) => {
                    certain = certain.min(next);
                    held_ms = held_ms.min(next);
                }
                None if held.last.is_some() => {}
                None => certain = certain.min(held.up_to_ms.saturating_sub(1)),
            }
        }
        // A shard that has said nothing yet.
        if known < self.reader.reading_count() && !self.is_over {
            certain = i64::MIN;
        }
        (certain, held_ms)
    }

    /// Since when the record is held that is to be returned next.
    fn oldest(&self) -> Option<Instant> {
        let heads = self.shards.values().filter_map(|held| held.records.front());
        heads.map(|(since, _)| *since).min()
    }
}
