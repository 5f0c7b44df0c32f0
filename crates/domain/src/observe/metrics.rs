//! CloudWatch metrics of streams and of what is attached to them, read with GetMetricData.
//!
//! [`specs`] is the catalogue of known metrics, and [`fetch`] reads them. A [`Selection`] is what is measured and its limits, a
//! [`Reading`] the figures, and [`verdicts`] judges them.

mod catalogue;
mod fetch;
mod resource;
mod selection;
mod verdict;
mod window;

pub use catalogue::{Among, Limit, Spec, Trouble, Unit, custom_specs, spec, specs};
pub use fetch::{Query, fetch};
pub use resource::{Kind, Resource};
pub use selection::{Limits, Reading, Selection};
pub use verdict::{Cause, Severity, Usage, Verdict, usages, verdicts};
pub use window::{MAX_RANGE_SECONDS, TimeRange};

use crate::context::Context;
use ground::error::Result;

/// Statistic of each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Sum,
    Average,
    Maximum,
}

impl Statistic {
    /// CloudWatch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "Sum",
            Self::Average => "Average",
            Self::Maximum => "Maximum",
        }
    }
}

/// A period and its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Start of the period, in seconds since the epoch.
    pub at: i64,
    pub value: f64,
    /// Number of values in an average; 1 if unknown.
    pub weight: f64,
}

/// One metric over the time range.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub resource: Resource,
    pub spec: Spec,
    /// Periods with data, oldest first. A period without data has no point.
    pub points: Vec<Point>,
    /// Whether CloudWatch returned all of the data.
    pub is_complete: bool,
}

impl Series {
    /// The total, average or maximum over the time range, by statistic; `None` without data.
    pub fn figure(&self) -> Option<f64> {
        if self.points.is_empty() {
            return None;
        }
        let values = self.points.iter().map(|point| point.value);
        Some(match self.spec.statistic {
            Statistic::Sum => values.sum(),
            Statistic::Maximum => values.fold(f64::NEG_INFINITY, f64::max),
            Statistic::Average => {
                let weight: f64 = self.points.iter().map(|point| point.weight).sum();
                let sum: f64 = self.points.iter().map(|point| point.value * point.weight).sum();
                if weight > 0.0 { sum / weight } else { 0.0 }
            }
        })
    }

    /// The largest value of a period; `None` without data.
    pub fn peak(&self) -> Option<f64> {
        self.points.iter().map(|point| point.value).reduce(f64::max)
    }

    /// The newest value; `None` without data.
    pub fn newest(&self) -> Option<f64> {
        self.points.last().map(|point| point.value)
    }

    /// A value for each period of the time range; `None` where there is no data.
    pub fn slots(&self, range: &TimeRange) -> Vec<Option<f64>> {
        let mut slots = vec![None; range.periods()];
        for point in &self.points {
            let index = (point.at - range.start).div_euclid(range.period);
            if let Some(slot) = usize::try_from(index).ok().and_then(|index| slots.get_mut(index)) {
                *slot = Some(point.value);
            }
        }
        slots
    }
}

/// The series of the metric `name` of the stream itself.
pub fn find_stream<'s>(series: &'s [Series], name: &str) -> Option<&'s Series> {
    series
        .iter()
        .find(|series| matches!(series.resource, Resource::Stream(_)) && series.spec.name == name)
}

/// All queries of `resource`.
pub fn queries(resource: &Resource) -> Vec<Query> {
    let specs = match resource.kind() {
        Some(kind) => specs(kind),
        None => custom_specs(resource.namespace()),
    };
    let query = |spec: &Spec| Query {
        resource: resource.clone(),
        spec: spec.clone(),
    };
    specs.iter().map(query).collect()
}

/// The stream-level metrics of `stream`: those with these names, or all if there are none.
///
/// # Errors
/// When a call fails.
pub async fn of_stream(
    context: &Context,
    stream: &str,
    names: &[&str],
    range: &TimeRange,
) -> Result<Vec<Series>> {
    let mut queries = queries(&Resource::Stream(stream.to_owned()));
    queries.retain(|query| names.is_empty() || names.contains(&query.spec.name.as_ref()));
    fetch(context, &queries, range).await
}

/// The shard-level metrics `names` of `shards`. CloudWatch charges for each metric that is asked for.
///
/// # Errors
/// When a call fails.
pub async fn of_shards(
    context: &Context,
    stream: &str,
    shards: &[String],
    names: &[&str],
    range: &TimeRange,
) -> Result<Vec<Series>> {
    let of_shard = |shard: &String| {
        let mut queries = queries(&Resource::Shard {
            stream: stream.to_owned(),
            shard: shard.clone(),
        });
        queries.retain(|query| names.contains(&query.spec.name.as_ref()));
        queries
    };
    let queries: Vec<Query> = shards.iter().flat_map(of_shard).collect();
    fetch(context, &queries, range).await
}

#[cfg(test)]
pub(crate) mod test_support {
    use super::*;

    /// A series of the known metric `name` with values by time.
    pub(crate) fn series(resource: Resource, name: &str, values: &[(i64, f64)]) -> Series {
        let known = resource.kind().and_then(|kind| spec(kind, name));
        Series {
            spec: known.unwrap().clone(),
            resource,
            points: values
                .iter()
                .map(|&(at, value)| Point {
                    at,
                    value,
                    weight: 1.0,
                })
                .collect(),
            is_complete: true,
        }
    }

    pub(crate) fn of_stream(name: &str, values: &[(i64, f64)]) -> Series {
        series(Resource::Stream("orders".into()), name, values)
    }
}

#[cfg(test)]
mod tests {
    use super::test_support::of_stream as series;
    use super::*;

    #[test]
    fn averages_weigh_what_is_behind_them() {
        let mut latency = series("PutRecords.Latency", &[(0, 300.0), (60, 2.0)]);
        latency.points[1].weight = 99.0;
        assert!((latency.figure().unwrap() - 4.98).abs() < 1e-9);
        assert_eq!((latency.peak(), latency.newest()), (Some(300.0), Some(2.0)));
        assert_eq!(series("IncomingBytes", &[]).figure(), None);
    }

    #[test]
    fn each_period_has_a_slot() {
        let range = TimeRange {
            start: 600,
            end: 840,
            period: 60,
        };
        let records = series("IncomingRecords", &[(600, 1.0), (780, 2.0), (900, 3.0)]);
        assert_eq!(records.slots(&range), [Some(1.0), None, None, Some(2.0)]);
        assert_eq!(records.figure(), Some(6.0));
    }
}
