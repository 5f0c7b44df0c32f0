//! `streamctl put`.

mod failed;
mod input;
mod report;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::shared::duration::{SECONDS, length};
use super::shared::stream::or_whereabouts;
use super::shared::template::PartArgs;
use super::shared::{Session, StreamArg};
use crate::ui::Step;
use domain::context::Context;
use domain::pipeline::{Draft, SampleEvents};
use domain::produce::{
    KinesisTransport, PutEnd, PutEvent, PutOptions, PutResult, StreamLimits, Unsent, feed, put,
};
use domain::record::{InputFormat, KeyRule, ReadOptions};
use domain::stream::StreamReference;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

use failed::Unacknowledged;
use input::{Checked, PutInput};
use report::{DryRunReport, PutReport, sentence};

/// Maximum time to retry a refused record.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// The short and the long help end with the same examples.
macro_rules! examples {
    () => {
        "\
Examples:
  streamctl put --file records.json
  streamctl put --file events.ndjson --partition-key-field user.id
  streamctl put --pipeline concert --file events.json
  tail -f app.log | streamctl put --format lines
  streamctl put --data '{\"temperature\": 21.5}' --partition-key sensor-1
  streamctl put --file records.json --dry-run"
    };
}

/// Send records from a file, a pipe or the command line
///
/// A file is checked completely before the first record is sent. Records that the stream refuses are sent again, by
/// default for a minute. Records that still fail are written to a file that `put --file` reads. This file is created before
/// the first record is sent, and removed if it stays empty. Delivery is at least once, and the order is not guaranteed.
#[derive(Debug, Args)]
#[command(after_help = examples!())]
#[command(after_long_help = concat!("\
Formats, detected from the first record:
  a JSON array   each element is a record
  JSON values    one on each line (NDJSON) or pretty-printed, each a record
  put-records    the input of `aws kinesis put-records`:
                 [{\"Data\": base64, \"PartitionKey\": …}, …], alone, in
                 {\"Records\": …}, or one entry on each line; Data is decoded
The text of a JSON value is sent byte for byte.
For lines of any other text: --format lines.

Partition keys: random unless --partition-key, --partition-key-field or
--pipeline is given, so that shards fill evenly. put-records entries have
their own.

Exit codes: 0 all sent, 1 none sent, 2 bad input (nothing sent), 3 some not
sent (the report names them), 4 target unreachable, 130 interrupted.

", examples!()))]
pub struct PutArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// File of records; `-` reads stdin, as a pipe without --file does
    #[arg(short, long, value_name = "FILE", conflicts_with = "data")]
    file: Option<String>,
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
    /// Partition key of every record
    #[arg(long, value_name = "KEY", conflicts_with = "partition_key_field")]
    partition_key: Option<String>,
    /// Take each record's partition key from this field, such as user.id
    #[arg(long, value_name = "PATH")]
    partition_key_field: Option<String>,
    /// Take partition keys as this template does, and its stream unless --stream is given
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["partition_key", "partition_key_field"])]
    pipeline: Option<String>,
    /// File for the records that failed [default: FILE.failed.ndjson]
    #[arg(long, value_name = "FILE")]
    failed_file: Option<std::path::PathBuf>,
    /// Skip the first N records, which an earlier run has read
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        conflicts_with = "data"
    )]
    skip: u64,
    /// Requests in flight at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
    /// How long to retry a refused record: 0s to 1h
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = length(SECONDS.between(Duration::ZERO, LONGEST_RETRY)))]
    retry_for: Duration,
    /// Check the input and show what would be sent, without a call to AWS
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    /// Detected from the first record
    Auto,
    /// One JSON array
    Array,
    /// JSON values, one on each line or pretty-printed
    Values,
    /// The AWS CLI's put-records shape
    PutRecords,
    /// Each line is a record
    Lines,
}

impl From<FormatArg> for InputFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Auto => Self::Auto,
            FormatArg::Array => Self::Array,
            FormatArg::Values => Self::Values,
            FormatArg::PutRecords => Self::PutRecords,
            FormatArg::Lines => Self::Lines,
        }
    }
}

pub(super) async fn run(args: PutArgs, session: &Session) -> Result<Exit> {
    let (reference, key) = destination(&args, session)?;
    let input = PutInput::choose(args.file.as_deref(), args.data.clone())?;
    let mut options = ReadOptions {
        format: args.format.into(),
        key,
        skip: args.skip,
        ..ReadOptions::default()
    };
    if args.dry_run {
        let report = DryRunReport::read(&reference.name, &input, &options).await?;
        session.printer().report(&report)?;
        return Ok(Exit::Done);
    }
    // The file for failed records may have to hold the only copy of one: without it, nothing is sent.
    let mut failed = Unacknowledged::open(&input, args.failed_file.clone())?;
    let prepared = tokio::select! {
        prepared = prepare(&args, session, &reference, &input, &mut options) => prepared?,
        () = session.interrupt().wait() => {
            session.printer().warn("interrupted before anything was sent");
            return Ok(Exit::Interrupted);
        }
    };
    let (checked, context, stream) = prepared;
    let transport = Arc::new(KinesisTransport::new(context.kinesis_once(), &stream));
    let put_options = PutOptions {
        in_flight: usize::from(args.in_flight),
        retry_for: args.retry_for,
        ..PutOptions::default()
    };
    let _held = session.interrupt().hold();
    let records = feed(input.open(&options)?);
    let step = session
        .printer()
        .progress()
        .bytes(&stream, checked.map(|checked| checked.bytes));
    let mut follow = Follow::new(session, step, &mut failed);
    let unkept = follow.unkept.clone();
    let stop = async {
        tokio::select! {
            () = session.interrupt().wait() => {}
            () = unkept.wait() => {}
        }
    };
    let mut outcome = put(records, transport, &put_options, stop, &mut |event| {
        follow.on(event)
    })
    .await;
    follow.end();
    if let (PutEnd::Interrupted | PutEnd::Complete, Some(error)) = (&outcome.end, failed.failure(&input)) {
        outcome.end = PutEnd::Aborted(error);
    }
    // The suggested command must name the same stream.
    let named = (args.stream.is_named() || args.pipeline.is_some()).then_some(stream.as_str());
    finish(session, &stream, named, &input, outcome, failed)
}

/// Checks the input, and then against the limits of the stream. Returns how calls name the stream.
async fn prepare<'s>(
    args: &PutArgs,
    session: &'s Session,
    reference: &StreamReference,
    input: &PutInput,
    options: &mut ReadOptions,
) -> Result<(Option<Checked>, &'s Context, String)> {
    // A bad file is reported before the first call.
    let checked = input.check(options, session.printer().progress()).await?;
    let context = session.context_for_change().await?;
    let stream = reference.address(context).await?;
    let mut waiting = |reason: String| {
        let reason = format!("{stream} could not be described: {reason}");
        session.printer().note(&waiting_for(&reason, args.retry_for));
    };
    let limits = StreamLimits::of(context.kinesis(), &stream, args.retry_for, &mut waiting).await;
    let limits = or_whereabouts(context, &stream, limits).await?;
    options.max_record_bytes = limits.max_record_bytes;
    if let Some(checked) = &checked {
        checked.fits(options.max_record_bytes, input)?;
    }
    Ok((checked, context, stream))
}

/// Handles the events of a run.
struct Follow<'a> {
    session: &'a Session,
    step: Step,
    failed: &'a mut Unacknowledged,
    /// Set once a record could not be kept: nothing more is read, so that no others are lost.
    unkept: Stop,
    /// No record was acknowledged yet.
    untouched: bool,
    throttled: bool,
}

impl<'a> Follow<'a> {
    fn new(session: &'a Session, step: Step, failed: &'a mut Unacknowledged) -> Self {
        Self {
            session,
            step,
            failed,
            unkept: Stop::default(),
            untouched: true,
            throttled: false,
        }
    }

    fn on(&mut self, event: PutEvent<'_>) {
        match event {
            PutEvent::Progress(summary) => {
                self.untouched = summary.acknowledged == 0;
                self.step.position(summary.bytes);
                self.step.message(match summary.retries {
                    0 => format!("{} sent", summary.acknowledged),
                    retries => format!("{} sent, {retries} sent again", summary.acknowledged),
                });
            }
            PutEvent::Throttled { .. } => self.throttled = true,
            PutEvent::Failing { reason, retry_for } => {
                let reason = reason.chain().join(": ");
                self.session.printer().note(&waiting_for(&reason, retry_for));
            }
            PutEvent::Recovered => self.session.printer().note("Sending again"),
            PutEvent::Unsent { record, reason } => {
                if !self.failed.keep(record, reason, self.untouched) {
                    self.unkept.set();
                }
            }
        }
    }

    fn end(self) {
        self.step.clear();
        if self.throttled {
            self.session.printer().note(
                "The stream reached its limit at times. More shards or on-demand mode allow more records a second",
            );
        }
    }
}

/// The stream, and where partition keys come from.
fn destination(args: &PutArgs, session: &Session) -> Result<(StreamReference, KeyRule)> {
    let Some(template) = &args.pipeline else {
        return Ok((args.stream.resolve_shared(session)?, key_rule(args)));
    };
    let (manifest, request) = PartArgs::default().request(session, template, false)?;
    let key = manifest.events.as_ref().map(SampleEvents::key_rule);
    let key = key.filter(|rule| *rule != KeyRule::Random).ok_or_else(|| {
        Error::usage(format!("the template {template} has no rule for partition keys"))
            .hint("give --partition-key-field, or leave out --pipeline for random keys")
    })?;
    let stream = match args.stream.is_named() {
        true => None,
        false => Draft::new(manifest, request)?.stream_name(),
    };
    let reference = match stream {
        Some(name) => StreamReference::parse(&name)?,
        None => args.stream.resolve_shared(session)?,
    };
    Ok((reference, key))
}

fn waiting_for(reason: &str, retry_for: Duration) -> String {
    format!(
        "{reason}; trying again for {}",
        ground::duration::format(retry_for)
    )
}

fn key_rule(args: &PutArgs) -> KeyRule {
    match (&args.partition_key, &args.partition_key_field) {
        (Some(key), _) => KeyRule::Constant(key.clone()),
        (None, Some(path)) => KeyRule::field(path),
        (None, None) => KeyRule::Random,
    }
}

/// Prints the result and returns the exit code.
fn finish(
    session: &Session,
    stream: &str,
    named: Option<&str>,
    input: &PutInput,
    outcome: PutResult,
    failed: Unacknowledged,
) -> Result<Exit> {
    let PutResult {
        summary,
        end,
        input_ended,
    } = outcome;
    let printer = session.printer();
    let kept = failed.close();
    let some = summary.acknowledged > 0;
    match end {
        // Nothing was sent: the error is enough.
        PutEnd::Aborted(error) if !some && kept.records + kept.lost == 0 => return Err(error),
        PutEnd::BadInput(error) if summary.read == 0 => return Err(error.into_error(&input.name())),
        _ => {}
    }
    printer.note(&sentence(stream, &summary));
    for line in kept.lines(&summary, named) {
        printer.warn(&line);
    }
    printer.report(&PutReport::new(stream, &summary, &end, &kept))?;
    // Suggest --skip only if something was sent.
    let begun = some || kept.records + kept.lost > 0;
    let rest = input.rest(&summary, input_ended).filter(|_| begun);
    let missing = summary.failed + summary.stopped;
    Ok(match end {
        PutEnd::Interrupted => {
            if let Some(rest) = &rest {
                printer.warn(rest);
            }
            Exit::Interrupted
        }
        PutEnd::BadInput(error) => {
            printer.error(&error.into_error(&input.name()));
            if let Some(rest) = &rest {
                printer.warn(rest);
            }
            Exit::Partial
        }
        PutEnd::Aborted(error) => {
            printer.error(&error);
            if let Some(rest) = &rest {
                printer.warn(rest);
            }
            if some { Exit::Partial } else { error.exit() }
        }
        PutEnd::Complete if missing == 0 => Exit::Done,
        PutEnd::Complete if some => Exit::Partial,
        PutEnd::Complete => Exit::Failed,
    })
}

/// Whether the record failed, as opposed to not being sent.
fn is_failure(reason: &Unsent) -> bool {
    matches!(reason, Unsent::Failed(_))
}
