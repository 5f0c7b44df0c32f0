//! Budgets of the control plane: they survive a restart and follow the clock.

use serde_json::{Value, json};

use super::world::{HOUR_MS, World, base64};
use crate::kinesis::operation::{Operation, Scope};

const DAY_MS: i64 = 24 * HOUR_MS;

/// Uses a budget of `most` calls in 24 hours up, an hour apart, with a restart before each, and follows it through the
/// next day. `call` makes the call with this number.
fn spend(mut world: World, most: i64, operation: &str, call: impl Fn(i64) -> Value) {
    let started = crate::clock::Clock::now_ms(&*world.clock);
    for n in 0..most {
        world = world.restarted();
        world.ok(operation, call(n));
        world.settle();
        world.clock.advance(HOUR_MS / 2);
    }
    let refused = |world: &World, n: i64| {
        let (code, message) = world.err(operation, call(n));
        assert_eq!(code, "LimitExceededException", "{message}");
        assert!(message.contains("24 hours"), "{message}");
    };
    refused(&world, most);
    world = world.restarted();
    refused(&world, most);
    let now = crate::clock::Clock::now_ms(&*world.clock);
    // The window rolls: the first call leaves it a day after it was made, and only that one.
    world.clock.advance(started + DAY_MS - 1 - now);
    refused(&world, most);
    world.clock.advance(1);
    world.ok(operation, call(most));
    world.settle();
    refused(&world, most + 1);
    world.clock.advance(DAY_MS);
    world.ok(operation, call(most + 1));
}

#[test]
fn ten_uniform_reshards_in_any_24_hours() {
    let world = World::new();
    world.stream("orders", 3);
    spend(
        world,
        10,
        "UpdateShardCount",
        |n| json!({"StreamName": "orders", "TargetShardCount": 4 - n % 2, "ScalingType": "UNIFORM_SCALING"}),
    );
}

#[test]
fn two_switches_of_the_mode_in_any_24_hours() {
    let world = World::new();
    world.stream("orders", 1);
    let arn = world.arn("orders");
    spend(world, 2, "UpdateStreamMode", move |n| {
        let mode = if n % 2 == 0 { "ON_DEMAND" } else { "PROVISIONED" };
        json!({"StreamARN": arn, "StreamModeDetails": {"StreamMode": mode}})
    });
}

#[test]
fn twenty_five_keys_in_any_24_hours() {
    let world = World::new();
    world.stream("orders", 1);
    spend(world, 25, "StartStreamEncryption", |n| {
        let key = if n % 2 == 0 {
            "alias/mine"
        } else {
            "alias/aws/kinesis"
        };
        json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": key})
    });
}

#[test]
fn a_stream_has_fifty_consumers_with_the_commitment_and_five_at_a_time() {
    let world = World::strict();
    world.stream("orders", 1);
    let register = |n: usize| json!({"StreamARN": world.arn("orders"), "ConsumerName": format!("app-{n}")});
    for n in 0..5 {
        world.ok("RegisterStreamConsumer", register(n));
    }
    world.clock.advance(300);
    assert_eq!(
        world.refused("RegisterStreamConsumer", register(5)),
        "LimitExceededException"
    );
    world.settle();
    for n in 5..20 {
        world.ok("RegisterStreamConsumer", register(n));
        world.settle();
    }
    assert_eq!(
        world.refused("RegisterStreamConsumer", register(20)),
        "LimitExceededException"
    );
    world.ok(
        "UpdateAccountSettings",
        json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}}),
    );
    for n in 20..50 {
        world.settle();
        world.ok("RegisterStreamConsumer", register(n));
    }
    world.settle();
    assert_eq!(
        world.refused("RegisterStreamConsumer", register(50)),
        "LimitExceededException"
    );
}

#[test]
fn every_operation_of_the_account_has_its_rate() {
    for operation in Operation::ALL {
        let rate = operation.rate();
        if rate.scope != Scope::Account {
            continue;
        }
        let world = World::strict();
        let limited = |world: &World| {
            let (_, answer) = world.call(operation.as_str(), &json!({}));
            answer["message"]
                .as_str()
                .is_some_and(|message| message.starts_with("Rate exceeded"))
        };
        for n in 0..rate.per_second {
            assert!(!limited(&world), "{operation:?} {n}");
        }
        assert!(limited(&world), "{operation:?}");
        world.clock.advance(i64::from(1000 / rate.per_second));
        assert!(!limited(&world), "{operation:?}");
        assert!(limited(&world), "{operation:?}");
        // Another account has its own.
        let mut other = world;
        other.caller.account = "111111111111".to_owned();
        assert!(!limited(&other), "{operation:?}");
    }
}

#[test]
fn a_dry_run_answers_what_the_request_would() {
    let world = World::new();
    world.stream("orders", 1);
    let iterator = json!({
        "StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST", "DryRun": true,
    });
    let record = json!({"StreamName": "orders", "PartitionKey": "k", "Data": base64("x"), "DryRun": true});
    let at = world.iterator("orders", 0, "LATEST");
    for (operation, input) in [
        ("GetShardIterator", iterator.clone()),
        ("PutRecord", record),
        ("GetRecords", json!({"ShardIterator": at, "DryRun": true})),
    ] {
        assert_eq!(
            world.refused(operation, input),
            "DryRunOperationException",
            "{operation}"
        );
    }
    let mut absent = iterator;
    absent["StreamName"] = json!("absent");
    assert_eq!(
        world.refused("GetShardIterator", absent),
        "ResourceNotFoundException"
    );
    assert_eq!(world.read_all("orders", 0), Vec::<String>::new());
}
