//! Connections that break, a full disk and a place that cannot be written: no record disappears without a word.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::proxy::{self, Call, Fate, Judge};
use crate::running::{Running, until};
use crate::support::{Cloud, Machine};

const STREAM: &str = "concert-data-stream";

/// A proxy that cuts the requests of `operation` whose number, from 1, `cuts` names.
fn cutting(cloud: &Cloud, operation: &'static str, cuts: &'static [(usize, Fate)]) -> String {
    let calls = AtomicUsize::new(0);
    let judge = move |call: &Call| {
        if call.operation != operation {
            return Fate::Pass;
        }
        let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
        cuts.iter()
            .find(|(at, _)| *at == number)
            .map_or(Fate::Pass, |(_, fate)| *fate)
    };
    proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>)
}

fn lines(count: u32) -> String {
    (0..count).map(|n| format!("{{\"n\":\"{n:06}\"}}\n")).collect()
}

#[test]
fn put_sends_again_what_a_broken_connection_left_open() {
    use Fate::{CutAfter, CutBefore};
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    cloud.file("in.ndjson", lines(3000));
    let url = cutting(
        &cloud,
        "PutRecords",
        &[(1, CutBefore), (3, CutAfter), (5, CutBefore), (6, CutBefore)],
    );
    let output = cloud
        .streamctl(["put", "--file", "in.ndjson", "--endpoint-url", &url, "-o", "json"])
        .env_remove("STREAMCTL_TARGET")
        .assert()
        .success();
    let output = output.get_output();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["acknowledged"], &answer["end"]),
        (&3000.into(), &"complete".into())
    );
    let stored: BTreeSet<Vec<u8>> = cloud.records(STREAM).into_iter().map(|(_, data)| data).collect();
    assert_eq!(stored.len(), 3000);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(" broke"), "{stderr}");
    assert!(stderr.contains("trying again for 1m"), "{stderr}");
    // No record failed: no file is left.
    let files = std::fs::read_dir(cloud.path()).unwrap();
    assert!(
        files
            .into_iter()
            .all(|file| !file.unwrap().file_name().to_string_lossy().contains("failed"))
    );
}

#[test]
fn put_waits_for_the_description_of_the_stream() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let url = cutting(
        &cloud,
        "DescribeStreamSummary",
        &[
            (1, Fate::CutBefore),
            (2, Fate::CutBefore),
            (3, Fate::CutAfter),
            (4, Fate::CutBefore),
            (5, Fate::CutBefore),
            (6, Fate::CutBefore),
        ],
    );
    let output = cloud
        .streamctl(["put", "--data", "x", "--endpoint-url", &url])
        .env_remove("STREAMCTL_TARGET")
        .assert()
        .success();
    let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(
        stderr.contains("could not be described: the connection broke; trying again"),
        "{stderr}"
    );
    assert_eq!(cloud.records(STREAM).len(), 1);
}

#[test]
fn tail_reads_on_after_broken_connections() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("in.ndjson", lines(500));
    cloud.ok(["put", "--file", "in.ndjson"]);
    for operation in ["ListShards", "GetShardIterator", "GetRecords"] {
        let url = cutting(&cloud, operation, &[(1, Fate::CutBefore), (2, Fate::CutAfter)]);
        let output = cloud
            .streamctl([
                "tail",
                "--from",
                "trim",
                "--no-follow",
                "--endpoint-url",
                &url,
                "-o",
                "json",
            ])
            .env_remove("STREAMCTL_TARGET")
            .assert()
            .success();
        let output = output.get_output();
        let read: BTreeSet<&[u8]> = output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|l| !l.is_empty())
            .collect();
        assert_eq!(read.len(), 500, "{operation}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(" broke"), "{operation}: {stderr}");
    }
}

/// PutRecords refuses every entry.
fn refusing() -> String {
    crate::put::fake::kinesis(|_| Some("InternalFailure"))
}

#[test]
fn nothing_is_sent_where_failed_records_cannot_be_kept() {
    let machine = Machine::new();
    machine.file("occupied", "");
    for named in ["missing/failed.ndjson", "occupied/failed.ndjson"] {
        let output = machine
            .streamctl([
                "put",
                "--endpoint-url",
                "http://127.0.0.1:9",
                "--failed-file",
                named,
            ])
            .env_remove("STREAMCTL_TARGET")
            .write_stdin(lines(10))
            .assert()
            .code(2);
        let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(
            stderr.contains("cannot be created") && stderr.contains("nothing was sent"),
            "{stderr}"
        );
    }
    // The directory itself takes no files.
    let output = machine
        .streamctl(["put", "--endpoint-url", "http://127.0.0.1:9"])
        .env_remove("STREAMCTL_TARGET")
        .current_dir("/proc")
        .write_stdin(lines(10))
        .assert()
        .code(2);
    let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(stderr.contains("cannot be created"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_stops_the_run_and_names_the_lines() {
    let machine = Machine::new();
    // A file may have 8 blocks of 512 bytes (dash) or of 1,024 bytes (bash).
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let mut put = assert_cmd::Command::new("sh");
    put.args(["-c", script, env!("CARGO_BIN_EXE_streamctl")])
        .args([
            "put",
            "--endpoint-url",
            &refusing(),
            "--retry-for",
            "0",
            "--failed-file",
            "kept.ndjson",
        ])
        .args(["-o", "json"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", machine.path())
        .env("STREAMCTL_HOME", machine.path().join("streamctl-home"))
        .current_dir(machine.path())
        .write_stdin(lines(20_000));
    let output = put.assert().code(1).get_output().clone();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let read = answer["read"].as_u64().unwrap();
    assert_eq!(answer["acknowledged"], 0);
    assert_eq!(answer["end"], "aborted");
    assert!(read < 20_000, "the rest was not read: {read}");
    // The file has whole lines only, and the report counts the others.
    let kept = std::fs::read_to_string(machine.path().join("kept.ndjson")).unwrap();
    assert!(kept.ends_with('\n'));
    let kept = kept
        .lines()
        .inspect(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}"))
        .count() as u64;
    assert!(kept > 0);
    let lost = format!(
        "{} records were not acknowledged and are not in a file",
        read - kept
    );
    assert!(stderr.contains(&lost), "{stderr}");
    assert!(stderr.contains("only the input has them, on lines "), "{stderr}");
    assert!(stderr.contains("could not be written to kept.ndjson"), "{stderr}");
}

#[test]
fn the_file_for_failed_records_is_removed_if_it_stays_empty() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let mut first = Running::start(&cloud, ["put", "--failed-file", "kept.ndjson"]);
    assert!(first.write(&lines(1)));
    until("the record is stored", || {
        (cloud.records(STREAM).len() == 1).then_some(())
    });
    let ended = first.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!cloud.path().join("kept.ndjson").exists());
}
