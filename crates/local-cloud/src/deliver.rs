//! How the services of the local cloud hand something to each other: a message to a queue or topic, an object to a bucket.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::Caller;

/// Why something could not be delivered, with AWS's error code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// AWS's error code, such as `AWS.SimpleQueueService.NonExistentQueue`.
    pub code: String,
    /// In words.
    pub message: String,
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Takes what one service has for another, as if it had come through the front door.
pub trait Deliver: Send + Sync + 'static {
    /// Sends `body` to the SQS queue `arn`; `attributes` are string attributes of the message.
    fn to_queue<'a>(
        &'a self,
        arn: &'a str,
        body: &'a str,
        attributes: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// Publishes `message` to the SNS topic `arn`, which hands it to its subscribers.
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

/// Takes log events, as CloudWatch Logs does. Log group and log stream are made where they are missing.
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

/// Delivers nothing and keeps no logs.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Nowhere {
    fn undelivered(arn: &str) -> Result<(), Undelivered> {
        Err(Undelivered {
            code: "ServiceUnavailable".to_owned(),
            message: format!("nothing is delivered to {arn}"),
        })
    }
}

impl Deliver for Nowhere {
    fn to_queue<'a>(
        &'a self,
        arn: &'a str,
        _: &'a str,
        _: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move { Self::undelivered(arn) })
    }

    fn to_topic<'a>(
        &'a self,
        arn: &'a str,
        _: Option<&'a str>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move { Self::undelivered(arn) })
    }

    fn to_bucket<'a>(
        &'a self,
        _: &'a Caller,
        bucket: &'a str,
        _: &'a str,
        _: Bytes,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move { Self::undelivered(bucket) })
    }
}

impl LogSink for Nowhere {
    fn append<'a>(
        &'a self,
        _: &'a Caller,
        _: &'a str,
        _: &'a str,
        _: Vec<(i64, String)>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}
