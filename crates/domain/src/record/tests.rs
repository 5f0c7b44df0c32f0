use std::io::Read;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::json::{Ahead, value_ahead};
use super::*;

fn read_all(input: impl Read, options: ReadOptions) -> Result<Vec<Record>, RecordError> {
    let mut reader = RecordReader::new(input, options);
    let mut records = Vec::new();
    while let Some(record) = reader.read()? {
        records.push(record);
    }
    assert!(matches!(reader.read(), Ok(None)), "the end stays the end");
    Ok(records)
}

fn with(format: InputFormat, key: KeyRule) -> ReadOptions {
    ReadOptions {
        format,
        key,
        ..ReadOptions::default()
    }
}

/// The data of each record, as text.
fn data(text: &str) -> Vec<String> {
    data_of(text.as_bytes(), ReadOptions::default())
}

fn data_of(text: &[u8], options: ReadOptions) -> Vec<String> {
    read_all(text, options)
        .unwrap()
        .iter()
        .map(|record| String::from_utf8_lossy(&record.data).into_owned())
        .collect()
}

/// The message of the error in `text`, and the hint.
fn error(text: impl AsRef<[u8]>) -> String {
    error_with(text, ReadOptions::default())
}

fn error_with(text: impl AsRef<[u8]>, options: ReadOptions) -> String {
    let error = read_all(text.as_ref(), options)
        .unwrap_err()
        .into_error("in.json");
    assert_eq!(error.exit(), ground::exit::Exit::Usage);
    match error.hint_text() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn elements_of_an_array_are_kept_byte_for_byte() {
    assert_eq!(
        data(" [ {\"a\" : 1.50}, \"x\\u00e9\" ,[1, 2] , null,-0.0e1 ]\n"),
        ["{\"a\" : 1.50}", "\"x\\u00e9\"", "[1, 2]", "null", "-0.0e1"]
    );
}

#[test]
fn values_stand_on_lines_or_over_several() {
    let expected = ["{\"a\":1}", "{\"a\":2}"];
    assert_eq!(data("{\"a\":1}\n{\"a\":2}\n"), expected);
    assert_eq!(
        data("\u{feff}{\"a\":1}\r\n\r\n  {\"a\":2}"),
        expected,
        "BOM, CRLF, blank lines"
    );
    assert_eq!(data("{\n  \"a\": 1\n}\n"), ["{\n  \"a\": 1\n}"]);
    assert_eq!(data("1\n2.5\ntrue"), ["1", "2.5", "true"]);
}

#[test]
fn records_know_their_number_and_line() {
    let records = read_all(&b"[1,\n\n 2,\n{\n}]"[..], ReadOptions::default()).unwrap();
    let places: Vec<_> = records.iter().map(|r| (r.number, r.line)).collect();
    assert_eq!(places, [(1, 1), (2, 3), (3, 4)]);
}

#[test]
fn put_records_shape_is_found_in_all_its_forms() {
    let entries =
        r#"{"Data":"aGk=","PartitionKey":"k"},{"PartitionKey":"l","Data":"eW8=","ExplicitHashKey":"7"}"#;
    let lines = entries.replace("},{", "}\n{");
    for text in [
        format!("[{entries}]"),
        format!("{{\"Records\": [ {entries} ]}}"),
        format!("{{\"StreamName\":\"s\",\"Records\":[{entries}]}}"),
        format!("{{\"Records\":[{entries}], \"StreamARN\" : \"arn\"}}\n"),
        lines,
    ] {
        let records = read_all(text.as_bytes(), ReadOptions::default()).unwrap();
        let seen: Vec<_> = records
            .iter()
            .map(|r| (&r.data[..], &*r.partition_key, r.explicit_hash_key.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [(&b"hi"[..], "k", None), (&b"yo"[..], "l", Some("7"))],
            "{text}"
        );
    }
}

#[test]
fn what_only_resembles_the_shape_is_data() {
    for text in [
        r#"{"Data":"aGk=","PartitionKey":"k","more":1}"#,
        r#"{"Data":{"x":1},"PartitionKey":"k"}"#,
        r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
        r#"{"Records":"none"}"#,
        r#"{"StreamName":"s"}"#,
        "{}",
    ] {
        assert_eq!(data(text), [text]);
    }
    let as_is = r#"{"Data":"aGk=","PartitionKey":"k"}"#;
    assert_eq!(
        data_of(as_is.as_bytes(), with(InputFormat::Values, KeyRule::Random)),
        [as_is]
    );
}

#[test]
fn lines_hold_anything() {
    let options = with(InputFormat::Lines, KeyRule::Constant("k".into()));
    let records = read_all(&b"a b\r\n\n\xff\x00\nlast"[..], options).unwrap();
    let seen: Vec<_> = records.iter().map(|r| (&r.data[..], r.line)).collect();
    assert_eq!(seen, [(&b"a b"[..], 1), (&b"\xff\x00"[..], 3), (&b"last"[..], 4)]);
}

#[test]
fn keys_come_from_a_field_with_their_exact_text() {
    let key = |text: &str, path: &str| {
        let options = with(InputFormat::Auto, KeyRule::field(path));
        read_all(text.as_bytes(), options)
            .unwrap()
            .remove(0)
            .partition_key
    };
    assert_eq!(key(r#"{"a":{"b":"x\u0041"}}"#, "a.b"), "xA");
    assert_eq!(key(r#"{"id": 29.990, "x": [1]}"#, "id"), "29.990");
    assert_eq!(key(r#"{"\u0069d": true}"#, "id"), "true");
}

#[test]
fn random_keys_differ() {
    let records = read_all(&b"1 2 3"[..], ReadOptions::default()).unwrap();
    assert_ne!(records[0].partition_key, records[1].partition_key);
    assert_eq!(records[0].partition_key.len(), 32);
}

#[test]
fn errors_name_line_and_column() {
    assert_snapshot!(error("{\"a\":1}\n{\"a\":}\n"), @"in.json is not valid JSON at line 2, column 6: expected a JSON value");
    assert_snapshot!(error("[\n {\"a\":1}\n {\"a\":2}]"), @"in.json is not valid JSON at line 3, column 2: expected `,` or `]`");
    assert_snapshot!(error("[1,]"), @"in.json is not valid JSON at line 1, column 4: expected a value (is there a comma too many?)");
    assert_snapshot!(error("[[1,]]"), @"in.json is not valid JSON at line 1, column 5: expected a value (is there a comma too many?)");
    assert_snapshot!(error("[1"), @"in.json is not valid JSON at line 1, column 3: the input ends inside the array");
    assert_snapshot!(error("[1] 2"), @"in.json is not valid JSON at line 1, column 5: expected nothing after the array");
    assert_snapshot!(error("{\"a\":\n"), @"in.json is not valid JSON at line 2, column 1: the input ends too early, in the value that starts at line 1");
    assert_snapshot!(error("{\"a\":\"x\n\"}"), @"in.json is not valid JSON at line 1, column 8: the line ends inside a string");
    assert_snapshot!(error("{\"a\":1,}"), @"in.json is not valid JSON at line 1, column 8: expected a key (is there a comma too many?)");
    assert_snapshot!(error("{'a':1}"), @"in.json is not valid JSON at line 1, column 2: expected a key in double quotes");
    assert_snapshot!(error(b"{\"a\":1}\n{\"a\":\n\"\xff\"}"), @"in.json, line 3, column 2: these bytes are not UTF-8");
}

#[test]
fn inputs_that_are_no_records_say_what_they_are() {
    assert_snapshot!(error(""), @"
    in.json holds no records
    hint: give a JSON array, one JSON value a line, or `--data TEXT` for one record
    ");
    assert_snapshot!(error(" \n\t"), @"
    in.json holds no records
    hint: give a JSON array, one JSON value a line, or `--data TEXT` for one record
    ");
    assert_snapshot!(error("[ ]"), @"
    in.json holds no records
    hint: give a JSON array, one JSON value a line, or `--data TEXT` for one record
    ");
    assert_snapshot!(error(b"\x1f\x8b\x08\x00\x00"), @"
    in.json is a binary file, not JSON
    hint: decompress or decode it first
    ");
    assert_snapshot!(error(b"\xff\xfe[\x001\x00]\x00"), @"
    in.json is UTF-16 text; records are read as UTF-8
    hint: convert it first, for example with `iconv -f UTF-16 -t UTF-8`
    ");
    assert_snapshot!(error("id,name\n1,x\n"), @r#"
    in.json is not JSON: it starts with "id,name\n1,x\n"
    hint: `--format lines` sends each line as it is
    "#);
}

#[test]
fn limits_of_kinesis_are_held_while_reading() {
    let small = ReadOptions {
        max_record_bytes: 40,
        ..with(InputFormat::Auto, KeyRule::Constant("k".into()))
    };
    let fits = format!("1\n\"{}\"", "x".repeat(37));
    assert_eq!(
        data_of(fits.as_bytes(), small.clone()).len(),
        2,
        "39 bytes and a key of one"
    );
    assert_snapshot!(error_with(format!("1\n\"{}\"", "x".repeat(38)), small.clone()), @"
    in.json, record 2 (line 2): larger than the stream takes (40 bytes, partition key included)
    hint: split or compress it, or raise the stream's record size (UpdateMaxRecordSize, up to 10 MiB)
    ");
    assert!(
        error_with(format!("[\n\"{}", "x".repeat(100_000)), small.clone())
            .contains("record 1 (line 2): larger")
    );
    let long_key = with(InputFormat::Auto, KeyRule::Constant("é".repeat(257)));
    assert_snapshot!(error_with("1", long_key), @"in.json, record 1 (line 1): its partition key has 257 characters; 256 are allowed");
    assert!(
        read_all(
            &b"1"[..],
            with(InputFormat::Auto, KeyRule::Constant("é".repeat(256)))
        )
        .is_ok()
    );
    assert_snapshot!(error_with("{\"k\":\"\"}", with(InputFormat::Auto, KeyRule::field("k"))), @"in.json, record 1 (line 1): its partition key is empty");
    assert_snapshot!(error_with("{\"k\":1}\n{\"k\":null}", with(InputFormat::Auto, KeyRule::field("k"))), @r#"in.json, record 2 (line 2): it has no text or number in the field "k""#);
}

#[test]
fn invalid_entries_are_rejected() {
    let first = r#"{"Data":"aGk=","PartitionKey":"k"}"#;
    let after = |second: &str| {
        error(format!("[{first},\n{second}]"))
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_snapshot!(after(r#"{"Data":"a","PartitionKey":"k"}"#), @"in.json, record 2 (line 2): its Data is not base64");
    assert_snapshot!(after(r#"{"Data":"aGk="}"#), @"in.json, record 2 (line 2): not an object with just Data, PartitionKey and perhaps ExplicitHashKey");
    assert_snapshot!(after(r#"{"Data":"aGk=","PartitionKey":"k","ExplicitHashKey":"007"}"#), @"in.json, record 2 (line 2): its ExplicitHashKey is not a whole number below 2^128");
    let keyed = with(InputFormat::Auto, KeyRule::Constant("k".into()));
    assert_snapshot!(error_with(first, keyed), @"
    in.json brings its own partition keys
    hint: leave out --partition-key, --partition-key-field and --pipeline, or add `--format array` or `--format values` to send the entries as they are
    ");
}

/// Reads `chunk` bytes at a time, like a slow pipe.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|n| serde_json::json!(n)),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn any_json_comes_through_byte_for_byte(values in prop::collection::vec(any_json(), 1..6), pretty: bool, chunk in 1usize..9) {
        let texts: Vec<String> = values
            .iter()
            .map(|v| if pretty { serde_json::to_string_pretty(v) } else { serde_json::to_string(v) }.unwrap())
            .collect();
        for (input, format) in [
            (format!("[{}]", texts.join(" ,\n")), InputFormat::Array),
            (texts.join("\n"), InputFormat::Values),
        ] {
            let records = read_all(Dribble(input.as_bytes(), chunk), with(format, KeyRule::Random)).unwrap();
            let seen: Vec<_> = records.iter().map(|r| r.data.as_ref()).collect();
            prop_assert_eq!(seen, texts.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_grammar_is_that_of_serde_json(text in r#"[\[\]{},:"\\0-9eE.+\-a-fntrulsu ]{0,14}"#) {
        let ours = match value_ahead(format!("{text} ").as_bytes()) {
            Ahead::Whole(length) => format!("{text} ")[length..].trim().is_empty(),
            _ => false,
        };
        prop_assert_eq!(ours, serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn nothing_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..9) {
        for format in [InputFormat::Auto, InputFormat::PutRecords, InputFormat::Lines, InputFormat::Text] {
            let _ = read_all(Dribble(&bytes, chunk), with(format, KeyRule::Random));
        }
    }

    #[test]
    fn failed_records_can_be_put_again(data: Vec<u8>, key in ".{1,20}", hash: Option<u128>) {
        let record = Record {
            data: data.into(),
            partition_key: key,
            explicit_hash_key: hash.map(|h| h.to_string()),
            has_random_key: false,
            number: 1,
            line: 1,
        };
        let again = read_all(to_entry_json(&record).as_bytes(), ReadOptions::default()).unwrap();
        prop_assert_eq!(again, vec![record]);
    }
}
