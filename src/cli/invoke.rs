//! `streamctl invoke`.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::shared::Session;
use super::shared::function::{LocalCodeArgs, function_name, handler_stream};
use super::shared::stream;
use super::shared::template::PartArgs;
use crate::ui::Format;
use domain::context::Context;
use domain::functions::answer::{BatchResult, batch_result};
use domain::functions::bundle;
use domain::functions::event::{EventRecord, Source, event};
use domain::functions::invoke::{Invoked, Request, deployed, invoke};
use domain::functions::mapping;
use domain::functions::runtime::InvokeResult;
use domain::record::{KeyRule, ReadOptions, Record, RecordReader, RecordSource as _};
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::file;

/// Most bytes of an event. Source: "Lambda quotas", invocation payload.
const MOST_BYTES: u64 = 6 << 20;
/// The shard id in a sample event.
const SAMPLE_SHARD: &str = "shardId-000000000000";
/// The first sequence number of a sample event; each record's is one higher.
const SAMPLE_NUMBER: u128 = 962_559_608_559_692_538_361_571_095_921_575_989;
const SAMPLE_PREFIX: &str = "49590338271490256608";

/// Invoke a function once, with an event or with records
///
/// Prints the response and a line end on stdout, escaped if it is a terminal, and the end of the log on stderr. With --records the event is the one that an event source
/// mapping would send. With --local the code runs on this machine, with the settings of FUNCTION if it is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl invoke scorer --payload '{\"test\":true}'
  streamctl invoke retail-processor --records events.json
  streamctl invoke scorer --payload event.json --async
  streamctl invoke --local ./bootstrap --records events.json --env TABLE_NAME=t
  streamctl invoke scorer --local ./bootstrap --records events.json
  streamctl invoke scorer --records events.json --stream orders

Exit codes: 0 done, 1 the function failed, 2 bad input, 4 target unreachable.")]
pub struct InvokeArgs {
    /// A bundled handler, or the name of a function
    #[arg(value_name = "FUNCTION", required_unless_present = "local")]
    function: Option<String>,
    /// The event: JSON, a JSON file, or `-` for stdin [default: {}]
    #[arg(short, long, value_name = "JSON|FILE|-", conflicts_with = "records")]
    payload: Option<String>,
    /// Send a Kinesis event with the records of this file (`-` for stdin), in a format of `put --file`
    #[arg(short, long, value_name = "FILE")]
    records: Option<String>,
    /// Take each record's partition key from this field, such as user.id
    #[arg(long, value_name = "PATH", requires = "records")]
    partition_key_field: Option<String>,
    /// Stream that the event names [default: the one that the function reads]
    #[arg(long, value_name = "NAME", requires = "records")]
    stream: Option<String>,
    /// Only queue the event; do not wait for the response
    #[arg(long = "async", conflicts_with = "local")]
    asynchronous: bool,
    /// Show the end of the log (default)
    #[arg(long, overrides_with = "no_log")]
    log: bool,
    /// Do not show the log
    #[arg(long)]
    no_log: bool,
    #[command(flatten)]
    local: LocalCodeArgs,
}

/// A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct InvokeReport<'a> {
    function: &'a str,
    /// The HTTP status: 200, or 202 for a queued event.
    status: i32,
    /// The version that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    /// The function's error; `None` if it did not fail.
    error: Option<String>,
    /// The response of the function, or its error object.
    payload: Box<RawValue>,
    /// The end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
}

pub(super) async fn run(args: InvokeArgs, session: &Session) -> Result<Exit> {
    let fixed = match (&args.records, &args.payload) {
        (Some(_), _) => None,
        (None, Some(text)) => {
            let text = text.clone();
            Some(session.read(move || payload(&text)).await?)
        }
        (None, None) => Some(Bytes::from_static(b"{}")),
    };
    let context = session.context().await?;
    let function = match &args.function {
        Some(name) => Some(function_name(session, context, name, &PartArgs::default()).await?),
        None => None,
    };
    let (invoked, name, event) = match &args.local.local {
        Some(code) => here(&args, session, context, code, function.as_deref(), fixed).await?,
        None => {
            let function = function.unwrap_or_default();
            let event = match fixed {
                Some(event) => event,
                None => {
                    let role = deployed(context, &function).await?.map(|found| found.role);
                    let stream_arn = stream_of(&args, session, context, Some(&function)).await?;
                    sample(&args, session, context, stream_arn, role.unwrap_or_default()).await?
                }
            };
            let request = Request {
                function: function.clone(),
                payload: event.clone(),
                asynchronous: args.asynchronous,
                log: args.log || !args.no_log,
            };
            (invoke(context, &request).await?, function, event)
        }
    };
    show(session, &name, &invoked)?;
    if let Some(error) = &invoked.error {
        return Err(Error::failed(format!("function {name} failed: {error}"))
            .hint(format!("`streamctl logs {name}` shows what it logged")));
    }
    note_failures(session, &invoked.payload, &event);
    Ok(Exit::Done)
}

/// Runs the code of `--local`.
async fn here(
    args: &InvokeArgs,
    session: &Session,
    context: &Context,
    code: &str,
    like: Option<&str>,
    fixed: Option<Bytes>,
) -> Result<(Invoked, String, Bytes)> {
    let show_log = args.log || !args.no_log;
    let (mut code, settings) = args
        .local
        .function(session, context, code, like, show_log)
        .await?;
    let event = match fixed {
        Some(event) => event,
        None => {
            let stream_arn = stream_of(args, session, context, like).await?;
            sample(args, session, context, stream_arn, settings.role).await?
        }
    };
    let outcome = tokio::select! {
        outcome = code.function.invoke(event.clone()) => outcome?,
        () = session.interrupt().wait() => {
            return Err(Error::new(Exit::Interrupted, "stopped before the function answered"));
        }
    };
    let (payload, error) = match outcome {
        InvokeResult::Returned(payload) => (payload, None),
        InvokeResult::Failed(error) => (error.to_payload(), Some(error)),
    };
    let invoked = Invoked {
        status: 200,
        payload,
        log: None,
        version: None,
        error,
    };
    Ok((invoked, settings.name, event))
}

/// The event of `--payload`.
fn payload(text: &str) -> Result<Bytes> {
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    if text != "-" && is_json(text.as_bytes()) {
        return Ok(Bytes::from(text.to_owned()));
    }
    let (name, read) = match text {
        "-" => ("stdin", file::read_from(std::io::stdin(), MOST_BYTES)),
        path if Path::new(path).exists() => (path, file::read(Path::new(path), MOST_BYTES)),
        _ => {
            return Err(Error::usage("the payload is neither JSON nor a file")
                .hint("give JSON such as '{\"test\":true}', the path of a file, or `-` for stdin"));
        }
    };
    let bytes = read.map_err(|e| Error::usage(format!("{name} could not be read")).cause(e))?;
    if !is_json(&bytes) {
        return Err(Error::usage(format!("{name} is not JSON")).hint("use --records for a file of records"));
    }
    Ok(Bytes::from(bytes))
}

/// The ARN of the stream that the event of `--records` names: that of `--stream`, else the one that `function` or the
/// bundled handler reads, else the default stream. A replay of the event's records goes to this stream.
async fn stream_of(
    args: &InvokeArgs,
    session: &Session,
    context: &Context,
    function: Option<&str>,
) -> Result<String> {
    if let Some(given) = &args.stream {
        return context
            .sample_stream_arn(&stream::resolve(Some(given), session)?)
            .await;
    }
    let mut read = match function {
        Some(function) => mapping::list(context, Some(function), None).await?,
        None => Vec::new(),
    };
    read.retain(|mapping| !mapping.is_going());
    read.dedup_by(|one, other| one.stream_arn == other.stream_arn);
    if let [one, other, ..] = read.as_slice() {
        return Err(Error::usage(format!(
            "{} reads the streams {} and {}",
            one.function(),
            one.stream(),
            other.stream()
        ))
        .hint(format!("choose one with --stream {}", one.stream())));
    }
    if let Some(mapping) = read.pop() {
        return Ok(mapping.stream_arn);
    }
    let code = args.local.local.as_deref().or(args.function.as_deref());
    let handler = code.and_then(|code| bundle::find(code).ok());
    let its_own = match handler {
        Some(handler) => handler_stream(session, context, handler).await?,
        None => None,
    };
    let name = its_own.as_deref().unwrap_or(&session.settings().stream);
    context.sample_stream_arn(name).await
}

/// The event of `--records`.
async fn sample(
    args: &InvokeArgs,
    session: &Session,
    context: &Context,
    stream_arn: String,
    role_arn: String,
) -> Result<Bytes> {
    let source = Source {
        stream_arn,
        role_arn,
        region: context.region().to_owned(),
    };
    let path = args.records.clone().unwrap_or_else(|| "-".to_owned());
    let key = args.partition_key_field.as_deref().map(KeyRule::field);
    let records = session.read(move || read_records(&path, key)).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let numbers: Vec<String> = (0..records.len() as u128)
        .map(|index| format!("{SAMPLE_PREFIX}{}", SAMPLE_NUMBER + index))
        .collect();
    let wired = records.iter().zip(&numbers).map(|(record, number)| EventRecord {
        shard_id: SAMPLE_SHARD,
        sequence_number: number,
        sub_sequence: None,
        partition_key: &record.partition_key,
        arrival_ms: now_ms,
        data: &record.data,
    });
    event(&source, wired).map(Bytes::from)
}

/// The records of a file or of stdin, at most as many bytes as an event can have.
fn read_records(path: &str, key: Option<KeyRule>) -> Result<Vec<Record>> {
    let name = if path == "-" { "stdin" } else { path };
    let input: Box<dyn Read> = match path {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(
            std::fs::File::open(path)
                .map_err(|e| Error::usage(format!("{path} could not be read")).cause(e))?,
        ),
    };
    let options = ReadOptions {
        key,
        ..ReadOptions::default()
    };
    let mut reader = RecordReader::new(input, options);
    let mut records = Vec::new();
    let mut bytes = 0;
    while let Some(record) = reader.read().map_err(|fault| fault.into_error(name))? {
        bytes += record.size() as u64;
        if bytes > MOST_BYTES {
            return Err(
                Error::usage(format!("{name} has more records than an event can have")).hint(
                    "an event has 6 MB at most; `streamctl put STREAM --file FILE` sends the records to a stream",
                ),
            );
        }
        records.push(record);
    }
    Ok(records)
}

fn show(session: &Session, name: &str, invoked: &Invoked) -> Result<()> {
    let printer = session.printer();
    if let Format::Json | Format::Yaml = printer.format() {
        let text = String::from_utf8_lossy(&invoked.payload);
        // A response that is not JSON, such as an empty one, becomes a string.
        let payload = RawValue::from_string(text.into_owned())
            .or_else(|_| serde_json::value::to_raw_value(&String::from_utf8_lossy(&invoked.payload)));
        let report = InvokeReport {
            function: name,
            status: invoked.status,
            version: invoked.version.as_deref(),
            error: invoked.error.as_ref().map(ToString::to_string),
            payload: payload.map_err(not_written)?,
            log: invoked.log.as_deref(),
        };
        if printer.format() == Format::Json {
            // Keeps the response as the function wrote it.
            printer.ndjson(&report)?;
            return printer.flush();
        }
        let report = serde_json::to_value(&report);
        return printer.document(&report.map_err(not_written)?);
    }
    if let Some(log) = &invoked.log {
        printer.log(log.trim_end());
    }
    match invoked.status {
        202 => printer.note(&format!("The event is queued for {name}")),
        _ => printer.out_bytes(&invoked.payload, b"\n")?,
    }
    printer.flush()
}

fn not_written(error: serde_json::Error) -> Error {
    Error::failed("could not write the response").cause(error)
}

/// Warns if the function reports failed records: an event source mapping would send them again.
fn note_failures(session: &Session, answer: &[u8], event: &[u8]) {
    let event: Value = serde_json::from_slice(event).unwrap_or_default();
    let Some(records) = event.get("Records").and_then(Value::as_array) else {
        return;
    };
    let numbers: Vec<&str> = records
        .iter()
        .filter_map(|record| record.get("kinesis")?.get("sequenceNumber")?.as_str())
        .collect();
    let failed = match batch_result(answer, &numbers) {
        BatchResult::Success => return,
        BatchResult::Failure => 0,
        BatchResult::From(index) => index,
    };
    session.printer().warn(&format!(
        "the function reports failures: a mapping would send records {} to {} again",
        failed + 1,
        numbers.len()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_or_a_file_of_it() {
        assert_eq!(payload("{\"a\":1}").unwrap(), Bytes::from_static(b"{\"a\":1}"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("event.json");
        std::fs::write(&path, "[1]").unwrap();
        assert_eq!(
            payload(path.to_str().unwrap()).unwrap(),
            Bytes::from_static(b"[1]")
        );
        std::fs::write(&path, "{").unwrap();
        assert_eq!(payload(path.to_str().unwrap()).unwrap_err().exit(), Exit::Usage);
        insta::assert_snapshot!(payload("missing.json").unwrap_err(), @"the payload is neither JSON nor a file");
    }

    #[test]
    fn sample_numbers_have_the_form_of_real_ones() {
        let number = format!("{SAMPLE_PREFIX}{SAMPLE_NUMBER}");
        assert_eq!(number.len(), 56);
    }
}
