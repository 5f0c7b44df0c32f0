//! Restarts and interrupted changes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::world::World;

/// Metadata file of the only stream.
fn metadata(world: &World) -> PathBuf {
    let mut streams = fs::read_dir(world.dir.path().join("kinesis/streams")).unwrap();
    streams.next().unwrap().unwrap().path().join("stream.json")
}

#[test]
fn acknowledged_changes_survive_a_restart() {
    let world = World::new();
    world.stream("orders", 2);
    world.ok(
        "AddTagsToStream",
        json!({"StreamName": "orders", "Tags": {"a": "1"}}),
    );
    let consumer = world.consumer("orders", "app");
    world.put("orders", "a", "before");
    world.ok(
        "UpdateShardCount",
        json!({"StreamName": "orders", "TargetShardCount": 3, "ScalingType": "UNIFORM_SCALING"}),
    );
    world.settle();
    world.put("orders", "a", "after");
    let (shards, summary) = (world.shards("orders"), world.summary("orders"));
    let iterator = world.iterator("orders", 0, "TRIM_HORIZON");
    let world = world.restarted();
    assert_eq!(world.shards("orders"), shards);
    assert_eq!(world.summary("orders"), summary);
    assert_eq!(
        world.get(&iterator)["Records"].as_array().unwrap().len(),
        1,
        "iterators survive too"
    );
    world.ok("DescribeStreamConsumer", json!({"ConsumerARN": consumer}));
    assert_eq!(
        world.ok("ListTagsForStream", json!({"StreamName": "orders"}))["Tags"],
        json!([{"Key": "a", "Value": "1"}])
    );
    let number = world.put("orders", "a", "again");
    assert!(number["SequenceNumber"].as_str().unwrap().len() == 56);
}

#[test]
fn transitions_continue_after_a_restart() {
    let world = World::new();
    world.ok("CreateStream", json!({"StreamName": "orders", "ShardCount": 1}));
    let world = world.restarted();
    assert_eq!(world.status("orders"), "CREATING");
    world.settle();
    assert_eq!(world.status("orders"), "ACTIVE");
    world.ok(
        "StartStreamEncryption",
        json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}),
    );
    let world = world.restarted();
    assert_eq!(world.status("orders"), "UPDATING");
    world.settle();
    assert_eq!(world.summary("orders")["EncryptionType"], "KMS");
    world.ok("DeleteStream", json!({"StreamName": "orders"}));
    let world = world.restarted();
    assert_eq!(
        world.ok("ListStreams", json!({}))["StreamNames"],
        json!([]),
        "a deletion is completed"
    );
    assert_eq!(
        fs::read_dir(world.dir.path().join("kinesis/streams"))
            .unwrap()
            .count(),
        0
    );
}

/// Copies a directory that contains only files.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Splits the only shard, then restores the parent's open log.
fn split_without_closing(world: &World) {
    let parent = metadata(world)
        .with_file_name("shards")
        .join("shardId-000000000000");
    let saved = world.dir.path().join("saved");
    copy(&parent, &saved);
    world.ok("SplitShard", split());
    fs::remove_dir_all(&parent).unwrap();
    copy(&saved, &parent);
}

fn split() -> Value {
    json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000"})
}

#[test]
fn a_reshard_interrupted_before_the_save_is_undone() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "a", "kept");
    let file = metadata(&world);
    let before = fs::read(&file).unwrap();
    split_without_closing(&world);
    fs::write(&file, before).unwrap();
    let world = world.restarted();
    assert_eq!(world.shards("orders").len(), 1);
    assert_eq!(world.read_all("orders", 0), ["kept"]);
    world.ok("SplitShard", split());
    world.put("orders", "a", "child");
    assert_eq!(world.shards("orders").len(), 3);
}

#[test]
fn a_reshard_interrupted_after_the_save_is_completed() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "a", "parent");
    split_without_closing(&world);
    let world = world.restarted();
    let shards = world.shards("orders");
    assert!(shards[0]["SequenceNumberRange"]["EndingSequenceNumber"].is_string());
    assert_ne!(
        world.put("orders", "a", "child")["ShardId"],
        "shardId-000000000000"
    );
    let page = world.get(&world.iterator("orders", 0, "TRIM_HORIZON"));
    assert_eq!(page["Records"].as_array().unwrap().len(), 1);
    assert!(page.get("NextShardIterator").is_none_or(Value::is_null));
    assert_eq!(page["ChildShards"].as_array().unwrap().len(), 2);
}

#[test]
fn incomplete_streams_are_removed() {
    let world = World::new();
    let streams = world.dir.path().join("kinesis/streams");
    fs::create_dir_all(streams.join("00ff/shards/shardId-000000000000")).unwrap();
    fs::create_dir_all(streams.join("00fe.deleted")).unwrap();
    let world = world.restarted();
    assert_eq!(fs::read_dir(streams).unwrap().count(), 0);
    world.stream("orders", 1);
}

#[test]
fn damaged_metadata_is_reported() {
    for damage in ["", "{", "{}", r#"{"version": 99}"#] {
        let world = World::new();
        world.stream("orders", 1);
        let file = metadata(&world);
        fs::write(&file, damage).unwrap();
        let error = world.broken();
        assert!(error.contains("stream.json"), "{error}");
    }
    let world = World::new();
    world.stream("orders", 1);
    let file = metadata(&world);
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("\"version\": 1", "\"version\": 2");
    fs::write(&file, text).unwrap();
    let error = world.broken();
    assert!(
        error.ends_with("is of version 2, this program reads version 1"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn every_file_is_private() {
    use std::os::unix::fs::PermissionsExt;

    fn check(path: &Path) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        if path.is_file() {
            assert_eq!(mode, 0o600, "{}", path.display());
            return;
        }
        assert_eq!(mode, 0o700, "{}", path.display());
        for entry in fs::read_dir(path).unwrap() {
            check(&entry.unwrap().path());
        }
    }

    let world = World::new();
    check(&world.dir.path().join("kinesis"));
    world.stream("orders", 2);
    world.put("orders", "a", "b");
    let commitment = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
    world.ok("UpdateAccountSettings", commitment);
    check(&world.dir.path().join("kinesis"));
}
