use proptest::prelude::*;

use super::sample::hash_key;
use super::*;
use crate::consume::{IteratorStart, Page, ReadError, ShardInfo, ShardSource, TailRecord};
use ground::error::Error;
use std::sync::Arc;
use std::sync::Mutex;

const NOW_MS: i64 = 1_795_251_600_000;
const WINDOW: Duration = Duration::from_secs(600);

fn shard(number: u32, parents: &[u32], range: (u128, u128)) -> Shard {
    let id = |n: u32| format!("shardId-{n:012}");
    Shard {
        id: id(number),
        parent: parents.first().copied().map(id),
        adjacent_parent: parents.get(1).copied().map(id),
        first_hash: range.0,
        last_hash: range.1,
        first_sequence: "1".into(),
        last_sequence: None,
    }
}

fn whole() -> Shard {
    shard(0, &[], (0, u128::MAX))
}

/// A shard with these records: arrival, key, size of the data.
#[derive(Default)]
struct Records {
    all: Vec<(i64, String, usize)>,
    /// Reads that are throttled first.
    throttled: Mutex<u32>,
    denied: bool,
    /// The limit of each read.
    reads: Mutex<Vec<i32>>,
}

impl ShardSource for Records {
    fn stream(&self) -> &str {
        "orders"
    }

    async fn shards(&self) -> Result<Vec<ShardInfo>, ReadError> {
        Ok(Vec::new())
    }

    async fn iterator(&self, _: &str, start: &IteratorStart) -> Result<String, ReadError> {
        if self.denied {
            return Err(ReadError::Fatal(Error::failed("denied")));
        }
        let IteratorStart::AtTimestamp(from) = start else {
            panic!("{start:?}")
        };
        Ok(self.all.partition_point(|record| record.0 < *from).to_string())
    }

    async fn page(&self, shard: &Arc<str>, iterator: &str, limit: i32) -> Result<Page, ReadError> {
        self.reads.lock().unwrap().push(limit);
        let mut throttled = self.throttled.lock().unwrap();
        if *throttled > 0 {
            *throttled -= 1;
            return Err(ReadError::Throttled(Error::failed("too many")));
        }
        let first: usize = iterator.parse().unwrap();
        let last = self.all.len().min(first + usize::try_from(limit).unwrap());
        let records = self.all[first..last].iter().map(|(at, key, size)| TailRecord {
            shard_id: Arc::clone(shard),
            sequence_number: "1".into(),
            arrival_ms: Some(*at),
            partition_key: key.clone(),
            data: vec![0; *size].into(),
            encryption: None,
        });
        Ok(Page {
            records: records.collect(),
            next: Some(last.to_string()),
            behind_ms: Some(if last == self.all.len() { 0 } else { 1 }),
            ..Page::default()
        })
    }
}

async fn sampled(records: &Records, is_new: bool) -> Option<ShardSample> {
    let now = Timestamp::from_millisecond(NOW_MS).unwrap();
    sample_shard(records, &whole(), is_new, WINDOW, now)
        .await
        .unwrap()
}

/// Records of `key` every `every` milliseconds in the last `seconds`.
fn steady(key: &str, every: i64, seconds: i64, size: usize) -> Vec<(i64, String, usize)> {
    (0..seconds * 1000 / every)
        .map(|n| (NOW_MS - seconds * 1000 + n * every, key.to_owned(), size))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_quiet_shard_is_read_completely() {
    let mut all = steady("a", 10_000, 600, 100);
    all.extend(steady("b", 20_000, 600, 100));
    all.sort();
    let records = Records {
        all,
        ..Records::default()
    };
    let sample = sampled(&records, false).await.unwrap();
    assert_eq!((sample.records(), sample.seconds), (90, 600.0));
    let traffic = sample.traffic();
    assert_eq!(traffic.records_per_second, Some(0.15));
    assert_eq!(traffic.throttled, None);
    let shard = whole();
    let keys = from_samples(WINDOW, &[&shard], &[sample]).keys;
    let shares: Vec<(&str, f64)> = keys.iter().map(|key| (key.key.as_str(), key.share)).collect();
    assert_eq!(shares, [("a", 2.0 / 3.0), ("b", 1.0 / 3.0)]);
    assert_eq!(keys[0].hash_key, Some(hash_key("a")));
}

#[tokio::test(start_paused = true)]
async fn a_busy_shard_is_sampled_in_little_time_and_its_rate_is_right() {
    let records = Records {
        all: steady("a", 2, 600, 200),
        ..Records::default()
    };
    let before = tokio::time::Instant::now();
    let sample = sampled(&records, false).await.unwrap();
    let rate = sample.traffic().records_per_second.unwrap();
    assert!((rate - 500.0).abs() < 5.0, "{rate}");
    let calls = records.reads.lock().unwrap().len();
    assert!(calls <= 12, "{calls}");
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn large_records_are_asked_for_in_small_pages() {
    let records = Records {
        all: steady("a", 1_000, 600, 512 * 1024),
        ..Records::default()
    };
    sampled(&records, false).await.unwrap();
    let limits = records.reads.lock().unwrap().clone();
    assert!(limits[1..].iter().all(|limit| *limit <= 2), "{limits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_shard_counts_from_its_first_record() {
    let records = Records {
        all: steady("a", 100, 60, 10),
        ..Records::default()
    };
    let rate = |sample: Option<ShardSample>| sample.unwrap().traffic().records_per_second.unwrap();
    assert!((rate(sampled(&records, true).await) - 10.0).abs() < 0.5);
    assert!((rate(sampled(&records, false).await) - 1.0).abs() < 0.05);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_missing_and_not_zero() {
    let busy = Records {
        all: steady("a", 1_000, 600, 10),
        throttled: Mutex::new(100),
        ..Records::default()
    };
    assert_eq!(sampled(&busy, false).await, None);
    let shard = whole();
    let traffic = from_samples(WINDOW, &[&shard], &[]);
    assert_eq!(traffic.shards[0].utilisation, None);
    assert_eq!(traffic.hottest(), None);
    let soon = Records {
        throttled: Mutex::new(2),
        ..Records::default()
    };
    assert_eq!(
        sampled(&soon, false).await.unwrap().traffic().utilisation,
        Some(0.0)
    );
    let denied = Records {
        denied: true,
        ..Records::default()
    };
    let now = Timestamp::from_millisecond(NOW_MS).unwrap();
    sample_shard(&denied, &shard, false, WINDOW, now)
        .await
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn an_explicit_hash_key_is_not_guessed() {
    let records = Records {
        all: steady("a", 1_000, 600, 10),
        ..Records::default()
    };
    let hash = hash_key("a");
    let elsewhere = shard(0, &[], if hash == 0 { (1, 2) } else { (0, hash - 1) });
    let now = Timestamp::from_millisecond(NOW_MS).unwrap();
    let sample = sample_shard(&records, &elsewhere, false, WINDOW, now)
        .await
        .unwrap();
    assert_eq!(sample.unwrap().keys[0].hash_key, None);
}

#[test]
fn a_partition_key_is_hashed_as_kinesis_does() {
    // Source: md5("") and md5("a"), RFC 1321.
    assert_eq!(hash_key(""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
    assert_eq!(hash_key("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
}

fn series(name: &str, shard: &Shard, values: &[(i64, f64)]) -> Series {
    let resource = metrics::Resource::Shard {
        stream: "orders".into(),
        shard: shard.id.clone(),
    };
    metrics::test_support::series(resource, name, values)
}

#[test]
fn metrics_become_rates_until_the_newest_figure() {
    let range = TimeRange {
        start: 0,
        end: 600,
        period: 60,
    };
    let (old, new, idle) = (
        shard(1, &[], (0, 9)),
        shard(2, &[0], (10, 19)),
        shard(3, &[], (20, 29)),
    );
    let closed = Shard {
        last_sequence: Some("2".into()),
        ..shard(0, &[], (10, 19))
    };
    let map = ShardMap::new(vec![closed, old.clone(), new.clone(), idle.clone()]);
    let all = [
        series("IncomingRecords", &old, &[(0, 24_000.0), (420, 24_000.0)]),
        series("IncomingRecords", &new, &[(360, 60_000.0), (420, 60_000.0)]),
        series(
            "IncomingBytes",
            &new,
            &[(360, 60.0 * SHARD_BYTES), (420, 120.0 * SHARD_BYTES)],
        ),
        series("WriteProvisionedThroughputExceeded", &new, &[(420, 7.0)]),
        series("IncomingRecords", &idle, &[]),
    ];
    let found = rates(&[&old, &new, &idle], &map, &all, &range, 590);
    assert_eq!(found[0].records_per_second, Some(100.0));
    assert_eq!(
        (found[0].bytes_per_second, found[0].utilisation),
        (None, Some(0.1))
    );
    assert_eq!(found[1].records_per_second, Some(1_000.0));
    assert_eq!((found[1].utilisation, found[1].throttled), (Some(1.5), Some(7)));
    assert_eq!((found[2].records_per_second, found[2].utilisation), (None, None));
}

#[test]
fn the_json_form_has_text_for_long_numbers() {
    let traffic = Traffic {
        window: WINDOW,
        source: Source::Sample,
        shards: vec![ShardTraffic::new(
            "shardId-000000000000",
            Some(500.0),
            Some(0.0),
            None,
        )],
        keys: vec![KeyTraffic {
            key: "a".into(),
            shard: "shardId-000000000000".into(),
            hash_key: Some(u128::MAX),
            share: 1.0,
        }],
    };
    insta::assert_snapshot!(
        serde_json::to_string(&traffic).unwrap(),
        @r#"{"window_seconds":600,"source":"sample","shards":[{"shard":"shardId-000000000000","records_per_second":500.0,"bytes_per_second":0.0,"utilisation":0.5,"throttled":null}],"keys":[{"key":"a","shard":"shardId-000000000000","hash_key":"340282366920938463463374607431768211455","share":1.0}]}"#
    );
}

proptest! {
    #[test]
    fn any_sample_has_shares_up_to_one(counts in proptest::collection::vec((0u64..1_000, 0u64..1_000_000), 0..50)) {
        let key = |(n, &(records, bytes)): (usize, &(u64, u64))| KeyCount {
            key: n.to_string(),
            hash_key: Some(n as u128),
            records,
            bytes,
        };
        let sample = ShardSample {
            shard: whole().id,
            seconds: 10.0,
            keys: counts.iter().enumerate().map(key).collect(),
        };
        let shard = whole();
        let traffic = from_samples(WINDOW, &[&shard], &[sample]);
        let sum: f64 = traffic.keys.iter().map(|key| key.share).sum();
        prop_assert!(sum <= 1.0 + 1e-9);
        prop_assert!(traffic.keys.windows(2).all(|pair| pair[0].share >= pair[1].share));
    }
}
