//! Trying an alarm: does it change its state, and does its notification arrive?
//!
//! On the local cloud the alarm's metric is driven over the threshold. On AWS only the state can be set: no client may
//! publish metrics of a service.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use aws_smithy_types::DateTime;
use serde::Serialize;

use super::list::{self, AlarmEntry, State};
use crate::context::Context;
use ground::error::{self, Error, Result};
use ground::shell::quoted;

/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The local cloud takes values of its services' metrics with it.
const TRIAL_HEADER: &str = "x-streamctl-trial";
/// The reason that a state gets from a trial.
const REASON: &str = "set by streamctl alarms test";

/// A part of a trial that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "AlarmTestStep")
)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A value above the threshold was put.
    Driven,
    /// The alarm went to ALARM.
    Alarm,
    /// Its actions were executed.
    Notified,
}

/// Result of a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Trial {
    pub alarm: String,
    /// The value that was put; `None` where the state was set.
    pub value: Option<f64>,
    pub steps: Vec<Step>,
    pub state: State,
    pub reason: String,
    /// What the history says of each action since the trial began.
    pub actions: Vec<String>,
}

impl Trial {
    /// Whether the alarm went off and all of its actions were executed.
    pub fn succeeded(&self) -> bool {
        let failed = self.actions.iter().any(|action| action.starts_with("Failed"));
        self.steps.contains(&Step::Alarm) && !failed
    }
}

/// Whether a value of its metric can make the alarm go off: it watches one metric.
pub fn can_drive(alarm: &AlarmEntry) -> bool {
    alarm.metric.is_some() && alarm.threshold.is_some()
}

/// A value beyond the threshold.
fn value_beyond(alarm: &AlarmEntry) -> f64 {
    let threshold = alarm.threshold.unwrap_or_default();
    let distance = threshold.abs().max(1.0);
    match alarm.comparison.starts_with('<') {
        true => threshold - distance,
        false => threshold + distance,
    }
}

/// Times with a value each, in seconds since the epoch: one in each of the alarm's evaluation periods, which end with the
/// last complete minute.
fn times(alarm: &AlarmEntry, now: i64) -> Vec<i64> {
    let period = i64::from(alarm.period_seconds.unwrap_or(60).max(60));
    let end = now.div_euclid(60) * 60;
    let periods = i64::from(alarm.evaluation_periods.unwrap_or(1).max(1));
    (1..=periods).map(|ago| end - ago * period).collect()
}

/// Puts values beyond the threshold of `alarm` into its metric, and waits until the alarm goes off and its actions are
/// executed. Only the local cloud takes them, for metrics of its services too. They stay in the metric.
///
/// # Errors
/// Exit 1 if the alarm does not go off within `limit`.
pub async fn drive(
    context: &Context,
    alarm: &AlarmEntry,
    limit: Duration,
    show: &(dyn Fn(&Step) + Sync),
) -> Result<Trial> {
    let began = SystemTime::now();
    let value = value_beyond(alarm);
    let mut trial = started(alarm, Some(value));
    let metric = alarm.metric.clone().unwrap_or_default();
    let dimensions: Vec<Dimension> = metric
        .dimensions
        .iter()
        .map(|(name, value)| Dimension::builder().name(name).value(value).build())
        .collect();
    let datum = |at: i64| {
        MetricDatum::builder()
            .metric_name(&metric.name)
            .set_dimensions(Some(dimensions.clone()))
            .timestamp(DateTime::from_secs(at))
            .value(value)
            .build()
    };
    let data = times(alarm, jiff::Timestamp::now().as_second())
        .into_iter()
        .map(datum);
    let call = context
        .cloudwatch()
        .put_metric_data()
        .namespace(&metric.namespace);
    call.set_metric_data(Some(data.collect()))
        .customize()
        .mutate_request(|request| {
            request.headers_mut().insert(TRIAL_HEADER, "true");
        })
        .send()
        .await
        .map_err(|e| error::aws::failed(format!("could not send values of {}", metric.name), e))?;
    reached(&mut trial, Step::Driven, show);
    wait_for_alarm(context, trial, began, limit, show).await
}

/// Sets the state of `alarm` to ALARM, and waits until its actions are executed. The next evaluation corrects the state.
///
/// # Errors
/// When the state cannot be set; exit 1 if it does not change within `limit`.
pub async fn set_alarm(
    context: &Context,
    alarm: &AlarmEntry,
    limit: Duration,
    show: &(dyn Fn(&Step) + Sync),
) -> Result<Trial> {
    let began = SystemTime::now();
    let trial = started(alarm, None);
    let call = context.cloudwatch().set_alarm_state().alarm_name(&alarm.name);
    call.state_value(State::Alarm.sdk())
        .state_reason(REASON)
        .send()
        .await
        .map_err(|e| error::aws::failed(format!("could not set the state of alarm {}", alarm.name), e))?;
    wait_for_alarm(context, trial, began, limit, show).await
}

fn started(alarm: &AlarmEntry, value: Option<f64>) -> Trial {
    Trial {
        alarm: alarm.name.clone(),
        value,
        steps: Vec::new(),
        state: alarm.state,
        reason: alarm.reason.clone(),
        actions: Vec::new(),
    }
}

fn reached(trial: &mut Trial, step: Step, show: &(dyn Fn(&Step) + Sync)) {
    if !trial.steps.contains(&step) {
        show(&step);
        trial.steps.push(step);
    }
}

async fn wait_for_alarm(
    context: &Context,
    mut trial: Trial,
    began: SystemTime,
    limit: Duration,
    show: &(dyn Fn(&Step) + Sync),
) -> Result<Trial> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let alarm = list::find(context, &trial.alarm).await?;
        (trial.state, trial.reason) = (alarm.state, alarm.reason.clone());
        let items = super::history(context, &trial.alarm, false, 50).await?;
        let since = |item: &&super::Item| {
            let at = item.at.map(|at| at.as_second());
            let began = began
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs();
            at.is_some_and(|at| at.unsigned_abs() >= began)
        };
        let fresh: Vec<&super::Item> = items.iter().filter(since).collect();
        // A state that was set may be corrected before it is seen.
        let went_off = |item: &&&super::Item| item.summary.ends_with("to ALARM");
        if alarm.state == State::Alarm || fresh.iter().any(|item| went_off(&item)) {
            reached(&mut trial, Step::Alarm, show);
        }
        trial.actions = fresh
            .iter()
            .filter(|item| item.kind == "Action")
            .map(|item| item.summary.clone())
            .collect();
        let expected = if alarm.muted.is_some() {
            0
        } else {
            alarm.actions.len()
        };
        let went_off = trial.steps.contains(&Step::Alarm);
        if went_off && trial.actions.len() >= expected {
            if expected > 0 {
                reached(&mut trial, Step::Notified, show);
            }
            return Ok(trial);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(not_seen(&trial, limit, went_off));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn not_seen(trial: &Trial, limit: Duration, went_off: bool) -> Error {
    let seconds = limit.as_secs();
    match went_off {
        true => Error::failed(format!(
            "alarm {} went off, and not all of its actions were executed within {seconds} s",
            trial.alarm
        ))
        .hint(format!("see `streamctl alarms history {}`", quoted(&trial.alarm))),
        false => Error::failed(format!(
            "alarm {} did not go off within {seconds} s: it is {}",
            trial.alarm, trial.state
        ))
        .cause(trial.reason.clone())
        .hint("an alarm that needs several datapoints goes off after as many minutes; give it time with --timeout"),
    }
}
