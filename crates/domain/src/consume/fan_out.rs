//! Enhanced fan-out: reads shards by SubscribeToShard, and the consumer of a tail that has none.
//!
//! A subscription lasts five minutes. It is renewed from the continuation sequence number of its last event, so nothing is
//! lost or repeated between two.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::subscribe_to_shard::{SubscribeToShardError, SubscribeToShardOutput};
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::timeout;

use super::kinesis::{child_info, tail_record};
use super::{IteratorStart, Page, ReadError};
use crate::context::Context;
use crate::stream::consumers::{Consumer, consumers};
use ground::error::{self, Error, Result};
use ground::platform;

/// Kinesis sends an event at least every few seconds, also without records.
const SILENCE: Duration = Duration::from_secs(30);

/// The subscriptions of one consumer, by shard.
#[derive(Debug)]
pub(super) struct Subscriptions {
    client: Client,
    consumer_arn: String,
    active: Mutex<HashMap<Arc<str>, Subscription>>,
}

#[derive(Debug)]
struct Subscription {
    answer: SubscribeToShardOutput,
    /// Where it goes on.
    token: String,
}

/// Why there is no next event.
pub(super) enum Interruption {
    Subscribe(Box<SdkError<SubscribeToShardError, HttpResponse>>),
    Event(ReadError),
    /// No event came for long.
    Silent,
}

/// A position as the iterator of a subscription.
pub(super) fn token(start: &IteratorStart) -> String {
    match start {
        IteratorStart::TrimHorizon => "trim".to_owned(),
        IteratorStart::Latest => "latest".to_owned(),
        IteratorStart::AtTimestamp(ms) => format!("time:{ms}"),
        IteratorStart::At(number) => format!("at:{number}"),
        IteratorStart::After(number) => format!("after:{number}"),
    }
}

fn starting_position(token: &str) -> Option<StartingPosition> {
    use ShardIteratorType as Kind;
    let (kind, value) = token.split_once(':').unwrap_or((token, ""));
    let position = StartingPosition::builder();
    let position = match kind {
        "trim" => position.r#type(Kind::TrimHorizon),
        "latest" => position.r#type(Kind::Latest),
        "time" => position
            .r#type(Kind::AtTimestamp)
            .timestamp(DateTime::from_millis(value.parse().ok()?)),
        "at" => position.r#type(Kind::AtSequenceNumber).sequence_number(value),
        _ => position.r#type(Kind::AfterSequenceNumber).sequence_number(value),
    };
    position.build().ok()
}

impl Subscriptions {
    pub(super) fn new(client: Client, consumer_arn: String) -> Self {
        Self {
            client,
            consumer_arn,
            active: Mutex::default(),
        }
    }

    /// The next event of `shard_id` after `iterator`, which is a [`token`] or the next iterator of the last page.
    pub(super) async fn next(&self, shard_id: &Arc<str>, iterator: &str) -> Result<Page, Interruption> {
        let known = self.locked().remove(shard_id);
        let mut subscription = match known.filter(|known| known.token == iterator) {
            Some(subscription) => subscription,
            None => self.subscribe(shard_id, iterator).await?,
        };
        loop {
            let event = timeout(SILENCE, subscription.answer.event_stream.recv()).await;
            match event.map_err(|_| Interruption::Silent)? {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                    let page = page(shard_id, event);
                    if let Some(next) = &page.next {
                        subscription.token.clone_from(next);
                        self.locked().insert(Arc::clone(shard_id), subscription);
                    }
                    return Ok(page);
                }
                Ok(Some(_)) => {}
                // Five minutes are over.
                Ok(None) => subscription = self.subscribe(shard_id, &subscription.token).await?,
                Err(error) => return Err(Interruption::Event(event_error(shard_id, error))),
            }
        }
    }

    async fn subscribe(&self, shard_id: &str, token: &str) -> Result<Subscription, Interruption> {
        let call = self.client.subscribe_to_shard().consumer_arn(&self.consumer_arn);
        let call = call
            .shard_id(shard_id)
            .set_starting_position(starting_position(token));
        // A shard without records is silent but for an event every few seconds.
        let config = Builder::default().stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let sent = call.customize().config_override(config).send().await;
        let answer = sent.map_err(|error| Interruption::Subscribe(Box::new(error)))?;
        Ok(Subscription {
            answer,
            token: token.to_owned(),
        })
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Arc<str>, Subscription>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last event of a shard names its children, and no position to continue from.
fn page(shard_id: &Arc<str>, event: SubscribeToShardEvent) -> Page {
    let children = event.child_shards.unwrap_or_default();
    let is_last = !children.is_empty() || event.continuation_sequence_number.is_empty();
    let records = event.records.into_iter();
    Page {
        records: records.map(|record| tail_record(shard_id, record)).collect(),
        next: (!is_last).then(|| token(&IteratorStart::After(event.continuation_sequence_number))),
        behind_ms: Some(event.millis_behind_latest),
        children: children.into_iter().map(child_info).collect(),
        damaged: Vec::new(),
    }
}

fn event_error<R: std::fmt::Debug + Send + Sync + 'static>(
    shard_id: &str,
    failure: SdkError<SubscribeToShardEventStreamError, R>,
) -> ReadError {
    let what = format!("the subscription to {shard_id} failed");
    let Some(service) = failure.as_service_error() else {
        return ReadError::Transient(Error::unreachable(what).cause(failure));
    };
    let code = service.code().unwrap_or("UnknownError");
    let error = Error::failed(what).cause(format!("{code}: {}", service.message().unwrap_or_default()));
    match code {
        "ResourceInUseException" | "LimitExceededException" | "KMSThrottlingException" => {
            ReadError::Throttled(error)
        }
        "InternalFailureException" | "InternalFailure" | "UnknownError" => ReadError::Transient(error),
        _ => ReadError::Fatal(error.with_code(code)),
    }
}

/// The names of consumers that a tail registers by itself: `streamctl-tail-HOST-PID`.
const PREFIX: &str = "streamctl-tail-";

/// A name for the consumer of this process.
pub fn own_name() -> String {
    format!("{PREFIX}{}-{}", host(), std::process::id())
}

/// A name for this process as a member of a group, which no other process has or had.
pub fn worker_name() -> String {
    format!("{}-{}-{:08x}", host(), std::process::id(), rand::random::<u32>())
}

/// This machine's name as part of the name of a consumer. Source: RegisterStreamConsumer, `ConsumerName`.
fn host() -> String {
    let host = platform::host_name().unwrap_or_else(|| "host".to_owned());
    let safe = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.');
    safe.take(64).collect()
}

/// Consumers that tails of this machine registered and did not deregister, since they were killed.
///
/// # Errors
/// Exit 1 when the consumers cannot be listed.
pub async fn left_over(ctx: &Context, stream_arn: &str) -> Result<Vec<Consumer>> {
    let all = consumers(ctx, stream_arn).await?;
    Ok(all.into_iter().filter(|one| is_left_over(&one.name)).collect())
}

fn is_left_over(name: &str) -> bool {
    let prefix = format!("{PREFIX}{}-", host());
    let pid = name.strip_prefix(&prefix).and_then(|pid| pid.parse::<u32>().ok());
    pid.is_some_and(|pid| pid != std::process::id() && platform::is_running(pid) == Some(false))
}

/// Deregisters the consumer with the ARN `consumer_arn`. Does not wait until it is gone.
///
/// # Errors
/// Exit 1 when the call fails.
pub async fn remove(ctx: &Context, consumer_arn: &str) -> Result<()> {
    let call = ctx
        .kinesis()
        .deregister_stream_consumer()
        .consumer_arn(consumer_arn);
    // "arn:…:stream/NAME/consumer/NAME:TIME". Source: `ConsumerARN`, Kinesis API reference.
    let (stream, consumer) = consumer_arn.split_once("/consumer/").unwrap_or_default();
    let name = consumer.split(':').next().unwrap_or_default();
    match call.send().await {
        Ok(_) => Ok(()),
        Err(e) if e.code() == Some("ResourceNotFoundException") => Ok(()),
        Err(e) => Err(
            error::aws::failed(format!("could not deregister the consumer {consumer_arn}"), e).hint(format!(
                "`streamctl consumer deregister {stream} {name}` tries again"
            )),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_positions() {
        let position = |start| starting_position(&token(&start)).unwrap();
        let after = position(IteratorStart::After("495".into()));
        assert_eq!(after.r#type(), &ShardIteratorType::AfterSequenceNumber);
        assert_eq!(after.sequence_number(), Some("495"));
        let time = position(IteratorStart::AtTimestamp(1_795_255_200_250));
        assert_eq!(time.r#type(), &ShardIteratorType::AtTimestamp);
        assert_eq!(time.timestamp(), Some(&DateTime::from_millis(1_795_255_200_250)));
        let latest = position(IteratorStart::Latest);
        assert_eq!(latest.r#type(), &ShardIteratorType::Latest);
        assert_eq!(latest.sequence_number(), None);
    }

    #[test]
    fn the_consumer_of_a_process_that_ended_is_left_over() {
        assert!(!is_left_over(&own_name()));
        assert!(!is_left_over("analytics"));
        assert!(!is_left_over(&format!("{PREFIX}another-host-{}", u32::MAX)));
        // No process has this id. Source: proc(5), `pid_max`.
        assert!(is_left_over(&format!("{PREFIX}{}-{}", host(), 1 << 23)));
        crate::stream::consumers::check_consumer_name(&own_name()).unwrap();
    }
}
