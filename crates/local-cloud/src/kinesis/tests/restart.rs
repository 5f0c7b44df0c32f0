//! Restarts and interrupted changes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::world::{HOUR_MS, World, wait_until_empty};

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
    wait_until_empty(&world.dir.path().join("kinesis/streams"));
}

#[test]
fn a_status_that_was_shown_survives_a_clock_that_is_set_back() {
    let world = World::new();
    world.stream("orders", 1);
    assert_eq!(world.status("orders"), "ACTIVE");
    world.put("orders", "a", "kept");
    let consumer = world.consumer("orders", "app");
    let describe = json!({"ConsumerARN": consumer});
    world.ok("DescribeStreamConsumer", describe.clone());
    world.clock.advance(-24 * HOUR_MS);
    let world = world.restarted();
    assert_eq!(world.status("orders"), "ACTIVE");
    assert_eq!(world.read_all("orders", 0), ["kept"]);
    let found = world.ok("DescribeStreamConsumer", describe);
    assert_eq!(found["ConsumerDescription"]["ConsumerStatus"], "ACTIVE");
}

#[test]
fn a_deletion_neither_delays_the_end_nor_is_forgotten() {
    let world = World::new();
    world.stream("orders", 300);
    world.ok("DeleteStream", json!({"StreamName": "orders"}));
    let streams = world.dir.path().join("kinesis/streams");
    // Before the transition is due: the end of the process renames the directory, no more.
    world.service.shutdown();
    let left = fs::read_dir(&streams).unwrap().next();
    if let Some(left) = left {
        assert_eq!(left.unwrap().path().extension().unwrap(), "deleted");
    }
    let world = world.restarted();
    assert_eq!(world.ok("ListStreams", json!({}))["StreamNames"], json!([]));
    wait_until_empty(&streams);
}

#[test]
fn what_a_killed_process_was_writing_is_removed() {
    let world = World::new();
    world.stream("orders", 1);
    let beside = [
        metadata(&world).with_file_name("stream.json.new-4711"),
        metadata(&world).with_file_name("stream.json.copy.new-4711"),
        world.dir.path().join("kinesis/accounts.json.new-1"),
    ];
    for path in &beside {
        fs::write(path, "{").unwrap();
    }
    let kept = metadata(&world).with_file_name("notes.new-idea");
    fs::write(&kept, "mine").unwrap();
    let world = world.restarted();
    assert!(beside.iter().all(|path| !path.exists()));
    assert!(kept.exists());
    assert_eq!(world.status("orders"), "ACTIVE");
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
    let copy = file.with_extension("json.copy");
    let before = [fs::read(&file).unwrap(), fs::read(&copy).unwrap()];
    split_without_closing(&world);
    for (file, before) in [&file, &copy].iter().zip(before) {
        fs::write(file, before).unwrap();
    }
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
    wait_until_empty(&streams);
    world.stream("orders", 1);
}

#[test]
fn metadata_is_restored_from_its_copy() {
    for damage in [Some(""), Some("{"), Some("{}"), None] {
        let world = World::new();
        world.stream("orders", 1);
        world.put("orders", "a", "kept");
        let file = metadata(&world);
        match damage {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let world = world.restarted();
        assert_eq!(world.read_all("orders", 0), ["kept"]);
        world.put("orders", "a", "more");
        assert_eq!(world.damaged(), [] as [String; 0]);
        assert!(file.exists());
    }
}

#[test]
fn a_stream_without_metadata_is_reported_and_the_rest_runs() {
    let newer = |text: &str| text.replace("\"version\": 2", "\"version\": 3");
    for damage in ["", "{", "newer"] {
        let world = World::new();
        world.stream("orders", 1);
        world.put("orders", "a", "kept");
        let file = metadata(&world);
        world.stream("clicks", 1);
        let text = match damage {
            "newer" => newer(&fs::read_to_string(&file).unwrap()),
            text => text.to_owned(),
        };
        fs::write(file.with_extension("json.copy"), "").unwrap();
        fs::write(&file, &text).unwrap();
        let world = world.restarted();
        assert_eq!(
            world.ok("ListStreams", json!({}))["StreamNames"],
            json!(["clicks"])
        );
        world.put("clicks", "a", "b");
        assert_eq!(world.damaged().len(), 1);
        assert!(
            world.damaged()[0].contains("stream.json"),
            "{:?}",
            world.damaged()
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "left as it is");
        if damage == "newer" {
            let text = world.damaged();
            assert!(
                text[0].contains("is of version 3, this program reads version 2"),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_stream_whose_metadata_is_missing_is_kept_if_it_has_records() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "a", "kept");
    let file = metadata(&world);
    fs::remove_file(&file).unwrap();
    fs::remove_file(file.with_extension("json.copy")).unwrap();
    let world = world.restarted();
    assert!(
        world.damaged()[0].contains("stream.json"),
        "{:?}",
        world.damaged()
    );
    assert!(file.with_file_name("shards").exists());
}

#[test]
fn a_shard_without_its_log_is_read_only_and_the_others_serve() {
    let world = World::new();
    world.stream("orders", 2);
    let mut shards = Vec::new();
    for at in 0..8 {
        let put = world.put("orders", &format!("key {at}"), "kept");
        shards.push(put["ShardId"].as_str().unwrap().to_owned());
    }
    let lost = shards.iter().filter(|shard| shard.ends_with('0')).count();
    assert!(lost > 0 && lost < 8);
    let log = metadata(&world)
        .with_file_name("shards")
        .join("shardId-000000000000");
    fs::remove_file(log.join("00000000000000000001.log")).unwrap();
    let world = world.restarted();
    assert_eq!(world.read_all("orders", 1).len(), 8 - lost);
    assert_eq!(world.read_all("orders", 0), [] as [String; 0]);
    let report = world.service.damage().remove(0);
    assert_eq!(
        (report.records, report.resource.as_deref()),
        (lost as u64, Some(&*world.arn("orders")))
    );
    let entry = |at: usize| json!({"PartitionKey": format!("key {at}"), "Data": ""});
    let entries: Vec<Value> = (0..8).map(entry).collect();
    let answer = world.ok("PutRecords", json!({"StreamName": "orders", "Records": entries}));
    assert_eq!(answer["FailedRecordCount"], lost);
    for (record, shard) in answer["Records"].as_array().unwrap().iter().zip(&shards) {
        match record["ErrorMessage"].as_str() {
            Some(message) => {
                assert!(message.contains("shardId-000000000000"), "{message}");
                assert!(message.contains("read-only"), "{message}");
                assert!(shard.ends_with('0'));
            }
            None => assert_eq!(record["ShardId"], shard.as_str()),
        }
    }
    // A split leads away from the shard.
    let half = "85070591730234615865843651857942052864";
    world.ok(
        "SplitShard",
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": half}),
    );
    world.settle();
    let answer = world.ok("PutRecords", json!({"StreamName": "orders", "Records": entries}));
    assert_eq!(answer["FailedRecordCount"], 0);
    world.ok("DeleteStream", json!({"StreamName": "orders"}));
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
