use std::io::Write as _;
use std::sync::Arc;

use md5::{Digest as _, Md5};
use proptest::prelude::*;

use super::*;
use crate::record::Record;
use crate::record::aggregate::{Aggregate, DEFAULT_AGGREGATE_BYTES};

fn record(data: impl Into<Bytes>) -> TailRecord {
    TailRecord {
        shard_id: Arc::from("shardId-000000000000"),
        sequence_number: "1".into(),
        arrival_ms: None,
        partition_key: "a".into(),
        data: data.into(),
        encryption: None,
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn base64(data: &[u8]) -> Vec<u8> {
    base64_simd::STANDARD.encode_to_string(data).into_bytes()
}

fn aggregated(records: &[(&str, &[u8])]) -> Bytes {
    let mut aggregate = Aggregate::new(DEFAULT_AGGREGATE_BYTES);
    for (key, data) in records {
        aggregate.push(Record {
            data: Bytes::copy_from_slice(data),
            partition_key: (*key).into(),
            explicit_hash_key: None,
            has_random_key: false,
            number: 1,
            line: 1,
        });
    }
    aggregate.finish().unwrap().record.data
}

/// Partition key, subsequence number, data and fault of each item.
type Seen = (String, Option<usize>, Vec<u8>, Option<String>);

fn seen(decode: &str, data: impl Into<Bytes>) -> Vec<Seen> {
    let decode: Decode = decode.parse().unwrap();
    let mut seen = Vec::new();
    let whole = decode
        .items(&record(data), &mut |item| {
            let key = item.partition_key.to_owned();
            seen.push((
                key,
                item.sub_sequence_number,
                item.data.to_vec(),
                item.fault.clone(),
            ));
            Ok(true)
        })
        .unwrap();
    assert!(whole);
    seen
}

/// The data of a record that is one item, and its fault.
fn one(decode: &str, data: impl Into<Bytes>) -> (Vec<u8>, Option<String>) {
    let mut seen = seen(decode, data);
    assert_eq!(seen.len(), 1);
    let (_, number, data, fault) = seen.remove(0);
    assert_eq!(number, None);
    (data, fault)
}

#[test]
fn compressed_data_shows_itself() {
    let zstd = zstd::encode_all(&b"text"[..], 0).unwrap();
    let levels = [
        gzip(b"text"),
        zstd.clone(),
        gzip(&zstd),
        base64(&gzip(b"text")),
        base64(&zstd),
        [gzip(b"te"), gzip(b"xt")].concat(),
    ];
    for data in levels {
        assert_eq!(one("auto", data.clone()), (b"text".to_vec(), None));
        assert_eq!(one("none", data.clone()), (data, None));
    }
    for plain in [&b"text"[..], b"", b"H4sI am text", b"\xff\xfe", b"dGV4dA=="] {
        assert_eq!(one("auto", plain), (plain.to_vec(), None));
    }
}

#[test]
fn steps_are_taken_in_order_and_what_fails_stays_as_it_is() {
    assert_eq!(
        one("base64,gzip", base64(&gzip(b"text"))),
        (b"text".to_vec(), None)
    );
    assert_eq!(one("base64", &b"dGV4dA==\n"[..]), (b"text".to_vec(), None));
    let (data, fault) = one("base64,gzip", base64(b"no gzip"));
    assert_eq!(data, b"no gzip");
    assert!(fault.unwrap().starts_with("gzip: "));
    let mut cut = gzip(b"text, and more text");
    cut.truncate(cut.len() - 9);
    let (data, fault) = one("auto", cut.clone());
    assert_eq!(data, cut);
    assert!(fault.unwrap().starts_with("gzip: "));
    assert_eq!(one("zstd", &b"text"[..]).0, b"text");
}

#[test]
fn a_bomb_stays_closed() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..=MOST_BYTES >> 20).for_each(|_| bomb.write_all(&zeros).unwrap());
    let bomb = bomb.finish().unwrap();
    let (data, fault) = one("auto", bomb.clone());
    assert_eq!(data, bomb);
    assert_eq!(
        fault.unwrap(),
        "gzip: the data is larger than 32 MiB when decompressed"
    );
}

#[test]
fn aggregated_records_are_split() {
    let data = aggregated(&[("k1", b"one"), ("k2", &gzip(b"two")), ("k1", b"")]);
    let item = |key: &str, number, data: &[u8]| (key.to_owned(), Some(number), data.to_vec(), None);
    let expected = [item("k1", 0, b"one"), item("k2", 1, b"two"), item("k1", 2, b"")];
    assert_eq!(seen("auto", data.clone()), expected);
    assert_eq!(one("none", data.clone()), (data.to_vec(), None));
    // A step that does not fit one of them is said at this one.
    let seen = seen("gzip", data.clone());
    assert_eq!(seen[1], item("k2", 1, b"two"));
    assert!(seen[0].3.is_some());
    // Stopped in the middle.
    let mut count = 0;
    let whole = Decode::Auto.items(&record(data), &mut |_| {
        count += 1;
        Ok(count < 2)
    });
    assert_eq!((whole.unwrap(), count), (false, 2));
}

#[test]
fn damaged_and_nested_aggregates_are_shown_as_what_they_are() {
    let mut data = aggregated(&[("k1", b"one"), ("k2", b"two")]).to_vec();
    data[10] ^= 1;
    let (kept, fault) = one("auto", data.clone());
    assert_eq!(kept, data);
    assert_eq!(fault.unwrap(), "the checksum of the aggregated record is wrong");
    let inner = aggregated(&[("k1", b"one"), ("k2", b"two")]);
    let seen = seen("auto", aggregated(&[("k3", &inner), ("k4", b"three")]));
    assert_eq!(seen[0].2, inner);
    assert_eq!(
        seen[0].3.as_deref(),
        Some("an aggregated record in an aggregated record")
    );
    assert_eq!((seen.len(), seen[1].3.as_deref()), (2, None));
}

#[test]
fn log_events_of_a_subscription() {
    // Source: as of `Logs`.
    let sent = br#"{"owner":"111111111111","logGroup":"CloudTrail/logs","logStream":"111111111111_CloudTrail/logs_us-east-1",
        "subscriptionFilters":["Destination"],"messageType":"DATA_MESSAGE","logEvents":[
        {"id":"31953106606966983378809025079804211143289615424298221568","timestamp":1432826855000,"message":"{\"eventVersion\":\"1.03\"}"},
        {"id":"31953106606966983378809025079804211143289615424298221569","timestamp":1432826855001,"message":"two\n"}]}"#;
    for decode in ["auto", "cloudwatch-logs", "gzip,cloudwatch-logs"] {
        let decode: Decode = decode.parse().unwrap();
        let mut seen = Vec::new();
        let mut each = |item: &Item<'_>| {
            let event = item.log_event.clone().unwrap();
            seen.push((item.data.to_vec(), event.group.to_owned(), event.at_ms));
            Ok(true)
        };
        decode.items(&record(gzip(sent)), &mut each).unwrap();
        let group = "CloudTrail/logs".to_owned();
        let expected = [
            (
                br#"{"eventVersion":"1.03"}"#.to_vec(),
                group.clone(),
                1_432_826_855_000,
            ),
            (b"two\n".to_vec(), group, 1_432_826_855_001),
        ];
        assert_eq!(seen, expected);
    }
    // Not without being asked: somebody else's JSON may have these members.
    assert_eq!(one("auto", &sent[..]).0, sent);
    let (data, fault) = one("cloudwatch-logs", &b"{}"[..]);
    assert_eq!(data, b"{}");
    assert!(fault.unwrap().starts_with("cloudwatch-logs: "));
}

#[test]
fn what_is_no_encoding_is_refused_with_its_position() {
    let refused = |text: &str| text.parse::<Decode>().unwrap_err().chain().join(": ");
    assert_eq!(
        refused("base64,bzip2"),
        r#""base64,bzip2" is not valid for --decode: at character 8, "bzip2" is not an encoding"#
    );
    assert_eq!(
        refused("cloudwatch-logs,gzip"),
        r#""cloudwatch-logs,gzip" is not valid for --decode: at character 17, nothing can follow cloudwatch-logs"#
    );
    for bad in ["", ",", "gzip,", "auto,gzip", "GZIP"] {
        assert!(bad.parse::<Decode>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_data_is_a_panic_and_none_is_lost(
        start in prop_oneof![Just(vec![]), Just(GZIP.to_vec()), Just(ZSTD.to_vec()), Just(aggregate::MAGIC.to_vec()), Just(b"H4sI".to_vec())],
        data in prop::collection::vec(any::<u8>(), 0..200),
        decode in prop_oneof![Just("auto"), Just("gzip"), Just("zstd"), Just("base64,gzip"), Just("cloudwatch-logs")],
    ) {
        let data = [start, data].concat();
        let seen = seen(decode, data.clone());
        prop_assert!(!seen.is_empty());
        // What could not be decoded at all is passed on.
        if let [(_, None, kept, Some(_))] = seen.as_slice()
            && !decode.contains("base64")
            && !data.starts_with(b"H4sI")
        {
            prop_assert_eq!(kept, &data);
        }
    }

    #[test]
    fn a_message_with_its_checksum_is_not_trusted(message in prop::collection::vec(any::<u8>(), 0..100)) {
        let checksum = Md5::digest(&message);
        let data = [&aggregate::MAGIC[..], &message, &checksum].concat();
        prop_assert!(!seen("auto", data).is_empty());
    }
}
