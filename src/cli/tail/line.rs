//! A record as it is written: for people, as JSON, as its bytes, or as `--format` says.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::pattern::{Pattern, Place, Separator};
use crate::ui::units::rfc3339;
use crate::ui::{Printer, Style, json, visible};
use domain::consume::{Item, filter};
use domain::record::{RecordingData, RecordingLine, RecordingLogEvent};
use ground::error::Result;

/// The form for people.
#[derive(Debug, Clone, Default)]
pub(super) struct People {
    /// Whether JSON is indented, over several lines.
    pub(super) indent: bool,
    /// What is shown in another colour.
    pub(super) highlight: Vec<filter::Pattern>,
}

/// How records are written.
#[derive(Debug, Clone)]
pub(super) enum LineFormat {
    People(People),
    /// A JSON object a line.
    Json {
        /// Whether data that is a JSON object or array is written as such.
        data: bool,
    },
    /// The data.
    Raw(Separator),
    Pattern(Pattern),
}

impl LineFormat {
    /// Writes to stdout. `several` tells whether records of several streams are written.
    pub(super) fn print(
        &self,
        printer: &Printer,
        item: &Item<'_>,
        place: Place<'_>,
        several: bool,
    ) -> Result<()> {
        match self {
            Self::People(people) => {
                let stream = several.then_some(place.stream);
                printer.out(&for_people(item, people, place.zone, stream, printer.style()))
            }
            Self::Json { data } => {
                let stream = several.then_some(place.stream);
                printer.out(&json_line(item, stream, *data))
            }
            Self::Raw(separator) => match separator.around(item.data.len()) {
                (before, after) if before.is_empty() => printer.out_bytes(&item.data, after),
                (before, after) => printer.out_bytes(&[before.as_slice(), &item.data].concat(), after),
            },
            Self::Pattern(pattern) => {
                let mut bytes = Vec::new();
                pattern.write(&mut bytes, item, place);
                printer.out_bytes(&bytes, b"")
            }
        }
    }

    /// Appends to `out`, which is not shown on a terminal.
    pub(super) fn append(&self, out: &mut Vec<u8>, item: &Item<'_>, place: Place<'_>, several: bool) {
        let stream = several.then_some(place.stream);
        match self {
            Self::People(people) => {
                let line = for_people(item, people, place.zone, stream, &Style::plain());
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            Self::Json { data } => {
                let line = json_line(item, stream, *data);
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            Self::Raw(separator) => {
                let (before, after) = separator.around(item.data.len());
                out.extend_from_slice(&before);
                out.extend_from_slice(&item.data);
                out.extend_from_slice(after);
            }
            Self::Pattern(pattern) => pattern.write(out, item, place),
        }
    }

    /// The extension of files in this format.
    pub(super) fn extension(&self) -> &'static str {
        match self {
            Self::Json { .. } => "ndjson",
            Self::People(_) => "txt",
            Self::Raw(_) | Self::Pattern(_) => "data",
        }
    }
}

/// The JSON form of a record. `as_json`: data that is a JSON object or array is written as such.
fn json_line(item: &Item<'_>, stream: Option<&str>, as_json: bool) -> String {
    let record = item.record;
    // Other values stay text: a string could not be told from text that is no JSON.
    let is_container = |text: &&str| text.trim_start().starts_with(['{', '[']);
    let text = item.text();
    let value = match text.filter(is_container) {
        Some(text) if as_json => one_line(text),
        _ => None,
    };
    let line = RecordingLine {
        stream,
        shard_id: &record.shard_id,
        sequence_number: &record.sequence_number,
        sub_sequence_number: item.sub_sequence_number,
        arrival_ms: record.arrival_ms,
        partition_key: item.partition_key,
        explicit_hash_key: item.explicit_hash_key,
        encryption: record.encryption.as_deref(),
        log_event: item.log_event.as_ref().map(|event| RecordingLogEvent {
            group: event.group,
            stream: event.stream,
            at_ms: event.at_ms,
        }),
        decode_error: item.fault.as_deref(),
        data: match (&value, text) {
            (Some(value), _) => RecordingData::Json(value),
            (None, Some(text)) => RecordingData::Text(text),
            (None, None) => RecordingData::Binary(&item.data),
        },
    };
    line.text()
}

/// `text` as JSON on one line, if it is JSON.
fn one_line(text: &str) -> Option<Cow<'_, str>> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    Some(match value.get().contains(['\n', '\r']) {
        false => Cow::Borrowed(value.get()),
        true => Cow::Owned(json::compact(value.get())),
    })
}

/// Arrival, shard, partition key and data, safe to show on a terminal. Each shard has a colour.
fn for_people(
    item: &Item<'_>,
    people: &People,
    zone: &TimeZone,
    stream: Option<&str>,
    style: &Style,
) -> String {
    let shard = short_shard(&item.record.shard_id);
    let place = match stream {
        Some(stream) => format!("{}/{shard}", visible(stream)),
        None => shard,
    };
    let hue = shard_number(&item.record.shard_id).unwrap_or_default() % Style::HUES as u64;
    let mut head = format!(
        "{}  {}  {}",
        style.dim(&arrival(item.record.arrival_ms, zone)),
        style.hue(usize::try_from(hue).unwrap_or_default(), &place),
        style.bold(&visible(item.partition_key))
    );
    if let Some(event) = &item.log_event {
        head = format!("{head}  {}", style.dim(&visible(event.group)));
    }
    if let Some(fault) = &item.fault {
        head = format!("{head}  {}", style.caution(&format!("({})", visible(fault))));
    }
    // A search that finds something in the middle of a colour would break it.
    let data_style = match people.highlight.is_empty() {
        true => *style,
        false => Style::plain(),
    };
    match item.text() {
        None => format!(
            "{head}  base64:{}",
            base64_simd::STANDARD.encode_to_string(&item.data)
        ),
        Some(text) => match people
            .indent
            .then(|| json::indented(text, "  ", &data_style))
            .flatten()
        {
            Some(lines) => format!("{head}\n{}", people.highlighted(lines, style)),
            // A log message has a line end of its own.
            None if item.log_event.is_some() => {
                let line = json::on_one_line(text.trim_end(), &data_style);
                format!("{head}  {}", people.highlighted(line, style))
            }
            None => {
                let line = json::on_one_line(text, &data_style);
                format!("{head}  {}", people.highlighted(line, style))
            }
        },
    }
}

impl People {
    /// `text` with what the patterns find in another colour.
    fn highlighted(&self, text: String, style: &Style) -> String {
        if self.highlight.is_empty() || !style.has_colour() {
            return text;
        }
        let mut found: Vec<_> = self.highlight.iter().flat_map(|one| one.matches(&text)).collect();
        found.sort_by_key(|range| (range.start, range.end));
        let mut shown = String::with_capacity(text.len() * 2);
        let mut written = 0;
        for range in found {
            let start = range.start.max(written);
            // Patterns on bytes can find a part of a character.
            let (Some(before), Some(part)) =
                (text.get(written..start), text.get(start..range.end.max(start)))
            else {
                continue;
            };
            shown.push_str(before);
            if !part.is_empty() {
                shown.push_str(&style.found(part));
            }
            written = start + part.len();
        }
        shown.push_str(text.get(written..).unwrap_or_default());
        shown
    }
}

/// A time in `zone`, in RFC 3339 to the millisecond.
pub(super) fn arrival(ms: Option<i64>, zone: &TimeZone) -> String {
    let Some(ms) = ms else { return "-".to_owned() };
    match Timestamp::from_millisecond(ms) {
        Ok(time) if *zone != TimeZone::UTC => time
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%dT%H:%M:%S.%3f%:z")
            .to_string(),
        _ => rfc3339(ms),
    }
}

/// `shard-3` for `shardId-000000000003`.
pub(super) fn short_shard(id: &str) -> String {
    shard_number(id).map_or_else(|| visible(id), |number| format!("shard-{number}"))
}

/// 3 for `shardId-000000000003`.
pub(super) fn shard_number(id: &str) -> Option<u64> {
    id.strip_prefix("shardId-")
        .and_then(|digits| digits.parse::<u64>().ok())
}

#[cfg(test)]
mod tests;
