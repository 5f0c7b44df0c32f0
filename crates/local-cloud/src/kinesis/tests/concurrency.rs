//! Concurrent calls do not deadlock and cause no internal failures.

use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;

use super::world::World;
use crate::clock::Clock;
use crate::kinesis::stream::meta::Status;

#[test]
fn concurrent_changes_of_the_same_streams_do_not_deadlock() {
    let world = World::new();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let world = &world;
            scope.spawn(move || {
                for turn in 0..48 {
                    let name = ["a", "b"][(thread + turn) % 2];
                    let split = json!({"StreamName": name, "TargetShardCount": 1 + turn % 3, "ScalingType": "UNIFORM_SCALING"});
                    let record = json!({"StreamName": name, "PartitionKey": "k", "Data": ""});
                    let calls = [
                        ("CreateStream", json!({"StreamName": name, "ShardCount": 2})),
                        ("PutRecord", record.clone()),
                        ("AddTagsToStream", json!({"StreamName": name, "Tags": {"t": "v"}})),
                        ("UpdateShardCount", split),
                        ("ListStreams", json!({})),
                        ("PutRecord", record),
                        ("ListShards", json!({"StreamName": name})),
                        ("DescribeLimits", json!({})),
                        ("DeleteStream", json!({"StreamName": name})),
                    ];
                    let (operation, input) = &calls[(turn * 7 + thread) % calls.len()];
                    let (status, answer) = world.call(operation, input);
                    assert_ne!(status, 500, "{operation}: {answer}");
                    world.clock.advance(150);
                    if turn % 16 == 15 {
                        world.service.sweep();
                    }
                }
            });
        }
    });
    world.settle();
    let world = world.restarted();
    world.ok("ListStreams", json!({}));
}

#[test]
fn readers_do_not_wait_for_a_slow_change() {
    let world = World::new();
    world.ok("CreateStream", json!({"StreamName": "orders", "ShardCount": 1}));
    // The transition to ACTIVE is due but not yet observed.
    world.clock.advance(super::world::DELAY_MS);
    let now_ms = world.clock.now_ms();
    let streams = world.service.catalog.list(&world.caller, i64::MIN);
    std::thread::scope(|scope| {
        let ((started, has_started), (end, may_end)) = (channel(), channel());
        let stream = &streams[0];
        scope.spawn(move || {
            stream.change(now_ms, |_| {
                started.send(()).unwrap();
                may_end.recv().unwrap();
                Ok(())
            })
        });
        has_started.recv().unwrap();
        let (looked, has_looked) = channel();
        scope.spawn(move || looked.send(stream.view(now_ms).meta.status));
        let status = has_looked.recv_timeout(Duration::from_secs(20));
        end.send(()).unwrap();
        assert_eq!(status, Ok(Status::Active));
    });
}
