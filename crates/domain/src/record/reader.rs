//! Splits an input into records.

use std::io::{self, Read};

use bytes::Bytes;

use super::entry;
use super::json::{Ahead, Scanner, value_ahead};
use super::source::Source;
use super::{
    InputFormat, KeyRule, MAX_PARTITION_KEY_CHARS, ReadOptions, Record, RecordError, RecordErrorKind,
};

const BOM: &[u8] = b"\xef\xbb\xbf";
/// Number of bytes inspected to tell text from binary.
const SAMPLE: usize = 4096;

/// Reads records one at a time. After an error or the end it returns the end again.
#[derive(Debug)]
pub struct RecordReader<R> {
    source: Source<R>,
    options: ReadOptions,
    layout: Layout,
    /// Whether each value is an entry of the put-records shape.
    entries: bool,
    /// Records begun so far.
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Nothing was read yet.
    Unseen,
    /// Inside a JSON array, before or after its first element.
    Array { first: bool, envelope: bool },
    /// Values one after another.
    Values,
    /// Lines of anything.
    Lines,
    /// One record.
    Text,
    /// The end was reached.
    Over,
}

impl<R: Read> RecordReader<R> {
    /// A reader of `input`, which needs no buffer of its own.
    pub fn new(input: R, options: ReadOptions) -> Self {
        Self {
            source: Source::new(input),
            options,
            layout: Layout::Unseen,
            entries: false,
            number: 0,
        }
    }

    /// Bytes of the input taken so far.
    pub fn position(&self) -> u64 {
        self.source.taken
    }

    /// Whether partition keys are generated at random while reading.
    pub fn makes_up_keys(&self) -> bool {
        !self.entries && self.options.key == KeyRule::Random
    }

    /// Whether reading the next record may block on more input, as from a pipe whose writer pauses.
    pub fn may_wait(&self) -> bool {
        self.source.available().iter().all(u8::is_ascii_whitespace)
    }

    /// The next record, `None` at the end.
    ///
    /// # Errors
    /// The first error of the input. An input without records is an error.
    pub fn read(&mut self) -> Result<Option<Record>, RecordError> {
        let mut outcome = self.read_next();
        while matches!(outcome, Ok(Some(_))) && self.number <= self.options.skip {
            outcome = self.read_next();
        }
        if !matches!(outcome, Ok(Some(_))) {
            self.layout = Layout::Over;
        }
        outcome
    }

    fn read_next(&mut self) -> Result<Option<Record>, RecordError> {
        if self.layout == Layout::Unseen {
            self.detect()?;
        }
        let more = match self.layout {
            Layout::Array { first, envelope } => self.next_element(first, envelope)?,
            Layout::Values => self.skip_space()?.is_some(),
            Layout::Lines => return self.next_line(),
            Layout::Text => return self.whole(),
            Layout::Unseen | Layout::Over => return Ok(None),
        };
        if more {
            return self.value().map(Some);
        }
        if self.number == 0 {
            return Err(self.error(RecordErrorKind::Empty));
        }
        Ok(None)
    }

    /// Detects the layout from the start of the input, reading no more than needed.
    fn detect(&mut self) -> Result<(), RecordError> {
        if self.options.format == InputFormat::Text {
            self.layout = Layout::Text;
            return Ok(());
        }
        // Read only enough for a byte order mark: a pipe's writer may pause after its first record.
        while self.source.available().len() < BOM.len() && self.fill()? {}
        let sample = self.source.available();
        if sample.starts_with(BOM) {
            self.source.skip_unseen(BOM.len());
        } else if sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff") {
            return Err(self.error(RecordErrorKind::Utf16));
        }
        if self.options.format == InputFormat::Lines {
            self.layout = Layout::Lines;
            return Ok(());
        }
        let sample = &self.source.available()[..self.source.available().len().min(SAMPLE)];
        if is_binary(sample) {
            return Err(self.error(RecordErrorKind::Binary));
        }
        let Some(opening) = self.skip_space()? else {
            return Err(self.error(RecordErrorKind::Empty));
        };
        match (self.options.format, opening) {
            (InputFormat::Array, b'[') => self.enter_array(1, false),
            (InputFormat::Array, _) => return Err(self.syntax("expected `[`")),
            (InputFormat::Values, _) => self.layout = Layout::Values,
            (format, b'[') => {
                self.entries = format == InputFormat::PutRecords || self.starts_with_entry(1)?;
                self.enter_array(1, false);
            }
            (format, b'{') => self.detect_object(format)?,
            (InputFormat::PutRecords, _) => return Err(self.error(RecordErrorKind::NotAnEntry(None))),
            (_, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.layout = Layout::Values,
            _ => {
                let ahead = self.source.available();
                let text = String::from_utf8_lossy(&ahead[..ahead.len().min(SAMPLE)]);
                let start: String = text.chars().take(20).collect();
                return Err(self.error(match start.contains(char::REPLACEMENT_CHARACTER) {
                    true => RecordErrorKind::Binary,
                    false => RecordErrorKind::Unknown(start),
                }));
            }
        }
        if self.entries && self.options.key != KeyRule::Random {
            return Err(self.error(RecordErrorKind::OwnKeys));
        }
        Ok(())
    }

    /// Detects what an input that starts with an object is: the AWS CLI's envelope, an entry, or a plain value.
    fn detect_object(&mut self, format: InputFormat) -> Result<(), RecordError> {
        let asked = format == InputFormat::PutRecords;
        let opening = loop {
            let opening = envelope_opening(self.source.available());
            if opening != Opening::Unclear || !self.look_further()? {
                break opening;
            }
        };
        if let Opening::Envelope(length) = opening {
            let empty = self.source.available()[length..].trim_ascii_start().first() == Some(&b']');
            if asked || empty || self.starts_with_entry(length)? {
                self.entries = true;
                self.enter_array(length, true);
                return Ok(());
            }
        }
        self.entries = asked || self.starts_with_entry(0)?;
        self.layout = Layout::Values;
        Ok(())
    }

    /// Whether a complete entry starts `offset` bytes ahead, after white space.
    fn starts_with_entry(&mut self, offset: usize) -> Result<bool, RecordError> {
        loop {
            let ahead = self.source.available()[offset..].trim_ascii_start();
            if !may_be_entry(ahead) {
                return Ok(false);
            }
            match value_ahead(ahead) {
                Ahead::Whole(length) => return Ok(entry::is_entry(&ahead[..length])),
                Ahead::Broken => return Ok(false),
                Ahead::Partial => {}
            }
            if !self.look_further()? {
                return Ok(false);
            }
        }
    }

    /// Reads more without taking anything; `false` at the end, or beyond the maximum size of a record.
    fn look_further(&mut self) -> Result<bool, RecordError> {
        if self.source.available().len() > self.text_limit(true) {
            return Ok(false);
        }
        self.fill()
    }

    fn enter_array(&mut self, opening: usize, envelope: bool) {
        self.source.take(opening);
        self.layout = Layout::Array {
            first: true,
            envelope,
        };
    }

    /// Moves to the next element of the array; `false` at the end of the array and the input.
    fn next_element(&mut self, first: bool, envelope: bool) -> Result<bool, RecordError> {
        match (self.skip_space()?, first) {
            (Some(b']'), _) => {
                self.source.take(1);
                if envelope {
                    self.envelope_end()?;
                }
                return match self.skip_space()? {
                    None => Ok(false),
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

    /// Reads what may follow `Records` in the envelope: the stream's name, and the closing brace.
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
            let name = self.text(MEMBER_LIMIT)?;
            if !matches!(
                name.as_slice(),
                br#""StreamName""# | br#""StreamARN""# | br#""StreamId""#
            ) {
                return Err(self.syntax("only StreamName, StreamARN and StreamId may stand beside Records"));
            }
            if self.skip_space()? != Some(b':') {
                return Err(self.syntax("expected `:` after the key"));
            }
            self.source.take(1);
            self.skip_space()?;
            self.text(MEMBER_LIMIT)?;
        }
    }

    /// The record whose JSON text starts here.
    fn value(&mut self) -> Result<Record, RecordError> {
        self.number += 1;
        let (line, column) = (self.source.line, self.source.column);
        let text = self.text(self.text_limit(self.entries)).map_err(|mut error| {
            match error.kind {
                RecordErrorKind::Syntax(_) => error.started = Some(line),
                _ => error.line = line,
            }
            error
        })?;
        let text = String::from_utf8(text).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let newlines = valid.iter().filter(|&&b| b == b'\n').count() as u64;
            let in_line = valid.iter().rev().take_while(|&&b| b != b'\n').count() as u64;
            RecordError {
                kind: RecordErrorKind::NotUtf8,
                record: self.number,
                line: line + newlines,
                column: Some(in_line + if newlines == 0 { column } else { 1 }),
                started: Some(line),
            }
        })?;
        let record = if self.entries {
            entry::parse(&text, self.number, line)
        } else {
            self.keyed(Bytes::from(text), line)
        };
        record
            .and_then(|record| self.checked(record))
            .map_err(|kind| self.error_at(kind, line))
    }

    /// The exact text of the JSON value that starts here.
    fn text(&mut self, limit: usize) -> Result<Vec<u8>, RecordError> {
        let mut scanner = Scanner::new();
        let mut text = Vec::new();
        loop {
            let available = self.source.available();
            if available.is_empty() {
                if self.fill()? {
                    continue;
                }
                scanner.finish().map_err(|complaint| self.syntax(complaint))?;
                return Ok(text);
            }
            match scanner.feed(available) {
                Ok(end) => {
                    let used = end.unwrap_or(available.len());
                    if text.len() + used > limit {
                        return Err(self.error(RecordErrorKind::TooLarge {
                            limit: self.options.max_record_bytes,
                        }));
                    }
                    text.extend_from_slice(&available[..used]);
                    self.source.take(used);
                    if end.is_some() {
                        return Ok(text);
                    }
                }
                Err((at, complaint)) => {
                    self.source.take(at);
                    return Err(self.syntax(complaint));
                }
            }
        }
    }

    /// The rest of the input as one record.
    fn whole(&mut self) -> Result<Option<Record>, RecordError> {
        if self.number > 0 {
            return Ok(None);
        }
        let limit = self.options.max_record_bytes;
        while self.source.available().len() <= limit && self.fill()? {}
        self.number = 1;
        let text = Bytes::copy_from_slice(self.source.available());
        if text.is_empty() {
            return Err(self.error(RecordErrorKind::Empty));
        }
        self.source.take(text.len());
        self.keyed(text, 1)
            .and_then(|record| self.checked(record))
            .map(Some)
            .map_err(|kind| self.error_at(kind, 1))
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> Result<Option<Record>, RecordError> {
        loop {
            let line = self.source.line;
            let Some(mut text) = self.line_text()? else {
                return match self.number {
                    0 => Err(self.error(RecordErrorKind::Empty)),
                    _ => Ok(None),
                };
            };
            if text.last() == Some(&b'\r') {
                text.pop();
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.number += 1;
            return self
                .keyed(Bytes::from(text), line)
                .and_then(|record| self.checked(record))
                .map(Some)
                .map_err(|kind| self.error_at(kind, line));
        }
    }

    /// A line without its line break; `None` at the end of the input.
    fn line_text(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        let mut text = Vec::new();
        let line = self.source.line;
        loop {
            let available = self.source.available();
            if available.is_empty() {
                if self.fill()? {
                    continue;
                }
                return Ok((!text.is_empty()).then_some(text));
            }
            let end = available.iter().position(|&b| b == b'\n');
            let used = end.unwrap_or(available.len());
            // One byte more, for the carriage return, which is not part of the record.
            if text.len() + used > self.options.max_record_bytes + 1 {
                self.number += 1;
                let limit = self.options.max_record_bytes;
                return Err(self.error_at(RecordErrorKind::TooLarge { limit }, line));
            }
            text.extend_from_slice(&available[..used]);
            self.source.take(used + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(text));
            }
        }
    }

    fn keyed(&self, data: Bytes, line: u64) -> Result<Record, RecordErrorKind> {
        Ok(Record {
            partition_key: self.options.key.key_of(&data)?,
            data,
            explicit_hash_key: None,
            has_random_key: matches!(self.options.key, KeyRule::Random),
            number: self.number,
            line,
        })
    }

    /// Kinesis's limits.
    fn checked(&self, record: Record) -> Result<Record, RecordErrorKind> {
        let limit = self.options.max_record_bytes;
        match record.partition_key.chars().count() {
            0 => Err(RecordErrorKind::KeyEmpty),
            chars if chars > MAX_PARTITION_KEY_CHARS => Err(RecordErrorKind::KeyTooLong(chars)),
            _ if record.size() > limit => Err(RecordErrorKind::TooLarge { limit }),
            _ => Ok(record),
        }
    }

    /// Maximum length of a record's JSON text. An entry's text is longer than its data: base64, escaped slashes, a key
    /// of 256 escaped characters, white space.
    fn text_limit(&self, entry: bool) -> usize {
        let limit = self.options.max_record_bytes;
        if entry { limit * 2 + MEMBER_LIMIT } else { limit }
    }

    fn fill(&mut self) -> Result<bool, RecordError> {
        self.source.fill().map_err(|e| self.io_error(e))
    }

    fn skip_space(&mut self) -> Result<Option<u8>, RecordError> {
        self.source.skip_space().map_err(|e| self.io_error(e))
    }

    fn io_error(&self, error: io::Error) -> RecordError {
        self.error(RecordErrorKind::Io(error))
    }

    fn syntax(&self, complaint: &'static str) -> RecordError {
        RecordError {
            column: Some(self.source.column),
            ..self.error(RecordErrorKind::Syntax(complaint))
        }
    }

    fn error(&self, kind: RecordErrorKind) -> RecordError {
        self.error_at(kind, self.source.line)
    }

    fn error_at(&self, kind: RecordErrorKind, line: u64) -> RecordError {
        RecordError {
            kind,
            record: self.number,
            line,
            column: None,
            started: None,
        }
    }
}

/// Maximum length of an envelope's member, and the overhead of an entry besides its data.
const MEMBER_LIMIT: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// The envelope's array opens with the byte before this offset.
    Envelope(usize),
    /// Another object.
    Plain,
    /// Not known yet.
    Unclear,
}

/// Whether `text` opens an object whose first member is one of an entry; also where that is not known yet.
fn may_be_entry(text: &[u8]) -> bool {
    let Some((brace, rest)) = text.split_first() else {
        return true;
    };
    let name = rest.trim_ascii_start();
    let known = |length: usize| {
        matches!(
            &name[..length],
            br#""Data""# | br#""PartitionKey""# | br#""ExplicitHashKey""#
        )
    };
    *brace == b'{'
        && match value_ahead(name) {
            Ahead::Whole(length) => known(length),
            Ahead::Partial => name.first().is_none_or(|&b| b == b'"'),
            Ahead::Broken => false,
        }
}

/// Whether `text` opens like `{"StreamName": "…", "Records": [`, in any order of members.
fn envelope_opening(text: &[u8]) -> Opening {
    let skip = |at: usize| text.len() - text[at..].trim_ascii_start().len();
    let mut at = 1;
    loop {
        at = skip(at);
        let length = match value_ahead(&text[at..]) {
            Ahead::Whole(length) => length,
            Ahead::Partial => return Opening::Unclear,
            Ahead::Broken => return Opening::Plain,
        };
        let name = &text[at..at + length];
        let value = skip(at + length);
        match text.get(value) {
            Some(b':') => at = skip(value + 1),
            Some(_) => return Opening::Plain,
            None => return Opening::Unclear,
        }
        match name {
            br#""Records""# => {
                return match text.get(at) {
                    Some(b'[') if skip(at + 1) < text.len() => Opening::Envelope(at + 1),
                    Some(b'[') | None => Opening::Unclear,
                    Some(_) => Opening::Plain,
                };
            }
            br#""StreamName""# | br#""StreamARN""# | br#""StreamId""# => {}
            _ => return Opening::Plain,
        }
        match value_ahead(&text[at..]) {
            Ahead::Whole(length) => at = skip(at + length),
            Ahead::Partial => return Opening::Unclear,
            Ahead::Broken => return Opening::Plain,
        }
        match text.get(at) {
            Some(b',') => at += 1,
            Some(_) => return Opening::Plain,
            None => return Opening::Unclear,
        }
    }
}

/// Whether there are control characters that do not occur in text.
fn is_binary(sample: &[u8]) -> bool {
    sample
        .iter()
        .any(|b| matches!(b, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f))
}
