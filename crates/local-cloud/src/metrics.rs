//! The interface by which services record metrics.

use crate::types::Caller;

/// The units of metrics. Source: MetricDatum, `Unit`.
pub(crate) const UNITS: &[&str] = &[
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// A statistic set, of which CloudWatch keeps one a minute for each metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub count: f64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Sample {
    /// One value.
    pub fn of(value: f64) -> Self {
        Self {
            count: 1.0,
            sum: value,
            min: value,
            max: value,
        }
    }
}

/// Takes metrics. Called once a request, never once a record.
pub trait MetricSink: Send + Sync + 'static {
    /// Adds `sample` to the running minute of the metric `name` with `dimensions` (name, value) in `namespace`.
    fn record(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        unit: &str,
        sample: Sample,
    );
}

/// Drops all metrics.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct NoMetrics;

#[cfg(test)]
impl MetricSink for NoMetrics {
    fn record(&self, _: &Caller, _: &str, _: &str, _: &[(&str, &str)], _: &str, _: Sample) {}
}
