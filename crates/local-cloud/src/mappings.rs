//! Event source mappings: they read Kinesis streams for functions, with AWS's rules for batches and failures.
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | operations | [`api`], [`settings`], [`error`] | the operations on mappings |
//! | tasks | [`mapping`], [`worker`] | one task for each mapping, and one for each shard with records to read |
//! | rules | [`lane`], [`batch_result`], [`filter`], [`event`], [`destination`] | batches, failures, events, targets |
//! | state | [`files`], [`budget`], [`measure`] | settings and checkpoints on disk, memory limit, metrics |
//!
//! Unlike AWS, which polls a shard once a second, a mapping wakes as soon as records are put: with a batching window of
//! 0 a record goes to the function immediately. Otherwise the behaviour follows AWS's documentation. Where that is
//! silent: the backoff between retries starts at 100 ms and doubles up to a minute (up to a second while the function
//! does not run); a split batch continues immediately; a partial failure that reports the first record of a batch is a
//! failure of the whole batch, also for bisection; with tumbling windows a shard has one batch in progress at a time.
//!
//! Times come from the [`Clock`], pauses from tokio, so that a test can control both.

mod api;
mod batch_result;
mod budget;
mod destination;
mod error;
mod event;
mod files;
mod lane;
mod mapping;
mod measure;
mod settings;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use self::budget::Budget;
use self::files::Files;
use self::mapping::Mapping;
use super::clock::Clock;
use super::deliver::Deliver;
use super::invoke::Invoke;
use super::kinesis::engine::Engine;
use super::metrics::MetricSink;
use daemon::protocol::Damage;
use ground::platform;

/// Last result of a mapping that has processed nothing.
const NOTHING_YET: &str = "No records processed";
const OK: &str = "OK";
const FAILED: &str = "PROBLEM: Function call failed";

/// Permissions that a function's role needs to read its stream. Source: "Configuring Lambda to process records from
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

/// AWS's message if it may not.
fn cannot_access(stream: &str) -> String {
    format!(
        "Cannot access stream {stream}. Please ensure the role can perform the GetRecords, GetShardIterator, \
         DescribeStream, ListShards, and ListStreams Actions on your stream in IAM."
    )
}

pub struct MappingsConfig {
    /// Directory of the mappings' files. Nothing else uses it.
    pub data_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub kinesis: Arc<Engine>,
    pub invoke: Arc<dyn Invoke>,
    /// Receives discarded batches.
    pub deliver: Arc<dyn Deliver>,
    pub metrics: Arc<dyn MetricSink>,
    /// Maximum filters of a mapping.
    pub max_filters: usize,
}

pub struct Mappings {
    config: MappingsConfig,
    budget: Budget,
    all: RwLock<BTreeMap<String, Arc<Mapping>>>,
    damage: Mutex<Vec<Damage>>,
    /// Held during a change: one change at a time.
    changing: Mutex<()>,
}

impl Mappings {
    /// Opens the mappings and continues where an earlier process stopped. Call it inside a tokio runtime, and only when
    /// functions can be invoked.
    ///
    /// # Errors
    /// If the directory cannot be read. Damaged files are reported by [`Mappings::damage`].
    pub fn open(config: MappingsConfig) -> io::Result<Arc<Self>> {
        platform::create_private_dir(&config.data_dir)?;
        let mappings = Arc::new(Self {
            config,
            budget: Budget::default(),
            all: RwLock::default(),
            damage: Mutex::default(),
            changing: Mutex::new(()),
        });
        platform::remove_unfinished(&mappings.config.data_dir)?;
        for (path, settings) in Files::list(&mappings.config.data_dir)? {
            let opened = settings.and_then(|settings| {
                let files = Files::new(&mappings.config.data_dir, &settings.uuid);
                Ok((files.checkpoints()?, files, settings))
            });
            let (checkpoints, files, settings) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    mappings.report(
                        &path,
                        &format!("the mapping cannot be read and does not run: {error}"),
                    );
                    continue;
                }
            };
            if checkpoints.damaged_lines > 0 {
                let text = "a checkpoint of the mapping is damaged; it processes some records again";
                mappings.report(&path, text);
            }
            let (uuid, state) = (
                settings.uuid.clone(),
                if settings.enabled { "Enabled" } else { "Disabled" },
            );
            let mapping = Arc::new(Mapping::new(&mappings, settings, files, checkpoints, state));
            mappings.insert(uuid, &mapping);
            mapping.start(Arc::downgrade(&mappings));
        }
        Ok(mappings)
    }

    /// Stops immediately. Batches in progress are delivered again after a restart. Call it before functions are
    /// stopped: otherwise the end of an invocation counts as a failure.
    pub fn shutdown(&self) {
        for mapping in self.all() {
            mapping.abort();
        }
    }

    fn report(&self, path: &Path, message: &str) {
        tracing::warn!(path = %path.display(), "{message}");
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        damage.push(Damage {
            file: path.display().to_string(),
            resource: None,
            records: 0,
            message: message.to_owned(),
        });
    }

    /// The damaged files.
    pub fn damage(&self) -> Vec<Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
