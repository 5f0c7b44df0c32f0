//! Event source mappings: Kinesis streams read for functions, with AWS's rules of batching and failure.
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | door | [`api`], [`settings`], [`fault`] | the operations on mappings |
//! | tasks | [`mapping`], [`worker`] | a task for each mapping, and one for each shard that has something to read |
//! | rules | [`lane`], [`verdict`], [`filter`], [`event`], [`destination`] | batches, what failure makes of them, what functions and destinations get |
//! | state | [`files`], [`budget`], [`measure`] | settings and places on disk, memory in bytes, metrics |
//!
//! Unlike AWS, which polls a shard once a second, a mapping is woken by what is put: with a batching window of 0 a record
//! is on its way to the function at once. Everything else is as on AWS, where AWS says how it is. What it leaves open:
//! retries pause 100 ms, doubling up to a minute (a second, as long as the function does not run at all); a split batch
//! goes on at once; a partial failure that reports the first record of a batch is a failure of the whole batch, also for
//! bisection; with tumbling windows one batch of a shard is under way at a time.
//!
//! Times come from the [`Clock`]; pauses are tokio's, so that a test can let both pass.

mod api;
mod budget;
mod destination;
mod event;
mod fault;
mod files;
mod filter;
mod lane;
mod mapping;
mod measure;
mod settings;
#[cfg(test)]
mod tests;
mod verdict;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use self::budget::Budget;
use self::files::Files;
use self::mapping::Mapping;
use super::clock::Clock;
use super::deliver::Deliver;
use super::invoke::Invoke;
use super::kinesis::service::Service;
use super::metrics::MetricSink;
use ground::platform;

/// The last result of a mapping that has done nothing.
const NOTHING_YET: &str = "No records processed";
/// The last result after a success.
const OK: &str = "OK";
/// The last result after a failure.
const FAILED: &str = "PROBLEM: Function call failed";

/// What a function's role must allow for its stream to be read. Source: "Configuring Lambda to process records from
/// Amazon Kinesis Data Streams", AWS Lambda developer guide.
const READING: [&str; 5] = [
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:ListShards",
];

/// Whether the function `arn` may read `stream`.
fn may_read(invoke: &dyn Invoke, arn: &str, stream: &str) -> bool {
    READING.iter().all(|action| invoke.may(arn, action, stream))
}

/// What AWS says where it may not.
fn cannot_access(stream: &str) -> String {
    format!(
        "Cannot access stream {stream}. Please ensure the role can perform the GetRecords, GetShardIterator, \
         DescribeStream, ListShards, and ListStreams Actions on your stream in IAM."
    )
}

/// What the mappings are made of.
pub struct MappingsConfig {
    /// Where their files lie; private to them.
    pub data_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where records come from.
    pub kinesis: Arc<Service>,
    /// What runs functions.
    pub invoke: Arc<dyn Invoke>,
    /// What takes discarded batches.
    pub deliver: Arc<dyn Deliver>,
    /// Where their metrics go.
    pub metrics: Arc<dyn MetricSink>,
}

/// All event source mappings.
pub struct Mappings {
    config: MappingsConfig,
    budget: Budget,
    all: RwLock<BTreeMap<String, Arc<Mapping>>>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Mappings {
    /// Opens the mappings, and goes on where an earlier process stopped. Call it inside a tokio runtime, when
    /// functions can be invoked already.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged; the error names it.
    pub fn open(config: MappingsConfig) -> io::Result<Arc<Self>> {
        platform::create_private_dir(&config.data_dir)?;
        let mappings = Arc::new(Self {
            config,
            budget: Budget::default(),
            all: RwLock::default(),
            changing: Mutex::new(()),
        });
        for settings in Files::list(&mappings.config.data_dir)? {
            let files = Files::new(&mappings.config.data_dir, &settings.uuid);
            let places = files.places()?;
            let (uuid, state) = (
                settings.uuid.clone(),
                if settings.enabled { "Enabled" } else { "Disabled" },
            );
            let mapping = Arc::new(Mapping::new(&mappings, settings, files, places, state));
            mappings.insert(uuid, &mapping);
            mapping.start(Arc::downgrade(&mappings));
        }
        Ok(mappings)
    }

    /// Stops at once: what is under way is left, and delivered again after a restart. Call it before functions are
    /// stopped, or their end counts as a failure.
    pub fn shutdown(&self) {
        for mapping in self.all() {
            mapping.abort();
        }
    }

    fn all(&self) -> Vec<Arc<Mapping>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }

    fn by_uuid(&self, uuid: &str) -> Option<Arc<Mapping>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(uuid).cloned()
    }

    fn insert(&self, uuid: String, mapping: &Arc<Mapping>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(uuid, Arc::clone(mapping));
    }

    fn forget(&self, uuid: &str) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(uuid);
    }
}
