//! The CloudWatch metrics of what is examined: the last hour, minute by minute, read with one GetMetricData.
//!
//! Source of names and statistics: "Monitoring … with Amazon CloudWatch" in the developer guides of Kinesis, Lambda, SQS
//! and DynamoDB.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::{Dimension, Metric as SdkMetric, MetricDataQuery, MetricStat};

use crate::context::Context;
use crate::observe::metrics::{TimeRange, fetch};
use ground::error::Result;

/// Range that is read, in seconds.
pub const RANGE: i64 = 3_600;

/// What a metric is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Stream,
    Function,
    /// All functions of the account.
    Functions,
    Queue,
    Table,
}

impl Of {
    fn namespace(self) -> &'static str {
        match self {
            Self::Stream => "AWS/Kinesis",
            Self::Function | Self::Functions => "AWS/Lambda",
            Self::Queue => "AWS/SQS",
            Self::Table => "AWS/DynamoDB",
        }
    }

    fn dimension(self) -> Option<&'static str> {
        match self {
            Self::Stream => Some("StreamName"),
            Self::Function => Some("FunctionName"),
            Self::Functions => None,
            Self::Queue => Some("QueueName"),
            Self::Table => Some("TableName"),
        }
    }
}

/// A metric and its statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    RecordsIn,
    BytesIn,
    WriteThrottles,
    ReadThrottles,
    RecordsOut,
    /// Age of the last record that GetRecords returned, in milliseconds.
    StreamAge,
    Invocations,
    Errors,
    Throttles,
    /// In milliseconds.
    LongestDuration,
    /// In milliseconds.
    AverageDuration,
    /// Age of the last record of a batch, in milliseconds.
    FunctionAge,
    Concurrency,
    DeliveryFailures,
    AccountConcurrency,
    /// Messages that can be received.
    Messages,
    /// In seconds.
    OldestMessage,
    UnitsWritten,
}

const ALL: [Metric; 18] = [
    Metric::RecordsIn,
    Metric::BytesIn,
    Metric::WriteThrottles,
    Metric::ReadThrottles,
    Metric::RecordsOut,
    Metric::StreamAge,
    Metric::Invocations,
    Metric::Errors,
    Metric::Throttles,
    Metric::LongestDuration,
    Metric::AverageDuration,
    Metric::FunctionAge,
    Metric::Concurrency,
    Metric::DeliveryFailures,
    Metric::AccountConcurrency,
    Metric::Messages,
    Metric::OldestMessage,
    Metric::UnitsWritten,
];

impl Metric {
    /// What it is of, CloudWatch's name, and the statistic.
    fn spec(self) -> (Of, &'static str, &'static str) {
        match self {
            Self::RecordsIn => (Of::Stream, "IncomingRecords", "Sum"),
            Self::BytesIn => (Of::Stream, "IncomingBytes", "Sum"),
            Self::WriteThrottles => (Of::Stream, "WriteProvisionedThroughputExceeded", "Sum"),
            Self::ReadThrottles => (Of::Stream, "ReadProvisionedThroughputExceeded", "Sum"),
            Self::RecordsOut => (Of::Stream, "GetRecords.Records", "Sum"),
            Self::StreamAge => (Of::Stream, "GetRecords.IteratorAgeMilliseconds", "Maximum"),
            Self::Invocations => (Of::Function, "Invocations", "Sum"),
            Self::Errors => (Of::Function, "Errors", "Sum"),
            Self::Throttles => (Of::Function, "Throttles", "Sum"),
            Self::LongestDuration => (Of::Function, "Duration", "Maximum"),
            Self::AverageDuration => (Of::Function, "Duration", "Average"),
            Self::FunctionAge => (Of::Function, "IteratorAge", "Maximum"),
            Self::Concurrency => (Of::Function, "ConcurrentExecutions", "Maximum"),
            Self::DeliveryFailures => (Of::Function, "DestinationDeliveryFailures", "Sum"),
            Self::AccountConcurrency => (Of::Functions, "ConcurrentExecutions", "Maximum"),
            Self::Messages => (Of::Queue, "ApproximateNumberOfMessagesVisible", "Maximum"),
            Self::OldestMessage => (Of::Queue, "ApproximateAgeOfOldestMessage", "Maximum"),
            Self::UnitsWritten => (Of::Table, "ConsumedWriteCapacityUnits", "Sum"),
        }
    }
}

/// Start of a minute, in seconds since the epoch, and its value.
pub type Point = (i64, f64);

/// The values of the last hour.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Now, in seconds since the epoch.
    pub now: i64,
    values: BTreeMap<(Metric, String), Vec<Point>>,
}

impl Measured {
    /// Minutes with data, oldest first.
    pub fn points(&self, metric: Metric, name: &str) -> &[Point] {
        let found = self.values.get(&(metric, name.to_owned()));
        found.map_or(&[], Vec::as_slice)
    }

    /// The total; `None` without data.
    pub fn sum(&self, metric: Metric, name: &str) -> Option<f64> {
        let points = self.points(metric, name);
        (!points.is_empty()).then(|| points.iter().map(|(_, value)| value).sum())
    }

    /// The total of the minutes that began at least `seconds` ago; 0 without data.
    pub fn sum_before(&self, metric: Metric, name: &str, seconds: i64) -> f64 {
        let old = |(at, _): &&Point| *at <= self.now - seconds;
        let points = self.points(metric, name).iter().filter(old);
        points.map(|(_, value)| value).sum()
    }

    /// The largest value; `None` without data.
    pub fn max(&self, metric: Metric, name: &str) -> Option<f64> {
        let values = self.points(metric, name).iter().map(|(_, value)| *value);
        values.reduce(f64::max)
    }

    /// The newest value; `None` without data.
    pub fn newest(&self, metric: Metric, name: &str) -> Option<f64> {
        self.points(metric, name).last().map(|(_, value)| *value)
    }

    #[cfg(test)]
    pub(super) fn of(now: i64, series: &[(Metric, &str, &[Point])]) -> Self {
        let series = series.iter();
        Self {
            now,
            values: series
                .map(|(metric, name, points)| ((*metric, (*name).to_owned()), points.to_vec()))
                .collect(),
        }
    }
}

/// Reads the metrics of `subjects`, each a name and what it is of.
///
/// # Errors
/// When CloudWatch refuses the call.
pub(super) async fn read(context: &Context, subjects: &BTreeSet<(Of, String)>, now: i64) -> Result<Measured> {
    let range = TimeRange::last(RANGE, Some(60), now)?;
    let keys: Vec<(Metric, &str)> = subjects
        .iter()
        .flat_map(|(of, name)| {
            let of_it = ALL.into_iter().filter(move |metric| metric.spec().0 == *of);
            of_it.map(move |metric| (metric, name.as_str()))
        })
        .collect();
    let queries: Vec<MetricDataQuery> = keys
        .iter()
        .enumerate()
        .map(|(index, (metric, name))| query(index, *metric, name))
        .collect();
    let client = context.cloudwatch();
    let mut found = match queries.is_empty() {
        true => Default::default(),
        false => fetch::read_queries(client, "streams and functions", &queries, &range).await?,
    };
    let values = keys
        .into_iter()
        .enumerate()
        .filter_map(|(index, (metric, name))| {
            let mut points = found.remove(&id(index))?;
            points.sort_by_key(|(at, _)| *at);
            Some(((metric, name.to_owned()), points))
        });
    Ok(Measured {
        now,
        values: values.collect(),
    })
}

fn id(index: usize) -> String {
    format!("m{index}")
}

fn query(index: usize, metric: Metric, name: &str) -> MetricDataQuery {
    let (of, metric, statistic) = metric.spec();
    let dimension = |key: &str| Dimension::builder().name(key).value(name).build();
    let metric = SdkMetric::builder()
        .namespace(of.namespace())
        .metric_name(metric)
        .set_dimensions(of.dimension().map(|key| vec![dimension(key)]));
    let stat = MetricStat::builder()
        .metric(metric.build())
        .period(60)
        .stat(statistic);
    MetricDataQuery::builder()
        .id(id(index))
        .metric_stat(stat.build())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_data_is_missing_and_not_zero() {
        let points = [(600, 2.0), (660, 5.0), (720, 1.0)];
        let measured = Measured::of(800, &[(Metric::Errors, "scorer", &points)]);
        assert_eq!(measured.sum(Metric::Errors, "scorer"), Some(8.0));
        assert_eq!(measured.sum_before(Metric::Errors, "scorer", 140), 7.0);
        assert_eq!(measured.max(Metric::Errors, "scorer"), Some(5.0));
        assert_eq!(measured.newest(Metric::Errors, "scorer"), Some(1.0));
        assert_eq!(measured.sum(Metric::Errors, "other"), None);
        assert_eq!(measured.max(Metric::Throttles, "scorer"), None);
    }

    #[test]
    fn a_query_names_the_dimension_of_what_it_measures() {
        let built = query(3, Metric::OldestMessage, "failed");
        let stat = built.metric_stat().unwrap();
        let metric = stat.metric().unwrap();
        let dimension = metric.dimensions().first().unwrap();
        assert_eq!(
            (
                metric.namespace(),
                dimension.name(),
                dimension.value(),
                stat.stat()
            ),
            (
                Some("AWS/SQS"),
                Some("QueueName"),
                Some("failed"),
                Some("Maximum")
            )
        );
        let account = query(0, Metric::AccountConcurrency, "");
        assert!(
            account
                .metric_stat()
                .unwrap()
                .metric()
                .unwrap()
                .dimensions()
                .is_empty()
        );
    }
}
