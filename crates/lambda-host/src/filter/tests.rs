//! Patterns of the developer guide, and what they do to records.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Filters, INVALID};

fn passes(pattern: Value, data: &str) -> bool {
    let filters = Filters::compile(&[pattern.to_string()]).unwrap();
    filters.matches(data.as_bytes(), metadata)
}

fn metadata() -> Map<String, Value> {
    let Value::Object(map) = json!({"partitionKey": "1", "eventSource": "aws:kinesis"}) else {
        unreachable!("an object");
    };
    map
}

#[test]
fn operators_of_the_developer_guide() {
    let cases = [
        (json!([null]), r#"{"x":null}"#, r#"{"x":0}"#),
        (json!([""]), r#"{"x":""}"#, r#"{"x":" "}"#),
        (json!(["Alice"]), r#"{"x":"Alice"}"#, r#"{"x":"alice"}"#),
        (
            json!([{"equals-ignore-case": "Alice"}]),
            r#"{"x":"aLICE"}"#,
            r#"{"x":"Bob"}"#,
        ),
        (json!(["Credit", "Debit"]), r#"{"x":"Debit"}"#, r#"{"x":"Cash"}"#),
        (
            json!([{"anything-but": ["Raining"]}]),
            r#"{"x":"Sunny"}"#,
            r#"{"x":"Raining"}"#,
        ),
        (
            json!([{"anything-but": {"prefix": "us-"}}]),
            r#"{"x":"eu-1"}"#,
            r#"{"x":"us-1"}"#,
        ),
        (json!([{"numeric": ["=", 100]}]), r#"{"x":100}"#, r#"{"x":"100"}"#),
        (
            json!([{"numeric": [">", 10, "<=", 20]}]),
            r#"{"x":20}"#,
            r#"{"x":10}"#,
        ),
        (json!([{"exists": true}]), r#"{"x":1}"#, r#"{"y":1}"#),
        (json!([{"exists": false}]), r#"{"y":1}"#, r#"{"x":1}"#),
        (
            json!([{"prefix": "us-"}]),
            r#"{"x":"us-east-1"}"#,
            r#"{"x":"eu-us-"}"#,
        ),
        (
            json!([{"suffix": ".png"}]),
            r#"{"x":"a.png"}"#,
            r#"{"x":"a.PNG"}"#,
        ),
        (
            json!([{"suffix": {"equals-ignore-case": ".png"}}]),
            r#"{"x":"a.PNG"}"#,
            r#"{"x":"png"}"#,
        ),
        (json!([1, 2]), r#"{"x":2}"#, r#"{"x":"2"}"#),
        (json!(["a"]), r#"{"x":["b","a"]}"#, r#"{"x":["b"]}"#),
        (json!([true]), r#"{"x":true}"#, r#"{"x":false}"#),
    ];
    for (rules, yes, no) in cases {
        let pattern = json!({"data": {"x": rules}});
        assert!(passes(pattern.clone(), yes), "{pattern} should take {yes}");
        assert!(!passes(pattern.clone(), no), "{pattern} should drop {no}");
    }
}

#[test]
fn fields_must_all_match_and_or_needs_one_match() {
    let both = json!({"data": {"city": ["NY"], "day": ["Mon"]}});
    assert!(passes(both.clone(), r#"{"city":"NY","day":"Mon","else":1}"#));
    assert!(!passes(both, r#"{"city":"NY"}"#));
    let either = json!({"data": {"$or": [{"city": ["NY"]}, {"day": ["Mon"]}]}});
    assert!(passes(either.clone(), r#"{"day":"Mon"}"#));
    assert!(!passes(either, r#"{"day":"Tue","city":"LA"}"#));
    let deep = json!({"data": {"order": {"type": ["buy"]}}});
    assert!(passes(deep.clone(), r#"{"order":{"type":"buy"}}"#));
    assert!(!passes(deep, r#"{"order":"buy"}"#));
}

#[test]
fn only_patterns_for_data_drop_data_that_is_not_json() {
    assert!(!passes(json!({"data": {"x": [{"exists": false}]}}), "not json"));
    assert!(passes(json!({"partitionKey": ["1"]}), "not json"));
    assert!(!passes(json!({"partitionKey": ["2"]}), "not json"));
    assert!(passes(
        json!({"partitionKey": ["1"], "data": {"x": [1]}}),
        r#"{"x":1}"#
    ));
    // One matching filter is enough.
    let two = [
        json!({"data": {"x": [1]}}).to_string(),
        json!({"partitionKey": ["1"]}).to_string(),
    ];
    assert!(Filters::compile(&two).unwrap().matches(b"not json", metadata));
    assert!(Filters::default().matches(b"anything", metadata));
}

#[test]
fn invalid_patterns_are_rejected() {
    for bad in [
        "",
        "x",
        "[]",
        "{}",
        "{\"data\":\"x\"}",
        "{\"data\":[\"plain\"]}",
        "{\"data\":{\"x\":1}}",
        "{\"data\":{\"x\":[]}}",
        "{\"data\":{\"x\":[{\"numeric\":[\"!\",1]}]}}",
        "{\"data\":{\"x\":[{\"numeric\":[\">\",1,\"<\"]}]}}",
        "{\"data\":{\"x\":[{\"wildcard\":\"*\"}]}}",
        "{\"data\":{\"x\":[{\"prefix\":1}]}}",
        "{\"data\":{\"x\":[{\"prefix\":\"a\",\"suffix\":\"b\"}]}}",
    ] {
        assert_eq!(
            Filters::compile(&[bad.to_owned()]),
            Err(INVALID.to_owned()),
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_patterns_and_data_do_not_panic(pattern in r#"[{}\[\]":,a-z$0-9]{0,40}"#, data in any::<Vec<u8>>()) {
        if let Ok(filters) = Filters::compile(&[pattern]) {
            filters.matches(&data, metadata);
        }
    }
}
