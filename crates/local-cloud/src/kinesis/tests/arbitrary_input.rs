//! Arbitrary input is rejected with an AWS error: no panic and no internal failure.

use base64_simd::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::World;
use crate::kinesis::operation::Operation;

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";

/// A world with a stream.
fn world() -> World {
    let world = World::new();
    world.stream("a", 2);
    world
}

fn send(world: &World, operation: Operation, format: &str, body: impl Into<Bytes>) {
    let response = world.send(operation.as_str(), format, body.into());
    assert_ne!(response.status(), 500, "{operation:?}");
    if operation != Operation::SubscribeToShard {
        response.into_body().collect().now_or_never().unwrap().unwrap();
    }
}

/// Values near valid input, and arbitrary values.
fn value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "a",
        "",
        "arn:aws:kinesis:us-east-1:000000000000:stream/a",
        "arn:aws:kinesis:us-east-1:000000000000:stream/a/consumer/c:1",
        "shardId-000000000000",
        "shardId-000000000001",
        "LATEST",
        "AT_TIMESTAMP",
        "AT_SEQUENCE_NUMBER",
        "KMS",
        "ON_DEMAND",
        "ENABLED",
        "UNIFORM_SCALING",
        "340282366920938463463374607431768211455",
        "0",
        "AA==",
        "é",
        "../..",
        "ALL",
        "FROM_TIMESTAMP",
    ])
    .prop_map(Value::from);
    let numbers = prop_oneof![
        any::<i64>().prop_map(Value::from),
        (-2..30_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from)
    ];
    let leaf = prop_oneof![4 => words, 2 => numbers, 1 => any::<bool>().prop_map(Value::from), 1 => Just(Value::Null)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((member(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn member() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "StreamName",
        "StreamARN",
        "StreamId",
        "Records",
        "Data",
        "PartitionKey",
        "ExplicitHashKey",
        "ShardId",
        "ShardIterator",
        "ShardIteratorType",
        "Timestamp",
        "StartingSequenceNumber",
        "Limit",
        "MaxResults",
        "NextToken",
        "ShardFilter",
        "Type",
        "Tags",
        "TagKeys",
        "ResourceARN",
        "Policy",
        "ConsumerARN",
        "ConsumerName",
        "StartingPosition",
        "ShardCount",
        "TargetShardCount",
        "ScalingType",
        "RetentionPeriodHours",
        "ShardLevelMetrics",
        "EncryptionType",
        "KeyId",
        "NewStartingHashKey",
        "ShardToSplit",
        "ShardToMerge",
        "AdjacentShardToMerge",
        "StreamModeDetails",
        "StreamMode",
        "StreamCreationTimestamp",
        "DryRun",
        "SequenceNumberForOrdering",
        "MaxRecordSizeInKiB",
        "WarmThroughputMiBps",
        "ExclusiveStartShardId",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn bytes(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 8)) {
        let world = world();
        for (body, &operation) in bodies.iter().cycle().zip(Operation::ALL) {
            send(&world, operation, JSON, body.clone());
            send(&world, operation, CBOR, body.clone());
        }
    }

    #[test]
    fn structures(bodies in prop::collection::vec(prop::collection::vec((member(), value()), 0..8), 24)) {
        let world = world();
        for (body, &operation) in bodies.iter().cycle().zip(Operation::ALL.iter().cycle().take(120)) {
            let mut body: serde_json::Map<String, Value> = body.iter().cloned().collect();
            body.entry("StreamName").or_insert_with(|| json!("a"));
            let mut cbor = Vec::new();
            ciborium::into_writer(&body, &mut cbor).unwrap();
            send(&world, operation, JSON, Value::Object(body).to_string());
            send(&world, operation, CBOR, cbor);
            world.clock.advance(300);
        }
    }
}

#[test]
fn a_token_with_an_extreme_time_is_rejected() {
    let world = world();
    for issued_ms in [i64::MIN, i64::MAX, -1] {
        let token = json!({"operation": "ListStreams", "issued_ms": issued_ms, "next": "a"}).to_string();
        let token = STANDARD.encode_to_string(token);
        world.refused("ListStreams", json!({ "NextToken": token }));
    }
}
