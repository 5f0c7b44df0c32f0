//! `tail --checkpoint`: resumes after the last record written out, also after it was killed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType};

use super::{STREAM, put};
use crate::running::Running;
use crate::support::{Cloud, block_on, is_active};

/// How often a tail is killed. `STREAMCTL_TAIL_KILLS=40` is the full size.
pub fn kills() -> usize {
    let set = std::env::var("STREAMCTL_TAIL_KILLS").ok();
    set.and_then(|kills| kills.parse().ok()).unwrap_or(6)
}

const KEYS: usize = 16;

/// Writes numbered records of each key until told to stop. Returns how many of each key.
pub fn write_until(cloud: &Cloud, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    let client = cloud.kinesis();
    std::thread::spawn(move || {
        block_on(async move {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let entries = (0..KEYS).map(|key| {
                    let entry = PutRecordsRequestEntry::builder().partition_key(format!("key-{key}"));
                    // The full stop tells a whole line from one that was cut.
                    entry.data(Blob::new(format!("{key} {count}."))).build().unwrap()
                });
                let put = client
                    .put_records()
                    .stream_name(STREAM)
                    .set_records(Some(entries.collect()));
                assert_eq!(put.send().await.unwrap().failed_record_count(), Some(0));
                count += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            count
        })
    })
}

/// Asserts that `lines` hold each record of each key, the first time in order. Returns how many came again.
pub fn assert_nothing_missing(lines: &[String], count: u32) -> usize {
    let mut next: HashMap<usize, u32> = HashMap::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut repeated = 0;
    for line in lines.iter().filter(|line| line.ends_with('.')) {
        if !seen.insert(line) {
            repeated += 1;
            continue;
        }
        let (key, number) = line.trim_end_matches('.').split_once(' ').unwrap();
        let expected = next.entry(key.parse().unwrap()).or_default();
        assert_eq!(number.parse(), Ok(*expected), "of key {key}");
        *expected += 1;
    }
    assert_eq!(next.len(), KEYS);
    assert!(next.values().all(|&next| next == count), "{next:?}, of {count}");
    repeated
}

/// Changes the number of shards, while others write.
pub fn reshard(cloud: &Cloud, to: i32) {
    block_on(async {
        let client = cloud.kinesis();
        let change = client
            .update_shard_count()
            .stream_name(STREAM)
            .target_shard_count(to);
        change
            .scaling_type(ScalingType::UniformScaling)
            .send()
            .await
            .unwrap();
        while !is_active(&client, STREAM).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}

#[test]
fn a_tail_that_is_killed_again_and_again_misses_nothing() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write_until(&cloud, Arc::clone(&stop));
    let args = ["tail", "--from", "trim", "--checkpoint", "here", "-o", "text"];
    let mut lines = Vec::new();
    for kill in 0..kills() {
        let mut tail = Running::start(&cloud, args);
        lines.push(tail.line());
        match kill {
            1 => reshard(&cloud, 4),
            3 => reshard(&cloud, 3),
            // A time that differs, so that kills come at different points.
            _ => std::thread::sleep(Duration::from_millis(20 + 13 * (kill as u64 % 11))),
        }
        tail.signal("KILL");
        lines.extend(tail.end().lines);
    }
    stop.store(true, Ordering::SeqCst);
    let count = writer.join().unwrap();
    let rest = cloud.streamctl(args).arg("--no-follow").assert().success();
    let rest = rest.get_output();
    lines.extend(String::from_utf8_lossy(&rest.stdout).lines().map(str::to_owned));
    let said = String::from_utf8_lossy(&rest.stderr);
    assert!(said.contains("from the last checkpoint"), "{said}");
    let repeated = assert_nothing_missing(&lines, count);
    // A batch that was written and not yet acknowledged.
    assert!(repeated <= kills() * 1000, "{repeated}");
    let again = cloud.streamctl(args).arg("--no-follow").assert().success();
    assert_eq!(again.get_output().stdout, b"", "all is behind the checkpoint");
}

#[test]
fn latest_resumes_at_the_time_of_its_first_start() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud, "k", b"before");
    std::thread::sleep(Duration::from_millis(1100));
    let args = ["tail", "--checkpoint", "here", "-o", "text"];
    let tail = Running::start(&cloud, args);
    tail.says("Waiting for new records");
    tail.signal("KILL");
    tail.end();
    put(&cloud, "k", b"after");
    let mut tail = Running::start(&cloud, args);
    assert_eq!(tail.line(), "after");
    tail.signal("INT");
    assert_eq!(tail.end().code, Some(130));
}

#[test]
fn a_checkpoint_file_has_one_user_and_is_no_other_file() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let tail = Running::start(&cloud, ["tail", "--checkpoint", "here"]);
    tail.says("Waiting for new records");
    let said = cloud.fails(1, ["tail", "--checkpoint", "here"]);
    assert!(said.contains("is used by another tail"), "{said}");
    cloud.file("notes.txt", "buy milk\n");
    let said = cloud.fails(2, ["tail", "--checkpoint", "notes.txt"]);
    assert!(said.contains("is not a checkpoint file: line 1"), "{said}");
    assert_eq!(
        std::fs::read_to_string(cloud.path().join("notes.txt")).unwrap(),
        "buy milk\n"
    );
}
