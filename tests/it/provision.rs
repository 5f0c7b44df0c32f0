//! Helpers of the provisioning tests: transcripts of runs, and the existing resources, read with the AWS SDK.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use aws_sdk_kinesis::types::StreamDescriptionSummary;

use crate::schemas;
use crate::support::{Cloud, block_on};

/// The outcome of a run.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end. It may fail. JSON is as its schema says.
pub fn run<const N: usize>(cloud: &Cloud, args: [&str; N]) -> Run {
    let output = cloud.streamctl(args).output().unwrap();
    if args.windows(2).any(|pair| pair == ["-o", "json"]) {
        schemas::check(&args, &output.stdout);
    }
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A run as a user sees it: the command, stdout, stderr, the exit code.
pub fn transcript<const N: usize>(cloud: &Cloud, args: [&str; N]) -> String {
    let ran = run(cloud, args);
    format!(
        "$ streamctl {}\n{}--- stderr\n{}--- exit {}",
        args.join(" "),
        ran.stdout,
        ran.stderr,
        ran.code
    )
}

/// Kills `streamctl ARGS` with SIGKILL after `delay`.
pub fn killed(cloud: &Cloud, args: &[&str], delay: Duration) {
    let mut child = spawn(cloud, args);
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().unwrap();
}

/// Sends SIGINT to `streamctl ARGS` once it prints `word` on stderr, and waits for its end.
pub fn interrupted(cloud: &Cloud, args: &[&str], word: &str) -> Run {
    let mut child = spawn(cloud, args);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut stderr = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        stderr += &line;
        stderr.push('\n');
        if line.contains(word) {
            let _ = std::process::Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .output();
            break;
        }
    }
    for line in lines {
        stderr += &line.unwrap();
        stderr.push('\n');
    }
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr,
    }
}

fn spawn(cloud: &Cloud, args: &[&str]) -> Child {
    std::process::Command::new(env!("CARGO_BIN_EXE_streamctl"))
        .args(args)
        .env_clear()
        .env("COLUMNS", "80")
        .env("HOME", cloud.path())
        .env("STREAMCTL_HOME", cloud.path().join("streamctl-home"))
        .env("STREAMCTL_TARGET", "local")
        .current_dir(cloud.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Snapshot filters for what differs from run to run.
pub fn redacted(check: impl FnOnce()) {
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC)", "TIME"),
        (r"\b\d{50,60}\b", "SEQUENCE"),
    ]}, { check() });
}

/// The output of DescribeStreamSummary.
pub fn summary(cloud: &Cloud, stream: &str) -> Option<StreamDescriptionSummary> {
    let call = cloud.kinesis().describe_stream_summary().stream_name(stream);
    block_on(call.send()).ok()?.stream_description_summary
}

/// The output of ListTagsForStream.
pub fn tags(cloud: &Cloud, stream: &str) -> BTreeMap<String, String> {
    let call = cloud.kinesis().list_tags_for_stream().stream_name(stream);
    let answer = block_on(call.send()).unwrap();
    let tags = answer.tags.into_iter();
    tags.map(|tag| (tag.key, tag.value.unwrap_or_default())).collect()
}

/// The IAM of the cloud.
pub fn iam(cloud: &Cloud) -> aws_sdk_iam::Client {
    use aws_sdk_iam::config::{BehaviorVersion, Config, Credentials, Region};
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&cloud.endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_iam::Client::from_conf(config)
}

/// The ARNs of all customer managed policies.
pub fn policies(cloud: &Cloud) -> Vec<String> {
    let call = iam(cloud)
        .list_policies()
        .scope(aws_sdk_iam::types::PolicyScopeType::Local);
    let answer = block_on(call.send()).unwrap();
    let policies = answer.policies.unwrap_or_default().into_iter();
    policies.filter_map(|policy| policy.arn).collect()
}

/// The default version of a policy's document, decoded.
pub fn document(cloud: &Cloud, arn: &str) -> serde_json::Value {
    let iam = iam(cloud);
    block_on(async {
        let policy = iam.get_policy().policy_arn(arn).send().await.unwrap();
        let version = policy.policy.unwrap().default_version_id.unwrap();
        let call = iam.get_policy_version().policy_arn(arn).version_id(version);
        let text = call
            .send()
            .await
            .unwrap()
            .policy_version
            .unwrap()
            .document
            .unwrap();
        let mut plain = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            if first == b'%' {
                plain.push(u8::from_str_radix(&text[text.len() - tail.len()..][..2], 16).unwrap());
                rest = &tail[2..];
            } else {
                plain.push(first);
                rest = tail;
            }
        }
        serde_json::from_slice(&plain).unwrap()
    })
}

/// Creates a stream without streamctl.
pub fn foreign_stream(cloud: &Cloud, name: &str) {
    let kinesis = cloud.kinesis();
    block_on(async {
        kinesis
            .create_stream()
            .stream_name(name)
            .shard_count(1)
            .send()
            .await
            .unwrap();
    });
    settled(cloud, name);
}

/// Waits until a stream is ACTIVE.
pub fn settled(cloud: &Cloud, name: &str) {
    for _ in 0..500 {
        let status = summary(cloud, name).map(|found| found.stream_status);
        if status == Some(aws_sdk_kinesis::types::StreamStatus::Active) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{name} does not become ACTIVE");
}
