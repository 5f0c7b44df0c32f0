//! Reads an extent of one file into a page.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::damage::Hole;
use super::frame::{self, Frame, FrameReader};
use super::segment::Identity;
use super::{Page, Position, StoredRecord, pool};
use crate::kinesis::sequence::SequenceNumber;

/// Minimum and maximum bytes of one read. A large page takes several reads.
const MIN_READ: usize = 4 << 10;
const MAX_READ: usize = pool::BUFFER;
/// Read-ahead while only headers are read.
const HEADERS: usize = 64 << 10;

/// A range of a file that contains at least one record at or after `target`.
#[derive(Debug)]
pub(super) struct Extent {
    pub file: Arc<File>,
    /// Index of the file's first record.
    pub base: u64,
    /// The record that starts at `offset`. It is at or before `target`.
    pub index: u64,
    pub offset: u64,
    /// First record to return.
    pub target: u64,
    /// Offset where the target may start.
    pub hint: u32,
    /// End offset.
    pub end: u64,
    /// Index after its last record.
    pub after: u64,
    /// Mean length of a frame, in bytes.
    pub average: usize,
    /// Damaged parts.
    pub holes: Vec<Hole>,
}

/// A read found no intact record with this index where it should be. The damage is there or before it.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub index: u64,
    pub cause: io::Error,
}

impl Unreadable {
    fn at(index: u64, cause: impl Into<Option<io::Error>>) -> Self {
        let damaged = || super::segment::damaged("a record in a log file is damaged");
        Self {
            index,
            cause: cause.into().unwrap_or_else(damaged),
        }
    }
}

impl Extent {
    /// Where to start: at the hint if the target is there.
    fn start(&self) -> (u64, u64) {
        let hint = u64::from(self.hint);
        if hint > self.offset && hint < self.end {
            let found = FrameReader::new(&self.file, self.end, 0).frame(hint);
            if found.is_ok_and(|found| found.is_some_and(|frame| frame.index == self.target)) {
                return (self.target, hint);
            }
        }
        (self.index, self.offset)
    }

    /// The damaged part that a reader is in who expects the record `index` at `offset`.
    fn hole(&self, index: u64, offset: u64) -> Option<&Hole> {
        self.holes.iter().find(|hole| hole.covers(index, offset))
    }

    /// The first record at or after the target that arrived at `since_ms` or later, with its arrival.
    pub fn first_since(&self, since_ms: i64) -> Result<Option<(Position, i64)>, Unreadable> {
        let mut reader = FrameReader::new(&self.file, self.end, HEADERS);
        let (mut index, mut offset) = (self.index, self.offset);
        while offset < self.end {
            if let Some(hole) = self.hole(index, offset) {
                (index, offset) = (hole.next, hole.end);
                continue;
            }
            let frame = reader
                .frame(offset)
                .map_err(|error| Unreadable::at(index, error))?
                .filter(|frame| frame.index == index)
                .ok_or_else(|| Unreadable::at(index, None))?;
            if frame.close {
                break;
            }
            if frame.arrival_ms >= since_ms && index >= self.target {
                return Ok(Some((position(index, offset), frame.arrival_ms)));
            }
            index += 1;
            offset += frame.length() as u64;
        }
        Ok(None)
    }
}

/// A page under construction.
#[derive(Debug)]
pub(super) struct Builder {
    identity: Identity,
    max_records: usize,
    max_bytes: usize,
    bytes: usize,
    records: Vec<StoredRecord>,
    next_arrival_ms: Option<i64>,
}

impl Builder {
    pub fn new(identity: Identity, max_records: usize, max_bytes: usize) -> Self {
        Self {
            identity,
            max_records,
            max_bytes,
            bytes: 0,
            records: Vec::new(),
            next_arrival_ms: None,
        }
    }

    /// Whether a record did not fit: the page is complete.
    pub fn is_full(&self) -> bool {
        self.next_arrival_ms.is_some()
    }

    pub fn finish(self, next: Position, end_of_shard: bool) -> Page {
        Page {
            records: self.records,
            next,
            end_of_shard,
            next_arrival_ms: self.next_arrival_ms,
        }
    }

    /// Adds records from `extent` until it ends or the page is full. Returns where the next read starts.
    ///
    /// # Errors
    /// Where a record is not intact. The page has the records before it.
    pub fn fill(&mut self, extent: &Extent) -> Result<Position, Unreadable> {
        let (mut index, mut offset) = extent.start();
        let mut need = frame::HEADER;
        while offset < extent.end {
            if let Some(hole) = extent.hole(index, offset) {
                (index, offset) = (hole.next, hole.end);
                continue;
            }
            let left = usize::try_from(extent.end - offset).unwrap_or(usize::MAX);
            let length = self.estimate(extent, index).max(need).min(left);
            let start = offset;
            let chunk =
                pool::read(&extent.file, start, length).map_err(|error| Unreadable::at(index, error))?;
            if chunk.len() < need {
                return Err(Unreadable::at(index, None));
            }
            need = frame::HEADER;
            while let Some(rest) = usize::try_from(offset - start)
                .ok()
                .and_then(|at| chunk.get(at..))
                .filter(|rest| rest.len() >= frame::HEADER)
            {
                if extent.hole(index, offset).is_some() {
                    break;
                }
                let frame = Frame::decode(rest)
                    .filter(|frame| frame.index == index && offset + frame.length() as u64 <= extent.end)
                    .ok_or_else(|| Unreadable::at(index, None))?;
                if index >= extent.target {
                    if frame.close || !self.has_room_for(&frame) {
                        return Ok(position(index, offset));
                    }
                    if rest.len() < frame.length() {
                        need = frame.length();
                        break;
                    }
                    if !self.take(&frame, &chunk, (offset - start) as usize) {
                        return Err(Unreadable::at(index, None));
                    }
                }
                index += 1;
                offset += frame.length() as u64;
            }
        }
        Ok(position(index.max(extent.after), offset))
    }

    /// Estimated bytes of the rest of the page.
    fn estimate(&self, extent: &Extent, index: u64) -> usize {
        let skipped = usize::try_from(extent.target.saturating_sub(index)).unwrap_or(usize::MAX);
        let skipped = skipped.saturating_mul(extent.average);
        let frames = (self.max_records - self.records.len()).saturating_add(1);
        let wanted = frames
            .saturating_mul(extent.average)
            .min((self.max_bytes.saturating_sub(self.bytes)).saturating_add(MIN_READ));
        wanted.saturating_add(skipped).clamp(MIN_READ, MAX_READ)
    }

    fn has_room_for(&mut self, frame: &Frame) -> bool {
        let bytes = self.bytes + frame.key_length + frame.data_length;
        let room =
            self.records.len() < self.max_records && (self.records.is_empty() || bytes <= self.max_bytes);
        if !room {
            self.next_arrival_ms = Some(frame.arrival_ms);
        }
        room
    }

    /// Adds the record at `at` in `chunk`. Returns whether it is intact.
    fn take(&mut self, frame: &Frame, chunk: &Bytes, at: usize) -> bool {
        let end = at + frame.length();
        if !frame.is_intact(&chunk[at..end]) {
            return false;
        }
        let key = at + frame::HEADER;
        let data = key + frame.key_length;
        let Identity {
            shard_index,
            created_ms,
        } = self.identity;
        self.bytes += frame.key_length + frame.data_length;
        self.records.push(StoredRecord {
            sequence_number: SequenceNumber::new(created_ms, shard_index, frame.index, frame.arrival_ms),
            arrival_ms: frame.arrival_ms,
            partition_key: chunk.slice(key..data),
            data: chunk.slice(data..end),
            encrypted: frame.encrypted,
        });
        true
    }
}

fn position(index: u64, offset: u64) -> Position {
    Position {
        index,
        hint: u32::try_from(offset).unwrap_or(0),
    }
}
