//! Rows of comma- or tab-separated values, each of which becomes a JSON object of strings.

use std::fmt;
use std::io::Read;
use std::mem;

use bytes::{Bytes, BytesMut};
use csv_core::ReadRecordResult;

use super::reader::{Layout, Reading, Recovery};
use super::{Record, RecordError, RecordErrorKind, RecordReader};

/// The most columns.
const MOST_FIELDS: usize = 16_384;

/// The state between two rows.
pub(super) struct Rows {
    parser: csv_core::Reader,
    /// Whether the parser has seen the first byte.
    begun: bool,
    /// The names of the columns as JSON, each with its colon.
    names: Vec<Vec<u8>>,
    /// The fields of a row, one after another.
    fields: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The text of the row, where bad ones are saved.
    text: BytesMut,
}

/// A row that was read.
struct Row {
    /// How many fields it has.
    fields: usize,
    /// Whether it is larger than a record may be; then its fields are not kept.
    too_large: bool,
}

impl Rows {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            begun: false,
            names: Vec::new(),
            fields: vec![0; 4096],
            ends: vec![0; 64],
            text: BytesMut::new(),
        }
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = match index {
            0 => 0,
            index => self.ends[index - 1],
        };
        &self.fields[start..self.ends[index]]
    }

    /// The text of the last row, without its line end.
    fn take_text(&mut self) -> Bytes {
        let text = mem::take(&mut self.text).freeze();
        text.slice_ref(text.trim_ascii_end())
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("columns", &self.names.len())
            .finish()
    }
}

impl<R: Read> RecordReader<R> {
    /// Reads the names of the columns.
    pub(super) fn header(&mut self) -> Reading<()> {
        self.with_rows(|reader, rows| {
            let line = reader.source.line;
            let Some(row) = reader.row(rows)? else {
                return Err(reader.error(RecordErrorKind::Empty).into());
            };
            if row.too_large {
                return Err(reader.too_large(line).into());
            }
            rows.names = names(rows, row.fields).map_err(|problem| {
                let kind = RecordErrorKind::Header(format!("has a header {problem}"));
                reader.error_at(kind, line)
            })?;
            Ok(())
        })
    }

    /// The next row as a JSON object.
    pub(super) fn next_row(&mut self, record: &mut Record) -> Reading<bool> {
        self.with_rows(|reader, rows| {
            while matches!(reader.peek()?, Some(b'\r' | b'\n')) {
                reader.source.take(1);
            }
            let line = reader.source.line;
            let row = reader.row(rows).map_err(|mut fault| {
                fault.error.record = reader.number + 1;
                fault.error.line = line;
                fault
            })?;
            let Some(row) = row else {
                return Ok(false);
            };
            reader.number += 1;
            let made = match row.too_large {
                true => Err(RecordErrorKind::TooLarge {
                    limit: reader.options.max_record_bytes,
                }),
                false => object(rows, row.fields).and_then(|data| {
                    record.data = data;
                    reader.make(record, None, None, line)
                }),
            };
            match made {
                Ok(()) => Ok(true),
                Err(kind) => Err(reader
                    .error_at(kind, line)
                    .recover(Recovery::Taken(rows.take_text()))),
            }
        })
    }

    fn with_rows<T>(&mut self, read: impl FnOnce(&mut Self, &mut Rows) -> Reading<T>) -> Reading<T> {
        let Layout::Rows(mut rows) = mem::replace(&mut self.layout, Layout::Over) else {
            return Err(self.error(RecordErrorKind::Empty).into());
        };
        let outcome = read(self, &mut rows);
        self.layout = Layout::Rows(rows);
        outcome
    }

    /// Reads one row; `None` at the end.
    fn row(&mut self, rows: &mut Rows) -> Reading<Option<Row>> {
        let saves = self.options.bad.is_some();
        let (mut filled, mut ended) = (0, 0);
        let mut row = Row {
            fields: 0,
            too_large: false,
        };
        rows.text.clear();
        loop {
            if self.source.available().is_empty() {
                // The parser takes an empty input as the end.
                self.fill()?;
            }
            // A byte order mark was skipped before. The parser would skip another one, but only if it is not split.
            let available = self.source.available();
            let input = match rows.begun {
                true => available,
                false => &available[..available.len().min(1)],
            };
            rows.begun = true;
            let (result, read, written, fields) =
                rows.parser
                    .read_record(input, &mut rows.fields[filled..], &mut rows.ends[ended..]);
            if saves {
                rows.text.extend_from_slice(&input[..read]);
            }
            self.source.take(read);
            filled += written;
            ended += fields;
            row.fields += fields;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if rows.fields.len() < self.options.max_record_bytes => {
                    rows.fields.resize(rows.fields.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if rows.ends.len() < MOST_FIELDS => {
                    rows.ends.resize(rows.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    row.too_large = true;
                    (filled, ended) = (0, 0);
                    self.save_part(rows)?;
                }
                ReadRecordResult::Record => return Ok(Some(row)),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Passes on a row that is too large, so that it does not have to fit in memory.
    fn save_part(&mut self, rows: &mut Rows) -> Result<(), RecordError> {
        let Some(bad) = &self.options.bad else {
            // The first bad record ends the reading.
            return Err(self.too_large(self.source.line));
        };
        let saved = bad.write(&rows.text);
        rows.text.clear();
        saved.map_err(|error| self.error(RecordErrorKind::Unsaved(error)))
    }
}

/// The names of the columns as JSON; what is wrong with them otherwise.
fn names(rows: &Rows, fields: usize) -> Result<Vec<Vec<u8>>, String> {
    let mut names: Vec<Vec<u8>> = Vec::with_capacity(fields);
    for index in 0..fields {
        let name = std::str::from_utf8(rows.field(index))
            .map_err(|_| format!("whose column {} is not UTF-8", index + 1))?;
        if name.is_empty() {
            return Err(format!("whose column {} has no name", index + 1));
        }
        let mut json = serde_json::to_vec(name).map_err(|error| error.to_string())?;
        json.push(b':');
        if names.contains(&json) {
            return Err(format!("with two columns {name:?}"));
        }
        names.push(json);
    }
    Ok(names)
}

/// The row as a JSON object of strings.
fn object(rows: &Rows, fields: usize) -> Result<Bytes, RecordErrorKind> {
    if fields != rows.names.len() {
        return Err(RecordErrorKind::Fields {
            expected: rows.names.len(),
            found: fields,
        });
    }
    let size: usize = rows.names.iter().map(|name| name.len() + 3).sum();
    let mut data = Vec::with_capacity(size + rows.ends[fields - 1] + 2);
    for (index, name) in rows.names.iter().enumerate() {
        data.push(if index == 0 { b'{' } else { b',' });
        data.extend_from_slice(name);
        let value = std::str::from_utf8(rows.field(index)).map_err(|_| RecordErrorKind::NotUtf8)?;
        // Writing a string into memory cannot fail.
        serde_json::to_writer(&mut data, value).map_err(|_| RecordErrorKind::NotUtf8)?;
    }
    data.push(b'}');
    Ok(Bytes::from(data))
}
