//! Order, resuming and the file of failed records, with the real binary.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{STREAM, fake, sorted};
use crate::running::{Running, until};
use crate::schemas;
use crate::support::{Cloud, Machine};

/// A run that takes seconds, to be ended before its end.
/// Slow enough that a signal comes in the middle, also on a machine with other work.
const SLOWLY: [&str; 7] = [
    "put",
    "--file",
    "many.ndjson",
    "--resume",
    "sent.json",
    "--rate",
    "500/s",
];

fn lines(count: u32) -> String {
    (0..count)
        .map(|n| format!("{{\"n\":\"{n:06}\",\"k\":\"{}\"}}\n", n % 40))
        .collect()
}

fn data(count: u32) -> BTreeSet<String> {
    lines(count).lines().map(str::to_owned).collect()
}

fn answer(output: &std::process::Output) -> Value {
    schemas::check(&["put"], &output.stdout);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn records_of_a_key_keep_their_order_at_the_limit_of_the_shards() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    cloud.stream(STREAM, 2);
    cloud.file("in.ndjson", lines(6000));
    let put = ["put", "--file", "in.ndjson", "--key-field", "k", "-o", "json"];
    let output = cloud.streamctl(put).assert().success().get_output().clone();
    let answer = answer(&output);
    assert_eq!(
        (&answer["acknowledged"], &answer["failed"]),
        (&6000.into(), &0.into())
    );
    assert_eq!(answer["possible_duplicates"], 0);
    assert!(answer["latency_ms"]["p99"].as_f64().unwrap() >= answer["latency_ms"]["p50"].as_f64().unwrap());
    let mut by_key: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (key, data) in cloud.records(STREAM) {
        by_key.entry(key).or_default().push(data);
    }
    assert_eq!(by_key.len(), 40);
    for (key, data) in by_key {
        assert_eq!(data.len(), 150, "{key}");
        assert!(data.is_sorted(), "{key}: {data:?}");
    }
}

#[test]
fn a_run_goes_on_after_kill_9() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let total = 12_000;
    cloud.file("many.ndjson", lines(total));
    let put = ["put", "--file", "many.ndjson", "--resume", "sent.json"];
    let first = Running::start(&cloud, SLOWLY);
    let through = || -> Option<u64> {
        let text = std::fs::read(cloud.path().join("sent.json")).ok()?;
        let content: Value = serde_json::from_slice(&text).ok()?;
        content["through"].as_u64().filter(|through| *through > 0)
    };
    until("the file says how far the input was sent", through);
    first.signal("KILL");
    let ended = first.end();
    assert_eq!(ended.code, None, "{}", ended.stderr);
    let kept = through().unwrap();
    let stored = cloud.records(STREAM).len() as u64;
    assert!(kept <= stored && stored < u64::from(total), "{kept} {stored}");
    let second = cloud.json(put);
    assert_eq!(second["failed"], 0);
    assert!(
        second["read"].as_u64().unwrap() <= u64::from(total) - kept,
        "{second}"
    );
    let all = sorted(cloud.records(STREAM));
    assert_eq!(all.iter().cloned().collect::<BTreeSet<_>>(), data(total));
    // Nothing that was sent before the file was written is sent again.
    assert!(all.len() as u64 <= u64::from(total) + stored - kept);
    // Now all is sent.
    assert_eq!(cloud.json(put)["read"], 0);
    assert_eq!(cloud.records(STREAM).len(), all.len());
    cloud.file("many.ndjson", lines(total + 1));
    let refused = cloud.fails(2, put);
    assert!(
        refused.contains("sent.json belongs to another input"),
        "{refused}"
    );
}

#[test]
fn after_a_signal_the_next_run_sends_exactly_the_rest() {
    for signal in ["INT", "TERM", "HUP"] {
        let cloud = Cloud::start();
        cloud.stream(STREAM, 3);
        let total = 12_000;
        cloud.file("many.ndjson", lines(total));
        let put = ["put", "--file", "many.ndjson", "--resume", "sent.json"];
        let first = Running::start(&cloud, SLOWLY);
        until("records are stored", || {
            (!cloud.records(STREAM).is_empty()).then_some(())
        });
        first.signal(signal);
        let ended = first.end();
        assert_eq!(ended.code, Some(130), "{signal}: {}", ended.stderr);
        assert!(
            ended
                .stderr
                .contains("the same command continues where it stopped"),
            "{}",
            ended.stderr
        );
        // What was not sent is in the input.
        assert!(!cloud.path().join("many.ndjson.failed.ndjson").exists());
        cloud.json(put);
        let all = sorted(cloud.records(STREAM));
        assert_eq!(all.len(), total as usize, "{signal}: none twice");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), data(total));
    }
}

#[test]
fn failed_records_have_their_reasons_and_can_be_sent_again() {
    let machine = Machine::new();
    let url = fake::kinesis(|_| Some("InternalFailure"));
    machine.file("in.ndjson", lines(3));
    let put = [
        "put",
        "--file",
        "in.ndjson",
        "--failed-out",
        "failed.ndjson",
        "--retry-for",
        "0",
    ];
    let output = machine
        .streamctl(put)
        .args(["--endpoint-url", &url, "--key", "k"])
        .env_remove("STREAMCTL_TARGET")
        .assert()
        .code(1);
    let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(stderr.contains("3 records failed"), "{stderr}");
    let text = std::fs::read_to_string(machine.path().join("failed.ndjson")).unwrap();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            entry["FailureReason"],
            "InternalFailure: Internal service failure."
        );
    }
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("failed.ndjson", text);
    cloud.ok(["put", "--file", "failed.ndjson"]);
    let records = cloud.records(STREAM);
    assert!(records.iter().all(|(key, _)| key == "k"));
    assert_eq!(sorted(records).into_iter().collect::<BTreeSet<_>>(), data(3));
}

#[test]
fn a_pipe_cannot_be_resumed() {
    let machine = Machine::new();
    let refused = machine
        .streamctl(["put", "--resume", "sent.json"])
        .write_stdin("1\n")
        .assert()
        .code(2);
    let stderr = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(stderr.contains("stdin can be read only once"), "{stderr}");
    assert!(!machine.path().join("sent.json").exists());
}
