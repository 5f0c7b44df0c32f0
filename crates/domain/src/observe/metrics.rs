//! A stream's metrics over a time range, read with GetMetricData.
//!
//! Source of names and statistics: "Monitoring the Amazon Kinesis Data Streams Service with Amazon CloudWatch",
//! Kinesis developer guide.

mod catalogue;
pub(in crate::observe) mod fetch;
mod window;

use aws_sdk_kinesis::types::StreamMode;

pub use catalogue::{Level, Spec, Unit, specs};
pub(super) use fetch::{of_shards, of_stream};
pub use window::{MAX_RANGE_SECONDS, TimeRange};

use crate::context::Context;
use crate::stream::{Listing, shards};
use ground::error::{self, Result};

/// Write limits of a shard per second. Source: "Quotas and limits", Kinesis developer guide.
const SHARD_BYTES: f64 = 1024.0 * 1024.0;
const SHARD_RECORDS: f64 = 1000.0;

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
    pub spec: &'static Spec,
    /// The shard, for shard-level metrics.
    pub shard: Option<String>,
    /// Periods with data, oldest first.
    pub points: Vec<Point>,
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

/// Share of the write capacity used in the busiest period, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Utilisation {
    /// Open shards now.
    pub shards: i32,
    /// Of 1 MiB/s per shard; `None` without data.
    pub bytes: Option<f64>,
    /// Of 1,000 records/s per shard; `None` without data.
    pub records: Option<f64>,
}

/// All metrics of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamMetrics {
    pub stream: String,
    pub region: String,
    pub range: TimeRange,
    /// The metrics, in display order: of the stream first, then shard by shard.
    pub series: Vec<Series>,
    /// For provisioned streams only.
    pub utilisation: Option<Utilisation>,
}

impl StreamMetrics {
    /// Whether there is no data at all.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }
}

/// Reads the metrics of `stream` over `range`; with `shard_level` also those of each shard.
///
/// # Errors
/// When the stream does not exist or a call fails.
pub async fn read(
    context: &Context,
    stream: &str,
    range: TimeRange,
    shard_level: bool,
) -> Result<StreamMetrics> {
    let what = || format!("could not read the stream {stream}");
    let summary = context
        .kinesis()
        .describe_stream_summary()
        .stream_name(stream)
        .send()
        .await
        .map_err(|e| error::aws::failed(what(), e))?;
    let ids = if shard_level {
        // Closed shards too: they may have data in the time range.
        let all = shards::list(context, stream, &Listing::All).await?;
        all.all().iter().map(|shard| shard.id.clone()).collect()
    } else {
        Vec::new()
    };
    let series = fetch::fetch(context.cloudwatch(), stream, &ids, &range).await?;
    let description = summary.stream_description_summary();
    let on_demand = description
        .and_then(|description| description.stream_mode_details())
        .is_some_and(|details| details.stream_mode() == &StreamMode::OnDemand);
    let open = description.map_or(0, |description| description.open_shard_count());
    Ok(StreamMetrics {
        stream: stream.to_owned(),
        region: context.region().to_owned(),
        utilisation: (!on_demand && open > 0).then(|| utilisation(&series, &range, open)),
        series,
        range,
    })
}

fn utilisation(series: &[Series], range: &TimeRange, shards: i32) -> Utilisation {
    let percent = |name: &str, per_shard: f64| {
        let found = series
            .iter()
            .find(|series| series.shard.is_none() && series.spec.name == name)?;
        Some(found.peak()? / range.period_seconds() / (per_shard * f64::from(shards)) * 100.0)
    };
    Utilisation {
        shards,
        bytes: percent("IncomingBytes", SHARD_BYTES),
        records: percent("IncomingRecords", SHARD_RECORDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[(i64, f64, f64)]) -> Series {
        Series {
            spec: specs(Level::Stream)
                .iter()
                .find(|spec| spec.name == name)
                .unwrap(),
            shard: None,
            points: values
                .iter()
                .map(|&(at, value, weight)| Point { at, value, weight })
                .collect(),
        }
    }

    #[test]
    fn averages_weigh_what_is_behind_them() {
        let latency = series("PutRecords.Latency", &[(0, 300.0, 1.0), (60, 2.0, 99.0)]);
        assert!((latency.figure().unwrap() - 4.98).abs() < 1e-9);
        assert_eq!(latency.peak(), Some(300.0));
        assert_eq!(series("IncomingBytes", &[]).figure(), None);
    }

    #[test]
    fn each_period_has_a_slot() {
        let range = TimeRange {
            start: 600,
            end: 840,
            period: 60,
        };
        let records = series(
            "IncomingRecords",
            &[(600, 1.0, 1.0), (780, 2.0, 1.0), (900, 3.0, 1.0)],
        );
        assert_eq!(records.slots(&range), [Some(1.0), None, None, Some(2.0)]);
        assert_eq!(records.figure(), Some(6.0));
    }

    #[test]
    fn utilisation_is_that_of_the_busiest_period() {
        let range = TimeRange {
            start: 0,
            end: 120,
            period: 60,
        };
        let all = [series(
            "IncomingRecords",
            &[(0, 6_000.0, 1.0), (60, 60_000.0, 1.0)],
        )];
        let found = utilisation(&all, &range, 2);
        assert_eq!((found.records, found.bytes), (Some(50.0), None));
    }
}
