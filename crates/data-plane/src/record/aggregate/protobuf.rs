//! The part of the protobuf encoding that aggregated records use.
//! Source: "Encoding", Protocol Buffers documentation.

use std::ops::Range;

pub(super) const VARINT: u8 = 0;
const FIXED64: u8 = 1;
pub(super) const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

/// The longest varint, in bytes.
const VARINT_BYTES: usize = 10;

/// The tag of field `number`, below 16, with this wire type.
pub(super) const fn tag(number: u8, wire_type: u8) -> u8 {
    number << 3 | wire_type
}

/// Size of a varint, in bytes.
pub(super) const fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one as well.
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Size of a field of `len` bytes, with a tag below 16.
pub(super) const fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(tag(field, LENGTH));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes that are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Where, from the start of the outermost message.
    pub at: usize,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    /// Where the bytes are in the outermost message.
    Bytes(Range<usize>),
    /// Skipped.
    Fixed,
}

/// The fields of a message, one after another.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    /// The outermost message, up to the end of this one.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message at `range` of `bytes`.
    pub fn of(bytes: &'a [u8], range: Range<usize>) -> Self {
        Self {
            bytes: bytes.get(..range.end).unwrap_or_default(),
            at: range.start,
        }
    }

    /// The number and the value of the next field, `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Value)>, Malformed> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let start = self.at;
        let key = self.varint()?;
        let value = match (key & 7) as u8 {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => self.take(8).map(|_| Value::Fixed)?,
            LENGTH => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| Malformed { at: start })?;
                Value::Bytes(self.take(len)?)
            }
            FIXED32 => self.take(4).map(|_| Value::Fixed)?,
            // Groups, which proto2 has replaced by messages, and two unused types.
            _ => return Err(Malformed { at: start }),
        };
        match key >> 3 {
            0 => Err(Malformed { at: start }),
            number => Ok(Some((number, value))),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut value = 0;
        for (n, &byte) in self.bytes[start..].iter().take(VARINT_BYTES).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * n);
            if byte < 0x80 {
                self.at = start + n + 1;
                return Ok(value);
            }
        }
        Err(Malformed { at: start })
    }

    fn take(&mut self, len: usize) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        match start.checked_add(len).filter(|&end| end <= self.bytes.len()) {
            Some(end) => {
                self.at = end;
                Ok(start..end)
            }
            None => Err(Malformed { at: start }),
        }
    }
}
