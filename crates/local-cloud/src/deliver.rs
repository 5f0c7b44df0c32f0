//! The interfaces by which services deliver to queues, topics, buckets and logs.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::types::Caller;

/// The error of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// AWS's error code, such as `AWS.SimpleQueueService.NonExistentQueue`.
    pub code: String,
    pub message: String,
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Delivers as a request through the front door does.
pub trait Deliver: Send + Sync + 'static {
    /// Sends `body` to the SQS queue `arn`; `attributes` are string attributes of the message.
    fn to_queue<'a>(
        &'a self,
        arn: &'a str,
        body: &'a str,
        attributes: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// Publishes `message` to the SNS topic `arn`.
    fn to_topic<'a>(
        &'a self,
        arn: &'a str,
        subject: Option<&'a str>,
        message: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// Puts the object `key` into the S3 bucket `bucket` of `caller`'s account.
    fn to_bucket<'a>(
        &'a self,
        caller: &'a Caller,
        bucket: &'a str,
        key: &'a str,
        body: Bytes,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// Takes log events, as CloudWatch Logs does. Creates a log group and a log stream that do not exist.
pub trait LogSink: Send + Sync + 'static {
    /// Appends `events` (milliseconds since the Unix epoch, text without line break), oldest first.
    fn append<'a>(
        &'a self,
        caller: &'a Caller,
        group: &'a str,
        stream: &'a str,
        events: Vec<(i64, String)>,
    ) -> BoxFuture<'a, ()>;
}
