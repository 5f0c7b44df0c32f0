//! What CloudWatch sends when it executes an action of an alarm.
//!
//! Source: "Amazon SNS notifications" and "Lambda alarm actions", CloudWatch user guide.

use serde_json::{Map, Value, json};

use crate::Caller;
use crate::clock::utc;
use crate::cloudwatch::alarm::{self, Alarm, Kind, MetricAlarm, State, Watched};
use crate::cloudwatch::evaluate::long_time;
use crate::cloudwatch::queries::{MetricStat, Query, Source};

/// The subject of the email. Source: Publish, `Subject`, SNS API reference: at most 100 characters.
pub(super) fn subject(alarm: &Alarm, caller: &Caller) -> String {
    let region = region_name(&caller.region);
    format!("{}: \"{}\" in {region}", alarm.state.word(), alarm.name)
        .chars()
        .take(100)
        .collect()
}

/// The message to a topic.
pub(super) fn for_topic(alarm: &Alarm, caller: &Caller, before: State, now_ms: i64) -> String {
    let mut message = json!({
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": caller.account,
        "AlarmConfigurationUpdatedTimestamp": long_time(alarm.configured_ms),
        "NewStateValue": alarm.state.word(),
        "NewStateReason": alarm.reason,
        "StateChangeTime": long_time(now_ms),
        "Region": region_name(&caller.region),
        "AlarmArn": alarm::arn(caller, &alarm.name),
        "OldStateValue": before.word(),
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
    });
    match &alarm.kind {
        Kind::Metric(metric) => message["Trigger"] = trigger(metric),
        Kind::Composite(composite) => {
            message["AlarmRule"] = composite.rule.as_str().into();
            message["TriggeringChildren"] = children(alarm);
        }
    }
    message.to_string()
}

/// The alarms that a composite alarm follows.
fn children(alarm: &Alarm) -> Value {
    let data = alarm.reason_data.as_deref();
    let data = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
    let alarms = data.as_ref().and_then(|data| data["triggeringAlarms"].as_array());
    let child = |child: &Value| {
        json!({
            "Arn": child["arn"],
            "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]},
        })
    };
    alarms.into_iter().flatten().map(child).collect()
}

fn trigger(alarm: &MetricAlarm) -> Value {
    let mut trigger = json!({
        "EvaluationPeriods": alarm.evaluation_periods,
        "ComparisonOperator": alarm.comparison.name(),
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.missing().name(),
        "EvaluateLowSampleCountPercentile": "",
    });
    if let Some(needed) = alarm.datapoints_to_alarm {
        trigger["DatapointsToAlarm"] = needed.into();
    }
    match &alarm.watched {
        Watched::Metric(metric) => {
            trigger["MetricName"] = metric.metric.as_str().into();
            trigger["Namespace"] = metric.namespace.as_str().into();
            trigger["StatisticType"] = metric.statistic_field().into();
            trigger["Statistic"] = metric.statistic.to_uppercase().into();
            trigger["Unit"] = json!(metric.unit);
            trigger["Dimensions"] = dimensions(&metric.dimensions);
            trigger["Period"] = metric.period.into();
        }
        Watched::Queries { metrics } => {
            trigger["Period"] = alarm.watched.period().into();
            trigger["Metrics"] = metrics.iter().map(query).collect();
        }
    }
    trigger
}

fn query(query: &Query) -> Value {
    let mut shown = json!({"Id": query.id, "Label": query.label, "ReturnData": query.returned});
    match &query.source {
        Source::Expression(expression) => shown["Expression"] = expression.as_str().into(),
        Source::Metric(metric) => {
            shown["MetricStat"] = json!({
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": dimensions(&metric.dimensions),
                },
                "Period": metric.period,
                "Stat": metric.stat,
            });
        }
    }
    shown
}

fn dimensions(dimensions: &[(String, String)]) -> Value {
    let dimension = |(name, value): &(String, String)| json!({"name": name, "value": value});
    dimensions.iter().map(dimension).collect()
}

/// The event of a function.
pub(super) fn for_function(alarm: &Alarm, caller: &Caller, before: State, now_ms: i64) -> String {
    let configuration = match &alarm.kind {
        Kind::Composite(composite) => {
            json!({"description": alarm.description, "alarmRule": composite.rule})
        }
        Kind::Metric(metric) => {
            json!({"description": alarm.description, "metrics": function_metrics(&metric.watched)})
        }
    };
    json!({
        "source": "aws.cloudwatch",
        "alarmArn": alarm::arn(caller, &alarm.name),
        "accountId": caller.account,
        "time": long_time(now_ms),
        "region": caller.region,
        "alarmData": {
            "alarmName": alarm.name,
            "state": {
                "value": alarm.state.word(),
                "reason": alarm.reason,
                "reasonData": alarm.reason_data,
                "timestamp": utc(now_ms, "%Y-%m-%dT%H:%M:%S%.3f+0000"),
            },
            "previousState": {"value": before.word()},
            "configuration": configuration,
        },
    })
    .to_string()
}

fn function_metrics(watched: &Watched) -> Value {
    let stat = |metric: &MetricStat| {
        let dimensions: Map<String, Value> = metric
            .dimensions
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        json!({
            "metric": {"namespace": metric.namespace, "name": metric.name, "dimensions": dimensions},
            "period": metric.period,
            "stat": metric.stat,
        })
    };
    match watched {
        Watched::Metric(one) => {
            let metric = MetricStat {
                namespace: one.namespace.clone(),
                name: one.metric.clone(),
                dimensions: one.dimensions.clone(),
                period: one.period,
                stat: one.statistic.clone(),
                unit: one.unit.clone(),
            };
            json!([{"id": "m1", "metricStat": stat(&metric), "returnData": true}])
        }
        Watched::Queries { metrics } => metrics
            .iter()
            .map(|query| match &query.source {
                Source::Metric(metric) => {
                    json!({"id": query.id, "metricStat": stat(metric), "returnData": query.returned})
                }
                Source::Expression(expression) => {
                    json!({"id": query.id, "expression": expression, "returnData": query.returned})
                }
            })
            .collect(),
    }
}

/// The region's name in CloudWatch's messages. The region itself if unknown. Source: "AWS Regions", AWS general
/// reference.
fn region_name(region: &str) -> &str {
    match region {
        "us-east-1" => "US East (N. Virginia)",
        "us-east-2" => "US East (Ohio)",
        "us-west-1" => "US West (N. California)",
        "us-west-2" => "US West (Oregon)",
        "eu-west-1" => "EU (Ireland)",
        "eu-central-1" => "EU (Frankfurt)",
        "ap-northeast-1" => "Asia Pacific (Tokyo)",
        other => other,
    }
}
