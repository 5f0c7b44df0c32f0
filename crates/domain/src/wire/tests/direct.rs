//! The short way of a call, beside the SDK's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::retry::ErrorKind;

use super::*;

/// Has one result for each request, on a connection that can be poisoned.
#[derive(Debug, Clone)]
struct Line {
    result: fn() -> Result<Answer, ConnectorError>,
    asked: Arc<Mutex<Vec<HttpRequest>>>,
    is_poisoned: Arc<AtomicBool>,
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_poisoned = Arc::clone(&self.is_poisoned);
        if let Some(capture) = request.extension::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || {
                let is_poisoned = Arc::clone(&is_poisoned);
                let poison = move || is_poisoned.store(true, Ordering::Relaxed);
                Some(
                    ConnectionMetadata::builder()
                        .proxied(false)
                        .poison_fn(poison)
                        .build(),
                )
            });
        }
        self.asked.lock().unwrap().push(request);
        match (self.result)() {
            Ok(answer) => endpoint(&[answer]).1.call(HttpRequest::empty()),
            Err(error) => HttpConnectorFuture::ready(Err(error)),
        }
    }
}

/// How often they were asked for.
#[derive(Debug, Clone, Default)]
struct NoCredentials(Arc<AtomicUsize>);

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::Relaxed);
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none here")))
    }
}

fn config(line: &Line) -> aws_types::sdk_config::Builder {
    let connector = SharedHttpConnector::new(line.clone());
    let (config, _) = endpoint(&[]);
    config
        .into_builder()
        .http_client(http_client_fn(move |_, _| connector.clone()))
}

fn line(result: fn() -> Result<Answer, ConnectorError>) -> Line {
    Line {
        result,
        asked: Arc::default(),
        is_poisoned: Arc::default(),
    }
}

fn prepared(config: &SdkConfig) -> PutRecords {
    PutRecords::new(&DataPlane::new(config.clone(), Formats::json()), "orders")
}

/// The outcome of a call, and all of its request but the time and what depends on it.
async fn outcome(call: PutRecords, line: &Line) -> String {
    let sent = call.send(&one()).await;
    let end = match sent {
        Ok(answer) => format!("{answer:?}"),
        Err(failure) => {
            let class = aws::class(&failure);
            let error = aws::failed("could not send", failure);
            format!("{class:?} {:?} hint: {:?}", error.chain(), error.hint_text())
        }
    };
    let requests: Vec<_> = line.asked.lock().unwrap().drain(..).collect();
    let shown = requests.iter().map(|request| {
        let headers = request.headers().iter().filter(|(name, _)| *name != "x-amz-date");
        let headers = headers.map(|(name, value)| (name, value.split("Signature=").next()));
        format!(
            "{} {} {:?} {:?}",
            request.method(),
            request.uri(),
            headers.collect::<Vec<_>>(),
            request.body().bytes()
        )
    });
    let shown: Vec<String> = shown.collect();
    let is_poisoned = line.is_poisoned.swap(false, Ordering::Relaxed);
    format!("{end} {shown:?} poisoned: {is_poisoned}")
}

/// Makes the call both ways.
async fn both(config: &SdkConfig, line: &Line) -> String {
    let (short, other) = (prepared(config), prepared(config));
    assert!(short.operation.is_direct());
    let own = outcome(short, line).await;
    let call = PutRecords {
        operation: other.operation.orchestrated(),
        ..other
    };
    assert_eq!(own, outcome(call, line).await);
    own
}

fn json(body: &'static str) -> Bytes {
    Bytes::from_static(body.as_bytes())
}

#[tokio::test]
async fn a_call_has_the_same_request_and_the_same_end() {
    let results: &[fn() -> Result<Answer, ConnectorError>] = &[
        || Ok((200, AWS_JSON, stored().to_string().into())),
        || Ok((200, AWS_JSON, json("{"))),
        || Ok((200, "text/html", json("<html>"))),
        || Ok((200, CUT_OFF_JSON, json("{"))),
        || {
            Ok((
                400,
                AWS_JSON,
                json(r#"{"__type":"ProvisionedThroughputExceededException"}"#),
            ))
        },
        || {
            Ok((
                400,
                AWS_JSON,
                json(r#"{"__type":"AccessDeniedException","message":"no"}"#),
            ))
        },
        || Ok((500, AWS_JSON, json(r#"{"__type":"InternalFailure"}"#))),
        || Ok((503, "text/html", json("<html>"))),
        || Err(ConnectorError::io("refused".into())),
        || Err(ConnectorError::timeout("no connection".into())),
        || Err(ConnectorError::user("bad".into())),
        || {
            Err(ConnectorError::other(
                "closed".into(),
                Some(ErrorKind::TransientError),
            ))
        },
    ];
    let mut ends = Vec::new();
    for result in results {
        let line = line(*result);
        let said = both(&config(&line).build(), &line).await;
        assert_eq!(said.matches("/aws4_request").count(), 1, "sent once: {said}");
        let end = said.split(" [\"POST").next().unwrap();
        let end = end.split(" hint: ").next().unwrap();
        let (_, is_poisoned) = said.rsplit_once(' ').unwrap();
        ends.push(format!("{end} {is_poisoned}"));
    }
    insta::assert_snapshot!(ends.join("\n"), @r#"
    PutAnswer { entries: [Stored { shard: 0 }], shards: [StoredIn { shard_id: "shardId-000000000001", first: "49", last: "49" }] } false
    Transient ["could not send: the answer of the endpoint (HTTP 200) could not be read"] false
    Refused ["could not send: the answer of the endpoint (HTTP 200) could not be read"] false
    Transient ["could not send: the answer of the endpoint (HTTP 200) could not be read"] true
    Throttle ["could not send", "ProvisionedThroughputExceededException: HTTP 400"] false
    Denied ["could not send", "AccessDeniedException: no"] false
    Transient ["could not send", "InternalFailure: HTTP 500"] true
    Transient ["could not send", "UnknownError: HTTP 503"] true
    Transient ["could not send: the connection to the endpoint broke", "refused"] false
    Transient ["could not send: the connection to the endpoint broke", "no connection"] false
    Refused ["could not send: the endpoint cannot be reached", "bad"] false
    Transient ["could not send: the connection to the endpoint broke", "closed"] false
    "#);
}

#[tokio::test]
async fn a_call_without_credentials_is_not_sent() {
    let line = line(|| Ok((200, AWS_JSON, stored().to_string().into())));
    let provider = NoCredentials::default();
    let config = config(&line).credentials_provider(SharedCredentialsProvider::new(provider.clone()));
    let said = both(&config.build(), &line).await;
    assert!(
        said.starts_with("Credentials ") && said.contains(" [] "),
        "{said}"
    );
    // Once for each way: what provides them may ask the user.
    assert_eq!(provider.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_endpoint_with_a_path_and_one_that_is_refused_are_left_to_the_sdk() {
    let line = line(|| Ok((200, AWS_JSON, stored().to_string().into())));
    let at = |url: &str| config(&line).endpoint_url(url);
    let call = prepared(&at("http://127.0.0.1:9/base").build());
    assert!(!call.operation.is_direct());
    let said = outcome(call, &line).await;
    assert!(said.contains("POST http://127.0.0.1:9/base/ "), "{said}");
    let call = prepared(&at("http://127.0.0.1:9").use_fips(true).build());
    assert!(!call.operation.is_direct());
    let said = outcome(call, &line).await;
    assert!(said.contains("FIPS") && said.contains(" [] "), "{said}");
    assert!(prepared(&at("http://127.0.0.1:9/").build()).operation.is_direct());
}
