//! The process of the local cloud: opens the cloud, serves it, and closes it in order.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::cloud::Cloud;
use crate::front::{self, Front, Identity};
use daemon::control::ControlSocket;
use daemon::home::{HomeLock, LocalHome, State};
use daemon::secret::Secret;
use daemon::{Options, RunOptions, STOP_TIMEOUT, find, lock_within};
use ground::error::{Error, Result};
use ground::platform;

/// The usual port of emulators of AWS.
const FIRST_PORT: u16 = 4566;
/// The last port tried where none is given.
const LAST_PORT: u16 = 4665;
/// Limit of open files and connections.
const FILES: u64 = 8192;
/// Open files without which requests fail: an idle local cloud has some 20, and databases, shards and connections add theirs.
const LEAST_FILES: u64 = 64;
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Runs the local cloud of `home` until `stop` completes or a command stops it. `ready` is called once it
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

/// Checks that the process may open enough files to serve at all.
fn check_files(limit: Option<u64>) -> Result<()> {
    match limit {
        Some(files) if files < LEAST_FILES => Err(Error::failed(format!(
            "the limit of open files is {files}, and the local cloud needs at least {LEAST_FILES}"
        ))
        .hint("raise it with `ulimit -n 1024`, then run the command again")),
        _ => Ok(()),
    }
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
    check_files(platform::raise_file_limit(FILES))?;
    let home = LocalHome::new(home);
    let lock = lock(&home).await?;
    home.prepare()?;
    let secret = home.secret_or_new(&lock)?;
    for dir in [home.dir().to_path_buf(), home.data_dir()] {
        if let Err(error) = platform::remove_unfinished(&dir) {
            tracing::warn!(dir = %dir.display(), %error, "what a killed process was writing stays");
        }
    }
    let listener = listen(&home, options.port).await?;
    let port = listener
        .local_addr()
        .map_err(|error| Error::failed("could not find out the port").cause(error))?
        .port();
    let state = State {
        pid: std::process::id(),
        port,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: SystemClock.now_ms(),
    };
    let cloud = Arc::new(open(&home, options.options, state.endpoint(), secret.clone()).await?);
    let identity = Identity {
        home: home.dir().to_string_lossy().into_owned(),
        port,
        started_ms: state.started_ms,
        secret,
    };
    let front = Front::new(cloud.backends(), identity);
    home.write_state(&state)?;
    let socket = home.control_socket();
    let control = socket
        .as_ref()
        .map(|socket| control(&front, socket))
        .transpose()?;
    ready(&state);
    serve(&front, listener, &cloud, stop).await;
    if let (Some(socket), Some(control)) = (socket, control) {
        // It ends as the front door does. A panic in it is in the log.
        let _ = control.await;
        socket.remove();
    }
    home.remove_state();
    let closed = tokio::task::spawn_blocking(move || cloud.shutdown()).await;
    drop(lock);
    closed.map_err(|error| Error::failed("the local cloud did not shut down cleanly").cause(error))
}

/// Serves commands on the control socket.
fn control(front: &Arc<Front>, socket: &ControlSocket) -> Result<JoinHandle<()>> {
    let listener = socket.listen().map_err(|error| {
        Error::failed("could not make the control socket of the local cloud").cause(error)
    })?;
    Ok(tokio::spawn(Arc::clone(front).serve_control(listener)))
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
            _ = housekeeping.tick() => keep(cloud),
            () = cloud.clock().advanced() => keep(cloud),
        }
    }
}

fn keep(cloud: &Arc<Cloud>) {
    let cloud = Arc::clone(cloud);
    tokio::task::spawn_blocking(move || cloud.tick());
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

async fn open(home: &LocalHome, options: Options, endpoint: String, secret: Secret) -> Result<Cloud> {
    let data = home.data_dir();
    let dir = data.clone();
    let opened = tokio::task::spawn_blocking(move || Cloud::open(&dir, options, &endpoint, &secret)).await;
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>, hint: &str| {
        Error::failed("could not open the data of the local cloud")
            .cause(cause)
            .hint(hint)
    };
    match opened {
        Ok(Ok(cloud)) => Ok(cloud),
        Ok(Err(error)) if is_full(&error) => Err(failed(
            format!("{}: {error}", data.display()).into(),
            "free some space on the disk, or set STREAMCTL_HOME to a directory on another one",
        )),
        Ok(Err(error)) => Err(failed(error.into(), RESET)),
        Err(error) => Err(failed(error.into(), RESET)),
    }
}

const RESET: &str = "`streamctl local reset` deletes the data and starts again";

/// Whether the disk is full.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests;
