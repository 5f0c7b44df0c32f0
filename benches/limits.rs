//! `put` where something is slower than it: shards at their limits, and a slow line.
//!
//! `cargo bench --bench limits [-- SECONDS]`. Each part lasts about as long as that, 60 seconds unless told. The shares are of
//! what AWS takes (1,000 records and 1 MiB a second for each shard) and of what the line carries in a second.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use common::Cloud;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::Instant;

const SHARDS: usize = 4;
const SHARD_RECORDS: usize = 1_000;
const SHARD_BYTES: usize = 1 << 20;
const LARGE: usize = 700_000;
/// What a line makes up for at most.
const LATE: Duration = Duration::from_millis(200);

fn main() {
    common::run(60, |seconds| async move {
        let dir = tempfile::tempdir().unwrap();
        at_limits(dir.path(), seconds);
        for bytes_per_second in [1_500_000, 400_000] {
            over_line(dir.path(), bytes_per_second, seconds).await;
        }
    });
}

/// Shards that take no more than AWS's do.
fn at_limits(dir: &Path, seconds: usize) {
    let cloud = Cloud::start_with(&["--enforce-limits"]);
    let records = SHARDS * SHARD_RECORDS * seconds;
    let small = write(dir, records, 200);
    let large = write(dir, seconds * 3 / 2, LARGE);
    let put = |stream: &str, shards: usize, file: &Path, args: &[&str]| {
        cloud.streamctl(&["create", stream, "--shards", &shards.to_string()]);
        let file = [
            "put",
            stream,
            "-o",
            "json",
            "--quiet",
            "--file",
            file.to_str().unwrap(),
        ];
        answer(cloud.command(&[&file, args].concat()))
    };
    let mut plain = 0.0;
    for (name, args) in [
        ("random keys", &[][..]),
        ("own keys", &["--key-field", "n"]),
        ("aggregated", &["--aggregate"]),
    ] {
        let put = put(&name.replace(' ', "-"), SHARDS, &small, args);
        let rate = number(&put, "acknowledged") / number(&put, "elapsed_seconds");
        let rejected = number(&put, "throttles") / (number(&put, "throttles") + records as f64);
        println!(
            "{SHARDS} shards, 200 B, {name}: {rate:.0} records/s, {:.0} % of 4,000; {} failed, {:.1} % of the entries rejected",
            rate / (SHARDS * SHARD_RECORDS) as f64 * 100.0,
            put["failed"],
            rejected * 100.0
        );
        match name {
            "random keys" => plain = rate,
            "aggregated" => println!("aggregated: {:.1} × the records/s of random keys", rate / plain),
            _ => {}
        }
    }
    let put = put("large", 1, &large, &[]);
    let rate = number(&put, "bytes") / number(&put, "elapsed_seconds");
    println!(
        "1 shard, 700 KB: {:.0} % of 1 MiB/s; {} failed, {} retries",
        rate / SHARD_BYTES as f64 * 100.0,
        put["failed"],
        put["retries"]
    );
}

/// A line that carries `rate` bytes a second.
async fn over_line(dir: &Path, rate: usize, seconds: usize) {
    let cloud = Cloud::start();
    let client = common::client(&cloud.endpoint).await;
    let line = Line::open(&cloud.endpoint, rate).await;
    for (name, size) in [("large", LARGE), ("small", 200)] {
        common::create(&client, name, SHARDS as i32).await;
        // A record is a third larger in base64, and has a key.
        let count = (rate * seconds / 2).div_ceil(size * 4 / 3 + 60);
        let file = write(dir, count, size);
        let args = [
            "put",
            name,
            "-o",
            "json",
            "--quiet",
            "--file",
            file.to_str().unwrap(),
        ];
        let mut command = cloud.command(&args);
        command
            .env_remove("STREAMCTL_TARGET")
            .env("AWS_ENDPOINT_URL", &line.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench");
        let (before, start) = (line.carried().await, Instant::now());
        let put = tokio::task::spawn_blocking(|| answer(command)).await.unwrap();
        let carried = line.carried().await - before;
        let stored = common::count(&client, name).await;
        println!(
            "{} KB/s, {count} × {size} B: {:.0} % of the line; {} acknowledged, {stored} stored, {} failed",
            rate / 1000,
            carried as f64 / start.elapsed().as_secs_f64() / rate as f64 * 100.0,
            put["acknowledged"],
            put["failed"]
        );
    }
}

/// Forwards connections, and limits what clients send.
struct Line {
    endpoint: String,
    state: Arc<Mutex<State>>,
}

struct State {
    rate: f64,
    carried: usize,
    /// When what was carried is through.
    free: Instant,
}

impl Line {
    async fn open(endpoint: &str, rate: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(Mutex::new(State {
            rate: rate as f64,
            carried: 0,
            free: Instant::now(),
        }));
        let line = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::clone(&state),
        };
        let cloud = endpoint.strip_prefix("http://").unwrap().to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, cloud.clone(), Arc::clone(&state)));
            }
        });
        line
    }

    async fn carried(&self) -> usize {
        self.state.lock().await.carried
    }
}

/// Forwards a connection to its end.
async fn forward(client: TcpStream, cloud: String, state: Arc<Mutex<State>>) {
    let (mut sent, mut back) = client.into_split();
    let (mut answers, mut requests) = TcpStream::connect(cloud).await.unwrap().into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = sent.read(&mut buffer).await {
        // The lock is held while the line is busy.
        let mut state = state.lock().await;
        let took = Duration::from_secs_f64(count as f64 / state.rate);
        // Timers are late by up to a millisecond, which later bytes make up for.
        let now = Instant::now();
        let behind = now.checked_sub(LATE).unwrap_or(now);
        state.free = state.free.max(behind) + took;
        state.carried += count;
        tokio::time::sleep_until(state.free).await;
        drop(state);
        if requests.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Writes `count` lines of JSON of about `size` bytes.
fn write(dir: &Path, count: usize, size: usize) -> PathBuf {
    let path = dir.join(format!("{count}-{size}.ndjson"));
    let mut text = String::new();
    let pad = "x".repeat(size - 22);
    for n in 0..count {
        writeln!(text, r#"{{"n":{},"pad":"{pad}"}}"#, 1_000_000 + n).unwrap();
    }
    std::fs::write(&path, text).unwrap();
    path
}

/// The answer of a put.
fn answer(mut command: Command) -> Value {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(answer: &Value, member: &str) -> f64 {
    answer[member].as_f64().unwrap()
}
