use std::sync::Arc;

use bytes::Bytes;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::consume::TailRecord;

fn record(key: &str, data: &[u8]) -> TailRecord {
    TailRecord {
        shard_id: Arc::from("shardId-000000000003"),
        sequence_number: "495".into(),
        arrival_ms: Some(1_795_255_200_007),
        partition_key: key.into(),
        data: Bytes::copy_from_slice(data),
        encryption: None,
    }
}

fn has(rule: &FilterRule<'_>, key: &str, data: &[u8]) -> bool {
    Filter::new(rule).unwrap().has(&Item::of(&record(key, data)))
}

fn jq(expression: &str, data: &[u8]) -> bool {
    let rule = FilterRule {
        jq: Some(expression),
        ..FilterRule::default()
    };
    has(&rule, "user-7", data)
}

#[test]
fn the_arrival_is_in_one_of_the_ranges() {
    let shown = |texts: &[&str]| {
        let ranges: Vec<ArrivalRange> = texts
            .iter()
            .map(|text| ArrivalRange::parse(text, 1_795_255_200_007).unwrap())
            .collect();
        let rule = FilterRule {
            arrived: &ranges,
            ..FilterRule::default()
        };
        has(&rule, "user-7", b"1")
    };
    assert!(shown(&["@1795255200007:1ms"]));
    assert!(!shown(&["@1795255200007:0ms"]));
    assert!(!shown(&["@-1h:-1ms"]));
    assert!(!shown(&["@:1795255200007"]));
    assert!(shown(&["@-1h:-1ms", "2026-11-21T10:00:00Z"]));
    let mut unknown = record("user-7", b"1");
    unknown.arrival_ms = None;
    let ranges = [ArrivalRange::parse("@:end", 0).unwrap()];
    let rule = FilterRule {
        arrived: &ranges,
        ..FilterRule::default()
    };
    assert!(!Filter::new(&rule).unwrap().has(&Item::of(&unknown)));
}

#[test]
fn expressions_on_data_and_the_other_parts() {
    let sale = br#"{"kind":"sale","user":{"id":7},"n":12345678901234567890,"tags":["a","b"]}"#;
    for is_true in [
        ".user.id == 7",
        r#".kind | test("^s")"#,
        "select(.user.id > 6)",
        r#".tags | index("b")"#,
        ".n == 12345678901234567890",
        r#"$key == "user-7""#,
        r#"$shard | endswith("3")"#,
        r#"$seq == "495""#,
        "$time > 1795255200 and ($time | todate) > \"2026-11-21\"",
        "false, true",
        ".",
        ".user, error",
    ] {
        assert!(jq(is_true, sale), "{is_true}");
    }
    for is_false in [
        ".user.id == 8",
        "empty",
        "null",
        "false",
        ".absent",
        "error",
        ".kind.x",
    ] {
        assert!(!jq(is_false, sale), "{is_false}");
    }
    assert!(jq(r#". == "plain text""#, b"plain text"));
    assert!(jq("length == 2", b"\xff\xfe"));
    // Too deep for JSON: it is text.
    assert!(jq(r#"type == "string""#, "[".repeat(1_000_000).as_bytes()));
}

#[test]
fn failures_are_counted() {
    let rule = FilterRule {
        jq: Some(".a > 1"),
        ..FilterRule::default()
    };
    let mut filter = Filter::new(&rule).unwrap();
    let shown = [&b"{\"a\":2}"[..], b"text", b"[1]"].map(|data| filter.has(&Item::of(&record("k", data))));
    assert_eq!(shown, [true, false, false]);
    assert_eq!(filter.failures().count, 2);
    assert!(
        filter.failures().first.contains("text"),
        "{:?}",
        filter.failures()
    );
}

#[test]
fn patterns_on_data_and_key() {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (include, exclude, key) = (
        texts(&["sale", r"(?-u)\xff"]),
        texts(&["test"]),
        texts(&["^user-"]),
    );
    let rule = FilterRule {
        arrived: &[],
        include: &include,
        exclude: &exclude,
        key: &key,
        exact_key: None,
        jq: None,
    };
    assert!(has(&rule, "user-1", b"a sale"));
    assert!(has(&rule, "user-1", b"\x00\xff"));
    assert!(!has(&rule, "user-1", b"a test sale"));
    assert!(!has(&rule, "user-1", b"a return"));
    assert!(!has(&rule, "admin", b"a sale"));
    assert!(has(&FilterRule::default(), "", b""));
    let rule = FilterRule {
        exact_key: Some("user-1"),
        ..FilterRule::default()
    };
    assert!(has(&rule, "user-1", b"") && !has(&rule, "user-10", b""));
    let found: Vec<_> = Pattern::new("a*", "--highlight")
        .unwrap()
        .matches("baab")
        .collect();
    assert_eq!((found.len(), found[0].clone()), (1, 1..3));
}

#[test]
fn a_fault_has_its_position() {
    let refused = |expression: &str| {
        let rule = FilterRule {
            jq: Some(expression),
            ..FilterRule::default()
        };
        let error = Filter::new(&rule).err().unwrap();
        format!("{} ({})", error.chain().join(": "), error.hint_text().unwrap())
    };
    assert_snapshot!(refused(".a == "), @r#"".a == " is not valid for --filter: at character 7, the expression ends where jq expects: term (it is a jq expression, such as '.user.id == 7' or '.kind | test("^sale")')"#);
    assert_snapshot!(refused(".ü | nope(1)"), @r#"".ü | nope(1)" is not valid for --filter: at character 2, found "ü | nope(1" where jq expects: token (it is a jq expression, such as '.user.id == 7' or '.kind | test("^sale")')"#);
    assert_snapshot!(refused("$stream == 1"), @r#""$stream == 1" is not valid for --filter: at character 1, there is no variable $stream (the record is `.`, and the variables are $key, $shard, $seq, $time)"#);
    assert_snapshot!(refused(".a = (1"), @r#"".a = (1" is not valid for --filter: at character 8, the expression ends where jq expects: closing parenthesis (it is a jq expression, such as '.user.id == 7' or '.kind | test("^sale")')"#);
    assert_snapshot!(refused(".a ] 1"), @r#"".a ] 1" is not valid for --filter: at character 4, found "] 1" where jq expects: token (it is a jq expression, such as '.user.id == 7' or '.kind | test("^sale")')"#);
    assert_snapshot!(refused("include \"x\"; ."), @r#""include \"x\"; ." is not valid for --filter: at character 10, modules cannot be imported (it is a jq expression, such as '.user.id == 7' or '.kind | test("^sale")')"#);
    assert_snapshot!(refused(""), @r#""" is not valid for --filter: at character 1, the expression ends where jq expects: term (it is a jq expression, such as '.user.id == 7' or '.kind | test("^sale")')"#);
    let refused = |text: &str| {
        let include = [text.to_owned()];
        let rule = FilterRule {
            include: &include,
            ..FilterRule::default()
        };
        Filter::new(&rule).err().unwrap().chain().join(": ")
    };
    assert_snapshot!(refused("ü(a"), @r#""ü(a" is not valid for --include: at character 2, unclosed group"#);
    assert_snapshot!(refused("a**b)"), @r#""a**b)" is not valid for --include: at character 5, unopened group"#);
    assert_snapshot!(refused(r"\pX"), @r#""\\pX" is not valid for --include: at character 1, Unicode property not found"#);
    assert_snapshot!(refused("(a{1000}){1000}"), @r#""(a{1000}){1000}" is not valid for --include: Compiled regex exceeds size limit of 4194304 bytes."#);
}

proptest! {
    #[test]
    fn no_expression_is_a_panic(text in r#"[.$|()\[\]{}"\\a-z0-9 ü=]{0,12}"#) {
        let include = [text.clone()];
        let rule = FilterRule { include: &include, jq: Some(&text), ..FilterRule::default() };
        let _ = Filter::new(&rule);
    }
}
