//! The parameters of operations. [`super::check`] has their valid values.
//!
//! A member that the local cloud does not offer is refused, not ignored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{
    check_arn, check_bucket, check_disabled, check_extension, check_length, check_offered, check_processing,
    check_role, check_zone, checked_compression, checked_encryption, checked_hints, checked_logging,
    checked_partitioning, one_of,
};
use super::error::{Error, Result};
use super::model::KinesisSource;
use super::{partitioning, prefix};

pub(super) use super::check::{bucket_of, check_range, check_tag_key, check_type, name, required, tags};

/// Tags of a delivery stream.
pub(super) const MAX_TAGS: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    pub delivery_stream_name: Option<String>,
    pub delivery_stream_type: Option<String>,
    pub kinesis_stream_source_configuration: Option<SourceInput>,
    pub delivery_stream_encryption_configuration_input: Option<EncryptionInput>,
    #[serde(rename = "S3DestinationConfiguration")]
    pub s3: Option<S3>,
    #[serde(rename = "ExtendedS3DestinationConfiguration")]
    pub extended_s3: Option<S3>,
    pub tags: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceInput {
    #[serde(rename = "KinesisStreamARN")]
    stream_arn: Option<String>,
    #[serde(rename = "RoleARN")]
    role_arn: Option<String>,
}

impl SourceInput {
    pub fn checked(self) -> Result<KinesisSource> {
        const AT: &str = "kinesisStreamSourceConfiguration";
        let stream_arn = required(self.stream_arn, &format!("{AT}.kinesisStreamARN"))?;
        let role_arn = required(self.role_arn, &format!("{AT}.roleARN"))?;
        check_arn(
            &stream_arn,
            "kinesis",
            "stream/",
            &format!("{AT}.kinesisStreamARN"),
        )?;
        check_role(&role_arn, &format!("{AT}.roleARN"))?;
        Ok(KinesisSource { stream_arn, role_arn })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EncryptionInput {
    #[serde(rename = "KeyType")]
    key_type: Option<String>,
    #[serde(rename = "KeyARN")]
    key_arn: Option<String>,
}

impl EncryptionInput {
    /// Type and ARN of the key.
    pub fn checked(self) -> Result<(String, Option<String>)> {
        const AT: &str = "deliveryStreamEncryptionConfigurationInput";
        let key_type = required(self.key_type, &format!("{AT}.keyType"))?;
        match (key_type.as_str(), &self.key_arn) {
            ("AWS_OWNED_CMK", None) | ("CUSTOMER_MANAGED_CMK", Some(_)) => {}
            ("AWS_OWNED_CMK", Some(_)) => {
                return Err(Error::invalid(
                    "KeyARN must not be given for the key type AWS_OWNED_CMK.",
                ));
            }
            ("CUSTOMER_MANAGED_CMK", None) => {
                return Err(Error::invalid(
                    "KeyARN must be given for the key type CUSTOMER_MANAGED_CMK.",
                ));
            }
            _ => return Err(one_of(&key_type, &format!("{AT}.keyType"), KEY_TYPES)),
        }
        if let Some(key) = &self.key_arn {
            check_arn(key, "kms", "key/", &format!("{AT}.keyARN"))?;
        }
        Ok((key_type, self.key_arn))
    }
}

const KEY_TYPES: &[&str] = &["AWS_OWNED_CMK", "CUSTOMER_MANAGED_CMK"];

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// A destination in S3, as it is configured and, without what is absent, described.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct S3 {
    #[serde(rename = "RoleARN")]
    pub role_arn: Option<String>,
    #[serde(rename = "BucketARN")]
    pub bucket_arn: Option<String>,
    pub prefix: Option<String>,
    pub error_output_prefix: Option<String>,
    pub buffering_hints: Option<BufferingHints>,
    pub compression_format: Option<String>,
    pub encryption_configuration: Option<EncryptionConfiguration>,
    pub cloud_watch_logging_options: Option<Logging>,
    pub processing_configuration: Option<Processing>,
    #[serde(rename = "S3BackupMode")]
    pub s3_backup_mode: Option<String>,
    #[serde(rename = "S3BackupConfiguration", alias = "S3BackupUpdate")]
    pub s3_backup_configuration: Option<Value>,
    pub data_format_conversion_configuration: Option<Value>,
    pub dynamic_partitioning_configuration: Option<DynamicPartitioning>,
    pub file_extension: Option<String>,
    pub custom_time_zone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DynamicPartitioning {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_options: Option<RetryOptions>,
    pub enabled: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RetryOptions {
    pub duration_in_seconds: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BufferingHints {
    #[serde(rename = "SizeInMBs")]
    pub size_in_mbs: Option<i64>,
    #[serde(rename = "IntervalInSeconds")]
    pub interval_in_seconds: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EncryptionConfiguration {
    #[serde(rename = "NoEncryptionConfig", skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
    #[serde(rename = "KMSEncryptionConfig", skip_serializing_if = "Option::is_none")]
    pub kms: Option<KmsKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KmsKey {
    #[serde(rename = "AWSKMSKeyARN")]
    pub arn: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Logging {
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Processing {
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processors: Option<Vec<Processor>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Processor {
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(rename = "Parameters", skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<Parameter>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    #[serde(rename = "ParameterName")]
    pub name: String,
    #[serde(rename = "ParameterValue")]
    pub value: String,
}

impl Processor {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().flatten().find(|one| one.name == name);
        found.map(|one| one.value.as_str())
    }
}

impl S3 {
    /// This destination with the members that `update` has. Source: UpdateDestination: existing values are retained where
    /// the update has none.
    pub fn merged(self, update: Self) -> Self {
        Self {
            role_arn: update.role_arn.or(self.role_arn),
            bucket_arn: update.bucket_arn.or(self.bucket_arn),
            prefix: update.prefix.or(self.prefix),
            error_output_prefix: update.error_output_prefix.or(self.error_output_prefix),
            buffering_hints: update.buffering_hints.or(self.buffering_hints),
            compression_format: update.compression_format.or(self.compression_format),
            encryption_configuration: update.encryption_configuration.or(self.encryption_configuration),
            cloud_watch_logging_options: update
                .cloud_watch_logging_options
                .or(self.cloud_watch_logging_options),
            processing_configuration: update.processing_configuration.or(self.processing_configuration),
            s3_backup_mode: update.s3_backup_mode.or(self.s3_backup_mode),
            s3_backup_configuration: update.s3_backup_configuration.or(self.s3_backup_configuration),
            data_format_conversion_configuration: update
                .data_format_conversion_configuration
                .or(self.data_format_conversion_configuration),
            dynamic_partitioning_configuration: update
                .dynamic_partitioning_configuration
                .or(self.dynamic_partitioning_configuration),
            file_extension: update.file_extension.or(self.file_extension),
            custom_time_zone: update.custom_time_zone.or(self.custom_time_zone),
        }
    }

    /// Whether dynamic partitioning is enabled.
    pub fn is_partitioned(&self) -> bool {
        let configuration = self.dynamic_partitioning_configuration.as_ref();
        configuration.is_some_and(|configuration| configuration.enabled == Some(true))
    }

    /// Members that only the extended form of a destination has.
    fn extended_member(&self) -> Option<&'static str> {
        [
            ("ProcessingConfiguration", self.processing_configuration.is_some()),
            ("S3BackupMode", self.s3_backup_mode.is_some()),
            ("S3BackupConfiguration", self.s3_backup_configuration.is_some()),
            (
                "DataFormatConversionConfiguration",
                self.data_format_conversion_configuration.is_some(),
            ),
            (
                "DynamicPartitioningConfiguration",
                self.dynamic_partitioning_configuration.is_some(),
            ),
            ("FileExtension", self.file_extension.is_some()),
            ("CustomTimeZone", self.custom_time_zone.is_some()),
        ]
        .into_iter()
        .find_map(|(name, is_given)| is_given.then_some(name))
    }

    /// Checks a whole destination, and completes it with defaults. `at` is the member that has it.
    pub fn checked(self, at: &str) -> Result<Self> {
        let is_partitioned = self.is_partitioned();
        let role = required(self.role_arn, &format!("{at}.roleARN"))?;
        check_role(&role, &format!("{at}.roleARN"))?;
        let bucket = required(self.bucket_arn, &format!("{at}.bucketARN"))?;
        check_bucket(&bucket, &format!("{at}.bucketARN"))?;
        check_length(self.prefix.as_deref(), 1024, &format!("{at}.prefix"))?;
        check_length(
            self.error_output_prefix.as_deref(),
            1024,
            &format!("{at}.errorOutputPrefix"),
        )?;
        let prefixes = (self.prefix.as_deref(), self.error_output_prefix.as_deref());
        if let Some(fault) = prefix::fault(prefixes.0, prefixes.1, is_partitioned) {
            return Err(Error::invalid(fault));
        }
        check_extension(self.file_extension.as_deref(), &format!("{at}.fileExtension"))?;
        check_zone(self.custom_time_zone.as_deref())?;
        check_offered(&self.s3_backup_mode, &self.s3_backup_configuration, at)?;
        check_disabled(
            self.data_format_conversion_configuration.as_ref(),
            "the conversion of record formats",
        )?;
        if let Some(processing) = &self.processing_configuration {
            check_processing(processing, is_partitioned)?;
        }
        let processing = self.processing_configuration.as_ref();
        if is_partitioned && let Some(fault) = partitioning::fault(prefixes.0, processing) {
            return Err(Error::invalid(fault));
        }
        let partitioning = checked_partitioning(self.dynamic_partitioning_configuration, at)?;
        Ok(Self {
            buffering_hints: Some(checked_hints(self.buffering_hints, is_partitioned, at)?),
            dynamic_partitioning_configuration: partitioning,
            compression_format: Some(checked_compression(self.compression_format, at)?),
            encryption_configuration: Some(checked_encryption(self.encryption_configuration, at)?),
            cloud_watch_logging_options: Some(checked_logging(self.cloud_watch_logging_options)?),
            s3_backup_mode: Some("Disabled".to_owned()),
            role_arn: Some(role),
            bucket_arn: Some(bucket),
            ..self
        })
    }
}

/// The one destination of a request, and the name of its member.
pub(super) fn destination(
    plain: Option<S3>,
    extended: Option<S3>,
    names: [&'static str; 2],
) -> Result<(S3, &'static str)> {
    match (plain, extended) {
        (None, Some(extended)) => Ok((extended, names[1])),
        (Some(plain), None) => match plain.extended_member() {
            Some(member) => Err(Error::not_offered(format_args!("the member {member} here"))),
            None => Ok((plain, names[0])),
        },
        (None, None) => Err(Error::invalid(
            "The local cloud needs a destination in S3: ExtendedS3DestinationConfiguration, or in an update \
             ExtendedS3DestinationUpdate.",
        )),
        (Some(_), Some(_)) => Err(Error::invalid("Only one destination can be specified.")),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Describe {
    pub delivery_stream_name: Option<String>,
    pub limit: Option<i64>,
    pub exclusive_start_destination_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct List {
    pub limit: Option<i64>,
    pub delivery_stream_type: Option<String>,
    pub exclusive_start_delivery_stream_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Delete {
    pub delivery_stream_name: Option<String>,
    /// Deletes although a grant for a key could not be retired: the local cloud makes no grants.
    #[serde(rename = "AllowForceDelete")]
    pub _force: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Update {
    pub delivery_stream_name: Option<String>,
    pub current_delivery_stream_version_id: Option<String>,
    pub destination_id: Option<String>,
    #[serde(rename = "S3DestinationUpdate")]
    pub s3: Option<S3>,
    #[serde(rename = "ExtendedS3DestinationUpdate")]
    pub extended_s3: Option<S3>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TagStream {
    pub delivery_stream_name: Option<String>,
    pub tags: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct UntagStream {
    pub delivery_stream_name: Option<String>,
    pub tag_keys: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ListTags {
    pub delivery_stream_name: Option<String>,
    pub limit: Option<i64>,
    pub exclusive_start_tag_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct StartEncryption {
    pub delivery_stream_name: Option<String>,
    pub delivery_stream_encryption_configuration_input: Option<EncryptionInput>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PutRecord {
    pub delivery_stream_name: Option<String>,
    pub record: Option<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PutRecordBatch {
    pub delivery_stream_name: Option<String>,
    pub records: Option<Vec<Record>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Record {
    pub data: Option<String>,
}
