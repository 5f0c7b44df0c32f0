//! PutRecord, PutRecords, GetRecords: bytes, routing, limits, dry runs.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};

use super::{
    after, client, code, create, drain, entry, iterator, now_ms, put, read, refused, shard_id, text, texts,
};
use crate::support::{Cloud, block_on};

const MIB: usize = 1024 * 1024;

#[test]
fn data_and_keys_are_returned_unchanged() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let payload: Vec<u8> = (0..=255).cycle().take(4096).collect();
        let key = "ключ \"1\"\n";
        let stored = put(&client, "s", key, payload.clone()).await;
        assert_eq!(stored.shard_id(), shard_id(0));
        put(&client, "s", "empty", "").await;

        let records = read(&client, "s", &shard_id(0)).await;
        assert_eq!(records[0].data().as_ref(), payload);
        assert_eq!(records[0].partition_key(), Some(key));
        assert_eq!(records[0].sequence_number(), stored.sequence_number());
        let arrived = records[0]
            .approximate_arrival_timestamp()
            .unwrap()
            .to_millis()
            .unwrap();
        assert!((now_ms() - arrived).abs() < 60_000);
        assert!(records[1].data().as_ref().is_empty());
    });
}

#[test]
fn the_hash_of_the_key_selects_the_shard() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 4).await;
        for n in 0..4_u32 {
            // Each shard has a quarter of the hash keys: n × 2^126 is the first one of shard n.
            let first = (u128::from(n) << 126).to_string();
            let request = client
                .put_record()
                .stream_name("s")
                .partition_key("k")
                .data(Blob::new("x"));
            let stored = request.explicit_hash_key(first).send().await.unwrap();
            assert_eq!(stored.shard_id(), shard_id(n));
        }
        // MD5("a") is 0cc1…, MD5("b") is 92eb….
        assert_eq!(put(&client, "s", "a", "x").await.shard_id(), shard_id(0));
        assert_eq!(put(&client, "s", "b", "x").await.shard_id(), shard_id(2));

        let beyond = client
            .put_record()
            .stream_name("s")
            .partition_key("k")
            .data(Blob::new("x"));
        let beyond = beyond.explicit_hash_key("340282366920938463463374607431768211456");
        refused!(beyond, is_invalid_argument_exception);
        let no_number = client
            .put_record()
            .stream_name("s")
            .partition_key("k")
            .data(Blob::new("x"));
        assert_eq!(
            code(no_number.explicit_hash_key("0x1").send().await),
            "ValidationException"
        );
    });
}

#[test]
fn put_records_returns_results_in_request_order() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 4).await;
        let entries: Vec<_> = (0..500).map(|n| entry(&format!("k{n}"), n.to_string())).collect();
        let request = client.put_records().stream_name("s").set_records(Some(entries));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.failed_record_count(), Some(0));
        assert_eq!(answer.records().len(), 500);
        let mut read_back = 0;
        for n in 0..4 {
            for record in read(&client, "s", &shard_id(n)).await {
                let index: usize = text(&record).parse().unwrap();
                let result = &answer.records()[index];
                assert_eq!(result.sequence_number(), Some(record.sequence_number()));
                assert_eq!(result.shard_id(), Some(shard_id(n).as_str()));
                assert_eq!(result.error_code(), None);
                read_back += 1;
            }
        }
        assert_eq!(read_back, 500);
    });
}

#[test]
fn requests_that_are_too_large_or_malformed_are_refused() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let many = |entries: Vec<PutRecordsRequestEntry>| {
            client
                .put_records()
                .stream_name("s")
                .set_records(Some(entries))
                .send()
        };
        let one = |key: &str, size: usize| {
            let request = client.put_record().stream_name("s").partition_key(key);
            request.data(Blob::new(vec![b'x'; size])).send()
        };
        assert_eq!(
            code(many(vec![entry("k", "x"); 501]).await),
            "ValidationException"
        );
        assert_eq!(code(many(Vec::new()).await), "ValidationException");
        // A record has up to 1 MiB, including its key.
        assert_eq!(code(one("k", MIB).await), "ValidationException");
        let oversized = vec![entry("k", "fits"), entry("k", vec![b'x'; MIB])];
        assert_eq!(code(many(oversized).await), "ValidationException");
        let heavy = client.put_records().stream_name("s");
        let heavy = heavy.set_records(Some(vec![entry("k", vec![b'x'; 1_000_000]); 11]));
        refused!(heavy, is_invalid_argument_exception);
        assert_eq!(code(one("", 1).await), "ValidationException");
        assert_eq!(code(one(&"k".repeat(257), 1).await), "ValidationException");
        let absent = client
            .put_records()
            .stream_name("absent")
            .records(entry("k", "x"));
        refused!(absent, is_resource_not_found_exception);
        let absent = client
            .put_record()
            .stream_name("absent")
            .partition_key("k")
            .data(Blob::new("x"));
        refused!(absent, is_resource_not_found_exception);
        assert!(
            read(&client, "s", &shard_id(0)).await.is_empty(),
            "nothing was half done"
        );

        // Within the limits: the largest record, and the longest key in characters.
        one("k", MIB - 1).await.unwrap();
        one(&"é".repeat(256), 1).await.unwrap();
        assert_eq!(read(&client, "s", &shard_id(0)).await.len(), 2);
    });
}

#[test]
fn sequence_number_for_ordering_chains_records() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let chained = |data: &str, last: &str| {
            let request = client
                .put_record()
                .stream_name("s")
                .partition_key("k")
                .data(Blob::new(data));
            request.sequence_number_for_ordering(last)
        };
        let first = put(&client, "s", "k", "1").await;
        let second = chained("2", first.sequence_number()).send().await.unwrap();
        assert!(second.sequence_number() > first.sequence_number());
        assert_eq!(texts(&read(&client, "s", &shard_id(0)).await), ["1", "2"]);
        refused!(chained("3", "123"), is_invalid_argument_exception);
        assert_eq!(code(chained("3", "last").send().await), "ValidationException");
    });
}

#[test]
fn get_records_returns_at_most_10_mib_and_limit_records() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        for _ in 0..3 {
            let request = client.put_records().stream_name("s");
            let entries = vec![entry("k", vec![b'x'; 1_000_000]); 5];
            request.set_records(Some(entries)).send().await.unwrap();
        }
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        let page = client.get_records().shard_iterator(&start).send().await.unwrap();
        assert_eq!(page.records().len(), 10);
        let (rest, _) = drain(&client, page.next_shard_iterator.unwrap()).await;
        assert_eq!(rest.len(), 5);

        let few = client
            .get_records()
            .shard_iterator(&start)
            .limit(2)
            .send()
            .await
            .unwrap();
        assert_eq!(few.records().len(), 2);
        let none = client.get_records().shard_iterator(&start).limit(0);
        assert_eq!(code(none.send().await), "ValidationException");
        let too_many = client.get_records().shard_iterator(&start).limit(10_001);
        assert_eq!(code(too_many.send().await), "ValidationException");
    });
}

#[test]
fn millis_behind_latest() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        for n in 0..3 {
            put(&client, "s", "k", n.to_string()).await;
        }
        after(now_ms() + 20).await;
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        let mut page = client
            .get_records()
            .shard_iterator(start)
            .limit(1)
            .send()
            .await
            .unwrap();
        let behind = page.millis_behind_latest().unwrap();
        assert!((20..60_000).contains(&behind), "{behind}");
        for expected in ["1", "2"] {
            assert!(page.millis_behind_latest().unwrap() > 0);
            let next = page.next_shard_iterator.unwrap();
            page = client
                .get_records()
                .shard_iterator(next)
                .limit(1)
                .send()
                .await
                .unwrap();
            assert_eq!(texts(page.records()), [expected]);
        }
        assert_eq!(page.millis_behind_latest(), Some(0));
    });
}

#[test]
fn a_dry_run_changes_nothing_and_reports_the_result() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let one = |name: &str| {
            let request = client.put_record().stream_name(name).partition_key("k");
            request.data(Blob::new("x")).dry_run(true)
        };
        refused!(one("s"), is_dry_run_operation_exception);
        refused!(one("absent"), is_resource_not_found_exception);
        let many = client.put_records().stream_name("s").records(entry("k", "x"));
        refused!(many.dry_run(true), is_dry_run_operation_exception);
        let start = client.get_shard_iterator().stream_name("s").shard_id(shard_id(0));
        let start = start.shard_iterator_type(ShardIteratorType::Latest).dry_run(true);
        refused!(start, is_dry_run_operation_exception);
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        let get = client.get_records().shard_iterator(&start).dry_run(true);
        refused!(get, is_dry_run_operation_exception);
        assert!(drain(&client, start).await.0.is_empty());

        // The same request without the dry run is carried out.
        one("s").dry_run(false).send().await.unwrap();
        assert_eq!(read(&client, "s", &shard_id(0)).await.len(), 1);
    });
}
