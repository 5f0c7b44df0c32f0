use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::in_cbor;
use super::*;
use crate::record::Record;

const ARN: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";

fn record(key: &str, hash_key: Option<&str>, data: &[u8]) -> Record {
    Record {
        data: Bytes::copy_from_slice(data),
        partition_key: key.into(),
        explicit_hash_key: hash_key.map(str::to_owned),
        has_random_key: false,
        number: 1,
        line: 1,
    }
}

/// What is read of a CBOR body: base64 for bytes.
fn value_of(decoder: &mut minicbor::Decoder<'_>) -> Value {
    use minicbor::data::Type;
    match decoder.datatype().unwrap() {
        Type::Map | Type::MapIndef => {
            let mut members = serde_json::Map::new();
            cbor::members(decoder, |decoder, name| {
                assert!(members.insert(name.to_owned(), value_of(decoder)).is_none());
                Ok(())
            })
            .unwrap();
            members.into()
        }
        Type::Array | Type::ArrayIndef => {
            let mut values = Vec::new();
            cbor::elements(decoder, |decoder| {
                values.push(value_of(decoder));
                Ok(())
            })
            .unwrap();
            values.into()
        }
        Type::Bytes => base64_simd::STANDARD
            .encode_to_string(decoder.bytes().unwrap())
            .into(),
        Type::String => decoder.str().unwrap().into(),
        _ => decoder.u64().unwrap().into(),
    }
}
fn stored() -> Value {
    json!({"FailedRecordCount": 0, "Records": [{"ShardId": "shardId-000000000001", "SequenceNumber": "49"}]})
}

#[test]
fn a_request_has_the_members_of_the_api() {
    let records = [
        record("a\"\\\u{1}é", None, b"\x00\xFFx"),
        record("b", Some("7"), b""),
    ];
    let expected = json!({
        "StreamARN": ARN,
        "Records": [
            {"Data": "AP94", "PartitionKey": "a\"\\\u{1}é"},
            {"Data": "", "PartitionKey": "b", "ExplicitHashKey": "7"},
        ],
    });
    let json: Value = serde_json::from_slice(&put::body(Format::Json, ARN, &records)).unwrap();
    assert_eq!(json, expected);
    let body = put::body(Format::Cbor, ARN, &records);
    assert_eq!(value_of(&mut minicbor::Decoder::new(&body)), expected);
    let json: Value = serde_json::from_slice(&put::body(Format::Json, "orders", &[])).unwrap();
    assert_eq!(json, json!({"StreamName": "orders", "Records": []}));
    let json: Value = serde_json::from_slice(&get::body(Format::Json, "a\"b", 70_000)).unwrap();
    let body = get::body(Format::Cbor, "a\"b", 70_000);
    assert_eq!(json, json!({"ShardIterator": "a\"b", "Limit": 70_000}));
    assert_eq!(value_of(&mut minicbor::Decoder::new(&body)), json);
}

#[test]
fn the_results_of_entries_are_read_in_both_formats() {
    let answer = json!({
        "FailedRecordCount": 2,
        "EncryptionType": "KMS",
        "Records": [
            {"ShardId": "shardId-000000000001", "SequenceNumber": "49", "ErrorCode": null},
            {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate \"exceeded\"", "New": [{}]},
            {},
        ],
    });
    let mut expected = PutAnswer::default();
    expected.stored("shardId-000000000001", "49");
    expected.refused(
        "ProvisionedThroughputExceededException".to_owned(),
        "Rate \"exceeded\"".to_owned(),
    );
    expected.refused("InternalFailure".to_owned(), String::new());
    let body = answer.to_string();
    assert_eq!(put::read(Format::Json, body.as_bytes()).unwrap(), expected);
    assert_eq!(put::read(Format::Cbor, &in_cbor(&answer)).unwrap(), expected);
    for body in ["", "{}", "[]", "{\"Records\":{}}", "{\"Records\":[1]}"] {
        assert!(put::read(Format::Json, body.as_bytes()).is_err(), "{body}");
        let value = serde_json::from_str(body).unwrap_or(Value::Null);
        assert!(put::read(Format::Cbor, &in_cbor(&value)).is_err(), "{body}");
    }
}

#[test]
fn an_answer_keeps_the_lowest_and_the_highest_number_of_each_shard() {
    let mut answer = PutAnswer::default();
    for (shard, number) in [
        ("1", "9"),
        ("1", "10"),
        ("2", "7"),
        ("1", "8"),
        ("2", "7"),
        ("2", "11"),
    ] {
        answer.stored(shard, number);
    }
    let shards = answer.entries.iter().map(|entry| match entry {
        EntryResult::Stored { shard } => *shard,
        EntryResult::Refused(refusal) => panic!("{refusal:?}"),
    });
    assert_eq!(shards.collect::<Vec<_>>(), [0, 0, 1, 0, 1, 1]);
    let stored = |shard_id: &str, first: &str, last: &str| StoredIn {
        shard_id: shard_id.into(),
        first: first.into(),
        last: last.into(),
    };
    assert_eq!(answer.shards, [stored("1", "8", "10"), stored("2", "7", "11")]);
}

#[test]
fn a_page_is_read_in_both_formats() {
    let page = |data: &str, arrival: Value| {
        json!({
            "MillisBehindLatest": 5,
            "NextShardIterator": "next",
            "Records": [
                {"SequenceNumber": "1", data: "AP94", "PartitionKey": "k\n", "EncryptionType": "KMS",
                    "ApproximateArrivalTimestamp": arrival},
                {"SequenceNumber": "2", data: "", "EncryptionType": "NONE", "Unknown": {"a": [1]}},
            ],
            "ChildShards": [{
                "ShardId": "shardId-000000000002",
                "ParentShards": ["shardId-000000000001"],
                "HashKeyRange": {"StartingHashKey": "1", "EndingHashKey": "340282366920938463463374607431768211455"},
            }],
        })
    };
    let json = page("Data", json!(1_795_255_200.25)).to_string();
    let from_json = get::read(Format::Json, json.into()).unwrap();
    // Whole milliseconds, as Kinesis answers, and seconds, as RFC 8949 has it.
    for arrival in [json!(1_795_255_200_250_i64), json!(1_795_255_200.25)] {
        assert_eq!(
            get::read(Format::Cbor, in_cbor(&page("~Data", arrival))).unwrap(),
            from_json
        );
    }
    let [first, second] = &from_json.records[..] else {
        panic!("{from_json:?}")
    };
    assert_eq!(first.data, &b"\x00\xFFx"[..]);
    assert_eq!(
        (first.partition_key.as_str(), first.arrival_ms),
        ("k\n", Some(1_795_255_200_250))
    );
    assert_eq!(first.encryption.as_deref(), Some("KMS"));
    assert_eq!((second.partition_key.as_str(), second.arrival_ms), ("", None));
    assert_eq!(second.encryption, None);
    assert_eq!(
        (from_json.next.as_deref(), from_json.behind_ms),
        (Some("next"), Some(5))
    );
    assert_eq!(from_json.children[0].hash_keys, Some((1, u128::MAX)));
    let damaged = [
        json!({"NextShardIterator": "n"}),
        json!({"Records": [{"SequenceNumber": "1"}]}),
        json!({"Records": [{"~Data": "AP94"}]}),
        json!({"Records": [{"SequenceNumber": 1, "~Data": "AP94"}]}),
        json!({"Records": [{"SequenceNumber": "1", "Data": "!!"}]}),
    ];
    for page in damaged {
        assert!(get::read(Format::Cbor, in_cbor(&page)).is_err(), "{page}");
        let json = page.to_string().replace('~', "");
        assert!(get::read(Format::Json, json.into()).is_err(), "{page}");
    }
}

#[test]
fn pieces_of_texts_and_of_data_are_joined() {
    let page = b"\xBF\x67Records\x9F\xBF\x6ESequenceNumber\x7F\x61\x31\x61\x32\xFF\x64Data\x5F\x41a\x42bc\xFF\xFF\xFF\xFF";
    let page = get::read(Format::Cbor, Bytes::from_static(page)).unwrap();
    assert_eq!(page.records[0].sequence_number, "12");
    assert_eq!(page.records[0].data, "abc");
}

proptest! {
    #[test]
    fn requests_say_the_same_in_both_formats(
        records in prop::collection::vec(
            ("\\PC{1,20}|.{1,20}", prop::option::of(any::<u128>()), prop::collection::vec(any::<u8>(), 0..300)),
            0..20,
        ),
    ) {
        let records: Vec<Record> = records
            .iter()
            .map(|(key, hash, data)| record(key, hash.map(|hash| hash.to_string()).as_deref(), data))
            .collect();
        let json: Value = serde_json::from_slice(&put::body(Format::Json, "s", &records)).unwrap();
        let body = put::body(Format::Cbor, "s", &records);
        prop_assert_eq!(&value_of(&mut minicbor::Decoder::new(&body)), &json);
        for (record, sent) in records.iter().zip(json["Records"].as_array().unwrap()) {
            prop_assert_eq!(sent["PartitionKey"].as_str().unwrap(), &record.partition_key);
            let data = base64_simd::STANDARD.decode_to_vec(sent["Data"].as_str().unwrap()).unwrap();
            prop_assert_eq!(&data[..], &record.data[..]);
        }
    }

    #[test]
    fn entries_that_are_alike_are_read_as_each_is(
        entries in prop::collection::vec((0..3_u8, prop::sample::select(vec!["9", "10", "11", "é", "49\u{0}"]), 0..8_u8), 0..40),
    ) {
        let (mut values, mut expected) = (Vec::new(), PutAnswer::default());
        for (shard, number, kind) in entries {
            let shard = format!("shardId-{shard}");
            match kind {
                0 => {
                    values.push(json!({"ErrorCode": "InternalFailure", "ErrorMessage": number}));
                    expected.refused("InternalFailure".to_owned(), number.to_owned());
                }
                1 => {
                    values.push(json!({"SequenceNumber": number, "ShardId": shard, "ErrorCode": "Other"}));
                    expected.refused("Other".to_owned(), String::new());
                }
                _ => {
                    values.push(json!({"SequenceNumber": number, "ShardId": shard}));
                    expected.stored(&shard, number);
                }
            }
        }
        let answer = json!({"FailedRecordCount": 0, "Records": values});
        prop_assert_eq!(put::read(Format::Cbor, &in_cbor(&answer)).unwrap(), expected);
    }

    #[test]
    fn no_answer_panics(
        body in prop::collection::vec(prop_oneof![Just(0xBFu8), Just(0x9F), Just(0xFF), 0x60..0x70u8, any::<u8>()], 0..200),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let page = json!({"MillisBehindLatest": 1, "Records": [
            {"SequenceNumber": "1", "~Data": "AP94", "ApproximateArrivalTimestamp": 1_795_255_200_250_i64},
        ]});
        let mut damaged = [in_cbor(&page), in_cbor(&stored())].concat();
        let place = at.index(damaged.len());
        damaged[place] = byte;
        for body in [Bytes::from(body), Bytes::from(damaged)] {
            for format in [Format::Json, Format::Cbor] {
                let _ = put::read(format, &body);
                let _ = get::read(format, body.clone());
            }
        }
    }
}
