//! `streamctl mappings`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::shared::Session;
use super::shared::function::function_name;
use super::shared::stream::{arn_of, shared};
use super::shared::template::PartArgs;
use crate::ui::{Format, Report, Style, lines, or_dash, units, width, wrap};
use domain::functions::mapping::{self, Mapping, Settings};
use ground::error::Result;
use ground::exit::Exit;

/// Width of the labels below a mapping.
const LABEL: usize = 13;

/// List event source mappings with their state and lag
///
/// LAG is the metric IteratorAge: the age of the last record of the latest batches. All mappings of a function share it, and
/// CloudWatch shows it 1 to 2 minutes late.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl mappings                    all mappings
  streamctl mappings retail-processor   mappings of one function
  streamctl mappings --stream orders    mappings of one stream
  streamctl mappings -o json            with all settings")]
pub struct MappingsArgs {
    /// A bundled handler, or the name of any function
    #[arg(value_name = "FUNCTION")]
    function: Option<String>,
    /// Only mappings that read this stream, by name or ARN
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
}

pub(super) async fn run(args: MappingsArgs, session: &Session) -> Result<Exit> {
    let stream = args
        .stream
        .as_deref()
        .map(|given| shared(given, session))
        .transpose()?;
    let context = session.context().await?;
    let function = match &args.function {
        Some(name) => Some(function_name(session, context, name, &PartArgs::default()).await?),
        None => None,
    };
    let stream_arn = match &stream {
        Some(stream) => Some(arn_of(context, stream).await?),
        None => None,
    };
    let found = mapping::list(context, function.as_deref(), stream_arn.as_deref()).await?;
    let printer = session.printer();
    if found.is_empty() {
        printer.note(match args.function.is_some() || args.stream.is_some() {
            true => "There is no such event source mapping; `streamctl attach FUNCTION --stream STREAM` creates one",
            false => "There are no event source mappings here; `streamctl attach FUNCTION --stream STREAM` creates one",
        });
        if matches!(printer.format(), Format::Table | Format::Text) {
            return Ok(Exit::Done);
        }
    }
    let mut functions: Vec<&str> = found.iter().map(Mapping::function).collect();
    functions.dedup();
    // Without metrics the mappings are still of use.
    let ages = match mapping::iterator_ages(context, &functions).await {
        Ok(ages) => ages,
        Err(error) => {
            printer.warn(&error.chain().join(": "));
            BTreeMap::new()
        }
    };
    let mappings = found.iter().map(|mapping| Row::new(mapping, &ages)).collect();
    printer.report(&MappingsReport { mappings })?;
    Ok(Exit::Done)
}

/// JSON is an array of mappings, a stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct MappingsReport {
    mappings: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MappingEntry"))]
struct Row {
    function: String,
    stream: String,
    /// The UUID.
    id: String,
    /// `Enabled`, `Disabled`, or a transitional state such as `Enabling`.
    state: String,
    state_reason: String,
    last_result: String,
    /// Age of the last record that the function was given; `None` without a value of the last 15 minutes.
    iterator_age_ms: Option<f64>,
    function_arn: String,
    stream_arn: String,
    settings: Settings,
}

impl Row {
    fn new(mapping: &Mapping, ages: &BTreeMap<String, f64>) -> Self {
        Self {
            function: mapping.function().to_owned(),
            stream: mapping.stream().to_owned(),
            id: mapping.id.clone(),
            state: mapping.state.clone(),
            state_reason: mapping.state_reason.clone(),
            last_result: mapping.last_result.clone(),
            iterator_age_ms: ages.get(mapping.function()).copied(),
            function_arn: mapping.function_arn.clone(),
            stream_arn: mapping.stream_arn.clone(),
            settings: mapping.settings.clone(),
        }
    }

    fn word(&self, name: &str) -> String {
        let words = self.settings.in_words();
        let found = words.into_iter().find(|(known, _)| *known == name);
        or_dash(found.and_then(|(_, value)| value))
    }

    fn lag(&self) -> String {
        or_dash(self.iterator_age_ms.map(units::milliseconds))
    }

    /// `queue failed` instead of the ARN.
    fn on_failure(&self) -> String {
        let arn = self.settings.on_failure.as_deref().unwrap_or_default();
        let kind = match arn.split(':').nth(2) {
            Some("sqs") => "queue",
            Some("sns") => "topic",
            Some("s3") => "bucket",
            _ => return "-".to_owned(),
        };
        format!("{kind} {}", mapping::resource_name(arn))
    }

    /// The lines below the first one.
    fn more(&self) -> Vec<(&'static str, String)> {
        let mut more = vec![("reads", self.stream.clone())];
        if !self.last_result.is_empty() {
            more.push(("last result", self.last_result.clone()));
        }
        if self.on_failure() != "-" {
            more.push(("on failure", self.on_failure()));
        }
        more
    }

    fn last(&self) -> &str {
        match self.last_result.as_str() {
            "" => "-",
            result => result,
        }
    }
}

impl MappingsReport {
    /// One line for each mapping, and below it stream, last result and on-failure destination. Names are not broken: a name
    /// that is too long for its column has its own line.
    fn lines(&self, width: usize) -> String {
        let length = |text: &str| text.chars().count();
        let headings = ["FUNCTION", "STATE", "BATCH", "WINDOW", "FROM", "LAG"].map(str::to_owned);
        let facts = |row: &Row| {
            [
                row.function.clone(),
                row.state.clone(),
                row.word("batch_size"),
                row.word("window_seconds"),
                row.word("starting_position"),
                row.lag(),
            ]
        };
        let all: Vec<[String; 6]> = std::iter::once(headings)
            .chain(self.mappings.iter().map(facts))
            .collect();
        let widest = |column: usize| all.iter().map(|row| length(&row[column])).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(widest).collect();
        let others: usize = widths[1..].iter().map(|width| width + 2).sum();
        let first = widths[0]
            .min(width.saturating_sub(others))
            .max(length("FUNCTION"));
        let mut text = String::new();
        for (index, row) in all.iter().enumerate() {
            let mut line = row[0].clone();
            if length(&line) > first {
                text.push_str(&line);
                text.push('\n');
                line.clear();
            }
            line = format!("{line:first$}");
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                line.push_str(&format!("  {cell:width$}"));
            }
            text.push_str(line.trim_end());
            text.push('\n');
            let mapping = index.checked_sub(1).and_then(|index| self.mappings.get(index));
            for (name, value) in mapping.map(Row::more).unwrap_or_default() {
                let name = format!("  {name:LABEL$}");
                let wrapped = wrap(&value, width.saturating_sub(length(&name)));
                for (index, part) in wrapped.iter().enumerate() {
                    let begin = if index == 0 { name.as_str() } else { "" };
                    text.push_str(&format!("{begin:indent$}{part}\n", indent = length(&name)));
                }
            }
        }
        text
    }
}

impl Report for MappingsReport {
    fn table(&self, _style: &Style) -> String {
        if self.mappings.is_empty() {
            return String::new();
        }
        self.lines(width())
    }

    fn text(&self) -> String {
        lines(self.mappings.iter().map(|row| {
            [
                row.function.clone(),
                row.stream.clone(),
                row.state.clone(),
                row.word("batch_size"),
                row.word("window_seconds"),
                row.word("starting_position"),
                row.last().to_owned(),
                or_dash(row.iterator_age_ms),
                row.on_failure(),
                row.id.clone(),
            ]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::functions::mapping::StartingPosition;

    #[test]
    fn people_get_a_table_of_eighty_columns() {
        let mapping = Mapping {
            id: "1".to_owned(),
            function_arn: "arn:aws:lambda:us-east-1:000000000000:function:retail-event-processor-dev"
                .to_owned(),
            stream_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/retail-events-stream-dev".to_owned(),
            state: "Enabled".to_owned(),
            last_result: "PROBLEM: Function call failed".to_owned(),
            settings: Settings {
                batch_size: Some(100),
                window_seconds: Some(5),
                on_failure: Some("arn:aws:sqs:us-east-1:000000000000:failed-events-dlq-dev".to_owned()),
                starting_position: Some(StartingPosition::Latest),
                ..Settings::default()
            },
            ..Mapping::default()
        };
        let ages = BTreeMap::from([("retail-event-processor-dev".to_owned(), 1250.0)]);
        let report = MappingsReport {
            mappings: vec![Row::new(&mapping, &ages)],
        };
        insta::assert_snapshot!(report.lines(80), @r"
        FUNCTION                    STATE    BATCH  WINDOW  FROM    LAG
        retail-event-processor-dev  Enabled  100    5s      latest  1.2 s
          reads        retail-events-stream-dev
          last result  PROBLEM: Function call failed
          on failure   queue failed-events-dlq-dev
        ");
        let narrow = report.lines(60);
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        insta::assert_snapshot!(report.text().replace('\t', " | "), @"retail-event-processor-dev | retail-events-stream-dev | Enabled | 100 | 5s | latest | PROBLEM: Function call failed | 1250 | queue failed-events-dlq-dev | 1");
    }
}
