//! What a channel delivers, when, and what happens to what it cannot deliver.

use super::*;

#[test]
fn records_are_delivered_when_the_oldest_is_as_old_as_the_freshness() {
    let world = World::new();
    world.on_demand("orders");
    world.put("orders", "k", r#"{"before":true}"#);
    let made = world.ok("CreateChannel", input(&world, "JSON"));
    world.put("orders", "k", r#"{"creating":true}"#);
    world.settle();
    world.put("orders", "a", r#"{"n":1}"#);
    world.service.deliver_channels();
    world.pass(FRESHNESS_MS - 5000);
    world.put("orders", "b", r#"{"n":2}"#);
    assert_eq!(world.objects_in("lake"), []);
    world.pass(5000);
    let id = made["ChannelDescription"]["ChannelId"].as_str().unwrap();
    let objects = world.objects_in("lake");
    let [(key, _)] = &objects[..] else {
        panic!("{objects:?}")
    };
    assert_eq!(
        *key,
        format!(
            "kinesis-channel/archive/{id}/2026/01/01/00/archive-{id}-2026-01-01-00-00-000000-{}.json",
            &id[..11]
        )
    );
    let mut lines = world.lines_in("lake");
    lines.sort();
    assert_eq!(lines, [r#"{"n":1}"#, r#"{"n":2}"#]);
    world.pass(2 * FRESHNESS_MS);
    assert_eq!(*world.objects.puts.lock().unwrap(), 1);
    world.put("orders", "a", r#"{"n":3}"#);
    world.pass(FRESHNESS_MS + 60_000);
    assert_eq!(world.lines_in("lake").len(), 3);
    assert_eq!(*world.objects.puts.lock().unwrap(), 2);
    let metrics = world.metrics.0.lock().unwrap();
    let delivered = metrics
        .iter()
        .filter(|metric| metric.name == "DeliveryToS3.SuccessfulRecordCount");
    assert!(
        delivered
            .clone()
            .all(|metric| metric.dimensions == "ChannelName=archive")
    );
    assert_eq!(delivered.count(), 2);
}

#[test]
fn objects_are_compressed_and_named_after_their_format() {
    for (format, compression, extension) in [
        ("STRING", "GZIP", ".txt.gz"),
        ("BYTE_ARRAY", "ZSTD", ".bin.zst"),
        ("JSON", "NONE", ".json"),
    ] {
        let world = World::new();
        world.on_demand("orders");
        let mut input = input(&world, format);
        let mut storage = storage("lake", compression);
        storage["OutputKeyTemplate"] = json!("dt=!{yyyy}-!{MM}-!{dd}/part!{extension}");
        storage["StorageClass"] = json!("GLACIER_IR");
        input["S3DestinationConfiguration"]["StorageConfiguration"] = storage;
        input["EncryptionConfiguration"] = json!({"EncryptionType": "KMS", "KeyId": "alias/mine"});
        world.delivering(input);
        world.put("orders", "k", "1");
        world.put("orders", "k", "2");
        world.pass(FRESHNESS_MS + 60_000);
        let objects = world.objects_in("lake");
        let [(key, body)] = &objects[..] else {
            panic!("{objects:?}")
        };
        assert!(
            key.starts_with("dt=2026-01-01/part-000000-") && key.ends_with(extension),
            "{key}"
        );
        let mut content = Vec::new();
        match compression {
            "GZIP" => drop(
                flate2::read::GzDecoder::new(&body[..])
                    .read_to_end(&mut content)
                    .unwrap(),
            ),
            "ZSTD" => content = zstd::bulk::decompress(body, 1000).unwrap(),
            _ => content.clone_from(body),
        }
        assert_eq!(
            content,
            if format == "BYTE_ARRAY" {
                &b"12"[..]
            } else {
                b"1\n2\n"
            }
        );
        let all = world.objects.all.lock().unwrap();
        let object = all.values().next().unwrap();
        assert_eq!(
            (object.storage_class.as_str(), object.key_id.as_deref()),
            ("GLACIER_IR", Some("alias/mine"))
        );
    }
}

#[test]
fn a_record_in_another_format_goes_to_the_dead_letters_with_its_context() {
    let world = World::new();
    world.on_demand("orders");
    let mut input = input(&world, "JSON");
    input["S3DestinationConfiguration"]["DeadLetterQueueS3Configuration"] = json!({"BucketARN": "arn:aws:s3:::dead", "ExpectedBucketOwner": ACCOUNT, "ErrorOutputPrefix": "errors/"});
    input["LoggingConfiguration"] =
        json!({"CloudWatchLogs": {"Enabled": true, "LogGroupName": "/channels", "LogStreamName": "archive"}});
    world.delivering(input);
    let put = world.put("orders", "k", "not json");
    world.put("orders", "k", "{}");
    world.pass(FRESHNESS_MS + 60_000);
    assert_eq!(world.lines_in("lake"), ["{}"]);
    let dead = world.objects_in("dead");
    assert!(
        dead[0].0.starts_with("errors/2026/01/01/00/archive-"),
        "{}",
        dead[0].0
    );
    let letter: Value = serde_json::from_slice(&dead[0].1).unwrap();
    assert_eq!(letter["sequenceNumber"], put["SequenceNumber"]);
    assert_eq!(letter["errorCode"], "InvalidJson");
    assert_eq!(letter["rawData"], super::super::world::base64("not json"));
    let logged = world.objects.logged.lock().unwrap();
    assert!(
        logged[0].starts_with("/channels archive {") && logged[0].contains("1 records are not JSON"),
        "{logged:?}"
    );
}

#[test]
fn a_failed_delivery_is_repeated_and_loses_nothing() {
    let world = World::new();
    world.on_demand("orders");
    world.delivering(input(&world, "JSON"));
    world.put("orders", "k", "1");
    *world.objects.refuses.lock().unwrap() = Some("NoSuchBucket");
    world.pass(2 * FRESHNESS_MS);
    assert_eq!(world.objects_in("lake"), []);
    let failed = |world: &World| {
        let metrics = world.metrics.0.lock().unwrap();
        metrics
            .iter()
            .filter(|metric| metric.name == "DeliveryToS3.DeliverySuccess")
            .count()
    };
    // With a backoff of up to a minute.
    assert!((5..20).contains(&failed(&world)), "{}", failed(&world));
    *world.objects.refuses.lock().unwrap() = None;
    world.put("orders", "k", "2");
    world.pass(120_000);
    assert_eq!(world.lines_in("lake"), ["1", "2"]);
    // Its progress cannot be saved: the object is written again, under the same key.
    let progress = std::fs::read_dir(world.dir.path().join("kinesis/channels")).unwrap();
    let dir = progress.map(|entry| entry.unwrap().path()).next().unwrap();
    let aside = dir.with_extension("aside");
    std::fs::rename(&dir, &aside).unwrap();
    world.put("orders", "k", "3");
    world.pass(FRESHNESS_MS + 120_000);
    assert!(*world.objects.puts.lock().unwrap() > 2);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::rename(&aside, &dir).unwrap();
    world.put("orders", "k", "4");
    world.pass(FRESHNESS_MS);
    assert_eq!(world.lines_in("lake"), ["1", "2", "3", "4"]);
}

#[test]
fn a_restart_delivers_the_rest_once() {
    let mut world = World::new();
    world.on_demand("orders");
    let arn = world.delivering(input(&world, "JSON"));
    for n in 0..40 {
        world.put("orders", &format!("k{}", n % 7), &n.to_string());
        world.pass(20_000);
        world = world.restarted();
    }
    assert_eq!(world.channel_status(&arn), "ACTIVE");
    world.pass(FRESHNESS_MS);
    let mut lines: Vec<u32> = world
        .lines_in("lake")
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..40).collect::<Vec<_>>());
    assert!(world.damaged().is_empty());
}

#[test]
fn a_damaged_channel_is_reported_and_kept() {
    let world = World::new();
    world.on_demand("orders");
    world.delivering(input(&world, "JSON"));
    let channels = world.dir.path().join("kinesis/channels");
    let dir = std::fs::read_dir(&channels)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    for file in ["channel.json", "channel.json.copy"] {
        std::fs::write(dir.join(file), "{").unwrap();
    }
    let world = world.restarted();
    assert_eq!(world.damaged().len(), 1, "{:?}", world.damaged());
    assert!(world.damaged()[0].contains("the channel cannot be opened"));
    assert_eq!(world.ok("ListChannels", json!({}))["ChannelSummaries"], json!([]));
    assert!(dir.join("channel.json").exists() || dir.join("channel.json.damaged").exists());
}

#[test]
fn channels_are_called_five_times_a_second() {
    let world = World::strict();
    for operation in [
        "ListChannels",
        "DescribeChannel",
        "CreateChannel",
        "UpdateChannel",
        "DeleteChannel",
    ] {
        let codes: Vec<String> = (0..6)
            .map(|_| {
                world.call(operation, &json!({})).1["__type"]
                    .as_str()
                    .unwrap_or("OK")
                    .to_owned()
            })
            .collect();
        assert_eq!(codes[5], "LimitExceededException", "{operation}");
        assert!(
            codes[..5].iter().all(|code| code != "LimitExceededException"),
            "{operation} {codes:?}"
        );
    }
}

impl World {
    /// Records that were reported as lost.
    fn lost(&self) -> f64 {
        let metrics = self.metrics.0.lock().unwrap();
        let failed = metrics
            .iter()
            .filter(|metric| metric.name == "DeliveryToS3.FailedRecordCount");
        failed.map(|metric| metric.sample.sum).sum()
    }
}

#[test]
fn what_expires_before_it_is_delivered_is_reported() {
    let world = World::new();
    world.on_demand("orders");
    world.delivering(input(&world, "JSON"));
    world.put("orders", "k", "1");
    *world.objects.refuses.lock().unwrap() = Some("NoSuchBucket");
    world.service.deliver_channels();
    world.clock.advance(FRESHNESS_MS + 60_000);
    world.service.deliver_channels();
    world.clock.advance(25 * HOUR_MS);
    world.put("orders", "k", "2");
    *world.objects.refuses.lock().unwrap() = None;
    world.service.deliver_channels();
    world.pass(FRESHNESS_MS + 60_000);
    assert_eq!(world.lines_in("lake"), ["2"]);
    assert_eq!(world.lost() as u32, 1);
}

#[test]
fn a_shard_that_is_delivered_expires_without_a_report() {
    let world = World::new();
    world.on_demand("orders");
    world.delivering(input(&world, "JSON"));
    world.put("orders", "k", "1");
    world.pass(FRESHNESS_MS + 60_000);
    world.reshard("orders", 8);
    for _ in 0..30 {
        world.clock.advance(HOUR_MS);
        world.service.deliver_channels();
    }
    assert_eq!(world.shards("orders").len(), 8);
    assert_eq!(world.lost() as u32, 0);
    world.put("orders", "k", "2");
    world.pass(FRESHNESS_MS + 60_000);
    assert_eq!(world.lines_in("lake"), ["1", "2"]);
    assert_eq!(world.lost() as u32, 0);
}

/// A step of a random life of a stream with a channel.
#[derive(Debug, Clone)]
enum Step {
    Put {
        key: u8,
    },
    Pass {
        seconds: i64,
    },
    /// The on-demand stream splits or merges.
    Reshard {
        to: u32,
    },
    Restart,
    /// S3 fails until the next step of this kind.
    Fail,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6u8).prop_map(|key| Step::Put { key }),
        3 => (1..40i64).prop_map(|n| Step::Pass { seconds: n * 10 }),
        1 => (1..9u32).prop_map(|to| Step::Reshard { to }),
        1 => Just(Step::Restart),
        1 => Just(Step::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every record is in exactly one object, and the records of a key are in order, over reshards, restarts and
    /// failures.
    #[test]
    fn every_record_is_delivered_in_the_order_of_its_key(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        world.on_demand("orders");
        let mut wanted = input(&world, "JSON");
        let mut storage = storage("lake", "NONE");
        storage["OutputKeyTemplate"] = json!("all!{extension}");
        wanted["S3DestinationConfiguration"]["StorageConfiguration"] = storage;
        world.delivering(wanted);
        let mut put: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        let mut n = 0;
        for step in &steps {
            match step {
                Step::Put { key } => {
                    // Long enough for several objects.
                    let line = json!([key, n, "x".repeat(700)]).to_string();
                    world.put("orders", &format!("key-{key}"), &line);
                    put.entry(*key).or_default().push(n);
                    n += 1;
                }
                Step::Pass { seconds } => world.pass(seconds * 1000),
                Step::Reshard { to } => {
                    world.reshard("orders", *to);
                    world.clock.advance(DELAY_MS);
                }
                Step::Restart => world = world.restarted(),
                Step::Fail => {
                    let mut refuses = world.objects.refuses.lock().unwrap();
                    *refuses = if refuses.is_some() { None } else { Some("SlowDown") };
                }
            }
        }
        *world.objects.refuses.lock().unwrap() = None;
        world.pass(FRESHNESS_MS + 130_000);
        let mut delivered: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for line in world.lines_in("lake") {
            let value: (u8, u32, String) = serde_json::from_str(&line).unwrap();
            delivered.entry(value.0).or_default().push(value.1);
        }
        prop_assert_eq!(delivered, put);
    }
}

impl World {
    /// Reshards an on-demand stream, as its scaling does.
    fn reshard(&self, name: &str, to: u32) {
        let now_ms = crate::clock::Clock::now_ms(&*self.clock);
        let stream = self.service.stream_of_arn(&self.caller, &self.arn(name)).unwrap();
        stream
            .change(now_ms, |meta| {
                crate::kinesis::stream::lineage::rescale(&mut meta.shards, to, now_ms);
                meta.update_until(now_ms + DELAY_MS);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn the_first_moment_of_a_channel_is_when_it_becomes_active() {
    let world = World::new();
    world.on_demand("orders");
    world.ok("CreateChannel", input(&world, "JSON"));
    // Nobody looks while it becomes ACTIVE.
    world.clock.advance(10 * DELAY_MS);
    world.put("orders", "k", "1");
    let world = world.restarted();
    world.pass(FRESHNESS_MS + 60_000);
    assert_eq!(world.lines_in("lake"), ["1"]);
    assert!(crate::clock::Clock::now_ms(&*world.clock) > START_MS);
}
