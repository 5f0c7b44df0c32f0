use std::io::Read;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::json::{Ahead, value_ahead, whole_value};
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
        key: Some(key),
        ..ReadOptions::default()
    }
}

fn of(format: InputFormat) -> ReadOptions {
    ReadOptions {
        format,
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
fn an_object_without_the_members_of_an_entry_is_data() {
    for text in [
        r#"{"Data":"aGk=","Key":"k"}"#,
        r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
        r#"{"Records":"none"}"#,
        r#"{"StreamName":"s"}"#,
        "{}",
    ] {
        assert_eq!(data(text), [text]);
    }
    let as_is = r#"{"Data":"aGk=","PartitionKey":"k"}"#;
    assert_eq!(data_of(as_is.as_bytes(), of(InputFormat::Values)), [as_is]);
}

#[test]
fn an_entry_with_a_wrong_or_another_member_is_an_error() {
    assert_snapshot!(error(r#"{"Data":"aGk=","PartitionKey":"k","more":1}"#), @"
    in.json, record 1 (line 1): not an object with only Data, PartitionKey and optionally ExplicitHashKey
    hint: the first record looks like one; `--format array` or `--format ndjson` sends records as they are
    ");
    for text in [
        r#"{"Data":{"x":1},"PartitionKey":"k"}"#,
        r#"[{"Data":"aGk=","PartitionKey":1}]"#,
        r#"{"Records":[{"Data":"aGk=","PartitionKey":"k","Data":"aGk="}]}"#,
    ] {
        assert!(error(text).contains("not an object with only Data"), "{text}");
    }
    let first = r#"{"Data":"aGk=","PartitionKey":"k"}"#;
    let envelope = format!(r#"{{"Records":[{first}],"Stream":"s"}}"#);
    assert!(error(envelope).contains("is not allowed beside Records"));
}

#[test]
fn plain_data_is_said() {
    let text = r#"{"Data":"no base64: \u00e9","PartitionKey":"k"}"#;
    assert_snapshot!(error(text), @"
    in.json, record 1 (line 1): its Data is not base64
    hint: `--data-encoding plain` takes Data as it is
    ");
    let plain = ReadOptions {
        data_encoding: DataEncoding::Plain,
        ..ReadOptions::default()
    };
    assert_eq!(data_of(text.as_bytes(), plain), ["no base64: é"]);
}

#[test]
fn answers_of_get_records_are_read_one_after_another() {
    let page = |number: u32, time: &str| {
        format!(
            r#"{{"Records":[{{"SequenceNumber":"{number}","ApproximateArrivalTimestamp":{time},"Data":"aGk=","PartitionKey":"k{number}"}}],
            "NextShardIterator":"AAAA","MillisBehindLatest":0}}"#
        )
    };
    let empty =
        r#"{"Records":[],"NextShardIterator":"AAAA","MillisBehindLatest":0,"ChildShards":[{"ShardId":"s"}]}"#;
    let text = format!(
        "{empty}\n{}\n{empty}{}{empty}",
        page(1, "1795255200.5"),
        page(2, "\"2026-11-21T10:00:01.250000+00:00\"")
    );
    for options in [ReadOptions::default(), of(InputFormat::GetRecords)] {
        let mut reader = RecordReader::new(text.as_bytes(), options);
        let mut seen = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            assert_eq!(&record.data[..], b"hi");
            seen.push((record.partition_key, reader.arrival_ms().unwrap()));
        }
        let expected = [("k1".into(), 1_795_255_200_500), ("k2".into(), 1_795_255_201_250)];
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_recording_of_tail_is_read() {
    let text = concat!(
        r#"{"shard_id":"shardId-000000000001","sequence_number":"7","approximate_arrival_timestamp":"2026-11-21T10:00:00.123Z","partition_key":"a","data":"x\"y"}"#,
        "\n",
        r#"{"stream":"s","shard_id":"shardId-000000000001","sequence_number":"8","approximate_arrival_timestamp":null,"partition_key":"b","encryption_type":"KMS","data_base64":"AP8="}"#,
    );
    let mut reader = RecordReader::new(text.as_bytes(), ReadOptions::default());
    let first = reader.read().unwrap().unwrap();
    assert_eq!((&first.data[..], &*first.partition_key), (&b"x\"y"[..], "a"));
    assert_eq!(reader.arrival_ms(), Some(1_795_255_200_123));
    let second = reader.read().unwrap().unwrap();
    assert_eq!(
        (&second.data[..], &*second.partition_key),
        (&b"\x00\xff"[..], "b")
    );
    assert_eq!(reader.arrival_ms(), None);
    let both = text.lines().next().unwrap().replace("}", r#","data_base64":""}"#);
    assert!(error(both).contains("not an object with partition_key, and data or data_base64"));
}

#[test]
fn rows_become_objects_of_strings() {
    let text = "\u{feff}id,name,note\r\n1,\"Zoë, \"\"Z\"\"\",\r\n\r\n2,\"two\nlines\",x\n";
    let records = read_all(text.as_bytes(), with(InputFormat::Csv, KeyRule::field("id"))).unwrap();
    let seen: Vec<_> = records
        .iter()
        .map(|r| (std::str::from_utf8(&r.data).unwrap(), &*r.partition_key, r.line))
        .collect();
    assert_eq!(
        seen,
        [
            (r#"{"id":"1","name":"Zoë, \"Z\"","note":""}"#, "1", 2),
            (r#"{"id":"2","name":"two\nlines","note":"x"}"#, "2", 4),
        ]
    );
    assert_eq!(
        data_of(b"a\tb\n1\t2", of(InputFormat::Tsv)),
        [r#"{"a":"1","b":"2"}"#]
    );
    let csv = |text: &str| error_with(text, of(InputFormat::Csv));
    assert_snapshot!(csv("a,b\n1,2\n3\n"), @"in.json, record 2 (line 3): it has 1 fields, and the header has 2");
    assert_snapshot!(csv("a,a\n1,2\n"), @r#"in.json has a header with two columns "a""#);
    assert_snapshot!(csv("a,\n1,2\n"), @"in.json has a header whose column 2 has no name");
    assert!(csv("a,b\n").contains("holds no records"));
    assert!(csv("").contains("holds no records"));
    let unclosed = format!("a\n\"{}", "x".repeat(3 << 20));
    assert!(csv(&unclosed).contains("record 1 (line 2): larger"));
}

#[test]
fn records_follow_their_length() {
    let fixed = b"\0\0\0\x02hi\0\0\0\0\0\0\0\x01\n";
    let records = read_all(&fixed[..], of(InputFormat::LengthDelimited)).unwrap();
    let seen: Vec<_> = records.iter().map(|r| &r.data[..]).collect();
    assert_eq!(seen, [&b"hi"[..], b"", b"\n"]);
    let mut varint = vec![0xac, 0x02];
    varint.extend([b'x'; 300]);
    varint.extend([1, b'y']);
    let records = read_all(&varint[..], of(InputFormat::VarintDelimited)).unwrap();
    assert_eq!(records.iter().map(|r| r.data.len()).collect::<Vec<_>>(), [300, 1]);
    let cut = |text: &[u8], format| error_with(text, of(format));
    assert_snapshot!(cut(b"\0\0\0\x05hi", InputFormat::LengthDelimited), @"in.json, record 1 (line 1): the input ends after 2 of its 5 bytes");
    assert_snapshot!(cut(b"\0\0", InputFormat::LengthDelimited), @"in.json, record 1 (line 1): the input ends after 2 of its 4 bytes");
    assert!(cut(b"\xff\0\0\0hi", InputFormat::LengthDelimited).contains("larger"));
    assert_snapshot!(cut(&[0xff; 12], InputFormat::VarintDelimited), @"in.json, record 1 (line 1): its length is not a varint of at most 64 bits");
    assert!(
        cut(
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            InputFormat::VarintDelimited
        )
        .contains("larger")
    );
}

#[test]
fn lines_hold_anything() {
    let options = with(InputFormat::Lines, KeyRule::Constant("k".into()));
    let records = read_all(&b"a b\r\n\n  \n\xff\x00\nlast"[..], options).unwrap();
    let seen: Vec<_> = records.iter().map(|r| (&r.data[..], r.line)).collect();
    assert_eq!(
        seen,
        [
            (&b"a b\r"[..], 1),
            (&b"  "[..], 3),
            (&b"\xff\x00"[..], 4),
            (&b"last"[..], 5)
        ]
    );
}

/// What is saved of `text`, with the number of bad records, and the data of the good ones.
fn saved(text: &[u8], options: ReadOptions) -> (String, u64, Vec<String>) {
    #[derive(Clone, Default)]
    struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let bad = std::sync::Arc::new(BadRecords::saved(Box::new(kept.clone())));
    let options = ReadOptions {
        bad: Some(bad.clone()),
        ..options
    };
    let good = data_of(text, options);
    let text = String::from_utf8_lossy(&kept.0.lock().unwrap()).into_owned();
    (text, bad.count(), good)
}

#[test]
fn bad_records_can_be_set_aside() {
    let keyed = with(InputFormat::Auto, KeyRule::field("k"));
    let lines = "{\"k\":1}\n{\"k\":}\n{\"x\":2}\nnonsense {\n{\"k\":3}\n{\"k\":";
    let (text, count, good) = saved(lines.as_bytes(), keyed.clone());
    assert_eq!(text, "{\"k\":}\n{\"x\":2}\nnonsense {\n{\"k\":\n");
    assert_eq!(
        (count, good),
        (4, vec!["{\"k\":1}".to_owned(), "{\"k\":3}".to_owned()])
    );
    // A line that was cut does not take the next one with it.
    let (text, count, good) = saved(b"{\"k\":\n{\"k\":2}\n {\"k\":3} {\"k\":4}\n\n", keyed.clone());
    assert_eq!(text, "{\"k\":\n{\"k\":3} {\"k\":4}\n");
    assert_eq!((count, good), (2, vec!["{\"k\":2}".to_owned()]));
    let (text, count, good) = saved(b"[{\"k\":1}, 7 ,{\"k\":2}]", keyed.clone());
    assert_eq!((text.as_str(), count, good.len()), ("7\n", 1, 2));
    // Nobody can tell where the next element of an array begins.
    let array = ReadOptions {
        bad: Some(std::sync::Arc::new(BadRecords::skipped())),
        ..keyed
    };
    assert!(error_with("[{\"k\":1},{\"k\":},{\"k\":2}]", array).contains("not valid JSON"));

    let small = |format| ReadOptions {
        max_record_bytes: 100,
        ..of(format)
    };
    let long = "x".repeat(200_000);
    for (format, text) in [
        (InputFormat::Values, format!("1\n\"{long}\"\n2\n")),
        (InputFormat::Array, format!("[1,\"{long}\",2]")),
    ] {
        let (text, count, good) = saved(text.as_bytes(), small(format));
        assert_eq!((text, count), (format!("\"{long}\"\n"), 1), "{format:?}");
        assert_eq!(good, ["1", "2"]);
    }
    let (text, count, good) = saved(format!("a\n{long}\nb").as_bytes(), small(InputFormat::Lines));
    assert_eq!((text, count, good.len()), (format!("{long}\n"), 1, 2));
    let rows = format!("a\n1\n{long}\n2\n3,4\n5\n");
    let (text, count, good) = saved(rows.as_bytes(), small(InputFormat::Csv));
    assert_eq!((text, count, good.len()), (format!("{long}\n3,4\n"), 2, 3));
    let mut framed = b"\0\0\0\x01a\0\x03\x0d\x40".to_vec();
    framed.extend(long.as_bytes());
    framed.extend(b"\0\0\0\x01b");
    let (text, count, good) = saved(&framed, small(InputFormat::LengthDelimited));
    assert_eq!((text, count, good.len()), (format!("{long}\n"), 1, 2));
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
    assert_eq!(records[0].partition_key.len(), 24);
}

/// A line again and again.
struct Endless<'a>(&'a [u8], usize);

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn a_long_input_takes_no_more_memory_than_a_short_one() {
    let line = b"{\"a\":[1,2,3],\"b\":\"some text that makes the line longer\"}\n";
    for format in [InputFormat::Values, InputFormat::Lines] {
        let mut reader = RecordReader::new(Endless(line, 0), of(format));
        let mut held = std::collections::VecDeque::new();
        for number in 1..=50_000 {
            let record = reader.read().unwrap().unwrap();
            assert_eq!((record.number, record.line), (number, number));
            assert_eq!(record.data, line[..line.len() - 1]);
            held.push_back(record);
            if held.len() > 500 {
                held.pop_front();
            }
            assert!(reader.source.capacity() <= 256 * 1024);
        }
    }
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
    hint: decode it first, or choose `--format whole`, `--format length-delimited` or `--format varint-delimited`
    ");
    assert_snapshot!(error(b"\xff\xfe[\x001\x00]\x00"), @"
    in.json is UTF-16 text; records are read as UTF-8
    hint: convert it first, for example with `iconv -f UTF-16 -t UTF-8`
    ");
    assert_snapshot!(error("id,name\n1,x\n"), @r#"
    in.json is not JSON: it starts with "id,name\n1,x\n"
    hint: `--format lines` sends each line as it is, `--format csv` converts rows with a header to JSON
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
    let long_key = with(InputFormat::Auto, KeyRule::Constant("é".repeat(257).into()));
    assert_snapshot!(error_with("1", long_key), @"in.json, record 1 (line 1): its partition key has 257 characters; 256 are allowed");
    assert!(
        read_all(
            &b"1"[..],
            with(InputFormat::Auto, KeyRule::Constant("é".repeat(256).into()))
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
    assert_snapshot!(after(r#"{"Data":"aGk="}"#), @"in.json, record 2 (line 2): not an object with only Data, PartitionKey and optionally ExplicitHashKey");
    assert_snapshot!(after(r#"{"Data":"aGk=","PartitionKey":"k","ExplicitHashKey":"007"}"#), @"in.json, record 2 (line 2): its explicit hash key is not a whole number below 2^128");
}

#[test]
fn a_rule_for_keys_replaces_those_of_entries() {
    let entry = r#"{"Data":"eyJpZCI6N30=","PartitionKey":"k","ExplicitHashKey":"1"}"#;
    let record = |options| read_all(entry.as_bytes(), options).unwrap().remove(0);
    let field = record(with(InputFormat::Auto, KeyRule::field("id")));
    assert_eq!(
        (&*field.partition_key, field.explicit_hash_key.as_deref()),
        ("7", Some("1"))
    );
    let random = record(ReadOptions {
        key: Some(KeyRule::Random),
        ..ReadOptions::default()
    });
    assert!(random.has_random_key && random.partition_key.len() == 24);
    let hash = record(ReadOptions {
        hash_key: HashKeyRule::Field(FieldPath::parse("/id")),
        ..ReadOptions::default()
    });
    assert_eq!(
        (&*hash.partition_key, hash.explicit_hash_key.as_deref()),
        ("k", Some("7"))
    );
    assert!(!hash.has_random_key);
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

const FORMATS: [InputFormat; 12] = [
    InputFormat::Auto,
    InputFormat::Array,
    InputFormat::Values,
    InputFormat::PutRecords,
    InputFormat::GetRecords,
    InputFormat::Recording,
    InputFormat::Csv,
    InputFormat::Tsv,
    InputFormat::Lines,
    InputFormat::LengthDelimited,
    InputFormat::VarintDelimited,
    InputFormat::Whole,
];

/// What inputs are made of.
const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    ",",
    "\n",
    "\r\n",
    "\"",
    "\\",
    "{\"a\":1}",
    "[1,\"x\"]",
    "\u{feff}",
    "é",
    " ",
    "1.5",
    "tru",
    "\0\0\0\u{2}",
    "a,b",
    "\t",
    "{\"Records\":[",
    "\"NextShardIterator\":\"x\"",
    "\"StreamName\":",
    "{\"Data\":\"aGk=\",\"PartitionKey\":\"k\"}",
    "{\"Data\":\"aGk=\",\"PartitionKey\":\"k\",\"SequenceNumber\":\"1\",\"ApproximateArrivalTimestamp\":1.5}",
    "{\"shard_id\":\"s\",\"sequence_number\":\"1\",\"partition_key\":\"k\",\"data\":\"x\"}",
];

fn lenient_or_not(format: InputFormat, lenient: bool) -> ReadOptions {
    ReadOptions {
        max_record_bytes: 60,
        bad: lenient.then(|| std::sync::Arc::new(BadRecords::skipped())),
        ..of(format)
    }
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
            let records = read_all(Dribble(input.as_bytes(), chunk), of(format)).unwrap();
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
    fn the_fast_scan_agrees_with_the_scanner(text in r#"[\[{"][\[\]{},:"\\0-9eE.+\-a-fntrulsu ]{0,14}"#) {
        let fast = whole_value(text.as_bytes());
        let slow = match value_ahead(text.as_bytes()) {
            Ahead::Whole(length) => Some(length),
            _ => None,
        };
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn the_fast_scan_agrees_with_the_scanner_on_long_values(
        texts in prop::collection::vec(any::<String>(), 0..5),
        number in any::<f64>(),
        depth in 0usize..70,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let value = serde_json::json!({"texts": texts, "number": number, "more": [[], {}, true, false, null]});
        let mut text = format!("{}{value:#}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        let length = text.len();
        // Deeper values are the scanner's.
        let is_deep = depth > 60;
        prop_assert!(is_deep || whole_value(&text) == Some(length));
        text[at.index(length)] = byte;
        let fast = whole_value(&text);
        let slow = match value_ahead(&text) {
            Ahead::Whole(length) => Some(length),
            _ => None,
        };
        // The scanner also takes numbers and literals.
        let is_container = matches!(text[0], b'{' | b'[' | b'"');
        prop_assert!(fast == slow || (fast.is_none() && (is_deep || !is_container)), "{fast:?} {slow:?}");
    }

    #[test]
    fn nothing_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..9, lenient: bool) {
        for format in FORMATS {
            let _ = read_all(Dribble(&bytes, chunk), lenient_or_not(format, lenient));
        }
    }

    /// Text that is nearly in a format goes deeper than any bytes do.
    #[test]
    fn near_misses_do_not_make_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24), chunk in 1usize..9, lenient: bool,
    ) {
        let text = pieces.concat();
        for format in FORMATS {
            let _ = read_all(Dribble(text.as_bytes(), chunk), lenient_or_not(format, lenient));
        }
    }

    #[test]
    fn records_do_not_depend_on_the_blocks_of_the_input(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24), chunk in 1usize..9, lenient: bool,
    ) {
        let text = pieces.concat();
        for format in FORMATS {
            let key = |options| ReadOptions { key: Some(KeyRule::Constant("k".into())), ..options };
            let whole = read_all(text.as_bytes(), key(lenient_or_not(format, lenient)));
            // Both look at what has arrived so far.
            if let Err(RecordError { kind: RecordErrorKind::Binary | RecordErrorKind::Unknown(_), .. }) = whole {
                continue;
            }
            let split = read_all(Dribble(text.as_bytes(), chunk), key(lenient_or_not(format, lenient)));
            let told = |error: RecordError| error.into_error("in").to_string();
            let (whole, split) = (whole.map_err(told), split.map_err(told));
            prop_assert_eq!(whole, split, "{:?}", format);
        }
    }

    #[test]
    fn failed_records_can_be_put_again(data: Vec<u8>, key in ".{1,20}", hash: Option<u128>) {
        let record = Record {
            data: data.into(),
            partition_key: key.into(),
            explicit_hash_key: hash.map(|h| h.to_string()),
            has_random_key: false,
            number: 1,
            line: 1,
        };
        let again = read_all(to_entry_json(&record).as_bytes(), ReadOptions::default()).unwrap();
        prop_assert_eq!(again, vec![record]);
    }
}
