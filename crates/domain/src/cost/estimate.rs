//! Itemised cost estimates.

use serde::Serialize;

use super::{Money, Price, price_book};

/// Bytes of a PUT payload unit. Source: "PUT payload unit", Kinesis Data Streams pricing.
const PAYLOAD_UNIT: u64 = 25 * 1024;
/// On-demand ingestion rounds each record up to this size. Source: as above.
const KB: u64 = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A fixed number of open shards.
    Provisioned { shards: u64 },
    /// Billed by use.
    OnDemand,
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
}

/// One item of an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Name on AWS's bill: `shard hours`.
    pub item: &'static str,
    pub quantity: u64,
    /// The unit of `quantity`: `shard-hours`, `units`, `bytes`.
    pub unit: &'static str,
    pub amount: Money,
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
    /// The total; `None` without prices.
    pub total: Option<Money>,
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
    let line = |item, unit, quantity, price: Price| Line {
        item,
        quantity,
        unit,
        amount: price.of(quantity),
    };
    let mut lines = match usage.mode {
        Mode::Provisioned { shards } => {
            let hours = shards.saturating_mul(usage.hours);
            vec![
                line("shard hours", "shard-hours", hours, book.provisioned.shard_hour),
                line(
                    "PUT payload units",
                    "units",
                    usage.put_units,
                    book.provisioned.put_units,
                ),
            ]
        }
        Mode::OnDemand => vec![
            line(
                "stream hours",
                "stream-hours",
                usage.hours,
                book.on_demand.stream_hour,
            ),
            line("data written", "bytes", usage.bytes_in, book.on_demand.bytes_in),
            line("data read", "bytes", usage.bytes_out, book.on_demand.bytes_out),
        ],
    };
    let metric_hours = usage.shard_level_metrics.saturating_mul(usage.hours);
    if metric_hours > 0 {
        lines.push(line(
            "shard-level metrics",
            "metric-hours",
            metric_hours,
            book.metric_hour,
        ));
    }
    Estimate {
        region: usage.region.clone(),
        as_of: Some(book.as_of),
        source: Some(book.source),
        total: Some(lines.iter().map(|line| line.amount).sum()),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million records of 1 KB a day, read once.
    fn a_million_a_day(mode: Mode, hours: u64) -> Usage {
        let records = 1_000_000 * hours / 24;
        Usage {
            region: "us-east-1".into(),
            mode,
            hours,
            put_units: records * payload_units(KB),
            bytes_in: records * billed_bytes(KB),
            bytes_out: records * KB,
            shard_level_metrics: 0,
        }
    }

    fn amounts(usage: &Usage) -> (Vec<String>, String) {
        let estimate = so_far(usage);
        let lines = estimate.lines.iter().map(|line| line.amount.rounded(2)).collect();
        (lines, estimate.total.unwrap().rounded(2))
    }

    #[test]
    fn a_month_of_one_shard() {
        let usage = a_million_a_day(Mode::Provisioned { shards: 1 }, 730);
        assert_eq!(
            amounts(&usage),
            (vec!["10.95".into(), "0.43".into()], "11.38".into())
        );
    }

    #[test]
    fn a_month_on_demand() {
        let usage = a_million_a_day(Mode::OnDemand, 730);
        let lines = ["29.20", "2.32", "1.16"].map(str::to_owned).to_vec();
        assert_eq!(amounts(&usage), (lines, "32.68".into()));
    }

    #[test]
    fn thirty_days_of_one_shard() {
        let usage = a_million_a_day(Mode::Provisioned { shards: 1 }, 30 * 24);
        assert_eq!(
            amounts(&usage),
            (vec!["10.80".into(), "0.42".into()], "11.22".into())
        );
    }

    #[test]
    fn seven_shard_level_metrics_for_a_month() {
        let usage = Usage {
            shard_level_metrics: 7,
            put_units: 0,
            ..a_million_a_day(Mode::Provisioned { shards: 1 }, 730)
        };
        let lines = ["10.95", "0.00", "2.10"].map(str::to_owned).to_vec();
        assert_eq!(amounts(&usage), (lines, "13.05".into()));
    }

    #[test]
    fn records_are_rounded_up() {
        assert_eq!(
            (payload_units(0), payload_units(25_600), payload_units(25_601)),
            (1, 1, 2)
        );
        assert_eq!(
            (billed_bytes(0), billed_bytes(1024), billed_bytes(1025)),
            (1024, 1024, 2048)
        );
    }

    #[test]
    fn other_regions_are_not_guessed() {
        let mut usage = a_million_a_day(Mode::OnDemand, 1);
        usage.region = "eu-central-1".into();
        let estimate = so_far(&usage);
        assert_eq!(
            (estimate.total, estimate.as_of, estimate.lines.len()),
            (None, None, 0)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_usage_has_an_estimate(hours: u64, shards: u64, put_units: u64, bytes: u64) {
            for mode in [Mode::Provisioned { shards }, Mode::OnDemand] {
                let (bytes_in, bytes_out) = (billed_bytes(bytes), bytes);
                let region = "us-east-1".into();
                let shard_level_metrics = shards;
                let usage = Usage { region, mode, hours, put_units, bytes_in, bytes_out, shard_level_metrics };
                proptest::prop_assert!(so_far(&usage).total >= Some(Money::default()));
            }
        }
    }
}
