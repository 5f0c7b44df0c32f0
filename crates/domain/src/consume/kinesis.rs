//! [`ShardSource`] over the AWS SDK.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Record, Shard, ShardIteratorType};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;

use super::damaged::salvage;
use super::fan_out::{self, Interruption, Subscriptions};
use super::{Appended, IteratorStart, Page, ReadError, ShardInfo, ShardSource, TailRecord};
use crate::context::date::AnswerDate;
use crate::context::{Context, Renewal};
use crate::stream::reference::name_or_arn;
use crate::stream::shards::full_shard_id;
use crate::wire::{CallError, DataPlane, GetRecords, ReadChild, ReadRecord, ReadRecords};
use ground::error::{self, aws::Class};

#[derive(Debug, Clone)]
pub struct KinesisShards {
    client: Client,
    calls: GetRecords,
    stream: String,
    /// Reads by SubscribeToShard in place of GetRecords.
    fan_out: Option<Arc<Subscriptions>>,
    /// Of the last answer to ListShards.
    date: AnswerDate,
    /// Loads the credentials of the calls anew.
    renewal: Renewal,
}

impl KinesisShards {
    /// Reads `stream`, a name or an ARN. A call is made once: the engine retries by shard.
    pub fn new(context: &Context, stream: impl Into<String>) -> Self {
        let client = context.kinesis_once();
        Self::with(client, &context.data_plane(), context.renewal(), stream.into())
    }

    /// As [`KinesisShards::new`], for a caller without retries of its own: those of the SDK list shards.
    pub fn retrying(context: &Context, stream: impl Into<String>) -> Self {
        let client = context.kinesis().clone();
        Self::with(client, &context.data_plane(), context.renewal(), stream.into())
    }

    fn with(client: Client, data_plane: &DataPlane, renewal: Renewal, stream: String) -> Self {
        Self {
            client,
            calls: GetRecords::new(data_plane),
            stream,
            fan_out: None,
            date: AnswerDate::default(),
            renewal,
        }
    }

    /// Reads as the registered consumer with the ARN `consumer_arn` (enhanced fan-out).
    #[must_use]
    pub fn fan_out(self, consumer_arn: impl Into<String>) -> Self {
        let subscriptions = Subscriptions::new(self.client.clone(), consumer_arn.into());
        Self {
            fan_out: Some(Arc::new(subscriptions)),
            ..self
        }
    }

    fn failure<E>(&self, failure: SdkError<E, HttpResponse>) -> ReadError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let code = failure.as_service_error().and_then(ProvideErrorMetadata::code);
        if code == Some("ExpiredIteratorException") {
            return ReadError::Expired;
        }
        // A listing that outlives its token starts again. Credentials that worked before may have been renewed where they
        // come from.
        let worked = self.date.time_ms().is_some();
        let class = match code {
            Some("ExpiredNextTokenException") => Class::Transient,
            _ if worked && Renewal::is_due(&failure) => {
                self.renewal.forget();
                Class::Transient
            }
            _ => error::aws::class(&failure),
        };
        let is_damaged = matches!(failure, SdkError::ResponseError(_));
        let error = error::aws::failed(format!("could not read stream {}", self.stream), failure);
        if is_damaged {
            return ReadError::Damaged { error, page: None };
        }
        match class {
            Class::Throttle => ReadError::Throttled(error),
            class if class.is_outage() => ReadError::Transient(error),
            _ => ReadError::Fatal(error),
        }
    }
}

impl ShardSource for KinesisShards {
    fn stream(&self) -> &str {
        &self.stream
    }

    async fn shards(&self) -> Result<Vec<ShardInfo>, ReadError> {
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let call = self.client.list_shards();
            // A token and a name exclude each other.
            let call = match token.take() {
                Some(token) => call.next_token(token),
                None => {
                    let (by_name, by_arn) = name_or_arn(&self.stream);
                    call.set_stream_name(by_name).set_stream_arn(by_arn)
                }
            };
            let call = call.customize().interceptor(self.date.clone());
            let answer = call.send().await.map_err(|e| self.failure(e))?;
            shards.extend(answer.shards.unwrap_or_default().into_iter().map(shard_info));
            match answer.next_token {
                Some(next) => token = Some(next),
                None => return Ok(shards),
            }
        }
    }

    fn time_ms(&self) -> Option<i64> {
        // The header has whole seconds, rounded down.
        self.date.time_ms().map(|time| time.saturating_add(999))
    }

    fn waits(&self) -> bool {
        self.fan_out.is_some()
    }

    /// Only the local cloud answers the header. DescribeStreamSummary is what AWS would answer without it.
    async fn appended(&self, since: Option<&str>) -> Result<Option<Appended>, ReadError> {
        let (by_name, by_arn) = name_or_arn(&self.stream);
        let told = Arc::new(Mutex::new(None));
        let ask = Ask {
            since: since.unwrap_or_default().to_owned(),
            told: Arc::clone(&told),
        };
        let call = self.client.describe_stream_summary();
        let call = call.set_stream_name(by_name).set_stream_arn(by_arn);
        let sent = call.customize().interceptor(ask).send().await;
        sent.map_err(|e| self.failure(e))?;
        let told = told.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(told.and_then(|told| appended(&told)))
    }

    async fn iterator(&self, shard_id: &str, start: &IteratorStart) -> Result<String, ReadError> {
        if self.fan_out.is_some() {
            return Ok(fan_out::token(start));
        }
        let (by_name, by_arn) = name_or_arn(&self.stream);
        let call = self.client.get_shard_iterator().set_stream_name(by_name);
        let call = call.set_stream_arn(by_arn).shard_id(shard_id);
        let call = match start {
            IteratorStart::TrimHorizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            IteratorStart::Latest => call.shard_iterator_type(ShardIteratorType::Latest),
            IteratorStart::AtTimestamp(ms) => call
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(*ms)),
            IteratorStart::At(number) => call
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number),
            IteratorStart::After(number) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number),
        };
        let answer = call.send().await.map_err(|e| self.failure(e))?;
        answer.shard_iterator.ok_or_else(|| {
            ReadError::Fatal(error::Error::failed(
                "the endpoint's answer holds no shard iterator",
            ))
        })
    }

    async fn page(&self, shard_id: &Arc<str>, iterator: &str, limit: i32) -> Result<Page, ReadError> {
        if let Some(fan_out) = &self.fan_out {
            return fan_out.next(shard_id, iterator).await.map_err(|e| match e {
                Interruption::Subscribe(e) if e.code() == Some("ResourceInUseException") => {
                    ReadError::Throttled(error::aws::failed(
                        format!("could not subscribe to {shard_id}"),
                        *e,
                    ))
                }
                Interruption::Subscribe(e) => self.failure(*e),
                Interruption::Event(e) => e,
                Interruption::Silent => ReadError::Transient(error::Error::unreachable(format!(
                    "the subscription to {shard_id} stopped sending"
                ))),
            });
        }
        let sent = self.calls.send(iterator, limit).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(SdkError::ResponseError(answer)) => {
                let page = answer.raw().body().bytes();
                let page = page.and_then(|body| salvage(shard_id, body)).map(Box::new);
                let error = CallError::ResponseError(answer);
                let error = error::aws::failed(format!("could not read {shard_id}"), error);
                return Err(ReadError::Damaged { error, page });
            }
            Err(error) => return Err(self.failure(error)),
        };
        Ok(page(shard_id, answer))
    }
}

fn page(shard_id: &Arc<str>, answer: ReadRecords) -> Page {
    let record = |record: ReadRecord| TailRecord {
        shard_id: Arc::clone(shard_id),
        sequence_number: record.sequence_number,
        arrival_ms: record.arrival_ms,
        partition_key: record.partition_key,
        data: record.data,
        encryption: record.encryption,
    };
    let child = |child: ReadChild| ShardInfo {
        id: child.id,
        parents: child.parents,
        open: true,
        hash_keys: child.hash_keys,
    };
    Page {
        records: answer.records.into_iter().map(record).collect(),
        next: answer.next,
        behind_ms: answer.behind_ms,
        children: answer.children.into_iter().map(child).collect(),
        damaged: Vec::new(),
    }
}

/// The header with which the local cloud is asked to wait for new records, and those of its answer.
const WAIT: &str = "x-streamctl-wait-after";
const MARK: &str = "x-streamctl-mark";
const APPENDED: &str = "x-streamctl-appended";

/// Asks the local cloud for shards with new records.
#[derive(Debug)]
struct Ask {
    since: String,
    /// The mark, and the numbers of the shards.
    told: Arc<Mutex<Option<(String, String)>>>,
}

impl Intercept for Ask {
    fn name(&self) -> &'static str {
        "Ask"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context
            .request_mut()
            .headers_mut()
            .try_insert(WAIT, self.since.clone())?;
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let told = headers
            .get(MARK)
            .map(|mark| (mark.to_owned(), headers.get(APPENDED).unwrap_or("*").to_owned()));
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
        Ok(())
    }
}

/// `*` for any shard, or the numbers of shards.
fn appended((mark, shards): &(String, String)) -> Option<Appended> {
    let shards = match shards.as_str() {
        "*" => None,
        "" => Some(Vec::new()),
        numbers => Some(
            numbers
                .split(',')
                .map(full_shard_id)
                .collect::<Option<Vec<_>>>()?,
        ),
    };
    Some(Appended {
        mark: mark.clone(),
        shards,
    })
}

fn shard_info(shard: Shard) -> ShardInfo {
    ShardInfo {
        hash_keys: hash_keys(shard.hash_key_range.as_ref()),
        open: shard
            .sequence_number_range
            .is_none_or(|range| range.ending_sequence_number.is_none()),
        parents: shard
            .parent_shard_id
            .into_iter()
            .chain(shard.adjacent_parent_shard_id)
            .collect(),
        id: shard.shard_id,
    }
}

fn hash_keys(range: Option<&HashKeyRange>) -> Option<(u128, u128)> {
    let range = range?;
    Some((
        range.starting_hash_key.parse().ok()?,
        range.ending_hash_key.parse().ok()?,
    ))
}

pub(super) fn child_info(child: ChildShard) -> ShardInfo {
    ShardInfo {
        hash_keys: hash_keys(child.hash_key_range.as_ref()),
        id: child.shard_id,
        parents: child.parent_shards,
        open: true,
    }
}

pub(super) fn tail_record(shard_id: &Arc<str>, record: Record) -> TailRecord {
    TailRecord {
        shard_id: Arc::clone(shard_id),
        sequence_number: record.sequence_number,
        arrival_ms: record
            .approximate_arrival_timestamp
            .and_then(|time| time.to_millis().ok()),
        partition_key: record.partition_key.unwrap_or_default(),
        data: Bytes::from(record.data.into_inner()),
        encryption: record
            .encryption_type
            .filter(|kind| *kind != aws_sdk_kinesis::types::EncryptionType::None)
            .map(|kind| kind.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests;
