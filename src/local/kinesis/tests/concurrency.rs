//! Many callers at once: nothing deadlocks, nothing fails for the engine's own reasons.

use serde_json::json;

use super::world::World;

#[test]
fn callers_that_create_change_and_delete_the_same_streams_get_out_again() {
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
