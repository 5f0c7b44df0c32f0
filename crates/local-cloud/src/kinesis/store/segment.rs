//! One file of a shard's log: a header, then frames.
//!
//! The header, all numbers little endian: 8 bytes of magic, the index of the first record (8), creation of the shard
//! in milliseconds (8), index of the shard (4), CRC-32 of these (4). A file that is full is sealed: its place
//! index is thinned and written beside it (`.idx`), so that opening a long log does not read all of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::frame::{self, Frame};
use ground::platform;

/// Bytes of the file's header.
pub(super) const HEADER: usize = 32;

const MAGIC: [u8; 8] = *b"kinseg\0\x01";
const INDEX_MAGIC: [u8; 8] = *b"kinidx\0\x01";
/// Bytes of log per place in memory: while written, and once sealed.
const SPACING: u64 = 64 << 10;
const SEALED_SPACING: u64 = 1 << 20;
/// Bytes read at a time by a scan.
const CHUNK: usize = 1 << 20;

/// Which shard a file belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub shard_index: u32,
    pub created_ms: i64,
}

/// Where a record starts, kept for one record in many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub index: u64,
    pub offset: u64,
    /// The latest arrival of the file's records before it. Clocks go backwards: arrivals alone are not ordered.
    pub newest_before_ms: i64,
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub path: PathBuf,
    /// Index of the first record.
    pub base: u64,
    /// Index after the last record.
    pub next: u64,
    /// Bytes that count: what is after them was never acknowledged.
    pub length: u64,
    /// Latest arrival, `i64::MIN` without records.
    pub newest_ms: i64,
    /// Arrival of the last record.
    pub last_ms: Option<i64>,
    /// When the shard was closed, if the file says so.
    pub closed_ms: Option<i64>,
    places: Vec<Place>,
}

impl Segment {
    /// Makes the file whose first record will have the index `base`.
    pub fn create(
        dir: &Path,
        identity: Identity,
        base: u64,
        closed_ms: Option<i64>,
    ) -> io::Result<(Self, File)> {
        let mut segment = Self::empty(path(dir, base), base);
        let mut bytes = header(identity, base);
        if let Some(closed_ms) = closed_ms {
            frame::encode_close(&mut bytes, base, closed_ms);
        }
        let file = platform::private_file()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&segment.path)?;
        platform::write_all_at(&file, &bytes, 0)?;
        segment.length = bytes.len() as u64;
        segment.closed_ms = closed_ms;
        Ok((segment, file))
    }

    /// Takes back what a failed [`Self::create`] left.
    pub fn remove(dir: &Path, base: u64) -> io::Result<()> {
        remove(&path(dir, base))
    }

    fn empty(path: PathBuf, base: u64) -> Self {
        let first = Place {
            index: base,
            offset: HEADER as u64,
            newest_before_ms: i64::MIN,
        };
        Self {
            path,
            base,
            next: base,
            length: HEADER as u64,
            newest_ms: i64::MIN,
            last_ms: None,
            closed_ms: None,
            places: vec![first],
        }
    }

    /// The files of `dir`, oldest first, with the index of their first record.
    pub fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            let base = name
                .to_str()
                .and_then(|name| name.strip_suffix(".log")?.parse().ok());
            if let Some(base) = base
                && path(dir, base).file_name() == Some(&name)
            {
                found.push((base, path(dir, base)));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Opens the file that is written next: what is torn at its end is cut.
    pub fn open_active(path: PathBuf, base: u64, identity: Identity) -> io::Result<Self> {
        let file = platform::private_file().read(true).write(true).open(&path)?;
        let head = platform::read_at(&file, 0, HEADER)?;
        if head.len() < HEADER || head.iter().all(|byte| *byte == 0) {
            // The process or the machine ended while the file was made; no record was in it yet.
            platform::write_all_at(&file, &header(identity, base), 0)?;
        }
        let segment = Self::scan(&file, path, base, identity, u64::MAX)?;
        if file.metadata()?.len() > segment.length {
            file.set_len(segment.length)?;
        }
        Ok(segment)
    }

    /// Opens a file that is not written any more. `limit`: the first index of the next file.
    pub fn open_sealed(path: PathBuf, base: u64, identity: Identity, limit: u64) -> io::Result<Self> {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        if let Some(segment) = Self::read_index(&path)
            && segment.base == base
            && segment.next == limit
            && segment.length <= length
        {
            check_header(&file, base, identity)?;
            return Ok(segment);
        }
        let mut segment = Self::scan(&file, path, base, identity, limit)?;
        segment.seal();
        Ok(segment)
    }

    /// Reads all frames up to the first that is not whole.
    fn scan(file: &File, path: PathBuf, base: u64, identity: Identity, limit: u64) -> io::Result<Self> {
        check_header(file, base, identity)?;
        let mut window = Window::new(file, file.metadata()?.len(), CHUNK);
        let mut segment = Self::empty(path, base);
        while segment.next < limit && segment.closed_ms.is_none() {
            let Some(frame) = window.frame(segment.length)? else {
                break;
            };
            if frame.index != segment.next {
                break;
            }
            match window.bytes(segment.length, frame.length())? {
                Some(bytes) if frame.is_intact(bytes) => {}
                _ => break,
            }
            if frame.close {
                segment.closed_ms = Some(frame.arrival_ms);
                segment.length += frame.length() as u64;
            } else {
                segment.add(frame.length(), frame.arrival_ms);
            }
        }
        Ok(segment)
    }

    /// Takes note of one more record at the end.
    pub fn add(&mut self, frame_length: usize, arrival_ms: i64) {
        let last = self.places.last().map_or(0, |place| place.offset);
        if self.length >= last + SPACING {
            self.places.push(Place {
                index: self.next,
                offset: self.length,
                newest_before_ms: self.newest_ms,
            });
        }
        self.length += frame_length as u64;
        self.next += 1;
        self.newest_ms = self.newest_ms.max(arrival_ms);
        self.last_ms = Some(arrival_ms);
    }

    /// The last known place at or before the record with `index`.
    pub fn place_of(&self, index: u64) -> Place {
        let after = self.places.partition_point(|place| place.index <= index);
        self.places[after.saturating_sub(1)]
    }

    /// The last known place before which nothing arrived at `since_ms` or later.
    pub fn place_since(&self, since_ms: i64) -> Place {
        let after = self
            .places
            .partition_point(|place| place.newest_before_ms < since_ms);
        self.places[after.saturating_sub(1)]
    }

    /// Mean length of a frame, at least that of an empty one.
    pub fn average(&self) -> usize {
        let frames = (self.next - self.base).max(1);
        let average = (self.length - HEADER as u64) / frames;
        usize::try_from(average).unwrap_or(usize::MAX).max(frame::HEADER)
    }

    /// Nothing more is written: keeps fewer places, and leaves them beside the file.
    pub fn seal(&mut self) {
        let mut next = 0;
        self.places.retain(|place| {
            let keep = place.offset >= next;
            if keep {
                next = place.offset + SEALED_SPACING;
            }
            keep
        });
        self.places.shrink_to_fit();
        // Only a shortcut for the next start: without it the file is scanned.
        if let Err(error) = self.write_index() {
            tracing::debug!(path = %self.path.display(), %error, "could not write the index of a log file");
        }
    }

    /// Deletes the file and what is beside it.
    pub fn delete(&self) -> io::Result<()> {
        remove(&self.path.with_extension("idx"))?;
        remove(&self.path)
    }

    fn write_index(&self) -> io::Result<()> {
        let mut bytes = INDEX_MAGIC.to_vec();
        for number in [self.base, self.next, self.length] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for time in [
            self.newest_ms,
            self.last_ms.unwrap_or(i64::MIN),
            self.closed_ms.unwrap_or(i64::MIN),
        ] {
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        for place in &self.places {
            bytes.extend_from_slice(&place.index.to_le_bytes());
            bytes.extend_from_slice(&place.offset.to_le_bytes());
            bytes.extend_from_slice(&place.newest_before_ms.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let file = platform::private_file()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path.with_extension("idx"))?;
        platform::write_all_at(&file, &bytes, 0)
    }

    fn read_index(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path.with_extension("idx")).ok()?;
        let (content, crc) = bytes.split_last_chunk()?;
        if u32::from_le_bytes(*crc) != crc32fast::hash(content) {
            return None;
        }
        let (numbers, rest) = content.strip_prefix(&INDEX_MAGIC)?.as_chunks::<8>();
        let (fixed, places) = numbers.split_first_chunk::<6>()?;
        let [base, next, length] = [0, 1, 2].map(|at| u64::from_le_bytes(fixed[at]));
        let [newest_ms, last_ms, closed_ms] = [3, 4, 5].map(|at| i64::from_le_bytes(fixed[at]));
        let (places, left) = places.as_chunks::<3>();
        if places.is_empty() || !left.is_empty() || !rest.is_empty() {
            return None;
        }
        let places = places.iter().map(|[index, offset, newest]| Place {
            index: u64::from_le_bytes(*index),
            offset: u64::from_le_bytes(*offset),
            newest_before_ms: i64::from_le_bytes(*newest),
        });
        Some(Self {
            path: path.to_owned(),
            base,
            next,
            length,
            newest_ms,
            last_ms: (last_ms != i64::MIN).then_some(last_ms),
            closed_ms: (closed_ms != i64::MIN).then_some(closed_ms),
            places: places.collect(),
        })
    }
}

fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn header(identity: Identity, base: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend_from_slice(&identity.created_ms.to_le_bytes());
    bytes.extend_from_slice(&identity.shard_index.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn check_header(file: &File, base: u64, identity: Identity) -> io::Result<()> {
    if platform::read_at(file, 0, HEADER)? == header(identity, base) {
        Ok(())
    } else {
        Err(damaged("the file is not a log of this shard"))
    }
}

/// The error for what is on disk but was never written so.
pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads a file front to back, some way ahead.
pub(super) struct Window<'a> {
    file: &'a File,
    end: u64,
    ahead: usize,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    /// Over the first `end` bytes of `file`, reading `ahead` bytes at a time.
    pub fn new(file: &'a File, end: u64, ahead: usize) -> Self {
        Self {
            file,
            end,
            ahead,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// `length` bytes at `offset`; `None` when they reach over the end.
    pub fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if length > left {
            return Ok(None);
        }
        let held = offset >= self.start && offset + length as u64 <= self.start + self.buffer.len() as u64;
        if !held {
            self.buffer = platform::read_at(self.file, offset, length.max(self.ahead).min(left))?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.buffer.get(from..from + length))
    }

    /// The header of the frame at `offset`, if the frame may be whole.
    pub fn frame(&mut self, offset: u64) -> io::Result<Option<Frame>> {
        let frame = self.bytes(offset, frame::HEADER)?.and_then(Frame::decode);
        Ok(frame.filter(|frame| offset + frame.length() as u64 <= self.end))
    }
}
