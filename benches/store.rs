//! The storage core of the local Kinesis engine against the floor of what the machine can do:
//! `cargo bench --bench store`. Each line is the best of several rounds.

#![allow(clippy::print_stdout, reason = "a benchmark reports to whoever started it")]

use std::hint::black_box;
use std::io::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ground::platform;
use local_cloud::bench::{Ends, HashKey, NewRecord, Position, ShardStore, StoredRecord, fast};
use serde_json::{Value, json};

const RECORDS: usize = 500;
const SIZE: usize = 1024;
const BATCHES: usize = 200;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data: Vec<Vec<u8>> = (0..RECORDS)
        .map(|at| (0..SIZE).map(|byte| (at * 31 + byte * 7) as u8).collect())
        .collect();
    let keys: Vec<String> = (0..RECORDS).map(|at| format!("customer-{at}")).collect();
    let batch: Vec<NewRecord<'_>> = keys
        .iter()
        .zip(&data)
        .map(|(key, data)| new_record(key, data))
        .collect();

    let records = appends(dir.path(), &batch)?;
    requests(&keys, &data);
    answers(&records);
    report(
        "MD5 of a partition key",
        RECORDS,
        best(|| {
            for key in &keys {
                black_box(HashKey::of_partition_key(key));
            }
        }),
        None,
    );
    Ok(())
}

fn new_record<'a>(key: &'a str, data: &'a [u8]) -> NewRecord<'a> {
    NewRecord {
        partition_key: key,
        data,
        encrypted: false,
    }
}

/// Appends and reads; returns one batch as it was stored.
fn appends(dir: &std::path::Path, batch: &[NewRecord<'_>]) -> Result<Vec<StoredRecord>> {
    let bytes = vec![7; RECORDS * (SIZE + 40)];
    let plain = dir.join("plain");
    let floor = best(|| {
        let file = std::fs::File::create(&plain).expect("a file in a fresh directory");
        for at in 0..BATCHES {
            platform::write_all_at(&file, &bytes, (at * bytes.len()) as u64).expect("room on the disk");
        }
    });
    let mut stores = Vec::new();
    let append = best(|| {
        let shard = dir.join(stores.len().to_string());
        let ends = Arc::new(Ends::new(&shard));
        let store = ShardStore::create(&shard, 0, 0, &ends).expect("a fresh directory");
        for _ in 0..BATCHES {
            black_box(store.append(batch, 0).expect("room on the disk"));
        }
        stores.push(store);
    });
    report(
        "append 500 × 1 KiB, against a plain write",
        RECORDS * BATCHES,
        append,
        Some(floor),
    );

    let file = std::fs::File::open(&plain)?;
    const CHUNK: usize = 1 << 20;
    let mut buffer = vec![0; CHUNK];
    let floor = best(|| {
        for at in 0..BATCHES * bytes.len() / CHUNK {
            platform::read_into(&file, (at * CHUNK) as u64, &mut buffer).expect("what was written");
        }
    });
    for (name, max_records, max_bytes) in [
        ("read pages of 10 MiB, against a plain read", 10_000, 10 << 20),
        ("read pages of 100 records, against a plain read", 100, 10 << 20),
    ] {
        let read = best(|| {
            let mut next = Position::at(0);
            loop {
                let page = stores[0]
                    .read(next, max_records, max_bytes)
                    .expect("what was written");
                next = page.next;
                if black_box(page.records).is_empty() {
                    break;
                }
            }
        });
        report(name, RECORDS * BATCHES, read, Some(floor));
    }
    Ok(stores[0].read(Position::at(0), RECORDS, 10 << 20)?.records)
}

fn requests(keys: &[String], data: &[Vec<u8>]) {
    let entries: Vec<Value> = keys
        .iter()
        .zip(data)
        .map(|(key, data)| json!({"Data": base64_simd::STANDARD.encode_to_string(data), "PartitionKey": key}))
        .collect();
    let body = json!({"StreamName": "orders", "Records": entries})
        .to_string()
        .into_bytes();
    let tree = best(|| {
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        for entry in value["Records"].as_array().into_iter().flatten() {
            let data = entry["Data"].as_str().unwrap_or_default();
            black_box(base64_simd::STANDARD.decode_to_vec(data).expect("base64"));
        }
    });
    let fast = best(|| {
        black_box(fast::parse_put_records(&body).expect("a request"));
    });
    report(
        "parse PutRecords, against a value tree",
        RECORDS,
        fast,
        Some(tree),
    );
}

fn answers(records: &[StoredRecord]) {
    let tree = best(|| {
        let records: Vec<Value> = records
            .iter()
            .map(|record| {
                json!({
                    "SequenceNumber": record.sequence_number.to_string(),
                    "ApproximateArrivalTimestamp": record.arrival_ms as f64 / 1000.0,
                    "Data": base64_simd::STANDARD.encode_to_string(&record.data),
                    "PartitionKey": record.partition_key(),
                })
            })
            .collect();
        black_box(json!({"MillisBehindLatest": 0, "Records": records}).to_string());
    });
    let get = best(|| {
        let mut out = Vec::new();
        let answer = fast::GetRecords {
            records,
            next_shard_iterator: None,
            millis_behind_latest: 0,
            child_shards: &[],
        };
        fast::write_get_records(&mut out, &answer);
        black_box(out);
    });
    report(
        "write GetRecords, against a value tree",
        records.len(),
        get,
        Some(tree),
    );
    let results: Vec<_> = records
        .iter()
        .map(|record| fast::PutResult::Stored {
            sequence_number: record.sequence_number,
            shard_id: "shardId-000000000000",
        })
        .collect();
    let put = best(|| {
        let mut out = Vec::new();
        fast::write_put_records(&mut out, &results, false);
        black_box(out);
    });
    report("write PutRecords", results.len(), put, None);
}

fn best(mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn report(name: &str, records: usize, took: Duration, floor: Option<Duration>) {
    let each = took.as_nanos() as f64 / records as f64;
    let rate = 1e3 / each;
    let ratio = floor.map(|floor| format!("{:6.2} ×", took.as_secs_f64() / floor.as_secs_f64()));
    println!(
        "{name:50} {each:8.0} ns a record  {rate:6.2} M/s  {}",
        ratio.unwrap_or_default()
    );
}
