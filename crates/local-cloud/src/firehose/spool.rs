//! The files of partitions: the records that wait for their object, one after another.
//!
//! A record has a header: its length and a checksum of what follows, 4 bytes each, and its arrival in milliseconds, 8 bytes, all
//! little endian. How much of a file counts is saved with the progress: a process that is killed while it appends has written
//! nothing that counts. Damage to a record loses this record, and the loss is known by the number of records.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ground::platform;

/// Bytes before each record.
pub(super) const HEADER: usize = 16;
const BUFFER: usize = 64 << 10;

/// A record as it is stored.
pub(super) fn push(bytes: &mut Vec<u8>, arrival_ms: i64, data: &[u8]) {
    let arrival = arrival_ms.to_le_bytes();
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(arrival, data).to_le_bytes());
    bytes.extend_from_slice(&arrival);
    bytes.extend_from_slice(data);
}

fn checksum(arrival: [u8; 8], data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&arrival);
    hasher.update(data);
    hasher.finalize()
}

/// Appends to the first `length` bytes of a file, and cuts off what else it has.
///
/// # Errors
/// If it cannot be written. The error names the file.
pub(super) fn append(path: &Path, length: u64, bytes: &[u8]) -> io::Result<()> {
    let mut options = platform::private_file();
    options.write(true).create(true).truncate(false);
    let appended = platform::open_private(&options, path).and_then(|file| {
        file.set_len(length)?;
        platform::write_all_at(&file, bytes, length)
    });
    appended.map_err(|error| platform::at_path(error, path))
}

/// Reads the records between two positions of a file, in order.
pub(super) struct Reader {
    file: BufReader<std::fs::File>,
    at: u64,
    end: u64,
}

impl Reader {
    /// `None` if the file does not exist.
    ///
    /// # Errors
    /// If it cannot be read. The error names the file.
    pub fn open(path: &Path, from: u64, to: u64) -> io::Result<Option<Self>> {
        let opened = std::fs::File::open(path).and_then(|mut file| {
            let end = file.metadata()?.len().min(to);
            file.seek(SeekFrom::Start(from))?;
            Ok(Some(Self {
                file: BufReader::with_capacity(BUFFER, file),
                at: from,
                end,
            }))
        });
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map_err(|error| platform::at_path(error, path)),
        }
    }

    /// Where the next record begins.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The next intact record: arrival and data. `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self) -> io::Result<Option<(i64, Vec<u8>)>> {
        while self.at + HEADER as u64 <= self.end {
            let mut header = [0; HEADER];
            self.file.read_exact(&mut header)?;
            let (length, rest) = header.split_at(4);
            let (sum, arrival) = rest.split_at(4);
            let number = |bytes: &[u8]| {
                bytes
                    .iter()
                    .rev()
                    .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            };
            let length = u64::from(number(length));
            self.at += HEADER as u64;
            if length > self.end - self.at {
                // The length is damaged: what follows cannot be found.
                break;
            }
            self.at += length;
            let mut data = vec![0; usize::try_from(length).unwrap_or_default()];
            self.file.read_exact(&mut data)?;
            let arrival: [u8; 8] = arrival.try_into().unwrap_or_default();
            if number(sum) == checksum(arrival, &data) {
                return Ok(Some((i64::from_le_bytes(arrival), data)));
            }
        }
        self.at = self.end;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path, to: u64) -> Vec<(i64, Vec<u8>)> {
        let Some(mut reader) = Reader::open(path, 0, to).unwrap() else {
            return Vec::new();
        };
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    #[test]
    fn what_does_not_count_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1");
        assert_eq!(read(&path, 100), []);
        let mut bytes = Vec::new();
        push(&mut bytes, 7, b"first");
        append(&path, 0, &bytes).unwrap();
        let length = bytes.len() as u64;
        append(&path, length, b"not saved with the progress").unwrap();
        bytes.clear();
        push(&mut bytes, 8, b"");
        append(&path, length, &bytes).unwrap();
        let length = length + bytes.len() as u64;
        assert_eq!(path.metadata().unwrap().len(), length);
        assert_eq!(read(&path, length), [(7, b"first".to_vec()), (8, Vec::new())]);
        assert_eq!(read(&path, length - 1).len(), 1);
    }

    #[test]
    fn damage_loses_what_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1");
        let mut bytes = Vec::new();
        for number in 0..10_u8 {
            push(&mut bytes, 0, &[number; 20]);
        }
        let length = bytes.len();
        for at in 0..length {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            append(&path, 0, &damaged).unwrap();
            let found = read(&path, length as u64);
            // A length that is damaged loses what follows it.
            let least = if at % 36 < 4 { at / 36 } else { 9 };
            assert!(found.len() >= least && found.len() < 10, "{at}: {}", found.len());
            assert!(
                found
                    .iter()
                    .all(|(_, data)| data.iter().all(|byte| *byte == data[0]))
            );
        }
    }
}
