//! SplitShard, MergeShards, UpdateShardCount: lineage, reading parents before children, concurrent puts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::world::{HOUR_MS, World, base64};

const MIDDLE: &str = "170141183460469231731687303715884105728";

#[test]
fn a_split_makes_two_children_of_one_parent() {
    let world = World::new();
    world.stream("orders", 1);
    world.ok(
        "SplitShard",
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": MIDDLE}),
    );
    assert_eq!(world.status("orders"), "UPDATING");
    let shards = world.shards("orders");
    assert_eq!(shards.len(), 3);
    assert!(shards[0]["SequenceNumberRange"]["EndingSequenceNumber"].is_string());
    assert_eq!(shards[1]["ParentShardId"], "shardId-000000000000");
    assert_eq!(
        shards[1]["HashKeyRange"],
        json!({"StartingHashKey": "0", "EndingHashKey": "170141183460469231731687303715884105727"})
    );
    assert_eq!(shards[2]["HashKeyRange"]["StartingHashKey"], MIDDLE);
    let number = |shard: &Value, end: &str| shard["SequenceNumberRange"][end].as_str().unwrap().to_owned();
    assert!(number(&shards[1], "StartingSequenceNumber") > number(&shards[0], "StartingSequenceNumber"));
    assert_eq!(world.summary("orders")["OpenShardCount"], 2);
}

#[test]
fn rejected_splits_change_nothing() {
    let world = World::new();
    world.stream("orders", 2);
    let split = |shard: &str, at: &str| {
        world.err(
            "SplitShard",
            json!({"StreamName": "orders", "ShardToSplit": shard, "NewStartingHashKey": at}),
        )
    };
    assert_eq!(
        split("shardId-000000000009", "5"),
        (
            "ResourceNotFoundException".to_owned(),
            "Could not find shard shardId-000000000009 in stream orders under account 000000000000."
                .to_owned()
        )
    );
    for at in ["0", "1", MIDDLE] {
        let (code, message) = split("shardId-000000000000", at);
        assert_eq!(code, "InvalidArgumentException");
        assert!(
            message.starts_with(&format!(
                "NewStartingHashKey {at} used in SplitShard() on shard shardId-000000000000"
            )),
            "{message}"
        );
    }
    assert_eq!(world.status("orders"), "ACTIVE");
    world.ok(
        "SplitShard",
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000"}),
    );
    world.settle();
    let (code, message) = split("shardId-000000000000", "1001");
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("has already been merged or split"), "{message}");
}

#[test]
fn a_merge_has_two_parents_and_requires_adjacent_shards() {
    let world = World::new();
    world.stream("orders", 3);
    let merge = |a: u32, b: u32| json!({"StreamName": "orders", "ShardToMerge": format!("shardId-{a:012}"), "AdjacentShardToMerge": format!("shardId-{b:012}")});
    let (code, message) = world.err("MergeShards", merge(0, 2));
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("are not an adjacent pair of shards eligible for merging"));
    assert_eq!(
        world.refused("MergeShards", merge(0, 0)),
        "InvalidArgumentException"
    );
    world.ok("MergeShards", merge(2, 1));
    let child = &world.shards("orders")[3];
    assert_eq!(child["ParentShardId"], "shardId-000000000002");
    assert_eq!(child["AdjacentParentShardId"], "shardId-000000000001");
    assert_eq!(
        child["HashKeyRange"]["StartingHashKey"],
        "113427455640312821154458202477256070485"
    );
}

#[test]
fn the_shard_count_moves_within_half_and_double_ten_times_a_day() {
    let world = World::new();
    world.stream("orders", 2);
    let update = |target: i64| json!({"StreamName": "orders", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"});
    assert_eq!(
        world.refused("UpdateShardCount", update(5)),
        "LimitExceededException"
    );
    assert_eq!(
        world.refused("UpdateShardCount", update(10_001)),
        "LimitExceededException"
    );
    let answer = world.ok("UpdateShardCount", update(4));
    assert_eq!(
        answer,
        json!({"StreamName": "orders", "CurrentShardCount": 2, "TargetShardCount": 4, "StreamARN": world.arn("orders")})
    );
    assert_eq!(
        world.refused("UpdateShardCount", update(3)),
        "ResourceInUseException"
    );
    world.settle();
    assert_eq!(
        world.refused("UpdateShardCount", update(1)),
        "LimitExceededException"
    );
    for target in [3, 4, 3, 4, 3, 4, 3, 4, 3] {
        world.ok("UpdateShardCount", update(target));
        world.settle();
    }
    assert_eq!(
        world.refused("UpdateShardCount", update(4)),
        "LimitExceededException"
    );
    world.clock.advance(24 * HOUR_MS);
    world.ok("UpdateShardCount", update(4));
    assert_eq!(world.summary("orders")["OpenShardCount"], 4);
}

/// Reads every shard, parents before children, following ChildShards.
fn read_in_lineage_order(world: &World, name: &str, roots: u32) -> Vec<String> {
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    let mut queue: Vec<u32> = (0..roots).collect();
    while let Some(shard) = (!queue.is_empty()).then(|| queue.remove(0)) {
        if !seen.insert(shard) {
            continue;
        }
        let mut iterator = world.iterator(name, shard, "TRIM_HORIZON");
        loop {
            let page = world.get(&iterator);
            all.extend(
                page["Records"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(super::world::data_of),
            );
            let children = page["ChildShards"].as_array().cloned().unwrap_or_default();
            queue.extend(
                children
                    .iter()
                    .map(|c| c["ShardId"].as_str().unwrap()[8..].parse::<u32>().unwrap()),
            );
            match page["NextShardIterator"].as_str() {
                Some(next)
                    if page["MillisBehindLatest"] != 0 || !page["Records"].as_array().unwrap().is_empty() =>
                {
                    next.clone_into(&mut iterator)
                }
                _ => break,
            }
        }
    }
    all
}

#[test]
fn two_four_three_leaves_every_record_readable_and_each_key_in_order() {
    let world = World::new();
    world.stream("orders", 2);
    let mut expected = 0;
    for (phase, target) in [4, 3, 6].into_iter().enumerate() {
        for key in 0..20 {
            world.put("orders", &format!("key-{key}"), &format!("{key}:{phase}"));
            expected += 1;
        }
        world.ok(
            "UpdateShardCount",
            json!({"StreamName": "orders", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}),
        );
        world.settle();
    }
    let all = read_in_lineage_order(&world, "orders", 2);
    assert_eq!(all.len(), expected);
    for key in 0..20 {
        let own: Vec<&str> = all
            .iter()
            .filter_map(|d| d.strip_prefix(&format!("{key}:")))
            .collect();
        assert_eq!(
            own,
            ["0", "1", "2"],
            "a record was read before one put earlier with the same key"
        );
    }
}

#[test]
fn the_end_of_a_shard_names_its_children() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "k", "last");
    world.ok(
        "SplitShard",
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": MIDDLE}),
    );
    let page = world.get(&world.iterator("orders", 0, "TRIM_HORIZON"));
    assert_eq!(page["Records"].as_array().unwrap().len(), 1);
    assert!(page.get("NextShardIterator").is_none_or(Value::is_null));
    assert_eq!(
        page["ChildShards"][1],
        json!({
            "ShardId": "shardId-000000000002",
            "ParentShards": ["shardId-000000000000"],
            "HashKeyRange": {"StartingHashKey": MIDDLE, "EndingHashKey": "340282366920938463463374607431768211455"},
        })
    );
}

#[test]
fn no_records_are_lost_while_shards_are_split_and_merged() {
    let world = World::new();
    world.stream("orders", 2);
    let (writers, batches) = (4, 40);
    let done = AtomicBool::new(false);
    let scaled = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..writers)
            .map(|writer| {
                let world = &world;
                scope.spawn(move || {
                    for batch in 0..batches {
                        let records: Vec<Value> = (0..10)
                            .map(|i| json!({"PartitionKey": format!("{writer}-{i}"), "Data": base64(&format!("{writer}/{i}/{batch}"))}))
                            .collect();
                        let answer = world.ok("PutRecords", json!({"StreamName": "orders", "Records": records}));
                        assert_eq!(answer["FailedRecordCount"], 0);
                    }
                })
            })
            .collect();
        let scaler = scope.spawn(|| {
            let mut scaled = 0;
            while !done.load(Ordering::Relaxed) && scaled < 8 {
                let target = [4, 3, 2][scaled % 3];
                world.ok("UpdateShardCount", json!({"StreamName": "orders", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}));
                world.settle();
                scaled += 1;
            }
            scaled
        });
        for handle in handles {
            handle.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        scaler.join().unwrap()
    });
    assert!(scaled > 0);
    let all = read_in_lineage_order(&world, "orders", 2);
    assert_eq!(all.len(), writers * batches * 10);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}
