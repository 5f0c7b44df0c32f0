//! Credentials that expire while a shard is read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::consume::{Start, Tail, TailEvent, TailOptions};
use crate::context::{Formats, Renewal};
use data_plane::wire::Format;
use data_plane::wire::testing::in_cbor;
use ground::error::Result;

/// Records of the shard; each page has one.
const RECORDS: usize = 5;

/// A shard. The keys `OLD…` are refused from the third page on.
#[derive(Debug)]
struct Endpoint;

impl HttpConnector for Endpoint {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name| request.headers().get(name).unwrap_or_default().to_owned();
        let format = Format::of(Some(&header("content-type")));
        let body = request.body().bytes().unwrap();
        let iterator = body.windows(4).find(|part| part.starts_with(b"at-"));
        let number = iterator.map_or(0, |part| usize::from(part[3] - b'0'));
        let is_old = header("authorization").contains("Credential=OLD");
        let operation = header("x-amz-target");
        let (status, answer) = match operation.rsplit('.').next().unwrap() {
            "ListShards" => (
                200,
                json!({"Shards": [{
                    "ShardId": "shardId-000000000000",
                    "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
                    "SequenceNumberRange": {"StartingSequenceNumber": "1"},
                }]}),
            ),
            "GetShardIterator" => (200, json!({"ShardIterator": "at-1"})),
            _ if is_old && number > 2 => (
                400,
                json!({"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}),
            ),
            _ => (200, page(number, format)),
        };
        let body = match format {
            Format::Json => answer.to_string().into(),
            Format::Cbor => in_cbor(&answer),
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        response
            .headers_mut()
            .insert("content-type", format.content_type());
        response
            .headers_mut()
            .insert("date", "Sat, 21 Nov 2026 10:00:00 GMT");
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// The page with the record `number`.
fn page(number: usize, format: Format) -> Value {
    let data = match format {
        Format::Json => "Data",
        Format::Cbor => "~Data",
    };
    let mut page = json!({
        "Records": [{data: "eA==", "PartitionKey": "k", "SequenceNumber": number.to_string()}],
        "MillisBehindLatest": 0,
    });
    if number < RECORDS {
        page["NextShardIterator"] = format!("at-{}", number + 1).into();
    }
    page
}

/// The credentials of the first, the second load and so on; the last ones are those of all later loads.
#[derive(Debug)]
struct Loads {
    keys: &'static [Option<&'static str>],
    count: Arc<AtomicUsize>,
}

impl ProvideCredentials for Loads {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let turn = self.count.fetch_add(1, Ordering::SeqCst).min(self.keys.len() - 1);
        let credentials = self.keys[turn].map(|key| Credentials::new(key, "secret", None, None, "test"));
        future::ProvideCredentials::ready(credentials.ok_or_else(|| CredentialsError::provider_error("SSO")))
    }
}

/// What a tail of the shard reads and says, how it ends, and how often credentials were loaded.
async fn read(
    keys: &'static [Option<&'static str>],
    formats: Formats,
) -> (Vec<String>, Vec<String>, Result<()>, usize) {
    let renewal = Renewal::new();
    let count = Arc::new(AtomicUsize::new(0));
    let loads = Loads {
        keys,
        count: Arc::clone(&count),
    };
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(loads))
        .identity_cache(renewal.clone())
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(|_, _| SharedHttpConnector::new(Endpoint)))
        .build();
    let client = Client::new(&config);
    let source = KinesisShards::with(
        client,
        &DataPlane::new(config, formats),
        renewal,
        "orders".to_owned(),
    );
    let options = TailOptions::new(Start::TrimHorizon, 0);
    let mut tail = Tail::start(Arc::new(source), options, &mut |_| {}).await.unwrap();
    let (mut numbers, mut said) = (Vec::new(), Vec::new());
    loop {
        let ended = match tail.next().await {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(TailEvent::Records(batch))) => {
                numbers.extend(batch.records.into_iter().map(|record| record.sequence_number));
                continue;
            }
            Some(Ok(TailEvent::Failing { reason, .. })) => {
                said.push(reason);
                continue;
            }
            Some(Ok(_)) => continue,
        };
        return (numbers, said, ended, count.load(Ordering::SeqCst));
    }
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_with_renewed_credentials() {
    let all = ["1", "2", "3", "4", "5"];
    for formats in [Formats::json(), Formats::cbor()] {
        let (numbers, said, ended, loads) = read(&[Some("OLD"), Some("NEW")], formats).await;
        ended.unwrap();
        assert_eq!(
            (numbers.as_slice(), loads),
            (all.map(str::to_owned).as_slice(), 2)
        );
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("ExpiredTokenException"), "{said:?}");
    }
    // They are late: the process that makes them fails, then still has the old ones.
    let late = &[Some("OLD"), None, Some("OLD2"), Some("NEW")];
    let (numbers, _, ended, _) = read(late, Formats::json()).await;
    ended.unwrap();
    assert_eq!(numbers, all);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_renewed_end_it_after_a_minute() {
    let begun = Instant::now();
    let (numbers, _, ended, loads) = read(&[Some("OLD")], Formats::json()).await;
    let waited = begun.elapsed();
    assert!(
        (Duration::from_secs(50)..Duration::from_secs(75)).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(numbers, ["1", "2"]);
    assert!((2..=65).contains(&loads), "{loads} loads");
    let error = ended.unwrap_err();
    assert_eq!(error.exit(), ground::exit::Exit::Unreachable);
    let said = error.chain().join(": ");
    assert!(
        said.contains("security token included in the request is expired"),
        "{said}"
    );
}
