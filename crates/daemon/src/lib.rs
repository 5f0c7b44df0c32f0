//! The process of the local cloud: finds it, starts it, queries its status, stops it.
//!
//! Owns the home directory of the local cloud, the state file, and the few HTTP requests between two streamctl
//! processes. Knows nothing of the services inside: the daemon itself is in the crate `local-cloud`.
//!
//! A daemon belongs to a home. It holds the home's lock while it runs, so there is never a second one. A command finds it
//! by its control socket, which only the user can reach, and asks for its port. It believes an answer only with a proof
//! that the daemon knows the secret of the home: see [`protocol`]. AWS clients get the same proof on each of their
//! connections: see [`connect`].

mod client;
mod clock;
pub mod control;
pub mod home;
mod launch;
pub mod log;
mod options;
pub mod protocol;
pub mod secret;
mod services;

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::Instant;

pub use clock::{Clock, Move, clock};
pub use launch::{StartOptions, Started, start};
pub use options::{Options, RunOptions};
pub use services::SERVICES;

use client::{Address, Answer, Request};
use ground::backoff::{self, Backoff, Look};
use ground::duration;
use ground::error::{Error, Result};
use home::{HomeLock, LocalHome, State};
use protocol::{Damage, HEALTH_PATH, Health, NONCE_HEADER, PROOF_HEADER, PROOF_QUERY, STOP_PATH};
use secret::Secret;

/// Maximum time for a health check. Long, because the machine may be busy.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time to stop: for requests in progress and for writing files.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the local cloud in this process until the future ends or an HTTP request stops it. Calls `ready` when the cloud
/// answers. `main` passes this function to the commands, which do not depend on the crate `local-cloud`.
pub type Run = for<'a> fn(
    home: &'a Path,
    options: RunOptions,
    ready: Box<dyn FnOnce(&State) + Send + 'a>,
    stop: BoxFuture<'a, ()>,
) -> BoxFuture<'a, Result<()>>;

/// The endpoint of the local cloud of `home`. Starts it if it is not running.
///
/// # Errors
/// Exit 4 if it cannot be started, exit 1 if `home` cannot be written.
pub async fn ensure_running(home: &Path) -> Result<String> {
    let started = start(home, &StartOptions::default()).await?;
    Ok(started.endpoint)
}

/// The access key that streamctl uses with the local cloud, and that `local env` prints.
pub const ACCESS_KEY: &str = "local";

/// The secret access key of the local cloud of `home`. A placeholder if its daemon has never run.
pub fn secret_access_key(home: &Path) -> String {
    let home = LocalHome::new(home);
    let secret = home.check().ok().and_then(|()| home.secret());
    secret.map_or_else(|| ACCESS_KEY.to_owned(), |secret| secret.as_str().to_owned())
}

/// Status of the local cloud of a home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "LocalStatus")
)]
pub struct Status {
    /// If false, only `home` and `log` are known.
    pub running: bool,
    /// URL of the services.
    pub endpoint: Option<String>,
    pub pid: Option<u32>,
    /// Version of streamctl.
    pub version: Option<String>,
    pub uptime_seconds: Option<u64>,
    /// Resident memory, if the platform reports it.
    pub resident_bytes: Option<u64>,
    /// Streams of all accounts and regions.
    pub streams: Option<u64>,
    /// Requests since the start.
    pub requests: Option<u64>,
    /// Milliseconds that the clock of the services is ahead of the machine's; negative if it is behind.
    pub clock_offset_ms: Option<i64>,
    /// Directory of its files.
    pub home: String,
    /// Path of the log.
    pub log: String,
    /// Files that are damaged or missing, as far as the daemon knows.
    pub damage: Vec<Damage>,
}

/// The status of the local cloud of `home`. Starts nothing.
///
/// # Errors
/// Exit 4 if the daemon runs but does not answer.
pub async fn status(home: &Path) -> Result<Status> {
    let home = LocalHome::new(home);
    let health = find(&home).await?;
    Ok(Status {
        running: health.is_some(),
        endpoint: health.as_ref().map(Health::endpoint),
        pid: health.as_ref().map(|health| health.pid),
        version: health.as_ref().map(|health| health.version.clone()),
        uptime_seconds: health.as_ref().map(|health| health.uptime_seconds),
        resident_bytes: health.as_ref().and_then(|health| health.resident_bytes),
        streams: health.as_ref().map(|health| health.streams),
        requests: health.as_ref().map(|health| health.requests),
        clock_offset_ms: health.as_ref().map(|health| health.clock_offset_ms),
        home: home.dir().display().to_string(),
        log: home.log_file().display().to_string(),
        damage: health.map(|health| health.damage).unwrap_or_default(),
    })
}

/// Stops the daemon of `home` and waits until it has ended. Returns its process id, or `None` if none was running.
///
/// # Errors
/// Exit 1 if it does not stop, exit 4 if it does not answer.
pub async fn stop(home: &Path) -> Result<Option<u32>> {
    let home = LocalHome::new(home);
    let Some(Found {
        health,
        address,
        secret,
    }) = look_for(&home).await?
    else {
        return Ok(None);
    };
    let hint = format!("end the process {} by hand", health.pid);
    let proof = protocol::prove_stop(&secret, health.pid, health.started_ms);
    let request = Request {
        method: "POST",
        path: STOP_PATH,
        headers: &[(PROOF_HEADER, &proof)],
    };
    let answer = client::send(&address, &request, STOP_TIMEOUT).await;
    match answer {
        Ok(answer) if answer.status == 202 => {}
        Ok(answer) => {
            return Err(Error::failed("the local cloud refused to stop")
                .cause(format!("HTTP {}", answer.status))
                .hint(hint));
        }
        Err(error) => {
            return Err(Error::failed("the local cloud could not be reached to stop it")
                .cause(error)
                .hint(hint));
        }
    }
    if lock_within(&home, STOP_TIMEOUT).await?.is_none() {
        return Err(Error::failed(format!(
            "the local cloud has not stopped within {}",
            duration::format(STOP_TIMEOUT)
        ))
        .hint(hint));
    }
    Ok(Some(health.pid))
}

/// What a reset did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Reset {
    /// Whether a daemon was running.
    pub stopped: bool,
    /// Whether data existed.
    pub deleted: bool,
    /// Path of the data.
    pub data: String,
}

/// Stops the daemon of `home` and deletes all data of its local cloud.
///
/// # Errors
/// As [`stop`]; exit 1 if the data cannot be deleted or has no marker.
pub async fn reset(home: &Path) -> Result<Reset> {
    let stopped = stop(home).await?.is_some();
    let home = LocalHome::new(home);
    let Some(lock) = lock_within(&home, STOP_TIMEOUT).await? else {
        return Err(
            Error::failed("another process is using the local cloud of this home")
                .hint("run `streamctl local status`, then try again"),
        );
    };
    home.remove_state();
    Ok(Reset {
        stopped,
        deleted: home.delete_data(&lock)?,
        data: home.data_dir().display().to_string(),
    })
}

/// The running daemon of `home`.
///
/// # Errors
/// Exit 4 if it runs but does not answer, exit 1 if other users could have prepared the home.
pub async fn find(home: &LocalHome) -> Result<Option<Health>> {
    Ok(look_for(home).await?.map(|found| found.health))
}

/// A daemon that has proved to know the secret of its home.
struct Found {
    health: Health,
    address: Address,
    secret: Secret,
}

async fn look_for(home: &LocalHome) -> Result<Option<Found>> {
    home.check()?;
    let address = match home.control_socket() {
        Some(socket) => Address::Control(socket),
        None => match home.read_state() {
            Some(State { port, .. }) => Address::Port(port),
            None => return Ok(None),
        },
    };
    let nonce = new_nonce();
    let request = Request {
        method: "GET",
        path: HEALTH_PATH,
        headers: &[(NONCE_HEADER, &nonce)],
    };
    let answer = match client::send(&address, &request, HEALTH_TIMEOUT).await {
        Ok(answer) => answer,
        // It hangs, unless another process uses the port.
        Err(error) if error.kind() == io::ErrorKind::TimedOut && home.lock_daemon()?.is_none() => {
            return Err(does_not_answer(home));
        }
        Err(_) => return Ok(None),
    };
    // Read after the answer: the first start makes the secret.
    let found = home.secret().and_then(|secret| {
        let health = believe(&answer, &nonce, &secret, &address)?;
        Some(Found {
            health,
            address,
            secret,
        })
    });
    Ok(found)
}

/// Connects to the daemon of `home` at `port`, for an AWS client. The daemon proves on the connection itself that it is
/// that of the home, before anything else is sent: once a daemon is killed, any process can take its port.
///
/// # Errors
/// `ConnectionRefused` if there is no such process, or if it is another one. Waits as long as it takes to answer.
pub async fn connect(home: &LocalHome, port: u16) -> io::Result<TcpStream> {
    let mut stream = client::connect(port).await?;
    // Disable Nagle: requests are small.
    stream.set_nodelay(true)?;
    let nonce = new_nonce();
    let request = Request {
        method: "GET",
        path: &format!("{HEALTH_PATH}?{PROOF_QUERY}"),
        headers: &[(NONCE_HEADER, &nonce)],
    };
    let answer = client::exchange(&mut stream, &request, "keep-alive").await;
    let proof = answer.ok().and_then(|answer| {
        let secret = home.secret()?;
        believe(&answer, &nonce, &secret, &Address::Port(port))
    });
    match proof {
        Some(_) => Ok(stream),
        None => Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            format!(
                "the process at port {port} did not prove to be the local cloud of {}; nothing was sent to it",
                home.root().display()
            ),
        )),
    }
}

/// A number that no answer has been made for.
fn new_nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The health in an answer that proves to be of the home's daemon, on this address.
fn believe(answer: &Answer, nonce: &str, secret: &Secret, address: &Address) -> Option<Health> {
    if !protocol::proves_answer(secret, nonce, &answer.body, answer.header(PROOF_HEADER)) {
        return None;
    }
    let health: Health = serde_json::from_slice(&answer.body).ok()?;
    match address {
        Address::Port(port) if *port != health.port => None,
        _ => Some(health),
    }
}

fn does_not_answer(home: &LocalHome) -> Error {
    let error = Error::unreachable("the local cloud is running but does not answer");
    match home.read_state() {
        Some(State { pid, port, .. }) => error.cause(format!("process {pid}, port {port}")).hint(format!(
            "end the process {pid} by hand, then run the command again"
        )),
        None => error.hint(format!(
            "end the process that holds {} by hand",
            home.dir().join("daemon.lock").display()
        )),
    }
}

/// Waits for the daemon's lock. `None` after `timeout`.
pub async fn lock_within(home: &LocalHome, timeout: Duration) -> Result<Option<HomeLock>> {
    let look = || {
        let lock = home.lock_daemon();
        std::future::ready(lock.map(|lock| lock.map_or(Look::NotYet(()), Look::Done)))
    };
    let pauses = Backoff::constant(Duration::from_millis(5));
    match backoff::wait_until(pauses, Instant::now() + timeout, look, |(), _| Ok(())).await? {
        Look::Done(lock) => Ok(Some(lock)),
        Look::NotYet(()) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
