//! The registered consumers of a stream (enhanced fan-out).

use std::fmt;

use aws_sdk_kinesis::types as sdk;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::change::Changer;
use super::state::timestamp;
use super::wait;
use crate::context::Context;
use ground::error::{self, Error, Result};

/// Consumers of a stream: 20, or 50 with On-demand Advantage. Source: RegisterStreamConsumer, Kinesis API reference.
pub const MOST_CONSUMERS: usize = 20;

/// A registered consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Consumer {
    pub name: String,
    pub arn: String,
    pub status: ConsumerStatus,
    pub created: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ConsumerStatus {
    /// Being registered; cannot subscribe yet.
    Creating,
    Active,
    Deleting,
    /// A status this version of streamctl does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for ConsumerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Deleting => "DELETING",
            Self::Other(name) => name,
        })
    }
}

impl From<&sdk::ConsumerStatus> for ConsumerStatus {
    fn from(status: &sdk::ConsumerStatus) -> Self {
        match status {
            sdk::ConsumerStatus::Active => Self::Active,
            sdk::ConsumerStatus::Creating => Self::Creating,
            sdk::ConsumerStatus::Deleting => Self::Deleting,
            other => Self::Other(other.as_str().to_owned()),
        }
    }
}

/// Checks the name of a consumer, which follows the rule of stream names.
/// Source: RegisterStreamConsumer, `ConsumerName`, Kinesis API reference.
///
/// # Errors
/// Exit 2.
pub fn check_consumer_name(name: &str) -> Result<()> {
    super::check_name(name).map_err(|_| {
        Error::usage(format!("{name:?} is not a consumer name"))
            .hint("use 1 to 128 letters, digits, `_`, `.` or `-`")
    })
}

/// All consumers of the stream with ARN `stream_arn`, by name.
///
/// # Errors
/// Exit 1 when a page cannot be read.
pub async fn consumers(ctx: &Context, stream_arn: &str) -> Result<Vec<Consumer>> {
    let mut found = Vec::new();
    let mut pages = ctx
        .kinesis()
        .list_stream_consumers()
        .stream_arn(stream_arn)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the consumers of the stream", e))?;
        found.extend(
            page.consumers
                .unwrap_or_default()
                .into_iter()
                .map(|one| Consumer {
                    status: ConsumerStatus::from(&one.consumer_status),
                    created: timestamp(&one.consumer_creation_timestamp),
                    name: one.consumer_name,
                    arn: one.consumer_arn,
                }),
        );
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The consumer `name`; `None` if there is none.
///
/// # Errors
/// Exit 1 when the call fails.
pub async fn consumer(ctx: &Context, stream_arn: &str, name: &str) -> Result<Option<Consumer>> {
    let call = ctx.kinesis().describe_stream_consumer();
    match call.stream_arn(stream_arn).consumer_name(name).send().await {
        Ok(answer) => Ok(answer.consumer_description.map(|one| Consumer {
            status: ConsumerStatus::from(&one.consumer_status),
            created: timestamp(&one.consumer_creation_timestamp),
            name: one.consumer_name,
            arn: one.consumer_arn,
        })),
        Err(e) if e.code() == Some("ResourceNotFoundException") => Ok(None),
        Err(e) => Err(error::aws::failed(
            format!("could not describe consumer {name}"),
            e,
        )),
    }
}

impl Changer<'_> {
    /// Registers the consumer `consumer_name` and waits until it is ACTIVE. Does nothing if it is.
    ///
    /// # Errors
    /// Exit 2 for an invalid name, exit 1 when the call fails.
    pub async fn register_consumer(&self, consumer_name: &str) -> Result<Consumer> {
        check_consumer_name(consumer_name)?;
        let deadline = self.deadline();
        let stream = self.ready(deadline).await?;
        if consumer(self.ctx, &stream.arn, consumer_name).await?.is_none() {
            self.step(format!("registering consumer {consumer_name}"));
            let sent = wait::retry(deadline, self.events, || {
                let request = self.ctx.kinesis().register_stream_consumer();
                let request = request.stream_arn(&stream.arn).consumer_name(consumer_name);
                async move {
                    match request.send().await {
                        // An earlier attempt was accepted and its response lost.
                        Err(e) if e.code() == Some("ResourceInUseException") => Ok(()),
                        other => other.map(drop),
                    }
                }
            });
            sent.await
                .map_err(|e| error::aws::failed(format!("could not register consumer {consumer_name}"), e))?;
        }
        self.consumer_until(deadline, &stream.arn, consumer_name, |found| match found {
            Some(found) if found.status == ConsumerStatus::Active => Ok(found),
            Some(found) => Err(found.status),
            None => Err(ConsumerStatus::Creating),
        })
        .await
    }

    /// Deregisters the consumer `consumer_name` and waits until it is gone.
    ///
    /// # Errors
    /// Exit 1 when there is none or the call fails.
    pub async fn deregister_consumer(&self, consumer_name: &str) -> Result<Consumer> {
        check_consumer_name(consumer_name)?;
        let deadline = self.deadline();
        let stream = self.ready(deadline).await?;
        let Some(found) = consumer(self.ctx, &stream.arn, consumer_name).await? else {
            return Err(no_consumer(self.name, consumer_name));
        };
        if found.status != ConsumerStatus::Deleting {
            self.step(format!("deregistering consumer {consumer_name}"));
            let sent = wait::retry(deadline, self.events, || {
                let request = self.ctx.kinesis().deregister_stream_consumer();
                request
                    .stream_arn(&stream.arn)
                    .consumer_name(consumer_name)
                    .send()
            });
            match sent.await {
                Ok(_) => {}
                Err(e) if e.code() == Some("ResourceNotFoundException") => {}
                Err(e) => {
                    let what = format!("could not deregister consumer {consumer_name}");
                    return Err(error::aws::failed(what, e));
                }
            }
        }
        self.consumer_until(deadline, &stream.arn, consumer_name, |found| match found {
            None => Ok(()),
            Some(left) => Err(left.status),
        })
        .await?;
        Ok(found)
    }

    /// Describes the consumer until `judge` accepts what is found; `Err` is the status until then.
    async fn consumer_until<T>(
        &self,
        deadline: Instant,
        stream_arn: &str,
        consumer_name: &str,
        judge: impl Fn(Option<Consumer>) -> std::result::Result<T, ConsumerStatus>,
    ) -> Result<T> {
        let look = async || -> Result<std::result::Result<T, ConsumerStatus>> {
            Ok(judge(consumer(self.ctx, stream_arn, consumer_name).await?))
        };
        let hint = "run the command again: it continues from there".to_owned();
        self.until(deadline, (format!("consumer {consumer_name}"), hint), look)
            .await
    }
}

/// There is no such consumer.
pub fn no_consumer(stream: &str, consumer: &str) -> Error {
    Error::failed(format!("stream {stream} has no consumer {consumer}"))
        .hint(format!("`streamctl consumer list {stream}` lists them"))
}
