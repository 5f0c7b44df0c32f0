//! How far functions are behind their streams, from the CloudWatch metric `IteratorAge`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::context::Context;
use crate::observe::metrics::{self, Kind, Query, Resource, TimeRange};
use ground::error::Result;

/// Seconds that are searched for the newest value. CloudWatch publishes with a delay of a few minutes.
const SEARCHED: i64 = 15 * 60;

/// Newest iterator age of each function by name, in milliseconds. Functions without a value are left out. All mappings
/// of a function share the metric.
/// Source: "Types of metrics for Lambda functions", Lambda developer guide.
///
/// # Errors
/// If CloudWatch rejects the call.
pub async fn iterator_ages(context: &Context, functions: &[&str]) -> Result<BTreeMap<String, f64>> {
    let range = TimeRange::last(SEARCHED, Some(60), Timestamp::now().as_second())?;
    let spec = metrics::spec(Kind::Function, "IteratorAge");
    let queries: Vec<Query> = functions
        .iter()
        .filter_map(|name| {
            Some(Query {
                resource: Resource::Function((*name).to_owned()),
                spec: spec?.clone(),
            })
        })
        .collect();
    let found = metrics::fetch(context, &queries, &range).await?;
    let newest = found
        .iter()
        .filter_map(|series| Some((series.resource.name().to_owned(), series.newest()?)));
    Ok(newest.collect())
}
