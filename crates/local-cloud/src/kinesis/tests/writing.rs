//! PutRecord, PutRecords.

use serde_json::{Value, json};

use super::world::{World, base64};

#[test]
fn a_partition_key_selects_the_shard_unless_an_explicit_hash_key_is_given() {
    let world = World::new();
    world.stream("orders", 2);
    // MD5("a") starts with 0x0c, MD5("b") with 0x92.
    assert_eq!(world.put("orders", "a", "1")["ShardId"], "shardId-000000000000");
    assert_eq!(world.put("orders", "b", "2")["ShardId"], "shardId-000000000001");
    let explicit =
        json!({"StreamName": "orders", "PartitionKey": "b", "ExplicitHashKey": "0", "Data": base64("3")});
    assert_eq!(world.ok("PutRecord", explicit)["ShardId"], "shardId-000000000000");
    let beyond = json!({"StreamName": "orders", "PartitionKey": "b", "ExplicitHashKey": "340282366920938463463374607431768211456", "Data": ""});
    let (code, message) = world.err("PutRecord", beyond);
    assert_eq!(code, "InvalidArgumentException");
    assert_eq!(
        message,
        "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 340282366920938463463374607431768211456"
    );
}

#[test]
fn sequence_numbers_increase_within_a_shard() {
    let world = World::new();
    world.stream("orders", 1);
    let mut last = String::new();
    for i in 0..20 {
        let input = json!({"StreamName": "orders", "PartitionKey": "k", "Data": base64(&i.to_string())});
        let number = world.ok("PutRecord", input)["SequenceNumber"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(number > last && number.len() == 56);
        last = number;
    }
    let ordering = |number: &str| json!({"StreamName": "orders", "PartitionKey": "k", "Data": "", "SequenceNumberForOrdering": number});
    world.ok("PutRecord", ordering(&last));
    let (code, message) = world.err("PutRecord", ordering("7"));
    assert_eq!(code, "InvalidArgumentException");
    assert_eq!(
        message,
        "ExclusiveMinimumSequenceNumber 7 used in PutRecord on stream orders under account 000000000000 is invalid."
    );
}

#[test]
fn a_batch_answers_in_the_order_of_its_records() {
    let world = World::new();
    world.stream("orders", 4);
    let records: Vec<Value> = (0..500)
        .map(|i| json!({"PartitionKey": format!("k{i}"), "Data": base64(&i.to_string())}))
        .collect();
    let answer = world.ok("PutRecords", json!({"StreamName": "orders", "Records": records}));
    assert_eq!(answer["FailedRecordCount"], 0);
    assert!(answer.get("EncryptionType").is_none());
    let results = answer["Records"].as_array().unwrap();
    assert_eq!(results.len(), 500);
    for shard in 0..4 {
        let id = format!("shardId-{shard:012}");
        let expected: Vec<String> = (0..500)
            .filter(|&i| results[i]["ShardId"] == id.as_str())
            .map(|i| i.to_string())
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(world.read_all("orders", shard), expected);
    }
}

#[test]
fn too_many_too_large_or_no_records_reject_the_whole_request() {
    let world = World::new();
    world.stream("orders", 1);
    let records = |n: usize, data: &str| vec![json!({"PartitionKey": "k", "Data": data}); n];
    let put =
        |records: Vec<Value>| world.err("PutRecords", json!({"StreamName": "orders", "Records": records}));
    let (code, message) = put(records(501, ""));
    assert_eq!(code, "ValidationException");
    assert_eq!(
        message,
        "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"
    );
    let mebibyte = base64(&"x".repeat(1_048_576));
    let (code, message) = put(records(1, &mebibyte));
    assert_eq!(code, "ValidationException");
    assert!(
        message.contains("'records.1.member.data'") && message.contains("1048576"),
        "{message}"
    );
    let nearly = base64(&"x".repeat(1_048_575));
    assert_eq!(
        put(records(11, &nearly)),
        (
            "InvalidArgumentException".to_owned(),
            "Records size exceeds 10 MB limit".to_owned()
        )
    );
    world.ok(
        "PutRecords",
        json!({"StreamName": "orders", "Records": records(10, &nearly)}),
    );
    let long = "k".repeat(257);
    let (code, message) = put(vec![
        json!({"PartitionKey": "k", "Data": ""}),
        json!({"PartitionKey": long, "Data": ""}),
        json!({"PartitionKey": "k"}),
    ]);
    assert_eq!(code, "ValidationException");
    assert!(message.starts_with("2 validation errors detected: "), "{message}");
    assert!(
        message.contains("'records.2.member.partitionKey'")
            && message.contains("null at 'records.3.member.data'"),
        "{message}"
    );
    assert_eq!(world.read_all("orders", 0).len(), 10);
}

#[test]
fn a_partition_key_has_256_characters_not_bytes() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", &"ü".repeat(256), "x");
    let input = json!({"StreamName": "orders", "PartitionKey": "ü".repeat(257), "Data": ""});
    assert_eq!(world.refused("PutRecord", input), "ValidationException");
}

#[test]
fn data_must_be_base64_and_may_be_empty() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "k", "");
    let input = json!({"StreamName": "orders", "PartitionKey": "k", "Data": "not base64!"});
    assert_eq!(world.refused("PutRecord", input), "SerializationException");
    assert_eq!(world.read_all("orders", 0), [""]);
}

#[test]
fn a_dry_run_stores_nothing_and_reports_errors() {
    let world = World::new();
    world.stream("orders", 1);
    let dry = |name: &str| json!({"StreamName": name, "PartitionKey": "k", "Data": "", "DryRun": true});
    assert_eq!(
        world.refused("PutRecord", dry("orders")),
        "DryRunOperationException"
    );
    assert_eq!(
        world.refused("PutRecord", dry("bills")),
        "ResourceNotFoundException"
    );
    let batch =
        json!({"StreamName": "orders", "DryRun": true, "Records": [{"PartitionKey": "k", "Data": ""}]});
    assert_eq!(world.refused("PutRecords", batch), "DryRunOperationException");
    assert!(world.read_all("orders", 0).is_empty());
    let iterator = world.iterator("orders", 0, "LATEST");
    assert_eq!(
        world.refused("GetRecords", json!({"ShardIterator": iterator, "DryRun": true})),
        "DryRunOperationException"
    );
}
