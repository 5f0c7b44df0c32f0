//! `tail`, compared with a bare loop of GetRecords over the AWS SDK for Rust and with one of boto3: rate, CPU time and memory
//! of the client; the time from put to print; and the cost of following idle shards.
//!
//! `cargo bench --bench tail [-- RECORDS]`. The loops read the same records from the same local cloud. boto3 is compared
//! if `STREAMCTL_BENCH_PYTHON` names an interpreter that has it. `BENCH_SHARDS` is the number of idle shards.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use common::{Cloud, Cost};

const SIZE: usize = 200;
const SHARDS: i32 = 4;
const SAMPLES: usize = 100;
/// How long idle shards are followed.
const IDLE: Duration = Duration::from_secs(20);

/// Reads every shard of the stream `bench` to its tip, and counts the records.
const BOTO3: &str = "
import boto3, sys
kinesis = boto3.client('kinesis', endpoint_url=sys.argv[1], region_name='us-east-1',
    aws_access_key_id='bench', aws_secret_access_key='bench')
count = 0
for shard in kinesis.list_shards(StreamName='bench')['Shards']:
    at = kinesis.get_shard_iterator(StreamName='bench', ShardId=shard['ShardId'],
        ShardIteratorType='TRIM_HORIZON')['ShardIterator']
    while at:
        page = kinesis.get_records(ShardIterator=at)
        for record in page['Records']:
            count += len(record['Data']) > 0
        at = page.get('NextShardIterator')
        if page['MillisBehindLatest'] == 0:
            break
print(count)
";

fn main() {
    // The bare loop is a process of its own, so that its CPU time is that of the loop.
    if let Ok(endpoint) = std::env::var("BENCH_TAIL_LOOP") {
        let count = common::runtime().block_on(async {
            let client = common::client(&endpoint).await;
            common::count(&client, "bench").await
        });
        println!("{count}");
        return;
    }
    common::run(1_000_000, bench);
}

async fn bench(records: usize) {
    let cloud = Cloud::start();
    let client = Client::new(&cloud.sdk().await);
    common::create(&client, "bench", SHARDS).await;
    fill(&client, records).await;
    println!("{records} × {SIZE} B, {SHARDS} shards");
    let mut bare = Command::new(std::env::current_exe().unwrap());
    let floor = drained("bare loop", bare.env("BENCH_TAIL_LOOP", &cloud.endpoint), None);
    for format in ["raw", "text", "json"] {
        let args = [
            "tail",
            "--stream",
            "bench",
            "--from",
            "trim",
            "--no-follow",
            "-o",
            format,
        ];
        drained(
            &format!("tail -o {format}"),
            &mut cloud.command(&args),
            Some(&floor),
        );
    }
    if let Ok(python) = std::env::var("STREAMCTL_BENCH_PYTHON") {
        let mut boto3 = Command::new(python);
        boto3.args(["-c", BOTO3, &cloud.endpoint]);
        drained("boto3 loop", &mut boto3, Some(&floor));
    } else {
        println!("boto3 is not compared: STREAMCTL_BENCH_PYTHON names no interpreter");
    }
    common::create(&client, "latency", 1).await;
    latency(&cloud, &client, "polling", &[]).await;
    latency(&cloud, &client, "fan-out", &["--fan-out"]).await;
    let shards = std::env::var("BENCH_SHARDS")
        .ok()
        .and_then(|shards| shards.parse().ok());
    idle(&cloud, &client, shards.unwrap_or(2000)).await;
}

async fn fill(client: &Client, records: usize) {
    const BATCH: usize = 500;
    let mut tasks = tokio::task::JoinSet::new();
    for batch in 0..records.div_ceil(BATCH) {
        let count = BATCH.min(records - batch * BATCH);
        let entries = (0..count).map(|n| {
            let entry = PutRecordsRequestEntry::builder().partition_key(format!("{batch}-{n}"));
            entry.data(Blob::new(vec![b'x'; SIZE])).build().unwrap()
        });
        let put = client
            .put_records()
            .stream_name("bench")
            .set_records(Some(entries.collect()));
        tasks.spawn(async move { assert_eq!(put.send().await.unwrap().failed_record_count(), Some(0)) });
        if tasks.len() >= 8 {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    tasks.join_all().await;
}

/// Runs `command` and prints what it costs, beside `floor`.
fn drained(name: &str, command: &mut Command, floor: Option<&Cost>) -> Cost {
    let cost = common::cost(command.stderr(Stdio::null()));
    let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    let beside = floor.map(|floor| {
        let rate = ratio(floor.elapsed, cost.elapsed);
        format!(
            ", rate {rate:.2} ×, CPU {:.2} × the bare loop",
            ratio(cost.cpu, floor.cpu)
        )
    });
    println!(
        "{name:<14} {:>6.2} s, CPU {:>6.2} s, {} MiB{}",
        cost.elapsed.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        cost.resident_kib / 1024,
        beside.unwrap_or_default()
    );
    cost
}

/// Starts a tail of `stream` that follows, and waits until it has begun.
fn follow(cloud: &Cloud, stream: &str, more: &[&str]) -> Child {
    let args = [&["tail", "--stream", stream, "-o", "text"], more].concat();
    let mut tail = cloud.command(&args);
    let mut tail = tail
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(tail.stderr.take().unwrap());
    let begun = stderr
        .lines()
        .find(|line| line.as_ref().unwrap().contains("Waiting for new records"));
    assert!(begun.is_some(), "the tail did not begin");
    tail
}

/// Ends a tail as Ctrl-C does.
fn interrupt(mut tail: Child) {
    let _ = Command::new("kill")
        .args(["-INT", &tail.id().to_string()])
        .status();
    tail.wait().unwrap();
}

async fn latency(cloud: &Cloud, client: &Client, name: &str, more: &[&str]) {
    let mut tail = follow(cloud, "latency", more);
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut times = Vec::new();
    for number in 0..SAMPLES {
        // Not in step with the intervals of the tail.
        tokio::time::sleep(Duration::from_millis(50 + number as u64 * 37 % 101)).await;
        let begun = Instant::now();
        let put = client.put_record().stream_name("latency").partition_key("k");
        put.data(Blob::new(number.to_string())).send().await.unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), number.to_string());
        times.push(begun.elapsed());
    }
    let worst = times.iter().max().unwrap().as_secs_f64() * 1e3;
    let median = common::median(times).as_secs_f64() * 1e3;
    println!("put to printed by {name}: median {median:.1} ms, worst of {SAMPLES} {worst:.1} ms");
    interrupt(tail);
}

async fn idle(cloud: &Cloud, client: &Client, shards: i32) {
    common::create(client, "idle", shards).await;
    let tail = follow(cloud, "idle", &[]);
    // The first reads of all shards are not idle.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = [tail.id(), cloud.pid].map(common::cpu_time);
    tokio::time::sleep(IDLE).await;
    let after = [tail.id(), cloud.pid].map(common::cpu_time);
    let percent = |at: usize| (after[at] - before[at]).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    println!(
        "{shards} idle shards: tail {:.1} % of a core and {} MiB, local cloud {:.1} %",
        percent(0),
        common::resident_kib(tail.id()) / 1024,
        percent(1)
    );
    interrupt(tail);
}
