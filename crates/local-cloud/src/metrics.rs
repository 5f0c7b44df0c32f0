//! What the services of the local cloud measure, and where they hand it.

/// What a measurement's unit may be. Source: MetricDatum, `Unit`.
pub(super) const UNITS: &[&str] = &[
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

/// A statistic set, as CloudWatch keeps one a minute for each metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Number of values.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
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

/// Takes measurements. Called once a request, never once a record.
pub trait MetricSink: Send + Sync + 'static {
    /// Adds `sample` to the running minute of the metric `name` with `dimensions` (name, value) in `namespace`.
    fn record(
        &self,
        caller: &super::Caller,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        unit: &str,
        sample: Sample,
    );
}

/// Forgets everything.
#[derive(Debug, Default)]
pub struct NoMetrics;

impl MetricSink for NoMetrics {
    fn record(&self, _: &super::Caller, _: &str, _: &str, _: &[(&str, &str)], _: &str, _: Sample) {}
}
