//! The daemon's own paths, below `/_streamctl/`, on the control socket and on the port.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use daemon::protocol::{
    self, CLOCK_PATH, Damage, HEALTH_PATH, Health, NONCE_HEADER, OFFSET_HEADER, PROOF_HEADER, PROOF_QUERY,
    STOP_PATH,
};
use daemon::secret::Secret;

use crate::answer::{answer, whole};
use crate::clock::{CloudClock, NotSet};
use crate::service::header;
use crate::types::Body;
use ground::platform;

/// How long a connection to the control socket may take.
pub(super) const TIME: Duration = Duration::from_secs(10);
/// Connections to the control socket at once. All are of this user.
pub(super) const MAX_CONNECTIONS: usize = 64;

/// The process that runs the front door.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The directory of the cloud's files, as shown to the user.
    pub home: String,
    pub port: u16,
    /// When the daemon started, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// The secret of the home.
    pub secret: Secret,
}

pub(super) struct Control {
    identity: Identity,
    started: Instant,
    requests: AtomicU64,
    stop: watch::Sender<bool>,
}

impl Control {
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            started: Instant::now(),
            requests: AtomicU64::new(0),
            stop: watch::channel(false).0,
        }
    }

    pub fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends once [`Control::stop`] is called, or was.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the front door itself is gone.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Answers a request. `look` counts the streams and finds the damage.
    pub fn answer(
        &self,
        parts: &Parts,
        clock: &CloudClock,
        look: impl FnOnce() -> (u64, Vec<Damage>),
    ) -> Response<Body> {
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, HEALTH_PATH) => self.answer_health(parts, clock, look),
            (&Method::POST, STOP_PATH) => self.answer_stop(parts),
            (&Method::POST, CLOCK_PATH) => self.answer_clock(parts, clock),
            (_, HEALTH_PATH | STOP_PATH | CLOCK_PATH) => {
                say(StatusCode::METHOD_NOT_ALLOWED, "another method is needed")
            }
            _ => say(StatusCode::NOT_FOUND, "no such path"),
        }
    }

    fn answer_health(
        &self,
        parts: &Parts,
        clock: &CloudClock,
        look: impl FnOnce() -> (u64, Vec<Damage>),
    ) -> Response<Body> {
        let health = match parts.uri.query() {
            Some(PROOF_QUERY) => self.identify(),
            _ => self.health(clock, look()),
        };
        let body = serde_json::to_vec(&health).unwrap_or_default();
        let nonce = header(parts, NONCE_HEADER);
        let proof = protocol::prove_answer(&self.identity.secret, nonce, &body);
        let mut response = answer(StatusCode::OK.as_u16(), "application/json", whole(body));
        if let (false, Ok(proof)) = (nonce.is_empty(), HeaderValue::from_str(&proof)) {
            response.headers_mut().insert(PROOF_HEADER, proof);
        }
        response
    }

    fn answer_stop(&self, parts: &Parts) -> Response<Body> {
        let Identity {
            secret, started_ms, ..
        } = &self.identity;
        let proof = header(parts, PROOF_HEADER);
        if !protocol::proves_stop(secret, std::process::id(), *started_ms, proof) {
            return say(StatusCode::FORBIDDEN, "the proof is missing or wrong");
        }
        self.stop();
        say(StatusCode::ACCEPTED, "stopping")
    }

    fn answer_clock(&self, parts: &Parts, clock: &CloudClock) -> Response<Body> {
        let Identity {
            secret, started_ms, ..
        } = &self.identity;
        let offset = header(parts, OFFSET_HEADER);
        let proof = header(parts, PROOF_HEADER);
        if !protocol::proves_clock(secret, std::process::id(), *started_ms, offset, proof) {
            return say(StatusCode::FORBIDDEN, "the proof is missing or wrong");
        }
        let Ok(offset_ms) = offset.parse() else {
            return say(
                StatusCode::BAD_REQUEST,
                "the offset is not a number of milliseconds",
            );
        };
        match clock.set_offset(offset_ms) {
            Ok(()) => say(StatusCode::OK, "set"),
            Err(NotSet::Earlier) => say(StatusCode::CONFLICT, "the clock cannot be set back"),
            Err(NotSet::Io(error)) => {
                let message = format!("the clock could not be written: {error}");
                say(StatusCode::INTERNAL_SERVER_ERROR, &message)
            }
        }
    }

    fn health(&self, clock: &CloudClock, (streams, damage): (u64, Vec<Damage>)) -> Health {
        Health {
            clock_offset_ms: clock.offset_ms(),
            streams,
            resident_bytes: platform::resident_bytes(),
            damage: Damage::limited(damage),
            ..self.identify()
        }
    }

    /// Which process this is. Asked for at each connection of a command, it costs no look at streams and files.
    fn identify(&self) -> Health {
        Health {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            port: self.identity.port,
            started_ms: self.identity.started_ms,
            uptime_seconds: self.started.elapsed().as_secs(),
            home: self.identity.home.clone(),
            requests: self.requests.load(Ordering::Relaxed),
            streams: 0,
            resident_bytes: None,
            clock_offset_ms: 0,
            damage: Vec::new(),
        }
    }
}

fn say(status: StatusCode, message: &str) -> Response<Body> {
    json(status, &serde_json::json!({ "message": message }))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    answer(status.as_u16(), "application/json", whole(body))
}
