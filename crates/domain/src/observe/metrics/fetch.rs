//! GetMetricData: many series with few calls.
//!
//! Owns the limits of the operation, its pages and its partial answers. Knows no resource and decides nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::SdkError;
use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataError;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode,
};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

use super::catalogue::Spec;
use super::resource::Resource;
use super::{Point, Series, Statistic, TimeRange};
use crate::context::Context;
use ground::error::{self, Error, Result};

/// Source: GetMetricData, "as many as 500 MetricDataQuery structures".
const MAX_QUERIES: usize = 500;
/// Source: GetMetricData, `MaxDatapoints`: an answer with more points has pages.
const MAX_POINTS: usize = 100_800;
/// Calls at the same time. CloudWatch limits the calls and the data points of an account in a second.
const CONCURRENCY: usize = 4;
/// How often an incomplete answer is asked for again, and the pause before the first time.
const RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// One metric of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub resource: Resource,
    pub spec: Spec,
}

/// What a query of a call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Value,
    /// The number of values in an average.
    Weight,
}

/// A part of the query with this index.
type Slot = (usize, Part);

/// What was read of a slot.
#[derive(Debug, Default)]
struct Answer {
    /// By time, so that what is read twice counts once.
    values: BTreeMap<i64, f64>,
    /// Status of the last page.
    status: Option<StatusCode>,
}

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

/// One page of GetMetricData.
trait Pages {
    /// The results, and the token of the next page.
    async fn page(
        &self,
        queries: &[MetricDataQuery],
        token: Option<String>,
        range: &TimeRange,
    ) -> std::result::Result<(Vec<MetricDataResult>, Option<String>), Failure>;
}

type Failure = SdkError<GetMetricDataError>;

impl Pages for Client {
    async fn page(
        &self,
        queries: &[MetricDataQuery],
        token: Option<String>,
        range: &TimeRange,
    ) -> std::result::Result<(Vec<MetricDataResult>, Option<String>), Failure> {
        let answer = self
            .get_metric_data()
            .set_metric_data_queries(Some(queries.to_vec()))
            .start_time(DateTime::from_secs(range.start))
            .end_time(DateTime::from_secs(range.end))
            .scan_by(ScanBy::TimestampAscending)
            .set_next_token(token)
            .send()
            .await?;
        Ok((answer.metric_data_results.unwrap_or_default(), answer.next_token))
    }
}

async fn fetch_from(source: &impl Pages, queries: &[Query], range: &TimeRange) -> Result<Vec<Series>> {
    let reads: Vec<_> = batches(queries, range)
        .into_iter()
        .map(|slots| read(source, queries, slots, range))
        .collect();
    let answers: Vec<BTreeMap<Slot, Answer>> =
        iter(reads).buffer_unordered(CONCURRENCY).try_collect().await?;
    let mut answers: BTreeMap<Slot, Answer> = answers.into_iter().flatten().collect();
    let series = queries.iter().enumerate().map(|(index, query)| {
        let values = answers.remove(&(index, Part::Value)).unwrap_or_default();
        let weights = answers.remove(&(index, Part::Weight)).unwrap_or_default();
        let point = |(at, value): (&i64, &f64)| Point {
            at: *at,
            value: *value,
            weight: weights.values.get(at).copied().unwrap_or(1.0),
        };
        Series {
            resource: query.resource.clone(),
            spec: query.spec.clone(),
            points: values.values.iter().map(point).collect(),
            is_complete: !is_partial(&values),
        }
    });
    Ok(series.collect())
}

fn is_partial(answer: &Answer) -> bool {
    answer.status == Some(StatusCode::PartialData)
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

/// Reads `slots`, and what is incomplete again.
async fn read(
    source: &impl Pages,
    queries: &[Query],
    slots: Vec<Slot>,
    range: &TimeRange,
) -> Result<BTreeMap<Slot, Answer>> {
    let mut found: BTreeMap<Slot, Answer> = BTreeMap::new();
    let mut waiting = slots;
    for attempt in 0..=RETRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE * 2u32.pow(attempt - 1)).await;
        }
        read_pages(source, queries, &waiting, range, &mut found).await?;
        waiting.retain(|slot| found.get(slot).is_some_and(|answer| !is_done(answer)));
        if waiting.is_empty() {
            return Ok(found);
        }
    }
    // A part of the data can be shown; a failure cannot.
    match waiting
        .iter()
        .find(|slot| found.get(slot).is_some_and(|answer| !is_partial(answer)))
    {
        None => Ok(found),
        Some((index, _)) => {
            let query = &queries[*index];
            let metric = &query.spec.name;
            Err(Error::failed(failure(queries))
                .cause(format!("CloudWatch could not read the metric {metric}")))
        }
    }
}

fn is_done(answer: &Answer) -> bool {
    matches!(answer.status, None | Some(StatusCode::Complete))
}

/// Reads all pages of one call.
async fn read_pages(
    source: &impl Pages,
    queries: &[Query],
    slots: &[Slot],
    range: &TimeRange,
    found: &mut BTreeMap<Slot, Answer>,
) -> Result<()> {
    let asked: Vec<MetricDataQuery> = slots
        .iter()
        .map(|slot| query(*slot, &queries[slot.0], range))
        .collect();
    let by_id: HashMap<String, Slot> = slots.iter().map(|slot| (id(*slot), *slot)).collect();
    let mut token = None;
    loop {
        let page = source.page(&asked, token.clone(), range).await;
        let (results, next) = page.map_err(|e| error::aws::failed(failure(queries), e))?;
        for result in results {
            let slot = result.id().and_then(|id| by_id.get(id));
            if let Some(slot) = slot {
                add(found.entry(*slot).or_default(), &result);
            }
        }
        // The same token again would never end.
        if next.is_none() || next == token {
            return Ok(());
        }
        token = next;
    }
}

fn add(answer: &mut Answer, result: &MetricDataResult) {
    let times = result.timestamps().iter().map(DateTime::secs);
    answer.values.extend(times.zip(result.values().iter().copied()));
    answer.status = result.status_code().cloned();
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
