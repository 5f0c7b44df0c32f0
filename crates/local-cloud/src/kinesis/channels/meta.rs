//! The settings and the status of one channel: pure data, saved as one file.
//!
//! Names on disk are those of the API: a description repeats what CreateChannel was given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::stream::meta::words;
use crate::partition;
use crate::types::Caller;

/// The default of `DataFreshnessInSeconds`.
pub const DEFAULT_FRESHNESS: i64 = 300;
/// The values of `DataFreshnessInSeconds`. Source: "Data delivery concepts", developer guide.
pub const FRESHNESS: std::ops::RangeInclusive<i64> = 300..=900;

words! {
    ChannelStatus {
        Creating = "CREATING",
        Active = "ACTIVE",
        Updating = "UPDATING",
        Deleting = "DELETING",
        /// It never delivers: it has to be deleted and created again.
        Failed = "FAILED",
    }
}

words! {
    RecordFormat {
        GsrJson = "GSR_JSON",
        Json = "JSON",
        String = "STRING",
        ByteArray = "BYTE_ARRAY",
    }
}

words! {
    Compression {
        None = "NONE",
        Gzip = "GZIP",
        Zstd = "ZSTD",
        /// For tables only.
        Snappy = "SNAPPY",
    }
}

/// Where dead letters go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    #[serde(rename = "BucketARN")]
    pub bucket_arn: String,
    #[serde(rename = "ExpectedBucketOwner")]
    pub expected_bucket_owner: String,
    #[serde(rename = "ErrorOutputPrefix", skip_serializing_if = "Option::is_none")]
    pub error_output_prefix: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    #[serde(rename = "BucketARN")]
    pub bucket_arn: String,
    #[serde(rename = "ExpectedBucketOwner")]
    pub expected_bucket_owner: String,
    #[serde(rename = "OutputKeyTemplate")]
    pub output_key_template: String,
    #[serde(rename = "StorageClass")]
    pub storage_class: String,
    #[serde(rename = "CompressionType")]
    pub compression_type: Compression,
}

/// A bucket as destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3 {
    #[serde(rename = "DataFreshnessInSeconds")]
    pub data_freshness: i64,
    #[serde(rename = "DeadLetterQueueS3Configuration")]
    pub dead_letters: DeadLetters,
    #[serde(rename = "StorageConfiguration")]
    pub storage: Storage,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionField {
    #[serde(rename = "Transform")]
    pub transform: String,
    #[serde(rename = "SourceName")]
    pub source_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSpec {
    #[serde(rename = "PartitionFields")]
    pub fields: Vec<PartitionField>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    #[serde(rename = "TableBucketARN")]
    pub bucket_arn: String,
    #[serde(rename = "Namespace")]
    pub namespace: String,
    #[serde(rename = "TableName")]
    pub name: String,
    #[serde(rename = "CompressionType")]
    pub compression_type: Compression,
    #[serde(rename = "PartitionSpec", skip_serializing_if = "Option::is_none")]
    pub partition_spec: Option<PartitionSpec>,
}

/// A table in S3 Tables as destination. The local cloud stores it and cannot deliver to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    #[serde(rename = "DataFreshnessInSeconds")]
    pub data_freshness: i64,
    #[serde(rename = "DeadLetterQueueS3Configuration")]
    pub dead_letters: DeadLetters,
    #[serde(rename = "S3TablesConfigurationList")]
    pub tables: Vec<Table>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    S3(S3),
    Tables(Tables),
}

impl Target {
    /// As in `ChannelDestinationType`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::S3(_) => "S3",
            Self::Tables(_) => "S3_TABLES",
        }
    }

    pub const fn freshness(&self) -> i64 {
        match self {
            Self::S3(s3) => s3.data_freshness,
            Self::Tables(tables) => tables.data_freshness,
        }
    }

    pub const fn set_freshness(&mut self, seconds: i64) {
        match self {
            Self::S3(s3) => s3.data_freshness = seconds,
            Self::Tables(tables) => tables.data_freshness = seconds,
        }
    }
}

/// Where the errors of a channel are logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    #[serde(rename = "Enabled")]
    pub enabled: bool,
    #[serde(rename = "LogGroupName", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(rename = "LogStreamName", skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelMeta {
    /// Version of the file format.
    pub version: u32,
    /// 12-digit account id.
    pub account: String,
    pub region: String,
    /// Unique in account and region.
    pub name: String,
    /// Never reused.
    pub id: String,
    pub created_ms: i64,
    pub status: ChannelStatus,
    /// When CREATING, UPDATING or DELETING ends.
    pub due_ms: i64,
    /// Why it is FAILED.
    pub reason: Option<String>,
    /// From when records are delivered: when it became ACTIVE.
    pub active_ms: Option<i64>,
    /// ARN of the role that writes to the destination.
    pub role: String,
    pub stream_name: String,
    /// Incarnation of the stream.
    pub stream_id: u64,
    pub stream_created_ms: i64,
    pub format: RecordFormat,
    pub schema_arn: Option<String>,
    pub target: Target,
    /// KMS key of the objects.
    pub key_id: Option<String>,
    pub logs: Logs,
    pub tags: BTreeMap<String, Option<String>>,
}

impl ChannelMeta {
    /// Version of the file format that this program writes.
    pub const VERSION: u32 = 1;

    /// Account and region.
    pub fn owner(&self) -> Caller {
        Caller {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    pub fn arn(&self) -> String {
        self.arn_of(&format!("channel/{}", self.id))
    }

    pub fn stream_arn(&self) -> String {
        self.arn_of(&format!("stream/{}", self.stream_name))
    }

    fn arn_of(&self, resource: &str) -> String {
        let partition = partition(&self.region);
        format!(
            "arn:{partition}:kinesis:{}:{}:{resource}",
            self.region, self.account
        )
    }

    /// Whether it reads its stream.
    pub const fn delivers(&self) -> bool {
        matches!(self.status, ChannelStatus::Active | ChannelStatus::Updating)
    }

    /// Whether the stream has to stay, and on demand: the channel delivers or will.
    pub const fn needs_stream(&self) -> bool {
        self.delivers() || matches!(self.status, ChannelStatus::Creating)
    }

    /// Whether a transition is due.
    pub fn is_due(&self, now_ms: i64) -> bool {
        let moves = !matches!(self.status, ChannelStatus::Active | ChannelStatus::Failed);
        moves && now_ms >= self.due_ms
    }

    /// Whether its deletion is complete.
    pub fn is_gone(&self, now_ms: i64) -> bool {
        self.status == ChannelStatus::Deleting && now_ms >= self.due_ms
    }

    /// # Errors
    /// `ResourceInUseException`.
    pub fn require_active(&self) -> Result<()> {
        if self.status == ChannelStatus::Active {
            return Ok(());
        }
        Err(ApiError::in_use(format!(
            "Channel {} under account {} not ACTIVE, instead in state {}",
            self.name,
            self.account,
            self.status.as_str()
        )))
    }

    pub fn fail(&mut self, reason: String) {
        self.status = ChannelStatus::Failed;
        self.reason = Some(reason);
    }
}

/// The name in the ARN of a bucket.
pub fn bucket_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}
