//! A killed process delivers its batches in progress again and loses nothing.

use serde_json::json;

use super::world::{Reply, World, success};

#[tokio::test(start_paused = true)]
async fn a_batch_in_progress_is_delivered_again() {
    let mut world = World::new(json!({"BatchSize": 2}), |_| success()).await;
    world.put("k", "a");
    world.calls(1).await;
    world.script(|_| Reply::After(60_000, Box::new(success())));
    world.put("k", "b");
    world.calls(2).await;
    world.restart();
    world.script(|_| success());
    world.put("k", "c");
    world
        .until("all", |world| world.texts().join(" ").contains('c'))
        .await;
    assert_eq!(world.texts()[..2], ["a", "b"]);
    assert_eq!(world.texts()[2..].join(" ").replace("b b", "b"), "b c");
}

#[tokio::test(start_paused = true)]
async fn processed_records_are_not_delivered_again() {
    let mut world = World::new(json!({}), |_| success()).await;
    for n in 0..50 {
        world.put("k", &n.to_string());
        world.sleep(2).await;
    }
    world
        .until("all", |world| world.texts().join(" ").ends_with("49"))
        .await;
    let before = world.texts();
    world.restart();
    world.sleep(10_000).await;
    assert_eq!(world.texts(), before);
    world.put("k", "next");
    world.calls(before.len() + 1).await;
    assert_eq!(world.texts().last().unwrap(), "next");
}

#[tokio::test(start_paused = true)]
async fn settings_and_state_survive_a_restart() {
    let mut world = World::new(json!({"BatchSize": 7, "Tags": {"team": "a"}}), |_| success()).await;
    world.sleep(10).await;
    world.update(json!({"Enabled": false})).await;
    world.sleep(10).await;
    let before = world.get().await;
    world.restart();
    world.sleep(10).await;
    assert_eq!(world.get().await, before);
    assert_eq!(before["State"], "Disabled");
    world.put("k", "a");
    world.sleep(1_000).await;
    world.update(json!({"Enabled": true})).await;
    assert_eq!(world.calls(1).await[0].text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_mapping_stays_deleted() {
    let mut world = World::new(json!({}), |_| success()).await;
    world.put("k", "a");
    world.calls(1).await;
    let path = format!("{}/{}", super::world::PATH, world.uuid);
    assert_eq!(
        world.call("DELETE", &path, serde_json::Value::Null).await.1["State"],
        "Deleting"
    );
    world.sleep(10).await;
    world.restart();
    assert_eq!(world.call("GET", &path, serde_json::Value::Null).await.0, 404);
    world.put("k", "b");
    world.sleep(1_000).await;
    assert_eq!(world.texts(), ["a"]);
    // A new mapping of the same pair starts from the beginning.
    world.map(json!({})).await;
    assert_eq!(world.calls(2).await[1].text(), "a b");
}
