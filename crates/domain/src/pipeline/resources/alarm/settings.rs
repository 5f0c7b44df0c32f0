//! What an alarm watches and when it goes off, declared by a manifest or observed in CloudWatch.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder;
use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricAlarm, Statistic};
use serde::{Deserialize, Serialize};

use crate::pipeline::resource::Change;

/// The properties of an alarm. Sets and maps, since the order of dimensions and of actions means nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Settings {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) namespace: String,
    pub(super) metric: String,
    #[serde(default)]
    pub(super) dimensions: BTreeMap<String, String>,
    /// `Sum` and its like, or a percentile such as `p99`.
    pub(super) statistic: String,
    pub(super) period_seconds: i32,
    #[serde(default = "one")]
    pub(super) evaluation_periods: i32,
    pub(super) datapoints_to_alarm: Option<i32>,
    pub(super) threshold: f64,
    /// `>`, `>=`, `<` or `<=`; else CloudWatch's own word.
    pub(super) comparison: String,
    #[serde(default = "missing")]
    pub(super) missing_data: String,
    #[serde(default)]
    pub(super) actions: BTreeSet<String>,
    #[serde(default)]
    pub(super) ok_actions: BTreeSet<String>,
}

fn one() -> i32 {
    1
}

/// CloudWatch's default. Source: PutMetricAlarm, TreatMissingData.
fn missing() -> String {
    "missing".to_owned()
}

const COMPARISONS: &[(&str, ComparisonOperator)] = &[
    (">", ComparisonOperator::GreaterThanThreshold),
    (">=", ComparisonOperator::GreaterThanOrEqualToThreshold),
    ("<", ComparisonOperator::LessThanThreshold),
    ("<=", ComparisonOperator::LessThanOrEqualToThreshold),
];

const STATISTICS: &[&str] = &["Average", "Maximum", "Minimum", "SampleCount", "Sum"];

const MISSING_DATA: &[&str] = &["breaching", "ignore", "missing", "notBreaching"];

/// How far back an alarm may look, in seconds: a day, or a week with periods of an hour or more.
/// Source: PutMetricAlarm, Period.
const DAY: i64 = 86_400;

impl Settings {
    /// Sets what follows from other properties.
    pub(super) fn complete(&mut self) {
        self.datapoints_to_alarm.get_or_insert(self.evaluation_periods);
    }

    /// The settings of an alarm that exists; `None` for one on an expression.
    pub(super) fn of(alarm: &MetricAlarm) -> Option<Self> {
        let statistic = match (alarm.statistic(), alarm.extended_statistic()) {
            (Some(statistic), _) => statistic.as_str().to_owned(),
            (None, Some(extended)) => extended.to_owned(),
            (None, None) => return None,
        };
        let evaluation_periods = alarm.evaluation_periods().unwrap_or(1);
        let dimensions = alarm.dimensions().iter();
        let list = |actions: &[String]| actions.iter().cloned().collect();
        Some(Self {
            name: alarm.alarm_name().unwrap_or_default().to_owned(),
            description: alarm.alarm_description().unwrap_or_default().to_owned(),
            namespace: alarm.namespace()?.to_owned(),
            metric: alarm.metric_name()?.to_owned(),
            dimensions: dimensions
                .filter_map(|one| Some((one.name()?.to_owned(), one.value()?.to_owned())))
                .collect(),
            statistic,
            period_seconds: alarm.period().unwrap_or(60),
            evaluation_periods,
            datapoints_to_alarm: alarm.datapoints_to_alarm().or(Some(evaluation_periods)),
            threshold: alarm.threshold().unwrap_or_default(),
            comparison: alarm
                .comparison_operator()
                .map_or_else(String::new, |operator| short(operator).to_owned()),
            missing_data: alarm.treat_missing_data().unwrap_or("missing").to_owned(),
            actions: list(alarm.alarm_actions()),
            ok_actions: list(alarm.ok_actions()),
        })
    }

    /// These settings, but those of `there` where a property is not enforced.
    pub(super) fn enforced_over(&self, there: &Self, enforced: impl Fn(&str) -> bool) -> Self {
        macro_rules! pick {
            ($($field:ident),*) => {
                Self {
                    $($field: if enforced(stringify!($field)) { &self.$field } else { &there.$field }.clone(),)*
                    // The watched metric is always enforced.
                    name: self.name.clone(),
                    namespace: self.namespace.clone(),
                    metric: self.metric.clone(),
                    dimensions: self.dimensions.clone(),
                    statistic: self.statistic.clone(),
                    // By default, all evaluation periods.
                    datapoints_to_alarm: self.datapoints_to_alarm,
                }
            };
        }
        pick!(
            description,
            period_seconds,
            evaluation_periods,
            threshold,
            comparison,
            missing_data,
            // Where the topic that they refer to is left out, they are left out too, and not enforced.
            actions,
            ok_actions
        )
    }

    /// The changes that make these settings of `there`.
    pub(super) fn changes_from(&self, there: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut compare = |field: &str, from: String, to: String| {
            if from != to {
                let some = |text: String| (!text.is_empty()).then_some(text);
                changes.push(Change::Update {
                    field: field.to_owned(),
                    from: some(from),
                    to: some(to),
                    loses: None,
                });
            }
        };
        let watched = |one: &Self| format!("{} {}", one.namespace, one.metric);
        compare("metric", watched(there), watched(self));
        compare("dimensions", there.dimension_words(), self.dimension_words());
        compare("statistic", there.statistic.clone(), self.statistic.clone());
        compare(
            "period",
            seconds(there.period_seconds),
            seconds(self.period_seconds),
        );
        compare("evaluation", there.evaluation(), self.evaluation());
        compare("comparison", there.comparison.clone(), self.comparison.clone());
        // As numbers: 5 is 5.0.
        compare(
            "threshold",
            there.threshold.to_string(),
            self.threshold.to_string(),
        );
        compare(
            "missing data",
            there.missing_data.clone(),
            self.missing_data.clone(),
        );
        compare("actions", words(&there.actions), words(&self.actions));
        compare("OK actions", words(&there.ok_actions), words(&self.ok_actions));
        compare("description", there.description.clone(), self.description.clone());
        changes
    }

    /// As in "Sum of AWS/Lambda Errors > 5 over 2 × 300 s".
    pub(super) fn in_words(&self) -> String {
        let needed = self.datapoints_to_alarm.unwrap_or(self.evaluation_periods);
        let periods = match self.evaluation_periods {
            1 => seconds(self.period_seconds),
            n if needed < n => format!("{needed} of {n} × {}", seconds(self.period_seconds)),
            n => format!("{n} × {}", seconds(self.period_seconds)),
        };
        format!(
            "{} of {} {} {} {} over {periods}",
            self.statistic, self.namespace, self.metric, self.comparison, self.threshold
        )
    }

    /// As in "Environment = dev, FunctionName = x".
    pub(super) fn dimension_words(&self) -> String {
        let pairs = self
            .dimensions
            .iter()
            .map(|(name, value)| format!("{name} = {value}"));
        pairs.collect::<Vec<_>>().join(", ")
    }

    fn evaluation(&self) -> String {
        format!(
            "{} of {} periods",
            self.datapoints_to_alarm.unwrap_or(self.evaluation_periods),
            self.evaluation_periods
        )
    }

    /// The dimensions in the form of calls.
    pub(super) fn sdk_dimensions(&self) -> Vec<Dimension> {
        let dimension =
            |(name, value): (&String, &String)| Dimension::builder().name(name).value(value).build();
        self.dimensions.iter().map(dimension).collect()
    }

    /// `call` with all of these settings.
    pub(super) fn put(&self, call: PutMetricAlarmFluentBuilder) -> PutMetricAlarmFluentBuilder {
        let list = |actions: &BTreeSet<String>| Some(actions.iter().cloned().collect());
        let call = if STATISTICS.contains(&self.statistic.as_str()) {
            call.statistic(Statistic::from(self.statistic.as_str()))
        } else {
            call.extended_statistic(&self.statistic)
        };
        call.alarm_description(&self.description)
            .namespace(&self.namespace)
            .metric_name(&self.metric)
            .set_dimensions(Some(self.sdk_dimensions()))
            .period(self.period_seconds)
            .evaluation_periods(self.evaluation_periods)
            .set_datapoints_to_alarm(self.datapoints_to_alarm)
            .threshold(self.threshold)
            .comparison_operator(long(&self.comparison))
            .treat_missing_data(&self.missing_data)
            .set_alarm_actions(list(&self.actions))
            .set_ok_actions(list(&self.ok_actions))
    }

    /// What CloudWatch would refuse. Source: PutMetricAlarm, CloudWatch API reference.
    pub(super) fn problem(&self) -> Option<String> {
        if self.name.is_empty() || self.name.chars().count() > 255 {
            return Some("the name of an alarm has 1 to 255 characters".to_owned());
        }
        if self.dimensions.len() > 30 {
            return Some("a metric has at most 30 dimensions".to_owned());
        }
        if !COMPARISONS.iter().any(|(word, _)| *word == self.comparison) {
            return Some(format!("comparison is {:?}; use >, >=, < or <=", self.comparison));
        }
        let percentile = |text: &str| {
            text.strip_prefix('p')
                .is_some_and(|rest| rest.parse::<f64>().is_ok())
        };
        if !STATISTICS.contains(&self.statistic.as_str()) && !percentile(&self.statistic) {
            return Some(format!(
                "statistic is {:?}; use {}, or a percentile such as p99",
                self.statistic,
                STATISTICS.join(", ")
            ));
        }
        if !MISSING_DATA.contains(&self.missing_data.as_str()) {
            return Some(format!(
                "missing_data is {:?}; use {}",
                self.missing_data,
                MISSING_DATA.join(", ")
            ));
        }
        let period = self.period_seconds;
        if !(matches!(period, 10 | 20 | 30) || (period >= 60 && period % 60 == 0)) {
            return Some("period_seconds is 10, 20, 30 or a multiple of 60".to_owned());
        }
        let most = if period >= 3600 { 7 * DAY } else { DAY };
        if self.evaluation_periods < 1 || i64::from(self.evaluation_periods) * i64::from(period) > most {
            return Some(format!("its periods together are at most {most} s long"));
        }
        let datapoints = self.datapoints_to_alarm.unwrap_or(1);
        if !(1..=self.evaluation_periods).contains(&datapoints) {
            return Some("datapoints_to_alarm is from 1 to evaluation_periods".to_owned());
        }
        (self.actions.len().max(self.ok_actions.len()) > 5)
            .then(|| "an alarm has at most 5 actions".to_owned())
    }
}

fn short(operator: &ComparisonOperator) -> &str {
    let found = COMPARISONS.iter().find(|(_, one)| one == operator);
    found.map_or(operator.as_str(), |(word, _)| word)
}

fn long(comparison: &str) -> ComparisonOperator {
    let found = COMPARISONS.iter().find(|(word, _)| *word == comparison);
    found.map_or_else(
        || ComparisonOperator::from(comparison),
        |(_, operator)| operator.clone(),
    )
}

fn seconds(seconds: i32) -> String {
    format!("{seconds} s")
}

fn words(actions: &BTreeSet<String>) -> String {
    actions.iter().cloned().collect::<Vec<_>>().join(", ")
}
