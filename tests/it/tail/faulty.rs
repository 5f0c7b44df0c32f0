//! Faults on the way to the stream: nothing is lost and nothing repeated. And many records while the stream is resharded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use super::resumed::reshard;
use super::{STREAM, grouped, put};
use crate::proxy::{self, Call, Fate, Judge};
use crate::running::Running;
use crate::support::{Cloud, block_on};

/// Of ten reads, four are throttled, two fail, and one breaks or finds its iterator expired.
fn trouble(number: usize) -> Fate {
    match number * 7 % 10 {
        0..=3 => Fate::Refuse(400, "ProvisionedThroughputExceededException"),
        4 => Fate::Refuse(500, "InternalFailure"),
        5 => Fate::Refuse(503, "ServiceUnavailable"),
        6 => match number / 10 % 3 {
            0 => Fate::CutBefore,
            1 => Fate::CutAfter,
            _ => Fate::Refuse(400, "ExpiredIteratorException"),
        },
        _ => Fate::Pass,
    }
}

#[test]
fn faults_of_all_kinds_lose_and_repeat_nothing() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    for n in 0..200_u32 {
        put(&cloud, &n.to_string(), n.to_string().as_bytes());
    }
    let reads = AtomicUsize::new(0);
    let judge = move |call: &Call| match call.operation.as_str() {
        "GetRecords" => trouble(reads.fetch_add(1, Ordering::SeqCst)),
        _ => Fate::Pass,
    };
    let url = proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>);
    let output = cloud
        .streamctl([
            "tail",
            "--from",
            "trim",
            "--no-follow",
            "-o",
            "text",
            "--endpoint-url",
            &url,
        ])
        .env_remove("STREAMCTL_TARGET")
        .assert()
        .success();
    let stdout = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    let lines: Vec<&str> = stdout.lines().collect();
    let different: HashSet<&str> = lines.iter().copied().collect();
    assert_eq!((lines.len(), different.len()), (200, 200));
}

#[test]
fn a_damaged_record_is_reported_and_passed() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    for n in 0..5_u32 {
        put(&cloud, "k", format!("record {n}").as_bytes());
    }
    // "record 2" in base64, and what is none.
    let judge = |call: &Call| match call.operation.as_str() {
        "GetRecords" => Fate::Damage("cmVjb3JkIDI=", "cmVjb3!kIDI="),
        _ => Fate::Pass,
    };
    let url = proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>);
    let output = cloud
        .streamctl([
            "tail",
            "--from",
            "trim",
            "--no-follow",
            "-o",
            "text",
            "--endpoint-url",
            &url,
        ])
        .env_remove("STREAMCTL_TARGET")
        .assert()
        .code(3);
    let output = output.get_output();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        stdout.lines().collect::<Vec<_>>(),
        ["record 0", "record 1", "record 3", "record 4"]
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("is left out: its Data could not be decoded"),
        "{said}"
    );
}

/// The number of records. `STREAMCTL_TAIL_RECORDS=1000000` is the full size.
fn records() -> usize {
    let set = std::env::var("STREAMCTL_TAIL_RECORDS").ok();
    set.and_then(|records| records.parse().ok()).unwrap_or(24_000)
}

const WRITERS: usize = 8;
const BATCH: usize = 300;

#[test]
fn many_records_of_many_writers_come_once_and_in_order_while_the_stream_is_resharded() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 4);
    let mut tail = Running::start(&cloud, ["tail", "-o", "text"]);
    tail.says("Waiting for new records");
    let batches = records() / WRITERS / BATCH;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            // Connections belong to the runtime that made them.
            let client = cloud.kinesis();
            std::thread::spawn(move || {
                block_on(async move {
                    for batch in 0..batches {
                        let entries = (0..BATCH).map(|n| {
                            // Twenty keys for each writer: each record follows the last one of its key.
                            let (key, number) = (n % 20, batch * BATCH / 20 + n / 20);
                            let entry = PutRecordsRequestEntry::builder();
                            let entry = entry.partition_key(format!("{writer}-{key}"));
                            entry
                                .data(Blob::new(format!("{writer}-{key} {number}")))
                                .build()
                                .unwrap()
                        });
                        let put = client
                            .put_records()
                            .stream_name(STREAM)
                            .set_records(Some(entries.collect()));
                        assert_eq!(put.send().await.unwrap().failed_record_count(), Some(0));
                    }
                });
            })
        })
        .collect();
    reshard(&cloud, 8);
    reshard(&cloud, 4);
    reshard(&cloud, 3);
    let total = batches * BATCH * WRITERS;
    let mut next: HashMap<String, usize> = HashMap::new();
    for _ in 0..total {
        let line = tail.line();
        let (key, number) = line.split_once(' ').unwrap();
        let expected = next.entry(key.to_owned()).or_default();
        assert_eq!(number.parse(), Ok(*expected), "of key {key}");
        *expected += 1;
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    tail.signal("INT");
    let ended = tail.end();
    assert_eq!(ended.lines, Vec::<String>::new(), "nothing comes twice");
    assert!(
        ended
            .stderr
            .contains(&format!("Stopped after {} records", grouped(total))),
        "{}",
        ended.stderr
    );
}
