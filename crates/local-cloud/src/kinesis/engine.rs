//! The state of the engine, which the operations in [`super::control`] and [`super::data`] work on. It knows none of
//! them.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use daemon::Options;
use daemon::protocol::Damage;

use super::catalog::{self, Catalog};
use super::channels::{Channels, Destination};
use super::error::{ApiError, Code, Result};
use super::model::input::Targeted;
use super::operation::{Operation, Scope};
use super::stream::meta::StreamMeta;
use super::stream::throttle::Bucket;
use super::stream::{Stream, locked};
use super::subscriptions::Subscriptions;
use super::wire::Format;
use crate::clock::Clock;
use crate::metrics::MetricSink;
use crate::types::{Caller, KeyState};

/// Looks up KMS keys. `alias/aws/kinesis` is never looked up: it always exists.
pub trait KeyLookup: Send + Sync + 'static {
    /// The state of the key with the id, ARN, alias name or alias ARN `key_id`, in the account of `caller`.
    fn exists(&self, caller: &Caller, key_id: &str) -> KeyState;
}

pub struct EngineConfig {
    /// A directory that nothing else uses.
    pub data_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<dyn MetricSink>,
    pub kms: Arc<dyn KeyLookup>,
    /// Where channels deliver.
    pub destination: Arc<dyn Destination>,
    pub options: Options,
}

/// The context of a request, for its operation.
#[derive(Debug, Clone)]
pub struct Context {
    pub caller: Caller,
    /// The time of the request.
    pub now_ms: i64,
    /// Format of the bodies.
    pub format: Format,
}

/// The scope of a rate: an account, a stream or a shard.
pub(super) type RateKey = (Operation, Caller, Option<(u64, Option<u32>)>);

/// Maximum number of rates before full ones are removed.
const MOST_RATES: usize = 4096;

/// The Kinesis engine.
pub struct Engine {
    pub(super) catalog: Catalog,
    pub(super) channels: Channels,
    pub(super) destination: Arc<dyn Destination>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<dyn MetricSink>,
    pub(super) kms: Arc<dyn KeyLookup>,
    pub(super) options: Options,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) closing: watch::Sender<bool>,
    /// The next shard of streams that distribute records themselves.
    pub(super) turn: AtomicUsize,
    rates: Mutex<HashMap<RateKey, Bucket>>,
}

impl Engine {
    /// Opens the engine on its files, and completes operations that the end of an earlier process interrupted. Damaged
    /// files are left as they are, and reported by [`Engine::damage`].
    ///
    /// # Errors
    /// When a directory cannot be made or read; the error names it.
    pub fn open(config: EngineConfig) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            channels: Channels::open(config.data_dir.join("channels"))?,
            catalog: Catalog::open(config.data_dir)?,
            destination: config.destination,
            clock: config.clock,
            metrics: config.metrics,
            kms: config.kms,
            options: config.options,
            subscriptions: Arc::default(),
            closing: watch::Sender::new(false),
            turn: AtomicUsize::new(0),
            rates: Mutex::default(),
        }))
    }

    /// Ends subscriptions, the only responses that would go on for minutes.
    pub fn end_subscriptions(&self) {
        self.closing.send_replace(true);
    }

    /// Ends subscriptions, and begins deletions, which the next start completes. Everything else is on disk already.
    pub fn shutdown(&self) {
        self.end_subscriptions();
        self.catalog.sweep(i64::MAX);
        self.channels.sweep(i64::MAX);
    }

    /// Streams of all accounts and regions.
    pub fn stream_count(&self) -> u64 {
        self.catalog.count(self.clock.now_ms())
    }

    /// The damaged files of all accounts and regions.
    pub fn damage(&self) -> Vec<Damage> {
        let of_channels = self.channels.damage().iter().map(|file| (None, file.clone()));
        let found = self.catalog.damage().into_iter().chain(of_channels);
        found
            .map(|(resource, file)| Damage {
                file: file.path.display().to_string(),
                resource,
                records: file.records,
                message: file.what,
            })
            .collect()
    }

    /// Scales on-demand streams, and deletes the files of deleted streams and of expired records, which no request sees
    /// any more. Blocks.
    pub fn sweep(&self) {
        let now_ms = self.clock.now_ms();
        self.scale_on_demand(now_ms);
        self.catalog.sweep(now_ms);
        self.catalog.trim(now_ms);
    }

    /// The stream that an input names.
    ///
    /// # Errors
    /// Those of [`Catalog::find`].
    pub(super) fn find(&self, context: &Context, input: &impl Targeted) -> Result<Arc<Stream>> {
        self.catalog.find(&context.caller, input.target(), context.now_ms)
    }

    /// The end of a transition that starts at `now_ms`.
    pub(super) fn due(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(i64::try_from(self.options.status_delay.as_millis()).unwrap_or(i64::MAX))
    }

    /// Counts a call against its account's rate, where rates are enforced.
    pub(super) fn admit(&self, operation: Operation, context: &Context) -> Result<()> {
        let key = (operation, context.caller.clone(), None);
        let fits = operation.rate().scope != Scope::Account || self.within_rate(key, context.now_ms);
        if fits {
            return Ok(());
        }
        Err(ApiError::limit_exceeded(format!(
            "Rate exceeded for account {}.",
            context.caller.account
        )))
    }

    /// Counts a call against its stream's rate, where rates are enforced.
    ///
    /// # Errors
    /// `LimitExceededException`.
    pub(super) fn admit_on_stream(&self, operation: Operation, meta: &StreamMeta, now_ms: i64) -> Result<()> {
        let key = (operation, catalog::caller_of(meta), Some((meta.id, None)));
        if self.within_rate(key, now_ms) {
            return Ok(());
        }
        let text = format!(
            "Rate exceeded for stream {} under account {}.",
            meta.name, meta.account
        );
        Err(ApiError::limit_exceeded(text))
    }

    pub(super) fn within_rate(&self, key: RateKey, now_ms: i64) -> bool {
        if !self.options.enforce_limits {
            return true;
        }
        let per_second = f64::from(key.0.rate().per_second);
        let mut rates = locked(&self.rates);
        if rates.len() >= MOST_RATES {
            // A full bucket is the same as none.
            rates.retain(|_, bucket| !bucket.is_full(now_ms));
        }
        rates
            .entry(key)
            .or_insert_with(|| Bucket::new(per_second))
            .try_take(1.0, now_ms)
    }
}

/// Refuses a request with `DryRun` that would have succeeded.
///
/// # Errors
/// `DryRunOperationException`.
pub(super) fn dry_run(wanted: Option<bool>) -> Result<()> {
    if wanted != Some(true) {
        return Ok(());
    }
    let text = "Request would have succeeded, but the DryRun parameter was specified.";
    Err(ApiError::new(Code::DryRunOperationException, text))
}
