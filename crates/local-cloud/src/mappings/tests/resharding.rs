//! Splits and merges while a mapping reads, and deleted and recreated streams.

use std::collections::BTreeMap;

use serde_json::json;

use super::world::{Call, Reply, STREAM, World, success};

const HALF: &str = "170141183460469231731687303715884105728";

fn assert_in_order(world: &World, total: usize) {
    let calls = world.function.calls.lock().unwrap();
    let mut keys: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for record in calls.iter().flat_map(|call| &call.records) {
        keys.entry(&record.key)
            .or_default()
            .push(record.data.parse().unwrap());
    }
    for (key, order) in &keys {
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{key}: {order:?}");
    }
    assert_eq!(keys.values().map(Vec::len).sum::<usize>(), total);
}

fn put_some(world: &World, from: u32) {
    for n in from..from + 60 {
        world.put(&format!("key{}", n % 7), &format!("{n}"));
    }
}

fn delivered(world: &World) -> usize {
    world
        .function
        .calls
        .lock()
        .unwrap()
        .iter()
        .map(|call| call.records.len())
        .sum()
}

#[tokio::test(start_paused = true)]
async fn a_split_and_a_merge_lose_no_record_and_keep_the_order() {
    for factor in [1, 4] {
        let settings = json!({"BatchSize": 4, "ParallelizationFactor": factor});
        let world = World::new(settings, |_| Reply::After(20, Box::new(success()))).await;
        put_some(&world, 0);
        world.kinesis(
            "SplitShard",
            json!({"StreamName": STREAM, "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": HALF}),
        );
        put_some(&world, 60);
        world.kinesis(
            "MergeShards",
            json!({"StreamName": STREAM, "ShardToMerge": "shardId-000000000001",
                "AdjacentShardToMerge": "shardId-000000000002"}),
        );
        put_some(&world, 120);
        world.until("all", |world| delivered(world) >= 180).await;
        put_some(&world, 180);
        world.until("the rest", |world| delivered(world) >= 240).await;
        assert_in_order(&world, 240);
    }
}

#[tokio::test(start_paused = true)]
async fn children_wait_for_the_retries_of_their_parent() {
    let mut failures = 3;
    let world = World::new(json!({}), move |call: &Call| {
        if call.text() == "parent" && failures > 0 {
            failures -= 1;
            return Reply::Throw;
        }
        success()
    })
    .await;
    world.put("k", "parent");
    world.kinesis(
        "SplitShard",
        json!({"StreamName": STREAM, "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": HALF}),
    );
    world.put("k", "child");
    world.calls(5).await;
    assert_eq!(world.texts(), ["parent", "parent", "parent", "parent", "child"]);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_from_latest_reads_new_shards_from_their_beginning() {
    let world = World::bare(1, |_| success());
    world.put("k", "old");
    world.map(json!({"StartingPosition": "LATEST"})).await;
    world.put("k", "new");
    world.kinesis(
        "SplitShard",
        json!({"StreamName": STREAM, "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": HALF}),
    );
    world.put("k", "newer");
    world.calls(2).await;
    assert_eq!(world.texts(), ["new", "newer"]);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_from_a_timestamp_starts_there_in_every_shard() {
    let world = World::bare(1, |_| success());
    world.put("k", "old");
    world.sleep(10_000).await;
    world.put("k", "new");
    let seconds = (super::world::START_MS / 1000 + 5) as f64;
    world
        .map(json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": seconds}))
        .await;
    world.calls(1).await;
    assert_eq!(world.texts(), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_is_a_problem_until_it_is_recreated() {
    let world = World::new(json!({"StartingPosition": "LATEST"}), |_| success()).await;
    world.put("k", "a");
    world.calls(1).await;
    world.kinesis("DeleteStream", json!({"StreamName": STREAM}));
    world.sleep(2_000).await;
    let mapping = world.get().await;
    assert_eq!(mapping["State"], "Enabled");
    let problem = mapping["LastProcessingResult"].as_str().unwrap();
    assert!(
        problem.starts_with("PROBLEM: Stream not found: arn:aws:kinesis"),
        "{problem}"
    );
    world.kinesis("CreateStream", json!({"StreamName": STREAM, "ShardCount": 2}));
    world.put("k", "b");
    world.calls(2).await;
    assert_eq!(world.texts(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_shards_cause_no_wakeups() {
    let world = World::with_shards(1_000, json!({}), |_| success()).await;
    world.sleep(100).await;
    // Nothing is due: time advances in one step.
    let before = std::time::Instant::now();
    world.sleep(3_600_000).await;
    assert!(before.elapsed().as_millis() < 500, "{:?}", before.elapsed());
    world.put("somewhere", "a");
    assert_eq!(world.calls(1).await[0].text(), "a");
}
