//! A stream that Firehose collects into a bucket, from a manifest of the user: set up, killed, updated, destroyed.

use std::collections::BTreeSet;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use crate::contents::until;
use crate::support::{Cloud, block_on};

const MANIFEST: &str = r#"
name = "carts"
description = "Carts, collected by Firehose"
instance = "main"

[[resources]]
kind = "stream"
id = "stream"
[resources.properties]
name = "api-kinesis-stream"
shards = 2

[[resources]]
kind = "bucket"
id = "data"
[resources.properties]
name = "carts-data-000000000000"
versioning = true

[[resources]]
kind = "role"
id = "role"
[resources.properties]
name = "carts-delivery"
service = "firehose.amazonaws.com"
statements = [
  { sid = "Read", actions = ["kinesis:DescribeStream", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"], resources = ["${stream.arn}"] },
  { sid = "Write", actions = ["s3:PutObject"], resources = ["${data.arn}/*"] },
]

[[resources]]
kind = "firehose"
id = "delivery"
[resources.properties]
name = "api-firehose-stream"
stream = "${stream.arn}"
bucket = "${data.name}"
role = "${role.arn}"
buffer_mb = 1
buffer_seconds = 60
newline = true

[outputs]
delivery_arn = "${delivery.arn}"
"#;

const STREAM: &str = "api-kinesis-stream";
const BUCKET: &str = "carts-data-000000000000";

fn s3(cloud: &Cloud) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&cloud.sdk()).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

/// Keys and contents of the bucket's objects.
fn objects(cloud: &Cloud) -> Vec<(String, String)> {
    block_on(async {
        let client = s3(cloud);
        let listed = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        let mut found = Vec::new();
        for object in listed.contents() {
            let key = object.key().unwrap();
            let answer = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
            let body = answer.body.collect().await.unwrap().to_vec();
            found.push((key.to_owned(), String::from_utf8(body).unwrap()));
        }
        found
    })
}

/// Our records: `verify` puts one of its own.
fn lines(cloud: &Cloud) -> Vec<String> {
    let texts = objects(cloud).into_iter().map(|(_, text)| text);
    let all = texts.collect::<String>();
    let ours = all
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    ours.map(str::to_owned).collect()
}

async fn put(cloud: &Cloud, numbers: std::ops::Range<usize>) {
    let client = cloud.kinesis();
    let all: Vec<usize> = numbers.collect();
    for some in all.chunks(500) {
        let entries = some.iter().map(|number| {
            PutRecordsRequestEntry::builder()
                .partition_key(format!("user {number}"))
                .data(Blob::new(format!("{number:06} {}", "x".repeat(200))))
                .build()
                .unwrap()
        });
        let call = client.put_records().stream_name(STREAM);
        let answer = call.set_records(Some(entries.collect())).send().await.unwrap();
        assert_eq!(answer.failed_record_count(), Some(0));
    }
}

#[test]
fn ten_thousand_records_are_in_s3_exactly_once_despite_a_kill() {
    let mut cloud = Cloud::start();
    cloud.file("carts.toml", MANIFEST);
    cloud.ok(["setup", "-f", "carts.toml"]);
    cloud.ok(["plan", "--check", "-f", "carts.toml"]);
    cloud.ok(["verify", "-f", "carts.toml"]);
    // A full buffer is delivered while records still arrive: the kill is in the middle of that.
    block_on(put(&cloud, 0..6_000));
    until("the first object", || match objects(&cloud).len() {
        0 => Err(String::new()),
        _ => Ok(()),
    });
    block_on(put(&cloud, 6_000..9_000));
    cloud.kill();
    cloud.restart_in_place();
    block_on(put(&cloud, 9_000..10_000));
    cloud.ok(["local", "clock", "--advance", "61s"]);
    let found = until("all records", || match lines(&cloud) {
        found if found.len() >= 10_000 => Ok(found),
        found => Err(found.len().to_string()),
    });
    let numbers: BTreeSet<&str> = found.iter().map(|line| &line[..6]).collect();
    assert_eq!((found.len(), numbers.len()), (10_000, 10_000));
    for (key, text) in objects(&cloud) {
        // yyyy/MM/dd/HH/STREAM-VERSION-…
        let parts: Vec<&str> = key.split('/').collect();
        assert!(
            parts.len() == 5 && parts[4].starts_with("api-firehose-stream-1-20"),
            "{key}"
        );
        assert!(
            text.ends_with('\n') && text.len() < (1 << 20) + 20_000,
            "{}",
            text.len()
        );
    }
}

#[test]
fn a_delivery_stream_is_updated_in_place_and_destroyed() {
    let cloud = Cloud::start();
    cloud.file("carts.toml", MANIFEST);
    cloud.ok(["setup", "-f", "carts.toml"]);
    cloud.file(
        "carts.toml",
        MANIFEST.replace("buffer_seconds = 60", "buffer_seconds = 120\nprefix = \"carts/\""),
    );
    cloud.fails(5, ["plan", "--check", "-f", "carts.toml"]);
    let set_up = cloud.ok(["setup", "-f", "carts.toml"]);
    cloud.ok(["plan", "--check", "-f", "carts.toml"]);
    block_on(put(&cloud, 0..3));
    cloud.ok(["local", "clock", "--advance", "121s"]);
    let found = until("an object", || {
        objects(&cloud).into_iter().next().ok_or_else(|| set_up.clone())
    });
    assert!(
        found.0.starts_with("carts/20") && found.0.contains("/api-firehose-stream-3-"),
        "{}",
        found.0
    );
    let dependents = &cloud.json(["delete", STREAM, "--dry-run"])["dependents"];
    assert!(
        dependents.to_string().contains("api-firehose-stream"),
        "{dependents}"
    );
    // The source cannot be changed in place.
    cloud.file(
        "carts.toml",
        MANIFEST.replace("stream = \"${stream.arn}\"\nbucket", "bucket"),
    );
    let refused = cloud.fails(1, ["setup", "-f", "carts.toml"]);
    assert!(refused.contains("another source"), "{refused}");
    cloud.file("carts.toml", MANIFEST);
    cloud.ok(["destroy", "-f", "carts.toml", "--yes"]);
    cloud.ok(["setup", "-f", "carts.toml"]);
}

#[test]
fn a_role_without_an_action_delivers_nothing() {
    let cloud = Cloud::start();
    cloud.file(
        "carts.toml",
        MANIFEST.replace("\"s3:PutObject\"", "\"s3:GetObject\""),
    );
    cloud.ok(["setup", "-f", "carts.toml"]);
    block_on(put(&cloud, 0..3));
    cloud.ok(["local", "clock", "--advance", "61s"]);
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
    until("a try", || {
        let call = cloudwatch.list_metrics().namespace("AWS/Firehose");
        let listed = block_on(call.metric_name("DeliveryToS3.Success").send()).unwrap();
        match listed.metrics().len() {
            0 => Err(String::new()),
            _ => Ok(()),
        }
    });
    assert_eq!(objects(&cloud), []);
    cloud.file("carts.toml", MANIFEST);
    cloud.ok(["setup", "-f", "carts.toml"]);
    cloud.ok(["local", "clock", "--advance", "2m"]);
    until("the records", || match lines(&cloud).len() {
        3 => Ok(()),
        found => Err(found.to_string()),
    });
}

/// `MANIFEST` with a partition for each user and kind.
fn partitioned() -> String {
    let properties = r#"buffer_seconds = 60
prefix = "kind=!{partitionKeyFromQuery:kind}/user=!{partitionKeyFromQuery:user}/"
error_prefix = "errors/!{firehose:error-output-type}/"
partition_keys = { kind = ".event", user = ".user_id" }
partition_retry_seconds = 60"#;
    let manifest = MANIFEST.replace("buffer_mb = 1\nbuffer_seconds = 60", properties);
    assert!(manifest.contains("partition_keys"));
    manifest
}

/// Puts events, and a record that is no event.
async fn put_events(cloud: &Cloud, numbers: std::ops::Range<usize>) {
    let event = |number: usize| {
        let event = ["add", "remove"][number % 2];
        format!(
            "{{\"user_id\":{},\"event\":\"{event}\",\"n\":{number}}}",
            number % 3
        )
    };
    let mut records: Vec<String> = numbers.map(event).collect();
    records.push("no json".to_owned());
    let client = cloud.kinesis();
    for some in records.chunks(500) {
        let entries = some.iter().enumerate().map(|(at, record)| {
            let entry = PutRecordsRequestEntry::builder().partition_key(at.to_string());
            entry.data(Blob::new(record.as_bytes())).build().unwrap()
        });
        let call = client.put_records().stream_name(STREAM);
        let answer = call.set_records(Some(entries.collect())).send().await.unwrap();
        assert_eq!(answer.failed_record_count(), Some(0));
    }
}

#[test]
fn records_are_partitioned_by_keys_in_them_despite_a_kill() {
    let mut cloud = Cloud::start();
    cloud.file("carts.toml", partitioned());
    cloud.ok(["setup", "-f", "carts.toml"]);
    cloud.ok(["plan", "--check", "-f", "carts.toml"]);
    cloud.ok(["verify", "-f", "carts.toml"]);
    block_on(put_events(&cloud, 0..600));
    // Records are in the files of their partitions, or on the way.
    cloud.ok(["local", "clock", "--advance", "2s"]);
    block_on(put_events(&cloud, 600..900));
    cloud.kill();
    cloud.restart_in_place();
    block_on(put_events(&cloud, 900..1_200));
    let ours = |cloud: &Cloud| {
        let objects = objects(cloud).into_iter();
        let ours: Vec<(String, String)> = objects.filter(|(key, _)| key.starts_with("kind=")).collect();
        ours
    };
    let found = until("all records", || {
        cloud.ok(["local", "clock", "--advance", "61s"]);
        let found = ours(&cloud);
        match found.iter().map(|(_, text)| text.lines().count()).sum::<usize>() {
            1_200.. => Ok(found),
            count => Err(count.to_string()),
        }
    });
    let mut numbers = BTreeSet::new();
    for (key, text) in &found {
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let prefix = format!(
                "kind={}/user={}/api-firehose-stream-1-20",
                record["event"].as_str().unwrap(),
                record["user_id"]
            );
            assert!(key.starts_with(&prefix), "{key}: {line}");
            assert!(
                numbers.insert(record["n"].as_u64().unwrap()),
                "{line} is there twice"
            );
        }
    }
    assert_eq!(numbers.len(), 1_200);
    let failed: Vec<String> = objects(&cloud)
        .into_iter()
        .filter(|(key, _)| key.starts_with("errors/metadata-extraction-failed/api-firehose-stream-1-"))
        .map(|(_, text)| text)
        .collect();
    let failed = failed.concat();
    assert!(
        failed.matches("Non JSON record provided").count() >= 3,
        "{failed}"
    );
    // Keys are changed in place; partitioning is not.
    let changed = partitioned().replace(
        "kind = \".event\", user",
        "kind = \".event | ascii_upcase\", user",
    );
    cloud.file("carts.toml", changed);
    cloud.fails(5, ["plan", "--check", "-f", "carts.toml"]);
    cloud.ok(["setup", "-f", "carts.toml"]);
    cloud.ok(["plan", "--check", "-f", "carts.toml"]);
    cloud.file(
        "carts.toml",
        MANIFEST.replace("newline = true", "newline = true\nprefix = \"carts/\""),
    );
    let refused = cloud.fails(1, ["setup", "-f", "carts.toml"]);
    assert!(refused.contains("which Firehose cannot disable"), "{refused}");
    cloud.file("carts.toml", partitioned());
    cloud.ok(["destroy", "-f", "carts.toml", "--yes"]);
}
