//! [`ShardSource`] over the AWS SDK.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ChildShard, Record, Shard, ShardIteratorType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;

use super::{IteratorStart, Page, ReadError, ShardInfo, ShardSource, TailRecord};
use crate::context::date::AnswerDate;
use crate::stream::reference::name_or_arn;
use ground::error::{self, aws::Class};

#[derive(Debug, Clone)]
pub struct KinesisShards {
    client: Client,
    stream: String,
    /// Of the last answer to ListShards.
    date: AnswerDate,
}

impl KinesisShards {
    /// Reads `stream` with `client`, which must not retry: the engine retries by shard.
    pub fn new(client: Client, stream: impl Into<String>) -> Self {
        Self {
            client,
            stream: stream.into(),
            date: AnswerDate::default(),
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
        // A listing that outlives its token starts again.
        let class = match code {
            Some("ExpiredNextTokenException") => Class::Transient,
            _ => error::aws::class(&failure),
        };
        let error = error::aws::failed(format!("could not read stream {}", self.stream), failure);
        match class {
            Class::Throttle => ReadError::Throttled(error),
            class if class.is_outage() => ReadError::Transient(error),
            _ => ReadError::Fatal(error),
        }
    }
}

impl ShardSource for KinesisShards {
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

    async fn iterator(&self, shard_id: &str, start: &IteratorStart) -> Result<String, ReadError> {
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
        let answer = self
            .client
            .get_records()
            .shard_iterator(iterator)
            .limit(limit)
            .send()
            .await
            .map_err(|e| self.failure(e))?;
        Ok(Page {
            records: answer
                .records
                .into_iter()
                .map(|record| tail_record(shard_id, record))
                .collect(),
            next: answer.next_shard_iterator,
            behind_ms: answer.millis_behind_latest,
            children: answer
                .child_shards
                .unwrap_or_default()
                .into_iter()
                .map(child_info)
                .collect(),
        })
    }
}

fn shard_info(shard: Shard) -> ShardInfo {
    ShardInfo {
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

fn child_info(child: ChildShard) -> ShardInfo {
    ShardInfo {
        id: child.shard_id,
        parents: child.parent_shards,
        open: true,
    }
}

fn tail_record(shard_id: &Arc<str>, record: Record) -> TailRecord {
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
