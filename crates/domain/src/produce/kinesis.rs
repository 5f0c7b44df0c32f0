//! [`Transport`] over the AWS SDK.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{RecordDistributionStrategy, StreamStatus};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use tokio::time::Instant;

use super::{PutAnswer, PutError, ShardRange, Transport};
use crate::context::{Context, Renewal};
use crate::record::{DEFAULT_MAX_RECORD_BYTES, Record};
use crate::stream::reference::name_or_arn;
use crate::stream::shards::{self, Listing};
use crate::wire::{CallError, PutRecords};
use ground::backoff::{self, Backoff, Patience};
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

#[derive(Debug, Clone)]
pub struct KinesisTransport {
    calls: PutRecords,
    lister: Client,
    stream: String,
    ignores_keys: bool,
    shards: Arc<Mutex<Option<Vec<ShardRange>>>>,
    /// Loads the credentials of the calls anew.
    renewal: Renewal,
}

/// Properties of the stream that `put` needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Maximum record size, data and partition key together, in bytes.
    pub max_record_bytes: usize,
    /// Whether records are distributed without regard to their partition keys.
    pub ignores_keys: bool,
}

/// An account has 20 DescribeStreamSummary calls a second (Kinesis API reference).
const DESCRIBING: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).jitter(0.5, 1.0);

impl KinesisTransport {
    /// Sends to `stream`, a name or an ARN. Credentials that worked before and have expired are loaded anew: those that never
    /// worked may be wrong.
    pub fn new(context: &Context, stream: impl Into<String>) -> Self {
        let stream = stream.into();
        Self {
            calls: PutRecords::new(&context.data_plane(), &stream),
            lister: context.kinesis().clone(),
            stream,
            ignores_keys: false,
            shards: Arc::default(),
            renewal: context.renewal(),
        }
    }

    /// The stream may distribute records without regard to their keys.
    #[must_use]
    pub fn ignoring_keys(self, ignores_keys: bool) -> Self {
        Self { ignores_keys, ..self }
    }
}

impl StreamLimits {
    /// Describes the stream (DescribeStreamSummary). A call that is throttled, or that the service or the network fails, is
    /// made again for `retry_for`; `waiting` is called with its first reason. An endpoint to which no connection can be
    /// made may be wrong: only the client tries it again.
    ///
    /// # Errors
    /// When there is no such stream, it cannot take records yet, or the call fails.
    pub async fn of(
        client: &Client,
        stream: &str,
        retry_for: Duration,
        waiting: &mut (dyn FnMut(String) + Send),
    ) -> Result<Self> {
        let started = Instant::now();
        let patience = Patience::of_any_call(retry_for);
        let until = |failure: &SdkError<_, HttpResponse>| match error::aws::class(failure) {
            Class::Unreachable => None,
            class => patience.until(class, started),
        };
        let mut told = false;
        let tell = |failure: &SdkError<_, HttpResponse>, _: Duration| {
            if !std::mem::replace(&mut told, true) {
                waiting(error::aws::reason(failure));
            }
            true
        };
        let send = || {
            let (by_name, by_arn) = name_or_arn(stream);
            let call = client.describe_stream_summary();
            call.set_stream_name(by_name).set_stream_arn(by_arn).send()
        };
        let answer = backoff::retry(DESCRIBING, send, until, tell)
            .await
            .map_err(|e| error::aws::failed(format!("could not send to stream {stream}"), e))?;
        let Some(summary) = answer.stream_description_summary else {
            return Ok(Self {
                max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
                ignores_keys: false,
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
            ignores_keys: summary.record_distribution_strategy == Some(RecordDistributionStrategy::Auto),
        })
    }
}

#[async_trait]
impl Transport for KinesisTransport {
    async fn put(&self, records: &[Record]) -> Result<PutAnswer, PutError> {
        self.calls.send(records).await.map_err(|e| self.failure(e))
    }

    async fn shards(&self, again: bool) -> Result<Vec<ShardRange>> {
        if self.ignores_keys {
            return Ok(Vec::new());
        }
        let known = self.shards.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|_| !again) {
            return Ok(known);
        }
        let map = shards::list_with(&self.lister, &self.stream, &Listing::Open).await?;
        let ranges: Vec<ShardRange> = map
            .open()
            .map(|shard| ShardRange {
                id: shard.id.clone(),
                first: shard.first_hash,
            })
            .collect();
        *self.shards.lock().unwrap_or_else(PoisonError::into_inner) = Some(ranges.clone());
        Ok(ranges)
    }
}

impl KinesisTransport {
    fn failure(&self, failure: CallError) -> PutError {
        let class = error::aws::class(&failure);
        // They may have been renewed where they come from.
        let is_due = Renewal::is_due(&failure);
        if is_due {
            self.renewal.forget();
        }
        let error = error::aws::failed(format!("could not send to stream {}", self.stream), failure);
        match class == Class::Throttle || class.is_outage() || is_due {
            true => PutError::Transient {
                throttled: class == Class::Throttle,
                error,
            },
            false => PutError::Fatal(error),
        }
    }
}
