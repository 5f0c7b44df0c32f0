//! Modes, warm throughput, record size, distribution, account settings.

use serde_json::{Value, json};

use super::world::{HOUR_MS, World, base64};

fn mode(world: &World, mode: &str) -> Value {
    json!({"StreamARN": world.arn("orders"), "StreamModeDetails": {"StreamMode": mode}})
}

#[test]
fn an_on_demand_stream_has_four_shards_and_manages_them_itself() {
    let world = World::new();
    world.on_demand("orders");
    let summary = world.summary("orders");
    assert_eq!(summary["OpenShardCount"], 4);
    assert_eq!(summary["RecordDistributionStrategy"], "USER_PARTITION_KEY");
    let update = json!({"StreamName": "orders", "TargetShardCount": 8, "ScalingType": "UNIFORM_SCALING"});
    let (code, message) = world.err("UpdateShardCount", update);
    assert_eq!(code, "ValidationException");
    assert_eq!(
        message,
        "Request is invalid. Stream orders under account 000000000000 is in On-Demand mode."
    );
    let counted =
        json!({"StreamName": "bills", "ShardCount": 1, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    assert_eq!(world.refused("CreateStream", counted), "ValidationException");
    assert_eq!(
        world.refused("CreateStream", json!({"StreamName": "bills"})),
        "ValidationException"
    );
}

#[test]
fn the_mode_switches_twice_a_day() {
    let world = World::new();
    world.stream("orders", 3);
    assert_eq!(
        world.refused("UpdateStreamMode", mode(&world, "PROVISIONED")),
        "ValidationException"
    );
    for to in ["ON_DEMAND", "PROVISIONED"] {
        world.ok("UpdateStreamMode", mode(&world, to));
        assert_eq!(world.status("orders"), "UPDATING");
        world.settle();
        assert_eq!(world.summary("orders")["StreamModeDetails"]["StreamMode"], to);
    }
    assert_eq!(
        world.refused("UpdateStreamMode", mode(&world, "ON_DEMAND")),
        "LimitExceededException"
    );
    world.clock.advance(24 * HOUR_MS);
    world.ok("UpdateStreamMode", mode(&world, "ON_DEMAND"));
    assert_eq!(world.summary("orders")["OpenShardCount"], 3);
}

#[test]
fn the_maximum_record_size_is_a_setting_of_the_stream() {
    let world = World::new();
    world.stream("orders", 1);
    let record = json!({"StreamName": "orders", "PartitionKey": "k", "Data": base64(&"x".repeat(2_000_000))});
    assert_eq!(world.refused("PutRecord", record.clone()), "ValidationException");
    world.ok(
        "UpdateMaxRecordSize",
        json!({"StreamARN": world.arn("orders"), "MaxRecordSizeInKiB": 2048}),
    );
    world.settle();
    world.ok("PutRecord", record);
    for size in [1023, 10_241] {
        let input = json!({"StreamARN": world.arn("orders"), "MaxRecordSizeInKiB": size});
        assert_eq!(world.refused("UpdateMaxRecordSize", input), "ValidationException");
    }
}

#[test]
fn automatic_distribution_needs_no_partition_key() {
    let world = World::new();
    world.on_demand("orders");
    let keyless = json!({"StreamName": "orders", "Data": base64("x")});
    assert_eq!(world.refused("PutRecord", keyless.clone()), "ValidationException");
    world.ok(
        "UpdateStreamRecordDistributionStrategy",
        json!({"StreamARN": world.arn("orders"), "RecordDistributionStrategy": "AUTO"}),
    );
    world.settle();
    assert_eq!(world.summary("orders")["RecordDistributionStrategy"], "AUTO");
    for _ in 0..8 {
        world.ok("PutRecord", keyless.clone());
    }
    assert!((0..4).all(|shard| world.read_all("orders", shard).len() == 2));
    world.stream("bills", 1);
    let input = json!({"StreamARN": world.arn("bills"), "RecordDistributionStrategy": "AUTO"});
    assert_eq!(
        world.refused("UpdateStreamRecordDistributionStrategy", input),
        "InvalidArgumentException"
    );
}

#[test]
fn warm_throughput_requires_the_billing_commitment_which_lasts_a_day() {
    let world = World::new();
    world.on_demand("orders");
    let warm = json!({"StreamName": "orders", "WarmThroughputMiBps": 100});
    assert_eq!(
        world.refused("UpdateStreamWarmThroughput", warm.clone()),
        "ValidationException"
    );
    let commit = |status: &str| json!({"MinimumThroughputBillingCommitment": {"Status": status}});
    assert_eq!(
        world.ok("DescribeAccountSettings", json!({}))["MinimumThroughputBillingCommitment"]["Status"],
        "DISABLED"
    );
    let on = world.ok("UpdateAccountSettings", commit("ENABLED"));
    assert_eq!(on["MinimumThroughputBillingCommitment"]["Status"], "ENABLED");
    let answer = world.ok("UpdateStreamWarmThroughput", warm);
    assert_eq!(
        answer["WarmThroughput"],
        json!({"TargetMiBps": 100, "CurrentMiBps": 0})
    );
    world.settle();
    assert_eq!(
        world.summary("orders")["WarmThroughput"],
        json!({"TargetMiBps": 100, "CurrentMiBps": 100})
    );
    assert_eq!(
        world.refused(
            "UpdateStreamWarmThroughput",
            json!({"StreamName": "orders", "WarmThroughputMiBps": 10_241})
        ),
        "LimitExceededException"
    );
    let off = world.ok("UpdateAccountSettings", commit("DISABLED"));
    assert_eq!(
        off["MinimumThroughputBillingCommitment"]["Status"],
        "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
    );
    world.clock.advance(24 * HOUR_MS);
    assert_eq!(
        world.ok("DescribeAccountSettings", json!({}))["MinimumThroughputBillingCommitment"]["Status"],
        "DISABLED"
    );
    let world = world.restarted();
    assert!(
        world.ok("DescribeAccountSettings", json!({}))["MinimumThroughputBillingCommitment"]["EndedAt"]
            .is_number()
    );
}
