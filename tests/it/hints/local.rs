//! Hints about the local cloud.

use std::path::PathBuf;

use super::{By, Row, check, output, row};
use crate::running::{Running, until};
use crate::support::{Cloud, Machine};

/// A local cloud that runs. The last row deletes it.
pub const ROWS: &[Row] = &[
    row(
        "crates/ground/src/error/aws/failure.rs",
        "local status",
        By::Unprovoked("the local cloud has to end between its start and a call"),
    ),
    row(
        "crates/daemon/src/lib.rs",
        "local status",
        By::Unprovoked("another process has to hold the home for longer than `reset` waits"),
    ),
    row(
        "crates/domain/src/context/sdk.rs",
        "config trust",
        By::Made(|cloud| {
            cloud.file("streamctl.toml", "endpoint_url = \"https://example.com\"\n");
            let output = cloud.streamctl(["list"]).env_remove("STREAMCTL_TARGET").output();
            String::from_utf8(output.unwrap().stderr).unwrap()
        }),
    ),
    row(
        "src/cli/config.rs",
        "config trust",
        By::Made(|cloud| {
            let url = "https://example.org";
            cloud.file("streamctl.toml", "");
            output(&cloud.machine, &["config", "set", "endpoint_url", url], &[])
        }),
    ),
    row(
        "src/cli/local.rs",
        "local stop",
        By::Unprovoked("a local cloud of another version has to run"),
    ),
    row(
        "crates/daemon/src/clock.rs",
        "local stop",
        By::Unprovoked("a local cloud of another version has to run"),
    ),
    row(
        "crates/ground/src/error/machine.rs",
        "local stop",
        By::Answered(
            &["list"],
            500,
            r#"{"__type":"InternalFailure","message":"could not read: Too many open files (os error 24)"}"#,
        ),
    ),
    row(
        "crates/daemon/src/clock.rs",
        "local start",
        By::Run(&["local", "clock"]),
    ),
    row("src/cli/describe/report.rs", "local status", By::Made(damaged)),
    row(
        "crates/daemon/src/clock.rs",
        "local reset",
        By::Made(|cloud| {
            cloud.ok(["local", "clock", "--advance", "1h"]);
            cloud.fails(1, ["local", "clock", "--now"])
        }),
    ),
    row("crates/daemon/src/home.rs", "local reset", By::Made(notice)),
    row(
        "crates/daemon/src/launch.rs",
        "local run",
        By::Exempt("it runs until it is stopped: `a_local_cloud_in_the_foreground` follows it"),
    ),
    row(
        "src/cli/demo.rs",
        "destroy --stream {STREAM} --target local",
        By::Exempt("`demo --keep` has a local cloud of its own: `what_a_demo_keeps` follows it"),
    ),
];

/// The file below the home that has `text`, its content, and where the text is.
fn file_with(cloud: &Cloud, text: &[u8]) -> (PathBuf, Vec<u8>, usize) {
    let mut dirs = vec![cloud.path().join("streamctl-home")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                dirs.push(entry);
                continue;
            }
            // A socket cannot be read.
            let bytes = std::fs::read(&entry).unwrap_or_default();
            if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
                return (entry, bytes, at);
            }
        }
    }
    panic!("no file has {:?}", String::from_utf8_lossy(text));
}

/// The file in the directory of the data that tells what it is.
fn notice(cloud: &Cloud) -> String {
    cloud.ok(["list"]);
    let (_, bytes, _) = file_with(cloud, b"Data of streamctl's local cloud");
    String::from_utf8(bytes).unwrap()
}

/// A record is damaged on disk.
fn damaged(cloud: &Cloud) -> String {
    cloud.ok(["create", "orders"]);
    cloud.ok(["put", "orders", "--data", "to be damaged"]);
    cloud.ok(["local", "stop"]);
    let (path, mut bytes, at) = file_with(cloud, b"to be damaged");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
    output(&cloud.machine, &["describe", "orders"], &[])
}

/// Stops the local cloud of a machine that commands have started.
struct Stopped<'m>(&'m Machine);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let _ = self.0.streamctl(["local", "stop"]).output();
    }
}

#[test]
fn hints_about_the_local_cloud() {
    let cloud = Cloud::start();
    // `local start` starts another one.
    let _stopped = Stopped(&cloud.machine);
    check(&cloud, ROWS);
}

/// As the hint of a daemon that does not start has it.
#[test]
fn a_local_cloud_in_the_foreground() {
    let machine = Machine::new();
    let _stopped = Stopped(&machine);
    let running = Running::start(&machine, ["local", "run"]);
    until("it runs", || {
        let running = machine.json(["local", "status"])["running"] == true;
        running.then_some(())
    });
    running.signal("INT");
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn what_a_demo_keeps() {
    let machine = Machine::new();
    let said = output(&machine, &["demo", "--keep"], &[]);
    let cloud = Cloud::of(machine);
    let keeps = ROWS.iter().find(|row| row.file == "src/cli/demo.rs").unwrap();
    let printed = super::suggested(&said);
    let command = printed.iter().find(|one| super::is_of(one, keeps.hint));
    let command = command.unwrap_or_else(|| panic!("{said}"));
    cloud
        .streamctl(command.split(' '))
        .arg("--yes")
        .assert()
        .success();
}
