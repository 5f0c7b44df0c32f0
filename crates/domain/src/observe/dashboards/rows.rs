//! The metrics of a widget: its rows, with what they repeat of the rows before, as queries.
//!
//! Source: "Metrics array format", dashboard body structure, CloudWatch API reference.

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use serde_json::{Map, Value};

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) source: Source,
    pub(super) label: String,
    /// The id that expressions of the widget use.
    id: Option<String>,
    pub(super) stat: String,
    pub(super) period: i32,
    pub(super) visible: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Expression(String),
    /// Namespace, name, then names and values of dimensions.
    Metric(Vec<String>),
}

/// The rows of a widget with the properties `properties`. What is not understood is left out.
pub(super) fn rows(properties: &Map<String, Value>) -> Vec<Row> {
    let text = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |map: &Map<String, Value>, key: &str| {
        map.get(key)
            .and_then(Value::as_i64)
            .and_then(|number| i32::try_from(number).ok())
            .filter(|seconds| *seconds >= 1)
    };
    let stat = text(properties, "stat").unwrap_or_else(|| "Average".to_owned());
    let period = number(properties, "period").unwrap_or(300);
    let mut before: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for row in properties
        .get("metrics")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(parts) = row.as_array() else { continue };
        let none = Map::new();
        let (texts, options) = match parts.split_last() {
            Some((Value::Object(options), texts)) => (texts, options),
            _ => (parts.as_slice(), &none),
        };
        let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
        let source = match text(options, "expression") {
            Some(expression) => Source::Expression(expression),
            None => {
                before = repeated(&texts, &before);
                Source::Metric(before.clone())
            }
        };
        let shown = match &source {
            Source::Expression(expression) => expression.clone(),
            Source::Metric(parts) => match parts.get(1) {
                Some(name) => name.clone(),
                None => continue,
            },
        };
        rows.push(Row {
            source,
            label: text(options, "label").unwrap_or(shown),
            id: text(options, "id"),
            stat: text(options, "stat").unwrap_or_else(|| stat.clone()),
            period: number(options, "period").unwrap_or(period),
            visible: options.get("visible").and_then(Value::as_bool).unwrap_or(true),
        });
    }
    rows
}

/// The parts of a row: `.` stands for the same part of the row before, and `...` for all parts that are not given.
fn repeated(texts: &[&str], before: &[String]) -> Vec<String> {
    if let Some(dots) = texts.iter().position(|text| *text == "...") {
        let (first, last) = (&texts[..dots], &texts[dots + 1..]);
        let end = before.len().saturating_sub(last.len()).max(first.len());
        let kept = before.get(first.len()..end).unwrap_or_default();
        let owned = |text: &&str| (*text).to_owned();
        return first
            .iter()
            .map(owned)
            .chain(kept.iter().cloned())
            .chain(last.iter().map(owned))
            .collect();
    }
    let part = |(index, text): (usize, &&str)| match *text {
        "." => before.get(index).cloned().unwrap_or_default(),
        text => text.to_owned(),
    };
    texts.iter().enumerate().map(part).collect()
}

/// The queries of the rows of one widget, with ids that begin with `prefix`, and a period of at least `period` seconds.
pub(super) fn queries(rows: &[Row], prefix: &str, period: i32) -> Vec<MetricDataQuery> {
    let renamed = |expression: &str| rename(expression, rows, prefix);
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            let query = MetricDataQuery::builder()
                .id(id(prefix, index))
                .return_data(row.visible);
            match &row.source {
                Source::Expression(expression) => query.expression(renamed(expression)).build(),
                Source::Metric(parts) => {
                    let mut metric = Metric::builder()
                        .namespace(parts.first().cloned().unwrap_or_default())
                        .metric_name(parts.get(1).cloned().unwrap_or_default());
                    for pair in parts.get(2..).unwrap_or_default().chunks_exact(2) {
                        metric =
                            metric.dimensions(Dimension::builder().name(&pair[0]).value(&pair[1]).build());
                    }
                    let stat = MetricStat::builder()
                        .metric(metric.build())
                        .period(row.period.max(period))
                        .stat(&row.stat);
                    query.metric_stat(stat.build()).build()
                }
            }
        })
        .collect()
}

pub(super) fn id(prefix: &str, index: usize) -> String {
    format!("{prefix}_{index}")
}

/// `expression` with the ids of the widget replaced by those of the call, since two widgets may use the same id.
fn rename(expression: &str, rows: &[Row], prefix: &str) -> String {
    let mut renamed = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let (before, from) = rest.split_at(start);
        let end = from
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        renamed.push_str(before);
        match rows.iter().position(|row| row.id.as_deref() == Some(word)) {
            Some(index) => renamed.push_str(&id(prefix, index)),
            None => renamed.push_str(word),
        }
        rest = after;
    }
    renamed + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(properties: Value) -> Vec<Row> {
        rows(properties.as_object().unwrap())
    }

    #[test]
    fn rows_repeat_the_rows_before() {
        let rows = of(json!({"stat": "Sum", "period": 60, "metrics": [
            ["AWS/Kinesis", "IncomingRecords", "StreamName", "orders"],
            [".", "IncomingBytes", ".", ".", {"stat": "Average", "label": "bytes"}],
            ["...", "clicks"],
            [{"expression": "m1 / 60", "id": "e1"}],
        ]}));
        let parts: Vec<String> = rows
            .iter()
            .map(|row| match &row.source {
                Source::Metric(parts) => format!("{} {}", row.stat, parts.join(" ")),
                Source::Expression(expression) => expression.clone(),
            })
            .collect();
        assert_eq!(
            parts,
            [
                "Sum AWS/Kinesis IncomingRecords StreamName orders",
                "Average AWS/Kinesis IncomingBytes StreamName orders",
                "Sum AWS/Kinesis IncomingBytes StreamName clicks",
                "m1 / 60",
            ]
        );
        assert_eq!(rows[1].label, "bytes");
    }

    #[test]
    fn expressions_use_the_ids_of_the_call() {
        let rows = of(json!({"metrics": [
            ["App", "Failed", {"id": "failed", "visible": false}],
            ["App", "All", {"id": "all", "visible": false}],
            [{"expression": "100 * failed / FILL(all, 1)", "label": "share"}],
        ]}));
        let queries = queries(&rows, "w3", 60);
        assert_eq!(queries[2].expression(), Some("100 * w3_0 / FILL(w3_1, 1)"));
        assert_eq!(queries[0].return_data(), Some(false));
        assert_eq!(queries[0].id(), Some("w3_0"));
    }

    proptest! {
        #[test]
        fn arbitrary_rows_do_not_panic(texts in prop::collection::vec(prop::collection::vec("[.a]{0,3}", 0..6), 0..5)) {
            let rows = of(json!({ "metrics": texts }));
            let _ = queries(&rows, "w", 60);
        }
    }
}
