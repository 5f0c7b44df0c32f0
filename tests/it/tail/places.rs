//! Where `tail` starts and ends: ranges, the last records, keys, several streams.

use insta::assert_snapshot;
use serde_json::Value;

use super::{STREAM, data, put, read};
use crate::running::Running;
use crate::support::{Cloud, block_on};

/// Puts a record, some milliseconds after the last one. Returns its arrival in milliseconds and its sequence number.
fn put_at(cloud: &Cloud, key: &str, text: &str) -> (i64, String) {
    std::thread::sleep(std::time::Duration::from_millis(3));
    let (shard, number) = put(cloud, key, text.as_bytes());
    let from = format!("seq:{shard}:{number}");
    let line = cloud.ok(["tail", "--from", &from, "-n", "1", "-o", "json"]);
    let record: Value = serde_json::from_str(line.trim()).unwrap();
    let time = record["approximate_arrival_timestamp"].as_str().unwrap();
    (time.parse::<jiff::Timestamp>().unwrap().as_millisecond(), number)
}

#[test]
fn ranges_ends_and_the_last_records() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let records: Vec<(i64, String)> = (0..5).map(|n| put_at(&cloud, "k", &n.to_string())).collect();
    let all = ["0", "1", "2", "3", "4"];
    assert_eq!(read(&cloud, ["--from", "-2"]), all[3..]);
    assert_eq!(read(&cloud, ["--from", "-100"]), all);
    let at = |n: usize| format!("@{}", records[n].0);
    let range = format!("@{}:{}", records[1].0, records[3].0);
    for from in [
        range.as_str(),
        &format!("@{}:{}ms", records[1].0, records[3].0 - records[1].0),
    ] {
        assert_eq!(
            data(&cloud.ok(["tail", "--from", from, "-o", "json"])),
            all[1..3],
            "{from}"
        );
    }
    for (until, count) in [
        (at(2), 2),
        (format!("e@{}", records[4].0), 4),
        (format!("seq:0:{}", records[2].1), 3),
    ] {
        let shown = cloud.ok(["tail", "--from", "trim", "--until", &until, "-o", "json"]);
        assert_eq!(data(&shown), all[..count], "{until}");
    }
    for from in [":end", "@:end", "@-1h:end"] {
        assert_eq!(
            data(&cloud.ok(["tail", "--from", from, "-o", "json"])),
            all,
            "{from}"
        );
    }
    let ranges = |ranges: &[(usize, usize)], more: &[&str]| {
        let mut tail = cloud.streamctl(["tail", "-o", "json"]);
        for (first, last) in ranges {
            tail.args(["--where", &format!("@{}:{}", records[*first].0, records[*last].0)]);
        }
        let output = tail.args(more).assert().success();
        data(std::str::from_utf8(&output.get_output().stdout).unwrap())
    };
    assert_eq!(ranges(&[(1, 3)], &[]), all[1..3]);
    assert_eq!(ranges(&[(3, 4), (0, 1)], &[]), ["0", "3"]);
    assert_eq!(
        ranges(&[(1, 4)], &["--from", &format!("seq:0:{}", records[2].1)]),
        all[2..4]
    );
    assert_eq!(ranges(&[(1, 4)], &["--from", "trim", "-n", "1"]), all[1..2]);
    assert_eq!(read(&cloud, ["--from", "trim", "--where", "@-1h"]), all);
    assert_eq!(read(&cloud, ["--from", "trim", "--where", "@-2h:-1h"]), [""; 0]);
    for until in ["end", "+1ms"] {
        assert_eq!(
            data(&cloud.ok(["tail", "--from", "start", "--until", until, "-o", "json"])),
            all
        );
    }
    // As AWS, rpk and kcat spell it.
    for from in ["TRIM_HORIZON", "beginning", "start", "@2020-01-01", "s@0"] {
        assert_eq!(read(&cloud, ["--from", from]), all, "{from}");
    }
}

#[test]
fn a_bad_expression_is_refused_with_the_position_of_its_fault() {
    let cloud = Cloud::start();
    let said: String = [
        ["--from", "10m5"],
        ["--from", "@-1h:x"],
        ["--from", "seq:3:4a"],
        ["--until", "2026-13-01"],
        ["--until", "soon"],
        ["--where", "@-1h:x"],
        ["--where", "seq:3:4"],
    ]
    .map(|[flag, value]| cloud.fails(2, ["tail", flag, value]))
    .concat();
    assert_snapshot!("bad-positions", said);
}

#[test]
fn only_the_records_of_one_key_through_reshards() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 4);
    let write = |from: u32| {
        for n in from..from + 3 {
            for key in 0..12 {
                put(&cloud, &format!("key-{key}"), format!("{key} {n}").as_bytes());
            }
        }
    };
    write(0);
    block_on(async {
        let client = cloud.kinesis();
        let change = client
            .update_shard_count()
            .stream_name(STREAM)
            .target_shard_count(2);
        let change = change.scaling_type(aws_sdk_kinesis::types::ScalingType::UniformScaling);
        change.send().await.unwrap();
        while !crate::support::is_active(&client, STREAM).await {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    });
    write(3);
    for key in 0..12 {
        let expected: Vec<String> = (0..6).map(|n| format!("{key} {n}")).collect();
        let name = format!("key-{key}");
        assert_eq!(read(&cloud, ["--from", "trim", "--key", &name]), expected);
    }
    // Only the shards of the key are read.
    let output = cloud
        .streamctl(["tail", "--from", "trim", "--no-follow", "--key", "key-1"])
        .assert();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(said.contains("2 shards"), "{said}");
}

#[test]
fn several_streams_at_once() {
    let cloud = Cloud::start();
    for stream in ["orders", "payments"] {
        cloud.stream(stream, 1);
        block_on(async {
            for n in 0..3 {
                let put = cloud
                    .kinesis()
                    .put_record()
                    .stream_name(stream)
                    .partition_key("k");
                let data = aws_sdk_kinesis::primitives::Blob::new(format!("{stream} {n}"));
                put.data(data).send().await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        });
    }
    let args = ["tail", "orders", "payments", "--from", "trim", "--no-follow"];
    let shown = cloud.ok(args);
    let places: Vec<&str> = shown
        .lines()
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(
        places.iter().filter(|place| **place == "orders/shard-0").count(),
        3,
        "{shown}"
    );
    assert_eq!(
        places
            .iter()
            .filter(|place| **place == "payments/shard-0")
            .count(),
        3,
        "{shown}"
    );
    let merged = cloud
        .streamctl(args)
        .args(["--merge", "-o", "json"])
        .assert()
        .success();
    let merged = String::from_utf8(merged.get_output().stdout.clone()).unwrap();
    let expected: Vec<String> = ["orders", "payments"]
        .iter()
        .flat_map(|stream| (0..3).map(move |n| format!("{stream} {n}")))
        .collect();
    assert_eq!(data(&merged), expected);
    for line in merged.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let stream = record["stream"].as_str().unwrap();
        assert!(record["data"].as_str().unwrap().starts_with(stream));
    }
    let said = cloud.fails(2, ["tail", "orders", "payments", "--shard", "0"]);
    assert!(said.contains("apply to a single stream"), "{said}");
}

#[test]
fn an_idle_tail_ends_by_itself() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let mut tail = Running::start(
        &cloud,
        ["tail", "--from", "trim", "--idle-timeout", "1s", "-o", "text"],
    );
    put(&cloud, "k", b"one");
    assert_eq!(tail.line(), "one");
    let ended = tail.end();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("No record for 1s: stopped after 1 record"),
        "{}",
        ended.stderr
    );
}
