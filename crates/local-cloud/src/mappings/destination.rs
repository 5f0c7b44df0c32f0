//! Where discarded batches go, and what is said there of them.
//!
//! Source: "Retain discarded batch records for a Kinesis Data Streams event source in Lambda", AWS Lambda developer
//! guide. A queue or topic gets the description of the batch, a bucket gets the event as well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::lane::{Batch, Condition};
use super::settings::Settings;
use crate::answer::request_id;
use crate::clock::utc;
use crate::deliver::{Deliver, Undelivered};
use crate::invoke::Invoke;

/// Pauses between tries. What cannot be delivered then is lost, as on AWS: a destination that is gone does not block a
/// shard.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

const ISO: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext<'a>>,
    version: &'static str,
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo")]
    batch: BatchInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: String,
    function_arn: &'a str,
    condition: Condition,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext<'a> {
    status_code: u16,
    executed_version: &'a str,
    function_error: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo<'a> {
    shard_id: &'a str,
    start_sequence_number: String,
    end_sequence_number: String,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    batch_size: usize,
    stream_arn: &'a str,
}

/// A batch that is given up.
pub(super) struct Discarded<'a> {
    pub batch: &'a Batch,
    pub condition: Condition,
    pub shard_id: &'a str,
    pub stream_arn: &'a str,
    /// Its event, for a bucket.
    pub payload: Option<Bytes>,
    pub now_ms: i64,
}

impl Discarded<'_> {
    /// The message. Never invoked, a batch has no `responseContext`.
    pub(super) fn message(&self, settings: &Settings) -> String {
        let answered = self.batch.answered.as_ref();
        let version = settings
            .qualifier()
            .filter(|qualifier| qualifier.bytes().all(|byte| byte.is_ascii_digit()));
        let (first, last) = (self.batch.items.first(), self.batch.items.last());
        let number = |item: Option<&super::lane::Item>| {
            item.map(|item| item.record.sequence_number.to_string())
                .unwrap_or_default()
        };
        let arrival =
            |item: Option<&super::lane::Item>| utc(item.map_or(0, |item| item.record.arrival_ms), ISO);
        let message = Message {
            request_context: RequestContext {
                request_id: answered.map_or_else(request_id, |answered| answered.request_id.clone()),
                function_arn: &settings.function_arn,
                condition: self.condition,
                approximate_invoke_count: self.batch.invocations,
            },
            response_context: answered.map(|answered| ResponseContext {
                status_code: answered.status,
                executed_version: version.unwrap_or("$LATEST"),
                function_error: answered.function_error.as_deref(),
            }),
            version: "1.0",
            timestamp: utc(self.now_ms, ISO),
            batch: BatchInfo {
                shard_id: self.shard_id,
                start_sequence_number: number(first),
                end_sequence_number: number(last),
                approximate_arrival_of_first_record: arrival(first),
                approximate_arrival_of_last_record: arrival(last),
                batch_size: self.batch.items.len(),
                stream_arn: self.stream_arn,
            },
            payload: self
                .payload
                .as_ref()
                .and_then(|payload| std::str::from_utf8(payload).ok()),
        };
        // Plain data of this module: it can be written.
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// The object's name in a bucket: `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random>`.
    pub(super) fn key(&self, settings: &Settings) -> String {
        format!(
            "aws/lambda/{}/{}/{}-{}",
            settings.uuid,
            self.shard_id,
            utc(self.now_ms, "%Y/%m/%d/%Y-%m-%dT%H.%M.%S"),
            request_id()
        )
    }
}

/// Whether the destination is a bucket, which gets the event too.
pub(super) fn is_bucket(arn: &str) -> bool {
    service(arn) == "s3"
}

fn service(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

/// Whether the function's role allows to send to the destination `arn`, where it is a bucket under `key`.
///
/// # Errors
/// When it does not.
pub(super) fn allowed(
    invoke: &dyn Invoke,
    settings: &Settings,
    arn: &str,
    key: &str,
) -> Result<(), Undelivered> {
    let (action, resource) = match service(arn) {
        "sns" => ("sns:Publish", arn.to_owned()),
        "s3" => ("s3:PutObject", format!("{arn}/{key}")),
        _ => ("sqs:SendMessage", arn.to_owned()),
    };
    if invoke.may(&settings.function_arn, action, &resource) {
        return Ok(());
    }
    Err(Undelivered {
        code: "AccessDenied".to_owned(),
        message: format!("the function's role does not allow {action} on {resource}"),
    })
}

/// Sends `message` to `arn`, under the name `key` if it is a bucket; tries three times.
///
/// # Errors
/// What the destination said last.
pub(super) async fn send(
    deliver: Arc<dyn Deliver>,
    settings: Arc<Settings>,
    arn: String,
    key: String,
    message: String,
) -> Result<(), Undelivered> {
    let caller = settings.caller();
    let attributes = BTreeMap::new();
    let mut pauses = PAUSES.iter();
    loop {
        let sent = match service(&arn) {
            "sns" => deliver.to_topic(&arn, None, &message).await,
            "s3" => {
                let bucket = arn.rsplit(':').next().unwrap_or_default();
                let body = Bytes::copy_from_slice(message.as_bytes());
                deliver.to_bucket(&caller, bucket, &key, body).await
            }
            _ => deliver.to_queue(&arn, &message, &attributes).await,
        };
        match (sent, pauses.next()) {
            (Ok(()), _) => return Ok(()),
            (Err(error), None) => return Err(error),
            (Err(_), Some(pause)) => tokio::time::sleep(*pause).await,
        }
    }
}
