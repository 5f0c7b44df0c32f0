//! One delivery stream at run time, and what all of them need.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::delivery::Delivery;
use super::error::{Error, Result};
use super::files::{Files, Progress};
use super::model::Meta;
use super::source::Log;
use crate::clock::Clock;
use crate::invoke::Invoke;
use crate::kinesis::channels::Destination;
use crate::kinesis::engine::{Engine, KeyLookup};
use crate::kinesis::stream::locked;
use crate::kinesis::stream::throttle::{Bucket, MIB};
use crate::metrics::MetricSink;

/// What all delivery streams need.
pub(super) struct Shared {
    pub clock: Arc<dyn Clock>,
    pub kinesis: Arc<Engine>,
    pub kms: Arc<dyn KeyLookup>,
    pub destination: Arc<dyn Destination>,
    pub functions: Arc<dyn Invoke>,
    pub metrics: Arc<dyn MetricSink>,
}

/// One delivery stream.
pub(super) struct Hose {
    meta: Mutex<Arc<Meta>>,
    pub(super) files: Files,
    /// Of direct puts.
    pub(super) log: Option<Log>,
    pub(super) delivery: Mutex<Delivery>,
    pub(super) limits: Mutex<Limits>,
    /// Files of partitions that are shorter than they should be, and how many records their partitions have.
    pub(super) damaged: Vec<(PathBuf, u64)>,
    /// True when it is gone: its task ends.
    gone: watch::Sender<bool>,
}

/// Limits of direct puts. Source: "Amazon Data Firehose quota", developer guide: a higher one in three regions.
#[derive(Debug)]
pub(super) struct Limits {
    pub requests: Bucket,
    pub records: Bucket,
    pub bytes: Bucket,
}

impl Limits {
    fn of(region: &str) -> Self {
        let (requests, records, mib) = match region {
            "us-east-1" | "us-west-2" | "eu-west-1" => (2_000.0, 500_000.0, 5.0),
            _ => (1_000.0, 100_000.0, 1.0),
        };
        Self {
            requests: Bucket::new(requests),
            records: Bucket::new(records),
            bytes: Bucket::new(mib * MIB),
        }
    }
}

impl Hose {
    pub fn new(meta: Meta, files: Files, log: Option<Log>, progress: Progress) -> Self {
        Self {
            damaged: files.check_partitions(&progress),
            limits: Mutex::new(Limits::of(&meta.region)),
            meta: Mutex::new(Arc::new(meta)),
            files,
            log,
            delivery: Mutex::new(Delivery::new(progress)),
            gone: watch::Sender::new(false),
        }
    }

    pub fn meta(&self) -> Arc<Meta> {
        Arc::clone(&locked(&self.meta))
    }

    /// Changes and saves the settings.
    ///
    /// # Errors
    /// Errors of `edit`; `InternalFailure`.
    pub fn change(&self, edit: impl FnOnce(&mut Meta) -> Result<()>) -> Result<Arc<Meta>> {
        let mut shown = locked(&self.meta);
        let mut meta = Meta::clone(&shown);
        edit(&mut meta)?;
        let saved = self.files.save(&meta);
        saved
            .map_err(|error| Error::internal(format!("The delivery stream could not be saved: {error}.")))?;
        *shown = Arc::new(meta);
        Ok(Arc::clone(&shown))
    }

    /// Ends its task, and deletes its files.
    pub fn remove(&self) {
        self.gone.send_replace(true);
        self.files.remove();
    }

    pub fn gone(&self) -> watch::Receiver<bool> {
        self.gone.subscribe()
    }
}
