//! `streamctl attach --local`: runs code on this machine, on the records of a stream.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::AttachArgs;
use crate::cli::shared::Session;
use crate::cli::shared::failed_file::FailedFile;
use crate::cli::shared::given_up::GivenUp;
use crate::cli::shared::stream::{arn_of, shared};
use crate::ui::units;
use domain::consume::{KinesisShards, Start, Tail, TailEvent, TailOptions};
use domain::functions::consumer::{Event, Invocation, Policy, Totals, consume};
use domain::functions::event::Source;
use domain::functions::mapping::{Settings, StartingPosition};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Runs until Ctrl-C.
pub(super) async fn run(args: &AttachArgs, code: &str, session: &Session) -> Result<Exit> {
    let refused = args.settings.unsupported_here();
    if !refused.is_empty() {
        return Err(
            Error::usage(format!("--local does not support {}", refused.join(", ")))
                .hint("leave it out, or deploy the code and attach the function"),
        );
    }
    let settings = args.settings.without_destination();
    let given = args.part.stream().unwrap_or(&session.settings().stream);
    let reference = shared(given, session)?;
    let mut failed = GivenUp::new(failed_file(args.failed_file.as_deref())?);
    let context = session.context().await?;
    let (mut code, deployed) = args
        .local
        .function(session, context, code, args.function.as_deref(), true)
        .await?;
    let stream = reference.address(context).await?;
    let source = Source {
        stream_arn: arn_of(context, &reference).await?,
        role_arn: deployed.role,
        region: context.region().to_owned(),
    };
    let mut options = TailOptions::new(start(&settings), jiff::Timestamp::now().as_millisecond());
    if context.is_local() {
        options = options.local();
    }
    let shards = Arc::new(KinesisShards::new(context, &stream));
    let printer = session.printer();
    let mut waiting = |error: &Error| printer.note(&format!("{}; trying again", error.chain().join(": ")));
    let tail = tokio::select! {
        tail = Tail::start(shards, options, &mut waiting) => tail?,
        () = session.interrupt().wait() => return Ok(Exit::Interrupted),
    };
    printer.note(&format!(
        "{} runs here on the records of {stream}; Ctrl-C stops it",
        code.function.name()
    ));
    let mut show = |event: Event<'_>| show(session, &mut failed, event);
    let stop = session.interrupt().wait();
    let totals = consume(
        tail,
        &mut code.function,
        &source,
        &policy(&settings),
        stop,
        &mut show,
    )
    .await?;
    finish(session, &stream, &totals, &failed)
}

/// # Errors
/// Exit 2 when the file cannot be created.
fn failed_file(named: Option<&Path>) -> Result<FailedFile> {
    match named {
        Some(path) => FailedFile::named(path),
        None => {
            let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
            FailedFile::first_of(&[PathBuf::from(format!("attach-failed-{now}.ndjson"))])
        }
    }
}

fn start(settings: &Settings) -> Start {
    match settings.starting_position {
        None | Some(StartingPosition::Latest) => Start::Latest,
        Some(StartingPosition::TrimHorizon) => Start::TrimHorizon,
        Some(StartingPosition::At(ms)) => Start::Timestamp(ms),
    }
}

/// The settings were checked before: values out of range do not occur.
fn policy(settings: &Settings) -> Policy {
    let seconds = |value: i64| u64::try_from(value).ok().map(Duration::from_secs);
    Policy {
        batch_size: settings
            .batch_size
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(100),
        window: settings.window_seconds.and_then(seconds).unwrap_or_default(),
        retries: settings.retries.and_then(|retries| u32::try_from(retries).ok()),
        max_age: settings.max_record_age_seconds.and_then(seconds),
        bisect: settings.bisect.unwrap_or(false),
        partial_failures: settings.partial_failures.unwrap_or(true),
    }
}

fn show(session: &Session, failed: &mut GivenUp, event: Event<'_>) -> Result<()> {
    let printer = session.printer();
    match event {
        Event::Invoked(Invocation { processed: 0, .. }) => {}
        Event::Invoked(one) => printer.note(&format!(
            "{}: {} in {}",
            one.shard_id,
            counted(one.processed as u64),
            units::milliseconds(one.took.as_secs_f64() * 1000.0)
        )),
        Event::Failed {
            shard_id,
            reason,
            next,
        } => printer.warn(&format!("{shard_id}: {reason}; {next}")),
        Event::GivenUp { records, reason } => {
            failed.keep(records)?;
            printer.warn(&format!("{} given up: {reason}", counted(records.len() as u64)));
        }
        Event::Tail(TailEvent::Failing { reason, .. }) => printer.note(&format!("{reason}; trying again")),
        Event::Tail(_) => {}
    }
    Ok(())
}

fn finish(session: &Session, stream: &str, totals: &Totals, failed: &GivenUp) -> Result<Exit> {
    let printer = session.printer();
    printer.note(&format!(
        "{} processed in {}",
        counted(totals.processed),
        units::counted(totals.invocations, "invocation")
    ));
    if totals.unprocessed > 0 {
        printer.note(&format!("{} read but not processed", counted(totals.unprocessed)));
    }
    if failed.records() > 0 {
        printer.warn(&format!(
            "{} given up: {}",
            counted(totals.given_up),
            failed.place(stream)
        ));
    }
    Ok(match () {
        () if session.interrupt().is_set() => Exit::Interrupted,
        () if totals.given_up > 0 => Exit::Partial,
        () => Exit::Done,
    })
}

fn counted(records: u64) -> String {
    units::counted(records, "record")
}
