//! [`Transport`] over the AWS SDK.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::put_records::PutRecordsError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry, StreamStatus};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::{EntryResult, PutError, Transport};
use crate::record::{DEFAULT_MAX_RECORD_BYTES, Record};
use ground::error::aws::Retry;
use ground::error::{self, Error, Result};

#[derive(Debug, Clone)]
pub struct KinesisTransport {
    client: Client,
    stream: String,
}

/// Properties of the stream that `put` needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Maximum record size, data and partition key together, in bytes.
    pub max_record_bytes: usize,
}

impl KinesisTransport {
    /// Sends to `stream` with `client`, which must not retry: the engine retries by record.
    pub fn new(client: Client, stream: impl Into<String>) -> Self {
        Self {
            client,
            stream: stream.into(),
        }
    }
}

impl StreamLimits {
    /// Describes the stream (DescribeStreamSummary).
    ///
    /// # Errors
    /// When there is no such stream, it cannot take records yet, or the call fails.
    pub async fn of(client: &Client, stream: &str) -> Result<Self> {
        let answer = client
            .describe_stream_summary()
            .stream_name(stream)
            .send()
            .await
            .map_err(|e| error::aws::failed(format!("could not send to stream {stream}"), e))?;
        let Some(summary) = answer.stream_description_summary else {
            return Ok(Self {
                max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            });
        };
        if matches!(
            summary.stream_status,
            StreamStatus::Creating | StreamStatus::Deleting
        ) {
            let status = summary.stream_status.as_str();
            return Err(
                Error::failed(format!("stream {stream} is {status} and takes no records")).hint(format!(
                    "`streamctl describe --stream {stream}` shows when it is ACTIVE"
                )),
            );
        }
        let kib = summary
            .max_record_size_in_kib
            .and_then(|kib| usize::try_from(kib).ok());
        Ok(Self {
            max_record_bytes: kib.map_or(DEFAULT_MAX_RECORD_BYTES, |kib| kib * 1024),
        })
    }
}

impl Transport for KinesisTransport {
    async fn put(&self, records: &[Record]) -> Result<Vec<EntryResult>, PutError> {
        let entries = records
            .iter()
            .map(entry)
            .collect::<Result<Vec<_>, _>>()
            .map_err(PutError::Fatal)?;
        let answer = self
            .client
            .put_records()
            .stream_name(&self.stream)
            .set_records(Some(entries))
            .send()
            .await
            .map_err(|e| self.failure(e))?;
        if answer.records.len() != records.len() {
            return Err(PutError::Fatal(Error::failed(format!(
                "the endpoint answered for {} of {} records",
                answer.records.len(),
                records.len()
            ))));
        }
        Ok(answer.records.into_iter().map(outcome).collect())
    }
}

impl KinesisTransport {
    fn failure(&self, failure: SdkError<PutRecordsError, HttpResponse>) -> PutError {
        let retry = error::aws::retry(&failure);
        let error = error::aws::failed(format!("could not send to stream {}", self.stream), failure);
        match retry {
            Retry::Never => PutError::Fatal(error),
            Retry::Throttled | Retry::Transient => PutError::Transient {
                throttled: retry == Retry::Throttled,
                error,
            },
        }
    }
}

fn entry(record: &Record) -> Result<PutRecordsRequestEntry> {
    PutRecordsRequestEntry::builder()
        .data(Blob::new(record.data.as_ref()))
        .partition_key(&record.partition_key)
        .set_explicit_hash_key(record.explicit_hash_key.clone())
        .build()
        .map_err(|e| Error::failed("could not build the request").cause(e))
}

fn outcome(entry: PutRecordsResultEntry) -> EntryResult {
    match (entry.shard_id, entry.sequence_number) {
        (Some(shard_id), Some(sequence_number)) if entry.error_code.is_none() => EntryResult::Stored {
            shard_id,
            sequence_number,
        },
        _ => EntryResult::Refused {
            code: entry.error_code.unwrap_or_else(|| "InternalFailure".to_owned()),
            message: entry.error_message.unwrap_or_default(),
        },
    }
}
