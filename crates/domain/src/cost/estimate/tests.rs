use super::super::item::HOURS_A_MONTH;
use super::*;

/// A million records of 1 KB a day, read once.
fn a_million_a_day(mode: Mode, hours: u64) -> Usage {
    let records = 1_000_000 * hours / 24;
    Usage {
        put_units: records * payload_units(KB),
        bytes_in: records * billed_bytes(KB),
        bytes_out: records * KB,
        ..Usage::idle("us-east-1", mode, hours)
    }
}

fn amounts(usage: &Usage) -> (Vec<String>, String) {
    let estimate = so_far(usage);
    let lines = estimate.lines.iter().map(|line| line.amount.unwrap().rounded(2));
    (lines.collect(), estimate.total.unwrap().rounded(2))
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

/// 10 records of 10 KB a second, 10 readers, 10 fan-out consumers, for a month.
fn ten_records_a_second(mode: Mode) -> Usage {
    let records = 10 * 3_600 * HOURS_A_MONTH;
    let bytes = records * 10 * KB;
    Usage {
        put_units: records * payload_units(10 * KB),
        bytes_in: records * billed_bytes(10 * KB),
        bytes_out: 10 * bytes,
        fan_out_consumers: 10,
        fan_out_bytes: 10 * bytes,
        ..Usage::idle("us-east-2", mode, HOURS_A_MONTH)
    }
}

/// Totals of the AWS Pricing Calculator.
#[test]
fn the_calculator_has_the_same_totals() {
    let total = |mode| amounts(&ten_records_a_second(mode)).1;
    assert_eq!(total(Mode::Provisioned { shards: 2 }), "273.85");
    assert_eq!(total(Mode::OnDemand), "274.81");
}

/// 3 records of 200 KB a second and 2 readers are below the minimum. The calculator shows 3,079.73, because it rounds the
/// minimum up to whole gigabytes.
#[test]
fn advantage_has_a_minimum() {
    let records = 3 * 3_600 * HOURS_A_MONTH;
    let usage = Usage {
        bytes_in: records * 200 * KB,
        bytes_out: 2 * records * 200 * KB,
        ..Usage::idle("us-east-1", Mode::Advantage, HOURS_A_MONTH)
    };
    assert_eq!(amounts(&usage).1, "3079.69");
    let estimate = so_far(&usage);
    let cents = |category| estimate.amount(category).unwrap().rounded(2);
    assert_eq!(
        [Category::Writes, Category::Reads, Category::Minimum].map(cents),
        ["48.12", "48.12", "2983.45"]
    );
    let gigabytes = (ADVANTAGE_MINIMUM * 3_600 * HOURS_A_MONTH).div_ceil(1 << 30);
    let book = price_book("us-east-1").unwrap();
    let rounded =
        [Item::AdvantageIn, Item::AdvantageOut].map(|item| book.amount(item, gigabytes << 30).unwrap());
    assert_eq!(rounded.into_iter().sum::<Money>().rounded(2), "3079.73");
}

#[test]
fn retention_of_a_provisioned_stream_is_paid_by_the_shard() {
    let with = |retention_hours, extended_bytes, long_term_bytes| {
        amounts(&Usage {
            retention_hours,
            extended_bytes,
            long_term_bytes,
            ..Usage::idle("us-east-1", Mode::Provisioned { shards: 1 }, HOURS_A_MONTH)
        })
        .1
    };
    assert_eq!(with(24, 0, 0), "10.95");
    // 14.60 more, whatever is stored.
    assert_eq!(with(168, 0, 0), "25.55");
    assert_eq!(with(168, 1 << 40, 0), "25.55");
    // 100 GB that are older than 7 days: 2.30 more.
    assert_eq!(with(8_760, 0, 100 << 30), "27.85");
}

#[test]
fn retention_on_demand_is_paid_by_the_gigabyte() {
    let with = |mode| {
        let usage = Usage {
            retention_hours: 8_760,
            extended_bytes: 100 << 30,
            long_term_bytes: 1_000 << 30,
            ..Usage::idle("us-east-1", mode, HOURS_A_MONTH)
        };
        so_far(&usage).amount(Category::Retention).unwrap().rounded(2)
    };
    assert_eq!(with(Mode::OnDemand), "33.00");
    assert_eq!(with(Mode::Advantage), "25.30");
}

#[test]
fn a_fan_out_consumer_of_one_shard() {
    // A million records of 1 KB a day, as above: 29 GB.
    let mode = Mode::Provisioned { shards: 1 };
    let estimate = so_far(&Usage {
        fan_out_consumers: 1,
        fan_out_bytes: 1_000_000 * 730 / 24 * KB,
        ..Usage::idle("us-east-1", mode, HOURS_A_MONTH)
    });
    let lines = estimate
        .lines
        .iter()
        .filter(|line| line.category == Category::FanOut);
    let lines: Vec<String> = lines.map(|line| line.amount.unwrap().rounded(2)).collect();
    assert_eq!(lines, ["10.95", "0.38"]);
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

/// Extended retention is a price of a shard-hour: not of a GB.
#[test]
fn a_line_is_quantity_times_price() {
    let estimate = so_far(&Usage {
        retention_hours: 168,
        ..Usage::idle("us-east-1", Mode::Provisioned { shards: 3 }, HOURS_A_MONTH)
    });
    let line = estimate.lines.last().unwrap();
    assert_eq!(
        (
            line.item,
            line.quantity,
            line.unit,
            line.unit_price.as_deref(),
            line.per
        ),
        (
            "extended retention",
            3 * 730,
            "shard-hours",
            Some("0.02"),
            "shard-hour"
        )
    );
    assert_eq!(line.amount.unwrap().rounded(2), "43.80");
}

#[test]
fn other_regions_are_not_guessed() {
    let mut usage = a_million_a_day(Mode::OnDemand, 1);
    usage.region = "eu-central-1".into();
    let estimate = so_far(&usage);
    assert_eq!((estimate.total, estimate.as_of), (None, None));
    assert!(
        estimate
            .lines
            .iter()
            .all(|line| line.amount.is_none() && line.unit_price.is_none())
    );
    // What is used is known all the same.
    assert_eq!(estimate.lines[1].quantity, usage.bytes_in);
}

#[test]
fn a_price_that_is_not_known_leaves_the_total_unknown() {
    let tokyo = |mode, fan_out_consumers| {
        let usage = Usage {
            fan_out_consumers,
            ..Usage::idle("ap-northeast-1", mode, HOURS_A_MONTH)
        };
        so_far(&usage).total.map(|total| total.rounded(3))
    };
    let mode = Mode::Provisioned { shards: 1 };
    assert_eq!(tokyo(mode, 0).as_deref(), Some("14.235"));
    assert_eq!(tokyo(mode, 1), None);
    assert_eq!(tokyo(Mode::OnDemand, 1).as_deref(), Some("37.960"));
    assert_eq!(tokyo(Mode::Advantage, 0), None);
}

fn modes(shards: u64) -> [Mode; 3] {
    [Mode::Provisioned { shards }, Mode::OnDemand, Mode::Advantage]
}

proptest::proptest! {
    #[test]
    fn any_usage_has_an_estimate(hours: u64, shards: u64, put_units: u64, bytes: u64, retention_hours: u64) {
        for mode in modes(shards) {
            let usage = Usage {
                put_units,
                bytes_in: billed_bytes(bytes),
                bytes_out: bytes,
                shard_level_metrics: shards,
                fan_out_consumers: shards,
                fan_out_bytes: bytes,
                retention_hours,
                extended_bytes: bytes,
                long_term_bytes: bytes,
                ..Usage::idle("us-east-1", mode, hours)
            };
            let estimate = so_far(&usage);
            proptest::prop_assert!(estimate.total >= Some(Money::default()));
            proptest::prop_assert_eq!(estimate.total, Some(estimate.known_total()));
        }
    }

    #[test]
    fn more_use_never_costs_less(
        use_of in proptest::array::uniform8(0..1u64 << 45),
        more in proptest::array::uniform8(0..1u64 << 40),
        hours in 1..9_000u64,
        shards in 1..10_000u64,
    ) {
        let usage = |of: [u64; 8], mode| {
            let [put_units, bytes_in, bytes_out, metrics, consumers, fan_out_bytes, extended, long_term] = of;
            Usage {
                put_units,
                bytes_in,
                bytes_out,
                shard_level_metrics: metrics % 70_000,
                fan_out_consumers: consumers % 50,
                fan_out_bytes,
                retention_hours: 8_760,
                extended_bytes: extended,
                long_term_bytes: long_term,
                ..Usage::idle("us-east-1", mode, hours)
            }
        };
        let both: [u64; 8] = std::array::from_fn(|index| use_of[index] + more[index]);
        for mode in modes(shards) {
            let (less, mut greater) = (usage(use_of, mode), usage(both, mode));
            // The remainders above may shrink these two.
            greater.shard_level_metrics = greater.shard_level_metrics.max(less.shard_level_metrics);
            greater.fan_out_consumers = greater.fan_out_consumers.max(less.fan_out_consumers);
            proptest::prop_assert!(so_far(&less).total <= so_far(&greater).total);
        }
    }
}
