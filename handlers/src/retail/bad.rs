//! The message about an event that cannot be stored. It has all that is needed to read, fix and replay the event.

use serde::Serialize;

use crate::clock::rfc3339_ms;
use crate::deliver::MESSAGE_BYTES;
use crate::event::Entry;
use crate::invalid::Invalid;

/// The message body. Field names are part of the contract with `streamctl dlq`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    /// One sentence.
    error: &'a str,
    /// JSON_DECODE_ERROR, MISSING_FIELD, INVALID_FIELD or PROCESSING_ERROR.
    error_type: &'static str,
    /// The same for the same event. If Lambda delivers a batch again, its events may be queued again.
    record_id: &'a str,
    stream_arn: &'a str,
    shard_id: &'a str,
    sequence_number: &'a str,
    /// Index of the event within an aggregated record.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_sequence_number: Option<u32>,
    partition_key: &'a str,
    approximate_arrival_timestamp: String,
    function_name: &'a str,
    request_id: &'a str,
    failed_at: String,
    /// The event's bytes in base64. Left out if the message would be too large for SQS. Then they can be read from the
    /// stream at shard and sequence number, until they expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// Size of the event in bytes.
    data_bytes: usize,
}

/// The body of the message about `entry`.
pub fn message(
    entry: &Entry<'_>,
    invalid: &Invalid,
    function: &str,
    request_id: &str,
    now_ms: i64,
) -> String {
    let bytes = entry.bytes().unwrap_or_default();
    let record_id = entry.id();
    // With more data than this, the message cannot fit.
    let fits = bytes.len() < MESSAGE_BYTES * 3 / 4;
    let mut message = Message {
        error: &invalid.message,
        error_type: invalid.kind.as_str(),
        record_id: &record_id,
        stream_arn: &entry.record.stream_arn,
        shard_id: entry.record.shard_id(),
        sequence_number: &entry.record.sequence_number,
        sub_sequence_number: entry.sub_sequence,
        partition_key: &entry.partition_key,
        approximate_arrival_timestamp: rfc3339_ms(entry.record.arrival_ms),
        function_name: function,
        request_id,
        failed_at: rfc3339_ms(now_ms),
        data: fits.then(|| base64_simd::STANDARD.encode_to_string(bytes)),
        data_bytes: bytes.len(),
    };
    let body = text(&message);
    if body.len() <= MESSAGE_BYTES {
        return body;
    }
    message.data = None;
    text(&message)
}

/// JSON in ASCII: SQS rejects some characters that a partition key may contain.
fn text(message: &Message<'_>) -> String {
    // Only strings and numbers: this cannot fail.
    let json = serde_json::to_string(message).unwrap_or_default();
    if json.is_ascii() {
        return json;
    }
    let mut ascii = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}
