//! The engine against a stream with shards.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::super::*;
use super::block_on;
use super::stream::{Faults, Stored, Stream};
use crate::record::PartitionKey;

const MIB: f64 = 1024.0 * 1024.0;

fn record(number: u64, key: impl Into<PartitionKey>, size: usize) -> Record {
    Record {
        data: vec![b'x'; size].into(),
        partition_key: key.into(),
        explicit_hash_key: None,
        has_random_key: false,
        number,
        line: number,
    }
}

fn random(number: u64, size: usize) -> Record {
    Record {
        has_random_key: true,
        ..record(number, crate::record::random_key(), size)
    }
}

/// How often each record is stored.
fn copies(stored: &[Stored]) -> HashMap<u64, u64> {
    let mut copies = HashMap::new();
    for record in stored {
        *copies.entry(record.number).or_default() += 1;
    }
    copies
}

#[tokio::test(start_paused = true)]
async fn requests_are_filled_and_only_the_throttled_entry_is_sent_again() {
    let stream = Stream::new(2);
    let records = (1..=1200).map(|n| record(n, format!("k{n}"), 100)).collect();
    let (result, _) = stream.take(records, &PutOptions::default()).await;
    assert_eq!(result.summary.acknowledged, 1200);
    let sizes: Vec<usize> = stream
        .state
        .lock()
        .unwrap()
        .requests
        .iter()
        .map(Vec::len)
        .collect();
    assert_eq!(sizes, [500, 500, 200]);

    let stream = Stream {
        faults: Faults {
            throttled: 1,
            ..Faults::default()
        },
        ..Stream::new(2)
    };
    let records = (1..=500).map(|n| record(n, format!("k{n}"), 100)).collect();
    let (result, _) = stream.take(records, &PutOptions::default()).await;
    let state = stream.state.lock().unwrap();
    assert!(state.refused > 0 && result.summary.throttles == state.refused);
    let sent: u64 = state.requests.iter().map(|numbers| numbers.len() as u64).sum();
    assert_eq!(
        (sent, result.summary.retries),
        (500 + state.refused, state.refused)
    );
    assert_eq!(state.stored.len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_shard_at_its_limit_runs_at_its_limit() {
    let stream = Stream {
        limited: true,
        ..Stream::new(1)
    };
    let records = (1..=150).map(|n| record(n, "k", 700_000)).collect();
    let (result, unsent) = stream.take(records, &PutOptions::default()).await;
    let state = stream.state.lock().unwrap();
    assert_eq!((result.summary.acknowledged, unsent.len()), (150, 0));
    let rate = result.summary.bytes as f64 / result.summary.elapsed.as_secs_f64();
    assert!(rate >= 0.95 * MIB, "{rate} bytes a second");
    assert!(
        state.bytes as f64 <= 1.03 * result.summary.bytes as f64,
        "{} bytes were sent",
        state.bytes
    );
}

#[tokio::test(start_paused = true)]
async fn four_limited_shards_take_four_thousand_records_a_second() {
    let stream = Stream {
        limited: true,
        latency: Duration::from_millis(20),
        ..Stream::new(4)
    };
    let records = (1..=120_000).map(|n| random(n, 20)).collect();
    let (result, unsent) = stream.take(records, &PutOptions::default()).await;
    assert_eq!((result.summary.acknowledged, unsent.len()), (120_000, 0));
    let rate = 120_000.0 / result.summary.elapsed.as_secs_f64();
    assert!(rate >= 0.95 * 4000.0, "{rate} records a second");
    let state = stream.state.lock().unwrap();
    assert!(
        state.refused <= 120_000 / 50,
        "{} entries were refused",
        state.refused
    );
}

#[tokio::test(start_paused = true)]
async fn a_shard_without_a_limit_is_found_out_at_once() {
    let stream = Stream::new(1);
    let records = (1..=100_000).map(|n| random(n, 20)).collect();
    let (result, _) = stream.take(records, &PutOptions::default()).await;
    assert_eq!(result.summary.acknowledged, 100_000);
    // 200 requests of 5 ms, 8 in flight, take 125 ms.
    assert!(
        result.summary.elapsed < Duration::from_millis(300),
        "{:?}",
        result.summary.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn slow_lines_are_filled_and_nothing_is_sent_twice() {
    for (bandwidth, count, size) in [
        (1.5e6, 100, 400_000),
        (400e3, 30, 700_000),
        (400e3, 40_000, 300),
        (50e3, 100, 40_000),
    ] {
        let stream = Stream {
            bandwidth: Some(bandwidth),
            ..Stream::new(4)
        };
        let records = (1..=count).map(|n| random(n, size)).collect();
        let (result, unsent) = stream.take(records, &PutOptions::default()).await;
        let state = stream.state.lock().unwrap();
        assert_eq!(
            (result.summary.acknowledged, unsent.len()),
            (count, 0),
            "{bandwidth}"
        );
        assert_eq!(state.stored.len() as u64, count, "{bandwidth}: none twice");
        let rate = result.summary.bytes as f64 / result.summary.elapsed.as_secs_f64();
        assert!(rate >= 0.9 * bandwidth, "{rate} of {bandwidth} bytes a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_random_key_is_replaced_and_a_key_of_the_user_is_not() {
    let stream = Stream {
        faults: Faults {
            throttled: 50,
            ..Faults::default()
        },
        ..Stream::new(4)
    };
    let records: Vec<Record> = (1..=200)
        .map(|n| match n % 2 {
            0 => random(n, 10),
            _ => record(n, format!("user-{n}"), 10),
        })
        .collect();
    let keys: HashMap<u64, PartitionKey> = records
        .iter()
        .map(|record| (record.number, record.partition_key.clone()))
        .collect();
    stream.take(records, &PutOptions::default()).await;
    let state = stream.state.lock().unwrap();
    let mut replaced = 0;
    for stored in &state.stored {
        match stored.number % 2 {
            0 => replaced += u64::from(stored.key != keys[&stored.number]),
            _ => assert_eq!(stored.key, keys[&stored.number]),
        }
    }
    assert!(replaced > 20, "{replaced}");
}

#[tokio::test(start_paused = true)]
async fn a_reshard_is_followed_and_the_children_have_limits_of_their_own() {
    let stream = Stream {
        limited: true,
        ..Stream::new(1)
    };
    let split = stream.clone();
    let splitter = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        split.split(0);
    });
    let records = (1..=40_000)
        .map(|n| record(n, format!("k{}", n % 5000), 20))
        .collect();
    let (result, unsent) = stream.take(records, &PutOptions::default()).await;
    splitter.await.unwrap();
    assert_eq!((result.summary.acknowledged, unsent.len()), (40_000, 0));
    assert_eq!(result.summary.shards.len(), 3);
    // 10 s at 1,000 records a second, then at 2,000.
    let elapsed = result.summary.elapsed;
    assert!(elapsed < Duration::from_secs(27), "{elapsed:?}");
    let state = stream.state.lock().unwrap();
    assert!(state.listed >= 2);
    let shards: HashSet<&str> = state.stored.iter().map(|record| record.shard.as_str()).collect();
    assert_eq!(shards.len(), 3);
    assert!(in_order(&state.stored));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_takes_nothing_holds_the_others_back_for_the_retry_time_only() {
    // Half of the entries of the dead shard would be enough to fill memory.
    let stream = Stream {
        faults: Faults {
            throttled: 100,
            ..Faults::default()
        },
        ..Stream::new(1)
    };
    let options = PutOptions {
        retry_for: Duration::from_secs(5),
        ..PutOptions::default()
    };
    let records = (1..=3000).map(|n| record(n, format!("k{n}"), 10)).collect();
    let started = Instant::now();
    let (result, unsent) = stream.take(records, &options).await;
    assert_eq!((result.summary.failed, unsent.len()), (3000, 3000));
    assert!(started.elapsed() >= options.retry_for);
}

/// Whether the records of each key are stored in the order of the input. A record may follow itself.
fn in_order(stored: &[Stored]) -> bool {
    let mut last: HashMap<&str, u64> = HashMap::new();
    stored.iter().all(|record| {
        let last = last.entry(record.key.as_str()).or_default();
        let follows = record.number >= *last;
        *last = record.number;
        follows
    })
}

/// The first copy of each record. An aggregate that had no answer is stored again as a whole.
fn first_copies(stored: Vec<Stored>) -> Vec<Stored> {
    let mut seen = HashSet::new();
    let is_first = |record: &Stored| seen.insert(record.number);
    stored.into_iter().filter(is_first).collect()
}

fn any_faults() -> impl Strategy<Value = Faults> {
    (0u32..40, 0u32..30, 0u32..10, 0u32..10, 0u32..5, 0u32..5).prop_map(
        |(throttled, internal, before, after, silent, too_few)| Faults {
            throttled,
            internal,
            before,
            after,
            silent,
            too_few,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn each_key_keeps_its_order_and_nothing_is_lost_or_sent_without_need(
        faults in any_faults(),
        keys in prop::collection::vec((0u8..12, 0usize..2000), 1..400),
        shards in 1u32..6,
        splits in prop::collection::vec((0u64..5000, any::<u128>()), 0..3),
        limited in any::<bool>(),
    ) {
        block_on(async {
            let stream = Stream { faults, limited, ..Stream::new(shards) };
            for (after, hash) in splits {
                let stream = stream.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    stream.split(hash);
                });
            }
            let records: Vec<Record> = keys
                .iter()
                .zip(1..)
                .map(|((key, size), n)| record(n, format!("k{key}"), *size))
                .collect();
            let count = records.len() as u64;
            let options = PutOptions {
                limits: BatchLimits { records: 20, bytes: 10_000 },
                held_bytes: 100_000,
                retry_for: Duration::from_secs(3600),
                ..PutOptions::default()
            };
            let (result, unsent) = stream.take(records, &options).await;
            let state = stream.state.lock().unwrap();
            prop_assert!(in_order(&state.stored), "{:?}", state.stored);
            prop_assert!(unsent.is_empty());
            let copies = copies(&state.stored);
            prop_assert_eq!(copies.len() as u64, count);
            let duplicates: u64 = copies.values().map(|copies| copies - 1).sum();
            prop_assert!(duplicates <= state.unanswered);
            prop_assert!(copies.values().filter(|copies| **copies > 1).count() as u64 <= result.summary.possible_duplicates);
            // Sent again is what was refused or not answered, and nothing else.
            let sent: u64 = state.requests.iter().map(|numbers| numbers.len() as u64).sum();
            prop_assert!(sent <= count + state.refused + state.unanswered, "{sent}");
            prop_assert_eq!(result.summary.retries, sent - count);
            prop_assert_eq!(result.summary.settled.through(), count);
            Ok(())
        })?;
    }

    #[test]
    fn the_order_does_not_matter_where_it_is_not_asked_for(
        faults in any_faults(),
        keys in prop::collection::vec(0u8..3, 1..300),
    ) {
        block_on(async {
            let stream = Stream { faults, ..Stream::new(3) };
            let records = keys.iter().zip(1..).map(|(key, n)| record(n, format!("k{key}"), 10)).collect();
            let options = PutOptions {
                order: Order::None,
                retry_for: Duration::from_secs(3600),
                ..PutOptions::default()
            };
            let (result, _) = stream.take(records, &options).await;
            prop_assert_eq!(result.summary.acknowledged, keys.len() as u64);
            prop_assert_eq!(copies(&stream.state.lock().unwrap().stored).len(), keys.len());
            Ok(())
        })?;
    }

    #[test]
    fn aggregates_keep_each_key_in_order_and_are_readable_after_reshards(
        faults in any_faults(),
        keys in prop::collection::vec((0u8..12, any::<bool>()), 1..300),
        shards in 1u32..5,
        splits in prop::collection::vec((0u64..3000, any::<u128>()), 0..3),
        size in 60usize..400,
    ) {
        block_on(async {
            let stream = Stream { faults, limited: true, ..Stream::new(shards) };
            for (after, hash) in splits {
                let stream = stream.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    stream.split(hash);
                });
            }
            let records: Vec<Record> = keys
                .iter()
                .zip(1..)
                .map(|((key, is_random), n)| match is_random {
                    true => numbered(Record { has_random_key: true, ..record(n, crate::record::random_key(), 0) }),
                    false => numbered(record(n, format!("k{key}"), 0)),
                })
                .collect();
            let options = PutOptions {
                aggregate: Some(size),
                limits: BatchLimits { records: 5, bytes: 2000 },
                held_bytes: 20_000,
                retry_for: Duration::from_secs(3600),
                ..PutOptions::default()
            };
            let count = records.len() as u64;
            let (result, unsent) = stream.take(records, &options).await;
            prop_assert!(unsent.is_empty());
            prop_assert_eq!(result.summary.acknowledged, count);
            prop_assert_eq!(result.summary.settled.through(), count);
            let state = stream.state.lock().unwrap();
            let readable: Vec<Stored> = state.stored.iter().filter(|record| record.is_readable).cloned().collect();
            prop_assert_eq!(copies(&readable).len() as u64, count);
            let keyed = readable.into_iter().filter(|record| record.key.starts_with('k')).collect();
            let keyed = first_copies(keyed);
            prop_assert!(in_order(&keyed), "{:?}", keyed);
            Ok(())
        })?;
    }
}

/// A record with its number as data.
fn numbered(record: Record) -> Record {
    Record {
        data: format!("{:9}", record.number).into(),
        ..record
    }
}

#[tokio::test(start_paused = true)]
async fn aggregates_take_five_times_the_records_of_a_limited_shard() {
    let run = async |aggregate: Option<usize>| {
        let stream = Stream {
            limited: true,
            ..Stream::new(2)
        };
        let records = (1..=20_000)
            .map(|n| numbered(record(n, format!("k{}", n % 3000), 0)))
            .collect();
        let options = PutOptions {
            aggregate,
            ..PutOptions::default()
        };
        let (result, _) = stream.take(records, &options).await;
        assert_eq!(result.summary.acknowledged, 20_000);
        let state = stream.state.lock().unwrap();
        assert!(in_order(&state.stored));
        (result.summary, state.entries)
    };
    let (plain, entries) = run(None).await;
    assert_eq!((entries, plain.aggregates), (20_000, 0));
    let (aggregated, entries) = run(Some(51_200)).await;
    assert!(
        aggregated.elapsed * 5 < plain.elapsed,
        "{:?} {:?}",
        aggregated.elapsed,
        plain.elapsed
    );
    assert!(entries < 200 && aggregated.aggregates <= entries, "{entries}");
}
