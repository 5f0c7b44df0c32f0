//! `streamctl mappings`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::Session;
use super::function::function_name;
use super::template::PartArgs;
use crate::error::Result;
use crate::exit::Exit;
use crate::functions::mapping::{self, Mapping, Settings};
use crate::ui::{Format, Report, Style, table, units};

/// Show which functions read which streams, and how they are doing
///
/// LAG is the age of the last record of the newest batches (the metric IteratorAge), shared by all mappings of a
/// function; CloudWatch shows it a minute or two late.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl mappings                    every mapping of the target
  streamctl mappings retail-processor   those of one function
  streamctl mappings --stream orders    those that read one stream
  streamctl mappings -o json            with every setting")]
pub struct MappingsArgs {
    /// A bundled handler, or the name of any function
    #[arg(value_name = "FUNCTION")]
    function: Option<String>,
    /// Only mappings that read this stream
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
}

pub(super) async fn run(args: MappingsArgs, session: &Session) -> Result<Exit> {
    let context = session.context().await?;
    let function = match &args.function {
        Some(name) => Some(function_name(session, context, name, &PartArgs::default()).await?),
        None => None,
    };
    let stream_arn = match &args.stream {
        Some(stream) => {
            crate::stream::check_name(stream)?;
            Some(context.stream_arn(stream).await?)
        }
        None => None,
    };
    let found = mapping::list(context, function.as_deref(), stream_arn.as_deref()).await?;
    let printer = session.printer();
    if found.is_empty() {
        printer.note(match args.function.is_some() || args.stream.is_some() {
            true => "There is no such event source mapping; `streamctl attach` makes one",
            false => "There are no event source mappings here; `streamctl attach` makes one",
        });
        if matches!(printer.format(), Format::Table | Format::Text) {
            return Ok(Exit::Done);
        }
    }
    let mut functions: Vec<&str> = found.iter().map(Mapping::function).collect();
    functions.dedup();
    // Figures are no reason to show nothing.
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

/// The mappings; JSON is an array of them. A stable contract with scripts.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct MappingsReport {
    mappings: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    function: String,
    stream: String,
    id: String,
    state: String,
    state_reason: String,
    last_result: String,
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
        found
            .and_then(|(_, value)| value)
            .unwrap_or_else(|| "-".to_owned())
    }

    fn lag(&self) -> String {
        self.iterator_age_ms
            .map_or_else(|| "-".to_owned(), units::milliseconds)
    }

    /// `queue failed`, not the whole ARN.
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

    fn last(&self) -> &str {
        match self.last_result.as_str() {
            "" => "-",
            result => result,
        }
    }
}

impl MappingsReport {
    /// A line of facts a mapping, and one of settings: all of them do not fit 80 columns side by side.
    fn rows(&self) -> comfy_table::Table {
        let mut rows = table([
            "FUNCTION / STREAM",
            "STATE",
            "BATCH",
            "FROM",
            "LAG",
            "LAST RESULT / ON FAILURE",
        ]);
        for row in &self.mappings {
            rows.add_row([
                format!("{}\n  {}", row.function, row.stream),
                row.state.clone(),
                format!("{}\n{}", row.word("batch_size"), row.word("window_seconds")),
                row.word("starting_position"),
                row.lag(),
                format!("{}\n{}", row.last(), row.on_failure()),
            ]);
        }
        rows
    }
}

impl Report for MappingsReport {
    fn table(&self, _style: &Style) -> String {
        self.rows().trim_fmt()
    }

    fn text(&self) -> String {
        let line = |row: &Row| {
            let age = row
                .iterator_age_ms
                .map_or_else(|| "-".to_owned(), |age| age.to_string());
            [
                row.function.clone(),
                row.stream.clone(),
                row.state.clone(),
                row.word("batch_size"),
                row.word("window_seconds"),
                row.word("starting_position"),
                row.last().to_owned(),
                age,
                row.on_failure(),
                row.id.clone(),
            ]
            .join("\t")
        };
        self.mappings.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::mapping::StartingPosition;

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
        let shown = report.rows().set_width(80).trim_fmt();
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        insta::assert_snapshot!(report.text().replace('\t', " | "), @"retail-event-processor-dev | retail-events-stream-dev | Enabled | 100 | 5s | latest | PROBLEM: Function call failed | 1250 | queue failed-events-dlq-dev | 1");
    }
}
