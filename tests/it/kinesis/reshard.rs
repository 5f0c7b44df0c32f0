//! SplitShard, MergeShards, UpdateShardCount, and reading during a reshard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{Record, ScalingType, Shard, ShardIteratorType};

use super::{
    LAST, MIDDLE, all_shards, client, create, drain, entry, ids, is_open, iterator, put, refused, shard_id,
    texts, wait_active,
};
use crate::support::{Cloud, block_on};

async fn open_shards(client: &Client, name: &str) -> Vec<Shard> {
    let mut shards = all_shards(client, name).await;
    shards.retain(is_open);
    shards
}

#[test]
fn a_shard_is_split_and_its_halves_are_merged() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        put(&client, "s", "k", "before").await;
        let split = |shard: String, at: &str| {
            let request = client.split_shard().stream_name("s").shard_to_split(shard);
            request.new_starting_hash_key(at)
        };
        split(shard_id(0), MIDDLE).send().await.unwrap();
        wait_active(&client, "s").await;
        let children = open_shards(&client, "s").await;
        assert_eq!(ids(&children), [shard_id(1), shard_id(2)]);
        for child in &children {
            assert_eq!(child.parent_shard_id(), Some(shard_id(0).as_str()));
            assert_eq!(child.adjacent_parent_shard_id(), None);
        }
        let range = children[1].hash_key_range().unwrap();
        assert_eq!(
            (range.starting_hash_key(), range.ending_hash_key()),
            (MIDDLE, LAST)
        );

        // The records from before the split are kept, and the response names the child shards.
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        let (records, next) = drain(&client, start).await;
        assert_eq!(texts(&records), ["before"]);
        assert_eq!(
            next.iter().map(|c| c.shard_id()).collect::<Vec<_>>(),
            [shard_id(1), shard_id(2)]
        );
        assert_eq!(next[0].parent_shards(), [shard_id(0)]);
        assert_eq!(next[1].hash_key_range().unwrap().starting_hash_key(), MIDDLE);

        let merge = |one: u32, other: u32| {
            let request = client
                .merge_shards()
                .stream_name("s")
                .shard_to_merge(shard_id(one));
            request.adjacent_shard_to_merge(shard_id(other))
        };
        merge(1, 2).send().await.unwrap();
        wait_active(&client, "s").await;
        let merged = open_shards(&client, "s").await;
        assert_eq!(ids(&merged), [shard_id(3)]);
        assert_eq!(merged[0].parent_shard_id(), Some(shard_id(1).as_str()));
        assert_eq!(merged[0].adjacent_parent_shard_id(), Some(shard_id(2).as_str()));
        let range = merged[0].hash_key_range().unwrap();
        assert_eq!((range.starting_hash_key(), range.ending_hash_key()), ("0", LAST));
        assert_eq!(put(&client, "s", "k", "after").await.shard_id(), shard_id(3));
    });
}

#[test]
fn invalid_splits_and_merges_are_refused() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 3).await;
        let split = |name: &str, shard: &str, at: &str| {
            let request = client.split_shard().stream_name(name).shard_to_split(shard);
            request.new_starting_hash_key(at)
        };
        let merge = |name: &str, one: &str, other: &str| {
            let request = client.merge_shards().stream_name(name).shard_to_merge(one);
            request.adjacent_shard_to_merge(other)
        };
        let (zero, one, two) = (shard_id(0), shard_id(1), shard_id(2));
        refused!(split("absent", &zero, "5"), is_resource_not_found_exception);
        refused!(split("s", &shard_id(9), "5"), is_resource_not_found_exception);
        refused!(split("s", "nonsense", "5"), is_resource_not_found_exception);
        // Both children of a split need at least one hash key.
        refused!(split("s", &zero, LAST), is_invalid_argument_exception);
        refused!(split("s", &zero, "0"), is_invalid_argument_exception);
        refused!(split("s", &zero, "five"), is_validation_exception);
        refused!(merge("absent", &zero, &one), is_resource_not_found_exception);
        refused!(merge("s", &zero, &shard_id(9)), is_resource_not_found_exception);
        refused!(merge("s", &zero, &two), is_invalid_argument_exception);
        refused!(merge("s", &zero, &zero), is_invalid_argument_exception);

        merge("s", &zero, &one).send().await.unwrap();
        wait_active(&client, "s").await;
        let message = refused!(split("s", &zero, "5"), is_invalid_argument_exception);
        assert!(message.contains("has already been merged or split"), "{message}");
        refused!(merge("s", &one, &two), is_invalid_argument_exception);
    });
}

#[test]
fn the_shard_count_goes_up_to_double_and_down_to_half() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let arn = create(&client, "s", 4).await;
        let to = |count| {
            let request = client
                .update_shard_count()
                .stream_name("s")
                .target_shard_count(count);
            request.scaling_type(ScalingType::UniformScaling)
        };
        let answer = to(8).send().await.unwrap();
        assert_eq!(answer.stream_name(), Some("s"));
        assert_eq!(answer.stream_arn(), Some(arn.as_str()));
        assert_eq!(
            (answer.current_shard_count(), answer.target_shard_count()),
            (Some(4), Some(8))
        );
        assert_eq!(wait_active(&client, "s").await.open_shard_count(), 8);

        // "Scale up to more than double", "scale down below half": default limits.
        refused!(to(17), is_limit_exceeded_exception);
        refused!(to(3), is_limit_exceeded_exception);
        refused!(to(0), is_validation_exception);
        let nonsense = to(8).scaling_type(ScalingType::from("BY_EYE"));
        refused!(nonsense, is_validation_exception);
        let absent = client
            .update_shard_count()
            .stream_name("absent")
            .target_shard_count(2);
        refused!(
            absent.scaling_type(ScalingType::UniformScaling),
            is_resource_not_found_exception
        );

        // "More than ten times per rolling 24-hour period per stream".
        for count in [7, 6, 5, 6, 7, 8, 7, 6, 5] {
            to(count).send().await.unwrap();
            assert_eq!(wait_active(&client, "s").await.open_shard_count(), count);
        }
        refused!(to(4), is_limit_exceeded_exception);

        // The open shards always cover all hash keys without overlap.
        let mut ranges: Vec<(u128, u128)> = open_shards(&client, "s")
            .await
            .iter()
            .map(|s| s.hash_key_range().unwrap())
            .map(|r| {
                (
                    r.starting_hash_key().parse().unwrap(),
                    r.ending_hash_key().parse().unwrap(),
                )
            })
            .collect();
        ranges.sort_unstable();
        assert_eq!((ranges[0].0, ranges[4].1), (0, u128::MAX));
        assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
    });
}

const KEYS: usize = 40;
const ROUNDS: usize = 10;

/// Puts ten numbered records of every key.
async fn send(client: &Client, generation: usize) {
    let numbers = (0..ROUNDS).flat_map(|n| (0..KEYS).map(move |key| (key, n)));
    let entries = numbers
        .map(|(key, n)| entry(&format!("key-{key}"), format!("{}", generation * ROUNDS + n)))
        .collect();
    let request = client.put_records().stream_name("s").set_records(Some(entries));
    assert_eq!(request.send().await.unwrap().failed_record_count(), Some(0));
}

/// Reads every shard from its start, parents before children.
async fn read_parents_first(client: &Client) -> Vec<Record> {
    let shards = all_shards(client, "s").await;
    let known: BTreeSet<String> = shards.iter().map(|s| s.shard_id().to_owned()).collect();
    let mut done = BTreeSet::new();
    let mut todo: VecDeque<Shard> = shards.into();
    let mut records = Vec::new();
    while let Some(shard) = todo.pop_front() {
        let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        if parents
            .into_iter()
            .flatten()
            .any(|p| known.contains(p) && !done.contains(p))
        {
            todo.push_back(shard);
            continue;
        }
        let start = iterator(client, "s", shard.shard_id(), ShardIteratorType::TrimHorizon).await;
        let (page, children) = drain(client, start).await;
        assert!(
            page.windows(2)
                .all(|w| w[0].sequence_number() < w[1].sequence_number())
        );
        assert_eq!(children.is_empty(), is_open(&shard), "{}", shard.shard_id());
        for child in children {
            assert!(child.parent_shards().contains(&shard.shard_id));
        }
        records.extend(page);
        done.insert(shard.shard_id);
    }
    records
}

#[test]
fn records_are_read_in_order_across_reshards_from_two_to_four_to_three() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 2).await;
        send(&client, 0).await;
        for (generation, count) in [(1, 4), (2, 3)] {
            let request = client
                .update_shard_count()
                .stream_name("s")
                .target_shard_count(count);
            request
                .scaling_type(ScalingType::UniformScaling)
                .send()
                .await
                .unwrap();
            assert_eq!(wait_active(&client, "s").await.open_shard_count(), count);
            send(&client, generation).await;
        }
        let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in read_parents_first(&client).await {
            let text = super::text(&record).to_owned();
            by_key
                .entry(record.partition_key.unwrap())
                .or_default()
                .push(text);
        }
        let expected: Vec<String> = (0..3 * ROUNDS).map(|n| n.to_string()).collect();
        assert_eq!(by_key.len(), KEYS);
        for (key, numbers) in by_key {
            assert_eq!(numbers, expected, "{key}");
        }
    });
}
