//! Alarms as they are: state, condition, actions, owner, and whether they are muted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_sdk_cloudwatch::types::{AlarmType, CompositeAlarm, MetricAlarm, MetricDataQuery, StateValue};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::mute::{self, Muted};
use super::set::{Metric, identity};
use crate::context::Context;
use crate::observe::doctor::Scope;
use crate::pipeline::tags::{MANAGED_BY, PIPELINE, STREAMCTL};
use ground::error::{self, Error, Result};

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "AlarmState")
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    Alarm,
    Ok,
    InsufficientData,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Alarm => "ALARM",
            Self::Ok => "OK",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    pub(super) fn sdk(self) -> StateValue {
        StateValue::from(self.word())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.to_ascii_uppercase().replace('-', "_");
        let all = [Self::Alarm, Self::Ok, Self::InsufficientData];
        let found = all.into_iter().find(|state| state.word() == word);
        found.ok_or_else(|| "use ALARM, OK or INSUFFICIENT_DATA".to_owned())
    }
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct AlarmEntry {
    pub name: String,
    pub arn: String,
    /// `metric`, `expression` or `composite`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub state: State,
    /// Since when it is in this state.
    pub since: Option<Timestamp>,
    /// CloudWatch's explanation of the state.
    pub reason: String,
    pub description: String,
    /// When it goes off, in words.
    pub condition: String,
    /// The metric, of an alarm on one.
    pub metric: Option<Metric>,
    /// `None` for composite alarms.
    pub threshold: Option<f64>,
    /// `>`, `>=`, `<` or `<=`; empty for composite alarms.
    pub comparison: String,
    pub period_seconds: Option<i32>,
    pub evaluation_periods: Option<i32>,
    /// ARNs of what acts when it goes off.
    pub actions: Vec<String>,
    /// Why its actions are not executed; `None` if they are.
    pub muted: Option<Muted>,
    /// The pipeline that it belongs to; `None` if streamctl did not make it, or its tags are not known.
    pub pipeline: Option<String>,
}

/// Which alarms are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub state: Option<State>,
    pub prefix: Option<String>,
    /// Only those that streamctl made.
    pub only_ours: bool,
}

/// The alarms that `filter` accepts, by name.
///
/// # Errors
/// When they, or the tags that tell their owner, cannot be listed.
pub async fn list(context: &Context, filter: &Filter) -> Result<Vec<AlarmEntry>> {
    let call = context
        .cloudwatch()
        .describe_alarms()
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .max_records(100)
        .set_alarm_name_prefix(filter.prefix.clone())
        .set_state_value(filter.state.map(State::sdk));
    let mut pages = call.into_paginator().send();
    let mut alarms = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the alarms", e))?;
        alarms.extend(page.metric_alarms().iter().map(AlarmEntry::of_metric));
        alarms.extend(page.composite_alarms().iter().map(AlarmEntry::of_composite));
    }
    let (owners, muted) = tokio::join!(owners(context), mute::rules(context));
    let (owners, muted) = (owners?, muted?);
    for alarm in &mut alarms {
        alarm.pipeline = owners.get(&alarm.arn).cloned();
        if alarm.muted.is_none() {
            alarm.muted = muted.get(&alarm.name).cloned();
        }
    }
    if filter.only_ours {
        alarms.retain(|alarm| alarm.pipeline.is_some());
    }
    alarms.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(alarms)
}

/// The alarm `name`.
///
/// # Errors
/// Exit 1 if it does not exist.
pub async fn find(context: &Context, name: &str) -> Result<AlarmEntry> {
    // A prefix finds more than the alarm; names are not a filter for both types in one page.
    let filter = Filter {
        prefix: Some(name.to_owned()),
        ..Filter::default()
    };
    let found = list(context, &filter)
        .await?
        .into_iter()
        .find(|alarm| alarm.name == name);
    found.ok_or_else(|| {
        Error::failed(format!("there is no alarm {name}"))
            .hint("list the alarms with `streamctl alarms list`")
    })
}

/// One line about alarms: how many, and which are in ALARM.
pub fn overview<'a>(alarms: impl Iterator<Item = &'a AlarmEntry>) -> String {
    let alarms: Vec<&AlarmEntry> = alarms.collect();
    let count = match alarms.len() {
        0 => return "none (`streamctl alarms set STREAM` creates a set)".to_owned(),
        1 => "1 alarm".to_owned(),
        many => format!("{many} alarms"),
    };
    let firing: Vec<&str> = alarms
        .iter()
        .filter(|alarm| alarm.state == State::Alarm)
        .map(|alarm| alarm.name.as_str())
        .collect();
    let silent = alarms.iter().filter(|alarm| alarm.actions.is_empty()).count();
    let muted = alarms.iter().filter(|alarm| alarm.muted.is_some()).count();
    let mut words = vec![count];
    words.push(match firing.as_slice() {
        [] => "none in ALARM".to_owned(),
        firing => format!("in ALARM: {}", firing.join(", ")),
    });
    words.extend(match silent {
        0 => None,
        1 => Some("1 notifies nobody".to_owned()),
        more => Some(format!("{more} notify nobody")),
    });
    words.extend((muted > 0).then(|| format!("{muted} muted")));
    words.join(", ")
}

/// The pipelines of the alarms that streamctl made, by ARN.
async fn owners(context: &Context) -> Result<BTreeMap<String, String>> {
    let input = json!({
        "ResourceTypeFilters": ["cloudwatch:alarm"],
        "TagFilters": [{"Key": MANAGED_BY, "Values": [STREAMCTL]}],
    });
    let found = context
        .tagged_resources(input, "could not list the tags of the alarms")
        .await?;
    let owners = found.into_iter().map(|mut resource| {
        let pipeline = resource.tags.remove(PIPELINE);
        (resource.arn, pipeline.unwrap_or_default())
    });
    Ok(owners.collect())
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn state_of(value: Option<&StateValue>) -> State {
    let word = value.map_or("", StateValue::as_str);
    word.parse().unwrap_or(State::InsufficientData)
}

fn time(time: Option<&aws_smithy_types::DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(time?.secs()).ok()
}

impl AlarmEntry {
    /// Whether `alarms set` made it for the stream, function or pipeline `set`.
    pub fn is_of_set(&self, set: &str) -> bool {
        self.pipeline
            .as_ref()
            .is_some_and(|owner| *owner == identity(set))
    }

    /// Whether it watches a metric of `namespace` with this dimension.
    pub fn watches(&self, namespace: &str, dimension: &str, value: &str) -> bool {
        self.metric.as_ref().is_some_and(|metric| {
            metric.namespace == namespace
                && metric
                    .dimensions
                    .get(dimension)
                    .is_some_and(|found| found == value)
        })
    }

    /// Whether it is of what `scope` names: one of its alarms, or one on its resources.
    pub fn is_of(&self, scope: &Scope) -> bool {
        let of = |namespace: &str, dimension: &str, names: &[String]| {
            names.iter().any(|name| self.watches(namespace, dimension, name))
        };
        scope.alarms.contains(&self.name)
            || of("AWS/Kinesis", "StreamName", &scope.streams)
            || of("AWS/Lambda", "FunctionName", &scope.functions)
            || of("AWS/SQS", "QueueName", &scope.queues)
            || of("AWS/DynamoDB", "TableName", &scope.tables)
    }

    pub(in crate::observe) fn of_metric(alarm: &MetricAlarm) -> Self {
        let dimensions = alarm.dimensions().iter();
        let metric = alarm.metric_name().map(|name| Metric {
            namespace: text(alarm.namespace()),
            name: name.to_owned(),
            dimensions: dimensions
                .filter_map(|one| Some((one.name()?.to_owned(), one.value()?.to_owned())))
                .collect(),
        });
        let is_disabled = alarm.actions_enabled() == Some(false);
        Self {
            name: text(alarm.alarm_name()),
            arn: text(alarm.alarm_arn()),
            kind: if metric.is_some() { "metric" } else { "expression" },
            state: state_of(alarm.state_value()),
            since: time(
                alarm
                    .state_transitioned_timestamp()
                    .or(alarm.state_updated_timestamp()),
            ),
            reason: text(alarm.state_reason()),
            description: text(alarm.alarm_description()),
            condition: condition(alarm, metric.as_ref()),
            metric,
            threshold: alarm.threshold(),
            comparison: comparison(alarm).to_owned(),
            period_seconds: alarm.period(),
            evaluation_periods: alarm.evaluation_periods(),
            actions: alarm.alarm_actions().to_vec(),
            muted: is_disabled.then_some(Muted::Disabled),
            pipeline: None,
        }
    }

    fn of_composite(alarm: &CompositeAlarm) -> Self {
        let is_disabled = alarm.actions_enabled() == Some(false);
        Self {
            name: text(alarm.alarm_name()),
            arn: text(alarm.alarm_arn()),
            kind: "composite",
            state: state_of(alarm.state_value()),
            since: time(
                alarm
                    .state_transitioned_timestamp()
                    .or(alarm.state_updated_timestamp()),
            ),
            reason: text(alarm.state_reason()),
            description: text(alarm.alarm_description()),
            condition: text(alarm.alarm_rule()),
            metric: None,
            threshold: None,
            comparison: String::new(),
            period_seconds: None,
            evaluation_periods: None,
            actions: alarm.alarm_actions().to_vec(),
            muted: is_disabled.then_some(Muted::Disabled),
            pipeline: None,
        }
    }
}

/// As in "Maximum of AWS/Lambda Duration > 48000 in 3 of 5 periods of 60 s".
fn condition(alarm: &MetricAlarm, metric: Option<&Metric>) -> String {
    let watched = match metric {
        Some(metric) => {
            let statistic = alarm.statistic().map(|one| one.as_str());
            let statistic = statistic.or(alarm.extended_statistic()).unwrap_or("Average");
            format!("{statistic} of {} {}", metric.namespace, metric.name)
        }
        None => expression(alarm.metrics()),
    };
    let periods = alarm.evaluation_periods().unwrap_or(1);
    let needed = alarm.datapoints_to_alarm().unwrap_or(periods);
    let stat_period = |query: &MetricDataQuery| query.metric_stat().and_then(|stat| stat.period());
    let period = alarm
        .period()
        .or_else(|| alarm.metrics().iter().find_map(stat_period));
    let period = period.unwrap_or(60);
    let within = match (needed, periods) {
        (1, 1) => format!("in {period} s"),
        _ => format!("in {needed} of {periods} periods of {period} s"),
    };
    let threshold = alarm
        .threshold()
        .map_or_else(String::new, |number| number.to_string());
    format!("{watched} {} {threshold} {within}", comparison(alarm))
}

fn comparison(alarm: &MetricAlarm) -> &str {
    alarm.comparison_operator().map_or("", |one| match one.as_str() {
        "GreaterThanThreshold" => ">",
        "GreaterThanOrEqualToThreshold" => ">=",
        "LessThanThreshold" => "<",
        "LessThanOrEqualToThreshold" => "<=",
        other => other,
    })
}

/// The expression that an alarm watches.
fn expression(queries: &[MetricDataQuery]) -> String {
    let returned = queries.iter().find(|query| query.return_data() != Some(false));
    let returned = returned.or(queries.first());
    returned
        .and_then(|query| query.label().or(query.expression()))
        .unwrap_or("an expression")
        .to_owned()
}
