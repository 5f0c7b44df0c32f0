//! Shared parts of the benchmarks: a local cloud in a temporary home, and CPU time and memory of processes.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;

/// A local cloud in a temporary home, ended with the value.
pub struct Cloud {
    home: tempfile::TempDir,
    pub endpoint: String,
    pub pid: u32,
}

impl Cloud {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments of `local start`.
    pub fn start_with(args: &[&str]) -> Self {
        let mut cloud = Self {
            home: tempfile::tempdir().unwrap(),
            endpoint: String::new(),
            pid: 0,
        };
        cloud.streamctl(&[&["local", "start", "--port", "0"], args].concat());
        let status = cloud.streamctl(&["local", "status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        status["endpoint"]
            .as_str()
            .unwrap()
            .clone_into(&mut cloud.endpoint);
        cloud.pid = status["pid"].to_string().parse().unwrap();
        cloud
    }

    /// Kills it with SIGKILL, and starts it again with the same data on the same port.
    pub fn kill_and_start(&mut self) {
        let killed = Command::new("kill").args(["-9", &self.pid.to_string()]).status();
        assert!(killed.unwrap().success());
        let port = self.endpoint.rsplit(':').next().unwrap().to_owned();
        self.streamctl(&["local", "start", "--port", &port]);
        let status = self.streamctl(&["local", "status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        self.pid = status["pid"].to_string().parse().unwrap();
    }

    /// Runs the binary on this cloud. Returns its stdout.
    pub fn streamctl(&self, args: &[&str]) -> Vec<u8> {
        let output = self.command(args).output().unwrap();
        assert!(
            output.status.success(),
            "streamctl {}\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamctl"));
        command
            .args(args)
            .env("STREAMCTL_HOME", self.home.path())
            .env("STREAMCTL_TARGET", "local")
            .env_remove("AWS_ENDPOINT_URL");
        command
    }

    /// What an SDK client needs to reach it.
    pub async fn sdk(&self) -> aws_config::SdkConfig {
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(aws_config::Region::new("us-east-1"))
            .credentials_provider(aws_credential_types::Credentials::new(
                "bench", "bench", None, None, "bench",
            ))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.command(&["local", "stop", "--quiet"]).status();
    }
}

/// Runs `bench` with the first number of the command line, or `otherwise`, on two threads.
pub fn run<Work: Future<Output = ()>>(otherwise: usize, bench: impl FnOnce(usize) -> Work) {
    let number = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    runtime().block_on(bench(number.unwrap_or(otherwise)));
}

/// A runtime of two threads.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// A Kinesis client as a user of the SDK makes it.
pub async fn client(endpoint: &str) -> Client {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(aws_credential_types::Credentials::new(
            "bench", "bench", None, None, "bench",
        ))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::new(&config.load().await)
}

/// Creates a stream and waits until it is ACTIVE.
pub async fn create(client: &Client, name: &str, shards: i32) {
    let made = client.create_stream().stream_name(name).shard_count(shards);
    made.send().await.unwrap();
    loop {
        let summary = client.describe_stream_summary().stream_name(name).send();
        let summary = summary.await.unwrap();
        let status = summary.stream_description_summary().unwrap().stream_status();
        if status.as_str() == "ACTIVE" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Number of records in a stream, read by a task a shard.
pub async fn count(client: &Client, stream: &str) -> usize {
    let shards = client.list_shards().stream_name(stream).send().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for shard in shards.shards() {
        let start = client.get_shard_iterator().stream_name(stream);
        let start = start.shard_id(shard.shard_id());
        let start = start.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let client = client.clone();
        tasks.spawn(async move {
            let mut at = start.send().await.unwrap().shard_iterator;
            let mut count = 0;
            while let Some(current) = at {
                let page = client.get_records().shard_iterator(current).send().await.unwrap();
                count += page.records().len();
                at = page
                    .next_shard_iterator
                    .filter(|_| page.millis_behind_latest != Some(0));
            }
            count
        });
    }
    tasks.join_all().await.into_iter().sum()
}

/// What a process costs.
pub struct Cost {
    pub elapsed: Duration,
    /// User and system time.
    pub cpu: Duration,
    /// The most that was resident.
    pub resident_kib: u64,
}

/// Runs `command`, which must succeed. Its output is read and dropped.
pub fn cost(command: &mut Command) -> Cost {
    let (begun, before) = (Instant::now(), children_cpu_time());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while stdout.read(&mut bytes).unwrap() > 0 {}
    });
    let mut resident = 0;
    let status = loop {
        resident = resident_kib(child.id()).max(resident);
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let elapsed = begun.elapsed();
    reader.join().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    Cost {
        elapsed,
        cpu: children_cpu_time() - before,
        resident_kib: resident,
    }
}

/// CPU time of the processes that were waited for. Linux only: elsewhere nothing.
fn children_cpu_time() -> Duration {
    stat_time("/proc/self/stat", [13, 14])
}

/// CPU time that the process `pid` has used so far. Linux only: elsewhere nothing.
pub fn cpu_time(pid: u32) -> Duration {
    stat_time(&format!("/proc/{pid}/stat"), [11, 12])
}

/// The sum of two times of a `stat` file, in ticks of 10 ms. Source: proc_pid_stat(5): user and system time are fields 14
/// and 15, those of children 16 and 17. Fields are counted from field 3 on, which follows the name: it may contain anything.
fn stat_time(path: &str, fields: [usize; 2]) -> Duration {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| all.get(at).and_then(|text| text.parse::<u64>().ok());
    Duration::from_millis(fields.into_iter().filter_map(ticks).sum::<u64>() * 10)
}

/// Resident memory of the process `pid` in KiB. Linux only: elsewhere 0.
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.unwrap_or(0)
}

/// The median.
pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}
