//! Objects that describe a record: entries of put-records, records of GetRecords, and records that `tail -o json` wrote.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::key::checked_hash_key;
use super::{DataEncoding, PartitionKey, Record, RecordErrorKind};

/// What the objects of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    PutRecords,
    GetRecords,
    Recording,
}

/// One entry. Source: PutRecordsRequestEntry, Kinesis API reference.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
    /// Why a record in a file of failed records was not acknowledged. It is not sent.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    failure_reason: Option<Cow<'a, str>>,
}

/// A record of an answer. Source: Record, Kinesis API reference.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Answered<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(rename = "SequenceNumber")]
    _sequence_number: IgnoredAny,
    #[serde(default, borrow)]
    approximate_arrival_timestamp: Option<Arrival<'a>>,
    #[serde(default, rename = "EncryptionType")]
    _encryption_type: Option<IgnoredAny>,
}

/// A record of a recording. Members that say where a record was are not needed.
#[derive(Debug, Deserialize)]
struct Recorded<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    explicit_hash_key: Option<String>,
    #[serde(default, borrow)]
    approximate_arrival_timestamp: Option<Arrival<'a>>,
    /// Text, or the object or array that it is the text of (`tail -o json --json-data`).
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    data_base64: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A time as version 1 (seconds) and version 2 of the AWS CLI and `tail` (text) write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Arrival<'a> {
    Seconds(f64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl Arrival<'_> {
    /// Milliseconds since the Unix epoch.
    fn ms(&self) -> Option<i64> {
        match self {
            // From float to integer, `as` saturates.
            Self::Seconds(seconds) => Some((seconds * 1000.0).round() as i64),
            Self::Text(text) => {
                let time = text.parse::<jiff::Timestamp>().ok()?;
                Some(time.as_millisecond())
            }
        }
    }
}

/// What the object `text` is by the names of its members, whatever their values are; `None` for any other value.
pub(super) fn shape_of(text: &[u8]) -> Option<Shape> {
    struct Names;
    impl<'a> Visitor<'a> for Names {
        type Value = Option<Shape>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'a>>(self, mut members: M) -> Result<Self::Value, M::Error> {
            let (mut data, mut key, mut number) = (false, false, false);
            let (mut shard, mut recorded_key, mut recorded_number) = (false, false, false);
            while let Some(name) = members.next_key::<String>()? {
                members.next_value::<IgnoredAny>()?;
                match name.as_str() {
                    "Data" => data = true,
                    "PartitionKey" => key = true,
                    "SequenceNumber" => number = true,
                    "shard_id" => shard = true,
                    "partition_key" => recorded_key = true,
                    "sequence_number" => recorded_number = true,
                    _ => {}
                }
            }
            Ok(match (data && key, number) {
                (true, true) => Some(Shape::GetRecords),
                (true, false) => Some(Shape::PutRecords),
                _ => (shard && recorded_key && recorded_number).then_some(Shape::Recording),
            })
        }
    }
    let mut value = serde_json::Deserializer::from_slice(text);
    value.deserialize_map(Names).ok().flatten()
}

/// A record without its place in the input, and when it arrived at its stream.
pub(super) struct Described {
    pub(super) data: Bytes,
    pub(super) partition_key: PartitionKey,
    pub(super) explicit_hash_key: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub(super) arrival_ms: Option<i64>,
}

/// The record that the object `text` describes.
pub(super) fn parse(
    shape: Shape,
    text: &Bytes,
    encoding: DataEncoding,
) -> Result<Described, RecordErrorKind> {
    match shape {
        Shape::PutRecords => {
            let entry: Entry<'_> = read(shape, text)?;
            Ok(Described {
                data: match encoding {
                    DataEncoding::Base64 => decoded(&entry.data)?,
                    DataEncoding::Plain => shared(text, entry.data),
                },
                partition_key: entry.partition_key.into(),
                explicit_hash_key: entry.explicit_hash_key.map(checked_hash_key).transpose()?,
                arrival_ms: None,
            })
        }
        Shape::GetRecords => {
            let record: Answered<'_> = read(shape, text)?;
            Ok(Described {
                data: decoded(&record.data)?,
                partition_key: record.partition_key.into(),
                explicit_hash_key: None,
                arrival_ms: arrival(record.approximate_arrival_timestamp.as_ref())?,
            })
        }
        Shape::Recording => {
            let record: Recorded<'_> = read(shape, text)?;
            Ok(Described {
                data: match (record.data, record.data_base64) {
                    (Some(data), None) => match data.get().as_bytes().first() {
                        Some(b'"') => shared(text, read::<Text<'_>>(shape, data.get().as_bytes())?.0),
                        Some(b'{' | b'[') => text.slice_ref(data.get().as_bytes()),
                        _ => return Err(RecordErrorKind::NotAnEntry(shape.into(), None)),
                    },
                    (None, Some(data)) => decoded(&data)?,
                    _ => return Err(RecordErrorKind::NotAnEntry(shape.into(), None)),
                },
                partition_key: record.partition_key.into(),
                explicit_hash_key: record.explicit_hash_key.map(checked_hash_key).transpose()?,
                arrival_ms: arrival(record.approximate_arrival_timestamp.as_ref())?,
            })
        }
    }
}

fn read<'a, T: Deserialize<'a>>(shape: Shape, text: &'a [u8]) -> Result<T, RecordErrorKind> {
    serde_json::from_slice(text).map_err(|error| RecordErrorKind::NotAnEntry(shape.into(), Some(error)))
}

fn arrival(time: Option<&Arrival<'_>>) -> Result<Option<i64>, RecordErrorKind> {
    match time {
        None => Ok(None),
        Some(time) => time.ms().map(Some).ok_or(RecordErrorKind::Arrival),
    }
}

fn decoded(data: &str) -> Result<Bytes, RecordErrorKind> {
    base64_simd::STANDARD
        .decode_to_vec(data.as_bytes())
        .map(Bytes::from)
        .map_err(|_| RecordErrorKind::NotBase64)
}

/// `part` of `text`, without a copy where nothing in it was escaped.
fn shared(text: &Bytes, part: Cow<'_, str>) -> Bytes {
    match part {
        Cow::Borrowed("") => Bytes::new(),
        Cow::Borrowed(part) => text.slice_ref(part.as_bytes()),
        Cow::Owned(part) => Bytes::from(part),
    }
}

/// Writes the record as one line of the put-records shape, which [`super::RecordReader`] reads.
pub fn to_entry_json(record: &Record) -> String {
    entry_json(record, None)
}

/// As [`to_entry_json`], with the reason why the record was not acknowledged.
pub fn to_failed_json(record: &Record, reason: &str) -> String {
    entry_json(record, Some(reason))
}

fn entry_json(record: &Record, failure_reason: Option<&str>) -> String {
    let entry = Entry {
        data: Cow::Owned(base64_simd::STANDARD.encode_to_string(&record.data)),
        partition_key: Cow::Borrowed(&record.partition_key),
        explicit_hash_key: record.explicit_hash_key.clone(),
        failure_reason: failure_reason.map(Cow::Borrowed),
    };
    // Serialising strings into memory cannot fail; an empty line would be skipped on reading.
    serde_json::to_string(&entry).unwrap_or_default()
}
