//! A record as a line of output.

use std::borrow::Cow;

use serde::Serialize;

use crate::ui::units::rfc3339;
use crate::ui::{Printer, visible};
use domain::consume::TailRecord;
use ground::error::Result;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// For people.
    People,
    /// A JSON object a line.
    Json,
    /// The data and a line end.
    Raw,
}

impl LineFormat {
    /// `stream` is its stream, if several are read.
    pub(super) fn write(self, printer: &Printer, stream: Option<&str>, record: &TailRecord) -> Result<()> {
        match self {
            Self::Raw => printer.out_bytes(&record.data, b"\n"),
            Self::Json => printer.ndjson(&JsonLine {
                stream,
                ..JsonLine::new(record)
            }),
            Self::People => {
                let [arrival, shard, key, data] = fields(record);
                let style = printer.style();
                let place = match stream {
                    Some(stream) => format!("{}/{shard}", visible(stream)),
                    None => shard,
                };
                printer.out(&format!(
                    "{}  {}  {key}  {data}",
                    style.dim(&arrival),
                    style.dim(&place)
                ))
            }
        }
    }
}

/// The JSON form of a record, a stable contract with scripts.
#[derive(Debug, Serialize)]
struct JsonLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    shard_id: &'a str,
    sequence_number: &'a str,
    approximate_arrival_timestamp: Option<String>,
    partition_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl<'a> JsonLine<'a> {
    fn new(record: &'a TailRecord) -> Self {
        let text = std::str::from_utf8(&record.data).ok();
        Self {
            stream: None,
            shard_id: &record.shard_id,
            sequence_number: &record.sequence_number,
            approximate_arrival_timestamp: record.arrival_ms.map(rfc3339),
            partition_key: &record.partition_key,
            encryption_type: record.encryption.as_deref(),
            data: text,
            data_base64: match text {
                Some(_) => None,
                None => Some(base64_simd::STANDARD.encode_to_string(&record.data)),
            },
        }
    }
}

/// Arrival, shard, partition key and data, safe to show on a terminal.
fn fields(record: &TailRecord) -> [String; 4] {
    let data = match std::str::from_utf8(&record.data) {
        Ok(text) => visible(&on_one_line(text)),
        Err(_) => format!("base64:{}", base64_simd::STANDARD.encode_to_string(&record.data)),
    };
    [
        record.arrival_ms.map_or_else(|| "-".to_owned(), rfc3339),
        short_shard(&record.shard_id),
        visible(&record.partition_key),
        data,
    ]
}

/// `shard-3` for `shardId-000000000003`.
fn short_shard(id: &str) -> String {
    let number = id
        .strip_prefix("shardId-")
        .and_then(|digits| digits.parse::<u64>().ok());
    number.map_or_else(|| visible(id), |number| format!("shard-{number}"))
}

/// Removes line ends and indents of pretty-printed JSON; returns any other text unchanged.
fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') || serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    let mut in_string = false;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        line.push(c);
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests;
