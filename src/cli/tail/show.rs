//! Writes out what a tail reads, and reports what happens on the way.
//!
//! A batch is written out, flushed, and only then acknowledged: a checkpoint never names a record that was not written.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::line::LineFormat;
use crate::cli::shared::Session;
use domain::consume::{Acknowledgement, Batch, KinesisShards, Merge, Reader, TailEvent};
use ground::duration;
use ground::error::Result;
use ground::exit::Exit;

/// Where records come from.
pub(super) enum Input {
    Plain(Reader<KinesisShards>),
    Merged(Merge<KinesisShards>),
}

impl Input {
    async fn next(&mut self) -> Option<Result<(Arc<str>, TailEvent)>> {
        match self {
            Self::Plain(reader) => reader.next().await,
            Self::Merged(merge) => merge.next().await,
        }
    }

    async fn acknowledge(&mut self, stream: &Arc<str>, what: Acknowledgement) -> Result<()> {
        match self {
            Self::Plain(reader) => reader.acknowledge(stream, what).await,
            Self::Merged(merge) => merge.acknowledge(stream, what).await,
        }
    }

    pub(super) async fn close(&mut self) -> Result<()> {
        match self {
            Self::Plain(reader) => reader.close().await,
            Self::Merged(merge) => merge.close().await,
        }
    }
}

pub(super) struct Show<'a> {
    session: &'a Session,
    format: LineFormat,
    /// Whether to print that the tail waits for new records.
    pub(super) waiting: bool,
    /// Whether each line names its stream.
    pub(super) names_streams: bool,
    pub(super) is_fan_out: bool,
    /// Records still to be shown; `None` for all.
    pub(super) left: Option<u64>,
    /// The tail ends when no record came for this long.
    pub(super) idle_timeout: Option<Duration>,
    shown: u64,
    /// Whether something could not be decoded.
    damaged: bool,
    /// Shards whose throttling was reported: it is reported once.
    throttled: HashSet<Arc<str>>,
    /// Shards that cannot be read at the moment. Only the first failure and the last recovery are reported.
    failing: HashSet<Arc<str>>,
}

impl<'a> Show<'a> {
    pub(super) fn new(session: &'a Session, format: LineFormat) -> Self {
        Self {
            session,
            format,
            waiting: false,
            names_streams: false,
            is_fan_out: false,
            left: None,
            idle_timeout: None,
            shown: 0,
            damaged: false,
            throttled: HashSet::new(),
            failing: HashSet::new(),
        }
    }

    pub(super) async fn all(&mut self, input: &mut Input) -> Result<Exit> {
        let printer = self.session.printer();
        let interrupt = self.session.interrupt();
        let mut last_record = Instant::now();
        loop {
            let idle = self
                .idle_timeout
                .and_then(|timeout| last_record.checked_add(timeout));
            let event = tokio::select! {
                biased;
                () = interrupt.wait() => {
                    printer.flush()?;
                    printer.note(&format!("Stopped after {}", self.count()));
                    return Ok(Exit::Interrupted);
                }
                event = input.next() => event,
                () = sleep_until(idle.unwrap_or(last_record)), if idle.is_some() => {
                    let timeout = duration::format(self.idle_timeout.unwrap_or_default());
                    printer.note(&format!("No record for {timeout}: stopped after {}", self.count()));
                    return Ok(self.exit());
                }
            };
            match event.transpose()? {
                Some((stream, TailEvent::Records(mut batch))) => {
                    last_record = Instant::now();
                    let enough = self.batch(&stream, &mut batch)?;
                    let event = TailEvent::Records(batch);
                    if let Some(done) = Acknowledgement::of(&event) {
                        input.acknowledge(&stream, done).await?;
                    }
                    if enough {
                        return Ok(self.exit());
                    }
                }
                Some((stream, event)) => {
                    self.note(&event);
                    if let Some(done) = Acknowledgement::of(&event) {
                        input.acknowledge(&stream, done).await?;
                    }
                }
                None => {
                    printer.note(&format!("Read to the end: {}", self.count()));
                    return Ok(self.exit());
                }
            }
        }
    }

    fn exit(&self) -> Exit {
        match self.damaged {
            true => Exit::Partial,
            false => Exit::Done,
        }
    }

    /// Prints a batch, of which only what was printed is left; `true` when enough was printed.
    fn batch(&mut self, stream: &str, batch: &mut Batch) -> Result<bool> {
        let printer = self.session.printer();
        let stream = self.names_streams.then_some(stream);
        if let Some(left) = self.left {
            batch
                .records
                .truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        for record in &batch.records {
            self.format.write(printer, stream, record)?;
        }
        printer.flush()?;
        let count = batch.records.len() as u64;
        self.shown += count;
        if let Some(left) = &mut self.left {
            *left -= count;
        }
        Ok(self.left == Some(0))
    }

    fn note(&mut self, event: &TailEvent) {
        if let Some(text) = self.text(event) {
            self.session.printer().note(&text);
        }
    }

    /// What to say about an event, if anything.
    fn text(&mut self, event: &TailEvent) -> Option<String> {
        match event {
            TailEvent::Records(_) | TailEvent::UpTo { .. } | TailEvent::AtEnd { .. } => None,
            TailEvent::Started => self.waiting.then(|| {
                "Waiting for new records (--from trim shows the existing ones; Ctrl-C stops)".to_owned()
            }),
            TailEvent::Drained {
                shard_id,
                children,
                followed,
            } => {
                let continues = !children.is_empty() && children.len() == followed.len();
                continues.then(|| {
                    let children = children.join(", ");
                    format!("{shard_id} is closed and read to its end; it continues in {children}")
                })
            }
            TailEvent::Throttled { shard_id } => self.throttled(shard_id),
            TailEvent::Failing { shard_id, reason } => {
                let is_first = self.failing.is_empty();
                self.failing.insert(Arc::clone(shard_id));
                is_first.then(|| format!("{reason}; trying again"))
            }
            TailEvent::Recovered { shard_id } => {
                self.failing.remove(shard_id);
                let is_last = self.failing.is_empty();
                is_last.then(|| "Reading again from the last position".to_owned())
            }
            TailEvent::Expired { shard_id } => Some(format!(
                "{shard_id}: the iterator expired; reading on from the last position"
            )),
            TailEvent::Damaged { shard_id, what } => {
                self.damaged = true;
                Some(format!("{shard_id}: {what}"))
            }
            TailEvent::Found { shards } => Some(format!(
                "Found in the list of shards, and read from the beginning: {}",
                shards.join(", ")
            )),
            TailEvent::Gone { shard_id } => Some(format!(
                "{shard_id} does not exist any more: its records after the checkpoint have expired"
            )),
            TailEvent::Taken { shard_id } => Some(format!("Reading {shard_id} for the group")),
            TailEvent::Released { shard_id } => {
                Some(format!("{shard_id} goes to another member of the group"))
            }
        }
    }

    fn throttled(&mut self, shard_id: &Arc<str>) -> Option<String> {
        if !self.throttled.insert(Arc::clone(shard_id)) {
            return None;
        }
        Some(match self.is_fan_out {
            true => format!("{shard_id}: the last subscription is still active; waiting for its end"),
            false => {
                format!("{shard_id} is at its limit of 5 reads a second for all readers: reading more slowly")
            }
        })
    }

    fn count(&self) -> String {
        match self.shown {
            1 => "1 record".to_owned(),
            count => format!("{count} records"),
        }
    }
}
