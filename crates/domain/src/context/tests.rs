//! Real clients, each against a connector that records where its request would go. The environment is that of a child
//! process, since the SDK reads the environment of its own process.

use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;

use super::*;
use crate::settings::{ConfigFile, CredentialSource, DotEnv, Flags, Sources, TargetChoice};
use ground::exit::Exit;

/// Answers every request with an error that is not retried, and records its host and its key.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Vec<(String, String)>>>);

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri().to_owned();
        let authority = uri.split("://").nth(1).unwrap_or_default();
        let host = authority.split(['/', '?']).next().unwrap_or_default().to_owned();
        let key = request.headers().get("authorization").unwrap_or_default();
        let key = key
            .split("Credential=")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let mut seen = self.0.lock().unwrap();
        seen.push((host, key.unwrap_or_default().to_owned()));
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            400.try_into().unwrap(),
            SdkBody::from("{}"),
        )))
    }
}

fn settings(flags: &Flags) -> Settings {
    let sources = Sources {
        env: &|name| std::env::var(name).ok(),
        dotenv: DotEnv::default(),
        file: ConfigFile::default(),
        exists: &|path| path.exists(),
        is_ec2: &|| false,
        home_dir: Some(std::env::var_os("HOME").unwrap_or_default().into()),
        data_dir: Some("/nowhere".into()),
    };
    Settings::resolve(flags, &sources).unwrap()
}

/// Calls each service once. A line for each: service, host, key.
async fn call_all(flags: &Flags) -> Vec<String> {
    let recorder = Recorder::default();
    let connector = recorder.clone();
    let client =
        http_client_fn(move |_: &HttpConnectorSettings, _| SharedHttpConnector::new(connector.clone()));
    let settings = settings(flags);
    let endpoint = match &settings.target {
        Target::Endpoint(url) => Some(url.clone()),
        _ => None,
    };
    let endpoint = match settings.target {
        Target::Local => Some("http://127.0.0.1:9".to_owned()),
        _ => endpoint,
    };
    let connected = Context::connect_with(settings, endpoint.as_deref(), Some(client), Calls::default());
    let context = match connected.await {
        Ok(context) => context,
        Err(error) => return vec![error.chain().join(": "), error.hint_text().unwrap().to_owned()],
    };
    let mut lines = vec![context.target_name()];
    let mut line = |service: &str, failed: bool| {
        assert!(failed, "{service} was called");
        let seen = std::mem::take(&mut *recorder.0.lock().unwrap());
        let seen: Vec<String> = seen.iter().map(|(host, key)| format!("{host} {key}")).collect();
        lines.push(format!("{service}: {}", seen.join(", ")));
    };
    line("Kinesis", context.kinesis().list_streams().send().await.is_err());
    line(
        "Kinesis once",
        context.kinesis_once().list_streams().send().await.is_err(),
    );
    line(
        "CloudWatch",
        context.cloudwatch().list_metrics().send().await.is_err(),
    );
    line(
        "CloudWatch Logs",
        context.logs().describe_log_groups().send().await.is_err(),
    );
    line("DynamoDB", context.dynamodb().list_tables().send().await.is_err());
    line("IAM", context.iam().list_roles().send().await.is_err());
    let what = String::new;
    line("KMS", context.describe_key("k", what()).await.is_err());
    line("Lambda", context.lambda().list_functions().send().await.is_err());
    line("Tagging", context.tag_values("k", "").await.is_err());
    line("S3", context.s3().list_buckets().send().await.is_err());
    line("SNS", context.sns().list_topics().send().await.is_err());
    line("SQS", context.sqs().list_queues().send().await.is_err());
    line("STS", context.sts.get_caller_identity().send().await.is_err());
    lines
}

/// The part that runs in the child: prints what [`call_all`] returns.
#[tokio::test]
#[ignore = "run by the other tests, in a process with an environment of its own"]
async fn child() {
    let flag = |name: &str| std::env::var(name).ok();
    let flags = Flags {
        target: flag("TEST_TARGET").map(|target| match target.as_str() {
            "local" => TargetChoice::Local,
            _ => TargetChoice::Aws,
        }),
        endpoint_url: flag("TEST_ENDPOINT"),
        profile: flag("TEST_PROFILE"),
        ..Flags::default()
    };
    for line in call_all(&flags).await {
        // The test harness captures what is printed with `print!`.
        use std::io::Write;
        writeln!(std::io::stderr().lock(), "> {line}").unwrap();
    }
}

const CONFIG: &str = "\
[default]\nregion = eu-west-1\n\
[profile dev]\nregion = eu-west-1\nendpoint_url = http://profile.test:1\nservices = mine\n\
aws_access_key_id = DEV\naws_secret_access_key = x\n\
[services mine]\ns3 =\n  endpoint_url = http://s3-of-profile.test:2\ncloudwatch_logs =\n  endpoint_url = http://logs-of-profile.test:3\n";

/// The lines that a child with these variables prints.
fn run(variables: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    std::fs::write(&config, CONFIG).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["context::tests::child", "--exact", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", dir.path())
        .env("AWS_CONFIG_FILE", &config)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "ENV")
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let lines = said.lines().filter_map(|line| line.strip_prefix("> "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every way in which an environment can name an endpoint.
const HOSTILE: &[(&str, &str)] = &[
    ("AWS_ENDPOINT_URL", "http://all.test:1"),
    ("AWS_ENDPOINT_URL_KINESIS", "http://kinesis.test:2"),
    ("AWS_ENDPOINT_URL_STS", "http://sts.test:3"),
    ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://logs.test:4"),
    ("AWS_PROFILE", "dev"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    HOSTILE.iter().chain(more).copied().collect()
}

#[test]
fn target_aws_is_aws_for_every_client() {
    insta::assert_snapshot!(run(&with(&[("TEST_TARGET", "aws")])), @r"
    AWS
    Kinesis: kinesis.eu-west-1.amazonaws.com ENV
    Kinesis once: kinesis.eu-west-1.amazonaws.com ENV
    CloudWatch: monitoring.eu-west-1.amazonaws.com ENV
    CloudWatch Logs: logs.eu-west-1.amazonaws.com ENV
    DynamoDB: dynamodb.eu-west-1.amazonaws.com ENV
    IAM: iam.amazonaws.com ENV
    KMS: kms.eu-west-1.amazonaws.com ENV
    Lambda: lambda.eu-west-1.amazonaws.com ENV
    Tagging: tagging.eu-west-1.amazonaws.com ENV
    S3: s3.eu-west-1.amazonaws.com ENV
    SNS: sns.eu-west-1.amazonaws.com ENV
    SQS: sqs.eu-west-1.amazonaws.com ENV
    STS: sts.eu-west-1.amazonaws.com ENV
    ");
}

#[test]
fn endpoints_of_the_environment_are_those_of_the_clients_and_are_named() {
    insta::assert_snapshot!(run(HOSTILE), @r"
    endpoint http://all.test:1, CloudWatch Logs at http://logs.test:4, Kinesis at http://kinesis.test:2, STS at http://sts.test:3
    Kinesis: kinesis.test:2 ENV
    Kinesis once: kinesis.test:2 ENV
    CloudWatch: all.test:1 ENV
    CloudWatch Logs: logs.test:4 ENV
    DynamoDB: all.test:1 ENV
    IAM: all.test:1 ENV
    KMS: all.test:1 ENV
    Lambda: all.test:1 ENV
    Tagging: all.test:1 ENV
    S3: all.test:1 ENV
    SNS: all.test:1 ENV
    SQS: all.test:1 ENV
    STS: sts.test:3 ENV
    ");
}

#[test]
fn endpoints_of_the_profile_are_those_of_the_clients_and_are_named() {
    insta::assert_snapshot!(run(&[("AWS_PROFILE", "dev")]), @r"
    endpoint http://profile.test:1, S3 at http://s3-of-profile.test:2
    Kinesis: profile.test:1 ENV
    Kinesis once: profile.test:1 ENV
    CloudWatch: profile.test:1 ENV
    CloudWatch Logs: profile.test:1 ENV
    DynamoDB: profile.test:1 ENV
    IAM: profile.test:1 ENV
    KMS: profile.test:1 ENV
    Lambda: profile.test:1 ENV
    Tagging: profile.test:1 ENV
    S3: s3-of-profile.test:2 ENV
    SNS: profile.test:1 ENV
    SQS: profile.test:1 ENV
    STS: profile.test:1 ENV
    ");
}

/// Where those services are called that have no client here.
fn without_client(variables: &[(&str, &str)]) -> String {
    let said = run(variables);
    let lines = said.lines().filter(|line| {
        let (service, _) = line.split_once(':').unwrap_or_default();
        ["KMS", "Tagging"].contains(&service)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn hosts_that_are_asked_for_are_called_without_a_client_too() {
    let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
    let dual_stack = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
    insta::assert_snapshot!(without_client(&[fips]), @r"
    KMS: kms-fips.eu-west-1.amazonaws.com ENV
    Tagging: tagging-fips.eu-west-1.amazonaws.com ENV
    ");
    insta::assert_snapshot!(without_client(&[dual_stack]), @r"
    KMS: kms.eu-west-1.api.aws ENV
    Tagging: tagging.eu-west-1.api.aws ENV
    ");
    insta::assert_snapshot!(without_client(&[fips, dual_stack, ("AWS_REGION", "cn-north-1")]), @r"
    KMS: kms-fips.cn-north-1.api.amazonwebservices.com.cn ENV
    Tagging: tagging-fips.cn-north-1.api.amazonwebservices.com.cn ENV
    ");
    // An endpoint that is named for one of them is called, unless hosts of a kind are asked for.
    let own = ("AWS_ENDPOINT_URL_KMS", "http://kms.test:5");
    insta::assert_snapshot!(without_client(&[own]), @r"
    KMS: kms.test:5 ENV
    Tagging: tagging.eu-west-1.amazonaws.com ENV
    ");
    let refused = without_client(&[own, fips]);
    assert_eq!(
        refused,
        "KMS: \nTagging: tagging-fips.eu-west-1.amazonaws.com ENV"
    );
}

#[test]
fn hosts_of_aws_are_not_asked_for_at_another_endpoint() {
    for (name, kind) in [
        ("AWS_USE_FIPS_ENDPOINT", "FIPS"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "dual-stack"),
    ] {
        let local = run(&[(name, "true"), ("TEST_TARGET", "local")]);
        let (_, calls) = local.split_once('\n').unwrap();
        let is_local = |line: &str| line.contains(": 127.0.0.1:9 ");
        assert!(calls.lines().all(is_local), "{local}");
        let endpoint = "http://flag.test:9";
        let refused = run(&[(name, "true"), ("TEST_ENDPOINT", endpoint)]);
        let expected =
            format!("the endpoint {endpoint} is not known to be a {kind} endpoint\nunset {name} (");
        assert!(refused.starts_with(&expected), "{refused}");
    }
}

#[test]
fn the_endpoint_of_a_flag_is_that_of_every_client() {
    let said = run(&with(&[("TEST_ENDPOINT", "http://flag.test:9")]));
    let (first, calls) = said.split_once('\n').unwrap();
    assert_eq!(first, "endpoint http://flag.test:9");
    assert!(
        calls.lines().all(|line| line.ends_with(": flag.test:9 ENV")),
        "{said}"
    );
}

#[test]
fn a_profile_of_a_flag_has_the_credentials_and_not_the_environment() {
    let said = run(&[("TEST_PROFILE", "dev"), ("TEST_TARGET", "aws")]);
    assert!(
        said.lines()
            .skip(1)
            .all(|line| line.ends_with(".amazonaws.com DEV")),
        "{said}"
    );
}

async fn connect(settings: Settings) -> Result<Context> {
    let endpoint = match &settings.target {
        Target::Endpoint(url) => Some(url.clone()),
        _ => None,
    };
    Context::connect_with(settings, endpoint.as_deref(), None, Calls::default()).await
}

fn at(target: Target) -> Settings {
    Settings {
        target,
        target_source: Source::File,
        ..Settings::of_endpoint("")
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_before_any_call() {
    let missing = Settings {
        profile: Some("no-such-profile".into()),
        ..at(Target::Aws)
    };
    let mut untrusted = at(Target::Endpoint("https://example.com".into()));
    untrusted.access.untrusted = Some("/work/streamctl.toml".into());
    let mut half = at(Target::Aws);
    half.access.credentials = CredentialSource::Incomplete {
        set: "AWS_ACCESS_KEY_ID",
        missing: "AWS_SECRET_ACCESS_KEY",
        source: Source::DotEnv("AWS_ACCESS_KEY_ID"),
    };
    for (settings, message) in [
        (missing, "there is no AWS profile \"no-such-profile\""),
        (
            untrusted,
            "/work/streamctl.toml names the endpoint https://example.com, and you have not trusted this file: your \
             credentials would be sent there",
        ),
        (
            half,
            "AWS_ACCESS_KEY_ID in .env is set, and AWS_SECRET_ACCESS_KEY is not",
        ),
    ] {
        let Err(error) = connect(settings).await else {
            panic!("{message}")
        };
        assert_eq!((error.exit(), error.to_string().as_str()), (Exit::Usage, message));
    }
}

#[test]
fn regions_are_in_their_partition() {
    let regions = [
        "eu-west-1",
        "cn-north-1",
        "us-gov-west-1",
        "us-isob-east-1",
        "eusc-de-east-1",
    ];
    let expected = ["aws", "aws-cn", "aws-us-gov", "aws-iso-b", "aws-eusc"];
    assert_eq!(regions.map(regions::partition), expected);
}
