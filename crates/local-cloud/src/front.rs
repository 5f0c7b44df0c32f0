//! The front door of the local cloud: one HTTP port on the loopback interface for all services.
//!
//! Reads the credential of a request, checks the policies of functions and hands the request to its service. Knows
//! services by their contract and their table only. A body is one buffer, which the service gets as it came.

mod control;
mod credential;
mod form;
mod host;

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
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

pub(crate) use control::Identity;

use crate::authorise::{Decision, Policies};
use crate::error::{ApiError, ErrorFormat};
use crate::service::{self, Protocol, Service, header};
use crate::services::{Entry, Services};
use crate::types::{Body, Caller};
use control::Control;
use credential::Credential;

/// The largest request body that is read.
const MAX_BODY: usize = 64 << 20;
/// MiB of request bodies in memory at once. Further requests wait for a permit.
const BODIES_MIB: u32 = 256;
/// A body up to this many bytes needs no permit.
const SMALL_BODY: u64 = 64 << 10;
/// How long a client may take to send a body. Over the loopback interface it takes milliseconds.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Connections at once. Further ones wait: the other files of the process are for logs.
const MAX_CONNECTIONS: usize = 2048;
/// How long requests under way may take once the daemon is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What the front door serves.
pub(crate) struct Backends {
    pub services: Arc<Services>,
    pub policies: Arc<dyn Policies>,
    /// Streams of all accounts and regions, for the health check.
    pub stream_count: Box<dyn Fn() -> u64 + Send + Sync>,
}

pub(crate) struct Front {
    backends: Backends,
    control: Control,
    /// A permit for each MiB of request bodies.
    bodies: Semaphore,
}

impl Front {
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

    /// Serves connections until told to stop, by [`Front::stop`] or over HTTP. Requests under way then have two seconds
    /// to complete.
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
        self.backends.services.end_streams();
        let all_done = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all_done).await.is_err() {
            connections.shutdown().await;
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream) {
        // Disable Nagle: responses are small.
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

    /// Answers one request, also one that is not valid.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        let format = ErrorFormat::of(&parts);
        if !host::is_local(&parts) {
            return forbidden_host().respond(format);
        }
        if parts.uri.path().starts_with(daemon::protocol::PREFIX) {
            let damage = self.backends.services.damage();
            return self
                .control
                .answer(&parts, (self.backends.stream_count)(), damage);
        }
        self.control.count_request();
        // A panic in a service fails its request only, not the daemon.
        let answer = AssertUnwindSafe(self.route(parts, body)).catch_unwind().await;
        match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => error.respond(format),
            Err(_) => ApiError::new(
                500,
                "InternalFailure",
                "The local cloud failed at this request; its log says where.",
            )
            .respond(format),
        }
    }

    async fn route<B>(&self, parts: Parts, body: B) -> Result<Response<Body>, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let credential = Credential::read(&parts)?;
        let services = &self.backends.services;
        let signing_name = credential.as_ref().map(|credential| credential.service.as_str());
        let entry = services.of_request(&parts, signing_name);
        let limit = entry.map_or(MAX_BODY, |entry| entry.service.max_body());
        let permit = self.permit(body.size_hint().upper(), limit).await;
        let body = tokio::time::timeout(BODY_TIME, read_body(&parts, body, limit))
            .await
            .map_err(|_| ApiError::new(408, "RequestTimeout", "The body did not arrive in time."))??;
        let Some(mut credential) = credential else {
            let unsigned = services
                .iter()
                .find(|entry| entry.service.accepts_unsigned(&body));
            let entry = unsigned.ok_or_else(|| {
                ApiError::new(
                    403,
                    "MissingAuthenticationTokenException",
                    "Missing Authentication Token",
                )
            })?;
            let caller = Caller::default();
            return self
                .call(entry, service::Request { caller, parts, body }, permit)
                .await;
        };
        let entry = entry.ok_or_else(|| {
            let name = &credential.service;
            ApiError::new(
                400,
                "UnknownOperationException",
                format!("The local cloud does not offer the service {name}."),
            )
        })?;
        if let Some(account) = self.backends.policies.account(&credential.access_key) {
            account.clone_into(&mut credential.caller.account);
        }
        let Credential {
            caller, access_key, ..
        } = credential;
        let request = service::Request { caller, parts, body };
        self.authorise(&access_key, &*entry.service, &request)?;
        self.call(entry, request, permit).await
    }

    async fn call(
        &self,
        entry: &Entry,
        request: service::Request,
        permit: Option<SemaphorePermit<'_>>,
    ) -> Result<Response<Body>, ApiError> {
        let is_form = request
            .header(CONTENT_TYPE.as_str())
            .contains("x-www-form-urlencoded");
        if is_form && entry.service.protocol() == Protocol::Rpc && !form::is_sound(&request.body) {
            return Err(ApiError::new(
                400,
                "MalformedQueryString",
                "The request body holds a parameter that no AWS service knows.",
            ));
        }
        let permit = permit.filter(|_| !entry.service.takes_minutes(&request));
        let response = Arc::clone(&entry.service).call(request).await;
        drop(permit);
        Ok(response)
    }

    /// Refuses a request of a function whose policies do not allow it. Only functions are subject to policies.
    fn authorise(
        &self,
        access_key: &str,
        service: &dyn Service,
        request: &service::Request,
    ) -> Result<(), ApiError> {
        let policies = &self.backends.policies;
        let Some(function) = policies.function(access_key) else {
            return Ok(());
        };
        for permission in service.permissions(request) {
            let decision = policies.decide(&function.role_arn, &permission);
            if decision != Decision::Allow {
                let message = function.denied(&request.caller, &permission, decision);
                let (status, code) = service.access_denied();
                return Err(ApiError::new(status, code, message).of(service.protocol()));
            }
        }
        Ok(())
    }

    /// Waits until a body of `length` bytes, or of up to `limit` if the length is not known, may be taken into memory.
    async fn permit(&self, length: Option<u64>, limit: usize) -> Option<SemaphorePermit<'_>> {
        let held = length.unwrap_or(u64::MAX).min(limit as u64);
        if held <= SMALL_BODY {
            return None;
        }
        let mib = u32::try_from(held.div_ceil(1 << 20)).unwrap_or(BODIES_MIB);
        // The semaphore is never closed.
        self.bodies.acquire_many(mib.min(BODIES_MIB)).await.ok()
    }
}

/// The whole body, in one buffer. A body that is too large is read to its end but not kept, so that the client gets the
/// error.
async fn read_body<B>(parts: &Parts, body: B, limit: usize) -> Result<Bytes, ApiError>
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
            ApiError::new(400, "IncompleteBody", format!("The body ended early: {error}."))
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

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        413,
        "RequestEntityTooLargeException",
        format!("The request body is larger than {} MiB.", limit >> 20),
    )
}

fn forbidden_host() -> ApiError {
    ApiError::new(
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
pub(crate) async fn bind(port: u16) -> io::Result<TcpListener> {
    let address = (std::net::Ipv4Addr::LOCALHOST, port);
    // On some systems this bind succeeds beside a server on 0.0.0.0. Clients would then reach either.
    if port != 0 && TcpStream::connect(address).await.is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    TcpListener::bind(address).await
}
