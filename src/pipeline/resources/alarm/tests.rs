use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, MetricAlarm, Statistic};

use std::collections::BTreeSet;

use super::*;
use crate::pipeline::resource::{Identity, Properties};
use crate::pipeline::{Origin, Tags};

/// An alarm as a manifest declares it, the values of `defaults` being defaults.
fn spec(change: impl FnOnce(&mut serde_json::Value), defaults: &[&str]) -> Spec {
    let mut declared = serde_json::json!({
        "name": "duration", "namespace": "AWS/Lambda", "metric": "Duration",
        "dimensions": {"FunctionName": "f", "Resource": "f"}, "statistic": "Average", "period_seconds": 300,
        "evaluation_periods": 2, "threshold": 96000, "comparison": ">", "missing_data": "notBreaching",
        "actions": ["arn:topic"],
    });
    change(&mut declared);
    let mut properties = Properties::default();
    for (key, value) in declared.as_object().unwrap() {
        let is_default = defaults.contains(&key.as_str());
        let origin = if is_default {
            Origin::Default
        } else {
            Origin::Template
        };
        properties.set(key, value.clone(), origin);
    }
    Spec {
        id: "duration_alarm".into(),
        kind: "alarm".into(),
        line: 7,
        properties,
        tags: Tags::default(),
        identity: Identity::new("retail", "dev"),
    }
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

fn changes(spec: &Spec, there: &Settings) -> Vec<String> {
    let (_, wanted) = Settings::read(spec).unwrap();
    let wanted = wanted.enforced_over(there, spec, &Present::default());
    wanted
        .changes_from(there)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_means_the_same_is_no_change() {
    assert!(changes(&spec(|_| {}, &[]), &there(|one| one)).is_empty());
}

#[test]
fn each_difference_is_named() {
    let there = there(|one| Settings {
        threshold: 5.0,
        period_seconds: 60,
        actions: BTreeSet::new(),
        comparison: ">=".into(),
        dimensions: BTreeMap::new(),
        ..one
    });
    insta::assert_snapshot!(changes(&spec(|_| {}, &[]), &there).join("\n"), @r#"
    dimensions: add FunctionName = f, Resource = f
    period: 60 s → 300 s
    comparison: >= → >
    threshold: 5 → 96000
    actions: add arn:topic
    "#);
}

#[test]
fn a_default_replaces_nothing() {
    let there = there(|one| Settings {
        threshold: 5.0,
        ..one
    });
    assert!(changes(&spec(|_| {}, &["threshold"]), &there).is_empty());
    // A topic that is left out this time does not silence the alarm.
    let silent = spec(
        |one| one["actions"] = serde_json::json!([]),
        &["threshold", "actions"],
    );
    assert!(changes(&silent, &there).is_empty());
}

#[test]
fn what_cloudwatch_would_refuse_is_refused_before() {
    let problem = |key: &str, value: serde_json::Value| {
        let spec = spec(|one| one[key] = value, &[]);
        Settings::read(&spec).unwrap_err().to_string()
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
    line 7: resource duration_alarm: comparison is "=>"; use >, >=, < or <=
    line 7: resource duration_alarm: statistic is "Mean"; use Average, Maximum, Minimum, SampleCount, Sum, or a percentile such as p99
    line 7: resource duration_alarm: missing_data is "ignored"; use breaching, ignore, missing, notBreaching
    line 7: resource duration_alarm: period_seconds is 10, 20, 30 or a multiple of 60
    line 7: resource duration_alarm: its periods together are at most 86400 s long
    line 7: resource duration_alarm: datapoints_to_alarm is from 1 to evaluation_periods
    line 7: resource duration_alarm: the name of an alarm has 1 to 255 characters
    line 7: resource duration_alarm: unknown field `treshold`, expected one of `name`, `description`, `namespace`, `metric`, `dimensions`, `statistic`, `period_seconds`, `evaluation_periods`, `datapoints_to_alarm`, `threshold`, `comparison`, `missing_data`, `actions`, `ok_actions`
    "#);
    let percentile = spec(|one| one["statistic"] = "p99.9".into(), &[]);
    assert!(Settings::read(&percentile).is_ok());
}

#[test]
fn an_alarm_in_words() {
    let (_, settings) = Settings::read(&spec(|_| {}, &[])).unwrap();
    assert_eq!(
        settings.in_words(),
        "Average of AWS/Lambda Duration > 96000 over 2 × 300 s"
    );
}
