//! Checksums of the pages of an open database, in a file beside it.
//!
//! The file of a database has no checksums of its own. After a crash it consists of pages that were there when the checksums
//! were saved, and of pages that SQLite was copying from its log: those are still in the log, which has checksums. So the
//! checksums must be saved after a checkpoint has copied the log, and before SQLite begins it anew.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::wal;
use ground::platform;

/// Offset of the page size in the file of a database. Source: "Database File Format", SQLite documentation.
const PAGE_SIZE: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pages {
    /// Bytes of a page.
    size: u32,
    /// CRC-32 of each page.
    sums: Vec<u32>,
}

fn path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".pages");
    PathBuf::from(name)
}

/// Removes the checksums: another process will know nothing of the pages.
pub(super) fn remove(database: &Path) {
    let _ = std::fs::remove_file(path(database));
}

/// What is wrong with the pages that are in the file of `database` and not in its log, if their checksums were saved.
pub(super) fn fault(database: &Path) -> Option<String> {
    let saved = Pages::load(database)?;
    let found = wal::pages(database).and_then(|in_log| {
        let in_log = in_log.unwrap_or_default();
        let found = Pages::of(&File::open(database)?, saved.size)?;
        let mut expected = (1..).zip(&saved.sums);
        Ok(expected.find(|(page, sum)| {
            let index = *page as usize - 1;
            !in_log.contains(page) && found.sums.get(index) != Some(*sum)
        }))
    });
    match found {
        Ok(found) => found.map(|(page, _)| format!("page {page} is not as it was written")),
        Err(error) => Some(format!("its pages cannot be read: {error}")),
    }
}

impl Pages {
    /// The checksums of all pages of `file` as it is, which is that of a database.
    pub fn read(mut file: &File) -> io::Result<Self> {
        let mut header = [0; PAGE_SIZE + 2];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
        let size = match u16::from_be_bytes([header[PAGE_SIZE], header[PAGE_SIZE + 1]]) {
            1 => 1 << 16,
            size @ 512.. => u32::from(size),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Self::of(file, size)
    }

    /// An incomplete page at the end of the file has no checksum.
    fn of(mut file: &File, size: u32) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        let mut file = io::BufReader::with_capacity(1 << 20, file);
        let mut page = vec![0; size as usize];
        let mut sums = Vec::new();
        loop {
            match file.read_exact(&mut page) {
                Ok(()) => sums.push(crc32fast::hash(&page)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Self { size, sums }),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the pages `changed` of the file again.
    pub fn update(&mut self, mut file: &File, changed: &HashSet<u32>) -> io::Result<()> {
        let mut bytes = vec![0; self.size as usize];
        let mut changed: Vec<u32> = changed.iter().copied().filter(|page| *page > 0).collect();
        changed.sort_unstable();
        for page in changed {
            let index = page as usize - 1;
            file.seek(SeekFrom::Start(index as u64 * u64::from(self.size)))?;
            match file.read_exact(&mut bytes) {
                // A page of a transaction that was rolled back.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                read => read?,
            }
            if self.sums.len() <= index {
                self.sums.resize(index + 1, 0);
            }
            self.sums[index] = crc32fast::hash(&bytes);
        }
        Ok(())
    }

    /// Saves the checksums, also for the case of a power failure.
    pub fn save(&self, database: &Path) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(8 + self.sums.len() * 4);
        bytes.extend_from_slice(&self.size.to_le_bytes());
        self.sums
            .iter()
            .for_each(|sum| bytes.extend_from_slice(&sum.to_le_bytes()));
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        platform::replace_private_file(&path(database), &bytes)
    }

    /// The saved checksums; `None` if there are none, or if they are damaged themselves.
    fn load(database: &Path) -> Option<Self> {
        let bytes = std::fs::read(path(database)).ok()?;
        let (words, rest) = bytes.as_chunks::<4>();
        let mut words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let sum = words.pop()?;
        let is_sound = rest.is_empty() && crc32fast::hash(&bytes[..bytes.len() - 4]) == sum;
        let (size, sums) = words.split_first()?;
        (is_sound && (512..=1 << 16).contains(size)).then(|| Self {
            size: *size,
            sums: sums.to_vec(),
        })
    }
}
