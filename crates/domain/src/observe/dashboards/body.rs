//! The body of a dashboard, made from a template of widgets, and the manifest that declares it.
//!
//! Source: "Dashboard body structure and syntax", CloudWatch API reference.

use serde_json::{Value, json};

use crate::observe::alarms::Subjects;
use crate::pipeline::Manifest;
use crate::pipeline::resources;
use crate::stream::StreamState;
use crate::stream::consumers::Consumer;
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
    let streams = subjects.streams.iter();
    let streams = streams.flat_map(|(stream, consumers)| of_stream(stream, consumers));
    let functions = subjects.functions.iter();
    let functions =
        functions.flat_map(|(function, retention)| of_function(&function.name, retention.is_some()));
    let queues = subjects.queues.iter().map(|queue| of_queue(&queue.name));
    let failed = (!subjects.failed_events.is_empty()).then(|| {
        let rows = subjects.failed_events.iter().map(|metric| {
            let dimensions = metric.dimensions.iter().flat_map(|(name, value)| [name, value]);
            let parts = [&metric.namespace, &metric.name].into_iter().chain(dimensions);
            parts.map(|part| json!(part)).collect()
        });
        Graph::new("Failed events", "Sum", rows.collect())
    });
    streams.chain(functions).chain(queues).chain(failed).collect()
}

fn of_stream(stream: &StreamState, consumers: &[Consumer]) -> Vec<Graph> {
    let of = |name: &str| row("AWS/Kinesis", name, "StreamName", &stream.name);
    let title = |words: &str| format!("Stream {}: {words}", stream.name);
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
    let throttled = vec![
        of("WriteProvisionedThroughputExceeded"),
        of("ReadProvisionedThroughputExceeded"),
        of("PutRecords.ThrottledRecords"),
        of("PutRecords.FailedRecords"),
    ];
    vec![
        Graph::new(
            title("records in and out"),
            "Sum",
            vec![of("IncomingRecords"), of("GetRecords.Records")],
        ),
        Graph::new(
            title("bytes in and out"),
            "Sum",
            vec![of("IncomingBytes"), of("GetRecords.Bytes")],
        ),
        Graph::new(title("throttled and failed"), "Sum", throttled),
        Graph::new(title("age of the records read (ms)"), "Maximum", ages),
    ]
}

fn of_function(name: &str, reads_stream: bool) -> Vec<Graph> {
    let of = |metric: &str| row("AWS/Lambda", metric, "FunctionName", name);
    let title = |words: &str| format!("Function {name}: {words}");
    let mut times = vec![of("Duration")];
    times.extend(reads_stream.then(|| of("IteratorAge")));
    vec![
        Graph::new(
            title("invocations"),
            "Sum",
            vec![of("Invocations"), of("Errors"), of("Throttles")],
        ),
        Graph::new(title("duration and age of records (ms)"), "Maximum", times),
    ]
}

fn of_queue(name: &str) -> Graph {
    let of = |metric: &str| row("AWS/SQS", metric, "QueueName", name);
    Graph::new(
        format!("Queue {name}: messages, and age of the oldest (s)"),
        "Maximum",
        vec![
            of("ApproximateNumberOfMessagesVisible"),
            of("ApproximateAgeOfOldestMessage"),
        ],
    )
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
