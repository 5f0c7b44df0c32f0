//! Channels: the operations, and delivery in virtual time.

use std::collections::BTreeMap;
use std::io::Read;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{DELAY_MS, HOUR_MS, START_MS, World};
use crate::types::ACCOUNT;

const FRESHNESS_MS: i64 = 300_000;

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn storage(bucket: &str, compression: &str) -> Value {
    json!({"BucketARN": format!("arn:aws:s3:::{bucket}"), "ExpectedBucketOwner": ACCOUNT, "CompressionType": compression})
}

fn input(world: &World, format: &str) -> Value {
    json!({
        "ChannelName": "archive",
        "ServiceExecutionRoleARN": role("writer"),
        "StreamConfigurationList": [{
            "StreamARN": world.arn("orders"),
            "RecordConfiguration": {"RecordFormatType": format},
        }],
        "S3DestinationConfiguration": {"StorageConfiguration": storage("lake", "NONE")},
    })
}

fn tables(world: &World) -> Value {
    let mut input = input(world, "GSR_JSON");
    input["ChannelName"] = json!("tables");
    input["S3DestinationConfiguration"] = Value::Null;
    input["S3TablesDestinationConfiguration"] = json!({
        "DeadLetterQueueS3Configuration": {"BucketARN": "arn:aws:s3:::dead", "ExpectedBucketOwner": ACCOUNT},
        "S3TablesConfigurationList": [{
            "TableBucketARN": format!("arn:aws:s3tables:us-east-1:{ACCOUNT}:bucket/lake"),
            "Namespace": "sales",
            "TableName": "orders",
            "CompressionType": "SNAPPY",
            "PartitionSpec": {"PartitionFields": [{"Transform": "TIME_HOUR", "SourceName": "at"}]},
        }],
    });
    input
}

impl World {
    fn channel_status(&self, arn: &str) -> String {
        self.channel(arn)["ChannelStatus"].as_str().unwrap().to_owned()
    }

    fn channel(&self, arn: &str) -> Value {
        self.ok("DescribeChannel", json!({"ChannelARN": arn}))["ChannelDescription"].clone()
    }

    /// An ACTIVE channel's ARN.
    fn delivering(&self, input: Value) -> String {
        let made = self.ok("CreateChannel", input);
        let arn = made["ChannelDescription"]["ChannelARN"]
            .as_str()
            .unwrap()
            .to_owned();
        self.settle();
        assert_eq!(self.channel_status(&arn), "ACTIVE");
        arn
    }

    /// Lets time pass, in steps as the task does.
    fn pass(&self, ms: i64) {
        for _ in 0..ms / 5000 {
            self.clock.advance(5000);
            self.service.deliver_channels();
        }
    }

    /// The objects of a bucket, in order of their keys.
    fn objects_in(&self, bucket: &str) -> Vec<(String, Vec<u8>)> {
        let all = self.objects.all.lock().unwrap();
        let own = all.iter().filter_map(|(name, object)| {
            let key = name.strip_prefix(bucket)?.strip_prefix('/')?;
            Some((key.to_owned(), object.body.to_vec()))
        });
        own.collect()
    }

    /// The lines of all objects of a bucket.
    fn lines_in(&self, bucket: &str) -> Vec<String> {
        let text = self
            .objects_in(bucket)
            .into_iter()
            .flat_map(|(_, body)| body)
            .collect();
        let text = String::from_utf8(text).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_channel_is_created_described_listed_updated_and_deleted() {
    let world = World::new();
    world.on_demand("orders");
    let mut wanted = input(&world, "JSON");
    wanted["Tags"] = json!({"team": "data"});
    let made = world.ok("CreateChannel", wanted)["ChannelDescription"].clone();
    let arn = made["ChannelARN"].as_str().unwrap().to_owned();
    let id = made["ChannelId"].as_str().unwrap();
    assert_eq!(made["ChannelStatus"], "CREATING");
    assert_eq!(arn, format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:channel/{id}"));
    assert_eq!(
        made["LoggingConfiguration"],
        json!({"CloudWatchLogs": {"Enabled": false}})
    );
    assert_eq!(
        made["S3DestinationConfiguration"],
        json!({
            "DataFreshnessInSeconds": 300,
            "DeadLetterQueueS3Configuration": {
                "BucketARN": "arn:aws:s3:::lake",
                "ExpectedBucketOwner": ACCOUNT,
                "ErrorOutputPrefix": format!("kinesis-channel/errors/archive/{id}/"),
            },
            "StorageConfiguration": {
                "BucketARN": "arn:aws:s3:::lake",
                "ExpectedBucketOwner": ACCOUNT,
                "OutputKeyTemplate": crate::kinesis::channels::template::DEFAULT,
                "StorageClass": "STANDARD",
                "CompressionType": "NONE",
            },
        })
    );
    world.settle();
    assert_eq!(world.channel_status(&arn), "ACTIVE");
    assert_eq!(world.summary("orders")["ChannelCount"], 1);
    let updated = world.ok(
        "UpdateChannel",
        json!({"ChannelARN": arn, "S3DestinationConfiguration": {"DataFreshnessInSeconds": 900}}),
    );
    assert_eq!(updated["ChannelDescription"]["ChannelStatus"], "UPDATING");
    world.settle();
    let shown = world.channel(&arn);
    assert_eq!(shown["ChannelStatus"], "ACTIVE");
    assert_eq!(shown["S3DestinationConfiguration"]["DataFreshnessInSeconds"], 900);
    let tags = world.ok("ListTagsForResource", json!({"ResourceARN": arn}));
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "data"}]));
    world.ok(
        "TagResource",
        json!({"ResourceARN": arn, "Tags": {"stage": "test"}}),
    );
    world.ok("UntagResource", json!({"ResourceARN": arn, "TagKeys": ["team"]}));
    let tags = world.ok("ListTagsForResource", json!({"ResourceARN": arn}));
    assert_eq!(tags["Tags"], json!([{"Key": "stage", "Value": "test"}]));
    let listed = world.ok("ListChannels", json!({}));
    assert_eq!(listed["ChannelSummaries"][0]["ChannelDestinationType"], "S3");
    assert_eq!(
        listed["ChannelSummaries"][0]["Streams"][0]["StreamARN"],
        world.arn("orders")
    );
    world.ok("DeleteChannel", json!({"ChannelARN": arn}));
    assert_eq!(world.channel_status(&arn), "DELETING");
    assert_eq!(world.summary("orders")["ChannelCount"], 0);
    world.settle();
    assert_eq!(
        world.refused("DescribeChannel", json!({"ChannelARN": arn})),
        "ResourceNotFoundException"
    );
    assert_eq!(world.ok("ListChannels", json!({}))["ChannelSummaries"], json!([]));
    assert_eq!(
        std::fs::read_dir(world.dir.path().join("kinesis/channels"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn what_a_channel_cannot_do_is_refused() {
    let world = World::new();
    world.on_demand("orders");
    world.stream("provisioned", 1);
    let with = |path: &str, value: Value| {
        let mut input = input(&world, "JSON");
        *input.pointer_mut(path).unwrap() = value;
        input
    };
    let template = |template: &str| {
        let mut storage = storage("lake", "NONE");
        storage["OutputKeyTemplate"] = json!(template);
        with("/S3DestinationConfiguration/StorageConfiguration", storage)
    };
    let freshness = |seconds: i64| {
        let mut input = input(&world, "JSON");
        input["S3DestinationConfiguration"]["DataFreshnessInSeconds"] = json!(seconds);
        input
    };
    let keyed = |key: &str| {
        let mut input = input(&world, "JSON");
        input["EncryptionConfiguration"] = json!({"EncryptionType": "KMS", "KeyId": key});
        input
    };
    let stream = |name: &str| with("/StreamConfigurationList/0/StreamARN", json!(world.arn(name)));
    let mut both = tables(&world);
    both["S3DestinationConfiguration"] = input(&world, "JSON")["S3DestinationConfiguration"].clone();
    let mut schemaless = tables(&world);
    schemaless["StreamConfigurationList"][0]["RecordConfiguration"]["RecordFormatType"] = json!("JSON");
    for (wrong, code) in [
        (json!({}), "ValidationException"),
        (with("/ChannelName", json!("a b")), "ValidationException"),
        (
            with("/ServiceExecutionRoleARN", json!("writer")),
            "ValidationException",
        ),
        (
            with(
                "/S3DestinationConfiguration/StorageConfiguration",
                storage("lake", "SNAPPY"),
            ),
            "ValidationException",
        ),
        (
            with(
                "/S3DestinationConfiguration/StorageConfiguration",
                storage("Lake", "NONE"),
            ),
            "ValidationException",
        ),
        (
            with("/S3DestinationConfiguration", Value::Null),
            "InvalidArgumentException",
        ),
        (both, "InvalidArgumentException"),
        (schemaless, "InvalidArgumentException"),
        (freshness(299), "InvalidArgumentException"),
        (freshness(901), "InvalidArgumentException"),
        (template("/a"), "InvalidArgumentException"),
        (template("!{shard-id}"), "InvalidArgumentException"),
        (input(&world, "GSR_JSON"), "InvalidArgumentException"),
        (keyed("alias/aws/kinesis"), "InvalidArgumentException"),
        (keyed("alias/none"), "KMSNotFoundException"),
        (stream("none"), "ResourceNotFoundException"),
        (stream("provisioned"), "ValidationException"),
    ] {
        assert_eq!(world.refused("CreateChannel", wrong.clone()), code, "{wrong}");
    }
    assert_eq!(world.ok("ListChannels", json!({}))["ChannelSummaries"], json!([]));
    world.ok(
        "UpdateStreamMode",
        json!({"StreamARN": world.arn("provisioned"), "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
    );
    assert_eq!(
        world.refused("CreateChannel", stream("provisioned")),
        "ResourceInUseException"
    );
    let encrypt = json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
    world.ok("StartStreamEncryption", encrypt);
    world.settle();
    assert_eq!(
        world.refused("CreateChannel", input(&world, "JSON")),
        "InvalidArgumentException"
    );
}

#[test]
fn a_stream_has_one_channel_of_each_type_and_stays_while_it_has_one() {
    let world = World::new();
    world.on_demand("orders");
    let arn = world.delivering(input(&world, "JSON"));
    assert_eq!(
        world.refused("CreateChannel", input(&world, "JSON")),
        "ResourceInUseException"
    );
    let mut second = input(&world, "JSON");
    second["ChannelName"] = json!("second");
    assert_eq!(
        world.refused("CreateChannel", second.clone()),
        "LimitExceededException"
    );
    world.ok("CreateChannel", tables(&world));
    let (code, message) = world.err("DeleteStream", json!({"StreamName": "orders"}));
    assert_eq!(code, "ResourceInUseException");
    assert!(message.contains("has the active channel"), "{message}");
    let provisioned =
        json!({"StreamARN": world.arn("orders"), "StreamModeDetails": {"StreamMode": "PROVISIONED"}});
    assert_eq!(
        world.refused("UpdateStreamMode", provisioned),
        "ResourceInUseException"
    );
    world.settle();
    world.ok("DeleteChannel", json!({"ChannelARN": arn}));
    world.ok("CreateChannel", second);
    world.settle();
    let listed = world.ok(
        "ListChannels",
        json!({"StreamFilter": [{"StreamARN": world.arn("orders")}], "MaxResults": 1}),
    );
    assert_eq!(listed["ChannelSummaries"][0]["ChannelName"], "second");
    let token = listed["NextToken"].as_str().unwrap();
    let rest = world.ok("ListChannels", json!({"NextToken": token}));
    assert_eq!(rest["ChannelSummaries"][0]["ChannelName"], "tables");
    let other = world.ok(
        "ListChannels",
        json!({"StreamFilter": [{"StreamARN": world.arn("bills")}]}),
    );
    assert_eq!(other["ChannelSummaries"], json!([]));
    world.clock.advance(301_000);
    assert_eq!(
        world.refused("ListChannels", json!({"NextToken": token})),
        "ExpiredNextTokenException"
    );
}

#[test]
fn a_channel_to_a_table_is_stored_and_says_that_tables_do_not_exist_here() {
    let world = World::new();
    world.on_demand("orders");
    let made = world.ok("CreateChannel", tables(&world))["ChannelDescription"].clone();
    assert_eq!(made["ChannelStatus"], "CREATING");
    world.settle();
    let shown = world.channel(made["ChannelARN"].as_str().unwrap());
    assert_eq!(shown["ChannelStatus"], "FAILED");
    assert!(
        shown["ChannelStatusReason"]
            .as_str()
            .unwrap()
            .contains("S3 Tables is not available in the local cloud")
    );
    let table = &shown["S3TablesDestinationConfiguration"]["S3TablesConfigurationList"][0];
    assert_eq!(
        table["PartitionSpec"]["PartitionFields"][0]["Transform"],
        "TIME_HOUR"
    );
    // A channel that failed does not hold its stream.
    world.ok("DeleteStream", json!({"StreamName": "orders"}));
}

#[test]
fn a_role_or_a_bucket_that_cannot_be_used_makes_the_channel_fail() {
    let world = World::new();
    world.on_demand("orders");
    for (role_name, bucket, reason) in [
        ("nobody", "lake", "may not assume it"),
        ("powerless", "lake", "not authorized to perform s3:PutObject"),
        ("writer", "missing", "does not exist"),
        ("writer", "far", "is in eu-west-1"),
    ] {
        let mut input = input(&world, "JSON");
        input["ServiceExecutionRoleARN"] = json!(role(role_name));
        input["S3DestinationConfiguration"]["StorageConfiguration"] = storage(bucket, "NONE");
        let made = world.ok("CreateChannel", input);
        let arn = made["ChannelDescription"]["ChannelARN"].clone();
        world.settle();
        let shown = world.channel(arn.as_str().unwrap());
        assert_eq!(shown["ChannelStatus"], "FAILED");
        let shown = shown["ChannelStatusReason"].as_str().unwrap();
        assert!(shown.contains(reason), "{shown}");
        world.ok("DeleteChannel", json!({"ChannelARN": arn}));
        world.settle();
    }
}

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
    assert_eq!(letter["rawData"], super::world::base64("not json"));
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
