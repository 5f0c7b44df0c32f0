//! ListShards.

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType};

use super::{MIDDLE, after, client, code, create, ids, now_ms, refused, shard_id, summary, wait_active};
use crate::support::{Cloud, block_on};

fn filter(kind: ShardFilterType) -> ShardFilter {
    ShardFilter::builder().r#type(kind).build().unwrap()
}

fn filter_at(kind: ShardFilterType, ms: i64) -> ShardFilter {
    let filter = ShardFilter::builder().r#type(kind);
    filter.timestamp(DateTime::from_millis(ms)).build().unwrap()
}

#[test]
fn shards_are_listed_in_pages() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 7).await;
        let first = client
            .list_shards()
            .stream_name("s")
            .max_results(3)
            .send()
            .await
            .unwrap();
        assert_eq!(ids(first.shards()), [shard_id(0), shard_id(1), shard_id(2)]);
        let token = first.next_token().unwrap();
        let second = client
            .list_shards()
            .next_token(token)
            .max_results(3)
            .send()
            .await
            .unwrap();
        assert_eq!(ids(second.shards()), [shard_id(3), shard_id(4), shard_id(5)]);
        let third = client
            .list_shards()
            .next_token(second.next_token().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(ids(third.shards()), [shard_id(6)]);
        assert_eq!(third.next_token(), None);

        let after = client
            .list_shards()
            .stream_name("s")
            .exclusive_start_shard_id(shard_id(4));
        let after = after.send().await.unwrap();
        assert_eq!(ids(after.shards()), [shard_id(5), shard_id(6)]);

        // The token identifies the stream, so a request with a token must not name a stream.
        let both = client.list_shards().stream_name("s").next_token(token);
        refused!(both, is_invalid_argument_exception);
        refused!(
            client.list_shards().next_token("rubbish"),
            is_invalid_argument_exception
        );
        refused!(
            client.list_shards().stream_name("absent"),
            is_resource_not_found_exception
        );
        let none = client.list_shards().stream_name("s").max_results(0);
        assert_eq!(code(none.send().await), "ValidationException");
    });
}

#[test]
fn filters_select_shards_by_the_time_they_were_open() {
    use ShardFilterType::{
        AfterShardId, AtLatest, AtTimestamp, AtTrimHorizon, FromTimestamp, FromTrimHorizon,
    };
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let before = now_ms();
        after(before).await;
        let split = client.split_shard().stream_name("s").shard_to_split(shard_id(0));
        split.new_starting_hash_key(MIDDLE).send().await.unwrap();
        wait_active(&client, "s").await;
        after(now_ms()).await;
        let since = now_ms();
        after(since).await;

        let list = async |filter: ShardFilter| {
            let request = client.list_shards().stream_name("s").shard_filter(filter);
            let shards = request.send().await.unwrap().shards.unwrap();
            shards.into_iter().map(|s| s.shard_id).collect::<Vec<_>>()
        };
        let (parent, children) = (vec![shard_id(0)], vec![shard_id(1), shard_id(2)]);
        let all = [parent.clone(), children.clone()].concat();
        assert_eq!(list(filter(AtLatest)).await, children);
        assert_eq!(list(filter(AtTrimHorizon)).await, parent);
        assert_eq!(list(filter(FromTrimHorizon)).await, all);
        assert_eq!(list(filter_at(AtTimestamp, before)).await, parent);
        assert_eq!(list(filter_at(AtTimestamp, since)).await, children);
        assert_eq!(list(filter_at(FromTimestamp, before)).await, all);
        assert_eq!(list(filter_at(FromTimestamp, since)).await, children);
        let last = ShardFilter::builder().r#type(AfterShardId).shard_id(shard_id(1));
        assert_eq!(list(last.build().unwrap()).await, [shard_id(2)]);

        let wrong = |filter| client.list_shards().stream_name("s").shard_filter(filter);
        refused!(wrong(filter(AtTimestamp)), is_invalid_argument_exception);
        refused!(wrong(filter(AfterShardId)), is_invalid_argument_exception);
        assert_eq!(
            code(wrong(filter(ShardFilterType::from("AT_NOON"))).send().await),
            "ValidationException"
        );
        // The filter applies to all pages.
        let page = wrong(filter(AtLatest)).max_results(1).send().await.unwrap();
        let rest = client
            .list_shards()
            .next_token(page.next_token().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(ids(page.shards().iter().chain(rest.shards())), children);
    });
}

#[test]
fn the_creation_time_distinguishes_streams_of_the_same_name() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let created = *summary(&client, "s").await.stream_creation_timestamp();
        let list = |at| {
            client
                .list_shards()
                .stream_name("s")
                .stream_creation_timestamp(at)
        };
        assert_eq!(list(created).send().await.unwrap().shards().len(), 1);
        let earlier = DateTime::from_secs(created.secs() - 86_400);
        refused!(list(earlier), is_resource_not_found_exception);
    });
}
