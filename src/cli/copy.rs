//! `streamctl copy`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::shared::Session;
use super::shared::duration::{SECONDS, length};
use super::shared::sending::{Recipient, waiting_for};
use super::shared::stream::or_whereabouts;
use crate::ui::units::{bytes, count, counted, milliseconds};
use crate::ui::{Report, Step, Style, TargetFlags, table};
use domain::consume::{KinesisShards, Start, StartRule, Tail, TailEvent, TailOptions};
use domain::context::Context;
use domain::copy::{CopyCheckpoint, CopyEnd, CopyEvent, CopySummary, StreamSink, begin, copy};
use domain::produce::{KinesisTransport, PutEnd, PutEvent, PutOptions, Unsent};
use domain::settings::{Access, DEFAULT_REGION, Settings, Source, Target};
use domain::stream::StreamReference;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// Maximum time to retry a refused record.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// Copy a stream to another stream, region or account
///
/// Records keep their data, their partition keys and, within each shard, the order in which they are read. If an ARN is
/// given, its region is used. With --checkpoint, a copy that was stopped continues where it was: what was sent of the
/// last chunk is then sent again. Kinesis does not return the explicit hash keys of records.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl copy orders orders-2
  streamctl copy orders orders --to-region eu-west-1 --checkpoint orders.json
  streamctl copy orders orders --to-profile staging --from 2h
  streamctl copy orders orders --to-local          a stream of AWS, to debug
  streamctl copy orders orders-2 --follow --checkpoint orders.json

Exit codes: 0 all copied, 1 failed, 2 bad input, 3 a part was copied,
4 target unreachable, 130 stopped with Ctrl-C.")]
pub struct CopyArgs {
    /// Stream to read, by name or ARN
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Stream to send to, by name or ARN; it must exist
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// Region of the destination
    #[arg(long, value_name = "REGION")]
    to_region: Option<String>,
    /// Profile whose credentials are used to send
    #[arg(long, value_name = "NAME")]
    to_profile: Option<String>,
    /// The destination is a stream of the local cloud
    #[arg(long, conflicts_with_all = ["to_region", "to_profile"])]
    to_local: bool,
    /// Where to start: trim, latest, 10m, a time or @EPOCH
    #[arg(long, value_name = "POSITION", default_value = "trim")]
    from: String,
    /// Continue with records as they arrive
    #[arg(long)]
    follow: bool,
    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Keep the position of the copy in this file, and continue from it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// How long to retry a refused record: 0s to 1h
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = length(SECONDS.between(Duration::ZERO, LONGEST_RETRY)))]
    retry_for: Duration,
}

pub(super) async fn run(args: CopyArgs, session: &Session) -> Result<Exit> {
    let source = StreamReference::parse(&args.source)?;
    let destination = StreamReference::parse(&args.destination)?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let start = args.from.parse::<StartRule>()?.resolve(now_ms, &[])?;
    if matches!(start, Start::Sequence { .. } | Start::Last(_)) {
        return Err(Error::usage("a copy starts at the same time in all shards")
            .hint("use --from with trim, latest, 10m, a time or @EPOCH"));
    }
    let mut options = TailOptions::new(start, now_ms);
    options.follow = args.follow;
    session.act_on(&source.clone().of_any_account())?;
    let there = session.with_settings(settings(&args, session.settings()));
    there.act_on(&destination.clone().of_any_account())?;
    let prepared = tokio::select! {
        prepared = prepare(&args, session, &there, &source, &destination, options) => prepared?,
        () = session.interrupt().wait() => {
            session.printer().warn("interrupted before anything was copied");
            return Ok(Exit::Interrupted);
        }
    };
    copied(&args, session, prepared).await
}

/// The settings of the destination.
fn settings(args: &CopyArgs, own: &Settings) -> Settings {
    if args.to_local {
        return Settings {
            target: Target::Local,
            target_source: Source::Flag("--to-local"),
            access: Access::default(),
            region: None,
            profile: None,
            ..own.clone()
        };
    }
    let mut settings = own.clone();
    if let Some(region) = &args.to_region {
        settings.region = Some(region.clone());
    }
    if let Some(profile) = &args.to_profile {
        settings.profile = Some(profile.clone());
        settings.access.credentials = domain::settings::CredentialSource::Profile;
    }
    settings
}

/// The flags that choose the destination, as far as they are not those of the source.
fn destination_flags(args: &CopyArgs, destination: &StreamReference) -> TargetFlags {
    let mut flags = TargetFlags::default();
    if args.to_local {
        flags.set("--target", "local");
        flags.set("--region", DEFAULT_REGION);
    }
    if let Some(region) = destination.region.as_ref().or(args.to_region.as_ref()) {
        flags.set("--region", region);
    }
    if let Some(profile) = &args.to_profile {
        flags.set("--profile", profile);
    }
    flags
}

/// A copy that can begin.
struct Prepared<'a> {
    /// Source and destination, with regions and accounts.
    named: (String, String),
    recipient: Recipient<'a>,
    checkpoint: CopyCheckpoint,
    tail: Tail<KinesisShards>,
}

async fn prepare<'a>(
    args: &CopyArgs,
    session: &Session,
    there: &'a Session,
    source: &StreamReference,
    destination: &StreamReference,
    options: TailOptions,
) -> Result<Prepared<'a>> {
    let from = session.context().await?;
    // The commands in a hint act where the destination is.
    let repeated = destination_flags(args, destination);
    let at_destination = |error: Error| error.map_hint(|hint| repeated.complete_all(hint).into_owned());
    let to = there.context_for_change().await.map_err(at_destination)?;
    let stream = source.address(from).await?;
    let recipient = Recipient::of(there, to, destination, args.retry_for).await;
    let recipient = recipient.map_err(at_destination)?;
    let named = (name(from, &stream).await?, name(to, &recipient.stream).await?);
    if named.0 == named.1 {
        return Err(
            Error::usage(format!("{stream} would be copied to itself")).hint("name another destination")
        );
    }
    let mut checkpoint = CopyCheckpoint::open(args.checkpoint.as_deref(), &named.0, &named.1)?;
    let tail = opened(args, session, from, &stream, options, &mut checkpoint).await?;
    session.printer().note(&format!(
        "Copying {stream} to {}, {}",
        recipient.stream,
        counted(tail.shard_count() as u64, "shard")
    ));
    Ok(Prepared {
        named,
        recipient,
        checkpoint,
        tail,
    })
}

async fn copied(args: &CopyArgs, session: &Session, prepared: Prepared<'_>) -> Result<Exit> {
    let Prepared {
        named,
        recipient,
        mut checkpoint,
        tail,
    } = prepared;
    let stop = Stop::default();
    let transport = KinesisTransport::new(recipient.context, &recipient.stream);
    let transport = transport.ignoring_keys(recipient.limits.ignores_keys);
    let mut sink = StreamSink {
        transport: Arc::new(transport),
        options: PutOptions {
            retry_for: args.retry_for,
            ..PutOptions::default()
        },
        stop: stop.clone(),
    };
    let mut follow = Follow {
        session,
        step: session.printer().progress().status(),
        retry_for: args.retry_for,
        throttled: false,
        reason: None,
    };
    let started = Instant::now();
    let mut on = |event: CopyEvent<'_>| follow.on(&event);
    let work = copy(tail, &mut sink, &mut checkpoint, args.limit, &stop, &mut on);
    let outcome = session.run_until_stopped(&stop, work).await;
    follow.step.clear();
    let (summary, end) = outcome?;
    let report = CopyReport::new(named, &summary, &end, started.elapsed());
    finish(args, session, follow, report, end)
}

/// Starts to read the source: as `options` say, or after the checkpoint.
async fn opened(
    args: &CopyArgs,
    session: &Session,
    from: &Context,
    stream: &str,
    mut options: TailOptions,
    checkpoint: &mut CopyCheckpoint,
) -> Result<Tail<KinesisShards>> {
    let shards = Arc::new(KinesisShards::new(from, stream));
    if args.checkpoint.is_some() {
        begin(checkpoint, &*shards, &options).await?;
    }
    options.progress = checkpoint.progress();
    if from.is_local() {
        options = options.local();
    }
    let mut waiting = |error: &Error| {
        let reason = error.chain().join(": ");
        session.printer().note(&format!("{reason}; trying again"));
    };
    let tail = Tail::start(shards, options, &mut waiting).await;
    or_whereabouts(from, stream, tail).await
}

/// Names a stream with its target, account and region, as far as they are known.
async fn name(context: &Context, stream: &str) -> Result<String> {
    if stream.starts_with("arn:") {
        return Ok(stream.to_owned());
    }
    let target = match context.is_local() {
        // Its port changes with each start.
        true => "local".to_owned(),
        false => context.target_name(),
    };
    let account = context.known_account().await?.unwrap_or("unknown");
    Ok(format!("{target}/{account}/{}/{stream}", context.region()))
}

/// Handles the events of a copy.
struct Follow<'a> {
    session: &'a Session,
    step: Step,
    retry_for: Duration,
    throttled: bool,
    /// Why the first record was not sent.
    reason: Option<String>,
}

impl Follow<'_> {
    fn on(&mut self, event: &CopyEvent<'_>) {
        let printer = self.session.printer();
        match event {
            CopyEvent::Copied(summary) => self.step.message(format!(
                "{} copied, {}",
                counted(summary.copied, "record"),
                bytes(summary.bytes)
            )),
            CopyEvent::Read(TailEvent::Failing { reason, .. }) => {
                printer.note(&format!("{reason}; trying again"));
            }
            CopyEvent::Read(TailEvent::Damaged { shard_id, what }) => {
                printer.warn(&format!("{shard_id}: {what}; it is not copied"));
            }
            CopyEvent::Read(TailEvent::Gone { shard_id }) => {
                printer.warn(&format!(
                    "{shard_id} has expired; its records that were not copied are lost"
                ));
            }
            CopyEvent::Read(TailEvent::Recovered { .. }) => {
                printer.note("Reading again from the last position")
            }
            CopyEvent::Sent(PutEvent::Throttled { .. }) if !std::mem::replace(&mut self.throttled, true) => {
                printer.note("The destination reached its limit: sending more slowly");
            }
            CopyEvent::Sent(PutEvent::Failing { reason, .. }) => {
                printer.note(&waiting_for(&reason.chain().join(": "), self.retry_for));
            }
            CopyEvent::Sent(PutEvent::Recovered) => printer.note("Sending again"),
            CopyEvent::Sent(PutEvent::Unsent {
                reason: Unsent::Failed(reason),
                ..
            }) => {
                self.reason.get_or_insert_with(|| reason.clone());
            }
            _ => {}
        }
    }
}

/// Prints the result and returns the exit code.
fn finish(
    args: &CopyArgs,
    session: &Session,
    follow: Follow<'_>,
    report: CopyReport,
    end: CopyEnd,
) -> Result<Exit> {
    let printer = session.printer();
    let some = report.copied > 0;
    let CopyEnd::Incomplete { missing, end } = end else {
        let interrupted = session.interrupt().is_set();
        printer.report(&report)?;
        if interrupted && let Some(path) = &args.checkpoint {
            printer.note(&format!(
                "The same command continues after the checkpoint in {}",
                path.display()
            ));
        }
        return Ok(if interrupted {
            Exit::Interrupted
        } else {
            Exit::Done
        });
    };
    if let PutEnd::Aborted(error) = end {
        if !some {
            return Err(error);
        }
        printer.error(&error);
    }
    let reason = follow
        .reason
        .map_or_else(String::new, |reason| format!(": {reason}"));
    printer.warn(&format!(
        "{} of the last chunk {} not acknowledged{reason}",
        counted(missing, "record"),
        if missing == 1 { "was" } else { "were" }
    ));
    printer.warn(match &args.checkpoint {
        Some(_) => {
            "the same command sends the last chunk again, including the records that were acknowledged"
        }
        None => "add --checkpoint, so that a copy can be continued",
    });
    printer.report(&report)?;
    Ok(if some { Exit::Partial } else { Exit::Failed })
}

/// What was copied. A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CopyReport {
    source: String,
    destination: String,
    /// `complete`, `stopped` or `incomplete`.
    end: &'static str,
    copied: u64,
    bytes: u64,
    retries: u64,
    shards_ended: u64,
    /// Places where records are missing.
    gaps: u64,
    elapsed_seconds: f64,
}

impl CopyReport {
    fn new(
        (source, destination): (String, String),
        summary: &CopySummary,
        end: &CopyEnd,
        elapsed: Duration,
    ) -> Self {
        Self {
            source,
            destination,
            end: match end {
                CopyEnd::Complete => "complete",
                CopyEnd::Stopped => "stopped",
                CopyEnd::Incomplete { .. } => "incomplete",
            },
            copied: summary.copied,
            bytes: summary.bytes,
            retries: summary.retries,
            shards_ended: summary.shards_ended,
            gaps: summary.gaps,
            elapsed_seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        }
    }
}

impl Report for CopyReport {
    fn table(&self, _style: &Style) -> String {
        let mut rows = table(["", ""]);
        for (name, value) in [
            ("From", self.source.clone()),
            ("To", self.destination.clone()),
            (
                "Copied",
                format!("{} ({})", counted(self.copied, "record"), bytes(self.bytes)),
            ),
            ("Sent again", count(self.retries)),
            ("Shards read to their end", count(self.shards_ended)),
            ("Time", milliseconds(self.elapsed_seconds * 1000.0)),
        ] {
            rows.add_row([name.to_owned(), value]);
        }
        rows.trim_fmt()
    }

    fn text(&self) -> String {
        [
            self.source.clone(),
            self.destination.clone(),
            self.end.to_owned(),
            self.copied.to_string(),
            self.bytes.to_string(),
        ]
        .join("\t")
    }
}

#[cfg(test)]
mod tests {
    use insta::{assert_json_snapshot, assert_snapshot};

    use super::*;

    #[test]
    fn a_copy_in_a_table_and_as_json() {
        let summary = CopySummary {
            copied: 12_345,
            bytes: 1_536_000,
            retries: 3,
            shards_ended: 2,
            gaps: 0,
        };
        let report = CopyReport::new(
            (
                "AWS/123456789012/us-east-1/orders".to_owned(),
                "AWS/123456789012/eu-west-1/orders".to_owned(),
            ),
            &summary,
            &CopyEnd::Complete,
            Duration::from_millis(2_345),
        );
        assert_snapshot!(report.table(&Style::plain()), @r"
        From                      AWS/123456789012/us-east-1/orders
        To                        AWS/123456789012/eu-west-1/orders
        Copied                    12,345 records (1.5 MiB)
        Sent again                3
        Shards read to their end  2
        Time                      2.3 s
        ");
        assert_snapshot!(report.text(), @"AWS/123456789012/us-east-1/orders	AWS/123456789012/eu-west-1/orders	complete	12345	1536000");
        assert_json_snapshot!(report, @r#"
        {
          "source": "AWS/123456789012/us-east-1/orders",
          "destination": "AWS/123456789012/eu-west-1/orders",
          "end": "complete",
          "copied": 12345,
          "bytes": 1536000,
          "retries": 3,
          "shards_ended": 2,
          "gaps": 0,
          "elapsed_seconds": 2.345
        }
        "#);
    }
}
