use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use ground::error::aws::{self, Class};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::context::formats::{Format, Formats};
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

/// CBOR with lengths before maps and lists, for answers. Names that begin with `~` are of byte strings, in base64.
fn cbor_of(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xF6),
        Value::Bool(value) => out.push(0xF4 + u8::from(*value)),
        Value::Number(number) => match number.as_u64() {
            Some(number) => cbor::put_head(out, 0, number),
            None => {
                out.push(0xFB);
                out.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::String(text) => cbor::put_text(out, text),
        Value::Array(values) => {
            cbor::put_head(out, 4, values.len() as u64);
            values.iter().for_each(|value| cbor_of(value, out));
        }
        Value::Object(members) => {
            cbor::put_head(out, 5, members.len() as u64);
            for (name, value) in members {
                match name.strip_prefix('~') {
                    Some(name) => {
                        cbor::put_text(out, name);
                        let data = value.as_str().unwrap();
                        cbor::put_bytes(out, &base64_simd::STANDARD.decode_to_vec(data).unwrap());
                    }
                    None => {
                        cbor::put_text(out, name);
                        cbor_of(value, out);
                    }
                }
            }
        }
    }
}

pub(crate) fn in_cbor(value: &Value) -> Bytes {
    let mut out = Vec::new();
    cbor_of(value, &mut out);
    out.into()
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

/// Status, content type, body.
type Answer = (u16, &'static str, Bytes);

/// An endpoint with answers, one after another.
#[derive(Debug, Clone)]
struct Endpoint {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<HttpRequest>>>,
}

impl HttpConnector for Endpoint {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.asked.lock().unwrap().push(request);
        let (status, kind, body) = self.answers.lock().unwrap().pop_front().unwrap();
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        response.headers_mut().insert("content-type", kind);
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn endpoint(answers: &[Answer]) -> (Client, Endpoint) {
    let endpoint = Endpoint {
        answers: Arc::new(Mutex::new(answers.iter().cloned().collect())),
        asked: Arc::default(),
    };
    let connector = SharedHttpConnector::new(endpoint.clone());
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("id", "key", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(move |_, _| connector.clone()));
    (Client::from_conf(config.build()), endpoint)
}

/// The formats of the requests.
fn asked(endpoint: &Endpoint) -> Vec<&'static str> {
    let kind = |request: &HttpRequest| {
        let signature = request.headers().get("authorization").unwrap();
        assert!(
            signature.contains("content-type;") && signature.contains(";x-amz-target"),
            "{signature}"
        );
        match Format::of(request.headers().get("content-type")) {
            Format::Json => "json",
            Format::Cbor => "cbor",
        }
    };
    endpoint.asked.lock().unwrap().iter().map(kind).collect()
}

const CBOR: &str = "application/x-amz-cbor-1.1";
const AWS_JSON: &str = "application/x-amz-json-1.1";

fn stored() -> Value {
    json!({"FailedRecordCount": 0, "Records": [{"ShardId": "shardId-000000000001", "SequenceNumber": "49"}]})
}

fn one() -> [Record; 1] {
    [record("k", None, b"data")]
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

#[tokio::test]
async fn an_endpoint_that_speaks_cbor_gets_cbor() {
    let formats = Formats::cbor();
    let (client, asked_of) = endpoint(&[
        (200, CBOR, in_cbor(&stored())),
        // Once it has answered in CBOR, no failure changes that.
        (500, "text/html", Bytes::from_static(b"<html>")),
        (
            400,
            AWS_JSON,
            Bytes::from_static(b"{\"__type\":\"SerializationException\"}"),
        ),
        (
            200,
            CBOR,
            in_cbor(&json!({"Records": [], "NextShardIterator": "n"})),
        ),
    ]);
    let answer = put_records(&client, &formats, "orders", &one()).await.unwrap();
    assert_eq!(answer.entries.len(), 1);
    assert!(put_records(&client, &formats, "orders", &one()).await.is_err());
    assert!(put_records(&client, &formats, "orders", &one()).await.is_err());
    let page = get_records(&client, &formats, "iterator", 10).await.unwrap();
    assert_eq!(page.next.as_deref(), Some("n"));
    assert_eq!(asked(&asked_of), ["cbor"; 4]);
    let asked = asked_of.asked.lock().unwrap();
    let sent = &asked[0];
    assert_eq!(
        sent.headers().get("x-amz-target"),
        Some("Kinesis_20131202.PutRecords")
    );
    assert_eq!(
        sent.body().bytes().unwrap(),
        put::body(Format::Cbor, "orders", &one())
    );
}

#[tokio::test]
async fn an_endpoint_that_refuses_cbor_gets_json_from_then_on() {
    let refusals = [
        (415, AWS_JSON, "{}"),
        (
            400,
            AWS_JSON,
            "{\"__type\":\"com.amazon#UnknownOperationException\"}",
        ),
        (400, AWS_JSON, "{\"__type\":\"SerializationException\"}"),
        (404, "text/html", "<html>"),
        (200, "text/html", "<html>"),
    ];
    for (status, kind, body) in refusals {
        let formats = Formats::cbor();
        let in_json = Bytes::from(stored().to_string());
        let (client, asked_of) = endpoint(&[
            (status, kind, Bytes::from_static(body.as_bytes())),
            (200, AWS_JSON, in_json.clone()),
            (200, AWS_JSON, in_json),
        ]);
        for _ in 0..2 {
            let answer = put_records(&client, &formats, "orders", &one()).await.unwrap();
            assert_eq!(answer.entries.len(), 1, "{status} {body}");
        }
        assert_eq!(asked(&asked_of), ["cbor", "json", "json"], "{status} {body}");
    }
}

#[tokio::test]
async fn a_put_that_may_have_been_stored_is_not_repeated_in_silence() {
    let whole = Bytes::from(stored().to_string());
    let cut = whole.slice(..whole.len() - 9);
    for (status, body, is_answered) in [(500, &cut, false), (200, &cut, false), (200, &whole, true)] {
        let formats = Formats::cbor();
        let (client, asked_of) = endpoint(&[(status, AWS_JSON, body.clone())]);
        let sent = put_records(&client, &formats, "orders", &one()).await;
        assert_eq!(sent.is_ok(), is_answered, "{status} {body:?}");
        assert_eq!(asked(&asked_of), ["cbor"]);
        assert_eq!(formats.current(), Format::Json);
    }
    // A page can be read again.
    let page = json!({"Records": [], "NextShardIterator": "n"});
    let (client, asked_of) = endpoint(&[
        (200, CBOR, in_cbor(&page).slice(..5)),
        (200, AWS_JSON, page.to_string().into()),
    ]);
    let page = get_records(&client, &Formats::cbor(), "iterator", 10)
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("n"));
    assert_eq!(asked(&asked_of), ["cbor", "json"]);
}

#[tokio::test]
async fn a_failure_is_the_same_in_both_formats() {
    let failure = json!({"__type": "ResourceNotFoundException", "message": "Stream orders not found."});
    for (formats, kind, body) in [
        (Formats::cbor(), CBOR, in_cbor(&failure)),
        (Formats::json(), AWS_JSON, failure.to_string().into()),
    ] {
        let (client, asked_of) = endpoint(&[(400, kind, body)]);
        let failed = put_records(&client, &formats, "orders", &one())
            .await
            .unwrap_err();
        assert_eq!(aws::class(&failed), Class::NotFound);
        let error = aws::failed("could not send", failed);
        assert_eq!(
            error.chain().join(": "),
            "could not send: ResourceNotFoundException: Stream orders not found."
        );
        assert_eq!(asked(&asked_of).len(), 1);
    }
    let (client, _) = endpoint(&[(400, CBOR, Bytes::from_static(b"\xFF"))]);
    let formats = Formats::cbor();
    assert!(put_records(&client, &formats, "orders", &one()).await.is_err());
    let expired = json!({"__type": "ExpiredIteratorException", "message": "Iterator expired."});
    let (client, _) = endpoint(&[(400, CBOR, in_cbor(&expired))]);
    let failed = get_records(&client, &formats, "iterator", 10).await.unwrap_err();
    assert!(failed.into_service_error().is_expired_iterator_exception());
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
