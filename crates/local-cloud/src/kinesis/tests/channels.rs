//! Channels: the operations. What they deliver is tested in [`delivery`].

mod delivery;

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
