//! GetMetricData: several queries and expressions in one call, paginated by time.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::error::ApiError;
use super::input::Fields;
use super::queries::{self, Points, Query, Source};
use super::stat;
use super::store::Store;
use super::wire::Out;
use crate::Caller;

/// Source: GetMetricData, "as many as 500 MetricDataQuery structures".
const MAX_QUERIES: usize = 500;
/// Source: GetMetricData, `MaxDatapoints`.
const MAX_DATAPOINTS: i64 = 100_800;

pub(super) fn run(store: &Store, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
    let (start, end) = stat::time_range(input).map_err(as_validation)?;
    let queries = queries::read(input, "MetricDataQueries", MAX_QUERIES).map_err(as_validation)?;
    let descending = match input.text("ScanBy", 255)? {
        None | Some("TimestampDescending") => true,
        Some("TimestampAscending") => false,
        Some(other) => return Err(ApiError::validation(format!("ScanBy {other} is not supported."))),
    };
    let max = input.integer("MaxDatapoints")?.unwrap_or(MAX_DATAPOINTS);
    if !(1..=MAX_DATAPOINTS).contains(&max) {
        return Err(ApiError::validation(format!(
            "MaxDatapoints must be between 1 and {MAX_DATAPOINTS}."
        )));
    }
    let mut results = queries::evaluate(store, caller, &queries, (start, end))?;
    if descending {
        results.iter_mut().for_each(|(_, points)| points.reverse());
    }
    let page = Page::new(input, &queries, max, descending)?;
    let (results, next) = page.cut(results);
    let results = results
        .into_iter()
        .map(|(query, points)| describe(query, &points, next.is_some()))
        .collect();
    let mut out = vec![
        ("MetricDataResults", Out::List(results)),
        ("Messages", Out::List(Vec::new())),
    ];
    out.extend(next.map(|token| ("NextToken", Out::Text(token))));
    Ok(Out::Struct(out))
}

/// The operation reports invalid parameters only with this error.
fn as_validation(error: ApiError) -> ApiError {
    ApiError::validation(error.message())
}

/// The part of the results that a call returns: all queries for a range of time.
struct Page {
    /// Last time of the previous page.
    after: Option<i64>,
    points: usize,
    descending: bool,
    fingerprint: u64,
}

impl Page {
    fn new(input: &Fields<'_>, queries: &[Query], max: i64, descending: bool) -> Result<Self, ApiError> {
        let mut hasher = DefaultHasher::new();
        for query in queries {
            query.id.hash(&mut hasher);
        }
        (descending, input.time("StartTime")?, input.time("EndTime")?).hash(&mut hasher);
        let fingerprint = hasher.finish();
        let after = input
            .text("NextToken", 1024)?
            .map(|token| {
                let (at, request) = token.split_once('-').ok_or_else(ApiError::next_token)?;
                let same = u64::from_str_radix(request, 16).is_ok_and(|request| request == fingerprint);
                at.parse().ok().filter(|_| same).ok_or_else(ApiError::next_token)
            })
            .transpose()?;
        Ok(Self {
            after,
            points: usize::try_from(max).unwrap_or(1),
            descending,
            fingerprint,
        })
    }

    /// The results of this page, and the token for the next.
    fn cut<'q>(&self, mut results: Vec<(&'q Query, Points)>) -> (Vec<(&'q Query, Points)>, Option<String>) {
        let later = |at: i64, than: i64| if self.descending { at < than } else { at > than };
        if let Some(after) = self.after {
            results
                .iter_mut()
                .for_each(|(_, points)| points.retain(|(at, _)| later(*at, after)));
        }
        let mut times: Vec<i64> = results
            .iter()
            .flat_map(|(_, points)| points.iter().map(|(at, _)| *at))
            .collect();
        if times.len() <= self.points {
            return (results, None);
        }
        times.sort_unstable();
        if self.descending {
            times.reverse();
        }
        // Points of the same time stay together. If they exceed the page size, they form a page.
        let first_left = times[self.points];
        let last = times[..self.points]
            .iter()
            .rev()
            .find(|at| **at != first_left)
            .copied()
            .unwrap_or(first_left);
        let more = times.iter().any(|at| later(*at, last));
        results
            .iter_mut()
            .for_each(|(_, points)| points.retain(|(at, _)| !later(*at, last)));
        let token = more.then(|| format!("{last}-{:x}", self.fingerprint));
        (results, token)
    }
}

fn describe(query: &Query, points: &Points, partial: bool) -> Out {
    let default = match &query.source {
        Source::Metric(metric) => &metric.name,
        Source::Expression(_) => &query.id,
    };
    let status = if partial { "PartialData" } else { "Complete" };
    Out::Struct(vec![
        ("Id", Out::Text(query.id.clone())),
        (
            "Label",
            Out::Text(query.label.as_ref().unwrap_or(default).clone()),
        ),
        (
            "Timestamps",
            Out::List(points.iter().map(|(at, _)| Out::Time(*at)).collect()),
        ),
        (
            "Values",
            Out::List(points.iter().map(|(_, value)| Out::Number(*value)).collect()),
        ),
        ("StatusCode", Out::Text(status.to_owned())),
    ])
}
