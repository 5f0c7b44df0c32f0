//! PutRecords and GetRecords in CBOR, read and written without a value tree. Data is borrowed from the body.
//!
//! Only the plain form that clients write is read here. Anything else, valid or not, is left to the general decoder, which
//! has the messages.

use std::borrow::Cow;
use std::ops::Range;

use minicbor::Decoder;
use minicbor::data::Type;

use super::{ChildShard, GetRecords, PutEntry, PutRecords, PutResult};
use crate::kinesis::sequence::DIGITS;
use crate::kinesis::store::StoredRecord;

/// Major types. Source: RFC 8949, section 3.1.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// The tag of a time since the epoch.
const EPOCH: u64 = 1;
/// Approximate bytes of a record's members without key and data.
const AROUND: usize = 160;

/// `None` if the body has another form.
pub fn parse_put_records(body: &[u8]) -> Option<PutRecords<'_>> {
    let mut request = PutRecords {
        blob: Cow::Borrowed(body),
        ..PutRecords::default()
    };
    members(&mut Decoder::new(body), |decoder, name| match name {
        "StreamName" => once(&mut request.stream_name, text(decoder)?),
        "StreamARN" => once(&mut request.stream_arn, text(decoder)?),
        "DryRun" => once(&mut request.dry_run, decoder.bool().ok()?),
        "Records" => once(&mut request.records, entries(decoder)?),
        _ => decoder.skip().ok(),
    })?;
    Some(request)
}

fn entries<'b>(decoder: &mut Decoder<'b>) -> Option<Vec<PutEntry<'b>>> {
    let mut left = decoder.array().ok()?;
    let mut entries = Vec::new();
    while more(decoder, &mut left)? {
        let mut entry = PutEntry::default();
        members(decoder, |decoder, name| match name {
            "Data" => once(&mut entry.data, bytes(decoder)?),
            "PartitionKey" => once(&mut entry.partition_key, text(decoder)?),
            "ExplicitHashKey" => once(&mut entry.explicit_hash_key, text(decoder)?),
            _ => decoder.skip().ok(),
        })?;
        entries.push(entry);
    }
    Some(entries)
}

/// Reads a map; `member` reads the value of a member.
fn members<'b>(
    decoder: &mut Decoder<'b>,
    mut member: impl FnMut(&mut Decoder<'b>, &'b str) -> Option<()>,
) -> Option<()> {
    let mut left = decoder.map().ok()?;
    while more(decoder, &mut left)? {
        let name = decoder.str().ok()?;
        member(decoder, name)?;
    }
    Some(())
}

/// Whether an array or a map goes on. `left` is `None` for one of indefinite length.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Option<bool> {
    match left {
        Some(0) => Some(false),
        Some(count) => {
            *count -= 1;
            Some(true)
        }
        None if decoder.datatype().ok()? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Some(false)
        }
        None => Some(true),
    }
}

/// The general decoder refuses a member that occurs twice.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn text<'b>(decoder: &mut Decoder<'b>) -> Option<Cow<'b, str>> {
    decoder.str().ok().map(Cow::Borrowed)
}

/// Where the bytes are in the body.
fn bytes(decoder: &mut Decoder<'_>) -> Option<Range<usize>> {
    let length = decoder.bytes().ok()?.len();
    let end = decoder.position();
    Some(end - length..end)
}

/// Appends the answer of PutRecords, with the members in the order of their names in JSON.
pub fn write_put_records(out: &mut Vec<u8>, results: &[PutResult<'_>], encrypted: bool) {
    let is_refused = |result: &&PutResult<'_>| matches!(result, PutResult::Refused { .. });
    let refused = results.iter().filter(is_refused).count();
    out.reserve(64 + results.len() * (DIGITS + 64));
    head(out, MAP, 2 + u64::from(encrypted));
    string(out, "FailedRecordCount");
    head(out, UNSIGNED, refused as u64);
    string(out, "Records");
    head(out, ARRAY, results.len() as u64);
    for result in results {
        head(out, MAP, 2);
        match result {
            PutResult::Stored {
                sequence_number,
                shard_id,
            } => {
                string(out, "SequenceNumber");
                head(out, TEXT, DIGITS as u64);
                sequence_number.write_decimal(out);
                string(out, "ShardId");
                string(out, shard_id);
            }
            PutResult::Refused { code, message } => {
                string(out, "ErrorCode");
                string(out, code);
                string(out, "ErrorMessage");
                string(out, message);
            }
        }
    }
    encryption(out, encrypted);
}

/// Appends the answer of GetRecords.
pub fn write_get_records(out: &mut Vec<u8>, answer: &GetRecords<'_>) {
    let size = |record: &StoredRecord| AROUND + record.partition_key.len() + record.data.len();
    out.reserve(AROUND + answer.records.iter().map(size).sum::<usize>());
    let iterator = answer.next_shard_iterator;
    let has_children = !answer.child_shards.is_empty();
    head(
        out,
        MAP,
        2 + u64::from(iterator.is_some()) + u64::from(has_children),
    );
    string(out, "MillisBehindLatest");
    head(out, UNSIGNED, answer.millis_behind_latest);
    if let Some(iterator) = iterator {
        string(out, "NextShardIterator");
        string(out, iterator);
    }
    string(out, "Records");
    head(out, ARRAY, answer.records.len() as u64);
    answer.records.iter().for_each(|stored| record(out, stored));
    if has_children {
        string(out, "ChildShards");
        head(out, ARRAY, answer.child_shards.len() as u64);
        answer
            .child_shards
            .iter()
            .for_each(|child| child_shard(out, child));
    }
}

fn record(out: &mut Vec<u8>, record: &StoredRecord) {
    // A stream that distributes records itself takes them without a key.
    let has_key = !record.partition_key.is_empty();
    head(out, MAP, 3 + u64::from(has_key) + u64::from(record.encrypted));
    string(out, "SequenceNumber");
    head(out, TEXT, DIGITS as u64);
    record.sequence_number.write_decimal(out);
    string(out, "ApproximateArrivalTimestamp");
    head(out, TAG, EPOCH);
    match record.arrival_ms {
        ms @ 0.. => head(out, UNSIGNED, ms.unsigned_abs()),
        ms => head(out, NEGATIVE, ms.unsigned_abs() - 1),
    }
    string(out, "Data");
    head(out, BYTES, record.data.len() as u64);
    out.extend_from_slice(&record.data);
    if has_key {
        string(out, "PartitionKey");
        string(out, record.partition_key());
    }
    encryption(out, record.encrypted);
}

fn child_shard(out: &mut Vec<u8>, child: &ChildShard<'_>) {
    head(out, MAP, 3);
    string(out, "ShardId");
    string(out, child.shard_id);
    string(out, "ParentShards");
    head(out, ARRAY, child.parent_shards.len() as u64);
    child.parent_shards.iter().for_each(|parent| string(out, parent));
    string(out, "HashKeyRange");
    head(out, MAP, 2);
    let (start, end) = child.hash_key_range;
    string(out, "StartingHashKey");
    string(out, &start.to_string());
    string(out, "EndingHashKey");
    string(out, &end.to_string());
}

fn encryption(out: &mut Vec<u8>, encrypted: bool) {
    if encrypted {
        string(out, "EncryptionType");
        string(out, "KMS");
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The head of an item: its major type, and its value or length.
fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..24 => out.push(major | value as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, value as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}
