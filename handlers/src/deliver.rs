//! Makes many writes within the time of one invocation: with limited concurrency, retries, and a result for each item.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::time::{Instant, sleep, timeout_at};

use crate::store::{Bucket, CallError, CallErrorKind, Item, Object, Queue, Table};

/// Maximum number of concurrent calls.
pub const IN_FLIGHT: usize = 8;
/// Maximum number of items in one BatchWriteItem.
const ITEMS_A_CALL: usize = 25;
/// Maximum size of the records of one BatchWriteItem, in bytes. The API allows 16 MB, and JSON grows up to five times
/// as an attribute value: `[1,1]` becomes `[{"N":"1"},{"N":"1"}]`.
const BYTES_A_CALL: usize = 3 << 20;
/// Maximum number of messages in one SendMessageBatch.
const MESSAGES_A_CALL: usize = 10;
/// Maximum size of one message, and of all messages of one SendMessageBatch, in bytes.
pub const MESSAGE_BYTES: usize = 256 << 10;

/// Exponential backoff. Jitter keeps writers that were throttled together from retrying together.
struct Backoff {
    pause: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);

    const fn new() -> Self {
        Self { pause: Self::FIRST }
    }

    /// Waits. Returns `false` if there is no time left for another attempt.
    async fn wait(&mut self, deadline: Instant) -> bool {
        let random = RandomState::new().build_hasher().finish() % 1000;
        let pause = self.pause.mul_f64(0.5 + random as f64 / 2000.0);
        self.pause = (self.pause * 2).min(Self::LONGEST);
        if Instant::now() + pause >= deadline {
            return false;
        }
        sleep(pause).await;
        true
    }
}

/// Retries a call until it succeeds, fails permanently, or the deadline passes.
///
/// # Errors
/// The last error.
pub async fn retried<T, F, Call>(deadline: Instant, mut call: F) -> Result<T, CallError>
where
    F: FnMut() -> Call,
    Call: Future<Output = Result<T, CallError>>,
{
    let mut backoff = Backoff::new();
    loop {
        let error = match timeout_at(deadline, call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => return Err(CallError::timeout()),
        };
        if error.kind != CallErrorKind::Transient || !backoff.wait(deadline).await {
            return Err(error);
        }
    }
}

/// Items to write to a table. They are created for each attempt, to save memory.
pub struct Puts<'a> {
    /// Number of items. Their keys must differ.
    pub count: usize,
    /// Names of the key attributes.
    pub key: &'a [&'a str],
    /// Creates an item.
    pub item: &'a dyn Fn(usize) -> Item,
    /// Estimated size of an item in bytes.
    pub bytes: &'a dyn Fn(usize) -> usize,
}

/// Puts items with as few calls as possible. Returns a result for each item.
pub async fn put_items<T: Table>(
    table: &T,
    puts: &Puts<'_>,
    deadline: Instant,
) -> Vec<Result<(), CallError>> {
    let chunks = chunks(puts.count, ITEMS_A_CALL, BYTES_A_CALL, puts.bytes);
    let mut results = vec![Ok(()); puts.count];
    let mut running = iter(
        chunks
            .into_iter()
            .map(|chunk| put_chunk(table, puts, chunk, deadline)),
    )
    .buffer_unordered(IN_FLIGHT);
    while let Some(failed) = running.next().await {
        for (index, error) in failed {
            results[index] = Err(error);
        }
    }
    results
}

/// Puts the items of one call. Returns those that could not be put.
async fn put_chunk<T: Table>(
    table: &T,
    puts: &Puts<'_>,
    chunk: Vec<usize>,
    deadline: Instant,
) -> Vec<(usize, CallError)> {
    let mut failed = Vec::new();
    let mut waiting = vec![chunk];
    while let Some(chunk) = waiting.pop() {
        let (left, error) = put_until(table, puts, chunk, deadline).await;
        match error {
            // One invalid item fails the whole call. The items are put one by one.
            Some(error) if error.kind == CallErrorKind::Rejected && left.len() > 1 => {
                let (first, second) = left.split_at(left.len() / 2);
                waiting.push(second.to_vec());
                waiting.push(first.to_vec());
            }
            Some(error) => failed.extend(left.into_iter().map(|index| (index, error.clone()))),
            None => {}
        }
    }
    failed
}

/// Puts `left` until all items are stored, or an error is not retryable.
async fn put_until<T: Table>(
    table: &T,
    puts: &Puts<'_>,
    mut left: Vec<usize>,
    deadline: Instant,
) -> (Vec<usize>, Option<CallError>) {
    let mut backoff = Backoff::new();
    loop {
        let items = left.iter().map(|index| (puts.item)(*index)).collect();
        let error = match timeout_at(deadline, table.put_items(items)).await {
            Ok(Ok(unprocessed)) if unprocessed.is_empty() => return (Vec::new(), None),
            Ok(Ok(unprocessed)) => {
                left = still_left(puts, left, &unprocessed);
                CallError::new(
                    CallErrorKind::Transient,
                    "the table accepts no more writes for now",
                )
            }
            Ok(Err(error)) => error,
            Err(_) => CallError::timeout(),
        };
        if error.kind != CallErrorKind::Transient || !backoff.wait(deadline).await {
            return (left, Some(error));
        }
    }
}

/// Which items of `left` were unprocessed. If one is not recognised, all of them are put again, which is safe.
fn still_left(puts: &Puts<'_>, left: Vec<usize>, unprocessed: &[Item]) -> Vec<usize> {
    let is = |index: usize, other: &Item| {
        let item = (puts.item)(index);
        puts.key.iter().all(|name| item.get(*name) == other.get(*name))
    };
    let found: Option<Vec<usize>> = unprocessed
        .iter()
        .map(|other| left.iter().copied().find(|index| is(*index, other)))
        .collect();
    found.unwrap_or(left)
}

/// Sends messages with as few calls as possible. Returns a result for each message.
pub async fn send<Q: Queue>(queue: &Q, bodies: &[String], deadline: Instant) -> Vec<Result<(), CallError>> {
    let chunks = chunks(bodies.len(), MESSAGES_A_CALL, MESSAGE_BYTES, &|index| {
        bodies[index].len()
    });
    let mut results = vec![Ok(()); bodies.len()];
    let mut running = iter(
        chunks
            .into_iter()
            .map(|chunk| send_chunk(queue, bodies, chunk, deadline)),
    )
    .buffer_unordered(IN_FLIGHT);
    while let Some(failed) = running.next().await {
        for (index, error) in failed {
            results[index] = Err(error);
        }
    }
    results
}

async fn send_chunk<Q: Queue>(
    queue: &Q,
    bodies: &[String],
    mut left: Vec<usize>,
    deadline: Instant,
) -> Vec<(usize, CallError)> {
    let mut backoff = Backoff::new();
    let mut failed = Vec::new();
    loop {
        let messages = left.iter().map(|index| bodies[*index].clone()).collect();
        let passing = match timeout_at(deadline, queue.send(messages)).await {
            Ok(Ok(refused)) => {
                let refused = refused
                    .into_iter()
                    .filter_map(|(place, error)| Some((*left.get(place)?, error)));
                let (passing, lasting): (Vec<_>, Vec<_>) =
                    refused.partition(|(_, error)| error.kind == CallErrorKind::Transient);
                failed.extend(lasting);
                passing
            }
            Ok(Err(error)) if error.kind == CallErrorKind::Transient => {
                left.iter().map(|index| (*index, error.clone())).collect()
            }
            Ok(Err(error)) => {
                failed.extend(left.iter().map(|index| (*index, error.clone())));
                return failed;
            }
            Err(_) => {
                failed.extend(left.iter().map(|index| (*index, CallError::timeout())));
                return failed;
            }
        };
        if passing.is_empty() {
            return failed;
        }
        if !backoff.wait(deadline).await {
            failed.extend(passing);
            return failed;
        }
        left = passing.into_iter().map(|(index, _)| index).collect();
    }
}

/// Puts objects. Returns a result for each object.
pub async fn put_objects<B: Bucket>(
    bucket: &B,
    objects: &[Object],
    deadline: Instant,
) -> Vec<Result<(), CallError>> {
    let puts = objects
        .iter()
        .map(|object| retried(deadline, || bucket.put(object)));
    iter(puts).buffered(IN_FLIGHT).collect().await
}

/// Splits `0..count` into ranges of at most `items` items and `bytes` bytes. A larger item gets a range of its own.
fn chunks(count: usize, items: usize, bytes: usize, size: &dyn Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut chunk_bytes) = (Vec::new(), 0);
    for index in 0..count {
        let size = size(index);
        if !chunk.is_empty() && (chunk.len() >= items || chunk_bytes + size > bytes) {
            chunks.push(std::mem::take(&mut chunk));
            chunk_bytes = 0;
        }
        chunk.push(index);
        chunk_bytes += size;
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests;
