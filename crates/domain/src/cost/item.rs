//! What AWS has a price for, and the unit of each price.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a gigabyte as AWS bills it.
const GB: u64 = 1 << 30;
/// Bytes of a terabyte as AWS bills it.
const TB: u64 = 1 << 40;
/// Hours of a month in AWS's monthly prices.
pub const HOURS_A_MONTH: u64 = 730;
/// MB-milliseconds of a GB-second.
const GB_SECOND: u64 = 1_024 * 1_000;

/// The unit of a price, and how many of the smallest units that are counted it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Such as `GB-month`.
    pub name: &'static str,
    /// What is counted, such as `byte-hours`.
    pub counted: &'static str,
    /// How many of those the unit has.
    pub size: u64,
}

const fn unit(name: &'static str, counted: &'static str, size: u64) -> Unit {
    Unit { name, counted, size }
}

const SHARD_HOUR: Unit = unit("shard-hour", "shard-hours", 1);
const STREAM_HOUR: Unit = unit("stream-hour", "stream-hours", 1);
const CONSUMER_HOUR: Unit = unit("consumer-shard-hour", "consumer-shard-hours", 1);
const MILLION_UNITS: Unit = unit("million units", "units", 1_000_000);
const MILLION: Unit = unit("million requests", "requests", 1_000_000);
const TEN_THOUSAND: Unit = unit("10,000 requests", "requests", 10_000);
const THOUSAND: Unit = unit("1,000 requests", "requests", 1_000);
const THOUSAND_OBJECTS: Unit = unit("1,000 objects", "objects", 1_000);
const QUERY_HOUR: Unit = unit("jq-hour", "milliseconds", 3_600_000);
const GIGABYTE: Unit = unit("GB", "bytes", GB);
const TERABYTE: Unit = unit("TB", "bytes", TB);
const GB_MONTH: Unit = unit("GB-month", "byte-hours", GB * HOURS_A_MONTH);
const DURATION: Unit = unit("GB-second", "MB-milliseconds", GB_SECOND);
const UNIT_HOUR: Unit = unit("unit-hour", "unit-hours", 1);
const METRIC_MONTH: Unit = unit("metric-month", "metric-hours", HOURS_A_MONTH);
const ALARM_MONTH: Unit = unit("alarm-month", "alarm-hours", HOURS_A_MONTH);
const DASHBOARD_MONTH: Unit = unit("dashboard-month", "dashboard-hours", HOURS_A_MONTH);
const KEY_MONTH: Unit = unit("key-month", "key-hours", HOURS_A_MONTH);

/// Declares the items: name, key in the price book, unit, name on an estimate.
macro_rules! items {
    ($($name:ident $key:literal $unit:ident $label:literal,)+) => {
        /// Something that AWS has a price for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schemas", derive(schemars::JsonSchema), schemars(rename = "CostItem"))]
        pub enum Item {
            $(#[serde(rename = $key)] $name,)+
        }

        impl Item {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name in the price book.
            pub fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)+
                }
            }

            /// The unit of its price.
            pub fn unit(self) -> Unit {
                match self {
                    $(Self::$name => $unit,)+
                }
            }

            /// Its name on an estimate.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

items! {
    ShardHour "shard-hour" SHARD_HOUR "shard hours",
    PutUnits "put-units" MILLION_UNITS "PUT payload units",
    ConsumerShardHour "consumer-shard-hour" CONSUMER_HOUR "fan-out consumer hours",
    ConsumerData "consumer-data" GIGABYTE "fan-out data read",
    ExtendedRetention "extended-retention" SHARD_HOUR "extended retention",
    LongTermRetention "long-term-retention" GB_MONTH "long-term retention",
    StreamHour "stream-hour" STREAM_HOUR "stream hours",
    OnDemandIn "on-demand-in" GIGABYTE "data written",
    OnDemandOut "on-demand-out" GIGABYTE "data read",
    OnDemandConsumerData "on-demand-consumer-data" GIGABYTE "fan-out data read",
    OnDemandExtendedRetention "on-demand-extended-retention" GB_MONTH "extended retention",
    OnDemandLongTermRetention "on-demand-long-term-retention" GB_MONTH "long-term retention",
    AdvantageIn "advantage-in" GIGABYTE "data written",
    AdvantageOut "advantage-out" GIGABYTE "data read",
    AdvantageConsumerData "advantage-consumer-data" GIGABYTE "fan-out data read",
    AdvantageRetention "advantage-retention" GB_MONTH "retention beyond 24 hours",
    LongTermRead "long-term-read" GIGABYTE "long-term data read",
    ChannelTablesData "channel-tables-data" GIGABYTE "channel to S3 Tables",
    ChannelData "channel-data" GIGABYTE "channel to S3",
    FirehoseData "firehose-data" GIGABYTE "Firehose data",
    FirehoseConversion "firehose-conversion" GIGABYTE "Firehose format conversion",
    FirehosePartitioning "firehose-partitioning" GIGABYTE "Firehose dynamic partitioning",
    FirehoseObjects "firehose-objects" THOUSAND_OBJECTS "objects of partitions",
    FirehoseQueries "firehose-queries" QUERY_HOUR "jq processing",
    LambdaRequests "lambda-requests" MILLION "invocations",
    LambdaDuration "lambda-duration" DURATION "duration (x86)",
    LambdaDurationArm "lambda-duration-arm" DURATION "duration (arm)",
    LambdaStorage "lambda-storage" DURATION "/tmp over 512 MB",
    TableWrites "table-writes" MILLION_UNITS "write request units",
    TableReads "table-reads" MILLION_UNITS "read request units",
    TableWriteCapacity "table-write-capacity" UNIT_HOUR "write capacity",
    TableReadCapacity "table-read-capacity" UNIT_HOUR "read capacity",
    TableStorage "table-storage" GB_MONTH "table storage",
    TableRecovery "table-recovery" GB_MONTH "point-in-time recovery",
    TableStreamReads "table-stream-reads" MILLION_UNITS "table stream reads",
    BucketStorage "bucket-storage" GB_MONTH "S3 Standard storage",
    BucketPuts "bucket-puts" THOUSAND "PUT requests",
    BucketGets "bucket-gets" THOUSAND "GET requests",
    GlacierStorage "glacier-storage" GB_MONTH "S3 Glacier storage",
    QueueRequests "queue-requests" MILLION "queue requests",
    FifoQueueRequests "fifo-queue-requests" MILLION "FIFO queue requests",
    TopicRequests "topic-requests" MILLION "topic requests",
    TopicToFirehose "topic-to-firehose" MILLION "topic to Firehose",
    Alarms "alarms" ALARM_MONTH "alarms",
    HighResolutionAlarms "high-resolution-alarms" ALARM_MONTH "high-resolution alarms",
    Dashboards "dashboards" DASHBOARD_MONTH "dashboards",
    Metrics "metrics" METRIC_MONTH "custom metrics",
    LogsIn "logs-in" GIGABYTE "log data ingested",
    LogsStorage "logs-storage" GB_MONTH "log storage",
    LogsQueries "logs-queries" GIGABYTE "log data queried",
    HttpApiRequests "http-api-requests" MILLION "HTTP API requests",
    RestApiRequests "rest-api-requests" MILLION "REST API requests",
    CloudFrontData "cloudfront-data" GIGABYTE "CloudFront data out",
    CloudFrontRequests "cloudfront-requests" TEN_THOUSAND "CloudFront HTTPS requests",
    CloudFrontRequestsEurope "cloudfront-requests-eu" TEN_THOUSAND "CloudFront HTTPS requests, Europe",
    AthenaData "athena-data" TERABYTE "Athena data scanned",
    KeyRequests "key-requests" TEN_THOUSAND "KMS requests",
    Keys "keys" KEY_MONTH "KMS keys",
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl FromStr for Item {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|item| item.key() == text);
        found.copied().ok_or_else(|| {
            let near = Self::ALL.iter().map(|item| item.key());
            let near = near.max_by(|a, b| strsim::jaro(a, text).total_cmp(&strsim::jaro(b, text)));
            format!(
                "{text:?} is not in the price book; did you mean {}?",
                near.unwrap_or_default()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_found_by_its_key() {
        for item in Item::ALL {
            assert_eq!(item.key().parse(), Ok(*item));
            assert_eq!(
                serde_json::to_string(item).unwrap(),
                format!("\"{}\"", item.key())
            );
        }
        let error = "http-requests".parse::<Item>().unwrap_err();
        assert!(error.contains("http-api-requests"), "{error}");
    }
}
