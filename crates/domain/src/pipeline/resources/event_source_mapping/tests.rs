//! What changes of a mapping, and what cannot.

use super::super::test_support::{changes, context, location, observed, spec_of};
use super::*;

const HEAD: &str = r#"
name = "demo"
description = "x"
instance = "one"
[parameters.batch_size]
type = "integer"
description = "x"
default = 100
[parameters.start]
type = "string"
description = "x"
default = "LATEST"
[[resources]]
kind = "event_source_mapping"
id = "it"
[resources.properties]
function = "scorer"
stream = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
batch_size = "${batch_size}"
starting_position = "${start}"
retries = 3
on_failure = ""
"#;

fn there() -> Mapping {
    Mapping {
        id: "1".to_owned(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:scorer".to_owned(),
        stream_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/orders".to_owned(),
        state: "Enabled".to_owned(),
        settings: Settings {
            batch_size: Some(500),
            retries: Some(-1),
            on_failure: Some("arn:aws:sqs:us-east-1:000000000000:failed".to_owned()),
            starting_position: Some(StartingPosition::Latest),
            ..Settings::default()
        },
        ..Mapping::default()
    }
}

async fn differences(given: &[(&str, &str)], mapping: Mapping) -> Vec<String> {
    let spec = spec_of(HEAD, given);
    let observed = observed(&spec, Facts { mapping }, &[]);
    let context = context().await;
    let resource = EventSourceMapping::new(&context, location(), spec).unwrap();
    changes(&resource, &observed).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_templates_word_holds_and_a_default_undoes_nothing() {
    assert_eq!(
        differences(&[], there()).await,
        [
            "retries: no limit → 3",
            "on_failure: arn:aws:sqs:us-east-1:000000000000:failed → none"
        ]
    );
    let given = differences(&[("batch_size", "10")], there()).await;
    assert_eq!(given.first().map(String::as_str), Some("batch_size: 500 → 10"));
}

#[tokio::test]
async fn a_start_cannot_change() {
    let changes = differences(&[("start", "TRIM_HORIZON")], there()).await;
    assert_eq!(
        changes.last().map(String::as_str),
        Some("started to read at latest, and this cannot be changed to trim")
    );
}

#[tokio::test]
async fn one_that_is_going_is_made_again() {
    let mut going = there();
    going.state = "Deleting".to_owned();
    assert_eq!(differences(&[], going).await, ["create"]);
}

#[tokio::test]
async fn bad_values_are_refused_before_any_call() {
    let spec = spec_of(HEAD, &[("batch_size", "0")]);
    let context = context().await;
    let error = EventSourceMapping::new(&context, location(), spec).err().unwrap();
    insta::assert_snapshot!(error, @"the batch size is 0, not 1 to 10000");
}

#[tokio::test]
async fn it_names_itself_and_what_it_is_to_be() {
    let spec = spec_of(HEAD, &[]);
    let context = context().await;
    let resource = EventSourceMapping::new(&context, location(), spec).unwrap();
    assert_eq!(resource.name(), "scorer ← orders");
    assert_eq!(resource.summary(), "batches of 100, retries 3, from latest");
}
