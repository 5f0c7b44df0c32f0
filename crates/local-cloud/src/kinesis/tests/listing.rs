//! ListStreams, ListShards: pages, tokens, filters.

use serde_json::{Value, json};

use super::world::{HOUR_MS, START_MS, World};

fn ids(answer: &Value) -> Vec<u32> {
    let shards = answer["Shards"].as_array().unwrap();
    shards
        .iter()
        .map(|s| s["ShardId"].as_str().unwrap()[8..].parse().unwrap())
        .collect()
}

#[test]
fn streams_are_listed_by_name_in_pages() {
    let world = World::new();
    for name in ["d", "b", "a", "c"] {
        world.stream(name, 1);
    }
    let first = world.ok("ListStreams", json!({"Limit": 3}));
    assert_eq!(first["StreamNames"], json!(["a", "b", "c"]));
    assert_eq!(first["HasMoreStreams"], true);
    assert_eq!(first["StreamSummaries"][2]["StreamARN"], world.arn("c"));
    let rest = world.ok("ListStreams", json!({"NextToken": first["NextToken"]}));
    assert_eq!(rest["StreamNames"], json!(["d"]));
    assert_eq!(rest["HasMoreStreams"], false);
    assert!(rest.get("NextToken").is_none());
    let after = world.ok("ListStreams", json!({"ExclusiveStartStreamName": "b"}));
    assert_eq!(after["StreamNames"], json!(["c", "d"]));
    assert_eq!(
        world.refused("ListStreams", json!({"NextToken": "nonsense"})),
        "InvalidArgumentException"
    );
}

#[test]
fn shards_are_listed_in_pages_whose_tokens_expire() {
    let world = World::new();
    world.stream("orders", 5);
    let first = world.ok("ListShards", json!({"StreamName": "orders", "MaxResults": 2}));
    assert_eq!(ids(&first), [0, 1]);
    let token = &first["NextToken"];
    let second = world.ok("ListShards", json!({"NextToken": token, "MaxResults": 2}));
    assert_eq!(ids(&second), [2, 3]);
    assert_eq!(
        ids(&world.ok("ListShards", json!({"NextToken": second["NextToken"]}))),
        [4]
    );
    let both = world.err("ListShards", json!({"NextToken": token, "StreamName": "orders"}));
    assert_eq!(
        both,
        (
            "InvalidArgumentException".to_owned(),
            "NextToken and StreamName cannot be provided together.".to_owned()
        )
    );
    world.clock.advance(300_000);
    world.ok("ListShards", json!({"NextToken": token}));
    world.clock.advance(1);
    assert_eq!(
        world.refused("ListShards", json!({"NextToken": token})),
        "ExpiredNextTokenException"
    );
    assert_eq!(
        ids(&world.ok(
            "ListShards",
            json!({"StreamName": "orders", "ExclusiveStartShardId": "shardId-000000000003"})
        )),
        [4]
    );
}

#[test]
fn a_token_of_another_operation_or_stream_is_refused() {
    let world = World::new();
    for name in ["a", "b"] {
        world.stream(name, 2);
    }
    let streams = world.ok("ListStreams", json!({"Limit": 1}));
    assert_eq!(
        world.refused("ListShards", json!({"NextToken": streams["NextToken"]})),
        "InvalidArgumentException"
    );
    let shards = world.ok("ListShards", json!({"StreamName": "a", "MaxResults": 1}));
    world.ok("DeleteStream", json!({"StreamName": "a"}));
    world.settle();
    assert_eq!(
        world.refused("ListShards", json!({"NextToken": shards["NextToken"]})),
        "InvalidArgumentException"
    );
}

#[test]
fn filters_select_shards_by_time() {
    let world = World::new();
    world.stream("orders", 1);
    world.clock.advance(HOUR_MS);
    let split_ms = START_MS + super::world::DELAY_MS + HOUR_MS;
    world.ok(
        "SplitShard",
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000"}),
    );
    world.clock.advance(HOUR_MS);
    let list = |filter: Value| {
        ids(&world.ok(
            "ListShards",
            json!({"StreamName": "orders", "ShardFilter": filter}),
        ))
    };
    let seconds = |ms: i64| ms as f64 / 1000.0;
    assert_eq!(list(json!({"Type": "AT_LATEST"})), [1, 2]);
    assert_eq!(list(json!({"Type": "AT_TRIM_HORIZON"})), [0]);
    assert_eq!(list(json!({"Type": "FROM_TRIM_HORIZON"})), [0, 1, 2]);
    assert_eq!(
        list(json!({"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000000"})),
        [1, 2]
    );
    assert_eq!(
        list(json!({"Type": "AT_TIMESTAMP", "Timestamp": seconds(split_ms - 1)})),
        [0]
    );
    assert_eq!(
        list(json!({"Type": "AT_TIMESTAMP", "Timestamp": seconds(split_ms)})),
        [0, 1, 2]
    );
    assert_eq!(
        list(json!({"Type": "AT_TIMESTAMP", "Timestamp": seconds(split_ms + 1)})),
        [1, 2]
    );
    assert_eq!(
        list(json!({"Type": "FROM_TIMESTAMP", "Timestamp": seconds(split_ms)})),
        [0, 1, 2]
    );
    assert_eq!(
        list(json!({"Type": "FROM_TIMESTAMP", "Timestamp": seconds(split_ms + 1)})),
        [1, 2]
    );
    assert_eq!(list(json!({"Type": "FROM_TIMESTAMP", "Timestamp": 1})), [0, 1, 2]);
    for bad in [
        json!({"Type": "AFTER_SHARD_ID"}),
        json!({"Type": "AT_TIMESTAMP"}),
        json!({"Type": "AT_LATEST", "ShardId": "shardId-000000000000"}),
        json!({"Type": "AT_TIMESTAMP", "Timestamp": 9e9}),
    ] {
        assert_eq!(
            world.refused("ListShards", json!({"StreamName": "orders", "ShardFilter": bad})),
            "InvalidArgumentException"
        );
    }
    world.clock.advance(24 * HOUR_MS);
    assert_eq!(
        list(json!({"Type": "FROM_TRIM_HORIZON"})),
        [1, 2],
        "a shard whose records have expired is not listed"
    );
    let gone = json!({"StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    assert_eq!(
        world.refused("GetShardIterator", gone),
        "ResourceNotFoundException"
    );
}

#[test]
fn the_creation_timestamp_distinguishes_streams_of_the_same_name() {
    let world = World::new();
    world.stream("orders", 1);
    let created = world.summary("orders")["StreamCreationTimestamp"].clone();
    world.ok(
        "ListShards",
        json!({"StreamName": "orders", "StreamCreationTimestamp": created}),
    );
    assert_eq!(
        world.refused(
            "ListShards",
            json!({"StreamName": "orders", "StreamCreationTimestamp": 1})
        ),
        "ResourceNotFoundException"
    );
}
