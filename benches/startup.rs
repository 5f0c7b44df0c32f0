//! Start-up times of the process and the daemon, the time of a first response, and the memory of an idle daemon.
//!
//! `cargo bench --bench startup`. Each figure is the median of many runs, and a ratio to the floor: starting a
//! process that does nothing (`true`).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 21;

fn main() {
    let home = tempfile::tempdir().unwrap();
    let streamctl = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamctl"));
        command
            .args(args)
            .env("STREAMCTL_HOME", home.path())
            .env("STREAMCTL_TARGET", "local")
            .current_dir(&home);
        command
    };
    let floor = median(|| run(&mut Command::new("true")));
    row("true (floor)", floor, floor);
    row(
        "streamctl --version",
        median(|| run(&mut streamctl(&["--version"]))),
        floor,
    );

    let ready = median(|| {
        let _ = streamctl(&["local", "stop", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run(&mut streamctl(&["local", "start", "--port", "0"]))
    });
    row("local start, until ready", ready, floor);
    println!(
        "resident when idle: {:.1} MB",
        resident_mb(&mut streamctl(&["local", "status", "-o", "json"]))
    );

    run(&mut streamctl(&[
        "setup",
        "--stream",
        "bench",
        "--shard-count",
        "1",
    ]));
    row(
        "describe",
        median(|| run(&mut streamctl(&["describe", "--stream", "bench"]))),
        floor,
    );
    row("list", median(|| run(&mut streamctl(&["list"]))), floor);
    row(
        "completion of a stream",
        median(|| run(&mut completion(&streamctl, &["streamctl", "describe", "be"]))),
        floor,
    );
    many(&streamctl, floor);
    run(&mut streamctl(&["local", "stop"]));
}

/// A thousand streams, and a stream of 10,000 shards. A page of ListStreams has 100 streams, one of ListShards 1,000 shards.
fn many(streamctl: &impl Fn(&[&str]) -> Command, floor: Duration) {
    for number in 0..1_000 {
        run(&mut streamctl(&["create", &format!("s{number:04}")]));
    }
    row(
        "list, 1,000 streams",
        median(|| run(&mut streamctl(&["list"]))),
        floor,
    );
    row(
        "list --long, 1,000 streams",
        median(|| run(&mut streamctl(&["list", "--long"]))),
        floor,
    );
    row(
        "list --tag, 1,000 streams",
        median(|| run(&mut streamctl(&["list", "--tag", "env=prod"]))),
        floor,
    );
    row(
        "completion, 1,000 streams",
        median(|| run(&mut completion(streamctl, &["streamctl", "describe", "s09"]))),
        floor,
    );
    run(&mut streamctl(&["create", "wide", "--shards", "10000"]));
    row(
        "describe, 10,000 shards",
        median(|| run(&mut streamctl(&["describe", "wide"]))),
        floor,
    );
    row(
        "describe --shards, 10,000",
        median(|| run(&mut streamctl(&["describe", "wide", "--shards"]))),
        floor,
    );
}

/// What bash runs to complete the last of `words`.
fn completion(streamctl: &impl Fn(&[&str]) -> Command, words: &[&str]) -> Command {
    let mut command = streamctl(&["--"]);
    command
        .args(words)
        .env("STREAMCTL_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n");
    command
}

fn row(name: &str, time: Duration, floor: Duration) {
    let ratio = time.as_secs_f64() / floor.as_secs_f64();
    println!(
        "{name:<26} {:>7.1} ms   ratio {ratio:>5.1}",
        time.as_secs_f64() * 1e3
    );
}

fn run(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.output().unwrap();
    let elapsed = start.elapsed();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    elapsed
}

fn median(mut measure: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..RUNS).map(|_| measure()).collect();
    times.sort();
    times[RUNS / 2]
}

/// Resident memory of the daemon a second after it became ready (Linux; 0 elsewhere).
fn resident_mb(status: &mut Command) -> f64 {
    std::thread::sleep(Duration::from_secs(1));
    let status: serde_json::Value = serde_json::from_slice(&status.output().unwrap().stdout).unwrap();
    let text = std::fs::read_to_string(format!("/proc/{}/status", status["pid"])).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}
