//! Random damage to the files of an engine. Nothing acknowledged disappears without being reported, what is not damaged is
//! complete, and nothing panics.
//!
//! `STREAMCTL_FAULT_ROUNDS=1000 cargo test -p streamctl-local-cloud faults` runs more rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::world::{World, base64, data_of};
use crate::clock::Clock;
use crate::test_support::{all_files, copy_all, damage_file, fault_rounds};

/// Sequence number and data of each record, by shard.
type Records = BTreeMap<String, BTreeMap<String, String>>;

/// A home with streams of several shards and files, and their records by stream.
fn template(world: &World) -> BTreeMap<String, Records> {
    world.stream("orders", 3);
    world.stream("clicks", 1);
    world.stream("empty", 1);
    let mut all: BTreeMap<String, Records> = BTreeMap::new();
    let mut put = |stream: &str, count: usize, size: usize| {
        for at in 0..count {
            let data = format!("{stream} {at} {}", "x".repeat(size * (1 + at % 7)));
            let input = json!({"StreamName": stream, "PartitionKey": at.to_string(), "Data": base64(&data)});
            let answer = world.ok("PutRecord", input);
            let text = |name: &str| answer[name].as_str().unwrap().to_owned();
            let of_stream = all.entry(stream.to_owned()).or_default();
            let of_shard = of_stream.entry(text("ShardId")).or_default();
            of_shard.insert(text("SequenceNumber"), data);
        }
    };
    put("orders", 120, 1_200);
    put("clicks", 40, 300);
    world.ok(
        "SplitShard",
        json!({"StreamName": "clicks", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "170141183460469231731687303715884105728"}),
    );
    world.settle();
    put("clicks", 40, 300);
    let account = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
    world.ok("UpdateAccountSettings", account);
    all
}

/// The directory of each stream.
fn directories(world: &World) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(world.dir.path().join("kinesis/streams")).unwrap();
    let named = entries.map(|entry| {
        let dir = entry.unwrap().path();
        let meta: Value = serde_json::from_slice(&fs::read(dir.join("stream.json")).unwrap()).unwrap();
        (meta["name"].as_str().unwrap().to_owned(), dir)
    });
    named.collect()
}

/// All records of a stream that can be read. `None` if there is no such stream.
fn read(world: &World, stream: &str) -> Option<Records> {
    let (status, listed) = world.call("ListShards", &json!({"StreamName": stream}));
    if status != 200 {
        return None;
    }
    let mut all = Records::new();
    for shard in listed["Shards"].as_array().unwrap() {
        let id = shard["ShardId"].as_str().unwrap();
        let of_shard = all.entry(id.to_owned()).or_default();
        let input = json!({"StreamName": stream, "ShardId": id, "ShardIteratorType": "TRIM_HORIZON"});
        let mut iterator = world.ok("GetShardIterator", input)["ShardIterator"].clone();
        let mut last = String::new();
        while iterator.is_string() {
            let page = world.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 9}));
            let records = page["Records"].as_array().unwrap();
            for record in records {
                let number = record["SequenceNumber"].as_str().unwrap().to_owned();
                assert!(number > last, "in order, each once");
                last.clone_from(&number);
                of_shard.insert(number, data_of(record));
            }
            if records.is_empty() {
                break;
            }
            iterator = page["NextShardIterator"].clone();
        }
    }
    Some(all)
}

/// Compares what is readable with what was acknowledged. Reports must name a file of the stream where something is lost.
fn check(
    world: &World,
    expected: &BTreeMap<String, Records>,
    dirs: &BTreeMap<String, PathBuf>,
    damaged: &BTreeSet<PathBuf>,
) {
    let found: BTreeMap<&String, Records> = expected
        .keys()
        .map(|stream| (stream, read(world, stream).unwrap_or_default()))
        .collect();
    // Damage while the engine runs is known when it is read.
    let reports = world.service.damage();
    for (stream, records) in expected {
        let dir = &dirs[stream];
        let is_reported = reports
            .iter()
            .any(|report| Path::new(&report.file).starts_with(dir));
        let found = &found[stream];
        for (shard, records) in records {
            let found = found.get(shard).cloned().unwrap_or_default();
            for (number, data) in records {
                match found.get(number) {
                    Some(found) => assert_eq!(found, data, "as it was put"),
                    None => assert!(
                        is_reported,
                        "{stream} {shard} {number} is missing without a word: {reports:?}, {damaged:?}"
                    ),
                }
            }
            let known = |number: &String| records.contains_key(number) || found[number].starts_with("later");
            assert!(found.keys().all(known), "nothing appears from nowhere");
        }
        if !damaged.iter().any(|file| file.starts_with(dir)) {
            assert!(!is_reported, "{stream} is not damaged: {reports:?}");
        }
    }
}

/// Puts records. Each is stored or refused with a reason. A number is used again only if the stream is reported.
fn put_more(world: &World, expected: &mut BTreeMap<String, Records>, dirs: &BTreeMap<String, PathBuf>) {
    let reports = world.service.damage();
    for (stream, records) in expected {
        let is_reported = reports
            .iter()
            .any(|report| Path::new(&report.file).starts_with(&dirs[stream]));
        for key in 0..6 {
            let data = format!("later {key}");
            let input = json!({"StreamName": stream, "PartitionKey": key.to_string(), "Data": base64(&data)});
            let (status, answer) = world.call("PutRecord", &input);
            let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
            match status {
                200 => {
                    let of_shard = records.entry(text("ShardId")).or_default();
                    let before = of_shard.insert(text("SequenceNumber"), data);
                    assert!(before.is_none() || is_reported, "a number is used once");
                }
                400 => assert_eq!(text("__type"), "ResourceNotFoundException"),
                _ => assert!(text("message").contains("kinesis"), "{answer}"),
            }
        }
    }
}

/// Damages a copy of the home `template`, before or after it is opened.
fn round(
    template: &World,
    expected: &BTreeMap<String, Records>,
    names: &BTreeMap<String, PathBuf>,
    seed: u64,
) {
    let mut random = StdRng::seed_from_u64(seed);
    let copy = Arc::new(TempDir::new().unwrap());
    copy_all(template.dir.path(), copy.path());
    let moved = |(name, dir): (&String, &PathBuf)| {
        let below = dir.strip_prefix(template.dir.path()).unwrap();
        (name.clone(), copy.path().join(below))
    };
    let dirs: BTreeMap<String, PathBuf> = names.iter().map(moved).collect();
    let open = || World::on(&copy, template.clock.now_ms());
    let running = random.random_bool(0.4).then(open);
    let (mut damaged, mut metadata) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..random.random_range(1..=3) {
        let file = all_files(copy.path()).choose(&mut random).unwrap().clone();
        let text = file.to_string_lossy();
        // Nothing could know of a file whose copy is damaged too.
        if text.contains(".json") && !metadata.insert(text.replace(".copy", "")) {
            continue;
        }
        damage_file(&file, &mut random);
        damaged.insert(file);
    }
    let mut expected = expected.clone();
    let mut world = running.unwrap_or_else(open);
    check(&world, &expected, &dirs, &damaged);
    put_more(&world, &mut expected, &dirs);
    check(&world, &expected, &dirs, &damaged);
    for _ in 0..2 {
        world = world.restarted();
        check(&world, &expected, &dirs, &damaged);
    }
}

#[test]
fn nothing_acknowledged_disappears_without_being_reported() {
    let world = World::new();
    let expected = template(&world);
    let names = directories(&world);
    world.service.shutdown();
    for seed in 0..fault_rounds() {
        let run = AssertUnwindSafe(|| round(&world, &expected, &names, seed));
        assert!(catch_unwind(run).is_ok(), "round {seed}");
    }
}
