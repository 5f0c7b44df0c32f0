//! Server-side encryption, as visible to a caller.

use serde_json::{Value, json};

use super::world::{World, base64};

fn with(key: &str) -> Value {
    json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": key})
}

#[test]
fn records_have_the_encryption_type_of_their_arrival() {
    let world = World::new();
    world.stream("orders", 1);
    world.put("orders", "k", "plain");
    world.ok("StartStreamEncryption", with("alias/aws/kinesis"));
    assert_eq!(world.status("orders"), "UPDATING");
    assert!(
        world
            .put("orders", "k", "still plain")
            .get("EncryptionType")
            .is_none()
    );
    world.settle();
    assert_eq!(world.summary("orders")["KeyId"], "alias/aws/kinesis");
    assert_eq!(world.put("orders", "k", "secret")["EncryptionType"], "KMS");
    let batch = json!({"StreamName": "orders", "Records": [{"PartitionKey": "k", "Data": base64("too")}]});
    assert_eq!(world.ok("PutRecords", batch)["EncryptionType"], "KMS");
    world.ok("StopStreamEncryption", with("alias/aws/kinesis"));
    world.settle();
    assert_eq!(world.summary("orders")["EncryptionType"], "NONE");
    let page = world.get(&world.iterator("orders", 0, "TRIM_HORIZON"));
    let kinds: Vec<bool> = page["Records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["EncryptionType"] == "KMS")
        .collect();
    assert_eq!(kinds, [false, false, true, true]);
}

#[test]
fn a_key_must_exist_and_be_usable() {
    let world = World::new();
    world.stream("orders", 1);
    for (key, code) in [
        ("alias/none", "KMSNotFoundException"),
        ("alias/off", "KMSDisabledException"),
        ("alias/dying", "KMSInvalidStateException"),
    ] {
        assert_eq!(world.refused("StartStreamEncryption", with(key)), code);
    }
    assert_eq!(world.status("orders"), "ACTIVE");
    world.ok("StartStreamEncryption", with("alias/mine"));
    let none = json!({"StreamName": "orders", "EncryptionType": "NONE", "KeyId": "alias/mine"});
    assert_eq!(
        world.refused("StopStreamEncryption", none),
        "InvalidArgumentException"
    );
}

#[test]
fn a_key_is_applied_at_most_25_times_a_day() {
    let world = World::new();
    world.stream("orders", 1);
    for i in 0..25 {
        world.ok(
            "StartStreamEncryption",
            with(["alias/aws/kinesis", "alias/mine"][i % 2]),
        );
        world.settle();
    }
    assert_eq!(
        world.refused("StartStreamEncryption", with("alias/mine")),
        "LimitExceededException"
    );
    world.ok("StartStreamEncryption", with("alias/aws/kinesis"));
    assert_eq!(world.status("orders"), "ACTIVE", "the key in force is no change");
}
