//! Inputs of `put`: several files, compression, formats, bad records, keys, rates and recordings.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{STREAM, sorted};
use crate::support::{Cloud, Machine};

/// The data of the stream, sorted, after a put with these arguments.
fn put<const N: usize>(cloud: &Cloud, stream: &str, args: [&str; N]) -> Vec<String> {
    cloud.stream(stream, 2);
    cloud
        .streamctl(["put", "--stream", stream])
        .args(args)
        .assert()
        .success();
    sorted(cloud.records(stream))
}

#[test]
fn files_of_all_formats_in_one_run() {
    let cloud = Cloud::start();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"3\n4\n").unwrap();
    cloud.file("a.ndjson", "1\n2\n");
    cloud.file("b.ndjson.gz", gzip.finish().unwrap());
    cloud.file("c.csv", "n\n5\n");
    let data = put(&cloud, "globs", ["--file", "*.ndjson*", "--file", "c.csv"]);
    assert_eq!(data, ["1", "2", "3", "4", "{\"n\":\"5\"}"]);

    cloud.file("page.json", r#"{"Records":[{"SequenceNumber":"1","ApproximateArrivalTimestamp":1795255200.5,"Data":"aGk=","PartitionKey":"k"}],"NextShardIterator":"A","MillisBehindLatest":0}"#);
    assert_eq!(put(&cloud, "pages", ["--file", "page.json"]), ["hi"]);
    assert_eq!(cloud.records("pages")[0].0, "k");

    cloud.file("frames.bin", b"\0\0\0\x02hi\0\0\0\x01\n");
    let frames = ["--file", "frames.bin", "--format", "length-delimited"];
    assert_eq!(put(&cloud, "frames", frames), ["\n", "hi"]);
    let whole = ["--file", "a.ndjson", "--file", "c.csv", "--format", "whole"];
    assert_eq!(put(&cloud, "whole", whole), ["1\n2\n", "n\n5\n"]);

    let said = cloud.fails(2, ["put", "--stream", "globs", "--file", "*.none"]);
    assert!(said.contains("no file matches *.none"), "{said}");
    cloud.file("entry.json", r#"{"Data":"aGk=","PartitionKey":"k","Extra":1}"#);
    let said = cloud.fails(2, ["put", "--stream", "globs", "--file", "entry.json"]);
    assert!(said.contains("not an object with only Data"), "{said}");
    assert_eq!(cloud.records("globs").len(), 5);
}

#[test]
fn bad_records_are_skipped_or_saved() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("in.ndjson", "{\"n\":1}\n{\"n\":\n{\"n\":3}\n");
    cloud.fails(2, ["put", "--file", "in.ndjson"]);
    assert!(cloud.records(STREAM).is_empty());
    let answer = cloud.json(["put", "--file", "in.ndjson", "--on-bad-record", "save=bad.txt"]);
    assert_eq!((&answer["acknowledged"], &answer["bad"]), (&2.into(), &1.into()));
    let saved = std::fs::read_to_string(cloud.path().join("bad.txt")).unwrap();
    assert_eq!(saved, "{\"n\":\n");
    let again = ["put", "--file", "in.ndjson", "--on-bad-record", "save=bad.txt"];
    assert!(cloud.fails(2, again).contains("cannot be created"));
    let skip = ["put", "--file", "in.ndjson", "--on-bad-record", "skip"];
    let output = cloud.streamctl(skip).assert().success();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        said.contains("1 bad record was left out: in.ndjson is not valid JSON at line 2, column 6"),
        "{said}"
    );
    assert_eq!(
        sorted(cloud.records(STREAM)),
        ["{\"n\":1}", "{\"n\":1}", "{\"n\":3}", "{\"n\":3}"]
    );
}

#[test]
fn keys_come_from_where_the_options_say() {
    let cloud = Cloud::start();
    cloud.file("in.csv", "id,name\n7,x\n");
    let key = |stream: &str, args: [&str; 2]| {
        put(&cloud, stream, ["--file", "in.csv", args[0], args[1]]);
        cloud.records(stream).remove(0).0
    };
    assert_eq!(key("pointer", ["--key-field", "/id"]), "7");
    assert_eq!(key("template", ["--key-template", "{name}_{id}"]), "x_7");
    assert_eq!(key("random", ["--key", "random"]).len(), 8);
    put(&cloud, "hash", ["--file", "in.csv", "--explicit-hash-key", "0"]);
    let answer = cloud.json([
        "put",
        "hash",
        "--file",
        "in.csv",
        "--explicit-hash-key-field",
        "id",
    ]);
    assert_eq!(answer["shards"][0]["shard_id"], "shardId-000000000000");
    let said = cloud.fails(
        2,
        ["put", "hash", "--file", "in.csv", "--explicit-hash-key", "007"],
    );
    assert!(said.contains("is not a hash key"), "{said}");

    let same = "{\"k\":\"a\"}\n".repeat(200);
    cloud.file("hot.ndjson", same);
    let output = cloud
        .streamctl(["put", "hash", "--file", "hot.ndjson", "--key-field", "k"])
        .assert()
        .success();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        said.contains("100% of the records have the partition key \"a\""),
        "{said}"
    );
}

#[test]
fn an_input_is_repeated_at_a_rate() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("in.ndjson", "1\n2\n3\n");
    let started = Instant::now();
    let answer = cloud.json([
        "put",
        "--file",
        "in.ndjson",
        "--repeat",
        "forever",
        "--limit",
        "11",
        "--rate",
        "20/s",
    ]);
    assert_eq!(answer["acknowledged"], 11);
    assert!(started.elapsed() >= Duration::from_millis(500));
    let said = cloud.fails(2, ["put", "--file", "in.ndjson", "--skip", "4"]);
    assert!(
        said.contains("has 3 records, and --skip leaves out the first 4"),
        "{said}"
    );
    assert!(cloud.json(["put", "--file", "in.ndjson", "--skip", "1", "--limit", "1"])["acknowledged"] == 1);
}

#[test]
fn a_recording_is_played_with_its_keys_and_order() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    cloud.stream("again", 1);
    for n in 0..3 {
        let (data, key) = (format!("r{n}"), format!("key-{n}"));
        cloud.ok(["put", "--data", &data, "--key", &key]);
    }
    let recording = cloud.ok(["tail", "--from", "trim", "--no-follow", "-o", "json"]);
    std::fs::create_dir(cloud.path().join("rec")).unwrap();
    // By arrival: a tail of two shards writes one after the other.
    let mut lines: Vec<&str> = recording.lines().collect();
    lines.sort_by_key(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["data"].as_str().unwrap().to_owned()
    });
    cloud.file("rec/1.ndjson", lines[..1].join("\n"));
    cloud.file("rec/2.ndjson", lines[1..].join("\n"));
    let answer = cloud.json(["put", "again", "--replay", "rec", "--speed", "max"]);
    assert_eq!(answer["acknowledged"], 3);
    let expected: Vec<(String, Vec<u8>)> = (0..3)
        .map(|n| (format!("key-{n}"), format!("r{n}").into_bytes()))
        .collect();
    assert_eq!(cloud.records("again"), expected);
    let cut = [
        "put",
        "again",
        "--replay",
        "rec/1.ndjson",
        "--until",
        "2000-01-01",
        "--speed",
        "100x",
    ];
    let answer = cloud.json(cut);
    assert_eq!(answer["acknowledged"], 0);
    cloud.file("plain.ndjson", "1\n");
    let said = cloud.fails(2, ["put", "again", "--replay", "plain.ndjson"]);
    assert!(said.contains("it has no arrival time"), "{said}");
}

#[test]
fn a_dry_run_shows_where_records_would_go() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    cloud.file("in.ndjson", "{\"k\":\"a\"}\n{\"k\":\"b\"}\n{\"k\":\"a\"}\n");
    let dry = ["put", "--file", "in.ndjson", "--key-field", "k", "--dry-run"];
    let answer = cloud.json(dry);
    let records: Vec<u64> = answer["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| shard["records"].as_u64().unwrap())
        .collect();
    // MD5 of "a" begins with 0c, of "b" with 92.
    assert_eq!(records, [2, 1]);
    assert_eq!(answer["put_payload_units"], 3);
    assert_eq!(answer["mode"], "PROVISIONED");
    assert!(cloud.records(STREAM).is_empty());
    // Without the stream, the input is checked all the same.
    let output = cloud
        .streamctl(["put", "nowhere", "--file", "in.ndjson", "--dry-run"])
        .assert()
        .success();
    let output = output.get_output();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Only the input is checked"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Would send 3 records"));
}

#[test]
fn values_of_options_are_checked_before_anything() {
    let machine = Machine::new();
    machine.file("in.ndjson", "1\n");
    for (option, value) in [
        ("--rate", "fast"),
        ("--repeat", "0"),
        ("--on-bad-record", "save"),
        ("--key-template", "{"),
        ("--limit", "0"),
    ] {
        machine.fails(2, ["put", "--file", "in.ndjson", option, value]);
    }
    machine.fails(2, ["put", "--file", "in.ndjson", "--speed", "2x"]);
    machine.fails(
        2,
        ["put", "--file", "in.ndjson", "--key", "k", "--key-field", "k"],
    );
    machine.fails(
        2,
        ["put", "--file", "in.ndjson", "--repeat", "forever", "--dry-run"],
    );
}
