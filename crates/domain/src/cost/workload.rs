//! A stream and what it carries in a month, and the same with changes.

use serde::Serialize;

use super::estimate::{Estimate, Line, Mode, Usage, stream_lines};
use super::item::{HOURS_A_MONTH, Item};
use super::load::{Load, Rate};
use super::price_book::PriceBook;
use super::sizing::{self, Demand, size};
use super::{Money, estimate};

/// Requests to KMS that Kinesis makes for each user of an encrypted stream in an hour: one every five minutes.
/// Source: "What is server-side encryption for Kinesis Data Streams", Kinesis developer guide.
const KEY_REQUESTS_AN_HOUR: u64 = 12;
/// Firehose bills each record rounded up to this size. Source: Amazon Data Firehose pricing.
const FIREHOSE_UNIT: u64 = 5 * 1_024;
/// The size of an aggregated record that fills a PUT payload unit.
pub const AGGREGATED_BYTES: u64 = 25 * 1_024;

/// How a stream is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CapacityMode {
    Provisioned,
    OnDemand,
    /// On-demand in an account with On-demand Advantage.
    Advantage,
}

impl CapacityMode {
    pub const ALL: [Self; 3] = [Self::Provisioned, Self::OnDemand, Self::Advantage];

    /// `provisioned`, `on-demand` or `advantage`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::OnDemand => "on-demand",
            Self::Advantage => "advantage",
        }
    }
}

/// The key that encrypts a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    #[default]
    None,
    /// The key that AWS manages: its requests are billed, the key is not.
    AwsKey,
    OwnKey,
}

/// The bytes that Firehose bills for a record.
pub fn firehose_bytes(record: u64) -> u64 {
    record
        .div_ceil(FIREHOSE_UNIT)
        .max(1)
        .saturating_mul(FIREHOSE_UNIT)
}

/// How the records are delivered without a consumer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Delivery {
    pub firehose: bool,
    /// A channel to S3.
    pub channel: bool,
    /// A channel to S3 Tables.
    pub tables_channel: bool,
}

/// A stream and its traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Workload {
    #[serde(flatten)]
    pub load: Load,
    pub mode: CapacityMode,
    /// Open shards. Those of an on-demand stream are not billed, except for their metrics.
    pub shards: u64,
    /// Consumers that share the throughput of the shards.
    pub consumers: u32,
    /// Consumers with enhanced fan-out.
    pub fan_out_consumers: u32,
    /// 24 to 8,760.
    pub retention_hours: u32,
    /// Enabled shard-level metrics.
    pub shard_level_metrics: u32,
    /// Bytes that small records are aggregated into before they are put; `None` if they are not.
    pub aggregate: Option<u64>,
    pub encryption: Encryption,
    pub delivery: Delivery,
}

impl Workload {
    /// A provisioned stream with as many shards as `demand` needs.
    pub fn new(demand: &Demand) -> Self {
        Self {
            load: demand.load,
            mode: CapacityMode::Provisioned,
            shards: needed_shards(demand),
            consumers: demand.consumers,
            fan_out_consumers: demand.fan_out_consumers,
            retention_hours: demand.retention_hours,
            shard_level_metrics: 0,
            aggregate: None,
            encryption: Encryption::None,
            delivery: Delivery::default(),
        }
    }

    /// What Kinesis must carry: fewer, larger records if they are aggregated.
    pub fn demand(&self) -> Demand {
        Demand {
            load: self.put_load(),
            consumers: self.consumers,
            fan_out_consumers: self.fan_out_consumers,
            retention_hours: self.retention_hours,
        }
    }

    /// The records as they are put.
    fn put_load(&self) -> Load {
        let record = self.load.record_bytes().unwrap_or(0).max(1);
        let together = self.aggregate.map_or(1, |bytes| (bytes / record).max(1));
        let together = u32::try_from(together).unwrap_or(u32::MAX);
        Load {
            records: self.load.records.times(1, together),
            peak_records: self.load.peak_records.times(1, together),
            ..self.load
        }
    }

    fn priced_mode(&self, mode: CapacityMode) -> Mode {
        match mode {
            CapacityMode::Provisioned => Mode::Provisioned { shards: self.shards },
            CapacityMode::OnDemand => Mode::OnDemand,
            CapacityMode::Advantage => Mode::Advantage,
        }
    }

    /// A month of it in `mode`.
    fn usage(&self, region: &str, mode: CapacityMode) -> Usage {
        let shards = self.shards;
        Usage {
            shard_level_metrics: shards.saturating_mul(self.shard_level_metrics.into()),
            ..sizing::usage(&self.demand(), region, self.priced_mode(mode))
        }
    }

    /// The items of a month.
    pub fn lines(&self, region: &str, book: Option<&PriceBook>) -> Vec<Line> {
        let mut lines = stream_lines(&self.usage(region, self.mode), book);
        lines.extend(estimate::items(book, &self.beside()));
        lines
    }

    /// What is paid for beside the stream.
    fn beside(&self) -> Vec<(Item, u64)> {
        let put = self.put_load();
        let records = put.records.over_hours(HOURS_A_MONTH);
        let bytes = put.bytes.over_hours(HOURS_A_MONTH);
        let record = put.record_bytes().unwrap_or(0);
        let mut beside = Vec::new();
        if self.delivery.firehose {
            let billed = firehose_bytes(record);
            beside.push((Item::FirehoseData, records.saturating_mul(billed)));
        }
        if self.delivery.channel {
            beside.push((Item::ChannelData, bytes));
        }
        if self.delivery.tables_channel {
            beside.push((Item::ChannelTablesData, bytes));
        }
        if self.encryption != Encryption::None {
            let users = u64::from(self.consumers) + u64::from(self.fan_out_consumers) + 1;
            beside.push((Item::KeyRequests, users * KEY_REQUESTS_AN_HOUR * HOURS_A_MONTH));
        }
        if self.encryption == Encryption::OwnKey {
            beside.push((Item::Keys, HOURS_A_MONTH));
        }
        beside
    }

    /// Its estimate for a month.
    pub fn estimate(&self, region: &str, book: Option<&PriceBook>) -> Estimate {
        Estimate::new(region, book, self.lines(region, book))
    }

    /// What a month costs less with records aggregated to a PUT payload unit; `None` if it does not lower the cost.
    pub fn saved_by_aggregation(&self, region: &str, book: Option<&PriceBook>) -> Option<Money> {
        let aggregated = Self {
            aggregate: Some(AGGREGATED_BYTES),
            ..*self
        };
        let total = |workload: &Self| workload.estimate(region, book).total;
        let saved = total(self)? - total(&aggregated)?;
        (self.aggregate.is_none() && saved > Money::default()).then_some(saved)
    }

    /// The records a second at which `other` begins to cost less than `mode`, with the same shards and the same size of records.
    /// `None` if it never does, or a price is not known.
    pub fn break_even(
        &self,
        mode: CapacityMode,
        other: CapacityMode,
        region: &str,
        book: Option<&PriceBook>,
    ) -> Option<Rate> {
        const STEPS_A_SECOND: u32 = 1_000;
        let record = self.load.record_bytes().filter(|bytes| *bytes > 0)?;
        let record = u32::try_from(record).unwrap_or(u32::MAX);
        let rate = |steps: u32| Rate::new(steps.into(), STEPS_A_SECOND.into());
        let costs_less = |steps: u32| {
            let records = rate(steps);
            let at = Self {
                load: Load::steady(records, records.times(record, 1)),
                ..*self
            };
            let total = |mode| estimate::estimate(&at.usage(region, mode), book).total;
            Some(total(other)? < total(mode)?)
        };
        // The difference of two modes grows or shrinks with the load, so there is one crossing at most.
        let (mut below, mut above) = (1u32, u32::MAX);
        if costs_less(below)? || !costs_less(above)? {
            return None;
        }
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            match costs_less(middle)? {
                true => above = middle,
                false => below = middle,
            }
        }
        Some(rate(above))
    }
}

/// The shards that `demand` needs.
pub fn needed_shards(demand: &Demand) -> u64 {
    size(demand, "", None).shards
}

/// Changes of a workload: what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WhatIf {
    pub shards: Option<u64>,
    pub mode: Option<CapacityMode>,
    pub retention_hours: Option<u32>,
    pub consumers: Option<u32>,
    pub fan_out_consumers: Option<u32>,
    pub shard_level_metrics: Option<u32>,
    pub records: Option<Rate>,
    pub record_bytes: Option<u32>,
    pub aggregate: Option<u64>,
}

impl WhatIf {
    /// `workload` with these changes. A stream that becomes provisioned gets the shards that it needs, unless they are named.
    pub fn apply(&self, workload: &Workload) -> Workload {
        let load = match (self.records, self.record_bytes) {
            (None, None) => workload.load,
            (records, bytes) => {
                let records = records.unwrap_or(workload.load.records);
                let bytes = bytes.map_or_else(|| workload.load.record_bytes().unwrap_or(0), u64::from);
                Load::steady(
                    records,
                    records.times(u32::try_from(bytes).unwrap_or(u32::MAX), 1),
                )
            }
        };
        let mut changed = Workload {
            load,
            mode: self.mode.unwrap_or(workload.mode),
            shards: self.shards.unwrap_or(workload.shards),
            consumers: self.consumers.unwrap_or(workload.consumers),
            fan_out_consumers: self.fan_out_consumers.unwrap_or(workload.fan_out_consumers),
            retention_hours: self.retention_hours.unwrap_or(workload.retention_hours),
            shard_level_metrics: self.shard_level_metrics.unwrap_or(workload.shard_level_metrics),
            aggregate: self.aggregate.or(workload.aggregate),
            ..*workload
        };
        let becomes_provisioned =
            changed.mode == CapacityMode::Provisioned && workload.mode != CapacityMode::Provisioned;
        if becomes_provisioned && self.shards.is_none() {
            changed.shards = needed_shards(&changed.demand());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::price_book;
    use super::*;

    const REGION: &str = "us-east-1";

    fn a_million_a_day() -> Workload {
        let records = Rate::new(1_000_000, 86_400);
        Workload::new(&Demand {
            load: Load::steady(records, records.times(1_024, 1)),
            consumers: 1,
            fan_out_consumers: 0,
            retention_hours: 24,
        })
    }

    fn total(workload: &Workload) -> String {
        let estimate = workload.estimate(REGION, price_book(REGION));
        estimate.total.unwrap().rounded(2)
    }

    #[test]
    fn the_worked_examples() {
        let base = a_million_a_day();
        let what_if = |change: WhatIf| total(&change.apply(&base));
        assert_eq!(total(&base), "11.38");
        let on_demand = WhatIf {
            mode: Some(CapacityMode::OnDemand),
            ..WhatIf::default()
        };
        assert_eq!(what_if(on_demand), "32.68");
        let week = WhatIf {
            retention_hours: Some(168),
            ..WhatIf::default()
        };
        assert_eq!(what_if(week), "25.98");
        let fan_out = WhatIf {
            consumers: Some(0),
            fan_out_consumers: Some(1),
            ..WhatIf::default()
        };
        // 11.38, and 10.95 + 0.38 for the consumer.
        assert_eq!(what_if(fan_out), "22.70");
        let metrics = WhatIf {
            shard_level_metrics: Some(7),
            ..WhatIf::default()
        };
        assert_eq!(what_if(metrics), "13.48");
        let two = WhatIf {
            shards: Some(2),
            ..WhatIf::default()
        };
        assert_eq!(what_if(two), "22.33");
    }

    #[test]
    fn records_above_25_kb_need_a_second_unit() {
        let base = a_million_a_day();
        let units = |record_bytes| {
            let change = WhatIf {
                record_bytes: Some(record_bytes),
                ..WhatIf::default()
            };
            let lines = change.apply(&base).lines(REGION, price_book(REGION));
            lines
                .iter()
                .find(|line| line.price == Item::PutUnits)
                .unwrap()
                .quantity
        };
        assert_eq!(units(25_601), 2 * units(25_600));
        assert_eq!(units(25_600), units(1));
    }

    #[test]
    fn aggregation_lowers_put_units_and_on_demand_rounding() {
        let mut base = a_million_a_day();
        // 25 records of 1 KB in each.
        let saved = base.saved_by_aggregation(REGION, price_book(REGION)).unwrap();
        assert_eq!(saved.rounded(2), "0.41");
        base.load = Load::steady(base.load.records, base.load.records.times(100, 1));
        base.mode = CapacityMode::OnDemand;
        // 100 bytes are billed as 1 KB, unless they are aggregated.
        let saved = base.saved_by_aggregation(REGION, price_book(REGION)).unwrap();
        assert_eq!(saved.rounded(2), "2.09");
        base.aggregate = Some(AGGREGATED_BYTES);
        assert_eq!(base.saved_by_aggregation(REGION, price_book(REGION)), None);
    }

    #[test]
    fn firehose_rounds_each_record_up_to_5_kb() {
        let mut workload = a_million_a_day();
        workload.delivery.firehose = true;
        let lines = workload.lines(REGION, price_book(REGION));
        let line = lines
            .iter()
            .find(|line| line.price == Item::FirehoseData)
            .unwrap();
        assert_eq!(line.quantity, 30_416_667 * 5 * 1_024);
        assert_eq!(line.amount.unwrap().rounded(2), "4.21");
    }

    #[test]
    fn the_channel_of_a_price_that_is_not_known_is_unknown() {
        let mut workload = a_million_a_day();
        workload.delivery.tables_channel = true;
        let estimate = workload.estimate(REGION, price_book(REGION));
        assert_eq!(
            estimate
                .amount(super::super::Category::Delivery)
                .unwrap()
                .rounded(2),
            "0.41"
        );
        workload.delivery.channel = true;
        assert_eq!(workload.estimate(REGION, price_book(REGION)).total, None);
    }

    #[test]
    fn an_encrypted_stream_has_requests_to_its_key() {
        let mut workload = a_million_a_day();
        workload.encryption = Encryption::OwnKey;
        let estimate = workload.estimate(REGION, price_book(REGION));
        // The writer and one reader: 17,520 requests, and the key.
        assert_eq!(
            estimate.amount(super::super::Category::Keys).unwrap().rounded(2),
            "1.05"
        );
    }

    #[test]
    fn the_break_even_of_ten_shards() {
        let mut workload = a_million_a_day();
        workload.shards = 10;
        let book = price_book(REGION);
        let even = |from, to| workload.break_even(from, to, REGION, book);
        // On-demand mode is cheaper until its data costs what the shards do: (109.50 − 29.20) / (0.12 of a GB − PUT units).
        let records = even(CapacityMode::OnDemand, CapacityMode::Provisioned).unwrap();
        let at = |records: Rate, mode| {
            let change = WhatIf {
                records: Some(records),
                ..WhatIf::default()
            };
            let changed = Workload {
                mode,
                shards: 10,
                ..change.apply(&workload)
            };
            changed.estimate(REGION, book).total.unwrap()
        };
        assert!(at(records, CapacityMode::Provisioned) < at(records, CapacityMode::OnDemand));
        let less = records.times(99, 100);
        assert!(at(less, CapacityMode::Provisioned) > at(less, CapacityMode::OnDemand));
        // One shard is cheaper at any load, however little.
        workload.shards = 1;
        let even = |from, to| workload.break_even(from, to, REGION, book);
        assert_eq!(even(CapacityMode::OnDemand, CapacityMode::Provisioned), None);
        assert!(even(CapacityMode::OnDemand, CapacityMode::Advantage).is_some());
        assert_eq!(
            workload.break_even(CapacityMode::OnDemand, CapacityMode::Advantage, "x", None),
            None
        );
    }

    fn any_workload() -> impl Strategy<Value = Workload> {
        let load = (1..1u64 << 30, 1..1u64 << 40, 1..100_000u64);
        let rest = (0..3usize, 1..1_000u64, 0..20u32, 0..20u32, 24..8_760u32, 0..8u32);
        (load, rest).prop_map(
            |((records, bytes, seconds), (mode, shards, consumers, fan_out, retention, metrics))| Workload {
                load: Load::steady(Rate::new(records, seconds), Rate::new(bytes, seconds)),
                mode: CapacityMode::ALL[mode],
                shards,
                consumers,
                fan_out_consumers: fan_out,
                retention_hours: retention,
                shard_level_metrics: metrics.min(7),
                aggregate: None,
                encryption: Encryption::AwsKey,
                delivery: Delivery {
                    firehose: false,
                    channel: false,
                    tables_channel: true,
                },
            },
        )
    }

    proptest! {
        #[test]
        fn what_if_of_nothing_changes_nothing(workload in any_workload()) {
            let same = WhatIf::default().apply(&workload);
            prop_assert_eq!(same, workload);
            let book = price_book(REGION);
            prop_assert_eq!(same.estimate(REGION, book), workload.estimate(REGION, book));
        }

        #[test]
        fn the_lines_add_up(workload in any_workload()) {
            let estimate = workload.estimate(REGION, price_book(REGION));
            let sum: Money = estimate.lines.iter().map(|line| line.amount.unwrap()).sum();
            prop_assert_eq!(estimate.total, Some(sum));
        }

        #[test]
        fn more_of_anything_never_costs_less(workload in any_workload(), shards in 0..9u64, consumers in 0..9u32,
            retention in 0..1_000u32, times in 1..4u32) {
            let more = Workload {
                load: Load::steady(workload.load.records.times(times, 1), workload.load.bytes.times(times, 1)),
                shards: workload.shards + shards,
                consumers: workload.consumers + consumers,
                fan_out_consumers: workload.fan_out_consumers + consumers,
                retention_hours: (workload.retention_hours + retention).min(8_760),
                shard_level_metrics: 7,
                ..workload
            };
            let total = |workload: &Workload| workload.estimate(REGION, price_book(REGION)).total;
            prop_assert!(total(&workload) <= total(&more));
        }

        #[test]
        fn aggregated_records_need_no_more_units(workload in any_workload(), kb in 1..1_024u64) {
            let aggregated = Workload { aggregate: Some(kb * 1_024), ..workload };
            let units = |workload: &Workload| workload.usage(REGION, CapacityMode::Provisioned).bytes_in;
            prop_assert!(units(&aggregated) <= units(&workload).saturating_add(1 << 20));
        }
    }
}
