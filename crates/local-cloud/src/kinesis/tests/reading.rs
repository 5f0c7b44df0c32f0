//! GetShardIterator, GetRecords.

use serde_json::{Value, json};

use super::world::{HOUR_MS, START_MS, World, base64, data_of};

fn iterator(extra: Value) -> Value {
    let mut input = json!({"StreamName": "orders", "ShardId": "shardId-000000000000"});
    input
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    input
}

fn first(world: &World, extra: Value) -> Vec<String> {
    let answer = world.ok("GetShardIterator", iterator(extra));
    world.get(answer["ShardIterator"].as_str().unwrap())["Records"]
        .as_array()
        .unwrap()
        .iter()
        .map(data_of)
        .collect()
}

#[test]
fn the_five_iterator_types() {
    let world = World::new();
    world.stream("orders", 1);
    let mut numbers = Vec::new();
    for i in 0..3 {
        numbers.push(world.put("orders", "k", &i.to_string())["SequenceNumber"].clone());
        world.clock.advance(1000);
    }
    assert_eq!(
        first(&world, json!({"ShardIteratorType": "TRIM_HORIZON"})),
        ["0", "1", "2"]
    );
    assert!(first(&world, json!({"ShardIteratorType": "LATEST"})).is_empty());
    assert_eq!(
        first(
            &world,
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[1]})
        ),
        ["1", "2"]
    );
    assert_eq!(
        first(
            &world,
            json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[1]})
        ),
        ["2"]
    );
    let second = (START_MS + super::world::DELAY_MS + 1000) as f64 / 1000.0;
    assert_eq!(
        first(
            &world,
            json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": second})
        ),
        ["1", "2"]
    );
    assert_eq!(
        first(
            &world,
            json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": second + 0.001})
        ),
        ["2"]
    );
    assert_eq!(
        first(
            &world,
            json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1})
        ),
        ["0", "1", "2"]
    );
}

#[test]
fn latest_is_fixed_when_the_iterator_is_made() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "k", "before");
    let latest = world.iterator("orders", 0, "LATEST");
    world.put("orders", "k", "after");
    let page = world.get(&latest);
    assert_eq!(
        page["Records"]
            .as_array()
            .unwrap()
            .iter()
            .map(data_of)
            .collect::<Vec<_>>(),
        ["after"]
    );
    let record = &page["Records"][0];
    assert_eq!(record["PartitionKey"], "k");
    assert_eq!(
        record["ApproximateArrivalTimestamp"],
        (START_MS + super::world::DELAY_MS) as f64 / 1000.0
    );
}

#[test]
fn invalid_start_positions_are_rejected_with_the_messages_of_aws() {
    let world = World::new();
    world.stream("orders", 2);
    let other = world.ok("PutRecord", json!({"StreamName": "orders", "PartitionKey": "k", "ExplicitHashKey": "340282366920938463463374607431768211455", "Data": ""}));
    let bad = |extra: Value| world.err("GetShardIterator", iterator(extra));
    for extra in [
        json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER"}),
        json!({"ShardIteratorType": "LATEST", "StartingSequenceNumber": other["SequenceNumber"]}),
        json!({"ShardIteratorType": "AT_TIMESTAMP"}),
        json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 9e9}),
        json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "123"}),
    ] {
        assert_eq!(bad(extra).0, "InvalidArgumentException");
    }
    let (code, message) = bad(
        json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": other["SequenceNumber"]}),
    );
    assert_eq!(code, "InvalidArgumentException");
    assert_eq!(
        message,
        "Invalid StartingSequenceNumber. It encodes shardId-000000000001, while it was used in a call to a shard with shardId-000000000000"
    );
    let (code, message) = world.err(
        "GetShardIterator",
        json!({"StreamName": "orders", "ShardId": "shardId-000000000007", "ShardIteratorType": "LATEST"}),
    );
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(
        message,
        "Shard shardId-000000000007 in stream orders under account 000000000000 does not exist"
    );
}

#[test]
fn an_iterator_lives_five_minutes() {
    let world = World::new();
    world.stream("orders", 1);
    let iterator = world.iterator("orders", 0, "TRIM_HORIZON");
    world.clock.advance(300_000);
    world.get(&iterator);
    world.clock.advance(1);
    let (code, message) = world.err("GetRecords", json!({"ShardIterator": iterator}));
    assert_eq!(code, "ExpiredIteratorException");
    assert_eq!(
        message,
        "Iterator expired. The iterator was created at time Thu Jan 01 00:00:00 UTC 2026 while right now it is Thu Jan 01 00:05:00 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds."
    );
    assert_eq!(
        world.err("GetRecords", json!({"ShardIterator": "AAAA"})),
        (
            "InvalidArgumentException".to_owned(),
            "Invalid ShardIterator.".to_owned()
        )
    );
    let fresh = world.iterator("orders", 0, "LATEST");
    world.stream("bills", 1);
    assert_eq!(
        world.refused(
            "GetRecords",
            json!({"ShardIterator": fresh, "StreamARN": world.arn("bills")})
        ),
        "InvalidArgumentException"
    );
}

#[test]
fn pages_are_capped_and_report_millis_behind_latest() {
    let world = World::new();
    world.stream("orders", 1);
    let large = base64(&"x".repeat(1_000_000));
    for _ in 0..12 {
        world.ok(
            "PutRecord",
            json!({"StreamName": "orders", "PartitionKey": "k", "Data": large}),
        );
        world.clock.advance(1000);
    }
    let page = world.get(&world.iterator("orders", 0, "TRIM_HORIZON"));
    assert_eq!(page["Records"].as_array().unwrap().len(), 10, "10 MiB");
    assert_eq!(page["MillisBehindLatest"], 2000);
    let page = world.ok(
        "GetRecords",
        json!({"ShardIterator": page["NextShardIterator"], "Limit": 1}),
    );
    assert_eq!(page["MillisBehindLatest"], 1000);
    let page = world.ok("GetRecords", json!({"ShardIterator": page["NextShardIterator"]}));
    assert_eq!(page["Records"].as_array().unwrap().len(), 1);
    assert_eq!(page["MillisBehindLatest"], 0);
    let empty = world.ok("GetRecords", json!({"ShardIterator": page["NextShardIterator"]}));
    assert_eq!(empty["Records"], json!([]));
    assert!(empty["NextShardIterator"].is_string());
}

#[test]
fn records_older_than_the_retention_are_gone() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "k", "old");
    world.clock.advance(23 * HOUR_MS);
    world.put("orders", "k", "young");
    assert_eq!(world.read_all("orders", 0), ["old", "young"]);
    world.clock.advance(2 * HOUR_MS);
    assert_eq!(world.read_all("orders", 0), ["young"]);
    world.ok(
        "IncreaseStreamRetentionPeriod",
        json!({"StreamName": "orders", "RetentionPeriodHours": 48}),
    );
    world.clock.advance(24 * HOUR_MS);
    assert_eq!(world.read_all("orders", 0), ["young"]);
    world.settle();
    world.ok(
        "DecreaseStreamRetentionPeriod",
        json!({"StreamName": "orders", "RetentionPeriodHours": 24}),
    );
    assert!(world.read_all("orders", 0).is_empty());
}

#[test]
fn increasing_the_retention_does_not_restore_records() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "k", "expired, but nobody has looked");
    world.clock.advance(25 * HOUR_MS);
    world.put("orders", "k", "kept");
    world.ok(
        "IncreaseStreamRetentionPeriod",
        json!({"StreamName": "orders", "RetentionPeriodHours": 48}),
    );
    assert_eq!(world.read_all("orders", 0), ["kept"]);
    let world = world.restarted();
    assert_eq!(world.read_all("orders", 0), ["kept"]);
    world.clock.advance(47 * HOUR_MS);
    assert_eq!(world.read_all("orders", 0), ["kept"]);
}
