//! Which metrics a chart shows together.

use super::report::{MetricsReport, heading};
use crate::cli::shared::verdict::amount;
use crate::ui::chart::{Chart, Line, Panel};
use domain::observe::metrics::{Kind, Limit, Resource, Series, Statistic, Unit};

/// The metrics of one pair of axes: title, and CloudWatch's names.
type Group = (&'static str, &'static [&'static str]);

const STREAM: &[Group] = &[
    ("records/s", &["IncomingRecords", "GetRecords.Records"]),
    ("bytes/s", &["IncomingBytes", "GetRecords.Bytes"]),
    (
        "refused",
        &[
            "WriteProvisionedThroughputExceeded",
            "ReadProvisionedThroughputExceeded",
            "PutRecords.FailedRecords",
        ],
    ),
    ("iterator age", &["GetRecords.IteratorAgeMilliseconds"]),
    (
        "latency",
        &["PutRecord.Latency", "PutRecords.Latency", "GetRecords.Latency"],
    ),
];
const CONSUMER: &[Group] = &[
    ("bytes/s", &["SubscribeToShardEvent.Bytes"]),
    ("behind latest", &["SubscribeToShardEvent.MillisBehindLatest"]),
];
const FUNCTION: &[Group] = &[
    ("invocations", &["Invocations", "Errors", "Throttles"]),
    ("duration", &["Duration"]),
    ("concurrency", &["ConcurrentExecutions"]),
    ("iterator age", &["IteratorAge"]),
];
const MAPPING: &[Group] = &[(
    "records",
    &[
        "PolledEventCount",
        "InvokedEventCount",
        "FilteredOutEventCount",
        "FailedInvokeEventCount",
        "DroppedEventCount",
    ],
)];
const QUEUE: &[Group] = &[
    ("messages", &["ApproximateNumberOfMessagesVisible"]),
    ("oldest message", &["ApproximateAgeOfOldestMessage"]),
];
const TABLE: &[Group] = &[(
    "units/s",
    &["ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits"],
)];

/// The most lines of one pair of axes: as many as there are colours.
const LINES: usize = 8;

fn groups(resource: &Resource) -> &'static [Group] {
    match resource.kind() {
        Some(Kind::Stream) => STREAM,
        Some(Kind::Consumer) => CONSUMER,
        Some(Kind::Function) => FUNCTION,
        Some(Kind::Mapping) => MAPPING,
        Some(Kind::Queue) => QUEUE,
        Some(Kind::Table) => TABLE,
        Some(Kind::Shard | Kind::Account) | None => &[],
    }
}

/// What a group of series is drawn as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    /// Per second.
    Records,
    /// Per second.
    Bytes,
    Count,
    Milliseconds,
    Seconds,
    Percent,
}

impl Axis {
    fn of(title: &str, series: &Series) -> Self {
        match series.spec.unit {
            Unit::Bytes => Self::Bytes,
            Unit::Milliseconds => Self::Milliseconds,
            Unit::Seconds => Self::Seconds,
            Unit::Percent => Self::Percent,
            Unit::Count if title.ends_with("/s") => Self::Records,
            Unit::Count => Self::Count,
        }
    }

    fn is_rate(self) -> bool {
        matches!(self, Self::Records | Self::Bytes)
    }

    fn format(self) -> fn(f64) -> String {
        match self {
            Self::Records => |value| format!("{}/s", number(value)),
            Self::Bytes => |value| format!("{}/s", amount(value, Unit::Bytes)),
            Self::Count => number,
            Self::Milliseconds => |value| time(value),
            Self::Seconds => |value| time(value * 1_000.0),
            Self::Percent => |value| format!("{} %", number(value)),
        }
    }
}

/// `0`, `0.25`, `2.5`, `1,000`.
fn number(value: f64) -> String {
    match value {
        v if v <= 0.0 => "0".to_owned(),
        v if v < 10.0 && v.fract() != 0.0 => {
            let text = format!("{v:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        v => amount(v, Unit::Count),
    }
}

/// `0`, `0.25 ms`, `2.5 s`.
fn time(ms: f64) -> String {
    match ms {
        ms if ms <= 0.0 => "0".to_owned(),
        ms => amount(ms, Unit::Milliseconds),
    }
}

/// Each metric with data other than zeros on axes of its own.
pub(super) fn single(report: &MetricsReport) -> Chart {
    let combined = combined(report);
    let mut panels = Vec::new();
    for panel in combined.panels {
        for line in &panel.lines {
            let has_values = line.values.iter().flatten().any(|value| *value > 0.0);
            if has_values {
                panels.push(Panel {
                    lines: vec![Line {
                        name: match panel.title.ends_with(&line.name) {
                            true => panel.title.clone(),
                            false => format!("{}: {}", panel.title, line.name),
                        },
                        values: line.values.clone(),
                    }],
                    ..panel.clone()
                });
            }
        }
    }
    Chart { panels, ..combined }
}

/// The metrics with data, those that belong together on the same axes.
pub(super) fn combined(report: &MetricsReport) -> Chart {
    let range = report.range();
    let mut panels = Vec::new();
    let mut resources: Vec<&Resource> = Vec::new();
    for series in &report.reading.series {
        let resource = &series.resource;
        if resource.shard().is_none() && !resources.contains(&resource) {
            resources.push(resource);
            let own: Vec<&Series> = all_of(report, resource);
            match resource.kind() {
                Some(_) => panels.extend(
                    groups(resource)
                        .iter()
                        .filter_map(|(title, names)| panel(report, resource, title, &named(&own, names))),
                ),
                // What a program publishes has no common axis.
                None => panels.extend(
                    own.iter()
                        .filter_map(|series| panel(report, resource, &series.spec.label, &[*series])),
                ),
            }
        }
    }
    panels.extend(of_shards(report));
    Chart {
        title: report.title(),
        start: range.start,
        end: range.end,
        panels,
    }
}

fn all_of<'r>(report: &'r MetricsReport, resource: &Resource) -> Vec<&'r Series> {
    let all = report.reading.series.iter();
    all.filter(|series| series.resource == *resource).collect()
}

fn named<'r>(series: &[&'r Series], names: &[&str]) -> Vec<&'r Series> {
    let has_name = |series: &&&Series| names.contains(&series.spec.name.as_ref());
    series.iter().filter(has_name).copied().collect()
}

/// `None` without data.
fn panel(report: &MetricsReport, resource: &Resource, title: &str, series: &[&Series]) -> Option<Panel> {
    let series: Vec<&&Series> = series.iter().filter(|series| !series.points.is_empty()).collect();
    let axis = Axis::of(title, series.first()?);
    let lines = series
        .iter()
        .map(|series| line(report, axis, &series.spec.label, series));
    Some(Panel {
        title: match report.of.name() == resource.name() {
            true => title.to_owned(),
            false => format!("{}: {title}", heading(resource)),
        },
        lines: lines.collect(),
        format: axis.format(),
        base: match axis {
            Axis::Bytes => 1_024.0,
            _ => 1_000.0,
        },
        limit: series.iter().find_map(|series| limit(report, series)),
    })
}

fn line(report: &MetricsReport, axis: Axis, name: &str, series: &Series) -> Line {
    let seconds = match axis.is_rate() && series.spec.statistic == Statistic::Sum {
        true => report.range().period_seconds(),
        false => 1.0,
    };
    let values = series.slots(report.range()).into_iter();
    Line {
        name: name.to_owned(),
        values: values.map(|value| value.map(|value| value / seconds)).collect(),
    }
}

/// The limit of writes, of a duration and of concurrency. Retention is too far away to be compared in a chart.
fn limit(report: &MetricsReport, series: &Series) -> Option<f64> {
    let usage = report.usages.iter().find(|usage| {
        usage.resource == series.resource
            && usage.spec.name == series.spec.name
            && usage.spec.statistic == series.spec.statistic
    })?;
    match usage.limit {
        Limit::Retention | Limit::MessageRetention => None,
        _ => Some(usage.of),
    }
}

/// The records of the busiest shards on one pair of axes.
fn of_shards(report: &MetricsReport) -> Option<Panel> {
    let is_records_of_shard =
        |series: &&Series| series.resource.shard().is_some() && series.spec.name == "IncomingRecords";
    let mut shards: Vec<&Series> = report
        .reading
        .series
        .iter()
        .filter(is_records_of_shard)
        .filter(|series| !series.points.is_empty())
        .collect();
    let total = |series: &Series| series.figure().unwrap_or(0.0);
    shards.sort_by(|a, b| total(b).total_cmp(&total(a)));
    shards.truncate(LINES);
    let short = |id: &str| {
        id.trim_start_matches("shardId-")
            .trim_start_matches('0')
            .to_owned()
    };
    let lines: Vec<Line> = shards
        .iter()
        .map(|series| {
            let name = short(series.resource.name());
            let name = if name.is_empty() { "0".to_owned() } else { name };
            line(report, Axis::Records, &name, series)
        })
        .collect();
    (!lines.is_empty()).then(|| Panel {
        title: "shards, records/s".to_owned(),
        lines,
        format: Axis::Records.format(),
        base: 1_000.0,
        limit: shards.first().and_then(|series| limit(report, series)),
    })
}
