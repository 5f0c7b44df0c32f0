//! Forming of batches.

use serde_json::json;

use super::world::{Call, Reply, World, queue, success};

#[tokio::test(start_paused = true)]
async fn without_a_batching_window_a_record_is_sent_immediately() {
    let world = World::new(json!({}), |_| success()).await;
    world.sleep(1_000).await;
    world.put("k", "a");
    world.sleep(1).await;
    assert_eq!(world.texts(), ["a"]);
    assert_eq!(world.times(), [1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_batching_window_ends_after_its_time_or_with_a_full_batch() {
    let world = World::new(
        json!({"MaximumBatchingWindowInSeconds": 5, "BatchSize": 3}),
        |_| success(),
    )
    .await;
    world.sleep(100).await;
    world.put("k", "a");
    world.sleep(2_000).await;
    world.put("k", "b");
    world.calls(1).await;
    assert_eq!(world.texts(), ["a b"]);
    assert_eq!(world.times(), [5_100]);
    world.sleep(850).await;
    let put_ms = world.now_ms();
    world.put_all(&["c", "d", "e", "f"]);
    world.calls(2).await;
    assert_eq!(world.texts()[1..], ["c d e"]);
    assert_eq!(world.times()[1], put_ms);
    world.calls(3).await;
    assert_eq!(world.texts()[2..], ["f"]);
    assert_eq!(world.times()[2], put_ms + 5_000);
}

#[tokio::test(start_paused = true)]
async fn records_that_arrive_during_an_invocation_form_the_next_batch() {
    let world = World::new(json!({}), |_| Reply::After(500, Box::new(success()))).await;
    world.sleep(10).await;
    world.put("k", "a");
    world.sleep(100).await;
    world.put("k", "b");
    world.put("k", "c");
    world.calls(2).await;
    assert_eq!(world.texts(), ["a", "b c"]);
    assert_eq!(*world.function.running.lock().unwrap(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_payload_stays_within_6_mb() {
    let world = World::bare(1, |_| success());
    // 700,000 bytes are 933,336 in base64: six records fit into 6 MB.
    let large = "x".repeat(700_000);
    for n in 0..14 {
        world.put("k", &format!("{n}{large}"));
    }
    world
        .map(json!({"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300}))
        .await;
    let calls = world.calls(3).await;
    let counts: Vec<usize> = calls.iter().map(|call| call.records.len()).collect();
    assert_eq!(counts, [6, 6, 2]);
    let times = world.times();
    assert_eq!(
        times[1] - times[0],
        0,
        "a full payload does not wait for the window"
    );
    assert!(times[2] >= 300_000);
}

#[tokio::test(start_paused = true)]
async fn parallel_batches_keep_the_order_of_each_key() {
    let world = World::bare(1, |call: &Call| {
        let slow = u64::from(call.records[0].data.len() as u32) * 10;
        Reply::After(slow, Box::new(success()))
    });
    for n in 0..200 {
        world.put(&format!("key{}", n % 17), &format!("{n}"));
    }
    world
        .map(json!({"ParallelizationFactor": 4, "BatchSize": 5}))
        .await;
    world
        .until("all", |world| {
            let calls = world.function.calls.lock().unwrap();
            calls.iter().map(|call| call.records.len()).sum::<usize>() == 200
        })
        .await;
    assert_eq!(world.function.running.lock().unwrap().1, 4);
    let calls = world.calls(1).await;
    for key in 0..17 {
        let key = format!("key{key}");
        let own = calls
            .iter()
            .flat_map(|call| &call.records)
            .filter(|record| record.key == key);
        let order: Vec<u32> = own.map(|record| record.data.parse().unwrap()).collect();
        assert!(order.is_sorted(), "{key}: {order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocked_lane_blocks_the_checkpoint_but_no_other_lane() {
    let script = |call: &Call| {
        if call.text().contains("bad") {
            Reply::Throw
        } else {
            success()
        }
    };
    let mut world = World::bare(1, script);
    for n in 0..40 {
        world.put(&format!("key{n}"), if n == 0 { "bad" } else { "good" });
    }
    world.uuid = world
        .map(json!({"ParallelizationFactor": 10, "BatchSize": 1}))
        .await;
    world
        .until("most", |world| {
            world.texts().iter().filter(|text| *text == "good").count() >= 30
        })
        .await;
    world.restart();
    world.script(|_| success());
    world
        .until("the blocked one", |world| {
            world.texts().iter().filter(|text| *text == "bad").count() >= 2
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn records_that_match_no_filter_are_skipped() {
    let filter = json!({"Filters": [{"Pattern": json!({"data": {"kind": ["buy"]}}).to_string()}]});
    let settings = json!({"FilterCriteria": filter, "BatchSize": 2, "MaximumBatchingWindowInSeconds": 1,
        "MetricsConfig": {"Metrics": ["EventCount"]}});
    let mut world = World::new(settings, |_| success()).await;
    for data in [
        r#"{"kind":"sell"}"#,
        r#"{"kind":"buy","n":1}"#,
        "not json",
        r#"{"kind":"buy","n":2}"#,
    ] {
        world.put("k", data);
    }
    world.calls(1).await;
    assert_eq!(world.texts(), [r#"{"kind":"buy","n":1} {"kind":"buy","n":2}"#]);
    world.put("k", r#"{"kind":"sell"}"#);
    world.sleep(2_000).await;
    assert_eq!(world.metric("FilteredOutEventCount").0, 3.0);
    assert_eq!(world.metric("PolledEventCount").0, 5.0);
    world.restart();
    world.sleep(2_000).await;
    assert_eq!(world.texts().len(), 1, "what was passed over stays behind");
    world.update(json!({"FilterCriteria": {}})).await;
    world.sleep(10).await;
    world.put("k", "anything");
    assert_eq!(world.calls(2).await[1].text(), "anything");
}

#[tokio::test(start_paused = true)]
async fn changing_settings_loses_no_records() {
    let world = World::bare(1, |_| Reply::After(50, Box::new(success())));
    let all: Vec<String> = (0..300).map(|n| format!("r{n}")).collect();
    all.iter().for_each(|data| drop(world.put(data, data)));
    let mut world = world;
    world.uuid = world.map(json!({"BatchSize": 3})).await;
    world.calls(5).await;
    world
        .update(json!({"ParallelizationFactor": 5, "BatchSize": 7}))
        .await;
    world.calls(15).await;
    world.update(json!({"Enabled": false})).await;
    world.sleep(500).await;
    assert_eq!(world.get().await["State"], "Disabled");
    let before = world.texts().len();
    world.sleep(5_000).await;
    assert_eq!(world.texts().len(), before, "a disabled mapping rests");
    world
        .update(json!({"Enabled": true, "ParallelizationFactor": 1}))
        .await;
    world
        .until("all", |world| world.texts().join(" ").contains("r299"))
        .await;
    let seen = world.texts().join(" ");
    let seen: std::collections::HashSet<&str> = seen.split(' ').collect();
    assert!(all.iter().all(|data| seen.contains(data.as_str())));
}

#[tokio::test(start_paused = true)]
async fn the_iterator_age_is_the_age_of_the_last_record() {
    let world = World::new(json!({"DestinationConfig": queue()}), |_| {
        Reply::After(700, Box::new(success()))
    })
    .await;
    world.put("k", "a");
    world.calls(1).await;
    world.sleep(1_000).await;
    assert_eq!(world.metric("IteratorAge").1, 700.0);
}

#[tokio::test(start_paused = true)]
async fn expired_records_are_skipped() {
    let mut world = World::new(json!({"MetricsConfig": {"Metrics": ["EventCount"]}}), |_| {
        success()
    })
    .await;
    world.put("k", "first");
    world.calls(1).await;
    world.update(json!({"Enabled": false})).await;
    world.sleep(100).await;
    world.put("k", "lost");
    world.sleep(24 * 3_600_000 + 1_000).await;
    world.put("k", "kept");
    world.restart();
    world.update(json!({"Enabled": true})).await;
    world.calls(2).await;
    assert_eq!(world.texts(), ["first", "kept"]);
    assert_eq!(world.metric("DroppedEventCount").0, 1.0);
}
