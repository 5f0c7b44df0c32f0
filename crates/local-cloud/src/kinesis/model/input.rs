//! Inputs of the operations, each member with its constraint.
//!
//! Every member is optional for the parser. [`Check`] reports missing `required` members, together with all other
//! errors.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::rule;
pub use super::validate::Target;
use super::validate::{Check, Input, Items};
use super::value::{Blob, Timestamp};

/// Tags as a request gives them: a value is optional.
pub type Tags = BTreeMap<String, Option<String>>;

macro_rules! inputs {
    ($($(#[$doc:meta])* $name:ident { $($wire:literal $field:ident: $ty:ty = $need:ident $rule:ident;)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, Deserialize)]
            #[serde(default)]
            #[allow(missing_docs, reason = "each member is documented by AWS under its wire name")]
            pub struct $name { $(#[serde(rename = $wire)] pub $field: Option<$ty>,)* }

            impl Input for $name {
                #[allow(unused_variables, reason = "some operations take nothing")]
                fn check(&self, path: &str, check: &mut Check) {
                    $(check.field(path, $wire, &self.$field, inputs!(@$need), &rule::$rule);)*
                }
            }
        )*
    };
    (@required) => { true };
    (@optional) => { false };
}

pub trait Targeted {
    fn target(&self) -> Target<'_>;
}

macro_rules! targeted {
    ($($name:ident $([$stream_name:ident])?),* $(,)?) => {
        $(impl Targeted for $name {
            fn target(&self) -> Target<'_> {
                #[allow(unused_mut, unused_assignments, reason = "not every input has a name")]
                let mut name = None;
                $(name = self.$stream_name.as_deref();)?
                Target { name, arn: self.stream_arn.as_deref(), id: self.stream_id.as_deref() }
            }
        })*
    };
}

inputs! {
    /// Input of `DescribeLimits`, `DescribeAccountSettings`.
    Empty {}
    AddTagsToStream {
        "StreamName" stream_name: String = optional NAME;
        "Tags" tags: Tags = required TAGS;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    StreamModeDetails {
        "StreamMode" stream_mode: String = required STREAM_MODE;
    }
    CreateStream {
        "StreamName" stream_name: String = required NAME;
        "ShardCount" shard_count: i64 = optional POSITIVE;
        "StreamModeDetails" stream_mode_details: StreamModeDetails = optional ANY;
        "Tags" tags: Tags = optional TAGS;
        "WarmThroughputMiBps" warm_throughput: i64 = optional NATURAL;
        "MaxRecordSizeInKiB" max_record_size: i64 = optional MAX_RECORD_SIZE;
        "RecordDistributionStrategy" distribution: String = optional DISTRIBUTION;
    }
    /// Input of `IncreaseStreamRetentionPeriod` and `DecreaseStreamRetentionPeriod`.
    RetentionPeriod {
        "StreamName" stream_name: String = optional NAME;
        "RetentionPeriodHours" hours: i64 = required ANY;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    /// Input of `GetResourcePolicy`, `DeleteResourcePolicy` and `ListTagsForResource`.
    Resource {
        "ResourceARN" resource_arn: String = required RESOURCE_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    PutResourcePolicy {
        "ResourceARN" resource_arn: String = required RESOURCE_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "Policy" policy: String = required ANY;
    }
    DeleteStream {
        "StreamName" stream_name: String = optional NAME;
        "EnforceConsumerDeletion" enforce_consumer_deletion: bool = optional ANY;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    /// Input of `DescribeStreamConsumer` and `DeregisterStreamConsumer`.
    ConsumerReference {
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "ConsumerName" consumer_name: String = optional NAME;
        "ConsumerARN" consumer_arn: String = optional CONSUMER_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    DescribeStream {
        "StreamName" stream_name: String = optional NAME;
        "Limit" limit: i64 = optional PAGE;
        "ExclusiveStartShardId" exclusive_start_shard_id: String = optional NAME;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    DescribeStreamSummary {
        "StreamName" stream_name: String = optional NAME;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    /// Input of `EnableEnhancedMonitoring` and `DisableEnhancedMonitoring`.
    EnhancedMonitoring {
        "StreamName" stream_name: String = optional NAME;
        "ShardLevelMetrics" metrics: Vec<String> = required METRICS;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    GetRecords {
        "ShardIterator" shard_iterator: String = required SHARD_ITERATOR;
        "Limit" limit: i64 = optional PAGE;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "DryRun" dry_run: bool = optional ANY;
    }
    GetShardIterator {
        "StreamName" stream_name: String = optional NAME;
        "ShardId" shard_id: String = required NAME;
        "ShardIteratorType" iterator_type: String = required ITERATOR_TYPE;
        "StartingSequenceNumber" starting_sequence_number: String = optional SEQUENCE_NUMBER;
        "Timestamp" timestamp: Timestamp = optional ANY;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "DryRun" dry_run: bool = optional ANY;
    }
    /// Which shards `ListShards` returns.
    ShardFilter {
        "Type" filter_type: String = required FILTER_TYPE;
        "ShardId" shard_id: String = optional NAME;
        "Timestamp" timestamp: Timestamp = optional ANY;
    }
    ListShards {
        "StreamName" stream_name: String = optional NAME;
        "NextToken" next_token: String = optional NEXT_TOKEN;
        "ExclusiveStartShardId" exclusive_start_shard_id: String = optional NAME;
        "MaxResults" max_results: i64 = optional PAGE;
        "StreamCreationTimestamp" stream_creation_timestamp: Timestamp = optional ANY;
        "ShardFilter" shard_filter: ShardFilter = optional ANY;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    ListStreamConsumers {
        "StreamARN" stream_arn: String = required STREAM_ARN;
        "NextToken" next_token: String = optional NEXT_TOKEN;
        "MaxResults" max_results: i64 = optional PAGE;
        "StreamCreationTimestamp" stream_creation_timestamp: Timestamp = optional ANY;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    ListStreams {
        "Limit" limit: i64 = optional PAGE;
        "ExclusiveStartStreamName" exclusive_start_stream_name: String = optional NAME;
        "NextToken" next_token: String = optional NEXT_TOKEN;
    }
    ListTagsForStream {
        "StreamName" stream_name: String = optional NAME;
        "ExclusiveStartTagKey" exclusive_start_tag_key: String = optional TAG_KEY;
        "Limit" limit: i64 = optional TAG_PAGE;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    MergeShards {
        "StreamName" stream_name: String = optional NAME;
        "ShardToMerge" shard_to_merge: String = required NAME;
        "AdjacentShardToMerge" adjacent_shard_to_merge: String = required NAME;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    /// Input of `PutRecord`. `PartitionKey` is optional for a stream that distributes records itself.
    PutRecord {
        "StreamName" stream_name: String = optional NAME;
        "Data" data: Blob = required DATA;
        "PartitionKey" partition_key: String = optional PARTITION_KEY;
        "ExplicitHashKey" explicit_hash_key: String = optional HASH_KEY;
        "SequenceNumberForOrdering" sequence_number_for_ordering: String = optional SEQUENCE_NUMBER;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "DryRun" dry_run: bool = optional ANY;
    }
    PutRecordsEntry {
        "Data" data: Blob = required DATA;
        "ExplicitHashKey" explicit_hash_key: String = optional HASH_KEY;
        "PartitionKey" partition_key: String = optional PARTITION_KEY;
    }
    PutRecords {
        "Records" records: Items<PutRecordsEntry> = required RECORDS;
        "StreamName" stream_name: String = optional NAME;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "DryRun" dry_run: bool = optional ANY;
    }
    RegisterStreamConsumer {
        "StreamARN" stream_arn: String = required STREAM_ARN;
        "ConsumerName" consumer_name: String = required NAME;
        "StreamId" stream_id: String = optional STREAM_ID;
        "Tags" tags: Tags = optional TAGS;
    }
    RemoveTagsFromStream {
        "StreamName" stream_name: String = optional NAME;
        "TagKeys" tag_keys: Vec<String> = required TAG_KEYS;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    SplitShard {
        "StreamName" stream_name: String = optional NAME;
        "ShardToSplit" shard_to_split: String = required NAME;
        "NewStartingHashKey" new_starting_hash_key: String = required HASH_KEY;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    /// Input of `StartStreamEncryption` and `StopStreamEncryption`.
    StreamEncryption {
        "StreamName" stream_name: String = optional NAME;
        "EncryptionType" encryption_type: String = required ENCRYPTION_TYPE;
        "KeyId" key_id: String = required KEY_ID;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    /// Where a subscription starts.
    StartingPosition {
        "Type" position_type: String = required ITERATOR_TYPE;
        "SequenceNumber" sequence_number: String = optional SEQUENCE_NUMBER;
        "Timestamp" timestamp: Timestamp = optional ANY;
    }
    SubscribeToShard {
        "ConsumerARN" consumer_arn: String = required CONSUMER_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "ShardId" shard_id: String = required NAME;
        "StartingPosition" starting_position: StartingPosition = required ANY;
        "DryRun" dry_run: bool = optional ANY;
    }
    TagResource {
        "Tags" tags: Tags = required TAGS;
        "ResourceARN" resource_arn: String = required RESOURCE_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    UntagResource {
        "TagKeys" tag_keys: Vec<String> = required TAG_KEYS;
        "ResourceARN" resource_arn: String = required RESOURCE_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    BillingCommitment {
        "Status" status: String = required COMMITMENT;
    }
    UpdateAccountSettings {
        "MinimumThroughputBillingCommitment" commitment: BillingCommitment = required ANY;
    }
    UpdateMaxRecordSize {
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "MaxRecordSizeInKiB" max_record_size: i64 = required MAX_RECORD_SIZE;
    }
    UpdateShardCount {
        "StreamName" stream_name: String = optional NAME;
        "TargetShardCount" target_shard_count: i64 = required POSITIVE;
        "ScalingType" scaling_type: String = required SCALING_TYPE;
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
    }
    UpdateStreamMode {
        "StreamARN" stream_arn: String = required STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "StreamModeDetails" stream_mode_details: StreamModeDetails = required ANY;
        "WarmThroughputMiBps" warm_throughput: i64 = optional NATURAL;
    }
    UpdateDistribution {
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamId" stream_id: String = optional STREAM_ID;
        "RecordDistributionStrategy" distribution: String = required DISTRIBUTION;
    }
    UpdateWarmThroughput {
        "StreamARN" stream_arn: String = optional STREAM_ARN;
        "StreamName" stream_name: String = optional NAME;
        "StreamId" stream_id: String = optional STREAM_ID;
        "WarmThroughputMiBps" warm_throughput: i64 = required NATURAL;
    }
    CreateChannel {
        "ChannelName" name: String = required NAME;
        "ServiceExecutionRoleARN" role: String = required ROLE_ARN;
        "StreamConfigurationList" streams: Items<ChannelStream> = required CHANNEL_PARTS;
        "S3DestinationConfiguration" s3: S3Destination = optional ANY;
        "S3TablesDestinationConfiguration" tables: S3TablesDestination = optional ANY;
        "EncryptionConfiguration" encryption: ChannelEncryption = optional ANY;
        "Tags" tags: Tags = optional TAGS;
        "LoggingConfiguration" logging: ChannelLogging = optional ANY;
    }
    ChannelStream {
        "StreamARN" stream_arn: String = required STREAM_ARN;
        "RecordConfiguration" records: RecordConfiguration = required ANY;
    }
    RecordConfiguration {
        "RecordFormatType" format: String = required RECORD_FORMAT;
        "GSRSchemaARN" schema_arn: String = optional GSR_SCHEMA_ARN;
    }
    S3Destination {
        "DataFreshnessInSeconds" freshness: i64 = optional ANY;
        "DeadLetterQueueS3Configuration" dead_letters: DeadLetterBucket = optional ANY;
        "StorageConfiguration" storage: S3Storage = required ANY;
    }
    DeadLetterBucket {
        "BucketARN" bucket_arn: String = required BUCKET_ARN;
        "ExpectedBucketOwner" owner: String = required BUCKET_OWNER;
        "ErrorOutputPrefix" prefix: String = optional ERROR_PREFIX;
    }
    S3Storage {
        "BucketARN" bucket_arn: String = required BUCKET_ARN;
        "ExpectedBucketOwner" owner: String = required BUCKET_OWNER;
        "OutputKeyTemplate" key_template: String = optional KEY_TEMPLATE;
        "StorageClass" storage_class: String = optional STORAGE_CLASS;
        "CompressionType" compression: String = required S3_COMPRESSION;
    }
    S3TablesDestination {
        "DataFreshnessInSeconds" freshness: i64 = optional ANY;
        "DeadLetterQueueS3Configuration" dead_letters: DeadLetterBucket = required ANY;
        "S3TablesConfigurationList" tables: Items<S3Table> = required CHANNEL_PARTS;
    }
    S3Table {
        "TableBucketARN" bucket_arn: String = required TABLE_BUCKET_ARN;
        "Namespace" namespace: String = required TABLE_NAME;
        "TableName" name: String = required TABLE_NAME;
        "CompressionType" compression: String = required TABLE_COMPRESSION;
        "PartitionSpec" partition_spec: PartitionSpec = optional ANY;
    }
    PartitionSpec {
        "PartitionFields" fields: Items<PartitionField> = required PARTITION_FIELDS;
    }
    PartitionField {
        "Transform" transform: String = required TRANSFORM;
        "SourceName" source_name: String = required SOURCE_NAME;
    }
    ChannelEncryption {
        "EncryptionType" encryption_type: String = required KMS_ONLY;
        "KeyId" key_id: String = required KEY_ID;
    }
    ChannelLogging {
        "CloudWatchLogs" logs: CloudWatchLogs = required ANY;
    }
    CloudWatchLogs {
        "Enabled" enabled: bool = required ANY;
        "LogGroupName" group: String = optional LOG_GROUP;
        "LogStreamName" stream: String = optional LOG_STREAM;
    }
    /// Input of `DescribeChannel` and `DeleteChannel`.
    ChannelReference {
        "ChannelARN" channel_arn: String = required CHANNEL_ARN;
    }
    ListChannels {
        "StreamFilter" streams: Items<StreamFilter> = optional CHANNEL_PARTS;
        "MaxResults" max_results: i64 = optional PAGE;
        "NextToken" next_token: String = optional NEXT_TOKEN;
    }
    StreamFilter {
        "StreamARN" stream_arn: String = required STREAM_ARN;
        "StreamCreationTimestamp" created: Timestamp = optional ANY;
    }
    UpdateChannel {
        "ChannelARN" channel_arn: String = required CHANNEL_ARN;
        "S3DestinationConfiguration" s3: DestinationUpdate = optional ANY;
        "S3TablesDestinationConfiguration" tables: DestinationUpdate = optional ANY;
        "LoggingConfiguration" logging: ChannelLogging = optional ANY;
    }
    DestinationUpdate {
        "DataFreshnessInSeconds" freshness: i64 = required ANY;
    }
}

targeted! {
    AddTagsToStream [stream_name], RetentionPeriod [stream_name], DeleteStream [stream_name],
    ConsumerReference, DescribeStream [stream_name], DescribeStreamSummary [stream_name],
    EnhancedMonitoring [stream_name], GetRecords, GetShardIterator [stream_name], ListShards [stream_name],
    ListStreamConsumers, ListTagsForStream [stream_name], MergeShards [stream_name], PutRecord [stream_name],
    PutRecords [stream_name], RegisterStreamConsumer, RemoveTagsFromStream [stream_name], SplitShard [stream_name],
    StreamEncryption [stream_name], UpdateMaxRecordSize, UpdateShardCount [stream_name], UpdateStreamMode,
    UpdateDistribution, UpdateWarmThroughput [stream_name],
}

/// The text of a required member. [`Check`] has already verified that it is present.
pub fn text(member: &Option<String>) -> &str {
    member.as_deref().unwrap_or_default()
}
