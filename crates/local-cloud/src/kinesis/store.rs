//! The durable log of one shard.
//!
//! Owns sequence numbers, the records on disk, retention and start positions. Knows nothing of streams, limits or the
//! wire.
//!
//! One lock per shard covers number allocation, the write and the publication, so that a reader never sees a number
//! before all smaller ones. A batch is one write at the known end of the newest file. Readers copy the end under the
//! lock and read without it. Files are append-only, about 64 MiB each. Memory holds the file offset of a few records
//! only, and retention deletes whole files.
//!
//! Acknowledged records are handed to the operating system: they survive the end of the process, not a power failure
//! (nothing is synced). After a power failure the whole records before the damage remain, and new numbers continue
//! after the lost ones.

mod frame;
mod handle;
mod pool;
mod read;
mod segment;
#[cfg(test)]
mod tests;
mod types;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use self::handle::Handle;
use self::read::{Builder, Extent};
use self::segment::{Identity, IndexEntry, Segment};
pub use self::types::{AppendError, NewRecord, Page, Position, PositionError, Start, StoredRecord};
use super::sequence::{LAST_INDEX, SequenceNumber};
use ground::platform;

/// A file of this size is followed by a new one.
const SEGMENT_BYTES: u64 = 64 << 20;
/// If all of the newest file has expired and it is at least this long, an empty file replaces it.
const RECLAIM_BYTES: u64 = 1 << 20;
/// Each thread keeps a buffer up to this size to build batches in.
const BUFFER_BYTES: usize = 1 << 20;
/// Maximum bytes of a batch.
const MAX_BATCH: usize = 1 << 30;
/// The index of a shard's first record.
const FIRST_INDEX: u64 = 1;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of one shard.
#[derive(Debug)]
pub struct ShardStore {
    dir: PathBuf,
    identity: Identity,
    /// Size from which a file is followed by a new one.
    segment_bytes: u64,
    state: Mutex<State>,
    appended: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// Oldest first, never empty. The last one is written to.
    segments: VecDeque<Segment>,
    active: Option<Handle>,
    /// The sealed file that was read last, with its first index.
    opened: Option<(u64, Handle)>,
    /// Index of the next record.
    next: u64,
    closed_ms: Option<i64>,
    last_ms: Option<i64>,
    /// Oldest readable record, and its arrival if known.
    trim: u64,
    trim_ms: Option<i64>,
    /// The end of the newest file is unknown: the next append starts a new file.
    must_roll: bool,
}

enum Found {
    /// No record yet.
    Tip {
        position: Position,
        closed: bool,
    },
    Stretch(Extent),
}

impl ShardStore {
    /// Creates `dir` and the log of a new shard in it. `created_ms`: milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// If `dir` cannot be written or already contains a log.
    pub fn create(dir: &Path, shard_index: u32, created_ms: i64) -> io::Result<Self> {
        Self::create_sized(dir, shard_index, created_ms, SEGMENT_BYTES)
    }

    fn create_sized(dir: &Path, shard_index: u32, created_ms: i64, segment_bytes: u64) -> io::Result<Self> {
        platform::create_private_dir(dir)?;
        if !Segment::list(dir)?.is_empty() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let identity = Identity {
            shard_index,
            created_ms,
        };
        let (segment, _) = Segment::create(dir, identity, FIRST_INDEX, None)?;
        Ok(Self::assemble(
            dir,
            identity,
            VecDeque::from([segment]),
            segment_bytes,
        ))
    }

    /// Opens the log in `dir` and repairs it after a crash: an incomplete record at the end is cut off. `shard_index`
    /// and `created_ms` as in [`Self::create`]. Call [`Self::trim_before`] next: the log does not store what retention
    /// hid.
    ///
    /// # Errors
    /// `NotFound` if `dir` contains no log, `InvalidData` if the log belongs to another shard, otherwise I/O errors.
    pub fn open(dir: &Path, shard_index: u32, created_ms: i64) -> io::Result<Self> {
        Self::open_sized(dir, shard_index, created_ms, SEGMENT_BYTES)
    }

    fn open_sized(dir: &Path, shard_index: u32, created_ms: i64, segment_bytes: u64) -> io::Result<Self> {
        let identity = Identity {
            shard_index,
            created_ms,
        };
        let mut files = Segment::list(dir)?;
        let (mut limit, path) = files.pop().ok_or(io::ErrorKind::NotFound)?;
        let active = Segment::open_active(path, limit, identity)?;
        let mut segments = VecDeque::from([active]);
        for (base, path) in files.into_iter().rev() {
            segments.push_front(Segment::open_sealed(path, base, identity, limit)?);
            limit = base;
        }
        Ok(Self::assemble(dir, identity, segments, segment_bytes))
    }

    fn assemble(dir: &Path, identity: Identity, segments: VecDeque<Segment>, segment_bytes: u64) -> Self {
        let next = segments.back().map_or(FIRST_INDEX, |segment| segment.next);
        let state = State {
            active: None,
            opened: None,
            next,
            closed_ms: segments.iter().rev().find_map(|segment| segment.closed_ms),
            last_ms: segments.iter().rev().find_map(|segment| segment.last_ms),
            trim: segments.front().map_or(FIRST_INDEX, |segment| segment.base),
            trim_ms: None,
            must_roll: false,
            segments,
        };
        Self {
            dir: dir.to_owned(),
            identity,
            segment_bytes,
            state: Mutex::new(state),
            appended: watch::Sender::new(next),
        }
    }

    /// Ignores poisoning: the state changes only after everything that can fail.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self, index: u64, arrival_ms: i64) -> SequenceNumber {
        SequenceNumber::new(
            self.identity.created_ms,
            self.identity.shard_index,
            index,
            arrival_ms,
        )
    }

    /// Lower than the number of every record.
    pub fn starting_sequence_number(&self) -> SequenceNumber {
        self.number(0, self.identity.created_ms)
    }

    /// Stores `records` in order, all or none. They arrived at `now_ms` (milliseconds since the Unix epoch). After it
    /// returns, readers see them and the operating system has them: they survive the end of the process, not a power
    /// failure.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&self, records: &[NewRecord<'_>], now_ms: i64) -> Result<Vec<SequenceNumber>, AppendError> {
        let length = check(records)?;
        BUFFER.with_borrow_mut(|buffer| {
            let mut state = self.lock();
            if state.closed_ms.is_some() {
                return Err(AppendError::Closed);
            }
            if records.is_empty() {
                return Ok(Vec::new());
            }
            buffer.clear();
            buffer.reserve(length);
            for (index, record) in (state.next..).zip(records) {
                frame::encode(buffer, index, now_ms, record);
            }
            self.write(&mut state, buffer)?;
            let first = state.next;
            state.commit(records, now_ms);
            self.appended.send_replace(state.next);
            drop(state);
            if buffer.capacity() > BUFFER_BYTES {
                *buffer = Vec::new();
            }
            Ok((first..)
                .take(records.len())
                .map(|index| self.number(index, now_ms))
                .collect())
        })
    }

    /// Writes `bytes` at the end of the log. On failure the log is unchanged.
    fn write(&self, state: &mut State, bytes: &[u8]) -> io::Result<()> {
        let full = state.active().is_some_and(|active| {
            active.next > active.base && active.length + bytes.len() as u64 > self.segment_bytes
        });
        if full || state.must_roll {
            self.roll(state)?;
        }
        let end = state.active().map_or(0, |active| active.length);
        let file = state.file(state.segments.len() - 1)?;
        let written = platform::write_all_at(&file, bytes, end);
        if written.is_err() && file.set_len(end).is_err() {
            // After a crash the bytes there could be read as records: append nothing after them.
            state.must_roll = true;
        }
        written
    }

    /// Starts a new file.
    fn roll(&self, state: &mut State) -> io::Result<()> {
        let created = Segment::create(&self.dir, self.identity, state.next, state.closed_ms);
        let (fresh, file) = created.inspect_err(|_| {
            let active = state.active().map(|active| active.base);
            if active != Some(state.next) && Segment::remove(&self.dir, state.next).is_err() {
                // The file with this first index stays: the one before it must not grow past its beginning.
                state.must_roll = true;
            }
        })?;
        if state
            .segments
            .back()
            .is_some_and(|active| active.base == fresh.base)
        {
            // It was empty and had the same name.
            state.segments.pop_back();
        }
        if let Some(active) = state.segments.back_mut() {
            active.seal();
        }
        state.segments.push_back(fresh);
        state.active = None;
        state.active = Handle::keep(&Arc::new(file));
        state.must_roll = false;
        Ok(())
    }

    /// Closes the shard for new records. Returns the ending sequence number, above that of every record. Closing again
    /// returns the same number.
    ///
    /// # Errors
    /// If the log cannot be written. The shard then stays open.
    pub fn close(&self, now_ms: i64) -> io::Result<SequenceNumber> {
        let mut state = self.lock();
        if let Some(closed_ms) = state.closed_ms {
            return Ok(self.number(LAST_INDEX, closed_ms));
        }
        let mut bytes = Vec::with_capacity(frame::HEADER);
        frame::encode_close(&mut bytes, state.next, now_ms);
        self.write(&mut state, &bytes)?;
        state.closed_ms = Some(now_ms);
        if let Some(active) = state.segments.back_mut() {
            active.closed_ms = Some(now_ms);
            active.length += bytes.len() as u64;
        }
        self.appended.send_replace(state.next);
        Ok(self.number(LAST_INDEX, now_ms))
    }

    /// The ending sequence number. `None` while the shard is open.
    pub fn ending_sequence_number(&self) -> Option<SequenceNumber> {
        let closed_ms = self.lock().closed_ms?;
        Some(self.number(LAST_INDEX, closed_ms))
    }

    /// Reads from `from`: at most `max_records` records and `max_bytes` of keys and data, but at least one record if
    /// there is one and `max_records` is not 0.
    ///
    /// # Errors
    /// If the log cannot be read or is damaged.
    pub fn read(&self, from: Position, max_records: usize, max_bytes: usize) -> io::Result<Page> {
        let mut page = Builder::new(self.identity, max_records, max_bytes);
        let mut next = from;
        loop {
            match self.lock().find(next)? {
                Found::Tip { position, closed } => return Ok(page.finish(position, closed)),
                Found::Stretch(extent) => next = page.fill(&extent)?,
            }
            if page.is_full() {
                return Ok(page.finish(next, false));
            }
        }
    }

    /// Resolves a start position. Numbers older than the oldest record kept resolve to that record.
    ///
    /// # Errors
    /// [`PositionError`].
    pub fn position(&self, start: Start) -> Result<Position, PositionError> {
        let index = match start {
            Start::TrimHorizon => 0,
            Start::Latest => u64::MAX,
            Start::At(number) => self.check_written(number)?,
            Start::After(number) => self.check_written(number)?.saturating_add(1),
            Start::Timestamp(since_ms) => {
                return Ok(self.first_since(since_ms)?.0);
            }
        };
        let state = self.lock();
        Ok(Position::at(index.clamp(state.trim, state.next)))
    }

    fn check_written(&self, number: SequenceNumber) -> Result<u64, PositionError> {
        if number.shard_index() != self.identity.shard_index {
            return Err(PositionError::OtherShard(number.shard_index()));
        }
        if number.shard_created_seconds() != self.starting_sequence_number().shard_created_seconds() {
            return Err(PositionError::OtherStream);
        }
        let written = number.index() < self.lock().next || Some(number) == self.ending_sequence_number();
        written.then_some(number.index()).ok_or(PositionError::NotWritten)
    }

    /// The first readable record that arrived at `since_ms` or later, with its arrival; otherwise the tip.
    fn first_since(&self, since_ms: i64) -> io::Result<(Position, Option<i64>)> {
        let mut from = 0;
        loop {
            let extent = {
                let mut state = self.lock();
                let Some(extent) = state.since(since_ms, from)? else {
                    return Ok((Position::at(state.next), None));
                };
                from = extent.after;
                extent
            };
            if let Some((position, arrival_ms)) = extent.first_since(since_ms)? {
                return Ok((position, Some(arrival_ms)));
            }
        }
    }

    /// Retention: hides records that arrived before `arrival_ms` (milliseconds since the Unix epoch) and deletes files
    /// that contain nothing else. Cheap if nothing expired.
    ///
    /// # Errors
    /// If the log cannot be read or a file cannot be deleted.
    pub fn trim_before(&self, arrival_ms: i64) -> io::Result<()> {
        {
            let state = self.lock();
            if state.trim >= state.next && !state.has_garbage()
                || state.trim_ms.is_some_and(|oldest| oldest >= arrival_ms)
            {
                return Ok(());
            }
        }
        let (first, first_ms) = self.first_since(arrival_ms)?;
        let mut state = self.lock();
        if first.index >= state.trim {
            state.trim = first.index;
            state.trim_ms = first_ms;
        }
        if state.has_garbage() && state.segments.len() == 1 {
            self.roll(&mut state)?;
        }
        while state.segments.len() > 1
            && state
                .segments
                .front()
                .is_some_and(|oldest| oldest.next <= state.trim)
        {
            if let Some(oldest) = state.segments.front() {
                oldest.delete()?;
            }
            state.segments.pop_front();
            // An open file would keep its disk space.
            state.opened = None;
        }
        Ok(())
    }

    /// Arrival of the newest record, milliseconds since the Unix epoch.
    pub fn last_arrival_ms(&self) -> Option<i64> {
        self.lock().last_ms
    }

    /// Size on disk.
    pub fn bytes(&self) -> u64 {
        self.lock().segments.iter().map(|segment| segment.length).sum()
    }

    /// Approximate number of readable records.
    pub fn record_count_hint(&self) -> u64 {
        let state = self.lock();
        state.next.saturating_sub(state.trim)
    }

    /// Changes with each append and with the close. Wakes readers that wait for records.
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }
}

impl State {
    fn active(&self) -> Option<&Segment> {
        self.segments.back()
    }

    /// Whether a file contains only expired records.
    fn has_garbage(&self) -> bool {
        let expired = |segment: &Segment| segment.next <= self.trim;
        match self.segments.len() {
            1 => self
                .active()
                .is_some_and(|only| expired(only) && only.length >= RECLAIM_BYTES),
            _ => self.segments.front().is_some_and(expired),
        }
    }

    /// Makes the written records visible.
    fn commit(&mut self, records: &[NewRecord<'_>], now_ms: i64) {
        if let Some(active) = self.segments.back_mut() {
            for record in records {
                active.add(frame::length(record), now_ms);
            }
            self.next = active.next;
        }
        self.last_ms = Some(now_ms);
    }

    /// What is at `position`, limited to readable records.
    fn find(&mut self, position: Position) -> io::Result<Found> {
        let index = position.index.clamp(self.trim, self.next);
        let at = self.segments.partition_point(|segment| segment.next <= index);
        let Some(segment) = self.segments.get(at) else {
            return Ok(Found::Tip {
                position: Position {
                    index,
                    hint: position.hint,
                },
                closed: self.closed_ms.is_some(),
            });
        };
        let target = Position {
            // A power failure can leave a gap of indexes between two files.
            index: index.max(segment.base),
            hint: position.hint,
        };
        let entry = segment.entry_at(target.index);
        self.stretch(at, entry, target).map(Found::Stretch)
    }

    /// Where to look for the first record at or after `from` that arrived at `since_ms` or later.
    fn since(&mut self, since_ms: i64, from: u64) -> io::Result<Option<Extent>> {
        let from = from.max(self.trim);
        let Some(at) = self.segments.iter().position(|segment| {
            segment.next > from && segment.next > segment.base && segment.newest_ms >= since_ms
        }) else {
            return Ok(None);
        };
        let segment = &self.segments[at];
        let entries = [segment.entry_at(from), segment.entry_since(since_ms)];
        let entry = entries[usize::from(entries[1].index > entries[0].index)];
        self.stretch(at, entry, Position::at(from)).map(Some)
    }

    fn stretch(&mut self, at: usize, entry: IndexEntry, target: Position) -> io::Result<Extent> {
        let file = self.file(at)?;
        let segment = &self.segments[at];
        Ok(Extent {
            file,
            index: entry.index,
            offset: entry.offset,
            target: target.index,
            hint: target.hint,
            end: segment.length,
            after: segment.next,
            average: segment.average(),
        })
    }

    /// The open file of a segment. The newest one stays open, and the sealed one read last if the limit allows.
    fn file(&mut self, at: usize) -> io::Result<Arc<File>> {
        let segment = &self.segments[at];
        if at + 1 == self.segments.len() {
            if let Some(handle) = &self.active {
                return Ok(handle.file());
            }
            let file = platform::private_file()
                .read(true)
                .write(true)
                .open(&segment.path)?;
            let file = Arc::new(file);
            self.active = Handle::keep(&file);
            return Ok(file);
        }
        if let Some((base, handle)) = &self.opened
            && *base == segment.base
        {
            return Ok(handle.file());
        }
        let file = Arc::new(File::open(&segment.path)?);
        self.opened = None;
        self.opened = Handle::keep(&file).map(|handle| (segment.base, handle));
        Ok(file)
    }
}

/// The batch's length in the log. Fails if it is too large.
fn check(records: &[NewRecord<'_>]) -> io::Result<usize> {
    let fits = |record: &NewRecord<'_>| {
        record.partition_key.len() <= usize::from(u16::MAX) && record.data.len() <= frame::MAX_DATA
    };
    let length: usize = records.iter().map(frame::length).sum();
    if length <= MAX_BATCH && records.iter().all(fits) {
        Ok(length)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a record is too large for the log",
        ))
    }
}
