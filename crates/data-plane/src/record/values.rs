//! Records that are JSON values, or described by JSON objects.

use std::io::Read;

use bytes::Bytes;

use super::entry;
use super::json::{Scanner, WholeValue, whole_value};
use super::reader::{Layout, Reading, Recovery};
use super::{Record, RecordError, RecordErrorKind, RecordReader};

/// Maximum length of an envelope's member, and the overhead of an entry besides its data.
const MEMBER_LIMIT: usize = 16 * 1024;

/// The text of a value, taken from the input.
struct Text {
    bytes: Bytes,
    /// Whether they are known to be ASCII.
    is_ascii: bool,
}

impl<R: Read> RecordReader<R> {
    /// Moves to the next element of the array; `false` at the end of the array and the input.
    pub(super) fn next_element(&mut self, first: bool, envelope: bool) -> Result<bool, RecordError> {
        match (self.skip_space()?, first) {
            (Some(b']'), _) => {
                self.source.take(1);
                if envelope {
                    self.envelope_end()?;
                }
                return match self.skip_space()? {
                    None => Ok(false),
                    // Answers of GetRecords, one after another.
                    Some(b'{') if envelope => self.next_envelope(),
                    Some(_) => Err(self.syntax("expected nothing after the array")),
                };
            }
            (Some(_), true) => {}
            (Some(b','), false) => {
                self.source.take(1);
                match self.skip_space()? {
                    Some(b']') => return Err(self.syntax("expected a value (is there a comma too many?)")),
                    Some(_) => {}
                    None => return Err(self.syntax("the input ends inside the array")),
                }
            }
            (Some(_), false) => return Err(self.syntax("expected `,` or `]`")),
            (None, _) => return Err(self.syntax("the input ends inside the array")),
        }
        self.layout = Layout::Array {
            first: false,
            envelope,
        };
        Ok(true)
    }

    /// Reads what may follow `Records` in the envelope, and the closing brace.
    fn envelope_end(&mut self) -> Result<(), RecordError> {
        loop {
            match self.skip_space()? {
                Some(b'}') => {
                    self.source.take(1);
                    return Ok(());
                }
                Some(b',') => self.source.take(1),
                _ => return Err(self.syntax("expected `,` or `}`")),
            }
            self.skip_space()?;
            let name = self.member()?;
            if !is_envelope_member(&name) {
                return Err(self.syntax("this member is not allowed beside Records"));
            }
            if self.skip_space()? != Some(b':') {
                return Err(self.syntax("expected `:` after the key"));
            }
            self.source.take(1);
            self.skip_space()?;
            let value = self.member()?;
            if matches!(&name[..], br#""StreamName""# | br#""StreamARN""#)
                && let Ok(stream) = serde_json::from_slice::<String>(&value)
            {
                self.check_stream(&stream)?;
            }
        }
    }

    /// A name or a value of the envelope.
    fn member(&mut self) -> Result<Bytes, RecordError> {
        let text = self.text(MEMBER_LIMIT).map_err(|fault| fault.error)?;
        Ok(text.bytes)
    }

    /// Reads the record whose JSON text starts here.
    pub(super) fn value(&mut self, record: &mut Record) -> Reading<()> {
        self.number += 1;
        let (line, column) = (self.source.line, self.source.column);
        let text = self
            .text(self.text_limit(self.shape.is_some()))
            .map_err(|mut fault| {
                let error = &mut fault.error;
                match error.kind {
                    RecordErrorKind::Syntax(_) => error.started = Some(line),
                    _ => error.line = line,
                }
                fault
            })?;
        self.of_text(record, text, line, column)
    }

    /// Reads the record of the next line that is not blank. Where bad records are passed over, a value has a line of its own:
    /// after an error inside of a value of several lines, nobody could tell where the next one begins.
    pub(super) fn value_on_line(&mut self, record: &mut Record) -> Reading<bool> {
        if self.skip_space()?.is_none() {
            return Ok(false);
        }
        let (line, column) = (self.source.line, self.source.column);
        let limit = self.text_limit(self.shape.is_some());
        let Some(length) = self.line_length(limit)? else {
            return Ok(false);
        };
        self.number += 1;
        if length > limit {
            return Err(self.too_large(line).recover(Recovery::Line(length)));
        }
        let text = self.source.available()[..length].trim_ascii_end();
        let text = match only_value(text) {
            Ok(value) => self.split_value(value),
            Err((at, complaint)) => {
                return Err(self.syntax_at(complaint, at).recover(Recovery::Line(0)));
            }
        };
        self.of_text(record, text, line, column)?;
        Ok(true)
    }

    /// Makes `record` the one that is, or is described by, the JSON value `text`.
    #[inline(always)]
    fn of_text(&mut self, record: &mut Record, text: Text, line: u64, column: u64) -> Reading<()> {
        let is_known = text.is_ascii;
        let text = text.bytes;
        // Most texts are ASCII, which is found out faster.
        if !(is_known || text.is_ascii())
            && let Err(error) = std::str::from_utf8(&text)
        {
            let valid = &text[..error.valid_up_to()];
            let newlines = memchr::memchr_iter(b'\n', valid).count() as u64;
            let in_line = valid.iter().rev().take_while(|&&b| b != b'\n').count() as u64;
            let error = RecordError {
                column: Some(in_line + if newlines == 0 { column } else { 1 }),
                started: Some(line),
                ..self.error_at(RecordErrorKind::NotUtf8, line + newlines)
            };
            return Err(error.recover(Recovery::Taken(text)));
        }
        // Kept only for what takes bad records: a record that is alone in its memory costs less to give back.
        let kept = self.options.bad.is_some().then(|| text.clone());
        let made = match self.shape {
            None => self.make(record, text, None, None, line),
            Some(shape) => entry::parse(shape, &text, self.options.data_encoding).and_then(|described| {
                self.arrival_ms = described.arrival_ms;
                let key = Some(described.partition_key);
                self.make(record, described.data, key, described.explicit_hash_key, line)
            }),
        };
        made.map_err(|kind| {
            let error = self.error_at(kind, line);
            match kept {
                Some(text) => error.recover(Recovery::Taken(text)),
                None => error.into(),
            }
        })
    }

    /// The exact text of the JSON value that starts here.
    fn text(&mut self, limit: usize) -> Reading<Text> {
        if let Some(value) = whole_value(self.source.available()).filter(|value| value.length <= limit) {
            return Ok(self.split_value(value));
        }
        let mut scanner = Scanner::new();
        let mut scanned = 0;
        loop {
            let ahead = &self.source.available()[scanned..];
            if ahead.is_empty() {
                if self.fill()? {
                    continue;
                }
                return match scanner.finish() {
                    Ok(()) => Ok(self.split_value(any_value(scanned))),
                    Err(complaint) => Err(self.syntax_at(complaint, scanned).into()),
                };
            }
            let length = ahead.len();
            match scanner.feed(ahead) {
                Ok(Some(end)) if scanned + end <= limit => {
                    return Ok(self.split_value(any_value(scanned + end)));
                }
                Ok(Some(end)) => {
                    let error = self.error(RecordErrorKind::TooLarge {
                        limit: self.options.max_record_bytes,
                    });
                    return Err(match self.options.bad {
                        Some(_) => error.recover(Recovery::Taken(self.source.split(scanned + end))),
                        None => error.into(),
                    });
                }
                Ok(None) => scanned += length,
                Err((at, complaint)) if scanned + at <= limit => {
                    return Err(self.syntax_at(complaint, scanned + at).into());
                }
                // What is wrong after the limit does not matter, and depends on how much was read.
                Err(_) => {
                    let error = self.too_large(self.source.line);
                    return Err(error.recover(Recovery::Value(Box::new(Scanner::new()), 0)));
                }
            }
            if scanned > limit {
                let error = self.too_large(self.source.line);
                return Err(error.recover(Recovery::Value(Box::new(scanner), scanned)));
            }
        }
    }

    /// Takes an available value.
    #[inline(always)]
    fn split_value(&mut self, value: WholeValue) -> Text {
        let bytes = match value.is_ascii_line {
            true => self.source.split_line(value.length),
            false => self.source.split(value.length),
        };
        Text {
            bytes,
            is_ascii: value.is_ascii_line,
        }
    }

    /// Takes the rest of a bad value.
    pub(super) fn pass_value(&mut self, mut scanner: Scanner, scanned: usize) -> Result<(), RecordError> {
        self.pass_available(scanned)?;
        loop {
            let available = self.source.available();
            let length = available.len();
            if available.is_empty() {
                if self.fill()? {
                    continue;
                }
                return Ok(());
            }
            match scanner.feed(available) {
                Ok(Some(end)) => return self.pass_available(end),
                Ok(None) => self.pass_available(length)?,
                Err((at, complaint)) => {
                    self.pass_available(at)?;
                    return Err(self.syntax(complaint));
                }
            }
        }
    }

    /// Maximum length of a record's JSON text. An entry's text is longer than its data: base64, escaped slashes, a key
    /// of 256 escaped characters, white space.
    pub(super) fn text_limit(&self, entry: bool) -> usize {
        let limit = self.options.max_record_bytes;
        if entry { limit * 2 + MEMBER_LIMIT } else { limit }
    }
}

/// A value of which nothing but its length is known.
fn any_value(length: usize) -> WholeValue {
    WholeValue {
        length,
        is_ascii_line: false,
    }
}

/// Checks that `text` is one JSON value and nothing else; where it is not, and why, otherwise.
fn only_value(text: &[u8]) -> Result<WholeValue, (usize, &'static str)> {
    if let Some(value) = whole_value(text).filter(|value| value.length == text.len()) {
        return Ok(value);
    }
    let mut scanner = Scanner::new();
    match scanner.feed(text)? {
        Some(end) if end < text.len() => {
            let rest = &text[end..];
            let space = rest.len() - rest.trim_ascii_start().len();
            Err((end + space, "expected nothing after the value"))
        }
        Some(_) => Ok(any_value(text.len())),
        None => {
            let finished = scanner.finish().map_err(|complaint| (text.len(), complaint));
            finished.map(|()| any_value(text.len()))
        }
    }
}

/// Whether this name, in quotes, may stand beside `Records`: in the input of put-records, or in an answer of get-records.
pub(super) fn is_envelope_member(name: &[u8]) -> bool {
    matches!(
        name,
        br#""StreamName""#
            | br#""StreamARN""#
            | br#""StreamId""#
            | br#""NextShardIterator""#
            | br#""MillisBehindLatest""#
            | br#""ChildShards""#
    )
}
