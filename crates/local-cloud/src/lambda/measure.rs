//! Metrics of invocations.
//! Source: "Types of metrics for Lambda functions", Lambda developer guide.

use super::executor::{Admission, Reported};
use crate::Caller;
use crate::metrics::{MetricSink, Sample};

/// Destination of the metrics of one call.
pub(super) struct Measure<'a> {
    pub caller: &'a Caller,
    pub name: &'a str,
    pub invoked_arn: &'a str,
    pub sink: &'a dyn MetricSink,
}

impl Measure<'_> {
    /// A throttled call.
    pub fn throttled(&self) {
        self.record("Throttles", "Count", 1.0);
    }

    /// A completed call.
    pub fn invoked(&self, report: &Reported, failed: bool, admitted: &Admission<'_>) {
        self.record("Invocations", "Count", 1.0);
        self.record("Errors", "Count", if failed { 1.0 } else { 0.0 });
        self.record("Throttles", "Count", 0.0);
        self.record("Duration", "Milliseconds", report.duration_ms());
        let name = "ConcurrentExecutions";
        let of_function = Sample::of(f64::from(admitted.of_function));
        self.sink.record(
            self.caller,
            "AWS/Lambda",
            name,
            &[("FunctionName", self.name)],
            "Count",
            of_function,
        );
        let of_account = Sample::of(f64::from(admitted.of_account));
        self.sink
            .record(self.caller, "AWS/Lambda", name, &[], "Count", of_account);
    }

    fn record(&self, name: &str, unit: &str, value: f64) {
        let resource = self
            .invoked_arn
            .split_once(":function:")
            .map_or(self.name, |(_, resource)| resource);
        let function = ("FunctionName", self.name);
        for dimensions in [&[][..], &[function], &[function, ("Resource", resource)]] {
            self.sink.record(
                self.caller,
                "AWS/Lambda",
                name,
                dimensions,
                unit,
                Sample::of(value),
            );
        }
    }
}
