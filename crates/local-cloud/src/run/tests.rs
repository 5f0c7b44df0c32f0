//! A daemon in process: found, one a home, stopped, reset.

use std::sync::Arc;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use daemon::{ensure_running, reset, status, stop};
use ground::exit::Exit;

struct Running {
    state: State,
    stop: Arc<Notify>,
    task: JoinHandle<Result<()>>,
}

async fn run_in(home: &Path) -> Result<Running> {
    let (ready, is_ready) = oneshot::channel();
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let home = home.to_path_buf();
    let task = tokio::spawn(async move {
        let options = RunOptions {
            port: Some(0),
            ..RunOptions::default()
        };
        let ready = |state: &State| ready.send(state.clone()).unwrap();
        run(&home, options, Box::new(ready), stopped.notified().boxed()).await
    });
    match is_ready.await {
        Ok(state) => Ok(Running { state, stop, task }),
        Err(_) => Err(task.await.unwrap().unwrap_err()),
    }
}

#[tokio::test]
async fn a_running_daemon_is_found_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let before = status(home).await.unwrap();
    assert!(!before.running);
    assert_eq!(stop(home).await.unwrap(), None);

    let running = run_in(home).await.unwrap();
    assert_eq!(ensure_running(home).await.unwrap(), running.state.endpoint());
    let now = status(home).await.unwrap();
    assert!(now.running);
    assert_eq!(now.pid, Some(std::process::id()));
    assert_eq!(now.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));

    assert_eq!(stop(home).await.unwrap(), Some(std::process::id()));
    running.task.await.unwrap().unwrap();
    assert!(!status(home).await.unwrap().running);
    assert_eq!(LocalHome::new(home).read_state(), None);
}

#[tokio::test]
async fn a_home_has_one_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let running = run_in(dir.path()).await.unwrap();
    let Err(error) = run_in(dir.path()).await else {
        panic!("a second daemon of the same home")
    };
    assert!(error.to_string().contains("running already"), "{error}");

    let elsewhere = tempfile::tempdir().unwrap();
    let other = run_in(elsewhere.path()).await.unwrap();
    assert_ne!(other.state.port, running.state.port);
    for daemon in [running, other] {
        daemon.stop.notify_one();
        daemon.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_state_of_a_killed_daemon_counts_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = LocalHome::new(dir.path());
    home.prepare().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = run_in(elsewhere.path()).await.unwrap();

    // Its port went to another home's daemon.
    home.write_state(&other.state).unwrap();
    assert!(!status(dir.path()).await.unwrap().running);
    assert_eq!(stop(dir.path()).await.unwrap(), None);
    assert!(status(elsewhere.path()).await.unwrap().running);

    // Its port is closed.
    let closed = crate::front::bind(0).await.unwrap().local_addr().unwrap().port();
    home.write_state(&State {
        port: closed,
        ..other.state.clone()
    })
    .unwrap();
    assert!(!status(dir.path()).await.unwrap().running);
    let running = run_in(dir.path()).await.unwrap();
    assert!(status(dir.path()).await.unwrap().running);
    for daemon in [running, other] {
        daemon.stop.notify_one();
        daemon.task.await.unwrap().unwrap();
    }
}

/// Even where another process could take the control socket, it is not believed without the secret.
#[cfg(unix)]
#[tokio::test]
async fn a_daemon_without_the_secret_is_not_believed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let running = run_in(other.path()).await.unwrap();
    let home = LocalHome::new(one.path());
    home.prepare().unwrap();
    let lock = home.lock_daemon().unwrap().unwrap();
    home.secret_or_new(&lock).unwrap();
    drop(lock);
    // The socket of the other daemon, which passes the requests on to it.
    std::os::unix::fs::symlink(
        LocalHome::new(other.path()).dir().join("control.sock"),
        home.dir().join("control.sock"),
    )
    .unwrap();
    assert!(!status(one.path()).await.unwrap().running);
    assert_eq!(stop(one.path()).await.unwrap(), None);
    assert!(status(other.path()).await.unwrap().running);
    running.stop.notify_one();
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn reset_stops_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let running = run_in(dir.path()).await.unwrap();
    let data = LocalHome::new(dir.path()).data_dir();
    assert!(data.exists());
    let done = reset(dir.path()).await.unwrap();
    assert!(done.stopped && done.deleted);
    assert!(!data.exists());
    running.task.await.unwrap().unwrap();
    let again = reset(dir.path()).await.unwrap();
    assert!(!again.stopped && !again.deleted);
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let taken = crate::front::bind(0).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = RunOptions {
        port: Some(taken.local_addr().unwrap().port()),
        ..RunOptions::default()
    };
    let error = run(
        dir.path(),
        options,
        Box::new(|_| {}),
        std::future::pending().boxed(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.exit(), Exit::Failed);
    assert!(
        error.to_string().starts_with("could not listen on port"),
        "{error}"
    );
}
