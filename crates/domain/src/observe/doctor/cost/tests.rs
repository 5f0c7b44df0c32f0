use super::*;
use crate::observe::doctor::test_support;
use crate::stream::ShardMetric;

fn stream(mode: Mode, shards: u32) -> StreamState {
    StreamState {
        mode,
        open_shards: shards,
        ..test_support::stream("orders")
    }
}

/// A steady load of records of 1 KiB, read once.
fn steady(records_per_second: f64) -> Traffic {
    let records = records_per_second * 7.0 * 86_400.0;
    Traffic {
        records_in: records,
        bytes_in: records * 1024.0,
        bytes_out: records * 1024.0,
        peak_records_in: records_per_second,
        peak_bytes_in: records_per_second * 1024.0,
        peak_bytes_out: records_per_second * 1024.0,
        oldest_read_ms: Some(1_000.0),
    }
}

fn book() -> Option<&'static PriceBook> {
    price_book("us-east-1")
}

#[test]
fn shards_that_the_load_does_not_need_are_named_with_the_saving() {
    let found = too_many_shards(&stream(Mode::Provisioned, 10), &steady(1500.0), book()).unwrap();
    assert_eq!(
        found.summary,
        "has 10 shards, and 3 would take twice the highest load of 7 days"
    );
    assert_eq!(found.fixes[0].command, "streamctl reshard orders --to 3");
    // 7 × 730 × 0.015
    assert_eq!(
        found.evidence[1],
        "saves $76.65 in a month of 730 hours (prices of us-east-1, as of 2026-11)"
    );
    let enough = |shards| too_many_shards(&stream(Mode::Provisioned, shards), &steady(1500.0), book());
    assert_eq!(enough(3), None);
    assert_eq!(enough(2), None);
    assert!(enough(4).is_some(), "a quarter less");
    assert_eq!(
        too_many_shards(&stream(Mode::OnDemand, 10), &steady(1.0), book()),
        None
    );
    assert_eq!(
        too_many_shards(&stream(Mode::Provisioned, 10), &Traffic::default(), book()),
        None
    );
}

#[test]
fn a_stream_without_traffic_costs_its_shards() {
    let found = no_traffic(&stream(Mode::Provisioned, 2), &Traffic::default(), book()).unwrap();
    assert!(
        found.evidence[0].starts_with("saves $21.90 in a month"),
        "{found:?}"
    );
    let found = no_traffic(&stream(Mode::OnDemand, 4), &Traffic::default(), book()).unwrap();
    assert!(
        found.evidence[0].starts_with("saves $29.20 in a month"),
        "{found:?}"
    );
    assert_eq!(no_traffic(&stream(Mode::OnDemand, 4), &steady(0.1), book()), None);
    let elsewhere = no_traffic(&stream(Mode::OnDemand, 4), &Traffic::default(), None).unwrap();
    assert!(elsewhere.evidence.is_empty(), "prices are not guessed");
}

#[test]
fn a_low_steady_load_is_cheaper_in_provisioned_mode() {
    let found = cheaper_provisioned(&stream(Mode::OnDemand, 4), &steady(11.5741), book()).unwrap();
    assert_eq!(
        found.fixes[0].command,
        "streamctl mode orders provisioned --shards 1"
    );
    // The worked example: a million records of 1 KB a day.
    assert_eq!(
        found.evidence[1],
        "on-demand costs $32.68 in a month, 1 provisioned shards cost $11.38"
    );
    // A load with high peaks needs many shards.
    let spiky = Traffic {
        peak_records_in: 20_000.0,
        ..steady(11.0)
    };
    assert_eq!(
        cheaper_provisioned(&stream(Mode::OnDemand, 4), &spiky, book()),
        None
    );
    assert_eq!(
        cheaper_provisioned(&stream(Mode::Provisioned, 4), &steady(11.0), book()),
        None
    );
    assert_eq!(
        cheaper_provisioned(&stream(Mode::OnDemand, 4), &steady(11.0), None),
        None
    );
}

#[test]
fn a_consumer_that_does_not_read_costs_each_shard() {
    let consumer = Consumer {
        name: "app".to_owned(),
        arn: String::new(),
        status: ConsumerStatus::Active,
        created: None,
    };
    let found = idle_consumer(&stream(Mode::Provisioned, 2), &consumer, book());
    assert_eq!(found.fixes[0].command, "streamctl consumer deregister orders app");
    assert!(found.evidence[0].starts_with("saves $21.90"), "{found:?}");
    assert!(
        idle_consumer(&stream(Mode::OnDemand, 2), &consumer, book())
            .evidence
            .is_empty()
    );
}

#[test]
fn metrics_and_retention_that_nobody_uses() {
    let monitored = StreamState {
        monitoring: ShardMetric::all(),
        ..stream(Mode::Provisioned, 2)
    };
    let found = unwatched(&monitored, book());
    assert_eq!(
        found.summary,
        "pays for 14 shard-level metrics, and no alarm watches one"
    );
    assert!(found.evidence[0].starts_with("saves $4.20"), "{found:?}");

    let long = StreamState {
        retention_hours: 168,
        ..stream(Mode::Provisioned, 1)
    };
    let found = kept_too_long(&long, &steady(1.0), book()).unwrap();
    assert!(found.evidence[1].starts_with("saves $14.60"), "{found:?}");
    let late = Traffic {
        oldest_read_ms: Some(30.0 * 3_600_000.0),
        ..steady(1.0)
    };
    assert_eq!(kept_too_long(&long, &late, book()), None);
    assert_eq!(
        kept_too_long(&stream(Mode::Provisioned, 1), &steady(1.0), book()),
        None
    );
    let unread = Traffic {
        oldest_read_ms: None,
        ..steady(1.0)
    };
    assert_eq!(kept_too_long(&long, &unread, book()), None);
}

#[test]
fn a_young_stream_is_not_judged() {
    let now = 1_000_000_000;
    let at = |age: i64| Timestamp::from_second(now - age).ok();
    assert!(is_old(at(WATCHED_SECONDS), now));
    assert!(!is_old(at(WATCHED_SECONDS - 1), now));
    assert!(!is_old(None, now));
}

proptest::proptest! {
    #[test]
    fn the_shards_that_are_proposed_take_the_load(
        records in 0.0..1e7f64, bytes in 0.0..1e10f64, out in 0.0..1e10f64
    ) {
        let traffic = Traffic {
            peak_records_in: records,
            peak_bytes_in: bytes,
            peak_bytes_out: out,
            ..Traffic::default()
        };
        let shards = f64::from(traffic.needed_shards());
        proptest::prop_assert!(shards >= 1.0);
        proptest::prop_assert!(records <= shards * 1000.0);
        proptest::prop_assert!(bytes <= shards * 1_048_576.0);
        proptest::prop_assert!(out <= shards * 2_097_152.0);
    }
}
