//! What each format of the input becomes.

use insta::assert_snapshot;

use super::*;

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
