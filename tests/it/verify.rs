//! `verify` and `outputs`.

use aws_sdk_kinesis::types::EncryptionType;
use insta::assert_snapshot;
use serde_json::json;

use crate::provision::{iam, policies, redacted, run, settled, transcript};
use crate::support::{Cloud, block_on};

const STREAM: &str = "concert-data-stream";

#[test]
fn a_complete_pipeline_has_no_faults() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    redacted(|| assert_snapshot!("verify_ok", transcript(&cloud, ["verify"])));
    redacted(|| insta::assert_json_snapshot!("verify_ok_json", cloud.json(["verify", "--no-put"])));
    let tail = cloud.ok(["tail", "--from", "trim", "--no-follow", "-o", "json"]);
    let keys: Vec<serde_json::Value> = tail
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["partition_key"].clone())
        .collect();
    assert_eq!(keys, ["test", "verification-test"]);
}

#[test]
fn a_missing_pipeline() {
    let cloud = Cloud::start();
    redacted(|| assert_snapshot!("verify_nothing", transcript(&cloud, ["verify"])));
}

#[test]
fn a_deleted_stream_is_a_fault() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    block_on(cloud.kinesis().delete_stream().stream_name(STREAM).send()).unwrap();
    while crate::provision::summary(&cloud, STREAM).is_some() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    redacted(|| assert_snapshot!("verify_stream_gone", transcript(&cloud, ["verify"])));
    let outputs = run(&cloud, ["outputs"]);
    assert_eq!(outputs.code, 0);
    assert!(
        outputs
            .stderr
            .contains("stream concert-data-stream does not exist"),
        "{}",
        outputs.stderr
    );
}

#[test]
fn a_changed_policy_is_a_fault() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let arn = policies(&cloud).remove(0);
    let text = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    ]});
    let iam = iam(&cloud);
    let call = iam.create_policy_version().policy_arn(&arn).set_as_default(true);
    block_on(call.policy_document(text.to_string()).send()).unwrap();
    redacted(|| {
        assert_snapshot!(
            "verify_policy_changed",
            transcript(&cloud, ["verify", "--no-put"])
        )
    });
    cloud.ok(["setup"]);
    assert_eq!(run(&cloud, ["verify"]).code, 0);
}

#[test]
fn disabled_encryption_is_reported() {
    let cloud = Cloud::start();
    cloud.ok(["setup"]);
    let call = cloud.kinesis().stop_stream_encryption().stream_name(STREAM);
    block_on(
        call.encryption_type(EncryptionType::Kms)
            .key_id("alias/aws/kinesis")
            .send(),
    )
    .unwrap();
    settled(&cloud, STREAM);
    // Encryption may be off on purpose, so this is a caution. If it was requested, it is a fault.
    redacted(|| assert_snapshot!("verify_unencrypted", transcript(&cloud, ["verify", "--no-put"])));
    redacted(|| {
        assert_snapshot!(
            "verify_encryption_asked_for",
            transcript(&cloud, ["verify", "--no-put", "--param", "encryption=true"])
        );
    });
    // The command that verify suggests fixes it.
    cloud.ok(["setup", "--param", "encryption=true"]);
    assert_eq!(run(&cloud, ["verify", "--param", "encryption=true"]).code, 0);
}

#[test]
fn outputs_in_every_format() {
    let cloud = Cloud::start();
    redacted(|| assert_snapshot!("outputs_nothing", transcript(&cloud, ["outputs"])));
    cloud.ok(["setup"]);
    redacted(|| assert_snapshot!("outputs_table", cloud.ok(["outputs"])));
    redacted(|| insta::assert_json_snapshot!("outputs_json", cloud.json(["outputs"])));
    redacted(|| assert_snapshot!("outputs_yaml", cloud.ok(["outputs", "-o", "yaml"])));
    redacted(|| assert_snapshot!("outputs_text", cloud.ok(["outputs", "-o", "text"])));
}
