//! The log of one instance. Lines become log events; those in the embedded metric format also become metrics.
//!
//! A function that prints without end must not fill the disk. An instance may log at a limited rate; what exceeds it is
//! dropped, as Lambda drops what its log delivery cannot take, and the log says how much.

use std::collections::VecDeque;
use std::sync::Arc;

use lambda_host::OutputSink;
use serde_json::json;

use super::Call;
use super::shipper::{Batch, Shipper};
use crate::clock::{Clock, utc};
use crate::lambda::emf;
use crate::metrics::MetricSink;
use crate::{Caller, partition};

/// Bytes of a log event; longer lines are split.
const MAX_EVENT: usize = 256 * 1024;
/// Bytes of the log in the response of Invoke. Source: `LogResult`, Invoke, Lambda API reference.
const TAIL: usize = 4096;
/// Bytes that an instance may log each second: what a log stream took before its quota was lifted, 5 PutLogEvents of 1 MB,
/// is far above what functions log, and would fill a disk. Source: "CloudWatch Logs quotas", CloudWatch Logs user guide.
const BYTES_PER_SECOND: u64 = 1024 * 1024;
/// Bytes that an instance may log at once.
const BURST: u64 = 10 * 1024 * 1024;
/// What CloudWatch Logs counts for an event beyond its text. Source: PutLogEvents, CloudWatch Logs API reference.
const EVENT_OVERHEAD: u64 = 26;
/// How often the log of a running invocation says what was dropped.
const NOTICE_INTERVAL_MS: i64 = 1000;
/// Bytes and events that are collected before they are sent during an invocation.
const BATCH: usize = 64 * 1024;
const BATCH_EVENTS: usize = 1024;

pub(super) struct InstanceLog {
    caller: Caller,
    group: String,
    stream: String,
    role: String,
    /// Whether the role was allowed to create the log stream.
    created: bool,
    is_json: bool,
    shipper: Arc<Shipper>,
    metrics: Arc<dyn MetricSink>,
    clock: Arc<dyn Clock>,
    events: Vec<(i64, String)>,
    bytes: usize,
    tail: Option<VecDeque<u8>>,
    allowance: Allowance,
    dropped: Dropped,
}

/// The bytes that an instance may log now.
struct Allowance {
    bytes: u64,
    at_ms: i64,
}

impl Allowance {
    fn new(now_ms: i64) -> Self {
        Self {
            bytes: BURST,
            at_ms: now_ms,
        }
    }

    /// Takes `bytes`, if there are so many.
    fn take(&mut self, bytes: u64, now_ms: i64) -> bool {
        let elapsed_ms = u64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(0);
        let gained = elapsed_ms.saturating_mul(BYTES_PER_SECOND) / 1000;
        if gained > 0 {
            self.bytes = self.bytes.saturating_add(gained).min(BURST);
            self.at_ms = now_ms;
        }
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.unwrap_or(self.bytes);
        left.is_some()
    }
}

/// What was dropped since the last notice.
#[derive(Default)]
struct Dropped {
    lines: u64,
    bytes: u64,
    /// When the last notice was written.
    notice_ms: i64,
}

impl InstanceLog {
    pub fn new(
        call: &Call,
        shipper: &Arc<Shipper>,
        metrics: &Arc<dyn MetricSink>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let day = utc(clock.now_ms(), "%Y/%m/%d");
        Self {
            caller: call.caller.clone(),
            group: call.version.logging.group.clone(),
            stream: format!("{day}/[{}]{:032x}", call.version.version, rand::random::<u128>()),
            role: call.version.role.clone(),
            created: false,
            is_json: call.version.logging.format == "JSON",
            shipper: Arc::clone(shipper),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            events: Vec::new(),
            bytes: 0,
            tail: None,
            allowance: Allowance::new(clock.now_ms()),
            dropped: Dropped::default(),
        }
    }

    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// Begins an invocation. `tail`: whether its caller wants the end of the log.
    pub fn begin(&mut self, tail: bool) {
        self.tail = tail.then(VecDeque::new);
    }

    /// Adds a line of Lambda itself.
    pub fn system_line(&mut self, line: &str) {
        if let Some(tail) = &mut self.tail {
            tail.extend(line.bytes().chain([b'\n']));
            tail.drain(..tail.len().saturating_sub(TAIL));
        }
        self.bytes += line.len();
        self.events.push((self.clock.now_ms(), line.to_owned()));
    }

    /// Says how much was dropped since the last notice, in the log of the function and in that of the local cloud.
    pub fn note_dropped(&mut self) {
        if self.dropped.lines == 0 {
            return;
        }
        let now_ms = self.clock.now_ms();
        let Dropped { lines, bytes, .. } = std::mem::take(&mut self.dropped);
        self.dropped.notice_ms = now_ms;
        let reason = "The function logs more than 1 MB a second.";
        tracing::warn!(group = %self.group, lines, bytes, "a function logs too much: lines were dropped");
        let line = if self.is_json {
            let record = json!({"reason": reason, "droppedRecords": lines, "droppedBytes": bytes});
            let time = utc(now_ms, "%Y-%m-%dT%H:%M:%S%.3fZ");
            json!({"time": time, "type": "platform.logsDropped", "record": record}).to_string()
        } else {
            format!("LOGS_DROPPED Records: {lines}\tBytes: {bytes}\tReason: {reason}")
        };
        self.system_line(&line);
    }

    /// The end of the log since [`InstanceLog::begin`], if it was wanted.
    pub fn take_tail(&mut self) -> Option<Vec<u8>> {
        self.tail.take().map(Vec::from)
    }

    /// Whether the function's role may create the log stream and write to it.
    fn may_write(&mut self) -> bool {
        let arn = format!(
            "arn:{}:logs:{}:{}:log-group:{}:log-stream:{}",
            partition(&self.caller.region),
            self.caller.region,
            self.caller.account,
            self.group,
            self.stream
        );
        let may = |action| self.shipper.may(&self.role, action, &arn);
        self.created = self.created || may("logs:CreateLogStream");
        self.created && may("logs:PutLogEvents")
    }
}

impl OutputSink for InstanceLog {
    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        let size = line.len() as u64 + EVENT_OVERHEAD;
        if !self.allowance.take(size, self.clock.now_ms()) {
            self.dropped.lines += 1;
            self.dropped.bytes += line.len() as u64;
            return;
        }
        emf::record(line, &self.caller, &*self.metrics);
        let mut rest = line;
        while !rest.is_empty() {
            let (event, more) = rest.split_at(rest.floor_char_boundary(MAX_EVENT));
            self.system_line(event);
            rest = more;
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH || self.events.len() >= BATCH_EVENTS
    }

    /// Sends what was collected. Waits while too many events are not sent yet: a function that prints faster than its log
    /// is written is slowed down.
    async fn flush(&mut self) {
        if self.clock.now_ms().saturating_sub(self.dropped.notice_ms) >= NOTICE_INTERVAL_MS {
            self.note_dropped();
        }
        if self.events.is_empty() {
            return;
        }
        self.bytes = 0;
        if !self.may_write() {
            self.events.clear();
            return;
        }
        let batch = Batch {
            caller: self.caller.clone(),
            group: self.group.clone(),
            stream: self.stream.clone(),
            events: std::mem::take(&mut self.events),
        };
        self.shipper.send(batch).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_logs_a_burst_and_then_at_a_rate() {
        let mut allowance = Allowance::new(0);
        assert!(allowance.take(BURST, 0));
        assert!(!allowance.take(1, 0));
        // Small gains are not lost in rounding.
        assert!((1..=1000).all(|now_ms| allowance.take(BYTES_PER_SECOND / 1000, now_ms)));
        assert!(!allowance.take(BYTES_PER_SECOND, 1000));
        assert!(allowance.take(BURST, 1_000_000));
        assert!(!allowance.take(1, 0), "the clock was set back");
    }
}
