//! The formats of messages about failed records.
//!
//! 1. Lambda's format, of an event source mapping: `KinesisBatchInfo` has the shard and sequence numbers. In a bucket
//!    the object also contains the event. Source: "Retain discarded batch records for a Kinesis Data Streams event
//!    source in Lambda", Lambda developer guide.
//! 2. The format of the bundled handlers: one record with its error, and its data in base64 or its position in the
//!    stream.
//!
//! Both can be wrapped in an SNS notification.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// A parsed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why the records failed: one of Lambda's conditions or the handler's error.
    pub reason: String,
    /// Name or ARN of the function; empty if the message has none.
    pub function: String,
    /// When the records failed, as written in the message.
    pub failed_at: String,
    /// ARN of the stream of the records; empty if the message has none.
    pub stream_arn: String,
    /// The shard of the records; empty if the message has none.
    pub shard_id: String,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// They are in the stream, until its retention period ends.
    Range(Range),
    /// They are in the message.
    Data(Vec<KeptRecord>),
}

/// A record in a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptRecord {
    pub partition_key: String,
    pub data: Bytes,
    /// Empty if the message has none.
    pub sequence_number: String,
    /// Index within an aggregated record, if the record is only this part of it.
    pub sub_sequence: Option<u32>,
    /// Milliseconds since the Unix epoch; 0 if the message has no arrival time.
    pub arrival_ms: i64,
}

/// A range of records in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Sequence number of the first record.
    pub first: String,
    /// Sequence number of the last record.
    pub last: String,
    /// Number of failed records. The range may contain others, which were processed or filtered out.
    pub count: u64,
}

impl DeadLetter {
    /// Number of failed records.
    pub fn count(&self) -> u64 {
        match &self.content {
            Content::Range(range) => range.count,
            Content::Data(records) => records.len() as u64,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfLambda {
    #[serde(default)]
    request_context: RequestContext,
    #[serde(default)]
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo")]
    batch: BatchInfo,
    /// The event as text. Only in a bucket.
    #[serde(default)]
    payload: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext {
    function_arn: String,
    condition: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    #[serde(default = "one")]
    batch_size: u64,
    stream_arn: String,
}

fn one() -> u64 {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct OfHandler {
    #[serde(alias = "errorMessage")]
    error: String,
    error_type: String,
    #[serde(alias = "eventSourceARN")]
    stream_arn: String,
    shard_id: String,
    sequence_number: String,
    sub_sequence_number: Option<u32>,
    approximate_arrival_timestamp: Value,
    partition_key: String,
    #[serde(alias = "function")]
    function_name: String,
    #[serde(alias = "timestamp")]
    failed_at: String,
    data: Option<String>,
}

/// Parses the body of a message, or an object of a bucket.
///
/// # Errors
/// Why it cannot be parsed.
pub fn read(body: &str) -> Result<DeadLetter, String> {
    let value: Value = serde_json::from_str(body).map_err(|error| format!("it is not JSON ({error})"))?;
    // Source: "Amazon SNS message formats", SNS developer guide.
    if value.get("Type").and_then(Value::as_str) == Some("Notification")
        && let Some(inner) = value.get("Message").and_then(Value::as_str)
    {
        return read(inner);
    }
    if value.get("KinesisBatchInfo").is_some() {
        let letter: OfLambda = serde_json::from_value(value)
            .map_err(|error| format!("its KinesisBatchInfo is not as Lambda writes it ({error})"))?;
        return of_lambda(letter);
    }
    if !value.is_object() {
        return Err("it is not a JSON object".to_owned());
    }
    let letter: OfHandler =
        serde_json::from_value(value).map_err(|error| format!("a field is not text ({error})"))?;
    of_handler(letter)
}

fn of_lambda(letter: OfLambda) -> Result<DeadLetter, String> {
    let content = match event_of(&letter.payload) {
        Some(event) => Content::Data(records_of(&event)?),
        None => Content::Range(Range {
            first: number(letter.batch.start_sequence_number)?,
            last: number(letter.batch.end_sequence_number)?,
            count: letter.batch.batch_size,
        }),
    };
    Ok(DeadLetter {
        reason: letter.request_context.condition,
        function: letter.request_context.function_arn,
        failed_at: letter.timestamp,
        stream_arn: letter.batch.stream_arn,
        shard_id: letter.batch.shard_id,
        content,
    })
}

/// Parses the event that Lambda writes into a bucket as JSON text.
fn event_of(payload: &Value) -> Option<Value> {
    match payload {
        Value::String(text) if !text.is_empty() => serde_json::from_str(text).ok(),
        Value::Object(_) => Some(payload.clone()),
        _ => None,
    }
}

fn records_of(event: &Value) -> Result<Vec<KeptRecord>, String> {
    let records = event.get("Records").and_then(Value::as_array);
    let records = records.ok_or("its payload has no Records")?;
    records
        .iter()
        .map(|record| {
            let field = |name: &str| record.get("kinesis").and_then(|kinesis| kinesis.get(name));
            let text = |name: &str| field(name).and_then(Value::as_str);
            let key = text("partitionKey").ok_or("a record of its payload has no partition key")?;
            let data = text("data").ok_or("a record of its payload has no data")?;
            Ok(KeptRecord {
                partition_key: key.to_owned(),
                data: decoded(data)?,
                sequence_number: text("sequenceNumber").unwrap_or_default().to_owned(),
                sub_sequence: None,
                arrival_ms: field("approximateArrivalTimestamp").map_or(0, milliseconds),
            })
        })
        .collect()
}

/// Milliseconds since the Unix epoch: of a number of seconds, or of a time in ISO 8601. 0 for anything else.
fn milliseconds(time: &Value) -> i64 {
    match time {
        Value::Number(seconds) => seconds
            .as_f64()
            .map_or(0, |seconds| (seconds * 1000.0).round() as i64),
        Value::String(text) => text
            .parse::<jiff::Timestamp>()
            .map_or(0, jiff::Timestamp::as_millisecond),
        _ => 0,
    }
}

fn of_handler(letter: OfHandler) -> Result<DeadLetter, String> {
    let pointer = [&letter.stream_arn, &letter.shard_id, &letter.sequence_number];
    let content = match letter.data {
        Some(data) => Content::Data(vec![KeptRecord {
            partition_key: letter.partition_key,
            data: decoded(&data)?,
            sequence_number: letter.sequence_number,
            sub_sequence: letter.sub_sequence_number,
            arrival_ms: milliseconds(&letter.approximate_arrival_timestamp),
        }]),
        None if pointer.iter().all(|part| !part.is_empty()) => {
            let number = number(letter.sequence_number)?;
            Content::Range(Range {
                first: number.clone(),
                last: number,
                count: 1,
            })
        }
        None => {
            return Err(
                "it has neither KinesisBatchInfo, nor data, nor streamArn, shardId and sequenceNumber"
                    .to_owned(),
            );
        }
    };
    Ok(DeadLetter {
        reason: match (letter.error_type.as_str(), letter.error.as_str()) {
            ("", error) => error.to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, error) => format!("{kind}: {error}"),
        },
        function: letter.function_name,
        failed_at: letter.failed_at,
        stream_arn: letter.stream_arn,
        shard_id: letter.shard_id,
        content,
    })
}

fn decoded(base64: &str) -> Result<Bytes, String> {
    let decoded = base64_simd::STANDARD.decode_to_vec(base64.as_bytes());
    decoded
        .map(Bytes::from)
        .map_err(|_| "its data is not base64".to_owned())
}

fn number(text: String) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(text),
        false => Err(format!("{text:?} is not a sequence number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the developer guide.
    const OF_LAMBDA: &str = r#"{
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2019-11-14T00:38:06.021Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000001",
            "startSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
            "endSequenceNumber": "49601189658422359378836298522902373528957594348623495186",
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
            "batchSize": 500,
            "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream"
        }
    }"#;

    #[test]
    fn the_message_of_lambda_points_into_the_stream() {
        let letter = read(OF_LAMBDA).unwrap();
        assert_eq!(
            (letter.reason.as_str(), letter.count()),
            ("RetryAttemptsExhausted", 500)
        );
        assert_eq!(letter.shard_id, "shardId-000000000001");
        let Content::Range(range) = &letter.content else {
            panic!()
        };
        assert!(range.first.ends_with("704722") && range.last.ends_with("495186"));
    }

    #[test]
    fn a_notification_of_sns_is_opened() {
        let wrapped = serde_json::json!({
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": "arn:aws:sns:us-east-2:123456789012:failed",
            "Message": OF_LAMBDA,
            "Timestamp": "2019-11-14T00:38:07.000Z",
        });
        assert_eq!(read(&wrapped.to_string()), read(OF_LAMBDA));
    }

    #[test]
    fn an_object_of_a_bucket_holds_the_records_themselves() {
        let mut object: Value = serde_json::from_str(OF_LAMBDA).unwrap();
        let event = serde_json::json!({"Records": [
            {"kinesis": {"partitionKey": "1", "data": "SGVsbG8=", "sequenceNumber": "7", "approximateArrivalTimestamp": 1_545_084_650.987}},
            {"kinesis": {"partitionKey": "2", "data": "", "sequenceNumber": "8"}},
        ]});
        object["payload"] = event.to_string().into();
        let letter = read(&object.to_string()).unwrap();
        let expected = vec![
            KeptRecord {
                partition_key: "1".to_owned(),
                data: Bytes::from_static(b"Hello"),
                sequence_number: "7".to_owned(),
                sub_sequence: None,
                arrival_ms: 1_545_084_650_987,
            },
            KeptRecord {
                partition_key: "2".to_owned(),
                sequence_number: "8".to_owned(),
                ..KeptRecord::default()
            },
        ];
        assert_eq!(letter.content, Content::Data(expected));
    }

    #[test]
    fn the_message_of_a_handler_holds_data_or_a_place() {
        let with_data = r#"{"error":"expected value at line 1 column 1","errorType":"JSON_DECODE_ERROR",
            "recordId":"a:1","streamArn":"arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "shardId":"shardId-000000000000","sequenceNumber":"7","subSequenceNumber":3,"partitionKey":"u1",
            "approximateArrivalTimestamp":"2026-11-21T10:00:00.000Z","functionName":"retail-event-processor-dev",
            "requestId":"r","failedAt":"2026-11-21T10:00:01.000Z","data":"bm90IGpzb24=","dataBytes":8}"#;
        let letter = read(with_data).unwrap();
        assert_eq!(
            letter.reason,
            "JSON_DECODE_ERROR: expected value at line 1 column 1"
        );
        let data = vec![KeptRecord {
            partition_key: "u1".to_owned(),
            data: Bytes::from_static(b"not json"),
            sequence_number: "7".to_owned(),
            sub_sequence: Some(3),
            arrival_ms: 1_795_255_200_000,
        }];
        assert_eq!(letter.content, Content::Data(data));
        let without = with_data.replace("\"data\":\"bm90IGpzb24=\",", "");
        let range = Range {
            first: "7".to_owned(),
            last: "7".to_owned(),
            count: 1,
        };
        assert_eq!(read(&without).unwrap().content, Content::Range(range));
    }

    #[test]
    fn what_is_no_letter_is_refused_in_words() {
        let refusals = [
            "x",
            "[]",
            "{}",
            r#"{"data":"%%"}"#,
            r#"{"KinesisBatchInfo":{}}"#,
            r#"{"streamArn":"a","shardId":"b","sequenceNumber":"LATEST"}"#,
        ]
        .map(|body| read(body).unwrap_err())
        .join("\n");
        insta::assert_snapshot!(refusals, @r#"
        it is not JSON (expected value at line 1 column 1)
        it is not a JSON object
        it has neither KinesisBatchInfo, nor data, nor streamArn, shardId and sequenceNumber
        its data is not base64
        its KinesisBatchInfo is not as Lambda writes it (missing field `shardId`)
        "LATEST" is not a sequence number
        "#);
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_reading_panic(body in ".{0,60}|[{}\":a-zA-Z0-9,\\[\\]]{0,60}") {
            let _ = read(&body);
        }
    }
}
