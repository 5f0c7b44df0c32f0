//! A stream in memory, in virtual time: shards with limits, a line with a bandwidth, faults and reshards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use md5::{Digest as _, Md5};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::*;
use crate::record::aggregate::{Content, decode};

/// What happens to requests and entries, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub throttled: u32,
    pub internal: u32,
    /// Requests that fail before anything is stored.
    pub before: u32,
    /// Requests that fail after all is stored.
    pub after: u32,
    /// Requests that are stored and never answered.
    pub silent: u32,
    pub too_few: u32,
}

#[derive(Debug, Clone)]
struct Shard {
    id: String,
    first: u128,
    last: u128,
    is_open: bool,
    /// Tokens for records and bytes, and when they were counted.
    tokens: (f64, f64, Instant),
}

/// An entry that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub number: u64,
    pub key: String,
    pub shard: String,
    /// Whether its hash key is in the range of the shard: consumers skip user records of others.
    pub is_readable: bool,
}

#[derive(Debug)]
pub struct State {
    shards: Vec<Shard>,
    pub stored: Vec<Stored>,
    /// The numbers of the records of each request.
    pub requests: Vec<Vec<u64>>,
    /// Entries that were stored.
    pub entries: u64,
    /// Entries that were refused, and bytes that were sent.
    pub refused: u64,
    pub bytes: u64,
    /// Entries of requests that had no answer.
    pub unanswered: u64,
    pub listed: u32,
    line_free: Instant,
    rng: StdRng,
}

#[derive(Debug, Clone)]
pub struct Stream {
    pub state: Arc<Mutex<State>>,
    pub faults: Faults,
    pub limited: bool,
    pub latency: Duration,
    /// Of the line, in bytes a second.
    pub bandwidth: Option<f64>,
    pub limits: BatchLimits,
}

const RECORDS: f64 = 1000.0;
const BYTES: f64 = 1024.0 * 1024.0;

impl Stream {
    pub fn new(shards: u32) -> Self {
        let width = u128::MAX / u128::from(shards);
        let now = Instant::now();
        let shards = (0..shards).map(|n| Shard {
            id: format!("shardId-{n:012}"),
            first: u128::from(n) * width,
            last: match n + 1 == shards {
                true => u128::MAX,
                false => u128::from(n + 1) * width - 1,
            },
            is_open: true,
            tokens: (RECORDS, BYTES, now),
        });
        Self {
            state: Arc::new(Mutex::new(State {
                shards: shards.collect(),
                stored: Vec::new(),
                requests: Vec::new(),
                entries: 0,
                refused: 0,
                bytes: 0,
                unanswered: 0,
                listed: 0,
                line_free: now,
                rng: StdRng::seed_from_u64(7),
            })),
            faults: Faults::default(),
            limited: false,
            latency: Duration::from_millis(5),
            bandwidth: None,
            limits: BatchLimits::default(),
        }
    }

    /// Splits the open shard with the hash key `hash` in the middle.
    pub fn split(&self, hash: u128) {
        let mut state = self.state.lock().unwrap();
        let count = state.shards.len();
        let parent = state
            .shards
            .iter_mut()
            .find(|shard| shard.is_open && (shard.first..=shard.last).contains(&hash))
            .unwrap();
        parent.is_open = false;
        let middle = parent.first + (parent.last - parent.first) / 2;
        let parent = parent.clone();
        for (n, (first, last)) in [(parent.first, middle), (middle + 1, parent.last)]
            .into_iter()
            .enumerate()
        {
            state.shards.push(Shard {
                id: format!("shardId-{:012}", count + n),
                first,
                last,
                is_open: true,
                tokens: (RECORDS, BYTES, Instant::now()),
            });
        }
    }

    /// Runs the engine with `records`.
    pub async fn take(
        &self,
        records: Vec<Record>,
        options: &PutOptions,
    ) -> (PutResult, HashMap<u64, Unsent>) {
        let (sender, input) = mpsc::channel(2);
        let feeder = tokio::spawn(async move {
            for chunk in records.chunks(100) {
                if sender.send(Input::Records(chunk.to_vec())).await.is_err() {
                    return;
                }
            }
        });
        let stream = Self {
            limits: options.limits,
            ..self.clone()
        };
        let mut unsent = HashMap::new();
        let result = put(
            input,
            Arc::new(stream),
            options,
            Box::pin(std::future::pending()),
            &mut |event| {
                if let PutEvent::Unsent { record, reason } = event {
                    unsent.insert(record.number, reason.clone());
                }
            },
        )
        .await;
        feeder.await.unwrap();
        let summary = &result.summary;
        assert_eq!(
            summary.read,
            summary.acknowledged + summary.failed + summary.stopped
        );
        assert_eq!(unsent.len() as u64, summary.failed + summary.stopped);
        (result, unsent)
    }

    /// Stores what the shards take.
    fn store(&self, records: &[Record]) -> PutAnswer {
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        let now = Instant::now();
        let mut answer = PutAnswer::default();
        for record in records {
            let hash = record.explicit_hash_key.as_ref().map_or_else(
                || u128::from_be_bytes(Md5::digest(record.partition_key.as_bytes()).into()),
                |key| key.parse().unwrap(),
            );
            let mut shards = state.shards.iter_mut();
            let shard = shards
                .find(|shard| shard.is_open && (shard.first..=shard.last).contains(&hash))
                .unwrap();
            let dice = state.rng.random_range(0..100);
            let code = if dice < self.faults.throttled || (self.limited && !shard.admits(record.size(), now))
            {
                "ProvisionedThroughputExceededException"
            } else if dice < self.faults.throttled + self.faults.internal {
                "InternalFailure"
            } else {
                state.entries += 1;
                for (number, key, hash) in parts_of(record, hash) {
                    state.stored.push(Stored {
                        number,
                        key,
                        shard: shard.id.clone(),
                        is_readable: (shard.first..=shard.last).contains(&hash),
                    });
                }
                answer.stored(&shard.id, &state.stored.len().to_string());
                continue;
            };
            state.refused += 1;
            let message = format!("Rate exceeded for shard {} in stream s.", shard.id);
            answer.refused(code.to_owned(), message);
        }
        answer
    }
}

/// Numbers, keys and hash keys of the user records of an entry. Those of an aggregate have their number as data.
fn parts_of(record: &Record, hash: u128) -> Vec<(u64, String, u128)> {
    match decode(&record.data) {
        Content::Aggregate(records) => records
            .iter()
            .map(|part| {
                let number = std::str::from_utf8(&part.data).unwrap().trim().parse().unwrap();
                let hash = u128::from_be_bytes(Md5::digest(part.partition_key.as_bytes()).into());
                (number, part.partition_key.to_owned(), hash)
            })
            .collect(),
        _ => vec![(record.number, record.partition_key.to_string(), hash)],
    }
}

impl Shard {
    fn admits(&mut self, size: usize, now: Instant) -> bool {
        let (records, bytes, at) = self.tokens;
        let elapsed = now.duration_since(at).as_secs_f64();
        let records = (records + elapsed * RECORDS).min(RECORDS);
        let bytes = (bytes + elapsed * BYTES).min(BYTES);
        let size = size as f64;
        let admits = records >= 1.0 && bytes >= size.min(BYTES);
        self.tokens = match admits {
            true => (records - 1.0, bytes - size, now),
            false => (records, bytes, now),
        };
        admits
    }
}

#[async_trait]
impl Transport for Stream {
    async fn put(&self, records: &[Record]) -> Result<PutAnswer, PutError> {
        let size: usize = records.iter().map(Record::size).sum();
        assert!(!records.is_empty() && records.len() <= self.limits.records);
        assert!(records.len() == 1 || size <= self.limits.bytes);
        let (due, dice) = {
            let mut state = self.state.lock().unwrap();
            state
                .requests
                .push(records.iter().map(|record| record.number).collect());
            state.bytes += size as u64;
            let now = Instant::now();
            let carried = self.bandwidth.map_or(Duration::ZERO, |bandwidth| {
                Duration::from_secs_f64(size as f64 / bandwidth)
            });
            state.line_free = state.line_free.max(now) + carried;
            (state.line_free + self.latency, state.rng.random_range(0..100))
        };
        // What was sent arrives, whether or not anybody waits for the answer.
        let (stream, sent) = (self.clone(), records.to_vec());
        let arrival = tokio::spawn(async move {
            sleep_until(due).await;
            let Faults { before, .. } = stream.faults;
            if dice < before {
                return PutAnswer::default();
            }
            stream.store(&sent)
        });
        let mut answer = arrival.await.unwrap();
        let Faults {
            before,
            after,
            silent,
            too_few,
            ..
        } = self.faults;
        let unanswered = dice < before + after + silent + too_few;
        self.state.lock().unwrap().unanswered += if unanswered { records.len() as u64 } else { 0 };
        if dice < before + after {
            return Err(PutError::Transient {
                throttled: false,
                error: Error::failed("HTTP 500"),
            });
        }
        if dice < before + after + silent {
            sleep(Duration::from_secs(100_000)).await;
        }
        if unanswered {
            answer.entries.pop();
        }
        Ok(answer)
    }

    async fn shards(&self, _: bool) -> Result<Vec<ShardRange>, Error> {
        sleep(self.latency).await;
        let mut state = self.state.lock().unwrap();
        state.listed += 1;
        let open = state.shards.iter().filter(|shard| shard.is_open);
        Ok(open
            .map(|shard| ShardRange {
                id: shard.id.clone(),
                first: shard.first,
            })
            .collect())
    }
}
