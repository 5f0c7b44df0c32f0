//! SubscribeToShard: events, resharding, and the end of a session.

use aws_smithy_eventstream::frame::read_message_from;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::world::{World, data_of};
use crate::Body;

impl World {
    fn subscribe(&self, consumer: &str, position: Value) -> http::Response<Body> {
        let input =
            json!({"ConsumerARN": consumer, "ShardId": "shardId-000000000000", "StartingPosition": position});
        self.send(
            "SubscribeToShard",
            "application/x-amz-json-1.1",
            Bytes::from(serde_json::to_vec(&input).unwrap()),
        )
    }

    fn events(&self, consumer: &str, position: Value) -> Body {
        let response = self.subscribe(consumer, position);
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "application/vnd.amazon.eventstream"
        );
        response.into_body()
    }
}

/// The next event: type and payload.
async fn next(body: &mut Body) -> Option<(String, Value)> {
    let frame = body.frame().await?.unwrap().into_data().unwrap();
    let message = read_message_from(frame).unwrap();
    let header = |name: &str| {
        let found = message.headers().iter().find(|h| h.name().as_str() == name);
        found.map(|h| h.value().as_string().unwrap().as_str().to_owned())
    };
    let kind = header(":event-type")
        .or_else(|| header(":exception-type"))
        .unwrap();
    Some((kind, serde_json::from_slice(message.payload()).unwrap()))
}

fn data(event: &Value) -> Vec<String> {
    event["Records"].as_array().unwrap().iter().map(data_of).collect()
}

#[tokio::test(start_paused = true)]
async fn records_are_pushed_as_they_arrive() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    world.put("orders", "k", "before");
    let mut events = world.events(&consumer, json!({"Type": "TRIM_HORIZON"}));
    assert_eq!(
        next(&mut events).await.unwrap(),
        ("initial-response".to_owned(), json!({}))
    );
    let (kind, event) = next(&mut events).await.unwrap();
    assert_eq!(
        (kind.as_str(), data(&event)),
        ("SubscribeToShardEvent", vec!["before".to_owned()])
    );
    assert_eq!(
        event["ContinuationSequenceNumber"],
        event["Records"][0]["SequenceNumber"]
    );
    let (_, quiet) = next(&mut events).await.unwrap();
    assert_eq!(quiet["Records"], json!([]));
    let (put, event) = tokio::join!(async { world.put("orders", "k", "pushed") }, next(&mut events));
    assert_eq!(
        event.unwrap().1["Records"][0]["SequenceNumber"],
        put["SequenceNumber"]
    );
}

#[tokio::test(start_paused = true)]
async fn continuing_an_idle_session_loses_and_repeats_nothing() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    for start in ["LATEST", "TRIM_HORIZON"] {
        let mut events = world.events(&consumer, json!({"Type": start}));
        next(&mut events).await.unwrap();
        let mut last = next(&mut events).await.unwrap().1;
        while !data(&last).is_empty() {
            last = next(&mut events).await.unwrap().1;
        }
        drop(events);
        world.put("orders", "k", start);
        world.clock.advance(5_000);
        let number = &last["ContinuationSequenceNumber"];
        let mut events = world.events(
            &consumer,
            json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number}),
        );
        next(&mut events).await.unwrap();
        assert_eq!(data(&next(&mut events).await.unwrap().1), [start]);
        world.clock.advance(5_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_shard_and_returns_the_children() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let mut events = world.events(&consumer, json!({"Type": "TRIM_HORIZON"}));
    next(&mut events).await.unwrap();
    world.put("orders", "k", "last");
    let split =
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000"});
    world.ok("SplitShard", split);
    let mut all = Vec::new();
    let mut children = Value::Null;
    while let Some((kind, event)) = next(&mut events).await {
        assert_eq!(kind, "SubscribeToShardEvent");
        all.extend(data(&event));
        children = event["ChildShards"].clone();
        if !children.is_null() {
            assert!(event.get("ContinuationSequenceNumber").is_none());
        }
    }
    assert_eq!(all, ["last"]);
    assert_eq!(children[0]["ShardId"], "shardId-000000000001");
    assert_eq!(children[1]["ParentShards"], json!(["shardId-000000000000"]));
}

#[tokio::test(start_paused = true)]
async fn a_session_lasts_five_minutes() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let mut events = world.events(&consumer, json!({"Type": "LATEST"}));
    next(&mut events).await.unwrap();
    world.clock.advance(299_999);
    assert!(next(&mut events).await.is_some());
    world.clock.advance(1);
    assert!(next(&mut events).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_second_call_is_rejected_for_five_seconds_and_then_takes_over() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let mut first = world.events(&consumer, json!({"Type": "LATEST"}));
    next(&mut first).await.unwrap();
    world.clock.advance(4_999);
    let refused = world.subscribe(&consumer, json!({"Type": "LATEST"}));
    assert_eq!(refused.headers()["x-amzn-errortype"], "ResourceInUseException");
    world.clock.advance(1);
    let mut second = world.events(&consumer, json!({"Type": "LATEST"}));
    assert_eq!(next(&mut first).await.unwrap().0, "ResourceInUseException");
    assert!(next(&mut first).await.is_none());
    assert_eq!(next(&mut second).await.unwrap().0, "initial-response");
}

#[tokio::test(start_paused = true)]
async fn subscribing_works_after_the_clock_goes_back() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let mut first = world.events(&consumer, json!({"Type": "LATEST"}));
    next(&mut first).await.unwrap();
    world.clock.advance(-3_600_000);
    let mut second = world.events(&consumer, json!({"Type": "LATEST"}));
    assert_eq!(next(&mut second).await.unwrap().0, "initial-response");
    assert_eq!(
        next(&mut first).await.unwrap().0,
        "ResourceInUseException",
        "still, the first is over"
    );
}

#[tokio::test(start_paused = true)]
async fn deleting_the_stream_or_the_consumer_ends_the_session() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let mut events = world.events(&consumer, json!({"Type": "LATEST"}));
    next(&mut events).await.unwrap();
    world.ok("DeregisterStreamConsumer", json!({"ConsumerARN": consumer}));
    assert_eq!(next(&mut events).await.unwrap().0, "ResourceNotFoundException");
    let refused = world.subscribe(&consumer, json!({"Type": "LATEST"}));
    assert_eq!(refused.headers()["x-amzn-errortype"], "ResourceInUseException");

    world.settle();
    let consumer = world.consumer("orders", "app");
    let mut events = world.events(&consumer, json!({"Type": "LATEST"}));
    next(&mut events).await.unwrap();
    world.ok(
        "DeleteStream",
        json!({"StreamName": "orders", "EnforceConsumerDeletion": true}),
    );
    assert_eq!(next(&mut events).await.unwrap().0, "ResourceNotFoundException");
    assert!(next(&mut events).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_sessions() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let mut events = world.events(&consumer, json!({"Type": "LATEST"}));
    next(&mut events).await.unwrap();
    world.service.shutdown();
    assert!(next(&mut events).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_does_not_outlive_its_engine() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let mut events = world.events(&consumer, json!({"Type": "LATEST"}));
    next(&mut events).await.unwrap();
    drop(world);
    assert!(next(&mut events).await.is_none());
}

#[test]
fn invalid_subscriptions_are_rejected_before_they_begin() {
    let world = World::new();
    world.stream("orders", 1);
    let consumer = world.consumer("orders", "app");
    let input = |arn: &str, shard: &str, position: Value| json!({"ConsumerARN": arn, "ShardId": shard, "StartingPosition": position});
    let first = "shardId-000000000000";
    for (input, code) in [
        (
            input(&consumer, "shardId-000000000007", json!({"Type": "LATEST"})),
            "ResourceNotFoundException",
        ),
        (
            input(&consumer, first, json!({"Type": "AT_TIMESTAMP"})),
            "InvalidArgumentException",
        ),
        (
            input(&consumer, first, json!({"Type": "NOWHERE"})),
            "ValidationException",
        ),
        (
            input(&world.arn("orders"), first, json!({"Type": "LATEST"})),
            "ValidationException",
        ),
        (
            input(
                &consumer.replace("app", "other"),
                first,
                json!({"Type": "LATEST"}),
            ),
            "ResourceNotFoundException",
        ),
        (
            json!({"ConsumerARN": consumer, "ShardId": first, "StartingPosition": {"Type": "LATEST"}, "DryRun": true}),
            "DryRunOperationException",
        ),
    ] {
        assert_eq!(world.refused("SubscribeToShard", input), code);
    }
}
