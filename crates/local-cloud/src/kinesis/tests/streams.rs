//! Streams: creation, status, limits, tags, retention, deletion.

use serde_json::json;

use super::world::{DELAY_MS, START_MS, World, wait_until_empty};
use crate::Caller;

#[test]
fn a_new_stream_is_creating_then_active() {
    let world = World::new();
    world.ok(
        "CreateStream",
        json!({"StreamName": "orders", "ShardCount": 2, "Tags": {"team": "a"}}),
    );
    let summary = world.summary("orders");
    assert_eq!(summary["StreamStatus"], "CREATING");
    assert_eq!(summary["OpenShardCount"], 0);
    assert_eq!(
        world.refused(
            "PutRecord",
            json!({"StreamName": "orders", "PartitionKey": "k", "Data": ""})
        ),
        "ResourceNotFoundException"
    );
    assert_eq!(
        world.refused("ListShards", json!({"StreamName": "orders"})),
        "ResourceInUseException"
    );
    world.settle();
    let summary = world.summary("orders");
    assert_eq!(summary["StreamStatus"], "ACTIVE");
    assert_eq!(summary["OpenShardCount"], 2);
    assert_eq!(summary["RetentionPeriodHours"], 24);
    assert_eq!(summary["EncryptionType"], "NONE");
    assert_eq!(summary["MaxRecordSizeInKiB"], 1024);
    assert_eq!(
        summary["StreamARN"],
        "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
    );
    assert_eq!(summary["StreamModeDetails"]["StreamMode"], "PROVISIONED");
    assert_eq!(summary["StreamCreationTimestamp"], START_MS as f64 / 1000.0);
    let tags = world.ok("ListTagsForStream", json!({"StreamName": "orders"}));
    assert_eq!(
        tags,
        json!({"Tags": [{"Key": "team", "Value": "a"}], "HasMoreTags": false})
    );
}

#[test]
fn a_description_has_shards_in_pages() {
    let world = World::new();
    world.stream("orders", 3);
    let page = world.ok("DescribeStream", json!({"StreamName": "orders", "Limit": 2}));
    let description = &page["StreamDescription"];
    assert_eq!(description["HasMoreShards"], true);
    assert_eq!(
        description["EnhancedMonitoring"],
        json!([{"ShardLevelMetrics": []}])
    );
    let shard = &description["Shards"][1];
    assert_eq!(shard["ShardId"], "shardId-000000000001");
    assert_eq!(
        shard["HashKeyRange"]["StartingHashKey"],
        "113427455640312821154458202477256070485"
    );
    assert!(shard["SequenceNumberRange"].get("EndingSequenceNumber").is_none());
    assert!(shard.get("ParentShardId").is_none());
    let rest = world.ok(
        "DescribeStream",
        json!({"StreamName": "orders", "ExclusiveStartShardId": "shardId-000000000001"}),
    );
    assert_eq!(rest["StreamDescription"]["Shards"].as_array().unwrap().len(), 1);
    assert_eq!(rest["StreamDescription"]["HasMoreShards"], false);
}

#[test]
fn a_stream_is_found_by_name_arn_or_id() {
    let world = World::new();
    world.stream("orders", 1);
    let id = world.summary("orders")["StreamId"].clone();
    for target in [
        json!({"StreamARN": world.arn("orders")}),
        json!({"StreamId": id}),
        json!({"StreamName": "orders", "StreamARN": world.arn("orders")}),
    ] {
        let found = world.ok("DescribeStreamSummary", target);
        assert_eq!(found["StreamDescriptionSummary"]["StreamName"], "orders");
    }
    assert_eq!(
        world.refused("DescribeStreamSummary", json!({})),
        "InvalidArgumentException"
    );
    let contradiction = json!({"StreamName": "bills", "StreamARN": world.arn("orders")});
    assert_eq!(
        world.refused("DescribeStreamSummary", contradiction),
        "InvalidArgumentException"
    );
    let elsewhere = json!({"StreamARN": "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"});
    assert_eq!(
        world.refused("DescribeStreamSummary", elsewhere),
        "ResourceNotFoundException"
    );
}

#[test]
fn accounts_and_regions_do_not_see_each_other() {
    let mut world = World::new();
    world.stream("orders", 1);
    let iterator = world.iterator("orders", 0, "LATEST");
    for (account, region) in [("000000000000", "eu-west-1"), ("111111111111", "us-east-1")] {
        world.caller = Caller {
            account: account.to_owned(),
            region: region.to_owned(),
        };
        let missing = world.err("DescribeStream", json!({"StreamName": "orders"}));
        assert_eq!(
            missing,
            (
                "ResourceNotFoundException".to_owned(),
                format!("Stream orders under account {account} not found.")
            )
        );
        assert_eq!(world.ok("ListStreams", json!({}))["StreamNames"], json!([]));
        assert_eq!(
            world.refused("GetRecords", json!({"ShardIterator": iterator})),
            "ResourceNotFoundException"
        );
        world.stream("orders", 1);
    }
}

#[test]
fn a_name_is_in_use_until_its_stream_is_gone() {
    let world = World::new();
    world.stream("orders", 1);
    assert_eq!(
        world.refused("CreateStream", json!({"StreamName": "orders", "ShardCount": 1})),
        "ResourceInUseException"
    );
    world.ok("DeleteStream", json!({"StreamName": "orders"}));
    assert_eq!(world.status("orders"), "DELETING");
    assert_eq!(
        world.refused("CreateStream", json!({"StreamName": "orders", "ShardCount": 1})),
        "ResourceInUseException"
    );
    assert_eq!(
        world.refused("DeleteStream", json!({"StreamName": "orders"})),
        "ResourceInUseException"
    );
    assert_eq!(
        world.refused(
            "AddTagsToStream",
            json!({"StreamName": "orders", "Tags": {"a": "b"}})
        ),
        "ResourceInUseException"
    );
    world.settle();
    assert_eq!(
        world.refused("DescribeStream", json!({"StreamName": "orders"})),
        "ResourceNotFoundException"
    );
    world.service.sweep();
    wait_until_empty(&world.dir.path().join("kinesis/streams"));
    world.stream("orders", 1);
}

#[test]
fn an_iterator_does_not_outlive_its_stream() {
    let world = World::new();
    world.stream("orders", 1);
    let iterator = world.iterator("orders", 0, "TRIM_HORIZON");
    world.ok("DeleteStream", json!({"StreamName": "orders"}));
    world.settle();
    world.stream("orders", 1);
    assert_eq!(
        world.refused("GetRecords", json!({"ShardIterator": iterator})),
        "ResourceNotFoundException"
    );
}

#[test]
fn a_stream_with_consumers_is_deleted_only_when_enforced() {
    let world = World::new();
    world.stream("orders", 1);
    world.consumer("orders", "app");
    assert_eq!(
        world.refused("DeleteStream", json!({"StreamName": "orders"})),
        "ResourceInUseException"
    );
    world.ok(
        "DeleteStream",
        json!({"StreamName": "orders", "EnforceConsumerDeletion": true}),
    );
}

#[test]
fn changes_wait_for_active() {
    let world = World::new();
    world.ok("CreateStream", json!({"StreamName": "orders", "ShardCount": 1}));
    let (code, message) = world.err(
        "SplitShard",
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "9"}),
    );
    assert_eq!(code, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream orders under account 000000000000 not ACTIVE, instead in state CREATING"
    );
    world.settle();
    world.ok(
        "IncreaseStreamRetentionPeriod",
        json!({"StreamName": "orders", "RetentionPeriodHours": 48}),
    );
    assert_eq!(world.status("orders"), "UPDATING");
    world.put("orders", "k", "data flows while UPDATING");
    assert_eq!(
        world.refused("DeleteStream", json!({"StreamName": "orders"})),
        "ResourceInUseException"
    );
    world.clock.advance(DELAY_MS - 1);
    assert_eq!(world.status("orders"), "UPDATING");
    world.clock.advance(1);
    assert_eq!(world.status("orders"), "ACTIVE");
}

#[test]
fn retention_is_24_to_8760_hours_and_changes_in_the_direction_of_its_operation() {
    let world = World::new();
    world.stream("orders", 1);
    for (operation, hours, says) in [
        (
            "IncreaseStreamRetentionPeriod",
            23,
            "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.",
        ),
        (
            "IncreaseStreamRetentionPeriod",
            8761,
            "Maximum allowed retention period is 8760 hours. Requested retention period (8761 hours) is too long.",
        ),
        (
            "DecreaseStreamRetentionPeriod",
            25,
            "Requested retention period (25 hours) for stream orders can not be longer than existing retention period (24 hours). Use IncreaseRetentionPeriod API.",
        ),
    ] {
        let refused = world.err(
            operation,
            json!({"StreamName": "orders", "RetentionPeriodHours": hours}),
        );
        assert_eq!(refused, ("InvalidArgumentException".to_owned(), says.to_owned()));
    }
    world.ok(
        "IncreaseStreamRetentionPeriod",
        json!({"StreamName": "orders", "RetentionPeriodHours": 8760}),
    );
    world.settle();
    assert_eq!(
        world.refused(
            "IncreaseStreamRetentionPeriod",
            json!({"StreamName": "orders", "RetentionPeriodHours": 24})
        ),
        "InvalidArgumentException"
    );
    world.ok(
        "DecreaseStreamRetentionPeriod",
        json!({"StreamName": "orders", "RetentionPeriodHours": 24}),
    );
    assert_eq!(world.summary("orders")["RetentionPeriodHours"], 24);
}

#[test]
fn monitoring_is_enabled_for_single_metrics_or_all() {
    let world = World::new();
    world.stream("orders", 1);
    let on = world.ok(
        "EnableEnhancedMonitoring",
        json!({"StreamName": "orders", "ShardLevelMetrics": ["IncomingBytes"]}),
    );
    assert_eq!(on["CurrentShardLevelMetrics"], json!([]));
    assert_eq!(on["DesiredShardLevelMetrics"], json!(["IncomingBytes"]));
    world.settle();
    world.ok(
        "EnableEnhancedMonitoring",
        json!({"StreamARN": world.arn("orders"), "ShardLevelMetrics": ["ALL"]}),
    );
    assert_eq!(
        world.summary("orders")["EnhancedMonitoring"][0]["ShardLevelMetrics"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
    world.settle();
    let off = world.ok(
        "DisableEnhancedMonitoring",
        json!({"StreamName": "orders", "ShardLevelMetrics": ["IncomingBytes"]}),
    );
    assert_eq!(off["DesiredShardLevelMetrics"].as_array().unwrap().len(), 6);
    assert_eq!(
        world.refused(
            "EnableEnhancedMonitoring",
            json!({"StreamName": "orders", "ShardLevelMetrics": ["Nonsense"]})
        ),
        "ValidationException"
    );
}

#[test]
fn describe_limits_counts_provisioned_shards_and_on_demand_streams() {
    let mut world = World::new();
    world.stream("a", 3);
    world.on_demand("b");
    assert_eq!(
        world.ok("DescribeLimits", json!({})),
        json!({"ShardLimit": 20000, "OpenShardCount": 3, "OnDemandStreamCount": 1, "OnDemandStreamCountLimit": 50})
    );
    world.caller.region = "ap-south-1".to_owned();
    let (code, message) = world.err("CreateStream", json!({"StreamName": "c", "ShardCount": 1001}));
    assert_eq!(code, "LimitExceededException");
    assert!(message.contains("Limit: 1000."), "{message}");
}
