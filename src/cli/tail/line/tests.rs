use std::sync::Arc;

use bytes::Bytes;
use insta::assert_snapshot;

use super::*;

fn record(data: &'static [u8]) -> TailRecord {
    TailRecord {
        shard_id: Arc::from("shardId-000000000003"),
        sequence_number: "495".into(),
        arrival_ms: Some(1_795_255_200_007),
        partition_key: "sensor-1".into(),
        data: Bytes::from_static(data),
        encryption: None,
    }
}

fn people(data: &'static [u8]) -> String {
    fields(&record(data)).join("  ")
}

fn json(record: &TailRecord) -> String {
    serde_json::to_string(&JsonLine::new(record)).unwrap()
}

#[test]
fn a_line_for_people() {
    assert_snapshot!(people(b"{\"a\": 1}"), @r#"2026-11-21T10:00:00.007Z  shard-3  sensor-1  {"a": 1}"#);
    assert_snapshot!(people(b"{\n  \"a \\\" b\": [1,\n 2.50]\n}"), @r#"2026-11-21T10:00:00.007Z  shard-3  sensor-1  {"a \" b":[1,2.50]}"#);
    assert_snapshot!(people(b"two\nlines\x1b[31m\x00"), @r"2026-11-21T10:00:00.007Z  shard-3  sensor-1  two\nlines\u{1b}[31m\u{0}");
    assert_snapshot!(people("\u{9b}31m \u{202e}abc ü".as_bytes()), @r"2026-11-21T10:00:00.007Z  shard-3  sensor-1  \u{9b}31m \u{202e}abc ü");
    assert_snapshot!(people(b"\xff\x00"), @"2026-11-21T10:00:00.007Z  shard-3  sensor-1  base64:/wA=");
}

#[test]
fn a_line_for_scripts() {
    assert_snapshot!(json(&record(b"{\"a\": 1}")), @r#"{"shard_id":"shardId-000000000003","sequence_number":"495","approximate_arrival_timestamp":"2026-11-21T10:00:00.007Z","partition_key":"sensor-1","data":"{\"a\": 1}"}"#);
    let binary = TailRecord {
        arrival_ms: None,
        encryption: Some("KMS".into()),
        ..record(b"\xff\x00")
    };
    assert_snapshot!(json(&binary), @r#"{"shard_id":"shardId-000000000003","sequence_number":"495","approximate_arrival_timestamp":null,"partition_key":"sensor-1","encryption_type":"KMS","data_base64":"/wA="}"#);
}
