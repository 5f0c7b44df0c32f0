//! `tail --invoke-local`: a function on this machine receives the records.

use insta::assert_snapshot;
use serde_json::Value;

use super::{STREAM, put, refused};
use crate::functions::compiled;
use crate::running::{Running, until};
use crate::schemas;
use crate::support::Cloud;

fn code() -> &'static str {
    compiled::executable().to_str().unwrap()
}

/// The invocations that `tail --invoke-local --no-follow -o json ARGS` shows, and what it says. It ends with `exit`.
fn invoked(cloud: &Cloud, exit: i32, script: &str, args: &[&str]) -> (Vec<Value>, String) {
    let base = [
        "tail",
        "--from",
        "trim",
        "--no-follow",
        "-o",
        "json",
        "--invoke-local",
    ];
    let output = cloud
        .streamctl(base)
        .args([code(), "--env", &format!("SCRIPT={script}")])
        .args(args)
        .assert()
        .code(exit);
    let output = output.get_output();
    schemas::check(&["tail"], &output.stdout);
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    (
        lines.collect(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The data of the records in the event that a function has echoed.
fn data_of(line: &Value) -> Vec<String> {
    let records = line["response"]["Records"].as_array().unwrap().iter();
    let data = records.map(|record| {
        let data = record["kinesis"]["data"].as_str().unwrap();
        base64_simd::STANDARD.decode_to_vec(data).unwrap()
    });
    data.map(|data| String::from_utf8(data).unwrap()).collect()
}

#[test]
fn a_function_receives_what_is_chosen_as_a_mapping_sends_it() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let mut by_shard = [Vec::new(), Vec::new()];
    let mut last = String::new();
    for n in 0..12 {
        let data = format!(r#"{{"n":{n}}}"#);
        let (shard, number) = put(&cloud, &n.to_string(), data.as_bytes());
        if n > 1 {
            by_shard[usize::from(shard.ends_with('1'))].push(data);
        }
        last = number;
    }
    let args = ["--filter", ".n > 1", "--batch-size", "3"];
    let (lines, said) = invoked(&cloud, 0, "echo", &args);
    for (shard, expected) in by_shard.iter().enumerate() {
        let id = format!("shardId-{shard:012}");
        let of_shard: Vec<&Value> = lines.iter().filter(|line| line["shard_id"] == id).collect();
        let data: Vec<String> = of_shard.iter().flat_map(|line| data_of(line)).collect();
        assert_eq!(&data, expected);
        assert!(of_shard.iter().all(|line| data_of(line).len() <= 3));
        for line in of_shard {
            let records = line["response"]["Records"].as_array().unwrap();
            assert_eq!(line["records"], records.len());
            assert_eq!(line["processed"], records.len());
            let (first, end) = (&records[0], records.last().unwrap());
            assert_eq!(line["first_sequence_number"], first["kinesis"]["sequenceNumber"]);
            assert_eq!(line["last_sequence_number"], end["kinesis"]["sequenceNumber"]);
            let number = first["kinesis"]["sequenceNumber"].as_str().unwrap();
            assert_eq!(first["eventID"], format!("{id}:{number}"));
            let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
            assert_eq!(first["eventSourceARN"], arn);
        }
    }
    assert!(lines.iter().any(|line| line["last_sequence_number"] == last));
    assert!(
        said.contains(&format!("10 records processed by {} in ", stem())),
        "{said}"
    );
    // The number of records is that of those the function receives.
    let (lines, _) = invoked(&cloud, 0, "echo", &["--filter", ".n > 1", "-n", "4", "--merge"]);
    let data: Vec<String> = lines.iter().flat_map(data_of).collect();
    assert_eq!(data.len(), 4);
}

/// The name of the function: that of its file.
fn stem() -> &'static str {
    compiled::executable().file_stem().unwrap().to_str().unwrap()
}

#[test]
fn a_failure_stops_before_its_record_and_a_checkpoint_goes_on_there() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud, "k", b"one");
    let (_, poison) = put(&cloud, "k", b"poison");
    put(&cloud, "k", b"three");
    let kept = ["--checkpoint", "c", "--retries", "1"];
    let (lines, said) = invoked(&cloud, 1, "fail-if poison", &kept);
    let counts: Vec<_> = lines
        .iter()
        .map(|line| (line["records"].as_u64(), line["processed"].as_u64()))
        .collect();
    // One retry, which begins with the record that failed.
    assert_eq!(counts, [(Some(3), Some(1)), (Some(2), Some(0))]);
    let failures = &lines[0]["response"]["batchItemFailures"];
    assert_eq!(failures[0]["itemIdentifier"], poison);
    for text in [
        format!("warning: shard-0: the function reports record {poison} as failed; 2 records again"),
        "error: the function failed, and was not invoked again".to_owned(),
        format!("--from seq:0:{poison}"),
        "1 record processed by".to_owned(),
        "in 2 invocations, of which 2 failed".to_owned(),
    ] {
        assert!(said.contains(&text), "no {text:?} in {said}");
    }
    let (lines, _) = invoked(&cloud, 0, "echo", &kept);
    assert_eq!(
        lines.iter().map(data_of).collect::<Vec<_>>(),
        [["poison", "three"]]
    );
    let (lines, _) = invoked(&cloud, 0, "echo", &kept);
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn records_that_fail_go_to_a_file_and_a_crash_is_told() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    for data in ["one", "poison", "three"] {
        put(&cloud, "k", data.as_bytes());
    }
    let args = ["--failed-file", "failed", "--retries", "0", "--bisect"];
    let (lines, said) = invoked(&cloud, 3, "if poison exit 7", &args);
    let crashed = lines[0]["error"].as_str().unwrap();
    assert!(crashed.starts_with("Runtime.ExitError"), "{crashed}");
    let processed: u64 = lines.iter().map(|line| line["processed"].as_u64().unwrap()).sum();
    assert_eq!(processed, 2);
    assert!(
        said.contains(
            "1 record given up: they are in failed; `streamctl put --stream concert-data-stream --file failed` sends"
        ),
        "{said}"
    );
    let failed = std::fs::read_to_string(cloud.path().join("failed")).unwrap();
    assert_eq!(failed, "{\"Data\":\"cG9pc29u\",\"PartitionKey\":\"k\"}\n");

    let shown = cloud.ok([
        "tail",
        "--from",
        "trim",
        "-n",
        "2",
        "--invoke-local",
        code(),
        "--env",
        "SCRIPT=return {\"done\": 2}",
    ]);
    insta::with_settings!({filters => vec![(r"[\d.]+ m?s", "TIME")]}, {
        assert_snapshot!(shown, @r#"shard-0  2 records  TIME  {"done": 2}"#);
    });
    let answer = cloud.ok([
        "tail",
        "--from",
        "trim",
        "-n",
        "2",
        "-o",
        "text",
        "--invoke-local",
        code(),
        "--env",
        "SCRIPT=return {\"done\": 2}",
    ]);
    assert_eq!(answer, "{\"done\": 2}\n");
}

#[test]
fn ctrl_c_finishes_the_running_invocation_for_the_members_of_a_group() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud, "k", b"one");
    let start = |script: &str| {
        Running::start(
            &cloud,
            [
                "tail",
                "--from",
                "trim",
                "--group",
                "try",
                "--lease-time",
                "1s",
                "-o",
                "json",
                "--invoke-local",
                code(),
                "--env",
                &format!("SCRIPT={script}"),
                "--env",
                "JOURNAL=journal",
            ],
        )
    };
    // The invocation takes longer than a lease lasts, which the other member does not take.
    let script = "log invoked;first 1 sleep 4000;echo";
    let members = [start(script), start(script)];
    until("the invocation", || {
        members
            .iter()
            .any(|member| member.said().contains("invoked"))
            .then_some(())
    });
    members.iter().for_each(|member| member.signal("INT"));
    let ended = members.map(Running::end);
    assert_eq!(
        ended.iter().map(|one| one.code).collect::<Vec<_>>(),
        [Some(130); 2]
    );
    let lines: Vec<&String> = ended.iter().flat_map(|one| &one.lines).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    put(&cloud, "k", b"two");
    let mut next = start("echo");
    let line = serde_json::from_str(&next.line()).unwrap();
    assert_eq!(data_of(&line), ["two"], "the first was processed");
}

#[test]
fn what_does_not_go_together_is_refused() {
    for args in [
        &["--invoke-local", "x", "--stats"][..],
        &["--invoke-local", "x", "--out-dir", "d"],
        &["--invoke-local", "x", "--format", "%v"],
        &["--invoke-local", "x", "-o", "raw"],
        &["--invoke-local", "x", "-o", "csv"],
        &["--invoke-local", "x", "-o", "yaml"],
        &["--invoke-local", "x", "--batch-size", "0"],
        &["--invoke-local", "x", "--batch-size", "10001"],
        &["--invoke-local", "x", "--function-timeout", "0s"],
        &["--retries", "1"],
        &["--failed-file", "f"],
    ] {
        refused(args);
    }
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let said = cloud.fails(2, ["tail", "--no-follow", "--invoke-local", "nothing/here"]);
    assert!(said.contains("nothing/here"), "{said}");
}
