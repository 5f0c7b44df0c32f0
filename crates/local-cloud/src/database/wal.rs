//! Checks SQLite's write-ahead log before SQLite reads it.
//!
//! SQLite reads the log up to the first frame whose checksum is wrong, and takes the rest for what an interrupted write
//! left. If frames of the same generation follow, it is damage instead: they were written after it.
//! Source: "WAL-mode File Format", SQLite documentation.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Magic number of the header. Its last bit says that checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;

pub(super) fn path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// What is wrong with the log of `database`.
pub(super) fn fault(database: &Path) -> Option<String> {
    match pages(database) {
        Ok(Some(_)) => None,
        Ok(None) => Some("its write-ahead log is damaged".to_owned()),
        Err(error) => Some(format!("its write-ahead log cannot be read: {error}")),
    }
}

/// The pages that the log of `database` holds in place of those in the file. `None` if it is damaged.
///
/// # Errors
/// When it cannot be read.
pub(super) fn pages(database: &Path) -> io::Result<Option<HashSet<u32>>> {
    match File::open(path(database)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(HashSet::new())),
        Err(error) => Err(error),
        Ok(file) => scan(io::BufReader::with_capacity(1 << 20, file)),
    }
}

/// The pages that the log of an open `database` names, without a look at their checksums.
///
/// # Errors
/// When it cannot be read.
pub(super) fn named_pages(database: &Path) -> io::Result<HashSet<u32>> {
    let mut log = File::open(path(database))?;
    let mut pages = HashSet::new();
    let mut header = [0; HEADER];
    if fill(&mut log, &mut header)? < HEADER {
        return Ok(pages);
    }
    let [_, _, page_bytes, _, salt_1, salt_2, ..] = words(&header);
    let mut frame = [0; FRAME_HEADER];
    while fill(&mut log, &mut frame)? == FRAME_HEADER {
        let [page, _, frame_salt_1, frame_salt_2, ..] = words(&frame);
        if (frame_salt_1, frame_salt_2) != (salt_1, salt_2) {
            // Of an older generation.
            break;
        }
        pages.insert(page);
        log.seek(SeekFrom::Current(i64::from(page_bytes)))?;
    }
    Ok(pages)
}

fn scan(mut log: impl Read) -> io::Result<Option<HashSet<u32>>> {
    let mut pages = HashSet::new();
    let mut header = [0; HEADER];
    let read = fill(&mut log, &mut header)?;
    if read < HEADER || header == [0; HEADER] {
        // Nothing was written to it yet.
        let mut next = [0; FRAME_HEADER];
        let is_empty = fill(&mut log, &mut next)? < FRAME_HEADER || next == [0; FRAME_HEADER];
        return Ok(is_empty.then_some(pages));
    }
    let [magic, _, page_bytes, _, salt_1, salt_2, sum_1, sum_2] = words(&header);
    let mut checksum = Checksum {
        big_endian: magic & 1 == 1,
        sums: (0, 0),
    };
    checksum.add(&header[..24]);
    if magic & !1 != MAGIC || checksum.sums != (sum_1, sum_2) || !(512..=1 << 16).contains(&page_bytes) {
        return Ok(None);
    }
    let mut uncommitted = Vec::new();
    let mut frame = vec![0; FRAME_HEADER + page_bytes as usize];
    let mut broken = false;
    while fill(&mut log, &mut frame)? == frame.len() {
        let [page, commit, frame_salt_1, frame_salt_2, sum_1, sum_2, ..] = words(&frame);
        if (frame_salt_1, frame_salt_2) != (salt_1, salt_2) {
            // Of an older generation, or damaged.
            broken = true;
            continue;
        }
        if broken && commit != 0 {
            return Ok(None);
        }
        if broken {
            // Of a transaction that was not committed, unless its commit follows.
            continue;
        }
        checksum.add(&frame[..8]);
        checksum.add(&frame[FRAME_HEADER..]);
        broken = checksum.sums != (sum_1, sum_2);
        if !broken {
            uncommitted.push(page);
        }
        if !broken && commit != 0 {
            pages.extend(uncommitted.drain(..));
        }
    }
    Ok(Some(pages))
}

/// The first eight big-endian words, zeros where there are fewer.
fn words(bytes: &[u8]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match log.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// SQLite's checksum of all frames up to one.
struct Checksum {
    big_endian: bool,
    sums: (u32, u32),
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.as_chunks::<8>().0 {
            let (first, second) = pair.split_at(4);
            self.sums.0 = self
                .sums
                .0
                .wrapping_add(self.word(first))
                .wrapping_add(self.sums.1);
            self.sums.1 = self
                .sums
                .1
                .wrapping_add(self.word(second))
                .wrapping_add(self.sums.0);
        }
    }

    fn word(&self, bytes: &[u8]) -> u32 {
        let bytes: [u8; 4] = bytes.try_into().unwrap_or_default();
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}
