//! `tail --invoke-local`: a function that runs here receives the records in place of an output.
//!
//! Batches, retries and reports of failed records are those of `attach --local`. Where to read, what to choose and how far it
//! was read stay those of `tail`: a checkpoint is after the last record that the function has processed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::line::{shard_number, short_shard};
use crate::cli::shared::Session;
use crate::cli::shared::duration::seconds;
use crate::cli::shared::failed_file::FailedFile;
use crate::cli::shared::function::{LocalCodeArgs, Unpacked, variable};
use crate::cli::shared::given_up::GivenUp;
use crate::ui::{Format, Printer, json, no_csv, units, visible};
use domain::consume::TailRecord;
use domain::context::Context;
use domain::functions::consumer::{Event, Invocation, Invoker, Policy, Totals};
use domain::functions::event::Source;
use domain::functions::function::rules;
use domain::functions::runtime::InvokeResult;
use ground::error::{Error, Result};

#[derive(Debug, Args)]
#[command(next_help_heading = "Function")]
pub(super) struct InvokeArgs {
    /// Invoke this function here with the records: a bundled handler, or the path of a bootstrap or zip
    #[arg(
        long,
        value_name = "HANDLER|PATH",
        conflicts_with_all = ["format", "separator", "json_data", "indent", "highlight", "stats", "out_dir"]
    )]
    invoke_local: Option<String>,
    /// Maximum number of records in an invocation
    #[arg(
        long, value_name = "N", default_value_t = 100, requires = "invoke_local",
        value_parser = clap::value_parser!(u16).range(1..=10_000)
    )]
    batch_size: u16,
    /// How many times a failed batch is retried
    #[arg(
        long, value_name = "N", default_value_t = 2, requires = "invoke_local",
        value_parser = clap::value_parser!(u32).range(..=10_000)
    )]
    retries: u32,
    /// Split a batch that failed in two, to find the record that fails
    #[arg(long, requires = "invoke_local")]
    bisect: bool,
    /// Write records that fail to this file and continue, instead of stopping at the first
    #[arg(long, value_name = "FILE", requires = "invoke_local")]
    failed_file: Option<PathBuf>,
    /// Environment variable of the function (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable, requires = "invoke_local")]
    environment: Vec<(String, String)>,
    /// Timeout of an invocation: 1s to 15m [default: 1m]
    #[arg(
        long, value_name = "TIME", requires = "invoke_local",
        value_parser = seconds::<u32>(rules::TIMEOUT)
    )]
    function_timeout: Option<u32>,
}

impl InvokeArgs {
    pub(super) fn is_given(&self) -> bool {
        self.invoke_local.is_some()
    }

    /// # Errors
    /// Exit 2 for a format in which answers cannot be shown.
    pub(super) fn check(&self, chosen: Format) -> Result<()> {
        match chosen {
            Format::Table | Format::Json | Format::Text => Ok(()),
            Format::Csv => Err(no_csv()),
            Format::Raw => Err(Error::usage(
                "--invoke-local prints responses, so there are no raw records to write",
            )
            .hint("use -o json, -o text, or no -o at all")),
            Format::Yaml => {
                Err(Error::usage("tail does not write YAML").hint("use -o json, -o text, or no -o at all"))
            }
        }
    }

    /// The function. `streams` are the streams that are read, each with its ARN.
    ///
    /// # Errors
    /// Exit 2 for code that cannot run, or if --failed-file cannot be created.
    pub(super) async fn open(
        &self,
        session: &Session,
        context: &Context,
        streams: Vec<(Arc<str>, String)>,
    ) -> Result<Function> {
        let code = self.invoke_local.clone().unwrap_or_default();
        let failed = self.failed_file.as_deref().map(FailedFile::named).transpose()?;
        let args = LocalCodeArgs::new(code.clone(), self.environment.clone(), self.function_timeout);
        let (code, deployed) = args.function(session, context, &code, None, true).await?;
        let source = |stream_arn: String| Source {
            stream_arn,
            role_arn: deployed.role.clone(),
            region: context.region().to_owned(),
        };
        let names_streams = streams.len() > 1;
        let streams = streams.into_iter();
        Ok(Function {
            code,
            sources: streams.map(|(stream, arn)| (stream, source(arn))).collect(),
            policy: Policy {
                batch_size: self.batch_size.into(),
                window: Duration::ZERO,
                retries: Some(self.retries),
                max_age: None,
                bisect: self.bisect,
                partial_failures: true,
            },
            failed: failed.map(GivenUp::new),
            totals: Totals::default(),
            failures: 0,
            format: session.printer().format(),
            names_streams,
        })
    }
}

/// The function that receives the records.
pub(super) struct Function {
    code: Unpacked,
    /// By stream, what its events say of it.
    sources: HashMap<Arc<str>, Source>,
    policy: Policy,
    failed: Option<GivenUp>,
    totals: Totals,
    /// Invocations that failed, or reported records as failed.
    failures: u64,
    format: Format,
    names_streams: bool,
}

impl Function {
    /// Invokes the function with `records` of `stream`, which are of one shard and in order. Returns how many of them need
    /// not be read again, from the first on, and why it went no further. Ctrl-C ends it after the running invocation.
    pub(super) async fn invoke(
        &mut self,
        session: &Session,
        stream: &Arc<str>,
        records: Vec<TailRecord>,
    ) -> (usize, Result<()>) {
        let Some(source) = self.sources.get(stream) else {
            return (0, Err(Error::failed(format!("{stream} is not read"))));
        };
        let (printer, format) = (session.printer(), self.format);
        let named = self.names_streams.then_some(&**stream);
        let (failed, totals, failures) = (&mut self.failed, &mut self.totals, &mut self.failures);
        let mut done = 0;
        let mut events = |event: Event<'_>| {
            match event {
                Event::Invoked(one) => {
                    done += one.processed;
                    totals.processed += one.processed as u64;
                    totals.invocations += 1;
                    *failures += u64::from(one.processed < one.records);
                    printer.above_progress(|| show(printer, format, named, &one))?;
                }
                Event::Failed {
                    shard_id,
                    reason,
                    next,
                } => printer.warn(&format!("{}: {reason}; {next}", short_shard(shard_id))),
                Event::GivenUp { records, reason } => {
                    let Some(file) = failed.as_mut() else {
                        return Err(stops(records, reason));
                    };
                    file.keep(records)?;
                    done += records.len();
                    totals.given_up += records.len() as u64;
                    let count = units::counted(records.len() as u64, "record");
                    printer.warn(&format!("{count} given up: {reason}"));
                }
                Event::Tail(_) => {}
            }
            Ok(())
        };
        let invoker = Invoker::new(&mut self.code.function, source, &self.policy, &mut events);
        let ended = invoker.all(records, session.interrupt().wait()).await;
        (done, ended.map(|_| ()))
    }

    /// The stream, if it is one.
    fn only_stream(&self) -> Option<&str> {
        let mut names = self.sources.keys();
        names
            .next()
            .filter(|_| names.next().is_none())
            .map(|name| &**name)
    }

    /// Whether records were given up.
    pub(super) fn has_given_up(&self) -> bool {
        self.totals.given_up > 0
    }

    /// Says what was invoked, if anything was.
    pub(super) fn report(&self, printer: &Printer) {
        if self.totals.invocations == 0 {
            return;
        }
        let failures = match self.failures {
            0 => String::new(),
            count => format!(", of which {} failed", units::count(count)),
        };
        printer.note(&format!(
            "{} processed by {} in {}{failures}",
            units::counted(self.totals.processed, "record"),
            self.code.function.name(),
            units::counted(self.totals.invocations, "invocation"),
        ));
        if let Some(file) = self.failed.as_ref().filter(|file| file.records() > 0) {
            printer.warn(&format!(
                "{} given up: {}",
                units::counted(self.totals.given_up, "record"),
                file.place(self.only_stream().unwrap_or("STREAM"))
            ));
        }
    }
}

/// The error where no file takes what fails: nothing is passed over.
fn stops(records: &[TailRecord], reason: &str) -> Error {
    let error = Error::failed("the function failed, and was not invoked again").cause(reason);
    let Some(first) = records.first() else {
        return error;
    };
    let (shard, number) = (&*first.shard_id, first.sequence_number.as_str());
    let place = shard_number(shard).map_or_else(|| shard.to_owned(), |number| number.to_string());
    error.hint(format!(
        "correct it and start with the first record that failed: `--from seq:{place}:{number}`, or the same --checkpoint or \
         --group; `--failed-file FILE` writes such records to a file and continues"
    ))
}

/// An invocation, as `-o json` shows it. A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "InvocationLine"))]
pub(in crate::cli) struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    shard_id: &'a str,
    records: usize,
    first_sequence_number: &'a str,
    last_sequence_number: &'a str,
    processed: usize,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The response, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Box<RawValue>>,
    /// A response that is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_text: Option<String>,
}

fn show(printer: &Printer, format: Format, stream: Option<&str>, one: &Invocation<'_>) -> Result<()> {
    match (format, one.outcome) {
        (Format::Json, _) => printer.ndjson(&line(stream, one)),
        (Format::Text, InvokeResult::Returned(answer)) => printer.out_bytes(answer, b"\n"),
        (Format::Text, InvokeResult::Failed(_)) => Ok(()),
        _ => printer.out(&for_people(printer, stream, one)),
    }
}

fn line<'a>(stream: Option<&'a str>, one: &'a Invocation<'_>) -> Line<'a> {
    let (error, answer) = match one.outcome {
        InvokeResult::Returned(answer) => (None, Some(answer)),
        InvokeResult::Failed(error) => (Some(error.to_string()), None),
    };
    let text = answer.map(|answer| String::from_utf8_lossy(answer));
    // A line end in it would end the line.
    let response = text
        .as_deref()
        .filter(|text| serde_json::from_str::<&RawValue>(text).is_ok())
        .and_then(|text| RawValue::from_string(json::compact(text)).ok());
    Line {
        stream,
        shard_id: one.shard_id,
        records: one.records,
        first_sequence_number: one.first,
        last_sequence_number: one.last,
        processed: one.processed,
        duration_ms: u64::try_from(one.took.as_millis()).unwrap_or(u64::MAX),
        error,
        response_text: text.filter(|_| response.is_none()).map(Cow::into_owned),
        response,
    }
}

/// Shard, records, time and answer, safe to show on a terminal.
fn for_people(printer: &Printer, stream: Option<&str>, one: &Invocation<'_>) -> String {
    let style = printer.style();
    let shard = short_shard(one.shard_id);
    let place = match stream {
        Some(stream) => format!("{}/{shard}", visible(stream)),
        None => shard,
    };
    let took = units::milliseconds(one.took.as_secs_f64() * 1000.0);
    let count = units::counted(one.records as u64, "record");
    let answer = match one.outcome {
        InvokeResult::Returned(answer) => match std::str::from_utf8(answer) {
            Ok(text) => json::on_one_line(text, style),
            Err(_) => format!("base64:{}", base64_simd::STANDARD.encode_to_string(answer)),
        },
        InvokeResult::Failed(error) => style.bad(&visible(&error.to_string())),
    };
    format!("{}  {count}  {}  {answer}", style.bold(&place), style.dim(&took))
}
