use std::sync::Arc;

use bytes::Bytes;
use domain::consume::TailRecord;
use insta::assert_snapshot;

use super::*;

fn record(data: &'static [u8]) -> TailRecord {
    TailRecord {
        shard_id: Arc::from("shardId-000000000003"),
        sequence_number: "495".into(),
        arrival_ms: Some(1_795_255_200_007),
        partition_key: "sensor-1".into(),
        data: Bytes::from_static(data),
        encryption: None,
    }
}

fn people(data: &'static [u8]) -> String {
    for_people(
        &Item::of(&record(data)),
        &People::default(),
        &TimeZone::UTC,
        None,
        &Style::plain(),
    )
}

fn json(record: &TailRecord) -> String {
    json_line(&Item::of(record), None, false)
}

#[test]
fn a_line_for_people() {
    assert_snapshot!(people(b"{\"a\": 1}"), @r#"2026-11-21T10:00:00.007Z  shard-3  sensor-1  {"a": 1}"#);
    assert_snapshot!(people(b"{\n  \"a \\\" b\": [1,\n 2.50]\n}"), @r#"2026-11-21T10:00:00.007Z  shard-3  sensor-1  {"a \" b":[1,2.50]}"#);
    assert_snapshot!(people(b"two\nlines\x1b[31m\x00"), @r"2026-11-21T10:00:00.007Z  shard-3  sensor-1  two\nlines\u{1b}[31m\u{0}");
    assert_snapshot!(people("\u{9b}31m \u{202e}abc ü".as_bytes()), @r"2026-11-21T10:00:00.007Z  shard-3  sensor-1  \u{9b}31m \u{202e}abc ü");
    assert_snapshot!(people(b"\xff\x00"), @"2026-11-21T10:00:00.007Z  shard-3  sensor-1  base64:/wA=");
}

#[test]
fn a_line_for_scripts() {
    assert_snapshot!(json(&record(b"{\"a\": 1}")), @r#"{"shard_id":"shardId-000000000003","sequence_number":"495","approximate_arrival_timestamp":"2026-11-21T10:00:00.007Z","partition_key":"sensor-1","data":"{\"a\": 1}"}"#);
    let binary = TailRecord {
        arrival_ms: None,
        encryption: Some("KMS".into()),
        ..record(b"\xff\x00")
    };
    assert_snapshot!(json(&binary), @r#"{"shard_id":"shardId-000000000003","sequence_number":"495","approximate_arrival_timestamp":null,"partition_key":"sensor-1","encryption_type":"KMS","data_base64":"/wA="}"#);
}

#[test]
fn colours_tell_shards_apart() {
    let text = for_people(
        &Item::of(&record(b"{\"a\":1}")),
        &People::default(),
        &TimeZone::UTC,
        Some("orders"),
        &Style::new(true, false),
    );
    assert_snapshot!(text.replace('\u{1b}', "␛"), @r#"␛[2m2026-11-21T10:00:00.007Z␛[0m  ␛[33morders/shard-3␛[0m  ␛[1msensor-1␛[0m  {␛[34m"a"␛[0m:␛[33m1␛[0m}"#);
}

#[test]
fn json_over_several_lines() {
    let people = People {
        indent: true,
        highlight: Vec::new(),
    };
    let lines = |data| {
        for_people(
            &Item::of(&record(data)),
            &people,
            &TimeZone::UTC,
            None,
            &Style::plain(),
        )
    };
    assert_snapshot!(lines(b"{\"a\":1}"), @r#"
    2026-11-21T10:00:00.007Z  shard-3  sensor-1
      {
        "a": 1
      }
    "#);
    assert_snapshot!(lines(b"no {JSON}"), @"2026-11-21T10:00:00.007Z  shard-3  sensor-1  no {JSON}");
}

#[test]
fn json_data_is_json_only_if_it_is_an_object_or_an_array() {
    let data = |data| {
        let record = record(data);
        let line = json_line(&Item::of(&record), None, true);
        let member = line.split_once(r#""data":"#).unwrap().1;
        member.strip_suffix('}').unwrap().to_owned()
    };
    assert_eq!(
        data(b"{\n  \"a\": [1.50,\r\n \"x  y\"]}"),
        r#"{"a":[1.50,"x  y"]}"#
    );
    assert_eq!(data(b" [1, 2] "), "[1, 2]");
    assert_eq!(data(b"\"text\""), r#""\"text\"""#);
    assert_eq!(data(b"42"), r#""42""#);
    assert_eq!(data(b"{\"a\":"), r#""{\"a\":""#);
}

#[test]
fn what_is_searched_for_is_highlighted() {
    let shown = |patterns: &[&str], data| {
        let pattern = |text: &&str| filter::Pattern::new(text, "--highlight").unwrap();
        let people = People {
            indent: false,
            highlight: patterns.iter().map(pattern).collect(),
        };
        let record = record(data);
        let text = for_people(
            &Item::of(&record),
            &people,
            &TimeZone::UTC,
            None,
            &Style::new(true, false),
        );
        let data = text.rsplit_once("sensor-1").unwrap().1;
        data.replace("\u{1b}[1m\u{1b}[31m", "<")
            .replace("\u{1b}[0m", ">")
            .split_once(">  ")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(shown(&["a."], b"xabya"), "x<ab>ya");
    assert_eq!(shown(&["bc", "ab", "zz"], b"xabcd"), "x<ab><c>d");
    assert_eq!(shown(&["(?-u)\\xbc", "k"], "ük".as_bytes()), "ü<k>");
    assert_eq!(shown(&["one"], b"none\x1b[31m"), "n<one>\\u{1b}[31m");
}

#[test]
fn parts_of_records_and_faults() {
    let record = record(b"{\"a\":1}");
    let item = Item {
        partition_key: "user-7",
        explicit_hash_key: Some("5"),
        sub_sequence_number: Some(2),
        fault: Some("gzip: \u{1b}".to_owned()),
        ..Item::of(&record)
    };
    let line = json_line(&item, None, false);
    assert_snapshot!(line, @r#"{"shard_id":"shardId-000000000003","sequence_number":"495","sub_sequence_number":2,"approximate_arrival_timestamp":"2026-11-21T10:00:00.007Z","partition_key":"user-7","explicit_hash_key":"5","decode_error":"gzip: \u001b","data":"{\"a\":1}"}"#);
    let people =
        |item: &Item<'_>| for_people(item, &People::default(), &TimeZone::UTC, None, &Style::plain());
    assert_snapshot!(people(&item), @r#"2026-11-21T10:00:00.007Z  shard-3  user-7  (gzip: \u{1b})  {"a":1}"#);
    let item = Item {
        log_event: Some(domain::consume::LogEvent {
            group: "/aws/lambda/scorer",
            stream: "s",
            at_ms: 0,
        }),
        data: Bytes::from_static(b"two words\n"),
        ..Item::of(&record)
    };
    assert_snapshot!(people(&item), @"2026-11-21T10:00:00.007Z  shard-3  sensor-1  /aws/lambda/scorer  two words");
    let line = json_line(&item, None, false);
    assert!(
        line.contains(
            r#""log_group":"/aws/lambda/scorer","log_stream":"s","log_timestamp":"1970-01-01T00:00:00.000Z""#
        ),
        "{line}"
    );
}
