//! The series of metrics: which queries each takes, in which calls, and what the answers mean.
//!
//! Knows the catalogue and the resources; [`crate::observe::metric_data`] makes the calls.

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};

use super::catalogue::Spec;
use super::resource::Resource;
use super::{Point, Series, Statistic, TimeRange};
use crate::context::Context;
use crate::observe::metric_data::{self, MAX_POINTS, MAX_QUERIES, Pages, Span};
use ground::error::Result;

/// One metric of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub resource: Resource,
    pub spec: Spec,
}

/// What a query of a call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    /// The number of values in an average.
    Weight,
}

/// A part of the query with this index.
type Slot = (usize, Part);

/// Reads `queries` over `range`: as few calls as CloudWatch's limits allow, some at the same time. The result has the order
/// of the queries. A period without data has no point: missing is not zero.
///
/// CloudWatch charges for each metric that is asked for.
///
/// # Errors
/// When CloudWatch does not answer or refuses.
pub async fn fetch(context: &Context, queries: &[Query], range: &TimeRange) -> Result<Vec<Series>> {
    fetch_from(context.cloudwatch(), queries, range).await
}

async fn fetch_from(source: &impl Pages, queries: &[Query], range: &TimeRange) -> Result<Vec<Series>> {
    let calls = batches(queries, range).into_iter().map(|slots| {
        let asked = slots.into_iter().map(|slot| query(slot, &queries[slot.0], range));
        asked.collect()
    });
    let span = Span {
        start: range.start,
        end: range.end,
    };
    let mut answers = metric_data::read(source, calls.collect(), span, &failure(queries)).await?;
    let series = queries.iter().enumerate().map(|(index, query)| {
        let values = answers.remove(&id((index, Part::Value))).unwrap_or_default();
        let weights = answers.remove(&id((index, Part::Weight))).unwrap_or_default();
        let point = |(at, value): (&i64, &f64)| Point {
            at: *at,
            value: *value,
            weight: weights.values.get(at).copied().unwrap_or(1.0),
        };
        Series {
            resource: query.resource.clone(),
            spec: query.spec.clone(),
            points: values.values.iter().map(point).collect(),
            is_complete: !values.is_partial(),
        }
    });
    Ok(series.collect())
}

/// The slots of each call: within the limits of queries and, so that a call has one page, of points.
fn batches(queries: &[Query], range: &TimeRange) -> Vec<Vec<Slot>> {
    let size = (MAX_POINTS / range.periods().max(1)).clamp(1, MAX_QUERIES);
    let slots = queries.iter().enumerate().flat_map(|(index, query)| {
        let weight = query.spec.statistic == Statistic::Average;
        std::iter::once((index, Part::Value)).chain(weight.then_some((index, Part::Weight)))
    });
    let slots: Vec<Slot> = slots.collect();
    slots.chunks(size).map(<[Slot]>::to_vec).collect()
}

/// What failed, in words.
fn failure(queries: &[Query]) -> String {
    let first = queries.first().map(|query| &query.resource);
    let name = first.map_or("", |resource| resource.stream().unwrap_or(resource.name()));
    match name {
        "" => "could not read the metrics".to_owned(),
        name => format!("could not read the metrics of {name}"),
    }
}

fn id((index, part): Slot) -> String {
    match part {
        Part::Value => format!("v{index}"),
        Part::Weight => format!("w{index}"),
    }
}

fn query(slot: Slot, query: &Query, range: &TimeRange) -> MetricDataQuery {
    let dimension = |(name, value): (&str, &str)| Dimension::builder().name(name).value(value).build();
    let dimensions = query.resource.dimensions().into_iter().map(dimension);
    let metric = Metric::builder()
        .namespace(query.resource.namespace())
        .metric_name(query.spec.name.as_ref())
        .set_dimensions(Some(dimensions.collect()).filter(|all: &Vec<_>| !all.is_empty()));
    let stat = match slot.1 {
        Part::Value => query.spec.statistic.name(),
        Part::Weight => "SampleCount",
    };
    let stat = MetricStat::builder()
        .metric(metric.build())
        .period(i32::try_from(range.period).unwrap_or(i32::MAX))
        .stat(stat);
    MetricDataQuery::builder()
        .id(id(slot))
        .metric_stat(stat.build())
        .build()
}

#[cfg(test)]
mod tests;
