//! CBOR, as the AWS SDKs for Java use it.

use bytes::Bytes;
use ciborium::{Value, cbor};

use super::world::{DELAY_MS, START_MS, World};
use crate::test_support::whole_body;

const CBOR: &str = "application/x-amz-cbor-1.1";

impl World {
    fn cbor(&self, operation: &str, input: &Value) -> (u16, Value) {
        let mut body = Vec::new();
        ciborium::into_writer(input, &mut body).unwrap();
        let response = self.send(operation, CBOR, Bytes::from(body));
        assert_eq!(response.headers()["content-type"], CBOR);
        let status = response.status().as_u16();
        let body = whole_body(response);
        let value = if body.is_empty() {
            Value::Null
        } else {
            ciborium::from_reader(&body[..]).unwrap()
        };
        (status, value)
    }
}

/// Members of a map, in any order.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let map = value.as_map().unwrap();
    map.iter()
        .find(|(key, _)| key.as_text() == Some(name))
        .map(|(_, v)| v)
        .unwrap_or_else(|| panic!("no {name} in {value:?}"))
}

#[test]
fn a_stream_is_created_written_and_read_in_cbor() {
    let world = World::new();
    let (status, created) = world.cbor(
        "CreateStream",
        &cbor!({"StreamName" => "orders", "ShardCount" => 1}).unwrap(),
    );
    assert_eq!((status, created), (200, Value::Null));
    world.settle();
    let data = Value::Bytes(vec![0, 159, 146, 150]);
    let record = Value::Map(vec![
        ("PartitionKey".into(), "k".into()),
        ("Data".into(), data.clone()),
        ("StreamName".into(), "orders".into()),
    ]);
    let (status, put) = world.cbor("PutRecord", &record);
    assert_eq!(status, 200, "{put:?}");
    assert_eq!(member(&put, "ShardId").as_text(), Some("shardId-000000000000"));
    let batch = Value::Map(vec![
        ("StreamName".into(), "orders".into()),
        ("Records".into(), Value::Array(vec![record.clone(), record])),
    ]);
    let (_, answer) = world.cbor("PutRecords", &batch);
    assert_eq!(member(&answer, "FailedRecordCount"), &Value::from(0));

    // Timestamps are epoch milliseconds under tag 1.
    let at = Value::Tag(1, Box::new(Value::from(START_MS)));
    let wanted = Value::Map(vec![
        ("StreamName".into(), "orders".into()),
        ("ShardId".into(), "shardId-000000000000".into()),
        ("ShardIteratorType".into(), "AT_TIMESTAMP".into()),
        ("Timestamp".into(), at),
    ]);
    let (status, iterator) = world.cbor("GetShardIterator", &wanted);
    assert_eq!(status, 200, "{iterator:?}");
    let get = Value::Map(vec![(
        "ShardIterator".into(),
        member(&iterator, "ShardIterator").clone(),
    )]);
    let (_, page) = world.cbor("GetRecords", &get);
    let records = member(&page, "Records").as_array().unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(member(&records[0], "Data"), &data);
    let arrival = Value::Tag(1, Box::new(Value::from(START_MS + DELAY_MS)));
    assert_eq!(member(&records[0], "ApproximateArrivalTimestamp"), &arrival);
}

#[test]
fn errors_are_cbor_too() {
    let world = World::new();
    let (status, error) = world.cbor("DescribeStream", &cbor!({"StreamName" => "orders"}).unwrap());
    assert_eq!(status, 400);
    assert_eq!(
        member(&error, "__type").as_text(),
        Some("ResourceNotFoundException")
    );
    assert_eq!(
        member(&error, "message").as_text(),
        Some("Stream orders under account 000000000000 not found.")
    );
}

#[test]
fn chunked_byte_strings_and_maps_of_unknown_length_are_decoded() {
    let world = World::new();
    world.stream("orders", 1);
    let mut body = vec![0xbf];
    for text in ["StreamName", "orders", "PartitionKey", "k", "Data"] {
        body.push(0x60 + text.len() as u8);
        body.extend_from_slice(text.as_bytes());
    }
    body.extend_from_slice(&[0x5f, 0x42, b'a', b'b', 0x41, b'c', 0xff, 0xff]);
    assert_eq!(world.send("PutRecord", CBOR, body.into()).status(), 200);
    assert_eq!(world.read_all("orders", 0), ["abc"]);
}
