//! Metrics in log lines: the embedded metric format.
//! Source: "Specification: Embedded metric format", Amazon CloudWatch user guide.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Caller;
use crate::metrics::{MetricSink, Sample, UNITS};

/// Maximum metrics of a directive, and maximum values of a metric.
const MAX_METRICS: usize = 100;
/// Maximum dimensions of a set.
const MAX_DIMENSIONS: usize = 30;

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "_aws")]
    metadata: Metadata,
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    cloud_watch_metrics: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    /// None, or an empty set, is a metric without dimensions.
    #[serde(default)]
    dimensions: Vec<Vec<String>>,
    metrics: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: String,
    unit: Option<String>,
}

/// Sends the metrics in `line` to `sink`. Ignores lines and parts that are not valid in the format.
pub(super) fn record(line: &str, caller: &Caller, sink: &dyn MetricSink) {
    let line = line.trim();
    // Fast check: most lines contain no metrics.
    if !line.starts_with('{') || !line.contains("\"_aws\"") {
        return;
    }
    let Ok(document) = serde_json::from_str::<Document>(line) else {
        return;
    };
    for directive in document.metadata.cloud_watch_metrics {
        if let Ok(directive) = serde_json::from_value::<Directive>(directive) {
            directive.record(&document.members, caller, sink);
        }
    }
}

impl Directive {
    fn record(&self, members: &Map<String, Value>, caller: &Caller, sink: &dyn MetricSink) {
        if !(1..=1024).contains(&self.namespace.len()) || self.metrics.len() > MAX_METRICS {
            return;
        }
        let mut sets: Vec<Vec<(&str, &str)>> = self
            .dimensions
            .iter()
            .filter_map(|set| resolve(set, members))
            .collect();
        if self.dimensions.is_empty() {
            sets.push(Vec::new());
        }
        for metric in &self.metrics {
            let Ok(definition) = Definition::deserialize(metric) else {
                continue;
            };
            let unit = definition.unit.as_deref().unwrap_or("None");
            if !UNITS.contains(&unit) || !(1..=1024).contains(&definition.name.len()) {
                continue;
            }
            let Some(samples) = members.get(&definition.name).and_then(samples) else {
                continue;
            };
            for set in &sets {
                for sample in &samples {
                    sink.record(caller, &self.namespace, &definition.name, set, unit, *sample);
                }
            }
        }
    }
}

/// The dimensions with their values. `None` unless all values are present as text.
fn resolve<'a>(set: &'a [String], members: &'a Map<String, Value>) -> Option<Vec<(&'a str, &'a str)>> {
    if set.len() > MAX_DIMENSIONS {
        return None;
    }
    set.iter()
        .map(|name| {
            let value = members.get(name)?.as_str()?;
            (1..=1024)
                .contains(&value.len())
                .then_some((name.as_str(), value))
        })
        .collect()
}

/// The samples of a metric: of a number, of a list of numbers, of `Values` and `Counts`, or of a statistic set.
/// Each value is a sample of its own, so that percentiles are those of the values.
fn samples(value: &Value) -> Option<Vec<Sample>> {
    match value {
        Value::Array(values) => each(values, &[]),
        Value::Object(fields) => match (fields.get("Values"), fields.get("Counts")) {
            (Some(Value::Array(values)), None) => each(values, &[]),
            (Some(Value::Array(values)), Some(Value::Array(counts))) if values.len() == counts.len() => {
                each(values, counts)
            }
            (None, None) => statistic_set(fields).map(|sample| vec![sample]),
            _ => None,
        },
        value => Some(vec![Sample::of(number(value)?)]),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// A value without a count counts once.
fn each(values: &[Value], counts: &[Value]) -> Option<Vec<Sample>> {
    if values.len() > MAX_METRICS {
        return None;
    }
    let sample = |(at, value): (usize, &Value)| {
        let value = number(value)?;
        let count = counts
            .get(at)
            .map_or(Some(1.0), number)
            .filter(|count| *count > 0.0)?;
        Some(Sample {
            count,
            sum: value * count,
            min: value,
            max: value,
        })
    };
    values.iter().enumerate().map(sample).collect()
}

fn statistic_set(fields: &Map<String, Value>) -> Option<Sample> {
    let field = |name: &str| fields.get(name).and_then(number);
    let sample = Sample {
        count: field("Count")?,
        sum: field("Sum")?,
        min: field("Min")?,
        max: field("Max")?,
    };
    (sample.count > 0.0 && sample.min <= sample.max).then_some(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Metrics;

    fn seen(line: &str) -> Vec<String> {
        let sink = Metrics::default();
        record(line, &Caller::default(), &sink);
        let metrics = sink.0.into_inner().unwrap().into_iter().map(|metric| {
            let Sample { count, sum, min, max } = metric.sample;
            format!(
                "{}/{}[{}] {} n={count} sum={sum} {min}..{max}",
                metric.namespace, metric.name, metric.dimensions, metric.unit
            )
        });
        metrics.collect()
    }

    #[test]
    fn each_dimension_set_is_a_separate_metric() {
        let line = r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"Retail",
            "Dimensions":[["Environment"],["Environment","Function"],[]],
            "Metrics":[{"Name":"Events","Unit":"Count"},{"Name":"Latency","Unit":"Milliseconds","StorageResolution":60}]}]},
            "Environment":"test","Function":"f","Events":3,"Latency":[1,2.5],"other":{"any":1}}"#;
        assert_eq!(
            seen(line),
            [
                "Retail/Events[Environment=test] Count n=1 sum=3 3..3",
                "Retail/Events[Environment=test,Function=f] Count n=1 sum=3 3..3",
                "Retail/Events[] Count n=1 sum=3 3..3",
                "Retail/Latency[Environment=test] Milliseconds n=1 sum=1 1..1",
                "Retail/Latency[Environment=test] Milliseconds n=1 sum=2.5 2.5..2.5",
                "Retail/Latency[Environment=test,Function=f] Milliseconds n=1 sum=1 1..1",
                "Retail/Latency[Environment=test,Function=f] Milliseconds n=1 sum=2.5 2.5..2.5",
                "Retail/Latency[] Milliseconds n=1 sum=1 1..1",
                "Retail/Latency[] Milliseconds n=1 sum=2.5 2.5..2.5",
            ]
        );
    }

    #[test]
    fn a_directive_without_dimensions_is_a_metric_without_dimensions() {
        for dimensions in ["", r#""Dimensions":[],"#, r#""Dimensions":[[]],"#] {
            let line = format!(
                r#"{{"_aws":{{"Timestamp":1,"CloudWatchMetrics":[{{"Namespace":"N",{dimensions}"Metrics":[{{"Name":"A"}}]}}]}},"A":1}}"#
            );
            assert_eq!(seen(&line), ["N/A[] None n=1 sum=1 1..1"], "{line}");
        }
    }

    #[test]
    fn values_with_counts_and_statistic_sets_are_recorded() {
        let of = |value: &str| {
            seen(&format!(
                r#"{{"_aws":{{"CloudWatchMetrics":[{{"Namespace":"N","Dimensions":[[]],"Metrics":[{{"Name":"A"}}]}}]}},"A":{value}}}"#
            ))
        };
        assert_eq!(
            of(r#"{"Values":[2,3.5],"Counts":[3,2]}"#),
            ["N/A[] None n=3 sum=6 2..2", "N/A[] None n=2 sum=7 3.5..3.5"]
        );
        assert_eq!(of(r#"{"Values":[2]}"#), ["N/A[] None n=1 sum=2 2..2"]);
        assert_eq!(
            of(r#"{"Max":9,"Min":1,"Count":4,"Sum":20}"#),
            ["N/A[] None n=4 sum=20 1..9"]
        );
        for invalid in [
            r#"{"Values":[1,2],"Counts":[1]}"#,
            r#"{"Values":[1],"Counts":[0]}"#,
            r#"{"Values":["1"],"Counts":[1]}"#,
            r#"{"Counts":[1]}"#,
            r#"{"Max":1,"Min":2,"Count":1,"Sum":1}"#,
            r#"{"Max":1}"#,
            "{}",
        ] {
            assert!(of(invalid).is_empty(), "{invalid}");
        }
    }

    #[test]
    fn invalid_parts_are_ignored_and_the_rest_is_recorded() {
        let line = r#"{"_aws":{"CloudWatchMetrics":["no directive",{"Namespace":"N","Dimensions":[["Missing"],["D"]],
            "Metrics":[{"Name":"A"},{"Name":"B","Unit":"Apples"},{"Name":"Text"},{"Name":"Absent"},{"Name":"Mixed"},7]}]},
            "D":"d","A":1,"B":1,"Text":"1","Mixed":[1,"2"]}"#;
        assert_eq!(seen(line), ["N/A[D=d] None n=1 sum=1 1..1"]);
    }

    #[test]
    fn other_lines_are_not_metrics() {
        for line in [
            "",
            "hello",
            "{\"a\":1}",
            "{\"_aws\":1}",
            "{\"_aws\":{}}",
            "{\"_aws\":{\"CloudWatchMetrics\":{}}}",
            "text {\"_aws\":{\"CloudWatchMetrics\":[]}}",
            "{\"_aws\":{\"CloudWatchMetrics\":[]}} text",
        ] {
            assert!(seen(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn dimension_values_are_strings() {
        let line = r#"{"_aws":{"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[["D"]],"Metrics":[{"Name":"A"}]}]},"D":5,"A":1}"#;
        assert!(seen(line).is_empty());
    }
}
