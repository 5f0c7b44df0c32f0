//! `tail` that follows: reshards, expired iterators, throttling, restarts and deleted streams.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType, ShardIteratorType};

use super::{STREAM, grouped, put};
use crate::running::{PATIENCE, Running};
use crate::support::{Cloud, block_on, is_active};

/// Partition keys. The records of each key are numbered.
const KEYS: usize = 16;

/// Puts the records `numbers` of every key in order, with the AWS SDK.
async fn write(client: &aws_sdk_kinesis::Client, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let entries = (0..KEYS)
            .map(|key| {
                let entry = PutRecordsRequestEntry::builder().partition_key(format!("key-{key}"));
                entry.data(Blob::new(format!("{key} {n}"))).build().unwrap()
            })
            .collect();
        let put = client
            .put_records()
            .stream_name(STREAM)
            .set_records(Some(entries));
        let answer = put.send().await.unwrap();
        assert_eq!(answer.failed_record_count(), Some(0));
    }
}

/// Asserts that `lines` contain the numbers of each key up to `count`, each once and in order.
fn assert_whole(lines: &[String], count: u32) {
    let mut next: HashMap<&str, u32> = HashMap::new();
    for line in lines {
        let (key, n) = line.split_once(' ').unwrap();
        let expected = next.entry(key).or_default();
        assert_eq!(n.parse(), Ok(*expected), "of key {key}");
        *expected += 1;
    }
    assert_eq!(next.len(), KEYS);
    assert!(next.values().all(|&n| n == count), "{next:?}");
}

#[test]
fn no_record_is_lost_repeated_or_reordered_by_reshards() {
    const ROUNDS: u32 = 200;
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let mut tail = Running::start(&cloud, ["tail", "-o", "text"]);
    tail.says("Waiting for new records");
    block_on(async {
        let client = cloud.kinesis();
        let writer = tokio::spawn({
            let client = client.clone();
            async move { write(&client, 0..ROUNDS).await }
        });
        for target in [2, 4, 2, 1] {
            let change = client.update_shard_count().stream_name(STREAM);
            let change = change
                .target_shard_count(target)
                .scaling_type(ScalingType::UniformScaling);
            change.send().await.unwrap();
            while !is_active(&client, STREAM).await {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        writer.await.unwrap();
        write(&client, ROUNDS..ROUNDS + 1).await;
    });
    let wanted = KEYS * (ROUNDS as usize + 1);
    let lines: Vec<String> = (0..wanted).map(|_| tail.line()).collect();
    assert_whole(&lines, ROUNDS + 1);
    tail.signal("INT");
    let ended = tail.end();
    assert_eq!(ended.code, Some(130));
    assert_eq!(ended.lines, Vec::<String>::new(), "nothing comes twice");
    assert!(
        ended
            .stderr
            .contains(&format!("Stopped after {} records", grouped(wanted))),
        "{}",
        ended.stderr
    );
    // Read again from the beginning, across the whole lineage.
    let again = cloud.ok(["tail", "--from", "trim", "--no-follow", "-o", "text"]);
    let again: Vec<String> = again.lines().map(str::to_owned).collect();
    assert_whole(&again, ROUNDS + 1);
}

#[test]
fn an_iterator_that_expires_is_replaced_without_loss() {
    let cloud = Cloud::start_with(["--iterator-lifetime", "300ms"]);
    cloud.stream(STREAM, 2);
    for from in ["trim", "latest"] {
        let mut tail = Running::start(&cloud, ["tail", "--from", from, "-o", "text"]);
        if from == "trim" {
            tail.says("Reading");
        } else {
            tail.says("Waiting for new records");
        }
        let before = if from == "trim" { 0 } else { 32 };
        block_on(write(&cloud.kinesis(), before / 16..before / 16 + 1));
        let mut lines: Vec<String> = (0..KEYS).map(|_| tail.line()).collect();
        // Suspend it for longer than the iterator lifetime, like a laptop that sleeps.
        tail.signal("STOP");
        std::thread::sleep(std::time::Duration::from_millis(500));
        block_on(write(&cloud.kinesis(), before / 16 + 1..before / 16 + 2));
        tail.signal("CONT");
        lines.extend((0..KEYS).map(|_| tail.line()));
        assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 2 * KEYS, "{lines:?}");
        tail.says("the iterator expired; reading on from the last position");
        tail.signal("INT");
        assert_eq!(tail.end().lines, Vec::<String>::new());
    }
}

/// Reads the first shard again and again, above its limit.
async fn read_always(client: &aws_sdk_kinesis::Client, stop: &AtomicBool) {
    let first = "shardId-000000000000";
    let call = client.get_shard_iterator().stream_name(STREAM).shard_id(first);
    let answer = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send();
    let iterator = answer.await.unwrap().shard_iterator.unwrap();
    while !stop.load(Ordering::Relaxed) {
        // Most calls are throttled.
        let _ = client
            .get_records()
            .shard_iterator(&iterator)
            .limit(1)
            .send()
            .await;
    }
}

#[test]
fn no_record_is_lost_if_reads_are_throttled() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    cloud.stream(STREAM, 1);
    block_on(write(&cloud.kinesis(), 0..20));
    let mut tail = Running::start(&cloud, ["tail", "--from", "trim", "-o", "text"]);
    let mut other = Running::start(&cloud, ["tail", "--from", "trim", "-o", "text"]);
    // A tail of the local cloud reads only what is new: another reader takes all reads.
    let done = Arc::new(AtomicBool::new(false));
    let (client, stop) = (cloud.kinesis(), Arc::clone(&done));
    let reader = std::thread::spawn(move || block_on(read_always(&client, &stop)));
    for part in 20..40 {
        block_on(write(&cloud.kinesis(), part..part + 1));
    }
    tail.says("is at its limit of 5 reads a second");
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    for tail in [&mut tail, &mut other] {
        let lines: Vec<String> = (0..KEYS * 40).map(|_| tail.line()).collect();
        assert_whole(&lines, 40);
    }
    tail.signal("INT");
    let ended = tail.end();
    let told = ended.stderr.matches("is at its limit").count();
    assert_eq!(told, 1, "{}", ended.stderr);
}

#[test]
fn tail_continues_after_a_restart_of_the_target() {
    let mut cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let mut tail = Running::start(&cloud, ["tail", "-o", "text"]);
    tail.says("Waiting for new records");
    block_on(write(&cloud.kinesis(), 0..5));
    let mut lines: Vec<String> = (0..KEYS * 5).map(|_| tail.line()).collect();
    cloud.kill();
    tail.says("could not read");
    cloud.restart_in_place();
    tail.says("Reading again");
    block_on(write(&cloud.kinesis(), 5..10));
    lines.extend((0..KEYS * 5).map(|_| tail.line()));
    assert_whole(&lines, 10);
    tail.signal("INT");
    assert_eq!(tail.end().code, Some(130));
}

#[test]
fn the_stream_is_deleted_during_a_tail() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    put(&cloud, "k", b"one");
    let mut tail = Running::start(&cloud, ["tail", "--from", "trim", "-o", "text"]);
    assert_eq!(tail.line(), "one");
    block_on(async {
        let client = cloud.kinesis();
        client.delete_stream().stream_name(STREAM).send().await.unwrap();
    });
    let ended = tail.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    // While the stream is DELETING, the error names the stream. Afterwards it names the shard of the iterator.
    insta::with_settings!({filters => vec![(r"(ResourceNotFoundException): .*", "$1: …")]}, {
        insta::assert_snapshot!(ended.stderr);
    });
}

#[test]
fn sigterm_has_the_effect_of_ctrl_c() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud, "k", b"one");
    let mut tail = Running::start(&cloud, ["tail", "--from", "trim", "-o", "text"]);
    tail.line();
    tail.signal("TERM");
    let ended = tail.end();
    assert_eq!(ended.code, Some(130));
    assert!(
        ended.stderr.contains("Stopped after 1 record\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn tail_ends_at_the_next_record_if_its_pipe_is_closed() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let tail = std::process::Command::new(env!("CARGO_BIN_EXE_streamctl"))
        .args(["tail", "--from", "trim"])
        .env("STREAMCTL_HOME", cloud.path().join("streamctl-home"))
        .env("STREAMCTL_TARGET", "local")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut tail = tail.unwrap();
    drop(tail.stdout.take());
    put(&cloud, "k", b"one");
    let deadline = std::time::Instant::now() + PATIENCE;
    while tail.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let output = tail.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
