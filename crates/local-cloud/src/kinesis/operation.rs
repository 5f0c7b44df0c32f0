//! The operations of the Kinesis Data Streams API, as one exhaustive list.

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($name:ident $scope:ident $rate:literal),* $(,)?) => {
        /// Every operation of `aws-sdk-kinesis` 1.130 except those on channels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each is documented by AWS under its own name")]
        pub enum Operation { $($name),* }

        impl Operation {
            /// All of them, in the order of their names.
            pub const ALL: &'static [Operation] = &[$(Operation::$name),*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// The operation of an `X-Amz-Target` value or of a bare name; `None` if there is no such operation.
            pub fn parse(target: &str) -> Option<Self> {
                let name = match target.split_once('.') {
                    Some(("Kinesis_20131202", name)) => name,
                    Some(_) => return None,
                    None => target,
                };
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }

            /// How many calls a second AWS allows, and over what they are counted.
            pub const fn rate(self) -> Rate {
                match self { $(Self::$name => Rate { scope: Scope::$scope, per_second: $rate }),* }
            }
        }
    };
}

impl Operation {
    /// Whether it may make or delete thousands of files, or wait for one that does. What is called thousands of times a
    /// second never does.
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
    /// What the calls are counted over.
    pub scope: Scope,
    /// Calls a second; 0 where the data plane's own limits apply.
    pub per_second: u32,
}

/// What calls are counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An account in a region.
    Account,
    /// One stream.
    Stream,
    /// Not counted here.
    Data,
}

operations! {
    AddTagsToStream Account 5,
    CreateStream Account 5,
    DecreaseStreamRetentionPeriod Account 5,
    DeleteResourcePolicy Account 5,
    DeleteStream Account 5,
    DeregisterStreamConsumer Stream 5,
    DescribeAccountSettings Account 5,
    DescribeLimits Account 1,
    DescribeStream Account 10,
    DescribeStreamConsumer Stream 20,
    DescribeStreamSummary Account 20,
    DisableEnhancedMonitoring Account 5,
    EnableEnhancedMonitoring Account 5,
    GetRecords Data 0,
    GetResourcePolicy Account 5,
    GetShardIterator Stream 5,
    IncreaseStreamRetentionPeriod Account 5,
    ListShards Stream 1000,
    ListStreamConsumers Stream 5,
    ListStreams Account 5,
    ListTagsForResource Account 5,
    ListTagsForStream Account 5,
    MergeShards Account 5,
    PutRecord Data 0,
    PutRecords Data 0,
    PutResourcePolicy Account 5,
    RegisterStreamConsumer Account 5,
    RemoveTagsFromStream Account 5,
    SplitShard Account 5,
    StartStreamEncryption Account 5,
    StopStreamEncryption Account 5,
    SubscribeToShard Data 0,
    TagResource Account 5,
    UntagResource Account 5,
    UpdateAccountSettings Account 5,
    UpdateMaxRecordSize Account 5,
    UpdateShardCount Account 10,
    UpdateStreamMode Account 5,
    UpdateStreamRecordDistributionStrategy Account 5,
    UpdateStreamWarmThroughput Account 5,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_target_and_by_its_name() {
        for operation in Operation::ALL {
            let target = format!("Kinesis_20131202.{}", operation.as_str());
            assert_eq!(Operation::parse(&target), Some(*operation));
            assert_eq!(Operation::parse(operation.as_str()), Some(*operation));
        }
        assert_eq!(Operation::ALL.len(), 40);
    }

    #[test]
    fn channels_and_other_services_are_unknown() {
        for target in [
            "Kinesis_20131202.CreateChannel",
            "Firehose_20150804.PutRecord",
            "Kinesis_20131202.",
            "",
            ".",
        ] {
            assert_eq!(Operation::parse(target), None, "{target}");
        }
    }
}
