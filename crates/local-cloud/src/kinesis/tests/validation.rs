//! AWS's messages for input that violates the model.

use bytes::Bytes;
use serde_json::json;

use super::world::World;

#[test]
fn every_broken_constraint_is_reported() {
    let world = World::new();
    let (code, message) = world.err("CreateStream", json!({"StreamName": "a b", "ShardCount": 0}));
    assert_eq!(code, "ValidationException");
    assert_eq!(
        message,
        "2 validation errors detected: Value 'a b' at 'streamName' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: [a-zA-Z0-9_.-]+; Value '0' at 'shardCount' failed to satisfy constraint: Member \
         must have value greater than or equal to 1"
    );
}

#[test]
fn each_broken_constraint_has_its_message() {
    let world = World::new();
    let long = "x".repeat(129);
    let cases = [
        ("CreateStream", json!({"ShardCount": 1}), "Value null at 'streamName' failed to satisfy constraint: Member must not be null".to_owned()),
        ("CreateStream", json!({"StreamName": long, "ShardCount": 1}), format!("Value '{long}' at 'streamName' failed to satisfy constraint: Member must have length less than or equal to 128")),
        ("CreateStream", json!({"StreamName": "a", "ShardCount": 1, "MaxRecordSizeInKiB": 1023}), "Value '1023' at 'maxRecordSizeInKiB' failed to satisfy constraint: Member must have value greater than or equal to 1024".to_owned()),
        ("CreateStream", json!({"StreamName": "a", "StreamModeDetails": {"StreamMode": "X"}}), "Value 'X' at 'streamModeDetails.streamMode' failed to satisfy constraint: Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]".to_owned()),
        ("DescribeStream", json!({"StreamName": "a", "Limit": 10001}), "Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000".to_owned()),
        ("DescribeStream", json!({"StreamARN": "arn:nonsense"}), "Value 'arn:nonsense' at 'streamARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+".to_owned()),
        ("SplitShard", json!({"StreamName": "a", "ShardToSplit": "shardId-0", "NewStartingHashKey": "01"}), "Value '01' at 'newStartingHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})".to_owned()),
        ("GetRecords", json!({"ShardIterator": ""}), "Value '' at 'shardIterator' failed to satisfy constraint: Member must have length greater than or equal to 1".to_owned()),
        ("RemoveTagsFromStream", json!({"StreamName": "a", "TagKeys": ["", "ok"]}), "Value '' at 'tagKeys.1.member' failed to satisfy constraint: Member must have length greater than or equal to 1".to_owned()),
        ("PutRecords", json!({"StreamName": "a", "Records": []}), "Value at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1".to_owned()),
    ];
    for (operation, input, says) in cases {
        let refused = world.err(operation, input);
        assert_eq!(
            refused,
            (
                "ValidationException".to_owned(),
                format!("1 validation error detected: {says}")
            )
        );
    }
}

#[test]
fn bodies_that_are_not_the_input_are_serialization_errors() {
    let world = World::new();
    for body in [
        "{",
        "[]",
        "3",
        r#"{"StreamName": 3}"#,
        r#"{"StreamName": ["a"]}"#,
        "\u{0}",
    ] {
        let response = world.send("DescribeStream", "application/x-amz-json-1.1", Bytes::from(body));
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(
            response.headers()["x-amzn-errortype"],
            "SerializationException",
            "{body}"
        );
    }
    let response = world.send(
        "DescribeStream",
        "application/x-amz-cbor-1.1",
        Bytes::from_static(&[0xff, 0x00]),
    );
    assert_eq!(response.headers()["x-amzn-errortype"], "SerializationException");
}

#[test]
fn unknown_operations_are_rejected_and_unknown_members_ignored() {
    let world = World::new();
    assert_eq!(
        world.refused("CreateQueue", json!({})),
        "UnknownOperationException"
    );
    world.ok("ListStreams", json!({"Whatever": 1}));
}

#[test]
fn no_operation_panics_on_an_empty_or_unusual_body() {
    let world = World::new();
    for operation in crate::kinesis::operation::Operation::ALL {
        for body in [
            "",
            "{}",
            "null",
            r#"{"StreamName":"orders"}"#,
            r#"{"StreamARN":"arn:aws:kinesis:::stream/"}"#,
        ] {
            for content_type in ["application/x-amz-json-1.1", "application/x-amz-cbor-1.1"] {
                world.send(operation.as_str(), content_type, Bytes::from(body));
            }
        }
    }
}
