//! `streamctl channel`: from records to objects, through the real binary.

use std::time::{Duration, Instant};

use predicates::prelude::*;
use serde_json::{Value, json};

use crate::support::{Cloud, block_on};

fn s3(cloud: &Cloud) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&cloud.sdk()).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

fn bucket(cloud: &Cloud, name: &str) {
    block_on(async {
        s3(cloud).create_bucket().bucket(name).send().await.unwrap();
    });
}

/// Keys and contents of a bucket's objects.
fn objects(cloud: &Cloud, bucket: &str) -> Vec<(String, Vec<u8>)> {
    block_on(async {
        let client = s3(cloud);
        let listed = client.list_objects_v2().bucket(bucket).send().await.unwrap();
        let mut found = Vec::new();
        for object in listed.contents() {
            let key = object.key().unwrap();
            let answer = client.get_object().bucket(bucket).key(key).send().await.unwrap();
            let body = answer.body.collect().await.unwrap().to_vec();
            found.push((key.to_owned(), body));
        }
        found
    })
}

/// The objects of a bucket, once their lines are at least `lines`.
fn delivered(cloud: &Cloud, bucket: &str, lines: usize) -> Vec<(String, Vec<u8>)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = objects(cloud, bucket);
        let count: usize = found
            .iter()
            .map(|(_, body)| body.iter().filter(|byte| **byte == b'\n').count())
            .sum();
        if count >= lines {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "only {count} of {lines} lines: {found:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lines(objects: &[(String, Vec<u8>)]) -> Vec<Value> {
    let all = objects
        .iter()
        .flat_map(|(_, body)| body.split(|byte| *byte == b'\n'));
    all.filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn a_channel_delivers_to_the_bucket_with_a_role_of_its_own_and_leaves_nothing_behind() {
    let cloud = Cloud::start_with(["--data-freshness", "200ms"]);
    bucket(&cloud, "lake");
    cloud.ok(["create", "orders", "--on-demand"]);
    let create = [
        "channel",
        "create",
        "orders",
        "--bucket",
        "lake",
        "--compression",
        "none",
    ];
    let planned = cloud.json(["channel", "create", "orders", "--bucket", "lake", "--dry-run"]);
    assert_eq!(planned["changed"], false);
    assert_eq!(planned["arn"], Value::Null);
    assert_eq!(planned["role"], "streamctl-channel-orders");
    assert_eq!(cloud.json(["channel", "list", "orders"]), json!([]));
    let made = cloud.json(create);
    assert_eq!(made["changed"], true);
    assert!(
        made["role"]
            .as_str()
            .unwrap()
            .ends_with(":role/streamctl/channel/streamctl-channel-orders")
    );
    let again = cloud.json(create);
    assert_eq!(again["changed"], false);
    assert_eq!(again["arn"], made["arn"]);
    let shown = cloud.json(["channel", "describe", "orders"]);
    assert_eq!(shown["status"], "ACTIVE");
    assert_eq!(
        (&shown["to"], &shown["compression"]),
        (&json!("lake"), &json!("NONE"))
    );

    let input = cloud.file("records.ndjson", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    cloud
        .streamctl(["put", "orders", "--file", input.to_str().unwrap()])
        .assert()
        .success();
    let found = delivered(&cloud, "lake", 3);
    assert!(
        found
            .iter()
            .all(|(key, _)| key.starts_with("kinesis-channel/orders/") && key.ends_with(".json"))
    );
    let mut numbers: Vec<u64> = lines(&found)
        .iter()
        .map(|line| line["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);

    // The stream stays while it has the channel.
    cloud.fails(1, ["delete", "orders", "--yes"]);
    cloud.fails(1, ["mode", "orders", "provisioned"]);
    cloud.fails(2, ["channel", "delete", "orders"]);
    let delete = |option| cloud.json(["channel", "delete", "orders", option]);
    let (planned, deleted) = (delete("--dry-run"), delete("--yes"));
    assert_eq!(
        (&planned["deleted"], &deleted["deleted"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(deleted["name"], "orders");
    assert_eq!(deleted["arn"], planned["arn"]);
    assert_eq!(cloud.json(["channel", "list", "--all"]), json!([]));
    block_on(async {
        let iam = aws_sdk_iam::Client::new(&cloud.sdk());
        let role = iam.get_role().role_name("streamctl-channel-orders").send().await;
        assert!(role.is_err(), "the role is left over");
    });
    cloud.fails(1, ["channel", "describe", "orders"]);
    let deleted = cloud.json(["delete", "orders", "--yes"]);
    assert_eq!(deleted["deleted"], true, "{deleted}");
}

#[test]
fn a_killed_local_cloud_delivers_every_record_and_what_is_no_json_as_a_dead_letter() {
    let mut cloud = Cloud::start_with(["--data-freshness", "10m"]);
    bucket(&cloud, "lake");
    bucket(&cloud, "dead");
    cloud.ok(["create", "orders", "--on-demand"]);
    cloud.ok([
        "channel",
        "create",
        "orders",
        "--bucket",
        "lake",
        "--compression",
        "none",
        "--dead-letters",
        "dead",
        "--key",
        "all!{extension}",
    ]);
    let records: String = (0..500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let input = cloud.file("records.ndjson", records);
    cloud
        .streamctl(["put", "orders", "--file", input.to_str().unwrap()])
        .assert()
        .success();
    block_on(async {
        let put = cloud
            .kinesis()
            .put_record()
            .stream_name("orders")
            .partition_key("k");
        let blob = aws_sdk_kinesis::primitives::Blob::new("no json");
        put.data(blob).send().await.unwrap();
    });
    cloud.kill();
    cloud.restart_with(["--data-freshness", "200ms"]);
    let found = delivered(&cloud, "lake", 500);
    let mut numbers: Vec<u64> = lines(&found)
        .iter()
        .map(|line| line["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    let dead = lines(&delivered(&cloud, "dead", 1));
    assert_eq!(dead[0]["errorCode"], "InvalidJson");
    assert_eq!(dead[0]["rawData"], "bm8ganNvbg==");
}

#[test]
fn what_cannot_be_delivered_is_refused_before_anything_is_made() {
    let cloud = Cloud::start();
    bucket(&cloud, "lake");
    cloud.ok(["create", "orders", "--on-demand"]);
    cloud.stream("provisioned", 1);
    for args in [
        &["channel", "create", "orders", "--bucket", "s3://lake"][..],
        &[
            "channel",
            "create",
            "orders",
            "--bucket",
            "lake",
            "--freshness",
            "4m",
        ],
        &[
            "channel", "create", "orders", "--bucket", "lake", "--format", "csv",
        ],
        &[
            "channel", "create", "orders", "--bucket", "lake", "--key", "!{shard}",
        ],
        &["channel", "create", "orders", "--bucket", "lake", "--name", "a b"],
        &["channel", "create", "orders"],
    ] {
        cloud.streamctl(args).assert().code(2);
    }
    for (args, text) in [
        (
            &["channel", "create", "provisioned", "--bucket", "lake"][..],
            "on-demand streams only",
        ),
        (
            &["channel", "create", "orders", "--bucket", "none"],
            "there is no bucket none",
        ),
        (
            &[
                "channel", "create", "orders", "--bucket", "lake", "--role", "nobody",
            ],
            "there is no role nobody",
        ),
        (&["channel", "create", "absent", "--bucket", "lake"], "absent"),
        (&["channel", "describe", "orders"], "stream orders has no channel"),
        (
            &["channel", "delete", "orders", "--name", "x", "--yes"],
            "stream orders has no channel x",
        ),
    ] {
        let output = cloud.streamctl(args).assert().code(1);
        output.stderr(predicate::str::contains(text));
    }
    block_on(async {
        let iam = aws_sdk_iam::Client::new(&cloud.sdk());
        let roles = iam
            .list_roles()
            .path_prefix("/streamctl/channel/")
            .send()
            .await
            .unwrap();
        assert!(roles.roles().is_empty());
    });
    assert_eq!(cloud.json(["channel", "list", "--all"]), json!([]));
}

/// Without `--data-freshness`, as on AWS: time passes by the clock.
#[test]
fn a_channel_delivers_by_its_data_freshness_which_can_be_changed() {
    let cloud = Cloud::start();
    bucket(&cloud, "lake");
    cloud.ok(["create", "orders", "--on-demand"]);
    cloud.ok([
        "channel",
        "create",
        "orders",
        "--bucket",
        "lake",
        "--compression",
        "none",
    ]);
    let update = ["channel", "update", "orders", "--freshness", "15m"];
    let planned = cloud.json(["channel", "update", "orders", "--freshness", "15m", "--dry-run"]);
    assert_eq!(planned["changed"], false);
    assert_eq!(planned["changes"][0]["from"], "300 s");
    let changed = cloud.json(update);
    assert_eq!(changed["changed"], true);
    assert_eq!(cloud.json(update)["changes"], json!([]));
    assert_eq!(
        cloud.json(["channel", "describe", "orders"])["freshness_seconds"],
        900
    );
    cloud.fails(2, ["channel", "update", "orders", "--freshness", "16m"]);
    cloud.fails(
        1,
        [
            "channel",
            "update",
            "orders",
            "--name",
            "none",
            "--freshness",
            "5m",
        ],
    );

    crate::contents::put(&cloud, "orders", [("k", "{\"n\":1}")]);
    cloud.ok(["local", "clock", "--advance", "10m"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(objects(&cloud, "lake"), []);
    cloud.ok(["local", "clock", "--advance", "6m"]);
    let found = delivered(&cloud, "lake", 1);
    assert_eq!(lines(&found), [json!({"n": 1})]);
}

const MANIFEST: &str = r#"
name = "lake"
description = "A stream whose records are delivered to a bucket"
instance = "orders"

[[resources]]
kind = "stream"
id = "stream"
[resources.properties]
name = "orders"
mode = "on-demand"

[[resources]]
kind = "bucket"
id = "data"
[resources.properties]
name = "orders-lake"

[[resources]]
kind = "role"
id = "role"
[resources.properties]
name = "orders-delivery"
service = "kinesis.amazonaws.com"
statements = [
  { sid = "Find", actions = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], resources = ["${data.arn}"] },
  { sid = "Write", actions = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"], resources = ["${data.arn}/*"] },
]

[[resources]]
kind = "channel"
id = "channel"
[resources.properties]
name = "orders"
stream = "${stream.arn}"
bucket = "${data.name}"
role = "${role.arn}"
compression = "none"

[outputs]
channel_arn = "${channel.arn}"
"#;

#[test]
fn a_channel_of_a_manifest_is_updated_in_place_and_destroyed() {
    let cloud = Cloud::start_with(["--data-freshness", "200ms"]);
    cloud.file("lake.toml", MANIFEST);
    cloud.ok(["setup", "-f", "lake.toml"]);
    cloud.ok(["plan", "--check", "-f", "lake.toml"]);
    let input = cloud.file("records.ndjson", "{\"n\":1}\n{\"n\":2}\n");
    cloud.ok(["put", "orders", "--file", input.to_str().unwrap()]);
    let mut numbers: Vec<u64> = lines(&delivered(&cloud, "orders-lake", 2))
        .iter()
        .map(|line| line["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    let verified = cloud.ok(["verify", "-f", "lake.toml", "--no-put"]);
    assert!(
        verified.contains("delivers to orders-lake within 300 s"),
        "{verified}"
    );

    let with = |more: &str| MANIFEST.replace("compression = \"none\"", more);
    cloud.file(
        "lake.toml",
        with("compression = \"none\"\nfreshness_seconds = 900"),
    );
    cloud.fails(5, ["plan", "--check", "-f", "lake.toml"]);
    cloud.ok(["setup", "-f", "lake.toml"]);
    assert_eq!(
        cloud.json(["channel", "describe", "orders"])["freshness_seconds"],
        900
    );
    // Nothing else of a channel can be changed.
    cloud.file("lake.toml", with("compression = \"gzip\""));
    let refused = cloud.fails(1, ["setup", "-f", "lake.toml"]);
    assert!(
        refused.contains("has another compression, which cannot be changed: NONE instead of GZIP"),
        "{refused}"
    );
    cloud.file("lake.toml", MANIFEST);
    cloud.ok(["destroy", "-f", "lake.toml", "--yes"]);
    assert_eq!(cloud.json(["channel", "list", "--all"]), json!([]));
}
