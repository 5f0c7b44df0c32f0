//! The operations of the Kinesis Data Streams API, and their rates.

use crate::operation::operations;

operations! {
    /// Every operation of `aws-sdk-kinesis` 1.130.
    pub enum Operation {
        AddTagsToStream,
        CreateChannel,
        CreateStream,
        DecreaseStreamRetentionPeriod,
        DeleteChannel,
        DeleteResourcePolicy,
        DeleteStream,
        DeregisterStreamConsumer,
        DescribeAccountSettings,
        DescribeChannel,
        DescribeLimits,
        DescribeStream,
        DescribeStreamConsumer,
        DescribeStreamSummary,
        DisableEnhancedMonitoring,
        EnableEnhancedMonitoring,
        GetRecords,
        GetResourcePolicy,
        GetShardIterator,
        IncreaseStreamRetentionPeriod,
        ListChannels,
        ListShards,
        ListStreamConsumers,
        ListStreams,
        ListTagsForResource,
        ListTagsForStream,
        MergeShards,
        PutRecord,
        PutRecords,
        PutResourcePolicy,
        RegisterStreamConsumer,
        RemoveTagsFromStream,
        SplitShard,
        StartStreamEncryption,
        StopStreamEncryption,
        SubscribeToShard,
        TagResource,
        UntagResource,
        UpdateAccountSettings,
        UpdateChannel,
        UpdateMaxRecordSize,
        UpdateShardCount,
        UpdateStreamMode,
        UpdateStreamRecordDistributionStrategy,
        UpdateStreamWarmThroughput,
    }
}

impl Operation {
    /// The operation of an `X-Amz-Target` value or of a name.
    pub fn of_target(target: &str) -> Option<Self> {
        match target.split_once('.') {
            Some(("Kinesis_20131202", name)) => Self::parse(name),
            Some(_) => None,
            None => Self::parse(target),
        }
    }

    /// How many calls a second AWS allows, and over what they are counted.
    pub const fn rate(self) -> Rate {
        let (scope, per_second) = match self {
            Self::DescribeLimits => (Scope::Account, 1),
            Self::AddTagsToStream
            | Self::CreateChannel
            | Self::CreateStream
            | Self::DecreaseStreamRetentionPeriod
            | Self::DeleteChannel
            | Self::DeleteResourcePolicy
            | Self::DeleteStream
            | Self::DescribeAccountSettings
            | Self::DescribeChannel
            | Self::DisableEnhancedMonitoring
            | Self::EnableEnhancedMonitoring
            | Self::GetResourcePolicy
            | Self::IncreaseStreamRetentionPeriod
            | Self::ListChannels
            | Self::ListStreams
            | Self::ListTagsForResource
            | Self::ListTagsForStream
            | Self::MergeShards
            | Self::PutResourcePolicy
            | Self::RegisterStreamConsumer
            | Self::RemoveTagsFromStream
            | Self::SplitShard
            | Self::StartStreamEncryption
            | Self::StopStreamEncryption
            | Self::TagResource
            | Self::UntagResource
            | Self::UpdateAccountSettings
            | Self::UpdateChannel
            | Self::UpdateMaxRecordSize
            | Self::UpdateStreamMode
            | Self::UpdateStreamRecordDistributionStrategy
            | Self::UpdateStreamWarmThroughput => (Scope::Account, 5),
            Self::DescribeStream | Self::UpdateShardCount => (Scope::Account, 10),
            Self::DescribeStreamSummary => (Scope::Account, 20),
            Self::GetRecords | Self::PutRecord | Self::PutRecords | Self::SubscribeToShard => {
                (Scope::Data, 0)
            }
            Self::DeregisterStreamConsumer | Self::GetShardIterator | Self::ListStreamConsumers => {
                (Scope::Stream, 5)
            }
            Self::DescribeStreamConsumer => (Scope::Stream, 20),
            Self::ListShards => (Scope::Stream, 1000),
        };
        Rate { scope, per_second }
    }

    /// Whether it may create or delete thousands of files, or wait for an operation that does. The operations that are
    /// called thousands of times a second never do.
    pub const fn may_take_long(self) -> bool {
        !matches!(
            self,
            Self::GetRecords
                | Self::GetShardIterator
                | Self::PutRecord
                | Self::PutRecords
                | Self::SubscribeToShard
        )
    }
}

/// A control-plane quota. Source: the API reference's page of each operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub scope: Scope,
    /// Calls a second; 0 where the data plane's own limits apply.
    pub per_second: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The account, in a region.
    Account,
    Stream,
    /// Not counted by operation.
    Data,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_target_and_by_its_name() {
        for operation in Operation::ALL {
            let target = format!("Kinesis_20131202.{}", operation.as_str());
            assert_eq!(Operation::of_target(&target), Some(*operation));
            assert_eq!(Operation::of_target(operation.as_str()), Some(*operation));
        }
        assert_eq!(Operation::ALL.len(), 45);
    }

    #[test]
    fn other_names_are_unknown() {
        for target in [
            "Kinesis_20131202.CreateTable",
            "Firehose_20150804.PutRecord",
            "Kinesis_20131202.",
            "",
            ".",
        ] {
            assert_eq!(Operation::of_target(target), None, "{target}");
        }
    }
}
