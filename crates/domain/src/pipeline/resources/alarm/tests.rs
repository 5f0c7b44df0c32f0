use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricAlarm, Statistic};
use serde_json::{Value, json};

use super::super::test_support::{changes, context, location, observed, spec_with};
use super::*;
use crate::pipeline::resource::Spec;

type Settings = Declared;

/// An alarm as a manifest declares it, the values of `defaults` being defaults.
fn spec(change: impl FnOnce(&mut Value), defaults: &[&str]) -> Spec {
    let mut declared = json!({
        "name": "duration", "namespace": "AWS/Lambda", "metric": "Duration",
        "dimensions": {"FunctionName": "f", "Resource": "f"}, "statistic": "Average", "period_seconds": 300,
        "evaluation_periods": 2, "threshold": 96000, "comparison": ">", "missing_data": "notBreaching",
        "actions": ["arn:topic"],
    });
    change(&mut declared);
    let Value::Object(declared) = declared else {
        unreachable!()
    };
    spec_with("alarm", declared, defaults)
}

fn there(change: impl FnOnce(Settings) -> Settings) -> Settings {
    let dimension = |name: &str| Dimension::builder().name(name).value("f").build();
    let alarm = MetricAlarm::builder()
        .namespace("AWS/Lambda")
        .metric_name("Duration")
        // Another order.
        .dimensions(dimension("Resource"))
        .dimensions(dimension("FunctionName"))
        .statistic(Statistic::Average)
        .period(300)
        .evaluation_periods(2)
        .threshold(96000.0)
        .comparison_operator(ComparisonOperator::GreaterThanThreshold)
        .treat_missing_data("notBreaching")
        .alarm_actions("arn:topic");
    change(Settings::of(&alarm.build()).unwrap())
}

async fn differences(spec: Spec, there: Settings) -> String {
    let facts = Facts {
        arn: "arn:alarm".into(),
        state: "OK".into(),
        actions_enabled: true,
        settings: Some(there),
    };
    let observed = observed(&spec, facts, &[]);
    let context = context().await;
    changes(&Alarm::new(&context, location(), spec).unwrap(), &observed)
}

#[tokio::test]
async fn what_means_the_same_is_no_change() {
    assert_eq!(differences(spec(|_| {}, &[]), there(|one| one)).await, "");
}

#[tokio::test]
async fn each_difference_is_named() {
    let there = there(|one| Settings {
        threshold: 5.0,
        period_seconds: 60,
        actions: BTreeSet::new(),
        comparison: ">=".into(),
        dimensions: BTreeMap::new(),
        ..one
    });
    insta::assert_snapshot!(differences(spec(|_| {}, &[]), there).await, @r#"
    dimensions: add FunctionName = f, Resource = f
    period: 60 s → 300 s
    comparison: >= → >
    threshold: 5 → 96000
    actions: add arn:topic
    "#);
}

#[tokio::test]
async fn a_default_replaces_nothing() {
    let there = there(|one| Settings {
        threshold: 5.0,
        ..one
    });
    assert_eq!(differences(spec(|_| {}, &["threshold"]), there.clone()).await, "");
    // A topic that is left out this time does not silence the alarm.
    let silent = spec(|one| one["actions"] = json!([]), &["threshold", "actions"]);
    assert_eq!(differences(silent, there).await, "");
}

#[tokio::test]
async fn what_cloudwatch_would_refuse_is_refused_before() {
    let context = context().await;
    let problem = |key: &str, value: Value| {
        let spec = spec(|one| one[key] = value, &[]);
        Alarm::new(&context, location(), spec).err().unwrap().to_string()
    };
    let problems = [
        problem("comparison", "=>".into()),
        problem("statistic", "Mean".into()),
        problem("missing_data", "ignored".into()),
        problem("period_seconds", 45.into()),
        problem("evaluation_periods", 289.into()),
        problem("datapoints_to_alarm", 3.into()),
        problem("name", "".into()),
        problem("treshold", 3.into()),
    ];
    insta::assert_snapshot!(problems.join("\n"), @r#"
    line 1: resource it: comparison is "=>"; use >, >=, < or <=
    line 1: resource it: statistic is "Mean"; use Average, Maximum, Minimum, SampleCount, Sum, or a percentile such as p99
    line 1: resource it: missing_data is "ignored"; use breaching, ignore, missing, notBreaching
    line 1: resource it: period_seconds is 10, 20, 30 or a multiple of 60
    line 1: resource it: its periods together are at most 86400 s long
    line 1: resource it: datapoints_to_alarm is from 1 to evaluation_periods
    line 1: resource it: the name of an alarm has 1 to 255 characters
    line 1: resource it: unknown field `treshold`, expected one of `name`, `description`, `namespace`, `metric`, `dimensions`, `statistic`, `period_seconds`, `evaluation_periods`, `datapoints_to_alarm`, `threshold`, `comparison`, `missing_data`, `actions`, `ok_actions`
    "#);
    let percentile = spec(|one| one["statistic"] = "p99.9".into(), &[]);
    assert!(Alarm::new(&context, location(), percentile).is_ok());
}

#[tokio::test]
async fn an_alarm_in_words() {
    let context = context().await;
    let alarm = Alarm::new(&context, location(), spec(|_| {}, &[])).unwrap();
    assert_eq!(
        alarm.summary(),
        "Average of AWS/Lambda Duration > 96000 over 2 × 300 s"
    );
}
