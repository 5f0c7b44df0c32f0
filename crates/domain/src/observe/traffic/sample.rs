//! A bounded sample of the records of a shard: some pages, evenly distributed over the window.
//!
//! GetRecords takes five calls a second and 2 MiB/s for all readers of a shard (GetRecords, Kinesis API reference), so a
//! sample is small and slow enough to leave room for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{StreamExt as _, iter};
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use tokio::time::{Instant, sleep, timeout_at};

use super::{KeyTraffic, SHARD_BYTES, SHARD_RECORDS, ShardTraffic, was_resharded};
use crate::consume::{IteratorStart, KinesisShards, Page, ReadError, ShardSource, TailRecord};
use crate::context::Context;
use crate::stream::divide::Weighted;
use crate::stream::{Shard, ShardMap, StreamState};
use ground::error::Result;

/// Parts of the window, each with at most [`PAGES`] pages.
const SLICES: u32 = 4;
const PAGES: u32 = 3;
/// The first page of a shard, whose records' size is not known.
const FIRST_RECORDS: usize = 25;
const MAX_RECORDS: usize = 2_000;
/// A page is asked to be about this large: half of what a shard gives out in a second.
const PAGE_BYTES: usize = 1024 * 1024;
/// Time between two reads of a shard.
const INTERVAL: Duration = Duration::from_millis(250);
const RETRIES: u32 = 3;
/// Shards read at once.
const CONCURRENCY: usize = 32;
/// Longest time for all shards. Those not read by then have no figures.
const TOTAL: Duration = Duration::from_secs(60);
/// The hottest keys kept of each shard.
const KEYS_OF_SHARD: usize = 20;

/// Records of a shard that share a partition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCount {
    pub key: String,
    /// The hash of the key; `None` if the shard does not have this hash key.
    pub hash_key: Option<u128>,
    pub records: u64,
    /// Data and partition keys.
    pub bytes: u64,
}

/// A sample of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardSample {
    pub shard: String,
    /// Time that the sample covers, in seconds.
    pub seconds: f64,
    /// By hash key; those without one first.
    pub keys: Vec<KeyCount>,
}

impl ShardSample {
    /// Records that were read.
    pub fn records(&self) -> u64 {
        self.keys.iter().map(|key| key.records).sum()
    }

    fn bytes(&self) -> u64 {
        self.keys.iter().map(|key| key.bytes).sum()
    }

    /// The rates that the sample shows.
    pub fn traffic(&self) -> ShardTraffic {
        let rate = |total: u64| as_f64(total) / self.seconds.max(0.001);
        ShardTraffic::new(
            &self.shard,
            Some(rate(self.records())),
            Some(rate(self.bytes())),
            None,
        )
    }

    /// What each key counts of the limit that the shard is nearest to: records or bytes.
    pub fn weights(&self) -> Vec<u64> {
        let by_bytes = as_f64(self.bytes()) / SHARD_BYTES > as_f64(self.records()) / SHARD_RECORDS;
        let weight = |key: &KeyCount| if by_bytes { key.bytes } else { key.records };
        self.keys.iter().map(weight).collect()
    }

    /// The keys whose hash key is known, and their weights.
    pub(super) fn weighted_keys(&self) -> Vec<Weighted> {
        let keys = self.keys.iter().zip(self.weights());
        keys.filter_map(|(key, weight)| Some((key.hash_key?, weight)))
            .collect()
    }

    /// Share of the traffic whose hash key is not known, 0 to 1.
    pub(super) fn unknown(&self) -> f64 {
        let (known, all) = (
            self.weighted_keys().iter().map(|key| key.1).sum(),
            self.weights().iter().sum::<u64>(),
        );
        1.0 - as_f64(known) / as_f64(all.max(1))
    }

    /// The hottest keys, each with its weight per second in the whole stream.
    pub(super) fn hottest_keys(&self) -> Vec<(f64, KeyTraffic)> {
        let weights = self.weights();
        let total = as_f64(weights.iter().sum::<u64>().max(1));
        let utilisation = self.traffic().utilisation.unwrap_or_default();
        let mut keys: Vec<(u64, &KeyCount)> = weights.into_iter().zip(&self.keys).collect();
        keys.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.key.cmp(&b.1.key)));
        keys.truncate(KEYS_OF_SHARD);
        keys.into_iter()
            .map(|(weight, key)| {
                let share = as_f64(weight) / total;
                let traffic = KeyTraffic {
                    key: key.key.clone(),
                    shard: self.shard.clone(),
                    hash_key: key.hash_key,
                    share,
                };
                (share * utilisation, traffic)
            })
            .collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a sample")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The hash key of a partition key. Source: `PartitionKey`, PutRecord, Kinesis API reference.
pub(super) fn hash_key(partition_key: &str) -> u128 {
    let digest: [u8; 16] = Md5::digest(partition_key.as_bytes()).into();
    u128::from_be_bytes(digest)
}

/// Samples of `shards`, in any order. Shards that could not be read in time have none.
pub(super) async fn sample_shards(
    context: &Context,
    stream: &StreamState,
    shards: &[&Shard],
    map: &ShardMap,
    window: Duration,
    now: Timestamp,
) -> Result<Vec<ShardSample>> {
    let source = &KinesisShards::new(context, &stream.name);
    let deadline = Instant::now() + TOTAL;
    let samples = iter(shards.iter().copied()).map(|shard| async move {
        let sampled = sample_shard(source, shard, was_resharded(map, shard), window, now);
        timeout_at(deadline, sampled).await.unwrap_or(Ok(None))
    });
    let mut samples = samples.buffer_unordered(CONCURRENCY);
    let mut found = Vec::new();
    while let Some(sample) = samples.next().await {
        found.extend(sample?);
    }
    Ok(found)
}

/// A sample of `shard` in the last `window` before `now`; `None` if it cannot be read for now. `is_new` says that a reshard
/// may have made it within the window.
///
/// # Errors
/// When reading is not allowed or the shard does not exist.
pub async fn sample_shard(
    source: &impl ShardSource,
    shard: &Shard,
    is_new: bool,
    window: Duration,
    now: Timestamp,
) -> Result<Option<ShardSample>> {
    let mut reader = Reader {
        source,
        id: Arc::from(shard.id.as_str()),
        limit: FIRST_RECORDS,
        last_read: None,
    };
    let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(1_000);
    let end = now.as_millisecond();
    let start = end.saturating_sub(window_ms);
    let mut counts = Counts::default();
    let mut covered_ms = 0;
    for slice in 0..i64::from(SLICES) {
        let of = |slice: i64| start + window_ms / i64::from(SLICES) * slice;
        let (from, to) = (
            of(slice),
            if slice + 1 == i64::from(SLICES) {
                end
            } else {
                of(slice + 1)
            },
        );
        let Some(until) = reader.slice(from, to, &mut counts).await? else {
            return Ok(None);
        };
        covered_ms += match counts.first_ms {
            // Before its first record a new shard did not exist.
            Some(first) if is_new => (until - first.clamp(from, until)).max(0),
            None if is_new => 0,
            _ => until - from,
        };
    }
    Ok(Some(ShardSample {
        shard: shard.id.clone(),
        #[allow(clippy::cast_precision_loss, reason = "at most a year")]
        seconds: (covered_ms.max(1_000) as f64) / 1_000.0,
        keys: counts.into_keys(shard),
    }))
}

/// What was read of a shard.
#[derive(Debug, Default)]
struct Counts {
    /// Records and bytes.
    by_key: HashMap<String, (u64, u64)>,
    /// When the first record arrived.
    first_ms: Option<i64>,
}

impl Counts {
    fn add(&mut self, record: &TailRecord) {
        self.first_ms = self.first_ms.or(record.arrival_ms);
        let size = record.data.len() + record.partition_key.len();
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        match self.by_key.get_mut(&record.partition_key) {
            Some((records, bytes)) => {
                *records += 1;
                *bytes += size;
            }
            None => {
                self.by_key.insert(record.partition_key.clone(), (1, size));
            }
        }
    }

    fn into_keys(self, shard: &Shard) -> Vec<KeyCount> {
        let count = |(key, (records, bytes)): (String, (u64, u64))| {
            let hash = hash_key(&key);
            KeyCount {
                hash_key: shard.covers(hash).then_some(hash),
                key,
                records,
                bytes,
            }
        };
        let mut keys: Vec<KeyCount> = self.by_key.into_iter().map(count).collect();
        keys.sort_by(|a, b| (a.hash_key, &a.key).cmp(&(b.hash_key, &b.key)));
        keys
    }
}

/// Reads one shard at its pace.
struct Reader<'a, S> {
    source: &'a S,
    id: Arc<str>,
    /// Records of the next page.
    limit: usize,
    last_read: Option<Instant>,
}

impl<S: ShardSource> Reader<'_, S> {
    /// Counts records that arrived from `from` to before `to`. Returns until when all are counted; `None` if the shard
    /// cannot be read for now.
    async fn slice(&mut self, from: i64, to: i64, counts: &mut Counts) -> Result<Option<i64>> {
        let (source, id) = (self.source, Arc::clone(&self.id));
        let start = IteratorStart::AtTimestamp(from.max(0));
        let iterator = self.call(|| source.iterator(&id, &start)).await?;
        let Some(mut iterator) = iterator else {
            return Ok(None);
        };
        let mut until = from;
        for _ in 0..PAGES {
            let limit = i32::try_from(self.limit).unwrap_or(i32::MAX);
            let page = self.call(|| source.page(&id, &iterator, limit)).await?;
            let Some(page) = page else { return Ok(None) };
            self.learn(&page);
            for record in &page.records {
                match record.arrival_ms {
                    Some(arrival) if arrival >= to => return Ok(Some(to)),
                    arrival => until = until.max(arrival.unwrap_or(until)),
                }
                counts.add(record);
            }
            match page.next {
                Some(next) if page.behind_ms.is_some_and(|behind| behind > 0) => iterator = next,
                _ => return Ok(Some(to)),
            }
        }
        Ok(Some(until))
    }

    fn learn(&mut self, page: &Page) {
        if let Some(records) = std::num::NonZeroUsize::new(page.records.len()) {
            let average = page.records.iter().map(TailRecord::size).sum::<usize>() / records;
            self.limit = (PAGE_BYTES / average.max(1)).clamp(1, MAX_RECORDS);
        }
    }

    /// Makes a call, not more often than the pace allows. `None` if it fails for now, more than [`RETRIES`] times.
    async fn call<T, Calling>(&mut self, mut call: impl FnMut() -> Calling) -> Result<Option<T>>
    where
        Calling: Future<Output = Result<T, ReadError>>,
    {
        for attempt in 0..=RETRIES {
            if let Some(last) = self.last_read {
                let pause = INTERVAL * 2u32.pow(attempt);
                sleep((last + pause).saturating_duration_since(Instant::now())).await;
            }
            self.last_read = Some(Instant::now());
            match call().await {
                Ok(value) => return Ok(Some(value)),
                Err(ReadError::Fatal(error) | ReadError::Damaged { error, .. }) => return Err(error),
                Err(ReadError::Throttled(_) | ReadError::Transient(_) | ReadError::Expired) => {}
            }
        }
        Ok(None)
    }
}
