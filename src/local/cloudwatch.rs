//! CloudWatch metrics of the local cloud.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::clock::Clock;
use super::metrics::{MetricSink, Sample};
use super::{Body, Caller};

/// The metrics of the local cloud: statistic sets a minute wide, kept for 15 days.
pub struct CloudWatch {
    #[allow(dead_code, reason = "read once the store is in place")]
    clock: Arc<dyn Clock>,
}

impl CloudWatch {
    /// Opens the metrics kept in `dir`, which is made if it does not exist.
    ///
    /// # Errors
    /// When `dir` cannot be made or read.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        crate::platform::create_private_dir(dir)?;
        Ok(Arc::new(Self { clock }))
    }

    /// Answers PutMetricData, ListMetrics, GetMetricStatistics and GetMetricData in any of CloudWatch's protocols.
    /// `None`: the request is for another operation.
    pub fn handle(
        &self,
        _caller: &Caller,
        _parts: &http::request::Parts,
        _body: &Bytes,
    ) -> Option<http::Response<Body>> {
        None
    }

    /// Writes what changed since the last call and drops what is too old. Call it once a minute, where blocking is
    /// allowed.
    pub fn tick(&self) {}

    /// Writes everything. Call it last.
    pub fn shutdown(&self) {}
}

impl MetricSink for CloudWatch {
    fn record(&self, _: &Caller, _: &str, _: &str, _: &[(&str, &str)], _: &str, _: Sample) {}
}
