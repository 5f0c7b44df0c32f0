//! The log of one instance: its lines become log events, and metrics where they hold some.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Call;
use super::shipper::{Batch, Shipper};
use crate::clock::{Clock, utc};
use crate::lambda::emf;
use crate::metrics::MetricSink;
use crate::{Caller, partition};

/// Bytes of a log event; longer lines are split.
pub(super) const MAX_EVENT: usize = 256 * 1024;
/// Bytes of the log that Invoke answers with. Source: `LogResult`, Invoke, Lambda API reference.
const TAIL: usize = 4096;
/// Bytes held before they are handed on in the midst of an invocation.
const BATCH: usize = 64 * 1024;

pub(super) struct InstanceLog {
    caller: Caller,
    group: String,
    stream: String,
    role: String,
    /// Whether the log stream has been made.
    made: bool,
    is_json: bool,
    shipper: Arc<Shipper>,
    metrics: Arc<dyn MetricSink>,
    clock: Arc<dyn Clock>,
    events: Vec<(i64, String)>,
    bytes: usize,
    /// A line that has not ended yet.
    partial: Vec<u8>,
    tail: Option<VecDeque<u8>>,
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
            made: false,
            is_json: call.version.logging.format == "JSON",
            shipper: Arc::clone(shipper),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            events: Vec::new(),
            bytes: 0,
            partial: Vec::new(),
            tail: None,
        }
    }

    /// The log stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// An invocation begins.
    pub fn begin(&mut self, tail: bool) {
        self.tail = tail.then(VecDeque::new);
    }

    /// Takes what the function printed.
    pub fn feed(&mut self, mut chunk: &[u8]) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            if self.partial.is_empty() {
                self.line(&chunk[..end]);
            } else {
                self.partial.extend_from_slice(&chunk[..end]);
                self.end_line();
            }
            chunk = &chunk[end + 1..];
        }
        self.partial.extend_from_slice(chunk);
        if self.partial.len() >= MAX_EVENT {
            self.end_line();
        }
    }

    /// Ends a line that the function left open.
    pub fn end_line(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.line(&line);
            // Keeps its room.
            self.partial = line;
            self.partial.clear();
        }
    }

    fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(line);
        emf::record(&text, &self.caller, &*self.metrics);
        let mut rest: &str = &text;
        while !rest.is_empty() {
            let (event, more) = rest.split_at(rest.floor_char_boundary(MAX_EVENT));
            self.system_line(event);
            rest = more;
        }
    }

    /// Adds a line of Lambda's own.
    pub fn system_line(&mut self, line: &str) {
        if let Some(tail) = &mut self.tail {
            tail.extend(line.bytes().chain([b'\n']));
            tail.drain(..tail.len().saturating_sub(TAIL));
        }
        self.bytes += line.len();
        self.events.push((self.clock.now_ms(), line.to_owned()));
    }

    /// The last of the log since [`InstanceLog::begin`], where it was wanted.
    pub fn take_tail(&mut self) -> Option<Vec<u8>> {
        self.tail.take().map(Vec::from)
    }

    /// Whether so much has come together that it is to be handed on.
    pub fn is_full(&self) -> bool {
        self.bytes >= BATCH || self.events.len() >= 1024
    }

    /// Hands on what has come together. Waits while too much is on its way: a function that prints faster than its log
    /// is written is slowed down.
    pub async fn flush(&mut self) {
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

    /// Whether the function's role allows its log: to make the stream, and to write to it.
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
        self.made = self.made || may("logs:CreateLogStream");
        self.made && may("logs:PutLogEvents")
    }
}
