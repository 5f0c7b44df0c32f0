//! Records that are JSON values, or described by JSON objects.

use std::io::Read;

use bytes::Bytes;

use super::entry;
use super::json::{Scanner, WholeValue, whole_value};
use super::reader::{Layout, Reading, Recovery};
use super::{Record, RecordError, RecordErrorKind, RecordReader};

/// Maximum length of an envelope's member, and the overhead of an entry besides its data.
const MEMBER_LIMIT: usize = 16 * 1024;

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
        let mut text = Bytes::new();
        self.text(MEMBER_LIMIT, &mut text).map_err(|fault| fault.error)?;
        Ok(text)
    }

    /// Reads the record whose JSON text starts here.
    pub(super) fn value(&mut self, record: &mut Record) -> Reading<()> {
        self.number += 1;
        let (line, column) = (self.source.line, self.source.column);
        let limit = self.text_limit(self.shape.is_some());
        let is_ascii = self.text(limit, &mut record.data).map_err(|mut fault| {
            let error = &mut fault.error;
            match error.kind {
                RecordErrorKind::Syntax(_) => error.started = Some(line),
                _ => error.line = line,
            }
            fault
        })?;
        self.of_text(record, is_ascii, line, column)
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
        let is_ascii = match only_value(text) {
            Ok(value) => self.split_value(value, &mut record.data),
            Err((at, complaint)) => {
                return Err(self.syntax_at(complaint, at).recover(Recovery::Line(0)));
            }
        };
        self.of_text(record, is_ascii, line, column)?;
        Ok(true)
    }

    /// Makes `record` the one that is, or is described by, the JSON value that is its data. `is_ascii` says that this is known
    /// to be ASCII.
    #[inline(always)]
    fn of_text(&mut self, record: &mut Record, is_ascii: bool, line: u64, column: u64) -> Reading<()> {
        // Most texts are ASCII, which is found out faster.
        if !(is_ascii || record.data.is_ascii())
            && let Err(error) = std::str::from_utf8(&record.data)
        {
            let text = std::mem::take(&mut record.data);
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
        let Some(shape) = self.shape else {
            return match self.make(record, None, None, line) {
                Ok(()) => Ok(()),
                Err(kind) => Err(self
                    .error_at(kind, line)
                    .recover(Recovery::Taken(record.data.clone()))),
            };
        };
        let text = std::mem::take(&mut record.data);
        let made = entry::parse(shape, &text, self.options.data_encoding).and_then(|described| {
            self.arrival_ms = described.arrival_ms;
            record.data = described.data;
            let key = Some(described.partition_key);
            self.make(record, key, described.explicit_hash_key, line)
        });
        made.map_err(|kind| self.error_at(kind, line).recover(Recovery::Taken(text)))
    }

    /// Takes the exact text of the JSON value that starts here. Returns whether it is known to be ASCII.
    fn text(&mut self, limit: usize, text: &mut Bytes) -> Reading<bool> {
        if let Some(value) = whole_value(self.source.available()).filter(|value| value.length <= limit) {
            return Ok(self.split_value(value, text));
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
                    Ok(()) => Ok(self.split_value(any_value(scanned), text)),
                    Err(complaint) => Err(self.syntax_at(complaint, scanned).into()),
                };
            }
            let length = ahead.len();
            match scanner.feed(ahead) {
                Ok(Some(end)) if scanned + end <= limit => {
                    return Ok(self.split_value(any_value(scanned + end), text));
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

    /// Takes an available value. Returns whether it is known to be ASCII.
    #[inline(always)]
    fn split_value(&mut self, value: WholeValue, text: &mut Bytes) -> bool {
        *text = match value.is_ascii_line {
            true => self.source.split_line(value.length),
            false => self.source.split(value.length),
        };
        value.is_ascii_line
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
