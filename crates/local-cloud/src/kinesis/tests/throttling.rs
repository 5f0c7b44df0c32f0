//! AWS's limits, when enforced.

use serde_json::{Value, json};

use super::world::{World, base64};

fn batch(n: usize, data: &str) -> Value {
    json!({"StreamName": "orders", "Records": vec![json!({"PartitionKey": "k", "Data": data}); n]})
}

#[test]
fn a_shard_takes_a_thousand_records_a_second() {
    let world = World::strict();
    world.stream("orders", 1);
    assert_eq!(world.ok("PutRecords", batch(500, ""))["FailedRecordCount"], 0);
    assert_eq!(world.ok("PutRecords", batch(499, ""))["FailedRecordCount"], 0);
    let answer = world.ok("PutRecords", batch(3, ""));
    assert_eq!(answer["FailedRecordCount"], 2);
    assert_eq!(
        answer["Records"][1]["ErrorCode"],
        "ProvisionedThroughputExceededException"
    );
    assert_eq!(
        answer["Records"][1]["ErrorMessage"],
        "Rate exceeded for shard shardId-000000000000 in stream orders under account 000000000000."
    );
    let single = json!({"StreamName": "orders", "PartitionKey": "k", "Data": ""});
    assert_eq!(
        world.refused("PutRecord", single.clone()),
        "ProvisionedThroughputExceededException"
    );
    world.clock.advance(10);
    world.ok("PutRecord", single);
    assert_eq!(world.read_all("orders", 0).len(), 1001);
}

#[test]
fn a_shard_takes_a_mebibyte_a_second() {
    let world = World::strict();
    world.stream("orders", 1);
    let half = base64(&"x".repeat(500_000));
    let answer = world.ok("PutRecords", batch(3, &half));
    assert_eq!(answer["FailedRecordCount"], 1);
    assert!(answer["Records"][0]["SequenceNumber"].is_string());
    world.clock.advance(1000);
    assert_eq!(world.ok("PutRecords", batch(2, &half))["FailedRecordCount"], 0);
}

#[test]
fn a_shard_is_read_five_times_a_second() {
    let world = World::strict();
    world.stream("orders", 1);
    let mut iterator = world.iterator("orders", 0, "TRIM_HORIZON");
    for _ in 0..5 {
        iterator = world.get(&iterator)["NextShardIterator"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    assert_eq!(
        world.refused("GetRecords", json!({"ShardIterator": iterator})),
        "ProvisionedThroughputExceededException"
    );
    world.clock.advance(200);
    world.get(&iterator);
}

#[test]
fn reading_ten_mebibytes_costs_five_seconds() {
    let world = World::strict();
    world.stream("orders", 1);
    let large = base64(&"x".repeat(1_000_000));
    for _ in 0..10 {
        world.ok("PutRecords", batch(1, &large));
        world.clock.advance(1000);
    }
    let page = world.get(&world.iterator("orders", 0, "TRIM_HORIZON"));
    assert_eq!(page["Records"].as_array().unwrap().len(), 10);
    let next = page["NextShardIterator"].as_str().unwrap();
    world.clock.advance(4_500);
    assert_eq!(
        world.refused("GetRecords", json!({"ShardIterator": next})),
        "ProvisionedThroughputExceededException"
    );
    world.clock.advance(500);
    world.get(next);
}

#[test]
fn control_plane_calls_are_rate_limited() {
    let world = World::strict();
    world.stream("orders", 1);
    for _ in 0..10 {
        world.ok("DescribeStream", json!({"StreamName": "orders"}));
    }
    let refused = world.err("DescribeStream", json!({"StreamName": "orders"}));
    assert_eq!(
        refused,
        (
            "LimitExceededException".to_owned(),
            "Rate exceeded for account 000000000000.".to_owned()
        )
    );
    world.ok("DescribeLimits", json!({}));
    assert_eq!(
        world.refused("DescribeLimits", json!({})),
        "LimitExceededException"
    );
    world.clock.advance(1000);
    world.ok("DescribeLimits", json!({}));
    for _ in 0..5 {
        world.iterator("orders", 0, "LATEST");
    }
    let input =
        json!({"StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"});
    assert_eq!(
        world.refused("GetShardIterator", input),
        "ProvisionedThroughputExceededException"
    );
    let list = json!({"StreamARN": world.arn("orders")});
    for _ in 0..5 {
        world.ok("ListStreamConsumers", list.clone());
    }
    let (code, message) = world.err("ListStreamConsumers", list);
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "LimitExceededException",
            "Rate exceeded for stream orders under account 000000000000."
        )
    );
}

#[test]
fn at_most_five_streams_are_creating() {
    let world = World::strict();
    for i in 0..5 {
        world.ok(
            "CreateStream",
            json!({"StreamName": format!("s{i}"), "ShardCount": 1}),
        );
    }
    world.clock.advance(400);
    assert_eq!(
        world.refused("CreateStream", json!({"StreamName": "s5", "ShardCount": 1})),
        "LimitExceededException"
    );
    world.clock.advance(200);
    world.ok("CreateStream", json!({"StreamName": "s5", "ShardCount": 1}));
}

#[test]
fn nothing_is_throttled_by_default() {
    let world = World::new();
    world.stream("orders", 1);
    for _ in 0..5 {
        assert_eq!(world.ok("PutRecords", batch(500, ""))["FailedRecordCount"], 0);
        world.ok("DescribeLimits", json!({}));
    }
}
