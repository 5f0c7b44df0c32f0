//! Checks of the body of a dashboard.
//!
//! Source: "Dashboard body structure and syntax", CloudWatch API reference.

use serde_json::{Map, Value};

/// Widgets of a dashboard, and metrics of a widget. Source: "CloudWatch service quotas", CloudWatch user guide.
const MAX_WIDGETS: usize = 500;
const MAX_METRICS: usize = 500;
/// Alarms of an alarm widget.
const MAX_ALARMS: usize = 100;
/// Types of widgets. Those that are not checked further are accepted with any properties.
const TYPES: [&str; 6] = ["metric", "text", "log", "alarm", "explorer", "custom"];
const VIEWS: [&str; 6] = ["timeSeries", "singleValue", "gauge", "bar", "pie", "table"];
/// Least and greatest value of the numbers that place a widget on the grid of 24 columns.
const GRID: [(&str, u64, u64); 4] = [
    ("x", 0, 23),
    ("y", 0, u64::MAX),
    ("width", 1, 24),
    ("height", 1, 1000),
];

/// What is wrong, and where, such as `/widgets/0/properties/view`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cloudwatch) struct Problem {
    pub(in crate::cloudwatch) path: String,
    pub(in crate::cloudwatch) message: String,
}

/// Everything that is wrong with a body.
pub(super) fn problems(text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut report = |path: &str, message: &str| {
        found.push(Problem {
            path: path.to_owned(),
            message: message.to_owned(),
        });
    };
    match serde_json::from_str::<Value>(text) {
        Err(error) => report("", &format!("is not valid JSON: {error}")),
        Ok(Value::Object(body)) => match body.get("widgets") {
            Some(Value::Array(widgets)) if widgets.len() > MAX_WIDGETS => {
                report("/widgets", &format!("has more than {MAX_WIDGETS} widgets"));
            }
            Some(Value::Array(widgets)) => {
                for (index, one) in widgets.iter().enumerate() {
                    widget(&format!("/widgets/{index}"), one, &mut report);
                }
            }
            Some(_) => report("/widgets", "should be an array"),
            None => report("/widgets", "is required"),
        },
        Ok(_) => report("", "should be an object"),
    }
    found
}

type Report<'r> = &'r mut dyn FnMut(&str, &str);

fn widget(path: &str, widget: &Value, report: Report<'_>) {
    let Value::Object(widget) = widget else {
        return report(path, "should be an object");
    };
    for (name, least, most) in GRID {
        let placed = |value: &Value| {
            value
                .as_u64()
                .is_some_and(|number| (least..=most).contains(&number))
        };
        if widget.get(name).is_some_and(|value| !placed(value)) {
            let range = match most {
                u64::MAX => format!("should be a whole number of at least {least}"),
                most => format!("should be a whole number from {least} to {most}"),
            };
            report(&format!("{path}/{name}"), &range);
        }
    }
    let kind = widget.get("type").and_then(Value::as_str).unwrap_or_default();
    if !TYPES.contains(&kind) {
        return report(
            &format!("{path}/type"),
            &format!("should be one of {}", TYPES.join(", ")),
        );
    }
    let path = format!("{path}/properties");
    let Some(Value::Object(properties)) = widget.get("properties") else {
        return report(&path, "is required, and should be an object");
    };
    match kind {
        "metric" => metric(&path, properties, report),
        "text" => need_text(&path, properties, "markdown", report),
        "log" => need_text(&path, properties, "query", report),
        "alarm" => alarms(&path, properties, report),
        _ => {}
    }
}

fn need_text(path: &str, properties: &Map<String, Value>, name: &str, report: Report<'_>) {
    if !properties.get(name).is_some_and(Value::is_string) {
        report(&format!("{path}/{name}"), "is required, and should be a string");
    }
}

fn metric(path: &str, properties: &Map<String, Value>, report: Report<'_>) {
    let view = properties.get("view");
    if view.is_some_and(|view| !view.as_str().is_some_and(|view| VIEWS.contains(&view))) {
        let views = format!("should be one of {}", VIEWS.join(", "));
        report(&format!("{path}/view"), &views);
    }
    let period = properties.get("period");
    let is_period = |value: &Value| value.as_u64().is_some_and(|seconds| seconds >= 1);
    if period.is_some_and(|period| !is_period(period)) {
        report(&format!("{path}/period"), "should be a number of seconds");
    }
    match properties.get("metrics") {
        Some(Value::Array(rows)) if rows.len() > MAX_METRICS => {
            report(
                &format!("{path}/metrics"),
                &format!("has more than {MAX_METRICS} metrics"),
            );
        }
        Some(Value::Array(rows)) => {
            for (index, one) in rows.iter().enumerate() {
                row(&format!("{path}/metrics/{index}"), one, report);
            }
        }
        Some(_) => report(&format!("{path}/metrics"), "should be an array"),
        None if properties.get("annotations").is_some_and(Value::is_object) => {}
        None => report(path, "should have metrics or annotations"),
    }
}

/// One metric: namespace, name, pairs of names and values of dimensions, and options; or an expression alone.
fn row(path: &str, row: &Value, report: Report<'_>) {
    let Value::Array(parts) = row else {
        return report(path, "should be an array");
    };
    let (texts, options) = match parts.split_last() {
        Some((Value::Object(options), texts)) => (texts, Some(options)),
        _ => (parts.as_slice(), None),
    };
    if texts.is_empty() {
        if !options.is_some_and(|options| options.get("expression").is_some_and(Value::is_string)) {
            report(path, "should have a metric or an expression");
        }
        return;
    }
    if !texts.iter().all(Value::is_string) {
        return report(path, "should have strings, and options as the last element");
    }
    // "..." repeats all elements of the row before that are not given.
    let shortened = texts.iter().any(|text| text == "...");
    if !shortened && (texts.len() < 2 || texts.len() % 2 != 0) {
        report(
            path,
            "should have a namespace, a metric, and pairs of a dimension's name and value",
        );
    }
}

fn alarms(path: &str, properties: &Map<String, Value>, report: Report<'_>) {
    let path = format!("{path}/alarms");
    match properties.get("alarms") {
        Some(Value::Array(alarms)) if (1..=MAX_ALARMS).contains(&alarms.len()) => {
            let wrong = alarms
                .iter()
                .position(|arn| !arn.as_str().is_some_and(|arn| arn.starts_with("arn:")));
            if let Some(index) = wrong {
                report(&format!("{path}/{index}"), "should be the ARN of an alarm");
            }
        }
        _ => report(
            &path,
            &format!("is required, and should be an array of 1 to {MAX_ALARMS} ARNs"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn found(body: Value) -> Vec<String> {
        problems(&body.to_string())
            .into_iter()
            .map(|problem| format!("{} {}", problem.path, problem.message))
            .collect()
    }

    #[test]
    fn valid_bodies_have_no_problem() {
        let widgets = json!([
            {"type": "metric", "x": 0, "y": 0, "width": 12, "height": 6, "properties": {
                "view": "timeSeries", "region": "us-east-1", "period": 60, "stat": "Sum", "title": "Records",
                "metrics": [
                    ["AWS/Kinesis", "IncomingRecords", "StreamName", "orders"],
                    [".", "IncomingBytes", ".", ".", {"stat": "Average"}],
                    ["...", "other"],
                    [{"expression": "m1 / 2", "id": "e1"}],
                ]}},
            {"type": "metric", "properties": {"annotations": {"alarms": ["arn:aws:cloudwatch:r:1:alarm:a"]}}},
            {"type": "text", "properties": {"markdown": "# Title"}},
            {"type": "log", "properties": {"query": "SOURCE 'a' | limit 1", "region": "us-east-1"}},
            {"type": "alarm", "properties": {"alarms": ["arn:aws:cloudwatch:r:1:alarm:a"]}},
            {"type": "explorer", "properties": {}},
        ]);
        assert_eq!(found(json!({ "widgets": widgets })), Vec::<String>::new());
        assert_eq!(
            found(json!({"widgets": [], "start": "-PT3H"})),
            Vec::<String>::new()
        );
    }

    #[test]
    fn problems_have_their_place() {
        let widgets = json!([
            1,
            {"type": "chart", "properties": {}},
            {"type": "text", "x": 24, "height": 0, "properties": {}},
            {"type": "metric", "properties": {"view": "line", "period": 0}},
            {"type": "metric", "properties": {"metrics": [["AWS/Kinesis"], ["A", "B", "C"], [1, 2], [{}], "m"]}},
            {"type": "alarm", "properties": {"alarms": ["late"]}},
            {"type": "log"},
        ]);
        insta::assert_snapshot!(found(json!({ "widgets": widgets })).join("\n"), @r"
        /widgets/0 should be an object
        /widgets/1/type should be one of metric, text, log, alarm, explorer, custom
        /widgets/2/x should be a whole number from 0 to 23
        /widgets/2/height should be a whole number from 1 to 1000
        /widgets/2/properties/markdown is required, and should be a string
        /widgets/3/properties/view should be one of timeSeries, singleValue, gauge, bar, pie, table
        /widgets/3/properties/period should be a number of seconds
        /widgets/3/properties should have metrics or annotations
        /widgets/4/properties/metrics/0 should have a namespace, a metric, and pairs of a dimension's name and value
        /widgets/4/properties/metrics/1 should have a namespace, a metric, and pairs of a dimension's name and value
        /widgets/4/properties/metrics/2 should have strings, and options as the last element
        /widgets/4/properties/metrics/3 should have a metric or an expression
        /widgets/4/properties/metrics/4 should be an array
        /widgets/5/properties/alarms/0 should be the ARN of an alarm
        /widgets/6/properties is required, and should be an object
        ");
        assert_eq!(found(json!([])), [" should be an object"]);
        assert_eq!(found(json!({})), ["/widgets is required"]);
        assert_eq!(found(json!({"widgets": 1})), ["/widgets should be an array"]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
            let _ = problems(&text);
        }
    }
}
