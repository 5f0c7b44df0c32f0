//! Reads and writes entries of the AWS CLI's put-records shape.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Record, RecordErrorKind};

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
}

/// Whether `text` is an object with only the members of an entry.
pub(super) fn is_entry(text: &[u8]) -> bool {
    serde_json::from_slice::<Entry<'_>>(text).is_ok()
}

/// The record that the entry `text` describes.
pub(super) fn parse(text: &str, number: u64, line: u64) -> Result<Record, RecordErrorKind> {
    let entry: Entry<'_> = serde_json::from_str(text).map_err(|e| RecordErrorKind::NotAnEntry(Some(e)))?;
    let data = base64_simd::STANDARD
        .decode_to_vec(entry.data.as_bytes())
        .map_err(|_| RecordErrorKind::NotBase64)?;
    let hash_key = entry.explicit_hash_key.as_deref();
    // u128 also parses "+1" and "007", which Kinesis refuses.
    let refused = |key: &str| {
        key.parse::<u128>().is_err() || key.starts_with('+') || (key.len() > 1 && key.starts_with('0'))
    };
    if hash_key.is_some_and(refused) {
        return Err(RecordErrorKind::HashKey);
    }
    Ok(Record {
        data: Bytes::from(data),
        partition_key: entry.partition_key.into_owned(),
        explicit_hash_key: entry.explicit_hash_key,
        has_random_key: false,
        number,
        line,
    })
}

/// Writes the record as one line of the put-records shape, which [`super::RecordReader`] reads.
pub fn to_entry_json(record: &Record) -> String {
    let entry = Entry {
        data: Cow::Owned(base64_simd::STANDARD.encode_to_string(&record.data)),
        partition_key: Cow::Borrowed(&record.partition_key),
        explicit_hash_key: record.explicit_hash_key.clone(),
    };
    // Serialising strings into memory cannot fail; an empty line would be skipped on reading.
    serde_json::to_string(&entry).unwrap_or_default()
}
