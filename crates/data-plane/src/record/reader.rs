//! Splits one input into records.

use std::io::{self, Read};

use bytes::Bytes;

use super::csv::Rows;
use super::entry::Shape;
use super::json::Scanner;
use super::source::Source;
use super::{
    HashKeyRule, KeyRule, PartitionKey, ReadOptions, Record, RecordError, RecordErrorKind, RecordSource,
    set_random_key,
};

/// Reads records one at a time. After an error or the end it returns the end again.
#[derive(Debug)]
pub struct RecordReader<R> {
    pub(super) source: Source<R>,
    pub(super) options: ReadOptions,
    pub(super) layout: Layout,
    /// The name of the input in messages about bad records.
    pub(super) name: String,
    /// What each value describes; `None` where a value is a record itself.
    pub(super) shape: Option<Shape>,
    /// Number of the last record before this input.
    first: u64,
    /// Number of the last record begun.
    pub(super) number: u64,
    /// When the last record arrived at the stream that it was read from.
    pub(super) arrival_ms: Option<i64>,
}

#[derive(Debug)]
pub(super) enum Layout {
    /// Nothing was read yet.
    Unseen,
    /// Inside a JSON array, before or after its first element.
    Array { first: bool, envelope: bool },
    /// Values one after another.
    Values,
    /// Rows of CSV after the header.
    Rows(Box<Rows>),
    /// Lines of anything.
    Lines,
    /// Records after their length.
    Delimited { varint: bool },
    /// One record.
    Whole,
    /// The end was reached.
    Over,
}

/// An error of a record, and how to read on after it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: RecordError,
    pub(super) recovery: Recovery,
}

/// How to go to the next record.
#[derive(Debug)]
pub(super) enum Recovery {
    /// There is no way: nobody can tell where the next record begins.
    None,
    /// The record was taken from the input.
    Taken(Bytes),
    /// After the next line end that is at least this many bytes ahead.
    Line(usize),
    /// After the end of the value, which was scanned to this many bytes ahead.
    Value(Box<Scanner>, usize),
    /// After this many bytes.
    Bytes(u64),
}

/// A result whose error may be passed over.
pub(super) type Reading<T> = Result<T, Box<Fault>>;

impl From<RecordError> for Box<Fault> {
    fn from(error: RecordError) -> Self {
        Self::new(Fault {
            error,
            recovery: Recovery::None,
        })
    }
}

impl RecordError {
    pub(super) fn recover(self, recovery: Recovery) -> Box<Fault> {
        Box::new(Fault {
            error: self,
            recovery,
        })
    }
}

impl<R: Read> RecordReader<R> {
    /// A reader of `input`, which needs no buffer of its own.
    pub fn new(input: R, options: ReadOptions) -> Self {
        Self::after(input, options, 0, String::new())
    }

    /// As [`RecordReader::new`] for the input `name`, whose first record has the number `number` + 1.
    pub(super) fn after(input: R, options: ReadOptions, number: u64, name: String) -> Self {
        Self {
            source: Source::new(input),
            options,
            layout: Layout::Unseen,
            name,
            shape: None,
            first: number,
            number,
            arrival_ms: None,
        }
    }

    /// Bytes of the input taken so far, after decompression.
    pub fn position(&self) -> u64 {
        self.source.taken
    }

    /// Whether partition keys are generated at random while reading.
    pub fn makes_up_keys(&self) -> bool {
        match &self.options.key {
            None => self.shape.is_none(),
            Some(rule) => *rule == KeyRule::Random,
        }
    }

    /// When the last record arrived at the stream that it was read from, in milliseconds since the Unix epoch; `None` where
    /// the input does not say it.
    pub fn arrival_ms(&self) -> Option<i64> {
        self.arrival_ms
    }

    /// Number of the last record begun.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn read_next(&mut self, record: &mut Record) -> Reading<bool> {
        if matches!(self.layout, Layout::Unseen) {
            self.detect()?;
        }
        let is_there = match self.layout {
            Layout::Array { first, envelope } => {
                let is_there = self.next_element(first, envelope)?;
                if is_there {
                    self.value(record)?;
                }
                is_there
            }
            Layout::Values if self.options.bad.is_some() => self.value_on_line(record)?,
            Layout::Values => {
                let is_there = self.skip_space()?.is_some();
                if is_there {
                    self.value(record)?;
                }
                is_there
            }
            Layout::Rows(_) => self.next_row(record)?,
            Layout::Lines => self.next_line(record)?,
            Layout::Delimited { varint } => self.next_delimited(record, varint)?,
            Layout::Whole => self.whole(record)?,
            Layout::Unseen | Layout::Over => return Ok(false),
        };
        if !is_there && self.number == self.first {
            return Err(self.error(RecordErrorKind::Empty).into());
        }
        Ok(is_there)
    }

    /// Goes to the record after the one with the fault, if the options say so and that record can be found.
    fn pass_over(&mut self, fault: Fault) -> Result<(), RecordError> {
        let Fault { error, recovery } = fault;
        let Some(bad) = self.options.bad.clone() else {
            return Err(error);
        };
        let unsaved = |error| RecordErrorKind::Unsaved(error);
        match recovery {
            Recovery::None => return Err(error),
            Recovery::Taken(text) => bad.write(&text).map_err(|e| self.error(unsaved(e)))?,
            Recovery::Line(from) => self.pass_line(from)?,
            Recovery::Value(scanner, scanned) => self.pass_value(*scanner, scanned)?,
            Recovery::Bytes(count) => self.pass_bytes(count)?,
        }
        bad.write(b"\n").map_err(|e| self.error(unsaved(e)))?;
        // An earlier run has counted those that are skipped.
        if !self.options.skips(error.record) {
            bad.add(error, &self.name);
        }
        Ok(())
    }

    /// Takes `count` available bytes of a bad record.
    pub(super) fn pass_available(&mut self, count: usize) -> Result<(), RecordError> {
        let Some(bad) = &self.options.bad else {
            return Ok(());
        };
        let written = bad.write(&self.source.available()[..count]);
        written.map_err(|e| self.error(RecordErrorKind::Unsaved(e)))?;
        self.source.take(count);
        Ok(())
    }

    /// Takes a bad record that ends with the line end after `from` bytes, or with the input.
    fn pass_line(&mut self, from: usize) -> Result<(), RecordError> {
        self.pass_available(from)?;
        loop {
            if self.source.available().is_empty() && !self.fill()? {
                return Ok(());
            }
            match memchr::memchr(b'\n', self.source.available()) {
                Some(end) => {
                    self.pass_available(end)?;
                    self.source.take(1);
                    return Ok(());
                }
                None => self.pass_available(self.source.available().len())?,
            }
        }
    }

    fn pass_bytes(&mut self, mut count: u64) -> Result<(), RecordError> {
        while count > 0 {
            if self.source.available().is_empty() && !self.fill()? {
                return Ok(());
            }
            let available = self.source.available().len();
            let part = usize::try_from(count).map_or(available, |count| count.min(available));
            self.pass_available(part)?;
            count -= part as u64;
        }
        Ok(())
    }

    /// Makes `record`, which has its data, the one with the keys of its format, if that has any.
    #[inline(always)]
    pub(super) fn make(
        &self,
        record: &mut Record,
        own_key: Option<PartitionKey>,
        own_hash_key: Option<String>,
        line: u64,
    ) -> Result<(), RecordErrorKind> {
        record.has_random_key = false;
        match (&self.options.key, own_key) {
            (None, Some(own_key)) => record.partition_key = own_key,
            (None | Some(KeyRule::Random), _) => {
                set_random_key(&mut record.partition_key);
                record.has_random_key = true;
            }
            (Some(rule), _) => record.partition_key = rule.key_of(&record.data)?,
        }
        record.explicit_hash_key = match (&self.options.hash_key, own_hash_key) {
            // The common case, without a look at the data.
            (HashKeyRule::Own, own) => own,
            (rule, own) => rule.key_of(&record.data, own)?,
        };
        record.number = self.number;
        record.line = line;
        record.check(self.options.max_record_bytes)
    }

    pub(super) fn fill(&mut self) -> Result<bool, RecordError> {
        self.source.fill().map_err(|e| self.io_error(e))
    }

    pub(super) fn skip_space(&mut self) -> Result<Option<u8>, RecordError> {
        self.source.skip_space().map_err(|e| self.io_error(e))
    }

    fn io_error(&self, error: io::Error) -> RecordError {
        self.error(RecordErrorKind::Io(error))
    }

    /// A syntax error at the first unread byte.
    pub(super) fn syntax(&self, complaint: &'static str) -> RecordError {
        self.syntax_at(complaint, 0)
    }

    /// A syntax error at the byte that is `offset` bytes ahead.
    pub(super) fn syntax_at(&self, complaint: &'static str, offset: usize) -> RecordError {
        let (line, column) = self.source.place(offset);
        RecordError {
            column: Some(column),
            ..self.error_at(RecordErrorKind::Syntax(complaint), line)
        }
    }

    pub(super) fn error(&self, kind: RecordErrorKind) -> RecordError {
        self.error_at(kind, self.source.line)
    }

    pub(super) fn error_at(&self, kind: RecordErrorKind, line: u64) -> RecordError {
        RecordError {
            kind,
            file: None,
            record: self.number,
            line,
            column: None,
            started: None,
        }
    }

    pub(super) fn too_large(&self, line: u64) -> RecordError {
        let limit = self.options.max_record_bytes;
        self.error_at(RecordErrorKind::TooLarge { limit }, line)
    }
}

impl<R: Read> RecordSource for RecordReader<R> {
    /// As the trait says. An input without records is an error.
    fn read_into(&mut self, record: &mut Record) -> Result<bool, RecordError> {
        loop {
            match self.read_next(record) {
                Ok(true) if self.options.skips(record.number) => {}
                Ok(true) => return Ok(true),
                Ok(false) => {
                    self.layout = Layout::Over;
                    return Ok(false);
                }
                Err(fault) => {
                    if let Err(error) = self.pass_over(*fault) {
                        self.layout = Layout::Over;
                        return Err(error);
                    }
                }
            }
        }
    }

    fn may_wait(&self) -> bool {
        self.source.available().iter().all(u8::is_ascii_whitespace)
    }
}
