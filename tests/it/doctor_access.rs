//! `doctor`: faults of access, posture and connection are produced on the local cloud, and named with what repairs them.

use std::io::Write;

use aws_config::SdkConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, EventSourcePosition, FunctionCode, Runtime};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::fake::Fake;
use crate::support::{Cloud, Machine, block_on};

const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:failed";
/// All that the function of [`with_reader`] needs.
const NEEDED: &[(&str, &str)] = &[
    ("kinesis:DescribeStream", STREAM),
    ("kinesis:DescribeStreamSummary", STREAM),
    ("kinesis:GetRecords", STREAM),
    ("kinesis:GetShardIterator", STREAM),
    ("kinesis:ListShards", STREAM),
    ("sqs:SendMessage", QUEUE),
    ("logs:CreateLogStream", "*"),
    ("logs:PutLogEvents", "*"),
];

fn policy(statements: &[(&str, &str)]) -> String {
    let statements: Vec<Value> = statements
        .iter()
        .map(|(action, resource)| json!({"Effect": "Allow", "Action": action, "Resource": resource}))
        .collect();
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// The report of `doctor WORDS` with these variables, and its exit code.
fn examined(machine: &Machine, words: &[&str], variables: &[(&str, &str)]) -> (i32, Value) {
    let mut command = machine.streamctl(["doctor", "-o", "json"]);
    command.args(words).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (
        output.status.code().unwrap(),
        report.unwrap_or_else(|_| panic!("{output:?}")),
    )
}

/// The findings of a check.
fn findings(report: &Value, check: &str) -> Vec<Value> {
    let checks = report["checks"].as_array().unwrap();
    let one = checks.iter().find(|it| it["check"] == check);
    let one = one.unwrap_or_else(|| panic!("no check {check}"));
    assert_eq!(one["skipped"], Value::Null, "{one}");
    one["findings"].as_array().unwrap().clone()
}

/// The one finding of a check.
fn finding(report: &Value, check: &str, severity: &str) -> Value {
    let found = findings(report, check);
    assert_eq!(found.len(), 1, "{check}: {found:#?}");
    assert_eq!(found[0]["severity"], severity, "{check}");
    found[0].clone()
}

fn command(finding: &Value) -> &str {
    finding["fixes"][0]["command"].as_str().unwrap()
}

/// The policy that the evidence shows.
fn proposed(finding: &Value) -> String {
    let evidence = finding["evidence"].as_array().unwrap().iter();
    let mut policies = evidence.filter_map(|line| line.as_str()?.strip_prefix("this policy allows it: "));
    policies
        .next()
        .unwrap_or_else(|| panic!("{finding:#}"))
        .to_owned()
}

fn iam(sdk: &SdkConfig) -> aws_sdk_iam::Client {
    aws_sdk_iam::Client::new(sdk)
}

fn kms(sdk: &SdkConfig) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::new(sdk)
}

/// Gives the role `reader` these permissions and no others.
fn grant(cloud: &Cloud, statements: &[(&str, &str)]) {
    let call = iam(&cloud.sdk())
        .put_role_policy()
        .role_name("reader")
        .policy_name("all");
    block_on(call.policy_document(policy(statements)).send()).unwrap();
}

/// A local cloud with a stream, a queue for failed records, and a function with the role `reader` that reads the stream.
fn with_reader(variables: &[(&str, &str)]) -> Cloud {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let sdk = cloud.sdk();
    block_on(async {
        let trust = r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"lambda.amazonaws.com"}}]}"#;
        let role = iam(&sdk)
            .create_role()
            .role_name("reader")
            .assume_role_policy_document(trust);
        role.send().await.unwrap();
        aws_sdk_sqs::Client::new(&sdk)
            .create_queue()
            .queue_name("failed")
            .send()
            .await
            .unwrap();
    });
    grant(&cloud, NEEDED);
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", options).unwrap();
    zip.write_all(b"#!/bin/sh\nexit 1\n").unwrap();
    let zip = zip.finish().unwrap().into_inner();
    block_on(async {
        let environment = variables
            .iter()
            .fold(Environment::builder(), |built, (name, value)| {
                built.variables(*name, *value)
            });
        let lambda = aws_sdk_lambda::Client::new(&sdk);
        let made = lambda
            .create_function()
            .function_name("scorer")
            .role("arn:aws:iam::000000000000:role/reader")
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .environment(environment.build())
            .code(FunctionCode::builder().zip_file(Blob::new(zip)).build());
        made.send().await.unwrap();
        let failed = aws_sdk_lambda::types::OnFailure::builder()
            .destination(QUEUE)
            .build();
        let destination = aws_sdk_lambda::types::DestinationConfig::builder()
            .on_failure(failed)
            .build();
        let mapping = lambda
            .create_event_source_mapping()
            .function_name("scorer")
            .event_source_arn(STREAM)
            .starting_position(EventSourcePosition::Latest)
            .destination_config(destination);
        mapping.send().await.unwrap();
    });
    cloud
}

#[test]
fn a_caller_is_told_which_permissions_are_missing() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let iam = iam(&cloud.sdk());
    let key = block_on(async {
        iam.create_user().user_name("eve").send().await.unwrap();
        let reads = [
            "kinesis:Describe*",
            "kinesis:List*",
            "kinesis:GetShardIterator",
            "kinesis:GetRecords",
            "kinesis:GetResourcePolicy",
            "iam:SimulatePrincipalPolicy",
        ]
        .map(|action| (action, "*"));
        let call = iam.put_user_policy().user_name("eve").policy_name("read");
        call.policy_document(policy(&reads)).send().await.unwrap();
        iam.create_access_key()
            .user_name("eve")
            .send()
            .await
            .unwrap()
            .access_key
            .unwrap()
    });
    let as_eve = [
        ("AWS_ACCESS_KEY_ID", key.access_key_id()),
        ("AWS_SECRET_ACCESS_KEY", key.secret_access_key()),
        ("AWS_REGION", "us-east-1"),
    ];
    let words = ["orders", "--endpoint-url", cloud.endpoint.as_str()];
    let (code, report) = examined(&cloud, &words, &as_eve);
    assert_eq!(code, 0, "what a caller needs is not known: a caution");
    let found = finding(&report, "permissions", "caution");
    assert_eq!(found["summary"], "may not PutRecord, PutRecords on stream orders");
    let evidence = found["evidence"][0].as_str().unwrap();
    assert!(
        evidence.contains("because no identity-based policy allows the kinesis:PutRecord action"),
        "{evidence}"
    );
    assert!(
        command(&found).starts_with("aws iam put-user-policy --user-name eve "),
        "{found:#}"
    );
    // What it proposes is what was missing.
    let call = iam.put_user_policy().user_name("eve").policy_name("more");
    block_on(call.policy_document(proposed(&found)).send()).unwrap();
    let (_, report) = examined(&cloud, &words, &as_eve);
    assert!(findings(&report, "permissions").is_empty());

    // A deny names itself, and no policy is proposed.
    let deny = r#"{"Statement":{"Effect":"Deny","Action":"kinesis:GetRecords","Resource":"*"}}"#;
    let call = iam
        .put_user_policy()
        .user_name("eve")
        .policy_name("no")
        .policy_document(deny);
    block_on(call.send()).unwrap();
    let (_, report) = examined(&cloud, &words, &as_eve);
    let found = finding(&report, "permissions", "caution");
    assert_eq!(found["summary"], "may not GetRecords on stream orders");
    assert_eq!(found["fixes"], json!([]));
    assert!(cloud.records("orders").is_empty(), "no probe stored a record");
}

#[test]
fn a_role_is_told_which_permissions_its_function_needs() {
    let cloud = with_reader(&[]);
    let examine = |words: &[&str]| examined(&cloud, words, &[]).1;
    let report = examine(&["orders"]);
    for check in [
        "permissions",
        "function-permissions",
        "key-permissions",
        "stream-key",
    ] {
        assert!(findings(&report, check).is_empty(), "{check}");
    }

    let without = |action: &str| -> Vec<(&str, &str)> {
        let others = NEEDED.iter().copied();
        others.filter(|(needed, _)| *needed != action).collect()
    };
    for (action, severity, loss) in [
        ("kinesis:GetRecords", "fault", "the stream orders is not read"),
        ("sqs:SendMessage", "fault", "what cannot be processed is lost"),
        ("logs:PutLogEvents", "caution", "it writes no log"),
    ] {
        grant(&cloud, &without(action));
        let found = finding(&examine(&["orders"]), "function-permissions", severity);
        let summary = format!("has a role reader that does not allow {action}: {loss}");
        assert_eq!(found["summary"], summary.as_str());
        assert!(command(&found).starts_with("aws iam put-role-policy --role-name reader "));
        let call = iam(&cloud.sdk())
            .put_role_policy()
            .role_name("reader")
            .policy_name("more");
        block_on(call.policy_document(proposed(&found)).send()).unwrap();
        let report = examine(&["orders"]);
        assert!(findings(&report, "function-permissions").is_empty(), "{action}");
    }
    let iam = iam(&cloud.sdk());
    block_on(async {
        for policy in ["all", "more"] {
            iam.delete_role_policy()
                .role_name("reader")
                .policy_name(policy)
                .send()
                .await
                .unwrap();
        }
        iam.delete_role().role_name("reader").send().await.unwrap();
    });
    let found = finding(&examine(&["orders"]), "function-permissions", "fault");
    assert_eq!(found["summary"], "has a role that does not exist: it cannot run");
}

#[test]
fn a_key_has_to_work_and_its_readers_to_use_it() {
    let cloud = with_reader(&[]);
    let kms = kms(&cloud.sdk());
    let key = block_on(kms.create_key().send()).unwrap().key_metadata.unwrap();
    cloud.ok(["encrypt", "orders", "--key", key.key_id(), "--yes"]);
    let examine = || examined(&cloud, &["orders"], &[]).1;

    let report = examine();
    assert!(findings(&report, "stream-key").is_empty());
    let found = finding(&report, "key-permissions", "fault");
    assert_eq!(
        found["summary"],
        "may not decrypt the records of stream orders: none is processed"
    );
    let call = iam(&cloud.sdk())
        .put_role_policy()
        .role_name("reader")
        .policy_name("decrypt");
    block_on(call.policy_document(proposed(&found)).send()).unwrap();
    assert!(findings(&examine(), "key-permissions").is_empty());

    block_on(kms.disable_key().key_id(key.key_id()).send()).unwrap();
    let found = finding(&examine(), "stream-key", "fault");
    assert_eq!(
        command(&found),
        format!("aws kms enable-key --key-id {}", key.key_id())
    );
    let deletion = kms
        .schedule_key_deletion()
        .key_id(key.key_id())
        .pending_window_in_days(7);
    block_on(deletion.send()).unwrap();
    let found = finding(&examine(), "stream-key", "fault");
    assert!(
        found["summary"]
            .as_str()
            .unwrap()
            .contains("being deleted: its records will be lost"),
        "{found:#}"
    );
}

#[test]
fn exposures_are_always_looked_for_and_recommendations_if_asked() {
    let cloud = with_reader(&[("ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE")]);
    let sdk = cloud.sdk();
    block_on(async {
        let lambda = aws_sdk_lambda::Client::new(&sdk);
        let everyone = lambda
            .add_permission()
            .function_name("scorer")
            .statement_id("all");
        let everyone = everyone.action("lambda:InvokeFunction").principal("*");
        everyone.send().await.unwrap();
        let sqs = aws_sdk_sqs::Client::new(&sdk);
        let url = sqs
            .get_queue_url()
            .queue_name("failed")
            .send()
            .await
            .unwrap()
            .queue_url
            .unwrap();
        let open = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}"#;
        let set = sqs.set_queue_attributes().queue_url(&url);
        let set = set.attributes(QueueAttributeName::Policy, open);
        set.attributes(QueueAttributeName::SqsManagedSseEnabled, "false")
            .send()
            .await
            .unwrap();
        let open = open.replace("sqs:SendMessage", "kinesis:GetRecords");
        let put = cloud
            .kinesis()
            .put_resource_policy()
            .resource_arn(STREAM)
            .policy(open);
        put.send().await.unwrap();
    });
    let (code, report) = examined(&cloud, &["orders"], &[]);
    assert_eq!(code, 5);
    for (check, fix) in [
        ("function-public", "aws lambda get-policy --function-name scorer"),
        ("queue-public", "aws sqs set-queue-attributes"),
        (
            "stream-public",
            "aws kinesis delete-resource-policy --resource-arn arn:",
        ),
        ("secret-in-variable", "aws secretsmanager create-secret"),
    ] {
        let found = finding(&report, check, "fault");
        assert!(command(&found).starts_with(fix), "{found:#}");
    }
    assert!(
        !report.to_string().contains("AKIAIOSFODNN7EXAMPLE"),
        "no secret is shown"
    );
    let is_there = |report: &Value, check: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().any(|it| it["check"] == check)
    };
    assert!(!is_there(&report, "stream-encryption"));

    let (_, report) = examined(&cloud, &["orders", "--posture"], &[]);
    for check in [
        "stream-encryption",
        "stream-retention",
        "function-tracing",
        "function-defaults",
        "function-limit",
        "function-variables-key",
        "function-architecture",
        "queue-encryption",
        "queue-transport",
    ] {
        finding(&report, check, "caution");
    }
    assert_eq!(
        command(&finding(&report, "stream-encryption", "caution")),
        "streamctl encrypt orders"
    );
    for check in [
        "stream-customer-key",
        "queue-customer-key",
        "queue-redrive",
        "role-wildcard",
    ] {
        assert!(findings(&report, check).is_empty(), "{check}");
    }
    cloud.ok(["encrypt", "orders"]);
    cloud.ok(["monitoring", "enable", "orders"]);
    grant(&cloud, &[("kinesis:*", "*")]);
    let (_, report) = examined(&cloud, &["orders", "--posture"], &[]);
    for check in ["stream-customer-key", "shard-metrics-unwatched", "role-wildcard"] {
        finding(&report, check, "caution");
    }
}

#[test]
fn what_is_between_the_caller_and_kinesis_is_named() {
    let machine = Machine::new();
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ];
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let examine = |url: &str| examined(&machine, &["orders", "--endpoint-url", url], &keys);
    let (code, report) = examine(&closed);
    assert_eq!(code, 5);
    let found = finding(&report, "endpoint", "fault");
    assert_eq!(found["summary"], "cannot be reached, or does not answer");
    assert!(command(&found).starts_with("streamctl config show"), "{found:#}");
    // The others end for one reason, which is shown once.
    let mut reasons: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|check| check["skipped"].as_str())
        .filter(|reason| !reason.starts_with("Kinesis did not answer"))
        .collect();
    assert!(reasons.len() > 40, "{reasons:?}");
    reasons.dedup();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let mut shown = machine.streamctl(["doctor", "orders", "--endpoint-url", &closed]);
    let shown = shown.envs(keys).output().unwrap();
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(table.lines().count() < 20, "{table}");

    let web = Fake::start(|_| (404, "<html>no such page</html>".to_owned()));
    let found = finding(&examine(&web.url).1, "endpoint", "fault");
    assert_eq!(found["summary"], "does not answer like Kinesis");

    let refusing = Fake::start(|_| {
        let answer = r#"{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#;
        (400, answer.to_owned())
    });
    let report = examine(&refusing.url).1;
    let found = finding(&report, "credentials", "fault");
    assert_eq!(found["summary"], "are refused by the service");
    assert_eq!(
        found["evidence"][0],
        "they come from the variable AWS_ACCESS_KEY_ID"
    );
    assert_eq!(command(&found), "aws sts get-caller-identity");
    assert!(findings(&report, "endpoint").is_empty());
    // A call for the credentials, and what was under way with it: not one for each check.
    let calls = refusing.seen().len();
    assert!(calls <= 40, "{calls}");
}

#[test]
fn credentials_that_end_soon_are_named() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
    let answer = json!({"Version": 1, "AccessKeyId": "local", "SecretAccessKey": "x", "SessionToken": "t", "Expiration": end.to_string()});
    cloud.file("credentials.json", answer.to_string());
    std::fs::create_dir_all(cloud.path().join(".aws")).unwrap();
    let process = format!(
        "[profile soon]\nregion = us-east-1\ncredential_process = cat {}\n",
        cloud.path().join("credentials.json").display()
    );
    std::fs::write(cloud.path().join(".aws/config"), process).unwrap();
    let words = [
        "orders",
        "--endpoint-url",
        cloud.endpoint.as_str(),
        "--profile",
        "soon",
    ];
    let (_, report) = examined(&cloud, &words, &[]);
    let found = finding(&report, "credentials", "caution");
    let summary = found["summary"].as_str().unwrap();
    assert!(summary.starts_with("expire in 9m"), "{summary}");
    assert_eq!(command(&found), "aws sso login --profile soon");
}

#[test]
fn a_wrong_clock_is_named() {
    let machine = Machine::new();
    let late = Fake::with_header("date: Mon, 05 Jan 2026 10:00:00 GMT", |_| {
        (200, r#"{"StreamNames":[],"HasMoreStreams":false}"#.to_owned())
    });
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ];
    let (_, report) = examined(&machine, &["orders", "--endpoint-url", &late.url], &keys);
    let found = finding(&report, "clock", "fault");
    assert!(
        found["summary"]
            .as_str()
            .unwrap()
            .ends_with("ahead of that of the service"),
        "{found:#}"
    );
}

/// A bundled pipeline gives no finding of access, cost and exposure.
#[test]
fn a_healthy_pipeline_has_no_finding_about_access() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "retail", "--yes"]);
    let (_, report) = examined(&cloud, &["--pipeline", "retail"], &[]);
    for check in [
        "credentials",
        "clock",
        "endpoint",
        "region",
        "permissions",
        "function-permissions",
        "stream-key",
        "key-permissions",
        "stream-public",
        "function-public",
        "queue-public",
        "secret-in-variable",
        "stream-unused",
        "idle-shards",
        "on-demand-steady",
        "consumer-unused",
    ] {
        assert!(findings(&report, check).is_empty(), "{check}: {report:#}");
    }
}
