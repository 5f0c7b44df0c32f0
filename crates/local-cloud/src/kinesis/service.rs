//! The engine's door: one call in, one HTTP answer out.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use daemon::Options;

use super::catalog::Catalog;
use super::control::{
    account, capacity, consumers, describe, encryption, lifecycle, listing, monitoring, policy, reshard,
    retention, tags,
};
use super::data::subscribe::Subscriptions;
use super::data::{get, measure, position, put, subscribe};
use super::error::{ApiError, Code, Result};
use super::model::input::Targeted;
use super::model::{Check, Input};
use super::operation::{Operation, Scope};
use super::stream::meta::StreamMeta;
use super::stream::throttle::Bucket;
use super::stream::{Shard, Stream, locked};
use super::wire::{Format, event};
use crate::answer::{answer, identify, request_id, whole};
use crate::authorise::{Permission, arn_of};
use crate::clock::Clock;
use crate::metrics::MetricSink;
use crate::types::{Body, Caller, KeyState, Tags};

/// Looks KMS keys up. `alias/aws/kinesis` is never asked for: it always exists.
pub trait KeyLookup: Send + Sync + 'static {
    /// The state of the key that `key_id` (id, ARN, alias name or alias ARN) means to `caller`.
    fn exists(&self, caller: &Caller, key_id: &str) -> KeyState;
}

/// What the engine is made of.
pub struct ServiceConfig {
    /// Where its files lie; private to it.
    pub data_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where its metrics go.
    pub metrics: Arc<dyn MetricSink>,
    /// Whom it asks for KMS keys.
    pub kms: Arc<dyn KeyLookup>,
    /// How it behaves.
    pub options: Options,
}

/// One request, after HTTP.
#[derive(Debug, Clone)]
pub struct Request {
    /// `X-Amz-Target`, or the bare name of the operation.
    pub target: String,
    /// `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

/// What every operation is told about its request.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who asks.
    pub caller: Caller,
    /// When.
    pub now_ms: i64,
    /// How bodies are written.
    pub format: Format,
}

/// Whom a rate is counted for: the account, or one stream, or one of its shards.
type RateKey = (Operation, Caller, Option<(u64, Option<u32>)>);

/// Rates kept before those that no longer matter are dropped.
const MOST_RATES: usize = 4096;

/// The Kinesis engine.
pub struct Service {
    pub(super) catalog: Catalog,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<dyn MetricSink>,
    pub(super) kms: Arc<dyn KeyLookup>,
    pub(super) options: Options,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) closing: watch::Sender<bool>,
    /// Whose turn it is among the shards of streams that distribute records themselves.
    pub(super) turn: AtomicUsize,
    rates: Mutex<HashMap<RateKey, Bucket>>,
}

/// An answer before it becomes HTTP.
enum Reply {
    Whole(Bytes),
    Events(Body),
}

impl Service {
    /// Opens the engine on its files, completing what an earlier end interrupted.
    ///
    /// # Errors
    /// When a file cannot be read or written, or is damaged; the error names it.
    pub fn open(config: ServiceConfig) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            catalog: Catalog::open(config.data_dir)?,
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

    /// Answers one request. Never fails: what goes wrong is in the answer. Blocks for files and locks; see
    /// [`Operation::may_take_long`].
    pub fn call(&self, caller: Caller, request: Request) -> Response<Body> {
        let format = Format::of(&request.content_type);
        let now_ms = self.clock.now_ms();
        let context = Context {
            caller,
            now_ms,
            format,
        };
        let reply = match Operation::parse(&request.target) {
            Some(operation) => self.dispatch(operation, &context, &request.body),
            None => Err(ApiError::new(
                Code::UnknownOperationException,
                format!("{} is not an operation of Kinesis.", request.target),
            )),
        };
        respond(format, reply)
    }

    /// Ends subscriptions, the only answers that would go on for minutes.
    pub fn end_subscriptions(&self) {
        self.closing.send_replace(true);
    }

    /// Ends subscriptions, and completes deletions. Everything else is on disk already.
    pub fn shutdown(&self) {
        self.end_subscriptions();
        self.catalog.sweep(i64::MAX);
    }

    /// Streams of all accounts and regions.
    pub fn stream_count(&self) -> u64 {
        self.catalog.count(self.clock.now_ms())
    }

    /// The tags of each tagged stream of `caller`, by ARN.
    pub fn tagged_streams(&self, caller: &Caller) -> BTreeMap<String, BTreeMap<String, String>> {
        let now_ms = self.clock.now_ms();
        let streams = self.catalog.list(caller, now_ms);
        let tagged = streams.iter().map(|stream| stream.view(now_ms));
        tagged
            .filter(|view| !view.meta.tags.is_empty())
            .map(|view| {
                let tags = view.meta.tags.iter();
                let tags = tags.map(|(key, value)| (key.clone(), value.clone().unwrap_or_default()));
                (view.meta.arn(), tags.collect())
            })
            .collect()
    }

    /// Deletes streams whose time has come, and records that have expired. Neither is seen any more: calling this every
    /// few minutes only keeps the disk tidy. Blocks.
    pub fn sweep(&self) {
        let now_ms = self.clock.now_ms();
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

    /// When a transition that starts at `now_ms` is over.
    pub(super) fn due(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(i64::try_from(self.options.status_delay.as_millis()).unwrap_or(i64::MAX))
    }

    fn dispatch(&self, operation: Operation, context: &Context, body: &[u8]) -> Result<Reply> {
        use Operation as Op;
        self.admit(operation, context)?;
        let call = Call {
            service: self,
            context,
            body,
        };
        match operation {
            Op::PutRecords => put::put_records(self, context, body).map(Reply::Whole),
            Op::PutRecord => put::put_record(self, context, body).map(Reply::Whole),
            Op::GetRecords => get::get_records(self, context, body).map(Reply::Whole),
            Op::SubscribeToShard => subscribe::subscribe_to_shard(self, context, body).map(Reply::Events),
            Op::GetShardIterator => call.run(position::get_shard_iterator),
            Op::AddTagsToStream => call.quiet(tags::add),
            Op::CreateStream => call.quiet(lifecycle::create_stream),
            Op::DecreaseStreamRetentionPeriod => call.quiet(retention::decrease),
            Op::DeleteResourcePolicy => call.quiet(policy::delete),
            Op::DeleteStream => call.quiet(lifecycle::delete_stream),
            Op::DeregisterStreamConsumer => call.quiet(consumers::deregister),
            Op::DescribeAccountSettings => call.run(account::describe_account_settings),
            Op::DescribeLimits => call.run(account::describe_limits),
            Op::DescribeStream => call.run(describe::describe_stream),
            Op::DescribeStreamConsumer => call.run(consumers::describe),
            Op::DescribeStreamSummary => call.run(describe::describe_stream_summary),
            Op::DisableEnhancedMonitoring => call.run(monitoring::disable),
            Op::EnableEnhancedMonitoring => call.run(monitoring::enable),
            Op::GetResourcePolicy => call.run(policy::get),
            Op::IncreaseStreamRetentionPeriod => call.quiet(retention::increase),
            Op::ListShards => call.run(listing::list_shards),
            Op::ListStreamConsumers => call.run(consumers::list),
            Op::ListStreams => call.run(listing::list_streams),
            Op::ListTagsForResource => call.run(tags::list_for_resource),
            Op::ListTagsForStream => call.run(tags::list_for_stream),
            Op::MergeShards => call.quiet(reshard::merge_shards),
            Op::PutResourcePolicy => call.quiet(policy::put),
            Op::RegisterStreamConsumer => call.run(consumers::register),
            Op::RemoveTagsFromStream => call.quiet(tags::remove),
            Op::SplitShard => call.quiet(reshard::split_shard),
            Op::StartStreamEncryption => call.quiet(encryption::start),
            Op::StopStreamEncryption => call.quiet(encryption::stop),
            Op::TagResource => call.quiet(tags::tag_resource),
            Op::UntagResource => call.quiet(tags::untag_resource),
            Op::UpdateAccountSettings => call.run(account::update_account_settings),
            Op::UpdateMaxRecordSize => call.quiet(capacity::update_max_record_size),
            Op::UpdateShardCount => call.run(reshard::update_shard_count),
            Op::UpdateStreamMode => call.quiet(capacity::update_stream_mode),
            Op::UpdateStreamRecordDistributionStrategy => call.quiet(capacity::update_distribution),
            Op::UpdateStreamWarmThroughput => call.run(capacity::update_warm_throughput),
        }
    }

    /// Counts a call against its account's rate, where rates are enforced.
    fn admit(&self, operation: Operation, context: &Context) -> Result<()> {
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
        let key = (operation, super::catalog::caller_of(meta), Some((meta.id, None)));
        if self.within_rate(key, now_ms) {
            return Ok(());
        }
        let text = format!(
            "Rate exceeded for stream {} under account {}.",
            meta.name, meta.account
        );
        Err(ApiError::limit_exceeded(text))
    }

    /// Counts a GetShardIterator call against its shard's rate, where rates are enforced.
    ///
    /// # Errors
    /// `ProvisionedThroughputExceededException`.
    pub(super) fn admit_iterator(&self, meta: &StreamMeta, shard: &Shard, now_ms: i64) -> Result<()> {
        let caller = super::catalog::caller_of(meta);
        let key = (
            Operation::GetShardIterator,
            caller,
            Some((meta.id, Some(shard.index))),
        );
        if self.within_rate(key, now_ms) {
            return Ok(());
        }
        let text = measure::rate_exceeded(&shard.id, meta);
        Err(ApiError::new(Code::ProvisionedThroughputExceededException, text))
    }

    fn within_rate(&self, key: RateKey, now_ms: i64) -> bool {
        if !self.options.enforce_limits {
            return true;
        }
        let per_second = f64::from(key.0.rate().per_second);
        let mut rates = locked(&self.rates);
        if rates.len() >= MOST_RATES {
            // A full bucket is as good as none.
            rates.retain(|_, bucket| !bucket.is_full(now_ms));
        }
        rates
            .entry(key)
            .or_insert_with(|| Bucket::new(per_second))
            .try_take(1.0, now_ms)
    }
}

/// One request on its way to its operation.
#[derive(Clone, Copy)]
struct Call<'a> {
    service: &'a Service,
    context: &'a Context,
    body: &'a [u8],
}

impl Call<'_> {
    fn input<I: DeserializeOwned + Default + Input>(&self) -> Result<I> {
        let input: I = self.context.format.read(self.body)?;
        Check::run(&input)?;
        Ok(input)
    }

    /// An operation with an output.
    fn run<I, O>(self, operation: impl FnOnce(&Service, &Context, I) -> Result<O>) -> Result<Reply>
    where
        I: DeserializeOwned + Default + Input,
        O: Serialize,
    {
        let output = operation(self.service, self.context, self.input()?)?;
        self.context.format.write(&output).map(Reply::Whole)
    }

    /// An operation that answers with an empty body.
    fn quiet<I>(self, operation: impl FnOnce(&Service, &Context, I) -> Result<()>) -> Result<Reply>
    where
        I: DeserializeOwned + Default + Input,
    {
        operation(self.service, self.context, self.input()?)?;
        Ok(Reply::Whole(Bytes::new()))
    }
}

/// Refuses a request that is only a trial and would have succeeded.
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

#[derive(Serialize)]
struct Failure<'a> {
    #[serde(rename = "__type")]
    kind: &'a str,
    message: &'a str,
}

fn respond(format: Format, reply: Result<Reply>) -> Response<Body> {
    let (status, content_type, body, error) = match reply {
        Ok(Reply::Whole(bytes)) => (200, format.content_type(), whole(bytes), None),
        Ok(Reply::Events(body)) => (200, event::CONTENT_TYPE, body, None),
        Err(error) => {
            if error.code == Code::InternalFailureException {
                tracing::error!(message = error.message, "a request failed");
            }
            let failure = Failure {
                kind: error.code.as_str(),
                message: &error.message,
            };
            let body = format.write(&failure).unwrap_or_default();
            let status = error.code.status();
            (status, format.content_type(), whole(body), Some(error.code))
        }
    };
    let mut response = answer(status, content_type, body);
    identify(&mut response, &request_id());
    if let Some(code) = error {
        response.headers_mut().insert(
            HeaderName::from_static("x-amzn-errortype"),
            HeaderValue::from_static(code.as_str()),
        );
    }
    response
}

/// The engine as a service of the local cloud.
pub(crate) struct Kinesis(pub Arc<Service>);

impl crate::service::Service for Kinesis {
    fn call(self: Arc<Self>, request: crate::service::Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            // The body goes to the engine as it came: one buffer.
            let target = match request.header("x-amz-target") {
                "" => request.target().map_or("", |(_, operation)| operation),
                target => target,
            };
            let (engine, long) = (
                Arc::clone(&self.0),
                Operation::parse(target).is_some_and(Operation::may_take_long),
            );
            let engine_request = Request {
                target: target.to_owned(),
                content_type: request.header(CONTENT_TYPE.as_str()).to_owned(),
                body: request.body,
            };
            let caller = request.caller;
            if !long {
                return engine.call(caller, engine_request);
            }
            let answered = tokio::task::spawn_blocking(move || engine.call(caller, engine_request)).await;
            // A panic there is one here: the front door answers it.
            answered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
        .boxed()
    }

    fn permissions(&self, request: &crate::service::Request) -> Vec<Permission> {
        Permission::of_operation("kinesis", request, |_, input| {
            let arn = ["ConsumerARN", "StreamARN", "ResourceARN"]
                .iter()
                .find_map(|field| input[field].as_str());
            arn.map(str::to_owned).or_else(|| {
                let name = input["StreamName"].as_str()?;
                Some(arn_of(&request.caller, "kinesis", "stream/", name))
            })
        })
    }

    /// PutRecords takes 10 MiB of data and keys (Kinesis API reference). Base64 makes that 13.4 MiB, and JSON adds to it.
    fn max_body(&self) -> usize {
        16 << 20
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        self.0.tagged_streams(caller)
    }

    fn change_tags(
        self: Arc<Self>,
        caller: Caller,
        operation: &'static str,
        input: Value,
    ) -> BoxFuture<'static, std::result::Result<(), (String, String)>> {
        let request = Request {
            target: operation.to_owned(),
            content_type: "application/x-amz-json-1.1".to_owned(),
            body: input.to_string().into(),
        };
        async move {
            let response = self.0.call(caller, request);
            if response.status().is_success() {
                return Ok(());
            }
            let body = response.into_body().collect().await.map(|body| body.to_bytes());
            let error: Value = body
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok())
                .unwrap_or_default();
            let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
            Err((text("__type"), text("message")))
        }
        .boxed()
    }

    fn tick(&self) {
        self.0.sweep();
    }

    fn end_streams(&self) {
        self.0.end_subscriptions();
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }
}
