//! The dispatch of requests to operations, and the engine as a service of the local cloud.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::control::{
    account, capacity, channels, consumers, describe, encryption, lifecycle, listing, monitoring, policy,
    reshard, retention, tags,
};
use super::data::{get, position, put, subscribe, wait};
use super::engine::{Context, Engine};
use super::error::{ApiError, Code, Result};
use super::iterator::ShardIterator;
use super::model::{Check, Input};
use super::operation::Operation;
use super::wire::{Format, event};
use crate::answer::{answer, identify, request_id, whole};
use crate::service::{self, Permission, Service, arn_of};
use crate::types::{Body, Caller, Tags};
use daemon::protocol::Damage;

/// A request without HTTP.
#[derive(Debug, Clone)]
pub struct Request {
    /// `X-Amz-Target`, or the name of the operation.
    pub target: String,
    pub content_type: String,
    pub body: Bytes,
}

/// The output of an operation.
enum Reply {
    Whole(Bytes),
    Events(Body),
}

impl Engine {
    /// Answers one request. Errors are answers too. Blocks for files and locks; see [`Operation::may_take_long`].
    pub fn call(&self, caller: Caller, request: Request) -> Response<Body> {
        let format = Format::of(&request.content_type);
        let now_ms = self.clock.now_ms();
        let context = Context {
            caller,
            now_ms,
            format,
        };
        let reply = match Operation::of_target(&request.target) {
            Some(operation) => self.dispatch(operation, &context, &request.body),
            None => Err(ApiError::new(
                Code::UnknownOperationException,
                format!("{} is not an operation of Kinesis.", request.target),
            )),
        };
        respond(format, reply)
    }

    fn dispatch(&self, operation: Operation, context: &Context, body: &[u8]) -> Result<Reply> {
        use Operation as Op;
        self.admit(operation, context)?;
        let call = Call {
            engine: self,
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
            Op::CreateChannel => call.run(channels::create),
            Op::CreateStream => call.quiet(lifecycle::create_stream),
            Op::DecreaseStreamRetentionPeriod => call.quiet(retention::decrease),
            Op::DeleteChannel => call.quiet(channels::delete),
            Op::DeleteResourcePolicy => call.quiet(policy::delete),
            Op::DeleteStream => call.quiet(lifecycle::delete_stream),
            Op::DeregisterStreamConsumer => call.quiet(consumers::deregister),
            Op::DescribeAccountSettings => call.run(account::describe_account_settings),
            Op::DescribeChannel => call.run(channels::describe),
            Op::DescribeLimits => call.run(account::describe_limits),
            Op::DescribeStream => call.run(describe::describe_stream),
            Op::DescribeStreamConsumer => call.run(consumers::describe),
            Op::DescribeStreamSummary => call.run(describe::describe_stream_summary),
            Op::DisableEnhancedMonitoring => call.run(monitoring::disable),
            Op::EnableEnhancedMonitoring => call.run(monitoring::enable),
            Op::GetResourcePolicy => call.run(policy::get),
            Op::IncreaseStreamRetentionPeriod => call.quiet(retention::increase),
            Op::ListChannels => call.run(channels::list),
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
            Op::UpdateChannel => call.run(channels::update),
            Op::UpdateMaxRecordSize => call.quiet(capacity::update_max_record_size),
            Op::UpdateShardCount => call.run(reshard::update_shard_count),
            Op::UpdateStreamMode => call.quiet(capacity::update_stream_mode),
            Op::UpdateStreamRecordDistributionStrategy => call.quiet(capacity::update_distribution),
            Op::UpdateStreamWarmThroughput => call.run(capacity::update_warm_throughput),
        }
    }
}

/// A request and the state that its operation works on.
#[derive(Clone, Copy)]
struct Call<'a> {
    engine: &'a Engine,
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
    fn run<I, O>(self, operation: impl FnOnce(&Engine, &Context, I) -> Result<O>) -> Result<Reply>
    where
        I: DeserializeOwned + Default + Input,
        O: Serialize,
    {
        let output = operation(self.engine, self.context, self.input()?)?;
        self.context.format.write(&output).map(Reply::Whole)
    }

    /// An operation with an empty output.
    fn quiet<I>(self, operation: impl FnOnce(&Engine, &Context, I) -> Result<()>) -> Result<Reply>
    where
        I: DeserializeOwned + Default + Input,
    {
        operation(self.engine, self.context, self.input()?)?;
        Ok(Reply::Whole(Bytes::new()))
    }
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
pub(crate) struct Kinesis(pub Arc<Engine>);

impl Service for Kinesis {
    fn call(self: Arc<Self>, request: service::Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            // The body goes to the engine as it came: one buffer.
            let target = match request.header("x-amz-target") {
                "" => request.target().map_or("", |(_, operation)| operation),
                target => target,
            };
            let engine = Arc::clone(&self.0);
            let operation = Operation::of_target(target);
            let long = operation.is_some_and(Operation::may_take_long);
            let after = request.parts.headers.get(wait::WAIT);
            let after = after.and_then(|after| after.to_str().ok()).map(str::to_owned);
            let engine_request = Request {
                target: target.to_owned(),
                content_type: request.header(CONTENT_TYPE.as_str()).to_owned(),
                body: request.body,
            };
            let caller = request.caller;
            if let Some(after) = after.filter(|_| operation == Some(Operation::DescribeStreamSummary)) {
                return wait::describe(engine, caller, engine_request, after).await;
            }
            if !long {
                return engine.call(caller, engine_request);
            }
            let answered = tokio::task::spawn_blocking(move || engine.call(caller, engine_request)).await;
            // A panic there is one here: the front door answers it.
            answered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
        .boxed()
    }

    /// Waiting for records takes some seconds.
    fn takes_minutes(&self, request: &service::Request) -> bool {
        !request.header(wait::WAIT).is_empty()
    }

    fn permissions(&self, request: &service::Request) -> Vec<Permission> {
        let mut permissions = Permission::of_operation("kinesis", request, |operation, input| {
            let arn = ["ConsumerARN", "StreamARN", "ResourceARN", "ChannelARN"]
                .iter()
                .find_map(|field| input[field].as_str());
            // Source: "IAM permissions for data delivery", developer guide.
            let arn = arn.or_else(|| input["StreamConfigurationList"][0]["StreamARN"].as_str());
            if operation == "ListChannels" {
                return Some(arn_of(&request.caller, "kinesis", "stream/", "*"));
            }
            let named = || {
                let name = input["StreamName"].as_str()?;
                Some(arn_of(&request.caller, "kinesis", "stream/", name))
            };
            let iterated = || {
                let iterator = ShardIterator::decode(input["ShardIterator"].as_str()?)?;
                let now_ms = self.0.clock.now_ms();
                let stream = self
                    .0
                    .catalog
                    .by_id(&request.caller, iterator.stream_id, now_ms)?;
                Some(stream.view(now_ms).meta.arn())
            };
            arn.map(str::to_owned).or_else(named).or_else(iterated)
        });
        let associated = permissions
            .first()
            .filter(|first| first.action == "kinesis:CreateChannel");
        permissions.extend(associated.cloned().map(|first| Permission {
            action: "kinesis:AssociateStreamsWithChannel".to_owned(),
            ..first
        }));
        permissions
    }

    /// PutRecords takes 10 MiB of data and keys (Kinesis API reference). Base64 makes that 13.4 MiB, and JSON adds to
    /// it.
    fn max_body(&self) -> usize {
        16 << 20
    }

    /// GetRecords returns 10 MiB of data (Kinesis API reference), in base64.
    fn max_response(&self, request: &service::Request) -> usize {
        match request.target() {
            Some((_, "GetRecords")) => 14 << 20,
            _ => 0,
        }
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        let now_ms = self.0.clock.now_ms();
        let streams = self.0.catalog.list(caller, now_ms);
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

    fn damage(&self) -> Vec<Damage> {
        self.0.damage()
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
