//! What `tail` makes of records: it splits, decodes, chooses and counts them.

use std::io::Write as _;

use bytes::Bytes;
use domain::record::Record;
use domain::record::aggregate::{Aggregate, DEFAULT_AGGREGATE_BYTES};
use insta::assert_snapshot;
use serde_json::Value;

use super::{STREAM, data, put, read, refused};
use crate::support::Cloud;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn aggregated(records: &[(&str, &str)]) -> Bytes {
    let mut aggregate = Aggregate::new(DEFAULT_AGGREGATE_BYTES);
    for (key, data) in records {
        aggregate.push(Record {
            data: Bytes::from((*data).to_owned()),
            partition_key: (*key).into(),
            explicit_hash_key: None,
            has_random_key: false,
            number: 1,
            line: 1,
        });
    }
    aggregate.finish().unwrap().record.data
}

#[test]
fn aggregated_records_are_split() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(
        &cloud,
        "a",
        &aggregated(&[("k1", "one"), ("k2", "two"), ("k1", "three")]),
    );
    put(&cloud, "k2", b"four");
    let mut damaged = aggregated(&[("k1", "five"), ("k2", "six")]).to_vec();
    damaged[12] ^= 1;
    put(&cloud, "k1", &damaged);
    let shown = cloud.ok([
        "tail",
        "--from",
        "trim",
        "--no-follow",
        "-o",
        "json",
        "--decode",
        "auto",
    ]);
    let records: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let parts: Vec<_> = records
        .iter()
        .map(|one| {
            (
                one["partition_key"].as_str().unwrap(),
                one["sub_sequence_number"].as_u64(),
                one["data"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        parts,
        [
            ("k1", Some(0), Some("one")),
            ("k2", Some(1), Some("two")),
            ("k1", Some(2), Some("three")),
            ("k2", None, Some("four")),
            ("k1", None, None),
        ]
    );
    assert_eq!(records[0]["sequence_number"], records[2]["sequence_number"]);
    assert_eq!(
        records[4]["decode_error"],
        "the checksum of the aggregated record is wrong"
    );
    // A key is also found in records of another key.
    assert_eq!(
        read(&cloud, ["--from", "trim", "--key", "k2", "--decode", "auto"]),
        ["two", "four"]
    );
    assert_eq!(read(&cloud, ["--from", "trim", "--key", "k2"]), ["four"]);
}

#[test]
fn checkpoints_are_of_whole_records() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(
        &cloud,
        "a",
        &aggregated(&[("k1", "one"), ("k2", "two"), ("k1", "three")]),
    );
    put(&cloud, "k2", b"four");
    // As it was put, unless it is asked for.
    assert_eq!(
        cloud
            .ok(["tail", "--from", "trim", "-n", "1", "-o", "json"])
            .lines()
            .count(),
        1
    );
    let resumed = |count: &str| {
        let args = [
            "tail",
            "-o",
            "json",
            "--no-follow",
            "--from",
            "trim",
            "--decode",
            "auto",
        ];
        let output = cloud
            .streamctl(args)
            .args(["--checkpoint", "c", "-n", count])
            .assert()
            .success();
        data(std::str::from_utf8(&output.get_output().stdout).unwrap())
    };
    assert_eq!(resumed("2"), ["one", "two"]);
    assert_eq!(resumed("3"), ["one", "two", "three"]);
    assert_eq!(resumed("1"), ["four"]);
}

#[test]
fn people_see_what_is_in_compressed_data_and_programs_what_was_put() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let sent = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"/aws/lambda/scorer","logStream":"s","subscriptionFilters":["f"],
        "logEvents":[{"id":"1","timestamp":1795255200000,"message":"START\n"},{"id":"2","timestamp":1795255200001,"message":"{\"level\":\"WARN\"}"}]}"#;
    put(&cloud, "k", &gzip(br#"{"a":1}"#));
    put(&cloud, "k", &gzip(sent.as_bytes()));
    put(&cloud, "k", &[0x1f, 0x8b, 1]);
    let output = cloud
        .streamctl(["tail", "--from", "trim", "--no-follow"])
        .assert()
        .success();
    let shown = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    insta::with_settings!({filters => vec![(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME")]}, {
        assert_snapshot!(shown);
    });
    let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(said.contains("warning: 1 record could not be decoded"), "{said}");
    let raw = cloud
        .streamctl(["tail", "--from", "trim", "-n", "1", "-o", "raw"])
        .assert();
    assert_eq!(raw.get_output().stdout, gzip(br#"{"a":1}"#));
    let decoded = cloud.ok([
        "tail", "--from", "trim", "-n", "1", "-o", "raw", "--decode", "gzip",
    ]);
    assert_eq!(decoded, r#"{"a":1}"#);
    let logs = cloud.ok([
        "tail",
        "--from",
        "trim",
        "--no-follow",
        "--decode",
        "auto",
        "--format",
        r"%v\n",
        "--filter",
        ".level",
    ]);
    assert_eq!(logs, "{\"level\":\"WARN\"}\n");
}

#[test]
fn only_the_records_that_are_asked_for() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    for n in 0..20 {
        let kind = if n % 2 == 0 { "sale" } else { "return" };
        put(
            &cloud,
            &format!("user-{n}"),
            format!(r#"{{"n":{n},"kind":"{kind}"}}"#).as_bytes(),
        );
    }
    put(&cloud, "user-x", b"no JSON");
    let numbers = |args: &[&str]| {
        let output = cloud
            .streamctl(["tail", "--from", "trim", "--no-follow", "--format", "%k "])
            .args(args)
            .assert()
            .success();
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        (text.trim_end().replace("user-", ""), said)
    };
    let (found, said) = numbers(&["--filter", ".n > 15 and $key != \"user-17\""]);
    assert_eq!(found, "16 18 19");
    assert!(
        said.contains("--filter failed for 1 record, which is not shown; the first: "),
        "{said}"
    );
    assert_eq!(
        numbers(&[
            "--include",
            "sale",
            "--exclude",
            r#""n":1?[02468],"#,
            "--include",
            "JSON"
        ])
        .0,
        "x"
    );
    assert_eq!(
        numbers(&["--key-regex=-1.$", "--include", "sale"]).0,
        "10 12 14 16 18"
    );
    // The number of records is that of those shown.
    assert_eq!(numbers(&["--include", "return", "-n", "3"]).0, "1 3 5");
    assert_eq!(numbers(&["--include", "nothing"]).0, "");
}

#[test]
fn counts_by_shard_and_key() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    for n in 0..30 {
        put(&cloud, &format!("k{}", n % 3), &vec![b'x'; 100 + n]);
    }
    put(&cloud, "k0", b"y");
    let stats = cloud.json([
        "tail",
        "--from",
        "trim",
        "--no-follow",
        "--stats",
        "--include",
        "x",
    ]);
    assert_eq!(stats["records"], 30);
    assert_eq!(stats["bytes"], 30 * 100 + 29 * 15);
    assert_eq!(
        (&stats["smallest_bytes"], &stats["largest_bytes"]),
        (&100.into(), &129.into())
    );
    let shards = stats["shards"].as_array().unwrap();
    assert_eq!(
        shards
            .iter()
            .map(|one| one["records"].as_u64().unwrap())
            .sum::<u64>(),
        30
    );
    let keys = stats["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    assert!(
        keys.iter()
            .all(|key| key["records"] == 10 && key["at_least"] == 10),
        "{keys:?}"
    );
    let table = cloud.ok(["tail", "--from", "trim", "--no-follow", "--stats"]);
    assert!(table.starts_with("SHARD") && table.contains("\nKEY"), "{table}");
}

#[test]
fn what_cannot_be_read_is_refused_before_the_first_call() {
    assert_snapshot!("bad-filter", refused(&["--filter", ".user.id == "]));
    assert_snapshot!("bad-name", refused(&["--filter", ".a | nope"]));
    assert_snapshot!("bad-include", refused(&["--include", "sale(s"]));
    for (flag, text, at) in [("--exclude", "ä{2", 2), ("--key-regex", "a[b", 2)] {
        let said = refused(&[flag, text]);
        let expected = format!("is not valid for {flag}: at character {at}, ");
        assert!(said.contains(&expected), "{said}");
    }
    assert_snapshot!("bad-highlight", refused(&["--highlight", "*"]));
    assert_snapshot!("bad-decode", refused(&["--decode", "gzip,rot13"]));
    assert_snapshot!("bad-stats", refused(&["--stats", "-o", "raw"]));
}
