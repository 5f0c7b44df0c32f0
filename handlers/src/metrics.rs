//! Metrics in CloudWatch's embedded metric format: log lines that CloudWatch converts to metrics.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde_json::{Map, Value, json};

#[derive(Clone, Debug)]
pub struct Metric {
    pub name: &'static str,
    /// CloudWatch's unit.
    pub unit: &'static str,
    pub value: f64,
}

/// The log line for `metrics` at `now_ms`. Each metric is published twice: with the first dimension only, which alarms
/// use, and with all `dimensions`.
pub fn line(namespace: &str, dimensions: &[(&str, &str)], metrics: &[Metric], now_ms: i64) -> String {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut sets = vec![&names[..names.len().min(1)]];
    if names.len() > 1 {
        sets.push(&names);
    }
    let definitions: Vec<Value> = metrics
        .iter()
        .map(|metric| json!({"Name": metric.name, "Unit": metric.unit}))
        .collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": sets, "Metrics": definitions}],
        }),
    );
    line.extend(
        dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value))),
    );
    line.extend(
        metrics
            .iter()
            .map(|metric| (metric.name.to_owned(), json!(metric.value))),
    );
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_namespace_dimensions_and_units() {
        let metrics = [Metric {
            name: "FailedEvents",
            unit: "Count",
            value: 2.0,
        }];
        let line = line(
            "Retail",
            &[("Environment", "dev"), ("FunctionName", "f")],
            &metrics,
            1_700_000_000_000,
        );
        insta::assert_snapshot!(line, @r#"{"Environment":"dev","FailedEvents":2.0,"FunctionName":"f","_aws":{"CloudWatchMetrics":[{"Dimensions":[["Environment"],["Environment","FunctionName"]],"Metrics":[{"Name":"FailedEvents","Unit":"Count"}],"Namespace":"Retail"}],"Timestamp":1700000000000}}"#);
    }
}
