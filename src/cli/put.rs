//! `streamctl put`.

mod input;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

use super::shared::duration::{SECONDS, length};
use super::shared::rate::{Speed, pace, speed};
use super::shared::sending::failed::Unacknowledged;
use super::shared::sending::report::DryRunReport;
use super::shared::sending::{Origin, Recipient, Sending};
use super::shared::size::aggregate_size;
use super::shared::template::PartArgs;
use super::shared::{Session, StreamArg};
use domain::dry_run::{Destination, Tally};
use domain::pipeline::{Draft, SampleEvents};
use domain::produce::{Feed, PutOptions, ResumeFile, ResumeScope, feed};
use domain::record::{
    BadRecords, FieldPath, HashKeyRule, InputReader, Inputs, KeyPattern, KeyRule, ReadOptions, RecordSource,
    Repeat,
};
use domain::schedule::{Pace, Playback, at_rate, played, recording};
use domain::stream::StreamReference;
use ground::error::{Error, Result};
use ground::exit::Exit;

use input::{BadArg, EncodingArg, FormatArg, OrderArg, on_bad_record, recorded_time, repeat};

/// Maximum time to retry a refused record.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// The short and the long help end with the same examples.
macro_rules! examples {
    () => {
        "\
Examples:
  streamctl put --file records.json
  streamctl put --file 'logs/*.ndjson.gz' --key-field /user/id
  streamctl put --pipeline concert --file events.json
  tail -f app.log | streamctl put --format lines
  streamctl put --data '{\"temperature\": 21.5}' --key sensor-1
  streamctl put --file load.ndjson --rate 500/s --repeat forever
  streamctl put --replay yesterday.ndjson --speed 10x
  streamctl put --file records.json --dry-run"
    };
}

/// Send records from files, a pipe or the command line
///
/// Files of up to 16 MiB in all are checked before the first record is sent. Of larger ones, the first 1 MiB is. Records that
/// the stream refuses are sent again, by default for a minute. Records that still fail are written to a file that
/// `put --file` reads. This file is created before the first record is sent, and removed if it stays empty. Delivery is at
/// least once. Records with the same key are stored in the order of the input, one after the other, unless
/// `--ordering none` says that any order will do.
#[derive(Debug, Args)]
#[command(after_help = examples!())]
#[command(after_long_help = concat!("\
Formats, detected from the first record or the name of the file:
  array          each element of a JSON array is a record
  ndjson         JSON values, one on each line or pretty-printed
  put-records    the input of `aws kinesis put-records`:
                 [{\"Data\": …, \"PartitionKey\": …}, …], alone, in
                 {\"Records\": …}, or one entry on each line; Data is decoded
  get-records    saved answers of `aws kinesis get-records`
  recording      what `streamctl tail -o json` wrote
  csv, tsv       rows with a header, by the name of the file (.csv, .tsv);
                 each becomes a JSON object of strings
The text of a JSON value is sent byte for byte. gzip and zstd are
decompressed.

Formats that are only used on request:
  lines              each line, byte for byte without its line feed; empty
                     lines are skipped
  whole              each file is one record, as it is
  length-delimited   each record after its length: 4 bytes, big-endian
  varint-delimited   each record after its length, a varint (protobuf)

Partition keys: those of the records (put-records, get-records, recording),
else random, so that shards fill evenly. The options for keys replace both.

Exit codes: 0 all sent, 1 none sent, 2 bad input (nothing sent), 3 some not
sent (the report names them), 4 target unreachable, 130 interrupted.

", examples!()))]
pub struct PutArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// File or quoted glob of files; `-` reads stdin, like a pipe without --file (repeatable)
    #[arg(short, long, value_name = "FILE", conflicts_with = "data")]
    file: Vec<String>,
    /// Send this text as one record
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,
    /// How the input is split into records
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "auto",
        conflicts_with = "data"
    )]
    format: FormatArg,
    /// Encoding of Data in put-records entries
    #[arg(
        long,
        value_enum,
        value_name = "ENCODING",
        default_value = "base64",
        conflicts_with = "data"
    )]
    data_encoding: EncodingArg,
    /// What to do with a record that cannot be read: fail, skip or save=FILE
    #[arg(long, value_name = "ACTION", default_value = "fail", value_parser = on_bad_record, conflicts_with = "data")]
    on_bad_record: BadArg,
    /// Partition key of every record; `random` for random keys
    #[arg(long, visible_alias = "partition-key", value_name = "KEY", group = "keys")]
    key: Option<String>,
    /// Take each record's partition key from this field or column: /user/id or user.id
    #[arg(
        long,
        visible_alias = "partition-key-field",
        value_name = "PATH",
        group = "keys"
    )]
    key_field: Option<String>,
    /// Build each record's partition key from its fields, such as '{source}_{payload.id}'
    #[arg(long, value_name = "TEMPLATE", group = "keys", value_parser = KeyPattern::parse)]
    key_template: Option<KeyPattern>,
    /// Use the partition keys of this template, and its stream unless --stream is given
    #[arg(long, value_name = "TEMPLATE", group = "keys")]
    pipeline: Option<String>,
    /// Hash key of every record, which selects the shard: 0 to 2^128 - 1
    #[arg(long, value_name = "NUMBER", conflicts_with = "explicit_hash_key_field")]
    explicit_hash_key: Option<String>,
    /// Take each record's hash key from this field or column
    #[arg(long, value_name = "PATH")]
    explicit_hash_key_field: Option<String>,
    /// Which records keep the order of the input
    #[arg(
        long,
        value_enum,
        value_name = "ORDER",
        default_value = "key",
        hide_default_value = true
    )]
    ordering: OrderArg,
    /// Aggregate records of a shard, in the format of the Kinesis Producer Library [default SIZE: 50KiB]
    #[arg(
        long,
        value_name = "SIZE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "50KiB",
        value_parser = aggregate_size
    )]
    aggregate: Option<usize>,
    /// File for the records that failed, with their reasons [default: FILE.failed.ndjson]
    #[arg(long, visible_alias = "failed-out", value_name = "FILE")]
    failed_file: Option<PathBuf>,
    /// Keep in this file how far the input was sent, and continue from there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "skip"])]
    resume: Option<PathBuf>,
    /// Skip the first N records, which an earlier run has read
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        conflicts_with = "data"
    )]
    skip: u64,
    /// Send at most N records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Send the input this many times, or forever
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true, value_parser = repeat)]
    repeat: Repeat,
    /// Send at this rate: 500/s, 10k/min or 1.5MB/s
    #[arg(long, value_name = "RATE", value_parser = pace)]
    rate: Option<Pace>,
    /// Play what `tail -o json` has recorded, with its keys, order and pace: a file or a directory
    #[arg(long, value_name = "PATH", conflicts_with_all = ["file", "data", "format", "rate", "repeat"])]
    replay: Option<String>,
    /// How fast a recording is played: 1x, 10x, 0.5x or max
    #[arg(long, value_name = "FACTOR", default_value = "1x", hide_default_value = true, value_parser = speed, requires = "replay", conflicts_with_all = ["file", "data"])]
    speed: Speed,
    /// Play records that arrived at this time or later
    #[arg(long, value_name = "TIME", value_parser = recorded_time, requires = "replay", conflicts_with_all = ["file", "data"])]
    from: Option<i64>,
    /// Play records that arrived before this time
    #[arg(long, value_name = "TIME", value_parser = recorded_time, requires = "replay", conflicts_with_all = ["file", "data"])]
    until: Option<i64>,
    /// Requests in flight at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
    /// How long to retry a refused record: 0s to 1h
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = length(SECONDS.between(Duration::ZERO, LONGEST_RETRY)))]
    retry_for: Duration,
    /// Check the input and show where records would go and what they cost; changes nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: PutArgs, session: &Session) -> Result<Exit> {
    let (reference, key) = destination(&args, session)?;
    let inputs = inputs(&args)?;
    let mut options = ReadOptions {
        format: args.format.into(),
        data_encoding: args.data_encoding.into(),
        key,
        hash_key: hash_key(&args)?,
        skip: args.skip,
        stream: Some(reference.name.clone()),
        ..ReadOptions::default()
    };
    if args.dry_run {
        return dry_run(&args, session, &reference, &inputs, options).await;
    }
    let has_chosen_keys = !matches!(options.key, None | Some(KeyRule::Random));
    let origin = Origin::of(&inputs, has_chosen_keys);
    // The file for failed records may have to hold the only copy of one: without it, nothing is sent.
    let failed = Unacknowledged::open(&origin, args.failed_file.clone())?;
    let (resume, failed) = match resume(&args, &inputs, &reference)? {
        Some(file) => {
            options.skip = file.through();
            options.done = file.beyond().into();
            (Some(file), failed.resumed_later())
        }
        None => (None, failed),
    };
    options.bad = args.on_bad_record.open()?;
    let prepared = tokio::select! {
        prepared = prepare(&args, session, &reference, &inputs, &mut options) => prepared?,
        () = session.interrupt().wait() => {
            session.printer().warn("interrupted before anything was sent");
            return Ok(Exit::Interrupted);
        }
    };
    if args.aggregate.is_some() && prepared.limits.ignores_keys {
        return Err(Error::usage(format!(
            "{} distributes records without regard to their keys, so records of a shard cannot be aggregated",
            prepared.stream
        ))
        .hint("leave out --aggregate"));
    }
    let put_options = PutOptions {
        in_flight: usize::from(args.in_flight),
        order: args.ordering.into(),
        aggregate: args.aggregate,
        retry_for: args.retry_for,
        ..PutOptions::default()
    };
    let _held = session.interrupt().hold();
    let reader = inputs.open(&options);
    // The suggested command must name the same stream.
    let is_named = args.stream.is_named() || args.pipeline.is_some();
    let sending = Sending {
        session,
        named: is_named.then(|| prepared.stream.clone()),
        recipient: prepared,
        origin,
        read: Some(reader.progress()),
        bad: options.bad,
        resume,
    };
    sending.run(scheduled(&args, reader), &put_options, failed).await
}

/// The records, when they are to be sent.
fn scheduled(args: &PutArgs, reader: InputReader) -> Feed {
    match (&args.replay, args.rate) {
        (Some(_), _) => {
            let playback = playback(args);
            played(recording(reader, playback), playback)
        }
        (None, Some(pace)) => at_rate(feed(reader), pace),
        (None, None) => feed(reader),
    }
}

/// The file of `--resume`.
fn resume(args: &PutArgs, inputs: &Inputs, stream: &StreamReference) -> Result<Option<ResumeFile>> {
    let Some(path) = &args.resume else { return Ok(None) };
    let scope = ResumeScope {
        input: inputs.identity()?,
        format: format!("{:?}", args.format).to_lowercase(),
        stream: stream.name.clone(),
    };
    ResumeFile::open(path, scope).map(Some)
}

fn playback(args: &PutArgs) -> Playback {
    Playback {
        speed: args.speed.0,
        from_ms: args.from,
        until_ms: args.until,
    }
}

fn inputs(args: &PutArgs) -> Result<Inputs> {
    let inputs = match &args.replay {
        Some(path) => Inputs::recorded(path)?,
        None => Inputs::choose(&args.file, args.data.clone(), std::io::stdin().is_terminal())?,
    };
    inputs.repeated(args.repeat, args.limit)
}

fn hash_key(args: &PutArgs) -> Result<HashKeyRule> {
    match (&args.explicit_hash_key, &args.explicit_hash_key_field) {
        (Some(key), _) => HashKeyRule::constant(key).ok_or_else(|| {
            Error::usage(format!("{key:?} is not a hash key"))
                .hint("a hash key is a whole number below 2^128, without leading zeros")
        }),
        (None, Some(path)) => Ok(HashKeyRule::Field(FieldPath::parse(path))),
        (None, None) => Ok(HashKeyRule::Own),
    }
}

/// Checks the input, and then against the limits of the stream.
async fn prepare<'s>(
    args: &PutArgs,
    session: &'s Session,
    reference: &StreamReference,
    inputs: &Inputs,
    options: &mut ReadOptions,
) -> Result<Recipient<'s>> {
    // A bad file is reported before the first call.
    let name = inputs.name();
    let (checked, check_options) = (inputs.clone(), options.clone());
    let check = tokio::task::spawn_blocking(move || checked.check(&check_options))
        .await
        .map_err(|e| Error::failed("reading the input ended unexpectedly").cause(e))?
        .map_err(|error| error.into_error(&name))?;
    let context = session.context_for_change().await?;
    let recipient = Recipient::of(session, context, reference, args.retry_for).await?;
    options.max_record_bytes = recipient.limits.max_record_bytes;
    if let Some(check) = check.filter(|_| options.bad.is_none()) {
        check
            .fits(options.max_record_bytes)
            .map_err(|error| error.into_error(&name))?;
    }
    Ok(recipient)
}

/// Reads the whole input and shows what would be sent. Where the stream cannot be described, the input is checked all the
/// same, against the default maximum of a record.
async fn dry_run(
    args: &PutArgs,
    session: &Session,
    reference: &StreamReference,
    inputs: &Inputs,
    mut options: ReadOptions,
) -> Result<Exit> {
    if args.repeat == Repeat::Forever && args.limit.is_none() {
        return Err(Error::usage("a dry run of `--repeat forever` has no end").hint("add --limit"));
    }
    let described = describe(session, reference).await;
    let destination = described.unwrap_or_else(|reason| {
        session
            .printer()
            .note(&format!("Only the input is checked: {reason}"));
        None
    });
    if let Some(destination) = &destination {
        options.max_record_bytes = destination.max_record_bytes;
    }
    let bad = Arc::new(BadRecords::skipped());
    options.bad = (!args.on_bad_record.is_fail()).then(|| Arc::clone(&bad));
    let ignores_keys = destination
        .as_ref()
        .is_some_and(|destination| destination.ignores_keys);
    let name = inputs.name();
    let tally = Arc::new(Mutex::new(Tally::new(destination)));
    let counted = Arc::clone(&tally);
    let mut reader = inputs.open(&options);
    let reading = tokio::task::spawn_blocking(move || {
        let mut tally = counted.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(record) = reader.read().map_err(|error| error.into_error(&name))? {
            tally.add(&record);
        }
        Ok::<(), Error>(())
    });
    tokio::select! {
        read = reading => read.map_err(|e| Error::failed("reading the input ended unexpectedly").cause(e))??,
        () = session.interrupt().wait() => return Ok(Exit::Interrupted),
    }
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let printer = session.printer();
    if let Some(first) = bad.first() {
        printer.warn(&format!(
            "{} bad records would be left out; the first: {first}",
            bad.count()
        ));
    }
    printer.report(&DryRunReport::new(&reference.name, &tally, bad.count()))?;
    if ignores_keys && !tally.has_random_keys() {
        printer.note(&format!(
            "{} distributes records without regard to their partition keys (AUTO)",
            reference.name
        ));
    } else if let Some(hot) = tally.hottest().filter(|_| tally.distinct_keys() != Some(1)) {
        printer.note(&super::shared::sending::report::hot_key(&hot));
    }
    Ok(Exit::Done)
}

/// The stream, if it can be described; `None` with a local cloud that does not run, which is not started for this.
async fn describe(session: &Session, reference: &StreamReference) -> Result<Option<Destination>, String> {
    let told = |error: Error| error.chain().join(": ");
    let Some(context) = session.context_if_running().await.map_err(told)? else {
        return Ok(None);
    };
    let stream = reference.address(context).await.map_err(told)?;
    Destination::of(context, &stream).await.map(Some).map_err(told)
}

/// The stream, and where partition keys come from.
fn destination(args: &PutArgs, session: &Session) -> Result<(StreamReference, Option<KeyRule>)> {
    let Some(template) = &args.pipeline else {
        return Ok((args.stream.resolve_shared(session)?, key_rule(args)));
    };
    let (manifest, request) = PartArgs::default().request(session, template, false)?;
    let key = manifest.events.as_ref().map(SampleEvents::key_rule);
    let key = key.filter(|rule| *rule != KeyRule::Random).ok_or_else(|| {
        Error::usage(format!("the template {template} has no rule for partition keys"))
            .hint("give --key-field, or leave out --pipeline for random keys")
    })?;
    let stream = match args.stream.is_named() {
        true => None,
        false => Draft::new(manifest, request)?.stream_name(),
    };
    let reference = match stream {
        Some(name) => StreamReference::parse(&name)?,
        None => args.stream.resolve_shared(session)?,
    };
    Ok((reference, Some(key)))
}

fn key_rule(args: &PutArgs) -> Option<KeyRule> {
    match (&args.key, &args.key_field, &args.key_template) {
        (Some(key), ..) if key == "random" => Some(KeyRule::Random),
        (Some(key), ..) => Some(KeyRule::Constant(key.as_str().into())),
        (_, Some(path), _) => Some(KeyRule::field(path)),
        (.., Some(pattern)) => Some(KeyRule::Patterns(vec![pattern.clone()])),
        _ => None,
    }
}
