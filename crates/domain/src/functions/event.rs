//! Lambda's event for records of a Kinesis stream, byte for byte as an event source mapping sends it.
//!
//! Source: "Process Amazon Kinesis Data Streams records with Lambda", Lambda developer guide.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use ground::error::{Error, Result};

/// Largest payload of a synchronous invocation, in bytes. Source: Invoke, `Payload`, Lambda API reference.
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;
/// Largest payload of an asynchronous invocation, in bytes. Source: as above.
pub const MAX_ASYNC_PAYLOAD: usize = 1024 * 1024;

/// Fields that all records of an event share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub stream_arn: String,
    /// ARN of the function's execution role.
    pub role_arn: String,
    pub region: String,
}

/// One record of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// The full shard id.
    pub shard_id: &'a str,
    pub sequence_number: &'a str,
    /// Index within an aggregated record, if the record is only this part of it.
    pub sub_sequence: Option<u32>,
    pub partition_key: &'a str,
    /// When Kinesis received the record, in milliseconds since the Unix epoch.
    pub arrival_ms: i64,
    pub data: &'a [u8],
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "Records")]
    records: Vec<Wire<'a>>,
}

#[derive(Serialize)]
struct Wire<'a> {
    kinesis: WireKinesis<'a>,
    #[serde(rename = "eventSource")]
    event_source: &'static str,
    #[serde(rename = "eventVersion")]
    event_version: &'static str,
    #[serde(rename = "eventID")]
    event_id: String,
    #[serde(rename = "eventName")]
    event_name: &'static str,
    #[serde(rename = "invokeIdentityArn")]
    invoke_identity_arn: &'a str,
    #[serde(rename = "awsRegion")]
    aws_region: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireKinesis<'a> {
    kinesis_schema_version: &'static str,
    partition_key: &'a str,
    sequence_number: &'a str,
    data: String,
    approximate_arrival_timestamp: Box<RawValue>,
}

/// The event for `records`, which are from one shard and in its order.
///
/// # Errors
/// If the event cannot be serialized. Records alone never cause this.
pub fn event<'a>(source: &Source, records: impl IntoIterator<Item = EventRecord<'a>>) -> Result<Vec<u8>> {
    let records = records
        .into_iter()
        .map(|record| wire(source, &record))
        .collect::<Result<Vec<_>>>()?;
    serde_json::to_vec(&Event { records }).map_err(unwritten)
}

fn wire<'a>(source: &'a Source, record: &EventRecord<'a>) -> Result<Wire<'a>> {
    Ok(Wire {
        kinesis: WireKinesis {
            kinesis_schema_version: "1.0",
            partition_key: record.partition_key,
            sequence_number: record.sequence_number,
            data: base64_simd::STANDARD.encode_to_string(record.data),
            approximate_arrival_timestamp: seconds(record.arrival_ms)?,
        },
        event_source: "aws:kinesis",
        event_version: "1.0",
        event_id: match record.sub_sequence {
            None => format!("{}:{}", record.shard_id, record.sequence_number),
            // The bundled handlers name a part in this way.
            Some(sub) => format!("{}:{}/{sub}", record.shard_id, record.sequence_number),
        },
        event_name: "aws:kinesis:record",
        invoke_identity_arn: &source.role_arn,
        aws_region: &source.region,
        event_source_arn: &source.stream_arn,
    })
}

/// The fields of a record's event except its data, for filters: those of the record and of its `kinesis` object.
///
/// # Errors
/// If the event cannot be serialized. Records alone never cause this.
pub fn metadata(source: &Source, record: &EventRecord<'_>) -> Result<Map<String, Value>> {
    let record = EventRecord { data: b"", ..*record };
    let mut fields = match serde_json::to_value(wire(source, &record)?).map_err(unwritten)? {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if let Some(Value::Object(kinesis)) = fields.get_mut("kinesis") {
        kinesis.remove("data");
        let kinesis = kinesis.clone();
        fields.extend(kinesis);
    }
    Ok(fields)
}

/// Estimated size of one record in an event, in bytes. Used to keep an event below [`MAX_PAYLOAD`].
pub fn weight(source: &Source, data: usize, partition_key: usize) -> usize {
    // Names, punctuation, the sequence number twice, the shard id. Characters of a key may be escaped.
    data.div_ceil(3) * 4 + partition_key * 6 + source.stream_arn.len() + source.role_arn.len() + 512
}

/// Seconds with milliseconds, as an exact decimal number.
fn seconds(ms: i64) -> Result<Box<RawValue>> {
    let text = format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
    RawValue::from_string(text).map_err(unwritten)
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::failed("could not write the event").cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_that_of_the_developer_guide() {
        let source = Source {
            stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/lambda-role".to_owned(),
            region: "us-east-2".to_owned(),
        };
        let number = "49590338271490256608559692538361571095921575989136588898";
        let record = EventRecord {
            shard_id: "shardId-000000000006",
            sequence_number: number,
            sub_sequence: None,
            partition_key: "1",
            arrival_ms: 1_545_084_650_987,
            data: b"Hello, this is a test.",
        };
        let event: Vec<u8> = event(&source, [record]).unwrap();
        let pretty: &RawValue = serde_json::from_slice(&event).unwrap();
        let expected = r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1","sequenceNumber":"49590338271490256608559692538361571095921575989136588898","data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}]}"#;
        assert_eq!(pretty.get(), expected);
        assert!(event.len() <= weight(&source, record.data.len(), 1));
        let metadata = metadata(&source, &record).unwrap();
        assert_eq!(metadata["awsRegion"], "us-east-2");
        assert_eq!(metadata["partitionKey"], "1");
        assert_eq!(
            metadata["kinesis"]["approximateArrivalTimestamp"],
            1_545_084_650.987
        );
        assert!(!metadata.contains_key("data") && metadata["kinesis"].get("data").is_none());
    }

    #[test]
    fn arrival_is_in_seconds_with_three_decimals() {
        let shown = |ms| seconds(ms).unwrap().get().to_owned();
        assert_eq!(shown(1_607_497_475_000), "1607497475.000");
        assert_eq!(shown(7), "0.007");
    }
}
