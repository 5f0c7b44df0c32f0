//! Itemised cost estimates.

use serde::Serialize;

use super::price_book::ADVANTAGE_MINIMUM;
use super::{Money, Price, PriceBook, price_book};

/// Bytes of a PUT payload unit. Source: "PUT payload unit", Kinesis Data Streams pricing.
const PAYLOAD_UNIT: u64 = 25 * 1024;
/// On-demand ingestion rounds each record up to this size. Source: as above.
const KB: u64 = 1024;
/// Retention in hours that the price of the stream includes. Source: as above.
const INCLUDED_RETENTION: u64 = 24;
/// Retention in hours from which data counts as long-term. Source: as above.
pub(super) const LONG_TERM_RETENTION: u64 = 7 * 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A fixed number of open shards.
    Provisioned { shards: u64 },
    /// Billed by use.
    OnDemand,
    /// Billed by use, in an account that has committed itself to a minimum throughput and has no other on-demand stream.
    Advantage,
}

/// Usage of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub region: String,
    pub mode: Mode,
    /// Hours the stream existed. Round up: the result is an upper bound.
    pub hours: u64,
    /// The sum of [`payload_units`] of all records put.
    pub put_units: u64,
    /// The sum of [`billed_bytes`] of all records put.
    pub bytes_in: u64,
    /// Bytes read with GetRecords by all readers.
    pub bytes_out: u64,
    /// Enabled shard-level metrics, times open shards.
    pub shard_level_metrics: u64,
    /// Registered enhanced fan-out consumers.
    pub fan_out_consumers: u64,
    /// Bytes read with enhanced fan-out by all of them.
    pub fan_out_bytes: u64,
    pub retention_hours: u64,
    /// Bytes that are older than 24 hours and not older than 7 days, on average.
    pub extended_bytes: u64,
    /// Bytes that are older than 7 days, on average.
    pub long_term_bytes: u64,
}

impl Usage {
    /// A stream with the default retention that nobody uses.
    pub fn idle(region: &str, mode: Mode, hours: u64) -> Self {
        Self {
            region: region.to_owned(),
            mode,
            hours,
            put_units: 0,
            bytes_in: 0,
            bytes_out: 0,
            shard_level_metrics: 0,
            fan_out_consumers: 0,
            fan_out_bytes: 0,
            retention_hours: INCLUDED_RETENTION,
            extended_bytes: 0,
            long_term_bytes: 0,
        }
    }
}

/// What an item of an estimate is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Shards, or the stream itself.
    Capacity,
    Writes,
    /// Reads with GetRecords.
    Reads,
    FanOut,
    /// Retention of more than 24 hours.
    Retention,
    Metrics,
    /// What On-demand Advantage is short of its minimum throughput.
    Minimum,
}

/// One item of an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub category: Category,
    /// Name on AWS's bill: `shard hours`.
    pub item: &'static str,
    pub quantity: u64,
    /// The unit of `quantity`: `shard-hours`, `units`, `bytes`, `byte-hours`.
    pub unit: &'static str,
    /// `None` if the price is not known.
    pub amount: Option<Money>,
}

/// An itemised estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    pub region: String,
    /// When the prices were checked; `None` if the region has no prices.
    pub as_of: Option<&'static str>,
    /// Source of the prices.
    pub source: Option<&'static str>,
    /// The items; empty without prices.
    pub lines: Vec<Line>,
    /// The total; `None` if a price is not known.
    pub total: Option<Money>,
}

impl Estimate {
    /// The sum of the items of `category`; `None` if a price is not known.
    pub fn amount(&self, category: Category) -> Option<Money> {
        let lines = self.lines.iter().filter(|line| line.category == category);
        lines.map(|line| line.amount).sum()
    }

    /// Whether the estimate has an item of `category`.
    pub fn has(&self, category: Category) -> bool {
        self.lines.iter().any(|line| line.category == category)
    }
}

/// PUT payload units of a record with `bytes` bytes of data: 25 KB chunks, at least one.
pub fn payload_units(bytes: u64) -> u64 {
    bytes.div_ceil(PAYLOAD_UNIT).max(1)
}

/// Bytes billed on demand for a record with `bytes` bytes of data: rounded up to 1 KB, at least 1 KB.
pub fn billed_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(KB).max(1).saturating_mul(KB)
}

/// Cost of `usage` on AWS.
pub fn so_far(usage: &Usage) -> Estimate {
    let Some(book) = price_book(&usage.region) else {
        return Estimate {
            region: usage.region.clone(),
            as_of: None,
            source: None,
            lines: Vec::new(),
            total: None,
        };
    };
    let mut lines = match usage.mode {
        Mode::Provisioned { shards } => provisioned(usage, shards, book),
        Mode::OnDemand => on_demand(usage, book),
        Mode::Advantage => advantage(usage, book),
    };
    lines.push(line(
        Category::Metrics,
        "shard-level metrics",
        "metric-hours",
        usage.shard_level_metrics.saturating_mul(usage.hours),
        book.metric_hour,
    ));
    // A price of something that was not used is of no interest, but that of the main items is.
    let is_zero = |line: &Line| line.quantity == 0 && line.amount.unwrap_or_default() == Money::default();
    lines.retain(|line| !is_zero(line) || line.category < Category::FanOut);
    Estimate {
        region: usage.region.clone(),
        as_of: Some(book.as_of),
        source: Some(book.source),
        total: lines.iter().map(|line| line.amount).sum(),
        lines,
    }
}

fn line(
    category: Category,
    item: &'static str,
    unit: &'static str,
    quantity: u64,
    price: Option<Price>,
) -> Line {
    Line {
        category,
        item,
        quantity,
        unit,
        amount: price.map(|price| price.of(quantity)),
    }
}

fn provisioned(usage: &Usage, shards: u64, book: &PriceBook) -> Vec<Line> {
    let prices = &book.provisioned;
    let shard_hours = shards.saturating_mul(usage.hours);
    // "Extended data retention" is a price of the shard, and does not depend on the data.
    let extended_hours = match usage.retention_hours > INCLUDED_RETENTION {
        true => shard_hours,
        false => 0,
    };
    vec![
        line(
            Category::Capacity,
            "shard hours",
            "shard-hours",
            shard_hours,
            Some(prices.shard_hour),
        ),
        line(
            Category::Writes,
            "PUT payload units",
            "units",
            usage.put_units,
            Some(prices.put_units),
        ),
        line(
            Category::FanOut,
            "fan-out consumer hours",
            "consumer-shard-hours",
            usage.fan_out_consumers.saturating_mul(shard_hours),
            prices.consumer_shard_hour,
        ),
        line(
            Category::FanOut,
            "fan-out data read",
            "bytes",
            usage.fan_out_bytes,
            prices.consumer_bytes,
        ),
        line(
            Category::Retention,
            "extended retention",
            "shard-hours",
            extended_hours,
            prices.extended_retention_shard_hour,
        ),
        long_term(usage, prices.long_term_byte_hours),
    ]
}

fn on_demand(usage: &Usage, book: &PriceBook) -> Vec<Line> {
    let prices = &book.on_demand;
    vec![
        line(
            Category::Capacity,
            "stream hours",
            "stream-hours",
            usage.hours,
            Some(prices.stream_hour),
        ),
        line(
            Category::Writes,
            "data written",
            "bytes",
            usage.bytes_in,
            Some(prices.bytes_in),
        ),
        line(
            Category::Reads,
            "data read",
            "bytes",
            usage.bytes_out,
            Some(prices.bytes_out),
        ),
        line(
            Category::FanOut,
            "fan-out data read",
            "bytes",
            usage.fan_out_bytes,
            prices.consumer_bytes,
        ),
        extended(usage, prices.extended_byte_hours),
        long_term(usage, prices.long_term_byte_hours),
    ]
}

fn advantage(usage: &Usage, book: &PriceBook) -> Vec<Line> {
    let prices = book.advantage;
    let (bytes_in, bytes_out) = (
        prices.map(|prices| prices.bytes_in),
        prices.map(|prices| prices.bytes_out),
    );
    let stored = prices.map(|prices| prices.extended_byte_hours);
    let minimum = ADVANTAGE_MINIMUM
        .saturating_mul(3_600)
        .saturating_mul(usage.hours);
    vec![
        line(
            Category::Writes,
            "data written",
            "bytes",
            usage.bytes_in,
            bytes_in,
        ),
        line(Category::Reads, "data read", "bytes", usage.bytes_out, bytes_out),
        line(
            Category::FanOut,
            "fan-out data read",
            "bytes",
            usage.fan_out_bytes,
            bytes_out,
        ),
        extended(usage, stored),
        long_term(usage, stored),
        up_to("minimum of data written", minimum, &[usage.bytes_in], bytes_in),
        up_to(
            "minimum of data read",
            minimum,
            &[usage.bytes_out, usage.fan_out_bytes],
            bytes_out,
        ),
    ]
}

/// What `used` is short of `minimum`. The amounts of `used` and of this line have exactly the price of `minimum`.
fn up_to(item: &'static str, minimum: u64, used: &[u64], price: Option<Price>) -> Line {
    let amount = price.map(|price| {
        let paid: Money = used.iter().map(|bytes| price.of(*bytes)).sum();
        (price.of(minimum) - paid).max(Money::default())
    });
    let quantity = used.iter().fold(minimum, |left, used| left.saturating_sub(*used));
    Line {
        category: Category::Minimum,
        item,
        quantity,
        unit: "bytes",
        amount,
    }
}

fn extended(usage: &Usage, price: Option<Price>) -> Line {
    let byte_hours = usage.extended_bytes.saturating_mul(usage.hours);
    line(
        Category::Retention,
        "extended retention",
        "byte-hours",
        byte_hours,
        price,
    )
}

fn long_term(usage: &Usage, price: Option<Price>) -> Line {
    let byte_hours = usage.long_term_bytes.saturating_mul(usage.hours);
    line(
        Category::Retention,
        "long-term retention",
        "byte-hours",
        byte_hours,
        price,
    )
}

#[cfg(test)]
mod tests;
