//! The capacity that a load needs, and what each mode costs for it.

use serde::Serialize;

use super::Money;
use super::estimate::{Estimate, LONG_TERM_RETENTION, Mode, Usage, billed_bytes, payload_units, so_far};
use super::item::HOURS_A_MONTH;
use super::load::Load;

/// What a shard takes and gives in a second, to all consumers that share it and to each fan-out consumer.
/// Source: "Quotas and limits", Kinesis developer guide.
const SHARD_RECORDS: u64 = 1_000;
const SHARD_BYTES: u64 = 1 << 20;
const SHARD_READ_BYTES: u64 = 2 << 20;
/// GetRecords calls a second that a shard takes. Source: as above.
pub const SHARD_READ_CALLS: u32 = 5;
/// Registered consumers of a stream, and with On-demand Advantage. Source: RegisterStreamConsumer, Kinesis API reference.
const MOST_CONSUMERS: u32 = 20;
const MOST_CONSUMERS_ADVANTAGE: u32 = 50;

/// What a stream must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    pub load: Load,
    /// Consumers that share the throughput of the shards.
    pub consumers: u32,
    /// Consumers with enhanced fan-out.
    pub fan_out_consumers: u32,
    /// 24 to 8,760.
    pub retention_hours: u32,
}

/// A limit of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "SizeLimit")
)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Records written.
    Records,
    /// Bytes written.
    Bytes,
    /// Bytes read by the consumers that share the shards.
    SharedReads,
    /// Bytes read by one fan-out consumer.
    FanOut,
}

/// The shards that a limit asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "SizeNeed")
)]
pub struct Need {
    pub limit: Limit,
    /// At the peak, in a second.
    pub needed: u64,
    pub per_shard: u64,
    pub shards: u64,
}

/// A mode and what it costs in a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ModeCost {
    /// `provisioned`, `on-demand` or `advantage`.
    pub mode: &'static str,
    /// Shards that are paid for; `None` where Kinesis sets their number.
    pub shards: Option<u64>,
    /// Why this mode cannot carry the demand.
    pub impossible: Option<String>,
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// What a demand needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Sizing {
    /// Bytes of an average record, rounded up.
    pub record_bytes: u64,
    /// Bytes that on-demand mode bills for it.
    pub billed_record_bytes: u64,
    /// PUT payload units of it.
    pub put_units: u64,
    /// Shards of a provisioned stream.
    pub shards: u64,
    /// The limit that asks for the most shards.
    pub decided_by: Limit,
    pub needs: Vec<Need>,
    pub modes: Vec<ModeCost>,
    /// The mode with the lowest total among those that are possible and have known prices.
    pub cheapest: Option<&'static str>,
}

impl Sizing {
    /// The cost of the cheapest mode.
    pub fn cheapest_total(&self) -> Option<Money> {
        let cheapest = self.cheapest?;
        self.modes
            .iter()
            .find(|mode| mode.mode == cheapest)?
            .estimate
            .total
    }
}

/// The capacity and the cost of `demand` in `region`. `shards` is the number of shards of a provisioned stream; `None` for as
/// many as it needs.
pub fn size(demand: &Demand, region: &str, shards: Option<u64>) -> Sizing {
    let needs = needs(demand);
    // The first of equals decides.
    let most = needs.iter().rev().max_by_key(|need| need.shards);
    let (decided_by, needed) = most.map_or((Limit::Bytes, 1), |need| (need.limit, need.shards));
    let record_bytes = demand.load.record_bytes().unwrap_or(0);
    let provisioned = shards.unwrap_or(needed);
    let modes = [
        ("provisioned", Mode::Provisioned { shards: provisioned }),
        ("on-demand", Mode::OnDemand),
        ("advantage", Mode::Advantage),
    ];
    let modes = modes.map(|(name, mode)| ModeCost {
        mode: name,
        shards: match mode {
            Mode::Provisioned { shards } => Some(shards),
            Mode::OnDemand | Mode::Advantage => None,
        },
        impossible: impossible(demand, mode),
        estimate: so_far(&usage(demand, region, mode)),
    });
    let possible = modes.iter().filter(|mode| mode.impossible.is_none());
    let cheapest = possible
        .filter_map(|mode| Some((mode.estimate.total?, mode.mode)))
        .min_by_key(|(total, _)| *total);
    Sizing {
        record_bytes,
        billed_record_bytes: billed_bytes(record_bytes),
        put_units: payload_units(record_bytes),
        shards: needed,
        decided_by,
        needs,
        cheapest: cheapest.map(|(_, mode)| mode),
        modes: modes.into(),
    }
}

fn needs(demand: &Demand) -> Vec<Need> {
    let need = |limit, needed: u64, per_shard: u64| Need {
        limit,
        needed,
        per_shard,
        shards: needed.div_ceil(per_shard).max(1),
    };
    let load = &demand.load;
    let mut needs = vec![
        need(Limit::Records, load.peak_records.per_second(), SHARD_RECORDS),
        need(Limit::Bytes, load.peak_bytes.per_second(), SHARD_BYTES),
    ];
    if demand.consumers > 0 {
        let read = load.peak_bytes.times(demand.consumers, 1).per_second();
        needs.push(need(Limit::SharedReads, read, SHARD_READ_BYTES));
    }
    if demand.fan_out_consumers > 0 {
        let read = load.peak_bytes.per_second();
        needs.push(need(Limit::FanOut, read, SHARD_READ_BYTES));
    }
    needs
}

fn impossible(demand: &Demand, mode: Mode) -> Option<String> {
    let most = match mode {
        Mode::Advantage => MOST_CONSUMERS_ADVANTAGE,
        Mode::Provisioned { .. } | Mode::OnDemand => MOST_CONSUMERS,
    };
    (demand.fan_out_consumers > most).then(|| format!("a stream can have {most} fan-out consumers"))
}

/// A month of `demand`. All records are as large as the average.
pub(super) fn usage(demand: &Demand, region: &str, mode: Mode) -> Usage {
    let load = &demand.load;
    let record_bytes = load.record_bytes().unwrap_or(0);
    let records = load.records.over_hours(HOURS_A_MONTH);
    let bytes = load.bytes.over_hours(HOURS_A_MONTH);
    let retention = u64::from(demand.retention_hours);
    let read_by = |consumers: u32| bytes.saturating_mul(consumers.into());
    Usage {
        put_units: records.saturating_mul(payload_units(record_bytes)),
        bytes_in: records.saturating_mul(billed_bytes(record_bytes)),
        bytes_out: read_by(demand.consumers),
        fan_out_consumers: demand.fan_out_consumers.into(),
        fan_out_bytes: read_by(demand.fan_out_consumers),
        retention_hours: retention,
        extended_bytes: load
            .bytes
            .over_hours(retention.min(LONG_TERM_RETENTION).saturating_sub(24)),
        long_term_bytes: load
            .bytes
            .over_hours(retention.saturating_sub(LONG_TERM_RETENTION)),
        ..Usage::idle(region, mode, HOURS_A_MONTH)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Rate;
    use super::*;

    const MIB: u64 = 1 << 20;

    fn demand(records: u64, bytes: u64) -> Demand {
        Demand {
            load: Load::steady(Rate::new(records, 1), Rate::new(bytes, 1)),
            consumers: 1,
            fan_out_consumers: 0,
            retention_hours: 24,
        }
    }

    fn totals(demand: &Demand) -> Vec<String> {
        let sized = size(demand, "us-east-1", None);
        let total = |mode: &ModeCost| mode.estimate.total.unwrap().rounded(2);
        sized.modes.iter().map(total).collect()
    }

    #[test]
    fn a_million_records_of_1_kb_a_day() {
        let daily = |count| Rate::new(count, 86_400);
        let demand = Demand {
            load: Load::steady(daily(1_000_000), daily(1_000_000 * 1_024)),
            ..demand(0, 0)
        };
        let sized = size(&demand, "us-east-1", None);
        assert_eq!((sized.shards, sized.cheapest), (1, Some("provisioned")));
        assert_eq!(totals(&demand), ["11.38", "32.68", "3079.69"]);
        // Seven days of retention add 14.60 to a shard.
        let week = Demand {
            retention_hours: 168,
            ..demand
        };
        assert_eq!(totals(&week)[0], "25.98");
    }

    #[test]
    fn the_limit_that_asks_for_most_shards_decides() {
        let decided = |demand: &Demand| {
            let sized = size(demand, "us-east-1", None);
            (sized.decided_by, sized.shards)
        };
        let two_thousand = demand(2_500, MIB);
        assert_eq!(decided(&two_thousand), (Limit::Records, 3));
        assert_eq!(decided(&demand(10, 3 * MIB + 1)), (Limit::Bytes, 4));
        let read_often = Demand {
            consumers: 10,
            ..two_thousand
        };
        assert_eq!(decided(&read_often), (Limit::SharedReads, 5));
        let peak = Demand {
            load: two_thousand.load.with_peak((3, 1)),
            ..two_thousand
        };
        assert_eq!(decided(&peak), (Limit::Records, 8));
        // A peak needs capacity and is not paid for beyond that.
        let writes = |demand: &Demand| {
            let sized = size(demand, "us-east-1", None);
            sized.modes[1].estimate.total
        };
        assert_eq!(writes(&peak), writes(&two_thousand));
        assert_eq!(decided(&demand(0, 0)), (Limit::Records, 1));
    }

    #[test]
    fn a_byte_over_a_kilobyte_doubles_what_is_written_on_demand() {
        let writes = |bytes: u64| {
            let sized = size(&demand(1_000, 1_000 * bytes), "us-east-1", None);
            let estimate = &sized.modes[1].estimate;
            (
                sized.billed_record_bytes,
                estimate.amount(super::super::Category::Writes).unwrap().nanos(),
            )
        };
        let (small, large) = (writes(1_024), writes(1_025));
        assert_eq!((small.0, large.0), (1_024, 2_048));
        assert!((large.1 - 2 * small.1).abs() <= 1);
    }

    #[test]
    fn too_many_fan_out_consumers_leave_only_advantage() {
        let demand = Demand {
            fan_out_consumers: 21,
            ..demand(1_000, MIB)
        };
        let sized = size(&demand, "us-east-1", None);
        assert_eq!(sized.cheapest, Some("advantage"));
        let none = Demand {
            fan_out_consumers: 51,
            ..demand
        };
        assert_eq!(size(&none, "us-east-1", None).cheapest, None);
    }

    #[test]
    fn unknown_prices_name_no_cheapest_mode() {
        let sized = size(&demand(1_000, MIB), "eu-central-1", None);
        assert_eq!((sized.cheapest, sized.shards), (None, 1));
        assert_eq!(sized.cheapest_total(), None);
    }

    fn any_demand() -> impl Strategy<Value = Demand> {
        let rate = || (0..1u64 << 34, 1..100_000u64).prop_map(|(count, seconds)| Rate::new(count, seconds));
        let consumers = (0..30u32, 0..60u32, 24..8_760u32);
        (rate(), rate(), consumers).prop_map(|(records, bytes, (consumers, fan_out, retention))| Demand {
            load: Load::steady(records, bytes),
            consumers,
            fan_out_consumers: fan_out,
            retention_hours: retention,
        })
    }

    proptest! {
        #[test]
        fn the_cheapest_mode_is_named(demand in any_demand()) {
            let sized = size(&demand, "us-east-1", None);
            let possible = sized.modes.iter().filter(|mode| mode.impossible.is_none());
            let least = possible.filter_map(|mode| mode.estimate.total).min();
            prop_assert_eq!(sized.cheapest_total(), least);
        }

        #[test]
        fn the_shards_carry_the_peak(demand in any_demand(), peak in 1..10u32) {
            let demand = Demand { load: demand.load.with_peak((peak, 1)), ..demand };
            let sized = size(&demand, "us-east-1", None);
            for need in &sized.needs {
                prop_assert!(need.needed <= need.per_shard.saturating_mul(sized.shards));
            }
            let fewer = sized.shards - 1;
            prop_assert!(fewer == 0 || sized.needs.iter().any(|need| need.needed > need.per_shard * fewer));
        }

        #[test]
        fn a_greater_demand_never_costs_less(demand in any_demand(), records in 1..5u32, more in 0..9u32) {
            // As many times the bytes, so that the average record stays as it is.
            let load = Load::steady(demand.load.records.times(records, 1), demand.load.bytes.times(records, 1));
            let greater = Demand {
                load,
                consumers: demand.consumers + more,
                fan_out_consumers: demand.fan_out_consumers + more,
                retention_hours: (demand.retention_hours + 24 * more).min(8_760),
            };
            let (one, other) = (size(&demand, "us-east-1", None), size(&greater, "us-east-1", None));
            for (less, more) in one.modes.iter().zip(&other.modes) {
                prop_assert!(less.estimate.total <= more.estimate.total, "{}", less.mode);
            }
        }
    }
}
