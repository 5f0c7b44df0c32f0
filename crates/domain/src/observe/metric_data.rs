//! GetMetricData: the values of many queries with few calls.
//!
//! Owns the limits of the operation, its pages and its partial answers. Knows no resource and decides nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::SdkError;
use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataError;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{MetricDataQuery, MetricDataResult, ScanBy, StatusCode};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

use ground::error::{self, Error, Result};

/// Source: GetMetricData, "as many as 500 MetricDataQuery structures".
pub(super) const MAX_QUERIES: usize = 500;
/// Source: GetMetricData, `MaxDatapoints`: an answer with more points has pages.
pub(super) const MAX_POINTS: usize = 100_800;
/// Calls at the same time. CloudWatch limits the calls and the data points of an account in a second.
const CONCURRENCY: usize = 4;
/// How often an incomplete answer is asked for again, and the pause before the first time.
const RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// What is read: `start` to `end`, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: i64,
    pub end: i64,
}

/// What was read of a query.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// By time, so that what is read twice counts once.
    pub values: BTreeMap<i64, f64>,
    /// Status of the last page.
    pub status: Option<StatusCode>,
}

impl Answer {
    /// Whether CloudWatch said, to the last, that values are missing.
    pub fn is_partial(&self) -> bool {
        self.status == Some(StatusCode::PartialData)
    }

    fn is_done(&self) -> bool {
        matches!(self.status, None | Some(StatusCode::Complete))
    }

    fn add(&mut self, result: &MetricDataResult) {
        let times = result.timestamps().iter().map(DateTime::secs);
        self.values.extend(times.zip(result.values().iter().copied()));
        self.status = result.status_code().cloned();
    }
}

/// The answers by the id of their query.
pub(super) type Answers = HashMap<String, Answer>;

pub(super) type Failure = SdkError<GetMetricDataError>;

/// One page of GetMetricData.
pub(super) trait Pages {
    /// The results, and the token of the next page.
    async fn page(
        &self,
        queries: &[MetricDataQuery],
        token: Option<String>,
        span: Span,
    ) -> std::result::Result<(Vec<MetricDataResult>, Option<String>), Failure>;
}

impl Pages for Client {
    async fn page(
        &self,
        queries: &[MetricDataQuery],
        token: Option<String>,
        span: Span,
    ) -> std::result::Result<(Vec<MetricDataResult>, Option<String>), Failure> {
        let answer = self
            .get_metric_data()
            .set_metric_data_queries(Some(queries.to_vec()))
            .start_time(DateTime::from_secs(span.start))
            .end_time(DateTime::from_secs(span.end))
            .scan_by(ScanBy::TimestampAscending)
            .set_next_token(token)
            .send()
            .await?;
        Ok((answer.metric_data_results.unwrap_or_default(), answer.next_token))
    }
}

/// Reads the queries of each of `calls`, some calls at the same time. An id stands in one call only. What CloudWatch reports
/// as incomplete is asked for again. A period without data has no value: missing is not zero.
///
/// CloudWatch charges for each metric that is asked for.
///
/// # Errors
/// `failed` with its cause, when CloudWatch does not answer, refuses, or cannot read a metric.
pub(super) async fn read(
    source: &impl Pages,
    calls: Vec<Vec<MetricDataQuery>>,
    span: Span,
    failed: &str,
) -> Result<Answers> {
    let reads: Vec<_> = calls
        .into_iter()
        .map(|queries| read_call(source, queries, span, failed))
        .collect();
    let answers: Vec<Answers> = iter(reads).buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Reads one call, and what is incomplete again.
async fn read_call(
    source: &impl Pages,
    mut queries: Vec<MetricDataQuery>,
    span: Span,
    failed: &str,
) -> Result<Answers> {
    let mut found = Answers::new();
    for attempt in 0..=RETRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE * 2u32.pow(attempt - 1)).await;
        }
        read_pages(source, &queries, span, &mut found, failed).await?;
        if !keep_incomplete(&mut queries, &found) {
            return Ok(found);
        }
    }
    // A part of the data can be shown; a failure cannot.
    let unread = |query: &&MetricDataQuery| {
        answer_of(query, &found).is_some_and(|answer| !answer.is_done() && !answer.is_partial())
    };
    match queries.iter().find(unread) {
        None => Ok(found),
        Some(query) => {
            let metric = name(query);
            Err(Error::failed(failed).cause(format!("CloudWatch could not read the metric {metric}")))
        }
    }
}

fn answer_of<'a>(query: &MetricDataQuery, found: &'a Answers) -> Option<&'a Answer> {
    query.id().and_then(|id| found.get(id))
}

/// Leaves the queries to ask for again; `false` if there is none. An expression refers to other queries of its call, so all
/// stay if one stays that is an expression.
fn keep_incomplete(queries: &mut Vec<MetricDataQuery>, found: &Answers) -> bool {
    let is_incomplete =
        |query: &MetricDataQuery| answer_of(query, found).is_some_and(|answer| !answer.is_done());
    let mut incomplete = queries.iter().filter(|query| is_incomplete(query)).peekable();
    if incomplete.peek().is_none() {
        return false;
    }
    if incomplete.all(|query| query.expression().is_none()) {
        queries.retain(is_incomplete);
    }
    true
}

/// The metric of a query, or its expression.
fn name(query: &MetricDataQuery) -> &str {
    let stat = query.metric_stat();
    let metric = stat
        .and_then(|stat| stat.metric())
        .and_then(|metric| metric.metric_name());
    metric.or(query.expression()).unwrap_or_default()
}

/// Reads all pages of one call.
async fn read_pages(
    source: &impl Pages,
    queries: &[MetricDataQuery],
    span: Span,
    found: &mut Answers,
    failed: &str,
) -> Result<()> {
    let asked: HashSet<&str> = queries.iter().filter_map(MetricDataQuery::id).collect();
    let mut token = None;
    loop {
        let page = source.page(queries, token.clone(), span).await;
        let (results, next) = page.map_err(|e| error::aws::failed(failed, e))?;
        for result in results {
            if let Some(id) = result.id().filter(|id| asked.contains(id)) {
                found.entry(id.to_owned()).or_default().add(&result);
            }
        }
        // The same token again would never end.
        if next.is_none() || next == token {
            return Ok(());
        }
        token = next;
    }
}

#[cfg(test)]
pub(super) mod tests;
