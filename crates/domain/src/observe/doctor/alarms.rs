//! Checks of alarms: whether they watch something, whether they act, and whether they are in ALARM.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use aws_sdk_cloudwatch::types::{AlarmType, MetricAlarm, StateValue};
use jiff::Timestamp;

use super::Check;
use super::finding::{Finding, Looked};
use super::subject::Subject;
use crate::context::Context;
use crate::observe::metrics::Kind;
use crate::stream::{ShardMetric, StreamState};
use ground::error::{self, Result};

pub(super) const CHECKS: &[Check] = &[
    Check::new("alarm-without-data", "alarms watch metrics that have data", |s| {
        Box::pin(without_data(s))
    }),
    Check::new("alarm-disabled", "actions of alarms are enabled", |s| {
        Box::pin(disabled(s))
    }),
    Check::new("alarm-firing", "no alarm is in ALARM", |s| Box::pin(firing(s))),
    Check::new("alarm-without-action", "alarms notify somebody", |s| {
        Box::pin(without_action(s))
    })
    .posture(),
];

/// An alarm without data for this long, in seconds, watches nothing.
const DAY: i64 = 86_400;
/// Metrics of a stream: the dimension StreamName alone.
/// Source: "Monitoring the Amazon Kinesis Data Streams Service with Amazon CloudWatch", Kinesis developer guide.
const STREAM_METRICS: &[&str] = &[
    "GetRecords.Bytes",
    "GetRecords.IteratorAge",
    "GetRecords.IteratorAgeMilliseconds",
    "GetRecords.Latency",
    "GetRecords.Records",
    "GetRecords.Success",
    "IncomingBytes",
    "IncomingRecords",
    "PutRecord.Bytes",
    "PutRecord.Latency",
    "PutRecord.Success",
    "PutRecords.Bytes",
    "PutRecords.FailedRecords",
    "PutRecords.Latency",
    "PutRecords.Records",
    "PutRecords.Success",
    "PutRecords.SuccessfulRecords",
    "PutRecords.ThrottledRecords",
    "PutRecords.TotalRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
];

/// A CloudWatch alarm on one metric.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alarm {
    pub name: String,
    pub namespace: String,
    pub metric: String,
    pub dimensions: BTreeMap<String, String>,
    /// OK, ALARM or INSUFFICIENT_DATA.
    pub state: String,
    pub reason: String,
    /// Since when it is in that state, in seconds since the epoch.
    pub state_since: Option<i64>,
    pub actions_enabled: bool,
    /// Number of actions of all states.
    pub actions: usize,
}

impl Alarm {
    fn of(alarm: &MetricAlarm) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let dimensions = alarm.dimensions().iter();
        Self {
            name: text(alarm.alarm_name()),
            namespace: text(alarm.namespace()),
            metric: text(alarm.metric_name()),
            dimensions: dimensions
                .filter_map(|one| Some((one.name()?.to_owned(), one.value()?.to_owned())))
                .collect(),
            state: text(alarm.state_value().map(StateValue::as_str)),
            reason: text(alarm.state_reason()),
            state_since: alarm
                .state_transitioned_timestamp()
                .or(alarm.state_updated_timestamp())
                .map(aws_smithy_types::DateTime::secs),
            actions_enabled: alarm.actions_enabled().unwrap_or(true),
            actions: alarm.alarm_actions().len()
                + alarm.ok_actions().len()
                + alarm.insufficient_data_actions().len(),
        }
    }

    fn dimension(&self, name: &str) -> Option<&str> {
        self.dimensions.get(name).map(String::as_str)
    }

    /// Whether it watches a metric of one of `names`.
    pub(super) fn watches_one_of(&self, names: &BTreeSet<(Kind, String)>) -> bool {
        let watches = |(kind, name): &(Kind, String)| {
            let watched = kind.dimension().and_then(|dimension| self.dimension(dimension));
            watched == Some(name)
        };
        self.namespace.starts_with("AWS/") && names.iter().any(watches)
    }

    /// `AWS/Kinesis IncomingBytes`.
    fn watched(&self) -> String {
        let dimensions = self.dimensions.iter();
        let dimensions: Vec<String> = dimensions
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("{} {} ({})", self.namespace, self.metric, dimensions.join(", "))
    }
}

/// All alarms on a metric.
pub(super) async fn read(context: &Context) -> Result<Vec<Alarm>> {
    let call = context.cloudwatch().describe_alarms();
    let mut pages = call.alarm_types(AlarmType::MetricAlarm).into_paginator().send();
    let mut alarms = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the alarms", e))?;
        alarms.extend(page.metric_alarms().iter().map(Alarm::of));
    }
    Ok(alarms)
}

async fn without_data(subject: &Subject<'_>) -> Looked {
    let streams = subject.streams().await?;
    let now = Timestamp::now().as_second();
    let alarms = subject.alarms().await?.iter();
    Ok(alarms
        .filter_map(|alarm| watches_nothing(alarm, &streams, now))
        .collect())
}

fn watches_nothing(alarm: &Alarm, streams: &[&StreamState], now: i64) -> Option<Finding> {
    let of = format!("alarm {}", alarm.name);
    let history = |finding: Finding| {
        let words = ["aws cloudwatch delete-alarms --alarm-names", &alarm.name].join(" ");
        finding
            .evidence(format!("it watches {}", alarm.watched()))
            .other_fix(words)
    };
    if alarm.namespace == "AWS/Kinesis"
        && let Some(stream) = alarm.dimension("StreamName")
    {
        let of_shard = alarm.dimensions.contains_key("ShardId");
        let metric = ShardMetric::from_str(&alarm.metric).ok();
        let alone = alarm.dimensions.len() == 1;
        if alone && !STREAM_METRICS.contains(&alarm.metric.as_str()) {
            return Some(history(Finding::fault(
                of,
                format!("watches nothing: streams have no metric {}", alarm.metric),
            )));
        }
        let state = streams.iter().find(|state| state.name == stream);
        if of_shard
            && let Some(state) = state
            && metric.is_none_or(|metric| !state.monitoring.contains(&metric))
        {
            let finding = Finding::fault(of, "watches nothing: this shard-level metric is not turned on");
            return Some(match metric {
                Some(metric) => finding.evidence(format!("it watches {}", alarm.watched())).fix(&[
                    "monitoring",
                    "enable",
                    stream,
                    "--metrics",
                    metric.name(),
                ]),
                None => history(finding),
            });
        }
    }
    let since = alarm.state_since?;
    if alarm.state == "INSUFFICIENT_DATA" && now - since >= DAY {
        let days = (now - since) / DAY;
        let finding = Finding::caution(of, "has had no data for days: it may watch nothing");
        return Some(history(
            finding.evidence(format!("INSUFFICIENT_DATA for {days} days")),
        ));
    }
    None
}

async fn disabled(subject: &Subject<'_>) -> Looked {
    let alarms = subject.alarms().await?.iter();
    Ok(alarms.filter_map(is_disabled).collect())
}

fn is_disabled(alarm: &Alarm) -> Option<Finding> {
    (!alarm.actions_enabled).then(|| {
        Finding::caution(
            format!("alarm {}", alarm.name),
            "does nothing when it goes off: its actions are disabled",
        )
        .evidence(format!("{} actions, disabled", alarm.actions))
        .fix(&["alarms", "unmute", &alarm.name])
    })
}

async fn firing(subject: &Subject<'_>) -> Looked {
    let alarms = subject.alarms().await?.iter();
    Ok(alarms.filter_map(is_firing).collect())
}

fn is_firing(alarm: &Alarm) -> Option<Finding> {
    if alarm.state != "ALARM" {
        return None;
    }
    let since = alarm.state_since.and_then(|at| Timestamp::from_second(at).ok());
    let since = since.map(|at| format!("since {}", at.strftime("%Y-%m-%d %H:%M UTC")));
    Some(
        Finding::caution(format!("alarm {}", alarm.name), "is in ALARM")
            .evidence(format!("it watches {}", alarm.watched()))
            .evidence_if(since)
            .evidence_if((!alarm.reason.is_empty()).then(|| alarm.reason.clone()))
            .fix(&["alarms", "history", &alarm.name]),
    )
}

async fn without_action(subject: &Subject<'_>) -> Looked {
    let alarms = subject.alarms().await?.iter();
    Ok(alarms.filter_map(tells_nobody).collect())
}

fn tells_nobody(alarm: &Alarm) -> Option<Finding> {
    (alarm.actions == 0).then(|| {
        Finding::caution(
            format!("alarm {}", alarm.name),
            "notifies nobody when it goes off: it has no action",
        )
        .other_fix("aws sns create-topic --name alarms")
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_support::stream;
    use super::*;
    use crate::observe::doctor::Severity;

    fn alarm(metric: &str, dimensions: &[(&str, &str)]) -> Alarm {
        let dimensions = dimensions.iter();
        Alarm {
            name: "late".to_owned(),
            namespace: "AWS/Kinesis".to_owned(),
            metric: metric.to_owned(),
            dimensions: dimensions
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            state: "OK".to_owned(),
            state_since: Some(0),
            actions_enabled: true,
            actions: 1,
            ..Alarm::default()
        }
    }

    #[test]
    fn a_metric_that_streams_do_not_have_is_a_fault() {
        let orders = stream("orders");
        let of_stream = [("StreamName", "orders")];
        let judge = |alarm: &Alarm| watches_nothing(alarm, &[&orders], 60).map(|found| found.summary);
        assert_eq!(
            judge(&alarm("GetRecords.IteratorAgeMilliseconds", &of_stream)),
            None
        );
        assert_eq!(
            judge(&alarm("IteratorAgeMilliseconds", &of_stream)).as_deref(),
            Some("watches nothing: streams have no metric IteratorAgeMilliseconds")
        );
    }

    #[test]
    fn a_metric_of_shards_must_be_turned_on() {
        let mut orders = stream("orders");
        let watched = alarm(
            "IncomingBytes",
            &[("StreamName", "orders"), ("ShardId", "shardId-000000000000")],
        );
        let found = watches_nothing(&watched, &[&orders], 60).unwrap();
        assert_eq!(
            found.fixes[0].command,
            "streamctl monitoring enable orders --metrics IncomingBytes"
        );
        orders.monitoring.insert(ShardMetric::IncomingBytes);
        assert_eq!(watches_nothing(&watched, &[&orders], 60), None);
    }

    #[test]
    fn a_day_without_data_is_worth_a_look() {
        let mut one = alarm("IncomingBytes", &[("StreamName", "orders")]);
        one.state = "INSUFFICIENT_DATA".to_owned();
        assert_eq!(watches_nothing(&one, &[], DAY - 1), None);
        let found = watches_nothing(&one, &[], 3 * DAY).unwrap();
        assert_eq!(found.severity, Severity::Caution);
        assert_eq!(found.evidence[0], "INSUFFICIENT_DATA for 3 days");
    }

    #[test]
    fn an_alarm_is_of_what_its_dimensions_name() {
        let names = BTreeSet::from([
            (Kind::Stream, "orders".to_owned()),
            (Kind::Queue, "failed".to_owned()),
        ]);
        let watches = |dimensions: &[(&str, &str)]| alarm("M", dimensions).watches_one_of(&names);
        assert!(watches(&[("StreamName", "orders"), ("ShardId", "s")]));
        assert!(watches(&[("QueueName", "failed")]));
        assert!(!watches(&[("StreamName", "failed")]));
        assert!(!watches(&[]));
    }

    #[test]
    fn actions_and_state_are_looked_at() {
        let mut one = alarm("IncomingBytes", &[("StreamName", "orders")]);
        assert_eq!(
            (is_disabled(&one), is_firing(&one), tells_nobody(&one)),
            (None, None, None)
        );
        one.actions_enabled = false;
        one.actions = 0;
        one.state = "ALARM".to_owned();
        one.reason = "Threshold Crossed".to_owned();
        assert!(is_disabled(&one).is_some() && tells_nobody(&one).is_some());
        assert_eq!(
            is_firing(&one).unwrap().evidence,
            [
                "it watches AWS/Kinesis IncomingBytes (StreamName=orders)",
                "since 1970-01-01 00:00 UTC",
                "Threshold Crossed",
            ]
        );
    }
}
