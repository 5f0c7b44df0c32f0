//! Compares the bundled `retail-event-processor` with a Python version that uses boto3 (`benches/python`), on the same
//! events and endpoint: records per second of the function's own CPU time, start-up and memory.
//!
//! `cargo bench --bench handlers [-- RECORDS]`. Both run on the Lambda host of streamctl. Python is
//! `STREAMCTL_BENCH_PYTHON` or `python3`, with boto3; without it only the Rust handler is measured. CPU time and memory are read from /proc: Linux only.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, Select,
};
use bytes::Bytes;
use common::Cloud;
use domain::functions::bundle;
use lambda_host::{Bootstrap, Host, Invocation, Process};
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(60);
/// The mapping's default.
const BATCH: usize = 100;
const KINDS: [&str; 6] = ["view", "add_to_cart", "purchase", "wishlist", "share", "review"];

fn main() {
    common::run(20_000, bench);
}

async fn bench(records: usize) {
    let cloud = Cloud::start();
    let sdk = cloud.sdk().await;
    let queue = aws_sdk_sqs::Client::new(&sdk)
        .create_queue()
        .queue_name("bench")
        .send()
        .await
        .unwrap();
    let queue = queue.queue_url.unwrap();
    let work = tempfile::tempdir().unwrap();
    unpack(work.path());
    let size = std::fs::metadata(work.path().join("bootstrap")).unwrap().len();
    println!("bootstrap {:.1} MB", size as f64 / 1e6);
    let batches = batches(records);
    let rust = run(&cloud, &queue, "rust", work.path(), &batches).await;
    rust.print("rust");
    let Some(python) = python() else {
        println!("no Python with boto3 here: set STREAMCTL_BENCH_PYTHON");
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python/retail_event_processor.py");
    let text = format!("#!/bin/sh\nexec {python} {}\n", script.display());
    let bootstrap = work.path().join("bootstrap");
    std::fs::write(&bootstrap, text).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&bootstrap, executable).unwrap();
    let python = run(&cloud, &queue, "python", work.path(), &batches).await;
    python.print("python");
    println!(
        "records per CPU-second, rust / python: {:.1}",
        rust.rate() / python.rate()
    );
}

struct Outcome {
    records: usize,
    init: Duration,
    first: Duration,
    cpu: Duration,
    wall: Duration,
    resident_kib: u64,
}

impl Outcome {
    fn rate(&self) -> f64 {
        self.records as f64 / self.cpu.as_secs_f64()
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<7} {:>8.0} records per CPU-second   {:>7.0} records/s   init {:>5.1} ms   first batch {:>5.1} ms   \
             resident {:.1} MB",
            self.rate(),
            self.records as f64 / self.wall.as_secs_f64(),
            self.init.as_secs_f64() * 1e3,
            self.first.as_secs_f64() * 1e3,
            self.resident_kib as f64 / 1024.0,
        );
    }
}

/// Runs the `bootstrap` in `code` on all batches.
async fn run(cloud: &Cloud, queue: &str, table: &str, code: &Path, batches: &[(usize, Bytes)]) -> Outcome {
    create_table(cloud, table).await;
    let bootstrap = bootstrap(cloud, queue, table, code);
    let host = Host::default();
    let started = Instant::now();
    let process = host.start(&bootstrap, |_: &str| {}, |_, _, _| ()).await;
    let mut process = process.map_err(|(failure, _)| failure).unwrap();
    let init = started.elapsed();
    let id = process.id().unwrap();
    let started = Instant::now();
    invoke(&mut process, batches[0].1.clone()).await;
    let first = started.elapsed();
    let (cpu, wall) = (common::cpu_time(id), Instant::now());
    for (_, payload) in batches {
        invoke(&mut process, payload.clone()).await;
    }
    let outcome = Outcome {
        records: batches.iter().map(|(count, _)| count).sum(),
        init,
        first,
        cpu: common::cpu_time(id) - cpu,
        wall: wall.elapsed(),
        resident_kib: common::resident_kib(id),
    };
    drop(process);
    assert_eq!(
        count(cloud, table).await,
        outcome.records,
        "every event is in {table}, once"
    );
    outcome
}

fn bootstrap(cloud: &Cloud, queue: &str, table: &str, code: &Path) -> Bootstrap {
    let mut environment = BTreeMap::from(
        [
            ("AWS_ENDPOINT_URL", cloud.endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("TABLE_NAME", table),
            ("QUEUE_URL", queue),
            ("ENVIRONMENT", "dev"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    // Where Python and its packages are.
    environment.extend(
        ["HOME", "PATH", "PYTHONPATH"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))),
    );
    Bootstrap {
        directory: code.to_path_buf(),
        function_name: "retail".to_owned(),
        function_version: "$LATEST".to_owned(),
        handler: "bootstrap".to_owned(),
        memory_mb: 256,
        timeout: TIMEOUT,
        log_group: "/aws/lambda/retail".to_owned(),
        log_stream: "bench".to_owned(),
        environment,
    }
}

async fn invoke(process: &mut Process<impl FnMut(&str) + Send>, payload: Bytes) {
    let deadline = std::time::SystemTime::now() + TIMEOUT;
    let deadline = deadline.duration_since(std::time::UNIX_EPOCH).unwrap();
    let invocation = Invocation {
        request_id: lambda_host::request_id(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:retail".to_owned(),
        deadline_ms: i64::try_from(deadline.as_millis()).unwrap(),
        client_context: None,
        payload,
    };
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    let answer = process.invoke(invocation, deadline).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]));
}

/// Lambda events of `records` retail events altogether.
fn batches(records: usize) -> Vec<(usize, Bytes)> {
    let numbers: Vec<usize> = (0..records).collect();
    numbers
        .chunks(BATCH)
        .map(|chunk| {
            let records: Vec<_> = chunk.iter().map(|number| record(*number)).collect();
            (
                chunk.len(),
                Bytes::from(json!({ "Records": records }).to_string()),
            )
        })
        .collect()
}

fn record(number: usize) -> serde_json::Value {
    let at_ms = 1_795_251_600_000 + number as u64;
    let event = json!({
        "userId": format!("user-{:03}", number % 200), "eventType": KINDS[number % KINDS.len()],
        "productId": format!("P{:04}", number % 100 + 1), "timestamp": at_ms,
        "sessionId": format!("session-{}", number / 7), "price": 29.99, "quantity": number % 5,
        "page": "/products/overview", "referrer": "https://www.example.com/search?q=shoes",
    });
    let sequence = format!("49671246667567228643283430150187014032206582{number:012}");
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": format!("user-{:03}", number % 200),
            "sequenceNumber": sequence, "data": base64_simd::STANDARD.encode_to_string(event.to_string()),
            "approximateArrivalTimestamp": at_ms as f64 / 1000.0,
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("shardId-000000000000:{sequence}"),
        "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::000000000000:role/retail",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/retail-events-stream-dev",
    })
}

async fn create_table(cloud: &Cloud, name: &str) {
    let attribute = |name: &str, kind| {
        let attribute = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind);
        attribute.build().unwrap()
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .unwrap()
    };
    let client = aws_sdk_dynamodb::Client::new(&cloud.sdk().await);
    let create = client
        .create_table()
        .table_name(name)
        .attribute_definitions(attribute("userId", ScalarAttributeType::S))
        .attribute_definitions(attribute("eventTimestamp", ScalarAttributeType::N))
        .key_schema(key("userId", KeyType::Hash))
        .key_schema(key("eventTimestamp", KeyType::Range))
        .billing_mode(BillingMode::PayPerRequest);
    create.send().await.unwrap();
    loop {
        let described = client.describe_table().table_name(name).send().await.unwrap();
        if described.table.unwrap().table_status.unwrap().as_str() == "ACTIVE" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn count(cloud: &Cloud, table: &str) -> usize {
    let client = aws_sdk_dynamodb::Client::new(&cloud.sdk().await);
    let mut pages = client
        .scan()
        .table_name(table)
        .select(Select::Count)
        .into_paginator()
        .send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += usize::try_from(page.unwrap().count).unwrap();
    }
    count
}

/// Puts the bundled bootstrap into `dir`, or the one that STREAMCTL_BENCH_BOOTSTRAP names.
fn unpack(dir: &Path) {
    if let Some(other) = std::env::var_os("STREAMCTL_BENCH_BOOTSTRAP") {
        std::fs::copy(other, dir.join("bootstrap")).unwrap();
        return;
    }
    bundle::carry(::bundle::HANDLERS);
    let package = bundle::find("retail-event-processor").unwrap().package().unwrap();
    println!("zip {:.1} MB", package.bytes.len() as f64 / 1e6);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(package.bytes.to_vec())).unwrap();
    zip.extract(dir).unwrap();
}

fn python() -> Option<String> {
    let python = std::env::var("STREAMCTL_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut check = Command::new(&python);
    check
        .args(["-c", "import boto3"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    check
        .status()
        .is_ok_and(|status| status.success())
        .then_some(python)
}
