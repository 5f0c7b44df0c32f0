//! The first session of a new user: the commands of the README, without configuration.

use serde_json::json;

use crate::support::Cloud;

#[test]
fn setup_put_tail_metrics_destroy() {
    let cloud = Cloud::start();
    let events: Vec<_> = (0..25)
        .map(|n| json!({"record_id": n, "price": 29.99, "name": "Zoë\n"}))
        .collect();
    cloud.file("records.json", serde_json::to_vec(&events).unwrap());

    cloud.ok(["setup", "--shard-count", "1"]);
    let described = cloud.json(["describe"]);
    assert_eq!(described["name"], "concert-data-stream");
    assert_eq!(described["status"], "ACTIVE");
    assert_eq!(described["open_shards"], 1);

    let put = cloud.json(["put", "--file", "records.json"]);
    assert_eq!(put["acknowledged"], 25);
    assert_eq!(put["failed"], 0);

    // 25 records, byte for byte as in the file, and the test record of setup.
    let tail = cloud.ok(["tail", "--from", "trim", "--no-follow", "-o", "json"]);
    let read: Vec<serde_json::Value> = tail
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), 26);
    let data: Vec<serde_json::Value> = read[1..]
        .iter()
        .map(|r| serde_json::from_str(r["data"].as_str().unwrap()).unwrap())
        .collect();
    for event in &events {
        assert!(data.contains(event), "{event}");
    }

    let metrics = cloud.json(["metrics"]);
    let incoming = metrics["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["name"] == "IncomingRecords")
        .unwrap();
    assert_eq!(incoming["total"].as_f64(), Some(26.0));

    cloud.ok(["destroy", "--yes"]);
    assert!(cloud.fails(1, ["describe"]).contains("hint: "));
    assert_eq!(cloud.json(["list"]), json!([]));
}

#[test]
fn sample_events_are_records_to_put() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--shard-count", "1"]);
    let events = cloud.ok(["sample", "events"]);
    cloud.file("records.json", &events);
    let put = cloud.json(["put", "--file", "records.json"]);
    let events: Vec<serde_json::Value> = serde_json::from_str(&events).unwrap();
    assert_eq!(put["acknowledged"], events.len());
}

#[test]
fn a_second_setup_reports_no_changes() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--shard-count", "2"]);
    let before = cloud.json(["describe", "--shards"]);
    let again = cloud
        .streamctl(["setup", "--shard-count", "2"])
        .assert()
        .success()
        .get_output()
        .clone();
    let said = String::from_utf8(again.stderr).unwrap() + &String::from_utf8(again.stdout).unwrap();
    assert!(said.to_lowercase().contains("nothing to change"), "{said}");
    assert_eq!(cloud.json(["describe", "--shards"]), before);
}

#[test]
fn setup_with_another_shard_count_reshards_in_steps() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--shard-count", "1"]);
    cloud.ok(["setup", "--shard-count", "5"]);
    assert_eq!(cloud.json(["describe"])["open_shards"], 5);
    cloud.ok(["setup", "--shard-count", "2"]);
    assert_eq!(cloud.json(["describe"])["open_shards"], 2);
}

#[test]
fn resources_can_be_destroyed_from_another_machine() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    // There is no state file: another working directory, the same cloud.
    let elsewhere = tempfile::tempdir().unwrap();
    cloud
        .streamctl(["destroy", "--yes"])
        .current_dir(elsewhere.path())
        .assert()
        .success();
    assert_eq!(cloud.json(["list"]), json!([]));
}

#[test]
fn a_pipe_that_closes_early_is_not_an_error() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let lines: String = (0..3000)
        .map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(100)))
        .collect();
    cloud.file("many.ndjson", lines);
    cloud.ok(["put", "--file", "many.ndjson"]);
    let mut tail = std::process::Command::new(env!("CARGO_BIN_EXE_streamctl"))
        .args(["tail", "--from", "trim"])
        .env("STREAMCTL_HOME", cloud.path().join("streamctl-home"))
        .env("STREAMCTL_TARGET", "local")
        .current_dir(cloud.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    std::io::Read::read_exact(tail.stdout.as_mut().unwrap(), &mut first).unwrap();
    drop(tail.stdout.take());
    let output = tail.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("error"), "{said}");
}
