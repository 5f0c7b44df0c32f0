//! The local cloud's data plane through the AWS SDK, compared with an HTTP server that does nothing (the baseline).
//!
//! `cargo bench --bench kinesis [-- SECONDS]`. PutRecords carries 500 records of 1 KiB with 8 requests in flight into
//! a stream of 4 shards whose log is on disk; GetRecords reads them back, a task a shard. The floor answers the same
//! requests of the same client from memory without looking at them: it is what the client and HTTP cost by
//! themselves, so the ratio says what the engine adds.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

const RECORDS: usize = 500;
const SIZE: usize = 1024;
const IN_FLIGHT: usize = 8;
const SHARDS: i32 = 4;

fn main() {
    let seconds = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench(Duration::from_secs(seconds)));
}

async fn bench(time: Duration) {
    let floor_client = client(&format!("http://{}", null_server().await));
    put(&floor_client, Duration::from_millis(500)).await;
    let put_floor = put(&floor_client, time).await;
    let get_floor = get_floor(&floor_client, time).await;

    let cloud = Cloud::start();
    let engine = client(&cloud.endpoint);
    engine
        .create_stream()
        .stream_name("bench")
        .shard_count(SHARDS)
        .send()
        .await
        .unwrap();
    wait_active(&engine).await;
    let put_engine = put(&engine, time).await;
    let get_engine = get(&engine).await;

    println!(
        "{RECORDS} × {SIZE} B, {IN_FLIGHT} in flight, {SHARDS} shards, {} cores",
        cores()
    );
    row("PutRecords", put_engine, put_floor);
    row("GetRecords", get_engine, get_floor);
    println!("resident after the run: {} MB", cloud.resident_mb());
}

fn row(name: &str, engine: f64, floor: f64) {
    println!(
        "{name:<11} {engine:>9.0} records/s   floor {floor:>9.0} records/s   ratio {:.2}",
        engine / floor
    );
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Acknowledged records a second.
async fn put(client: &Client, time: Duration) -> f64 {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..IN_FLIGHT {
        let (client, acknowledged) = (client.clone(), acknowledged.clone());
        tasks.push(tokio::spawn(async move {
            let entries: Vec<_> = (0..RECORDS)
                .map(|n| {
                    PutRecordsRequestEntry::builder()
                        .partition_key(format!("{task}-{n}"))
                        .data(Blob::new(vec![b'x'; SIZE]))
                        .build()
                        .unwrap()
                })
                .collect();
            while start.elapsed() < time {
                let answer = client
                    .put_records()
                    .stream_name("bench")
                    .set_records(Some(entries.clone()))
                    .send()
                    .await
                    .unwrap();
                assert_eq!(answer.failed_record_count(), Some(0));
                acknowledged.fetch_add(RECORDS as u64, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    acknowledged.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// Reads the whole stream from the beginning, a task a shard. Records a second.
async fn get(client: &Client) -> f64 {
    let shards = client.list_shards().stream_name("bench").send().await.unwrap();
    let start = Instant::now();
    let mut tasks = Vec::new();
    for shard in shards.shards().to_vec() {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            let iterator = client
                .get_shard_iterator()
                .stream_name("bench")
                .shard_id(shard.shard_id())
                .shard_iterator_type(ShardIteratorType::TrimHorizon)
                .send()
                .await
                .unwrap();
            let mut iterator = iterator.shard_iterator;
            let mut count = 0u64;
            while let Some(current) = iterator {
                let page = client.get_records().shard_iterator(current).send().await.unwrap();
                count += page.records().len() as u64;
                iterator = page.next_shard_iterator;
                if page.millis_behind_latest == Some(0) {
                    break;
                }
            }
            count
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    count as f64 / start.elapsed().as_secs_f64()
}

async fn get_floor(client: &Client, time: Duration) -> f64 {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..SHARDS {
        let client = client.clone();
        tasks.push(tokio::spawn(async move {
            let mut count = 0u64;
            while start.elapsed() < time {
                let page = client.get_records().shard_iterator("x").send().await.unwrap();
                count += page.records().len() as u64;
            }
            count
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    count as f64 / start.elapsed().as_secs_f64()
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

async fn wait_active(client: &Client) {
    loop {
        let summary = client
            .describe_stream_summary()
            .stream_name("bench")
            .send()
            .await
            .unwrap();
        let status = summary
            .stream_description_summary()
            .unwrap()
            .stream_status()
            .clone();
        if status.as_str() == "ACTIVE" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Answers PutRecords and GetRecords with fixed responses.
async fn null_server() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sequence = "49671246667567228643283430150187014032206582503619919874";
    let one = format!(r#"{{"SequenceNumber":"{sequence}","ShardId":"shardId-000000000000"}}"#);
    let put = format!(
        r#"{{"FailedRecordCount":0,"Records":[{}]}}"#,
        vec![one; RECORDS].join(",")
    );
    let data = base64_simd::STANDARD.encode_to_string([b'x'; SIZE]);
    let one = format!(
        r#"{{"SequenceNumber":"{sequence}","ApproximateArrivalTimestamp":1763715600.123,"Data":"{data}","PartitionKey":"0-1"}}"#
    );
    let get = format!(
        r#"{{"Records":[{}],"NextShardIterator":"x","MillisBehindLatest":1}}"#,
        vec![one; 10_000].join(",")
    );
    let (put, get) = (Bytes::from(put), Bytes::from(get));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (put, get) = (put.clone(), get.clone());
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let is_get = request
                    .headers()
                    .get("x-amz-target")
                    .is_some_and(|t| t.as_bytes().ends_with(b"GetRecords"));
                let answer = if is_get { get.clone() } else { put.clone() };
                async move {
                    request.into_body().collect().await?;
                    let mut response = hyper::Response::new(Full::new(answer));
                    response.headers_mut().insert(
                        "content-type",
                        hyper::header::HeaderValue::from_static("application/x-amz-json-1.1"),
                    );
                    Ok::<_, hyper::Error>(response)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
            );
        }
    });
    address
}

/// The real binary's local cloud in a temporary home.
struct Cloud {
    home: tempfile::TempDir,
    endpoint: String,
    pid: String,
}

impl Cloud {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_streamctl"))
                .args(args)
                .env("STREAMCTL_HOME", home.path())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            output.stdout
        };
        run(&["local", "start", "--port", "0"]);
        let status: serde_json::Value =
            serde_json::from_slice(&run(&["local", "status", "-o", "json"])).unwrap();
        Self {
            endpoint: status["endpoint"].as_str().unwrap().to_owned(),
            pid: status["pid"].to_string(),
            home,
        }
    }

    fn resident_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.pid]).status();
        let _ = self.home.path();
    }
}
