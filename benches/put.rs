//! `put`, compared with a bare loop of PutRecords over the AWS SDK for Rust and with one of boto3: CPU time, rate and memory
//! of the client.
//!
//! `cargo bench --bench put [-- RECORDS]`. All put the same NDJSON lines of 200 B into 4 shards of the same local cloud, each
//! into a stream of its own. The bare loop and `put` take turns, [`ROUNDS`] each, and the median counts. What the local cloud
//! can take is measured by requests that are made beforehand: first where client and local cloud share all processors, then,
//! on Linux, with a processor each. There the fastest of [`APART_ROUNDS`] runs count beside the median: whatever else runs on
//! the machine only adds time. boto3 is compared if `STREAMCTL_BENCH_PYTHON` names an interpreter that has it.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

mod common;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use common::{Cloud, Cost};

const SIZE: usize = 200;
const SHARDS: i32 = 4;
const BATCH: usize = 500;
const IN_FLIGHT: usize = 8;
const ROUNDS: usize = 3;
const APART_ROUNDS: usize = 5;

/// Puts the lines of a file, 500 a request, by 8 threads.
const BOTO3: &str = "
import boto3, itertools, sys, uuid
from concurrent.futures import ThreadPoolExecutor
from botocore.config import Config
kinesis = boto3.client('kinesis', endpoint_url=sys.argv[1], region_name='us-east-1',
    aws_access_key_id='bench', aws_secret_access_key='bench', config=Config(max_pool_connections=8))
def put(lines):
    entries = [{'Data': line.rstrip(b'\\n'), 'PartitionKey': uuid.uuid4().hex} for line in lines]
    assert kinesis.put_records(StreamName=sys.argv[2], Records=entries)['FailedRecordCount'] == 0
with ThreadPoolExecutor(8) as pool, open(sys.argv[3], 'rb') as file:
    flying = set()
    while lines := list(itertools.islice(file, 500)):
        flying.add(pool.submit(put, lines))
        while len(flying) > 16:
            done = next(iter(flying)); done.result(); flying.remove(done)
    for done in flying: done.result()
";

fn main() {
    // The loops are processes of their own, so that their CPU time is that of the loop.
    if let Ok(work) = std::env::var("BENCH_PUT_LOOP") {
        let words: Vec<&str> = work.split(' ').collect();
        match words[..] {
            ["bare", endpoint, stream, file] => common::runtime().block_on(bare_loop(endpoint, stream, file)),
            ["flood", endpoint, stream, records] => flood(endpoint, stream, records.parse().unwrap()),
            _ => panic!("{work}"),
        }
        return;
    }
    common::run(1_000_000, bench);
}

async fn bench(records: usize) {
    let cloud = Cloud::start();
    let client = Client::new(&cloud.sdk().await);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("records.ndjson");
    write_lines(&file, records);
    let file = file.to_str().unwrap();
    println!("{records} lines of {SIZE} B, {SHARDS} shards");
    for stream in ["warm", "flood", "bare", "put", "boto3"] {
        common::create(&client, stream, SHARDS).await;
    }
    // The first requests make the local cloud allocate what it keeps.
    own_loop(&format!("flood {} warm {}", cloud.endpoint, records / 10));
    let most = own_loop(&format!("flood {} flood {records}", cloud.endpoint));
    print("requests ready", &most, None);
    let args = ["put", "--stream", "put", "--file", file, "--quiet", "-o", "json"];
    let (floors, puts) = (0..ROUNDS)
        .map(|_| {
            let floor = own_loop(&format!("bare {} bare {file}", cloud.endpoint));
            (floor, common::cost(&mut cloud.command(&args)))
        })
        .unzip();
    let (floor, put) = (median(floors), median(puts));
    print("bare SDK loop", &floor, None);
    print("put", &put, Some(("bare loop", &floor)));
    print_rate(&put, &most);
    if let Ok(python) = std::env::var("STREAMCTL_BENCH_PYTHON") {
        let boto3 = common::cost(Command::new(python).args(["-c", BOTO3, &cloud.endpoint, "boto3", file]));
        print("boto3, 8 threads", &boto3, Some(("bare loop", &floor)));
        let ratio = boto3.cpu.as_secs_f64() / put.cpu.as_secs_f64();
        println!("put: {ratio:.1} × the records that boto3 puts in a CPU second");
    } else {
        println!("boto3 is not compared: STREAMCTL_BENCH_PYTHON names no interpreter");
    }
    for stream in ["bare", "put"] {
        assert_eq!(
            common::count(&client, stream).await,
            records * ROUNDS,
            "records in {stream}"
        );
    }
    drop(cloud);
    #[cfg(target_os = "linux")]
    apart(file, records).await;
}

/// Compares `put` with what the local cloud takes where each has a processor, so that neither takes time from the other.
#[cfg(target_os = "linux")]
async fn apart(file: &str, records: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    // Processes that are started from now on inherit it.
    let pin = |processor| {
        let mut set = CpuSet::new();
        set.set(processor);
        sched_setaffinity(None, &set).unwrap();
    };
    let all = sched_getaffinity(None).unwrap();
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|at| all.is_set(*at)).collect();
    let [own, of_cloud, ..] = processors[..] else {
        println!("a processor each: there is only one");
        return;
    };
    pin(of_cloud);
    let cloud = Cloud::start();
    pin(own);
    let client = Client::new(&cloud.sdk().await);
    for stream in ["warm", "flood", "put"] {
        common::create(&client, stream, SHARDS).await;
    }
    own_loop(&format!("flood {} warm {}", cloud.endpoint, records / 10));
    let args = ["put", "--stream", "put", "--file", file, "--quiet", "-o", "json"];
    let (mut most, mut puts): (Vec<Cost>, Vec<Cost>) = (0..APART_ROUNDS)
        .map(|_| {
            let most = own_loop(&format!("flood {} flood {records}", cloud.endpoint));
            (most, common::cost(&mut cloud.command(&args)))
        })
        .unzip();
    for costs in [&mut most, &mut puts] {
        costs.sort_by_key(|cost| cost.elapsed);
    }
    for (kind, at) in [("median", APART_ROUNDS / 2), ("fastest", 0)] {
        println!("a processor each, {kind} of {APART_ROUNDS}");
        print("requests ready", &most[at], None);
        print("put", &puts[at], None);
        print_rate(&puts[at], &most[at]);
    }
    drop(cloud);
    sched_setaffinity(None, &all).unwrap();
}

/// Runs one of the loops of this benchmark.
fn own_loop(work: &str) -> Cost {
    common::cost(Command::new(std::env::current_exe().unwrap()).env("BENCH_PUT_LOOP", work))
}

fn print_rate(put: &Cost, most: &Cost) {
    let ratio = most.elapsed.as_secs_f64() / put.elapsed.as_secs_f64();
    println!("put: {ratio:.2} × the rate that the local cloud takes");
}

/// The one with the median CPU time.
fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.cpu);
    costs.remove(costs.len() / 2)
}

fn print(name: &str, cost: &Cost, beside: Option<(&str, &Cost)>) {
    let beside = beside.map(|(name, other)| {
        let ratio = cost.cpu.as_secs_f64() / other.cpu.as_secs_f64();
        format!(", CPU {ratio:.2} × the {name}")
    });
    println!(
        "{name:<16} {:>6.2} s, CPU {:>6.2} s, {} MiB{}",
        cost.elapsed.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        cost.resident_kib / 1024,
        beside.unwrap_or_default()
    );
}

/// Lines of JSON of [`SIZE`] bytes without their ends.
fn write_lines(path: &Path, records: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut line = String::new();
    for n in 0..records {
        line.clear();
        write!(
            line,
            r#"{{"order":{n},"customer":"c-{:05}","amount":{}.{:02},"items":["#,
            n % 9_973,
            n % 500,
            n % 100
        )
        .unwrap();
        while line.len() < SIZE - 20 {
            write!(line, "{},", 100_000 + line.len() * 7 + n % 1000).unwrap();
        }
        line.push('0');
        let rest = SIZE - line.len() - 2;
        line.extend(std::iter::repeat_n(' ', rest));
        line.push_str("]}");
        assert_eq!(line.len(), SIZE);
        writeln!(file, "{line}").unwrap();
    }
    file.flush().unwrap();
}

/// Lines → PutRecords of 500, 8 in flight.
async fn bare_loop(endpoint: &str, stream: &str, file: &str) {
    let client = common::client(endpoint).await;
    let mut tasks = tokio::task::JoinSet::new();
    let mut lines = BufReader::with_capacity(1 << 20, std::fs::File::open(file).unwrap()).lines();
    let mut number = 0_u64;
    loop {
        let entries: Vec<_> = lines
            .by_ref()
            .take(BATCH)
            .map(|line| {
                number += 1;
                // Spreads over the shards as random keys do.
                let entry = PutRecordsRequestEntry::builder().partition_key(format!("{number:032x}"));
                entry.data(Blob::new(line.unwrap().into_bytes())).build().unwrap()
            })
            .collect();
        if entries.is_empty() {
            break;
        }
        let put = client
            .put_records()
            .stream_name(stream)
            .set_records(Some(entries));
        tasks.spawn(async move { assert_eq!(put.send().await.unwrap().failed_record_count(), Some(0)) });
        if tasks.len() >= IN_FLIGHT {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    tasks.join_all().await;
}

/// Sends the same requests again and again: what the endpoint takes from a client that costs nothing.
fn flood(endpoint: &str, stream: &str, records: usize) {
    let address = endpoint.strip_prefix("http://").unwrap().to_owned();
    let left = Arc::new(AtomicUsize::new(records.div_ceil(BATCH)));
    let threads: Vec<_> = (0..IN_FLIGHT)
        .map(|thread| {
            let (address, left) = (address.clone(), Arc::clone(&left));
            let request = request(&address, stream, thread);
            std::thread::spawn(move || {
                let mut socket = TcpStream::connect(address).unwrap();
                socket.set_nodelay(true).unwrap();
                let take = |left: usize| left.checked_sub(1);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                    .is_ok()
                {
                    socket.write_all(&request).unwrap();
                    read_answer(&mut socket);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A PutRecords request in CBOR.
fn request(address: &str, stream: &str, thread: usize) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend_from_slice(&[0x78, text.len() as u8]);
        out.extend_from_slice(text.as_bytes());
    }
    let mut body = vec![0xBF];
    text(&mut body, "StreamName");
    text(&mut body, stream);
    text(&mut body, "Records");
    body.push(0x9F);
    for n in 0..BATCH {
        body.push(0xBF);
        text(&mut body, "PartitionKey");
        text(&mut body, &format!("{:032x}", thread * BATCH + n));
        text(&mut body, "Data");
        body.extend_from_slice(&[0x58, SIZE as u8]);
        body.resize(body.len() + SIZE, b'x');
        body.push(0xFF);
    }
    body.extend_from_slice(&[0xFF, 0xFF]);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-amz-cbor-1.1\r\n\
         x-amz-target: Kinesis_20131202.PutRecords\r\ncontent-length: {}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/kinesis/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// Reads an answer, which must be a success.
fn read_answer(socket: &mut TcpStream) {
    let mut bytes = Vec::new();
    let mut part = vec![0; 1 << 17];
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if bytes.len() == end + 4 + length {
                return;
            }
        }
        let read = socket.read(&mut part).unwrap();
        assert_ne!(read, 0, "the connection closed");
        bytes.extend_from_slice(&part[..read]);
    }
}
