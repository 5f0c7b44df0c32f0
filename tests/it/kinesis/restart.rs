//! The state of the local cloud survives a restart, also after a kill.

use aws_sdk_kinesis::types::{EncryptionType, MetricsName, ShardIteratorType};

use super::consumers::register;
use super::{
    MIDDLE, all_shards, client, client_in, create, drain, iterator, put, read, shard_id, texts, wait_active,
};
use crate::support::{Cloud, block_on};

#[test]
fn all_state_survives_a_kill() {
    let mut cloud = Cloud::start();
    let (before, shards, consumer, unread) = block_on(async {
        let client = client(&cloud);
        let stream = create(&client, "s", 1).await;
        client
            .add_tags_to_stream()
            .stream_name("s")
            .tags("team", "data")
            .send()
            .await
            .unwrap();
        put(&client, "s", "k", "1").await;
        put(&client, "s", "k", "2").await;
        let split = client.split_shard().stream_name("s").shard_to_split(shard_id(0));
        split.new_starting_hash_key(MIDDLE).send().await.unwrap();
        wait_active(&client, "s").await;
        let merge = client.merge_shards().stream_name("s").shard_to_merge(shard_id(1));
        merge.adjacent_shard_to_merge(shard_id(2)).send().await.unwrap();
        wait_active(&client, "s").await;
        client
            .increase_stream_retention_period()
            .stream_name("s")
            .retention_period_hours(48)
            .send()
            .await
            .unwrap();
        wait_active(&client, "s").await;
        let metrics = client.enable_enhanced_monitoring().stream_name("s");
        metrics
            .shard_level_metrics(MetricsName::IncomingBytes)
            .send()
            .await
            .unwrap();
        wait_active(&client, "s").await;
        let encrypt = client
            .start_stream_encryption()
            .stream_name("s")
            .key_id("alias/aws/kinesis");
        encrypt.encryption_type(EncryptionType::Kms).send().await.unwrap();
        wait_active(&client, "s").await;
        put(&client, "s", "k", "3").await;
        let consumer = register(&client, &stream, "reader").await;
        create(&client_in(&cloud, "eu-west-1"), "there", 1).await;
        let unread = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        let before = wait_active(&client, "s").await;
        (before, all_shards(&client, "s").await, consumer, unread)
    });
    cloud.kill();
    cloud.restart();
    block_on(async {
        let client = client(&cloud);
        // The description and the lineage are identical.
        assert_eq!(wait_active(&client, "s").await, before);
        assert_eq!(all_shards(&client, "s").await, shards);
        let tags = client
            .list_tags_for_stream()
            .stream_name("s")
            .send()
            .await
            .unwrap();
        assert_eq!(tags.tags()[0].value(), Some("data"));
        let described = client
            .describe_stream_consumer()
            .consumer_arn(&consumer)
            .send()
            .await
            .unwrap();
        assert_eq!(
            described.consumer_description().unwrap().consumer_name(),
            "reader"
        );
        wait_active(&client_in(&cloud, "eu-west-1"), "there").await;

        // An earlier iterator is still valid, and reads across the reshards to the newest record.
        let (records, children) = drain(&client, unread).await;
        assert_eq!(texts(&records), ["1", "2"]);
        assert_eq!(children.len(), 2);
        let last = read(&client, "s", &shard_id(3)).await;
        assert_eq!(texts(&last), ["3"]);
        assert_eq!(last[0].encryption_type(), Some(&EncryptionType::Kms));
        let next = put(&client, "s", "k", "4").await;
        assert!(next.sequence_number() > last[0].sequence_number());
        assert_eq!(texts(&read(&client, "s", &shard_id(3)).await), ["3", "4"]);
    });
}

#[test]
fn a_change_in_progress_is_completed() {
    let mut cloud = Cloud::start_with(["--status-delay", "1s"]);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let split = client.split_shard().stream_name("s").shard_to_split(shard_id(0));
        split.new_starting_hash_key(MIDDLE).send().await.unwrap();
        client
            .create_stream()
            .stream_name("new")
            .shard_count(2)
            .send()
            .await
            .unwrap();
    });
    cloud.kill();
    cloud.restart();
    block_on(async {
        let client = client(&cloud);
        assert_eq!(wait_active(&client, "s").await.open_shard_count(), 2);
        assert_ne!(put(&client, "s", "k", "x").await.shard_id(), shard_id(0));
        assert_eq!(wait_active(&client, "new").await.open_shard_count(), 2);
    });
}

#[test]
fn deleted_streams_stay_deleted() {
    let mut cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "gone", 1).await;
        put(&client, "gone", "k", "x").await;
        client.delete_stream().stream_name("gone").send().await.unwrap();
        create(&client, "kept", 1).await;
    });
    cloud.kill();
    cloud.restart();
    block_on(async {
        let client = client(&cloud);
        assert_eq!(
            client.list_streams().send().await.unwrap().stream_names(),
            ["kept"]
        );
        create(&client, "gone", 1).await;
        assert!(read(&client, "gone", &shard_id(0)).await.is_empty());
    });
}
