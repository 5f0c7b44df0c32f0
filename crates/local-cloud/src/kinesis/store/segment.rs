//! One file of a shard's log: a header, then frames.
//!
//! The header, all numbers little endian: 8 bytes of magic, the index of the first record (8), creation of the shard in
//! milliseconds (8), index of the shard (4), CRC-32 of these (4). A full file is sealed: its sparse index is thinned
//! and stored beside it (`.idx`), so that opening a long log does not read all of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::damage::{self, Hole};
use super::frame::{self, FrameReader};
use ground::platform;

pub(super) const HEADER: usize = 32;

const MAGIC: [u8; 8] = *b"kinseg\0\x01";
const INDEX_MAGIC: [u8; 8] = *b"kinidx\0\x01";
/// Bytes of log per index entry in memory: while the file is written, and after it is sealed.
const SPACING: u64 = 64 << 10;
const SEALED_SPACING: u64 = 1 << 20;
/// Bytes per read of a scan.
const CHUNK: usize = 1 << 20;

/// The shard that a file belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub shard_index: u32,
    pub created_ms: i64,
}

/// Offset of a record. Only a few records of a file have an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub index: u64,
    pub offset: u64,
    /// Latest arrival of the records before it in the file. The clock can go back, so arrivals are not ordered.
    pub newest_before_ms: i64,
}

/// Metadata of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub path: PathBuf,
    /// Index of its first record.
    pub base: u64,
    /// Index after its last record.
    pub next: u64,
    /// Length of the valid part. Bytes after it were never acknowledged.
    pub length: u64,
    /// Latest arrival. `i64::MIN` without records.
    pub newest_ms: i64,
    /// Arrival of its last record.
    pub last_ms: Option<i64>,
    /// When the shard was closed, if the file records that.
    pub closed_ms: Option<i64>,
    /// Its damaged parts, in order.
    pub holes: Vec<Hole>,
    entries: Vec<IndexEntry>,
}

/// Why a file is not a log of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderFault {
    /// Shorter than a header, or zeros.
    Missing,
    /// Neither this shard's nor another's.
    Damaged,
    /// Of another shard.
    Foreign,
}

impl Segment {
    /// Creates the file whose first record will have the index `base`.
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
        let created = platform::private_file()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&segment.path)
            .and_then(|file| platform::write_all_at(&file, &bytes, 0).map(|()| file));
        let file = created.map_err(|error| platform::at_path(error, &segment.path))?;
        segment.length = bytes.len() as u64;
        segment.closed_ms = closed_ms;
        Ok((segment, file))
    }

    /// Removes the file of a failed [`Self::create`].
    pub fn remove(dir: &Path, base: u64) -> io::Result<()> {
        remove(&path(dir, base))
    }

    fn empty(path: PathBuf, base: u64) -> Self {
        let first = IndexEntry {
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
            holes: Vec::new(),
            entries: vec![first],
        }
    }

    /// Stands for a log without files, whose next record has the index `next`.
    pub fn missing(dir: &Path, next: u64) -> Self {
        Self::empty(path(dir, next), next)
    }

    /// Stands for a file with the records from `base` to before `next` that cannot be read.
    pub fn lost(dir: &Path, base: u64, next: u64) -> Self {
        let mut segment = Self::missing(dir, base);
        segment.next = next;
        segment.lose();
        segment
    }

    /// Makes all its records unreadable: the file is gone.
    pub fn lose(&mut self) {
        let next = self.next;
        *self = Self::empty(std::mem::take(&mut self.path), self.base);
        self.skip(Hole {
            offset: HEADER as u64,
            end: HEADER as u64,
            index: self.base,
            next,
        });
    }

    /// Whether its last record is lost.
    pub fn loses_its_last(&self) -> bool {
        self.holes
            .last()
            .is_some_and(|hole| hole.lost() > 0 && hole.next == self.next)
    }

    /// The index after the file's last record, if no record from `index` on is intact.
    pub fn damaged_to_the_end_from(&self, index: u64) -> Option<u64> {
        let last = self.holes.last()?;
        let to_the_end = last.end >= self.length && last.next == self.next;
        (to_the_end && index >= last.index && index < last.next).then_some(last.next)
    }

    /// The files in `dir`, oldest first, with the index of their first record.
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

    /// Opens the newest file. Cuts off the end of an interrupted write. `acknowledged`: index after the last record that
    /// was acknowledged, if known. `only`: the log has no other file.
    ///
    /// # Errors
    /// `InvalidData` if the file contains another shard's log, or nothing where records were acknowledged.
    pub fn open_active(
        path: PathBuf,
        base: u64,
        identity: Identity,
        acknowledged: Option<u64>,
        only: bool,
    ) -> io::Result<Self> {
        let file = platform::private_file().read(true).write(true).open(&path)?;
        let mut fault = header_fault(&file, base, identity)?;
        match fault {
            Some(HeaderFault::Foreign) => return Err(damaged("it is the log of another shard")),
            // Nothing was acknowledged after the file was created.
            Some(HeaderFault::Missing) if acknowledged.map_or(!only, |next| next <= base) => {
                platform::write_all_at(&file, &header(identity, base), 0)?;
                file.set_len(HEADER as u64)?;
                fault = None;
            }
            Some(HeaderFault::Missing) if file.metadata()?.len() <= HEADER as u64 => {
                return Err(damaged("it is empty"));
            }
            Some(HeaderFault::Missing | HeaderFault::Damaged) | None => {}
        }
        let length = file.metadata()?.len();
        let mut segment = Self::scan(&file, path, base, u64::MAX, length)?;
        if fault.is_some() {
            segment.header_is_damaged();
        }
        segment.settle_end(&file, length, acknowledged)?;
        segment.keep_holes_aside(&file);
        Ok(segment)
    }

    /// Decides what the bytes after the last intact record are.
    fn settle_end(&mut self, file: &File, length: u64, acknowledged: Option<u64>) -> io::Result<()> {
        let lost_to = match acknowledged {
            Some(next) => next,
            None => {
                let rest = length - self.length;
                let shown = usize::try_from(rest).unwrap_or(usize::MAX).min(1 << 20);
                let bytes = damage::read_what_can_be(file, self.length, shown)?;
                let cut = damage::is_interrupted_write(&bytes, rest, self.next);
                self.next + u64::from(!cut)
            }
        };
        let cut = lost_to <= self.next;
        if cut && (length <= self.length || file.set_len(self.length).is_ok()) {
            return Ok(());
        }
        self.skip(Hole {
            offset: self.length,
            end: length.max(self.length),
            index: self.next,
            next: lost_to.max(self.next),
        });
        Ok(())
    }

    /// Opens a sealed file. `limit`: first index of the next file.
    ///
    /// # Errors
    /// `InvalidData` if the file contains another shard's log.
    pub fn open_sealed(path: PathBuf, base: u64, identity: Identity, limit: u64) -> io::Result<Self> {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let fault = header_fault(&file, base, identity)?;
        if fault == Some(HeaderFault::Foreign) {
            return Err(damaged("it is the log of another shard"));
        }
        if fault.is_none()
            && let Some(segment) = Self::read_index(&path)
            && segment.base == base
            && segment.next == limit
            && segment.length <= length
        {
            return Ok(segment);
        }
        let mut segment = Self::scan(&file, path, base, limit, length)?;
        if fault.is_some() && length > 0 {
            segment.header_is_damaged();
        }
        if segment.next < limit {
            segment.skip(Hole {
                offset: segment.length,
                end: length.max(segment.length),
                index: segment.next,
                next: limit,
            });
        }
        segment.keep_holes_aside(&file);
        segment.seal();
        Ok(segment)
    }

    /// Reads all frames before the index `limit`, with what is damaged between them.
    fn scan(file: &File, path: PathBuf, base: u64, limit: u64, length: u64) -> io::Result<Self> {
        let mut reader = FrameReader::new(file, length, CHUNK);
        let mut segment = Self::empty(path, base);
        segment.length = segment.length.min(length);
        while segment.next < limit && segment.closed_ms.is_none() {
            let (offset, index) = (segment.length, segment.next);
            match damage::intact(&mut reader, offset, index)? {
                Some(frame) if frame.close => {
                    segment.closed_ms = Some(frame.arrival_ms);
                    segment.length += frame.length() as u64;
                }
                Some(frame) => segment.add(frame.length(), frame.arrival_ms),
                None => match damage::hole_before_next(&mut reader, offset, index, limit)? {
                    Some(hole) => segment.skip(hole),
                    None => break,
                },
            }
        }
        Ok(segment)
    }

    /// Continues after a damaged part at the end of what was read.
    fn skip(&mut self, hole: Hole) {
        self.holes.push(hole);
        self.next = hole.next;
        self.length = hole.end;
    }

    /// The header contains nothing that is not known otherwise: no record is lost.
    fn header_is_damaged(&mut self) {
        let header = Hole {
            offset: 0,
            end: HEADER as u64,
            index: self.base,
            next: self.base,
        };
        self.holes.insert(0, header);
    }

    /// Adds a damaged part that was found while reading. Returns whether it is new.
    pub fn add_hole(&mut self, hole: Hole) -> bool {
        let at = self.holes.partition_point(|known| known.offset < hole.offset);
        if self
            .holes
            .get(at)
            .is_some_and(|known| known.offset == hole.offset)
        {
            return false;
        }
        self.holes
            .retain(|known| !(hole.offset..hole.end).contains(&known.offset));
        self.holes.insert(at, hole);
        true
    }

    /// Whether the file ends with a damaged part. Its length then says nothing about the records before its end, so no
    /// record may follow.
    pub fn ends_damaged(&self) -> bool {
        self.holes.last().is_some_and(|hole| hole.end >= self.length)
    }

    fn keep_holes_aside(&self, file: &File) {
        for hole in &self.holes {
            damage::keep_aside(file, &self.path, hole);
        }
    }

    /// The first damaged part at or after the record with `index` at `offset`, which is intact or starts it. `None` if
    /// all of the file is intact up to the offset `end`, which has the index `after`.
    pub fn find_damage(
        file: &File,
        holes: &[Hole],
        mut index: u64,
        mut offset: u64,
        end: u64,
        after: u64,
    ) -> io::Result<Option<Hole>> {
        let mut reader = FrameReader::new(file, end, CHUNK);
        while offset < end {
            if let Some(hole) = holes.iter().find(|hole| hole.covers(index, offset)) {
                (index, offset) = (hole.next, hole.end);
                continue;
            }
            match damage::intact(&mut reader, offset, index)? {
                Some(frame) => {
                    index += u64::from(!frame.close);
                    offset += frame.length() as u64;
                }
                None => {
                    let found = damage::hole_before_next(&mut reader, offset, index, after)?;
                    return Ok(Some(found.unwrap_or(Hole {
                        offset,
                        end,
                        index,
                        next: after,
                    })));
                }
            }
        }
        Ok(None)
    }

    /// Accounts for one more record at the end.
    pub fn add(&mut self, frame_length: usize, arrival_ms: i64) {
        let last = self.entries.last().map_or(0, |entry| entry.offset);
        if self.length >= last + SPACING {
            self.entries.push(IndexEntry {
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

    /// The last entry at or before the record with `index`.
    pub fn entry_at(&self, index: u64) -> IndexEntry {
        let after = self.entries.partition_point(|entry| entry.index <= index);
        self.entries[after.saturating_sub(1)]
    }

    /// The last entry before which no record arrived at `since_ms` or later.
    pub fn entry_since(&self, since_ms: i64) -> IndexEntry {
        let after = self
            .entries
            .partition_point(|entry| entry.newest_before_ms < since_ms);
        self.entries[after.saturating_sub(1)]
    }

    /// Mean length of a frame, at least that of an empty one.
    pub fn average(&self) -> usize {
        let frames = (self.next - self.base).max(1);
        let average = self.length.saturating_sub(HEADER as u64) / frames;
        usize::try_from(average).unwrap_or(usize::MAX).max(frame::HEADER)
    }

    /// Ends writing: keeps fewer entries, and stores them beside the file.
    pub fn seal(&mut self) {
        let mut next = 0;
        self.entries.retain(|entry| {
            let keep = entry.offset >= next;
            if keep {
                next = entry.offset + SEALED_SPACING;
            }
            keep
        });
        self.entries.shrink_to_fit();
        if !self.holes.is_empty() {
            // The next start scans the file, and reports the damage again.
            self.forget_index();
            return;
        }
        // Only an optimization: without it the next start scans the file.
        if let Err(error) = self.write_index() {
            tracing::debug!(path = %self.path.display(), %error, "could not write the index of a log file");
        }
    }

    /// Deletes the file, its index and copies of its damaged parts.
    pub fn delete(&self) -> io::Result<()> {
        remove(&self.path.with_extension("idx"))?;
        damage::delete_aside(&self.path, &self.holes)?;
        remove(&self.path)
    }

    /// Deletes the stored index, which does not know of damage.
    pub fn forget_index(&self) {
        let index = self.path.with_extension("idx");
        if let Err(error) = remove(&index) {
            tracing::warn!(path = %index.display(), %error, "could not delete the index of a log file");
        }
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
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.index.to_le_bytes());
            bytes.extend_from_slice(&entry.offset.to_le_bytes());
            bytes.extend_from_slice(&entry.newest_before_ms.to_le_bytes());
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
        let (fixed, entries) = numbers.split_first_chunk::<6>()?;
        let [base, next, length] = [0, 1, 2].map(|at| u64::from_le_bytes(fixed[at]));
        let [newest_ms, last_ms, closed_ms] = [3, 4, 5].map(|at| i64::from_le_bytes(fixed[at]));
        let (entries, left) = entries.as_chunks::<3>();
        if entries.is_empty() || !left.is_empty() || !rest.is_empty() {
            return None;
        }
        let entries = entries.iter().map(|[index, offset, newest]| IndexEntry {
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
            holes: Vec::new(),
            entries: entries.collect(),
        })
    }
}

fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
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

/// What is wrong with the header of `file`, if anything.
fn header_fault(file: &File, base: u64, identity: Identity) -> io::Result<Option<HeaderFault>> {
    let bytes = damage::read_what_can_be(file, 0, HEADER)?;
    if bytes == header(identity, base) {
        return Ok(None);
    }
    if bytes.len() < HEADER || bytes.iter().all(|byte| *byte == 0) {
        return Ok(Some(HeaderFault::Missing));
    }
    let intact = bytes.split_last_chunk().is_some_and(|(content, crc)| {
        content.starts_with(&MAGIC) && u32::from_le_bytes(*crc) == crc32fast::hash(content)
    });
    Ok(Some(if intact {
        HeaderFault::Foreign
    } else {
        HeaderFault::Damaged
    }))
}

/// The error for content that the log never writes.
pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
