//! The JSON form of metrics, a stable contract with scripts.

use serde::Serialize;

use super::report::{MetricsReport, Of, timestamp};
use crate::cli::shared::verdict::words;
use domain::observe::metrics::{Limit, Resource, Series, Statistic, Usage, Verdict};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MetricsReport"))]
pub(in crate::cli) struct Shape<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
    region: &'a str,
    /// In UTC, as is the end.
    start: String,
    end: String,
    period_seconds: i64,
    utilisation: Vec<UsageShape<'a>>,
    verdicts: Vec<VerdictShape<'a>>,
    metrics: Vec<MetricShape<'a>>,
}

/// Members that say what a figure is of.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ResourceShape<'a> {
    /// Its kind, such as `stream` or `function`.
    resource: &'a str,
    resource_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_name: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct UsageShape<'a> {
    #[serde(flatten)]
    resource: ResourceShape<'a>,
    metric: &'a str,
    /// In words, such as `the write limit`.
    limit: &'static str,
    /// In the unit of the metric; per second for a rate.
    peak: f64,
    limit_value: f64,
    per_second: bool,
    /// Of the limit, at the peak.
    percent: f64,
    peak_at: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct VerdictShape<'a> {
    #[serde(flatten)]
    resource: ResourceShape<'a>,
    severity: &'static str,
    text: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct MetricShape<'a> {
    name: &'a str,
    #[serde(flatten)]
    resource: ResourceShape<'a>,
    unit: &'a str,
    statistic: &'a str,
    #[serde(flatten)]
    figure: FigureShape,
    /// False if CloudWatch returned only a part of the data.
    complete: bool,
    /// Periods with data. A period without data is missing, not zero.
    datapoints: Vec<PointShape>,
}

/// `null` without data.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum FigureShape {
    Total(Option<f64>),
    Average(Option<f64>),
    Maximum(Option<f64>),
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PointShape {
    /// The begin of the period, in UTC.
    timestamp: String,
    value: f64,
}

impl<'a> Shape<'a> {
    pub(super) fn of(report: &'a MetricsReport) -> Self {
        let range = report.range();
        let name = report.of.name();
        Self {
            stream: matches!(report.of, Of::Stream(_)).then_some(name),
            function: matches!(report.of, Of::Function(_)).then_some(name),
            pipeline: matches!(report.of, Of::Pipeline(_)).then_some(name),
            region: &report.region,
            start: timestamp(range.start),
            end: timestamp(range.end),
            period_seconds: range.period,
            utilisation: report.usages.iter().map(UsageShape::of).collect(),
            verdicts: report
                .verdicts
                .iter()
                .map(|verdict| VerdictShape::of(verdict, range.period))
                .collect(),
            metrics: report.reading.series.iter().map(MetricShape::of).collect(),
        }
    }
}

impl<'a> ResourceShape<'a> {
    fn of(resource: &'a Resource) -> Self {
        Self {
            resource: resource.word(),
            resource_name: resource.name(),
            shard_id: resource.shard(),
            function_name: match resource {
                Resource::Mapping { function, .. } => Some(function),
                _ => None,
            },
        }
    }
}

impl<'a> UsageShape<'a> {
    fn of(usage: &'a Usage) -> Self {
        Self {
            resource: ResourceShape::of(&usage.resource),
            metric: &usage.spec.name,
            limit: limit(usage.limit),
            peak: usage.peak,
            limit_value: usage.of,
            per_second: usage.limit.is_rate(),
            percent: usage.share() * 100.0,
            peak_at: timestamp(usage.at),
        }
    }
}

fn limit(limit: Limit) -> &'static str {
    match limit {
        Limit::RecordsIn => "records_in",
        Limit::BytesIn => "bytes_in",
        Limit::BytesOut => "bytes_out",
        Limit::FanOutBytes => "fan_out_bytes",
        Limit::Retention => "retention",
        Limit::Timeout => "timeout",
        Limit::Concurrency => "concurrency",
        Limit::MessageRetention => "message_retention",
        Limit::ReadUnits => "read_units",
        Limit::WriteUnits => "write_units",
    }
}

impl<'a> VerdictShape<'a> {
    fn of(verdict: &'a Verdict, period: i64) -> Self {
        Self {
            resource: ResourceShape::of(&verdict.resource),
            severity: verdict.severity.word(),
            text: words(verdict, period),
        }
    }
}

impl<'a> MetricShape<'a> {
    fn of(series: &'a Series) -> Self {
        let figure = series.figure();
        let point = |at: i64, value: f64| PointShape {
            timestamp: timestamp(at),
            value,
        };
        Self {
            name: &series.spec.name,
            resource: ResourceShape::of(&series.resource),
            unit: series.spec.unit.name(),
            statistic: series.spec.statistic.name(),
            figure: match series.spec.statistic {
                Statistic::Sum => FigureShape::Total(figure),
                Statistic::Average => FigureShape::Average(figure),
                Statistic::Maximum => FigureShape::Maximum(figure),
            },
            complete: series.is_complete,
            datapoints: series.points.iter().map(|p| point(p.at, p.value)).collect(),
        }
    }
}
