//! The local cloud with a disk that fails, and with damaged files.
//!
//! The faults are real: `fiu-run` (Debian package fiu-utils) makes the system calls of the daemon fail. Without it these
//! tests are skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use crate::support::{Cloud, Machine, block_on};

/// A daemon whose system calls can be made to fail.
struct Faulty {
    cloud: Cloud,
    daemon: Child,
    control: PathBuf,
    pid: u32,
}

impl Faulty {
    /// `None` if fiu-run is not installed. The log of the daemon is a full disk.
    fn start() -> Option<Self> {
        if Command::new("fiu-run").arg("-h").output().is_err() {
            skip();
            return None;
        }
        let machine = Machine::new();
        let control = machine.path().join("fiu");
        let command = machine.streamctl(["local", "run", "--port", "0"]);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let daemon = Command::new("fiu-run")
            .arg("-x")
            .arg("-f")
            .arg(&control)
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(machine.path())
            .stdout(Stdio::null())
            .stderr(full)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            let status = machine.json(["local", "status"]);
            if status["running"] == true {
                break status;
            }
            assert!(Instant::now() < deadline, "the local cloud did not start");
            std::thread::sleep(Duration::from_millis(10));
        };
        let pid = u32::try_from(status["pid"].as_u64().unwrap()).unwrap();
        Some(Self {
            cloud: Cloud::of(machine),
            daemon,
            control,
            pid,
        })
    }

    /// A client that takes each failure for an answer: another try would only wait.
    fn kinesis(&self) -> aws_sdk_kinesis::Client {
        let config = aws_sdk_kinesis::config::Builder::from(&self.cloud.sdk());
        aws_sdk_kinesis::Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    fn tell(&self, command: &str) {
        let told = Command::new("fiu-ctrl")
            .arg("-f")
            .arg(&self.control)
            .args(["-c", command, &self.pid.to_string()])
            .output()
            .unwrap();
        assert!(told.status.success(), "{told:?}");
    }

    /// Runs `work` while the system calls `names` fail with this probability.
    fn while_failing<T>(&self, names: &[&str], probability: f64, errno: i32, work: impl FnOnce() -> T) -> T {
        for name in names {
            self.tell(&format!(
                "enable_random name={name},probability={probability},failinfo={errno}"
            ));
        }
        let result = work();
        for name in names {
            self.tell(&format!("disable name={name}"));
        }
        result
    }

    /// Puts records one batch after another. Adds those that are acknowledged, by sequence number, and returns the messages
    /// of those that are not.
    fn put(&self, batches: usize, acknowledged: &mut BTreeMap<String, String>) -> BTreeSet<String> {
        let mut refused = BTreeSet::new();
        block_on(async {
            let client = self.kinesis();
            for batch in 0..batches {
                let first = acknowledged.len();
                let data: Vec<String> = (0..20).map(|at| format!("{first} {batch} {at}")).collect();
                let entries = data.iter().map(|data| {
                    let entry = PutRecordsRequestEntry::builder().partition_key(data.as_str());
                    entry.data(Blob::new(data.as_bytes())).build().unwrap()
                });
                let sent = client
                    .put_records()
                    .stream_name("s")
                    .set_records(Some(entries.collect()));
                let Ok(answer) = sent.send().await else { continue };
                for (data, record) in data.into_iter().zip(answer.records) {
                    match record.sequence_number {
                        Some(number) => assert!(acknowledged.insert(number, data).is_none()),
                        None => drop(refused.insert(record.error_message.unwrap_or_default())),
                    }
                }
            }
        });
        refused
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[allow(clippy::print_stderr, reason = "the only way to say that a test did not run")]
fn skip() {
    eprintln!("skipped: fiu-run is not installed (Debian: apt-get install fiu-utils)");
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[test]
fn records_that_the_service_fails_to_store_are_counted() {
    let Some(faulty) = Faulty::start() else { return };
    faulty.cloud.stream("s", 1);
    let mut acknowledged = BTreeMap::new();
    let writing = ["posix/io/rw/pwrite"];
    let refused = faulty.while_failing(&writing, 0.5, ENOSPC, || faulty.put(20, &mut acknowledged));
    assert!(!refused.is_empty());
    let found = faulty.cloud.json(["metrics", "s"]);
    let total = |name: &str| {
        let metrics = found["metrics"].as_array().unwrap();
        let metric = metrics.iter().find(|metric| metric["name"] == name).unwrap();
        metric["total"].as_f64().unwrap()
    };
    let stored = f64::from(u32::try_from(acknowledged.len()).unwrap());
    assert_eq!(total("PutRecords.SuccessfulRecords"), stored);
    assert_eq!(
        total("PutRecords.FailedRecords"),
        total("PutRecords.TotalRecords") - stored
    );
    assert!(total("PutRecords.FailedRecords") > 0.0);
    let verdicts = found["verdicts"].to_string();
    assert!(verdicts.contains("entries of PutRecords ("), "{verdicts}");
}

#[test]
fn a_failing_disk_refuses_records_and_loses_none() {
    let Some(mut faulty) = Faulty::start() else { return };
    faulty.cloud.stream("s", 2);
    let mut acknowledged = BTreeMap::new();
    let writing = ["posix/io/rw/pwrite"];
    let refused = faulty.while_failing(&writing, 0.5, ENOSPC, || faulty.put(20, &mut acknowledged));
    assert!(!refused.is_empty());
    for message in &refused {
        assert!(message.contains("No space left on device"), "{message}");
        assert!(message.contains("/kinesis/streams/"), "{message}");
    }
    let cutting = ["posix/io/rw/pwrite", "posix/io/rw/ftruncate"];
    faulty.while_failing(&cutting, 0.5, EIO, || faulty.put(20, &mut acknowledged));
    // Short writes are completed.
    let refused = faulty.while_failing(&["posix/io/rw/pwrite/reduce"], 0.5, 0, || {
        faulty.put(20, &mut acknowledged)
    });
    assert_eq!(refused, BTreeSet::new());
    let saving = [
        "posix/io/dir/rename",
        "posix/io/sync/fdatasync",
        "posix/io/sync/fsync",
    ];
    let mut made = Vec::new();
    faulty.while_failing(&saving, 0.5, EIO, || {
        block_on(async {
            for at in 0..12 {
                let name = format!("made-{at}");
                let client = faulty.kinesis();
                let created = client.create_stream().stream_name(&name).shard_count(1).send();
                if created.await.is_ok() {
                    made.push(name);
                }
            }
        });
        faulty.put(5, &mut acknowledged)
    });
    // Reads fail or are complete; afterwards nothing is missing.
    faulty.while_failing(&["posix/io/rw/pread"], 0.3, EIO, || {
        block_on(async {
            let client = faulty.kinesis();
            for _ in 0..20 {
                let start = client.get_shard_iterator().stream_name("s");
                let start = start
                    .shard_id("shardId-000000000000")
                    .shard_iterator_type("TRIM_HORIZON".into());
                if let Ok(start) = start.send().await {
                    let page = client.get_records().set_shard_iterator(start.shard_iterator);
                    // An error is an answer too.
                    let _ = page.send().await;
                }
            }
        });
    });
    let check = |cloud: &Cloud| {
        let read: Vec<String> = cloud
            .records("s")
            .into_iter()
            .map(|(_, data)| String::from_utf8(data).unwrap())
            .collect();
        let expected: BTreeSet<&String> = acknowledged.values().collect();
        let found: BTreeSet<&String> = read.iter().collect();
        assert_eq!(read.len(), found.len(), "each once");
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "of {}: {missing:?}", expected.len());
        for name in &made {
            cloud.ok(["describe", "--stream", name]);
        }
    };
    check(&faulty.cloud);
    faulty.cloud.kill();
    faulty.cloud.restart();
    check(&faulty.cloud);
    let status = faulty.cloud.json(["local", "status"]);
    assert_eq!(status["damage"], serde_json::json!([]));
}

#[test]
fn a_full_disk_is_named_to_who_puts() {
    let Some(faulty) = Faulty::start() else { return };
    faulty.cloud.stream("s", 1);
    let stderr = faulty.while_failing(&["posix/io/rw/pwrite"], 1.0, ENOSPC, || {
        let arguments = ["put", "--stream", "s", "--data", "hello", "--retry-for", "1s"];
        let output = faulty.cloud.streamctl(arguments).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    });
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert!(stderr.contains("/kinesis/streams/"), "{stderr}");
    // The log is full too, and the cloud serves on.
    faulty.cloud.ok(["put", "--stream", "s", "--data", "hello"]);
    assert_eq!(faulty.cloud.records("s").len(), 1);
}

#[test]
fn damage_is_told_at_the_start_in_the_status_and_for_the_stream() {
    let mut cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.stream("clicks", 1);
    let input: String = (0..50).map(|at| format!("record {at}\n")).collect();
    let file = cloud.file("input.txt", input);
    let file = file.to_str().unwrap();
    cloud.ok(["put", "--stream", "orders", "--format", "lines", "--file", file]);
    cloud.ok(["put", "--stream", "clicks", "--format", "lines", "--file", file]);
    let arn = cloud.json(["describe", "--stream", "orders"])["arn"]
        .as_str()
        .unwrap()
        .to_owned();
    cloud.kill();
    let streams = cloud.path().join("streamctl-home/local/data/kinesis/streams");
    let dir = std::fs::read_dir(streams).unwrap().find_map(|entry| {
        let dir = entry.unwrap().path();
        let meta = std::fs::read_to_string(dir.join("stream.json")).unwrap();
        meta.contains("\"orders\"").then_some(dir)
    });
    let log = dir
        .unwrap()
        .join("shards/shardId-000000000000/00000000000000000001.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    std::fs::write(&log, bytes).unwrap();

    let output = cloud
        .streamctl(["local", "start", "--port", "0"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("a file of the local cloud is damaged"),
        "{stderr}"
    );
    assert!(stderr.contains("00000000000000000001.log"), "{stderr}");
    cloud.restart();
    let status = cloud.json(["local", "status"]);
    assert_eq!(status["damage"][0]["records"], 1);
    assert_eq!(status["damage"][0]["resource"], arn.as_str());
    assert!(cloud.ok(["local", "status"]).contains("Damaged"));
    assert!(
        cloud
            .ok(["describe", "--stream", "orders"])
            .contains("1 record lost in 1 file")
    );
    assert!(!cloud.ok(["describe", "--stream", "clicks"]).contains("lost"));
    assert_eq!(cloud.records("orders").len(), 49);
    assert_eq!(cloud.records("clicks").len(), 50);
}
