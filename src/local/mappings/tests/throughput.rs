//! What the mapping itself costs.

use serde_json::json;

use super::world::{World, fine};

#[tokio::test(start_paused = true)]
async fn fifty_thousand_events_go_through_one_shard_in_order() {
    let world = World::bare(1, |_| fine());
    let data: Vec<String> = (0..50_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    for chunk in data.chunks(500) {
        world.put_all(&chunk.iter().map(String::as_str).collect::<Vec<_>>());
    }
    world.map(json!({"BatchSize": 1000})).await;
    let calls = world.calls(50).await;
    assert_eq!(calls.len(), 50);
    let seen = calls
        .iter()
        .flat_map(|call| &call.records)
        .map(|record| &record.data);
    assert!(seen.eq(&data));
}
