//! The front door of the local cloud: one HTTP port on the loopback interface for all services.
//!
//! It knows who asks and where a request belongs, and nothing of what services do. Kinesis requests go to the engine
//! as they came, with one buffer for the body and no value tree in between.

mod control;
mod credential;
mod form;
mod host;
mod refusal;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

pub use control::Identity;

use super::authorise::{self, User, Verdict};
use super::cloudwatch::CloudWatch;
use super::kinesis::service as kinesis;
use super::services::Services;
use super::{Body, Caller, query};
use control::Control;
use credential::Credential;
use refusal::Refusal;

/// The largest Kinesis request: PutRecords takes 10 MiB of data and keys (Kinesis API reference), which base64 makes
/// 13.4 MiB, and JSON adds its own.
const MAX_KINESIS_BODY: usize = 16 << 20;
/// The largest request to any other service.
const MAX_BODY: usize = 64 << 20;
/// MiB of request bodies held at once: memory is bounded whatever is sent. More wait for their turn.
const BODIES_MIB: u32 = 256;
/// A body up to this many bytes needs no turn.
const SMALL_BODY: u64 = 64 << 10;
/// How long a sender may take for a body; over the loopback interface it takes milliseconds.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Connections at once; more wait until one is closed. The rest of the process's files are for logs.
const MAX_CONNECTIONS: usize = 2048;
/// How long requests that are being answered may take once the daemon is to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Begins the target of every Kinesis request, and names the service in a Smithy RPC path.
const KINESIS: &str = "Kinesis_20131202";
/// The same of CloudWatch.
const CLOUDWATCH: &str = "GraniteServiceVersion20100801";

/// The Kinesis engine as the front door sees it.
pub trait Kinesis: Send + Sync + 'static {
    /// Answers a request, also a faulty one.
    fn call(&self, caller: Caller, request: kinesis::Request) -> BoxFuture<'_, Response<Body>>;

    /// Streams of all accounts and regions.
    fn stream_count(&self) -> u64;

    /// Ends the answers that would go on for minutes (SubscribeToShard), since the door is closing.
    fn end_subscriptions(&self);
}

/// A service with paths of its own, or a part of one.
pub trait Rest: Send + Sync + 'static {
    /// Answers a request; `None` where the path is not of this part.
    fn handle<'a>(
        &'a self,
        caller: &'a Caller,
        parts: &'a Parts,
        body: Bytes,
    ) -> BoxFuture<'a, Option<Response<Body>>>;

    /// The function whose access key `key` is.
    fn user_of(&self, _key: &str) -> Option<User> {
        None
    }
}

/// What is behind the door.
#[derive(Clone)]
pub struct Backends {
    /// Kinesis.
    pub kinesis: Arc<dyn Kinesis>,
    /// CloudWatch's metrics.
    pub cloudwatch: Arc<CloudWatch>,
    /// The parts of Lambda, asked in this order.
    pub lambda: Vec<Arc<dyn Rest>>,
    /// All else.
    pub services: Arc<Services>,
}

/// The front door.
pub struct Front {
    backends: Backends,
    control: Control,
    /// A permit for each MiB of request bodies.
    bodies: Semaphore,
}

/// Where a request belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Kinesis { target: String },
    CloudWatch,
    Lambda,
    Services,
}

impl Front {
    /// A front door for `backends`.
    pub fn new(backends: Backends, identity: Identity) -> Arc<Self> {
        Arc::new(Self {
            backends,
            control: Control::new(identity),
            bodies: Semaphore::new(BODIES_MIB as usize),
        })
    }

    /// Stops [`Front::serve`].
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Answers connections until told to stop, by [`Front::stop`] or over HTTP. Requests under way are then given
    /// two seconds.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener) {
        let mut stopped = pin!(self.control.stopped());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(Arc::clone(self).serve_connection(stream));
                    }
                    // Out of file descriptors, or a peer that has gone already.
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = stopped.as_mut() => break,
            }
        }
        drop(listener);
        self.backends.kinesis.end_subscriptions();
        let all_done = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all_done).await.is_err() {
            connections.shutdown().await;
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream) {
        // Answers are written whole: waiting for more only delays them.
        let _ = stream.set_nodelay(true);
        let service = hyper::service::service_fn(|request| {
            let front = Arc::clone(&self);
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().pipeline_flush(true);
        builder.http2().adaptive_window(true);
        let mut stopped = pin!(self.control.stopped());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = stopped.as_mut() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "a connection ended early");
        }
    }

    /// Answers one request, whatever it holds.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        if !host::is_local(&parts) {
            return forbidden_host().answer(&parts);
        }
        if parts.uri.path().starts_with(daemon::protocol::PREFIX) {
            return self.control.answer(&parts, self.backends.kinesis.stream_count());
        }
        self.control.count_request();
        // A fault in a service costs its caller an answer, not everyone the daemon.
        let answer = AssertUnwindSafe(self.route(&parts, body)).catch_unwind().await;
        match answer {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => refusal.answer(&parts),
            Err(_) => Refusal::new(
                500,
                "InternalFailure",
                "The local cloud failed at this request; its log says where.",
            )
            .answer(&parts),
        }
    }

    async fn route<B>(&self, parts: &Parts, body: B) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let credential = Credential::read(parts)?;
        let route = route_of(parts, credential.as_ref());
        let limit = match route {
            Route::Kinesis { .. } => MAX_KINESIS_BODY,
            _ => MAX_BODY,
        };
        let turn = self.turn(body.size_hint().upper(), limit).await;
        let body = tokio::time::timeout(BODY_TIME, read_body(parts, body, limit))
            .await
            .map_err(|_| Refusal::new(408, "RequestTimeout", "The body did not arrive in time."))??;
        let (caller, service) = match credential {
            Some(Credential { caller, service, key }) => {
                self.authorise(&key, &caller, &service, parts, &body)?;
                (caller, service)
            }
            // These are for callers that have no credentials yet.
            None if is_unsigned_by_design(&body) => (Caller::default(), "sts".to_owned()),
            None => {
                return Err(Refusal::new(
                    403,
                    "MissingAuthenticationTokenException",
                    "Missing Authentication Token",
                ));
            }
        };
        let answer = match route {
            Route::Kinesis { target } => {
                let request = kinesis::Request {
                    target,
                    content_type: header(parts, CONTENT_TYPE.as_str()).to_owned(),
                    body,
                };
                Ok(self.backends.kinesis.call(caller, request).await)
            }
            Route::CloudWatch => match self.backends.cloudwatch.handle(&caller, parts, &body) {
                Some(response) => Ok(response),
                None => self.call_service(&caller, &service, parts, body).await,
            },
            Route::Lambda => {
                // An invocation may take minutes: others are not to wait for it.
                let turn = turn.filter(|_| !parts.uri.path().ends_with("/invocations"));
                let answer = self.call_lambda(&caller, parts, body).await;
                drop(turn);
                return Ok(answer);
            }
            Route::Services => self.call_service(&caller, &service, parts, body).await,
        };
        drop(turn);
        answer
    }

    /// Refuses a function what its role does not allow. Whoever is no function may do all.
    fn authorise(
        &self,
        key: &str,
        caller: &Caller,
        service: &str,
        parts: &Parts,
        body: &Bytes,
    ) -> Result<(), Refusal> {
        let mut lambda = self.backends.lambda.iter();
        let Some(user) = lambda.find_map(|part| part.user_of(key)) else {
            return Ok(());
        };
        let services = &self.backends.services;
        for (action, resource) in authorise::request::needs(caller, service, parts, body) {
            let verdict = services.decide(&user.role, &action, &resource);
            if verdict != Verdict::Allowed {
                let message = user.refused(caller, &action, &resource, verdict);
                return Err(Refusal::denied(service, message));
            }
        }
        Ok(())
    }

    /// Waits until a body of `length` bytes, or of up to `limit` if it does not tell, may be taken into memory.
    async fn turn(&self, length: Option<u64>, limit: usize) -> Option<SemaphorePermit<'_>> {
        let held = length.unwrap_or(u64::MAX).min(limit as u64);
        if held <= SMALL_BODY {
            return None;
        }
        let mib = u32::try_from(held.div_ceil(1 << 20)).unwrap_or(BODIES_MIB);
        // The semaphore is never closed.
        self.bodies.acquire_many(mib.min(BODIES_MIB)).await.ok()
    }

    async fn call_lambda(&self, caller: &Caller, parts: &Parts, body: Bytes) -> Response<Body> {
        for part in &self.backends.lambda {
            if let Some(response) = part.handle(caller, parts, body.clone()).await {
                return response;
            }
        }
        Refusal::new(
            404,
            "UnknownOperationException",
            format!(
                "The local cloud does not offer {} {} of Lambda.",
                parts.method,
                parts.uri.path()
            ),
        )
        .answer(parts)
    }

    async fn call_service(
        &self,
        caller: &Caller,
        service: &str,
        parts: &Parts,
        body: Bytes,
    ) -> Result<Response<Body>, Refusal> {
        // An object may be of any type.
        let is_form =
            service != "s3" && header(parts, CONTENT_TYPE.as_str()).contains("x-www-form-urlencoded");
        if is_form && !form::is_sound(&body) {
            return Err(Refusal::new(
                400,
                "MalformedQueryString",
                "The request body holds a parameter that no AWS service knows.",
            ));
        }
        if !self.backends.services.offers(service) {
            return Err(Refusal::new(
                400,
                "UnknownOperationException",
                format!("The local cloud does not offer the service {service}."),
            ));
        }
        Ok(self.backends.services.call(caller, service, parts, body).await)
    }
}

fn route_of(parts: &Parts, credential: Option<&Credential>) -> Route {
    let target = header(parts, "x-amz-target");
    let (service, operation) = match target.split_once('.') {
        Some(pair) => pair,
        None => rpc_path(parts.uri.path()).unwrap_or_default(),
    };
    match (service, credential.map(|credential| credential.service.as_str())) {
        (KINESIS, _) => Route::Kinesis {
            target: format!("{KINESIS}.{operation}"),
        },
        // Without a target the engine says what is missing.
        ("", Some("kinesis")) => Route::Kinesis {
            target: target.to_owned(),
        },
        (CLOUDWATCH, _) | (_, Some("monitoring")) => Route::CloudWatch,
        (_, Some("lambda")) => Route::Lambda,
        _ => Route::Services,
    }
}

/// Service and operation of `/service/{service}/operation/{operation}`.
/// Source: "Smithy RPC v2 CBOR protocol", Smithy documentation.
fn rpc_path(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/service/")?.split_once("/operation/")
}

/// Source: AWS Security Token Service API reference: "calling … does not require the use of AWS security credentials".
fn is_unsigned_by_design(body: &[u8]) -> bool {
    query::pairs(body).any(|(name, value)| {
        name == "Action" && matches!(value.as_str(), "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity")
    })
}

fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The whole body, in one buffer. What is too large is read to its end, so that the sender hears why, but not kept.
async fn read_body<B>(parts: &Parts, body: B, limit: usize) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let announced: Option<usize> = header(parts, CONTENT_LENGTH.as_str()).parse().ok();
    if announced.is_some_and(|announced| announced > MAX_BODY) {
        return Err(too_large(limit));
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::new(400, "IncompleteBody", format!("The body ended early: {error}."))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > MAX_BODY {
            return Err(too_large(limit));
        }
        if length > limit {
            (first, rest) = (Bytes::new(), BytesMut::new());
        } else if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(announced.unwrap_or(0).clamp(length, limit));
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    match length {
        _ if length > limit => Err(too_large(limit)),
        _ if rest.is_empty() => Ok(first),
        _ => Ok(rest.freeze()),
    }
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        413,
        "RequestEntityTooLargeException",
        format!("The request body is larger than {} MiB.", limit >> 20),
    )
}

fn forbidden_host() -> Refusal {
    Refusal::new(
        403,
        "AccessDeniedException",
        "The local cloud answers programs on this machine only: the Host header must be 127.0.0.1 or localhost, and \
         the Origin header, if there is one, too.",
    )
}

/// Binds the port `port` of the loopback interface; 0 takes any that is free.
///
/// # Errors
/// When the port is taken, also by a server that listens on all interfaces.
pub async fn bind(port: u16) -> io::Result<TcpListener> {
    let address = (std::net::Ipv4Addr::LOCALHOST, port);
    // Some systems let this bind succeed beside a server on 0.0.0.0, and clients would then reach either.
    if port != 0 && TcpStream::connect(address).await.is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    TcpListener::bind(address).await
}
