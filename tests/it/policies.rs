//! `policy`: who may use a stream. Each policy allows what it is for, and nothing else.

use std::collections::BTreeSet;

use aws_sdk_kinesis::primitives::Blob;
use serde_json::{Value, json};

use crate::provision::run;
use crate::schemas;
use crate::support::{Cloud, block_on};

/// A user of IAM with one inline policy, and its access key.
pub struct User<'a> {
    cloud: &'a Cloud,
    name: &'static str,
    key: (String, String),
}

impl<'a> User<'a> {
    pub fn new(cloud: &'a Cloud, name: &'static str) -> Self {
        let iam = aws_sdk_iam::Client::new(&cloud.sdk());
        let key = block_on(async {
            iam.create_user().user_name(name).send().await.unwrap();
            let made = iam.create_access_key().user_name(name).send().await.unwrap();
            let key = made.access_key.unwrap();
            (key.access_key_id, key.secret_access_key)
        });
        Self { cloud, name, key }
    }

    /// Gives the user this policy, in place of the one before.
    pub fn allow(&self, document: &Value) {
        let iam = aws_sdk_iam::Client::new(&self.cloud.sdk());
        let put = iam.put_user_policy().user_name(self.name).policy_name("only");
        block_on(put.policy_document(document.to_string()).send()).unwrap();
    }

    /// Runs streamctl as this user: exit code and stderr.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let mut command = self.cloud.streamctl(args);
        let output = command
            .env_remove("STREAMCTL_TARGET")
            .args(["--endpoint-url", &self.cloud.endpoint])
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", &self.key.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.key.1)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap_or(-1), said)
    }

    pub fn may(&self, args: &[&str]) {
        let (code, said) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {said}");
    }

    pub fn may_not(&self, args: &[&str]) {
        let (code, said) = self.run(args);
        let denied = said.contains("not authorized") || said.contains("AccessDenied");
        assert!(code != 0 && denied, "{args:?}: exit {code}: {said}");
    }

    fn kinesis(&self) -> aws_sdk_kinesis::Client {
        let credentials =
            aws_sdk_kinesis::config::Credentials::new(&self.key.0, &self.key.1, None, None, "test");
        let config = self.cloud.sdk().into_builder();
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
        aws_sdk_kinesis::Client::new(&config.credentials_provider(provider).build())
    }
}

pub fn policy(cloud: &Cloud, args: &[&str]) -> Value {
    let output = cloud
        .streamctl(["policy", "orders", "--for"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    schemas::check(&["policy"], &output.stdout);
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn actions(document: &Value) -> BTreeSet<String> {
    let statements = document["Statement"].as_array().unwrap().iter();
    let lists = statements.flat_map(|statement| statement["Action"].as_array().unwrap().clone());
    lists.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// `document` without the action `removed`.
pub fn without(document: &Value, removed: &str) -> Value {
    let mut document = document.clone();
    let statements = document["Statement"].as_array_mut().unwrap();
    for statement in statements.iter_mut() {
        let actions = statement["Action"].as_array_mut().unwrap();
        actions.retain(|action| action != removed);
    }
    statements.retain(|statement| !statement["Action"].as_array().unwrap().is_empty());
    document
}

#[test]
fn a_producer_can_put_and_nothing_else() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.stream("clicks", 1);
    cloud.file("in.ndjson", "{\"n\":1}\n");
    let put = ["put", "orders", "--file", "in.ndjson"];
    let whole = policy(&cloud, &["producer"]);
    let writer = User::new(&cloud, "writer");
    writer.allow(&whole);
    writer.may(&put);
    for other in [
        &["put", "clicks", "--file", "in.ndjson"][..],
        &["tail", "orders", "--from", "trim", "-n", "1"],
        &["list"],
        &["retention", "orders", "48h"],
        &["delete", "orders", "--yes"],
    ] {
        writer.may_not(other);
    }
    let one = |client: aws_sdk_kinesis::Client| {
        let call = client.put_record().stream_name("orders").partition_key("a");
        block_on(call.data(Blob::new("x")).send()).is_ok()
    };
    assert!(one(writer.kinesis()));
    for action in actions(&whole) {
        writer.allow(&without(&whole, &action));
        match action.as_str() {
            // Other producers use it.
            "kinesis:PutRecord" => assert!(!one(writer.kinesis())),
            _ => writer.may_not(&put),
        }
    }
}

#[test]
fn a_consumer_can_read_and_nothing_else() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.file("in.ndjson", "{\"n\":1}\n");
    cloud.ok(["put", "orders", "--file", "in.ndjson"]);
    let tail = ["tail", "orders", "--from", "trim", "-n", "1"];
    let whole = policy(&cloud, &["consumer"]);
    let reader = User::new(&cloud, "reader");
    reader.allow(&whole);
    reader.may(&tail);
    reader.may_not(&["put", "orders", "--file", "in.ndjson"]);
    reader.may_not(&["list"]);
    reader.may_not(&["reshard", "orders", "--to", "2"]);
    for action in actions(&whole) {
        reader.allow(&without(&whole, &action));
        reader.may_not(&tail);
    }
}

#[test]
fn a_fan_out_consumer_can_subscribe() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let consumer = cloud.json(["consumer", "register", "orders", "app"]);
    let arn = consumer["arn"].as_str().unwrap().to_owned();
    let whole = policy(&cloud, &["consumer", "--fan-out"]);
    let reader = User::new(&cloud, "reader");
    let can = |document: &Value| {
        reader.allow(document);
        let client = reader.kinesis();
        block_on(async {
            let described = client.describe_stream_consumer().consumer_arn(&arn).send().await;
            let latest = aws_sdk_kinesis::types::ShardIteratorType::Latest;
            let from = aws_sdk_kinesis::types::StartingPosition::builder()
                .r#type(latest)
                .build()
                .unwrap();
            let call = client.subscribe_to_shard().consumer_arn(&arn);
            let subscribed = call
                .shard_id("shardId-000000000000")
                .starting_position(from)
                .send()
                .await;
            (described.is_ok(), subscribed.is_ok())
        })
    };
    assert_eq!(can(&without(&whole, "kinesis:SubscribeToShard")), (true, false));
    assert_eq!(
        can(&without(&whole, "kinesis:DescribeStreamConsumer")),
        (false, true)
    );
}

/// What an operator does, with the action that each command needs. Commands are in an order in which each is possible.
const OPERATIONS: &[(&str, &[&str])] = &[
    ("kinesis:ListStreams", &["list"]),
    ("kinesis:CreateStream", &["create", "orders", "--shards", "2"]),
    ("kinesis:DescribeStreamSummary", &["describe", "orders"]),
    ("kinesis:ListTagsForStream", &["tag", "list", "orders"]),
    ("kinesis:AddTagsToStream", &["tag", "add", "orders", "env=dev"]),
    (
        "kinesis:RemoveTagsFromStream",
        &["tag", "remove", "orders", "env"],
    ),
    (
        "kinesis:IncreaseStreamRetentionPeriod",
        &["retention", "orders", "48h"],
    ),
    (
        "kinesis:DecreaseStreamRetentionPeriod",
        &["retention", "orders", "24h", "--yes"],
    ),
    ("kinesis:StartStreamEncryption", &["encrypt", "orders"]),
    (
        "kinesis:StopStreamEncryption",
        &["encrypt", "orders", "--key", "none"],
    ),
    (
        "kinesis:EnableEnhancedMonitoring",
        &["monitoring", "enable", "orders"],
    ),
    (
        "kinesis:DisableEnhancedMonitoring",
        &["monitoring", "disable", "orders"],
    ),
    ("kinesis:UpdateMaxRecordSize", &["record-size", "orders", "2MiB"]),
    (
        "kinesis:ListShards",
        &["reshard", "orders", "--split", "0", "--dry-run"],
    ),
    ("kinesis:SplitShard", &["reshard", "orders", "--split", "0"]),
    ("kinesis:MergeShards", &["reshard", "orders", "--merge", "2", "3"]),
    ("kinesis:UpdateShardCount", &["reshard", "orders", "--to", "3"]),
    (
        "kinesis:RegisterStreamConsumer",
        &["consumer", "register", "orders", "app"],
    ),
    ("kinesis:ListStreamConsumers", &["consumer", "list", "orders"]),
    (
        "kinesis:DescribeStreamConsumer",
        &["consumer", "describe", "orders", "app"],
    ),
    (
        "kinesis:DeregisterStreamConsumer",
        &["consumer", "deregister", "orders", "app", "--yes"],
    ),
    (
        "kinesis:PutResourcePolicy",
        &[
            "policy",
            "allow",
            "orders",
            "--account",
            "123456789012",
            "--for",
            "consumer",
        ],
    ),
    ("kinesis:GetResourcePolicy", &["policy", "show", "orders"]),
    (
        "kinesis:DeleteResourcePolicy",
        &["policy", "delete", "orders", "--yes"],
    ),
    ("kinesis:DescribeLimits", &["account", "show"]),
    ("kinesis:DescribeAccountSettings", &["account", "show"]),
    ("cloudwatch:GetMetricData", &["metrics", "orders"]),
    ("kinesis:UpdateStreamMode", &["mode", "orders", "on-demand"]),
    (
        "kinesis:UpdateStreamWarmThroughput",
        &["warm-throughput", "orders", "100"],
    ),
    ("kinesis:DeleteStream", &["delete", "orders", "--yes"]),
];

/// Actions that a command can do without: it says then what it does not know.
const OPTIONAL: &[(&str, &[&str], &str)] = &[
    (
        "cloudwatch:DescribeAlarms",
        &["delete", "orders", "--dry-run"],
        "dependent alarm",
    ),
    (
        "kinesis:ListChannels",
        &["delete", "orders", "--dry-run"],
        "dependent channel",
    ),
];

/// The local cloud has neither CloudTrail nor Firehose, and its Lambda checks only the permission to invoke.
const UNTESTED: [&str; 5] = [
    "cloudtrail:LookupEvents",
    "firehose:DescribeDeliveryStream",
    "firehose:ListDeliveryStreams",
    "lambda:GetFunctionConfiguration",
    "lambda:ListEventSourceMappings",
];

#[test]
fn an_operator_needs_each_action_of_its_policy() {
    let cloud = Cloud::start();
    // Warm throughput needs it.
    cloud.ok(["account", "set", "--commitment", "enabled", "--yes"]);
    let whole = policy(&cloud, &["operator"]);
    let needed = OPERATIONS.iter().map(|(action, _)| *action);
    let optional = OPTIONAL.iter().map(|(action, ..)| *action);
    let named = needed.chain(optional).map(str::to_owned);
    let named: BTreeSet<String> = named.chain(UNTESTED.map(str::to_owned)).collect();
    assert_eq!(actions(&whole), named, "the policy and the table");
    let operator = User::new(&cloud, "operator");
    for (action, args) in OPERATIONS {
        operator.allow(&without(&whole, action));
        operator.may_not(args);
        operator.allow(&whole);
        operator.may(args);
        if *args == ["create", "orders", "--shards", "2"] {
            operator.may_not(&["create", "clicks"]);
        }
    }
    cloud.stream("orders", 1);
    // Only such a stream has channels.
    cloud.ok(["mode", "orders", "on-demand"]);
    for (action, args, unknown) in OPTIONAL {
        operator.allow(&without(&whole, action));
        let (code, said) = operator.run(args);
        assert!(
            code == 0 && said.contains(unknown),
            "{action}: exit {code}: {said}"
        );
        operator.allow(&whole);
        let (code, said) = operator.run(args);
        assert!(
            code == 0 && !said.contains(unknown),
            "{action}: exit {code}: {said}"
        );
    }
    cloud.file("in.ndjson", "{\"n\":1}\n");
    operator.may_not(&["put", "orders", "--file", "in.ndjson"]);
}

#[test]
fn a_managed_policy_is_made_attached_and_simulated() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.file("in.ndjson", "{\"n\":1}\n");
    let put = ["put", "orders", "--file", "in.ndjson"];
    let writer = User::new(&cloud, "writer");
    // A user without any policy of IAM is denied everything.
    writer.may_not(&put);
    let simulated = run(
        &cloud,
        [
            "policy",
            "simulate",
            "orders",
            "--for",
            "producer",
            "--as",
            "user/writer",
            "-o",
            "json",
        ],
    );
    assert_eq!(simulated.code, 5, "{}", simulated.stderr);
    let report: Value = serde_json::from_str(&simulated.stdout).unwrap();
    assert_eq!(report["allowed"], false);
    assert!(
        simulated
            .stderr
            .contains("policy attach orders --for producer --to user/writer"),
        "{}",
        simulated.stderr
    );

    let make = ["policy", "create", "orders", "--for", "producer"];
    let dry = cloud.json(["policy", "create", "orders", "--for", "producer", "--dry-run"]);
    assert_eq!(
        (&dry["result"], &dry["dry_run"]),
        (&json!("created"), &json!(true))
    );
    let made = cloud.json(make);
    assert_eq!(made["result"], "created");
    assert_eq!(made["name"], "streamctl-orders-producer-us-east-1");
    assert_eq!(cloud.json(make)["result"], "unchanged");
    let arn = made["arn"].as_str().unwrap();
    let iam = aws_sdk_iam::Client::new(&cloud.sdk());
    let found = block_on(iam.get_policy().policy_arn(arn).send())
        .unwrap()
        .policy
        .unwrap();
    assert!(
        found
            .tags()
            .iter()
            .any(|tag| tag.key() == "ManagedBy" && tag.value() == "streamctl")
    );
    // Another document, seven times: IAM keeps five versions.
    for n in 0..7 {
        let other = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "kinesis:ListStreams", "Resource": "*", "Sid": format!("n{n}")},
        ]});
        let call = iam
            .create_policy_version()
            .policy_arn(arn)
            .policy_document(other.to_string());
        block_on(call.set_as_default(true).send()).unwrap();
        assert_eq!(cloud.json(make)["result"], "updated");
        // Room for the version of the next round, and none for that of streamctl.
        let versions = block_on(iam.list_policy_versions().policy_arn(arn).send())
            .unwrap()
            .versions
            .unwrap();
        if let (5, Some(other)) = (
            versions.len(),
            versions.iter().find(|one| !one.is_default_version),
        ) {
            let id = other.version_id().unwrap();
            let call = iam.delete_policy_version().policy_arn(arn).version_id(id);
            block_on(call.send()).unwrap();
        }
    }

    cloud.fails(
        1,
        [
            "policy",
            "attach",
            "orders",
            "--for",
            "consumer",
            "--to",
            "role/nobody",
        ],
    );
    let policies = block_on(iam.list_policies().send()).unwrap();
    assert!(
        !policies
            .policies()
            .iter()
            .any(|one| one.policy_name().unwrap().contains("consumer"))
    );
    let attached = cloud.json([
        "policy",
        "attach",
        "orders",
        "--for",
        "producer",
        "--to",
        "user/writer",
    ]);
    assert_eq!(attached["attached_to"], "user writer");
    writer.may(&put);
    let allowed = cloud.json([
        "policy",
        "simulate",
        "orders",
        "--for",
        "producer",
        "--as",
        "user/writer",
    ]);
    assert_eq!(allowed["allowed"], true, "{allowed}");

    let detach = [
        "policy",
        "detach",
        "orders",
        "--for",
        "producer",
        "--from",
        "user/writer",
    ];
    let with = |last: &str| -> Value {
        let detach = cloud.streamctl(detach).args([last, "-o", "json"]).output();
        let printed = detach.unwrap().stdout;
        schemas::check(&["policy", "detach"], &printed);
        serde_json::from_slice(&printed).unwrap()
    };
    let planned = with("--dry-run");
    assert_eq!(
        (&planned["attached"], &planned["changed"]),
        (&json!(true), &json!(false))
    );
    let loses = planned["loses"].to_string();
    assert!(loses.contains("kinesis:PutRecords"), "{planned}");
    // Without a terminal it does not ask, and changes nothing.
    cloud.streamctl(detach).assert().code(2);
    writer.may(&put);
    let done = with("--yes");
    assert_eq!(
        (&done["changed"], &done["from"]),
        (&json!(true), &json!("user writer"))
    );
    writer.may_not(&put);
    let again = with("--yes");
    assert_eq!(
        (&again["attached"], &again["changed"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn a_policy_names_the_key_of_the_stream() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let kms = aws_sdk_kms::Client::new(&cloud.sdk());
    let key = block_on(kms.create_key().send())
        .unwrap()
        .key_metadata
        .unwrap()
        .arn
        .unwrap();
    let alias = kms.create_alias().alias_name("alias/orders").target_key_id(&key);
    block_on(alias.send()).unwrap();
    assert!(!policy(&cloud, &["producer"]).to_string().contains("kms:"));
    cloud.ok(["encrypt", "orders"]);
    assert!(!policy(&cloud, &["producer"]).to_string().contains("kms:"));
    let named = policy(&cloud, &["producer", "--encrypted", "alias/orders"]);
    cloud.ok(["encrypt", "orders", "--key", "alias/orders"]);
    let found = policy(&cloud, &["producer"]);
    assert_eq!(found, named);
    let text = found.to_string();
    assert!(
        text.contains("kms:GenerateDataKey") && text.contains(&key),
        "{text}"
    );
    assert!(policy(&cloud, &["consumer"]).to_string().contains("kms:Decrypt"));
    let early = run(&cloud, ["policy", "payments", "--for", "producer"]);
    assert_eq!(early.code, 0, "{}", early.stderr);
    assert!(early.stderr.contains("does not exist yet"), "{}", early.stderr);
    cloud.fails(2, ["policy", "orders", "--for", "producer", "--kcl", "scores"]);
    cloud.fails(2, ["policy", "orders"]);
}

#[test]
fn another_account_is_allowed_once_and_taken_out() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.ok(["consumer", "register", "orders", "app"]);
    assert_eq!(run(&cloud, ["policy", "show", "orders"]).stdout, "");
    let allow = [
        "policy",
        "allow",
        "orders",
        "--account",
        "123456789012",
        "--for",
        "consumer",
    ];
    let dry = cloud.json([
        "policy",
        "allow",
        "orders",
        "--account",
        "123456789012",
        "--for",
        "consumer",
        "--dry-run",
    ]);
    assert_eq!(dry["changed"], false);
    assert_eq!(cloud.json(allow)["changed"], true);
    assert_eq!(cloud.json(allow)["changed"], false);
    let role = "arn:aws:iam::210987654321:role/writer";
    cloud.ok([
        "policy",
        "allow",
        "orders",
        "--account",
        role,
        "--for",
        "producer",
    ]);
    let shown: Value = serde_json::from_str(&cloud.ok(["policy", "show", "orders"])).unwrap();
    let principals: Vec<&Value> = shown["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["Principal"]["AWS"])
        .collect();
    assert_eq!(principals, ["arn:aws:iam::123456789012:root", role]);
    let of_consumer = [
        "policy",
        "allow",
        "orders",
        "--consumer",
        "app",
        "--account",
        "123456789012",
        "--for",
        "consumer",
    ];
    let shared = cloud.json(of_consumer);
    assert!(
        shared["resource"].as_str().unwrap().contains("/consumer/app:"),
        "{shared}"
    );
    cloud.fails(2, ["policy", "delete", "orders"]);
    let left = cloud.json(["policy", "delete", "orders", "--account", "123456789012", "--yes"]);
    assert_eq!(left["policy"]["Statement"].as_array().unwrap().len(), 1);
    let gone = cloud.json(["policy", "delete", "orders", "--yes"]);
    assert_eq!((&gone["changed"], &gone["policy"]), (&json!(true), &Value::Null));
    assert_eq!(
        cloud.json(["policy", "delete", "orders", "--yes"])["changed"],
        false
    );
    cloud.fails(
        2,
        [
            "policy",
            "allow",
            "orders",
            "--account",
            "12",
            "--for",
            "consumer",
        ],
    );
    cloud.fails(
        2,
        [
            "policy",
            "allow",
            "orders",
            "--account",
            "123456789012",
            "--for",
            "lambda",
        ],
    );
    // A key that AWS manages cannot be shared.
    cloud.ok(["encrypt", "orders"]);
    let said = run(&cloud, allow).stderr;
    assert!(said.contains("which no other account can use"), "{said}");
}
