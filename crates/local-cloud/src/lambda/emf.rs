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
        let sets: Vec<Vec<(&str, &str)>> = self
            .dimensions
            .iter()
            .filter_map(|set| resolve(set, members))
            .collect();
        for metric in &self.metrics {
            let Ok(definition) = Definition::deserialize(metric) else {
                continue;
            };
            let unit = definition.unit.as_deref().unwrap_or("None");
            if !UNITS.contains(&unit) || !(1..=1024).contains(&definition.name.len()) {
                continue;
            }
            let Some(sample) = members.get(&definition.name).and_then(sample) else {
                continue;
            };
            for set in &sets {
                sink.record(caller, &self.namespace, &definition.name, set, unit, sample);
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

fn sample(value: &Value) -> Option<Sample> {
    let number = |value: &Value| value.as_f64().filter(|number| number.is_finite());
    let Value::Array(values) = value else {
        return number(value).map(Sample::of);
    };
    if values.len() > MAX_METRICS {
        return None;
    }
    let mut all: Option<Sample> = None;
    for value in values {
        let value = number(value)?;
        all = Some(match all {
            None => Sample::of(value),
            Some(all) => Sample {
                count: all.count + 1.0,
                sum: all.sum + value,
                min: all.min.min(value),
                max: all.max.max(value),
            },
        });
    }
    all
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
            "Environment":"test","Function":"f","Events":3,"Latency":[1,2.5,4],"other":{"any":1}}"#;
        assert_eq!(
            seen(line),
            [
                "Retail/Events[Environment=test] Count n=1 sum=3 3..3",
                "Retail/Events[Environment=test,Function=f] Count n=1 sum=3 3..3",
                "Retail/Events[] Count n=1 sum=3 3..3",
                "Retail/Latency[Environment=test] Milliseconds n=3 sum=7.5 1..4",
                "Retail/Latency[Environment=test,Function=f] Milliseconds n=3 sum=7.5 1..4",
                "Retail/Latency[] Milliseconds n=3 sum=7.5 1..4",
            ]
        );
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
