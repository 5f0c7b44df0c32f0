//! Inputs that are refused, and bad records that are set aside.

use insta::assert_snapshot;

use super::*;

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
    assert!(random.has_random_key && random.partition_key.len() == 8);
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
