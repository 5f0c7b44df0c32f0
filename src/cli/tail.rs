//! `streamctl tail`.

mod line;

use std::collections::HashSet;
use std::sync::Arc;

use clap::Args;

use super::shared::stream::or_whereabouts;
use super::shared::{Session, StreamArg};
use crate::ui::{Format, no_csv};
use domain::consume::{Batch, KinesisShards, Start, StartRule, Tail, TailEvent, TailOptions};
use domain::stream::shards::full_shard_id;
use ground::error::{Error, Result};
use ground::exit::Exit;

use line::LineFormat;

/// The short and the long help end with the same examples.
macro_rules! examples {
    () => {
        "\
Examples:
  streamctl tail
  streamctl tail --from trim -n 10
  streamctl tail --from 10m --no-follow -o json | jq .data
  streamctl tail --from seq:3:NUMBER -n 1      one record of shard 3"
    };
}

/// Read records as they arrive, or from an earlier position
///
/// Reads all shards, and each record once: in order within a shard, and parents before children after a reshard.
#[derive(Debug, Args)]
#[command(after_help = examples!())]
#[command(after_long_help = concat!("\
Where to start (--from):
  latest                      records that arrive from now on
  trim                        the oldest record
  90s, 10m, 1h30m, 2d         this long ago
  2026-11-21T10:00:00Z        a time, in UTC unless it has a zone
  @1795255200                 Unix time in seconds, or in ms (12 digits or more)
  seq:SHARD:NUMBER            a record of one shard; seq:NUMBER with --shard

Output:
  (none)    one line for each record: arrival (UTC), shard, partition key,
            data. Control characters are escaped; binary data is shown as
            base64:…
  -o json   one JSON object for each record: shard_id, sequence_number,
            approximate_arrival_timestamp, partition_key, encryption_type (if
            encrypted), and data (text) or data_base64 (anything else)
  -o text   the bytes of each record and a line end

Exit codes: 0 done, 1 failed, 4 target unreachable, 130 stopped with Ctrl-C.

", examples!()))]
pub struct TailArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Where to start: latest, trim, 10m, a time, @EPOCH or seq:SHARD:NUMBER
    #[arg(long, value_name = "POSITION", default_value = "latest")]
    from: String,
    /// Read only this shard, by id or number (repeatable)
    #[arg(long, value_name = "ID")]
    shard: Vec<String>,
    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Stop at the end of the stream as it is now
    #[arg(long)]
    no_follow: bool,
}

pub(super) async fn run(args: TailArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.resolve_shared(session)?;
    let format = match session.printer().format() {
        Format::Table => LineFormat::People,
        Format::Json => LineFormat::Json,
        Format::Text => LineFormat::Raw,
        Format::Csv => return Err(no_csv()),
        Format::Yaml => {
            return Err(
                Error::usage("tail does not write YAML").hint("use -o json, -o text, or no -o at all")
            );
        }
    };
    let shards = shard_ids(&args.shard)?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let start = args.from.parse::<StartRule>()?.resolve(now_ms, &shards)?;
    let context = session.context().await?;
    let stream = stream.address(context).await?;
    let mut options = TailOptions::new(start, now_ms);
    if context.is_local() {
        options = options.local();
    }
    options.shards = shards;
    options.follow = !args.no_follow;
    let from_latest = options.start == Start::Latest;
    let source = Arc::new(KinesisShards::new(context.kinesis_once(), &stream));
    let mut waiting = |error: &Error| {
        let reason = error.chain().join(": ");
        session.printer().note(&format!("{reason}; trying again"));
    };
    let tail = tokio::select! {
        tail = Tail::start(source, options, &mut waiting) => tail,
        () = session.interrupt().wait() => return Ok(Exit::Interrupted),
    };
    let tail = or_whereabouts(context, &stream, tail).await?;
    session.printer().note(&format!(
        "Reading {stream} from {}, {} shard{}",
        args.from,
        tail.shard_count(),
        if tail.shard_count() == 1 { "" } else { "s" }
    ));
    let mut show = Show {
        session,
        format,
        waiting: from_latest && !args.no_follow,
        left: args.limit,
        shown: 0,
        throttled: HashSet::new(),
        failing: HashSet::new(),
    };
    show.all(tail).await
}

fn shard_ids(named: &[String]) -> Result<Vec<String>> {
    let mut ids = named
        .iter()
        .map(|text| {
            full_shard_id(text).ok_or_else(|| {
                Error::usage(format!("{text:?} is not a shard id"))
                    .hint("use shardId-000000000003, or just 3")
            })
        })
        .collect::<Result<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

struct Show<'a> {
    session: &'a Session,
    format: LineFormat,
    /// Whether to print that the tail waits for new records.
    waiting: bool,
    /// Records still to be shown; `None` for all.
    left: Option<u64>,
    shown: u64,
    /// Shards whose throttling was reported: it is reported once.
    throttled: HashSet<Arc<str>>,
    /// Shards that cannot be read at the moment. Only the first failure and the last recovery are reported.
    failing: HashSet<Arc<str>>,
}

impl Show<'_> {
    async fn all(&mut self, mut tail: Tail<KinesisShards>) -> Result<Exit> {
        let printer = self.session.printer();
        let interrupt = self.session.interrupt();
        loop {
            let event = tokio::select! {
                biased;
                () = interrupt.wait() => {
                    printer.flush()?;
                    printer.note(&format!("Stopped after {}", self.count()));
                    return Ok(Exit::Interrupted);
                }
                event = tail.next() => event,
            };
            match event.transpose()? {
                Some(TailEvent::Records(batch)) => {
                    if self.batch(batch)? {
                        return Ok(Exit::Done);
                    }
                }
                Some(event) => self.note(&event),
                None => {
                    printer.note(&format!("Read to the end: {}", self.count()));
                    return Ok(Exit::Done);
                }
            }
        }
    }

    /// Prints a batch; `true` when enough was printed.
    fn batch(&mut self, batch: Batch) -> Result<bool> {
        let printer = self.session.printer();
        for record in &batch.records {
            self.format.write(printer, record)?;
            self.shown += 1;
            if let Some(left) = &mut self.left {
                *left -= 1;
                if *left == 0 {
                    printer.flush()?;
                    return Ok(true);
                }
            }
        }
        printer.flush()?;
        Ok(false)
    }

    fn note(&mut self, event: &TailEvent) {
        let text = match event {
            TailEvent::Records(_) => return,
            TailEvent::Started if self.waiting => {
                "Waiting for new records (--from trim shows the existing ones; Ctrl-C stops)".to_owned()
            }
            TailEvent::Started => return,
            TailEvent::Drained {
                shard_id,
                children,
                followed,
            } if children.len() == followed.len() => {
                if children.is_empty() {
                    return;
                }
                format!(
                    "{shard_id} is closed and read to its end; it continues in {}",
                    children.join(", ")
                )
            }
            TailEvent::Drained { .. } => return,
            TailEvent::Throttled { shard_id } if !self.throttled.insert(Arc::clone(shard_id)) => return,
            TailEvent::Throttled { shard_id } => {
                format!("{shard_id} is at its limit of 5 reads a second for all readers: reading more slowly")
            }
            TailEvent::Failing { shard_id, reason } => {
                let first = self.failing.is_empty();
                self.failing.insert(Arc::clone(shard_id));
                if !first {
                    return;
                }
                format!("{reason}; trying again")
            }
            TailEvent::Recovered { shard_id } => {
                self.failing.remove(shard_id);
                if !self.failing.is_empty() {
                    return;
                }
                "Reading again from the last position".to_owned()
            }
            TailEvent::Expired { shard_id } => {
                format!("{shard_id}: the iterator expired; reading on from the last position")
            }
        };
        self.session.printer().note(&text);
    }

    fn count(&self) -> String {
        match self.shown {
            1 => "1 record".to_owned(),
            count => format!("{count} records"),
        }
    }
}
