use std::time::Duration;

use insta::{assert_json_snapshot, assert_snapshot};

use super::*;
use domain::produce::ShardSummary;

fn summary() -> PutSummary {
    let shard = |records, bytes| ShardSummary {
        records,
        bytes,
        first_sequence_number: "100".into(),
        last_sequence_number: "200".into(),
    };
    PutSummary {
        read: 1000,
        acknowledged: 990,
        failed: 10,
        retries: 42,
        throttles: 7,
        possible_duplicates: 1,
        bytes: 1_536_000,
        shards: [
            ("shardId-000000000000".to_owned(), shard(500, 768_000)),
            ("shardId-000000000001".to_owned(), shard(490, 768_000)),
        ]
        .into(),
        elapsed: Duration::from_millis(1234),
        ..PutSummary::default()
    }
}

#[test]
fn a_run_in_a_sentence() {
    assert_snapshot!(sentence("orders", &summary()), @"Sent 990 of 1,000 records read (1.5 MiB) to orders in 1.2 s, 42 retries");
    let one = PutSummary {
        read: 1,
        acknowledged: 1,
        bytes: 12,
        ..PutSummary::default()
    };
    assert_snapshot!(sentence("orders", &one), @"Sent 1 record (12 B) to orders in 0.00 ms");
}

#[test]
fn a_run_in_a_table_and_as_json() {
    let kept = Kept {
        path: Some("in.json.failed.ndjson".into()),
        records: 10,
        ..Kept::default()
    };
    let report = PutReport::new("orders", &summary(), &PutEnd::Complete, &kept, 2);
    let table = report.table(&Style::plain());
    let lines: Vec<_> = table.lines().map(str::trim_end).collect();
    assert_snapshot!(lines.join("\n"), @r"
    SHARD                 RECORDS  BYTES
    shardId-000000000000  500      750 KiB
    shardId-000000000001  490      750 KiB

    Requests: records sent again 42, throttled 7, possibly stored twice 1
    ");
    assert_json_snapshot!(report, @r#"
    {
      "stream": "orders",
      "end": "complete",
      "read": 1000,
      "acknowledged": 990,
      "failed": 10,
      "stopped": 0,
      "bad": 2,
      "retries": 42,
      "throttles": 7,
      "possible_duplicates": 1,
      "aggregates": 0,
      "bytes": 1536000,
      "elapsed_seconds": 1.234,
      "latency_ms": null,
      "failed_file": "in.json.failed.ndjson",
      "shards": [
        {
          "shard_id": "shardId-000000000000",
          "records": 500,
          "bytes": 768000,
          "first_sequence_number": "100",
          "last_sequence_number": "200"
        },
        {
          "shard_id": "shardId-000000000001",
          "records": 490,
          "bytes": 768000,
          "first_sequence_number": "100",
          "last_sequence_number": "200"
        }
      ]
    }
    "#);
}

#[test]
fn a_dry_run_counts_requests_and_keys() {
    let record = |key: u64, is_random: bool| domain::record::Record {
        data: bytes::Bytes::from(format!("{{\"k\":{key}}}")),
        partition_key: key.to_string().into(),
        explicit_hash_key: None,
        has_random_key: is_random,
        number: 1,
        line: 1,
    };
    let mut tally = Tally::new(None);
    (0..501).for_each(|n| tally.add(&record(n % 3, false)));
    let report = DryRunReport::new("orders", &tally, 0);
    assert_snapshot!(report.table(&Style::plain()), @r#"
    Would send 501 records (3.9 KiB) to orders in 2 requests or more
    Largest record: 8 B
    Partition keys: 3 distinct, the first "0"
    PUT payload units (25 KB): 501
    "#);
    assert_snapshot!(report.text(), @"orders	501	4008	2");
    let mut random = Tally::new(None);
    random.add(&record(1, true));
    let report = DryRunReport::new("orders", &random, 0);
    assert!(report.table(&Style::plain()).contains("Partition keys: random\n"));
}

#[test]
fn a_shard_that_took_most_records_is_named() {
    assert_eq!(hot_shard(&summary()), None);
    let mut uneven = summary();
    if let Some(shard) = uneven.shards.get_mut("shardId-000000000000") {
        shard.records = 900;
    }
    assert_snapshot!(hot_shard(&uneven).unwrap(), @"shardId-000000000000 took 90% of the records; `--key-field` with another field, or `--key random`, spreads them");
    let hot = HotKey {
        key: "a".to_owned(),
        share: 0.719,
    };
    assert_snapshot!(hot_key(&hot), @r#"At least 71% of the records have the partition key "a", and one shard takes them all; `--key-field` with another field, or `--key random`, spreads them"#);
}
