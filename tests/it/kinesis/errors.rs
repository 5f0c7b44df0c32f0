//! Requests that are refused before they reach an operation, and the format of errors.

use super::raw::{post, post_json};
use super::{client, create};
use crate::support::{Cloud, block_on};

#[test]
fn an_error_has_a_type_a_message_and_a_request_id() {
    let cloud = Cloud::start();
    let answer = post_json(&cloud, "DescribeStreamSummary", r#"{"StreamName": "absent"}"#);
    assert_eq!(answer.status, 400);
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.1");
    assert_eq!(answer.headers["x-amzn-requestid"].len(), 36);
    let error = answer.json();
    assert_eq!(error["__type"], "ResourceNotFoundException");
    let message = error["message"].as_str().unwrap();
    let account = message.strip_prefix("Stream absent under account ").unwrap();
    let account = account.strip_suffix(" not found.").unwrap();
    assert_eq!(account.len(), 12);

    // The response of an operation without output is empty.
    let answer = post_json(&cloud, "CreateStream", r#"{"StreamName": "s", "ShardCount": 1}"#);
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_empty());
}

#[test]
fn malformed_requests_are_refused() {
    let cloud = Cloud::start();
    block_on(async { create(&client(&cloud), "s", 1).await });
    let kind = |operation: &str, body: &str| {
        let answer = post_json(&cloud, operation, body);
        assert_eq!(answer.status, 400, "{operation} {body}");
        answer.json()["__type"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind("DrainOcean", "{}"), "UnknownOperationException");
    for operation in ["ListStreams", "PutRecord", "PutRecords", "GetRecords"] {
        assert_eq!(kind(operation, "{"), "SerializationException", "{operation}");
        assert_eq!(kind(operation, "[]"), "SerializationException", "{operation}");
        assert_eq!(
            kind(operation, "\u{fffd}"),
            "SerializationException",
            "{operation}"
        );
    }
    assert_eq!(
        kind("ListStreams", r#"{"Limit": "many"}"#),
        "SerializationException"
    );
    assert_eq!(
        kind(
            "PutRecord",
            r#"{"StreamName": "s", "PartitionKey": "k", "Data": "%"}"#
        ),
        "SerializationException"
    );
    assert_eq!(
        kind("PutRecord", r#"{"StreamName": "s", "Data": "eA=="}"#),
        "ValidationException"
    );
    assert_eq!(
        kind("PutRecords", r#"{"StreamName": "s"}"#),
        "ValidationException"
    );
    assert_eq!(kind("GetRecords", "{}"), "ValidationException");
    assert_eq!(kind("CreateStream", "{}"), "ValidationException");
}

#[test]
fn every_violated_constraint_is_listed() {
    let cloud = Cloud::start();
    let answer = post_json(
        &cloud,
        "MergeShards",
        r#"{"StreamName": "", "ShardToMerge": "!"}"#,
    );
    let error = answer.json();
    assert_eq!(error["__type"], "ValidationException");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(" validation errors detected: "), "{message}");
    for part in [
        "Value '' at 'streamName' failed to satisfy constraint: Member must have length greater than or equal to 1",
        "Value '!' at 'shardToMerge' failed to satisfy constraint: Member must satisfy regular expression pattern: \
         [a-zA-Z0-9_.-]+",
        "Value null at 'adjacentShardToMerge' failed to satisfy constraint: Member must not be null",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn unknown_members_are_ignored() {
    let cloud = Cloud::start();
    let answer = post_json(
        &cloud,
        "ListStreams",
        r#"{"Limit": 5, "FromTheFuture": {"a": [1]}}"#,
    );
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["HasMoreStreams"], false);
    let answer = post(
        &cloud,
        "kinesis",
        "Kinesis_20131202.ListStreams",
        "application/x-amz-json-1.1",
        b"",
    );
    assert_ne!(answer.status, 500);
}
