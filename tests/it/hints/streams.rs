//! Hints about streams, their shards, consumers and channels.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{By, Row, check, output, row};
use crate::proxy::{Call, Fate};
use crate::support::{Cloud, block_on};

/// Nothing was made yet.
pub const EMPTY: &[Row] = &[
    row(
        "crates/domain/src/stream/whereabouts.rs",
        "list",
        By::Run(&["describe", "nothing"]),
    ),
    row(
        "src/cli/group.rs",
        "tail STREAM --group NAME",
        By::Run(&["group", "list"]),
    )
    .fill(&[("STREAM", "orders"), ("NAME", "billing")]),
    row(
        "src/cli/group.rs",
        "group list",
        By::Run(&["group", "show", "nobody"]),
    ),
    row("src/cli/list.rs", "setup", By::Run(&["list"])),
    row(
        "crates/domain/src/stream/whereabouts.rs",
        "setup",
        By::Run(&["describe", "nothing"]),
    ),
    row("src/cli/top.rs", "top --once", By::Run(&["top"])),
    row(
        "src/cli/top/draw.rs",
        "setup",
        By::Unprovoked("it is drawn on a terminal"),
    ),
    row("src/cli/init.rs", "init TEMPLATE", By::Run(&["init"])).fill(&[("TEMPLATE", "stream")]),
    row("src/cli/init.rs", "setup TEMPLATE", By::Run(&["init"])).fill(&[("TEMPLATE", "stream")]),
    row("src/cli/usage.rs", "{flag}", By::Run(&["version"])),
    row(
        "src/cli/schemas.rs",
        "help output",
        By::Run(&["help", "output", "completions"]),
    ),
    row(
        "src/cli/config.rs",
        "config show",
        By::Run(&["config", "get", "profile"]),
    ),
];

/// The provisioned streams orders and busy, and the on-demand streams flow and flood, encrypted with the key that AWS manages.
/// There are the key alias/mine and the role maker.
pub const ROWS: &[Row] = &[
    row(
        "src/cli/create.rs",
        "--help",
        By::Run(&["create", "orders", "--shards", "7"]),
    ),
    row(
        "crates/domain/src/consume/lineage.rs",
        "describe {stream} --shards",
        By::Run(&["tail", "orders", "--shard", "99", "--no-follow"]),
    ),
    row(
        "crates/domain/src/stream/split.rs",
        "describe {} --shards",
        By::Run(&["reshard", "orders", "--split", "99"]),
    ),
    row(
        "src/cli/reshard/plan.rs",
        "reshard {} --balance --to {open}",
        By::Run(&["reshard", "orders", "--balance", "--to", "3", "--dry-run"]),
    ),
    row(
        "crates/domain/src/stream/consumers.rs",
        "consumer list {stream}",
        By::Run(&["consumer", "describe", "orders", "nobody"]),
    ),
    row(
        "src/cli/tail.rs",
        "consumer deregister {} {}",
        By::Made(left_over),
    ),
    row(
        "crates/domain/src/consume/fan_out.rs",
        "consumer deregister {stream} {name}",
        By::Through(
            &["tail", "orders", "--fan-out", "--no-follow"],
            refuses_deregistration,
        ),
    ),
    row(
        "crates/domain/src/produce/kinesis.rs",
        "describe --stream {stream}",
        By::Through(&["put", "orders", "--data", "1"], creating),
    ),
    row(
        "crates/domain/src/stream/change.rs",
        "describe {}",
        By::Through(&["create", "orders"], hidden_once),
    ),
    row(
        "crates/domain/src/stream/wait.rs",
        "list",
        By::Through(&["retention", "orders", "48h"], deleting),
    ),
    row(
        "crates/domain/src/stream/wait.rs",
        "setup",
        By::Unprovoked("the stream has to go while a change of it waits"),
    ),
    row(
        "src/cli/encrypt.rs",
        "policy simulate {name} --for producer --encrypted KEY --as role/NAME",
        By::Run(&["encrypt", "orders", "--key", "alias/mine", "--dry-run"]),
    )
    .fill(&[("KEY", "alias/mine"), ("NAME", "maker")])
    // The role may do nothing.
    .ends(5),
    row(
        "src/cli/policy.rs",
        "policy attach {name} --for {purpose} --to {}{}",
        By::Run(&[
            "policy",
            "simulate",
            "orders",
            "--for",
            "producer",
            "--encrypted",
            "alias/mine",
            "--as",
            "role/maker",
        ]),
    ),
    row(
        "src/cli/policy/sharing.rs",
        "encrypt {} --key KEY",
        By::Run(&[
            "policy",
            "allow",
            "orders",
            "--account",
            "123456789012",
            "--for",
            "consumer",
            "--dry-run",
        ]),
    )
    .fill(&[("KEY", "alias/mine")]),
    row("src/cli/mode.rs", "size --from-stream {}", By::Made(busy)),
    row(
        "src/cli/reshard.rs",
        "mode {name} provisioned",
        By::Run(&["reshard", "flow", "--to", "2"]),
    ),
    row(
        "crates/domain/src/stream/reshard.rs",
        "mode {} provisioned",
        By::Unprovoked("`reshard` looks at the mode first: it has to change in between"),
    )
    .fill(&[("{}", "flow")]),
    row(
        "crates/domain/src/stream/desired.rs",
        "mode {} on-demand",
        By::Run(&["warm-throughput", "flow", "100"]),
    ),
    row(
        "crates/domain/src/stream/desired.rs",
        "mode {} provisioned",
        By::Unprovoked("each command that sets the number of shards sets the mode, or looks at it first"),
    )
    .fill(&[("{}", "flood")]),
    row(
        "src/cli/shared/change.rs",
        "describe {name}",
        By::Unprovoked("Ctrl-C has to come while a change is made"),
    )
    .fill(&[("{name}", "orders")]),
    row(
        "crates/domain/src/observe/live/collect.rs",
        "monitoring enable {stream}",
        By::Run(&["top", "orders", "--once"]),
    ),
    row(
        "crates/domain/src/observe/metrics/selection.rs",
        "monitoring enable {name}",
        By::Run(&["metrics", "busy", "--per-shard"]),
    ),
    row("src/cli/delete.rs", "destroy{}", By::Made(delete_of_a_pipeline)),
    row(
        "crates/ground/src/error/aws.rs",
        "list",
        By::Answered(
            &["list"],
            400,
            r#"{"__type":"ResourceInUseException","message":"Stream orders is UPDATING."}"#,
        ),
    ),
    row(
        "crates/ground/src/error/aws.rs",
        "setup",
        By::Answered(
            &["list"],
            400,
            r#"{"__type":"ResourceNotFoundException","message":"It is not there."}"#,
        ),
    ),
    row(
        "crates/ground/src/error/machine.rs",
        "local status",
        By::Answered(
            &["list"],
            500,
            r#"{"__type":"InternalFailure","message":"could not write: No space left on device (os error 28)"}"#,
        ),
    ),
];

/// The on-demand stream flow, encrypted with the key that AWS manages, the provisioned stream orders, and the bucket lake.
pub const CHANNELS: &[Row] = &[
    row(
        "crates/domain/src/stream/channels.rs",
        "channel list {stream}",
        By::Run(&["channel", "describe", "orders"]),
    ),
    row(
        "crates/domain/src/stream/channels/plan.rs",
        "mode {name} on-demand --dry-run",
        By::Run(&["channel", "create", "orders", "--bucket", "lake"]),
    ),
    row(
        "crates/domain/src/stream/channels/plan.rs",
        "encrypt {name} --key KEY",
        By::Run(&["channel", "create", "flow", "--bucket", "lake"]),
    )
    .fill(&[("KEY", "alias/mine")]),
    row(
        "crates/domain/src/stream/channels/change.rs",
        "channel delete {stream} --name {}",
        By::Through(&["channel", "create", "flow", "--bucket", "lake"], failed_channel),
    ),
    row(
        "crates/domain/src/stream/channels/plan.rs",
        "channel delete {} --name {}",
        By::Made(|cloud| {
            cloud.ok(["channel", "create", "flow", "--bucket", "lake", "--name", "one"]);
            cloud.fails(
                1,
                ["channel", "create", "flow", "--bucket", "lake", "--name", "two"],
            )
        }),
    ),
    row(
        "crates/domain/src/stream/channels/change.rs",
        "channel list {}",
        By::Unprovoked("a channel has to be created for longer than a command waits"),
    )
    .fill(&[("{}", "flow")]),
    row(
        "crates/domain/src/stream/channels/change.rs",
        "channel delete {} --name {}",
        By::Made(|cloud| {
            cloud.ok(["channel", "create", "flow", "--bucket", "lake"]);
            cloud.fails(1, ["mode", "flow", "provisioned", "--yes"])
        }),
    ),
];

/// A consumer of a tail that has ended without deregistering it.
fn left_over(cloud: &Cloud) -> String {
    let host = ground::platform::host_name().unwrap();
    let safe: String = host
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
        .take(64)
        .collect();
    let name = format!("streamctl-tail-{safe}-999999999");
    cloud.ok(["consumer", "register", "orders", &name]);
    output(
        &cloud.machine,
        &["tail", "orders", "--fan-out", "--no-follow"],
        &[],
    )
}

/// More records in a minute than one shard takes. The local cloud has no prices: it is asked as an endpoint.
fn busy(cloud: &Cloud) -> String {
    cloud.ok([
        "generate",
        "--template",
        "{\"n\":1}",
        "--count",
        "130000",
        "--into",
        "flow",
    ]);
    let words = ["mode", "flow", "provisioned", "--shards", "1", "--dry-run"];
    output(&cloud.machine, &words, &["--endpoint-url", &cloud.endpoint])
}

fn delete_of_a_pipeline(cloud: &Cloud) -> String {
    cloud.ok(["setup", "--stream", "mine"]);
    output(&cloud.machine, &["delete", "mine", "--dry-run"], &[])
}

fn refuses_deregistration(call: &Call) -> Fate {
    match call.operation.as_str() {
        // The second ends the tail.
        "DeregisterStreamConsumer" | "SubscribeToShard" => Fate::Refuse(400, "AccessDeniedException"),
        _ => Fate::Pass,
    }
}

fn creating(call: &Call) -> Fate {
    match call.operation.as_str() {
        "DescribeStreamSummary" => Fate::Replace("ACTIVE", "CREATING"),
        _ => Fate::Pass,
    }
}

fn deleting(call: &Call) -> Fate {
    match call.operation.as_str() {
        "DescribeStreamSummary" => Fate::Replace("ACTIVE", "DELETING"),
        _ => Fate::Pass,
    }
}

/// The stream is made by somebody else after the first look.
fn hidden_once(call: &Call) -> Fate {
    static LOOKED: AtomicBool = AtomicBool::new(false);
    match call.operation.as_str() {
        "DescribeStreamSummary" if !LOOKED.swap(true, Ordering::Relaxed) => {
            Fate::Refuse(400, "ResourceNotFoundException")
        }
        _ => Fate::Pass,
    }
}

fn failed_channel(call: &Call) -> Fate {
    match call.operation.as_str() {
        "DescribeChannel" => Fate::Replace("ACTIVE", "FAILED"),
        _ => Fate::Pass,
    }
}

/// A KMS key with the alias alias/mine.
fn key(cloud: &Cloud) {
    block_on(async {
        let kms = aws_sdk_kms::Client::new(&cloud.sdk());
        let key = kms.create_key().send().await.unwrap();
        let id = key.key_metadata.unwrap().key_id;
        let alias = kms.create_alias().alias_name("alias/mine").target_key_id(id);
        alias.send().await.unwrap();
    });
}

#[test]
fn hints_where_nothing_is() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    check(&cloud, &EMPTY[1..2]);
    cloud.ok(["delete", "orders", "--yes"]);
    check(&cloud, &EMPTY[..1]);
    check(&cloud, &EMPTY[2..]);
}

#[test]
fn hints_about_streams() {
    let cloud = Cloud::start();
    for name in ["orders", "busy"] {
        cloud.ok(["create", name, "--shards", "2", "--kms-key", "alias/aws/kinesis"]);
    }
    for name in ["flow", "flood"] {
        cloud.ok(["create", name, "--on-demand", "--kms-key", "alias/aws/kinesis"]);
    }
    key(&cloud);
    block_on(async {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
            "Principal":{"Service":"lambda.amazonaws.com"}}]}"#;
        let iam = crate::provision::iam(&cloud);
        let made = iam
            .create_role()
            .role_name("maker")
            .assume_role_policy_document(trust);
        made.send().await.unwrap();
    });
    check(&cloud, ROWS);
}

#[test]
fn hints_about_channels() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.ok(["create", "flow", "--on-demand", "--kms-key", "alias/aws/kinesis"]);
    key(&cloud);
    let s3 = aws_sdk_s3::config::Builder::from(&cloud.sdk()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    block_on(s3.create_bucket().bucket("lake").send()).unwrap();
    check(&cloud, CHANNELS);
}
