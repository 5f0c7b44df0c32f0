//! A file for records that failed, in the put-records shape.
//!
//! It can hold the only copy of a record. So it is created before the first call, a write that fails leaves no part of a
//! line, and an existing file is never overwritten. A file that stays empty is removed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use domain::record::{Record, to_entry_json, to_failed_json};
use ground::error::{Error, Result};
use ground::platform;

/// How many file names are tried.
const NAMES: u32 = 1000;

#[derive(Debug)]
pub(crate) struct FailedFile {
    path: PathBuf,
    file: File,
    /// Of all complete lines, in bytes.
    length: u64,
    records: u64,
}

impl FailedFile {
    /// Creates the file `path` that the user named.
    ///
    /// # Errors
    /// Exit 2 when it exists or cannot be created.
    pub(crate) fn named(path: &Path) -> Result<Self> {
        Self::create(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::usage(format!("{} exists already", path.display()))
                .hint("name another file with --failed-file, or move it away: it may hold records"),
            _ => unwritable(path, error),
        })
    }

    /// Creates the first of `paths` that can be created; a name that is taken gets a number.
    ///
    /// # Errors
    /// Exit 2 when none can be created.
    pub(crate) fn first_of(paths: &[PathBuf]) -> Result<Self> {
        let mut first = None;
        for path in paths {
            match Self::numbered(path) {
                Ok(file) => return Ok(file),
                Err(error) => first = first.or_else(|| Some(unwritable(path, error))),
            }
        }
        Err(first.unwrap_or_else(|| Error::usage("there is no file for failed records")))
    }

    fn numbered(path: &Path) -> io::Result<Self> {
        for number in 1..=NAMES {
            let candidate = match number {
                1 => path.to_owned(),
                _ => with_suffix(&path.with_extension(""), &format!(".{number}.ndjson")),
            };
            match Self::create(&candidate) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
        Err(io::Error::other("too many files of failed records"))
    }

    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: platform::private_file().write(true).create_new(true).open(path)?,
            path: path.to_owned(),
            length: 0,
            records: 0,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Writes one record, complete or not at all.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        self.write_line(to_entry_json(record))
    }

    /// As [`FailedFile::write`], with the reason why the record is here.
    pub(crate) fn write_with(&mut self, record: &Record, reason: &str) -> io::Result<()> {
        self.write_line(to_failed_json(record, reason))
    }

    fn write_line(&mut self, line: String) -> io::Result<()> {
        let mut line = line.into_bytes();
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would make the whole file bad input for `put --file`.
            self.file.set_len(self.length)?;
            io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += line.len() as u64;
        self.records += 1;
        Ok(())
    }

    /// Makes sure that the records are on disk: some filesystems report only now that there is no space.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self.records {
            0 => Ok(()),
            _ => self.file.sync_data(),
        }
    }
}

impl Drop for FailedFile {
    fn drop(&mut self) {
        if self.records == 0 {
            // Someone may have removed it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::usage(format!(
        "the file for records that fail, {}, cannot be created",
        path.display()
    ))
    .cause(error)
    .hint("name another one with --failed-file; nothing was sent")
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// `numbers` in words: `3, 7-9`; at most `most` parts.
pub(crate) fn ranges(numbers: &mut Vec<u64>, most: usize) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for number in numbers.iter().copied() {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let words = parts.iter().take(most).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let mut text = words.collect::<Vec<_>>().join(", ");
    if let Some((_, last)) = parts.last().filter(|_| parts.len() > most) {
        text.push_str(&format!(" and others up to {last}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ground::exit::Exit;

    fn record() -> Record {
        Record {
            data: bytes::Bytes::from_static(b"x"),
            partition_key: "k".into(),
            explicit_hash_key: None,
            has_random_key: false,
            number: 1,
            line: 1,
        }
    }

    #[test]
    fn an_empty_file_is_removed_and_an_earlier_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.json.failed.ndjson");
        drop(FailedFile::named(&path).unwrap());
        assert!(!path.exists());
        let paths = [path.clone()];
        for expected in ["in.json.failed.ndjson", "in.json.failed.2.ndjson"] {
            let mut file = FailedFile::first_of(&paths).unwrap();
            file.write(&record()).unwrap();
            assert_eq!(file.path(), dir.path().join(expected));
            drop(file);
            assert_eq!(
                std::fs::read_to_string(dir.path().join(expected)).unwrap(),
                "{\"Data\":\"eA==\",\"PartitionKey\":\"k\"}\n"
            );
        }
        assert_eq!(FailedFile::named(&path).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn the_next_place_is_taken_where_one_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("no/such/dir/f.ndjson");
        let error = FailedFile::first_of(std::slice::from_ref(&missing)).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        let second = dir.path().join("f.ndjson");
        let file = FailedFile::first_of(&[missing, second.clone()]).unwrap();
        assert_eq!(file.path(), second);
    }

    #[test]
    fn numbers_are_shown_as_ranges() {
        assert_eq!(ranges(&mut vec![9, 3, 7, 8, 8], 5), "3, 7-9");
        assert_eq!(ranges(&mut vec![1, 3, 5, 7], 2), "1, 3 and others up to 7");
        assert_eq!(ranges(&mut Vec::new(), 2), "");
    }
}
