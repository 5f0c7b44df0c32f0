//! GetMetricData: several queries and expressions in one call, paginated by time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::error::ApiError;
use super::input::Fields;
use super::math::{self, Scope, Series, Value};
use super::put;
use super::stat::{self, Stat};
use super::store::{Store, periods};
use super::wire::Out;
use crate::Caller;

/// Source: GetMetricData, "as many as 500 MetricDataQuery structures".
const MAX_QUERIES: usize = 500;
/// Source: GetMetricData, `MaxDatapoints`.
const MAX_DATAPOINTS: i64 = 100_800;
/// Maximum points of all queries and expressions in one call. It holds them in memory, about 32 bytes each, and blocks
/// the store meanwhile.
const MAX_POINTS: i64 = 2_000_000;

struct Query<'a> {
    id: &'a str,
    label: Option<&'a str>,
    returned: bool,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Metric {
        namespace: &'a str,
        name: &'a str,
        dimensions: Vec<(String, String)>,
        period: i64,
        stat: Stat,
        unit: Option<&'a str>,
    },
    Expression(&'a str),
}

pub(super) fn run(store: &Store, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
    let (start, end) = stat::time_range(input).map_err(as_validation)?;
    let queries = read_queries(input).map_err(as_validation)?;
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
    let mut results = evaluate_all(store, caller, &queries, (start, end))?;
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

fn read_queries<'a>(input: &Fields<'a>) -> Result<Vec<Query<'a>>, ApiError> {
    let mut queries: Vec<Query<'a>> = Vec::new();
    for fields in input.list("MetricDataQueries", MAX_QUERIES)? {
        let query = read_query(&fields)?;
        if queries.iter().any(|known| known.id == query.id) {
            return Err(ApiError::validation(format!(
                "The id {} is used by two queries.",
                query.id
            )));
        }
        queries.push(query);
    }
    if queries.is_empty() {
        return Err(ApiError::missing("MetricDataQueries"));
    }
    if !queries.iter().any(|query| query.returned) {
        return Err(ApiError::validation(
            "At least one query must return data (ReturnData).",
        ));
    }
    Ok(queries)
}

fn read_query<'a>(fields: &Fields<'a>) -> Result<Query<'a>, ApiError> {
    let id = fields.need_text("Id", 255)?;
    let well_formed = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !well_formed {
        return Err(ApiError::validation(format!(
            "The id {id} must start with a lowercase letter and hold only letters, digits and underscores."
        )));
    }
    let kind = match (fields.structure("MetricStat")?, fields.text("Expression", 2048)?) {
        (Some(wanted), None) => {
            let metric = wanted
                .structure("Metric")?
                .ok_or_else(|| ApiError::missing(&wanted.path("Metric")))?;
            let named = wanted.need_text("Stat", 255)?;
            Kind::Metric {
                namespace: put::namespace(&metric)?
                    .ok_or_else(|| ApiError::missing(&metric.path("Namespace")))?,
                name: metric.need_text("MetricName", 255)?,
                dimensions: metric.dimensions(30)?,
                period: stat::period(&wanted)?.ok_or_else(|| ApiError::missing(&wanted.path("Period")))?,
                stat: Stat::parse(named).ok_or_else(|| {
                    ApiError::validation(format!(
                        "The statistic {named} is not supported by the local cloud."
                    ))
                })?,
                unit: put::unit(&wanted)?,
            }
        }
        (None, Some(expression)) => Kind::Expression(expression),
        _ => {
            return Err(ApiError::validation(format!(
                "The query {id} must have either MetricStat or Expression."
            )));
        }
    };
    Ok(Query {
        id,
        label: fields.text("Label", 2048)?,
        returned: fields.flag("ReturnData")?.unwrap_or(true),
        kind,
    })
}

type Points = Vec<(i64, f64)>;

/// The points of the queries that return data, oldest first.
fn evaluate_all<'q, 'a>(
    store: &Store,
    caller: &Caller,
    queries: &'q [Query<'a>],
    range: (i64, i64),
) -> Result<Vec<(&'q Query<'a>, Points)>, ApiError> {
    let mut work = Evaluator {
        store,
        caller,
        queries,
        range,
        done: BTreeMap::new(),
        open: Vec::new(),
        points: 0,
    };
    let mut results = Vec::new();
    for query in queries.iter().filter(|query| query.returned) {
        let value = work
            .value(query)
            .map_err(|text| ApiError::validation(format!("Error in the query {}: {text}.", query.id)))?;
        let Value::Series(series) = value else {
            return Err(ApiError::validation(format!(
                "The query {} must yield one time series, not a number or a list.",
                query.id
            )));
        };
        results.push((query, series.points.into_iter().collect()));
    }
    Ok(results)
}

struct Evaluator<'w> {
    store: &'w Store,
    caller: &'w Caller,
    queries: &'w [Query<'w>],
    range: (i64, i64),
    done: BTreeMap<&'w str, Value>,
    /// Expressions in progress, to detect cycles.
    open: Vec<&'w str>,
    points: i64,
}

impl<'w> Evaluator<'w> {
    fn value(&mut self, query: &'w Query<'w>) -> Result<Value, String> {
        if let Some(value) = self.done.get(query.id) {
            return Ok(value.clone());
        }
        let value = match &query.kind {
            Kind::Metric { .. } => Value::Series(self.series(query)?),
            Kind::Expression(text) => {
                if self.open.contains(&query.id) || self.open.len() > 32 {
                    return Err("the expression refers to itself".to_owned());
                }
                self.open.push(query.id);
                let value = math::evaluate(text, self)?;
                self.open.pop();
                value
            }
        };
        self.done.insert(query.id, value.clone());
        Ok(value)
    }

    fn series(&mut self, query: &Query<'_>) -> Result<Series, String> {
        let Kind::Metric {
            namespace,
            name,
            dimensions,
            period,
            stat,
            unit,
        } = &query.kind
        else {
            return Err("not a metric".to_owned());
        };
        let (start, end) = self.range;
        let metric = self.store.find(self.caller, namespace, name, dimensions);
        let units = metric.iter().flat_map(|metric| &metric.units);
        let wanted = units.filter(|(known, _)| unit.is_none_or(|unit| unit == known.as_str()));
        let found = periods(
            wanted.map(|(_, minutes)| minutes),
            start,
            end,
            stat::period_ms(*period),
        );
        self.spend(i64::try_from(found.len()).unwrap_or(i64::MAX))?;
        Ok(Series {
            points: found
                .iter()
                .filter_map(|(at, statistics)| Some((*at, stat.of(statistics)?)))
                .collect(),
            period: *period,
        })
    }
}

impl Scope for Evaluator<'_> {
    fn lookup(&mut self, id: &str) -> Result<Value, String> {
        let queries = self.queries;
        let query = queries
            .iter()
            .find(|query| query.id == id)
            .ok_or_else(|| format!("there is no query {id}"))?;
        let value = self.value(query)?;
        if let Value::Series(series) = &value {
            self.spend(i64::try_from(series.points.len()).unwrap_or(i64::MAX))?;
        }
        Ok(value)
    }

    fn spend(&mut self, points: i64) -> Result<(), String> {
        self.points = self.points.saturating_add(points);
        if self.points > MAX_POINTS {
            return Err("the request asks for too much data".to_owned());
        }
        Ok(())
    }

    fn metrics(&mut self) -> Result<Vec<(String, Series)>, String> {
        let queries = self.queries;
        let metrics = queries
            .iter()
            .filter(|query| matches!(query.kind, Kind::Metric { .. }));
        metrics
            .map(|query| Ok((query.id.to_owned(), self.series(query)?)))
            .collect()
    }

    fn range(&self) -> (i64, i64) {
        // Filling is limited to the retained time.
        let (start, end) = self.range;
        (start, end.min(start.saturating_add(60 * 24 * 3_600_000)))
    }
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
    fn new(input: &Fields<'_>, queries: &[Query<'_>], max: i64, descending: bool) -> Result<Self, ApiError> {
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
    fn cut<'q, 'a>(
        &self,
        mut results: Vec<(&'q Query<'a>, Points)>,
    ) -> (Vec<(&'q Query<'a>, Points)>, Option<String>) {
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

fn describe(query: &Query<'_>, points: &Points, partial: bool) -> Out {
    let default = match &query.kind {
        Kind::Metric { name, .. } => name,
        Kind::Expression(_) => query.id,
    };
    let status = if partial { "PartialData" } else { "Complete" };
    Out::Struct(vec![
        ("Id", Out::Text(query.id.to_owned())),
        ("Label", Out::Text(query.label.unwrap_or(default).to_owned())),
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
