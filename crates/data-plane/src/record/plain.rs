//! Records that are any bytes: lines, bytes after their length, whole files.

use std::io::Read;

use bytes::Bytes;

use super::reader::{Reading, Recovery};
use super::{Record, RecordError, RecordErrorKind, RecordReader};

/// A varint of 64 bits has at most this many bytes. Source: "Base 128 Varints", protobuf encoding.
const MOST_VARINT_BYTES: usize = 10;
/// The length before a length-delimited record.
const LENGTH_BYTES: usize = 4;

impl<R: Read> RecordReader<R> {
    /// The next line that is not empty, byte for byte without its line feed. An empty line has nothing to send.
    pub(super) fn next_line(&mut self, record: &mut Record) -> Reading<bool> {
        while self.peek()? == Some(b'\n') {
            self.source.take(1);
        }
        let line = self.source.line;
        let Some(length) = self.line_length(self.options.max_record_bytes)? else {
            return Ok(false);
        };
        self.number += 1;
        if length > self.options.max_record_bytes {
            return Err(self.too_large(line).recover(Recovery::Line(length)));
        }
        let data = self.source.split(length);
        if !self.source.available().is_empty() {
            self.source.take(1);
        }
        self.plain(record, data, line)
    }

    /// The length of the line that starts here, or of its available part if it is larger than `limit`; `None` at the end of
    /// the input.
    pub(super) fn line_length(&mut self, limit: usize) -> Result<Option<usize>, RecordError> {
        let mut searched = 0;
        loop {
            let available = self.source.available();
            if let Some(end) = memchr::memchr(b'\n', &available[searched..]) {
                return Ok(Some(searched + end));
            }
            searched = available.len();
            if searched > limit {
                return Ok(Some(searched));
            }
            if !self.fill()? {
                return Ok((searched > 0).then_some(searched));
            }
        }
    }

    /// The next record after its length.
    pub(super) fn next_delimited(&mut self, record: &mut Record, varint: bool) -> Reading<bool> {
        if self.peek()?.is_none() {
            return Ok(false);
        }
        let line = self.source.line;
        self.number += 1;
        let length = match varint {
            true => self.varint()?,
            false => {
                self.need(LENGTH_BYTES)?;
                let bytes = self.source.split(LENGTH_BYTES);
                bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | u64::from(*byte))
            }
        };
        if length > self.options.max_record_bytes as u64 {
            return Err(self.too_large(line).recover(Recovery::Bytes(length)));
        }
        // It fits: no record is larger than memory.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.need(length)?;
        let data = self.source.split(length);
        self.plain(record, data, line)
    }

    /// Makes `record` the one with this data.
    fn plain(&mut self, record: &mut Record, data: Bytes, line: u64) -> Reading<bool> {
        record.data = data;
        match self.make(record, None, None, line) {
            Ok(()) => Ok(true),
            Err(kind) => Err(self
                .error_at(kind, line)
                .recover(Recovery::Taken(record.data.clone()))),
        }
    }

    /// Least significant group first, seven bits in each byte; all but the last have the highest bit.
    fn varint(&mut self) -> Result<u64, RecordError> {
        let mut length = 0u64;
        for index in 0..MOST_VARINT_BYTES {
            self.need(index + 1)?;
            let byte = self.source.available()[index];
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index;
            // The tenth byte has room for one bit.
            if bits << shift >> shift != bits {
                break;
            }
            length |= bits << shift;
            if byte & 0x80 == 0 {
                self.source.take(index + 1);
                return Ok(length);
            }
        }
        Err(self.error(RecordErrorKind::Varint))
    }

    /// Makes `count` bytes available.
    fn need(&mut self, count: usize) -> Result<(), RecordError> {
        while self.source.available().len() < count {
            if !self.fill()? {
                let (expected, found) = (count as u64, self.source.available().len() as u64);
                return Err(self.error(RecordErrorKind::Truncated { expected, found }));
            }
        }
        Ok(())
    }

    /// The rest of the input as one record.
    pub(super) fn whole(&mut self, record: &mut Record) -> Reading<bool> {
        if self.peek()?.is_none() {
            return Ok(false);
        }
        let limit = self.options.max_record_bytes;
        while self.source.available().len() <= limit && self.fill()? {}
        self.number += 1;
        let length = self.source.available().len();
        if length > limit {
            return Err(self.too_large(1).recover(Recovery::Bytes(u64::MAX)));
        }
        let data = self.source.split(length);
        self.plain(record, data, 1)
    }

    pub(super) fn peek(&mut self) -> Result<Option<u8>, RecordError> {
        if self.source.available().is_empty() && !self.fill()? {
            return Ok(None);
        }
        Ok(self.source.available().first().copied())
    }
}
