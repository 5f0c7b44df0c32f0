//! `--out-dir`: files for each shard, a new one whenever one is full.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ground::error::{Error, Result};

/// Files that are open at the same time.
const MOST_OPEN: usize = 128;
/// Bytes that are written at once.
const CHUNK: usize = 1 << 20;

/// The files of one directory. A file that exists is never changed: the next number is used.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    extension: &'static str,
    /// A file is full with this many bytes. A record is never split.
    rotate_bytes: u64,
    current: HashMap<(Arc<str>, Arc<str>), Current>,
    open: HashMap<PathBuf, File>,
    written: u64,
}

/// The file that a shard is written to.
#[derive(Debug)]
struct Current {
    /// The name without the number.
    name: String,
    number: u32,
    path: PathBuf,
    size: u64,
    pending: Vec<u8>,
}

impl Files {
    /// # Errors
    /// Exit 2 if the directory cannot be made.
    pub(super) fn new(directory: &Path, extension: &'static str, rotate_bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|error| {
            Error::usage(format!(
                "the directory {} could not be created",
                directory.display()
            ))
            .cause(error)
        })?;
        Ok(Self {
            directory: directory.to_owned(),
            extension,
            rotate_bytes,
            current: HashMap::new(),
            open: HashMap::new(),
            written: 0,
        })
    }

    /// Number of files written.
    pub(super) fn count(&self) -> u64 {
        self.written
    }

    /// Appends a record to the file of its shard. It is written at the latest with [`Files::flush`].
    ///
    /// # Errors
    /// Exit 1 if it cannot be written.
    pub(super) fn write(
        &mut self,
        stream: &Arc<str>,
        shard_id: &Arc<str>,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        let key = (Arc::clone(stream), Arc::clone(shard_id));
        let current = self.current.entry(key.clone()).or_insert_with(|| Current {
            name: format!("{}-{}", file_name(stream), file_name(shard_id)),
            number: 0,
            path: PathBuf::new(),
            size: 0,
            pending: Vec::new(),
        });
        let before = current.pending.len();
        append(&mut current.pending);
        let added = current.pending.len() - before;
        let is_full = current.size > 0 && current.size + added as u64 > self.rotate_bytes;
        if current.number == 0 || is_full {
            // The record belongs to the next file.
            let record = current.pending.split_off(before);
            self.write_out(&key)?;
            self.next_file(&key)?;
            if let Some(current) = self.current.get_mut(&key) {
                current.pending = record;
            }
        }
        let Some(current) = self.current.get_mut(&key) else {
            return Ok(());
        };
        current.size += added as u64;
        match current.pending.len() >= CHUNK {
            true => self.write_out(&key),
            false => Ok(()),
        }
    }

    /// Writes what is pending.
    ///
    /// # Errors
    /// Exit 1 if it cannot be written.
    pub(super) fn flush(&mut self) -> Result<()> {
        let has_pending = |current: &Current| !current.pending.is_empty();
        let pending: Vec<_> = self
            .current
            .iter()
            .filter(|(_, current)| has_pending(current))
            .map(|(key, _)| key.clone())
            .collect();
        pending.iter().try_for_each(|key| self.write_out(key))
    }

    fn write_out(&mut self, key: &(Arc<str>, Arc<str>)) -> Result<()> {
        let Some(current) = self
            .current
            .get_mut(key)
            .filter(|current| !current.pending.is_empty())
        else {
            return Ok(());
        };
        let failed = |error| unwritten(&current.path, error);
        if !self.open.contains_key(&current.path) {
            // There may be more shards than files can be open.
            if self.open.len() >= MOST_OPEN {
                self.open.clear();
            }
            let file = OpenOptions::new()
                .append(true)
                .open(&current.path)
                .map_err(failed)?;
            self.open.insert(current.path.clone(), file);
        }
        if let Some(file) = self.open.get_mut(&current.path) {
            file.write_all(&current.pending).map_err(failed)?;
        }
        current.pending.clear();
        Ok(())
    }

    /// Begins the next file of a shard.
    fn next_file(&mut self, key: &(Arc<str>, Arc<str>)) -> Result<()> {
        let Some(current) = self.current.get_mut(key) else {
            return Ok(());
        };
        self.open.remove(&current.path);
        if current.number == 0 {
            current.number = last_number(&self.directory, &current.name);
        }
        loop {
            current.number += 1;
            let name = format!("{}-{:06}.{}", current.name, current.number, self.extension);
            current.path = self.directory.join(name);
            match OpenOptions::new()
                .append(true)
                .create_new(true)
                .open(&current.path)
            {
                Ok(_) => {
                    current.size = 0;
                    self.written += 1;
                    return Ok(());
                }
                // Another tail writes to the same directory.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritten(&current.path, error)),
            }
        }
    }
}

fn unwritten(path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("could not write {}", path.display())).cause(error)
}

/// The highest number of the files `NAME-NUMBER.*` in a directory, or 0.
fn last_number(directory: &Path, name: &str) -> u32 {
    let numbers = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| {
        let file = entry.file_name();
        let rest = file.to_str()?.strip_prefix(name)?.strip_prefix('-')?;
        rest.split_once('.')?.0.parse::<u32>().ok()
    });
    numbers.max().unwrap_or_default()
}

/// A stream or a shard as a part of the name of a file. ARNs have characters that some file systems refuse.
fn file_name(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(files: &mut Files, shard: &str, text: &str) {
        let append = |out: &mut Vec<u8>| out.extend_from_slice(text.as_bytes());
        files
            .write(&Arc::from("orders"), &Arc::from(shard), append)
            .unwrap();
    }

    fn found(directory: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_file_for_each_shard_and_a_new_one_when_it_is_full() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::new(&directory.path().join("a/b"), "data", 10).unwrap();
        for text in ["1234\n", "5678\n", "9\n", "much more than fits\n", "x\n"] {
            put(&mut files, "s-1", text);
        }
        put(&mut files, "s-2", "y\n");
        files.flush().unwrap();
        assert_eq!(files.count(), 5);
        let expected = [
            ("orders-s-1-000001.data", "1234\n5678\n"),
            ("orders-s-1-000002.data", "9\n"),
            ("orders-s-1-000003.data", "much more than fits\n"),
            ("orders-s-1-000004.data", "x\n"),
            ("orders-s-2-000001.data", "y\n"),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(found(&directory.path().join("a/b")), expected);
    }

    #[test]
    fn what_is_there_is_never_changed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("orders-s-1-000041.data"), "old").unwrap();
        let mut files = Files::new(directory.path(), "data", 1000).unwrap();
        put(&mut files, "s-1", "new");
        files.flush().unwrap();
        let names: Vec<String> = found(directory.path())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["orders-s-1-000041.data", "orders-s-1-000042.data"]);
        assert_eq!(found(directory.path())[0].1, "old");
        assert_eq!(
            file_name("arn:aws:kinesis:x:1:stream/a"),
            "arn_aws_kinesis_x_1_stream_a"
        );
    }

    #[test]
    fn more_shards_than_open_files() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::new(directory.path(), "data", 1000).unwrap();
        for _ in 0..3 {
            (0..MOST_OPEN + 5).for_each(|shard| put(&mut files, &format!("s-{shard}"), "x"));
            files.flush().unwrap();
        }
        assert!(files.open.len() <= MOST_OPEN);
        assert!(found(directory.path()).iter().all(|(_, text)| text == "xxx"));
    }
}
