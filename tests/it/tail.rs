//! `streamctl tail`: start positions, shards, formats and limits. Every record is read once, in the order of its shard.

mod content;
mod fan_out;
mod faulty;
mod following;
mod groups;
mod invoke;
mod lies;
mod output;
mod places;
mod renewed;
mod resumed;

use aws_sdk_kinesis::primitives::Blob;
use insta::assert_snapshot;
use serde_json::Value;

use crate::running::Running;
use crate::support::{Cloud, Machine, block_on};

/// The default stream, so that commands do not have to name it.
pub const STREAM: &str = "concert-data-stream";

/// A number as messages show it: in groups of three digits.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    groups.join(",")
}

/// What `tail ARGS` says when it refuses its arguments before the first call.
pub fn refused(args: &[&str]) -> String {
    let output = Machine::new()
        .streamctl(["--endpoint-url", "http://127.0.0.1:1", "tail"])
        .args(args)
        .assert()
        .code(2);
    String::from_utf8(output.get_output().stderr.clone()).unwrap()
}

/// Puts one record with the AWS SDK. Returns its shard and sequence number.
pub fn put(cloud: &Cloud, key: &str, data: &[u8]) -> (String, String) {
    block_on(async {
        let put = cloud
            .kinesis()
            .put_record()
            .stream_name(STREAM)
            .partition_key(key);
        let answer = put.data(Blob::new(data)).send().await.unwrap();
        (answer.shard_id, answer.sequence_number)
    })
}

fn data(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["data"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// The data that `tail --no-follow ARGS` reads.
fn read<const N: usize>(cloud: &Cloud, args: [&str; N]) -> Vec<String> {
    let output = cloud
        .streamctl(["tail", "--no-follow", "-o", "json"])
        .args(args)
        .assert()
        .success();
    data(std::str::from_utf8(&output.get_output().stdout).unwrap())
}

#[test]
fn every_start_position() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud, "k", b"one");
    // At least a millisecond lies between the records, so that a time distinguishes them.
    std::thread::sleep(std::time::Duration::from_millis(3));
    let (_, second) = put(&cloud, "k", b"two");
    std::thread::sleep(std::time::Duration::from_millis(3));
    put(&cloud, "k", b"three");
    let all = ["one", "two", "three"];
    for from in [
        "trim",
        "10m",
        "1h30m",
        "2d",
        "90s",
        "2020-01-01",
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00Z",
        "2020-01-01T02:00:00+02:00",
        "@1600000000",
        "@1600000000000",
        "@2020-01-01T00:00Z",
        "-10m",
        "@-10m",
        "@-10m:",
        "trim-horizon",
    ] {
        assert_eq!(read(&cloud, ["--from", from]), all, "{from}");
    }
    assert_eq!(read(&cloud, ["--from", "trim", "--shard", "0"]), all);
    assert_eq!(read(&cloud, ["--from", "trim", "-n", "2"]), all[..2]);
    for from in ["latest", "end", "LATEST", "@-2h:-1h", "@2020-01-01:1h"] {
        let output = cloud
            .streamctl(["tail", "-o", "json", "--idle-timeout", "1s", "--from", from])
            .assert()
            .success();
        assert!(output.get_output().stdout.is_empty(), "{from}");
    }
    let by_number = format!("seq:0:{second}");
    assert_eq!(read(&cloud, ["--from", &by_number]), all[1..]);
    let by_id = format!("seq:shardId-000000000000:{second}");
    assert_eq!(read(&cloud, ["--from", &by_id]), all[1..]);
    let in_shard = format!("seq:{second}");
    assert_eq!(read(&cloud, ["--from", &in_shard, "--shard", "0"]), all[1..]);
    // Arrival times have millisecond precision, in output and as start positions.
    let first: Value = serde_json::from_str(
        cloud
            .ok(["tail", "--from", &by_number, "-n", "1", "-o", "json"])
            .trim(),
    )
    .unwrap();
    let arrival = first["approximate_arrival_timestamp"].as_str().unwrap();
    assert_eq!(read(&cloud, ["--from", arrival]), all[1..]);
    let ms: jiff::Timestamp = arrival.parse().unwrap();
    let epoch = format!("@{}", ms.as_millisecond());
    assert_eq!(read(&cloud, ["--from", &epoch]), all[1..]);
}

#[test]
fn invalid_start_positions() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    assert_snapshot!("future", cloud.fails(2, ["tail", "--from", "2999-01-01"]));
    assert_snapshot!(
        "no-shard",
        cloud.fails(2, ["tail", "--from", "trim", "--shard", "7"])
    );
    assert_snapshot!("bad-shard", cloud.fails(2, ["tail", "--shard", "a b"]));
    assert_snapshot!("seq-without-shard", cloud.fails(2, ["tail", "--from", "seq:123"]));
    assert_snapshot!(
        "seq-of-another",
        cloud.fails(1, ["tail", "--from", "seq:0:123", "--no-follow"])
    );
    assert_snapshot!("yaml", cloud.fails(2, ["tail", "-o", "yaml"]));
    let said = cloud.fails(1, ["tail", "--stream", "absent"]);
    assert!(said.contains("`streamctl setup`"), "{said}");
}

#[test]
fn binary_data_is_shown_safely_and_kept_exactly() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let awkward: [(&str, &[u8]); 8] = [
        ("json", b"{\n  \"a\": \"x  y\"\n}"),
        ("lines", b"one\ntwo\r\n"),
        ("ansi", b"\x1b[31mred\x1b[0m\x07"),
        ("nul", b"a\0b"),
        ("invalid", b"\xff\xfe"),
        ("empty", b""),
        ("bidi", "\u{202e}abc \u{2028}".as_bytes()),
        ("k\u{1b}\n", "ключ".as_bytes()),
    ];
    for (key, data) in awkward {
        put(&cloud, key, data);
    }
    let shown = cloud.ok(["tail", "--from", "trim", "--no-follow"]);
    insta::with_settings!({filters => vec![(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME")]}, {
        assert_snapshot!("awkward-shown", shown);
    });
    let control = shown.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{shown:?}");

    let json = cloud.ok(["tail", "--from", "trim", "--no-follow", "-o", "json"]);
    insta::with_settings!({filters => vec![
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"), (r#""\d{56}""#, "\"NUMBER\"")
    ]}, {
        assert_snapshot!("awkward-json", json);
    });

    let output = cloud
        .streamctl(["tail", "--from", "trim", "--no-follow", "-o", "text"])
        .assert();
    let expected: Vec<u8> = awkward
        .iter()
        .flat_map(|(_, data)| [data, b"\n".as_slice()].concat())
        .collect();
    assert_eq!(output.get_output().stdout, expected);
}

#[test]
fn a_record_of_one_mebibyte() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let big: String = ('a'..='z').cycle().take(1_048_575).collect();
    for _ in 0..3 {
        put(&cloud, "k", big.as_bytes());
    }
    assert_eq!(read(&cloud, ["--from", "trim"]), vec![big.clone(); 3]);
    cloud.file("big", &big);
    cloud.ok([
        "put",
        "--file",
        "big",
        "--format",
        "lines",
        "--partition-key",
        "k",
    ]);
    assert_eq!(read(&cloud, ["--from", "trim"]).len(), 4);
}

#[test]
fn an_empty_stream_without_follow() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 3);
    let output = cloud
        .streamctl(["tail", "--from", "trim", "--no-follow"])
        .assert()
        .success();
    let output = output.get_output();
    assert_eq!(output.stdout, b"");
    assert_snapshot!(String::from_utf8_lossy(&output.stderr));
}

#[test]
fn one_shard_of_several() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let mut by_shard = [Vec::new(), Vec::new()];
    for n in 0..20 {
        let (shard, _) = put(&cloud, &n.to_string(), n.to_string().as_bytes());
        by_shard[usize::from(shard.ends_with('1'))].push(n.to_string());
    }
    assert!(by_shard.iter().all(|records| !records.is_empty()));
    assert_eq!(read(&cloud, ["--from", "trim", "--shard", "0"]), by_shard[0]);
    assert_eq!(
        read(&cloud, ["--from", "trim", "--shard", "shardId-000000000001"]),
        by_shard[1]
    );
    let both = read(&cloud, ["--from", "trim", "--shard", "1", "--shard", "0"]);
    assert_eq!(both.len(), 20);
}

#[test]
fn a_pipe_that_closes_early_is_not_an_error() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let lines: String = (0..5000).map(|n| format!("{n}\n")).collect();
    cloud.file("in.ndjson", lines);
    cloud.ok(["put", "--file", "in.ndjson"]);
    let home = cloud.path().join("streamctl-home");
    let sh = |script: &str| {
        let output = std::process::Command::new("sh")
            .args(["-c", script])
            .env("STREAMCTL", env!("CARGO_BIN_EXE_streamctl"))
            .env("STREAMCTL_HOME", &home)
            .env("STREAMCTL_TARGET", "local")
            .current_dir(cloud.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (out, said) = sh("\"$STREAMCTL\" tail --from trim -n 5 -o text | head -n 3");
    assert_eq!(out.lines().count(), 3);
    assert!(!said.contains("error"), "{said}");
    // A tail that follows also ends, with the next record.
    let (out, said) = sh("\"$STREAMCTL\" tail --from trim -o text | head -n 3");
    assert_eq!(out.lines().count(), 3);
    assert!(!said.contains("error"), "{said}");
    let (out, _) = sh(
        "\"$STREAMCTL\" tail --from trim --no-follow -o json | \"$STREAMCTL\" put --format lines -o text; echo $?",
    );
    assert!(out.contains("\t5000\t") && out.ends_with("\n0\n"), "{out}");
}

#[test]
fn limit_stops_a_tail_that_follows() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let tail = Running::start(&cloud, ["tail", "-n", "2", "-o", "text"]);
    tail.says("Waiting for new records");
    for n in ["1", "2", "3"] {
        put(&cloud, "k", n.as_bytes());
    }
    let ended = tail.end();
    assert_eq!(
        (ended.code, ended.lines),
        (Some(0), vec!["1".to_owned(), "2".to_owned()])
    );
}
