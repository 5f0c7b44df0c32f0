use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use ground::error::Error;
use ground::error::aws::{self, Class};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::context::{Context, WebRequest};
use crate::settings::Settings;
use crate::wire::PutRecords;

/// An endpoint that answers every request with `answer`, or never.
async fn endpoint(answer: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut seen = vec![0; 64 * 1024];
                while stream.read(&mut seen).await.is_ok_and(|length| length > 0) {
                    if let Some(answer) = &answer {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                }
            });
        }
    });
    url
}

fn answer(status: u16, kind: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

async fn context(url: &str, limit: Duration, calls: Calls) -> Context {
    let mut settings = Settings::of_endpoint(url);
    settings.timeout = Some(limit);
    settings.access.named_by = Some("AWS_ENDPOINT_URL".to_owned());
    Context::connect_watched(settings, calls).await.unwrap()
}

/// The error of ListStreams.
async fn list(url: &str, limit: Duration) -> Error {
    let context = context(url, limit, Calls::default()).await;
    let failure = context.kinesis_once().list_streams().send().await.unwrap_err();
    aws::failed("could not list the streams", failure)
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_named_with_what_chose_it() {
    let url = endpoint(None).await;
    let error = list(&url, Duration::from_millis(200)).await;
    let expected = format!("could not list the streams: the endpoint {url} did not answer within ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    let hint = error.hint_text().unwrap();
    assert!(hint.starts_with("AWS_ENDPOINT_URL names this endpoint"), "{hint}");
    assert_eq!(error.class(), Some(Class::Transient));
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = list(&url, Duration::from_secs(20)).await;
    assert_eq!(
        error.to_string(),
        format!("could not list the streams: the endpoint {url} cannot be reached")
    );
    assert_eq!(error.class(), Some(Class::Unreachable));
}

#[tokio::test]
async fn a_web_page_is_not_an_answer_of_aws_whatever_its_status() {
    for status in [200, 404, 503] {
        let url = endpoint(answer(
            status,
            "text/html; charset=utf-8",
            "<html><p>Hello</html>",
        ))
        .await;
        let error = list(&url, Duration::from_secs(20)).await;
        let expected = format!(
            "could not list the streams: the endpoint {url} answered with a web page (HTTP {status}), not as AWS does"
        );
        assert_eq!(error.to_string(), expected);
    }
    let url = endpoint(answer(400, "application/x-amz-json-1.1", r#"{"__type":"E"}"#)).await;
    let error = list(&url, Duration::from_secs(20)).await;
    assert_eq!(error.code(), Some("E"));
}

#[tokio::test]
async fn a_web_page_is_an_answer_of_an_endpoint_of_the_user() {
    for status in [200, 404, 503] {
        let url = endpoint(answer(status, "text/html", "<p>Hello")).await;
        let context = context(&url, Duration::from_secs(20), Calls::default()).await;
        let request = WebRequest {
            method: "GET".to_owned(),
            url,
            content_type: None,
            body: Bytes::new(),
        };
        let page = context.send_unsigned(&request, 100).await.unwrap();
        assert_eq!((page.status, &page.body[..]), (status, &b"<p>Hello"[..]));
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_names_the_endpoint() {
    let url = endpoint(answer(200, "application/x-amz-json-1.1", "[]")).await;
    let error = list(&url, Duration::from_secs(20)).await;
    assert_eq!(
        error.to_string(),
        format!("could not list the streams: the answer of the endpoint {url} (HTTP 200) could not be read")
    );
    let hint = error.hint_text().unwrap();
    assert!(hint.starts_with("AWS_ENDPOINT_URL names this endpoint"), "{hint}");
}

#[tokio::test]
async fn throttles_until_the_time_is_up_are_throttles() {
    let throttle = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    let url = endpoint(answer(400, "application/x-amz-json-1.1", throttle)).await;
    // On a busy machine, an answer may take a while: the time must not be over while one is on its way.
    let context = context(&url, Duration::from_secs(1), Calls::default()).await;
    let failure = context.kinesis().list_streams().send().await.unwrap_err();
    let error = aws::failed("could not list the streams", failure);
    let text = error.chain().join(": ");
    assert_eq!(error.class(), Some(Class::Throttle), "{text}");
    assert!(error.is("ThrottlingException"), "{text}");
    assert!(!text.contains("did not answer"), "{text}");
}

#[tokio::test]
async fn a_call_is_shown_while_it_runs_and_not_after_it_was_dropped() {
    for operation in ["ListStreams", "PutRecords"] {
        let url = endpoint(None).await;
        let calls = Calls::default();
        let context = context(&url, Duration::from_secs(60), calls.clone()).await;
        let call = tokio::spawn(async move {
            match operation {
                // It is not made by a client.
                "PutRecords" => drop(PutRecords::new(&context.data_plane(), "orders").send(&[]).await),
                _ => drop(context.kinesis().list_streams().send().await),
            }
        });
        let shown = loop {
            match calls.longest() {
                Some(call) if call.endpoint.is_some() => break call,
                _ => tokio::task::yield_now().await,
            }
        };
        assert_eq!(
            (shown.service.as_str(), shown.operation.as_str()),
            ("Kinesis", operation)
        );
        assert_eq!(
            (shown.endpoint.as_deref(), shown.attempt),
            (Some(url.as_str()), 1)
        );
        call.abort();
        assert!(call.await.is_err());
        assert!(calls.longest().is_none());
    }
}

#[test]
fn the_code_of_a_failure_is_read_in_each_format() {
    let mut cbor = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut cbor);
    let made = encoder.map(1).and_then(|map| map.str("__type"));
    made.and_then(|map| map.str("com.amazonaws.kinesis#LimitExceededException"))
        .unwrap();
    let json = br#"{"__type":"LimitExceededException","message":"m"}"#;
    let xml = b"<ErrorResponse><Error><Code>LimitExceededException</Code></Error></ErrorResponse>";
    for (kind, body) in [
        ("application/x-amz-cbor-1.1", cbor),
        ("application/x-amz-json-1.1", json.to_vec()),
        ("text/xml", xml.to_vec()),
    ] {
        let status = StatusCode::try_from(400).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        response.headers_mut().insert("content-type", kind);
        let code = super::failure::code(&response);
        assert_eq!(code.as_deref(), Some("LimitExceededException"), "{kind}");
    }
}
