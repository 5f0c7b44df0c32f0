//! The CloudWatch metrics of what is examined: the last hour, minute by minute, read with one GetMetricData. The metrics
//! are those of the catalogue in [`crate::observe::metrics`].

use std::collections::{BTreeMap, BTreeSet};

use crate::context::Context;
use crate::observe::metrics::{self, Kind, Query, Resource, Spec, Statistic, TimeRange};
use ground::error::Result;

/// Range that is read, in seconds.
pub const RANGE: i64 = 3_600;

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
    fn key(self) -> (Kind, &'static str, Statistic) {
        match self {
            Self::RecordsIn => (Kind::Stream, "IncomingRecords", Statistic::Sum),
            Self::BytesIn => (Kind::Stream, "IncomingBytes", Statistic::Sum),
            Self::WriteThrottles => (Kind::Stream, "WriteProvisionedThroughputExceeded", Statistic::Sum),
            Self::ReadThrottles => (Kind::Stream, "ReadProvisionedThroughputExceeded", Statistic::Sum),
            Self::RecordsOut => (Kind::Stream, "GetRecords.Records", Statistic::Sum),
            Self::StreamAge => (
                Kind::Stream,
                "GetRecords.IteratorAgeMilliseconds",
                Statistic::Maximum,
            ),
            Self::Invocations => (Kind::Function, "Invocations", Statistic::Sum),
            Self::Errors => (Kind::Function, "Errors", Statistic::Sum),
            Self::Throttles => (Kind::Function, "Throttles", Statistic::Sum),
            Self::LongestDuration => (Kind::Function, "Duration", Statistic::Maximum),
            Self::AverageDuration => (Kind::Function, "Duration", Statistic::Average),
            Self::FunctionAge => (Kind::Function, "IteratorAge", Statistic::Maximum),
            Self::Concurrency => (Kind::Function, "ConcurrentExecutions", Statistic::Maximum),
            Self::DeliveryFailures => (Kind::Function, "DestinationDeliveryFailures", Statistic::Sum),
            Self::AccountConcurrency => (Kind::Account, "ConcurrentExecutions", Statistic::Maximum),
            Self::Messages => (
                Kind::Queue,
                "ApproximateNumberOfMessagesVisible",
                Statistic::Maximum,
            ),
            Self::OldestMessage => (Kind::Queue, "ApproximateAgeOfOldestMessage", Statistic::Maximum),
            Self::UnitsWritten => (Kind::Table, "ConsumedWriteCapacityUnits", Statistic::Sum),
        }
    }
    fn spec(self) -> Option<&'static Spec> {
        let (kind, name, statistic) = self.key();
        let mut all = metrics::specs(kind).iter();
        all.find(|spec| spec.name == name && spec.statistic == statistic)
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

/// The resource `name` of `kind`; `None` for a kind that is not measured here.
fn resource(kind: Kind, name: &str) -> Option<Resource> {
    let name = name.to_owned();
    Some(match kind {
        Kind::Stream => Resource::Stream(name),
        Kind::Function => Resource::Function(name),
        Kind::Account => Resource::Account,
        Kind::Queue => Resource::Queue(name),
        Kind::Table => Resource::Table(name),
        Kind::Shard | Kind::Consumer | Kind::Mapping => return None,
    })
}

/// Reads the metrics of `subjects`, each a name and what it is of.
///
/// # Errors
/// When CloudWatch refuses the call.
pub(super) async fn read(
    context: &Context,
    subjects: &BTreeSet<(Kind, String)>,
    now: i64,
) -> Result<Measured> {
    let range = TimeRange::last(RANGE, Some(60), now)?;
    let (mut keys, mut queries) = (Vec::new(), Vec::new());
    for (kind, name) in subjects {
        let Some(resource) = resource(*kind, name) else {
            continue;
        };
        for metric in ALL.into_iter().filter(|metric| metric.key().0 == *kind) {
            let Some(spec) = metric.spec() else { continue };
            keys.push((metric, name.clone()));
            queries.push(Query {
                resource: resource.clone(),
                spec: spec.clone(),
            });
        }
    }
    let found = metrics::fetch(context, &queries, &range).await?;
    let values = keys
        .into_iter()
        .zip(found)
        .map(|(key, series)| {
            let points = series.points.iter().map(|point| (point.at, point.value));
            (key, points.collect::<Vec<Point>>())
        })
        .filter(|(_, points)| !points.is_empty());
    Ok(Measured {
        now,
        values: values.collect(),
    })
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
    fn each_metric_is_in_the_catalogue() {
        for metric in ALL {
            assert!(metric.spec().is_some(), "{metric:?}");
            let resource = resource(metric.key().0, "orders").unwrap();
            assert_eq!(resource.kind(), Some(metric.key().0));
        }
    }
}
