//! An alarm on a metric, or on an expression.

use serde::{Deserialize, Serialize};

use super::{Comparison, MissingData, text};
use crate::cloudwatch::error::ApiError;
use crate::cloudwatch::input::Fields;
use crate::cloudwatch::queries::{self, MetricStat, Query, Source};
use crate::cloudwatch::stat::{self, Stat};
use crate::cloudwatch::store::MINUTE_MS;
use crate::cloudwatch::wire::Out;
use crate::cloudwatch::{math, put};

/// Source: PutMetricAlarm, `Dimensions`.
const MAX_DIMENSIONS: usize = 30;
/// Source: "Metric math", CloudWatch user guide: "as many as 10 metrics".
const MAX_METRICS: usize = 10;
/// Metrics and expressions of one alarm.
const MAX_QUERIES: usize = 20;
/// Maximum of period times evaluation periods: a week if the period is at least an hour, otherwise a day.
/// Source: PutMetricAlarm, `EvaluationPeriods`.
const DAY_SECONDS: i64 = 86_400;
/// Source: WallClockWindow, CloudWatch API reference.
const WALL_CLOCK_PERIODS: [i64; 5] = [60, 300, 3600, DAY_SECONDS, 7 * DAY_SECONDS];
/// Members that describe one metric. Source: PutMetricAlarm, `Metrics`.
const ONE_METRIC: [&str; 7] = [
    "Namespace",
    "MetricName",
    "Dimensions",
    "Period",
    "Unit",
    "Statistic",
    "ExtendedStatistic",
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::cloudwatch) struct MetricAlarm {
    #[serde(flatten)]
    pub(in crate::cloudwatch) watched: Watched,
    pub(in crate::cloudwatch) evaluation_periods: usize,
    /// As given. Default: all evaluation periods.
    pub(in crate::cloudwatch) datapoints_to_alarm: Option<usize>,
    pub(in crate::cloudwatch) threshold: f64,
    pub(in crate::cloudwatch) comparison: Comparison,
    /// As given. Default: `missing`.
    pub(in crate::cloudwatch) missing_data: Option<MissingData>,
    /// Whether percentiles of few samples are evaluated, as given. Default: `evaluate`.
    #[serde(default)]
    pub(in crate::cloudwatch) low_samples: Option<LowSamples>,
    /// As given. Default: sliding.
    #[serde(default)]
    pub(in crate::cloudwatch) window: Option<Window>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::cloudwatch) enum Watched {
    /// The query that returns data is watched.
    Queries {
        metrics: Vec<Query>,
    },
    Metric(OneMetric),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::cloudwatch) struct OneMetric {
    pub(in crate::cloudwatch) namespace: String,
    pub(in crate::cloudwatch) metric: String,
    pub(in crate::cloudwatch) dimensions: Vec<(String, String)>,
    /// As given, such as `Sum` or `p99`.
    pub(in crate::cloudwatch) statistic: String,
    pub(in crate::cloudwatch) unit: Option<String>,
    /// Seconds.
    pub(in crate::cloudwatch) period: i64,
}

/// Source: PutMetricAlarm, `EvaluateLowSampleCountPercentile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cloudwatch) enum LowSamples {
    Evaluate,
    Ignore,
}

/// Where the evaluated periods begin. Source: EvaluationWindow, CloudWatch API reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cloudwatch) enum Window {
    Sliding,
    /// At boundaries of the clock in this time zone, UTC by default.
    WallClock {
        timezone: Option<String>,
        /// Of the time zone from UTC.
        offset_minutes: i64,
    },
}

impl MetricAlarm {
    pub(super) fn read(input: &Fields<'_>) -> Result<Self, ApiError> {
        let watched = Watched::read(input)?;
        let period = watched.period();
        let evaluation_periods =
            count(input, "EvaluationPeriods")?.ok_or_else(|| ApiError::missing("EvaluationPeriods"))?;
        let datapoints_to_alarm = count(input, "DatapointsToAlarm")?;
        if datapoints_to_alarm.is_some_and(|needed| needed > evaluation_periods) {
            return Err(ApiError::validation(
                "DatapointsToAlarm must be less than or equal to EvaluationPeriods.",
            ));
        }
        check_span(period, evaluation_periods)?;
        let comparison = input.need_text("ComparisonOperator", 255)?;
        Ok(Self {
            watched,
            evaluation_periods,
            datapoints_to_alarm,
            threshold: input
                .number("Threshold")?
                .filter(|threshold| threshold.is_finite())
                .ok_or_else(|| ApiError::missing("Threshold"))?,
            comparison: parse_comparison(comparison)?,
            missing_data: missing_data(input)?,
            low_samples: low_samples(input)?,
            window: Window::read(input, period)?,
        })
    }

    /// Number of breaching datapoints for ALARM.
    pub(in crate::cloudwatch) fn needed(&self) -> usize {
        self.datapoints_to_alarm.unwrap_or(self.evaluation_periods)
    }

    pub(in crate::cloudwatch) fn period_ms(&self) -> i64 {
        stat::period_ms(self.watched.period()).max(MINUTE_MS)
    }

    /// The treatment of missing data that is applied. Alarms on metrics of DynamoDB ignore missing data.
    /// Source: PutMetricAlarm, `TreatMissingData`.
    pub(in crate::cloudwatch) fn missing(&self) -> MissingData {
        match &self.watched {
            Watched::Metric(metric) if metric.namespace == "AWS/DynamoDB" => MissingData::Ignore,
            _ => self.missing_data.unwrap_or(MissingData::Missing),
        }
    }

    /// Whether the alarm watches this metric, alone or in an expression. `dimensions` are sorted.
    pub(in crate::cloudwatch) fn watches(
        &self,
        namespace: &str,
        name: &str,
        dimensions: &[(String, String)],
    ) -> bool {
        let same = |theirs: &[(String, String)]| {
            let mut theirs = theirs.to_vec();
            theirs.sort();
            theirs == dimensions
        };
        match &self.watched {
            Watched::Metric(one) => one.namespace == namespace && one.metric == name && same(&one.dimensions),
            Watched::Queries { metrics } => metrics.iter().any(|query| match &query.source {
                Source::Metric(one) => {
                    one.namespace == namespace && one.name == name && same(&one.dimensions)
                }
                Source::Expression(_) => false,
            }),
        }
    }

    /// The members of the type MetricAlarm that CompositeAlarm does not have.
    pub(super) fn out(&self) -> Vec<(&'static str, Out)> {
        let mut fields = match &self.watched {
            Watched::Metric(metric) => metric.out(),
            Watched::Queries { metrics } => {
                vec![("Metrics", Out::List(metrics.iter().map(Query::out).collect()))]
            }
        };
        fields.extend([
            ("EvaluationPeriods", whole(self.evaluation_periods)),
            ("Threshold", Out::Number(self.threshold)),
            ("ComparisonOperator", text(self.comparison.name())),
        ]);
        let needed = self.datapoints_to_alarm;
        fields.extend(needed.map(|needed| ("DatapointsToAlarm", whole(needed))));
        let missing = self.missing_data;
        fields.extend(missing.map(|missing| ("TreatMissingData", text(missing.name()))));
        let low_samples = self.low_samples.map(LowSamples::name);
        fields.extend(low_samples.map(|word| ("EvaluateLowSampleCountPercentile", text(word))));
        fields.extend(
            self.window
                .as_ref()
                .map(|window| ("EvaluationWindow", window.out())),
        );
        fields
    }
}

impl Watched {
    fn read(input: &Fields<'_>) -> Result<Self, ApiError> {
        let unsupported = [
            ("ThresholdMetricId", "anomaly detection"),
            ("EvaluationCriteria", "alarms on PromQL queries"),
        ];
        if let Some((_, what)) = unsupported.iter().find(|(member, _)| input.has(member)) {
            return Err(ApiError::validation(format!(
                "The local cloud does not offer {what}."
            )));
        }
        if !input.has("Metrics") {
            return OneMetric::read(input).map(Self::Metric);
        }
        if let Some(member) = ONE_METRIC.iter().find(|member| input.has(member)) {
            return Err(ApiError::combination(format!(
                "The parameters Metrics and {member} are mutually exclusive and you have specified both."
            )));
        }
        let metrics = queries::read(input, "Metrics", MAX_QUERIES)?;
        check_queries(&metrics)?;
        Ok(Self::Queries { metrics })
    }

    /// Seconds.
    pub(in crate::cloudwatch) fn period(&self) -> i64 {
        match self {
            Self::Metric(metric) => metric.period,
            Self::Queries { metrics } => {
                let periods = metric_stats(metrics).map(|metric| metric.period);
                periods.max().unwrap_or(60)
            }
        }
    }
}

impl OneMetric {
    fn read(input: &Fields<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            namespace: put::namespace(input)?
                .ok_or_else(|| ApiError::missing("Namespace"))?
                .to_owned(),
            metric: input.need_text("MetricName", 255)?.to_owned(),
            dimensions: input.dimensions(MAX_DIMENSIONS)?,
            statistic: statistic(input)?.to_owned(),
            unit: put::unit(input)?.map(str::to_owned),
            period: stat::period(input)?.ok_or_else(|| ApiError::missing("Period"))?,
        })
    }

    pub(in crate::cloudwatch) fn stat(&self) -> Stat {
        // Validated when the alarm was created.
        Stat::parse(&self.statistic).unwrap_or(Stat::Average)
    }

    pub(in crate::cloudwatch) fn statistic_field(&self) -> &'static str {
        match self.stat() {
            Stat::Percentile(_) => "ExtendedStatistic",
            _ => "Statistic",
        }
    }

    fn out(&self) -> Vec<(&'static str, Out)> {
        let dimensions = self
            .dimensions
            .iter()
            .map(|(name, value)| Out::Struct(vec![("Name", text(name)), ("Value", text(value))]));
        let mut fields = vec![
            ("MetricName", text(&self.metric)),
            ("Namespace", text(&self.namespace)),
            (self.statistic_field(), text(&self.statistic)),
            ("Dimensions", Out::List(dimensions.collect())),
            ("Period", Out::Whole(self.period)),
        ];
        fields.extend(self.unit.as_deref().map(|unit| ("Unit", text(unit))));
        fields
    }
}

impl LowSamples {
    fn name(self) -> &'static str {
        match self {
            Self::Evaluate => "evaluate",
            Self::Ignore => "ignore",
        }
    }
}

impl Window {
    fn read(input: &Fields<'_>, period: i64) -> Result<Option<Self>, ApiError> {
        let Some(window) = input.structure("EvaluationWindow")? else {
            return Ok(None);
        };
        let (sliding, wall_clock) = (
            window.structure("SlidingWindow")?,
            window.structure("WallClockWindow")?,
        );
        let wall_clock = match (sliding, wall_clock) {
            (Some(_), None) => return Ok(Some(Self::Sliding)),
            (None, Some(wall_clock)) => wall_clock,
            _ => {
                return Err(ApiError::validation(
                    "EvaluationWindow must have exactly one of SlidingWindow and WallClockWindow.",
                ));
            }
        };
        if !WALL_CLOCK_PERIODS.contains(&period) {
            return Err(ApiError::validation(
                "An alarm with a wall clock window must have a period of 60, 300, 3600, 86400 or 604800 seconds.",
            ));
        }
        let timezone = wall_clock.text("Timezone", 50)?;
        let offset_minutes = timezone.map_or(Ok(0), |timezone| {
            stat::offset_minutes(timezone).ok_or_else(|| {
                ApiError::validation(format!(
                    "The local cloud supports the time zone UTC and offsets from it, such as +05:30; it does not support {timezone}."
                ))
            })
        })?;
        Ok(Some(Self::WallClock {
            timezone: timezone.map(str::to_owned),
            offset_minutes,
        }))
    }

    fn out(&self) -> Out {
        Out::Struct(vec![match self {
            Self::Sliding => ("SlidingWindow", Out::Struct(Vec::new())),
            Self::WallClock { timezone, .. } => {
                let timezone = timezone.as_deref().map(|timezone| ("Timezone", text(timezone)));
                ("WallClockWindow", Out::Struct(timezone.into_iter().collect()))
            }
        }])
    }
}

fn metric_stats(queries: &[Query]) -> impl Iterator<Item = &MetricStat> {
    queries.iter().filter_map(|query| match &query.source {
        Source::Metric(metric) => Some(metric),
        Source::Expression(_) => None,
    })
}

/// Checks the queries of an alarm: what PutMetricAlarm requires besides what GetMetricData does.
fn check_queries(queries: &[Query]) -> Result<(), ApiError> {
    if queries.iter().filter(|query| query.returned).count() != 1 {
        return Err(ApiError::validation(
            "Exactly one element of the metrics list should return data.",
        ));
    }
    let metrics: Vec<&MetricStat> = metric_stats(queries).collect();
    if metrics.is_empty() || metrics.len() > MAX_METRICS {
        return Err(ApiError::validation(format!(
            "An alarm on an expression must have 1 to {MAX_METRICS} metrics."
        )));
    }
    if metrics.iter().any(|metric| metric.period != metrics[0].period) {
        return Err(ApiError::validation(
            "All metrics of an alarm must have the same period.",
        ));
    }
    for query in queries {
        let Source::Expression(text) = &query.source else {
            continue;
        };
        let invalid =
            |problem: String| ApiError::validation(format!("Error in the query {}: {problem}.", query.id));
        let expression = math::parse(text).map_err(invalid)?;
        let unknown = expression
            .ids()
            .into_iter()
            .find(|id| queries.iter().all(|query| query.id != *id));
        if let Some(unknown) = unknown {
            return Err(invalid(format!("there is no query {unknown}")));
        }
    }
    Ok(())
}

fn whole(number: usize) -> Out {
    Out::Whole(i64::try_from(number).unwrap_or(i64::MAX))
}

/// An integer of at least 1.
fn count(input: &Fields<'_>, name: &str) -> Result<Option<usize>, ApiError> {
    let Some(number) = input.integer(name)? else {
        return Ok(None);
    };
    match usize::try_from(number) {
        Ok(number) if number >= 1 => Ok(Some(number)),
        _ => Err(ApiError::invalid(format!(
            "The parameter {} must be greater than or equal to 1.",
            input.path(name)
        ))),
    }
}

fn check_span(period: i64, evaluation_periods: usize) -> Result<(), ApiError> {
    let span = period.saturating_mul(i64::try_from(evaluation_periods).unwrap_or(i64::MAX));
    let longest = if period >= 3600 {
        7 * DAY_SECONDS
    } else {
        DAY_SECONDS
    };
    if span > longest {
        return Err(ApiError::validation(format!(
            "Metrics cannot be checked across more than {longest} seconds (EvaluationPeriods * Period must be <= {longest})"
        )));
    }
    Ok(())
}

fn parse_comparison(text: &str) -> Result<Comparison, ApiError> {
    Comparison::parse(text).ok_or_else(|| {
        let all: Vec<&str> = Comparison::ALL.iter().map(|(name, ..)| *name).collect();
        ApiError::invalid(format!(
            "The parameter ComparisonOperator must be a value in the set [ {} ].",
            all.join(", ")
        ))
    })
}

fn statistic<'a>(input: &Fields<'a>) -> Result<&'a str, ApiError> {
    let plain = input.text("Statistic", 255)?;
    let extended = input.text("ExtendedStatistic", 255)?;
    let (field, word, percentile) = match (plain, extended) {
        (Some(word), None) => ("Statistic", word, false),
        (None, Some(word)) => ("ExtendedStatistic", word, true),
        (None, None) => return Err(ApiError::missing("Statistic")),
        (Some(_), Some(_)) => {
            return Err(ApiError::combination(
                "The parameters Statistic and ExtendedStatistic are mutually exclusive and you have specified both.",
            ));
        }
    };
    match Stat::parse(word) {
        Some(Stat::Percentile(_)) if percentile => Ok(word),
        Some(stat) if !percentile && !matches!(stat, Stat::Percentile(_)) => Ok(word),
        _ => Err(input.invalid(field, word)),
    }
}

fn missing_data(input: &Fields<'_>) -> Result<Option<MissingData>, ApiError> {
    let Some(word) = input.text("TreatMissingData", 255)? else {
        return Ok(None);
    };
    let known = MissingData::ALL.into_iter().find(|(name, _)| *name == word);
    match known {
        Some((_, missing)) => Ok(Some(missing)),
        None => Err(input.invalid("TreatMissingData", word)),
    }
}

fn low_samples(input: &Fields<'_>) -> Result<Option<LowSamples>, ApiError> {
    const FIELD: &str = "EvaluateLowSampleCountPercentile";
    match input.text(FIELD, 255)? {
        None => Ok(None),
        Some("evaluate") => Ok(Some(LowSamples::Evaluate)),
        Some("ignore") => Ok(Some(LowSamples::Ignore)),
        Some(other) => Err(input.invalid(FIELD, other)),
    }
}
