//! `streamctl dlq`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::Session;
use super::shared::function::function_name;
use super::shared::template::PartArgs;
use crate::ui::{Report, Style, Table, lines, or_dash, table, units, visible};
use domain::context::Context;
use domain::functions::dead_letter::{
    Content, DeadLetter, MessageResult, MessageSource, Options, ReceivedMessage, Replay, Totals, resolve,
};
use domain::functions::mapping::{function_name as bare_name, resource_name};
use ground::error::Result;
use ground::exit::Exit;
use ground::stop::Stop;

/// List records that failed, or process them again
///
/// Reads the messages of a mapping's on-failure destination (a queue, a bucket, or a queue that is subscribed to a topic)
/// and those of the bundled handlers. Messages of a mapping name records, which are read from the stream.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl dlq list retail-processor           messages of its queue or bucket
  streamctl dlq replay failed-events --dry-run  what would be replayed
  streamctl dlq replay failed-events            replay it, delete the messages
  streamctl dlq replay --bucket failed --to orders-copy --keep")]
pub struct DlqArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(ListArgs),
    Replay(ReplayArgs),
}

/// List the messages and keep them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl dlq list failed-events
  streamctl dlq list retail-processor -n 20 -o json
  streamctl dlq list --bucket failed-batches")]
struct ListArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Maximum number of messages
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Process the records again
///
/// Invokes the function that failed with the records as they were: their sequence numbers and arrival times are the same, so
/// a function can recognise what it has processed. With --to, puts the records into a stream instead, as new records for
/// all its consumers. A message is deleted when all its records are processed, or acknowledged by the stream. Delivery is at
/// least once. A message of a mapping names a range of a shard, which may also contain records that were processed:
/// functions must accept them twice.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl dlq replay failed-events --dry-run
  streamctl dlq replay retail-processor
  streamctl dlq replay failed-events --to orders-copy --keep

Exit codes: 0 all replayed, 1 none, 3 some (each message is named), 4 target
unreachable, 130 stopped with Ctrl-C.")]
struct ReplayArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Put the records into this stream, and invoke no function
    #[arg(long, value_name = "STREAM")]
    to: Option<String>,
    /// Only show what would be replayed
    #[arg(long)]
    dry_run: bool,
    /// Keep the messages
    #[arg(long)]
    keep: bool,
    /// Also delete messages whose records have partly expired, once the others are replayed
    #[arg(long)]
    discard_lost: bool,
}

#[derive(Debug, Args)]
struct SourceArgs {
    /// A queue (name, URL or ARN), or a function or bundled handler
    #[arg(value_name = "QUEUE|FUNCTION", required_unless_present = "bucket")]
    source: Option<String>,
    /// A bucket that is an on-failure destination
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    bucket: Option<String>,
}

impl SourceArgs {
    async fn resolve(&self, session: &Session, context: &Context) -> Result<MessageSource> {
        if let Some(bucket) = &self.bucket {
            return Ok(MessageSource::Bucket(bucket.clone()));
        }
        let name = self.source.as_deref().unwrap_or_default();
        let function = function_name(session, context, name, &PartArgs::default()).await?;
        resolve(context, &function).await
    }
}

pub(super) async fn run(args: DlqArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::List(args) => list(args, session).await,
        Action::Replay(args) => replay(args, session).await,
    }
}

async fn list(args: ListArgs, session: &Session) -> Result<Exit> {
    let context = session.context().await?;
    let source = args.source.resolve(session, context).await?;
    let mut rows = Vec::new();
    Replay::list(context, &source, args.limit as usize, |held, letter| {
        rows.push(match &letter {
            Ok(letter) => Row::new(held, Some(letter), letter.reason.clone()),
            Err(problem) => Row::new(held, None, format!("unreadable: {problem}")),
        });
        Ok(())
    })
    .await?;
    let printer = session.printer();
    if rows.is_empty() {
        printer.note(&format!("The {source} is empty"));
    }
    printer.report(&Messages { messages: rows })?;
    Ok(Exit::Done)
}

async fn replay(args: ReplayArgs, session: &Session) -> Result<Exit> {
    if let Some(to) = &args.to {
        domain::stream::check_name(to)?;
    }
    let context = session.context_for_change_unless(args.dry_run).await?;
    let source = args.source.resolve(session, context).await?;
    let options = Options {
        to: args.to,
        keep: args.keep,
        dry_run: args.dry_run,
        discard_lost: args.discard_lost,
        before_ms: jiff::Timestamp::now().as_millisecond(),
    };
    let replay = Replay {
        context,
        source: &source,
        options: &options,
    };
    let step = session.printer().progress().step(source.to_string());
    let mut rows: Vec<Row> = Vec::new();
    let mut note = |event: domain::functions::dead_letter::Event<'_>| {
        let mut row = Row::new(event.held, event.letter, in_words(event.result, &options));
        row.deleted = Some(event.deleted);
        rows.push(row);
        step.message(format!("{} messages", rows.len()));
    };
    let stop = Stop::default();
    let outcome = session
        .run_until_stopped(&stop, replay.run(&stop, &mut note))
        .await;
    step.clear();
    let totals = match outcome {
        Ok(totals) => totals,
        Err(error) if rows.is_empty() => return Err(error),
        Err(error) => {
            session.printer().report(&Messages { messages: rows })?;
            session.printer().error(&error);
            return Ok(Exit::Partial);
        }
    };
    session.printer().report(&Messages { messages: rows })?;
    Ok(print_totals(session, &source, &options, &totals, stop.is_set()))
}

fn print_totals(
    session: &Session,
    source: &MessageSource,
    options: &Options,
    totals: &Totals,
    stopped: bool,
) -> Exit {
    let printer = session.printer();
    if totals.messages == 0 && totals.newer == 0 && !stopped {
        printer.note(&format!("The {source} is empty"));
        return Exit::Done;
    }
    let (records, messages) = (
        units::counted(totals.records, "record"),
        units::counted(totals.messages, "message"),
    );
    printer.note(&match options.dry_run {
        true => format!("Would replay {records} of {messages}; dry run: nothing was sent or deleted"),
        false => format!(
            "Replayed {records} of {messages}; {} deleted",
            units::counted(totals.deleted, "message")
        ),
    });
    if totals.newer > 0 {
        let newer = units::counted(totals.newer, "message");
        printer.warn(&format!(
            "{newer} arrived meanwhile and are kept: records may have failed again"
        ));
    }
    if totals.lost > 0 {
        printer.warn(&format!(
            "{} lost: older than the retention period of the stream",
            units::counted(totals.lost, "record")
        ));
        if !options.discard_lost {
            printer.note("Their messages are kept; --discard-lost deletes them once the rest is replayed");
        }
    }
    let missing = totals.failed > 0 || totals.lost > 0;
    match () {
        () if stopped => Exit::Interrupted,
        () if !missing => Exit::Done,
        () if totals.records > 0 => Exit::Partial,
        () => Exit::Failed,
    }
}

fn in_words(result: &MessageResult, options: &Options) -> String {
    let done = match (options.dry_run, &options.to) {
        (true, _) => "found",
        (false, Some(_)) => "put",
        (false, None) => "processed",
    };
    match result {
        MessageResult::Found(count) => format!("{} found", units::counted(*count, "record")),
        MessageResult::Replayed(count) => format!("{} {done}", units::counted(*count, "record")),
        MessageResult::Lost { replayed, lost } => {
            format!(
                "{} {done}, {lost} lost by age",
                units::counted(*replayed, "record")
            )
        }
        MessageResult::Unreadable(problem) => format!("unreadable: {problem}"),
        MessageResult::Failed(reason) => format!("failed: {reason}"),
        MessageResult::Skipped => "not replayed before the command stopped".to_owned(),
    }
}

/// JSON is an array of messages, a stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Messages {
    messages: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DeadLetter"))]
struct Row {
    /// Of the message; the key of an object in a bucket.
    id: String,
    /// In UTC.
    sent: Option<String>,
    function: Option<String>,
    stream: Option<String>,
    shard_id: Option<String>,
    /// How many records it holds or names.
    records: Option<u64>,
    /// Whether the records are in the message itself.
    holds_data: bool,
    first_sequence_number: Option<String>,
    last_sequence_number: Option<String>,
    /// Why the records failed, or the result of their replay.
    detail: String,
    /// Whether the message was deleted; only of a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
}

impl Row {
    fn new(held: &ReceivedMessage, letter: Option<&DeadLetter>, detail: String) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let range = letter.and_then(|letter| match &letter.content {
            Content::Range(range) => Some(range),
            Content::Data(_) => None,
        });
        let sent = held
            .sent_ms
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .map(|time| format!("{time:.0}"));
        Self {
            id: held.id.clone(),
            sent,
            function: letter.and_then(|letter| some(bare_name(&letter.function))),
            stream: letter.and_then(|letter| some(resource_name(&letter.stream_arn))),
            shard_id: letter.and_then(|letter| some(&letter.shard_id)),
            records: letter.map(DeadLetter::count),
            holds_data: letter.is_some() && range.is_none(),
            first_sequence_number: range.map(|range| range.first.clone()),
            last_sequence_number: range.map(|range| range.last.clone()),
            detail,
            deleted: None,
        }
    }
}

impl Messages {
    fn rows(&self) -> Table {
        let mut rows = table(["SENT", "STREAM", "SHARD", "RECORDS", "DETAIL"]);
        for row in &self.messages {
            let shown = |text: Option<&str>| or_dash(text.map(visible));
            let shard = row
                .shard_id
                .as_deref()
                .map(|id| id.trim_start_matches("shardId-").trim_start_matches('0'));
            rows.add_row([
                shown(row.sent.as_deref()),
                shown(row.stream.as_deref()),
                shown(shard.map(|digits| if digits.is_empty() { "0" } else { digits })),
                or_dash(row.records),
                visible(&row.detail),
            ]);
        }
        rows
    }
}

impl Report for Messages {
    fn table(&self, _style: &Style) -> String {
        match self.messages.is_empty() {
            true => String::new(),
            false => self.rows().trim_fmt(),
        }
    }

    fn text(&self) -> String {
        lines(self.messages.iter().map(|row| {
            let shown = |text: &Option<String>| or_dash(text.as_deref().map(visible));
            [
                row.id.clone(),
                shown(&row.sent),
                shown(&row.stream),
                shown(&row.shard_id),
                or_dash(row.records),
                visible(&row.detail),
            ]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::functions::dead_letter::read;

    #[test]
    fn people_see_what_failed_and_why() {
        let body = r#"{"requestContext":{"functionArn":"arn:aws:lambda:us-east-1:000000000000:function:scorer","condition":"RetryAttemptsExhausted"},"timestamp":"2026-11-21T10:00:00Z","KinesisBatchInfo":{"shardId":"shardId-000000000012","startSequenceNumber":"1","endSequenceNumber":"9","batchSize":5,"streamArn":"arn:aws:kinesis:us-east-1:000000000000:stream/orders"}}"#;
        let letter = read(body).unwrap();
        let held = ReceivedMessage {
            id: "m1".to_owned(),
            receipt: "m1".to_owned(),
            body: body.to_owned(),
            sent_ms: Some(1_795_255_200_000),
        };
        let messages = Messages {
            messages: vec![
                Row::new(&held, Some(&letter), letter.reason.clone()),
                Row::new(&held, None, "unreadable: it is not JSON".to_owned()),
            ],
        };
        insta::assert_snapshot!(messages.rows().trim_fmt(), @r"
        SENT                  STREAM  SHARD  RECORDS  DETAIL
        2026-11-21T10:00:00Z  orders  12     5        RetryAttemptsExhausted
        2026-11-21T10:00:00Z  -       -      -        unreadable: it is not JSON
        ");
    }
}
