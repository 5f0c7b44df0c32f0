//! The event for a function, written directly into one buffer without a value tree.
//!
//! Source: "Using Lambda to process records from Amazon Kinesis Data Streams" and "Implementing stateful Kinesis Data
//! Streams processing in Lambda", AWS Lambda developer guide.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::lane::{Item, Window};
use crate::clock::utc;
use crate::kinesis::sequence::DIGITS;
use crate::kinesis::store::StoredRecord;

const START: &[u8] = br#"{"Records":["#;
const KEY: &[u8] = br#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"#;
const NUMBER: &[u8] = br#","sequenceNumber":""#;
const DATA: &[u8] = br#"","data":""#;
const ARRIVAL: &[u8] = br#"","approximateArrivalTimestamp":"#;
const ID: &[u8] = br#"},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":""#;
/// Length of seconds with milliseconds, while they have ten digits.
const TIME: usize = 14;

/// Writes events for one shard of one mapping.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    shard_id: String,
    role: String,
    region: String,
    source_arn: String,
    /// The part after the sequence number in a record's `eventID`.
    tail: Vec<u8>,
}

impl Writer {
    pub(super) fn new(shard_id: &str, role: &str, region: &str, source_arn: &str) -> Self {
        let mut tail = br#"","eventName":"aws:kinesis:record","invokeIdentityArn":"#.to_vec();
        quote(&mut tail, role);
        tail.extend_from_slice(br#","awsRegion":"#);
        quote(&mut tail, region);
        tail.extend_from_slice(br#","eventSourceARN":"#);
        quote(&mut tail, source_arn);
        tail.push(b'}');
        Self {
            shard_id: shard_id.to_owned(),
            role: role.to_owned(),
            region: region.to_owned(),
            source_arn: source_arn.to_owned(),
            tail,
        }
    }

    /// The bytes of a record in an event, with the comma after it.
    pub(super) fn length(&self, record: &StoredRecord) -> usize {
        let fixed = KEY.len() + NUMBER.len() + DATA.len() + ARRIVAL.len() + TIME + ID.len() + 2 * DIGITS;
        let key = quoted_length(record.partition_key());
        fixed + key + record.data.len().div_ceil(3) * 4 + self.shard_id.len() + 1 + self.tail.len() + 1
    }

    /// The bytes of an event without its records. They depend on the state of the window.
    pub(super) fn envelope(&self, window: Option<&Window>) -> usize {
        let around = START.len() + 2;
        window.map_or(around, |window| {
            around + 256 + self.shard_id.len() + self.source_arn.len() + window.state.len()
        })
    }

    /// The event for `items`, with the window if there is one.
    pub(super) fn event(&self, items: &[Item], window: Option<(&Window, FinalInvoke)>) -> Bytes {
        let length: usize = items.iter().map(|item| item.size).sum();
        let mut out = Vec::with_capacity(length + self.envelope(window.map(|(window, _)| window)));
        out.extend_from_slice(START);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.record(&mut out, &item.record);
        }
        out.push(b']');
        if let Some((window, last)) = window {
            self.window(&mut out, window, last);
        }
        out.push(b'}');
        Bytes::from(out)
    }

    fn record(&self, out: &mut Vec<u8>, record: &StoredRecord) {
        out.extend_from_slice(KEY);
        quote(out, record.partition_key());
        out.extend_from_slice(NUMBER);
        let number = out.len();
        record.sequence_number.write_decimal(out);
        out.extend_from_slice(DATA);
        base64_simd::STANDARD.encode_append(&record.data, out);
        out.extend_from_slice(ARRIVAL);
        seconds(out, record.arrival_ms);
        out.extend_from_slice(ID);
        out.extend_from_slice(self.shard_id.as_bytes());
        out.push(b':');
        out.extend_from_within(number..number + DIGITS);
        out.extend_from_slice(&self.tail);
    }

    fn window(&self, out: &mut Vec<u8>, window: &Window, last: FinalInvoke) {
        out.extend_from_slice(br#","window":{"start":"#);
        quote(out, &utc(window.start_ms, "%Y-%m-%dT%H:%M:%SZ"));
        out.extend_from_slice(br#","end":"#);
        quote(out, &utc(window.end_ms, "%Y-%m-%dT%H:%M:%SZ"));
        out.extend_from_slice(br#"},"state":"#);
        out.extend_from_slice(&window.state);
        out.extend_from_slice(br#","shardId":"#);
        quote(out, &self.shard_id);
        out.extend_from_slice(br#","eventSourceARN":"#);
        quote(out, &self.source_arn);
        let (is_final, early) = match last {
            FinalInvoke::No => (false, false),
            FinalInvoke::WindowEnded => (true, false),
            FinalInvoke::Early => (true, true),
        };
        out.extend_from_slice(
            format!(r#","isFinalInvokeForWindow":{is_final},"isWindowTerminatedEarly":{early}"#).as_bytes(),
        );
    }

    /// The fields of a record's event except its data, for filters: those of the record and of its `kinesis` object.
    pub(super) fn metadata(&self, record: &StoredRecord) -> Map<String, Value> {
        let number = record.sequence_number.to_string();
        let kinesis = json!({
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key(),
            "sequenceNumber": number,
            "approximateArrivalTimestamp": record.arrival_ms as f64 / 1000.0,
        });
        let all = json!({
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{}:{number}", self.shard_id),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self.role,
            "awsRegion": self.region,
            "eventSourceARN": self.source_arn,
        });
        let mut map = Map::new();
        for part in [kinesis.clone(), all, json!({"kinesis": kinesis})] {
            if let Value::Object(fields) = part {
                map.extend(fields);
            }
        }
        map
    }
}

/// Whether an event is the final invocation of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FinalInvoke {
    No,
    /// The window has ended.
    WindowEnded,
    /// The state exceeds its limit.
    Early,
}

fn seconds(out: &mut Vec<u8>, ms: i64) {
    let text = format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
    out.extend_from_slice(text.as_bytes());
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn quote(out: &mut Vec<u8>, text: &str) {
    if text.bytes().any(needs_escape) {
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn quoted_length(text: &str) -> usize {
    if !text.bytes().any(needs_escape) {
        return text.len() + 2;
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    quote(&mut out, text);
    out.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::kinesis::sequence::SequenceNumber;

    fn record(key: &str, data: &[u8]) -> StoredRecord {
        StoredRecord {
            sequence_number: SequenceNumber::new(1_700_000_000_000, 6, 1, 1_700_000_000_987),
            arrival_ms: 1_700_000_000_987,
            partition_key: Bytes::copy_from_slice(key.as_bytes()),
            data: Bytes::copy_from_slice(data),
            encrypted: false,
        }
    }

    fn writer() -> Writer {
        let arn = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream";
        Writer::new(
            "shardId-000000000006",
            "arn:aws:iam::123456789012:role/lambda-role",
            "us-east-2",
            arn,
        )
    }

    fn items(records: Vec<StoredRecord>) -> Vec<Item> {
        let item = |record| Item {
            size: writer().length(&record),
            record,
        };
        records.into_iter().map(item).collect()
    }

    #[test]
    fn an_event_has_the_format_of_lambda() {
        let event = writer().event(&items(vec![record("1", b"Hello, this is a test.")]), None);
        insta::assert_snapshot!(String::from_utf8(event.to_vec()).unwrap(), @r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1","sequenceNumber":"49646437577242280888108060144676352661040934474485858402","data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","approximateArrivalTimestamp":1700000000.987},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:49646437577242280888108060144676352661040934474485858402","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}]}"#);
    }

    #[test]
    fn a_window_event_contains_its_state() {
        let window = Window {
            start_ms: 1_607_497_440_000,
            end_ms: 1_607_497_560_000,
            state: Bytes::from_static(br#"{"1":282}"#),
        };
        let event = writer().event(&[], Some((&window, FinalInvoke::Early)));
        insta::assert_snapshot!(String::from_utf8(event.to_vec()).unwrap(), @r#"{"Records":[],"window":{"start":"2020-12-09T07:04:00Z","end":"2020-12-09T07:06:00Z"},"state":{"1":282},"shardId":"shardId-000000000006","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream","isFinalInvokeForWindow":true,"isWindowTerminatedEarly":true}"#);
    }

    proptest! {
        #[test]
        fn lengths_are_exact_and_data_is_unchanged(records in prop::collection::vec((".{0,20}", any::<Vec<u8>>()), 0..5)) {
            let stored: Vec<_> = records.iter().map(|(key, data)| record(key, data)).collect();
            let items = items(stored);
            let event = writer().event(&items, None);
            let length: usize = items.iter().map(|item| item.size).sum();
            prop_assert_eq!(event.len() + usize::from(!items.is_empty()), writer().envelope(None) + length);
            let event: Value = serde_json::from_slice(&event).unwrap();
            for (got, (key, data)) in event["Records"].as_array().unwrap().iter().zip(&records) {
                prop_assert_eq!(got["kinesis"]["partitionKey"].as_str().unwrap(), key);
                let bytes = base64_simd::STANDARD.decode_to_vec(got["kinesis"]["data"].as_str().unwrap()).unwrap();
                prop_assert_eq!(&bytes, data);
            }
        }
    }
}
