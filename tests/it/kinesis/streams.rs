//! CreateStream, DescribeStream, DescribeStreamSummary, ListStreams, DeleteStream.

use aws_sdk_kinesis::types::{EncryptionType, ShardIteratorType, StreamMode, StreamStatus};

use super::{
    LAST, MIDDLE, client, client_in, code, create, iterator, now_ms, put, read, refused, shard_id, summary,
    text, until, wait_active,
};
use crate::support::{Cloud, block_on};

#[test]
fn a_stream_is_created_with_tags_and_described() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let request = client.create_stream().stream_name("clicks").shard_count(2);
        request
            .tags("team", "data")
            .tags("purpose", "a b")
            .send()
            .await
            .unwrap();
        wait_active(&client, "clicks").await;

        let tags = client
            .list_tags_for_stream()
            .stream_name("clicks")
            .send()
            .await
            .unwrap();
        let tags: Vec<_> = tags
            .tags()
            .iter()
            .map(|t| (t.key(), t.value().unwrap()))
            .collect();
        assert_eq!(tags, [("purpose", "a b"), ("team", "data")]);

        let described = client
            .describe_stream()
            .stream_name("clicks")
            .send()
            .await
            .unwrap();
        let described = described.stream_description().unwrap();
        assert_eq!(described.stream_name(), "clicks");
        assert_eq!(*described.stream_status(), StreamStatus::Active);
        assert_eq!(described.retention_period_hours(), 24);
        assert_eq!(described.encryption_type(), Some(&EncryptionType::None));
        assert!(!described.has_more_shards());
        assert!(
            described.enhanced_monitoring()[0]
                .shard_level_metrics()
                .is_empty()
        );
        let created_ms = described.stream_creation_timestamp().to_millis().unwrap();
        assert!((now_ms() - created_ms).abs() < 60_000);
        let ranges: Vec<_> = described
            .shards()
            .iter()
            .map(|s| s.hash_key_range().unwrap())
            .map(|r| (r.starting_hash_key(), r.ending_hash_key()))
            .collect();
        let below_middle = (MIDDLE.parse::<u128>().unwrap() - 1).to_string();
        assert_eq!(ranges, [("0", below_middle.as_str()), (MIDDLE, LAST)]);

        let summary = summary(&client, "clicks").await;
        assert_eq!(summary.open_shard_count(), 2);
        assert_eq!(summary.consumer_count(), Some(0));
        assert_eq!(summary.max_record_size_in_kib(), Some(1024));
        let mode = summary.stream_mode_details().unwrap().stream_mode();
        assert_eq!(*mode, StreamMode::Provisioned);
        let arn = summary.stream_arn();
        assert!(arn.starts_with("arn:aws:kinesis:us-east-1:"), "{arn}");
        assert!(arn.ends_with(":stream/clicks"), "{arn}");
    });
}

#[test]
fn invalid_create_stream_requests_are_refused() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "taken", 1).await;
        let named = |name: &str| client.create_stream().stream_name(name);

        let message = refused!(named("taken").shard_count(1), is_resource_in_use_exception);
        assert!(message.contains("taken"), "{message}");
        refused!(named("bad name!").shard_count(1), is_validation_exception);
        refused!(named(&"n".repeat(129)).shard_count(1), is_validation_exception);
        refused!(named("none").shard_count(0), is_validation_exception);
        refused!(named("none").shard_count(30_000), is_limit_exceeded_exception);
        refused!(
            named("none").shard_count(1).max_record_size_in_kib(1023),
            is_validation_exception
        );
        refused!(
            named("none").shard_count(1).tags("aws:mine", "x"),
            is_invalid_argument_exception
        );

        // The refused requests created nothing.
        let streams = client.list_streams().send().await.unwrap();
        assert_eq!(streams.stream_names(), ["taken"]);

        // The longest name, with every kind of character that is allowed.
        create(&client, &"n".repeat(128), 1).await;
        create(&client, "A_z.0-9", 1).await;
    });
}

#[test]
fn streams_are_listed_in_pages() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        for name in ["e", "c", "a", "d", "b"] {
            create(&client, name, 1).await;
        }
        let mut seen = Vec::new();
        let mut token = None;
        loop {
            let page = client
                .list_streams()
                .limit(2)
                .set_next_token(token)
                .send()
                .await
                .unwrap();
            assert!(page.stream_names().len() <= 2);
            let summaries = page.stream_summaries().iter().map(|s| s.stream_name());
            assert!(summaries.eq(page.stream_names().iter().map(String::as_str)));
            seen.extend(page.stream_names);
            token = page.next_token;
            assert_eq!(page.has_more_streams, token.is_some());
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);

        let after = client
            .list_streams()
            .exclusive_start_stream_name("c")
            .send()
            .await
            .unwrap();
        assert_eq!(after.stream_names(), ["d", "e"]);
        let summary = &after.stream_summaries()[0];
        assert_eq!(*summary.stream_status(), StreamStatus::Active);
        assert!(summary.stream_arn().ends_with(":stream/d"));
        // ExclusiveStartStreamName does not have to be the name of an existing stream.
        let after = client
            .list_streams()
            .exclusive_start_stream_name("cc")
            .send()
            .await
            .unwrap();
        assert_eq!(after.stream_names(), ["d", "e"]);

        refused!(
            client.list_streams().next_token("rubbish"),
            is_invalid_argument_exception
        );
        assert_eq!(
            code(client.list_streams().limit(0).send().await),
            "ValidationException"
        );
        assert_eq!(
            code(client.list_streams().limit(10_001).send().await),
            "ValidationException"
        );
    });
}

#[test]
fn shards_are_described_in_pages() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 5).await;
        let describe = || client.describe_stream().stream_name("s").limit(3);
        let first = describe().send().await.unwrap().stream_description.unwrap();
        assert_eq!(first.shards().len(), 3);
        assert!(first.has_more_shards());
        let rest = describe()
            .exclusive_start_shard_id(shard_id(2))
            .send()
            .await
            .unwrap();
        let rest = rest.stream_description.unwrap();
        assert_eq!(super::ids(rest.shards()), [shard_id(3), shard_id(4)]);
        assert!(!rest.has_more_shards());

        assert_eq!(code(describe().limit(0).send().await), "ValidationException");
        let absent = client.describe_stream().stream_name("absent");
        let message = refused!(absent, is_resource_not_found_exception);
        assert!(message.starts_with("Stream absent under account "), "{message}");
        refused!(
            client.describe_stream_summary().stream_name("absent"),
            is_resource_not_found_exception
        );
    });
}

#[test]
fn operations_accept_an_arn_in_place_of_a_name() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let arn = create(&client, "s", 1).await;
        let summary = client
            .describe_stream_summary()
            .stream_arn(&arn)
            .send()
            .await
            .unwrap();
        assert_eq!(summary.stream_description_summary().unwrap().stream_name(), "s");
        let described = client
            .describe_stream()
            .stream_arn(&arn)
            .stream_name("s")
            .send()
            .await
            .unwrap();
        assert_eq!(described.stream_description().unwrap().stream_arn(), arn);
        let shards = client.list_shards().stream_arn(&arn).send().await.unwrap();
        assert_eq!(shards.shards().len(), 1);

        let data = aws_sdk_kinesis::primitives::Blob::new("x");
        let put = client.put_record().stream_arn(&arn).partition_key("k").data(data);
        put.send().await.unwrap();
        let many = client
            .put_records()
            .stream_arn(&arn)
            .records(super::entry("k", "y"));
        many.send().await.unwrap();
        let start = client.get_shard_iterator().stream_arn(&arn).shard_id(shard_id(0));
        let start = start
            .shard_iterator_type(ShardIteratorType::TrimHorizon)
            .send()
            .await
            .unwrap();
        let page = client
            .get_records()
            .stream_arn(&arn)
            .set_shard_iterator(start.shard_iterator);
        let page = page.send().await.unwrap();
        assert_eq!(page.records().iter().map(text).collect::<Vec<_>>(), ["x", "y"]);

        client
            .increase_stream_retention_period()
            .stream_arn(&arn)
            .retention_period_hours(48)
            .send()
            .await
            .unwrap();
        wait_active(&client, "s").await;
        client
            .add_tags_to_stream()
            .stream_arn(&arn)
            .tags("a", "1")
            .send()
            .await
            .unwrap();
        client.delete_stream().stream_arn(&arn).send().await.unwrap();

        // An ARN of another region is refused.
        let elsewhere = arn.replace("us-east-1", "eu-west-1");
        let request = client.describe_stream_summary().stream_arn(elsewhere);
        refused!(request, is_resource_not_found_exception);
        let request = client.describe_stream_summary().stream_arn("stream/s");
        assert_eq!(code(request.send().await), "ValidationException");
    });
}

#[test]
fn deleting_a_stream_deletes_its_records() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        put(&client, "s", "k", "old").await;
        let old = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        client.delete_stream().stream_name("s").send().await.unwrap();
        until("the stream is gone", || async {
            let streams = client.list_streams().send().await.unwrap();
            streams.stream_names().is_empty().then_some(())
        })
        .await;
        refused!(
            client.delete_stream().stream_name("s"),
            is_resource_not_found_exception
        );
        refused!(
            client.get_records().shard_iterator(&old),
            is_resource_not_found_exception
        );

        // The name can be used again. The new stream has no data or settings of the old one.
        create(&client, "s", 1).await;
        assert!(read(&client, "s", &shard_id(0)).await.is_empty());
        refused!(
            client.get_records().shard_iterator(&old),
            is_resource_not_found_exception
        );
    });
}

#[test]
fn regions_are_independent() {
    let cloud = Cloud::start();
    block_on(async {
        let (here, there) = (client(&cloud), client_in(&cloud, "ap-northeast-1"));
        create(&here, "s", 1).await;
        put(&here, "s", "k", "here").await;
        refused!(
            there.describe_stream_summary().stream_name("s"),
            is_resource_not_found_exception
        );
        assert!(
            there
                .list_streams()
                .send()
                .await
                .unwrap()
                .stream_names()
                .is_empty()
        );
        // The same name is available in another region, for a separate stream.
        let arn = create(&there, "s", 2).await;
        assert!(arn.starts_with("arn:aws:kinesis:ap-northeast-1:"), "{arn}");
        assert!(read(&there, "s", &shard_id(0)).await.is_empty());
        there.delete_stream().stream_name("s").send().await.unwrap();
        assert_eq!(read(&here, "s", &shard_id(0)).await.len(), 1);
        assert_eq!(here.describe_limits().send().await.unwrap().open_shard_count(), 1);
    });
}
