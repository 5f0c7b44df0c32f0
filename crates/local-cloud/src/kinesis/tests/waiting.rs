//! Waiting for records of any shard.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::world::World;
use crate::Body;
use crate::kinesis::data::wait;
use crate::kinesis::service::Request;

impl World {
    fn wait(&self, after: &str) -> impl Future<Output = Response<Body>> + use<> {
        let request = Request {
            target: "Kinesis_20131202.DescribeStreamSummary".to_owned(),
            content_type: "application/x-amz-json-1.1".to_owned(),
            body: json!({"StreamName": "orders"}).to_string().into(),
        };
        wait::describe(
            Arc::clone(&self.service),
            self.caller.clone(),
            request,
            after.to_owned(),
        )
    }
}

/// The mark and the shards of an answer.
fn told(response: &Response<Body>) -> (String, String) {
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    (header("x-streamctl-mark"), header("x-streamctl-appended"))
}

/// How long to wait for what must not come.
const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_record_of_any_shard_ends_the_wait() {
    let world = World::new();
    world.stream("orders", 2);
    let (mark, shards) = told(&world.wait("").await);
    assert_eq!(shards, "*", "what came before is in no list");
    let waiting = tokio::spawn(world.wait(&mark));
    assert!(timeout(SHORT, world.wait(&mark)).await.is_err());
    world.put("orders", "k", "one");
    let (mark, shards) = told(&waiting.await.unwrap());
    assert!(shards == "0" || shards == "1", "{shards}");
    // What came between two questions is not missed.
    world.put("orders", "k", "two");
    let (mark, again) = told(&timeout(SHORT, world.wait(&mark)).await.unwrap());
    assert_eq!(again, shards);
    assert!(timeout(SHORT, world.wait(&mark)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_records_ends_after_some_seconds() {
    let world = World::new();
    world.stream("orders", 2);
    let (mark, _) = told(&world.wait("").await);
    let begun = Instant::now();
    let (next, shards) = told(&world.wait(&mark).await);
    assert!((15..25).contains(&begun.elapsed().as_secs()));
    assert_eq!((next, shards.as_str()), (mark, ""));
}

#[tokio::test(start_paused = true)]
async fn a_reshard_and_the_mark_of_another_process_are_news_of_any_shard() {
    let world = World::new();
    world.stream("orders", 1);
    let (mark, _) = told(&world.wait("").await);
    let waiting = tokio::spawn(world.wait(&mark));
    tokio::task::yield_now().await;
    world.ok(
        "SplitShard",
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000",
            "NewStartingHashKey": "170141183460469231731687303715884105728"}),
    );
    assert_eq!(told(&waiting.await.unwrap()).1, "*");
    for mark in ["0-0-0-0", "nonsense", "1-2", "18446744073709551616-0-0-0"] {
        assert_eq!(told(&world.wait(mark).await).1, "*", "{mark}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_engine_ends_the_wait() {
    let world = World::new();
    world.stream("orders", 1);
    let (mark, _) = told(&world.wait("").await);
    let waiting = tokio::spawn(world.wait(&mark));
    tokio::task::yield_now().await;
    world.service.end_subscriptions();
    timeout(SHORT, waiting).await.unwrap().unwrap();
    timeout(SHORT, world.wait(&mark)).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_refused_as_without_the_header() {
    let world = World::new();
    let response = world.wait("").await;
    assert_eq!(response.status(), 400);
    assert!(!response.headers().contains_key("x-streamctl-mark"));
}
