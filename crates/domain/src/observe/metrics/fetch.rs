//! GetMetricData in batches and pages.

use std::collections::HashMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};

use super::catalogue::{Level, Spec, specs};
use super::{Point, Series, Statistic, TimeRange};
use ground::error::{self, Result};

/// Source: GetMetricData, "as many as 500 MetricDataQuery structures".
const BATCH: usize = 500;
const NAMESPACE: &str = "AWS/Kinesis";

/// What a query returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    /// The number of values in an average.
    Weight,
}

/// Values of one series by time.
pub(in crate::observe) type Values = Vec<(i64, f64)>;

pub(super) async fn fetch(
    client: &Client,
    stream: &str,
    shards: &[String],
    range: &TimeRange,
) -> Result<Vec<Series>> {
    let mut all: Vec<Series> = specs(Level::Stream)
        .iter()
        .map(|spec| empty(spec, None))
        .collect();
    for shard in shards {
        all.extend(
            specs(Level::Shard)
                .iter()
                .map(|spec| empty(spec, Some(shard.clone()))),
        );
    }
    fill(client, stream, &mut all, range).await?;
    Ok(all)
}

/// The shard-level metrics `names` of `shards`. CloudWatch charges for each metric that is asked for.
///
/// # Errors
/// When a call fails.
pub async fn of_shards(
    client: &Client,
    stream: &str,
    shards: &[String],
    names: &[&str],
    range: &TimeRange,
) -> Result<Vec<Series>> {
    let wanted = || {
        specs(Level::Shard)
            .iter()
            .filter(|spec| names.contains(&spec.name))
    };
    let mut all: Vec<Series> = shards
        .iter()
        .flat_map(|shard| wanted().map(|spec| empty(spec, Some(shard.clone()))))
        .collect();
    fill(client, stream, &mut all, range).await?;
    Ok(all)
}

/// The stream-level metrics `names`.
///
/// # Errors
/// When a call fails.
pub async fn of_stream(
    client: &Client,
    stream: &str,
    names: &[&str],
    range: &TimeRange,
) -> Result<Vec<Series>> {
    let wanted = specs(Level::Stream)
        .iter()
        .filter(|spec| names.contains(&spec.name));
    let mut all: Vec<Series> = wanted.map(|spec| empty(spec, None)).collect();
    fill(client, stream, &mut all, range).await?;
    Ok(all)
}

/// Reads the points of `all`.
async fn fill(client: &Client, stream: &str, all: &mut [Series], range: &TimeRange) -> Result<()> {
    let mut queries = Vec::with_capacity(all.len() + 4);
    for (index, series) in all.iter().enumerate() {
        queries.push(query(index, Part::Value, stream, series, range));
        if series.spec.statistic == Statistic::Average {
            queries.push(query(index, Part::Weight, stream, series, range));
        }
    }
    let mut found = read_queries(client, stream, &queries, range).await?;
    for (index, series) in all.iter_mut().enumerate() {
        let mut take = |part| found.remove(&id(index, part)).unwrap_or_default();
        let values = take(Part::Value);
        let weights: HashMap<i64, f64> = take(Part::Weight).into_iter().collect();
        series.points = points(values, &weights);
    }
    Ok(())
}

fn empty(spec: &'static Spec, shard: Option<String>) -> Series {
    Series {
        spec,
        shard,
        points: Vec::new(),
    }
}

fn id(index: usize, part: Part) -> String {
    match part {
        Part::Value => format!("v{index}"),
        Part::Weight => format!("w{index}"),
    }
}

fn query(index: usize, part: Part, stream: &str, series: &Series, range: &TimeRange) -> MetricDataQuery {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let mut metric = Metric::builder()
        .namespace(NAMESPACE)
        .metric_name(series.spec.name)
        .dimensions(dimension("StreamName", stream));
    if let Some(shard) = &series.shard {
        metric = metric.dimensions(dimension("ShardId", shard));
    }
    let stat = match part {
        Part::Value => series.spec.statistic.name(),
        Part::Weight => "SampleCount",
    };
    let stat = MetricStat::builder()
        .metric(metric.build())
        .period(i32::try_from(range.period).unwrap_or(i32::MAX))
        .stat(stat);
    MetricDataQuery::builder()
        .id(id(index, part))
        .metric_stat(stat.build())
        .build()
}

/// The values of each query by its id. `what` is measured, in the words of an error.
pub(in crate::observe) async fn read_queries(
    client: &Client,
    what: &str,
    queries: &[MetricDataQuery],
    range: &TimeRange,
) -> Result<HashMap<String, Values>> {
    let mut found = HashMap::new();
    for batch in queries.chunks(BATCH) {
        read_batch(client, what, batch, range, &mut found).await?;
    }
    Ok(found)
}

async fn read_batch(
    client: &Client,
    stream: &str,
    batch: &[MetricDataQuery],
    range: &TimeRange,
    found: &mut HashMap<String, Values>,
) -> Result<()> {
    let mut pages = client
        .get_metric_data()
        .set_metric_data_queries(Some(batch.to_vec()))
        .start_time(DateTime::from_secs(range.start))
        .end_time(DateTime::from_secs(range.end))
        .scan_by(ScanBy::TimestampAscending)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| error::aws::failed(format!("could not read the metrics of {stream}"), e))?;
        for result in page.metric_data_results() {
            let values = result
                .timestamps()
                .iter()
                .map(DateTime::secs)
                .zip(result.values().iter().copied());
            found
                .entry(result.id().unwrap_or_default().to_owned())
                .or_default()
                .extend(values);
        }
    }
    Ok(())
}

/// Values, oldest first, one per time.
fn points(mut values: Values, weights: &HashMap<i64, f64>) -> Vec<Point> {
    values.sort_by_key(|(at, _)| *at);
    values.dedup_by_key(|(at, _)| *at);
    let point = |(at, value)| Point {
        at,
        value,
        weight: weights.get(&at).copied().unwrap_or(1.0),
    };
    values.into_iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_stream_shard_and_statistic() {
        let range = TimeRange {
            start: 0,
            end: 3600,
            period: 60,
        };
        let spec = specs(Level::Shard).last().unwrap();
        let series = empty(spec, Some("shardId-000000000007".into()));
        let built = query(3, Part::Value, "orders", &series, &range);
        let stat = built.metric_stat().unwrap();
        let metric = stat.metric().unwrap();
        let dimensions: Vec<_> = metric.dimensions().iter().filter_map(Dimension::value).collect();
        assert_eq!(
            (built.id(), stat.stat(), stat.period()),
            (Some("v3"), Some("Maximum"), Some(60))
        );
        assert_eq!(metric.metric_name(), Some("IteratorAgeMilliseconds"));
        assert_eq!(dimensions, ["orders", "shardId-000000000007"]);
    }

    #[test]
    fn pages_join_into_one_series() {
        let weights = HashMap::from([(60, 9.0)]);
        let found = points(vec![(120, 3.0), (60, 2.0), (120, 3.0)], &weights);
        let found: Vec<_> = found.iter().map(|p| (p.at, p.value, p.weight)).collect();
        assert_eq!(found, [(60, 2.0, 9.0), (120, 3.0, 1.0)]);
    }
}
