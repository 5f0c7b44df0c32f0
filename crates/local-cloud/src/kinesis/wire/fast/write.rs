//! Writes answers directly into the response buffer.

use super::{ChildShard, GetRecords, PutResult};
use crate::kinesis::sequence::{DIGITS, SequenceNumber};
use crate::kinesis::store::StoredRecord;

/// Approximate bytes of a record's members without key and data.
const AROUND: usize = 192;

/// Appends the answer of PutRecords. `encrypted` adds `"EncryptionType":"KMS"`.
pub fn put_records(out: &mut Vec<u8>, results: &[PutResult<'_>], encrypted: bool) {
    let refused = results
        .iter()
        .filter(|result| matches!(result, PutResult::Refused { .. }))
        .count();
    out.reserve(AROUND + results.len() * (DIGITS + 64));
    push(out, r#"{"FailedRecordCount":"#);
    number(out, refused as u64);
    push(out, r#","Records":["#);
    list(out, results, |out, result| match result {
        PutResult::Stored {
            sequence_number,
            shard_id,
        } => {
            push(out, r#"{"SequenceNumber":""#);
            sequence_number.write_decimal(out);
            push(out, r#"","ShardId":"#);
            text(out, shard_id.as_bytes());
            out.push(b'}');
        }
        PutResult::Refused { code, message } => {
            push(out, r#"{"ErrorCode":"#);
            text(out, code.as_bytes());
            push(out, r#","ErrorMessage":"#);
            text(out, message.as_bytes());
            out.push(b'}');
        }
    });
    out.push(b']');
    encryption(out, encrypted);
    out.push(b'}');
}

/// Appends the answer of PutRecord. `encrypted` adds `"EncryptionType":"KMS"`.
pub fn put_record(out: &mut Vec<u8>, sequence_number: SequenceNumber, shard_id: &str, encrypted: bool) {
    push(out, r#"{"SequenceNumber":""#);
    sequence_number.write_decimal(out);
    push(out, r#"","ShardId":"#);
    text(out, shard_id.as_bytes());
    encryption(out, encrypted);
    out.push(b'}');
}

/// Appends the answer of GetRecords. A record that arrived while the stream was encrypted has
/// `"EncryptionType":"KMS"`. AWS omits the member for other records.
pub fn get_records(out: &mut Vec<u8>, answer: &GetRecords<'_>) {
    let size =
        |record: &StoredRecord| AROUND + record.partition_key.len() + record.data.len().div_ceil(3) * 4;
    out.reserve(AROUND + answer.records.iter().map(size).sum::<usize>());
    push(out, r#"{"MillisBehindLatest":"#);
    number(out, answer.millis_behind_latest);
    if let Some(iterator) = answer.next_shard_iterator {
        push(out, r#","NextShardIterator":"#);
        text(out, iterator.as_bytes());
    }
    push(out, r#","Records":["#);
    list(out, answer.records, record);
    out.push(b']');
    if !answer.child_shards.is_empty() {
        push(out, r#","ChildShards":["#);
        list(out, answer.child_shards, child_shard);
        out.push(b']');
    }
    out.push(b'}');
}

fn record(out: &mut Vec<u8>, record: &StoredRecord) {
    push(out, r#"{"SequenceNumber":""#);
    record.sequence_number.write_decimal(out);
    push(out, r#"","ApproximateArrivalTimestamp":"#);
    seconds(out, record.arrival_ms);
    push(out, r#","Data":""#);
    base64_simd::STANDARD.encode_append(&record.data, out);
    push(out, r#"","PartitionKey":"#);
    text(out, &record.partition_key);
    encryption(out, record.encrypted);
    out.push(b'}');
}

fn child_shard(out: &mut Vec<u8>, child: &ChildShard<'_>) {
    push(out, r#"{"ShardId":"#);
    text(out, child.shard_id.as_bytes());
    push(out, r#","ParentShards":["#);
    list(out, child.parent_shards, |out, parent| {
        text(out, parent.as_bytes())
    });
    let (start, end) = child.hash_key_range;
    let range = format!(r#"],"HashKeyRange":{{"StartingHashKey":"{start}","EndingHashKey":"{end}"}}}}"#);
    push(out, &range);
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

fn encryption(out: &mut Vec<u8>, encrypted: bool) {
    if encrypted {
        push(out, r#","EncryptionType":"KMS""#);
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// A JSON string of UTF-8 bytes.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = rest
        .iter()
        .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
    {
        let byte = rest[at];
        out.extend_from_slice(&rest[..at]);
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => {
                push(out, r"\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Seconds since the Unix epoch with three decimals, the JSON protocol's timestamp format.
fn seconds(out: &mut Vec<u8>, milliseconds: i64) {
    if milliseconds < 0 {
        out.push(b'-');
    }
    let milliseconds = milliseconds.unsigned_abs();
    number(out, milliseconds / 1000);
    let fraction = milliseconds % 1000;
    out.push(b'.');
    out.extend([100, 10, 1].map(|place| b'0' + (fraction / place % 10) as u8));
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
