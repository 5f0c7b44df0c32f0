use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A connection of a runtime.
struct Runtime {
    stream: TcpStream,
    address: String,
}

impl Runtime {
    async fn connect(api: &RuntimeApi) -> Self {
        Self {
            stream: TcpStream::connect(&api.address).await.unwrap(),
            address: api.address.clone(),
        }
    }

    /// Sends a request and returns the whole response. `headers` end in a line end, as does each of them.
    async fn send(&mut self, start: &str, headers: &str, body: &str) -> String {
        let start = start.replace(' ', &format!(" {PREFIX}"));
        let request = format!("{start} HTTP/1.1\r\n{headers}\r\n{body}");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        loop {
            let mut part = [0; 4096];
            let read = self.stream.read(&mut part).await.unwrap();
            response.extend_from_slice(&part[..read]);
            let text = String::from_utf8(response.clone()).unwrap();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let mut lines = head.lines();
                let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == length.unwrap().parse::<usize>().unwrap() {
                    return text;
                }
            }
        }
    }

    async fn next(&mut self) -> String {
        let host = format!("Host: {}\r\n", self.address);
        self.send("GET invocation/next", &host, "").await
    }

    async fn post(&mut self, path: &str, body: &str) -> String {
        let headers = format!("Host: {}\r\nContent-Length: {}\r\n", self.address, body.len());
        self.send(&format!("POST {path}"), &headers, body).await
    }

    async fn post_chunked(&mut self, path: &str, trailers: &str) -> String {
        let headers = format!("Host: {}\r\nTransfer-Encoding: chunked\r\n", self.address);
        let body = format!("3\r\ntru\r\n1;x=y\r\ne\r\n0\r\n{trailers}\r\n");
        self.send(&format!("POST {path}"), &headers, &body).await
    }
}

/// A server whose runtime has been given the invocation `r1`.
async fn invoked() -> (RuntimeApi, Runtime, String) {
    let mut api = RuntimeApi::start().await.unwrap();
    let mut runtime = Runtime::connect(&api).await;
    let invocation = Invocation {
        request_id: "r1".to_owned(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        deadline_ms: 1_795_255_200_000,
        client_context: None,
        payload: Bytes::from_static(b"{\"a\":1}"),
    };
    api.invocations.send(invocation).await.unwrap();
    let next = runtime.next().await;
    assert_eq!(api.events.recv().await, Some(RuntimeEvent::Next));
    (api, runtime, next)
}

#[tokio::test]
async fn an_invocation_is_handed_out_and_answered_once() {
    let (mut api, mut runtime, next) = invoked().await;
    assert!(next.contains("lambda-runtime-aws-request-id: r1\r\n"), "{next}");
    assert!(next.contains("lambda-runtime-deadline-ms: 1795255200000\r\n"));
    assert!(next.ends_with("\r\n\r\n{\"a\":1}"));
    let unknown = runtime.post("invocation/r2/response", "1").await;
    assert!(unknown.starts_with("HTTP/1.1 400"), "{unknown}");
    let first = runtime.post("invocation/r1/response", "true").await;
    assert!(first.starts_with("HTTP/1.1 202 Accepted"), "{first}");
    for path in ["invocation/r1/response", "invocation/r1/error"] {
        let second = runtime.post(path, "true").await;
        assert!(
            second.starts_with("HTTP/1.1 400") && second.contains("InvalidRequestID"),
            "{second}"
        );
    }
    let response = RuntimeEvent::Response(Bytes::from_static(b"true"));
    assert_eq!(api.events.recv().await, Some(response));
    assert!(api.events.try_recv().is_err());
}

#[tokio::test]
async fn a_streamed_response_may_end_in_an_error() {
    let (mut api, mut runtime, _) = invoked().await;
    runtime.post_chunked("invocation/r1/response", "").await;
    let response = RuntimeEvent::Response(Bytes::from_static(b"true"));
    assert_eq!(api.events.recv().await, Some(response));

    let (mut api, mut runtime, _) = invoked().await;
    let object = format!("{{\"errorMessage\":\"{}\"}}", "x".repeat(100_000));
    let trailers = format!(
        "Lambda-Runtime-Function-Error-Type: Broken\r\nLambda-Runtime-Function-Error-Body: {}\r\n",
        base64_simd::STANDARD.encode_to_string(&object)
    );
    let reply = runtime.post_chunked("invocation/r1/response", &trailers).await;
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    let error = RuntimeEvent::Error(Some("Broken".to_owned()), object.into());
    assert_eq!(api.events.recv().await, Some(error));
}

#[tokio::test]
async fn a_streamed_response_that_breaks_off_is_an_error() {
    let (mut api, mut runtime, _) = invoked().await;
    runtime
        .post_chunked(
            "invocation/r1/response",
            "Lambda-Runtime-Function-Error-Type: Broken\r\n",
        )
        .await;
    let event = api.events.recv().await;
    assert!(
        matches!(&event, Some(RuntimeEvent::Error(Some(kind), _)) if kind == "Broken"),
        "{event:?}"
    );

    for length in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "Content-Length: 5\r\n\r\nhe",
    ] {
        let (mut api, mut runtime, _) = invoked().await;
        let host = &runtime.address;
        let request = format!("POST {PREFIX}invocation/r1/response HTTP/1.1\r\nHost: {host}\r\n{length}");
        runtime.stream.write_all(request.as_bytes()).await.unwrap();
        drop(runtime);
        let event = api.events.recv().await;
        assert!(
            matches!(&event, Some(RuntimeEvent::Error(Some(kind), _)) if kind == TRUNCATED),
            "{event:?}"
        );
    }
}

#[tokio::test]
async fn an_init_error_is_reported() {
    let mut api = RuntimeApi::start().await.unwrap();
    let mut runtime = Runtime::connect(&api).await;
    runtime.post("init/error", "{}").await;
    let error = RuntimeEvent::InitError(None, Bytes::from_static(b"{}"));
    assert_eq!(api.events.recv().await, Some(error));
}

#[tokio::test]
async fn a_response_over_the_limit_is_refused() {
    for (length, status) in [(MAX_RESPONSE, "202"), (MAX_RESPONSE + 1, "413")] {
        let (mut api, mut runtime, _) = invoked().await;
        let reply = runtime.post("invocation/r1/response", &"x".repeat(length)).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
        let event = api.events.recv().await;
        assert_eq!(event == Some(RuntimeEvent::TooLarge), status == "413");
    }
}

#[tokio::test]
async fn other_hosts_and_origins_are_refused() {
    let mut api = RuntimeApi::start().await.unwrap();
    let mut runtime = Runtime::connect(&api).await;
    let host = format!("Host: {}\r\n", api.address);
    for headers in [
        "Host: example.com\r\n".to_owned(),
        format!("{host}Origin: http://example.com\r\n"),
        String::new(),
    ] {
        let reply = runtime.send("GET invocation/next", &headers, "").await;
        assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
    }
    assert!(api.events.try_recv().is_err());
}
