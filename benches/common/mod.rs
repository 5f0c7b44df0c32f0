//! Shared parts of the benchmarks: a local cloud in a temporary home, and CPU time and memory of processes.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::process::Command;
use std::time::Duration;

/// A local cloud in a temporary home, ended with the value.
pub struct Cloud {
    home: tempfile::TempDir,
    pub endpoint: String,
    pub pid: u32,
}

impl Cloud {
    pub fn start() -> Self {
        let mut cloud = Self {
            home: tempfile::tempdir().unwrap(),
            endpoint: String::new(),
            pid: 0,
        };
        cloud.streamctl(&["local", "start", "--port", "0"]);
        let status = cloud.streamctl(&["local", "status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        status["endpoint"]
            .as_str()
            .unwrap()
            .clone_into(&mut cloud.endpoint);
        cloud.pid = status["pid"].to_string().parse().unwrap();
        cloud
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench(number.unwrap_or(otherwise)));
}

/// CPU time that the process `pid` has used so far. Linux only: elsewhere nothing.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may contain any character: state is field 3, user and system time are 14 and 15, in ticks of 10 ms.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    Duration::from_millis(10 * (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)))
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
