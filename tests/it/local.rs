//! `streamctl local`: start, status, stop and reset. Each test has its own home directory.

use std::path::Path;
use std::process::{Command, Output};
#[cfg(unix)]
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::schemas;

/// A home directory. Dropping it stops its local cloud.
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
    let stopped = home.run(&["local", "stop", "-o", "json"]);
    let stopped: Value = serde_json::from_slice(&stopped.stdout).unwrap();
    assert_eq!(stopped, serde_json::json!({"stopped": false, "pid": null}));
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
fn a_killed_daemon_is_replaced_on_the_same_port() {
    let home = Home::new();
    // Not the default port: the local cloud of another test could take it.
    home.run(&["local", "start", "--port", "0"]);
    let before = home.run(&["local", "env"]);
    home.kill();
    let after = home.run(&["local", "env"]);
    assert_eq!(text(&before.stdout), text(&after.stdout));
    assert_eq!(home.status()["running"], true);
}

#[test]
#[cfg(unix)]
fn stop_ends_a_foreground_daemon_cleanly() {
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
    let reset = home.run(&["local", "reset", "--yes", "-o", "json"]);
    assert!(reset.status.success(), "{reset:?}");
    schemas::check(&["local", "reset"], &reset.stdout);
    assert_eq!(home.status()["running"], false);
    assert!(!home.path().join("local/data").exists());
}

#[test]
fn a_port_in_use_is_an_error() {
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

#[test]
fn every_command_can_be_repeated() {
    let home = Home::new();
    home.run(&["local", "start", "--port", "0"]);
    let again = home.run(&["local", "start", "--port", "0", "--enforce-limits"]);
    assert!(again.status.success(), "{again:?}");
    assert!(text(&again.stderr).contains("is running already"), "{again:?}");
    let env = || home.run(&["local", "env"]);
    assert_eq!(env().stdout, env().stdout);
    for _ in 0..2 {
        let stopped = home.run(&["local", "stop"]);
        assert!(stopped.status.success(), "{stopped:?}");
    }
    for expected in ["Deleted", "There was no data to delete"] {
        let reset = home.run(&["local", "reset", "--yes"]);
        assert!(reset.status.success(), "{reset:?}");
        assert!(text(&reset.stdout).contains(expected), "{reset:?}");
    }
    // Without data, reset does not ask.
    let reset = home.run(&["local", "reset"]);
    assert!(reset.status.success(), "{reset:?}");
}

#[test]
fn two_homes_have_separate_clouds() {
    let (one, other) = (Home::new(), Home::new());
    for home in [&one, &other] {
        let started = home.run(&["local", "start", "--port", "0"]);
        assert!(started.status.success(), "{started:?}");
    }
    let made = one.run(&["setup", "--target", "local"]);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(one.status()["streams"], 1);
    assert_eq!(other.status()["streams"], 0);
    assert_ne!(one.status()["endpoint"], other.status()["endpoint"]);
    one.run(&["local", "stop"]);
    assert_eq!(other.status()["running"], true);
}

#[test]
fn start_uses_the_next_free_port() {
    // Another test or program may use 4566. The next free port is used.
    let _taken = std::net::TcpListener::bind("127.0.0.1:4566");
    let home = Home::new();
    let started = home.run(&["local", "start", "-o", "json"]);
    assert!(started.status.success(), "{started:?}");
    let started: Value = serde_json::from_slice(&started.stdout).unwrap();
    assert_ne!(started["endpoint"], "http://127.0.0.1:4566");
}

#[test]
#[cfg(unix)]
fn the_output_of_env_works_in_a_shell() {
    let home = Home::new();
    home.run(&["local", "start", "--port", "0"]);
    home.run(&["setup", "--target", "local"]);
    let mut shell = home.command(&[]);
    let script = r#"
        eval "$("$STREAMCTL" local env)"
        echo "$AWS_ENDPOINT_URL $AWS_REGION $AWS_ACCESS_KEY_ID"
        "$STREAMCTL" list -o text
        eval "$("$STREAMCTL" local env --unset)"
        echo "left: ${AWS_ENDPOINT_URL-nothing} ${AWS_REGION-nothing}"
    "#;
    let output = Command::new("sh")
        .args(["-eu", "-c", script])
        .envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env_remove("AWS_ENDPOINT_URL")
        .env("STREAMCTL", env!("CARGO_BIN_EXE_streamctl"))
        .current_dir(home.path())
        .output()
        .unwrap();
    shell.stdin(std::process::Stdio::null());
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stdout);
    let endpoint = home.status()["endpoint"].as_str().unwrap().to_owned();
    assert!(
        said.starts_with(&format!("{endpoint} us-east-1 local\nconcert-data-stream")),
        "{said}"
    );
    assert!(said.ends_with("left: nothing nothing\n"), "{said}");
    // After the first eval, `list` uses the endpoint from the environment, as any SDK would.
    assert!(!text(&output.stderr).contains("error"), "{output:?}");
}

#[test]
fn reset_deletes_only_data_of_the_local_cloud() {
    let home = Home::new();
    home.run(&["local", "start", "--port", "0"]);
    let mine = home.path().join("mine.txt");
    std::fs::write(&mine, "precious").unwrap();
    assert!(home.run(&["local", "reset", "--yes"]).status.success());
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "precious");
    // A data directory that the local cloud did not create.
    let data = home.path().join("local/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("thesis.tex"), "precious").unwrap();
    let refused = home.run(&["local", "reset", "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        text(&refused.stderr).contains("was not made by the local cloud"),
        "{refused:?}"
    );
    assert_eq!(
        std::fs::read_to_string(data.join("thesis.tex")).unwrap(),
        "precious"
    );
    let refused = home.run(&["local", "start", "--port", "0"]);
    assert!(!refused.status.success());
    assert!(
        text(&refused.stderr).contains("do not belong to the local cloud"),
        "{refused:?}"
    );
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_the_foreground_daemon_cleanly() {
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
    // The records are still there after the next start.
    assert!(home.run(&["setup", "--target", "local"]).status.success());
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output.stderr).ends_with("The local cloud has stopped\n"),
        "{output:?}"
    );
    home.run(&["local", "start", "--port", "0"]);
    assert_eq!(home.status()["streams"], 1);
    // A second local cloud with the same home is refused.
    let second = home.run(&["local", "run", "--port", "0"]);
    assert!(!second.status.success());
    let said = text(&second.stderr);
    assert!(said.contains("error:") && said.contains("hint:"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_state_file_of_an_ended_process_is_ignored() {
    let home = Home::new();
    home.run(&["local", "start", "--port", "0"]);
    home.kill();
    let state = home.path().join("local/daemon.json");
    assert!(state.exists());
    for content in [
        std::fs::read_to_string(&state).unwrap().as_str(),
        "{\"pid\":",
        "",
        "[]",
    ] {
        std::fs::write(&state, content).unwrap();
        assert_eq!(home.status()["running"], false, "{content}");
        let stopped = home.run(&["local", "stop"]);
        assert!(stopped.status.success(), "{stopped:?}");
        let started = home.run(&["local", "start", "--port", "0"]);
        assert!(started.status.success(), "{started:?}");
        assert_eq!(home.status()["running"], true, "{content}");
        home.kill();
    }
}

#[test]
fn damaged_metadata_is_named_and_the_rest_runs() {
    let home = Home::new();
    home.run(&["local", "start", "--port", "0"]);
    home.run(&["setup", "--target", "local"]);
    home.run(&["local", "stop"]);
    let file = find(&home.path().join("local/data/kinesis"), "stream.json").unwrap();
    let damaged = "{\"version\": 1, \"sha";
    std::fs::write(&file, damaged).unwrap();
    // One of two is restored from the other.
    let started = home.run(&["local", "start", "--port", "0"]);
    assert_eq!((started.status.code(), text(&started.stderr)), (Some(0), ""));
    home.run(&["local", "stop"]);
    std::fs::write(&file, damaged).unwrap();
    std::fs::write(file.with_extension("json.copy"), damaged).unwrap();
    let started = home.run(&["local", "start", "--port", "0"]);
    assert_eq!(started.status.code(), Some(0), "{started:?}");
    let said = text(&started.stderr);
    let expected = format!(
        "warning: a file of the local cloud is damaged: {}: ",
        file.display()
    );
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged, "left as it is");
    let again = home.run(&["setup", "--target", "local"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
}

/// The first file with this name below `dir`.
fn find(dir: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(dir).ok()?.find_map(|entry| {
        let path = entry.ok()?.path();
        if path.file_name()? == name {
            return Some(path);
        }
        find(&path, name)
    })
}

#[test]
fn a_home_that_cannot_be_written_is_an_error() {
    let home = Home::new();
    // A file in place of the directory. Root cannot write to it either.
    std::fs::write(home.path().join("local"), "").unwrap();
    for command in ["start", "env", "reset"] {
        let mut arguments = vec!["local", command];
        arguments.extend((command == "reset").then_some("--yes"));
        let failed = home.run(&arguments);
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        let said = text(&failed.stderr).replace(&*home.path().to_string_lossy(), "HOME");
        insta::assert_snapshot!(format!("no-home-{command}"), said);
    }
    let failed = home.run(&["list", "--target", "local"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    // No local cloud can run there. `local status` reports this and succeeds.
    assert_eq!(home.status()["running"], false);
    std::fs::remove_file(home.path().join("local")).unwrap();
}

/// The clock begins behind, and goes forward only.
#[test]
fn time_passes_by_the_clock_of_the_local_cloud() {
    let mut cloud = crate::support::Cloud::start_with(["--clock-behind", "2d"]);
    let offset = |cloud: &crate::support::Cloud, words: &[&str]| {
        let mut command = cloud.streamctl(["local", "clock", "-o", "json"]);
        let output = command.args(words).assert().success().get_output().clone();
        let clock: Value = serde_json::from_slice(&output.stdout).unwrap();
        clock["offset_ms"].as_i64().unwrap()
    };
    const HOUR: i64 = 3_600_000;
    assert_eq!(offset(&cloud, &[]), -48 * HOUR);
    assert_eq!(cloud.json(["local", "status"])["clock_offset_ms"], -48 * HOUR);
    cloud.ok(["create", "orders", "--shards", "1"]);
    crate::contents::put(&cloud, "orders", [("k", "old")]);
    assert_eq!(cloud.records("orders").len(), 1);
    // The end of a tail is by the clock of the service.
    let tailed = cloud.ok(["tail", "orders", "--from", "start", "--no-follow", "-o", "json"]);
    assert!(tailed.contains("\"old\""), "{tailed}");

    assert_eq!(offset(&cloud, &["--advance", "23h"]), -25 * HOUR);
    assert_eq!(cloud.records("orders").len(), 1);
    cloud.kill();
    cloud.restart();
    assert_eq!(offset(&cloud, &[]), -25 * HOUR, "it is kept");
    assert_eq!(offset(&cloud, &["--advance", "2h"]), -23 * HOUR);
    assert_eq!(cloud.records("orders").len(), 0, "the retention is a day");
    assert_eq!(offset(&cloud, &["--now"]), 0);
    assert_eq!(offset(&cloud, &["--advance", "1h"]), HOUR);
    let back = cloud.fails(1, ["local", "clock", "--now"]);
    assert!(back.contains("cannot go back"), "{back}");
    cloud.fails(2, ["local", "clock", "--now", "--advance", "1h"]);

    // A start in the past needs a home without data.
    cloud.ok(["local", "stop"]);
    let refused = cloud
        .streamctl(["local", "run", "--clock-behind", "1d"])
        .assert()
        .code(1);
    let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(
        said.contains("cannot be set back") && said.contains("local reset"),
        "{said}"
    );
    let stopped = cloud.fails(1, ["local", "clock"]);
    assert!(stopped.contains("is not running"), "{stopped}");
    cloud.restart();
    assert_eq!(offset(&cloud, &[]), HOUR);
}
