//! The front door of the local cloud: one HTTP port on the loopback interface for all services.
//!
//! Finds out who sends a request, reads its credential, checks policies and hands the request to its
//! service. Knows services by their contract and their table only. A body is one buffer, which the service gets as it came.
//!
//! Only the user of the daemon is served: where the platform tells the user at the other end of a connection, that is
//! enough, and any key is valid. Otherwise a request must be signed with the secret of the home, or with the key of a
//! function.

mod body;
mod budget;
mod connection;
mod control;
mod credential;
mod form;
mod host;
mod signature;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, DATE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) use control::Identity;

use crate::authorise::{Decision, Policies};
use crate::clock::{Clock, CloudClock, SystemClock, utc};
use crate::error::{ApiError, ErrorFormat};
use crate::service::{self, Protocol, Service};
use crate::services::{Entry, Services};
use crate::types::{Body, Caller};
use crate::web::{self, Address, Signer, Web, WebRequest, cors};
use body::Received;
use budget::{Budget, Exhausted, Held};
use connection::{Connections, Watched};
use control::Control;
use credential::Credential;
use daemon::control::ControlListener;
use ground::platform::peer::{Peer, Peers};

/// The largest request body where no service is known.
const MAX_BODY: usize = 1 << 20;
/// Bytes of request bodies in memory at once.
const MAX_REQUESTS: usize = 256 << 20;
/// Bytes of responses in memory at once that their clients have not read.
const MAX_RESPONSES: usize = 256 << 20;
/// Connections at once: the other files of the process are for logs. A further one ends the one that has been idle for the
/// longest time.
const MAX_CONNECTIONS: usize = 2048;
/// Requests at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 100;
/// Source: RFC 9110, section 5.6.7.
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
/// How long requests under way may take once the daemon is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What the front door serves.
pub(crate) struct Backends {
    pub services: Arc<Services>,
    pub policies: Arc<dyn Policies>,
    pub web: Arc<dyn Web>,
    /// Streams of all accounts and regions, for the health check.
    pub stream_count: Box<dyn Fn() -> u64 + Send + Sync>,
    pub clock: Arc<CloudClock>,
}

pub(crate) struct Front {
    backends: Backends,
    control: Control,
    peers: Peers,
    connections: Arc<Connections>,
    requests: Arc<Budget>,
    responses: Arc<Budget>,
}

impl Front {
    pub fn new(backends: Backends, identity: Identity) -> Arc<Self> {
        Arc::new(Self {
            backends,
            control: Control::new(identity),
            peers: Peers::open(),
            connections: Connections::new(),
            requests: Budget::new(MAX_REQUESTS),
            responses: Budget::new(MAX_RESPONSES),
        })
    }

    /// As [`Front::new`], on a platform that tells nothing about peers.
    #[cfg(test)]
    pub fn without_peers(backends: Backends, identity: Identity) -> Arc<Self> {
        Arc::new(Self {
            peers: Peers::untold(),
            ..Arc::into_inner(Self::new(backends, identity)).unwrap()
        })
    }

    /// Stops [`Front::serve`].
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Serves connections until told to stop, by [`Front::stop`] or by a command. Requests under way then have two seconds
    /// to complete.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener) {
        let mut stopped = pin!(self.control.stopped());
        let mut connections = JoinSet::new();
        loop {
            let is_full = connections.len() >= MAX_CONNECTIONS;
            if is_full {
                self.connections.end_idle();
            }
            tokio::select! {
                accepted = listener.accept(), if !is_full => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(Arc::clone(self).serve_connection(stream));
                    }
                    // Out of file descriptors, or a peer that has gone already.
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        self.connections.end_idle();
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep(Duration::from_millis(100)), if is_full => {}
                () = stopped.as_mut() => break,
            }
        }
        drop(listener);
        self.backends.services.end_streams();
        finish(connections).await;
    }

    /// Serves the requests of commands until told to stop. AWS clients do not come here, however many there are.
    pub async fn serve_control(self: Arc<Self>, listener: ControlListener) {
        let mut stopped = pin!(self.control.stopped());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < control::MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        let front = Arc::clone(&self);
                        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                            let (parts, _) = request.into_parts();
                            let response = front.answer_control(&parts);
                            std::future::ready(Ok::<_, Infallible>(response))
                        });
                        let connection = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service);
                        connections.spawn(tokio::time::timeout(control::TIME, connection));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection to the control socket");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = stopped.as_mut() => break,
            }
        }
        drop(listener);
        // The request to stop has yet to be answered.
        finish(connections).await;
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream) {
        // Disable Nagle: responses are small.
        let _ = stream.set_nodelay(true);
        let peer = self.peer(&stream);
        let open = Arc::new(self.connections.add());
        let service = hyper::service::service_fn(|request| {
            let front = Arc::clone(&self);
            let busy = open.request();
            async move {
                let response = front.answer(request, peer).await;
                Ok::<_, Infallible>(body::with(busy, response))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http2()
            .adaptive_window(true)
            .max_concurrent_streams(MAX_STREAMS);
        let stream = Watched::new(stream, Arc::clone(&self.responses));
        let mut stopped = pin!(self.control.stopped());
        let mut connection = pin!(builder.serve_connection(stream, service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = open.ended() => return,
            () = stopped.as_mut() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "a connection ended early");
        }
    }

    /// Who is at the other end of a connection.
    fn peer(&self, stream: &TcpStream) -> Peer {
        let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
            return Peer::Unknown;
        };
        let found = self.peers.of(peer, local);
        // A connection that was reset has no peer any more: another one may have its port.
        match stream.peer_addr() {
            Ok(_) => found,
            Err(_) => Peer::Unknown,
        }
    }

    /// Answers a request of a command to the daemon itself.
    fn answer_control(&self, parts: &Parts) -> Response<Body> {
        let look = || ((self.backends.stream_count)(), self.backends.services.damage());
        self.control.answer(parts, &self.backends.clock, look)
    }

    /// Answers one request, also one that is not valid.
    pub async fn answer<B>(&self, request: Request<B>, peer: Peer) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        let format = ErrorFormat::of(&parts);
        let address = match host::check(&parts) {
            Ok(address) => address,
            Err(host::Refused::Page) if self.page_service(&parts).is_some() => None,
            Err(refused) => {
                return ApiError::new(403, "AccessDeniedException", refused.message()).respond(format);
            }
        };
        if parts.uri.path().starts_with(daemon::protocol::PREFIX) {
            return match peer {
                Peer::Other(uid) => foreign(uid).respond(format),
                Peer::Owner | Peer::Unknown => self.answer_control(&parts),
            };
        }
        self.control.count_request();
        // A panic in a service fails its request only, not the daemon.
        let routed = async {
            match address {
                Some(address) => self.serve_endpoint(address, parts, body, peer).await,
                None => self.route(parts, body, peer).await,
            }
        };
        let answer = AssertUnwindSafe(routed).catch_unwind().await;
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => error.respond(format),
            Err(_) => ApiError::new(
                500,
                "InternalFailure",
                "The local cloud failed to process this request; its log has the details.",
            )
            .respond(format),
        };
        self.date(response.headers_mut());
        response
    }

    /// Dates a response by the clock of the services. By the machine's, the HTTP server does it.
    fn date(&self, headers: &mut http::HeaderMap) {
        let clock = &self.backends.clock;
        if clock.offset_ms() != 0
            && let Ok(date) = HeaderValue::try_from(utc(clock.now_ms(), HTTP_DATE))
        {
            headers.insert(DATE, date);
        }
    }

    /// The service that a page may send this request to. The paths of the daemon itself are not for pages.
    fn page_service(&self, parts: &Parts) -> Option<&Entry> {
        if parts.uri.path().starts_with(daemon::protocol::PREFIX) {
            return None;
        }
        let services = &self.backends.services;
        let entry = if cors::is_preflight(parts) {
            services.iter().find(|entry| entry.service.serves_pages())
        } else {
            let credential = Credential::read(parts).ok().flatten()?;
            services.of_request(parts, Some(&credential.service))
        };
        entry.filter(|entry| entry.service.serves_pages())
    }

    async fn route<B>(&self, parts: Parts, body: B, peer: Peer) -> Result<Response<Body>, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        let credential = Credential::read(&parts)?;
        let services = &self.backends.services;
        if cors::is_preflight(&parts) {
            return self.answer_preflight(parts, credential, peer).await;
        }
        let signing_name = credential.as_ref().map(|credential| credential.service.as_str());
        let entry = services.of_request(&parts, signing_name);
        let limit = entry.map_or(MAX_BODY, |entry| entry.service.max_body());
        let Received { bytes: body, held } = body::read(&parts, body, limit, &self.requests).await?;
        self.check_sender(&parts, &body, credential.as_ref(), entry, peer)?;
        let Some(mut credential) = credential else {
            let unsigned = services
                .iter()
                .find(|entry| entry.service.accepts_unsigned(&body));
            let entry = unsigned.ok_or_else(missing_signature)?;
            let caller = Caller::default();
            return self
                .call(entry, service::Request { caller, parts, body }, held, None)
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
            credential.caller.account = account.into_owned();
        }
        let Credential {
            caller, access_key, ..
        } = credential;
        let request = service::Request { caller, parts, body };
        self.call(entry, request, held, Some(&access_key)).await
    }

    /// Passes a preflight request on. It has no signature of its own, but the URL may name the account. It changes nothing.
    async fn answer_preflight(
        &self,
        parts: Parts,
        credential: Option<Credential>,
        peer: Peer,
    ) -> Result<Response<Body>, ApiError> {
        if let Peer::Other(uid) = peer {
            return Err(foreign(uid));
        }
        let entry = self.page_service(&parts).ok_or_else(missing_signature)?;
        let mut caller = Caller::default();
        if let Some(credential) = credential {
            caller = credential.caller;
            if let Some(account) = self.backends.policies.account(&credential.access_key) {
                caller.account = account.into_owned();
            }
        }
        let body = Bytes::new();
        let request = service::Request { caller, parts, body };
        Ok(Arc::clone(&entry.service).call(request).await)
    }

    /// Passes a request to an endpoint for web clients. It needs no signature, but one that it has must be valid.
    async fn serve_endpoint<B>(
        &self,
        address: Address,
        parts: Parts,
        body: B,
        peer: Peer,
    ) -> Result<Response<Body>, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::fmt::Display,
    {
        if let Peer::Other(uid) = peer {
            return Err(foreign(uid));
        }
        let body = body::read(&parts, body, web::MAX_BODY, &self.requests).await;
        let body = body
            .map(|received| received.bytes)
            .map_err(|error| error.status());
        let signer = match (&body, Credential::read(&parts)) {
            (Ok(body), Ok(Some(credential))) => self.signer(&parts, body, credential, peer),
            _ => None,
        };
        let request = WebRequest {
            address,
            parts,
            body,
            signer,
        };
        let response = Arc::clone(&self.backends.web).serve(request).await;
        Ok(body::counted(response, None, &self.responses))
    }

    /// Who signed a request to an endpoint. `None` if the signature is not valid.
    fn signer(&self, parts: &Parts, body: &[u8], credential: Credential, peer: Peer) -> Option<Signer> {
        let policies = &self.backends.policies;
        let Credential {
            mut caller,
            access_key,
            ..
        } = credential;
        // A page or a link that the user opens has no access to the secret key.
        if peer != Peer::Owner || host::is_from_browser(parts) || credential.in_query {
            let secret_key = policies.secret_key(&access_key);
            signature::verify(parts, body, &secret_key, SystemClock.now_ms()).ok()?;
        }
        if let Some(account) = policies.account(&access_key) {
            caller.account = account.into_owned();
        }
        Some(Signer { access_key, caller })
    }

    /// Verifies the signature of a request that may be of another user, or of a web page: the signature of a URL shows who
    /// made the URL. Links to read from S3 are left out, since they change nothing.
    fn check_sender(
        &self,
        parts: &Parts,
        body: &[u8],
        credential: Option<&Credential>,
        entry: Option<&Entry>,
        peer: Peer,
    ) -> Result<(), ApiError> {
        let protocol = entry.map_or(Protocol::Rpc, |entry| entry.service.protocol());
        let is_link = matches!(parts.method, Method::GET | Method::HEAD)
            && protocol != Protocol::RestXml
            && credential.is_some_and(|credential| credential.in_query);
        if peer == Peer::Owner && !is_link && !host::is_from_page(parts) {
            return Ok(());
        }
        let Some(credential) = credential else {
            return Err(match peer {
                Peer::Other(uid) => foreign(uid),
                Peer::Owner | Peer::Unknown => missing_signature(),
            });
        };
        let secret_key = self.backends.policies.secret_key(&credential.access_key);
        signature::verify(parts, body, &secret_key, SystemClock.now_ms()).map_err(|refused| {
            let code = match protocol {
                Protocol::RestXml | Protocol::RestXmlEnvelope => "SignatureDoesNotMatch",
                Protocol::Rpc | Protocol::RestJson => "InvalidSignatureException",
            };
            let message = match peer {
                Peer::Other(uid) => format!("{} {}", refused.reason(), foreign_message(uid)),
                Peer::Owner | Peer::Unknown => format!("{} {SIGN_WITH_SECRET}", refused.reason()),
            };
            ApiError::new(403, code, message).of(protocol)
        })
    }

    /// Passes a request on, if the policies of its sender allow it. `held` is the memory for its body.
    async fn call(
        &self,
        entry: &Entry,
        request: service::Request,
        held: Option<Held>,
        access_key: Option<&str>,
    ) -> Result<Response<Body>, ApiError> {
        if entry.service.protocol() == Protocol::Rpc && !has_sound_form(&request) {
            return Err(ApiError::new(
                400,
                "MalformedQueryString",
                "The request holds a parameter that no AWS service knows.",
            ));
        }
        if let Some(access_key) = access_key {
            self.authorise(access_key, &*entry.service, &request).await?;
        }
        let held = held.filter(|_| !entry.service.takes_minutes(&request));
        let reserved = match entry.service.max_response(&request) {
            0 => None,
            bytes => {
                let reserved = Arc::clone(&self.responses).take(bytes).await;
                Some(reserved.map_err(|Exhausted| body::busy())?)
            }
        };
        let response = Arc::clone(&entry.service).call(request).await;
        drop(held);
        Ok(body::counted(response, reserved, &self.responses))
    }

    /// Refuses a request that the policies of its principal do not allow. The parsed parameters count towards the memory of
    /// requests.
    async fn authorise(
        &self,
        access_key: &str,
        service: &dyn Service,
        request: &service::Request,
    ) -> Result<(), ApiError> {
        let policies = &self.backends.policies;
        let Some(principal) = policies.principal(access_key) else {
            return Ok(());
        };
        let parsed = match service.protocol() {
            Protocol::Rpc => body::parsed_bytes(&request.body),
            Protocol::RestJson | Protocol::RestXml | Protocol::RestXmlEnvelope => 0,
        };
        let parsed = Arc::clone(&self.requests).take(parsed).await;
        let _parsed = parsed.map_err(|Exhausted| body::busy())?;
        for permission in service.permissions(request) {
            let decision = policies.decide(&principal.arn, &permission);
            if decision != Decision::Allow {
                let message = principal.denied(&request.caller, &permission, decision);
                let (status, code) = service.access_denied();
                return Err(ApiError::new(status, code, message).of(service.protocol()));
            }
        }
        Ok(())
    }
}

/// Waits for connections for [`GRACE`], then ends them.
async fn finish<T: 'static>(mut connections: JoinSet<T>) {
    let all_done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_done).await.is_err() {
        connections.shutdown().await;
    }
}

/// Whether the parameters of a request in the query protocol can be parsed.
fn has_sound_form(request: &service::Request) -> bool {
    let is_form = request
        .header(CONTENT_TYPE.as_str())
        .contains("x-www-form-urlencoded");
    let query = request.parts.uri.query().unwrap_or_default();
    (query.is_empty() || form::is_sound(query.as_bytes())) && (!is_form || form::is_sound(&request.body))
}

const SIGN_WITH_SECRET: &str =
    "Sign it with the access key that `streamctl local env` prints, and with Signature Version 4.";

fn missing_signature() -> ApiError {
    ApiError::new(
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )
}

fn foreign(uid: u32) -> ApiError {
    ApiError::new(403, "AccessDeniedException", foreign_message(uid))
}

fn foreign_message(uid: u32) -> String {
    format!(
        "The local cloud serves the user who started it, and this connection belongs to the user with the id {uid}. Requests of \
         others must be signed with the secret access key of that user's `streamctl local env`."
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
