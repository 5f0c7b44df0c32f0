//! No acknowledged record is lost or read twice: with concurrent writers and readers, during a reshard, and after a
//! `kill -9`.
//!
//! `STREAMCTL_SOAK_RECORDS=1000000 cargo test --release --test it durability` runs this with more records.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType, ShardIteratorType};

use crate::support::{Cloud, block_on};

const WRITERS: u32 = 8;
const BATCH: u32 = 500;

#[test]
fn no_record_is_lost_or_repeated_with_eight_writers_and_a_reshard() {
    let wanted: u32 = std::env::var("STREAMCTL_SOAK_RECORDS").map_or(40_000, |n| n.parse().unwrap());
    let batches = wanted.div_ceil(WRITERS * BATCH);
    let cloud = Cloud::start();
    block_on(async {
        let client = cloud.kinesis();
        client
            .create_stream()
            .stream_name("s")
            .shard_count(2)
            .send()
            .await
            .unwrap();
        wait_active(&client).await;
        let written = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(read_everything(client.clone(), written.clone()));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = client.clone();
            writers.push(tokio::spawn(async move {
                for batch in 0..batches {
                    put_batch(&client, writer, batch).await.unwrap();
                }
            }));
        }
        // Reshard while they write.
        for target in [4, 3] {
            wait_active(&client).await;
            client
                .update_shard_count()
                .stream_name("s")
                .target_shard_count(target)
                .scaling_type(ScalingType::UniformScaling)
                .send()
                .await
                .unwrap();
        }
        for writer in writers {
            writer.await.unwrap();
        }
        written.store(true, Ordering::SeqCst);
        let read = reader.await.unwrap();
        let expected = (WRITERS * batches * BATCH) as usize;
        assert_eq!(read.len(), expected, "records read");
        assert_eq!(
            read.iter().collect::<HashSet<_>>().len(),
            expected,
            "distinct records read"
        );
    });
}

#[test]
fn acknowledged_records_survive_kill_9() {
    let mut cloud = Cloud::start();
    let acknowledged = block_on(async {
        let client = cloud.kinesis();
        client
            .create_stream()
            .stream_name("s")
            .shard_count(3)
            .send()
            .await
            .unwrap();
        wait_active(&client).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let client = client.clone();
            writers.spawn(async move {
                let mut acknowledged = Vec::new();
                for batch in 0.. {
                    match put_batch(&client, writer, batch).await {
                        Ok(sequence_numbers) => acknowledged.extend(sequence_numbers),
                        Err(()) => break,
                    }
                }
                acknowledged
            });
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        tokio::task::block_in_place(|| cloud.kill());
        let mut all = Vec::new();
        while let Some(acknowledged) = writers.join_next().await {
            all.extend(acknowledged.unwrap());
        }
        all
    });
    assert!(
        !acknowledged.is_empty(),
        "the cloud died before anything was written"
    );
    cloud.restart();
    let read: HashSet<String> = block_on(read_everything_with_sequence_numbers(
        cloud.kinesis(),
        Arc::new(AtomicBool::new(true)),
    ))
    .into_iter()
    .map(|(sequence_number, _)| sequence_number)
    .collect();
    let lost = acknowledged
        .iter()
        .filter(|sequence_number| !read.contains(*sequence_number))
        .count();
    assert_eq!(lost, 0, "of {} acknowledged records", acknowledged.len());
}

/// Puts one full batch and retries the refused entries. Returns the sequence numbers.
async fn put_batch(client: &Client, writer: u32, batch: u32) -> Result<Vec<String>, ()> {
    let entries = (0..BATCH)
        .map(|n| {
            PutRecordsRequestEntry::builder()
                .partition_key(format!("{writer}-{n}"))
                .data(Blob::new(format!("{writer}/{batch}/{n}")))
                .build()
                .unwrap()
        })
        .collect();
    let answer = client
        .put_records()
        .stream_name("s")
        .set_records(Some(entries))
        .send()
        .await
        .map_err(|_| ())?;
    assert_eq!(answer.failed_record_count(), Some(0));
    Ok(answer
        .records()
        .iter()
        .filter_map(|r| r.sequence_number().map(str::to_owned))
        .collect())
}

async fn read_everything(client: Client, written: Arc<AtomicBool>) -> Vec<String> {
    let all = read_everything_with_sequence_numbers(client, written).await;
    all.into_iter().map(|(_, data)| data).collect()
}

/// Reads every shard and its children until `written` is set and the end of every open shard is reached.
async fn read_everything_with_sequence_numbers(
    client: Client,
    written: Arc<AtomicBool>,
) -> Vec<(String, String)> {
    let shards = client.list_shards().stream_name("s").send().await.unwrap();
    let mut parents: HashMap<String, usize> = HashMap::new();
    let mut todo: VecDeque<String> = VecDeque::new();
    for shard in shards.shards() {
        let count = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()]
            .iter()
            .flatten()
            .count();
        parents.insert(shard.shard_id().to_owned(), count);
        if count == 0 {
            todo.push_back(shard.shard_id().to_owned());
        }
    }
    let mut tasks = tokio::task::JoinSet::new();
    let mut read = Vec::new();
    loop {
        while let Some(shard) = todo.pop_front() {
            tasks.spawn(read_shard(client.clone(), shard, written.clone()));
        }
        let Some(done) = tasks.join_next().await else {
            break;
        };
        let (records, children) = done.unwrap();
        read.extend(records);
        for (child, count) in children {
            // A merged child starts after both its parents have been read.
            let left = parents.entry(child.clone()).or_insert(count);
            *left -= 1;
            if *left == 0 {
                todo.push_back(child);
            }
        }
    }
    read
}

type Shard = (Vec<(String, String)>, Vec<(String, usize)>);

async fn read_shard(client: Client, shard: String, written: Arc<AtomicBool>) -> Shard {
    let start = client
        .get_shard_iterator()
        .stream_name("s")
        .shard_id(&shard)
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await
        .unwrap();
    let mut iterator = start.shard_iterator;
    let mut read = Vec::new();
    let mut last = String::new();
    while let Some(current) = iterator {
        let all_written = written.load(Ordering::SeqCst);
        let page = client.get_records().shard_iterator(current).send().await.unwrap();
        for record in page.records() {
            // All sequence numbers have the same length, so text order is numeric order.
            assert!(
                record.sequence_number() > last.as_str(),
                "sequence numbers rise in {shard}"
            );
            last = record.sequence_number().to_owned();
            let data = String::from_utf8(record.data().as_ref().to_vec()).unwrap();
            read.push((last.clone(), data));
        }
        iterator = page.next_shard_iterator;
        if iterator.is_none() {
            let children = page
                .child_shards
                .unwrap_or_default()
                .into_iter()
                .map(|c| (c.shard_id, c.parent_shards.len()));
            return (read, children.collect());
        }
        if page.millis_behind_latest == Some(0) {
            if all_written && page.records.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    (read, Vec::new())
}

async fn wait_active(client: &Client) {
    loop {
        let summary = client
            .describe_stream_summary()
            .stream_name("s")
            .send()
            .await
            .unwrap();
        if summary
            .stream_description_summary()
            .unwrap()
            .stream_status()
            .as_str()
            == "ACTIVE"
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
