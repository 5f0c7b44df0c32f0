//! One record in a log file, and reading one after another.
//!
//! All numbers little endian:
//!
//! | bytes | content |
//! |---|---|
//! | 4 | CRC-32 of the rest of the frame |
//! | 1 | marker |
//! | 1 | flags |
//! | 2 | length of the partition key |
//! | 4 | length of the data |
//! | 8 | index in the shard |
//! | 8 | arrival, milliseconds since the Unix epoch |
//! | … | partition key, data |

use std::fs::File;
use std::io;

use super::{NewRecord, damage};

pub(super) const HEADER: usize = 28;
/// Above the size limit of any record. A larger length indicates damage.
pub(super) const MAX_DATA: usize = 64 << 20;

const MARKER: u8 = 0xd5;
const ENCRYPTED: u8 = 1;
const CLOSE: u8 = 2;

#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub crc: u32,
    pub encrypted: bool,
    /// Marks the end of the log. Not a record.
    pub close: bool,
    pub key_length: usize,
    pub data_length: usize,
    pub index: u64,
    pub arrival_ms: i64,
}

impl Frame {
    /// Reads the header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (crc, rest) = bytes.split_first_chunk()?;
        let (marks, rest) = rest.split_first_chunk::<2>()?;
        let (key_length, rest) = rest.split_first_chunk()?;
        let (data_length, rest) = rest.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let (arrival_ms, _) = rest.split_first_chunk()?;
        let frame = Self {
            crc: u32::from_le_bytes(*crc),
            encrypted: marks[1] & ENCRYPTED != 0,
            close: marks[1] & CLOSE != 0,
            key_length: usize::from(u16::from_le_bytes(*key_length)),
            data_length: u32::from_le_bytes(*data_length) as usize,
            index: u64::from_le_bytes(*index),
            arrival_ms: i64::from_le_bytes(*arrival_ms),
        };
        (marks[0] == MARKER && frame.data_length <= MAX_DATA).then_some(frame)
    }

    /// Length of the whole frame.
    pub fn length(&self) -> usize {
        HEADER + self.key_length + self.data_length
    }

    /// Whether the checksum of `bytes`, the whole frame, matches.
    pub fn is_intact(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.length() && crc32fast::hash(&bytes[4..]) == self.crc
    }
}

/// Length of the frame of `record`.
pub(super) fn length(record: &NewRecord<'_>) -> usize {
    HEADER + record.partition_key.len() + record.data.len()
}

/// Appends the frame of `record`. Key and data must fit the header's fields.
pub(super) fn encode(out: &mut Vec<u8>, index: u64, arrival_ms: i64, record: &NewRecord<'_>) {
    let flags = if record.encrypted { ENCRYPTED } else { 0 };
    write(
        out,
        flags,
        index,
        arrival_ms,
        record.partition_key.as_bytes(),
        record.data,
    );
}

/// Appends the frame that ends the log.
pub(super) fn encode_close(out: &mut Vec<u8>, index: u64, arrival_ms: i64) {
    write(out, CLOSE, index, arrival_ms, &[], &[]);
}

fn write(out: &mut Vec<u8>, flags: u8, index: u64, arrival_ms: i64, key: &[u8], data: &[u8]) {
    let start = out.len();
    let mut header = [0; HEADER];
    header[4] = MARKER;
    header[5] = flags;
    header[6..8].copy_from_slice(&(key.len() as u16).to_le_bytes());
    header[8..12].copy_from_slice(&(data.len() as u32).to_le_bytes());
    header[12..20].copy_from_slice(&index.to_le_bytes());
    header[20..].copy_from_slice(&arrival_ms.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(key);
    out.extend_from_slice(data);
    let crc = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads a file sequentially, with read-ahead.
pub(super) struct FrameReader<'a> {
    file: &'a File,
    end: u64,
    ahead: usize,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> FrameReader<'a> {
    /// Covers the first `end` bytes of `file` and reads `ahead` bytes at a time.
    pub fn new(file: &'a File, end: u64, ahead: usize) -> Self {
        Self {
            file,
            end,
            ahead,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// `length` bytes at `offset`. `None` if they exceed the end.
    pub fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if length > left {
            return Ok(None);
        }
        let held = offset >= self.start && offset + length as u64 <= self.start + self.buffer.len() as u64;
        if !held {
            self.buffer = damage::read_what_can_be(self.file, offset, length.max(self.ahead).min(left))?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.buffer.get(from..from + length))
    }

    /// Up to `most` bytes at `offset`, at least a header. `None` at the end.
    pub fn ahead(&mut self, offset: u64, most: usize) -> io::Result<Option<&[u8]>> {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if left < HEADER {
            return Ok(None);
        }
        self.bytes(offset, most.min(left))
    }

    /// The header of the frame at `offset`. `None` if the frame is incomplete.
    pub fn frame(&mut self, offset: u64) -> io::Result<Option<Frame>> {
        let frame = self.bytes(offset, HEADER)?.and_then(Frame::decode);
        Ok(frame.filter(|frame| offset + frame.length() as u64 <= self.end))
    }
}
