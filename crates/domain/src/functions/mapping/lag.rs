//! How far functions are behind their streams, from the CloudWatch metric `IteratorAge`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};

use crate::context::Context;
use ground::error::{self, Result};

/// Range that is searched for the newest value. CloudWatch publishes with a delay of a few minutes.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Source: GetMetricData, "as many as 500 MetricDataQuery structures".
const BATCH: usize = 500;

/// Newest iterator age of each function by name, in milliseconds. Functions without a value are left out. All mappings
/// of a function share the metric.
/// Source: "Types of metrics for Lambda functions", Lambda developer guide.
///
/// # Errors
/// If CloudWatch rejects the call.
pub async fn iterator_ages(context: &Context, functions: &[&str]) -> Result<BTreeMap<String, f64>> {
    let now = SystemTime::now();
    let mut ages = BTreeMap::new();
    for batch in functions.chunks(BATCH) {
        let queries = batch.iter().enumerate().map(|(index, name)| query(index, name));
        let mut pages = context
            .cloudwatch()
            .get_metric_data()
            .set_metric_data_queries(Some(queries.collect()))
            .start_time((now - WINDOW).into())
            .end_time(now.into())
            .scan_by(ScanBy::TimestampDescending)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::aws::failed("could not read the iterator ages", e))?;
            for result in page.metric_data_results() {
                let index = result
                    .id()
                    .and_then(|id| id.strip_prefix('f')?.parse::<usize>().ok());
                let name = index.and_then(|index| batch.get(index));
                if let (Some(name), Some(newest)) = (name, result.values().first()) {
                    // CloudWatch returns the newest values first.
                    ages.entry((*name).to_owned()).or_insert(*newest);
                }
            }
        }
    }
    Ok(ages)
}

fn query(index: usize, function: &str) -> MetricDataQuery {
    let dimension = Dimension::builder().name("FunctionName").value(function).build();
    let metric = Metric::builder()
        .namespace("AWS/Lambda")
        .metric_name("IteratorAge")
        .dimensions(dimension);
    let stat = MetricStat::builder()
        .metric(metric.build())
        .period(60)
        .stat("Maximum");
    MetricDataQuery::builder()
        .id(format!("f{index}"))
        .metric_stat(stat.build())
        .build()
}
