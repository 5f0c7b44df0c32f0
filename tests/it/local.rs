//! `streamctl local`: the life of the daemon, each test in a home of its own.

use std::path::Path;
use std::process::{Command, Output};
#[cfg(unix)]
use std::time::{Duration, Instant};

use serde_json::Value;

/// A home that takes its daemon with it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamctl"));
        command.args(arguments).current_dir(self.path());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("AWS_") || text.starts_with("STREAMCTL_") {
                command.env_remove(&name);
            }
        }
        command
            .env("STREAMCTL_HOME", self.path())
            .env("HOME", self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn status(&self) -> Value {
        let output = self.run(&["local", "status", "-o", "json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[cfg(unix)]
    fn kill(&self) {
        let pid = self.status()["pid"].to_string();
        assert!(
            Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success()
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.status()["running"] == true {
            assert!(Instant::now() < deadline, "process {pid} does not go");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.run(&["local", "stop"]);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn start_status_stop() {
    let home = Home::new();
    assert_eq!(home.status()["running"], false);
    let started = home.run(&["local", "start", "--port", "0", "-o", "json"]);
    assert!(started.status.success(), "{started:?}");
    let started: Value = serde_json::from_slice(&started.stdout).unwrap();
    assert_eq!(started["running"], true);
    let again = home.run(&["local", "start", "-o", "json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["pid"], started["pid"]);

    let stopped = home.run(&["local", "stop"]);
    assert!(
        text(&stopped.stderr).contains("Stopped the local cloud"),
        "{stopped:?}"
    );
    assert_eq!(home.status()["running"], false);
    let stopped = home.run(&["local", "stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(text(&stopped.stderr).contains("not running"), "{stopped:?}");
}

#[test]
fn ten_commands_at_once_start_one_daemon() {
    let home = Home::new();
    let commands: Vec<_> = (0..10)
        .map(|_| {
            let mut command = home.command(&["local", "env"]);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut printed: Vec<String> = commands
        .into_iter()
        .map(|command| {
            let output = command.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            text(&output.stdout).to_owned()
        })
        .collect();
    printed.dedup();
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert!(
        printed[0].starts_with("export AWS_ENDPOINT_URL=http://127.0.0.1:"),
        "{printed:?}"
    );
    let log = std::fs::read_to_string(home.path().join("local/daemon.log")).unwrap();
    assert_eq!(log.matches("is ready at").count(), 1, "{log}");
}

#[test]
#[cfg(unix)]
fn a_killed_daemon_is_replaced_at_the_same_port() {
    let home = Home::new();
    // Not the default port: another test's daemon would take it as soon as it is free.
    home.run(&["local", "start", "--port", "0"]);
    let before = home.run(&["local", "env"]);
    home.kill();
    let after = home.run(&["local", "env"]);
    assert_eq!(text(&before.stdout), text(&after.stdout));
    assert_eq!(home.status()["running"], true);
}

#[test]
#[cfg(unix)]
fn the_foreground_daemon_stops_cleanly_when_asked() {
    let home = Home::new();
    let child = home
        .command(&["local", "run", "--port", "0"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while home.status()["running"] == false {
        assert!(Instant::now() < deadline, "it does not start");
    }
    assert_eq!(home.status()["pid"], child.id());
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output.stderr).contains("The local cloud has stopped"),
        "{output:?}"
    );
    assert!(!home.path().join("local/daemon.json").exists());
}

#[test]
fn reset_deletes_the_data_and_asks_first() {
    let home = Home::new();
    home.run(&["local", "start", "--port", "0"]);
    let refused = home.run(&["local", "reset"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(home.status()["running"], true);
    let reset = home.run(&["local", "reset", "--yes"]);
    assert!(reset.status.success(), "{reset:?}");
    assert_eq!(home.status()["running"], false);
    assert!(!home.path().join("local/data").exists());
}

#[test]
fn a_port_in_use_says_so() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let started = home.run(&["local", "start", "--port", &port]);
    assert_eq!(started.status.code(), Some(4), "{started:?}");
    let said = text(&started.stderr);
    assert!(
        said.contains(&format!("could not listen on port {port}")),
        "{said}"
    );
    assert!(said.contains("hint:"), "{said}");
}
