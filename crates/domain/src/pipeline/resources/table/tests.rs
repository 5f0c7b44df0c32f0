use serde_json::{Value, json};

use super::super::kind::property_names;
use super::super::test_support::{changes, context, location, refusal, spec, there};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::UNFINISHED;

const DECLARED: &str = r#"
name = "events"
key = "userId:S"
sort_key = "eventTimestamp:N"
ttl = "ttl"
point_in_time_recovery = true
encryption = true
billing_mode = "on-demand"
deletion_protection = true
indexes = [{ name = "ByType", key = "eventType:S", sort_key = "eventTimestamp:N" }]
"#;

fn facts() -> Value {
    json!({
        "arn": "arn:aws:dynamodb:us-east-1:000000000000:table/events",
        "status": "ACTIVE",
        "keys": {"partition": "userId:S", "sort": "eventTimestamp:N"},
        "on_demand": true,
        "capacity": {"read": 0, "write": 0},
        "indexes": [index("ByType", "eventType:S", "ACTIVE")],
        "ttl": "ttl",
        "point_in_time_recovery": true,
        "kms_key": "arn:aws:kms:us-east-1:000000000000:key/1",
        "deletion_protection": true,
    })
}

fn index(name: &str, key: &str, status: &str) -> Value {
    json!({
        "index": {"name": name, "keys": {"partition": key, "sort": "eventTimestamp:N"}, "projection": "ALL"},
        "status": status,
        "capacity": {"read": 0, "write": 0},
    })
}

fn with(patch: Value) -> Value {
    let mut facts = facts();
    for (key, value) in patch.as_object().unwrap() {
        facts[key] = value.clone();
    }
    facts
}

async fn differences(declared: &str, by_default: &[&str], observed: &Observed) -> String {
    let context = context().await;
    let table = Table::new(&context, location(), spec("table", declared, by_default)).unwrap();
    changes(&table, observed)
}

#[tokio::test]
async fn a_table_as_declared_needs_nothing() {
    assert_eq!(differences(DECLARED, &[], &Observed::Absent).await, "create");
    assert_eq!(differences(DECLARED, &[], &there(facts(), &[])).await, "");
    let going = there(with(json!({"status": "DELETING"})), &[]);
    assert_eq!(differences(DECLARED, &[], &going).await, "create");
    // What the declaration does not speak of is left alone.
    let plain = "name = \"events\"\nkey = \"userId:S\"\nsort_key = \"eventTimestamp:N\"";
    assert_eq!(differences(plain, &[], &there(facts(), &[])).await, "");
}

#[tokio::test]
async fn what_differs_is_changed_one_at_a_time() {
    let other = with(json!({
        "on_demand": false,
        "capacity": {"read": 5, "write": 5},
        "indexes": [index("ByType", "type:S", "ACTIVE"), index("Old", "x:S", "ACTIVE"), index("Gone", "x:S", "DELETING")],
        "ttl": null,
        "point_in_time_recovery": false,
        "kms_key": null,
        "deletion_protection": false,
    }));
    insta::assert_snapshot!(differences(DECLARED, &[], &there(other.clone(), &[])).await, @r#"
    deletion protection: off → on
    billing mode: provisioned → on-demand
    index Old: remove x:S + eventTimestamp:N with all attributes (queries of index Old fail)
    index ByType: type:S + eventTimestamp:N with all attributes → eventType:S + eventTimestamp:N with all attributes (queries of index ByType fail until it is rebuilt)
    time to live: off → on ttl (items whose ttl is in the past are deleted)
    point-in-time recovery: off → on
    encryption: DynamoDB's own key → KMS key alias/aws/dynamodb
    "#);
    // Defaults change nothing, unless the making of the table was never finished.
    let all = property_names::<Declared>();
    assert_eq!(differences(DECLARED, all, &there(other.clone(), &[])).await, "");
    insta::assert_snapshot!(differences(DECLARED, all, &there(other, &[(UNFINISHED, "setup")])).await, @r#"
    deletion protection: off → on
    index Old: remove x:S + eventTimestamp:N with all attributes (queries of index Old fail)
    index ByType: type:S + eventTimestamp:N with all attributes → eventType:S + eventTimestamp:N with all attributes (queries of index ByType fail until it is rebuilt)
    time to live: off → on ttl
    point-in-time recovery: off → on
    encryption: DynamoDB's own key → KMS key alias/aws/dynamodb
    tags: remove the tag of an unfinished setup
    "#);
}

#[tokio::test]
async fn switching_things_off_says_what_is_lost() {
    let off = "name = \"events\"\nkey = \"userId:S\"\nsort_key = \"eventTimestamp:N\"\nttl = false\n\
               point_in_time_recovery = false\nencryption = false\nbilling_mode = \"provisioned\"\nread_capacity = 10";
    insta::assert_snapshot!(differences(off, &[], &there(facts(), &[])).await, @r#"
    billing mode: on-demand → provisioned, 10 read and 5 write units
    time to live: on ttl → off
    point-in-time recovery: on → off (its backups of the last days are deleted)
    encryption: KMS key arn:aws:kms:us-east-1:000000000000:key/1 → DynamoDB's own key
    "#);
    let provisioned = with(json!({"on_demand": false, "capacity": {"read": 5, "write": 5}}));
    let sized = "name = \"events\"\nkey = \"userId:S\"\nsort_key = \"eventTimestamp:N\"\nread_capacity = 10";
    insta::assert_snapshot!(differences(sized, &[], &there(provisioned, &[])).await, @"capacity: 5 read and 5 write units → 10 read and 5 write units");
}

#[tokio::test]
async fn what_dynamodb_cannot_do_is_refused() {
    let other_key = with(json!({"keys": {"partition": "user:S", "sort": null}}));
    insta::assert_snapshot!(differences(DECLARED, &[], &there(other_key, &[])).await, @"has the key user:S, not userId:S + eventTimestamp:N, and a key cannot be changed");
    let other_ttl = with(json!({"ttl": "expires"}));
    insta::assert_snapshot!(differences(DECLARED, &[], &there(other_ttl, &[])).await, @"has its time to live on expires: DynamoDB cannot move it to ttl");
}

#[tokio::test]
async fn keys_are_compared_as_far_as_dynamodb_tells() {
    let with_key = |key: &str| DECLARED.replace("encryption = true", &format!("encryption = \"{key}\""));
    for same in [
        "alias/aws/dynamodb",
        "alias/mine",
        "1",
        "arn:aws:kms:us-east-1:000000000000:key/1",
    ] {
        assert_eq!(
            differences(&with_key(same), &[], &there(facts(), &[])).await,
            "",
            "{same}"
        );
    }
    insta::assert_snapshot!(differences(&with_key("2"), &[], &there(facts(), &[])).await, @"encryption: KMS key arn:aws:kms:us-east-1:000000000000:key/1 → KMS key 2");
}

#[tokio::test]
async fn bad_declarations_are_refused_before_any_call() {
    let context = context().await;
    let made = |declared: &str| Table::new(&context, location(), spec("table", declared, &[])).map(drop);
    let refusals = [
        "name = \"ev\"\nkey = \"id:S\"",
        "name = \"events\"\nkey = \"id\"",
        "name = \"events\"\nkey = \"id:S\"\nsort_key = \"id:N\"",
        "name = \"events\"\nkey = \"id:S\"\nttl = true",
        "name = \"events\"\nkey = \"id:S\"\nindexes = [{ name = \"ByX\", key = \"x:S\", projection = \"SOME\" }]",
        "name = \"events\"\nkey = \"id:S\"\nindexes = [{ name = \"ByX\", key = \"x:S\" }, { name = \"ByX\", key = \"y:S\" }]",
        "name = \"events\"\nkey = \"id:S\"\nread_capacity = 0",
    ]
    .map(|declared| refusal(made(declared)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    table ev: "ev" is not a name of a table or index; use 3 to 255 letters, digits or any of _ . -
    line 1: resource it: "id" is not a key attribute; write its name and type, as in "id:S" (S string, N number, B binary)
    table events: attribute id has two types
    table events: ttl is the name of an attribute, or false
    line 1: resource it: "SOME" is not a projection; use ALL, KEYS_ONLY or a list of attribute names
    table events: index ByX is declared twice
    table events: capacity is at least 1 unit
    "#);
}

#[tokio::test]
async fn verify_tells_of_what_is_off_and_what_is_being_built() {
    let context = context().await;
    let spec = spec("table", DECLARED, &["encryption", "ttl"]);
    let table = Table::new(&context, location(), spec).unwrap();
    let observed = there(
        with(json!({"kms_key": null, "indexes": [index("ByType", "eventType:S", "CREATING")]})),
        &[],
    );
    let checks = Resource::verify(&table, &observed, false).await;
    let lines: Vec<String> = checks
        .iter()
        .map(|check| format!("{:?} {}: {}", check.state, check.check, check.detail))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Good described: ACTIVE, on-demand, time to live on ttl, point-in-time recovery on, DynamoDB's own key
    Caution indexes: ByType is CREATING
    Caution encryption: differs from the default (encryption: DynamoDB's own key → KMS key alias/aws/dynamodb); name it in the command to change it
    "#);
}
