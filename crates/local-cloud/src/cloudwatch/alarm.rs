//! An alarm: its configuration and state, read from a request and written to an answer.
//!
//! Source: PutMetricAlarm, DescribeAlarms and the type MetricAlarm, CloudWatch API reference.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::input::Fields;
use super::put;
use super::stat::{self, Stat};
use super::store::MINUTE_MS;
use super::wire::Out;
use crate::{Caller, partition};

/// Actions per state. Source: PutMetricAlarm, `AlarmActions`.
const MAX_ACTIONS: usize = 5;
/// Source: PutMetricAlarm, `Dimensions`.
const MAX_DIMENSIONS: usize = 30;
/// Maximum of period times evaluation periods: a week if the period is at least an hour, otherwise a day.
/// Source: PutMetricAlarm, `EvaluationPeriods`.
const DAY_SECONDS: i64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    #[serde(rename = "OK")]
    Ok,
    #[serde(rename = "ALARM")]
    Alarm,
    #[serde(rename = "INSUFFICIENT_DATA")]
    InsufficientData,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// When a datapoint is breaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Comparison {
    AtLeast,
    Above,
    Below,
    AtMost,
}

impl Comparison {
    const ALL: [(&'static str, Self, &'static str); 4] = [
        (
            "GreaterThanOrEqualToThreshold",
            Self::AtLeast,
            "greater than or equal to",
        ),
        ("GreaterThanThreshold", Self::Above, "greater than"),
        ("LessThanThreshold", Self::Below, "less than"),
        (
            "LessThanOrEqualToThreshold",
            Self::AtMost,
            "less than or equal to",
        ),
    ];

    fn parse(word: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|(name, ..)| *name == word);
        known.map(|(_, comparison, _)| comparison)
    }

    pub(super) fn name(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, one, _)| *one == self);
        known.map_or("", |(name, ..)| name)
    }

    /// In AWS's wording for a state's reason.
    pub(super) fn words(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, one, _)| *one == self);
        known.map_or("", |(.., words)| words)
    }

    pub(super) fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::AtLeast => value >= threshold,
            Self::Above => value > threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }
}

/// Treatment of periods without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MissingData {
    Breaching,
    NotBreaching,
    Ignore,
    Missing,
}

impl MissingData {
    const ALL: [(&'static str, Self); 4] = [
        ("breaching", Self::Breaching),
        ("notBreaching", Self::NotBreaching),
        ("ignore", Self::Ignore),
        ("missing", Self::Missing),
    ];

    pub(super) fn name(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, one)| *one == self);
        known.map_or("missing", |(name, _)| name)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarm {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) actions_enabled: bool,
    pub(super) ok_actions: Vec<String>,
    pub(super) alarm_actions: Vec<String>,
    pub(super) insufficient_data_actions: Vec<String>,
    pub(super) namespace: String,
    pub(super) metric: String,
    pub(super) dimensions: Vec<(String, String)>,
    /// As given, such as `Sum` or `p99`.
    pub(super) statistic: String,
    pub(super) unit: Option<String>,
    /// Seconds.
    pub(super) period: i64,
    pub(super) evaluation_periods: usize,
    /// As given. Default: all evaluation periods.
    pub(super) datapoints_to_alarm: Option<usize>,
    pub(super) threshold: f64,
    pub(super) comparison: Comparison,
    /// As given. Default: `missing`.
    pub(super) missing_data: Option<MissingData>,
    /// Milliseconds since the Unix epoch, like the other times.
    pub(super) configured_ms: i64,
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) reason_data: Option<String>,
    pub(super) state_updated_ms: i64,
    pub(super) state_changed_ms: i64,
}

impl Alarm {
    /// Parses PutMetricAlarm.
    pub(super) fn read(input: &Fields<'_>, now_ms: i64) -> Result<Self, ApiError> {
        if input.has("Metrics") || input.has("ThresholdMetricId") {
            return Err(ApiError::validation(
                "The local cloud evaluates alarms on one metric; alarms on metric math are not offered.",
            ));
        }
        let period = stat::period(input)?.ok_or_else(|| ApiError::missing("Period"))?;
        let evaluation_periods =
            count(input, "EvaluationPeriods")?.ok_or_else(|| ApiError::missing("EvaluationPeriods"))?;
        let datapoints_to_alarm = count(input, "DatapointsToAlarm")?;
        if datapoints_to_alarm.is_some_and(|needed| needed > evaluation_periods) {
            return Err(ApiError::validation(
                "DatapointsToAlarm must be less than or equal to EvaluationPeriods.",
            ));
        }
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
        let words = |name: &str| -> Result<Vec<String>, ApiError> {
            let words = input.words(name, MAX_ACTIONS)?;
            Ok(words.into_iter().map(str::to_owned).collect())
        };
        let comparison = input.need_text("ComparisonOperator", 255)?;
        Ok(Self {
            name: input.need_text("AlarmName", 255)?.to_owned(),
            description: input.text("AlarmDescription", 1024)?.map(str::to_owned),
            actions_enabled: input.flag("ActionsEnabled")?.unwrap_or(true),
            ok_actions: words("OKActions")?,
            alarm_actions: words("AlarmActions")?,
            insufficient_data_actions: words("InsufficientDataActions")?,
            namespace: put::namespace(input)?
                .ok_or_else(|| ApiError::missing("Namespace"))?
                .to_owned(),
            metric: input.need_text("MetricName", 255)?.to_owned(),
            dimensions: input.dimensions(MAX_DIMENSIONS)?,
            statistic: statistic(input)?.to_owned(),
            unit: put::unit(input)?.map(str::to_owned),
            period,
            evaluation_periods,
            datapoints_to_alarm,
            threshold: input
                .number("Threshold")?
                .ok_or_else(|| ApiError::missing("Threshold"))?,
            comparison: Comparison::parse(comparison).ok_or_else(|| {
                let all: Vec<&str> = Comparison::ALL.iter().map(|(name, ..)| *name).collect();
                ApiError::invalid(format!(
                    "The parameter ComparisonOperator must be a value in the set [ {} ].",
                    all.join(", ")
                ))
            })?,
            missing_data: missing_data(input)?,
            configured_ms: now_ms,
            state: State::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            state_updated_ms: now_ms,
            state_changed_ms: now_ms,
        })
    }

    /// Takes over the state of the replaced alarm. Source: PutMetricAlarm: "its state is left unchanged".
    pub(super) fn replacing(mut self, before: &Self) -> Self {
        self.state = before.state;
        self.reason.clone_from(&before.reason);
        self.reason_data.clone_from(&before.reason_data);
        self.state_updated_ms = before.state_updated_ms;
        self.state_changed_ms = before.state_changed_ms;
        self
    }

    /// Number of breaching datapoints for ALARM.
    pub(super) fn needed(&self) -> usize {
        self.datapoints_to_alarm.unwrap_or(self.evaluation_periods)
    }

    pub(super) fn stat(&self) -> Stat {
        // Validated when the alarm was created.
        Stat::parse(&self.statistic).unwrap_or(Stat::Average)
    }

    pub(super) fn period_ms(&self) -> i64 {
        stat::period_ms(self.period).max(MINUTE_MS)
    }

    /// The actions for the current state.
    pub(super) fn actions(&self) -> &[String] {
        match self.state {
            State::Ok => &self.ok_actions,
            State::Alarm => &self.alarm_actions,
            State::InsufficientData => &self.insufficient_data_actions,
        }
    }

    /// The alarm as DescribeAlarms returns it.
    pub(super) fn out(&self, caller: &Caller) -> Out {
        let text = |text: &str| Out::Text(text.to_owned());
        let list = |words: &[String]| Out::List(words.iter().map(|word| text(word)).collect());
        let dimensions = self
            .dimensions
            .iter()
            .map(|(name, value)| Out::Struct(vec![("Name", text(name)), ("Value", text(value))]));
        let mut fields = vec![
            ("AlarmName", text(&self.name)),
            ("AlarmArn", Out::Text(arn(caller, &self.name))),
            (
                "AlarmConfigurationUpdatedTimestamp",
                Out::Time(self.configured_ms),
            ),
            ("ActionsEnabled", Out::Flag(self.actions_enabled)),
            ("OKActions", list(&self.ok_actions)),
            ("AlarmActions", list(&self.alarm_actions)),
            ("InsufficientDataActions", list(&self.insufficient_data_actions)),
            ("StateValue", text(self.state.word())),
            ("StateReason", text(&self.reason)),
            ("StateUpdatedTimestamp", Out::Time(self.state_updated_ms)),
            ("StateTransitionedTimestamp", Out::Time(self.state_changed_ms)),
            ("MetricName", text(&self.metric)),
            ("Namespace", text(&self.namespace)),
            (self.statistic_field(), text(&self.statistic)),
            ("Dimensions", Out::List(dimensions.collect())),
            ("Period", Out::Whole(self.period)),
            ("EvaluationPeriods", whole(self.evaluation_periods)),
            ("Threshold", Out::Number(self.threshold)),
            ("ComparisonOperator", text(self.comparison.name())),
        ];
        let optional = [
            ("AlarmDescription", self.description.as_deref()),
            ("StateReasonData", self.reason_data.as_deref()),
            ("Unit", self.unit.as_deref()),
            ("TreatMissingData", self.missing_data.map(MissingData::name)),
        ];
        fields.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, text(value?)))),
        );
        fields.extend(
            self.datapoints_to_alarm
                .map(|needed| ("DatapointsToAlarm", whole(needed))),
        );
        Out::Struct(fields)
    }

    pub(super) fn statistic_field(&self) -> &'static str {
        match self.stat() {
            Stat::Percentile(_) => "ExtendedStatistic",
            _ => "Statistic",
        }
    }
}

fn whole(number: usize) -> Out {
    Out::Whole(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn arn(caller: &Caller, name: &str) -> String {
    let Caller { account, region } = caller;
    format!(
        "arn:{}:cloudwatch:{region}:{account}:alarm:{name}",
        partition(region)
    )
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
