//! The commands that create, change and delete one stream.

use insta::assert_snapshot;

use crate::provision::{foreign_stream, redacted, run, transcript};
use crate::schemas;
use crate::support::Cloud;

fn shown<const N: usize>(name: &str, cloud: &Cloud, args: [&str; N]) {
    redacted(|| assert_snapshot!(name, transcript(cloud, args)));
}

#[test]
fn a_stream_is_created_with_all_its_settings() {
    let cloud = Cloud::start();
    let create = [
        "create",
        "orders",
        "--shards",
        "2",
        "--retention",
        "7d",
        "--kms-key",
        "alias/aws/kinesis",
        "--monitoring",
        "IncomingBytes,OutgoingBytes",
        "--max-record-size",
        "2MiB",
        "--tag",
        "Cost Centre=Live Music",
    ];
    let dry: Vec<&str> = create.into_iter().chain(["--dry-run"]).collect();
    let dry: [&str; 15] = dry.try_into().unwrap();
    shown("create_dry_run", &cloud, dry);
    assert_eq!(cloud.json(["list"]), serde_json::json!([]));
    shown("create", &cloud, create);
    let state = cloud.json(["describe", "orders"]);
    assert_eq!(state["open_shards"], 2);
    assert_eq!(state["retention_hours"], 168);
    assert_eq!(state["encryption"], "alias/aws/kinesis");
    assert_eq!(
        state["monitoring"],
        serde_json::json!(["IncomingBytes", "OutgoingBytes"])
    );
    assert_eq!(state["max_record_size_kib"], 2_048);
    assert_eq!(state["tags"], serde_json::json!({"Cost Centre": "Live Music"}));
    shown("create_again", &cloud, create);
    shown(
        "create_other",
        &cloud,
        ["create", "orders", "--shards", "3", "--retention", "1d"],
    );
    cloud.fails(2, ["create", "orders", "--retention", "23h"]);
    cloud.fails(2, ["create", "other", "--on-demand", "--shards", "2"]);
    cloud.fails(2, ["create", "not a name"]);
}

#[test]
fn each_setting_is_changed_once() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    for (args, key, value) in [
        (
            &["retention", "orders", "36h"][..],
            "retention_hours",
            serde_json::json!(36),
        ),
        (&["encrypt", "orders"], "encryption", "alias/aws/kinesis".into()),
        (
            &["record-size", "orders", "10MiB"],
            "max_record_size_kib",
            10_240.into(),
        ),
        (&["mode", "orders", "on-demand"], "mode", "ON_DEMAND".into()),
        (
            &["mode", "orders", "provisioned", "--shards", "3"],
            "open_shards",
            3.into(),
        ),
        (
            &["tag", "add", "orders", "env=prod", "team=a b"],
            "tags",
            serde_json::json!({"env": "prod", "team": "a b"}),
        ),
        (
            &["tag", "remove", "orders", "team"],
            "tags",
            serde_json::json!({"env": "prod"}),
        ),
        (
            &[
                "monitoring",
                "enable",
                "orders",
                "--metrics",
                "IncomingBytes,IncomingRecords",
            ],
            "monitoring",
            serde_json::json!(["IncomingBytes", "IncomingRecords"]),
        ),
        (
            &["monitoring", "disable", "orders", "--metrics", "IncomingBytes"],
            "monitoring",
            serde_json::json!(["IncomingRecords"]),
        ),
        (
            &["monitoring", "disable", "orders"],
            "monitoring",
            serde_json::json!([]),
        ),
        (
            &["encrypt", "orders", "--key", "none"],
            "encryption",
            serde_json::Value::Null,
        ),
        (&["reshard", "orders", "--scale", "-50%"], "open_shards", 2.into()),
    ] {
        let report = |dry: &[&str]| -> serde_json::Value {
            let output = cloud
                .streamctl(args)
                .args(dry)
                .args(["-o", "json"])
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{args:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            schemas::check(args, &output.stdout);
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let before = cloud.json(["describe", "orders"]);
        assert_eq!(report(&["--dry-run"])["changed"], false, "{args:?}");
        assert_eq!(cloud.json(["describe", "orders"]), before, "{args:?}");
        assert_eq!(report(&[])["changed"], true, "{args:?}");
        assert_eq!(cloud.json(["describe", "orders"])[key], value, "{args:?}");
        // `--scale` is relative to what is there.
        if !args.contains(&"--scale") {
            assert_eq!(report(&[])["changed"], false, "{args:?}");
        }
    }
}

#[test]
fn a_change_that_loses_records_asks_first() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders", "--retention", "48h"]);
    shown("retention_refused", &cloud, ["retention", "orders", "24h"]);
    assert_eq!(cloud.json(["describe", "orders"])["retention_hours"], 48);
    shown("retention", &cloud, ["retention", "orders", "24h", "--yes"]);
    shown("retention_same", &cloud, ["retention", "orders", "24h"]);
}

#[test]
fn a_stream_is_chosen_by_word_flag_or_arn() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
    let by_word = cloud.json(["describe", "orders"]);
    assert_eq!(cloud.json(["describe", "--stream", "orders"]), by_word);
    assert_eq!(cloud.json(["describe", arn]), by_word);
    cloud.ok(["put", arn, "--data", "{}"]);
    assert!(
        cloud
            .ok(["tail", arn, "--from", "trim", "-n", "1", "-o", "json"])
            .contains("{}")
    );
    shown(
        "arn_other_region",
        &cloud,
        ["describe", arn, "--region", "eu-west-1"],
    );
    shown(
        "arn_other_account",
        &cloud,
        ["describe", "arn:aws:kinesis:us-east-1:123456789012:stream/orders"],
    );
    shown(
        "arn_elsewhere",
        &cloud,
        ["describe", "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"],
    );
    cloud.fails(2, ["describe", "orders", "--stream", "orders"]);
    cloud.fails(2, ["describe", "arn:aws:sqs:us-east-1:000000000000:orders"]);
}

#[test]
fn the_default_stream_is_changed_only_if_it_is_ours() {
    let cloud = Cloud::start();
    foreign_stream(&cloud, "concert-data-stream");
    shown("change_unnamed", &cloud, ["retention", "36h"]);
    cloud.fails(2, ["delete", "--yes"]);
    cloud.fails(2, ["reshard", "--to", "2"]);
    cloud.ok(["retention", "concert-data-stream", "36h"]);
}

#[test]
fn resharding_shows_its_plan() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    shown(
        "reshard_plan",
        &cloud,
        ["reshard", "orders", "--to", "5", "--dry-run"],
    );
    shown("reshard", &cloud, ["reshard", "orders", "--to", "5"]);
    shown("reshard_same", &cloud, ["reshard", "orders", "--to", "5"]);
    assert_eq!(cloud.json(["describe", "orders"])["open_shards"], 5);
    shown("reshard_too_far", &cloud, ["reshard", "orders", "--to", "9999"]);
    shown("reshard_closed", &cloud, ["reshard", "orders", "--split", "0"]);
    shown("reshard_no_shard", &cloud, ["reshard", "orders", "--split", "99"]);
    let open = |cloud: &Cloud| -> Vec<(String, String)> {
        let shards = cloud.json(["describe", "orders", "--shards"])["shards"].clone();
        let text = |shard: &serde_json::Value, key: &str| shard[key].as_str().unwrap().to_owned();
        let mut open: Vec<(u128, String, String)> = shards
            .as_array()
            .unwrap()
            .iter()
            .filter(|shard| shard["open"] == true)
            .map(|shard| {
                let first = text(shard, "first_hash_key");
                (first.parse().unwrap(), text(shard, "id"), first)
            })
            .collect();
        open.sort();
        open.into_iter().map(|(_, id, first)| (id, first)).collect()
    };
    let (first, _) = open(&cloud)[0].clone();
    cloud.ok(["reshard", "orders", "--split", &format!("{first}@1000")]);
    let after = open(&cloud);
    assert_eq!(after.len(), 6);
    assert_eq!(after[1].1, "1000");
    cloud.ok(["reshard", "orders", "--merge", &after[1].0, &after[0].0]);
    let merged = open(&cloud);
    assert_eq!(merged.len(), 5);
    cloud.fails(2, ["reshard", "orders", "--merge", &merged[0].0, &merged[2].0]);
    cloud.fails(2, ["reshard", "orders"]);
    cloud.fails(2, ["reshard", "orders", "--to", "0"]);
    cloud.ok(["mode", "orders", "on-demand"]);
    shown("reshard_on_demand", &cloud, ["reshard", "orders", "--to", "2"]);
}

#[test]
fn consumers_come_and_go() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    shown("consumers_none", &cloud, ["consumer", "list", "orders"]);
    let made = cloud.json(["consumer", "register", "orders", "analytics"]);
    assert_eq!(
        (&made["name"], &made["status"]),
        (&"analytics".into(), &"ACTIVE".into())
    );
    assert_eq!(cloud.json(["consumer", "register", "orders", "analytics"]), made);
    assert_eq!(cloud.json(["consumer", "describe", "orders", "analytics"]), made);
    assert_eq!(
        cloud.json(["consumer", "list", "orders"]),
        serde_json::json!([made])
    );
    cloud.fails(2, ["consumer", "deregister", "orders", "analytics"]);
    let gone = cloud.json(["consumer", "deregister", "orders", "analytics", "--yes"]);
    assert_eq!(
        gone,
        serde_json::json!({ "stream": "orders", "name": "analytics", "arn": made["arn"], "deleted": true })
    );
    shown(
        "consumer_gone",
        &cloud,
        ["consumer", "deregister", "orders", "analytics", "--yes"],
    );
    cloud.fails(1, ["consumer", "describe", "orders", "analytics"]);
    cloud.fails(2, ["consumer", "register", "orders", "not a name"]);
}

#[test]
fn delete_shows_what_depends_on_the_stream() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.ok(["consumer", "register", "orders", "analytics"]);
    shown("delete_dry_run", &cloud, ["delete", "orders", "--dry-run"]);
    let planned = cloud.json(["delete", "orders", "--dry-run"]);
    assert_eq!(
        (&planned["stream"], &planned["deleted"]),
        (&"orders".into(), &false.into())
    );
    shown("delete_unconfirmed", &cloud, ["delete", "orders", "--force"]);
    shown("delete_with_consumers", &cloud, ["delete", "orders", "--yes"]);
    shown("delete", &cloud, ["delete", "orders", "--yes", "--force"]);
    shown("delete_again", &cloud, ["delete", "orders", "--yes"]);
    assert_eq!(run(&cloud, ["list", "-o", "text"]).stdout, "");
}

/// A mapping names its stream by ARN anyway. A resource policy allows no more than to describe, write and read.
#[test]
fn arns_name_the_streams_of_functions_and_those_of_other_accounts_are_not_changed() {
    let cloud = crate::functions::with_scorer(&[]);
    cloud.ok(["create", "orders"]);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
    cloud.ok(["attach", "scorer", "--stream", arn]);
    let found = cloud.json(["mappings", "--stream", arn]);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    let elsewhere = "arn:aws:kinesis:us-east-1:111111111111:stream/orders";
    let none = cloud.json(["mappings", "--stream", elsewhere]);
    assert_eq!(none.as_array().unwrap().len(), 0, "{none}");
    for words in [
        ["retention", elsewhere, "48h"],
        ["reshard", elsewhere, "--to=2"],
        ["mode", elsewhere, "on-demand"],
        ["metrics", elsewhere, "--since=1h"],
    ] {
        let said = cloud.fails(4, words);
        assert!(
            said.contains("belongs to account 111111111111") && said.contains("and nothing else"),
            "{said}"
        );
    }
    cloud.ok(["detach", "scorer", "--stream", arn]);
    assert_eq!(cloud.json(["mappings"]).as_array().unwrap().len(), 0);
}
