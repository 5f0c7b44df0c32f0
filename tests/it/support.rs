//! A temporary machine and a local cloud for one test, and commands that run on them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::types::ShardIteratorType;
use tempfile::TempDir;

use crate::schemas;

/// A machine without any AWS configuration: an empty home directory and no variables.
pub struct Machine {
    dir: TempDir,
}

impl Machine {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// The home directory of the user and the working directory of commands.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file into the working directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// `streamctl ARGS` as a user without any configuration would run it.
    pub fn streamctl<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamctl"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("STREAMCTL_HOME", self.path().join("streamctl-home"))
            // The tests may run on a machine in AWS.
            .env("STREAMCTL_TARGET", "local")
            // Tables as on a terminal; a pipe has no width.
            .env("COLUMNS", "80")
            .current_dir(self.path())
            .timeout(Duration::from_secs(60))
            .args(args);
        command
    }

    /// Runs a command that must succeed. Returns its stdout. JSON is as its schema says.
    pub fn ok<const N: usize>(&self, args: [&str; N]) -> String {
        let output = self.streamctl(args).assert().success().get_output().clone();
        let text = String::from_utf8(output.stdout).unwrap();
        if args.windows(2).any(|pair| pair == ["-o", "json"]) {
            schemas::check(&args, text.as_bytes());
        }
        text
    }

    /// Runs a command that must end with `code`. Returns its stderr.
    pub fn fails<const N: usize>(&self, code: i32, args: [&str; N]) -> String {
        let output = self.streamctl(args).assert().code(code).get_output().clone();
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a command with `-o json` that must succeed. Returns the document, which is as its schema says.
    pub fn json<const N: usize>(&self, args: [&str; N]) -> serde_json::Value {
        let output = self
            .streamctl(args)
            .args(["-o", "json"])
            .assert()
            .success()
            .get_output()
            .clone();
        schemas::check(&args, &output.stdout);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A running local cloud.
pub struct Cloud {
    pub machine: Machine,
    pub endpoint: String,
    pid: u32,
}

impl std::ops::Deref for Cloud {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Cloud {
    /// Starts a local cloud on a free port.
    pub fn start() -> Self {
        Self::start_with([])
    }

    /// Starts a local cloud with these arguments of `local start`.
    pub fn start_with<const N: usize>(args: [&str; N]) -> Self {
        let machine = Machine::new();
        let (endpoint, pid) = start(&machine, &args);
        Self {
            machine,
            endpoint,
            pid,
        }
    }

    /// The local cloud that runs on `machine`.
    pub fn of(machine: Machine) -> Self {
        let status = machine.json(["local", "status"]);
        Self {
            endpoint: status["endpoint"].as_str().unwrap().to_owned(),
            pid: pid(&status),
            machine,
        }
    }

    /// Kills the local cloud with `kill -9`.
    pub fn kill(&mut self) {
        kill(self.pid);
        wait_until_gone(&self.endpoint);
    }

    /// Starts it again with the same data, on a new port.
    pub fn restart(&mut self) {
        self.restart_with([]);
    }

    /// [`Cloud::restart`], with these arguments of `local start`.
    pub fn restart_with<const N: usize>(&mut self, args: [&str; N]) {
        (self.endpoint, self.pid) = start(&self.machine, &args);
    }

    /// Starts it again with the same data, on the same port.
    pub fn restart_in_place(&mut self) {
        let port = self.endpoint.rsplit(':').next().unwrap().to_owned();
        self.machine
            .streamctl(["local", "start", "--port", &port])
            .assert()
            .success();
        self.pid = pid(&self.machine.json(["local", "status"]));
    }

    /// Creates a stream and waits until it is ACTIVE.
    pub fn stream(&self, name: &str, shards: i32) {
        block_on(async {
            let client = self.kinesis();
            let made = client.create_stream().stream_name(name).shard_count(shards);
            made.send().await.unwrap();
            while !is_active(&client, name).await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }

    /// The partition key and data of every record in a stream, oldest shard first, read with the AWS SDK.
    pub fn records(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        block_on(async {
            let client = self.kinesis();
            let shards = client.list_shards().stream_name(name).send().await.unwrap();
            let mut found = Vec::new();
            for shard in shards.shards() {
                let start = client.get_shard_iterator().stream_name(name);
                let start = start
                    .shard_id(shard.shard_id())
                    .shard_iterator_type(ShardIteratorType::TrimHorizon);
                let mut iterator = start.send().await.unwrap().shard_iterator;
                while let Some(at) = iterator {
                    let page = client.get_records().shard_iterator(at).send().await.unwrap();
                    let at_tip = page.millis_behind_latest == Some(0);
                    iterator = page.next_shard_iterator.filter(|_| !at_tip);
                    for record in page.records {
                        found.push((record.partition_key.unwrap(), record.data.into_inner()));
                    }
                }
            }
            found
        })
    }

    /// A client of the AWS SDK for this cloud.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&self.sdk())
    }

    /// The configuration of AWS SDK clients for this cloud. Change it with `into_builder`.
    pub fn sdk(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "test", "test", None, None, "test",
            )))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        kill(self.pid);
    }
}

fn start(machine: &Machine, args: &[&str]) -> (String, u32) {
    machine
        .streamctl(["local", "start", "--port", "0"])
        .args(args)
        .assert()
        .success();
    let status = machine.json(["local", "status"]);
    (status["endpoint"].as_str().unwrap().to_owned(), pid(&status))
}

fn pid(status: &serde_json::Value) -> u32 {
    u32::try_from(status["pid"].as_u64().unwrap()).unwrap()
}

/// Whether the stream is ACTIVE.
pub async fn is_active(client: &aws_sdk_kinesis::Client, name: &str) -> bool {
    let summary = client.describe_stream_summary().stream_name(name).send();
    let summary = summary.await.unwrap();
    let summary = summary.stream_description_summary().unwrap();
    summary.stream_status().as_str() == "ACTIVE"
}

fn kill(pid: u32) {
    let _ = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .output();
}

fn wait_until_gone(endpoint: &str) {
    let address = endpoint.strip_prefix("http://").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "the local cloud did not die");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `future` on a new runtime.
pub fn block_on<F: std::future::Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
