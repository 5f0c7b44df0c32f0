//! Delivery of discarded batches to destinations.
//!
//! Source: "Retain discarded batch records for a Kinesis Data Streams event source in Lambda", AWS Lambda developer
//! guide. A queue or topic receives a description of the batch, a bucket also the event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::error::ApiError;
use super::lane::{Batch, Condition};
use super::settings::Settings;
use crate::answer::request_id;
use crate::clock::utc;
use crate::deliver::{Deliver, Undelivered};
use crate::invoke::Invoke;

/// Backoff between tries. After them the description is lost, as on AWS: an unavailable destination does not block a
/// shard.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

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

/// A discarded batch.
pub(super) struct Discarded<'a> {
    pub batch: &'a Batch,
    pub condition: Condition,
    pub shard_id: &'a str,
    pub stream_arn: &'a str,
    /// The event, for a bucket.
    pub payload: Option<Bytes>,
    pub now_ms: i64,
}

impl Discarded<'_> {
    /// The message. A batch that was discarded for its age has no `responseContext`: no response was the reason.
    pub(super) fn message(&self, settings: &Settings) -> String {
        let response = self.batch.response.as_ref();
        let context = response.filter(|_| self.condition != Condition::RecordAgeExceeded);
        let (first, last) = (self.batch.items.first(), self.batch.items.last());
        let number = |item: Option<&super::lane::Item>| {
            item.map(|item| item.record.sequence_number.to_string())
                .unwrap_or_default()
        };
        let arrival =
            |item: Option<&super::lane::Item>| utc(item.map_or(0, |item| item.record.arrival_ms), ISO);
        let message = Message {
            request_context: RequestContext {
                request_id: response.map_or_else(request_id, |response| response.request_id.clone()),
                function_arn: &settings.function_arn,
                condition: self.condition,
                approximate_invoke_count: self.batch.invocations.max(1),
            },
            response_context: context.map(|response| ResponseContext {
                status_code: response.status,
                executed_version: response.executed_version.as_deref().unwrap_or("$LATEST"),
                function_error: response.function_error.as_deref(),
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
        // This data is always serializable.
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// The object key in a bucket: `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random>`.
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

/// Whether the destination is a bucket, which also receives the event.
pub(super) fn is_bucket(arn: &str) -> bool {
    service(arn) == "s3"
}

fn service(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

/// Checks that the function's role allows sending to the destination `arn`. `key` is the object key for a bucket.
///
/// # Errors
/// If the role does not allow it.
pub(super) fn allowed(
    invoke: &dyn Invoke,
    settings: &Settings,
    arn: &str,
    key: &str,
) -> Result<(), Undelivered> {
    let (action, resource) = permission(arn, key);
    if invoke.may(&settings.function_arn, action, &resource) {
        return Ok(());
    }
    Err(Undelivered {
        code: "AccessDenied".to_owned(),
        message: format!("the function's role does not allow {action} on {resource}"),
    })
}

/// The IAM action and resource of a delivery to `arn`.
fn permission(arn: &str, key: &str) -> (&'static str, String) {
    match service(arn) {
        "sns" => ("sns:Publish", arn.to_owned()),
        "s3" => ("s3:PutObject", format!("{arn}/{key}")),
        _ => ("sqs:SendMessage", arn.to_owned()),
    }
}

/// Checks the permission to deliver when a mapping is created or changed.
///
/// # Errors
/// AWS's message if the role does not allow it.
pub(super) fn check_role(invoke: &dyn Invoke, settings: &Settings) -> Result<(), ApiError> {
    let Some(arn) = settings.on_failure.as_deref() else {
        return Ok(());
    };
    let prefix = format!("aws/lambda/{}/", settings.uuid);
    let (action, resource) = permission(arn, &prefix);
    if invoke.may(&settings.function_arn, action, &resource) {
        return Ok(());
    }
    let (service, operation) = action.split_once(':').unwrap_or_default();
    Err(ApiError::invalid(format!(
        "The provided execution role does not have permissions to call {operation} on {}",
        service.to_ascii_uppercase()
    )))
}

/// Sends `message` to `arn`, with the object key `key` for a bucket. Tries three times.
///
/// # Errors
/// The last error of the destination.
pub(super) async fn send(
    deliver: Arc<dyn Deliver>,
    settings: Arc<Settings>,
    arn: String,
    key: String,
    message: String,
) -> Result<(), Undelivered> {
    let caller = settings.caller();
    let attributes = BTreeMap::new();
    let mut pauses = BACKOFF.iter();
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
