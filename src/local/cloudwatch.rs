//! CloudWatch metrics of the local cloud: what its services measure and what clients put, in one store.
//!
//! Owns PutMetricData, ListMetrics, GetMetricStatistics and GetMetricData in CloudWatch's three protocols; alarms and
//! dashboards are others'. Kept are statistic sets a minute wide, for 15 days and within a bound of memory, written
//! to one file a day.
//!
//! Known limits: no resolution below a minute; percentiles are exact for up to 128 distinct values a minute and
//! rounded above; of metric math the part in [`math`]; no Metrics Insights, trimmed means or cross-account reads.

mod data;
mod datapoints;
mod fault;
mod files;
mod input;
mod list;
mod math;
mod put;
mod stat;
mod statistics;
mod store;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::fault::Fault;
use self::input::Fields;
use self::store::Store;
use self::wire::{Operation, Out};
use super::clock::Clock;
use super::metrics::{MetricSink, Sample};
use super::{Body, Caller};

/// The metrics of the local cloud.
pub struct CloudWatch {
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    store: Mutex<Store>,
    /// Held while files are written: one writer at a time.
    writing: Mutex<()>,
}

impl CloudWatch {
    /// Opens the metrics kept in `dir`, which is made if it does not exist.
    ///
    /// # Errors
    /// When `dir` cannot be made or read.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        crate::platform::create_private_dir(dir)?;
        let mut store = Store::default();
        for series in files::read_all(dir)? {
            store.load(series);
        }
        store.trim(clock.now_ms());
        Ok(Arc::new(Self {
            clock,
            dir: dir.to_owned(),
            store: Mutex::new(store),
            writing: Mutex::new(()),
        }))
    }

    /// Answers PutMetricData, ListMetrics, GetMetricStatistics and GetMetricData in any of CloudWatch's protocols.
    /// `None`: the request is for another operation.
    ///
    /// `body` is as received; gzip is undone here.
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
        }
    }

    fn keep(&self, caller: &Caller, put: &put::Put, now_ms: i64) {
        let mut store = self.store();
        for datum in &put.data {
            let dimensions: Vec<(&str, &str)> = datum
                .dimensions
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            let metric = store::Place {
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

    /// Writes the days that changed since the last call and drops what is too old. Call it once a minute, where
    /// blocking is allowed.
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

    /// Writes everything. Call it last.
    pub fn shutdown(&self) {
        self.tick();
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
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
        let metric = store::Place {
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
