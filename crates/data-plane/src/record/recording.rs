//! The line of JSON that `tail -o json` writes for a record, and that [`super`] reads as a recording. A stable contract with
//! scripts.
//!
//! It is written in one pass: a tree or a serializer would cost more than all else that is done for a record.

use ground::unicode::is_harmful;
use jiff::Timestamp;
use jiff::tz::Offset;

/// A record as a line.
#[derive(Debug, Clone, Copy)]
pub struct RecordingLine<'a> {
    /// Only where records of several streams are written.
    pub stream: Option<&'a str>,
    pub shard_id: &'a str,
    pub sequence_number: &'a str,
    /// Of a user record in an aggregated record.
    pub sub_sequence_number: Option<usize>,
    /// Milliseconds since the Unix epoch.
    pub arrival_ms: Option<i64>,
    pub partition_key: &'a str,
    /// Of a user record.
    pub explicit_hash_key: Option<&'a str>,
    /// `KMS` where the record is encrypted at rest.
    pub encryption: Option<&'a str>,
    pub log_event: Option<RecordingLogEvent<'a>>,
    /// Why the data could not be decoded.
    pub decode_error: Option<&'a str>,
    pub data: RecordingData<'a>,
}

/// Where a log event comes from.
#[derive(Debug, Clone, Copy)]
pub struct RecordingLogEvent<'a> {
    pub group: &'a str,
    pub stream: &'a str,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// The data of a record.
#[derive(Debug, Clone, Copy)]
pub enum RecordingData<'a> {
    Text(&'a str),
    /// A JSON value on one line, which is written as it is.
    Json(&'a str),
    Binary(&'a [u8]),
}

impl<'a> RecordingData<'a> {
    /// Text if it is UTF-8.
    pub fn of(data: &'a [u8]) -> Self {
        std::str::from_utf8(data).map_or(Self::Binary(data), Self::Text)
    }
}

/// The members and the digits around keys and data, in bytes.
const AROUND: usize = 288;

impl RecordingLine<'_> {
    /// The line, without its end.
    pub fn text(&self) -> String {
        let data = match self.data {
            RecordingData::Text(text) | RecordingData::Json(text) => text.len() + text.len() / 4,
            RecordingData::Binary(bytes) => bytes.len().div_ceil(3) * 4,
        };
        let mut line = String::with_capacity(AROUND + self.partition_key.len() + data);
        self.write(&mut line);
        line
    }

    /// Appends the line, without its end.
    pub fn write(&self, out: &mut String) {
        out.push('{');
        if let Some(stream) = self.stream {
            out.push_str("\"stream\":");
            quote(out, stream);
            out.push(',');
        }
        out.push_str("\"shard_id\":");
        quote(out, self.shard_id);
        text_member(out, "sequence_number", Some(self.sequence_number));
        if let Some(number) = self.sub_sequence_number {
            out.push_str(",\"sub_sequence_number\":");
            out.push_str(&number.to_string());
        }
        match self.arrival_ms {
            None => out.push_str(",\"approximate_arrival_timestamp\":null"),
            Some(ms) => time_member(out, "approximate_arrival_timestamp", ms),
        }
        text_member(out, "partition_key", Some(self.partition_key));
        text_member(out, "explicit_hash_key", self.explicit_hash_key);
        text_member(out, "encryption_type", self.encryption);
        if let Some(event) = self.log_event {
            text_member(out, "log_group", Some(event.group));
            text_member(out, "log_stream", Some(event.stream));
            time_member(out, "log_timestamp", event.at_ms);
        }
        text_member(out, "decode_error", self.decode_error);
        self.data.write(out);
        out.push('}');
    }
}

impl RecordingData<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => text_member(out, "data", Some(text)),
            Self::Json(value) => {
                out.push_str(",\"data\":");
                escape(out, value, &HARMFUL);
            }
            Self::Binary(bytes) => {
                out.push_str(",\"data_base64\":\"");
                base64_simd::STANDARD.encode_append(bytes, out);
                out.push('"');
            }
        }
    }
}

fn text_member(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        member(out, name);
        quote(out, value);
    }
}

fn time_member(out: &mut String, name: &str, ms: i64) {
    member(out, name);
    out.push('"');
    time(out, ms);
    out.push('"');
}

fn member(out: &mut String, name: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
}

/// A JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text, &ESCAPED);
    out.push('"');
}

/// Appends `text`, with escapes of JSON where characters need them. `stops` has the first bytes of all such characters.
fn escape(out: &mut String, text: &str, stops: &[bool; 256]) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| stops[usize::from(byte)]) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(c) if is_harmful(c) => unicode_escape(out, c),
            Some(c) => out.push(c),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// The escape of a character of the basic multilingual plane.
fn unicode_escape(out: &mut String, c: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from(HEX[(u32::from(c) >> shift & 0xF) as usize]));
    }
}

/// First bytes of the characters that text on a terminal must not have ([`is_harmful`]), and that JSON may have in a string.
const HARMFUL: [bool; 256] = {
    let mut bytes = [false; 256];
    bytes[0x7F] = true;
    // U+0080 to U+00BF, U+0600 to U+063F, U+2000 to U+2FFF.
    bytes[0xC2] = true;
    bytes[0xD8] = true;
    bytes[0xE2] = true;
    bytes
};

/// The same, and what a JSON string must not have. Source: RFC 8259, section 7.
const ESCAPED: [bool; 256] = {
    let mut bytes = HARMFUL;
    let mut byte = 0;
    while byte < 0x20 {
        bytes[byte] = true;
        byte += 1;
    }
    bytes[b'"' as usize] = true;
    bytes[b'\\' as usize] = true;
    bytes
};

/// The first millisecond of the year 10000.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

/// RFC 3339 in UTC with three decimals, such as `2026-01-01T12:30:00.000Z`. A time that no calendar here has is written as
/// milliseconds.
fn time(out: &mut String, ms: i64) {
    let Ok(time) = Timestamp::from_millisecond(ms) else {
        out.push_str(&ms.to_string());
        return;
    };
    if !(0..YEAR_10000_MS).contains(&ms) {
        out.push_str(&format!("{time:.3}"));
        return;
    }
    // The printer of times costs as much as all else of a line.
    let time = Offset::UTC.to_datetime(time);
    number(out, time.year(), 1000, '-');
    number(out, time.month().into(), 10, '-');
    number(out, time.day().into(), 10, 'T');
    number(out, time.hour().into(), 10, ':');
    number(out, time.minute().into(), 10, ':');
    number(out, time.second().into(), 10, '.');
    number(out, time.millisecond(), 100, 'Z');
}

/// The digits of `value` from `place` on, and `end`.
fn number(out: &mut String, value: i16, mut place: i16, end: char) {
    while place > 0 {
        out.push(char::from(b'0' + (value / place % 10) as u8));
        place /= 10;
    }
    out.push(end);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn line<'a>(key: &'a str, data: &'a [u8]) -> RecordingLine<'a> {
        RecordingLine {
            stream: None,
            shard_id: "shardId-000000000001",
            sequence_number: "49",
            sub_sequence_number: None,
            arrival_ms: Some(1_795_255_200_250),
            partition_key: key,
            explicit_hash_key: None,
            encryption: None,
            log_event: None,
            decode_error: None,
            data: RecordingData::of(data),
        }
    }

    #[test]
    fn a_line_has_its_members_in_their_order() {
        assert_eq!(
            line("k", b"{\"a\": \"\x07\n\"}").text(),
            "{\"shard_id\":\"shardId-000000000001\",\"sequence_number\":\"49\",\
             \"approximate_arrival_timestamp\":\"2026-11-21T10:00:00.250Z\",\"partition_key\":\"k\",\
             \"data\":\"{\\\"a\\\": \\\"\\u0007\\n\\\"}\"}"
        );
        let all = RecordingLine {
            stream: Some("orders"),
            sub_sequence_number: Some(2),
            arrival_ms: None,
            explicit_hash_key: Some("5"),
            encryption: Some("KMS"),
            log_event: Some(RecordingLogEvent {
                group: "g",
                stream: "s",
                at_ms: -1,
            }),
            decode_error: Some("no"),
            data: RecordingData::Json("[1]"),
            ..line("k", b"")
        };
        assert_eq!(
            all.text(),
            "{\"stream\":\"orders\",\"shard_id\":\"shardId-000000000001\",\"sequence_number\":\"49\",\
             \"sub_sequence_number\":2,\"approximate_arrival_timestamp\":null,\"partition_key\":\"k\",\
             \"explicit_hash_key\":\"5\",\"encryption_type\":\"KMS\",\"log_group\":\"g\",\"log_stream\":\"s\",\
             \"log_timestamp\":\"1969-12-31T23:59:59.999Z\",\"decode_error\":\"no\",\"data\":[1]}"
        );
        assert!(
            line("k", b"\xFF\x00")
                .text()
                .ends_with(",\"data_base64\":\"/wA=\"}")
        );
    }

    /// What another writer makes of `value`, with the escapes of harmful characters.
    fn reference(value: &Value) -> String {
        let text = serde_json::to_string(value).unwrap();
        let one = |c: char| match is_harmful(c) {
            true => format!("\\u{:04x}", u32::from(c)),
            false => c.to_string(),
        };
        text.chars().map(one).collect()
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        let text = "é\u{7f}\u{9b}31m\u{202e}\u{2014}\u{61c}\u{600}\u{10FFFF}";
        let shown = "é\\u007f\\u009b31m\\u202e\u{2014}\\u061c\u{600}\u{10FFFF}";
        let value = serde_json::to_string(&[text]).unwrap();
        let json = RecordingLine {
            data: RecordingData::Json(&value),
            ..line("k", b"")
        };
        assert!(json.text().ends_with(&format!(",\"data\":[\"{shown}\"]}}")));
        assert!(
            line(text, text.as_bytes())
                .text()
                .ends_with(&format!(",\"partition_key\":\"{shown}\",\"data\":\"{shown}\"}}"))
        );
    }

    #[test]
    fn the_first_bytes_of_all_harmful_characters_are_known() {
        for c in (0..=0xFFFF).filter_map(char::from_u32).filter(|c| is_harmful(*c)) {
            let first = c.to_string().as_bytes()[0];
            assert!(ESCAPED[usize::from(first)], "{c:?}");
            assert!(HARMFUL[usize::from(first)] || first < 0x20, "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn a_line_is_the_json_of_its_record(key in "\\PC*|.*|[\\x00-\\x30\\\\]*", data in ".*", binary: Vec<u8>) {
            let read: Value = serde_json::from_str(&line(&key, data.as_bytes()).text()).unwrap();
            prop_assert_eq!(&read["partition_key"], &json!(key));
            prop_assert_eq!(&read["data"], &json!(data));
            prop_assert_eq!(reference(&read), line(&key, data.as_bytes()).text());
            let read: Value = serde_json::from_str(&line(&key, &binary).text()).unwrap();
            let bytes = match read["data"].as_str() {
                Some(text) => text.as_bytes().to_vec(),
                None => base64_simd::STANDARD.decode_to_vec(read["data_base64"].as_str().unwrap()).unwrap(),
            };
            prop_assert_eq!(bytes, binary);
        }

        #[test]
        fn a_time_is_that_of_the_calendar(ms in prop_oneof![-YEAR_10000_MS..YEAR_10000_MS, 0..2_000_000_000_000_i64]) {
            let mut text = String::new();
            time(&mut text, ms);
            prop_assert_eq!(text, format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap()));
        }
    }

    #[test]
    fn a_time_out_of_range_is_a_number() {
        for ms in [i64::MIN, i64::MAX] {
            let mut text = String::new();
            time(&mut text, ms);
            assert_eq!(text, ms.to_string());
        }
    }
}
