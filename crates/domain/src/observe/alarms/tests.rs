//! Which alarms a set has, and that its manifest declares them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::set::identity;
use super::*;
use crate::functions::function::FunctionState;
use crate::observe::doctor::{Function, Queue};
use crate::stream::consumers::{Consumer, ConsumerStatus};
use crate::stream::{Mode, Status, StreamState};

fn stream(name: &str, retention_hours: u32) -> StreamState {
    StreamState {
        name: name.to_owned(),
        arn: format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"),
        status: Status::Active,
        mode: Mode::Provisioned,
        open_shards: 1,
        retention_hours,
        encryption: None,
        monitoring: Default::default(),
        tags: BTreeMap::new(),
        consumer_count: 0,
        created: None,
        max_record_size_kib: 1_024,
        warm_throughput_mibps: None,
        record_distribution: None,
    }
}

fn function(name: &str, timeout_seconds: u32) -> Function {
    Function {
        name: name.to_owned(),
        state: FunctionState {
            timeout_seconds,
            ..FunctionState::default()
        },
        tags: BTreeMap::new(),
    }
}

fn queue() -> Queue {
    Queue {
        name: "failed".to_owned(),
        url: String::new(),
        visible: 0,
        in_flight: 0,
        visibility_seconds: 30,
        retention_seconds: 345_600,
        redrives: false,
    }
}

fn entry(name: &str, pipeline: Option<&str>, wanted: &Wanted) -> AlarmEntry {
    AlarmEntry {
        name: name.to_owned(),
        arn: format!("arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"),
        kind: "metric",
        state: State::Ok,
        since: None,
        reason: String::new(),
        description: String::new(),
        condition: String::new(),
        metric: Some(wanted.metric.clone()),
        threshold: Some(wanted.threshold),
        comparison: ">".to_owned(),
        period_seconds: Some(60),
        evaluation_periods: Some(1),
        actions: Vec::new(),
        muted: None,
        pipeline: pipeline.map(str::to_owned),
    }
}

#[test]
fn a_set_watches_streams_readers_and_queues() {
    let (orders, scorer, failed) = (stream("orders", 48), function("scorer", 60), queue());
    let consumers = [Consumer {
        name: "fan".to_owned(),
        arn: String::new(),
        status: ConsumerStatus::Active,
        created: None,
    }];
    let subjects = Subjects {
        streams: vec![(&orders, &consumers)],
        functions: vec![(&scorer, Some(48))],
        mappings: vec![("11111111-2222".to_owned(), "scorer".to_owned())],
        queues: vec![&failed],
        failed_events: vec![Metric {
            namespace: "Retail".to_owned(),
            name: "FailedEvents".to_owned(),
            dimensions: BTreeMap::from([("Environment".to_owned(), "dev".to_owned())]),
        }],
    };
    let set = AlarmSet::new("orders", &subjects, &Thresholds::default(), &[]);
    let lines: Vec<String> = set
        .alarms
        .iter()
        .map(|alarm| {
            let (needed, of) = alarm.datapoints;
            format!(
                "{}: {} of {} {} > {}, {needed} of {of} × {} s",
                set.alarm_name(alarm),
                alarm.statistic,
                alarm.metric.namespace,
                alarm.metric.name,
                alarm.threshold,
                alarm.period_seconds
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    orders-write-throttled: Sum of AWS/Kinesis WriteProvisionedThroughputExceeded > 0, 3 of 5 × 60 s
    orders-read-throttled: Sum of AWS/Kinesis ReadProvisionedThroughputExceeded > 0, 3 of 5 × 60 s
    orders-records-throttled: Sum of AWS/Kinesis PutRecords.ThrottledRecords > 0, 3 of 5 × 60 s
    orders-records-failed: Sum of AWS/Kinesis PutRecords.FailedRecords > 0, 3 of 5 × 60 s
    orders-late: Maximum of AWS/Kinesis GetRecords.IteratorAgeMilliseconds > 300000, 3 of 5 × 60 s
    orders-near-loss: Maximum of AWS/Kinesis GetRecords.IteratorAgeMilliseconds > 86400000, 3 of 5 × 60 s
    orders-fan-late: Maximum of AWS/Kinesis SubscribeToShardEvent.MillisBehindLatest > 300000, 3 of 5 × 60 s
    orders-fan-near-loss: Maximum of AWS/Kinesis SubscribeToShardEvent.MillisBehindLatest > 86400000, 3 of 5 × 60 s
    orders-scorer-errors: Sum of AWS/Lambda Errors > 0, 3 of 5 × 60 s
    orders-scorer-throttles: Sum of AWS/Lambda Throttles > 0, 3 of 5 × 60 s
    orders-scorer-duration: Maximum of AWS/Lambda Duration > 48000, 3 of 5 × 60 s
    orders-scorer-late: Maximum of AWS/Lambda IteratorAge > 300000, 3 of 5 × 60 s
    orders-scorer-near-loss: Maximum of AWS/Lambda IteratorAge > 86400000, 3 of 5 × 60 s
    orders-scorer-failed-invocations: Sum of AWS/Lambda FailedInvokeEventCount > 0, 3 of 5 × 60 s
    orders-scorer-dropped: Sum of AWS/Lambda DroppedEventCount > 0, 1 of 1 × 60 s
    orders-failed-depth: Maximum of AWS/SQS ApproximateNumberOfMessagesVisible > 0, 1 of 1 × 300 s
    orders-failed-age: Maximum of AWS/SQS ApproximateAgeOfOldestMessage > 172800, 1 of 1 × 300 s
    orders-failed-events: Sum of Retail FailedEvents > 10, 1 of 1 × 60 s
    ");
    assert_eq!(
        monthly_cost("us-east-1", set.alarms.len()).unwrap().rounded(2),
        "1.80"
    );
    assert_eq!(monthly_cost("ap-northeast-1", 1), None);
}

#[test]
fn what_an_alarm_of_another_pipeline_watches_is_left_out() {
    let orders = stream("orders", 24);
    let subjects = Subjects {
        streams: vec![(&orders, &[])],
        ..Subjects::default()
    };
    let whole = AlarmSet::new("orders", &subjects, &Thresholds::default(), &[]);
    let of = |owner: Option<&str>| {
        let existing = [entry("retail-lag", owner, &whole.alarms[0])];
        AlarmSet::new("orders", &subjects, &Thresholds::default(), &existing)
    };
    // Not those of strangers, and not those of this set.
    assert_eq!(of(None).alarms.len(), whole.alarms.len());
    assert_eq!(of(Some(&identity("orders"))).alarms.len(), whole.alarms.len());
    let set = of(Some("retail/dev"));
    assert_eq!(set.alarms.len(), whole.alarms.len() - 1);
    assert_eq!(
        set.kept,
        [Kept {
            suffix: "write-throttled".to_owned(),
            by: "retail-lag".to_owned()
        }]
    );
}

#[test]
fn the_manifest_of_a_set_declares_its_alarms() {
    let (orders, other) = (stream("orders", 24), stream("o\"ther", 24));
    let subjects = Subjects {
        streams: vec![(&orders, &[]), (&other, &[])],
        ..Subjects::default()
    };
    let set = AlarmSet::new("shop-dev", &subjects, &Thresholds::default(), &[]);
    let topic = "arn:aws:sns:us-east-1:000000000000:alerts".to_owned();
    let manifest = manifest(&set, &[topic]).unwrap();
    assert_eq!(
        (manifest.name.as_str(), manifest.instance.as_str()),
        ("alarms", "shop-dev")
    );
    assert_eq!(manifest.resources.len(), 12);
    let last = &manifest.resources[11].properties;
    assert_eq!(last["name"].get_ref(), "shop-dev-o\"ther-near-loss");
    assert_eq!(last["threshold"].get_ref(), 43_200_000.0);
    assert!(last.contains_key("actions"));
    let silent = super::manifest(&set, &[]).unwrap();
    assert!(!silent.resources[0].properties.contains_key("actions"));
}

#[test]
fn one_line_says_how_the_alarms_are() {
    let orders = stream("orders", 24);
    let subjects = Subjects {
        streams: vec![(&orders, &[])],
        ..Subjects::default()
    };
    let set = AlarmSet::new("orders", &subjects, &Thresholds::default(), &[]);
    let mut alarms: Vec<AlarmEntry> = set
        .alarms
        .iter()
        .map(|one| entry(&set.alarm_name(one), None, one))
        .collect();
    assert_eq!(
        overview(alarms.iter()),
        "6 alarms, none in ALARM, 6 notify nobody"
    );
    alarms[0].state = State::Alarm;
    alarms[1].muted = Some(Muted::Disabled);
    for alarm in &mut alarms {
        alarm.actions = vec!["arn:aws:sns:us-east-1:000000000000:alerts".to_owned()];
    }
    assert_eq!(
        overview(alarms.iter()),
        "6 alarms, in ALARM: orders-write-throttled, 1 muted"
    );
    assert!(overview([].iter()).starts_with("none ("));
}

#[test]
fn addresses_are_checked_before_any_call() {
    for good in ["me@example.com", "a.b+c@mail.example.co.uk"] {
        assert!(check_email(good).is_ok(), "{good}");
        let manifest = subscription_manifest(good).unwrap();
        assert_eq!(manifest.resources[1].properties["endpoint"].get_ref(), good);
    }
    for bad in [
        "",
        "me",
        "me@",
        "@example.com",
        "me@example",
        "a b@example.com",
        "a@b@example.com",
        "a@.com",
    ] {
        assert_eq!(
            check_email(bad).unwrap_err().exit(),
            ground::exit::Exit::Usage,
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn any_name_makes_a_valid_manifest(name in "[a-zA-Z0-9._-]{1,40}", hours in 24u32..8_760, seconds in 1u32..900) {
        let (orders, scorer) = (stream(&name, hours), function(&name, seconds));
        let subjects = Subjects {
            streams: vec![(&orders, &[])],
            functions: vec![(&scorer, Some(hours))],
            ..Subjects::default()
        };
        let set = AlarmSet::new(&name, &subjects, &Thresholds::default(), &[]);
        let manifest = manifest(&set, &[]).unwrap();
        prop_assert_eq!(manifest.resources.len(), set.alarms.len());
        // Records are late before they are nearly lost.
        let threshold = |suffix: &str| set.alarms.iter().find(|one| one.suffix == suffix).unwrap().threshold;
        prop_assert!(threshold("late") < threshold("near-loss"));
    }
}
