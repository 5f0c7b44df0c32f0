//! Checkpoints in a file: how far each shard of a stream was written out.
//!
//! The file is a journal: one line of JSON for each change, and the last line of a shard counts. A change is one write at
//! the end of the file, so a process that is killed leaves a whole file or one whose last line is cut, and that line is
//! dropped. A journal that has grown is replaced by a short one, by renaming. The file is locked while it is used.
//!
//! Knows neither the service nor the tail.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{IteratorStart, Progress};
use ground::error::{Error, Result};
use ground::{file, platform};

/// The largest journal that is read.
const MOST_BYTES: u64 = 256 << 20;
/// A journal is replaced once it is larger than this and four times the size of the short one.
const GROWN: u64 = 1 << 20;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    stream: String,
    shard_id: String,
    #[serde(flatten)]
    position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "position")]
enum Position {
    /// The oldest record.
    TrimHorizon,
    /// The first record from this time on, in milliseconds since the Unix epoch.
    AtTimestamp {
        timestamp_ms: i64,
    },
    AtSequenceNumber {
        sequence_number: String,
    },
    /// What a reader has written out last.
    AfterSequenceNumber {
        sequence_number: String,
    },
    /// The shard was read to its end.
    ShardEnd,
}

impl From<&Progress> for Position {
    fn from(progress: &Progress) -> Self {
        match progress {
            Progress::Ended => Self::ShardEnd,
            Progress::After(number) | Progress::From(IteratorStart::After(number)) => {
                Self::AfterSequenceNumber {
                    sequence_number: number.clone(),
                }
            }
            Progress::From(IteratorStart::At(number)) => Self::AtSequenceNumber {
                sequence_number: number.clone(),
            },
            Progress::From(IteratorStart::AtTimestamp(ms)) => Self::AtTimestamp { timestamp_ms: *ms },
            // A tail names the time of its start instead of "latest".
            Progress::From(IteratorStart::TrimHorizon | IteratorStart::Latest) => Self::TrimHorizon,
        }
    }
}

impl From<&Position> for Progress {
    fn from(position: &Position) -> Self {
        match position.clone() {
            Position::ShardEnd => Self::Ended,
            Position::AfterSequenceNumber { sequence_number } => Self::After(sequence_number),
            Position::AtSequenceNumber { sequence_number } => Self::From(IteratorStart::At(sequence_number)),
            Position::AtTimestamp { timestamp_ms } => Self::From(IteratorStart::AtTimestamp(timestamp_ms)),
            Position::TrimHorizon => Self::From(IteratorStart::TrimHorizon),
        }
    }
}

/// An open checkpoint file.
#[derive(Debug)]
pub struct CheckpointFile {
    path: PathBuf,
    file: File,
    size: u64,
    /// By stream and shard.
    positions: BTreeMap<(String, String), Position>,
}

impl CheckpointFile {
    /// Opens `path` and locks it; creates it if it does not exist.
    ///
    /// # Errors
    /// Exit 2 if it is not a checkpoint file, exit 1 if another process uses it or it cannot be read or written.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| Error::failed(format!("could not open {}", path.display())).cause(error);
        let file = lock(path).map_err(failed)?.ok_or_else(|| {
            Error::failed(format!("{} is used by another tail", path.display()))
                .hint("give each tail a file of its own, or let several share the shards with `--group NAME`")
        })?;
        let bytes = file::read_from(&file, MOST_BYTES).map_err(failed)?;
        let (positions, size) = parse(&bytes).map_err(|line| {
            Error::usage(format!(
                "{} is not a checkpoint file: line {line} cannot be read",
                path.display()
            ))
            .hint("name a file that `streamctl tail STREAM --checkpoint FILE` wrote, or one that does not exist")
        })?;
        let mut opened = Self {
            path: path.to_owned(),
            file,
            size,
            positions,
        };
        // Drops a line that was cut.
        opened.file.set_len(size).map_err(failed)?;
        opened.file.seek(SeekFrom::Start(size)).map_err(failed)?;
        Ok(opened)
    }

    /// How far the shards of `stream` were read; empty if none was.
    pub fn progress(&self, stream: &str) -> HashMap<String, Progress> {
        let of_stream = self.positions.iter().filter(|((of, _), _)| of == stream);
        of_stream
            .map(|((_, shard), position)| (shard.clone(), Progress::from(position)))
            .collect()
    }

    /// Keeps how far shards of `stream` were read: all of it or nothing.
    ///
    /// # Errors
    /// Exit 1 if the file cannot be written.
    pub fn keep<'a>(
        &mut self,
        stream: &str,
        shards: impl IntoIterator<Item = (&'a str, &'a Progress)>,
    ) -> Result<()> {
        let mut lines = Vec::new();
        for (shard_id, progress) in shards {
            let line = Line {
                stream: stream.to_owned(),
                shard_id: shard_id.to_owned(),
                position: Position::from(progress),
            };
            write_line(&mut lines, &line);
            self.positions.insert((line.stream, line.shard_id), line.position);
        }
        let written = self.append(&lines).and_then(|()| self.shorten());
        written.map_err(|error| {
            Error::failed(format!(
                "could not write the checkpoint to {}",
                self.path.display()
            ))
            .cause(error)
        })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(lines);
        if written.is_err() {
            // Half a line in the middle would make the file unreadable.
            self.file.set_len(self.size)?;
            self.file.seek(SeekFrom::Start(self.size))?;
        } else {
            self.size += lines.len() as u64;
        }
        written
    }

    /// Replaces a journal that has grown by one with a line for each shard.
    fn shorten(&mut self) -> io::Result<()> {
        if self.size <= GROWN {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for ((stream, shard_id), position) in &self.positions {
            let line = Line {
                stream: stream.clone(),
                shard_id: shard_id.clone(),
                position: position.clone(),
            };
            write_line(&mut bytes, &line);
        }
        if self.size < 4 * bytes.len() as u64 {
            return Ok(());
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside = self.path.with_file_name(name);
        let mut new = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)?;
        // Locked before it has the name, so that nobody else opens it.
        new.try_lock().map_err(io::Error::from)?;
        new.write_all(&bytes)?;
        new.sync_data()?;
        std::fs::rename(&beside, &self.path)?;
        self.file = new;
        self.size = bytes.len() as u64;
        Ok(())
    }
}

/// How often a locked file is tried again, and the pause before each time. A process that another thread starts has the
/// descriptors of this one, and so its locks, until it runs its own program.
const LOCK_RETRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Opens and locks `path`; `None` if another process has locked it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut retries = 0;
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if retries == LOCK_RETRIES => return Ok(None),
            Err(TryLockError::WouldBlock) => {
                retries += 1;
                std::thread::sleep(LOCK_PAUSE);
                continue;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Another process may have replaced it in between.
        match platform::is_same_file(&file, path) {
            Ok(true) => return Ok(Some(file)),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_line(out: &mut Vec<u8>, line: &Line) {
    // A structure of texts and numbers has a JSON form.
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}

type Positions = BTreeMap<(String, String), Position>;

/// The positions and the size of the whole lines, or the number of the first line that is none.
fn parse(bytes: &[u8]) -> Result<(Positions, u64), usize> {
    let mut positions = Positions::new();
    let size = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    // A file with a first line that is no line of a checkpoint is something else, also if it has only one.
    if size == 0 && !bytes.is_empty() && !bytes.starts_with(b"{\"stream\":") {
        return Err(1);
    }
    for (number, line) in bytes[..size].split_inclusive(|b| *b == b'\n').enumerate() {
        let line: Line = serde_json::from_slice(line).map_err(|_| number + 1)?;
        positions.insert((line.stream, line.shard_id), line.position);
    }
    Ok((positions, size as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(number: u64) -> Progress {
        Progress::After(number.to_string())
    }

    fn keep(file: &mut CheckpointFile, shard: &str, progress: &Progress) {
        file.keep("orders", [(shard, progress)]).unwrap();
    }

    #[test]
    fn the_last_position_of_each_shard_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.checkpoint");
        let mut file = CheckpointFile::open(&path).unwrap();
        assert!(file.progress("orders").is_empty());
        let from = Progress::From(IteratorStart::AtTimestamp(5));
        file.keep("orders", [("a", &from), ("b", &from)]).unwrap();
        keep(&mut file, "a", &after(1));
        keep(&mut file, "a", &after(2));
        file.keep(
            "orders",
            [
                ("a", &Progress::Ended),
                ("c", &Progress::From(IteratorStart::TrimHorizon)),
            ],
        )
        .unwrap();
        file.keep("payments", [("a", &after(9))]).unwrap();
        drop(file);
        let file = CheckpointFile::open(&path).unwrap();
        let expected = [
            ("a", Progress::Ended),
            ("b", from),
            ("c", Progress::From(IteratorStart::TrimHorizon)),
        ];
        let expected = expected.map(|(shard, progress)| (shard.to_owned(), progress));
        assert_eq!(file.progress("orders"), HashMap::from(expected));
        assert_eq!(file.progress("payments").len(), 1);
        insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap().lines().nth(2).unwrap(),
            @r#"{"stream":"orders","shard_id":"a","position":"after_sequence_number","sequence_number":"1"}"#);
    }

    #[test]
    fn one_process_uses_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let held = CheckpointFile::open(&path).unwrap();
        let error = CheckpointFile::open(&path).unwrap_err().to_string();
        assert!(error.ends_with("is used by another tail"), "{error}");
        drop(held);
        CheckpointFile::open(&path).unwrap();
    }

    #[test]
    fn a_grown_journal_becomes_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = CheckpointFile::open(&path).unwrap();
        for n in 0..20_000 {
            keep(&mut file, if n % 2 == 0 { "a" } else { "b" }, &after(n));
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 2 * GROWN);
        assert!(CheckpointFile::open(&path).is_err(), "the new file is locked too");
        drop(file);
        let progress = CheckpointFile::open(&path).unwrap().progress("orders");
        assert_eq!((&progress["a"], &progress["b"]), (&after(19_998), &after(19_999)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_file_is_refused_and_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["hello", "hello\n", "{}\n", "{\"stream\":\"a\"}\n"] {
            let path = dir.path().join("file");
            std::fs::write(&path, content).unwrap();
            assert!(CheckpointFile::open(&path).is_err(), "{content}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        /// A kill cuts the file anywhere. What was complete before is read; the rest is as if it had not been kept.
        #[test]
        fn a_cut_file_is_an_earlier_one(numbers in prop::collection::vec(any::<u64>(), 1..20), cut: prop::sample::Index) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let mut file = CheckpointFile::open(&path).unwrap();
            let mut sizes = vec![0];
            for number in &numbers {
                keep(&mut file, "a", &after(*number));
                sizes.push(std::fs::metadata(&path).unwrap().len());
            }
            drop(file);
            let whole = std::fs::read(&path).unwrap();
            // A first line that is cut before its first member is named is not distinguished from another file.
            let cut = 10 + cut.index(whole.len() - 9);
            std::fs::write(&path, &whole[..cut]).unwrap();
            let kept = sizes.iter().filter(|size| **size <= cut as u64).count() - 1;
            let mut file = CheckpointFile::open(&path).unwrap();
            let expected = kept.checked_sub(1).map(|last| after(numbers[last]));
            prop_assert_eq!(file.progress("orders").remove("a"), expected);
            keep(&mut file, "a", &after(7));
            drop(file);
            let progress = CheckpointFile::open(&path).unwrap().progress("orders");
            prop_assert_eq!(&progress["a"], &after(7));
        }

        #[test]
        fn no_file_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
