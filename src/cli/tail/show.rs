//! Writes out what a tail reads, and reports what happens on the way.
//!
//! A batch is written out, flushed, and only then acknowledged: a checkpoint never names a record that was not written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::sink::{Sink, Target};
use super::stats::StatsReport;
use super::status::{self, Status};
use crate::cli::shared::Session;
use crate::ui::units::{counted, rfc3339};
use crate::ui::{Format, Report as _};
use domain::consume::decode::Decode;
use domain::consume::filter::Filter;
use domain::consume::{Acknowledgement, Batch, KinesisShards, Merge, Reader, TailEvent, TailRecord};
use ground::duration;
use ground::error::Result;
use ground::error::aws::Class;
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

    /// Does not end.
    async fn hold(&mut self) {
        match self {
            Self::Plain(reader) => reader.hold().await,
            Self::Merged(merge) => merge.hold().await,
        }
    }

    async fn acknowledge(&mut self, stream: &Arc<str>, what: Acknowledgement) -> Result<()> {
        match self {
            Self::Plain(reader) => reader.acknowledge(stream, what).await,
            Self::Merged(merge) => merge.acknowledge(stream, what).await,
        }
    }

    /// Number of shards that are read or will be read, as far as known.
    fn shard_count(&self) -> usize {
        match self {
            Self::Plain(reader) => reader.shard_count(),
            Self::Merged(merge) => merge.shard_count(),
        }
    }

    pub(super) async fn close(&mut self) -> Result<()> {
        match self {
            Self::Plain(reader) => reader.close().await,
            Self::Merged(merge) => merge.close().await,
        }
    }
}

/// What is said before the first of the records that arrive from now on.
const WAITING: &str = "Waiting for new records (--from trim shows the existing ones; Ctrl-C stops)";

/// Time between two screens of statistics.
const SCREEN: Duration = Duration::from_secs(1);

pub(super) struct Show<'a> {
    session: &'a Session,
    sink: Sink,
    decode: Decode,
    filter: Filter,
    /// Whether to print that the tail waits for new records.
    pub(super) waiting: bool,
    pub(super) is_fan_out: bool,
    /// Records still to be shown; `None` for all.
    pub(super) left: Option<u64>,
    /// The tail ends when no record came for this long.
    pub(super) idle_timeout: Option<Duration>,
    /// Whether the position of each shard is kept, in a file or a table.
    pub(super) keeps_position: bool,
    shown: u64,
    /// The arrival of the last record of each shard that was written, in milliseconds since the Unix epoch.
    arrivals: HashMap<(Arc<str>, Arc<str>), i64>,
    undecoded: Undecoded,
    /// Whether something could not be decoded.
    damaged: bool,
    /// Shards whose throttling was reported: it is reported once.
    throttled: HashSet<Arc<str>>,
    /// Shards that cannot be read at the moment. Only the first failure and the last recovery are reported.
    failing: HashSet<Arc<str>>,
}

/// Data that is shown as it is, since it could not be decoded.
#[derive(Debug, Default)]
struct Undecoded {
    count: u64,
    first: String,
}

impl<'a> Show<'a> {
    pub(super) fn new(session: &'a Session, sink: Sink, decode: Decode, filter: Filter) -> Self {
        Self {
            session,
            sink,
            decode,
            filter,
            waiting: false,
            is_fan_out: false,
            left: None,
            idle_timeout: None,
            keeps_position: false,
            shown: 0,
            arrivals: HashMap::new(),
            undecoded: Undecoded::default(),
            damaged: false,
            throttled: HashSet::new(),
            failing: HashSet::new(),
        }
    }

    /// Writes out what `input` reads, until its end or the end that the arguments ask for.
    pub(super) async fn all(&mut self, input: &mut Input) -> Result<Exit> {
        // Statistics on a terminal are a screen of their own.
        let mut status = match self.has_screen() {
            true => None,
            false => Status::new(self.session.printer(), self.first_status()),
        };
        let ended = self.until_end(input, &mut status).await;
        drop(status);
        let (exit, text) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // A pipe that closes is no error, and what is gone cannot be read on.
                if error.exit() != Exit::Done && error.class() != Some(Class::NotFound) {
                    self.say_where_it_stopped(input);
                }
                return Err(error);
            }
        };
        self.report()?;
        if let Some(text) = text {
            self.session.printer().note(&text);
        }
        Ok(exit)
    }

    fn has_screen(&self) -> bool {
        let printer = self.session.printer();
        self.sink.stats().is_some() && printer.format() == Format::Table && printer.is_interactive()
    }

    /// Says at the end what was counted, and what is not as it should be.
    fn report(&mut self) -> Result<()> {
        let printer = self.session.printer();
        match &self.sink.target {
            Target::Stats(stats) => {
                let report = StatsReport::new(stats, self.sink.names_streams);
                match self.has_screen() {
                    true => printer.screen(&report.table(printer.style()))?,
                    false => printer.report(&report)?,
                }
            }
            Target::Function(function) => function.report(printer),
            Target::Files(_, files) => printer.note(&format!("Wrote {}", counted(files.count(), "file"))),
            Target::Stdout(_) => {}
        }
        if self.undecoded.count > 0 {
            printer.warn(&format!(
                "{} could not be decoded and were left as they were; the first: {}",
                counted(self.undecoded.count, "record"),
                self.undecoded.first
            ));
        }
        let failures = self.filter.failures();
        if failures.count > 0 {
            printer.warn(&format!(
                "--filter failed for {}, which {} not shown; the first: {}",
                counted(failures.count, "record"),
                if failures.count == 1 { "is" } else { "are" },
                failures.first
            ));
        }
        Ok(())
    }

    /// After an error: how far it came, and how to go on from there.
    fn say_where_it_stopped(&self, input: &Input) {
        let printer = self.session.printer();
        if let Target::Function(function) = &self.sink.target {
            // Its errors say how to go on.
            return function.report(printer);
        }
        if self.shown == 0 {
            return;
        }
        let first = self.arrivals.values().min();
        let is_all = !self.arrivals.is_empty() && self.arrivals.len() >= input.shard_count();
        let how = match first.filter(|_| is_all) {
            _ if self.keeps_position => "the same command continues after the last of them".to_owned(),
            Some(ms) => format!("`--from {}` continues there, and may repeat some", rfc3339(*ms)),
            None => "with `--checkpoint FILE` a command continues where it stopped".to_owned(),
        };
        printer.note(&format!("Stopped after {}: {how}", self.count()));
    }

    /// What the status line says before the first record.
    fn first_status(&self) -> &'static str {
        match self.waiting {
            true => WAITING,
            false => "Waiting for records …",
        }
    }

    /// The exit code, and what to say.
    async fn until_end(
        &mut self,
        input: &mut Input,
        status: &mut Option<Status>,
    ) -> Result<(Exit, Option<String>)> {
        let interrupt = self.session.interrupt();
        let mut last_record = Instant::now();
        let (has_screen, mut next_screen) = (self.has_screen(), Instant::now());
        loop {
            let idle = self
                .idle_timeout
                .and_then(|timeout| last_record.checked_add(timeout));
            let event = {
                // Read on after a change of the status line: what a member of a group does is not to be cancelled.
                let mut next = std::pin::pin!(input.next());
                loop {
                    tokio::select! {
                        biased;
                        () = interrupt.wait() => {
                            return Ok((Exit::Interrupted, Some(format!("Stopped after {}", self.count()))));
                        }
                        () = sleep_until(next_screen), if has_screen => {
                            self.screen()?;
                            next_screen = Instant::now() + SCREEN;
                        }
                        event = &mut next => break event,
                        () = sleep_until(idle.unwrap_or(last_record)), if idle.is_some() => {
                            let timeout = duration::format(self.idle_timeout.unwrap_or_default());
                            let text = format!("No record for {timeout}: stopped after {}", self.count());
                            return Ok((self.exit(), Some(text)));
                        }
                        () = sleep(status::EVERY), if status.is_some() => {
                            status.iter_mut().for_each(Status::show);
                        }
                    }
                }
            };
            let Some((stream, event)) = event.transpose()? else {
                return Ok((self.exit(), Some(format!("Read to the end: {}", self.count()))));
            };
            let before = self.shown;
            let (event, written) = self.take(&stream, event, input, status).await;
            if self.shown > before {
                last_record = Instant::now();
            }
            // Also of a batch whose end failed: its records are those that were written.
            if let Some(done) = Acknowledgement::of(&event) {
                input.acknowledge(&stream, done).await?;
            }
            written?;
            if self.left == Some(0) {
                return Ok((self.exit(), None));
            }
        }
    }

    /// Writes out or reports an event. A batch keeps what was written.
    async fn take(
        &mut self,
        stream: &Arc<str>,
        event: TailEvent,
        input: &mut Input,
        status: &mut Option<Status>,
    ) -> (TailEvent, Result<()>) {
        let TailEvent::Records(mut batch) = event else {
            self.note(&event, status);
            self.keep_arrival(stream, &event);
            return (event, Ok(()));
        };
        let written = match &self.sink.target {
            Target::Function(_) => self.invoke(stream, &mut batch, input, status).await,
            _ => self.batch(stream, &mut batch, status),
        };
        let event = TailEvent::Records(batch);
        self.keep_arrival(stream, &event);
        (event, written)
    }

    fn keep_arrival(&mut self, stream: &Arc<str>, event: &TailEvent) {
        match event {
            TailEvent::Records(batch) => {
                if let Some(last) = batch.records.last()
                    && let Some(arrival) = last.arrival_ms
                {
                    let shard = (Arc::clone(stream), Arc::clone(&last.shard_id));
                    self.arrivals.insert(shard, arrival);
                }
            }
            TailEvent::Drained { shard_id, .. } | TailEvent::AtEnd { shard_id } => {
                self.arrivals.remove(&(Arc::clone(stream), Arc::clone(shard_id)));
            }
            _ => {}
        }
    }

    fn exit(&self) -> Exit {
        let has_given_up = matches!(&self.sink.target, Target::Function(function) if function.has_given_up());
        match self.damaged || has_given_up {
            true => Exit::Partial,
            false => Exit::Done,
        }
    }

    fn screen(&self) -> Result<()> {
        let Some(stats) = self.sink.stats() else {
            return Ok(());
        };
        let printer = self.session.printer();
        let report = StatsReport::new(stats, self.sink.names_streams);
        printer.screen(&report.table(printer.style()))
    }

    /// Writes out a batch, of which only what was written is left.
    fn batch(&mut self, stream: &Arc<str>, batch: &mut Batch, status: &mut Option<Status>) -> Result<()> {
        let shard_id = batch.records.first().map(|first| Arc::clone(&first.shard_id));
        let before = self.shown;
        let printer = self.session.printer();
        let written = match &self.sink.target {
            Target::Stdout(_) => printer.above_progress(|| self.write(stream, batch)),
            _ => self.write(stream, batch),
        };
        if written.is_err() {
            // It is not known what was written.
            batch.records.clear();
            return written;
        }
        let count = self.shown - before;
        if let (Some(status), Some(shard_id)) = (status, shard_id) {
            status.read(&shard_id, count, batch.behind_ms);
        }
        Ok(())
    }

    /// Invokes the function with the records of a batch that are chosen. Only records that need not be read again are left.
    async fn invoke(
        &mut self,
        stream: &Arc<str>,
        batch: &mut Batch,
        input: &mut Input,
        status: &mut Option<Status>,
    ) -> Result<()> {
        let shard_id = batch.records.first().map(|first| Arc::clone(&first.shard_id));
        let chosen = match self.chosen(batch) {
            Ok(chosen) => chosen,
            Err(error) => {
                batch.records.clear();
                return Err(error);
            }
        };
        let records: Vec<TailRecord> = chosen.iter().map(|at| batch.records[*at].clone()).collect();
        let Target::Function(function) = &mut self.sink.target else {
            return Ok(());
        };
        let (done, ended) = tokio::select! {
            ended = function.invoke(self.session, stream, records) => ended,
            () = input.hold() => (0, Ok(())),
        };
        self.shown += done as u64;
        self.left = self.left.map(|left| left.saturating_sub(done as u64));
        if let Some(next) = chosen.get(done) {
            batch.records.truncate(*next);
        }
        if let (Some(status), Some(shard_id)) = (status, shard_id) {
            status.read(&shard_id, done as u64, batch.behind_ms);
        }
        ended
    }

    /// Which records of a batch the function is to receive. Those after the last that is asked for are dropped.
    fn chosen(&mut self, batch: &mut Batch) -> Result<Vec<usize>> {
        let Self {
            decode, filter, left, ..
        } = self;
        let most = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let mut chosen = Vec::new();
        for (index, record) in batch.records.iter().enumerate() {
            if chosen.len() == most {
                batch.records.truncate(index);
                break;
            }
            let mut has_any = false;
            // A part of the record is enough: the function receives what the stream has.
            decode.items(record, &mut |item| {
                has_any |= filter.has(item);
                Ok(true)
            })?;
            if has_any {
                chosen.push(index);
            }
        }
        Ok(chosen)
    }

    fn write(&mut self, stream: &Arc<str>, batch: &mut Batch) -> Result<()> {
        let Self {
            session,
            sink,
            decode,
            filter,
            left,
            shown,
            undecoded,
            ..
        } = self;
        let mut whole = 0;
        for record in &batch.records {
            let is_whole = decode.items(record, &mut |item| {
                // Of a record with more parts than are to be shown, the checkpoint is before it.
                if *left == Some(0) {
                    return Ok(false);
                }
                if !filter.has(item) {
                    return Ok(true);
                }
                if let Some(fault) = &item.fault {
                    if undecoded.count == 0 {
                        undecoded.first.clone_from(fault);
                    }
                    undecoded.count += 1;
                }
                *shown += 1;
                *left = left.map(|left| left - 1);
                sink.write(session.printer(), stream, item, *shown).map(|()| true)
            })?;
            if !is_whole {
                break;
            }
            whole += 1;
        }
        batch.records.truncate(whole);
        sink.flush()
    }

    fn note(&mut self, event: &TailEvent, status: &mut Option<Status>) {
        if let (
            Some(status),
            TailEvent::Drained { shard_id, .. }
            | TailEvent::AtEnd { shard_id }
            | TailEvent::Gone { shard_id }
            | TailEvent::Released { shard_id },
        ) = (status.as_mut(), event)
        {
            status.ended(shard_id);
        }
        if let Some(text) = self.text(event, status.is_some()) {
            self.session.printer().note(&text);
        }
    }

    /// What to say about an event, if anything.
    fn text(&mut self, event: &TailEvent, has_status: bool) -> Option<String> {
        match event {
            TailEvent::Records(_) | TailEvent::UpTo { .. } | TailEvent::AtEnd { .. } => None,
            // The status line says it.
            TailEvent::Started => (self.waiting && !has_status).then(|| WAITING.to_owned()),
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
            true => format!(
                "{shard_id}: the consumer has another subscription, of an earlier or another reader; trying again until it \
                 can be taken over"
            ),
            false => {
                format!("{shard_id} is at its limit of 5 reads a second for all readers: reading more slowly")
            }
        })
    }

    fn count(&self) -> String {
        counted(self.shown, "record")
    }
}
