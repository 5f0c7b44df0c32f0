//! `streamctl tail`.
//!
//! Resolves where and how to read; [`show`] writes out what is read.

mod files;
pub(super) mod invoke;
mod line;
mod output;
mod pattern;
mod show;
mod sink;
pub(super) mod stats;
mod status;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::shared::change::{existing, watched};
use super::shared::duration::{SECONDS, length};
use super::shared::stream::{arn_of, or_whereabouts};
use super::shared::{Session, StreamFlag};
use domain::consume::checkpoint::CheckpointFile;
use domain::consume::decode::Decode;
use domain::consume::filter::Filter;
use domain::consume::group::{Member, MemberOptions, Table, check_name};
use domain::consume::{
    ArrivalRange, KinesisShards, Limit, Merge, Progress, Reader, Span, Start, StartRule, Tail, TailOptions,
    Until, UntilRule, fan_out,
};
use domain::context::Context;
use domain::stream::StreamReference;
use domain::stream::consumers::{check_consumer_name, consumer};
use domain::stream::shards::full_shard_id;
use ground::duration::{Parser, Unit};
use ground::error::{Error, Result};
use ground::exit::Exit;

use invoke::InvokeArgs;
use output::{ContentArgs, OutputArgs};
use show::{Input, Show};
use sink::{Sink, Target};

/// A delay of the order of records.
const DELAY: Parser =
    Parser::whole(Unit::Millisecond).between(Duration::from_millis(10), Duration::from_secs(60));
const LEASE_TIME: Parser = SECONDS.between(Duration::from_secs(1), Duration::from_secs(300));

/// The short and the long help end with the same examples.
macro_rules! examples {
    () => {
        "\
Examples:
  streamctl tail
  streamctl tail --from trim -n 10
  streamctl tail --from 10m --no-follow -o json | jq .data
  streamctl tail --from @-2h:-1h --key user-7      an hour of one key
  streamctl tail --from seq:3:NUMBER -n 1          one record of shard 3
  streamctl tail orders payments --merge           two streams, by arrival
  streamctl tail --checkpoint orders.checkpoint    resume where it was
  streamctl tail --filter '.user.id == 7' --exclude heartbeat
  streamctl tail --from 1h --no-follow --stats
  streamctl tail --format '%t %s %k %v\\n'          a text for each record
  streamctl tail --from trim --no-follow -o raw > orders.data
  streamctl tail --out-dir orders --checkpoint orders.checkpoint
  streamctl tail --from 1h --no-follow --invoke-local ./bootstrap"
    };
}

/// Read records as they arrive, or from an earlier position
///
/// Reads all shards, and each record once: in order within a shard, and parents before children after a reshard.
#[derive(Debug, Args)]
#[command(after_help = examples!())]
#[command(after_long_help = concat!("\
Where to start (--from):
  latest, end, LATEST         records that arrive from now on
  trim, start, TRIM_HORIZON   the oldest record
  90s, 10m, 1h30m, 2d         this long ago; also -10m
  2026-11-21T10:00:00Z        a time, in UTC unless it has a zone
  @1795255200                 Unix time in seconds, or in ms (12 digits or more)
  seq:SHARD:NUMBER            a record of one shard; seq:NUMBER with --shard
  -5                          the last five records of each open shard
  @-48h:-24h, @TIME:1h        a range: start and end, or start and length
  @:-1h, :end                 from the oldest record to an hour ago, or to now
Where to end (--until):
  end                         the records that exist now, like --no-follow
  10m, 2026-11-21T10:00:00Z   before records that arrive at this time or later
  +10m                        ten minutes from now
  seq:SHARD:NUMBER            after this record; reads only its shard
Which times to show (--where, repeatable): a range as in --from, or one time for
all from then on. Without --from, reading starts where the first range starts;
it stops where the last one ends.

Output (-o):
  (none)    one line for each record: arrival, shard, partition key, data.
            Control characters are escaped; binary data is shown as base64:…
  json      one JSON object for each record: stream (if several), shard_id,
            sequence_number, approximate_arrival_timestamp, partition_key,
            encryption_type (if encrypted), and data (text) or data_base64
            (anything else); with --json-data, data that is a JSON object or
            array is written as such
  text      the bytes of each record and a line end
  raw       the bytes of each record, and nothing else
Tokens of --format; nothing is added, so most formats end with \\n:
  %t  arrival           %T  arrival, in ms since 1970     %S  stream
  %s  shard             %p  number of the shard           %o  sequence number
  %k  partition key     %K  its length in bytes           %i  number of the
  %v  data              %V  its length in bytes               record, from 1
  %b  data in base64    %x  data in hexadecimal           %%  a percent sign
  %u  sub-sequence number in an aggregated record
  %R  length of the data, 4 bytes with the most significant first
  %{user.id}  a field of JSON data, or - if it has none; also %{/user/id}
Escapes of --format and --separator: \\n \\r \\t \\0 \\\\ \\xNN
--out-dir writes STREAM-SHARD-NUMBER files, as `put --replay DIR` reads them.

--decode auto splits aggregated records (KPL), decompresses gzip and zstd, also
in base64, and takes the messages out of what CloudWatch Logs sends. Steps are
base64, gzip, zstd and cloudwatch-logs; aggregated records are split first. What
cannot be decoded is shown as it is, with the reason.
--filter: the data is `.`: JSON as a JSON value, other text as a string. The
variables are $key, $shard, $seq (sequence number) and $time (arrival, in
seconds since 1970). A value that is neither false nor null shows the record.

Checkpoints: what was written out is not read again. --checkpoint keeps the
position of each shard in a file. --group shares the shards with other tails of
the same group, by leases in a DynamoDB table of that name, in the form of the
Kinesis Client Library. --from applies only to the first start.

--invoke-local runs a function on this machine with the records, in place of
writing them. The function receives what --from, --until, --filter and the other
options choose, and a checkpoint is after the last record that it has processed.
A batch that fails is tried again, then the command ends (exit 1), or continues
if --failed-file takes its records. `attach --local` uses the settings of a
mapping, and does not end. Each invocation is shown as a line: with -o json
shard_id, records, first_sequence_number, last_sequence_number, processed,
duration_ms, and response (response_text if it is no JSON) or error; with
-o text the response.

Exit codes: 0 done, 1 failed, 3 a record could not be decoded or processed and
was left out, 4 target unreachable, 130 stopped with Ctrl-C.

", examples!()))]
pub struct TailArgs {
    /// Streams, by name or ARN [default: STREAMCTL_STREAM, AWS_KINESIS_STREAM_NAME, streamctl.toml, concert-data-stream]
    #[arg(id = "word", value_name = "STREAM", conflicts_with = "stream")]
    streams: Vec<String>,
    #[command(flatten)]
    flag: StreamFlag,
    /// Where to start: latest, trim, 10m, a time, @EPOCH, seq:SHARD:NUMBER, -N [default: latest, or where --where starts]
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    from: Option<String>,
    /// Where to end: end, 10m, +10m, a time, @EPOCH or seq:SHARD:NUMBER
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    until: Option<String>,
    /// Read only this shard, by id or number (repeatable)
    #[arg(long, value_name = "ID")]
    shard: Vec<String>,
    /// Read only records with this partition key, from its shards
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Stop after this many records
    #[arg(short = 'n', long, alias = "limit", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop at the end of the stream as it is now
    #[arg(long, conflicts_with = "until")]
    no_follow: bool,
    /// Stop when no record has arrived for this long
    #[arg(long, value_name = "TIME", value_parser = length(SECONDS.between(Duration::from_secs(1), Duration::MAX)))]
    idle_timeout: Option<Duration>,
    /// Order records across shards by arrival, waiting for 1s or this long at most
    #[arg(
        long, value_name = "DELAY", num_args = 0..=1, require_equals = true, default_missing_value = "1s",
        value_parser = length(DELAY)
    )]
    merge: Option<Duration>,
    /// Read with enhanced fan-out, as this consumer or as a temporary one
    #[arg(long, value_name = "CONSUMER", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    fan_out: Option<String>,
    /// Keep the position of each shard in this file, and resume from it
    #[arg(long, value_name = "FILE", conflicts_with = "group")]
    checkpoint: Option<PathBuf>,
    /// Share the shards with the other tails of this group, and resume from its positions
    #[arg(long, value_name = "NAME", conflicts_with_all = ["shard", "key"])]
    group: Option<String>,
    /// Time after which the leases of a member that died are taken over
    #[arg(long, value_name = "TIME", default_value = "10s", requires = "group", value_parser = length(LEASE_TIME))]
    lease_time: Duration,
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    invoke: InvokeArgs,
}

/// What the arguments say, before anything is called.
struct Request {
    streams: Vec<StreamReference>,
    /// `None` where a function receives the records.
    sink: Option<Sink>,
    decode: Decode,
    filter: Filter,
    options: TailOptions,
    /// Where reading starts, in messages.
    from: String,
}

pub(super) async fn run(args: TailArgs, session: &Session) -> Result<Exit> {
    let request = request(&args, session)?;
    let file = match args.checkpoint.clone() {
        Some(path) => Some(session.read(move || CheckpointFile::open(&path)).await?),
        None => None,
    };
    let context = session.context().await?;
    // What is given back at the end, such as a consumer, is given back also after Ctrl-C.
    let _held = session.interrupt().hold();
    let consumers = Consumers::default();
    let shown = show_all(&args, session, context, request, file, &consumers).await;
    let removed = consumers.remove(session, context).await;
    match (shown, removed) {
        (Err(error), Err(left)) => {
            let hint = left
                .hint_text()
                .map_or_else(String::new, |hint| format!("; {hint}"));
            session
                .printer()
                .warn(&format!("{}{hint}", left.chain().join(": ")));
            Err(error)
        }
        (shown, removed) => shown.and_then(|exit| removed.map(|()| exit)),
    }
}

fn request(args: &TailArgs, session: &Session) -> Result<Request> {
    let format = session.printer().format();
    let decode = args.content.decode(&args.output, format)?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let arrived = args.content.arrived(now_ms)?;
    let filter = args.content.filter(args.key.as_deref(), &arrived)?;
    let streams = references(args, session)?;
    let shards = shard_ids(&args.shard)?;
    let arrived = ArrivalRange::around(&arrived);
    let (start, until) = places(args, arrived, now_ms, &shards)?;
    let by_number = matches!(start, Start::Sequence { .. }) || matches!(until, Some(Until::Sequence { .. }));
    if streams.len() > 1 && (by_number || !shards.is_empty() || args.group.is_some()) {
        return Err(
            Error::usage("--shard, --group and sequence numbers apply to a single stream")
                .hint("name one stream, or leave them out"),
        );
    }
    if let Some(group) = &args.group {
        check_name(group)?;
    }
    if let Some(name) = args.fan_out.as_deref().filter(|name| !name.is_empty()) {
        check_consumer_name(name)?;
    }
    if args.fan_out.is_some() && matches!(start, Start::Last(_)) {
        return Err(
            Error::usage("enhanced fan-out cannot start at a position counted from the end")
                .hint("start at a time, such as `--from 10m`"),
        );
    }
    let mut options = TailOptions::new(start, now_ms);
    options.shards = shards;
    options.key.clone_from(&args.key);
    options.splits_aggregated = decode != Decode::None;
    options.follow = !args.no_follow;
    if args.merge.is_some() {
        options = options.merged();
    }
    match until {
        None => {}
        Some(Until::Now) => options.follow = false,
        Some(Until::Timestamp(ms)) => options.until = Some(Limit::Before(ms)),
        Some(Until::Sequence { shard_id, number }) => {
            options.shards = vec![shard_id];
            options.until = Some(Limit::Through(number));
        }
    }
    // The last check: it makes the directory of --out-dir.
    let sink = match args.invoke.is_given() {
        true => args.invoke.check(format).map(|()| None)?,
        false => Some(args.output.sink(format, streams.len() > 1)?),
    };
    Ok(Request {
        streams,
        sink,
        decode,
        filter,
        options,
        from: match (&args.from, arrived) {
            (Some(from), _) => from.clone(),
            (None, None) => "latest".to_owned(),
            (None, Some(_)) => "where --where starts".to_owned(),
        },
    })
}

/// Where to start and to end; `arrived` are the arrival times that are shown.
fn places(
    args: &TailArgs,
    arrived: Option<ArrivalRange>,
    now_ms: i64,
    shards: &[String],
) -> Result<(Start, Option<Until>)> {
    let until = args.until.as_deref().map(str::parse::<UntilRule>).transpose()?;
    let from = match (&args.from, arrived) {
        (Some(from), _) => from.parse::<Span>()?,
        (None, arrived) => Span {
            from: arrived.map_or(StartRule::Latest, |arrived| arrived.start(now_ms)),
            until: None,
        },
    };
    let (start, until) = from.resolve(until, now_ms, shards)?;
    let last_ms = arrived
        .map(|arrived| arrived.until_ms)
        .filter(|ms| *ms < i64::MAX);
    let (None, false, Some(last_ms)) = (&until, args.no_follow, last_ms) else {
        return Ok((start, until));
    };
    let start_ms = match &start {
        Start::Timestamp(ms) => *ms,
        Start::Latest => now_ms,
        Start::TrimHorizon | Start::Sequence { .. } | Start::Last(_) => i64::MIN,
    };
    match start_ms > last_ms {
        true => Err(Error::usage("--where ends before --from starts")
            .hint("leave out --from: reading starts where --where starts")),
        false => Ok((start, Some(Until::Timestamp(last_ms)))),
    }
}

/// The streams, of any account but of one region.
fn references(args: &TailArgs, session: &Session) -> Result<Vec<StreamReference>> {
    let given: Vec<&str> = match (&args.flag.stream, args.streams.as_slice()) {
        (Some(stream), _) => vec![stream],
        (None, []) => vec![&session.settings().stream],
        (None, streams) => streams.iter().map(String::as_str).collect(),
    };
    let mut found: Vec<StreamReference> = Vec::new();
    for text in given {
        let reference = StreamReference::parse(text)?;
        session.act_on(&reference.clone().of_any_account())?;
        let regions = found
            .iter()
            .chain([&reference])
            .filter_map(|one| one.region.as_ref());
        let mut regions: Vec<&String> = regions.collect();
        regions.dedup();
        if regions.len() > 1 {
            return Err(
                Error::usage("the streams are in several regions").hint("run one tail for each region")
            );
        }
        if !found.contains(&reference) {
            found.push(reference);
        }
    }
    Ok(found)
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

async fn show_all(
    args: &TailArgs,
    session: &Session,
    context: &Context,
    request: Request,
    file: Option<CheckpointFile>,
    consumers: &Consumers,
) -> Result<Exit> {
    let Request {
        streams,
        sink,
        decode,
        filter,
        mut options,
        from,
    } = request;
    if context.is_local() {
        options = options.local();
    }
    let sources = sources(args, session, context, &streams, consumers).await?;
    let sink = match sink {
        Some(sink) => sink,
        None => function(args, session, context, &streams).await?,
    };
    let is_new = file
        .as_ref()
        .is_none_or(|file| sources.iter().all(|(stream, _)| file.progress(stream).is_empty()));
    let mut show = Show::new(session, sink, decode, filter);
    show.waiting = options.start == Start::Latest && options.follow && is_new;
    show.left = args.count;
    show.idle_timeout = args.idle_timeout;
    show.is_fan_out = args.fan_out.is_some();
    show.keeps_position = args.checkpoint.is_some() || args.group.is_some();
    let opened = tokio::select! {
        reader = open(args, session, context, sources, options, file) => reader,
        () = session.interrupt().wait() => return Ok(Exit::Interrupted),
    };
    let (reader, names) = opened?;
    session.printer().note(&format!(
        "Reading {names} from {}, {} shard{}",
        if is_new && args.group.is_none() {
            from.as_str()
        } else {
            "the last checkpoint"
        },
        reader.shard_count(),
        if reader.shard_count() == 1 { "" } else { "s" }
    ));
    let mut input = match args.merge {
        Some(delay) => Input::Merged(Merge::new(reader, delay)),
        None => Input::Plain(reader),
    };
    let exit = show.all(&mut input).await;
    // Others read on at once, also after an error.
    input.close().await?;
    exit
}

type Sources = Vec<(Arc<str>, Arc<KinesisShards>)>;

/// What reads each stream, by its name or ARN.
async fn sources(
    args: &TailArgs,
    session: &Session,
    context: &Context,
    streams: &[StreamReference],
    consumers: &Consumers,
) -> Result<Sources> {
    let mut sources = Vec::new();
    for stream in streams {
        let address = stream.address(context).await?;
        let mut source = KinesisShards::new(context, &address);
        if let Some(name) = &args.fan_out {
            source = source.fan_out(consumers.ensure(session, context, &address, name).await?);
        }
        sources.push((Arc::<str>::from(address), Arc::new(source)));
    }
    Ok(sources)
}

/// The function of --invoke-local, for records of `streams`.
async fn function(
    args: &TailArgs,
    session: &Session,
    context: &Context,
    streams: &[StreamReference],
) -> Result<Sink> {
    let mut named = Vec::new();
    for stream in streams {
        let address = stream.address(context).await?;
        named.push((Arc::from(address), arn_of(context, stream).await?));
    }
    let function = args.invoke.open(session, context, named).await?;
    Ok(Sink::to(Target::Function(Box::new(function))))
}

/// Starts to read. Also returns the names of the streams.
async fn open(
    args: &TailArgs,
    session: &Session,
    context: &Context,
    sources: Sources,
    options: TailOptions,
    file: Option<CheckpointFile>,
) -> Result<(Reader<KinesisShards>, String)> {
    let names: Vec<&str> = sources.iter().map(|(stream, _)| &**stream).collect();
    let names = names.join(", ");
    if let (Some(group), [(stream, source)]) = (&args.group, sources.as_slice()) {
        let table = Table::new(context, group);
        table.create().await?;
        let member = MemberOptions {
            name: fan_out::worker_name(),
            lease_time: args.lease_time,
        };
        let joined = Member::join(Arc::clone(source), Arc::new(table), options, member).await;
        let member = or_whereabouts(context, stream, joined).await?;
        return Ok((Reader::member(Arc::clone(stream), member), names));
    }
    let mut waiting = |error: &Error| {
        let reason = error.chain().join(": ");
        session.printer().note(&format!("{reason}; trying again"));
    };
    let mut tails = Vec::new();
    for (stream, source) in sources {
        let progress: HashMap<String, Progress> = file
            .as_ref()
            .map(|file| file.progress(&stream))
            .unwrap_or_default();
        let options = TailOptions {
            progress,
            ..options.clone()
        };
        let tail = Tail::start(source, options, &mut waiting).await;
        let tail = or_whereabouts(context, &stream, tail).await?;
        tails.push((stream, tail));
    }
    Ok((Reader::new(tails, file)?, names))
}

/// The consumers that this tail has registered.
#[derive(Debug, Default)]
struct Consumers(std::sync::Mutex<Vec<String>>);

impl Consumers {
    /// The ARN of the consumer `name` of `stream`, or of one of this tail's own. Registers it if it does not exist.
    async fn ensure(&self, session: &Session, context: &Context, stream: &str, name: &str) -> Result<String> {
        let state = existing(context, stream).await?;
        for left in fan_out::left_over(context, &state.arn).await? {
            session.printer().note(&format!(
                "Consumer {} is left over from a tail that was killed, and is billed; remove it with `streamctl consumer \
                 deregister {} {}`",
                left.name, state.name, left.name
            ));
        }
        let own = fan_out::own_name();
        let name = if name.is_empty() { own.as_str() } else { name };
        let known = consumer(context, &state.arn, name).await?;
        let made = watched(session, &state.name, async |changer| {
            changer.register_consumer(name).await
        })
        .await;
        // It may be registered although the wait until it is ACTIVE has ended.
        let new = match (&made, known) {
            (_, Some(_)) => None,
            (Ok(made), None) => Some(made.arn.clone()),
            (Err(_), None) => {
                let found = consumer(context, &state.arn, name).await.ok().flatten();
                found.map(|one| one.arn)
            }
        };
        let mut registered = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        registered.extend(new);
        made.map(|made| made.arn)
    }

    async fn remove(&self, session: &Session, context: &Context) -> Result<()> {
        let registered =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for arn in registered {
            fan_out::remove(context, &arn).await?;
            session
                .printer()
                .note("The consumer of this tail is deregistered");
        }
        Ok(())
    }
}
