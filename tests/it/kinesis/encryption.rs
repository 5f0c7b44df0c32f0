//! StartStreamEncryption, StopStreamEncryption, and their effect on responses.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::EncryptionType;

use super::raw::post;
use super::{client, code, create, entry, put, read, refused, shard_id, wait_active};
use crate::support::{Cloud, block_on};

const OWN_KEY: &str = "alias/aws/kinesis";

/// Calls KMS. The tests have no SDK for it.
fn kms(cloud: &Cloud, operation: &str, body: &str) -> serde_json::Value {
    let target = format!("TrentService.{operation}");
    let answer = post(
        cloud,
        "kms",
        &target,
        "application/x-amz-json-1.1",
        body.as_bytes(),
    );
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    if answer.body.is_empty() {
        serde_json::Value::Null
    } else {
        answer.json()
    }
}

#[test]
fn responses_have_the_encryption_type() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let plain = put(&client, "s", "k", "plain").await;
        assert_ne!(plain.encryption_type(), Some(&EncryptionType::Kms));
        let start = client.start_stream_encryption().stream_name("s").key_id(OWN_KEY);
        start.encryption_type(EncryptionType::Kms).send().await.unwrap();
        let summary = wait_active(&client, "s").await;
        assert_eq!(summary.encryption_type(), Some(&EncryptionType::Kms));
        assert_eq!(summary.key_id(), Some(OWN_KEY));

        let secret = put(&client, "s", "k", "secret").await;
        assert_eq!(secret.encryption_type(), Some(&EncryptionType::Kms));
        let many = client
            .put_records()
            .stream_name("s")
            .records(entry("k", "more"))
            .send()
            .await
            .unwrap();
        assert_eq!(many.encryption_type(), Some(&EncryptionType::Kms));
        // Each record has the encryption type with which it was written, not the current one of its stream.
        let encrypted = async || {
            let records = read(&client, "s", &shard_id(0)).await;
            let types = records
                .iter()
                .map(|r| r.encryption_type() == Some(&EncryptionType::Kms));
            types.collect::<Vec<_>>()
        };
        assert_eq!(encrypted().await, [false, true, true]);

        let stop = client.stop_stream_encryption().stream_name("s").key_id(OWN_KEY);
        stop.encryption_type(EncryptionType::Kms).send().await.unwrap();
        let summary = wait_active(&client, "s").await;
        assert_eq!(summary.encryption_type(), Some(&EncryptionType::None));
        assert_eq!(summary.key_id(), None);
        put(&client, "s", "k", "plain again").await;
        assert_eq!(encrypted().await, [false, true, true, false]);
    });
}

#[test]
fn a_key_must_exist_and_be_enabled() {
    let cloud = Cloud::start();
    let created = kms(&cloud, "CreateKey", "{}");
    let key = created["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    let arn = created["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let start = |key: &str| {
            let request = client.start_stream_encryption().stream_name("s").key_id(key);
            request.encryption_type(EncryptionType::Kms)
        };
        refused!(
            start("00000000-0000-0000-0000-000000000000"),
            is_kms_not_found_exception
        );
        refused!(start("alias/nobodys"), is_kms_not_found_exception);
        refused!(
            start(&key).encryption_type(EncryptionType::None),
            is_invalid_argument_exception
        );
        assert_eq!(
            code(
                start(&key)
                    .encryption_type(EncryptionType::from("ROT13"))
                    .send()
                    .await
            ),
            "ValidationException"
        );
        refused!(start(&key).stream_name("absent"), is_resource_not_found_exception);
        let stop = client.stop_stream_encryption().stream_name("absent").key_id(&key);
        refused!(
            stop.encryption_type(EncryptionType::Kms),
            is_resource_not_found_exception
        );

        start(&arn).send().await.unwrap();
        assert_eq!(wait_active(&client, "s").await.key_id(), Some(arn.as_str()));
        put(&client, "s", "k", "x").await;
        // A stream whose key is not usable refuses records.
        tokio::task::block_in_place(|| kms(&cloud, "DisableKey", &format!(r#"{{"KeyId": "{key}"}}"#)));
        let put = client
            .put_record()
            .stream_name("s")
            .partition_key("k")
            .data(Blob::new("y"));
        refused!(put, is_kms_disabled_exception);
        refused!(start(&key), is_kms_disabled_exception);
    });
}
