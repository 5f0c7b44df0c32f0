//! `--enforce-limits`: requests are throttled as on AWS.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsResultEntry, ShardIteratorType};

use super::{MIDDLE, client, create, entry, iterator, shard_id, until};
use crate::support::{Cloud, block_on};

#[test]
fn a_shard_accepts_1000_records_per_second() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 2).await;
        // "a" is routed to the lower shard, "b" to the upper one.
        let put = |key: &str| {
            let request = client.put_records().stream_name("s");
            request.set_records(Some(vec![entry(key, "x"); 500]))
        };
        let throttled: PutRecordsResultEntry = until("a record is throttled", || async {
            let answer = put("a").send().await.unwrap();
            let refused = answer.records().iter().filter(|r| r.error_code().is_some());
            assert_eq!(
                refused.count(),
                usize::try_from(answer.failed_record_count().unwrap()).unwrap()
            );
            answer.records.into_iter().find(|r| r.error_code().is_some())
        })
        .await;
        assert_eq!(
            throttled.error_code(),
            Some("ProvisionedThroughputExceededException")
        );
        assert_eq!(throttled.sequence_number(), None);
        let message = throttled.error_message().unwrap();
        // "…including the account ID, stream name, and shard ID of the record that was throttled."
        assert!(
            message.contains(&shard_id(0)) && message.contains("stream s "),
            "{message}"
        );

        // The other shard has its own limit. The first shard accepts records again after a while.
        assert_eq!(put("b").send().await.unwrap().failed_record_count(), Some(0));
        until("the shard takes records again", || async {
            let one = client
                .put_record()
                .stream_name("s")
                .partition_key("a")
                .data(Blob::new("x"));
            one.send().await.ok()
        })
        .await;
    });
}

#[test]
fn a_shard_accepts_1_mib_per_second() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 2).await;
        let put = |hash_key: &str| {
            let request = client
                .put_record()
                .stream_name("s")
                .partition_key("k")
                .explicit_hash_key(hash_key);
            request.data(Blob::new(vec![b'x'; 1_000_000])).send()
        };
        let error = until("a record is throttled", || async { put("0").await.err() }).await;
        let error = error.into_service_error();
        assert!(error.is_provisioned_throughput_exceeded_exception(), "{error:?}");
        put(MIDDLE).await.unwrap();
    });
}

#[test]
fn a_shard_allows_5_reads_per_second() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 2).await;
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::Latest).await;
        let other = iterator(&client, "s", &shard_id(1), ShardIteratorType::Latest).await;
        let get = |iterator: &str| client.get_records().shard_iterator(iterator).send();
        let error = until("a read is throttled", || async { get(&start).await.err() }).await;
        let error = error.into_service_error();
        assert!(error.is_provisioned_throughput_exceeded_exception(), "{error:?}");
        get(&other).await.unwrap();
        until("the shard can be read again", || async { get(&start).await.ok() }).await;

        let error = until("an iterator is refused", || async {
            let request = client.get_shard_iterator().stream_name("s").shard_id(shard_id(0));
            request
                .shard_iterator_type(ShardIteratorType::Latest)
                .send()
                .await
                .err()
        })
        .await;
        let error = error.into_service_error();
        assert!(error.is_provisioned_throughput_exceeded_exception(), "{error:?}");
    });
}

#[test]
fn a_shard_allows_reads_of_2_mib_per_second() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        for _ in 0..4 {
            // After a pause, the shard accepts the records of a full second.
            until("the shard takes a record", || async {
                let request = client.put_record().stream_name("s").partition_key("k");
                request.data(Blob::new(vec![b'x'; 1_000_000])).send().await.ok()
            })
            .await;
        }
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::TrimHorizon).await;
        let page = client.get_records().shard_iterator(&start).send().await.unwrap();
        assert_eq!(page.records().len(), 4);
        // 4 MB take two seconds at 2 MiB/s.
        let again = client
            .get_records()
            .shard_iterator(&start)
            .send()
            .await
            .unwrap_err();
        assert!(
            again
                .into_service_error()
                .is_provisioned_throughput_exceeded_exception()
        );
    });
}

#[test]
fn control_plane_operations_have_rate_limits() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    block_on(async {
        let client = client(&cloud);
        let error = until("a call is refused", || async {
            client.describe_limits().send().await.err()
        })
        .await;
        let error = error.into_service_error();
        assert!(error.is_limit_exceeded_exception(), "{error:?}");
        until("the next second", || async {
            client.describe_limits().send().await.ok()
        })
        .await;
        let error = until("a call is refused", || async {
            client.list_streams().send().await.err()
        })
        .await;
        assert!(error.into_service_error().is_limit_exceeded_exception());
    });
}

#[test]
fn without_the_flag_nothing_is_throttled() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let start = iterator(&client, "s", &shard_id(0), ShardIteratorType::Latest).await;
        for _ in 0..10 {
            let request = client.put_records().stream_name("s");
            let answer = request
                .set_records(Some(vec![entry("k", vec![b'x'; 2048]); 500]))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.failed_record_count(), Some(0));
            client
                .get_records()
                .shard_iterator(&start)
                .limit(1)
                .send()
                .await
                .unwrap();
            client.describe_limits().send().await.unwrap();
        }
    });
}
