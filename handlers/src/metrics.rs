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
    /// Whether it is also published without dimensions, for queries that name none.
    pub is_total: bool,
}

/// The log line for `metrics` at `now_ms`. Each metric is published with the first dimension only, which alarms use,
/// with all `dimensions`, and if it is a total, without dimensions.
pub fn line(namespace: &str, dimensions: &[(&str, &str)], metrics: &[Metric], now_ms: i64) -> String {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut sets = vec![&names[..names.len().min(1)]];
    if names.len() > 1 {
        sets.push(&names);
    }
    let definitions = |metrics: &mut dyn Iterator<Item = &Metric>| -> Vec<Value> {
        metrics
            .map(|metric| json!({"Name": metric.name, "Unit": metric.unit}))
            .collect()
    };
    let mut directives = vec![json!({
        "Namespace": namespace, "Dimensions": sets, "Metrics": definitions(&mut metrics.iter()),
    })];
    let totals = definitions(&mut metrics.iter().filter(|metric| metric.is_total));
    if !totals.is_empty() {
        directives.push(json!({"Namespace": namespace, "Dimensions": [[]], "Metrics": totals}));
    }
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({"Timestamp": now_ms, "CloudWatchMetrics": directives}),
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
        let metric = |name, unit, is_total| Metric {
            name,
            unit,
            value: 2.0,
            is_total,
        };
        let metrics = [
            metric("FailedEvents", "Count", true),
            metric("ProcessingDuration", "Milliseconds", false),
        ];
        let line = line(
            "Retail",
            &[("Environment", "dev"), ("FunctionName", "f")],
            &metrics,
            1_700_000_000_000,
        );
        insta::assert_snapshot!(line, @r#"{"Environment":"dev","FailedEvents":2.0,"FunctionName":"f","ProcessingDuration":2.0,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Environment"],["Environment","FunctionName"]],"Metrics":[{"Name":"FailedEvents","Unit":"Count"},{"Name":"ProcessingDuration","Unit":"Milliseconds"}],"Namespace":"Retail"},{"Dimensions":[[]],"Metrics":[{"Name":"FailedEvents","Unit":"Count"}],"Namespace":"Retail"}],"Timestamp":1700000000000}}"#);
    }
}
