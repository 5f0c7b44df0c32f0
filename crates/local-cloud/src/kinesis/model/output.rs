//! The output of every operation. Members that are `None` are left out.

use serde::Serialize;

use super::value::{Blob, Timestamp};

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

/// Whether a member is left out of the answer.
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
impl<T> Absent for Vec<T> {}

outputs! {
    /// A range of hash keys, both ends included.
    HashKeyRange { "StartingHashKey" start: String; "EndingHashKey" end: String; }
    /// A range of sequence numbers; open while the shard is.
    SequenceNumberRange { "StartingSequenceNumber" start: String; "EndingSequenceNumber" end: Option<String>; }
    /// A shard.
    Shard {
        "ShardId" shard_id: String;
        "ParentShardId" parent: Option<String>;
        "AdjacentParentShardId" adjacent_parent: Option<String>;
        "HashKeyRange" hash_keys: HashKeyRange;
        "SequenceNumberRange" sequence_numbers: SequenceNumberRange;
    }
    /// A shard that follows on one that has ended.
    ChildShard {
        "ShardId" shard_id: String;
        "ParentShards" parents: Vec<String>;
        "HashKeyRange" hash_keys: HashKeyRange;
    }
    /// A capacity mode.
    StreamModeDetails { "StreamMode" mode: &'static str; }
    /// Shard-level metrics.
    EnhancedMetrics { "ShardLevelMetrics" metrics: Vec<&'static str>; }
    /// Write throughput held ready.
    WarmThroughput { "TargetMiBps" target: i64; "CurrentMiBps" current: i64; }
    /// Output of `DescribeStream`.
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
    /// Output of `DescribeStreamSummary`.
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
    /// Output of `DescribeLimits`.
    DescribeLimits {
        "ShardLimit" shard_limit: i64;
        "OpenShardCount" open_shards: i64;
        "OnDemandStreamCount" on_demand_streams: i64;
        "OnDemandStreamCountLimit" on_demand_limit: i64;
    }
    /// The account's billing commitment.
    Commitment {
        "Status" status: &'static str;
        "StartedAt" started: Option<Timestamp>;
        "EndedAt" ended: Option<Timestamp>;
        "EarliestAllowedEndAt" earliest_end: Option<Timestamp>;
    }
    /// Output of `DescribeAccountSettings` and `UpdateAccountSettings`.
    AccountSettings { "MinimumThroughputBillingCommitment" commitment: Option<Commitment>; }
    /// Output of `ListStreams`.
    ListStreams {
        "StreamNames" names: Vec<String>;
        "HasMoreStreams" has_more: bool;
        "NextToken" next_token: Option<String>;
        "StreamSummaries" summaries: Vec<StreamSummary>;
    }
    /// A stream in a list.
    StreamSummary {
        "StreamName" name: String;
        "StreamARN" arn: String;
        "StreamStatus" status: &'static str;
        "StreamModeDetails" mode: StreamModeDetails;
        "StreamCreationTimestamp" created: Timestamp;
    }
    /// Output of `ListShards`.
    ListShards { "Shards" shards: Vec<Shard>; "NextToken" next_token: Option<String>; }
    /// A registered consumer.
    Consumer {
        "ConsumerName" name: String;
        "ConsumerARN" arn: String;
        "ConsumerStatus" status: &'static str;
        "ConsumerCreationTimestamp" created: Timestamp;
    }
    /// A registered consumer with its stream.
    ConsumerDescription {
        "ConsumerName" name: String;
        "ConsumerARN" arn: String;
        "ConsumerStatus" status: &'static str;
        "ConsumerCreationTimestamp" created: Timestamp;
        "StreamARN" stream_arn: String;
    }
    /// Output of `RegisterStreamConsumer`.
    RegisterStreamConsumer { "Consumer" consumer: Option<Consumer>; }
    /// Output of `DescribeStreamConsumer`.
    DescribeStreamConsumer { "ConsumerDescription" description: ConsumerDescription; }
    /// Output of `ListStreamConsumers`.
    ListStreamConsumers { "Consumers" consumers: Vec<Consumer>; "NextToken" next_token: Option<String>; }
    /// One tag.
    Tag { "Key" key: String; "Value" value: Option<String>; }
    /// Output of `ListTagsForStream`.
    ListTagsForStream { "Tags" tags: Vec<Tag>; "HasMoreTags" has_more: bool; }
    /// Output of `ListTagsForResource`.
    ListTagsForResource { "Tags" tags: Vec<Tag>; }
    /// Output of `GetResourcePolicy`.
    GetResourcePolicy { "Policy" policy: String; }
    /// Output of `EnableEnhancedMonitoring` and `DisableEnhancedMonitoring`.
    EnhancedMonitoring {
        "StreamName" name: String;
        "CurrentShardLevelMetrics" current: Vec<&'static str>;
        "DesiredShardLevelMetrics" desired: Vec<&'static str>;
        "StreamARN" arn: String;
    }
    /// Output of `UpdateShardCount`.
    UpdateShardCount {
        "StreamName" name: String;
        "CurrentShardCount" current: i64;
        "TargetShardCount" target: i64;
        "StreamARN" arn: String;
    }
    /// Output of `UpdateStreamWarmThroughput`.
    UpdateWarmThroughput {
        "StreamARN" arn: String;
        "StreamName" name: String;
        "WarmThroughput" warm_throughput: Option<WarmThroughput>;
    }
    /// Output of `GetShardIterator`.
    GetShardIterator { "ShardIterator" iterator: String; }
    /// Output of `PutRecord`.
    PutRecord {
        "ShardId" shard_id: String;
        "SequenceNumber" sequence_number: String;
        "EncryptionType" encryption_type: Option<&'static str>;
    }
    /// Output of `PutRecords`.
    PutRecords {
        "FailedRecordCount" failed: i64;
        "Records" records: Vec<PutRecordsResult>;
        "EncryptionType" encryption_type: Option<&'static str>;
    }
    /// What became of one record.
    PutRecordsResult {
        "SequenceNumber" sequence_number: Option<String>;
        "ShardId" shard_id: Option<String>;
        "ErrorCode" error_code: Option<&'static str>;
        "ErrorMessage" error_message: Option<String>;
    }
    /// A record read.
    Record {
        "SequenceNumber" sequence_number: String;
        "ApproximateArrivalTimestamp" arrival: Timestamp;
        "Data" data: Blob;
        "PartitionKey" partition_key: Option<String>;
        "EncryptionType" encryption_type: Option<&'static str>;
    }
    /// Output of `GetRecords`.
    GetRecords {
        "Records" records: Vec<Record>;
        "NextShardIterator" next_iterator: Option<String>;
        "MillisBehindLatest" millis_behind: i64;
        "ChildShards" children: Option<Vec<ChildShard>>;
    }
    /// One event of `SubscribeToShard`. The continuation is left out at the end of a shard, as AWS does.
    SubscribeToShardEvent {
        "Records" records: Vec<Record>;
        "ContinuationSequenceNumber" continuation: Option<String>;
        "MillisBehindLatest" millis_behind: i64;
        "ChildShards" children: Option<Vec<ChildShard>>;
    }
}

/// Output of an operation that answers nothing.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Nothing {}
