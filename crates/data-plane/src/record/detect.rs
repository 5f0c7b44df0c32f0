//! Finds out the format of an input from its start, reading no more than needed.

use std::io::Read;

use super::csv::Rows;
use super::entry::{self, Shape};
use super::json::{Ahead, value_ahead};
use super::reader::{Layout, Reading};
use super::values::is_envelope_member;
use super::{InputFormat, RecordError, RecordErrorKind, RecordReader};

const BOM: &[u8] = b"\xef\xbb\xbf";
/// Number of bytes inspected to tell text from binary.
const SAMPLE: usize = 4096;

impl<R: Read> RecordReader<R> {
    pub(super) fn detect(&mut self) -> Reading<()> {
        let format = self.options.format;
        match format {
            InputFormat::Whole => self.layout = Layout::Whole,
            InputFormat::LengthDelimited => self.layout = Layout::Delimited { varint: false },
            InputFormat::VarintDelimited => self.layout = Layout::Delimited { varint: true },
            _ => {
                self.start_of_text()?;
                match format {
                    InputFormat::Lines => self.layout = Layout::Lines,
                    InputFormat::Csv => self.enter_rows(b',')?,
                    InputFormat::Tsv => self.enter_rows(b'\t')?,
                    format => self.detect_json(format)?,
                }
            }
        }
        Ok(())
    }

    /// Skips a byte order mark, and refuses UTF-16.
    fn start_of_text(&mut self) -> Result<(), RecordError> {
        // Read only enough for a byte order mark: a pipe's writer may pause after its first record.
        while self.source.available().len() < BOM.len() && self.fill()? {}
        let sample = self.source.available();
        if sample.starts_with(BOM) {
            self.source.skip_unseen(BOM.len());
        } else if sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff") {
            return Err(self.error(RecordErrorKind::Utf16));
        }
        Ok(())
    }

    fn enter_rows(&mut self, delimiter: u8) -> Reading<()> {
        let rows = Rows::new(delimiter);
        self.layout = Layout::Rows(Box::new(rows));
        self.header()
    }

    fn detect_json(&mut self, format: InputFormat) -> Result<(), RecordError> {
        let sample = &self.source.available()[..self.source.available().len().min(SAMPLE)];
        if is_binary(sample) {
            return Err(self.error(RecordErrorKind::Binary));
        }
        let Some(opening) = self.skip_space()? else {
            return Err(self.error(RecordErrorKind::Empty));
        };
        let asked = shape_of_format(format);
        match (format, opening) {
            (InputFormat::Array, b'[') => self.enter_array(1, false),
            (InputFormat::Array, _) => return Err(self.syntax("expected `[`")),
            (InputFormat::Values, _) => self.layout = Layout::Values,
            (_, b'[') => {
                self.shape = match asked {
                    Some(shape) => Some(shape),
                    None => self.shape_ahead(1)?,
                };
                self.enter_array(1, false);
            }
            (_, b'{') => self.detect_object(asked)?,
            _ if asked.is_some() => {
                let members = asked.unwrap_or(Shape::PutRecords).into();
                return Err(self.error(RecordErrorKind::NotAnEntry(members, None)));
            }
            (_, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.layout = Layout::Values,
            _ => return Err(self.unknown()),
        }
        Ok(())
    }

    fn unknown(&self) -> RecordError {
        let ahead = self.source.available();
        let text = String::from_utf8_lossy(&ahead[..ahead.len().min(SAMPLE)]);
        let start: String = text.chars().take(20).collect();
        self.error(match start.contains(char::REPLACEMENT_CHARACTER) {
            true => RecordErrorKind::Binary,
            false => RecordErrorKind::Unknown(start),
        })
    }

    /// Detects what an input that starts with an object is: an envelope, an entry, or a plain value.
    fn detect_object(&mut self, asked: Option<Shape>) -> Result<(), RecordError> {
        if let Opening::Envelope(length) = self.opening()? {
            let empty = self.source.available()[length..].trim_ascii_start().first() == Some(&b']');
            let shape = match asked {
                Some(shape) => Some(shape),
                // What it would hold makes no difference.
                None if empty => Some(Shape::GetRecords),
                None => self.shape_ahead(length)?,
            };
            if shape.is_some() {
                self.shape = shape;
                return self.enter_envelope(length);
            }
        }
        self.shape = match asked {
            Some(shape) => Some(shape),
            None => self.shape_ahead(0)?,
        };
        self.layout = Layout::Values;
        Ok(())
    }

    fn opening(&mut self) -> Result<Opening, RecordError> {
        loop {
            let opening = envelope_opening(self.source.available());
            if opening != Opening::Unclear || !self.look_further()? {
                return Ok(opening);
            }
        }
    }

    /// Enters the envelope that starts here, after another one; `false` at the end of the input.
    pub(super) fn next_envelope(&mut self) -> Result<bool, RecordError> {
        let Opening::Envelope(length) = self.opening()? else {
            return Err(self.syntax("expected another object with Records"));
        };
        let empty = self.source.available()[length..].trim_ascii_start().first() == Some(&b']');
        if !empty && let Some(shape) = self.shape_ahead(length)? {
            self.shape = Some(shape);
        }
        self.enter_envelope(length)?;
        self.next_element(true, true)
    }

    /// What the value that starts `offset` bytes ahead, after white space, describes by its members.
    fn shape_ahead(&mut self, offset: usize) -> Result<Option<Shape>, RecordError> {
        loop {
            let ahead = self.source.available()[offset..].trim_ascii_start();
            if !may_describe(ahead) {
                return Ok(None);
            }
            match value_ahead(ahead) {
                Ahead::Whole(length) => return Ok(entry::shape_of(&ahead[..length])),
                Ahead::Broken => return Ok(None),
                Ahead::Partial => {}
            }
            if !self.look_further()? {
                return Ok(None);
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

    /// Enters the array that opens with the byte before `opening`, after the members of its envelope.
    fn enter_envelope(&mut self, opening: usize) -> Result<(), RecordError> {
        #[derive(serde::Deserialize)]
        struct Head {
            #[serde(rename = "StreamName")]
            name: Option<String>,
            #[serde(rename = "StreamARN")]
            arn: Option<String>,
        }
        let closed = [&self.source.available()[..opening], b"]}"].concat();
        // What is no text is ignored, as the other members are.
        if let Ok(head) = serde_json::from_slice::<Head>(&closed) {
            for stream in [head.name, head.arn].into_iter().flatten() {
                self.check_stream(&stream)?;
            }
        }
        self.enter_array(opening, true);
        Ok(())
    }

    /// Refuses an input that names another stream, by name or ARN, than the one that the records go to.
    pub(super) fn check_stream(&self, found: &str) -> Result<(), RecordError> {
        let name = |stream: &str| stream.rsplit('/').next().unwrap_or(stream).to_owned();
        match &self.options.stream {
            Some(wanted) if name(wanted) != name(found) => {
                let (found, wanted) = (name(found), name(wanted));
                Err(self.error(RecordErrorKind::OtherStream { found, wanted }))
            }
            _ => Ok(()),
        }
    }

    fn enter_array(&mut self, opening: usize, envelope: bool) {
        self.source.take(opening);
        self.layout = Layout::Array {
            first: true,
            envelope,
        };
    }
}

fn shape_of_format(format: InputFormat) -> Option<Shape> {
    match format {
        InputFormat::PutRecords => Some(Shape::PutRecords),
        InputFormat::GetRecords => Some(Shape::GetRecords),
        InputFormat::Recording => Some(Shape::Recording),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// The envelope's array opens with the byte before this offset.
    Envelope(usize),
    /// Another object.
    Plain,
    /// Not known yet.
    Unclear,
}

/// Whether `text` opens an object whose first member is one of a described record; also where that is not known yet.
fn may_describe(text: &[u8]) -> bool {
    let Some((brace, rest)) = text.split_first() else {
        return true;
    };
    let name = rest.trim_ascii_start();
    let known = |length: usize| {
        matches!(
            &name[..length],
            br#""Data""#
                | br#""PartitionKey""#
                | br#""ExplicitHashKey""#
                | br#""SequenceNumber""#
                | br#""ApproximateArrivalTimestamp""#
                | br#""EncryptionType""#
                | br#""shard_id""#
                | br#""stream""#
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
            name if is_envelope_member(name) => {}
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
