//! The log of one instance. Lines become log events; those in the embedded metric format also become metrics.

use std::collections::VecDeque;
use std::sync::Arc;

use lambda_host::OutputSink;

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
