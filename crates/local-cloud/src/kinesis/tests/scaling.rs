//! On-demand streams follow their traffic, in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{DELAY_MS, HOUR_MS, World, base64};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const KB: usize = 1024;

impl World {
    fn open_shards(&self, name: &str) -> i64 {
        self.summary(name)["OpenShardCount"].as_i64().unwrap()
    }

    /// A minute in which each open shard takes `bytes` a second, as `of` says of its position among the open shards.
    fn minute(&self, name: &str, of: impl Fn(usize) -> usize) {
        let now_ms = crate::clock::Clock::now_ms(&*self.clock);
        let stream = self.service.stream_of_arn(&self.caller, &self.arn(name)).unwrap();
        let view = stream.view(now_ms);
        for route in 0..view.open_count() {
            let bytes = of(route) * 60;
            view.open_shard(route).unwrap().traffic.add(bytes, bytes / KB);
        }
        self.clock.advance(MINUTE_MS - DELAY_MS);
        self.service.sweep();
        self.settle();
    }
}

#[test]
fn a_stream_doubles_when_every_shard_exceeds_half_of_its_throughput() {
    let world = World::new();
    world.on_demand("orders");
    world.service.sweep();
    world.settle();
    world.minute("orders", |_| 499 * KB);
    assert_eq!(world.open_shards("orders"), 4);
    world.minute("orders", |_| 600 * KB);
    assert_eq!(world.open_shards("orders"), 8);
    // The same traffic on twice the shards.
    world.minute("orders", |_| 300 * KB);
    assert_eq!(world.open_shards("orders"), 8);
    let shards = world.shards("orders");
    assert_eq!(shards.len(), 12);
    let parents = shards
        .iter()
        .filter(|shard| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string());
    assert_eq!(parents.count(), 4);
    let child = &shards[4];
    assert_eq!(child["ParentShardId"], "shardId-000000000000");
    assert!(child["AdjacentParentShardId"].is_null());
    assert_eq!(world.status("orders"), "ACTIVE");
}

#[test]
fn a_hot_shard_is_split_alone_and_its_keys_evenly() {
    let world = World::new();
    world.on_demand("orders");
    world.service.sweep();
    let records: Vec<Value> = (0..500)
        .map(|_| json!({"PartitionKey": "one", "Data": base64("x")}))
        .collect();
    // 510 records a second, for 20 seconds.
    for _ in 0..21 {
        world.ok("PutRecords", json!({"StreamName": "orders", "Records": records}));
    }
    world.clock.advance(20_000);
    world.service.sweep();
    assert_eq!(world.status("orders"), "UPDATING");
    world.settle();
    assert_eq!(world.open_shards("orders"), 5);
    let shards = world.shards("orders");
    let bound =
        |shard: &Value, end: &str| -> u128 { shard["HashKeyRange"][end].as_str().unwrap().parse().unwrap() };
    let width = |shard: &Value| bound(shard, "EndingHashKey") - bound(shard, "StartingHashKey");
    assert_eq!(width(&shards[4]), width(&shards[5]));
    assert_eq!(
        world.read_all("orders", 4).len() + world.read_all("orders", 5).len(),
        0
    );
    world.ok("PutRecords", json!({"StreamName": "orders", "Records": records}));
    assert_eq!(
        world.read_all("orders", 4).len() + world.read_all("orders", 5).len(),
        500
    );
}

#[test]
fn capacity_stays_for_thirty_days_over_restarts_and_then_shrinks_to_four() {
    let mut world = World::new();
    world.on_demand("orders");
    world.service.sweep();
    for _ in 0..3 {
        world.minute("orders", |_| 700 * KB);
    }
    assert_eq!(world.open_shards("orders"), 32);
    world = world.restarted();
    world.service.sweep();
    for _ in 0..30 {
        world.clock.advance(DAY_MS - MINUTE_MS);
        world.service.sweep();
        world.minute("orders", |_| 0);
        assert_eq!(world.open_shards("orders"), 32);
    }
    world.clock.advance(DAY_MS);
    for expected in [16, 8, 4, 4] {
        world.minute("orders", |_| 0);
        assert_eq!(world.open_shards("orders"), expected);
    }
}

#[test]
fn a_quiet_stream_that_was_provisioned_keeps_its_shards_for_thirty_days() {
    let world = World::new();
    world.stream("orders", 9);
    world.minute("orders", |_| 900 * KB);
    assert_eq!(world.open_shards("orders"), 9);
    world.ok(
        "UpdateStreamMode",
        json!({"StreamARN": world.arn("orders"), "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
    );
    world.settle();
    world.minute("orders", |_| 0);
    assert_eq!(world.open_shards("orders"), 9);
    world.clock.advance(32 * DAY_MS);
    world.minute("orders", |_| 0);
    assert_eq!(world.open_shards("orders"), 5);
    world.minute("orders", |_| 0);
    assert_eq!(world.open_shards("orders"), 4);
}

#[test]
fn warm_throughput_is_there_at_once_and_releases_capacity() {
    let world = World::new();
    world.on_demand("orders");
    let commit = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
    world.ok("UpdateAccountSettings", commit);
    let warm = |mibps: i64| {
        world.ok(
            "UpdateStreamWarmThroughput",
            json!({"StreamName": "orders", "WarmThroughputMiBps": mibps}),
        );
        assert_eq!(world.status("orders"), "UPDATING");
        world.settle();
        world.open_shards("orders")
    };
    assert_eq!(warm(20), 20);
    world.service.sweep();
    world.settle();
    world.minute("orders", |_| 300 * KB);
    assert_eq!(warm(6), 12);
    world.minute("orders", |_| 0);
    assert_eq!(world.open_shards("orders"), 12);
    assert_eq!(warm(6), 6);
    assert_eq!(warm(0), 4);
    world.ok(
        "CreateStream",
        json!({"StreamName": "bills", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "WarmThroughputMiBps": 7}),
    );
    world.settle();
    assert_eq!(world.open_shards("bills"), 7);
}

#[test]
fn a_provisioned_stream_and_one_that_is_changing_are_left_alone() {
    let world = World::new();
    world.stream("orders", 2);
    world.service.sweep();
    world.minute("orders", |_| 900 * KB);
    assert_eq!(world.open_shards("orders"), 2);
    world.on_demand("bills");
    world.service.sweep();
    let increase = json!({"StreamName": "bills", "RetentionPeriodHours": 48});
    world.ok("IncreaseStreamRetentionPeriod", increase);
    world.clock.advance(DELAY_MS - 1);
    world.service.sweep();
    assert_eq!(world.status("bills"), "UPDATING");
}

#[test]
fn a_region_has_a_maximum() {
    let mut world = World::new();
    world.caller.region = "eu-central-1".to_owned();
    let arn = world.arn("orders").replace("us-east-1", "eu-central-1");
    world.on_demand("orders");
    world.service.sweep();
    for _ in 0..8 {
        let now_ms = crate::clock::Clock::now_ms(&*world.clock);
        let stream = world.service.stream_of_arn(&world.caller, &arn).unwrap();
        let view = stream.view(now_ms);
        for route in 0..view.open_count() {
            view.open_shard(route).unwrap().traffic.add(60 * 1000 * KB, 0);
        }
        world.clock.advance(MINUTE_MS);
        world.service.sweep();
        world.settle();
    }
    assert_eq!(world.open_shards("orders"), 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the traffic: open shards cover all hash keys, every record stays readable once and in the order of its
    /// key, the number of shards at most doubles or halves a minute, and it is never below what the peak needs.
    #[test]
    fn a_stream_follows_any_traffic(minutes in prop::collection::vec((0..1200usize, 0..8usize, 0..40i64), 1..24)) {
        let world = World::new();
        world.on_demand("orders");
        world.service.sweep();
        let mut put: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (n, (kilobytes, hot, days)) in minutes.into_iter().enumerate() {
            let before = world.open_shards("orders");
            for key in 0..5 {
                let key = format!("key-{key}");
                world.put("orders", &key, &format!("{key} {n}"));
                put.entry(key.clone()).or_default().push(format!("{key} {n}"));
            }
            // One in eight shards has the traffic.
            world.minute("orders", |route| if route % 8 == hot { kilobytes * KB } else { 20 * KB });
            let after = world.open_shards("orders");
            prop_assert!(after >= 4 && after <= before * 2 && after * 2 >= before, "{before} → {after}");
            if kilobytes > 500 && hot < before as usize {
                prop_assert!(after > before, "{before} → {after}");
            }
            // Retention must not delete what is compared.
            if days > 36 && n == 0 {
                world.ok("IncreaseStreamRetentionPeriod", json!({"StreamName": "orders", "RetentionPeriodHours": 8760}));
                world.settle();
                world.clock.advance(days * DAY_MS);
                // Traffic is measured from one look to the next.
                world.service.sweep();
                world.settle();
            }
        }
        let mut read: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let shards = world.shards("orders");
        for shard in &shards {
            let id = shard["ShardId"].as_str().unwrap();
            let index: u32 = id.rsplit('-').next().unwrap().parse().unwrap();
            for line in world.read_all("orders", index) {
                let key = line.split(' ').next().unwrap().to_owned();
                read.entry(key).or_default().push(line);
            }
        }
        prop_assert_eq!(read, put);
    }
}
