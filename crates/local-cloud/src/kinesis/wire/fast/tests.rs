use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn encode(data: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(data)
}

fn number(index: u64) -> SequenceNumber {
    SequenceNumber::new(1_700_000_000_000, 3, index, 1_700_000_001_000)
}

fn in_cbor(value: &ciborium::Value) -> Vec<u8> {
    let mut body = Vec::new();
    ciborium::into_writer(value, &mut body).unwrap();
    body
}

/// JSON as CBOR, with byte strings for data and milliseconds for times.
fn as_cbor(value: &Value) -> ciborium::Value {
    use ciborium::Value as Cbor;
    let member = |(name, value): (&String, &Value)| {
        let value = match name.as_str() {
            "Data" => Cbor::Bytes(
                base64_simd::STANDARD
                    .decode_to_vec(value.as_str().unwrap())
                    .unwrap(),
            ),
            "ApproximateArrivalTimestamp" => {
                let ms = (value.as_f64().unwrap() * 1000.0).round() as i64;
                Cbor::Tag(1, Box::new(ms.into()))
            }
            _ => as_cbor(value),
        };
        (name.as_str().into(), value)
    };
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_u64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => Cbor::Array(values.iter().map(as_cbor).collect()),
        Value::Object(members) => Cbor::Map(members.iter().map(member).collect()),
    }
}

/// Members in the order of their names.
fn sorted(value: ciborium::Value) -> ciborium::Value {
    use ciborium::Value as Cbor;
    match value {
        Cbor::Array(values) => Cbor::Array(values.into_iter().map(sorted).collect()),
        Cbor::Map(mut members) => {
            members.sort_by(|(one, _), (other, _)| one.as_text().cmp(&other.as_text()));
            Cbor::Map(
                members
                    .into_iter()
                    .map(|(name, value)| (name, sorted(value)))
                    .collect(),
            )
        }
        other => other,
    }
}

/// Checks that both formats say the same.
fn same(json: impl FnOnce(&mut Vec<u8>), cbor: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    cbor(&mut out);
    let written: ciborium::Value = ciborium::from_reader(&out[..]).unwrap();
    assert_eq!(sorted(written), sorted(as_cbor(&parsed(json))));
}

#[test]
fn only_the_plain_form_of_cbor_is_read() {
    use ciborium::{Value as Cbor, cbor};
    let entry = || {
        cbor!({"PartitionKey" => "k", "More" => [[1, 2.5], {"a" => null}], "ExplicitHashKey" => "7"}).unwrap()
    };
    let body =
        in_cbor(&cbor!({"StreamARN" => "arn", "DryRun" => true, "Records" => [entry()], "X" => {}}).unwrap());
    let request = cbor::parse_put_records(&body).unwrap();
    assert_eq!(request.stream_arn.as_deref(), Some("arn"));
    assert_eq!(request.dry_run, Some(true));
    let read = &request.records.as_deref().unwrap()[0];
    assert_eq!(read.partition_key.as_deref(), Some("k"));
    assert_eq!(read.explicit_hash_key.as_deref(), Some("7"));
    assert_eq!(request.data(read), None);
    // As Jackson writes maps and lists for the SDKs for Java: of indefinite length.
    let indefinite = b"\xBF\x67Records\x9F\xBF\x64Data\x42hi\xFF\xFF\xFF";
    let request = cbor::parse_put_records(indefinite).unwrap();
    let read = &request.records.as_deref().unwrap()[0];
    assert_eq!(request.data(read), Some(&b"hi"[..]));
    for other in [
        cbor!([]).unwrap(),
        cbor!({"StreamName" => 5}).unwrap(),
        cbor!({"Records" => null}).unwrap(),
        cbor!({"Records" => [{"Data" => "text"}]}).unwrap(),
        Cbor::Map(vec![
            ("StreamName".into(), "a".into()),
            ("StreamName".into(), "b".into()),
        ]),
    ] {
        assert!(cbor::parse_put_records(&in_cbor(&other)).is_none(), "{other:?}");
    }
    assert!(cbor::parse_put_records(&indefinite[..20]).is_none());
    assert!(cbor::parse_put_records(b"").is_none());
    // Lengths that no body has.
    assert!(cbor::parse_put_records(b"\xBB\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").is_none());
    assert!(cbor::parse_put_records(b"\xA1\x67Records\x9B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").is_none());
}

fn parsed(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn put_records_is_parsed_with_escapes_and_unknown_members() {
    let body = br#" {"StreamName":"orders","Unknown":{"a":[1,{"b":null}]},"DryRun":false,
        "Records":[{"Data":"aGk=","PartitionKey":"k\u00e9\n\"","ExplicitHashKey":"12"},
                   {"PartitionKey":"p","Data":"\/\/8=","Extra":1},
                   {"Data":null},null]} "#;
    let request = parse_put_records(body).unwrap();
    assert_eq!(request.stream_name.as_deref(), Some("orders"));
    assert_eq!(request.stream_arn, None);
    assert_eq!(request.dry_run, Some(false));
    let records = request.records.as_deref().unwrap();
    assert_eq!(records.len(), 4);
    assert_eq!(records[0].partition_key.as_deref(), Some("ké\n\""));
    assert_eq!(records[0].explicit_hash_key.as_deref(), Some("12"));
    assert_eq!(request.data(&records[0]), Some(&b"hi"[..]));
    assert!(matches!(records[1].partition_key, Some(Cow::Borrowed("p"))));
    assert_eq!(request.data(&records[1]), Some(&[0xff, 0xff][..]));
    assert_eq!(request.data(&records[2]), None);
    assert_eq!(records[3].partition_key, None);
}

#[test]
fn put_record_is_parsed() {
    let body = br#"{"StreamARN":"arn:x","Data":"bm9wZQ==","Data":"aGk=","PartitionKey":"k","SequenceNumberForOrdering":"49"}"#;
    let request = parse_put_record(body).unwrap();
    assert_eq!(request.stream_arn.as_deref(), Some("arn:x"));
    assert_eq!(
        request.data.as_deref(),
        Some(&b"hi"[..]),
        "the last of two counts"
    );
    assert_eq!(request.sequence_number_for_ordering.as_deref(), Some("49"));
    assert_eq!(parse_put_record(b"{}").unwrap().data, None);
    assert_eq!(
        parse_put_record(br#"{"Data":""}"#).unwrap().data.as_deref(),
        Some(&b""[..])
    );
}

#[test]
fn wrong_types_are_rejected_with_the_messages_of_aws() {
    let message = |body: &str| match parse_put_records(body.as_bytes()) {
        Ok(request) => panic!("{request:?}"),
        Err(malformed) if malformed.message.is_empty() => "not JSON".to_owned(),
        Err(malformed) => malformed.message,
    };
    let cases = [
        r#"{"StreamName":5}"#,
        r#"{"StreamName":true}"#,
        r#"{"StreamName":[]}"#,
        r#"{"StreamName":{}}"#,
        r#"{"DryRun":"maybe"}"#,
        r#"{"Records":"x"}"#,
        r#"{"Records":{}}"#,
        r#"{"Records":[1]}"#,
        r#"{"Records":[[]]}"#,
        r#"{"Records":[{"Data":1.5}]}"#,
        r#"{"Records":[{"Data":"abc"}]}"#,
        r#"{"Records":[{"Data":"a*bc"}]}"#,
        r#"{"Records":[{"Data":"ab=c"}]}"#,
        r#"{"Records":[{"Data":"ab=="}]}"#,
        "[]",
        r#"{"Records":[}"#,
        "",
    ];
    let answers: Vec<String> = cases
        .iter()
        .map(|body| format!("{body} → {}", message(body)))
        .collect();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    {"StreamName":5} → class java.math.BigDecimal can not be converted to an String
    {"StreamName":true} → class java.lang.Boolean can not be converted to an String
    {"StreamName":[]} → Start of list found where not expected
    {"StreamName":{}} → Start of structure or map found where not expected.
    {"DryRun":"maybe"} → 'MAYBE' can not be converted to an Boolean
    {"Records":"x"} → Expected list or null
    {"Records":{}} → Start of structure or map found where not expected.
    {"Records":[1]} → Expected null
    {"Records":[[]]} → Start of list found where not expected
    {"Records":[{"Data":1.5}]} → class java.math.BigDecimal can not be converted to a Blob
    {"Records":[{"Data":"abc"}]} → 'abc' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 3
    {"Records":[{"Data":"a*bc"}]} → 'a*bc' can not be converted to a Blob: Invalid Base64 character: '*'
    {"Records":[{"Data":"ab=c"}]} → 'ab=c' can not be converted to a Blob: Invalid Base64 character: '='
    {"Records":[{"Data":"ab=="}]} → 'ab==' can not be converted to a Blob: Invalid last non-pad Base64 character dectected
    [] → Start of list found where not expected
    {"Records":[} → not JSON
     → not JSON
    "#);
}

#[test]
fn answers_have_all_members_of_the_api() {
    let results = [
        PutResult::Stored {
            sequence_number: number(1),
            shard_id: "shardId-000000000003",
        },
        PutResult::Refused {
            code: "InternalFailure",
            message: "Internal \"service\" failure.",
        },
    ];
    assert_eq!(
        parsed(|out| write_put_records(out, &results, true)),
        json!({
            "FailedRecordCount": 1,
            "EncryptionType": "KMS",
            "Records": [
                {"SequenceNumber": number(1).to_string(), "ShardId": "shardId-000000000003"},
                {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal \"service\" failure."},
            ],
        })
    );
    same(
        |out| write_put_records(out, &results, true),
        |out| cbor::write_put_records(out, &results, true),
    );
    assert_eq!(
        parsed(|out| write_put_record(out, number(2), "shardId-000000000003", false)),
        json!({"SequenceNumber": number(2).to_string(), "ShardId": "shardId-000000000003"})
    );
    let child = ChildShard {
        shard_id: "shardId-000000000004",
        parent_shards: &["shardId-000000000003".to_owned()],
        hash_key_range: (HashKey(0), HashKey::MAX),
    };
    let answer = GetRecords {
        records: &[],
        next_shard_iterator: None,
        millis_behind_latest: 0,
        child_shards: &[child],
    };
    same(
        |out| write_get_records(out, &answer),
        |out| cbor::write_get_records(out, &answer),
    );
    assert_eq!(
        parsed(|out| write_get_records(out, &answer)),
        json!({
            "MillisBehindLatest": 0,
            "Records": [],
            "ChildShards": [{
                "ShardId": "shardId-000000000004",
                "ParentShards": ["shardId-000000000003"],
                "HashKeyRange": {
                    "StartingHashKey": "0",
                    "EndingHashKey": "340282366920938463463374607431768211455",
                },
            }],
        })
    );
}

proptest! {
    #[test]
    fn requests_parse_as_with_a_value_tree(
        records in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), "\\PC*|.*"), 0..20),
        pretty in any::<bool>(),
    ) {
        let entries: Vec<Value> = records.iter()
            .map(|(data, key)| json!({"Data": encode(data), "PartitionKey": key}))
            .collect();
        let body = json!({"StreamName": "s", "Records": entries});
        let body = if pretty { serde_json::to_vec_pretty(&body) } else { serde_json::to_vec(&body) }.unwrap();
        let request = parse_put_records(&body).unwrap();
        let read: Vec<(Vec<u8>, String)> = request.records.iter().flatten()
            .map(|entry| (request.data(entry).unwrap().to_vec(), entry.partition_key.as_deref().unwrap().to_owned()))
            .collect();
        prop_assert_eq!(&read, &records);
        let in_cbor = in_cbor(&as_cbor(&serde_json::from_slice(&body).unwrap()));
        let request = cbor::parse_put_records(&in_cbor).unwrap();
        prop_assert_eq!(request.stream_name.as_deref(), Some("s"));
        let read: Vec<(Vec<u8>, String)> = request.records.iter().flatten()
            .map(|entry| (request.data(entry).unwrap().to_vec(), entry.partition_key.as_deref().unwrap().to_owned()))
            .collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn answers_match_a_value_tree(
        records in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), "\\PC*|.*", 0..1_i64 << 45, any::<bool>()), 0..20),
        behind in any::<u64>(),
    ) {
        let records: Vec<StoredRecord> = records.into_iter().zip(1..)
            .map(|((data, key, arrival_ms, encrypted), index)| StoredRecord {
                sequence_number: number(index),
                arrival_ms,
                partition_key: key.into(),
                data: data.into(),
                encrypted,
            })
            .collect();
        let answer = GetRecords {
            records: &records,
            next_shard_iterator: Some("AAAA"),
            millis_behind_latest: behind,
            child_shards: &[],
        };
        if !records.iter().any(|record| record.partition_key.is_empty()) {
            same(|out| write_get_records(out, &answer), |out| cbor::write_get_records(out, &answer));
        }
        let written = parsed(|out| write_get_records(out, &answer));
        let expected: Vec<Value> = records.iter().map(|record| {
            let mut value = json!({
                "SequenceNumber": record.sequence_number.to_string(),
                "ApproximateArrivalTimestamp": record.arrival_ms as f64 / 1000.0,
                "Data": encode(&record.data),
                "PartitionKey": record.partition_key(),
            });
            if record.encrypted {
                value["EncryptionType"] = "KMS".into();
            }
            value
        }).collect();
        prop_assert_eq!(written, json!({
            "MillisBehindLatest": behind,
            "NextShardIterator": "AAAA",
            "Records": expected,
        }));
    }

    #[test]
    fn parsing_arbitrary_bodies_does_not_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in r#"[\[\]{}":,a-zA-Z0-9=\\]*"#) {
        let _ = parse_put_records(&body);
        let _ = parse_put_record(&body);
        let _ = cbor::parse_put_records(&body);
        let _ = cbor::parse_put_records(&[b"\xA1\x67Records\x81\xA1\x64Data", &body[..]].concat());
        let _ = parse_put_records(text.as_bytes());
        let _ = parse_put_record(format!(r#"{{"Data":{text}}}"#).as_bytes());
        let _ = parse_put_records(format!(r#"{{"Records":[{{"Data":"{text}"}}]}}"#).as_bytes());
    }
}
