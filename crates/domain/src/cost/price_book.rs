//! Prices with their source. Only the regions listed here have prices, and a price that is not known is `None`.

use super::Money;

/// Bytes of a gigabyte as AWS bills it.
const GB: u64 = 1 << 30;

/// Hours of a month in AWS's monthly prices.
pub const HOURS_A_MONTH: u64 = 730;

/// A price for a number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    pub amount: Money,
    /// Number of units, such as 1,000,000 payload units or the bytes of a GB.
    pub per: u64,
}

impl Price {
    const fn new(nanos: i128, per: u64) -> Self {
        Self {
            amount: Money::from_nanos(nanos),
            per,
        }
    }

    /// For a GB.
    const fn gb(nanos: i128) -> Self {
        Self::new(nanos, GB)
    }

    /// For a GB stored during a month. Units are bytes times hours.
    const fn gb_month(nanos: i128) -> Self {
        Self::new(nanos, GB * HOURS_A_MONTH)
    }

    /// Price of `quantity` units, to the billionth of a dollar, rounded half up.
    pub fn of(&self, quantity: u64) -> Money {
        let per = i128::from(self.per.max(1));
        let exact = self.amount.nanos().saturating_mul(i128::from(quantity));
        Money::from_nanos(exact.saturating_add(per / 2).div_euclid(per))
    }
}

/// Prices of provisioned streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provisioned {
    /// An hour of one shard.
    pub shard_hour: Price,
    /// PUT payload units (25 KB).
    pub put_units: Price,
    /// An hour of one shard for retention of more than 24 hours, up to 7 days. It is not a price of bytes.
    pub extended_retention_shard_hour: Option<Price>,
    /// Byte-hours of data that is older than 7 days.
    pub long_term_byte_hours: Option<Price>,
    /// An hour of one enhanced fan-out consumer on one shard.
    pub consumer_shard_hour: Option<Price>,
    /// Bytes read with enhanced fan-out.
    pub consumer_bytes: Option<Price>,
}

/// Prices of on-demand streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDemand {
    /// An hour of one stream.
    pub stream_hour: Price,
    /// Bytes written, each record rounded up to 1 KB.
    pub bytes_in: Price,
    /// Bytes read.
    pub bytes_out: Price,
    /// Byte-hours of data that is older than 24 hours, up to 7 days.
    pub extended_byte_hours: Option<Price>,
    /// Byte-hours of data that is older than 7 days.
    pub long_term_byte_hours: Option<Price>,
    /// Bytes read with enhanced fan-out.
    pub consumer_bytes: Option<Price>,
}

/// Prices of on-demand streams in an account with On-demand Advantage, which has no price of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advantage {
    /// Bytes written, each record rounded up to 1 KB.
    pub bytes_in: Price,
    /// Bytes read, with or without enhanced fan-out.
    pub bytes_out: Price,
    /// Byte-hours of data that is older than 24 hours.
    pub extended_byte_hours: Price,
}

/// Bytes a second that an account with On-demand Advantage pays for at least, in each direction, all its streams of a
/// region together. Source: "Amazon Kinesis Data Streams launches On-demand Advantage", AWS Big Data Blog, 2025-11-03.
pub const ADVANTAGE_MINIMUM: u64 = 25 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceBook {
    pub region: &'static str,
    /// When they were last checked.
    pub as_of: &'static str,
    /// Source of the prices.
    pub source: &'static str,
    pub provisioned: Provisioned,
    pub on_demand: OnDemand,
    pub advantage: Option<Advantage>,
    /// An hour of one shard-level metric, billed hourly as a CloudWatch custom metric.
    /// Source: https://aws.amazon.com/cloudwatch/pricing/.
    pub metric_hour: Option<Price>,
}

/// The prices of Ohio are those of Northern Virginia. Source: AWS Pricing Calculator, 2026-11.
const fn us_east(region: &'static str) -> PriceBook {
    PriceBook {
        region,
        as_of: "2026-11",
        source: "https://aws.amazon.com/kinesis/data-streams/pricing/",
        provisioned: Provisioned {
            shard_hour: Price::new(15_000_000, 1),
            put_units: Price::new(14_000_000, 1_000_000),
            extended_retention_shard_hour: Some(Price::new(20_000_000, 1)),
            long_term_byte_hours: Some(Price::gb_month(23_000_000)),
            consumer_shard_hour: Some(Price::new(15_000_000, 1)),
            consumer_bytes: Some(Price::gb(13_000_000)),
        },
        on_demand: OnDemand {
            stream_hour: Price::new(40_000_000, 1),
            bytes_in: Price::gb(80_000_000),
            bytes_out: Price::gb(40_000_000),
            extended_byte_hours: Some(Price::gb_month(100_000_000)),
            long_term_byte_hours: Some(Price::gb_month(23_000_000)),
            consumer_bytes: Some(Price::gb(50_000_000)),
        },
        advantage: Some(Advantage {
            bytes_in: Price::gb(32_000_000),
            bytes_out: Price::gb(16_000_000),
            extended_byte_hours: Price::gb_month(23_000_000),
        }),
        metric_hour: Some(Price::new(300_000_000, HOURS_A_MONTH)),
    }
}

static BOOKS: &[PriceBook] = &[
    us_east("us-east-1"),
    us_east("us-east-2"),
    // The other prices of this region have no source yet.
    PriceBook {
        region: "ap-northeast-1",
        as_of: "2026-11",
        source: "https://aws.amazon.com/kinesis/data-streams/pricing/",
        provisioned: Provisioned {
            shard_hour: Price::new(19_500_000, 1),
            put_units: Price::new(21_500_000, 1_000_000),
            extended_retention_shard_hour: None,
            long_term_byte_hours: None,
            consumer_shard_hour: None,
            consumer_bytes: None,
        },
        on_demand: OnDemand {
            stream_hour: Price::new(52_000_000, 1),
            bytes_in: Price::gb(104_000_000),
            bytes_out: Price::gb(52_000_000),
            extended_byte_hours: None,
            long_term_byte_hours: None,
            consumer_bytes: None,
        },
        advantage: None,
        metric_hour: None,
    },
];

/// The prices of `region`; `None` if unknown.
pub fn price_book(region: &str) -> Option<&'static PriceBook> {
    BOOKS.iter().find(|book| book.region == region)
}
