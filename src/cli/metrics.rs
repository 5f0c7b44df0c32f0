//! `streamctl metrics`.

mod panels;
mod report;
pub(super) mod shape;
mod shards;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;
use jiff::Timestamp;

use self::report::{CSV_HEADING, MetricsReport, Of, span};
use super::shared::candidates::templates;
use super::shared::duration::{SECONDS, length, seconds};
use super::shared::template::{TemplateArgs, parameter};
use super::shared::{Session, StreamArg};
use crate::ui::sparkline::Glyphs;
use crate::ui::{Format, Report as _, chart, drawing_width};
use domain::context::Context;
use domain::observe::metrics::{Selection, TimeRange};
use domain::pipeline::resources::Kinds;
use ground::duration::{Parser, Unit};
use ground::error::aws::Class;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// How often --watch reads: on the local cloud, and on AWS, where CloudWatch has new figures once a minute and charges for
/// each metric that is read.
const EVERY_LOCAL: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(60);
/// How long a figure of AWS may still change after its period.
const LATE: i64 = 180;

/// Show metrics and how near they are to the limits
///
/// By default, for a stream and its fan-out consumers: traffic, throttles, latency, iterator age. LIMIT is how much of
/// a limit the busiest period used. A period without data is missing, not zero. CloudWatch charges for each metric that
/// is read, and for shard-level metrics. Formats: -o table, json, csv, yaml or text.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl metrics                          the default stream, the last hour
  streamctl metrics orders --since 1d        a day
  streamctl metrics orders --per-shard       with its shards
  streamctl metrics --pipeline retail        all resources of a pipeline
  streamctl metrics --function scorer --plot
  streamctl metrics orders --png orders.png --svg orders.svg
  streamctl metrics orders --watch           until Ctrl-C
  streamctl metrics -o json | jq '.metrics[] | {name, total}'
  streamctl metrics -o csv > orders.csv")]
pub struct MetricsArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Function, with its mappings
    #[arg(long, value_name = "FUNCTION", conflicts_with_all = ["word", "stream", "pipeline"])]
    function: Option<String>,
    /// Template or manifest file of a pipeline: all its resources
    #[arg(long, value_name = "NAME", conflicts_with = "word", add = ArgValueCompleter::new(templates))]
    pipeline: Option<String>,
    /// Set a parameter of the template (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, requires = "pipeline")]
    parameters: Vec<(String, String)>,
    /// How far back to look, such as 10m, 6h or 15d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds::<i64>(Parser::whole(Unit::Second)))]
    since: i64,
    /// End of the range: how long ago, such as 2h, or a time, such as 2026-11-21T10:00:00Z [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "watch")]
    until: Option<String>,
    /// Width of one point, such as 1m or 1h [default: 1m up to three hours, then longer]
    #[arg(long, value_name = "TIME", value_parser = seconds::<i64>(SECONDS))]
    period: Option<i64>,
    /// Also show each shard (`monitoring enable`; CloudWatch charges for it)
    #[arg(long, alias = "shard-level", conflicts_with = "function")]
    per_shard: bool,
    /// Draw charts in the terminal
    #[arg(long)]
    plot: bool,
    /// Write charts as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write charts as PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Show new figures until Ctrl-C; a pipe gets what is new
    #[arg(short, long, conflicts_with_all = ["svg", "png"])]
    watch: bool,
    /// How often --watch reads [default: 5s on the local cloud, else 1m]
    #[arg(long, value_name = "TIME", requires = "watch")]
    #[arg(value_parser = length(SECONDS.between(Duration::from_secs(1), Duration::from_secs(3_600))))]
    every: Option<Duration>,
}

pub(super) async fn run(args: MetricsArgs, session: &Session) -> Result<Exit> {
    let printer = session.printer();
    check(&args, printer.format())?;
    let range = args.range()?;
    let (of, selection) = args.selection(session).await?;
    let context = session.context().await?;
    let is_table = printer.format() == Format::Table;
    // A screen that is drawn anew shows them each time.
    for note in selection.notes.iter().filter(|_| !(args.watch && is_table)) {
        printer.note(note);
    }
    if args.watch {
        return watch(&args, session, context, of, &selection).await;
    }
    let reading = selection.read(context, range).await?;
    let report = MetricsReport::new(of, context.region(), &selection, reading);
    tell(session, context, &report);
    // The message says more than an empty table.
    if args.plot && !report.reading.is_empty() {
        printer.out(&plotted(&report, session))?;
    } else if !(is_table && report.reading.is_empty()) {
        printer.report(&report)?;
    }
    pictures(&args, &report).await?;
    Ok(Exit::Done)
}

/// Refuses combinations before the first call.
fn check(args: &MetricsArgs, format: Format) -> Result<()> {
    if args.plot && format != Format::Table {
        return Err(
            Error::usage("--plot draws in the terminal and cannot be combined with another -o")
                .hint("leave -o out, or use --svg or --png"),
        );
    }
    if args.watch && format == Format::Yaml {
        return Err(Error::usage("--watch does not write YAML").hint("use -o json, one document a line"));
    }
    Ok(())
}

impl MetricsArgs {
    fn range(&self) -> Result<TimeRange> {
        let now = Timestamp::now().as_second();
        let until = match &self.until {
            Some(text) => until(text, now)?,
            None => now,
        };
        TimeRange::before(until, self.since, self.period, now)
    }

    /// What is measured.
    async fn selection(&self, session: &Session) -> Result<(Of, Selection)> {
        if let Some(name) = &self.function {
            let context = session.context().await?;
            return Ok((
                Of::Function(name.clone()),
                Selection::function(context, name).await?,
            ));
        }
        if let Some(name) = &self.pipeline {
            let flag = self.stream.flag().clone();
            let template = TemplateArgs::named(name.clone(), flag, self.parameters.clone());
            let draft = template.draft(session, None, false).await?;
            let context = session.context().await?;
            let kinds = Kinds::new(context).await?;
            let pipeline = draft.bind(&kinds)?;
            let selection = Selection::pipeline(context, &pipeline, self.per_shard).await?;
            return Ok((Of::Pipeline(pipeline.identity().to_string()), selection));
        }
        let stream = self.stream.resolve(session)?;
        let context = session.context().await?;
        let selection = Selection::stream(context, &stream, self.per_shard).await?;
        Ok((Of::Stream(stream), selection))
    }
}

/// The end of the range, in seconds since the epoch.
fn until(text: &str, now: i64) -> Result<i64> {
    if let Ok(ago) = Parser::whole(Unit::Second).parse(text) {
        return Ok(now.saturating_sub(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX)));
    }
    let time = text.parse::<Timestamp>().map_err(|_| {
        Error::usage(format!(
            "--until: {text:?} is neither a length of time nor a time"
        ))
        .hint("write it like 2h, or like 2026-11-21T10:00:00Z")
    })?;
    Ok(time.as_second())
}

/// Says what the figures do not: why there are none, and what is incomplete.
fn tell(session: &Session, context: &Context, report: &MetricsReport) {
    let printer = session.printer();
    if report.reading.is_empty() {
        printer.note(&nothing(context, report));
    }
    let partial: Vec<&str> = report
        .reading
        .series
        .iter()
        .filter(|series| !series.is_complete)
        .map(|series| series.spec.name.as_ref())
        .collect();
    if let [first, rest @ ..] = partial.as_slice() {
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        printer.warn(&format!(
            "CloudWatch returned only a part of the data of {first}{more}: the figures are too low; run it again"
        ));
    }
}

fn nothing(context: &Context, report: &MetricsReport) -> String {
    let reason = if context.is_local() {
        "nothing was put or read"
    } else {
        "nothing was put or read, or it is too recent: CloudWatch metrics are 1 to 2 minutes late"
    };
    let (name, span) = (report.of.name(), span(report.range()));
    format!("No figures for {name} {span}: {reason}")
}

fn plotted(report: &MetricsReport, session: &Session) -> String {
    let drawing = panels::single(report);
    let style = session.printer().style();
    let text = chart::terminal(&drawing, drawing_width(), Glyphs::detect(), style);
    text.trim_end().to_owned()
}

async fn pictures(args: &MetricsArgs, report: &MetricsReport) -> Result<()> {
    let drawing = panels::combined(report);
    if let Some(path) = &args.svg {
        write(path, chart::svg(&drawing).into_bytes()).await?;
    }
    if let Some(path) = &args.png {
        write(path, chart::png(&drawing)?).await?;
    }
    Ok(())
}

async fn write(path: &Path, content: Vec<u8>) -> Result<()> {
    tokio::fs::write(path, content).await.map_err(|error| {
        Error::failed(format!("could not write {}", path.display()))
            .cause(error)
            .hint("name a file in a directory that exists and that you may write to")
    })
}

/// Reads and shows until Ctrl-C, which ends the command.
async fn watch(
    args: &MetricsArgs,
    session: &Session,
    context: &Context,
    of: Of,
    selection: &Selection,
) -> Result<Exit> {
    let every = args.every.unwrap_or(match context.is_local() {
        true => EVERY_LOCAL,
        false => EVERY,
    });
    let mut shown = Shown::default();
    if session.printer().format() == Format::Csv {
        session.printer().out(CSV_HEADING)?;
    }
    loop {
        match selection.read(context, args.range()?).await {
            Ok(reading) => {
                let report = MetricsReport::new(of.clone(), context.region(), selection, reading);
                show(args, session, context, &report, &selection.notes, &mut shown)?;
            }
            Err(error) if passes(&error) => {
                let text = error.chain().join(": ");
                session.printer().warn(&format!("{text}; trying again"));
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(every).await;
    }
}

/// Whether the same call may succeed a while later.
fn passes(error: &Error) -> bool {
    let class = error.class();
    matches!(
        class,
        Some(Class::Throttle | Class::Transient | Class::Unreachable)
    )
}

/// Start of the newest period that was appended.
struct Shown(i64);

impl Default for Shown {
    fn default() -> Self {
        Self(i64::MIN)
    }
}

fn show(
    args: &MetricsArgs,
    session: &Session,
    context: &Context,
    report: &MetricsReport,
    notes: &[String],
    shown: &mut Shown,
) -> Result<()> {
    let printer = session.printer();
    // Only periods that cannot change are appended, each once.
    let late = if context.is_local() { 0 } else { LATE };
    let settled = Timestamp::now().as_second() - late;
    let before = settled.div_euclid(report.range().period) * report.range().period;
    match printer.format() {
        Format::Json | Format::Yaml | Format::Raw => {
            printer.ndjson(report)?;
            return printer.flush();
        }
        Format::Text => printer.out_lines(&report.text_between(shown.0, before))?,
        Format::Csv => printer.out_lines(&report.csv_between(shown.0, before))?,
        Format::Table => {
            let text = match (report.reading.is_empty(), args.plot) {
                (true, _) => nothing(context, report),
                (false, true) => plotted(report, session),
                (false, false) => report.table(printer.style()),
            };
            let notes = notes.iter().map(|note| format!("\n{note}"));
            return printer.screen(&(text + &notes.collect::<String>()));
        }
    }
    let newest = report.points(shown.0, before).map(|(_, at, _)| at).max();
    shown.0 = newest.unwrap_or(shown.0).max(shown.0);
    printer.flush()
}

#[cfg(test)]
mod tests;
