//! `size`, `account`, `mode`, `encrypt` and `config`: what a stream costs, and who can no longer read it.

use std::io::{Cursor, Write};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_lambda::types::{EventSourcePosition, FunctionCode, Runtime};
use serde_json::{Value, json};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::policies::policy;
use crate::provision::run;
use crate::running::until;
use crate::support::{Cloud, Machine, block_on};

#[test]
fn the_account_is_shown_and_committed() {
    let cloud = Cloud::start();
    cloud.stream("orders", 3);
    let shown = cloud.json(["account", "show"]);
    assert_eq!(shown["limits"]["shards"], json!({"used": 3, "limit": 20_000}));
    assert_eq!(shown["commitment"]["status"], "DISABLED");
    let commit = ["account", "set", "--commitment", "enabled"];
    let said = cloud.fails(2, commit);
    assert!(
        said.contains("at least 24 hours") && said.contains("101.25 USD in 24 hours"),
        "{said}"
    );
    let dry = cloud.json(["account", "set", "--commitment", "enabled", "--dry-run"]);
    assert_eq!(
        (&dry["changed"], &dry["commitment"]["status"]),
        (&json!(false), &json!("DISABLED"))
    );
    let enabled = cloud.json(["account", "set", "--commitment", "enabled", "--yes"]);
    assert_eq!(
        (&enabled["changed"], &enabled["commitment"]["status"]),
        (&json!(true), &json!("ENABLED"))
    );
    assert_eq!(
        cloud.json(["account", "set", "--commitment", "enabled", "--yes"])["changed"],
        false
    );
    let ending = run(
        &cloud,
        [
            "account",
            "set",
            "--commitment",
            "disabled",
            "--yes",
            "-o",
            "json",
        ],
    );
    assert!(ending.stderr.contains("this one ends at"), "{}", ending.stderr);
    let ending: Value = serde_json::from_str(&ending.stdout).unwrap();
    assert_eq!(
        ending["commitment"]["status"],
        "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
    );
    assert!(cloud.ok(["account", "show", "-o", "text"]).lines().count() >= 3);
}

#[test]
fn size_needs_no_cloud_and_knows_the_worked_example() {
    let machine = Machine::new();
    let sized = machine.json(["size", "--records", "1M/day", "--record-size", "1KB"]);
    let total = |mode: usize| sized["modes"][mode]["total"].as_str().unwrap()[..5].to_owned();
    assert_eq!((total(0), total(1)), ("11.37".to_owned(), "32.68".to_owned()));
    assert_eq!(
        (&sized["shards"], &sized["cheapest"]),
        (&json!(1), &json!("provisioned"))
    );
    let text = machine.ok([
        "size",
        "--records",
        "1M/day",
        "--record-size",
        "1KB",
        "-o",
        "text",
    ]);
    assert_eq!(
        text,
        "provisioned\t1\t11.38\non-demand\t-\t32.68\nadvantage\t-\t3079.69\n"
    );
    let unknown = machine.json([
        "size",
        "--records",
        "5/s",
        "--bytes",
        "1KB/s",
        "--region",
        "eu-central-1",
    ]);
    assert_eq!(
        (&unknown["cheapest"], &unknown["modes"][0]["total"]),
        (&Value::Null, &Value::Null)
    );
    machine.fails(2, ["size"]);
    machine.fails(2, ["size", "--records", "0/s", "--bytes", "1MB/s"]);
    machine.fails(2, ["size", "--records", "1/s"]);
    machine.fails(2, ["size", "--records", "1/s", "--bytes", "11MB/s"]);
    machine.fails(2, ["size", "--records", "1/s", "--bytes", "1/fortnight"]);
    assert!(!machine.path().join("streamctl-home/local").exists());
}

#[test]
fn size_measures_a_stream() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders", "--shards", "2", "--retention", "48h"]);
    cloud.fails(1, ["size", "--from-stream", "orders"]);
    let lines: String = (0..1_200)
        .map(|n| format!("{{\"n\":{}}}\n", 10_000 + n))
        .collect();
    cloud.file("in.ndjson", lines);
    cloud.ok(["put", "orders", "--file", "in.ndjson", "--partition-key", "k"]);
    cloud.ok(["tail", "orders", "--from", "trim", "-n", "1200"]);
    let sized = cloud.json(["size", "--from-stream", "orders", "--since", "1h"]);
    // All within a minute: 20 a second at the peak, or within two.
    let peak = sized["peak_records_per_second"].as_f64().unwrap();
    assert!((10.0..=20.0).contains(&peak), "{sized}");
    assert_eq!(sized["consumers"], 1, "{sized}");
    assert_eq!(sized["retention_hours"], 48);
    assert_eq!(sized["measured"]["open_shards"], 2);
    assert_eq!(sized["shards"], 1);
    cloud.fails(2, ["size", "--from-stream", "orders", "--records", "1/s"]);
}

#[test]
fn a_key_that_cannot_be_used_is_refused_first() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let said = cloud.fails(1, ["encrypt", "orders", "--key", "alias/missing"]);
    assert!(said.contains("there is no KMS key alias/missing"), "{said}");
    let kms = aws_sdk_kms::Client::new(&cloud.sdk());
    let key = block_on(kms.create_key().send())
        .unwrap()
        .key_metadata
        .unwrap()
        .key_id;
    block_on(kms.disable_key().key_id(&key).send()).unwrap();
    let said = cloud.fails(1, ["encrypt", "orders", "--key", &key]);
    assert!(
        said.contains("is Disabled") && said.contains("aws kms enable-key"),
        "{said}"
    );
    assert_eq!(cloud.json(["describe", "orders"])["encryption"], Value::Null);
}

/// A function that reads the stream `orders`, with the role `reader`.
fn function_that_reads(cloud: &Cloud) {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", options).unwrap();
    zip.write_all(b"#!/bin/sh\nsleep 1000\n").unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"lambda.amazonaws.com"}}]}"#;
    block_on(async {
        let iam = aws_sdk_iam::Client::new(&cloud.sdk());
        let role = iam
            .create_role()
            .role_name("reader")
            .assume_role_policy_document(trust);
        let role = role.send().await.unwrap().role.unwrap();
        let lambda = aws_sdk_lambda::Client::new(&cloud.sdk());
        let made = lambda
            .create_function()
            .function_name("scorer")
            .role(role.arn)
            .handler("h")
            .runtime(Runtime::Providedal2023)
            .code(FunctionCode::builder().zip_file(Blob::new(zip)).build());
        made.send().await.unwrap();
    });
    let document = policy(cloud, &["lambda"]);
    let iam = aws_sdk_iam::Client::new(&cloud.sdk());
    let put = iam.put_role_policy().role_name("reader").policy_name("reading");
    block_on(put.policy_document(document.to_string()).send()).unwrap();
    let lambda = aws_sdk_lambda::Client::new(&cloud.sdk());
    let arn = cloud.json(["describe", "orders"])["arn"]
        .as_str()
        .unwrap()
        .to_owned();
    until("the mapping", || {
        let call = lambda.create_event_source_mapping().function_name("scorer");
        let call = call
            .event_source_arn(&arn)
            .starting_position(EventSourcePosition::Latest);
        block_on(call.send()).ok()
    });
}

#[test]
fn encrypt_says_which_function_would_lose_access() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    function_that_reads(&cloud);
    let kms = aws_sdk_kms::Client::new(&cloud.sdk());
    let key = block_on(kms.create_key().send())
        .unwrap()
        .key_metadata
        .unwrap()
        .arn
        .unwrap();
    // As of keys that the console makes: the policies of IAM decide.
    let delegating = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "kms:*", "Resource": "*",
    }]});
    let put = kms.put_key_policy().key_id(&key).policy_name("default");
    block_on(put.policy(delegating.to_string()).send()).unwrap();
    let said = cloud.fails(2, ["encrypt", "orders", "--key", &key]);
    assert!(said.contains("function scorer cannot read new records"), "{said}");
    assert!(said.contains("kms:Decrypt on the key"), "{said}");
    let dry = run(&cloud, ["encrypt", "orders", "--key", &key, "--dry-run"]);
    assert!(
        dry.code == 0 && dry.stderr.contains("function scorer cannot"),
        "{}",
        dry.stderr
    );
    assert_eq!(cloud.json(["describe", "orders"])["encryption"], Value::Null);
    let document = policy(&cloud, &["lambda", "--encrypted", &key]);
    let iam = aws_sdk_iam::Client::new(&cloud.sdk());
    let put = iam.put_role_policy().role_name("reader").policy_name("reading");
    block_on(put.policy_document(document.to_string()).send()).unwrap();
    let done = run(&cloud, ["encrypt", "orders", "--key", &key]);
    assert!(
        done.code == 0 && done.stderr.contains("Function scorer may decrypt"),
        "{}",
        done.stderr
    );
}

#[test]
fn mode_says_how_many_switches_there_are() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let dry = run(&cloud, ["mode", "orders", "on-demand", "--dry-run"]);
    assert!(dry.stderr.contains("2 switches of the mode"), "{}", dry.stderr);
    let same = run(&cloud, ["mode", "orders", "provisioned"]);
    assert!(!same.stderr.contains("switches"), "{}", same.stderr);
}

#[test]
fn config_keys_are_read_and_written() {
    let machine = Machine::new();
    assert_eq!(machine.ok(["config", "get", "stream"]), "concert-data-stream\n");
    machine.fails(1, ["config", "get", "region"]);
    machine.fails(2, ["config", "get", "colour"]);
    machine.file("streamctl.toml", "# Ours\nstream = 'orders' # busy\n");
    let changed = machine.json(["config", "set", "region", "eu-west-1"]);
    assert_eq!(changed["changed"], true);
    machine.ok(["config", "set", "stream", "clicks"]);
    assert_eq!(
        machine.json(["config", "set", "stream", "clicks"])["changed"],
        false
    );
    let path = machine.path().join("streamctl.toml");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "# Ours\nstream = \"clicks\" # busy\nregion = \"eu-west-1\"\n"
    );
    let got = machine.json(["config", "get", "region"]);
    assert_eq!(
        (&got["value"], &got["from"]),
        (&json!("eu-west-1"), &json!("streamctl.toml"))
    );
    for (key, value) in [
        ("regoin", "x"),
        ("region", "x"),
        ("shard_count", "0"),
        ("target", "azure"),
    ] {
        machine.fails(2, ["config", "set", key, value]);
    }
    let found = machine.json(["config", "path"]);
    assert_eq!(
        std::fs::canonicalize(found["path"].as_str().unwrap()).unwrap(),
        std::fs::canonicalize(&path).unwrap()
    );
    // Trust is about the content: a change by the owner keeps it.
    machine.file("streamctl.toml", "endpoint_url = \"https://example.com\"\n");
    machine.ok(["config", "trust"]);
    machine.ok(["config", "set", "stream", "orders"]);
    assert_eq!(machine.json(["config", "show"])["file"]["trusted"], true);
    machine.ok(["config", "untrust"]);
    let said = machine
        .streamctl(["config", "set", "endpoint_url", "https://example.org"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("config trust"),
        "{said:?}"
    );
}
