//! Tumbling windows: the state between batches, and the final invocation.

use serde_json::{Value, json};

use super::world::{Call, Reply, World};

/// Counts the records of a window.
fn count(call: &Call) -> Reply {
    let before = call.event["state"]["n"].as_u64().unwrap_or(0);
    Reply::Body(json!({"state": {"n": before + call.records.len() as u64}}).to_string())
}

fn finals(calls: &[Call]) -> Vec<(Value, Value, Value)> {
    let last = calls
        .iter()
        .filter(|call| call.event["isFinalInvokeForWindow"] == true);
    last.map(|call| {
        assert!(call.records.is_empty());
        let event = &call.event;
        (
            event["window"]["start"].clone(),
            event["state"].clone(),
            event["isWindowTerminatedEarly"].clone(),
        )
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn state_is_passed_between_batches_and_to_the_final_invocation() {
    let world = World::new(json!({"TumblingWindowInSeconds": 60}), count).await;
    world.put("k", "a");
    world.sleep(10_000).await;
    world.put("k", "b");
    world.sleep(49_000).await;
    assert_eq!(world.texts(), ["a", "b"]);
    let calls = world.calls(3).await;
    assert_eq!(calls[0].event["state"], json!({}));
    assert_eq!(calls[0].event["shardId"], "shardId-000000000000");
    assert_eq!(
        calls[0].event["window"],
        json!({"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z"})
    );
    assert_eq!(calls[1].event["state"], json!({"n": 1}));
    assert_eq!(
        finals(&calls),
        [(json!("2026-01-01T00:00:00Z"), json!({"n": 2}), json!(false))]
    );
    assert_eq!(calls[2].at_ms, 60_000);
    world.put("k", "c");
    let calls = world.calls(4).await;
    assert_eq!(calls[3].event["state"], json!({}));
    assert_eq!(calls[3].event["window"]["start"], "2026-01-01T00:01:00Z");
}

#[tokio::test(start_paused = true)]
async fn a_batch_never_spans_two_windows() {
    let world = World::bare(1, count);
    for second in 0..3 {
        world.put("k", &format!("a{second}"));
        world.put("k", &format!("b{second}"));
        world.sleep(10_000).await;
    }
    world.map(json!({"TumblingWindowInSeconds": 10})).await;
    let calls = world.calls(6).await;
    assert_eq!(world.texts(), ["a0 b0", "", "a1 b1", "", "a2 b2", ""]);
    assert!(
        finals(&calls)
            .iter()
            .all(|(_, state, _)| *state == json!({"n": 2}))
    );
}

#[tokio::test(start_paused = true)]
async fn a_response_without_state_is_a_failure_and_the_final_invocation_is_retried() {
    let mut answers = vec!["{}", r#"{"state":{"n":7}}"#].into_iter();
    let mut failures = 3;
    let world = World::new(
        json!({"TumblingWindowInSeconds": 10, "MaximumRetryAttempts": 1}),
        move |call: &Call| {
            if call.event["isFinalInvokeForWindow"] == true {
                failures -= 1;
                return if failures >= 0 {
                    Reply::Throw
                } else {
                    Reply::Body("null".to_owned())
                };
            }
            Reply::Body(answers.next().unwrap_or(r#"{"state":1}"#).to_owned())
        },
    )
    .await;
    world.put("k", "a");
    world.sleep(10_100).await;
    world.put("k", "later");
    let calls = world.calls(7).await;
    assert_eq!(world.texts(), ["a", "a", "", "", "", "", "later"]);
    assert!(
        finals(&calls)
            .iter()
            .all(|(_, state, _)| *state == json!({"n": 7}))
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_beyond_1_mb_ends_the_window_early() {
    let world = World::new(json!({"TumblingWindowInSeconds": 60}), |call: &Call| {
        let long = "x".repeat(if call.text() == "a" { 1 << 20 } else { 1 });
        Reply::Body(json!({"state": long}).to_string())
    })
    .await;
    world.put("k", "a");
    let calls = world.calls(2).await;
    assert_eq!(calls[1].event["isFinalInvokeForWindow"], true);
    assert_eq!(calls[1].event["isWindowTerminatedEarly"], true);
    world.put("k", "b");
    let calls = world.calls(4).await;
    assert_eq!(calls[2].event["state"], json!({}));
    assert_eq!(calls[3].event["isWindowTerminatedEarly"], false);
}

#[tokio::test(start_paused = true)]
async fn state_survives_a_restart() {
    let mut world = World::new(json!({"TumblingWindowInSeconds": 60}), count).await;
    world.put("k", "a");
    world.calls(1).await;
    world.restart();
    world.put("k", "b");
    let calls = world.calls(3).await;
    assert_eq!(finals(&calls)[0].1, json!({"n": 2}));
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_ends_its_window_before_its_children_start() {
    let world = World::new(json!({"TumblingWindowInSeconds": 600}), count).await;
    world.put("k", "a");
    world.calls(1).await;
    let input = json!({"StreamName": super::world::STREAM, "ShardToSplit": "shardId-000000000000",
        "NewStartingHashKey": "170141183460469231731687303715884105728"});
    world.kinesis("SplitShard", input);
    let calls = world.calls(2).await;
    assert_eq!(finals(&calls)[0].1, json!({"n": 1}));
    world.put("k", "b");
    assert_eq!(world.calls(3).await[2].event["state"], json!({}));
}
