//! Queries for metrics and expressions on them, as GetMetricData and alarms take them.
//!
//! Source: MetricDataQuery, CloudWatch API reference.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::input::Fields;
use super::math::{self, Scope, Series, Value};
use super::put;
use super::stat::{self, Stat};
use super::store::{Store, periods};
use super::wire::Out;
use crate::Caller;

/// Maximum points of all queries and expressions in one evaluation. It holds them in memory, about 32 bytes each, and
/// blocks the store meanwhile.
const MAX_POINTS: i64 = 2_000_000;
/// Expressions that refer to one another.
const MAX_REFERENCES: usize = 32;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) label: Option<String>,
    pub(super) returned: bool,
    pub(super) source: Source,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Source {
    Metric(MetricStat),
    Expression(String),
}

/// A statistic of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MetricStat {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) dimensions: Vec<(String, String)>,
    /// Seconds.
    pub(super) period: i64,
    /// As given, such as `Sum` or `p99`.
    pub(super) stat: String,
    pub(super) unit: Option<String>,
}

/// Values by start of the period in milliseconds, oldest first.
pub(super) type Points = Vec<(i64, f64)>;

/// The `list` of queries in a request, at most `max`.
pub(super) fn read(input: &Fields<'_>, list: &str, max: usize) -> Result<Vec<Query>, ApiError> {
    let mut queries: Vec<Query> = Vec::new();
    for fields in input.list(list, max)? {
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
        return Err(ApiError::missing(list));
    }
    if !queries.iter().any(|query| query.returned) {
        return Err(ApiError::validation(
            "At least one query must return data (ReturnData).",
        ));
    }
    Ok(queries)
}

fn read_query(fields: &Fields<'_>) -> Result<Query, ApiError> {
    let id = fields.need_text("Id", 255)?;
    let well_formed = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !well_formed {
        return Err(ApiError::validation(format!(
            "The id {id} must start with a lowercase letter and hold only letters, digits and underscores."
        )));
    }
    let source = match (fields.structure("MetricStat")?, fields.text("Expression", 2048)?) {
        (Some(wanted), None) => Source::Metric(MetricStat::read(&wanted)?),
        (None, Some(expression)) => Source::Expression(expression.to_owned()),
        _ => {
            return Err(ApiError::validation(format!(
                "The query {id} must have either MetricStat or Expression."
            )));
        }
    };
    Ok(Query {
        id: id.to_owned(),
        label: fields.text("Label", 2048)?.map(str::to_owned),
        returned: fields.flag("ReturnData")?.unwrap_or(true),
        source,
    })
}

impl MetricStat {
    fn read(wanted: &Fields<'_>) -> Result<Self, ApiError> {
        let metric = wanted
            .structure("Metric")?
            .ok_or_else(|| ApiError::missing(&wanted.path("Metric")))?;
        let stat = wanted.need_text("Stat", 255)?;
        if Stat::parse(stat).is_none() {
            return Err(ApiError::validation(format!(
                "The statistic {stat} is not supported by the local cloud."
            )));
        }
        Ok(Self {
            namespace: put::namespace(&metric)?
                .ok_or_else(|| ApiError::missing(&metric.path("Namespace")))?
                .to_owned(),
            name: metric.need_text("MetricName", 255)?.to_owned(),
            dimensions: metric.dimensions(30)?,
            period: stat::period(wanted)?.ok_or_else(|| ApiError::missing(&wanted.path("Period")))?,
            stat: stat.to_owned(),
            unit: put::unit(wanted)?.map(str::to_owned),
        })
    }

    fn series(&self, store: &Store, caller: &Caller, (start, end): (i64, i64)) -> Series {
        let metric = store.find(caller, &self.namespace, &self.name, &self.dimensions);
        let units = metric.iter().flat_map(|metric| &metric.units);
        let wanted = units.filter(|(known, _)| self.unit.as_ref().is_none_or(|unit| unit == *known));
        let found = periods(
            wanted.map(|(_, minutes)| minutes),
            start,
            end,
            stat::period_ms(self.period),
        );
        // Validated when it was read.
        let stat = Stat::parse(&self.stat).unwrap_or(Stat::Average);
        Series {
            points: found
                .iter()
                .filter_map(|(at, statistics)| Some((*at, stat.of(statistics)?)))
                .collect(),
            period: self.period,
        }
    }
}

impl Query {
    /// The query as DescribeAlarms returns it.
    pub(super) fn out(&self) -> Out {
        let text = |text: &str| Out::Text(text.to_owned());
        let mut fields = vec![("Id", text(&self.id))];
        match &self.source {
            Source::Expression(expression) => fields.push(("Expression", text(expression))),
            Source::Metric(metric) => {
                let dimensions = metric
                    .dimensions
                    .iter()
                    .map(|(name, value)| Out::Struct(vec![("Name", text(name)), ("Value", text(value))]));
                let named = Out::Struct(vec![
                    ("Namespace", text(&metric.namespace)),
                    ("MetricName", text(&metric.name)),
                    ("Dimensions", Out::List(dimensions.collect())),
                ]);
                let mut wanted = vec![
                    ("Metric", named),
                    ("Period", Out::Whole(metric.period)),
                    ("Stat", text(&metric.stat)),
                ];
                wanted.extend(metric.unit.as_deref().map(|unit| ("Unit", text(unit))));
                fields.push(("MetricStat", Out::Struct(wanted)));
            }
        }
        fields.extend(self.label.as_deref().map(|label| ("Label", text(label))));
        fields.push(("ReturnData", Out::Flag(self.returned)));
        Out::Struct(fields)
    }
}

/// The points of the queries that return data, for the time from `range.0` to `range.1`.
///
/// # Errors
/// `ValidationError` for an expression that is not valid.
pub(super) fn evaluate<'q>(
    store: &Store,
    caller: &Caller,
    queries: &'q [Query],
    range: (i64, i64),
) -> Result<Vec<(&'q Query, Points)>, ApiError> {
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
    queries: &'w [Query],
    range: (i64, i64),
    done: BTreeMap<&'w str, Value>,
    /// Expressions in progress, to detect cycles.
    open: Vec<&'w str>,
    points: i64,
}

impl<'w> Evaluator<'w> {
    fn value(&mut self, query: &'w Query) -> Result<Value, String> {
        if let Some(value) = self.done.get(query.id.as_str()) {
            return Ok(value.clone());
        }
        let value = match &query.source {
            Source::Metric(metric) => Value::Series(self.series(metric)?),
            Source::Expression(text) => {
                if self.open.contains(&query.id.as_str()) || self.open.len() > MAX_REFERENCES {
                    return Err("the expression refers to itself".to_owned());
                }
                self.open.push(&query.id);
                let value = math::evaluate(text, self)?;
                self.open.pop();
                value
            }
        };
        self.done.insert(&query.id, value.clone());
        Ok(value)
    }

    fn series(&mut self, metric: &MetricStat) -> Result<Series, String> {
        let series = metric.series(self.store, self.caller, self.range);
        self.spend(i64::try_from(series.points.len()).unwrap_or(i64::MAX))?;
        Ok(series)
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
        let mut all = Vec::new();
        for query in queries {
            if let Source::Metric(metric) = &query.source {
                all.push((query.id.clone(), self.series(metric)?));
            }
        }
        Ok(all)
    }

    fn range(&self) -> (i64, i64) {
        // Filling is limited to the retained time.
        let (start, end) = self.range;
        (start, end.min(start.saturating_add(60 * 24 * 3_600_000)))
    }
}
