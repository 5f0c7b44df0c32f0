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
//! (nothing is synced). Damage never hides intact records: a read skips the damaged part of a file, and new numbers
//! continue after the lost ones. What is lost is known, since numbers have no gaps and [`Ends`] has the last one.

mod damage;
mod ends;
mod frame;
mod handle;
mod pool;
mod read;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod types;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use self::ends::Ends;
use self::handle::Handle;
use self::read::{Builder, Extent, Unreadable};
use self::segment::{Identity, Segment};
use self::state::{Found, State, open_segments};
pub use self::types::{
    AppendError, DamagedFile, NewRecord, Page, Position, PositionError, Start, StoredRecord,
};
use super::sequence::{LAST_INDEX, SequenceNumber};
use ground::platform;

/// A file of this size is followed by a new one. In tests a few records fill several files.
const SEGMENT_BYTES: u64 = if cfg!(test) { 64 << 10 } else { 64 << 20 };
/// If all of the newest file has expired and it is at least this long, an empty file replaces it.
const RECLAIM_BYTES: u64 = 1 << 20;
/// Each thread keeps a buffer up to this size to build batches in.
const BUFFER_BYTES: usize = 1 << 20;
/// Maximum bytes of a batch.
const MAX_BATCH: usize = 1 << 30;
/// The index of a shard's first record.
const FIRST_INDEX: u64 = 1;
/// How often a read is repeated where the file is found intact: the disk may fail for a moment.
const TRIES: usize = 3;

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
    ends: Arc<Ends>,
    state: Mutex<State>,
    appended: watch::Sender<u64>,
}

impl ShardStore {
    /// Creates `dir` and the log of a new shard in it. `created_ms`: milliseconds since the Unix epoch. `ends` is the file
    /// of the shard's stream.
    ///
    /// # Errors
    /// If `dir` or `ends` cannot be written, or `dir` already contains a log.
    pub fn create(dir: &Path, shard_index: u32, created_ms: i64, ends: &Arc<Ends>) -> io::Result<Self> {
        Self::create_sized(dir, shard_index, created_ms, ends, SEGMENT_BYTES)
    }

    fn create_sized(
        dir: &Path,
        shard_index: u32,
        created_ms: i64,
        ends: &Arc<Ends>,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        platform::create_private_dir(dir).map_err(|error| platform::at_path(error, dir))?;
        if !Segment::list(dir)?.is_empty() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let identity = Identity {
            shard_index,
            created_ms,
        };
        let (segment, _) = Segment::create(dir, identity, FIRST_INDEX, None)?;
        ends.set(shard_index, &(FIRST_INDEX..FIRST_INDEX))?;
        let segments = VecDeque::from([segment]);
        Ok(Self::assemble(dir, identity, ends, segments, segment_bytes))
    }

    /// Opens the log in `dir` and repairs it after a crash: the end of an interrupted write is cut off. What is damaged is
    /// skipped and listed by [`Self::damage`]. Where acknowledged records are gone with their file, the shard is
    /// read-only. The arguments are those of [`Self::create`]. Call [`Self::trim_before`] next: the log does not store
    /// what retention hid.
    pub fn open(dir: &Path, shard_index: u32, created_ms: i64, ends: &Arc<Ends>) -> Self {
        Self::open_sized(dir, shard_index, created_ms, ends, SEGMENT_BYTES)
    }

    fn open_sized(
        dir: &Path,
        shard_index: u32,
        created_ms: i64,
        ends: &Arc<Ends>,
        segment_bytes: u64,
    ) -> Self {
        let identity = Identity {
            shard_index,
            created_ms,
        };
        // The stream reports a damaged file of ends.
        let kept = ends.get(shard_index).unwrap_or_default();
        let (segments, refusal) = open_segments(dir, identity, kept.as_ref());
        let store = Self::assemble(dir, identity, ends, segments, segment_bytes);
        {
            let mut state = store.lock();
            if let Some(kept) = &kept {
                state.first = state.first.min(kept.start);
            }
            state.refusal = refusal;
            state.must_roll = state.active().is_some_and(Segment::ends_damaged);
            let found = state.first..state.next;
            drop(state);
            // Each append writes it again.
            if kept.as_ref() != Some(&found)
                && let Err(error) = ends.set(shard_index, &found)
            {
                tracing::warn!(%error, "the end of a shard could not be saved");
            }
        }
        for file in store.damage() {
            tracing::warn!(file = %file.path.display(), records = file.records, "{}", file.what);
        }
        store
    }

    /// Whether the log in `dir` has anything but empty files.
    ///
    /// # Errors
    /// If `dir` cannot be read.
    pub fn has_records(dir: &Path) -> io::Result<bool> {
        for (_, path) in Segment::list(dir)? {
            if path.metadata()?.len() > segment::HEADER as u64 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn assemble(
        dir: &Path,
        identity: Identity,
        ends: &Arc<Ends>,
        segments: VecDeque<Segment>,
        segment_bytes: u64,
    ) -> Self {
        let next = segments.back().map_or(FIRST_INDEX, |segment| segment.next);
        let base = segments.front().map_or(FIRST_INDEX, |segment| segment.base);
        let state = State {
            active: None,
            opened: None,
            next,
            closed_ms: segments.iter().rev().find_map(|segment| segment.closed_ms),
            last_ms: segments.iter().rev().find_map(|segment| segment.last_ms),
            trim: base,
            trim_ms: None,
            must_roll: false,
            first: base,
            refusal: None,
            segments,
        };
        Self {
            dir: dir.to_owned(),
            identity,
            segment_bytes,
            ends: Arc::clone(ends),
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
            state.require_writable()?;
            buffer.clear();
            buffer.reserve(length);
            for (index, record) in (state.next..).zip(records) {
                frame::encode(buffer, index, now_ms, record);
            }
            let first = state.next;
            self.write(&mut state, buffer, first + records.len() as u64)?;
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

    /// Writes `bytes` at the end of the log, and that its next record is `next`. On failure the log is unchanged.
    fn write(&self, state: &mut State, bytes: &[u8], next: u64) -> io::Result<()> {
        let full = state.active().is_some_and(|active| {
            active.next > active.base && active.length + bytes.len() as u64 > self.segment_bytes
        });
        if full || state.must_roll {
            self.roll(state)?;
        }
        let end = state.active().map_or(0, |active| active.length);
        let file = state.file(state.segments.len() - 1)?;
        let written = platform::write_all_at(&file, bytes, end)
            .map_err(|error| {
                platform::at_path(error, state.active().map_or(&self.dir, |active| &active.path))
            })
            .and_then(|()| self.ends.set(self.identity.shard_index, &(state.first..next)));
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
        // The stream saves it too: that is enough where the log is read-only.
        if state.refusal.is_some() {
            state.closed_ms = Some(now_ms);
            self.appended.send_replace(state.next);
            return Ok(self.number(LAST_INDEX, now_ms));
        }
        let mut bytes = Vec::with_capacity(frame::HEADER);
        let next = state.next;
        frame::encode_close(&mut bytes, next, now_ms);
        self.write(&mut state, &bytes, next)?;
        state.closed_ms = Some(now_ms);
        if let Some(active) = state.segments.back_mut() {
            active.closed_ms = Some(now_ms);
            active.length += bytes.len() as u64;
        }
        self.appended.send_replace(state.next);
        Ok(self.number(LAST_INDEX, now_ms))
    }

    /// Closes a shard whose stream saved that it is closed. If the log cannot be written, the next start does it.
    pub fn close_saved(&self, closed_ms: i64) {
        if let Err(error) = self.close(closed_ms) {
            tracing::warn!(%error, "the end of a closed shard could not be saved");
            self.lock().closed_ms = Some(closed_ms);
        }
    }

    /// The ending sequence number. `None` while the shard is open.
    pub fn ending_sequence_number(&self) -> Option<SequenceNumber> {
        let closed_ms = self.lock().closed_ms?;
        Some(self.number(LAST_INDEX, closed_ms))
    }

    /// Reads from `from`: at most `max_records` records and `max_bytes` of keys and data, but at least one record if
    /// there is one and `max_records` is not 0. Damaged records are skipped.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read(&self, from: Position, max_records: usize, max_bytes: usize) -> io::Result<Page> {
        let mut page = Builder::new(self.identity, max_records, max_bytes);
        let (mut next, mut tries) = (from, 0);
        loop {
            let extent = match self.lock().find(next)? {
                Found::Tip { position, closed } => return Ok(page.finish(position, closed)),
                Found::Stretch(extent) => extent,
            };
            next = match page.fill(&extent) {
                Ok(next) => next,
                Err(unreadable) => self.skip_damage(&extent, unreadable, &mut tries)?,
            };
            if page.is_full() {
                return Ok(page.finish(next, false));
            }
        }
    }

    /// Finds the damage in `extent` that a reader met, and lets all readers skip it. Returns where the reader goes on.
    ///
    /// # Errors
    /// If the file cannot be read, though it is found intact.
    fn skip_damage(
        &self,
        extent: &Extent,
        unreadable: Unreadable,
        tries: &mut usize,
    ) -> io::Result<Position> {
        let position = Position::at(unreadable.index);
        // From a record that was intact when it was written or scanned: a damaged length leads astray.
        let (index, offset) = (extent.index, extent.offset);
        let found = Segment::find_damage(
            &extent.file,
            &extent.holes,
            index,
            offset,
            extent.end,
            extent.after,
        )?;
        let mut state = self.lock();
        let Some(segment) = state
            .segments
            .iter_mut()
            .find(|segment| segment.base == extent.base)
        else {
            // Retention deleted it meanwhile.
            return Ok(position);
        };
        match found {
            Some(hole) => {
                if segment.add_hole(hole) {
                    segment.forget_index();
                    let path = segment.path.clone();
                    drop(state);
                    damage::keep_aside(&extent.file, &path, &hole);
                    tracing::warn!(file = %path.display(), offset = hole.offset, records = hole.lost(), "damaged records are skipped");
                }
                Ok(position)
            }
            None if *tries < TRIES => {
                *tries += 1;
                Ok(position)
            }
            None => Err(platform::at_path(unreadable.cause, &segment.path)),
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
        let (mut from, mut tries) = (0, 0);
        loop {
            let extent = {
                let mut state = self.lock();
                let Some(extent) = state.since(since_ms, from)? else {
                    return Ok((Position::at(state.next), None));
                };
                extent
            };
            match extent.first_since(since_ms) {
                Ok(Some((position, arrival_ms))) => return Ok((position, Some(arrival_ms))),
                Ok(None) => from = extent.after,
                Err(unreadable) => {
                    self.skip_damage(&extent, unreadable, &mut tries)?;
                }
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
            state.first += state.expired_before();
        }
        if state.has_garbage() && state.segments.len() == 1 {
            self.roll(&mut state)?;
        }
        while state.segments.len() > 1
            && state
                .segments
                .front()
                .is_some_and(|oldest| state.is_expired(oldest))
        {
            // First: a file that is missing without this would count as lost.
            let (first, next) = (state.segments[1].base, state.next);
            self.ends.set(self.identity.shard_index, &(first..next))?;
            state.first = first;
            if let Some(oldest) = state.segments.front() {
                oldest.delete()?;
            }
            state.segments.pop_front();
            // An open file would keep its disk space.
            state.opened = None;
        }
        Ok(())
    }

    /// The damaged and missing files that had records which retention has not deleted.
    pub fn damage(&self) -> Vec<DamagedFile> {
        self.lock().damage(&self.dir)
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
