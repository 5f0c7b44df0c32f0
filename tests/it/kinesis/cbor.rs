//! The CBOR protocol that the Java SDK uses: `application/x-amz-cbor-1.1`.

use ciborium::Value;

use super::raw::{Answer, post};
use super::{client, create, now_ms, read, shard_id, texts};
use crate::support::{Cloud, block_on};

const CBOR: &str = "application/x-amz-cbor-1.1";

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Map(members.map(|(name, value)| (Value::from(name), value)).to_vec())
}

/// The member `name` of a map.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_map().unwrap();
    let found = members.iter().find(|(key, _)| key.as_text() == Some(name));
    found
        .map(|(_, value)| value)
        .unwrap_or_else(|| panic!("no {name} in {value:?}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    member(value, name).as_text().unwrap()
}

fn call(cloud: &Cloud, operation: &str, input: &Value) -> (Answer, Value) {
    let mut body = Vec::new();
    ciborium::into_writer(input, &mut body).unwrap();
    let target = format!("Kinesis_20131202.{operation}");
    let answer = post(cloud, "kinesis", &target, CBOR, &body);
    assert_eq!(answer.headers["content-type"], CBOR);
    let output = if answer.body.is_empty() {
        Value::Null
    } else {
        ciborium::from_reader(answer.body.as_slice()).unwrap()
    };
    (answer, output)
}

fn ok(cloud: &Cloud, operation: &str, input: &Value) -> Value {
    let (answer, output) = call(cloud, operation, input);
    assert_eq!(answer.status, 200, "{operation}: {output:?}");
    output
}

#[test]
fn records_are_byte_strings() {
    let cloud = Cloud::start();
    let client = client(&cloud);
    block_on(create(&client, "s", 1));
    let record = || {
        let data = Value::Bytes(vec![0, 1, 0xff]);
        vec![("PartitionKey", Value::from("k")), ("Data", data)]
    };
    let fields = |members: Vec<(&str, Value)>| {
        Value::Map(
            members
                .into_iter()
                .map(|(name, value)| (Value::from(name), value))
                .collect(),
        )
    };
    let mut one = record();
    one.push(("StreamName", Value::from("s")));
    let stored = ok(&cloud, "PutRecord", &fields(one));
    assert_eq!(text(&stored, "ShardId"), shard_id(0));
    let entries = Value::Array(vec![fields(record()), fields(record())]);
    let many = ok(
        &cloud,
        "PutRecords",
        &map([("StreamName", Value::from("s")), ("Records", entries)]),
    );
    assert_eq!(member(&many, "FailedRecordCount").as_integer(), Some(0.into()));
    assert_eq!(member(&many, "Records").as_array().unwrap().len(), 2);

    let start = map([
        ("StreamName", Value::from("s")),
        ("ShardId", Value::from(shard_id(0))),
        ("ShardIteratorType", Value::from("TRIM_HORIZON")),
    ]);
    let start = ok(&cloud, "GetShardIterator", &start);
    let page = ok(
        &cloud,
        "GetRecords",
        &map([("ShardIterator", member(&start, "ShardIterator").clone())]),
    );
    let records = member(&page, "Records").as_array().unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(member(&records[0], "Data").as_bytes().unwrap(), &[0, 1, 0xff]);
    assert_eq!(
        text(&records[0], "SequenceNumber"),
        text(&stored, "SequenceNumber")
    );
    // Timestamps have the CBOR tag of a time and are in milliseconds.
    let (tag, arrival) = member(&records[0], "ApproximateArrivalTimestamp")
        .as_tag()
        .unwrap();
    assert_eq!(tag, 1);
    let arrival = i64::try_from(arrival.as_integer().unwrap()).unwrap();
    assert!((now_ms() - arrival).abs() < 60_000, "{arrival}");

    // Both protocols return the same records. A returned timestamp is accepted as input.
    let records = block_on(read(&client, "s", &shard_id(0)));
    assert_eq!(records[2].data().as_ref(), [0, 1, 0xff]);
    let since = map([
        ("StreamName", Value::from("s")),
        ("ShardId", Value::from(shard_id(0))),
        ("ShardIteratorType", Value::from("AT_TIMESTAMP")),
        ("Timestamp", Value::Tag(1, Box::new(Value::from(arrival)))),
    ]);
    let since = ok(&cloud, "GetShardIterator", &since);
    let page = ok(
        &cloud,
        "GetRecords",
        &map([("ShardIterator", member(&since, "ShardIterator").clone())]),
    );
    assert_eq!(member(&page, "Records").as_array().unwrap().len(), 3);
}

#[test]
fn streams_are_created_and_described() {
    let cloud = Cloud::start();
    let client = client(&cloud);
    let tags = map([("team", Value::from("data"))]);
    let input = map([
        ("StreamName", Value::from("s")),
        ("ShardCount", Value::from(2)),
        ("Tags", tags),
    ]);
    assert_eq!(ok(&cloud, "CreateStream", &input), Value::Null);
    block_on(super::wait_active(&client, "s"));
    let described = ok(&cloud, "DescribeStream", &map([("StreamName", Value::from("s"))]));
    let description = member(&described, "StreamDescription");
    assert_eq!(text(description, "StreamStatus"), "ACTIVE");
    assert_eq!(member(description, "Shards").as_array().unwrap().len(), 2);
    assert!(member(description, "StreamCreationTimestamp").is_tag());
    let listed = ok(&cloud, "ListStreams", &map([]));
    assert_eq!(
        member(&listed, "StreamNames").as_array().unwrap(),
        &[Value::from("s")]
    );
    block_on(super::put(&client, "s", "k", "from the other protocol"));
    let found = block_on(async {
        let upper = read(&client, "s", &shard_id(1)).await;
        [read(&client, "s", &shard_id(0)).await, upper].concat()
    });
    assert_eq!(texts(&found), ["from the other protocol"]);
}

#[test]
fn errors_are_in_cbor() {
    let cloud = Cloud::start();
    let (answer, error) = call(
        &cloud,
        "DescribeStream",
        &map([("StreamName", Value::from("absent"))]),
    );
    assert_eq!(answer.status, 400);
    assert_eq!(text(&error, "__type"), "ResourceNotFoundException");
    assert!(text(&error, "message").contains("absent"));
    let answer = post(&cloud, "kinesis", "Kinesis_20131202.PutRecords", CBOR, &[0xff]);
    assert_eq!(answer.status, 400);
    let error: Value = ciborium::from_reader(answer.body.as_slice()).unwrap();
    assert_eq!(text(&error, "__type"), "SerializationException");
}
