//! The process of the local cloud: opens the cloud, serves it, and closes it in order.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;

use crate::clock::{Clock, SystemClock};
use crate::cloud::Cloud;
use crate::front::{self, Front, Identity};
use daemon::home::{HomeLock, LocalHome, State};
use daemon::{Options, RunOptions, STOP_TIMEOUT, find, lock_within};
use ground::error::{Error, Result};
use ground::platform;

/// The usual port of emulators of AWS.
const FIRST_PORT: u16 = 4566;
/// The last port tried where none is given.
const LAST_PORT: u16 = 4665;
/// Limit of open files and connections.
const FILES: u64 = 8192;
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Runs the local cloud of `home` until `stop` completes or a request over HTTP stops it. `ready` is called once it
/// answers.
///
/// # Errors
/// Exit 1 when one runs already, the port is taken, or files cannot be made or read.
pub fn run<'a>(
    home: &'a Path,
    options: RunOptions,
    ready: Box<dyn FnOnce(&State) + Send + 'a>,
    stop: BoxFuture<'a, ()>,
) -> BoxFuture<'a, Result<()>> {
    run_in(home, options, ready, stop).boxed()
}

async fn run_in(
    home: &Path,
    options: RunOptions,
    ready: Box<dyn FnOnce(&State) + Send + '_>,
    stop: BoxFuture<'_, ()>,
) -> Result<()> {
    if options.detached {
        platform::leave_terminal()
            .map_err(|error| Error::failed("could not leave the terminal").cause(error))?;
    }
    platform::raise_file_limit(FILES);
    let home = LocalHome::new(home);
    let lock = lock(&home).await?;
    home.prepare()?;
    for dir in [home.dir().to_path_buf(), home.data_dir()] {
        if let Err(error) = platform::remove_unfinished(&dir) {
            tracing::warn!(dir = %dir.display(), %error, "what a killed process was writing stays");
        }
    }
    let listener = listen(&home, options.port).await?;
    let port = listener
        .local_addr()
        .map_err(|error| Error::failed("could not learn the port").cause(error))?
        .port();
    let state = State {
        pid: std::process::id(),
        port,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: SystemClock.now_ms(),
        token: format!("{:032x}", rand::random::<u128>()),
    };
    let cloud = Arc::new(open(&home, options.options, state.endpoint()).await?);
    let identity = Identity {
        home: home.dir().to_string_lossy().into_owned(),
        started_ms: state.started_ms,
        token: state.token.clone(),
    };
    let front = Front::new(cloud.backends(), identity);
    home.write_state(&state)
        .map_err(|error| Error::failed("could not write the state of the local cloud").cause(error))?;
    ready(&state);
    serve(&front, listener, &cloud, stop).await;
    home.remove_state();
    let closed = tokio::task::spawn_blocking(move || cloud.shutdown()).await;
    drop(lock);
    closed.map_err(|error| Error::failed("the local cloud did not close in order").cause(error))
}

async fn serve(front: &Arc<Front>, listener: TcpListener, cloud: &Arc<Cloud>, mut stop: BoxFuture<'_, ()>) {
    let mut serving = pin!(front.serve(listener));
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    housekeeping.tick().await;
    loop {
        tokio::select! {
            () = &mut serving => return,
            () = &mut stop => {
                front.stop();
                serving.await;
                return;
            }
            _ = housekeeping.tick() => {
                let cloud = Arc::clone(cloud);
                tokio::task::spawn_blocking(move || cloud.tick());
            }
        }
    }
}

/// The home's lock. Waits for a process that is stopping.
async fn lock(home: &LocalHome) -> Result<HomeLock> {
    if let Some(lock) = home.lock_daemon()? {
        return Ok(lock);
    }
    let taken = || {
        Error::failed("the local cloud of this home is running already")
            .hint("see `streamctl local status`; `streamctl local stop` stops it")
    };
    if find(home).await?.is_some() {
        return Err(taken());
    }
    lock_within(home, STOP_TIMEOUT).await?.ok_or_else(taken)
}

async fn listen(home: &LocalHome, port: Option<u16>) -> Result<TcpListener> {
    if let Some(port) = port {
        return front::bind(port).await.map_err(|error| {
            Error::failed(format!("could not listen on port {port}"))
                .cause(error)
                .hint("choose another port, or leave --port out to take one that is free")
        });
    }
    // Clients of a process that was killed still use its port.
    let before = home.read_state().map(|state| state.port);
    for port in before.into_iter().chain(FIRST_PORT..=LAST_PORT) {
        if let Ok(listener) = front::bind(port).await {
            return Ok(listener);
        }
    }
    Err(
        Error::failed(format!("no port from {FIRST_PORT} to {LAST_PORT} is free"))
            .hint("choose a port with --port"),
    )
}

async fn open(home: &LocalHome, options: Options, endpoint: String) -> Result<Cloud> {
    let data = home.data_dir();
    let opened = tokio::task::spawn_blocking(move || Cloud::open(&data, options, &endpoint)).await;
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::failed("could not open the data of the local cloud")
            .cause(cause)
            .hint("`streamctl local reset` deletes the data and begins anew")
    };
    match opened {
        Ok(Ok(cloud)) => Ok(cloud),
        Ok(Err(error)) => Err(failed(error.into())),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests;
