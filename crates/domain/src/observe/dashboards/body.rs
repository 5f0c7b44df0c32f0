//! The body of a dashboard, made from a template of widgets, and the manifest that declares it.
//!
//! Source: "Dashboard body structure and syntax", CloudWatch API reference.

use serde_json::{Value, json};

use crate::observe::alarms::Subjects;
use crate::pipeline::Manifest;
use crate::pipeline::resources;
use ground::error::Result;

/// Columns of the grid, and of a widget: three beside one another.
const GRID: u64 = 24;
const WIDTH: u64 = 8;
const HEIGHT: u64 = 6;

/// The name of the dashboard for the set `name`. Dashboards of all regions of an account share their names.
pub fn name(set: &str, region: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_".contains(c) {
            c
        } else {
            '-'
        }
    };
    let set: String = set.chars().map(plain).collect();
    format!("streamctl-{set}-{region}").chars().take(255).collect()
}

/// A graph: title, statistic and rows of metrics.
struct Graph {
    title: String,
    stat: &'static str,
    rows: Vec<Value>,
}

impl Graph {
    fn new(title: impl Into<String>, stat: &'static str, rows: Vec<Value>) -> Self {
        Self {
            title: title.into(),
            stat,
            rows,
        }
    }
}

fn row(namespace: &str, name: &str, dimension: &str, value: &str) -> Value {
    json!([namespace, name, dimension, value])
}

fn graphs(subjects: &Subjects<'_>) -> Vec<Graph> {
    let mut graphs = Vec::new();
    for (stream, consumers) in &subjects.streams {
        let of = |name: &str| row("AWS/Kinesis", name, "StreamName", &stream.name);
        let title = |words: &str| format!("Stream {}: {words}", stream.name);
        graphs.push(Graph::new(
            title("records in and out"),
            "Sum",
            vec![of("IncomingRecords"), of("GetRecords.Records")],
        ));
        graphs.push(Graph::new(
            title("bytes in and out"),
            "Sum",
            vec![of("IncomingBytes"), of("GetRecords.Bytes")],
        ));
        graphs.push(Graph::new(
            title("throttled and failed"),
            "Sum",
            vec![
                of("WriteProvisionedThroughputExceeded"),
                of("ReadProvisionedThroughputExceeded"),
                of("PutRecords.ThrottledRecords"),
                of("PutRecords.FailedRecords"),
            ],
        ));
        let mut ages = vec![of("GetRecords.IteratorAgeMilliseconds")];
        ages.extend(consumers.iter().map(|consumer| {
            json!([
                "AWS/Kinesis",
                "SubscribeToShardEvent.MillisBehindLatest",
                "StreamName",
                stream.name,
                "ConsumerName",
                consumer.name
            ])
        }));
        graphs.push(Graph::new(title("age of the records read (ms)"), "Maximum", ages));
    }
    for (function, retention) in &subjects.functions {
        let of = |name: &str| row("AWS/Lambda", name, "FunctionName", &function.name);
        let title = |words: &str| format!("Function {}: {words}", function.name);
        graphs.push(Graph::new(
            title("invocations"),
            "Sum",
            vec![of("Invocations"), of("Errors"), of("Throttles")],
        ));
        let mut times = vec![of("Duration")];
        times.extend(retention.map(|_| of("IteratorAge")));
        graphs.push(Graph::new(
            title("duration and age of records (ms)"),
            "Maximum",
            times,
        ));
    }
    for queue in &subjects.queues {
        let of = |name: &str| row("AWS/SQS", name, "QueueName", &queue.name);
        graphs.push(Graph::new(
            format!("Queue {}: messages, and age of the oldest (s)", queue.name),
            "Maximum",
            vec![
                of("ApproximateNumberOfMessagesVisible"),
                of("ApproximateAgeOfOldestMessage"),
            ],
        ));
    }
    if !subjects.failed_events.is_empty() {
        let rows = subjects.failed_events.iter().map(|metric| {
            let mut parts = vec![json!(metric.namespace), json!(metric.name)];
            for (name, value) in &metric.dimensions {
                parts.extend([json!(name), json!(value)]);
            }
            Value::Array(parts)
        });
        graphs.push(Graph::new("Failed events", "Sum", rows.collect()));
    }
    graphs
}

/// The widgets for `subjects` in `region`, with the states of the alarms `alarms` (ARNs) below the title.
pub fn body(title: &str, subjects: &Subjects<'_>, alarms: &[String], region: &str) -> Value {
    let mut widgets = vec![json!({
        "type": "text", "x": 0, "y": 0, "width": GRID, "height": 1,
        "properties": {"markdown": format!("# {title}")},
    })];
    let mut top = 1;
    if !alarms.is_empty() {
        widgets.push(json!({
            "type": "alarm", "x": 0, "y": top, "width": GRID, "height": 2,
            "properties": {"title": "Alarms", "alarms": alarms.iter().take(100).collect::<Vec<_>>()},
        }));
        top += 2;
    }
    let a_row = GRID / WIDTH;
    for (index, graph) in (0..).zip(graphs(subjects)) {
        widgets.push(json!({
            "type": "metric",
            "x": index % a_row * WIDTH,
            "y": top + index / a_row * HEIGHT,
            "width": WIDTH,
            "height": HEIGHT,
            "properties": {
                "title": graph.title,
                "region": region,
                "view": "timeSeries",
                "stat": graph.stat,
                "period": 60,
                "metrics": graph.rows,
            },
        }));
    }
    json!({ "widgets": widgets })
}

/// The manifest that declares the dashboard `name` of the set `set`.
///
/// # Errors
/// Exit 2 when the name is not valid.
pub fn manifest(set: &str, name: &str, body: &Value) -> Result<Manifest> {
    // As text: the body is JSON, and a reference in it such as `${x}` would be refused.
    let quoted = |text: &str| Value::from(text).to_string();
    let text = format!(
        "name = \"dashboards\"\n\
         description = \"The dashboard of streamctl dashboard create\"\n\
         instance = {}\n\
         [[resources]]\n\
         kind = \"dashboard\"\n\
         id = \"dashboard\"\n\
         properties = {{ name = {}, body = {} }}\n",
        quoted(set),
        quoted(name),
        quoted(&body.to_string()),
    );
    Manifest::parse("of the dashboard", &text, &resources::properties)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::alarms::Metric;
    use crate::observe::doctor::Queue;

    fn queue(name: &str) -> Queue {
        Queue {
            name: name.to_owned(),
            url: String::new(),
            visible: 0,
            in_flight: 0,
            visibility_seconds: 30,
            retention_seconds: 60,
            redrives: false,
        }
    }

    #[test]
    fn widgets_stand_beside_and_below_one_another() {
        let queues: Vec<Queue> = ["a", "b", "c", "d"].map(queue).into();
        let subjects = Subjects {
            queues: queues.iter().collect(),
            failed_events: vec![Metric::default()],
            ..Subjects::default()
        };
        let alarms = ["arn:aws:cloudwatch:us-east-1:000000000000:alarm:late".to_owned()];
        let body = body("orders", &subjects, &alarms, "us-east-1");
        let widgets = body["widgets"].as_array().unwrap();
        let places: Vec<(u64, u64)> = widgets
            .iter()
            .map(|widget| (widget["x"].as_u64().unwrap(), widget["y"].as_u64().unwrap()))
            .collect();
        assert_eq!(places, [(0, 0), (0, 1), (0, 3), (8, 3), (16, 3), (0, 9), (8, 9)]);
        assert_eq!(widgets[1]["type"], "alarm");
        assert_eq!(widgets[2]["properties"]["metrics"][0][3], "a");
    }

    #[test]
    fn the_manifest_declares_the_body_as_it_is() {
        let body = json!({"widgets": [{"type": "text", "properties": {"markdown": "# \"orders\"\n"}}]});
        let manifest = manifest("orders", &name("or.ders", "eu-west-1"), &body).unwrap();
        let declared = &manifest.resources[0].properties;
        assert_eq!(declared["name"].get_ref(), "streamctl-or-ders-eu-west-1");
        assert_eq!(declared["body"].get_ref().as_str().unwrap(), body.to_string());
    }
}
