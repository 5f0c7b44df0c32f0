//! The Lambda Runtime API of one instance, on a port of its own.
//! Source: "Using the Lambda runtime API for custom runtimes", Lambda developer guide.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::failure::MAX_RESPONSE;

/// Connections of one instance; a runtime has one or two.
const MAX_CONNECTIONS: usize = 16;
const PREFIX: &str = "/2018-06-01/runtime/";

/// What the runtime is given to do.
pub(super) struct Invocation {
    pub request_id: String,
    pub deadline_ms: i64,
    pub arn: String,
    pub client_context: Option<String>,
    pub payload: Bytes,
}

/// What the runtime does.
#[derive(Debug)]
pub(super) enum Event {
    /// It asks for an invocation.
    Next,
    /// It has answered.
    Response(Bytes),
    /// It has answered, with more than an answer may have.
    TooLarge,
    /// The function has failed.
    Error(Option<String>, Bytes),
    /// It could not start.
    InitError(Option<String>, Bytes),
}

pub(super) struct RuntimeApi {
    /// `127.0.0.1:port`.
    pub address: String,
    pub invocations: mpsc::Sender<Invocation>,
    pub events: mpsc::Receiver<Event>,
    server: JoinHandle<()>,
}

struct Shared {
    address: String,
    invocations: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    events: mpsc::Sender<Event>,
    /// The request id of the invocation that is not answered yet.
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
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let shared = Arc::clone(&shared);
                        async move { Ok::<_, Infallible>(shared.answer(request).await) }
                    });
                    let mut builder = http1::Builder::new();
                    builder.timer(TokioTimer::new()).pipeline_flush(true);
                    // A runtime that went away is noticed by its end.
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // Only the function knows the port; a web page that guessed it shows here.
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        if host != Some(self.address.as_str()) || request.headers().contains_key(ORIGIN) {
            return refuse(
                StatusCode::FORBIDDEN,
                "Forbidden",
                "Another Host header is needed.",
            );
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
                let (kind, body) = read_error(request).await;
                self.tell(Event::InitError(kind, body)).await
            }
            _ => refuse(StatusCode::NOT_FOUND, "NotFound", "No such path."),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let gone = || refuse(StatusCode::GONE, "Gone", "The instance is shutting down.");
        if self.events.send(Event::Next).await.is_err() {
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
        for (name, value) in [
            ("lambda-runtime-aws-request-id", Some(invocation.request_id)),
            (
                "lambda-runtime-deadline-ms",
                Some(invocation.deadline_ms.to_string()),
            ),
            ("lambda-runtime-invoked-function-arn", Some(invocation.arn)),
            ("lambda-runtime-trace-id", Some(trace)),
            ("lambda-runtime-client-context", invocation.client_context),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }

    /// Whether `id` is what is to be answered; it is then answered.
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
        match read_body(request.into_body()).await {
            Some(Ok(body)) => self.tell(Event::Response(body)).await,
            Some(Err(())) => {
                self.tell(Event::TooLarge).await;
                refuse(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "RequestEntityTooLarge",
                    &format!("Exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."),
                )
            }
            // The end of the connection; the invocation goes on until the process ends, or its time.
            None => refuse(StatusCode::BAD_REQUEST, "InvalidBody", "The body ended early."),
        }
    }

    async fn error(&self, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.take(id) {
            return unknown_id();
        }
        let (kind, body) = read_error(request).await;
        self.tell(Event::Error(kind, body)).await
    }

    async fn tell(&self, event: Event) -> Response<Full<Bytes>> {
        // No one to tell means that the instance is being ended.
        let _ = self.events.send(event).await;
        say(StatusCode::ACCEPTED, r#"{"status":"OK"}"#.to_owned())
    }
}

async fn read_error(request: Request<Incoming>) -> (Option<String>, Bytes) {
    let kind = request
        .headers()
        .get("lambda-runtime-function-error-type")
        .and_then(|kind| kind.to_str().ok())
        .map(|kind| kind.chars().take(256).collect());
    let body = match read_body(request.into_body()).await {
        Some(Ok(body)) if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() => body,
        _ => Bytes::from_static(
            br#"{"errorType":"Runtime.Unknown","errorMessage":"Unknown application error occurred"}"#,
        ),
    };
    (kind, body)
}

/// The body; `Err` when it is too large (read to its end all the same, so that the sender hears so), `None` when it
/// ends early.
async fn read_body(mut body: Incoming) -> Option<Result<Bytes, ()>> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
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
    Some(match length {
        _ if length > MAX_RESPONSE => Err(()),
        _ if rest.is_empty() => Ok(first),
        _ => Ok(rest.freeze()),
    })
}

fn unknown_id() -> Response<Full<Bytes>> {
    refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    say(
        status,
        serde_json::json!({"errorType": kind, "errorMessage": message}).to_string(),
    )
}

fn say(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
