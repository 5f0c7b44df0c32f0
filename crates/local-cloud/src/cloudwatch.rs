//! CloudWatch for the local cloud: one store for the metrics of its services and of clients, with alarms and
//! dashboards.
//!
//! Owns the operations on metrics, [`alarms`] and [`dashboards`] in CloudWatch's three protocols. Stores one statistic
//! set per minute, for 15 days and up to a memory limit, in one file per day.
//!
//! Known limits: no resolution below a minute; percentiles are exact for up to 128 distinct values per minute and
//! approximate above; the metric math described in [`math`]; no Metrics Insights, trimmed means or cross-account reads;
//! no anomaly detection, and no suppression of the actions of composite alarms.

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
mod mutes;
mod out;
mod put;
mod queries;
mod rule;
mod stat;
mod statistics;
mod store;
mod tags;
pub mod watch;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use tokio::sync::Notify;

pub use self::alarms::Notification;

use self::alarms::Alarms;
use self::dashboards::Dashboards;
use self::error::ApiError;
use self::input::Fields;
use self::mutes::Mutes;
use self::store::Store;
use self::tags::Tags;
use self::wire::{Operation, Out};
use crate::clock::Clock;
use crate::deliver::Undelivered;
use crate::error::ErrorFormat;
use crate::metrics::{MetricSink, Sample};
use crate::service::Permission;
use crate::service::{Request, Service};
use crate::types::{Body, Caller};
use daemon::protocol::Damage;

/// The header of a PutMetricData that may put values of AWS's own metrics: `streamctl alarms test` tries alarms with them.
const TRIAL_HEADER: &str = "x-streamctl-trial";

/// State besides the metrics.
struct Watch {
    alarms: Alarms,
    mutes: Mutes,
    dashboards: Dashboards,
    tags: Tags,
}

pub struct CloudWatch {
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    /// Damaged files of metrics.
    damage: Vec<Damage>,
    store: Mutex<Store>,
    /// Lock order: this before the store.
    watch: Mutex<Watch>,
    /// Signals that an alarm may have actions to execute.
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
        ground::platform::remove_unfinished(dir)?;
        let mut store = Store::default();
        let (all, damage) = files::read_all(dir)?;
        for series in all {
            store.load(series);
        }
        store.trim(clock.now_ms());
        Ok(Arc::new(Self {
            clock,
            dir: dir.to_owned(),
            store: Mutex::new(store),
            watch: Mutex::new(Watch {
                alarms: Alarms::open(dir),
                mutes: Mutes::open(dir),
                dashboards: Dashboards::open(dir),
                tags: Tags::open(dir),
            }),
            damage,
            notify: Notify::new(),
            writing: Mutex::new(()),
        }))
    }

    /// Answers a request in any of CloudWatch's protocols; `None` for an operation that is not offered.
    pub fn handle(
        &self,
        caller: &Caller,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> Option<http::Response<Body>> {
        let request = wire::read(parts, body)?;
        let is_trial = parts.headers.contains_key(TRIAL_HEADER);
        let result = request
            .input
            .and_then(|input| self.run(caller, request.operation, &Fields::of(&input), is_trial));
        Some(wire::write(request.protocol, request.operation, result))
    }

    fn run(
        &self,
        caller: &Caller,
        operation: Operation,
        input: &Fields<'_>,
        is_trial: bool,
    ) -> Result<Option<Out>, ApiError> {
        let now_ms = self.clock.now_ms();
        let nothing = |()| None;
        match operation {
            Operation::PutMetricData => {
                let put = put::read(input, now_ms, is_trial)?;
                self.keep(caller, &put, now_ms);
                Ok(None)
            }
            Operation::ListMetrics => list::run(&self.store(), caller, input, now_ms).map(Some),
            Operation::GetMetricStatistics => datapoints::run(&self.store(), caller, input).map(Some),
            Operation::GetMetricData => data::run(&self.store(), caller, input).map(Some),
            Operation::PutMetricAlarm => self.watch().put_metric_alarm(caller, input, now_ms).map(nothing),
            Operation::PutCompositeAlarm => {
                let put = self.watch().put_composite_alarm(caller, input, now_ms);
                self.notify.notify_one();
                put.map(nothing)
            }
            Operation::DescribeAlarms => self.watch().alarms.describe(caller, input).map(Some),
            Operation::DescribeAlarmsForMetric => {
                self.watch().alarms.describe_for_metric(caller, input).map(Some)
            }
            Operation::DescribeAlarmHistory => self.watch().alarms.history(caller, input).map(Some),
            Operation::DeleteAlarms => self.watch().delete_alarms(caller, input).map(nothing),
            Operation::SetAlarmState => {
                let set = self.watch().set_state(caller, input, now_ms);
                self.notify.notify_one();
                set.map(nothing)
            }
            Operation::EnableAlarmActions => self.watch().alarms.enable(caller, input, true).map(nothing),
            Operation::DisableAlarmActions => self.watch().alarms.enable(caller, input, false).map(nothing),
            Operation::PutAlarmMuteRule => self.watch().put_mute_rule(caller, input, now_ms).map(nothing),
            Operation::GetAlarmMuteRule => self.watch().mutes.get(caller, input, now_ms).map(Some),
            Operation::ListAlarmMuteRules => self.watch().mutes.list(caller, input, now_ms).map(Some),
            Operation::DeleteAlarmMuteRule => self.watch().delete_mute_rule(caller, input).map(nothing),
            Operation::PutDashboard => self.watch().put_dashboard(caller, input, now_ms).map(Some),
            Operation::GetDashboard => self.watch().dashboards.get(caller, input).map(Some),
            Operation::ListDashboards => self.watch().dashboards.list(caller, input).map(Some),
            Operation::DeleteDashboards => self.watch().delete_dashboards(caller, input).map(Some),
            Operation::TagResource => {
                let change = |tags: &mut Tags, arn: &str| tags.add(arn, input);
                self.watch().change_tags(caller, input, change).map(Some)
            }
            Operation::UntagResource => {
                let change = |tags: &mut Tags, arn: &str| tags.remove(arn, input);
                self.watch().change_tags(caller, input, change).map(Some)
            }
            Operation::ListTagsForResource => {
                let watch = self.watch();
                watch
                    .tagged_arn(caller, input)
                    .map(|arn| Some(watch.tags.list(arn)))
            }
        }
    }

    /// Evaluates all alarms on complete minutes.
    pub fn evaluate_alarms(&self) {
        let mut watch = self.watch();
        let Watch { alarms, mutes, .. } = &mut *watch;
        alarms.evaluate(&self.store(), mutes, self.clock.now_ms());
    }

    /// The actions of alarms that are to be executed. Each stays until [`CloudWatch::executed`] is called for it.
    pub fn notifications(&self) -> Vec<Notification> {
        self.watch().alarms.outbox()
    }

    /// Records the result of an action.
    pub fn executed(&self, notification: &Notification, result: Result<(), Undelivered>) {
        let now_ms = self.clock.now_ms();
        self.watch().alarms.executed(notification, result, now_ms);
    }

    /// Waits until an alarm may have actions to execute.
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

    /// Writes the days that changed since the last call and drops those past the retention. Blocks.
    fn write(&self) {
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

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn delete_alarms(&mut self, caller: &Caller, input: &Fields<'_>) -> Result<(), ApiError> {
        self.alarms.delete(caller, input)?;
        for name in input.words("AlarmNames", usize::MAX)? {
            self.tags.forget(&alarm::arn(caller, name))?;
        }
        Ok(())
    }

    fn delete_dashboards(&mut self, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
        self.dashboards.delete(caller, input)?;
        for name in input.words("DashboardNames", usize::MAX)? {
            self.tags.forget(&dashboards::arn(caller, name))?;
        }
        Ok(Out::Struct(Vec::new()))
    }

    fn put_metric_alarm(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<(), ApiError> {
        let put = |watch: &mut Self| watch.alarms.put_metric(caller, input, now_ms);
        self.put_alarm(caller, input, put)
    }

    fn put_composite_alarm(
        &mut self,
        caller: &Caller,
        input: &Fields<'_>,
        now_ms: i64,
    ) -> Result<(), ApiError> {
        let put = |watch: &mut Self| {
            let Self { alarms, mutes, .. } = watch;
            alarms.put_composite(caller, input, mutes, now_ms)
        };
        self.put_alarm(caller, input, put)
    }

    fn put_alarm(
        &mut self,
        caller: &Caller,
        input: &Fields<'_>,
        put: impl FnOnce(&mut Self) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let arn = alarm::arn(caller, input.need_text("AlarmName", 255)?);
        let new = !self.alarms.has_arn(caller, &arn);
        put(self)?;
        // Source: PutMetricAlarm, `Tags`: tags of an existing alarm are changed only by TagResource.
        if new { self.tags.add(&arn, input) } else { Ok(()) }
    }

    fn set_state(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<(), ApiError> {
        let Self { alarms, mutes, .. } = self;
        alarms.set_state(caller, input, mutes, now_ms)
    }

    fn put_mute_rule(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<(), ApiError> {
        let arn = mutes::arn(caller, input.need_text("Name", 255)?);
        let new = !self.mutes.has_arn(caller, &arn);
        self.mutes.put(caller, input, now_ms)?;
        if new { self.tags.add(&arn, input) } else { Ok(()) }
    }

    fn delete_mute_rule(&mut self, caller: &Caller, input: &Fields<'_>) -> Result<(), ApiError> {
        self.mutes.delete(caller, input)?;
        let name = input.need_text("AlarmMuteRuleName", 255)?;
        self.tags.forget(&mutes::arn(caller, name))
    }

    fn put_dashboard(&mut self, caller: &Caller, input: &Fields<'_>, now_ms: i64) -> Result<Out, ApiError> {
        let arn = dashboards::arn(caller, input.need_text("DashboardName", 255)?);
        let new = !self.dashboards.has_arn(caller, &arn);
        let out = self.dashboards.put(caller, input, now_ms)?;
        if new {
            self.tags.add(&arn, input)?;
        }
        Ok(out)
    }

    fn change_tags(
        &mut self,
        caller: &Caller,
        input: &Fields<'_>,
        change: impl FnOnce(&mut Tags, &str) -> Result<(), ApiError>,
    ) -> Result<Out, ApiError> {
        let arn = self.tagged_arn(caller, input)?;
        change(&mut self.tags, arn)?;
        Ok(Out::Struct(Vec::new()))
    }

    /// `ResourceARN`, if the alarm, alarm mute rule or dashboard exists.
    fn tagged_arn<'a>(&self, caller: &Caller, input: &'a Fields<'_>) -> Result<&'a str, ApiError> {
        let arn = input.need_text("ResourceARN", 1024)?;
        let exists = self.alarms.has_arn(caller, arn)
            || self.dashboards.has_arn(caller, arn)
            || self.mutes.has_arn(caller, arn);
        if exists {
            return Ok(arn);
        }
        Err(ApiError::not_found(
            "ResourceNotFoundException",
            format!("{arn} does not exist"),
        ))
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

/// Parts of the names of operations, and the feature that they belong to.
const NOT_OFFERED: &[(&str, &str)] = &[
    ("MetricStream", "metric streams"),
    (
        "MetricWidgetImage",
        "images of metrics, whose values GetMetricData returns",
    ),
    ("AnomalyDetector", "anomaly detection"),
    ("InsightRule", "Contributor Insights"),
    ("ManagedInsight", "Contributor Insights"),
    ("AlarmContributors", "alarms on Metrics Insights queries"),
];

/// The message for an operation that is not offered.
fn not_offered(operation: &str) -> String {
    match NOT_OFFERED.iter().find(|(part, _)| operation.contains(part)) {
        Some((_, feature)) => {
            format!("The local cloud does not offer CloudWatch's {operation}: it has no {feature}.")
        }
        None => format!("The local cloud does not offer CloudWatch's operation {operation}."),
    }
}

impl Service for CloudWatch {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let Request { caller, parts, body } = request;
            self.handle(&caller, &parts, &body).unwrap_or_else(|| {
                let operation = wire::operation_name(&parts, &body);
                crate::error::ApiError::new(400, "UnknownOperationException", not_offered(&operation))
                    .respond(ErrorFormat::of(&parts))
            })
        }
        .boxed()
    }

    /// PutMetricData takes 1 MB (CloudWatch API reference), in which a form encodes a character as three bytes.
    fn max_body(&self) -> usize {
        4 << 20
    }

    fn permissions(&self, request: &Request) -> Vec<Permission> {
        Permission::of_operation("cloudwatch", request, |_, _| None)
    }

    fn access_denied(&self) -> (u16, &'static str) {
        (403, "AccessDeniedException")
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, crate::types::Tags> {
        self.watch().tags.of(caller)
    }

    fn damage(&self) -> Vec<Damage> {
        let watch = self.watch();
        let files = [
            watch.alarms.damage(),
            watch.mutes.damage(),
            watch.dashboards.damage(),
            watch.tags.damage(),
        ];
        self.damage
            .iter()
            .cloned()
            .chain(files.into_iter().flatten())
            .collect()
    }

    fn tick(&self) {
        self.write();
    }

    fn shutdown(&self) {
        self.write();
    }
}

#[cfg(test)]
mod tests;
