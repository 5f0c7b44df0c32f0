//! GetShardIterator, and the lifetime of iterators.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};

use super::{
    MIDDLE, after, client, code, create, drain, iterator, now_ms, put, read, refused, shard_id, texts, until,
    wait_active,
};
use crate::support::{Cloud, block_on};

async fn read_at(client: &Client, ms: i64) -> Vec<Record> {
    let request = client.get_shard_iterator().stream_name("s").shard_id(shard_id(0));
    let request = request.shard_iterator_type(ShardIteratorType::AtTimestamp);
    let answer = request.timestamp(DateTime::from_millis(ms)).send().await.unwrap();
    drain(client, answer.shard_iterator.unwrap()).await.0
}

async fn read_by_number(client: &Client, kind: ShardIteratorType, number: &str) -> Vec<Record> {
    let request = client.get_shard_iterator().stream_name("s").shard_id(shard_id(0));
    let request = request.shard_iterator_type(kind).starting_sequence_number(number);
    let answer = request.send().await.unwrap();
    drain(client, answer.shard_iterator.unwrap()).await.0
}

#[test]
fn every_iterator_type_starts_at_its_position() {
    use ShardIteratorType::{AfterSequenceNumber, AtSequenceNumber, Latest};
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        for n in 0..3 {
            put(&client, "s", "k", n.to_string()).await;
        }
        after(now_ms()).await;
        let between = now_ms();
        let latest = iterator(&client, "s", &shard_id(0), Latest).await;
        for n in 3..6 {
            put(&client, "s", "k", n.to_string()).await;
        }
        let all = read(&client, "s", &shard_id(0)).await;
        assert_eq!(texts(&all), ["0", "1", "2", "3", "4", "5"]);
        // LATEST is resolved when the iterator is created, not when it is used.
        assert_eq!(texts(&drain(&client, latest).await.0), ["3", "4", "5"]);
        let second = all[1].sequence_number();
        assert_eq!(
            texts(&read_by_number(&client, AtSequenceNumber, second).await),
            ["1", "2", "3", "4", "5"]
        );
        assert_eq!(
            texts(&read_by_number(&client, AfterSequenceNumber, second).await),
            ["2", "3", "4", "5"]
        );
        assert!(
            read_by_number(&client, AfterSequenceNumber, all[5].sequence_number())
                .await
                .is_empty()
        );
        assert_eq!(texts(&read_at(&client, between).await), ["3", "4", "5"]);
        // "…the timestamp older than the current trim horizon": the oldest record.
        assert_eq!(read_at(&client, 0).await.len(), 6);
        let arrived = all[3]
            .approximate_arrival_timestamp()
            .unwrap()
            .to_millis()
            .unwrap();
        assert!(texts(&read_at(&client, arrived).await).starts_with(&["3"]));
        // "If a record with this exact timestamp does not exist, the iterator returned is for the next (later) record."
        assert!(read_at(&client, now_ms()).await.len() <= 6);
    });
}

#[test]
fn invalid_positions_are_refused() {
    use ShardIteratorType::{AfterSequenceNumber, AtSequenceNumber, AtTimestamp, Latest, TrimHorizon};
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 2).await;
        let start = |kind| {
            let request = client.get_shard_iterator().stream_name("s").shard_id(shard_id(0));
            request.shard_iterator_type(kind)
        };
        refused!(
            start(Latest).stream_name("absent"),
            is_resource_not_found_exception
        );
        let message = refused!(
            start(Latest).shard_id(shard_id(9)),
            is_resource_not_found_exception
        );
        assert!(message.contains(&shard_id(9)), "{message}");
        refused!(start(AtSequenceNumber), is_invalid_argument_exception);
        refused!(
            start(AfterSequenceNumber).starting_sequence_number("123"),
            is_invalid_argument_exception
        );
        refused!(start(AtTimestamp), is_invalid_argument_exception);
        let tomorrow = DateTime::from_millis(now_ms() + 86_400_000);
        refused!(
            start(AtTimestamp).timestamp(tomorrow),
            is_invalid_argument_exception
        );
        refused!(
            start(TrimHorizon).starting_sequence_number("123"),
            is_invalid_argument_exception
        );
        let nonsense = start(ShardIteratorType::from("MIDDLE"));
        assert_eq!(code(nonsense.send().await), "ValidationException");
        assert_eq!(
            code(
                start(AtSequenceNumber)
                    .starting_sequence_number("first")
                    .send()
                    .await
            ),
            "ValidationException"
        );

        // A sequence number of another shard is refused.
        let elsewhere = client.put_record().stream_name("s").partition_key("k");
        let elsewhere = elsewhere
            .data(aws_sdk_kinesis::primitives::Blob::new("x"))
            .explicit_hash_key(MIDDLE);
        let elsewhere = elsewhere.send().await.unwrap();
        let request = start(AtSequenceNumber).starting_sequence_number(elsewhere.sequence_number());
        refused!(request, is_invalid_argument_exception);

        refused!(
            client.get_records().shard_iterator("rubbish"),
            is_invalid_argument_exception
        );
        let long = client.get_records().shard_iterator("A".repeat(513));
        assert_eq!(code(long.send().await), "ValidationException");
    });
}

#[test]
fn an_iterator_can_be_used_again() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        put(&client, "s", "k", "x").await;
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        for _ in 0..2 {
            let page = client.get_records().shard_iterator(&start).send().await.unwrap();
            assert_eq!(texts(page.records()), ["x"]);
        }
    });
}

#[test]
fn a_closed_shard_ends_without_an_iterator() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        put(&client, "s", "k", "x").await;
        let split = client.split_shard().stream_name("s").shard_to_split(shard_id(0));
        split.new_starting_hash_key(MIDDLE).send().await.unwrap();
        wait_active(&client, "s").await;
        // "If the shard is closed, GetShardIterator returns a valid iterator for the last sequence number."
        let latest = iterator(&client, "s", &shard_id(0), ShardIteratorType::Latest).await;
        let page = client.get_records().shard_iterator(latest).send().await.unwrap();
        assert!(page.records().is_empty());
        assert_eq!(page.next_shard_iterator(), None);
        assert_eq!(page.millis_behind_latest(), Some(0));
        assert_eq!(page.child_shards().len(), 2);
        // The children repeat no record of the parent.
        let (records, _) = drain(
            &client,
            iterator(&client, "s", &shard_id(1), ShardIteratorType::TrimHorizon).await,
        )
        .await;
        assert!(records.is_empty());
    });
}

#[test]
fn an_iterator_expires() {
    let cloud = Cloud::start_with(["--iterator-lifetime", "200ms"]);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        put(&client, "s", "k", "x").await;
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        let message = until("the iterator has expired", || async {
            let outcome = client.get_records().shard_iterator(&start).send().await;
            let error = outcome.err()?.into_service_error();
            assert!(error.is_expired_iterator_exception(), "{error:?}");
            error.meta().message().map(str::to_owned)
        })
        .await;
        assert!(message.starts_with("Iterator expired."), "{message}");
        // A new iterator continues.
        assert_eq!(read(&client, "s", &shard_id(0)).await.len(), 1);
    });
}
