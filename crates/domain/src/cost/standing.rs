//! What a stream costs in a month whether or not it is used.

use super::price_book::HOURS_A_MONTH;
use super::{Mode, Money, price_book};

/// What a stream is billed for by the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub mode: Mode,
    /// Open shards, also of an on-demand stream.
    pub shards: u64,
    pub retention_hours: u64,
    /// Registered consumers.
    pub consumers: u64,
    /// Enabled shard-level metrics.
    pub shard_level_metrics: u64,
}

/// Retention that is not billed. Source: Kinesis Data Streams pricing.
const FREE_RETENTION_HOURS: u64 = 24;

/// Cost of a month of 730 hours in `region`, without what is written, read and stored; `None` if its prices are not known.
/// Source: Kinesis Data Streams pricing. On demand, consumers and retention are billed by the GB only.
pub fn standing(region: &str, stream: &Standing) -> Option<Money> {
    let book = price_book(region)?;
    let hours = |count: u64| count.saturating_mul(HOURS_A_MONTH);
    let metrics = book
        .metric_hour
        .of(hours(stream.shards.saturating_mul(stream.shard_level_metrics)));
    let base = match stream.mode {
        Mode::OnDemand => book.on_demand.stream_hour.of(hours(1)),
        Mode::Provisioned { shards } => {
            let prices = &book.provisioned;
            let shard_hours = hours(shards);
            let is_extended = stream.retention_hours > FREE_RETENTION_HOURS;
            let retention = match is_extended {
                true => prices.extended_retention_shard_hour.of(shard_hours),
                false => Money::default(),
            };
            let consumers = shard_hours.saturating_mul(stream.consumers);
            prices.shard_hour.of(shard_hours) + retention + prices.consumer_shard_hour.of(consumers)
        }
    };
    Some(base + metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(stream: &Standing) -> String {
        standing("us-east-1", stream).unwrap().rounded(2)
    }

    #[test]
    fn what_is_billed_by_the_hour_is_summed() {
        let one = Standing {
            mode: Mode::Provisioned { shards: 1 },
            shards: 1,
            retention_hours: 24,
            consumers: 0,
            shard_level_metrics: 0,
        };
        assert_eq!(cost(&one), "10.95");
        // The worked examples of the pricing: 14.60 for retention, 10.95 for a consumer, 2.10 for seven metrics.
        let week = Standing {
            retention_hours: 168,
            ..one
        };
        assert_eq!(cost(&week), "25.55");
        assert_eq!(cost(&Standing { consumers: 1, ..week }), "36.50");
        assert_eq!(
            cost(&Standing {
                shard_level_metrics: 7,
                ..one
            }),
            "13.05"
        );
        let on_demand = Standing {
            mode: Mode::OnDemand,
            shards: 4,
            consumers: 2,
            ..week
        };
        assert_eq!(cost(&on_demand), "29.20");
        assert_eq!(standing("eu-central-1", &one), None);
    }
}
