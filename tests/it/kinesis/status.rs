//! The statuses of a stream. `--status-delay` makes each last long enough for the tests to observe it.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ConsumerStatus, ScalingType, ShardIteratorType, StreamStatus};

use super::{client, create, refused, shard_id, summary, until, wait_active};
use crate::support::{Cloud, block_on};

/// Long enough for a few concurrent calls on a busy machine.
const DELAY: [&str; 2] = ["--status-delay", "800ms"];

#[test]
fn a_creating_stream_refuses_records_and_changes() {
    let cloud = Cloud::start_with(DELAY);
    block_on(async {
        let client = client(&cloud);
        client
            .create_stream()
            .stream_name("s")
            .shard_count(1)
            .send()
            .await
            .unwrap();
        let put = client
            .put_record()
            .stream_name("s")
            .partition_key("k")
            .data(Blob::new("x"));
        let read = client.get_shard_iterator().stream_name("s").shard_id(shard_id(0));
        let read = read.shard_iterator_type(ShardIteratorType::Latest);
        let change = client
            .increase_stream_retention_period()
            .stream_name("s")
            .retention_period_hours(48);
        let split = client
            .split_shard()
            .stream_name("s")
            .shard_to_split(shard_id(0))
            .new_starting_hash_key("5");
        let (seen, put, read, change, split) = tokio::join!(
            summary(&client, "s"),
            put.send(),
            read.send(),
            change.send(),
            split.send()
        );
        assert_eq!(*seen.stream_status(), StreamStatus::Creating);
        assert!(
            put.unwrap_err()
                .into_service_error()
                .is_resource_not_found_exception()
        );
        assert!(
            read.unwrap_err()
                .into_service_error()
                .is_resource_not_found_exception()
        );
        assert!(
            change
                .unwrap_err()
                .into_service_error()
                .is_resource_in_use_exception()
        );
        assert!(
            split
                .unwrap_err()
                .into_service_error()
                .is_resource_in_use_exception()
        );
        // It becomes ACTIVE. The refused requests had no effect.
        assert_eq!(wait_active(&client, "s").await.retention_period_hours(), 24);
    });
}

#[test]
fn an_updating_stream_accepts_records_and_refuses_changes() {
    let cloud = Cloud::start_with(DELAY);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 2).await;
        let update = || {
            let request = client.update_shard_count().stream_name("s").target_shard_count(4);
            request.scaling_type(ScalingType::UniformScaling)
        };
        update().send().await.unwrap();
        let put = client
            .put_record()
            .stream_name("s")
            .partition_key("k")
            .data(Blob::new("x"));
        let change = client
            .increase_stream_retention_period()
            .stream_name("s")
            .retention_period_hours(48);
        let (seen, put, again, change, deleted) = tokio::join!(
            summary(&client, "s"),
            put.send(),
            update().send(),
            change.send(),
            client.delete_stream().stream_name("s").send()
        );
        assert_eq!(*seen.stream_status(), StreamStatus::Updating);
        assert!(
            again
                .unwrap_err()
                .into_service_error()
                .is_resource_in_use_exception()
        );
        assert!(
            change
                .unwrap_err()
                .into_service_error()
                .is_resource_in_use_exception()
        );
        assert!(
            deleted
                .unwrap_err()
                .into_service_error()
                .is_resource_in_use_exception()
        );
        // "You can continue to read and write data to your stream while its status is UPDATING."
        let stored = put.unwrap();
        let records = super::read(&client, "s", stored.shard_id()).await;
        assert_eq!(super::texts(&records), ["x"]);
        let active = wait_active(&client, "s").await;
        assert_eq!(active.open_shard_count(), 4);
        assert_eq!(active.retention_period_hours(), 24);
    });
}

#[test]
fn a_deleting_stream_is_visible_until_it_is_deleted() {
    let cloud = Cloud::start_with(DELAY);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        client.delete_stream().stream_name("s").send().await.unwrap();
        let (seen, listed, taken, again) = tokio::join!(
            summary(&client, "s"),
            client.list_streams().send(),
            client.create_stream().stream_name("s").shard_count(1).send(),
            client.delete_stream().stream_name("s").send()
        );
        assert_eq!(*seen.stream_status(), StreamStatus::Deleting);
        assert_eq!(listed.unwrap().stream_names(), ["s"]);
        assert!(
            taken
                .unwrap_err()
                .into_service_error()
                .is_resource_in_use_exception()
        );
        assert!(
            again
                .unwrap_err()
                .into_service_error()
                .is_resource_in_use_exception()
        );
        until("the stream is gone", || async {
            client
                .describe_stream_summary()
                .stream_name("s")
                .send()
                .await
                .err()
        })
        .await;
        refused!(
            client.delete_stream().stream_name("s"),
            is_resource_not_found_exception
        );
    });
}

#[test]
fn a_creating_consumer_cannot_subscribe() {
    let cloud = Cloud::start_with(DELAY);
    block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        let request = client
            .register_stream_consumer()
            .stream_arn(&stream)
            .consumer_name("reader");
        let consumer = request.send().await.unwrap().consumer.unwrap();
        assert_eq!(*consumer.consumer_status(), ConsumerStatus::Creating);
        let start = aws_sdk_kinesis::types::StartingPosition::builder().r#type(ShardIteratorType::Latest);
        let start = start.build().unwrap();
        let subscribe = client.subscribe_to_shard().consumer_arn(consumer.consumer_arn());
        let subscribe = subscribe.shard_id(shard_id(0)).starting_position(start);
        refused!(subscribe.clone(), is_resource_in_use_exception);
        until("the consumer can subscribe", || async {
            subscribe.clone().send().await.ok()
        })
        .await;
    });
}
