//! What Lambda itself says in a function's log: START, END, REPORT.
//! Source: "Log and monitor", "JSON structured logs", Lambda developer guide.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::failure::Failure;
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
    is_started: bool,
}

impl Report {
    pub(super) fn new(call: &Call) -> Self {
        Self {
            request_id: call.request_id.clone(),
            version: call.version.version.clone(),
            memory_mb: call.version.memory_mb,
            timeout: Duration::from_secs(u64::from(call.version.timeout_seconds)),
            init: None,
            began: Instant::now(),
            duration: None,
            peak: 0,
            is_started: false,
        }
    }

    /// The instance is new, and took this long to be ready.
    pub(super) fn initialised(&mut self, init: Duration) {
        self.init = Some(init);
    }

    /// The instance is started once more, on the function's own time.
    pub(super) fn restarted(&mut self) {
        self.began = Instant::now();
        self.is_started = true;
    }

    /// Writes START. Returns when time is up.
    pub(super) fn start(&mut self, log: &mut InstanceLog, clock: &dyn Clock) -> Instant {
        if !self.is_started {
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

    /// The answer is there.
    pub(super) fn answered(&mut self) {
        self.duration = Some(self.began.elapsed());
    }

    /// Most memory it ever had, in bytes.
    pub(super) fn memory(&mut self, peak: u64) {
        self.peak = peak;
    }

    /// Milliseconds the invocation took.
    pub fn duration_ms(&self) -> f64 {
        self.duration.unwrap_or_default().as_secs_f64() * 1000.0
    }

    pub(super) fn succeeded(&mut self, log: &mut InstanceLog, clock: &dyn Clock) {
        self.end(log, clock, None);
    }

    pub(super) fn failed(&mut self, failure: &Failure, log: &mut InstanceLog, clock: &dyn Clock) {
        if self.duration.is_none() {
            // It never came to its invocation.
            self.duration = Some(if self.is_started {
                self.began.elapsed()
            } else {
                Duration::ZERO
            });
            self.write_start(log, clock);
        }
        if failure.is_timeout {
            self.duration = Some(self.timeout);
        }
        if let Some(line) = &failure.line {
            log.system_line(line);
        }
        // What the function reported of itself is no failure of the runtime.
        self.end(log, clock, failure.line.is_some().then_some(failure));
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
            record["errorType"] = json!(failure.kind);
        }
        if !log.is_json() {
            log.system_line(&format!("END RequestId: {}", self.request_id));
        }
        write(log, clock, &text, "platform.report", &record);
    }
}

/// An instance that did not get ready.
pub(super) fn init_failed(failure: &Failure, took: Duration, log: &mut InstanceLog) {
    if let Some(line) = &failure.line
        && !failure.is_timeout
    {
        log.system_line(line);
    }
    let (status, kind) = status(failure);
    log.system_line(&format!(
        "INIT_REPORT Init Duration: {:.2} ms\tPhase: init\tStatus: {status}{kind}",
        took.as_secs_f64() * 1000.0
    ));
}

fn status(failure: &Failure) -> (&'static str, String) {
    if failure.is_timeout {
        ("timeout", String::new())
    } else {
        ("error", format!("\tError Type: {}", failure.kind))
    }
}

fn write(log: &mut InstanceLog, clock: &dyn Clock, text: &str, kind: &str, record: &Value) {
    if log.is_json() {
        let time = utc(clock.now_ms(), "%Y-%m-%dT%H:%M:%S%.3fZ");
        log.system_line(&json!({"time": time, "type": kind, "record": record}).to_string());
    } else {
        log.system_line(text);
    }
}
