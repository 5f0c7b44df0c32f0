//! Failures while records are sent: reports are correct, and every record that was not acknowledged is accounted for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64_simd::STANDARD;
use insta::assert_snapshot;
use serde_json::Value;

use super::{STREAM, fake, sorted};
use crate::proxy::{self, Call, Fate, Judge};
use crate::running::{Running, until};
use crate::support::{Cloud, Machine, block_on};

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("{{\"n\":\"{n:06}\"}}\n")).collect()
}

fn data(numbers: std::ops::Range<u32>) -> BTreeSet<String> {
    numbers.map(|n| format!("{{\"n\":\"{n:06}\"}}")).collect()
}

/// The one file of failed records in the working directory.
fn failed_file(machine: &Machine) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir(machine.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("failed"))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The data in a file of failed records.
fn failed_data(path: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            assert!(!entry["PartitionKey"].as_str().unwrap().is_empty());
            let data = STANDARD.decode_to_vec(entry["Data"].as_str().unwrap()).unwrap();
            String::from_utf8(data).unwrap()
        })
        .collect()
}

fn set(data: Vec<String>) -> BTreeSet<String> {
    data.into_iter().collect()
}

/// Waits until the stream holds `count` records.
fn stored(cloud: &Cloud, count: usize) {
    until("records are stored", || {
        (cloud.records(STREAM).len() >= count).then_some(())
    });
}

#[test]
fn the_stream_is_deleted_during_a_put() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let mut put = Running::start(&cloud, ["put", "-o", "json"]);
    assert!(put.write(&lines(0..1000)));
    stored(&cloud, 1000);
    block_on(async {
        let client = cloud.kinesis();
        client.delete_stream().stream_name(STREAM).send().await.unwrap();
        while client
            .describe_stream_summary()
            .stream_name(STREAM)
            .send()
            .await
            .is_ok()
        {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    });
    assert!(put.write(&lines(1000..1010)));
    let ended = put.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let answer: Value = serde_json::from_str(&ended.lines.join("\n")).unwrap();
    assert_eq!(answer["end"], "aborted");
    assert_eq!(answer["acknowledged"], 1000);
    assert_eq!(answer["stopped"], 10);
    assert!(
        ended.stderr.contains("ResourceNotFoundException"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("`streamctl setup`"), "{}", ended.stderr);
    let failed = failed_file(&cloud);
    assert_eq!(set(failed_data(&failed)), data(1000..1010));
    cloud.stream(STREAM, 1);
    cloud.ok(["put", "--file", failed.to_str().unwrap()]);
    assert_eq!(set(sorted(cloud.records(STREAM))), data(1000..1010));
}

#[test]
fn the_target_is_killed_while_a_pipe_is_sent() {
    let mut cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let mut put = Running::start(&cloud, ["put", "--retry-for", "1", "-o", "json"]);
    assert!(put.write(&lines(0..1000)));
    stored(&cloud, 1000);
    cloud.kill();
    assert!(put.write(&lines(1000..1700)));
    let ended = put.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let answer: Value = serde_json::from_str(&ended.lines.join("\n")).unwrap();
    assert_eq!(answer["acknowledged"], 1000);
    assert_eq!(answer["read"], 1700);
    let failed = failed_file(&cloud);
    assert_eq!(set(failed_data(&failed)), data(1000..1700));
    assert!(
        ended.stderr.contains("send them with `streamctl put --file"),
        "{}",
        ended.stderr
    );
    cloud.restart();
    cloud.ok(["put", "--file", failed.to_str().unwrap()]);
    assert_eq!(
        sorted(cloud.records(STREAM)),
        data(0..1700).into_iter().collect::<Vec<_>>()
    );
}

#[test]
fn the_rest_of_a_file_is_sent_after_the_target_was_killed() {
    let mut cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    cloud.file("many.ndjson", lines(0..300_000));
    let put = Running::start(
        &cloud,
        [
            "put",
            "--file",
            "many.ndjson",
            "--in-flight",
            "2",
            "--retry-for",
            "1",
            "-o",
            "json",
        ],
    );
    stored(&cloud, 1);
    cloud.kill();
    let ended = put.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let answer: Value = serde_json::from_str(&ended.lines.join("\n")).unwrap();
    let number = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!(
        number("read"),
        number("acknowledged") + number("failed") + number("stopped")
    );
    assert!(number("read") < 300_000, "the cloud died too late");
    let failed = failed_file(&cloud);
    let unacknowledged = failed_data(&failed);
    assert_eq!(unacknowledged.len() as u64, number("failed") + number("stopped"));
    // The report names the two commands that send the rest.
    let skip = number("read").to_string();
    let rest = format!("the same command with `--skip {skip}` sends the rest");
    assert!(ended.stderr.contains(&rest), "{}", ended.stderr);
    cloud.restart();
    cloud.ok(["put", "--file", failed.to_str().unwrap()]);
    cloud.ok(["put", "--file", "many.ndjson", "--skip", &skip]);
    let all = sorted(cloud.records(STREAM));
    assert_eq!(set(all.clone()), data(0..300_000));
    // Only records that were in flight at the kill may be stored twice.
    assert!(all.len() <= 300_000 + unacknowledged.len());
}

#[test]
fn permanently_refused_entries_go_to_the_file_of_failed_records() {
    let machine = Machine::new();
    // One of every ten records is always refused.
    let url = fake::kinesis(|entry| {
        let data = STANDARD.decode_to_vec(entry["Data"].as_str().unwrap()).unwrap();
        data.ends_with(b"3\"}").then_some("InternalFailure")
    });
    machine.file("in.ndjson", lines(0..1000));
    let output = machine
        .streamctl(["put", "--endpoint-url", &url, "--file", "in.ndjson"])
        .args([
            "--retry-for",
            "1",
            "--partition-key",
            "k",
            "--ordering",
            "none",
            "-o",
            "json",
        ])
        .env_remove("STREAMCTL_TARGET")
        .assert()
        .code(3);
    let output = output.get_output();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["read"], 1000);
    assert_eq!(answer["acknowledged"], 900);
    assert_eq!(answer["failed"], 100);
    assert_eq!(answer["stopped"], 0);
    assert_eq!(answer["failed_file"], "in.ndjson.failed.ndjson");
    let path = machine.path().join("in.ndjson.failed.ndjson");
    let expected: BTreeSet<String> = data(0..1000)
        .into_iter()
        .filter(|d| d.ends_with("3\"}"))
        .collect();
    assert_eq!(set(failed_data(&path)), expected);
    let first = std::fs::read_to_string(&path).unwrap();
    assert!(first.starts_with("{\"Data\":\""), "{first}");
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"), (r"in [\d.]+ m?s\b", "in TIME"), (r"\d+ retries", "N retries")
    ]}, {
        assert_snapshot!("refused-entries", String::from_utf8_lossy(&output.stderr));
    });
}

#[test]
fn a_single_refused_record_is_a_failure() {
    let machine = Machine::new();
    let url = fake::kinesis(|_| Some("InternalFailure"));
    let output = machine
        .streamctl(["put", "--endpoint-url", &url, "--data", "x", "--retry-for", "0"])
        .args(["--failed-file", "kept.ndjson"])
        .env_remove("STREAMCTL_TARGET")
        .assert()
        .code(1);
    insta::with_settings!({filters => vec![(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"), (r"in [\d.]+ m?s\b", "in TIME")]}, {
        assert_snapshot!("refused-record", String::from_utf8_lossy(&output.get_output().stderr));
    });
    assert_eq!(failed_data(&machine.path().join("kept.ndjson")), ["x"]);
}

#[test]
fn records_are_sent_on_with_the_new_credentials_of_a_profile() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    cloud.file("in", lines(0..5000));
    let profile =
        |key: &str| format!("[profile dev]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
    cloud.file("config", profile("OLD"));
    let (config, requests) = (cloud.path().join("config"), AtomicUsize::new(0));
    let judge = {
        let (config, renewed) = (config.clone(), profile("NEW"));
        move |call: &Call| {
            let is_old = call.operation == "PutRecords" && call.key == "OLD";
            match is_old && requests.fetch_add(1, Ordering::SeqCst) >= 2 {
                true => {
                    std::fs::write(&config, &renewed).unwrap();
                    Fate::Refuse(400, "ExpiredTokenException")
                }
                false => Fate::Pass,
            }
        }
    };
    let url = proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>);
    let output = cloud
        .streamctl([
            "put",
            "--file",
            "in",
            "-o",
            "json",
            "--profile",
            "dev",
            "--endpoint-url",
            &url,
        ])
        .env_remove("STREAMCTL_TARGET")
        .env("AWS_CONFIG_FILE", &config)
        .assert()
        .success();
    let output = output.get_output();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ExpiredTokenException"), "{said}");
    assert!(said.contains("Sending again"), "{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    // A request that was refused stored nothing.
    assert_eq!(
        (&answer["acknowledged"], &answer["possible_duplicates"]),
        (&5000.into(), &0.into())
    );
    let stored = cloud.ok(["tail", "--from", "trim", "--no-follow", "-o", "text"]);
    let stored: Vec<String> = stored.lines().map(str::to_owned).collect();
    assert_eq!(stored.len(), 5000);
    assert_eq!(BTreeSet::from_iter(stored), data(0..5000));
}

#[test]
fn ctrl_c_during_a_pipe_prints_a_report() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let mut put = Running::start(&cloud, ["put", "-o", "json"]);
    assert!(put.write(&lines(0..1000)));
    stored(&cloud, 1000);
    put.signal("INT");
    // The pipe is still open.
    put.says("Sent 1,000 records");
    let ended = put.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let answer: Value = serde_json::from_str(&ended.lines.join("\n")).unwrap();
    assert_eq!(answer["end"], "interrupted");
    assert_eq!(answer["acknowledged"], 1000);
    assert!(
        ended
            .stderr
            .contains("stdin was read up to record 1000 (line 1000)"),
        "{}",
        ended.stderr
    );
}

#[test]
fn records_before_bad_input_in_a_pipe_are_sent() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let mut put = Running::start(&cloud, ["put"]);
    assert!(put.write(&lines(0..10)));
    assert!(put.write("{\"n\": oops}\n"));
    assert!(put.write(&lines(11..12)));
    let ended = put.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("Sent 10 records"), "{}", ended.stderr);
    assert!(ended.stderr.contains("line 11"), "{}", ended.stderr);
    assert_eq!(set(sorted(cloud.records(STREAM))), data(0..10));
}

#[test]
fn an_earlier_file_of_failed_records_is_kept() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("in.ndjson", "1\n");
    cloud.file("kept.ndjson", "precious");
    let said = cloud.fails(2, ["put", "--file", "in.ndjson", "--failed-file", "kept.ndjson"]);
    assert_snapshot!(said);
    assert!(cloud.records(STREAM).is_empty());
}
