//! SubscribeToShard.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::operation::subscribe_to_shard::builders::SubscribeToShardFluentBuilder;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::builders::StartingPositionBuilder;
use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};

use super::consumers::register;
use super::{MIDDLE, client, create, put, refused, shard_id, texts, wait_active};
use crate::support::{Cloud, block_on};

fn from(kind: ShardIteratorType) -> StartingPositionBuilder {
    StartingPosition::builder().r#type(kind)
}

fn request(client: &Client, consumer: &str, start: StartingPositionBuilder) -> SubscribeToShardFluentBuilder {
    let request = client
        .subscribe_to_shard()
        .consumer_arn(consumer)
        .shard_id(shard_id(0));
    request.starting_position(start.build().unwrap())
}

async fn subscribe(
    client: &Client,
    consumer: &str,
    start: StartingPositionBuilder,
) -> SubscribeToShardOutput {
    request(client, consumer, start).send().await.unwrap()
}

/// The next event, or `None` at the end of the subscription.
async fn next(subscription: &mut SubscribeToShardOutput) -> Option<SubscribeToShardEvent> {
    let event = tokio::time::timeout(Duration::from_secs(10), subscription.event_stream.recv());
    match event.await.unwrap().unwrap()? {
        SubscribeToShardEventStream::SubscribeToShardEvent(event) => Some(event),
        other => panic!("{other:?}"),
    }
}

/// The next event that has records. Events without records only report how far the reader is.
async fn next_records(subscription: &mut SubscribeToShardOutput) -> SubscribeToShardEvent {
    loop {
        let event = next(subscription).await.unwrap();
        if !event.records().is_empty() {
            return event;
        }
    }
}

#[test]
fn records_are_pushed_as_they_arrive() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let consumer = register(&client, &stream, "reader").await;
        let first = put(&client, "s", "k", "1").await;
        let mut subscription = subscribe(&client, &consumer, from(ShardIteratorType::TrimHorizon)).await;
        let event = next_records(&mut subscription).await;
        assert_eq!(texts(event.records()), ["1"]);
        assert_eq!(event.records()[0].partition_key(), Some("k"));
        assert_eq!(event.continuation_sequence_number(), first.sequence_number());
        assert_eq!(event.millis_behind_latest(), 0);
        assert!(event.child_shards().is_empty());

        put(&client, "s", "k", "2").await;
        let event = next_records(&mut subscription).await;
        assert_eq!(texts(event.records()), ["2"]);
        put(&client, "s", "k", "3").await;
        assert_eq!(texts(next_records(&mut subscription).await.records()), ["3"]);

        // "Use this as SequenceNumber in the next call to SubscribeToShard": no record is lost or repeated.
        let other = register(&client, &stream, "other").await;
        let after = from(ShardIteratorType::AfterSequenceNumber);
        let after = after.sequence_number(event.continuation_sequence_number());
        let mut resumed = subscribe(&client, &other, after).await;
        assert_eq!(texts(next_records(&mut resumed).await.records()), ["3"]);
    });
}

#[test]
fn a_subscription_starts_at_its_starting_position() {
    use ShardIteratorType::{AtSequenceNumber, AtTimestamp, Latest};
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let mut consumers = Vec::new();
        for name in ["latest", "at", "since"] {
            consumers.push(register(&client, &stream, name).await);
        }
        put(&client, "s", "k", "1").await;
        let second = put(&client, "s", "k", "2").await;
        let at = from(AtSequenceNumber).sequence_number(second.sequence_number());
        let mut at = subscribe(&client, &consumers[1], at).await;
        assert_eq!(texts(next_records(&mut at).await.records()), ["2"]);
        let since = from(AtTimestamp).timestamp(DateTime::from_secs(0));
        let mut since = subscribe(&client, &consumers[2], since).await;
        assert_eq!(texts(next_records(&mut since).await.records()), ["1", "2"]);
        let mut latest = subscribe(&client, &consumers[0], from(Latest)).await;
        put(&client, "s", "k", "3").await;
        assert_eq!(texts(next_records(&mut latest).await.records()), ["3"]);
    });
}

#[test]
fn the_last_event_of_a_closed_shard_names_its_children() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let consumer = register(&client, &stream, "reader").await;
        put(&client, "s", "k", "1").await;
        let mut subscription = subscribe(&client, &consumer, from(ShardIteratorType::TrimHorizon)).await;
        assert_eq!(texts(next_records(&mut subscription).await.records()), ["1"]);
        let split = client.split_shard().stream_name("s").shard_to_split(shard_id(0));
        split.new_starting_hash_key(MIDDLE).send().await.unwrap();
        let last = loop {
            let event = next(&mut subscription).await.unwrap();
            if !event.child_shards().is_empty() {
                break event;
            }
        };
        let children: Vec<_> = last.child_shards().iter().map(|c| c.shard_id()).collect();
        assert_eq!(children, [shard_id(1), shard_id(2)]);
        assert_eq!(last.child_shards()[1].parent_shards(), [shard_id(0)]);
        assert!(
            next(&mut subscription).await.is_none(),
            "the subscription ends with its shard"
        );

        // A subscription to the child is possible immediately.
        wait_active(&client, "s").await;
        let child = request(&client, &consumer, from(ShardIteratorType::TrimHorizon)).shard_id(shard_id(2));
        let mut child = child.send().await.unwrap();
        let upper = client
            .put_record()
            .stream_name("s")
            .partition_key("k")
            .explicit_hash_key(MIDDLE);
        let upper = upper.data(aws_sdk_kinesis::primitives::Blob::new("2"));
        upper.send().await.unwrap();
        assert_eq!(texts(next_records(&mut child).await.records()), ["2"]);
    });
}

#[test]
fn invalid_subscriptions_are_refused() {
    use ShardIteratorType::{AtSequenceNumber, AtTimestamp, Latest};
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 2).await;
        let consumer = register(&client, &stream, "reader").await;
        let start = |position| request(&client, &consumer, position);
        refused!(
            start(from(Latest)).shard_id(shard_id(9)),
            is_resource_not_found_exception
        );
        let nobody = format!("{stream}/consumer/nobody:1");
        refused!(
            start(from(Latest)).consumer_arn(nobody),
            is_resource_not_found_exception
        );
        refused!(start(from(AtSequenceNumber)), is_invalid_argument_exception);
        refused!(start(from(AtTimestamp)), is_invalid_argument_exception);
        // A dry run does not subscribe and does not block a later subscription.
        refused!(start(from(Latest)).dry_run(true), is_dry_run_operation_exception);

        let subscription = start(from(Latest)).send().await.unwrap();
        // "If you call SubscribeToShard again … within 5 seconds of a successful call, you'll get a
        // ResourceInUseException", even if the first subscription has ended.
        refused!(start(from(Latest)), is_resource_in_use_exception);
        drop(subscription);
        refused!(start(from(Latest)), is_resource_in_use_exception);
        // Each pair of shard and consumer has its own subscription.
        start(from(Latest)).shard_id(shard_id(1)).send().await.unwrap();
    });
}

#[test]
fn a_subscription_ends_with_its_consumer() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let consumer = register(&client, &stream, "reader").await;
        let mut subscription = subscribe(&client, &consumer, from(ShardIteratorType::Latest)).await;
        client
            .deregister_stream_consumer()
            .consumer_arn(&consumer)
            .send()
            .await
            .unwrap();
        let error = loop {
            let event = tokio::time::timeout(Duration::from_secs(10), subscription.event_stream.recv());
            match event.await.unwrap() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the subscription ended without saying why"),
                Err(error) => break error.into_service_error(),
            }
        };
        assert!(error.is_resource_not_found_exception(), "{error:?}");
    });
}
