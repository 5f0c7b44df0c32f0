//! Prices with their source. Only the regions listed here have prices.

use super::Money;

/// Bytes of a gigabyte as AWS bills it.
const GB: u64 = 1 << 30;

/// Hours of a month in AWS's monthly prices.
pub(super) const HOURS_A_MONTH: u64 = 730;

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
    /// An hour of one shard for retention of more than 24 hours, up to 7 days.
    pub extended_retention_shard_hour: Price,
    /// An hour of one enhanced fan-out consumer on one shard.
    pub consumer_shard_hour: Price,
    /// Bytes read with enhanced fan-out.
    pub consumer_bytes: Price,
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
    /// Bytes read with enhanced fan-out.
    pub consumer_bytes: Price,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceBook {
    pub region: &'static str,
    /// When they were last checked.
    pub as_of: &'static str,
    /// Source of the prices.
    pub source: &'static str,
    pub provisioned: Provisioned,
    pub on_demand: OnDemand,
    /// An hour of one shard-level metric, billed hourly as a CloudWatch custom metric.
    /// Source: https://aws.amazon.com/cloudwatch/pricing/.
    pub metric_hour: Price,
}

static BOOKS: &[PriceBook] = &[PriceBook {
    region: "us-east-1",
    as_of: "2026-11",
    source: "https://aws.amazon.com/kinesis/data-streams/pricing/",
    provisioned: Provisioned {
        shard_hour: Price::new(15_000_000, 1),
        put_units: Price::new(14_000_000, 1_000_000),
        extended_retention_shard_hour: Price::new(20_000_000, 1),
        consumer_shard_hour: Price::new(15_000_000, 1),
        consumer_bytes: Price::new(13_000_000, GB),
    },
    on_demand: OnDemand {
        stream_hour: Price::new(40_000_000, 1),
        bytes_in: Price::new(80_000_000, GB),
        bytes_out: Price::new(40_000_000, GB),
        consumer_bytes: Price::new(50_000_000, GB),
    },
    metric_hour: Price::new(300_000_000, HOURS_A_MONTH),
}];

/// The prices of `region`; `None` if unknown.
pub fn price_book(region: &str) -> Option<&'static PriceBook> {
    BOOKS.iter().find(|book| book.region == region)
}
