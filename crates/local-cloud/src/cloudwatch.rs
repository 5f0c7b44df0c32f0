//! CloudWatch for the local cloud: one store for the metrics of its services and of clients, with alarms and
//! dashboards.
//!
//! Owns the operations on metrics, [`alarms`] and [`dashboards`] in CloudWatch's three protocols. Stores one statistic
//! set per minute, for 15 days and up to a memory limit, in one file per day.
//!
//! Known limits: no resolution below a minute; percentiles are exact for up to 128 distinct values per minute and
//! approximate above; the metric math described in [`math`]; no Metrics Insights, trimmed means or cross-account reads;
//! alarms on one metric only, no composite alarms.

mod alarm;
mod alarms;
mod dashboards;
mod data;
mod datapoints;
mod error;
mod evaluate;
mod files;
mod input;
mod list;
mod math;
mod put;
mod stat;
mod statistics;
mod store;
mod tags;
pub mod watch;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

pub use self::alarms::Notification;

use self::alarms::Alarms;
use self::dashboards::Dashboards;
use self::error::ApiError as Fault;
use self::input::Fields;
use self::store::Store;
use self::tags::Tags;
use self::wire::{Operation, Out};
use super::clock::Clock;
use super::metrics::{MetricSink, Sample};
use super::{Body, Caller};

/// State besides the metrics.
struct Watch {
    alarms: Alarms,
    dashboards: Dashboards,
    tags: Tags,
}

pub struct CloudWatch {
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    store: Mutex<Store>,
    /// Lock order: this before the store.
    watch: Mutex<Watch>,
    /// Signals that an alarm may have notifications.
    notify: Notify,
    /// Held while files are written: one writer at a time.
    writing: Mutex<()>,
}

impl CloudWatch {
    /// Opens the metrics in `dir`. Creates `dir` if it does not exist.
    ///
    /// # Errors
    /// If `dir` cannot be created or read.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        ground::platform::create_private_dir(dir)?;
        let mut store = Store::default();
        for series in files::read_all(dir)? {
            store.load(series);
        }
        store.trim(clock.now_ms());
        Ok(Arc::new(Self {
            clock,
            dir: dir.to_owned(),
            store: Mutex::new(store),
            watch: Mutex::new(Watch {
                alarms: Alarms::open(dir)?,
                dashboards: Dashboards::open(dir)?,
                tags: Tags::open(dir)?,
            }),
            notify: Notify::new(),
            writing: Mutex::new(()),
        }))
    }

    /// Handles a request in any of CloudWatch's protocols. `None` if it is for another operation.
    ///
    /// `body` is as received. It may be compressed with gzip.
    pub fn handle(
        &self,
        caller: &Caller,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> Option<http::Response<Body>> {
        let request = wire::read(parts, body)?;
        let outcome = request
            .input
            .and_then(|input| self.run(caller, request.operation, &Fields::of(&input)));
        Some(wire::write(request.protocol, request.operation, outcome))
    }

    fn run(&self, caller: &Caller, operation: Operation, input: &Fields<'_>) -> Result<Option<Out>, Fault> {
        let now_ms = self.clock.now_ms();
        match operation {
            Operation::PutMetricData => {
                let put = put::read(input, now_ms)?;
                self.keep(caller, &put, now_ms);
                Ok(None)
            }
            Operation::ListMetrics => list::run(&self.store(), caller, input, now_ms).map(Some),
            Operation::GetMetricStatistics => datapoints::run(&self.store(), caller, input).map(Some),
            Operation::GetMetricData => data::run(&self.store(), caller, input).map(Some),
            other => {
                let answer = self.watch().run(caller, other, input, now_ms);
                if other == Operation::SetAlarmState {
                    self.notify.notify_one();
                }
                answer
            }
        }
    }

    /// Evaluates all alarms on complete minutes.
    pub fn evaluate_alarms(&self) {
        let mut watch = self.watch();
        watch.alarms.evaluate(&self.store(), self.clock.now_ms());
    }

    /// The notifications of alarms since the last call.
    pub fn take_notifications(&self) -> Vec<Notification> {
        self.watch().alarms.take_outbox()
    }

    /// Waits until an alarm may have notifications.
    pub async fn notified(&self) {
        self.notify.notified().await;
    }

    fn keep(&self, caller: &Caller, put: &put::Put, now_ms: i64) {
        let mut store = self.store();
        for datum in &put.data {
            let dimensions: Vec<(&str, &str)> = datum
                .dimensions
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            let metric = store::MetricRef {
                caller,
                namespace: &put.namespace,
                name: &datum.name,
                dimensions: &dimensions,
                unit: &datum.unit,
            };
            store.add(&metric, datum.at_ms, now_ms, &datum.samples);
        }
        if store.is_full() {
            store.trim(now_ms);
        }
    }

    /// Writes the days that changed since the last call, and removes expired data. Call it once a minute, in a context
    /// that may block.
    pub fn tick(&self) {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let days: Vec<_> = {
            let mut store = self.store();
            store.trim(self.clock.now_ms());
            let dirty = store.take_dirty();
            dirty.into_iter().map(|day| (day, store.day(day))).collect()
        };
        for (day, series) in days {
            if let Err(error) = files::write(&self.dir, day, series) {
                tracing::warn!(dir = %self.dir.display(), %error, "metrics could not be written");
                self.store().mark_dirty(day);
            }
        }
    }

    /// Writes all data. Call it last.
    pub fn shutdown(&self) {
        self.tick();
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn run(
        &mut self,
        caller: &Caller,
        operation: Operation,
        input: &Fields<'_>,
        now_ms: i64,
    ) -> Result<Option<Out>, Fault> {
        match operation {
            Operation::PutMetricAlarm => self.put_alarm(caller, input, now_ms).map(|()| None),
            Operation::DescribeAlarms => self.alarms.describe(caller, input).map(Some),
            Operation::DescribeAlarmsForMetric => self.alarms.describe_for_metric(caller, input).map(Some),
            Operation::DescribeAlarmHistory => self.alarms.history(caller, input).map(Some),
            Operation::DeleteAlarms => {
                for name in input.words("AlarmNames", usize::MAX)? {
                    self.tags.forget(&alarm::arn(caller, name));
                }
                self.alarms.delete(caller, input).map(|()| None)
            }
            Operation::SetAlarmState => self.alarms.set_state(caller, input, now_ms).map(|()| None),
            Operation::EnableAlarmActions => self.alarms.enable(caller, input, true).map(|()| None),
            Operation::DisableAlarmActions => self.alarms.enable(caller, input, false).map(|()| None),
            Operation::PutDashboard => self.put_dashboard(caller, input, now_ms).map(Some),
            Operation::GetDashboard => self.dashboards.get(caller, input).map(Some),
            Operation::ListDashboards => self.dashboards.list(caller, input).map(Some),
            Operation::DeleteDashboards => {
                self.dashboards.delete(caller, input)?;
                for name in input.words("DashboardNames", usize::MAX)? {
                    self.tags.forget(&dashboards::arn(caller, name));
                }
                Ok(Some(Out::Struct(Vec::new())))
            }
            Operation::TagResource | Operation::UntagResource | Operation::ListTagsForResource => {
                self.tag(caller, operation, input).map(Some)
            }
            // Handled by the caller.
            Operation::PutMetricData
            | Operation::ListMetrics
            | Operation::GetMetricStatistics
            | Operation::GetMetricData => Ok(None),
        }
    }

    fn put_alarm(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<(), Fault> {
        let arn = alarm::arn(caller, input.need_text("AlarmName", 255)?);
        let new = !self.alarms.has_arn(caller, &arn);
        self.alarms.put(caller, input, now_ms)?;
        // Source: PutMetricAlarm, `Tags`: tags of an existing alarm are changed only by TagResource.
        if new { self.tags.add(&arn, input) } else { Ok(()) }
    }

    fn put_dashboard(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<Out, Fault> {
        let arn = dashboards::arn(caller, input.need_text("DashboardName", 255)?);
        let new = !self.dashboards.has_arn(caller, &arn);
        let out = self.dashboards.put(caller, input, now_ms)?;
        if new {
            self.tags.add(&arn, input)?;
        }
        Ok(out)
    }

    fn tag(&mut self, caller: &Caller, operation: Operation, input: &Fields<'_>) -> Result<Out, Fault> {
        let arn = input.need_text("ResourceARN", 1024)?;
        if !self.alarms.has_arn(caller, arn) && !self.dashboards.has_arn(caller, arn) {
            return Err(Fault::not_found(
                "ResourceNotFoundException",
                format!("{arn} does not exist"),
            ));
        }
        match operation {
            Operation::TagResource => self.tags.add(arn, input)?,
            Operation::UntagResource => self.tags.remove(arn, input)?,
            _ => return Ok(self.tags.list(arn)),
        }
        Ok(Out::Struct(Vec::new()))
    }
}

impl MetricSink for CloudWatch {
    fn record(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        dimensions: &[(&str, &str)],
        unit: &str,
        sample: Sample,
    ) {
        let now_ms = self.clock.now_ms();
        let metric = store::MetricRef {
            caller,
            namespace,
            name,
            dimensions,
            unit,
        };
        let mut store = self.store();
        store.add(&metric, now_ms, now_ms, &[sample]);
    }
}

#[cfg(test)]
mod tests;
