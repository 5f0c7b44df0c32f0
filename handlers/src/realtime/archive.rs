//! Objects with the raw data: one for each batch and hour of arrival, because many small objects are expensive.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};

use crate::clock::{hour_path, rfc3339_ms};
use crate::event::{Entry, span};
use crate::json;
use crate::store::Object;

/// An object to write, and the indexes of its records in the batch.
pub(super) struct Archive {
    pub(super) object: Object,
    pub(super) records: Vec<usize>,
}

/// The objects for `entries`, which are JSON objects in the order of the stream. A batch that is delivered again has
/// the same keys. If it is split differently, keys differ, and readers can find duplicates by `record_id`.
pub(super) fn objects(entries: &[&Entry<'_>], now_ms: i64) -> Vec<Archive> {
    let mut hours = BTreeMap::<String, Vec<&Entry<'_>>>::new();
    for entry in entries {
        hours
            .entry(hour_path(entry.record.arrival_ms))
            .or_default()
            .push(entry);
    }
    let processed_at = rfc3339_ms(now_ms);
    let archive = |(hour, entries): (String, Vec<&Entry<'_>>)| Archive {
        object: Object {
            key: format!("raw/{hour}/{}.ndjson.gz", span(&entries)),
            body: compressed(&lines(&entries, &processed_at)),
            // No content encoding: clients would decompress the file but keep its name.
            content_type: "application/gzip",
        },
        records: entries.iter().map(|entry| entry.index).collect(),
    };
    hours.into_iter().map(archive).collect()
}

fn lines(entries: &[&Entry<'_>], processed_at: &str) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for entry in entries {
        line.clear();
        line.push_str("{\"timestamp\":\"");
        line.push_str(&rfc3339_ms(entry.record.arrival_ms));
        line.push_str("\",\"partition_key\":");
        json::write_text(&entry.partition_key, &mut line);
        line.push_str(",\"data\":");
        lines.extend_from_slice(line.as_bytes());
        // In valid JSON, line breaks occur only between tokens, so a space can replace them.
        let data = entry.bytes().unwrap_or_default();
        lines.extend(data.iter().map(|byte| {
            if matches!(byte, b'\n' | b'\r') {
                b' '
            } else {
                *byte
            }
        }));
        line.clear();
        line.push_str(",\"processed_at\":\"");
        line.push_str(processed_at);
        line.push_str("\",\"record_id\":");
        json::write_text(&entry.id(), &mut line);
        line.push_str("}\n");
        lines.extend_from_slice(line.as_bytes());
    }
    lines
}

/// Gzip without a timestamp, so that the same lines give the same bytes.
fn compressed(lines: &[u8]) -> Bytes {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(4));
    // Writing to memory does not fail.
    let written = encoder.write_all(lines).and_then(|()| encoder.finish());
    Bytes::from(written.unwrap_or_default())
}
