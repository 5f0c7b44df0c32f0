//! Damage in a log file: finds where the intact records go on, and keeps the damaged bytes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::frame::{self, Frame, FrameReader};
use ground::platform;

/// Bytes that are searched at a time.
const WINDOW: usize = 64 << 10;
/// Reads of a place before it counts as unreadable.
const TRIES: usize = 5;
/// What a disk reads as a unit, at most.
const BLOCK: usize = 4 << 10;

/// A part of a log file without intact records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub offset: u64,
    /// Where the next intact record starts. The same as `offset` where bytes are missing from the file.
    pub end: u64,
    /// The records that are lost: from `index` to before `next`. None where only a header is damaged.
    pub index: u64,
    pub next: u64,
}

impl Hole {
    /// Whether a reader that expects the record `index` at `offset` is in it.
    pub fn covers(&self, index: u64, offset: u64) -> bool {
        offset >= self.offset && (offset < self.end || offset == self.offset && index < self.next)
    }

    /// Number of lost records.
    pub fn lost(&self) -> u64 {
        self.next.saturating_sub(self.index)
    }
}

/// The hole at `offset`, where the record with `index` was expected and is not intact. `None` if no intact record with an
/// index up to `limit` follows.
pub(super) fn hole_before_next(
    reader: &mut FrameReader<'_>,
    offset: u64,
    index: u64,
    limit: u64,
) -> io::Result<Option<Hole>> {
    let hole = |end, next| Hole {
        offset,
        end,
        index,
        next,
    };
    // With an intact header the record has its right length. Its data may contain anything, even records of a log.
    if let Some(frame) = reader.frame(offset)?.filter(|frame| frame.index == index) {
        let end = offset + frame.length() as u64;
        if index < limit && intact(reader, end, index + 1)?.is_some() {
            return Ok(Some(hole(end, index + 1)));
        }
    }
    let mut at = offset + 1;
    while let Some(window) = reader.ahead(at, WINDOW)? {
        let length = window.len();
        let starts: Vec<u64> = (0..=length - frame::HEADER)
            .filter(|start| {
                Frame::decode(&window[*start..]).is_some_and(|frame| {
                    // A lost record had a header at least.
                    let most = index + (at + *start as u64 - offset) / frame::HEADER as u64;
                    (index..=most.min(limit)).contains(&frame.index)
                })
            })
            .map(|start| at + start as u64)
            .collect();
        for start in starts {
            let found = reader.frame(start)?.map(|frame| frame.index);
            if let Some(next) = found
                && intact(reader, start, next)?.is_some()
            {
                return Ok(Some(hole(start, next)));
            }
        }
        at += (length - frame::HEADER + 1) as u64;
    }
    Ok(None)
}

/// The frame at `offset`, if it is intact and has this index.
pub(super) fn intact(reader: &mut FrameReader<'_>, offset: u64, index: u64) -> io::Result<Option<Frame>> {
    let Some(frame) = reader.frame(offset)?.filter(|frame| frame.index == index) else {
        return Ok(None);
    };
    let bytes = reader.bytes(offset, frame.length())?;
    Ok(bytes.is_some_and(|bytes| frame.is_intact(bytes)).then_some(frame))
}

/// Whether `rest`, the end of a log file, can be what an interrupted write left: nothing, zeros, or the beginning of the
/// record with `index`.
pub(super) fn is_interrupted_write(rest: &[u8], length: u64, index: u64) -> bool {
    let incomplete = |frame: Frame| frame.index == index && frame.length() as u64 > length;
    rest.len() < frame::HEADER
        || rest.iter().all(|byte| *byte == 0)
        || Frame::decode(rest).is_some_and(incomplete)
}

/// Reads `length` bytes at `offset`, fewer at the end of the file. What the disk cannot read becomes zeros, which are no
/// record.
pub(super) fn read_what_can_be(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    // It may fail for a moment only.
    if let Some(bytes) = (0..TRIES).find_map(|_| platform::read_at(file, offset, length).ok()) {
        return Ok(bytes);
    }
    let mut all = Vec::with_capacity(length);
    while all.len() < length {
        let wanted = BLOCK.min(length - all.len());
        let at = offset + all.len() as u64;
        let read = (0..TRIES).find_map(|_| platform::read_at(file, at, wanted).ok());
        match read {
            Some(block) if block.len() < wanted => {
                all.extend(block);
                break;
            }
            Some(block) => all.extend(block),
            None => {
                let left = file.metadata()?.len().saturating_sub(at);
                let zeros = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
                all.resize(all.len() + zeros, 0);
                if zeros < wanted {
                    break;
                }
            }
        }
    }
    Ok(all)
}

/// Copies the bytes of `hole` to a file beside the log file, once.
pub(super) fn keep_aside(file: &File, path: &Path, hole: &Hole) {
    if hole.offset == hole.end {
        return;
    }
    let aside = aside(path, hole);
    if aside.exists() {
        return;
    }
    let length = usize::try_from(hole.end - hole.offset).unwrap_or(usize::MAX);
    let kept = read_what_can_be(file, hole.offset, length)
        .and_then(|bytes| platform::replace_private_file_unsynced(&aside, &bytes));
    if let Err(error) = kept {
        // They also stay where they are.
        tracing::warn!(%error, "damaged bytes of a log file could not be copied");
    }
}

fn aside(path: &Path, hole: &Hole) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{}", hole.offset));
    PathBuf::from(name)
}

/// Deletes what [`keep_aside`] made of `holes`.
pub(super) fn delete_aside(path: &Path, holes: &[Hole]) -> io::Result<()> {
    holes
        .iter()
        .try_for_each(|hole| super::segment::remove(&aside(path, hole)))
}
