//! Itemised cost estimates.

use serde::Serialize;

use super::Money;
use super::item::Item;
use super::price_book::{ADVANTAGE_MINIMUM, Price, PriceBook, price_book};

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
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
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
    /// How much On-demand Advantage is below its minimum throughput.
    Minimum,
    /// Delivery with channels or Firehose.
    Delivery,
    Functions,
    Tables,
    Buckets,
    Queues,
    Topics,
    Alarms,
    Dashboards,
    Logs,
    /// APIs and what is in front of them.
    Apis,
    /// Queries of Athena.
    Queries,
    Keys,
}

impl Category {
    fn of(item: Item) -> Self {
        match item {
            Item::ShardHour | Item::StreamHour => Self::Capacity,
            Item::PutUnits | Item::OnDemandIn | Item::AdvantageIn => Self::Writes,
            Item::OnDemandOut | Item::AdvantageOut | Item::LongTermRead => Self::Reads,
            Item::ConsumerShardHour
            | Item::ConsumerData
            | Item::OnDemandConsumerData
            | Item::AdvantageConsumerData => Self::FanOut,
            Item::ExtendedRetention
            | Item::LongTermRetention
            | Item::OnDemandExtendedRetention
            | Item::OnDemandLongTermRetention
            | Item::AdvantageRetention => Self::Retention,
            Item::Metrics => Self::Metrics,
            Item::ChannelData
            | Item::ChannelTablesData
            | Item::FirehoseData
            | Item::FirehoseConversion
            | Item::FirehosePartitioning
            | Item::FirehoseObjects
            | Item::FirehoseQueries => Self::Delivery,
            Item::LambdaRequests | Item::LambdaDuration | Item::LambdaDurationArm | Item::LambdaStorage => {
                Self::Functions
            }
            Item::TableWrites
            | Item::TableReads
            | Item::TableWriteCapacity
            | Item::TableReadCapacity
            | Item::TableStorage
            | Item::TableRecovery
            | Item::TableStreamReads => Self::Tables,
            Item::BucketStorage | Item::BucketPuts | Item::BucketGets | Item::GlacierStorage => Self::Buckets,
            Item::QueueRequests | Item::FifoQueueRequests => Self::Queues,
            Item::TopicRequests | Item::TopicToFirehose => Self::Topics,
            Item::Alarms | Item::HighResolutionAlarms => Self::Alarms,
            Item::Dashboards => Self::Dashboards,
            Item::LogsIn | Item::LogsStorage | Item::LogsQueries => Self::Logs,
            Item::HttpApiRequests
            | Item::RestApiRequests
            | Item::CloudFrontData
            | Item::CloudFrontRequests
            | Item::CloudFrontRequestsEurope => Self::Apis,
            Item::AthenaData => Self::Queries,
            Item::KeyRequests | Item::Keys => Self::Keys,
        }
    }
}

/// One item of an estimate: a quantity, a price, and what they amount to. A contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "CostLine")
)]
pub struct Line {
    /// The resource of a pipeline, such as `function scorer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    pub category: Category,
    /// Name on AWS's bill: `shard hours`.
    pub item: &'static str,
    /// Its name in the price book.
    pub price: Item,
    /// In a month, or in the time that the estimate is of.
    pub quantity: u64,
    /// The unit of `quantity`: `shard-hours`, `units`, `bytes`, `byte-hours`.
    pub unit: &'static str,
    /// US dollars for one `per`; `None` if the price is not known.
    pub unit_price: Option<String>,
    /// The unit of the price: `shard-hour`, `million units`, `GB`, `GB-month`.
    pub per: &'static str,
    /// `None` if the price is not known.
    pub amount: Option<Money>,
}

impl Line {
    fn new(item: Item, quantity: u64, price: Option<Price>) -> Self {
        Self {
            resource: None,
            category: Category::of(item),
            item: item.label(),
            price: item,
            quantity,
            unit: item.unit().counted,
            unit_price: price.map(|price| price.per_unit(item)),
            per: item.unit().name,
            amount: price.map(|price| price.of(quantity)),
        }
    }
}

/// An itemised estimate. A contract with scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Estimate {
    pub region: String,
    /// When the prices were checked; `None` if the region has no prices.
    pub as_of: Option<String>,
    /// Source of the prices.
    pub source: Option<String>,
    pub lines: Vec<Line>,
    /// The total; `None` if a price is not known.
    pub total: Option<Money>,
}

impl Estimate {
    /// The estimate of `lines`. A line of nothing is left out, except for capacity, writes and reads.
    pub(super) fn new(region: &str, book: Option<&PriceBook>, mut lines: Vec<Line>) -> Self {
        // A price of something that was not used is of no interest, but that of the main items is.
        let is_zero = |line: &Line| line.quantity == 0 && line.amount.unwrap_or_default() == Money::default();
        lines.retain(|line| !is_zero(line) || line.category < Category::FanOut);
        Self {
            region: region.to_owned(),
            as_of: book.map(|book| book.as_of.clone()),
            source: book.map(|book| book.source.clone()),
            total: lines.iter().map(|line| line.amount).sum(),
            lines,
        }
    }

    /// The sum of the items of `category`; `None` if a price is not known.
    pub fn amount(&self, category: Category) -> Option<Money> {
        let lines = self.lines.iter().filter(|line| line.category == category);
        lines.map(|line| line.amount).sum()
    }

    /// Whether the estimate has an item of `category`.
    pub fn has(&self, category: Category) -> bool {
        self.lines.iter().any(|line| line.category == category)
    }

    /// The sum of the items with a known price.
    pub fn known_total(&self) -> Money {
        self.lines.iter().filter_map(|line| line.amount).sum()
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
    estimate(usage, price_book(&usage.region))
}

/// Cost of `usage` with the prices of `book`.
pub(super) fn estimate(usage: &Usage, book: Option<&PriceBook>) -> Estimate {
    Estimate::new(&usage.region, book, stream_lines(usage, book))
}

/// The items of a stream, also those of nothing.
pub(super) fn stream_lines(usage: &Usage, book: Option<&PriceBook>) -> Vec<Line> {
    let mut lines = match usage.mode {
        Mode::Provisioned { shards } => provisioned(usage, shards, book),
        Mode::OnDemand => on_demand(usage, book),
        Mode::Advantage => advantage(usage, book),
    };
    let metric_hours = usage.shard_level_metrics.saturating_mul(usage.hours);
    let metrics = items(book, &[(Item::Metrics, metric_hours)]).into_iter();
    lines.extend(metrics.map(|line| Line {
        item: "shard-level metrics",
        ..line
    }));
    lines
}

/// The lines of quantities: one for each tier of a price.
pub(super) fn items(book: Option<&PriceBook>, quantities: &[(Item, u64)]) -> Vec<Line> {
    let lines = quantities.iter().flat_map(|&(item, quantity)| {
        let parts = match book.and_then(|book| book.tariff(item)) {
            Some(tariff) => tariff.split(quantity),
            None => vec![(quantity, None)],
        };
        parts
            .into_iter()
            .map(move |(part, price)| Line::new(item, part, price))
    });
    lines.collect()
}

fn provisioned(usage: &Usage, shards: u64, book: Option<&PriceBook>) -> Vec<Line> {
    let shard_hours = shards.saturating_mul(usage.hours);
    // "Extended data retention" is a price of the shard, and does not depend on the data.
    let extended_hours = match usage.retention_hours > INCLUDED_RETENTION {
        true => shard_hours,
        false => 0,
    };
    items(
        book,
        &[
            (Item::ShardHour, shard_hours),
            (Item::PutUnits, usage.put_units),
            (
                Item::ConsumerShardHour,
                usage.fan_out_consumers.saturating_mul(shard_hours),
            ),
            (Item::ConsumerData, usage.fan_out_bytes),
            (Item::ExtendedRetention, extended_hours),
            (
                Item::LongTermRetention,
                usage.long_term_bytes.saturating_mul(usage.hours),
            ),
        ],
    )
}

fn on_demand(usage: &Usage, book: Option<&PriceBook>) -> Vec<Line> {
    items(
        book,
        &[
            (Item::StreamHour, usage.hours),
            (Item::OnDemandIn, usage.bytes_in),
            (Item::OnDemandOut, usage.bytes_out),
            (Item::OnDemandConsumerData, usage.fan_out_bytes),
            (
                Item::OnDemandExtendedRetention,
                usage.extended_bytes.saturating_mul(usage.hours),
            ),
            (
                Item::OnDemandLongTermRetention,
                usage.long_term_bytes.saturating_mul(usage.hours),
            ),
        ],
    )
}

fn advantage(usage: &Usage, book: Option<&PriceBook>) -> Vec<Line> {
    let stored = usage.extended_bytes.saturating_add(usage.long_term_bytes);
    let written = [(Item::AdvantageIn, usage.bytes_in)];
    let read = [
        (Item::AdvantageOut, usage.bytes_out),
        (Item::AdvantageConsumerData, usage.fan_out_bytes),
    ];
    let retention = [(Item::AdvantageRetention, stored.saturating_mul(usage.hours))];
    let mut lines = items(book, &[&written[..], &read[..], &retention[..]].concat());
    let minimum = ADVANTAGE_MINIMUM
        .saturating_mul(3_600)
        .saturating_mul(usage.hours);
    lines.push(up_to("minimum of data written", minimum, &written, book));
    lines.push(up_to("minimum of data read", minimum, &read, book));
    lines
}

/// What `used` is short of `minimum`. The amounts of `used` and of this line have exactly the price of `minimum`.
fn up_to(label: &'static str, minimum: u64, used: &[(Item, u64)], book: Option<&PriceBook>) -> Line {
    let item = used.first().map_or(Item::AdvantageIn, |(item, _)| *item);
    let price = book.and_then(|book| book.tariff(item)?.first());
    let paid: Option<Money> = items(book, used).iter().map(|line| line.amount).sum();
    let short = price
        .zip(paid)
        .map(|(price, paid)| (price.of(minimum) - paid).max(Money::default()));
    let quantity = used
        .iter()
        .fold(minimum, |left, (_, used)| left.saturating_sub(*used));
    Line {
        category: Category::Minimum,
        item: label,
        amount: short,
        ..Line::new(item, quantity, price)
    }
}

#[cfg(test)]
mod tests;
