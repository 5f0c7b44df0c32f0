//! The settings of a delivery stream: pure data, saved as one file. Names on disk are those of the API.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::input::{Processing, S3};
use crate::service::arn;
use crate::types::{Caller, Tags};

/// A delivery stream has one destination.
pub(super) const DESTINATION_ID: &str = "destinationId-000000000001";
/// Defaults of `BufferingHints`.
const BUFFER_MIB: u64 = 5;
const BUFFER_SECONDS: i64 = 300;
/// Times a transformation is repeated by default. Source: `ProcessorParameter`, Amazon Data Firehose API reference.
const RETRIES: u32 = 3;
/// Bytes of records for one call of a transformation by default.
const TRANSFORM_BYTES: usize = 1 << 20;
/// How long records wait for a call by default. Source: as for [`RETRIES`].
const TRANSFORM_SECONDS: i64 = 60;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Of the file.
    pub version: u32,
    /// Of this incarnation of the name.
    pub id: String,
    pub name: String,
    pub account: String,
    pub region: String,
    pub created_ms: i64,
    pub updated_ms: Option<i64>,
    /// The end of the transition to ACTIVE, or of the deletion.
    pub due_ms: i64,
    pub deleting: bool,
    /// `VersionId`: the number of the settings.
    pub version_id: u64,
    /// `None` for direct puts.
    pub source: Option<KinesisSource>,
    pub destination: S3,
    pub encryption: Option<Encryption>,
    /// When encryption was started or stopped, in the last 24 hours.
    #[serde(default)]
    pub encryption_calls_ms: Vec<i64>,
    #[serde(default)]
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KinesisSource {
    #[serde(rename = "KinesisStreamARN")]
    pub stream_arn: String,
    #[serde(rename = "RoleARN")]
    pub role_arn: String,
}

/// Server-side encryption. The local cloud stores records as they are, as all of its services do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Encryption {
    pub enabled: bool,
    pub key_type: String,
    pub key_arn: Option<String>,
    /// The end of ENABLING or DISABLING.
    pub due_ms: i64,
    /// Why the last start failed: type and details.
    pub failure: Option<(String, String)>,
}

impl Encryption {
    fn status(&self, now_ms: i64) -> &'static str {
        match (now_ms >= self.due_ms, self.enabled) {
            _ if self.failure.is_some() => "ENABLING_FAILED",
            (true, true) => "ENABLED",
            (true, false) => "DISABLED",
            (false, true) => "ENABLING",
            (false, false) => "DISABLING",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Creating,
    Active,
    Deleting,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Deleting => "DELETING",
        }
    }
}

/// What the engine does with records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Processors {
    /// A line feed after each record.
    pub delimiter: bool,
    pub transform: Option<Transform>,
}

/// A function that transforms records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transform {
    pub function: String,
    pub role: String,
    pub retries: u32,
    /// Bytes of records in one call.
    pub bytes: usize,
    /// How long records wait for a call, with dynamic partitioning.
    pub buffer_ms: i64,
}

impl Meta {
    /// The version of the file that this program writes, and the newest that it reads.
    pub const VERSION: u32 = 1;

    pub fn owner(&self) -> Caller {
        Caller {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }

    pub fn arn(&self) -> String {
        arn(
            &self.owner(),
            "firehose",
            &format!("deliverystream/{}", self.name),
        )
    }

    pub fn status(&self, now_ms: i64) -> Status {
        match (self.deleting, now_ms >= self.due_ms) {
            (true, _) => Status::Deleting,
            (false, false) => Status::Creating,
            (false, true) => Status::Active,
        }
    }

    pub fn is_gone(&self, now_ms: i64) -> bool {
        self.deleting && now_ms >= self.due_ms
    }

    pub fn kind(&self) -> &'static str {
        match self.source {
            Some(_) => "KinesisStreamAsSource",
            None => "DirectPut",
        }
    }

    /// Whether records that arrive now are encrypted.
    pub fn encrypts(&self, now_ms: i64) -> bool {
        let encryption = self.encryption.as_ref();
        encryption.is_some_and(|encryption| encryption.enabled && now_ms >= encryption.due_ms)
    }

    /// Bytes of records that fill the buffer.
    pub fn buffer_bytes(&self) -> u64 {
        let hints = self.destination.buffering_hints.as_ref();
        let mib = hints.and_then(|hints| hints.size_in_mbs);
        mib.and_then(|mib| u64::try_from(mib).ok())
            .unwrap_or(BUFFER_MIB)
            .saturating_mul(1 << 20)
    }

    /// How old the oldest record of the buffer becomes.
    pub fn buffer_ms(&self) -> i64 {
        let hints = self.destination.buffering_hints.as_ref();
        let seconds = hints.and_then(|hints| hints.interval_in_seconds);
        seconds.unwrap_or(BUFFER_SECONDS).saturating_mul(1000)
    }

    /// How long an object of a partition is tried again.
    pub fn retry_ms(&self) -> i64 {
        let configuration = self.destination.dynamic_partitioning_configuration.as_ref();
        let options = configuration.and_then(|configuration| configuration.retry_options.as_ref());
        let seconds = options.and_then(|options| options.duration_in_seconds);
        seconds.unwrap_or_default().saturating_mul(1000)
    }

    pub fn zone(&self) -> TimeZone {
        let name = self.destination.custom_time_zone.as_deref().unwrap_or_default();
        match name {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
        }
    }

    pub fn processors(&self) -> Processors {
        let processing = self.destination.processing_configuration.as_ref();
        processors(
            processing,
            self.destination.role_arn.as_deref().unwrap_or_default(),
        )
    }

    /// `DeliveryStreamDescription`.
    pub fn description(&self, now_ms: i64) -> Value {
        let mut description = json!({
            "DeliveryStreamName": self.name,
            "DeliveryStreamARN": self.arn(),
            "DeliveryStreamStatus": self.status(now_ms).as_str(),
            "DeliveryStreamEncryptionConfiguration": self.encryption_description(now_ms),
            "DeliveryStreamType": self.kind(),
            "VersionId": self.version_id.to_string(),
            "CreateTimestamp": seconds(self.created_ms),
            "Destinations": [{
                "DestinationId": DESTINATION_ID,
                "S3DestinationDescription": self.destination_description(false),
                "ExtendedS3DestinationDescription": self.destination_description(true),
            }],
            "HasMoreDestinations": false,
        });
        if let Some(updated_ms) = self.updated_ms {
            description["LastUpdateTimestamp"] = seconds(updated_ms);
        }
        if let Some(source) = &self.source {
            let mut shown = json!(source);
            shown["DeliveryStartTimestamp"] = seconds(self.created_ms);
            description["Source"] = json!({ "KinesisStreamSourceDescription": shown });
        }
        description
    }

    fn encryption_description(&self, now_ms: i64) -> Value {
        let Some(encryption) = &self.encryption else {
            return json!({"Status": "DISABLED"});
        };
        let status = encryption.status(now_ms);
        let mut shown = json!({ "Status": status });
        if status != "DISABLED" {
            shown["KeyType"] = json!(encryption.key_type);
            if let Some(key) = &encryption.key_arn {
                shown["KeyARN"] = json!(key);
            }
        }
        if let Some((kind, details)) = &encryption.failure {
            shown["FailureDescription"] = json!({"Type": kind, "Details": details});
        }
        shown
    }

    /// As `S3DestinationDescription` has fewer members.
    fn destination_description(&self, is_extended: bool) -> Value {
        const EXTENDED: [&str; 7] = [
            "ProcessingConfiguration",
            "S3BackupMode",
            "S3BackupConfiguration",
            "DataFormatConversionConfiguration",
            "DynamicPartitioningConfiguration",
            "FileExtension",
            "CustomTimeZone",
        ];
        let mut shown: Map<String, Value> = match serde_json::to_value(&self.destination) {
            Ok(Value::Object(shown)) => shown,
            _ => Map::new(),
        };
        shown.retain(|_, value| !value.is_null());
        if !is_extended {
            shown.retain(|name, _| !EXTENDED.contains(&name.as_str()));
        }
        Value::Object(shown)
    }
}

/// Seconds since the Unix epoch.
fn seconds(ms: i64) -> Value {
    json!(ms as f64 / 1000.0)
}

/// What processors mean. They have been checked.
pub(super) fn processors(processing: Option<&Processing>, default_role: &str) -> Processors {
    let mut found = Processors {
        delimiter: false,
        transform: None,
    };
    let Some(processing) = processing.filter(|processing| processing.enabled == Some(true)) else {
        return found;
    };
    for processor in processing.processors.iter().flatten() {
        match processor.kind.as_str() {
            "AppendDelimiterToRecord" => found.delimiter = true,
            "Lambda" => {
                let text = |name| processor.parameter(name).unwrap_or_default();
                let bytes = text("BufferSizeInMBs").parse::<f64>().ok();
                let seconds: i64 = text("BufferIntervalInSeconds")
                    .parse()
                    .unwrap_or(TRANSFORM_SECONDS);
                found.transform = Some(Transform {
                    function: text("LambdaArn").to_owned(),
                    role: processor.parameter("RoleArn").unwrap_or(default_role).to_owned(),
                    retries: text("NumberOfRetries").parse().unwrap_or(RETRIES),
                    bytes: bytes.map_or(TRANSFORM_BYTES, |mib| (mib * 1_048_576.0) as usize),
                    buffer_ms: seconds.saturating_mul(1000),
                });
            }
            _ => {}
        }
    }
    found
}
