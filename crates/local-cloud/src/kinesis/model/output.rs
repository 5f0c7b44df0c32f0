//! Outputs of the operations. A member that is `None` is omitted.

use serde::Serialize;

use super::value::{Blob, Timestamp};
use crate::kinesis::channels::meta as channel;

macro_rules! outputs {
    ($($(#[$doc:meta])* $name:ident { $($wire:literal $field:ident: $ty:ty;)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Serialize)]
            #[allow(missing_docs, reason = "each member is documented by AWS under its wire name")]
            pub struct $name {
                $(#[serde(rename = $wire, skip_serializing_if = "Absent::absent")] pub $field: $ty,)*
            }
        )*
    };
}

trait Absent {
    fn absent(&self) -> bool {
        false
    }
}

impl<T> Absent for Option<T> {
    fn absent(&self) -> bool {
        self.is_none()
    }
}

macro_rules! present { ($($ty:ty),* $(,)?) => { $(impl Absent for $ty {})* } }
present!(
    String,
    &'static str,
    i64,
    bool,
    Timestamp,
    Blob,
    HashKeyRange,
    SequenceNumberRange,
    StreamModeDetails
);
present!(ConsumerDescription, StreamDescription, StreamDescriptionSummary);
present!(ChannelDescription, ChannelLogging, channel::Logs);
impl<T> Absent for Vec<T> {}

outputs! {
    /// Both ends are inclusive.
    HashKeyRange { "StartingHashKey" start: String; "EndingHashKey" end: String; }
    /// `end` is absent while the shard is open.
    SequenceNumberRange { "StartingSequenceNumber" start: String; "EndingSequenceNumber" end: Option<String>; }
    Shard {
        "ShardId" shard_id: String;
        "ParentShardId" parent: Option<String>;
        "AdjacentParentShardId" adjacent_parent: Option<String>;
        "HashKeyRange" hash_keys: HashKeyRange;
        "SequenceNumberRange" sequence_numbers: SequenceNumberRange;
    }
    /// A child of a closed shard.
    ChildShard {
        "ShardId" shard_id: String;
        "ParentShards" parents: Vec<String>;
        "HashKeyRange" hash_keys: HashKeyRange;
    }
    StreamModeDetails { "StreamMode" mode: &'static str; }
    EnhancedMetrics { "ShardLevelMetrics" metrics: Vec<&'static str>; }
    WarmThroughput { "TargetMiBps" target: i64; "CurrentMiBps" current: i64; }
    DescribeStream { "StreamDescription" description: StreamDescription; }
    /// A stream with its shards.
    StreamDescription {
        "StreamName" name: String;
        "StreamARN" arn: String;
        "StreamStatus" status: &'static str;
        "StreamModeDetails" mode: StreamModeDetails;
        "Shards" shards: Vec<Shard>;
        "HasMoreShards" has_more: bool;
        "RetentionPeriodHours" retention_hours: i64;
        "StreamCreationTimestamp" created: Timestamp;
        "EnhancedMonitoring" monitoring: Vec<EnhancedMetrics>;
        "EncryptionType" encryption_type: &'static str;
        "KeyId" key_id: Option<String>;
    }
    DescribeStreamSummary { "StreamDescriptionSummary" summary: StreamDescriptionSummary; }
    /// A stream without its shards.
    StreamDescriptionSummary {
        "StreamName" name: String;
        "StreamARN" arn: String;
        "StreamId" id: String;
        "StreamStatus" status: &'static str;
        "StreamModeDetails" mode: StreamModeDetails;
        "RetentionPeriodHours" retention_hours: i64;
        "StreamCreationTimestamp" created: Timestamp;
        "EnhancedMonitoring" monitoring: Vec<EnhancedMetrics>;
        "EncryptionType" encryption_type: &'static str;
        "KeyId" key_id: Option<String>;
        "OpenShardCount" open_shards: i64;
        "ConsumerCount" consumers: i64;
        "WarmThroughput" warm_throughput: Option<WarmThroughput>;
        "MaxRecordSizeInKiB" max_record_size: i64;
        "ChannelCount" channels: i64;
        "RecordDistributionStrategy" distribution: Option<&'static str>;
    }
    DescribeLimits {
        "ShardLimit" shard_limit: i64;
        "OpenShardCount" open_shards: i64;
        "OnDemandStreamCount" on_demand_streams: i64;
        "OnDemandStreamCountLimit" on_demand_limit: i64;
    }
    Commitment {
        "Status" status: &'static str;
        "StartedAt" started: Option<Timestamp>;
        "EndedAt" ended: Option<Timestamp>;
        "EarliestAllowedEndAt" earliest_end: Option<Timestamp>;
    }
    /// Output of `DescribeAccountSettings` and `UpdateAccountSettings`.
    AccountSettings { "MinimumThroughputBillingCommitment" commitment: Option<Commitment>; }
    ListStreams {
        "StreamNames" names: Vec<String>;
        "HasMoreStreams" has_more: bool;
        "NextToken" next_token: Option<String>;
        "StreamSummaries" summaries: Vec<StreamSummary>;
    }
    StreamSummary {
        "StreamName" name: String;
        "StreamARN" arn: String;
        "StreamStatus" status: &'static str;
        "StreamModeDetails" mode: StreamModeDetails;
        "StreamCreationTimestamp" created: Timestamp;
    }
    ListShards { "Shards" shards: Vec<Shard>; "NextToken" next_token: Option<String>; }
    Consumer {
        "ConsumerName" name: String;
        "ConsumerARN" arn: String;
        "ConsumerStatus" status: &'static str;
        "ConsumerCreationTimestamp" created: Timestamp;
    }
    ConsumerDescription {
        "ConsumerName" name: String;
        "ConsumerARN" arn: String;
        "ConsumerStatus" status: &'static str;
        "ConsumerCreationTimestamp" created: Timestamp;
        "StreamARN" stream_arn: String;
    }
    RegisterStreamConsumer { "Consumer" consumer: Option<Consumer>; }
    DescribeStreamConsumer { "ConsumerDescription" description: ConsumerDescription; }
    ListStreamConsumers { "Consumers" consumers: Vec<Consumer>; "NextToken" next_token: Option<String>; }
    Tag { "Key" key: String; "Value" value: Option<String>; }
    ListTagsForStream { "Tags" tags: Vec<Tag>; "HasMoreTags" has_more: bool; }
    ListTagsForResource { "Tags" tags: Vec<Tag>; }
    GetResourcePolicy { "Policy" policy: String; }
    /// Output of `EnableEnhancedMonitoring` and `DisableEnhancedMonitoring`.
    EnhancedMonitoring {
        "StreamName" name: String;
        "CurrentShardLevelMetrics" current: Vec<&'static str>;
        "DesiredShardLevelMetrics" desired: Vec<&'static str>;
        "StreamARN" arn: String;
    }
    UpdateShardCount {
        "StreamName" name: String;
        "CurrentShardCount" current: i64;
        "TargetShardCount" target: i64;
        "StreamARN" arn: String;
    }
    UpdateWarmThroughput {
        "StreamARN" arn: String;
        "StreamName" name: String;
        "WarmThroughput" warm_throughput: Option<WarmThroughput>;
    }
    GetShardIterator { "ShardIterator" iterator: String; }
    PutRecord {
        "ShardId" shard_id: String;
        "SequenceNumber" sequence_number: String;
        "EncryptionType" encryption_type: Option<&'static str>;
    }
    Record {
        "SequenceNumber" sequence_number: String;
        "ApproximateArrivalTimestamp" arrival: Timestamp;
        "Data" data: Blob;
        "PartitionKey" partition_key: Option<String>;
        "EncryptionType" encryption_type: Option<&'static str>;
    }
    /// One event of `SubscribeToShard`. At the end of a shard AWS omits the continuation sequence number.
    SubscribeToShardEvent {
        "Records" records: Vec<Record>;
        "ContinuationSequenceNumber" continuation: Option<String>;
        "MillisBehindLatest" millis_behind: i64;
        "ChildShards" children: Option<Vec<ChildShard>>;
    }
    /// Output of `CreateChannel`, `DescribeChannel` and `UpdateChannel`.
    Channel { "ChannelDescription" description: ChannelDescription; }
    ChannelDescription {
        "ChannelName" name: String;
        "ChannelARN" arn: String;
        "ChannelId" id: String;
        "ChannelStatus" status: &'static str;
        "ChannelStatusReason" reason: Option<String>;
        "ChannelCreationTimestamp" created: Timestamp;
        "ServiceExecutionRoleARN" role: String;
        "StreamConfigurationList" streams: Vec<ChannelStream>;
        "S3DestinationConfiguration" s3: Option<channel::S3>;
        "S3TablesDestinationConfiguration" tables: Option<channel::Tables>;
        "EncryptionConfiguration" encryption: Option<ChannelEncryption>;
        "LoggingConfiguration" logging: ChannelLogging;
    }
    ChannelStream {
        "StreamARN" arn: String;
        "StreamCreationTimestamp" created: Timestamp;
        "RecordConfiguration" records: Option<RecordConfiguration>;
    }
    RecordConfiguration {
        "RecordFormatType" format: &'static str;
        "GSRSchemaARN" schema_arn: Option<String>;
    }
    ChannelEncryption { "EncryptionType" kind: &'static str; "KeyId" key_id: String; }
    ChannelLogging { "CloudWatchLogs" logs: channel::Logs; }
    ListChannels { "ChannelSummaries" summaries: Vec<ChannelSummary>; "NextToken" next_token: Option<String>; }
    ChannelSummary {
        "ChannelName" name: String;
        "ChannelARN" arn: String;
        "ChannelId" id: String;
        "ChannelStatus" status: &'static str;
        "ChannelStatusReason" reason: Option<String>;
        "ChannelCreationTimestamp" created: Timestamp;
        "ChannelDestinationType" destination: &'static str;
        "Streams" streams: Vec<ChannelStream>;
    }
}

/// Output of an operation without output members.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Nothing {}
