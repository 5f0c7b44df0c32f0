//! Compares the bundled `retail-event-processor` with a Python version that uses boto3 (`benches/python`), on the same
//! events and endpoint: records per second of the function's own CPU time, start-up and memory.
//!
//! `cargo bench --bench handlers [-- RECORDS]`. Python is `STREAMCTL_BENCH_PYTHON` or `python3`, with boto3; without it
//! only the Rust handler is measured. CPU time and memory are read from /proc: Linux only.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, Select,
};
use bytes::Bytes;
use common::Cloud;
use serde_json::json;
use streamctl::functions::bundle;
use streamctl::runtime_api::{Answer, Invocation, RuntimeApi};

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
    let bootstrap = unpack(work.path());
    println!(
        "bootstrap {:.1} MB",
        std::fs::metadata(&bootstrap).unwrap().len() as f64 / 1e6
    );
    let batches = batches(records);
    let rust = run(&cloud, &queue, "rust", Command::new(&bootstrap), &batches).await;
    rust.print("rust");
    let Some(python) = python() else {
        println!("no Python with boto3 here: set STREAMCTL_BENCH_PYTHON");
        return;
    };
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python/retail_event_processor.py"));
    let python = run(&cloud, &queue, "python", command, &batches).await;
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

async fn run(
    cloud: &Cloud,
    queue: &str,
    table: &str,
    command: Command,
    batches: &[(usize, Bytes)],
) -> Outcome {
    create_table(cloud, table).await;
    let api = RuntimeApi::start().await.unwrap();
    let started = Instant::now();
    let mut child = spawn(command, cloud, queue, table, &api);
    api.ready().await.unwrap();
    let init = started.elapsed();
    let started = Instant::now();
    invoke(&api, batches[0].1.clone()).await;
    let first = started.elapsed();
    let (cpu, wall) = (common::cpu_time(child.id()), Instant::now());
    for (_, payload) in batches {
        invoke(&api, payload.clone()).await;
    }
    let outcome = Outcome {
        records: batches.iter().map(|(count, _)| count).sum(),
        init,
        first,
        cpu: common::cpu_time(child.id()) - cpu,
        wall: wall.elapsed(),
        resident_kib: common::resident_kib(child.id()),
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        count(cloud, table).await,
        outcome.records,
        "every event is in {table}, once"
    );
    outcome
}

fn spawn(mut command: Command, cloud: &Cloud, queue: &str, table: &str, api: &RuntimeApi) -> Child {
    command
        .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "retail")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/retail")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
        .env("AWS_ENDPOINT_URL", &cloud.endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "bench")
        .env("AWS_SECRET_ACCESS_KEY", "bench")
        .env("TABLE_NAME", table)
        .env("QUEUE_URL", queue)
        .env("ENVIRONMENT", "dev")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn invoke(api: &RuntimeApi, payload: Bytes) {
    let deadline = std::time::SystemTime::now() + Duration::from_secs(60);
    let deadline = deadline.duration_since(std::time::UNIX_EPOCH).unwrap();
    let invocation = Invocation {
        request_id: format!("{:032x}", rand::random::<u128>()),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:retail".to_owned(),
        deadline_ms: i64::try_from(deadline.as_millis()).unwrap(),
        trace_id: None,
        payload,
    };
    match api.invoke(invocation).await.unwrap() {
        Answer::Returned(answer) => {
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer["batchItemFailures"], json!([]));
        }
        Answer::Failed { payload, .. } => panic!("{}", String::from_utf8_lossy(&payload)),
    }
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

/// The bundled bootstrap, or another that STREAMCTL_BENCH_BOOTSTRAP names.
fn unpack(dir: &Path) -> PathBuf {
    if let Some(other) = std::env::var_os("STREAMCTL_BENCH_BOOTSTRAP") {
        return other.into();
    }
    let package = bundle::find("retail-event-processor").unwrap().package().unwrap();
    println!("zip {:.1} MB", package.bytes.len() as f64 / 1e6);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(package.bytes.to_vec())).unwrap();
    zip.extract(dir).unwrap();
    dir.join("bootstrap")
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
