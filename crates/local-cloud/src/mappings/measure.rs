//! AWS/Lambda metrics of mappings.
//!
//! Source: "Types of metrics for Lambda functions", AWS Lambda developer guide.

use super::settings::Settings;
use crate::metrics::{MetricSink, Sample};

const NAMESPACE: &str = "AWS/Lambda";

/// Age of the last record of a batch when its invocation ended, milliseconds.
pub(super) fn iterator_age(metrics: &dyn MetricSink, settings: &Settings, age_ms: i64) {
    let sample = Sample::of(age_ms.max(0) as f64);
    function(metrics, settings, "IteratorAge", "Milliseconds", sample);
}

/// A discarded batch that could not be delivered to its destination.
pub(super) fn delivery_failure(metrics: &dyn MetricSink, settings: &Settings) {
    function(
        metrics,
        settings,
        "DestinationDeliveryFailures",
        "Count",
        Sample::of(1.0),
    );
}

/// One of the `EventCount` metrics, if enabled.
pub(super) fn events(metrics: &dyn MetricSink, settings: &Settings, name: &str, count: usize) {
    if count > 0 && settings.metrics.iter().any(|metric| metric == "EventCount") {
        let dimensions = [("EventSourceMappingUUID", settings.uuid.as_str())];
        let sample = Sample::of(count as f64);
        metrics.record(&settings.caller(), NAMESPACE, name, &dimensions, "Count", sample);
    }
}

/// Records by function, and by version or alias if the mapping names one.
fn function(metrics: &dyn MetricSink, settings: &Settings, name: &str, unit: &str, sample: Sample) {
    let caller = settings.caller();
    let function = settings.function_name();
    metrics.record(
        &caller,
        NAMESPACE,
        name,
        &[("FunctionName", function)],
        unit,
        sample,
    );
    if let Some(qualifier) = settings.qualifier() {
        let resource = format!("{function}:{qualifier}");
        let dimensions = [("FunctionName", function), ("Resource", resource.as_str())];
        metrics.record(&caller, NAMESPACE, name, &dimensions, unit, sample);
    }
}
