//! The channels of a stream: they deliver its records to a bucket, without a consumer.
//!
//! Owns what a channel is. [`plan`] owns what must be true before one is created, [`change`] creating, updating and
//! deleting, and [`role`] the role that delivers. Source of the rules: CreateChannel in the Kinesis API reference, and
//! "Delivery quotas and limits" in the developer guide.

mod change;
mod plan;
mod role;

use std::fmt;
use std::str::FromStr;

use aws_sdk_kinesis::types as sdk;
use aws_smithy_types::error::operation::BuildError;
use jiff::Timestamp;
use serde::Serialize;

use super::state::timestamp;
use crate::context::Context;
use ground::error::{self, Error, Result};

pub(crate) use change::{creation, update};
pub use plan::{DOES_NOT, FRESHNESS, NewChannel, Plan, plan};
pub use role::Role;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $noun:literal { $($variant:ident = $word:literal / $wire:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
        pub enum $name { $(#[serde(rename = $wire)] $variant),* }

        impl $name {
            /// As a user writes them.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// As the API writes it.
            pub const fn wire(self) -> &'static str {
                match self { $(Self::$variant => $wire),* }
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// # Errors
            /// Exit 2.
            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word | $wire => Ok(Self::$variant),)*
                    _ => Err(Error::usage(format!(concat!("{:?} is not a ", $noun), text))
                        .hint(format!("use {}", Self::WORDS.join(", ")))),
                }
            }
        }
    };
}

words! {
    /// How records are checked and separated in an object.
    RecordFormat, "record format" {
        Json = "json" / "JSON",
        String = "string" / "STRING",
        ByteArray = "bytes" / "BYTE_ARRAY",
    }
}

words! {
    Compression, "compression" {
        None = "none" / "NONE",
        Gzip = "gzip" / "GZIP",
        Zstd = "zstd" / "ZSTD",
    }
}

/// Status of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ChannelStatus {
    /// Delivers nothing yet.
    Creating,
    Active,
    /// Being changed; delivers.
    Updating,
    Deleting,
    /// Never delivers.
    Failed,
    /// A status this version of streamctl does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
            Self::Other(name) => name,
        })
    }
}

impl From<&sdk::ChannelStatus> for ChannelStatus {
    fn from(status: &sdk::ChannelStatus) -> Self {
        match status {
            sdk::ChannelStatus::Active => Self::Active,
            sdk::ChannelStatus::Creating => Self::Creating,
            sdk::ChannelStatus::Deleting => Self::Deleting,
            sdk::ChannelStatus::Failed => Self::Failed,
            sdk::ChannelStatus::Updating => Self::Updating,
            other => Self::Other(other.as_str().to_owned()),
        }
    }
}

/// A channel as ListChannels returns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ChannelEntry {
    pub name: String,
    pub arn: String,
    pub status: ChannelStatus,
    /// Why it is FAILED.
    pub reason: Option<String>,
    /// `S3` or `S3_TABLES`.
    pub destination: String,
    pub stream_arn: String,
    pub created: Option<Timestamp>,
}

/// A channel as DescribeChannel returns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Channel {
    pub name: String,
    pub arn: String,
    pub status: ChannelStatus,
    /// Why it is FAILED.
    pub reason: Option<String>,
    pub stream_arn: String,
    pub created: Option<Timestamp>,
    /// `S3` or `S3_TABLES`.
    pub destination: String,
    /// Bucket, or table bucket, namespace and table.
    pub to: String,
    pub key_template: Option<String>,
    /// As in the API, such as `JSON`.
    pub format: Option<String>,
    pub compression: Option<String>,
    pub storage_class: Option<String>,
    pub freshness_seconds: Option<i32>,
    /// Bucket and prefix of what cannot be delivered.
    pub dead_letters: Option<String>,
    pub role: String,
    pub kms_key: Option<String>,
}

/// The channels of the stream with ARN `stream_arn`, or all channels of the region, by name.
///
/// # Errors
/// Exit 1 when a page cannot be read.
pub async fn list(ctx: &Context, stream_arn: Option<&str>) -> Result<Vec<ChannelEntry>> {
    let filter = stream_arn.map(|arn| built(sdk::StreamFilter::builder().stream_arn(arn).build()));
    let filter = filter.transpose()?.map(|filter| vec![filter]);
    let call = ctx.kinesis().list_channels().set_stream_filter(filter);
    let mut pages = call.into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the channels", e))?;
        found.extend(page.channel_summaries.into_iter().map(entry));
    }
    found.sort_by(|a: &ChannelEntry, b| a.name.cmp(&b.name));
    Ok(found)
}

fn entry(summary: sdk::ChannelSummary) -> ChannelEntry {
    ChannelEntry {
        status: ChannelStatus::from(&summary.channel_status),
        reason: summary.channel_status_reason,
        destination: summary.channel_destination_type.as_str().to_owned(),
        stream_arn: summary
            .streams
            .into_iter()
            .next()
            .map(|stream| stream.stream_arn)
            .unwrap_or_default(),
        created: timestamp(&summary.channel_creation_timestamp),
        name: summary.channel_name,
        arn: summary.channel_arn,
    }
}

/// The channel with this ARN; `None` if it does not exist.
///
/// # Errors
/// Exit 1 when the call fails.
pub async fn describe(ctx: &Context, arn: &str) -> Result<Option<Channel>> {
    match ctx.kinesis().describe_channel().channel_arn(arn).send().await {
        Ok(answer) => Ok(answer.channel_description.map(described)),
        Err(e) if error::aws::is_not_found(&e) => Ok(None),
        Err(e) => Err(error::aws::failed(format!("could not describe channel {arn}"), e)),
    }
}

fn described(found: sdk::ChannelDescription) -> Channel {
    let stream = found.stream_configuration_list.into_iter().next();
    let (stream_arn, records) = stream.map_or((String::new(), None), |stream| {
        (stream.stream_arn, stream.record_configuration)
    });
    let mut channel = Channel {
        name: found.channel_name,
        arn: found.channel_arn,
        status: ChannelStatus::from(&found.channel_status),
        reason: found.channel_status_reason,
        stream_arn,
        created: timestamp(&found.channel_creation_timestamp),
        destination: "S3".to_owned(),
        to: String::new(),
        key_template: None,
        format: records.map(|records| records.record_format_type.as_str().to_owned()),
        compression: None,
        storage_class: None,
        freshness_seconds: None,
        dead_letters: None,
        role: found.service_execution_role_arn,
        kms_key: found.encryption_configuration.map(|encryption| encryption.key_id),
    };
    if let Some(s3) = found.s3_destination_configuration {
        channel.freshness_seconds = Some(s3.data_freshness_in_seconds);
        channel.dead_letters = s3.dead_letter_queue_s3_configuration.as_ref().map(dead_letters);
        if let Some(storage) = s3.storage_configuration {
            bucket_of(&storage.bucket_arn).clone_into(&mut channel.to);
            channel.key_template = storage.output_key_template;
            channel.compression = Some(storage.compression_type.as_str().to_owned());
            channel.storage_class = storage.storage_class.map(|class| class.as_str().to_owned());
        }
    }
    if let Some(tables) = found.s3_tables_destination_configuration {
        "S3_TABLES".clone_into(&mut channel.destination);
        channel.freshness_seconds = Some(tables.data_freshness_in_seconds);
        channel.dead_letters = tables
            .dead_letter_queue_s3_configuration
            .as_ref()
            .map(dead_letters);
        if let Some(table) = tables.s3_tables_configuration_list.into_iter().next() {
            channel.to = format!(
                "{} {}.{}",
                table.table_bucket_arn, table.namespace, table.table_name
            );
            channel.compression = Some(table.compression_type.as_str().to_owned());
        }
    }
    channel
}

fn dead_letters(found: &sdk::DeadLetterQueueS3Configuration) -> String {
    let bucket = bucket_of(&found.bucket_arn);
    match &found.error_output_prefix {
        Some(prefix) => format!("{bucket}/{prefix}"),
        None => bucket.to_owned(),
    }
}

fn bucket_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

fn built<T>(built: std::result::Result<T, BuildError>) -> Result<T> {
    built.map_err(|error| Error::failed("the request is not complete").cause(error))
}

/// The one channel of `stream` that `name` means: it may be missing where the stream has only one.
///
/// # Errors
/// Exit 1 if there is none, exit 2 if there are several and `name` is missing.
pub fn choose(stream: &str, found: Vec<ChannelEntry>, name: Option<&str>) -> Result<ChannelEntry> {
    let names: Vec<String> = found.iter().map(|channel| channel.name.clone()).collect();
    let mut matching = found
        .into_iter()
        .filter(|channel| name.is_none_or(|name| channel.name == name));
    match (matching.next(), matching.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Error::usage(format!("stream {stream} has several channels"))
            .hint(format!("add --name with one of {}", names.join(", ")))),
        (None, _) => Err(no_channel(stream, name)),
    }
}

/// There is no such channel.
pub fn no_channel(stream: &str, name: Option<&str>) -> Error {
    let which = name.map_or_else(|| "no channel".to_owned(), |name| format!("no channel {name}"));
    Error::failed(format!("stream {stream} has {which}"))
        .hint(format!("`streamctl channel list {stream}` lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_by_name_or_because_there_is_only_one() {
        let entry = |name: &str| ChannelEntry {
            name: name.to_owned(),
            arn: format!("arn:{name}"),
            status: ChannelStatus::Active,
            reason: None,
            destination: "S3".to_owned(),
            stream_arn: "arn".to_owned(),
            created: None,
        };
        assert_eq!(choose("s", vec![entry("a")], None).unwrap().name, "a");
        assert_eq!(
            choose("s", vec![entry("a"), entry("b")], Some("b")).unwrap().name,
            "b"
        );
        let several = choose("s", vec![entry("a"), entry("b")], None).unwrap_err();
        assert_eq!(several.exit(), ground::exit::Exit::Usage);
        assert!(choose("s", vec![entry("a")], Some("c")).is_err());
        assert!(choose("s", Vec::new(), None).is_err());
    }
}
