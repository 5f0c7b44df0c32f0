//! What each shard of a stream has acknowledged: one file of the stream, with a slot for each shard.
//!
//! A slot is written with each append, after the log and before the response. At the next start it tells apart two things
//! that look the same in a log: the incomplete end of an interrupted write, which was never acknowledged and is cut off,
//! and acknowledged records that are damaged or gone, which are reported.
//!
//! A slot, all numbers little endian: index of the first record that retention left (8 bytes), index of the next record
//! (8), CRC-32 of the shard's number and these (4), zeros (4). A slot of zeros was never written.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::handle::Handle;
use super::segment::damaged;
use ground::platform;

const SLOT: usize = 24;

/// The acknowledged records of the shards of a stream.
#[derive(Debug)]
pub struct Ends {
    path: PathBuf,
    open: OnceLock<Handle>,
}

impl Ends {
    /// The file in the directory of a stream. Accesses no file.
    pub fn new(dir: &Path) -> Self {
        Self {
            path: dir.join("ends"),
            open: OnceLock::new(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves that the shard `shard_index` has the records with the indexes `kept`.
    pub(super) fn set(&self, shard_index: u32, kept: &Range<u64>) -> io::Result<()> {
        let written = self
            .file()
            .and_then(|file| platform::write_all_at(&file, &slot(shard_index, kept), offset(shard_index)));
        written.map_err(|error| platform::at_path(error, &self.path))
    }

    /// What [`Self::set`] saved last. `None` if it never did.
    ///
    /// # Errors
    /// `InvalidData` if the slot is damaged, otherwise I/O errors.
    pub(super) fn get(&self, shard_index: u32) -> io::Result<Option<Range<u64>>> {
        if self.open.get().is_none() && !self.path.exists() {
            return Ok(None);
        }
        let read = self
            .file()
            .and_then(|file| platform::read_at(&file, offset(shard_index), SLOT));
        let bytes = read.map_err(|error| platform::at_path(error, &self.path))?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let (numbers, _) = bytes.as_chunks::<8>();
        if let [first, next, _] = numbers {
            let kept = u64::from_le_bytes(*first)..u64::from_le_bytes(*next);
            if slot(shard_index, &kept)[..] == bytes {
                return Ok(Some(kept));
            }
        }
        Err(platform::at_path(damaged("is damaged"), &self.path))
    }

    /// What is wrong with the file, of a stream that has one.
    pub fn fault(&self, shards: usize) -> Option<String> {
        let consequence = "records that are missing at the end of a shard are not detected at this start";
        if !self.path.exists() {
            return Some(format!("the file is missing; {consequence}"));
        }
        let shards = u32::try_from(shards).unwrap_or(u32::MAX);
        let damaged = (0..shards).any(|shard_index| !matches!(self.get(shard_index), Ok(Some(_))));
        damaged.then(|| format!("the file is damaged; {consequence}"))
    }

    fn file(&self) -> io::Result<Arc<File>> {
        if let Some(handle) = self.open.get() {
            return Ok(handle.file());
        }
        let file = platform::private_file()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)?;
        let file = Arc::new(file);
        if let Some(handle) = Handle::keep(&file) {
            // Another thread may have been faster.
            let _ = self.open.set(handle);
        }
        Ok(file)
    }
}

fn offset(shard_index: u32) -> u64 {
    u64::from(shard_index) * SLOT as u64
}

fn slot(shard_index: u32, kept: &Range<u64>) -> [u8; SLOT] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&shard_index.to_le_bytes());
    hasher.update(&kept.start.to_le_bytes());
    hasher.update(&kept.end.to_le_bytes());
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(&kept.start.to_le_bytes());
    bytes[8..16].copy_from_slice(&kept.end.to_le_bytes());
    bytes[16..20].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_read_as_it_was_written_and_every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let ends = Ends::new(dir.path());
        assert_eq!(ends.get(3).unwrap(), None, "no file");
        ends.set(3, &(7..1_000)).unwrap();
        assert_eq!(ends.get(3).unwrap(), Some(7..1_000));
        assert_eq!(ends.get(2).unwrap(), None, "never written");
        assert_eq!(ends.get(4).unwrap(), None, "after the end of the file");
        let whole = std::fs::read(ends.path()).unwrap();
        for bit in 0..SLOT * 8 {
            let mut bytes = whole.clone();
            bytes[3 * SLOT + bit / 8] ^= 1 << (bit % 8);
            std::fs::write(ends.path(), &bytes).unwrap();
            assert_eq!(
                ends.get(3).unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{bit}"
            );
        }
        std::fs::write(ends.path(), &whole[..whole.len() - 1]).unwrap();
        assert!(ends.get(3).is_err());
    }
}
