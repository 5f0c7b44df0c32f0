//! Copies the records of a stream to another one, also of another region or account: reads with [`crate::consume`], sends
//! with [`crate::produce`].
//!
//! Records are taken in chunks. A chunk is sent, and when all of it is acknowledged, a checkpoint says how far each shard of
//! the source was copied. A copy that was stopped goes on after its checkpoint: what the last chunk had sent is then sent
//! again. Records keep their data and partition keys. Kinesis does not tell the explicit hash key of a record.

mod checkpoint;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub use checkpoint::CopyCheckpoint;

use crate::consume::{
    IteratorStart, Progress, ReadError, ShardSource, Start, Tail, TailEvent, TailOptions, TailRecord,
};
use crate::produce::{Input, KinesisTransport, PutEnd, PutEvent, PutOptions, PutResult, put};
use crate::record::Record;
use ground::error::{Error, Result};
use ground::stop::Stop;

/// A chunk is sent when it has this many records or bytes, or was begun this long ago.
const CHUNK_RECORDS: usize = 10_000;
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
const CHUNK_TIME: Duration = Duration::from_secs(1);

/// Events of a copy.
pub enum CopyEvent<'a> {
    /// A chunk was copied.
    Copied(&'a CopySummary),
    /// What happened while reading, except for records.
    Read(&'a TailEvent),
    /// What happened while sending.
    Sent(PutEvent<'a>),
}

pub type CopyEvents<'a> = &'a mut (dyn FnMut(CopyEvent<'_>) + Send);

/// The counts of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopySummary {
    /// Records that the destination has acknowledged.
    pub copied: u64,
    /// Their data and partition keys.
    pub bytes: u64,
    /// Times a record was sent again.
    pub retries: u64,
    /// Shards of the source that were read to their end.
    pub shards_ended: u64,
    /// Answers that could not be decoded, and shards that expired before they were copied: records are missing.
    pub gaps: u64,
}

/// How a copy ended.
#[derive(Debug)]
pub enum CopyEnd {
    /// All records that were there are copied.
    Complete,
    /// It was stopped, or the number of records to copy was reached.
    Stopped,
    /// A chunk could not be sent completely: records of it are missing or were not acknowledged.
    Incomplete { missing: u64, end: PutEnd },
}

/// What takes the records.
pub trait Sink {
    /// Sends the records; returns when each of them is settled.
    fn send(
        &mut self,
        records: Vec<Record>,
        events: &mut (dyn FnMut(PutEvent<'_>) + Send),
    ) -> impl Future<Output = PutResult> + Send;
}

/// A stream that takes the records.
#[derive(Debug, Clone)]
pub struct StreamSink {
    pub transport: Arc<KinesisTransport>,
    pub options: PutOptions,
    pub stop: Stop,
}

impl Sink for StreamSink {
    async fn send(
        &mut self,
        records: Vec<Record>,
        events: &mut (dyn FnMut(PutEvent<'_>) + Send),
    ) -> PutResult {
        let (sender, input) = mpsc::channel(1);
        // The channel has room for it.
        let _ = sender.try_send(Input::Records(records));
        drop(sender);
        let stop = self.stop.clone();
        let stopped = Box::pin(async move { stop.wait().await });
        let transport = self.transport.clone();
        put(input, transport, &self.options, stopped, events).await
    }
}

/// Records that are sent together, and how far their shards were read with them.
#[derive(Default)]
struct Chunk {
    records: Vec<Record>,
    bytes: usize,
    progress: Vec<(Arc<str>, Progress)>,
    begun: Option<Instant>,
    /// See [`CopySummary::gaps`].
    gaps: u64,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.records.len() >= CHUNK_RECORDS || self.bytes >= CHUNK_BYTES
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.progress.is_empty()
    }

    fn reaches(&mut self, shard_id: &Arc<str>, progress: Progress) {
        self.begun.get_or_insert_with(Instant::now);
        match self.progress.iter_mut().find(|(id, _)| id == shard_id) {
            Some((_, reached)) => *reached = progress,
            None => self.progress.push((Arc::clone(shard_id), progress)),
        }
    }

    fn ended_shards(&self) -> u64 {
        let ended = self
            .progress
            .iter()
            .filter(|(_, progress)| *progress == Progress::Ended);
        ended.count() as u64
    }

    fn add(&mut self, record: TailRecord) {
        let number = self.records.len() as u64 + 1;
        self.bytes += record.size();
        self.reaches(&record.shard_id, Progress::After(record.sequence_number));
        self.records.push(Record {
            data: record.data,
            partition_key: record.partition_key.into(),
            explicit_hash_key: None,
            has_random_key: false,
            number,
            line: number,
        });
    }
}

/// Keeps in a new checkpoint where each shard of `source` starts, before anything is read. A position such as "latest" would
/// be another one later, and a shard that is not in the checkpoint would be left out when the copy goes on.
///
/// # Errors
/// When the shards cannot be listed, or the checkpoint cannot be written.
pub async fn begin(
    checkpoint: &mut CopyCheckpoint,
    source: &impl ShardSource,
    options: &TailOptions,
) -> Result<()> {
    if checkpoint.is_begun() {
        return Ok(());
    }
    let shards = source.shards().await.map_err(|error| match error {
        ReadError::Fatal(error) | ReadError::Throttled(error) | ReadError::Transient(error) => error,
        _ => Error::failed("could not list the shards"),
    })?;
    let from = match &options.start {
        Start::TrimHorizon => IteratorStart::TrimHorizon,
        Start::Timestamp(ms) => IteratorStart::AtTimestamp(*ms),
        _ => IteratorStart::AtTimestamp(source.time_ms().unwrap_or(options.now_ms)),
    };
    let progress: Vec<(Arc<str>, Progress)> = shards
        .into_iter()
        .map(|shard| (shard.id.into(), Progress::From(from.clone())))
        .collect();
    checkpoint.keep(&progress)
}

/// Copies what `tail` reads to `sink`, at most `limit` records.
///
/// # Errors
/// When the source cannot be read, or the checkpoint cannot be written.
pub async fn copy<S: ShardSource>(
    mut tail: Tail<S>,
    sink: &mut (impl Sink + Send),
    checkpoint: &mut CopyCheckpoint,
    limit: Option<u64>,
    stop: &Stop,
    events: CopyEvents<'_>,
) -> Result<(CopySummary, CopyEnd)> {
    let mut summary = CopySummary::default();
    let mut taken = 0;
    loop {
        let mut chunk = Chunk::default();
        let left = limit.map(|limit| limit - taken);
        let filled = fill(&mut chunk, &mut tail, left, stop, &mut *events).await?;
        taken += chunk.records.len() as u64;
        summary.shards_ended += chunk.ended_shards();
        summary.gaps += chunk.gaps;
        if filled == Filled::Stopped {
            return Ok((summary, CopyEnd::Stopped));
        }
        if !chunk.is_empty()
            && let Some(end) = sent(chunk, sink, checkpoint, &mut summary, &mut *events).await?
        {
            return Ok((summary, end));
        }
        match filled {
            Filled::Ended => return Ok((summary, CopyEnd::Complete)),
            _ if limit.is_some_and(|limit| taken >= limit) => return Ok((summary, CopyEnd::Stopped)),
            _ => {}
        }
    }
}

/// Why a chunk gets no more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// It is large or old enough.
    Enough,
    /// The source was read to its end.
    Ended,
    Stopped,
}

/// Reads a chunk of at most `left` records.
async fn fill<S: ShardSource>(
    chunk: &mut Chunk,
    tail: &mut Tail<S>,
    left: Option<u64>,
    stop: &Stop,
    events: CopyEvents<'_>,
) -> Result<Filled> {
    let left = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
    while !chunk.is_full() && chunk.records.len() < left {
        let due = chunk.begun.map(|begun| begun + CHUNK_TIME);
        if due.is_some_and(|due| Instant::now() >= due) {
            break;
        }
        let event = tokio::select! {
            biased;
            () = stop.wait() => return Ok(Filled::Stopped),
            event = tail.next() => event,
            // The guard makes sure that there is a time.
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => break,
        };
        match event.transpose()? {
            Some(TailEvent::Records(batch)) => {
                for record in batch.records.into_iter().take(left - chunk.records.len()) {
                    chunk.add(record);
                }
            }
            Some(event) => {
                match &event {
                    TailEvent::Drained { shard_id, .. } => chunk.reaches(shard_id, Progress::Ended),
                    TailEvent::Damaged { .. } | TailEvent::Gone { .. } => chunk.gaps += 1,
                    _ => {}
                }
                events(CopyEvent::Read(&event));
            }
            None => return Ok(Filled::Ended),
        }
    }
    Ok(Filled::Enough)
}

/// Sends a chunk and keeps how far it goes; an end if it could not be sent completely.
async fn sent(
    chunk: Chunk,
    sink: &mut (impl Sink + Send),
    checkpoint: &mut CopyCheckpoint,
    summary: &mut CopySummary,
    events: CopyEvents<'_>,
) -> Result<Option<CopyEnd>> {
    let Chunk {
        records, progress, ..
    } = chunk;
    let count = records.len() as u64;
    if count > 0 {
        let result = sink
            .send(records, &mut |event| events(CopyEvent::Sent(event)))
            .await;
        summary.copied += result.summary.acknowledged;
        summary.bytes += result.summary.bytes;
        summary.retries += result.summary.retries;
        let missing = count.saturating_sub(result.summary.acknowledged);
        if missing > 0 {
            return Ok(Some(match result.end {
                PutEnd::Interrupted => CopyEnd::Stopped,
                end => CopyEnd::Incomplete { missing, end },
            }));
        }
    }
    checkpoint.keep(&progress)?;
    events(CopyEvent::Copied(summary));
    Ok(None)
}
