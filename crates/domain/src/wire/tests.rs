mod direct;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::identity::IdentityCache;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use bytes::Bytes;
use data_plane::record::Record;
use data_plane::wire::Format;
use data_plane::wire::testing::in_cbor;
use ground::error::aws::{self, Class};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::*;
use crate::context::formats::Formats;

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
        let (kind, body) = match kind.strip_suffix(CUT_OFF) {
            Some(kind) => {
                let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                let frames = futures_util::stream::iter([Ok(Frame::data(body)), Err(reset)]);
                (kind, SdkBody::from_body_1_x(StreamBody::new(frames)))
            }
            None => (kind, SdkBody::from(body)),
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), body);
        response.headers_mut().insert("content-type", kind);
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn endpoint(answers: &[Answer]) -> (SdkConfig, Endpoint) {
    let endpoint = Endpoint {
        answers: Arc::new(Mutex::new(answers.iter().cloned().collect())),
        asked: Arc::default(),
    };
    let connector = SharedHttpConnector::new(endpoint.clone());
    let credentials = Credentials::new("id", "key", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .identity_cache(IdentityCache::lazy().build())
        .http_client(http_client_fn(move |_, _| connector.clone()));
    (config.build(), endpoint)
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

/// After a content type: the connection is reset in the body.
const CUT_OFF: &str = " (cut off)";
const CUT_OFF_JSON: &str = "application/x-amz-json-1.1 (cut off)";
const CBOR: &str = "application/x-amz-cbor-1.1";
const AWS_JSON: &str = "application/x-amz-json-1.1";

fn stored() -> Value {
    json!({"FailedRecordCount": 0, "Records": [{"ShardId": "shardId-000000000001", "SequenceNumber": "49"}]})
}

async fn put_records(config: &SdkConfig, formats: &Formats, stream: &str) -> Result<PutAnswer, CallError> {
    let data_plane = DataPlane::new(config.clone(), formats.clone());
    PutRecords::new(&data_plane, stream).send(&one()).await
}

async fn get_records(
    config: &SdkConfig,
    formats: &Formats,
    iterator: &str,
    limit: i32,
) -> Result<ReadRecords, CallError> {
    let data_plane = DataPlane::new(config.clone(), formats.clone());
    GetRecords::new(&data_plane).send(iterator, limit).await
}

fn one() -> [Record; 1] {
    [record("k", None, b"data")]
}

#[tokio::test]
async fn an_endpoint_that_speaks_cbor_gets_cbor() {
    let formats = Formats::cbor();
    let (config, asked_of) = endpoint(&[
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
    let answer = put_records(&config, &formats, "orders").await.unwrap();
    assert_eq!(answer.entries.len(), 1);
    assert!(put_records(&config, &formats, "orders").await.is_err());
    assert!(put_records(&config, &formats, "orders").await.is_err());
    let page = get_records(&config, &formats, "iterator", 10).await.unwrap();
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
        data_plane::wire::put::body(Format::Cbor, "orders", &one())
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
        let (config, asked_of) = endpoint(&[
            (status, kind, Bytes::from_static(body.as_bytes())),
            (200, AWS_JSON, in_json.clone()),
            (200, AWS_JSON, in_json),
        ]);
        for _ in 0..2 {
            let answer = put_records(&config, &formats, "orders").await.unwrap();
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
        let (config, asked_of) = endpoint(&[(status, AWS_JSON, body.clone())]);
        let sent = put_records(&config, &formats, "orders").await;
        assert_eq!(sent.is_ok(), is_answered, "{status} {body:?}");
        assert_eq!(asked(&asked_of), ["cbor"]);
        assert_eq!(formats.current(), Format::Json);
    }
    // A page can be read again.
    let page = json!({"Records": [], "NextShardIterator": "n"});
    let (config, asked_of) = endpoint(&[
        (200, CBOR, in_cbor(&page).slice(..5)),
        (200, AWS_JSON, page.to_string().into()),
    ]);
    let page = get_records(&config, &Formats::cbor(), "iterator", 10)
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("n"));
    assert_eq!(asked(&asked_of), ["cbor", "json"]);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_says_nothing_of_the_format() {
    for kind in ["application/x-amz-cbor-1.1 (cut off)", CUT_OFF_JSON] {
        let formats = Formats::cbor();
        let body = in_cbor(&stored());
        let (config, asked_of) = endpoint(&[(200, kind, body.slice(..9)), (200, CBOR, body)]);
        assert!(put_records(&config, &formats, "orders").await.is_err(), "{kind}");
        assert!(put_records(&config, &formats, "orders").await.is_ok(), "{kind}");
        assert_eq!(asked(&asked_of), ["cbor"; 2], "{kind}");
    }
}

#[tokio::test]
async fn a_failure_is_the_same_in_both_formats() {
    let failure = json!({"__type": "ResourceNotFoundException", "message": "Stream orders not found."});
    for (formats, kind, body) in [
        (Formats::cbor(), CBOR, in_cbor(&failure)),
        (Formats::json(), AWS_JSON, failure.to_string().into()),
    ] {
        let (config, asked_of) = endpoint(&[(400, kind, body)]);
        let failed = put_records(&config, &formats, "orders").await.unwrap_err();
        assert_eq!(aws::class(&failed), Class::NotFound);
        let error = aws::failed("could not send", failed);
        assert_eq!(
            error.chain().join(": "),
            "could not send: ResourceNotFoundException: Stream orders not found."
        );
        assert_eq!(asked(&asked_of).len(), 1);
    }
    let (config, _) = endpoint(&[(400, CBOR, Bytes::from_static(b"\xFF"))]);
    let formats = Formats::cbor();
    assert!(put_records(&config, &formats, "orders").await.is_err());
    let expired = json!({"__type": "ExpiredIteratorException", "message": "Iterator expired."});
    let (config, _) = endpoint(&[(400, CBOR, in_cbor(&expired))]);
    let failed = get_records(&config, &formats, "iterator", 10).await.unwrap_err();
    assert_eq!(failed.code(), Some("ExpiredIteratorException"));
}

/// Source: the endpoint rules of Kinesis, AWS SDK for Rust.
#[tokio::test]
async fn calls_go_where_those_of_the_client_go() {
    for (stream, host) in [
        ("orders", "kinesis.us-east-1.amazonaws.com"),
        (
            "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
            "123456789012.data-kinesis.us-east-1.amazonaws.com",
        ),
    ] {
        let answer = Bytes::from(stored().to_string());
        let (config, asked_of) = endpoint(&[(200, AWS_JSON, answer.clone()), (200, AWS_JSON, answer)]);
        put_records(&config, &Formats::json(), stream).await.unwrap();
        let (by_name, by_arn) = crate::stream::reference::name_or_arn(stream);
        let call = aws_sdk_kinesis::Client::new(&config).put_records();
        let call = call.set_stream_name(by_name).set_stream_arn(by_arn);
        let entry = aws_sdk_kinesis::types::PutRecordsRequestEntry::builder()
            .data(b"data".to_vec().into())
            .partition_key("k");
        call.records(entry.build().unwrap()).send().await.unwrap();
        let asked = asked_of.asked.lock().unwrap();
        let [own, clients] = &asked[..] else {
            panic!("two calls")
        };
        assert_eq!(own.uri(), format!("https://{host}/"));
        assert_eq!(own.uri(), clients.uri());
        for name in ["x-amz-target", "content-type"] {
            assert_eq!(own.headers().get(name), clients.headers().get(name), "{name}");
        }
        // The client adds features that it counts.
        let agent = |request: &HttpRequest| request.headers().get("user-agent").unwrap().to_owned();
        assert!(agent(clients).starts_with(&agent(own)), "{}", agent(own));
        let scope = |request: &HttpRequest| {
            let signature = request.headers().get("authorization").unwrap();
            signature.split(',').next().unwrap().to_owned()
        };
        assert_eq!(scope(own), scope(clients));
    }
}
