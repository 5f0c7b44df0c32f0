//! The Lambda Runtime API of one process, on a port of its own.
//! Source: "Using the Lambda runtime API for custom runtimes" and "Using a custom runtime to stream responses", Lambda
//! developer guide.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::failure::{MAX_RESPONSE, error_object};

/// Connections of one process; a runtime has one or two.
const MAX_CONNECTIONS: usize = 16;
/// Bytes of the headers and trailers of a request. A trailer can hold an error object with a stack trace.
const MAX_HEADERS: usize = 1024 * 1024;
const PREFIX: &str = "/2018-06-01/runtime/";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";
/// Error type of a response that ends early.
const TRUNCATED: &str = "Runtime.TruncatedResponse";

/// An invocation, as the runtime gets it.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub request_id: String,
    /// The ARN as called.
    pub function_arn: String,
    /// In milliseconds since the Unix epoch.
    pub deadline_ms: i64,
    /// JSON.
    pub client_context: Option<String>,
    pub payload: Bytes,
}

/// A request of the runtime. Errors have the type of their header, if any, and the error object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RuntimeEvent {
    /// It asks for an invocation.
    Next,
    Response(Bytes),
    /// A response over [`MAX_RESPONSE`].
    TooLarge,
    Error(Option<String>, Bytes),
    InitError(Option<String>, Bytes),
}

/// The server. It ends when this is dropped.
pub(crate) struct RuntimeApi {
    /// `127.0.0.1:port`.
    pub address: String,
    pub invocations: mpsc::Sender<Invocation>,
    pub events: mpsc::Receiver<RuntimeEvent>,
    server: JoinHandle<()>,
}

struct Shared {
    address: String,
    invocations: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    events: mpsc::Sender<RuntimeEvent>,
    /// The request id of the invocation that has no response yet.
    current: Mutex<Option<String>>,
}

impl RuntimeApi {
    /// Listens on a free port of the loopback interface.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (invocations, receiver) = mpsc::channel(1);
        // A runtime that asks and asks waits here.
        let (sender, events) = mpsc::channel(8);
        let shared = Arc::new(Shared {
            address: address.clone(),
            invocations: tokio::sync::Mutex::new(receiver),
            events: sender,
            current: Mutex::new(None),
        });
        Ok(Self {
            address,
            invocations,
            events,
            server: tokio::spawn(serve(listener, shared)),
        })
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve_connection(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    // Disable Nagle: requests and responses are small.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let mut builder = http1::Builder::new();
    // No timer: a connection is idle for as long as an invocation takes, and must stay open.
    builder.pipeline_flush(true).max_header_size(MAX_HEADERS);
    // The end of the process shows that a runtime has gone, not the end of a connection.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// A request body, read to its end.
struct Received {
    body: Bytes,
    too_large: bool,
    trailers: Option<HeaderMap>,
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // Only the process knows the port. A web page that guesses it sends another Host header, or an Origin header.
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        if host != Some(self.address.as_str()) || request.headers().contains_key(ORIGIN) {
            let message = "The Host header must be the address in AWS_LAMBDA_RUNTIME_API.";
            return refuse(StatusCode::FORBIDDEN, "Forbidden", message);
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix(PREFIX) else {
            return refuse(StatusCode::NOT_FOUND, "NotFound", "No such path.");
        };
        let segments: Vec<&str> = path.split('/').collect();
        match (request.method(), segments.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => self.response(id, request).await,
            (&Method::POST, ["invocation", id, "error"]) => self.error(id, request).await,
            (&Method::POST, ["init", "error"]) => {
                let (error_type, payload) = read_error(request).await;
                self.accept(RuntimeEvent::InitError(error_type, payload)).await
            }
            _ => refuse(StatusCode::NOT_FOUND, "NotFound", "No such path."),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let gone = || refuse(StatusCode::GONE, "Gone", "The instance is shutting down.");
        if self.events.send(RuntimeEvent::Next).await.is_err() {
            return gone();
        }
        let Some(invocation) = self.invocations.lock().await.recv().await else {
            return gone();
        };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(invocation.request_id.clone());
        let mut response = Response::new(Full::new(invocation.payload));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let trace = format!(
            "Root=1-{:08x}-{:024x};Parent={:016x};Sampled=0",
            invocation.deadline_ms / 1000,
            rand::random::<u128>() >> 32,
            rand::random::<u64>()
        );
        let deadline = invocation.deadline_ms.to_string();
        for (name, value) in [
            ("lambda-runtime-aws-request-id", Some(invocation.request_id)),
            ("lambda-runtime-deadline-ms", Some(deadline)),
            (
                "lambda-runtime-invoked-function-arn",
                Some(invocation.function_arn),
            ),
            ("lambda-runtime-trace-id", Some(trace)),
            ("lambda-runtime-client-context", invocation.client_context),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }

    /// Whether the invocation `id` has no response yet. It counts as answered from now on.
    fn take(&self, id: &str) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = current.as_deref() == Some(id);
        if is_current {
            *current = None;
        }
        is_current
    }

    async fn response(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.take(id) {
            return unknown_id();
        }
        let Some(received) = read_body(request.into_body()).await else {
            // A streamed response that breaks off, in AWS's words.
            let message = "The response body was truncated.";
            let payload = error_object(TRUNCATED, message);
            let _ = self
                .events
                .send(RuntimeEvent::Error(Some(TRUNCATED.to_owned()), payload))
                .await;
            return refuse(StatusCode::BAD_REQUEST, TRUNCATED, message);
        };
        let is_failure =
            |trailers: &HeaderMap| trailers.contains_key(ERROR_TYPE) || trailers.contains_key(ERROR_BODY);
        if let Some(trailers) = received.trailers.filter(is_failure) {
            // The function failed after it had sent a part of its response.
            let payload = trailers.get(ERROR_BODY).map(HeaderValue::as_bytes);
            let payload = payload.and_then(|text| base64_simd::STANDARD.decode_to_vec(text).ok());
            let payload = json_or_unknown(payload.unwrap_or_default().into());
            return self
                .accept(RuntimeEvent::Error(error_type(&trailers), payload))
                .await;
        }
        if received.too_large {
            self.accept(RuntimeEvent::TooLarge).await;
            let message = format!("Exceeded maximum allowed payload size ({MAX_RESPONSE} bytes).");
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message);
        }
        self.accept(RuntimeEvent::Response(received.body)).await
    }

    async fn error(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.take(id) {
            return unknown_id();
        }
        let (error_type, payload) = read_error(request).await;
        self.accept(RuntimeEvent::Error(error_type, payload)).await
    }

    async fn accept(&self, event: RuntimeEvent) -> Response<Full<Bytes>> {
        // Without a receiver the process is being ended.
        let _ = self.events.send(event).await;
        reply(StatusCode::ACCEPTED, Bytes::from_static(br#"{"status":"OK"}"#))
    }
}

fn error_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ERROR_TYPE)?.to_str().ok()?;
    Some(text.chars().take(256).collect())
}

async fn read_error(request: Request<Incoming>) -> (Option<String>, Bytes) {
    let error_type = error_type(request.headers());
    let received = read_body(request.into_body()).await;
    let payload = received.filter(|received| !received.too_large);
    (
        error_type,
        json_or_unknown(payload.map(|received| received.body).unwrap_or_default()),
    )
}

/// The error object, or one that says nothing where it is not JSON.
fn json_or_unknown(payload: Bytes) -> Bytes {
    match serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
        Ok(_) => payload,
        Err(_) => error_object("Runtime.Unknown", "Unknown application error occurred"),
    }
}

/// Reads a body; `None` if it ends early. A body over [`MAX_RESPONSE`] is read to its end and thrown away, so that the
/// runtime gets its reply.
async fn read_body(mut body: Incoming) -> Option<Received> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0usize;
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let data = match frame.ok()?.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        length = length.saturating_add(data.len());
        if length > MAX_RESPONSE {
            (first, rest) = (Bytes::new(), BytesMut::new());
        } else if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Some(Received {
        body: if rest.is_empty() { first } else { rest.freeze() },
        too_large: length > MAX_RESPONSE,
        trailers,
    })
}

fn unknown_id() -> Response<Full<Bytes>> {
    refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    reply(status, error_object(error_type, message))
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
