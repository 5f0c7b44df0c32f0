//! The lines of Lambda itself in a function's log: START, END, REPORT and failures.
//! Source: "Log and monitor", "JSON structured logs", Lambda developer guide.

use std::time::Duration;

use lambda_host::Failure;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::log::InstanceLog;
use crate::clock::{Clock, utc};

/// One invocation, for the log and the metrics.
pub(in crate::lambda) struct Report {
    request_id: String,
    version: String,
    memory_mb: u32,
    timeout: Duration,
    init: Option<Duration>,
    began: Instant,
    duration: Option<Duration>,
    peak: u64,
    /// Whether init was repeated, which counts as a part of the invocation.
    is_restarted: bool,
}

impl Report {
    pub(super) fn new(call: &Call) -> Self {
        Self {
            request_id: call.request_id.clone(),
            version: call.version.version.clone(),
            memory_mb: call.version.memory_mb,
            timeout: call.timeout(),
            init: None,
            began: Instant::now(),
            duration: None,
            peak: 0,
            is_restarted: false,
        }
    }

    /// Sets how long the init phase of a new instance took.
    pub(super) fn initialised(&mut self, init: Duration) {
        // A repeated init is a part of the invocation.
        self.init = (!self.is_restarted).then_some(init);
    }

    /// Writes the report of a failed init phase. The time until the repeated one ends counts as the invocation's.
    pub(super) fn init_failed(&mut self, failure: &Failure, took: Duration, log: &mut InstanceLog) {
        if !matches!(failure, Failure::Reported { .. } | Failure::TimedOut(_)) {
            log.system_line(&error_line(failure, &self.request_id));
        }
        let (status, kind) = status(failure);
        log.system_line(&format!(
            "INIT_REPORT Init Duration: {:.2} ms\tPhase: init\tStatus: {status}{kind}",
            took.as_secs_f64() * 1000.0
        ));
        if !failure.is_final() {
            self.began = Instant::now();
            self.is_restarted = true;
        }
    }

    /// Writes START. Returns the deadline.
    pub(super) fn start(&mut self, log: &mut InstanceLog, clock: &dyn Clock) -> Instant {
        if !self.is_restarted {
            self.began = Instant::now();
        }
        self.write_start(log, clock);
        self.began + self.timeout
    }

    fn write_start(&self, log: &mut InstanceLog, clock: &dyn Clock) {
        let text = format!("START RequestId: {} Version: {}", self.request_id, self.version);
        let record = json!({"requestId": self.request_id, "version": self.version});
        write(log, clock, &text, "platform.start", &record);
    }

    /// Ends the duration of the invocation.
    pub(super) fn answered(&mut self) {
        self.duration = Some(self.began.elapsed());
    }

    /// Sets the most memory that the process ever had, in bytes.
    pub(super) fn memory(&mut self, peak: u64) {
        self.peak = peak;
    }

    /// How long the invocation took, in milliseconds.
    pub fn duration_ms(&self) -> f64 {
        self.duration.unwrap_or_default().as_secs_f64() * 1000.0
    }

    pub(super) fn succeeded(&mut self, log: &mut InstanceLog, clock: &dyn Clock) {
        self.end(log, clock, None);
    }

    pub(super) fn failed(&mut self, failure: &Failure, log: &mut InstanceLog, clock: &dyn Clock) {
        if self.duration.is_none() {
            // The init phase failed.
            self.duration = Some(if self.is_restarted {
                self.began.elapsed()
            } else {
                Duration::ZERO
            });
            self.write_start(log, clock);
        }
        let line = match failure {
            Failure::TimedOut(_) => {
                self.duration = Some(self.timeout);
                format!("{} {} {}", timestamp(clock), self.request_id, failure.reason())
            }
            // An error that the function itself reported is not Lambda's to report.
            Failure::Reported { .. } => return self.end(log, clock, None),
            _ => error_line(failure, &self.request_id),
        };
        log.system_line(&line);
        self.end(log, clock, Some(failure));
    }

    fn end(&self, log: &mut InstanceLog, clock: &dyn Clock, failure: Option<&Failure>) {
        let duration = self.duration_ms();
        let init = self.init.map(|init| init.as_secs_f64() * 1000.0);
        let billed = (duration + init.unwrap_or(0.0)).ceil();
        let used = self.peak.div_ceil(1 << 20);
        let mut metrics = json!({
            "durationMs": duration,
            "billedDurationMs": billed,
            "memorySizeMB": self.memory_mb,
            "maxMemoryUsedMB": used,
        });
        let mut text = format!(
            "REPORT RequestId: {}\tDuration: {duration:.2} ms\tBilled Duration: {billed:.0} ms\tMemory Size: {} MB\t\
             Max Memory Used: {used} MB\t",
            self.request_id, self.memory_mb
        );
        if let Some(init) = init {
            text.push_str(&format!("Init Duration: {init:.2} ms\t"));
            metrics["initDurationMs"] = json!(init);
        }
        let mut record = json!({"requestId": self.request_id, "metrics": metrics, "status": "success"});
        if let Some(failure) = failure {
            let (status, kind) = status(failure);
            text.push_str(&format!("Status: {status}{kind}"));
            record["status"] = json!(status);
            record["errorType"] = json!(failure.error_type());
        }
        log.note_dropped();
        if !log.is_json() {
            log.system_line(&format!("END RequestId: {}", self.request_id));
        }
        write(log, clock, &text, "platform.report", &record);
    }
}

fn error_line(failure: &Failure, request_id: &str) -> String {
    let (error_type, message) = (failure.error_type(), failure.message(request_id));
    match failure {
        Failure::ResponseTooLarge => format!("{error_type}: {message}"),
        _ => format!("{message}\n{error_type}"),
    }
}

fn status(failure: &Failure) -> (&'static str, String) {
    match failure {
        Failure::TimedOut(_) => ("timeout", String::new()),
        _ => ("error", format!("\tError Type: {}", failure.error_type())),
    }
}

fn timestamp(clock: &dyn Clock) -> String {
    utc(clock.now_ms(), "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn write(log: &mut InstanceLog, clock: &dyn Clock, text: &str, kind: &str, record: &Value) {
    if log.is_json() {
        log.system_line(&json!({"time": timestamp(clock), "type": kind, "record": record}).to_string());
    } else {
        log.system_line(text);
    }
}
