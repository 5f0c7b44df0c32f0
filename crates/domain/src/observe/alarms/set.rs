//! The alarms of a stream, a function or a pipeline, and the manifest that declares them.
//!
//! Source of metrics: "Monitoring the Amazon Kinesis Data Streams Service with Amazon CloudWatch", Kinesis developer guide;
//! "Types of metrics for Lambda functions" and "Event source mapping metrics", Lambda developer guide; "Available
//! CloudWatch metrics for Amazon SQS", SQS developer guide.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::list::AlarmEntry;
use crate::observe::doctor::{Function, Queue};
use crate::pipeline::resources;
use crate::pipeline::{Manifest, Spec};
use crate::stream::StreamState;
use crate::stream::consumers::Consumer;
use ground::error::Result;

/// Seconds of a period: the metrics of streams and functions have one value a minute.
const MINUTE: i32 = 60;
/// Metrics of queues are published every minute while a queue is used, and a queue of failures is seldom used.
const FIVE_MINUTES: i32 = 300;
const MS_PER_SECOND: f64 = 1_000.0;
const SECONDS_PER_HOUR: f64 = 3_600.0;

/// When the alarms go off.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// Age of the records that a reader is given, in seconds.
    pub lag_seconds: u32,
    /// Share of the retention that the age may reach, in percent: what is older is lost.
    pub retention_percent: u32,
    /// Errors of a function in a minute.
    pub errors: u32,
    /// Share of a function's timeout, in percent.
    pub duration_percent: u32,
    /// Messages that wait in a queue of failures.
    pub queue_depth: u32,
    /// Failed events in a minute.
    pub failed_events: u32,
    /// Datapoints that must breach, and the periods that they are looked for in.
    pub datapoints: (i32, i32),
}

impl Default for Thresholds {
    /// The iterator age can show a false day for a minute, and a throttle may be alone: three of five minutes.
    fn default() -> Self {
        Self {
            lag_seconds: 300,
            retention_percent: 50,
            errors: 0,
            duration_percent: 80,
            queue_depth: 0,
            failed_events: 10,
            datapoints: (3, 5),
        }
    }
}

/// What alarms watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subjects<'a> {
    /// The streams, each with its registered consumers.
    pub streams: Vec<(&'a StreamState, &'a [Consumer])>,
    /// The functions, each with the retention in hours of the streams that it reads, if it reads any.
    pub functions: Vec<(&'a Function, Option<u32>)>,
    /// Ids of the mappings that publish metrics of their events, each with its function.
    pub mappings: Vec<(String, String)>,
    pub queues: Vec<&'a Queue>,
    /// Metrics of an application that count failed events: namespace, name and dimensions.
    pub failed_events: Vec<Metric>,
}

/// A metric.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

impl Metric {
    fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions.iter().map(pair).collect(),
        }
    }

    /// The metric that an alarm of a manifest watches, if it is one of an application that counts failed events.
    pub fn of_failed_events(spec: &Spec) -> Option<Self> {
        let text = |key: &str| spec.properties.get(key).and_then(serde_json::Value::as_str);
        let (namespace, name) = (text("namespace")?, text("metric")?);
        let is_own = spec.kind == "alarm" && !namespace.starts_with("AWS/");
        let counts_failures = name.to_ascii_lowercase().contains("fail");
        let dimensions = spec
            .properties
            .get("dimensions")
            .and_then(|found| found.as_object());
        (is_own && counts_failures).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: dimensions
                .into_iter()
                .flatten()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
        })
    }
}

/// An alarm that a set has.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What follows the name of the set in the name of the alarm.
    pub suffix: String,
    pub description: String,
    pub metric: Metric,
    pub statistic: &'static str,
    pub period_seconds: i32,
    /// Datapoints that must breach, and evaluation periods.
    pub datapoints: (i32, i32),
    /// The alarm goes off above it.
    pub threshold: f64,
}

impl Wanted {
    fn is_on_age(&self) -> bool {
        self.suffix.ends_with("late") || self.suffix.ends_with("near-loss")
    }
}

/// An alarm that is left out, since another one watches its metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub suffix: String,
    /// The alarm that exists.
    pub by: String,
}

/// The alarms of one stream, function or pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmSet {
    /// Distinguishes the set from all others, and begins the names of its alarms.
    pub name: String,
    pub alarms: Vec<Wanted>,
    pub kept: Vec<Kept>,
}

impl AlarmSet {
    /// The set `name` for `subjects`. Leaves out what an alarm of streamctl in `existing` watches, unless it is of this set.
    pub fn new(
        name: &str,
        subjects: &Subjects<'_>,
        thresholds: &Thresholds,
        existing: &[AlarmEntry],
    ) -> Self {
        let own = identity(name);
        let mut set = Self {
            name: name.to_owned(),
            alarms: Vec::new(),
            kept: Vec::new(),
        };
        for wanted in all(subjects, thresholds) {
            let watches = |alarm: &&AlarmEntry| {
                let is_of_another = alarm.pipeline.as_ref().is_some_and(|owner| *owner != own);
                // Two alarms watch the age of records: in time, and as a share of the retention.
                let is_as_strict = !wanted.is_on_age() || alarm.threshold == Some(wanted.threshold);
                is_of_another && alarm.metric.as_ref() == Some(&wanted.metric) && is_as_strict
            };
            match existing.iter().find(watches) {
                Some(alarm) => set.kept.push(Kept {
                    suffix: wanted.suffix,
                    by: alarm.name.clone(),
                }),
                None => set.alarms.push(wanted),
            }
        }
        set
    }

    /// The alarms in `existing` that an earlier set made, and that this one does not have.
    pub fn left_over<'a>(&self, existing: &'a [AlarmEntry]) -> Vec<&'a str> {
        let names: Vec<String> = self.alarms.iter().map(|wanted| self.alarm_name(wanted)).collect();
        existing
            .iter()
            .filter(|alarm| alarm.is_of_set(&self.name) && !names.contains(&alarm.name))
            .map(|alarm| alarm.name.as_str())
            .collect()
    }

    /// The name of one of its alarms.
    pub fn alarm_name(&self, wanted: &Wanted) -> String {
        format!("{}-{}", self.name, wanted.suffix)
    }
}

/// The identity of the pipeline whose resources the alarms of the set `name` are.
pub(super) fn identity(name: &str) -> String {
    format!("alarms/{name}")
}

fn all(subjects: &Subjects<'_>, thresholds: &Thresholds) -> Vec<Wanted> {
    let several = subjects.streams.len() > 1;
    let mut all = Vec::new();
    for (stream, consumers) in &subjects.streams {
        let prefix = if several {
            format!("{}-", stream.name)
        } else {
            String::new()
        };
        all.extend(of_stream(&prefix, stream, consumers, thresholds));
    }
    // The set of one function has its name.
    let alone = subjects.streams.is_empty() && subjects.functions.len() == 1;
    let prefix = |function: &str| {
        if alone {
            String::new()
        } else {
            format!("{function}-")
        }
    };
    for (function, retention) in &subjects.functions {
        all.extend(of_function(
            &prefix(&function.name),
            function,
            *retention,
            thresholds,
        ));
    }
    for (mapping, function) in &subjects.mappings {
        all.extend(of_mapping(&prefix(function), mapping, function, thresholds));
    }
    for queue in &subjects.queues {
        all.extend(of_queue(queue, thresholds));
    }
    for metric in &subjects.failed_events {
        all.push(Wanted {
            suffix: "failed-events".to_owned(),
            description: format!("More than {} failed events in a minute", thresholds.failed_events),
            metric: metric.clone(),
            statistic: "Sum",
            period_seconds: MINUTE,
            datapoints: (1, 1),
            threshold: thresholds.failed_events.into(),
        });
    }
    all
}

/// An alarm on a count of which none is expected.
fn none_expected(suffix: String, description: String, metric: Metric, thresholds: &Thresholds) -> Wanted {
    Wanted {
        suffix,
        description,
        metric,
        statistic: "Sum",
        period_seconds: MINUTE,
        datapoints: thresholds.datapoints,
        threshold: 0.0,
    }
}

/// Alarms on the age of records, in time and as a share of the retention. `what` begins their descriptions.
fn ages(prefix: &str, what: &str, metric: &Metric, hours: u32, thresholds: &Thresholds) -> [Wanted; 2] {
    let age = |suffix: &str, description: String, seconds: f64| Wanted {
        suffix: format!("{prefix}{suffix}"),
        description,
        metric: metric.clone(),
        statistic: "Maximum",
        period_seconds: MINUTE,
        datapoints: thresholds.datapoints,
        threshold: seconds * MS_PER_SECOND,
    };
    let percent = thresholds.retention_percent;
    let share = f64::from(hours) * SECONDS_PER_HOUR * f64::from(percent) / 100.0;
    [
        age(
            "late",
            format!("{what} more than {} s late", thresholds.lag_seconds),
            f64::from(thresholds.lag_seconds),
        ),
        age(
            "near-loss",
            format!("{what} later than {percent} % of the retention of {hours} h: older records are lost"),
            share.round(),
        ),
    ]
}

fn of_stream(
    prefix: &str,
    stream: &StreamState,
    consumers: &[Consumer],
    thresholds: &Thresholds,
) -> Vec<Wanted> {
    let metric = |name: &str| Metric::new("AWS/Kinesis", name, &[("StreamName", &stream.name)]);
    let counts = [
        (
            "write-throttled",
            "WriteProvisionedThroughputExceeded",
            "Writes were throttled",
        ),
        (
            "read-throttled",
            "ReadProvisionedThroughputExceeded",
            "Reads were throttled",
        ),
        (
            "records-throttled",
            "PutRecords.ThrottledRecords",
            "Records of PutRecords were throttled",
        ),
        (
            "records-failed",
            "PutRecords.FailedRecords",
            "Kinesis failed to store records of PutRecords",
        ),
    ];
    let mut all: Vec<Wanted> = counts
        .into_iter()
        .map(|(suffix, name, words)| {
            let description = format!("{words} on stream {}", stream.name);
            none_expected(format!("{prefix}{suffix}"), description, metric(name), thresholds)
        })
        .collect();
    let what = format!("Readers of stream {} are", stream.name);
    let age = metric("GetRecords.IteratorAgeMilliseconds");
    all.extend(ages(prefix, &what, &age, stream.retention_hours, thresholds));
    for consumer in consumers {
        let metric = Metric::new(
            "AWS/Kinesis",
            "SubscribeToShardEvent.MillisBehindLatest",
            &[("StreamName", &stream.name), ("ConsumerName", &consumer.name)],
        );
        let prefix = format!("{prefix}{}-", consumer.name);
        let what = format!("Consumer {} of stream {} is", consumer.name, stream.name);
        all.extend(ages(&prefix, &what, &metric, stream.retention_hours, thresholds));
    }
    all
}

fn of_function(
    prefix: &str,
    function: &Function,
    retention: Option<u32>,
    thresholds: &Thresholds,
) -> Vec<Wanted> {
    let name = &function.name;
    let metric = |metric: &str| Metric::new("AWS/Lambda", metric, &[("FunctionName", name)]);
    let percent = thresholds.duration_percent;
    let timeout = function.state.timeout_seconds;
    let limit = f64::from(timeout) * MS_PER_SECOND * f64::from(percent) / 100.0;
    let errors = none_expected(
        format!("{prefix}errors"),
        format!(
            "Function {name} failed more than {} times in a minute",
            thresholds.errors
        ),
        metric("Errors"),
        thresholds,
    );
    let mut all = vec![
        Wanted {
            threshold: thresholds.errors.into(),
            ..errors
        },
        none_expected(
            format!("{prefix}throttles"),
            format!("Invocations of function {name} were throttled"),
            metric("Throttles"),
            thresholds,
        ),
        Wanted {
            suffix: format!("{prefix}duration"),
            description: format!("Function {name} needs more than {percent} % of its timeout of {timeout} s"),
            metric: metric("Duration"),
            statistic: "Maximum",
            period_seconds: MINUTE,
            datapoints: thresholds.datapoints,
            threshold: limit.round(),
        },
    ];
    if let Some(hours) = retention {
        let what = format!("Function {name} reads records");
        let age = metric("IteratorAge");
        all.extend(ages(prefix, &what, &age, hours, thresholds));
    }
    all
}

fn of_mapping(prefix: &str, mapping: &str, function: &str, thresholds: &Thresholds) -> [Wanted; 2] {
    let metric = |name: &str| Metric::new("AWS/Lambda", name, &[("EventSourceMappingUUID", mapping)]);
    let dropped = none_expected(
        format!("{prefix}dropped"),
        format!("The mapping of function {function} gave up records"),
        metric("DroppedEventCount"),
        thresholds,
    );
    [
        none_expected(
            format!("{prefix}failed-invocations"),
            format!("The mapping of function {function} failed to have records processed"),
            metric("FailedInvokeEventCount"),
            thresholds,
        ),
        // A lost record is one too many.
        Wanted {
            datapoints: (1, 1),
            ..dropped
        },
    ]
}

fn of_queue(queue: &Queue, thresholds: &Thresholds) -> [Wanted; 2] {
    let name = &queue.name;
    let metric = |metric: &str| Metric::new("AWS/SQS", metric, &[("QueueName", name)]);
    let wanted = |suffix: &str, description: String, metric: Metric, threshold: f64| Wanted {
        suffix: format!("{name}-{suffix}"),
        description,
        metric,
        statistic: "Maximum",
        period_seconds: FIVE_MINUTES,
        datapoints: (1, 1),
        threshold,
    };
    let percent = thresholds.retention_percent;
    let age = f64::from(queue.retention_seconds) * f64::from(percent) / 100.0;
    [
        wanted(
            "depth",
            format!(
                "More than {} messages wait in queue {name}",
                thresholds.queue_depth
            ),
            metric("ApproximateNumberOfMessagesVisible"),
            thresholds.queue_depth.into(),
        ),
        wanted(
            "age",
            format!("A message of queue {name} is older than {percent} % of the time that it is kept"),
            metric("ApproximateAgeOfOldestMessage"),
            age.round(),
        ),
    ]
}

/// The manifest that declares the alarms of `set`, with `topics` as their actions.
///
/// # Errors
/// Exit 2 when a name is not valid.
pub fn manifest(set: &AlarmSet, topics: &[String]) -> Result<Manifest> {
    let mut text = format!(
        "name = \"alarms\"\ndescription = \"Alarms of streamctl alarms set\"\ninstance = {}\nresources = [\n",
        quoted(&set.name)
    );
    let topics: Vec<String> = topics.iter().map(|topic| quoted(topic)).collect();
    for (index, wanted) in set.alarms.iter().enumerate() {
        let dimensions: Vec<String> = wanted
            .metric
            .dimensions
            .iter()
            .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
            .collect();
        let mut properties = vec![
            ("name", quoted(&set.alarm_name(wanted))),
            ("description", quoted(&wanted.description)),
            ("namespace", quoted(&wanted.metric.namespace)),
            ("metric", quoted(&wanted.metric.name)),
            ("dimensions", format!("{{ {} }}", dimensions.join(", "))),
            ("statistic", quoted(wanted.statistic)),
            ("period_seconds", wanted.period_seconds.to_string()),
            ("evaluation_periods", wanted.datapoints.1.to_string()),
            ("datapoints_to_alarm", wanted.datapoints.0.to_string()),
            ("threshold", format!("{:?}", wanted.threshold)),
            ("comparison", quoted(">")),
            ("missing_data", quoted("notBreaching")),
        ];
        // Without topics, actions that exist are kept.
        if !topics.is_empty() {
            properties.push(("actions", format!("[{}]", topics.join(", "))));
        }
        let properties: Vec<String> = properties
            .into_iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        let _ = writeln!(
            text,
            "{{ kind = \"alarm\", id = \"alarm_{index}\", properties = {{ {} }} }},",
            properties.join(", ")
        );
    }
    text.push_str("]\n");
    Manifest::parse("of the alarms", &text, &resources::properties)
}

/// A basic string of TOML. Its escapes are those of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
