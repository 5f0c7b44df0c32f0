//! The state of a log behind its lock: its files, and where records are in them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::handle::Handle;
use super::read::Extent;
use super::segment::{Identity, IndexEntry, Segment};
use super::{DamagedFile, FIRST_INDEX, NewRecord, Position, RECLAIM_BYTES, frame};
use ground::platform;

#[derive(Debug)]
pub(super) struct State {
    /// Oldest first, never empty. The last one is written to.
    pub segments: VecDeque<Segment>,
    pub active: Option<Handle>,
    /// The sealed file that was read last, with its first index.
    pub opened: Option<(u64, Handle)>,
    /// Index of the next record.
    pub next: u64,
    pub closed_ms: Option<i64>,
    pub last_ms: Option<i64>,
    /// Oldest readable record, and its arrival if known.
    pub trim: u64,
    pub trim_ms: Option<i64>,
    /// The end of the newest file is unknown: the next append starts a new file.
    pub must_roll: bool,
    /// Index of the first record that retention left. Lower than that of the first file where files are missing.
    pub first: u64,
    /// Why the shard is read-only, with the file.
    pub refusal: Option<(PathBuf, String)>,
}

pub(super) enum Found {
    /// No record yet.
    Tip {
        position: Position,
        closed: bool,
    },
    Stretch(Extent),
}

/// Opens the files of a log. If there are none, or the newest one is unusable, an empty file that does not exist takes its
/// place, and the shard is read-only for the reason returned.
pub(super) fn open_segments(
    dir: &Path,
    identity: Identity,
    kept: Option<&Range<u64>>,
) -> (VecDeque<Segment>, Option<(PathBuf, String)>) {
    let acknowledged = kept.map(|kept| kept.end);
    let mut segments = VecDeque::new();
    let refusal = |path: &Path, why: &dyn std::fmt::Display| {
        let what = format!("the log of the shard cannot be used, so the shard is read-only: {why}");
        Some((path.to_owned(), what))
    };
    let mut files = match Segment::list(dir) {
        Ok(files) => files,
        Err(error) => {
            segments.push_front(Segment::missing(dir, acknowledged.unwrap_or(FIRST_INDEX)));
            return (segments, refusal(dir, &error));
        }
    };
    let Some((mut limit, path)) = files.pop() else {
        segments.push_front(Segment::missing(dir, acknowledged.unwrap_or(FIRST_INDEX)));
        return (segments, refusal(dir, &"the log file is missing"));
    };
    let mut why = None;
    match Segment::open_active(path.clone(), limit, identity, acknowledged, files.is_empty()) {
        Ok(active) => segments.push_front(active),
        Err(error) => {
            segments.push_front(Segment::missing(dir, acknowledged.unwrap_or(limit).max(limit)));
            why = refusal(&path, &error);
        }
    }
    for (base, path) in files.into_iter().rev() {
        match Segment::open_sealed(path.clone(), base, identity, limit) {
            Ok(sealed) => segments.push_front(sealed),
            Err(error) => {
                why = refusal(&path, &error);
                // Its records are lost for readers, as those of a file that is missing.
                segments.push_front(Segment::lost(dir, base, limit));
            }
        }
        limit = base;
    }
    (segments, why)
}

impl State {
    /// # Errors
    /// If the shard is read-only.
    pub fn require_writable(&self) -> io::Result<()> {
        match &self.refusal {
            Some((path, what)) => Err(platform::at_path(io::Error::other(what.clone()), path)),
            None => Ok(()),
        }
    }

    /// See [`super::ShardStore::damage`].
    pub fn damage(&self, dir: &Path) -> Vec<DamagedFile> {
        let mut found = Vec::new();
        let missing = self.missing();
        if let Some((path, what)) = &self.refusal {
            found.push(DamagedFile {
                path: path.clone(),
                records: missing,
                what: what.clone(),
            });
        } else if missing > 0 {
            found.push(DamagedFile {
                path: dir.to_owned(),
                records: missing,
                what: "a log file of the shard is missing; the rest is served".to_owned(),
            });
        }
        for segment in &self.segments {
            let mut holes = segment
                .holes
                .iter()
                .filter(|hole| hole.next >= self.trim || hole.lost() == 0 && segment.next > self.trim)
                .peekable();
            if holes.peek().is_some() {
                found.push(DamagedFile {
                    path: segment.path.clone(),
                    records: holes.map(|hole| hole.lost()).sum(),
                    what: "a part of the log file is damaged or missing; the rest is served".to_owned(),
                });
            }
        }
        found
    }

    /// Number of records whose files are missing.
    fn missing(&self) -> u64 {
        let base = self.segments.front().map_or(self.first, |oldest| oldest.base);
        let before = base.saturating_sub(self.first) - self.expired_before();
        let between = self
            .segments
            .iter()
            .zip(self.segments.iter().skip(1))
            .filter(|(_, newer)| newer.base >= self.trim)
            .map(|(older, newer)| newer.base.saturating_sub(older.next));
        before + between.sum::<u64>()
    }

    /// Number of records whose files are missing before the first one and that would have expired by now: retention hides
    /// later ones.
    pub fn expired_before(&self) -> u64 {
        let base = self.segments.front().map_or(self.first, |oldest| oldest.base);
        if self.trim > base {
            base.saturating_sub(self.first)
        } else {
            0
        }
    }

    pub fn active(&self) -> Option<&Segment> {
        self.segments.back()
    }

    /// Whether a file contains only expired records. When lost records arrived is not known: they expire with the record
    /// after them.
    pub fn is_expired(&self, segment: &Segment) -> bool {
        segment.next < self.trim || segment.next == self.trim && !segment.loses_its_last()
    }

    /// Whether there is a file to delete.
    pub fn has_garbage(&self) -> bool {
        let expired = |segment: &Segment| self.is_expired(segment);
        match self.segments.len() {
            1 => self
                .active()
                .is_some_and(|only| expired(only) && only.length >= RECLAIM_BYTES),
            _ => self.segments.front().is_some_and(expired),
        }
    }

    /// Makes the written records visible.
    pub fn commit(&mut self, records: &[NewRecord<'_>], now_ms: i64) {
        if let Some(active) = self.segments.back_mut() {
            for record in records {
                active.add(frame::length(record), now_ms);
            }
            self.next = active.next;
        }
        self.last_ms = Some(now_ms);
    }

    /// What is at `position`, limited to readable records.
    pub fn find(&mut self, position: Position) -> io::Result<Found> {
        let mut index = position.index.clamp(self.trim, self.next);
        loop {
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
            if let Some(after) = segment.damaged_to_the_end_from(index) {
                index = after;
                continue;
            }
            // Where a file is missing, indexes are too.
            let start = index.max(segment.base);
            if start >= segment.next {
                return Ok(Found::Tip {
                    position: Position::at(start),
                    closed: self.closed_ms.is_some(),
                });
            }
            let target = Position {
                index: start,
                hint: position.hint,
            };
            let entry = segment.entry_at(target.index);
            match self.stretch(at, entry, target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.lose(at, &error),
                found => return found.map(Found::Stretch),
            }
        }
    }

    /// Lets readers skip a file that somebody deleted.
    fn lose(&mut self, at: usize, error: &io::Error) {
        tracing::warn!(%error, "a log file is missing; its records are skipped");
        let segment = &mut self.segments[at];
        segment.lose();
        segment.forget_index();
        self.must_roll |= at + 1 == self.segments.len();
    }

    /// Where to look for the first record at or after `from` that arrived at `since_ms` or later.
    pub fn since(&mut self, since_ms: i64, from: u64) -> io::Result<Option<Extent>> {
        let from = from.max(self.trim);
        let Some(at) = self.segments.iter().position(|segment| {
            segment.next > from && segment.next > segment.base && segment.newest_ms >= since_ms
        }) else {
            return Ok(None);
        };
        let segment = &self.segments[at];
        let entries = [segment.entry_at(from), segment.entry_since(since_ms)];
        let entry = entries[usize::from(entries[1].index > entries[0].index)];
        match self.stretch(at, entry, Position::at(from)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lose(at, &error);
                self.since(since_ms, from)
            }
            found => found.map(Some),
        }
    }

    fn stretch(&mut self, at: usize, entry: IndexEntry, target: Position) -> io::Result<Extent> {
        let file = self.file(at)?;
        let segment = &self.segments[at];
        Ok(Extent {
            file,
            base: segment.base,
            index: entry.index,
            offset: entry.offset,
            target: target.index,
            hint: target.hint,
            end: segment.length,
            after: segment.next,
            average: segment.average(),
            holes: segment.holes.clone(),
        })
    }

    /// The open file of a segment. The newest one stays open, and the sealed one read last if the limit allows.
    pub fn file(&mut self, at: usize) -> io::Result<Arc<File>> {
        let segment = &self.segments[at];
        if at + 1 == self.segments.len() {
            if let Some(handle) = &self.active {
                return Ok(handle.file());
            }
            let file = platform::private_file()
                .read(true)
                .write(true)
                .open(&segment.path)
                .map_err(|error| platform::at_path(error, &segment.path))?;
            let file = Arc::new(file);
            self.active = Handle::keep(&file);
            return Ok(file);
        }
        if let Some((base, handle)) = &self.opened
            && *base == segment.base
        {
            return Ok(handle.file());
        }
        let file = File::open(&segment.path).map_err(|error| platform::at_path(error, &segment.path))?;
        let file = Arc::new(file);
        self.opened = None;
        self.opened = Handle::keep(&file).map(|handle| (segment.base, handle));
        Ok(file)
    }
}
