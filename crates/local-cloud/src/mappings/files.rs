//! Persistent state of a mapping: its settings and checkpoints.
//!
//! Settings are one file, replaced as a whole. Checkpoints are lines appended to a log, one write per completed batch.
//! The log is rewritten when most of it is outdated. Nothing is synced: written data survives the end of the process. A
//! checkpoint is written after its batch is done, so a killed process delivers its batches again and loses nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::lane::Window;
use super::settings::Settings;
use crate::state_file;
use ground::platform;

/// Before the checksum of a line.
const MARK: &str = "#";
/// A shorter log is not rewritten.
const MIN_REWRITE_BYTES: u64 = 1 << 20;

/// How far a shard has been processed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Index of the first record that is not done.
    pub next: u64,
    /// The shard is closed and processed to its end.
    pub ended: bool,
    /// The open window with its state.
    pub window: Option<Window>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// The stream of the following lines. It changes when a stream is created again under the same name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    stream: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    shard: Option<u32>,
    #[serde(default)]
    next: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    ended: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    window: Option<WindowLine>,
}

#[derive(Serialize, Deserialize)]
struct WindowLine {
    start_ms: i64,
    end_ms: i64,
    state: Box<RawValue>,
}

/// The checkpoints of all shards of a mapping, on disk.
#[derive(Debug)]
pub(super) struct Checkpoints {
    path: PathBuf,
    file: Option<fs::File>,
    length: u64,
    stream: Option<u64>,
    shards: BTreeMap<u32, Checkpoint>,
    /// Number of lines that could not be read. Records after the checkpoint before are processed again.
    pub(super) damaged_lines: usize,
}

impl Checkpoints {
    /// Opens the log at `path`. Cuts off an incomplete last line.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(platform::at_path(error, &path)),
        };
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut checkpoints = Self {
            path,
            file: None,
            length: whole as u64,
            stream: None,
            shards: BTreeMap::new(),
            damaged_lines: 0,
        };
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            match parse(line) {
                Some(line) => checkpoints.take(line),
                None => checkpoints.damaged_lines += 1,
            }
        }
        if whole < bytes.len() {
            let file = fs::OpenOptions::new().write(true).open(&checkpoints.path);
            file.and_then(|file| file.set_len(whole as u64))
                .map_err(|error| platform::at_path(error, &checkpoints.path))?;
        }
        Ok(checkpoints)
    }

    fn take(&mut self, line: Line) {
        if line.stream.is_some() {
            self.stream = line.stream;
            self.shards.clear();
        }
        if let Some(shard) = line.shard {
            let checkpoint = Checkpoint {
                next: line.next,
                ended: line.ended,
                window: line.window.map(|window| Window {
                    start_ms: window.start_ms,
                    end_ms: window.end_ms,
                    state: Bytes::copy_from_slice(window.state.get().as_bytes()),
                }),
            };
            self.shards.insert(shard, checkpoint);
        }
    }

    /// The stream that the checkpoints belong to.
    pub(super) fn stream(&self) -> Option<u64> {
        self.stream
    }

    /// The checkpoint of a shard, if one was ever set.
    pub(super) fn get(&self, shard: u32) -> Option<&Checkpoint> {
        self.shards.get(&shard)
    }

    /// Replaces all checkpoints with `shards` of the stream `stream`.
    pub(super) fn reset(
        &mut self,
        stream: u64,
        shards: impl IntoIterator<Item = (u32, Checkpoint)>,
    ) -> io::Result<()> {
        self.stream = Some(stream);
        self.shards = shards.into_iter().collect();
        self.rewrite()
    }

    /// Writes the checkpoint of a shard.
    pub(super) fn set(&mut self, shard: u32, checkpoint: Checkpoint) -> io::Result<()> {
        let bytes = line(Some(shard), None, &checkpoint)?;
        self.shards.insert(shard, checkpoint);
        if self.file.is_none() {
            let opened = platform::private_file()
                .append(true)
                .create(true)
                .open(&self.path);
            self.file = Some(opened.map_err(|error| platform::at_path(error, &self.path))?);
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&bytes)
        {
            // An incomplete line must not merge with the next one.
            let _ = file.set_len(self.length);
            return Err(platform::at_path(error, &self.path));
        }
        self.length += bytes.len() as u64;
        if self.length > MIN_REWRITE_BYTES && self.length > 4 * self.live_bytes() {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Approximate length of the log after a rewrite.
    fn live_bytes(&self) -> u64 {
        let states = self
            .shards
            .values()
            .filter_map(|checkpoint| checkpoint.window.as_ref());
        let states: usize = states.map(|window| window.state.len()).sum();
        (states + 64 * self.shards.len()) as u64
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = line(None, self.stream, &Checkpoint::default())?;
        for (shard, checkpoint) in &self.shards {
            bytes.extend(line(Some(*shard), None, checkpoint)?);
        }
        self.file = None;
        platform::replace_private_file(&self.path, &bytes)?;
        self.length = bytes.len() as u64;
        Ok(())
    }
}

fn line(shard: Option<u32>, stream: Option<u64>, checkpoint: &Checkpoint) -> io::Result<Vec<u8>> {
    let window = match &checkpoint.window {
        Some(window) => {
            let state = String::from_utf8_lossy(&window.state).into_owned();
            Some(WindowLine {
                start_ms: window.start_ms,
                end_ms: window.end_ms,
                state: RawValue::from_string(state)?,
            })
        }
        None => None,
    };
    let line = Line {
        stream,
        shard,
        next: checkpoint.next,
        ended: checkpoint.ended,
        window,
    };
    let mut bytes = serde_json::to_vec(&line)?;
    // A state may contain line breaks. Inside JSON they occur only between values.
    bytes
        .iter_mut()
        .filter(|byte| **byte == b'\n' || **byte == b'\r')
        .for_each(|byte| *byte = b' ');
    let crc32 = crc32fast::hash(&bytes);
    bytes.extend_from_slice(format!("{MARK}{crc32:08x}\n").as_bytes());
    Ok(bytes)
}

/// Reads a line with its checksum. Earlier versions wrote none.
fn parse(line: &[u8]) -> Option<Line> {
    let line = line.strip_suffix(b"\n")?;
    let (json, checksum) = line.split_at_checked(line.len().saturating_sub(9))?;
    let Some(digits) = checksum.strip_prefix(MARK.as_bytes()) else {
        return serde_json::from_slice(line).ok();
    };
    let crc32 = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (crc32 == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}

#[derive(Debug, Clone)]
pub(super) struct Files {
    settings: PathBuf,
    checkpoints: PathBuf,
}

impl Files {
    pub(super) fn new(dir: &Path, uuid: &str) -> Self {
        Self {
            settings: dir.join(format!("{uuid}.json")),
            checkpoints: dir.join(format!("{uuid}.places")),
        }
    }

    /// The mappings in `dir`, each with its file.
    ///
    /// # Errors
    /// If `dir` cannot be read.
    pub(super) fn list(dir: &Path) -> io::Result<Vec<(PathBuf, io::Result<Settings>)>> {
        let all = state_file::list(dir, "json")?.into_iter();
        let all = all.map(|path| {
            let missing = || platform::at_path(io::ErrorKind::NotFound.into(), &path);
            let settings = state_file::load_json(&path).and_then(|found| found.ok_or_else(missing));
            (path, settings)
        });
        Ok(all.collect())
    }

    pub(super) fn save(&self, settings: &Settings) -> io::Result<()> {
        state_file::save_json(&self.settings, settings)
    }

    pub(super) fn checkpoints(&self) -> io::Result<Checkpoints> {
        Checkpoints::open(self.checkpoints.clone())
    }

    /// Deletes the mapping's files. The settings go first, so that an interrupted deletion does not leave a mapping.
    pub(super) fn remove(&self) {
        for path in [&self.settings, &self.checkpoints] {
            if let Err(error) = state_file::remove(path) {
                tracing::warn!(%error, "could not delete a file of a mapping");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_survive_and_an_incomplete_line_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.checkpoints");
        let window = Window {
            start_ms: 0,
            end_ms: 60_000,
            state: Bytes::from_static(b"{\"n\":\n1}"),
        };
        let mut checkpoints = Checkpoints::open(path.clone()).unwrap();
        checkpoints.reset(7, [(0, Checkpoint::default())]).unwrap();
        let checkpoint = |next| Checkpoint {
            next,
            ..Checkpoint::default()
        };
        checkpoints.set(0, checkpoint(5)).unwrap();
        checkpoints
            .set(
                1,
                Checkpoint {
                    window: Some(window.clone()),
                    ..checkpoint(9)
                },
            )
            .unwrap();
        drop(checkpoints);
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"shard\":0,\"next\":99")
            .unwrap();
        let mut checkpoints = Checkpoints::open(path.clone()).unwrap();
        assert_eq!(checkpoints.stream(), Some(7));
        assert_eq!(checkpoints.get(0), Some(&checkpoint(5)));
        let kept = checkpoints.get(1).unwrap().window.clone().unwrap();
        assert_eq!(kept.state, Bytes::from_static(b"{\"n\": 1}"));
        checkpoints.set(0, checkpoint(6)).unwrap();
        let checkpoints = Checkpoints::open(path).unwrap();
        assert_eq!(checkpoints.get(0), Some(&checkpoint(6)));
    }

    #[test]
    fn a_damaged_checkpoint_is_never_ahead_of_the_one_that_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.checkpoints");
        let mut checkpoints = Checkpoints::open(path.clone()).unwrap();
        checkpoints.reset(7, [(0, Checkpoint::default())]).unwrap();
        for next in [15, 25, 35] {
            let checkpoint = Checkpoint {
                next,
                ..Checkpoint::default()
            };
            checkpoints.set(0, checkpoint).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let found = Checkpoints::open(path.clone()).unwrap();
            let next = found.get(0).map_or(0, |checkpoint| checkpoint.next);
            let text = String::from_utf8_lossy(&bytes);
            assert!([0, 15, 25, 35].contains(&next), "{next}: {text}");
            let as_written = next == 35 && found.stream() == Some(7);
            // Losing the last line break looks like an interrupted write.
            assert!(
                as_written || found.damaged_lines > 0 || bit / 8 == whole.len() - 1,
                "{text}"
            );
        }
        // A line of an earlier version.
        fs::write(&path, "{\"stream\":7}\n{\"shard\":0,\"next\":9}\n").unwrap();
        let found = Checkpoints::open(path).unwrap();
        assert_eq!((found.get(0).unwrap().next, found.damaged_lines), (9, 0));
    }

    #[test]
    fn a_long_log_is_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.checkpoints");
        let mut checkpoints = Checkpoints::open(path.clone()).unwrap();
        checkpoints.reset(1, []).unwrap();
        for next in 0..60_000 {
            let checkpoint = Checkpoint {
                next,
                ..Checkpoint::default()
            };
            checkpoints.set(0, checkpoint).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= MIN_REWRITE_BYTES + 100);
        assert_eq!(Checkpoints::open(path).unwrap().get(0).unwrap().next, 59_999);
    }
}
