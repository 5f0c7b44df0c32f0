//! What of a mapping outlives the process: its settings, and how far each shard is done.
//!
//! Settings are a file that is replaced whole. Places are lines appended to a log, one write per batch that is done, and
//! written anew when most of it is out of date. Nothing is synced: what was written survives the end of the process. A
//! place is written after its batch is done, so a killed process delivers again what it was at, and loses nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::lane::Window;
use super::settings::Settings;
use ground::platform;

/// A log shorter than this is not worth writing anew.
const LEAST_REWRITTEN: u64 = 1 << 20;

/// How far a shard is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of the first record that is not done.
    pub next: u64,
    /// Closed, and nothing is left.
    pub ended: bool,
    /// The window that is open, with its state.
    pub window: Option<Window>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// The stream that the lines after this one are about: a name can be given again.
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

/// The places of all shards of a mapping, on disk.
#[derive(Debug)]
pub(super) struct Places {
    path: PathBuf,
    file: Option<fs::File>,
    length: u64,
    stream: Option<u64>,
    shards: BTreeMap<u32, Place>,
}

impl Places {
    /// Opens the log at `path`; a torn last line is cut off.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut places = Self {
            path,
            file: None,
            length: whole as u64,
            stream: None,
            shards: BTreeMap::new(),
        };
        for line in bytes[..whole].split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                places.take(line);
            }
        }
        if whole < bytes.len() {
            let file = fs::OpenOptions::new().write(true).open(&places.path)?;
            file.set_len(whole as u64)?;
        }
        Ok(places)
    }

    fn take(&mut self, line: Line) {
        if line.stream.is_some() {
            self.stream = line.stream;
            self.shards.clear();
        }
        if let Some(shard) = line.shard {
            let place = Place {
                next: line.next,
                ended: line.ended,
                window: line.window.map(|window| Window {
                    start_ms: window.start_ms,
                    end_ms: window.end_ms,
                    state: Bytes::copy_from_slice(window.state.get().as_bytes()),
                }),
            };
            self.shards.insert(shard, place);
        }
    }

    /// The stream that the places belong to.
    pub(super) fn stream(&self) -> Option<u64> {
        self.stream
    }

    /// The place in a shard, if one was ever set.
    pub(super) fn get(&self, shard: u32) -> Option<&Place> {
        self.shards.get(&shard)
    }

    /// Forgets everything, and starts with these places in the stream `stream`.
    pub(super) fn reset(
        &mut self,
        stream: u64,
        shards: impl IntoIterator<Item = (u32, Place)>,
    ) -> io::Result<()> {
        self.stream = Some(stream);
        self.shards = shards.into_iter().collect();
        self.rewrite()
    }

    /// Writes the place in a shard down.
    pub(super) fn set(&mut self, shard: u32, place: Place) -> io::Result<()> {
        let bytes = line(Some(shard), None, &place)?;
        self.shards.insert(shard, place);
        if self.file.is_none() {
            let mut options = platform::private_file();
            self.file = Some(options.append(true).create(true).open(&self.path)?);
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&bytes)
        {
            // Half a line must not run into the next one.
            let _ = file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        if self.length > LEAST_REWRITTEN && self.length > 4 * self.live_bytes() {
            self.rewrite()?;
        }
        Ok(())
    }

    /// About as long as the log is when it is fresh.
    fn live_bytes(&self) -> u64 {
        let states = self.shards.values().filter_map(|place| place.window.as_ref());
        let states: usize = states.map(|window| window.state.len()).sum();
        (states + 64 * self.shards.len()) as u64
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = line(None, self.stream, &Place::default())?;
        for (shard, place) in &self.shards {
            bytes.extend(line(Some(*shard), None, place)?);
        }
        self.file = None;
        platform::replace_private_file(&self.path, &bytes)?;
        self.length = bytes.len() as u64;
        Ok(())
    }
}

fn line(shard: Option<u32>, stream: Option<u64>, place: &Place) -> io::Result<Vec<u8>> {
    let window = match &place.window {
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
        next: place.next,
        ended: place.ended,
        window,
    };
    let mut bytes = serde_json::to_vec(&line)?;
    // A state may hold line breaks between its values; inside JSON they only ever stand there.
    bytes
        .iter_mut()
        .filter(|byte| **byte == b'\n' || **byte == b'\r')
        .for_each(|byte| *byte = b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// The files of one mapping.
#[derive(Debug, Clone)]
pub(super) struct Files {
    settings: PathBuf,
    places: PathBuf,
}

impl Files {
    pub(super) fn new(dir: &Path, uuid: &str) -> Self {
        Self {
            settings: dir.join(format!("{uuid}.json")),
            places: dir.join(format!("{uuid}.places")),
        }
    }

    /// All mappings in `dir`.
    ///
    /// # Errors
    /// When a file cannot be read or understood; the error names it.
    pub(super) fn list(dir: &Path) -> io::Result<Vec<Settings>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let named = |kind, what: String| io::Error::new(kind, format!("{}: {what}", path.display()));
            let text = fs::read(&path).map_err(|e| named(e.kind(), e.to_string()))?;
            let settings = serde_json::from_slice(&text)
                .map_err(|e| named(io::ErrorKind::InvalidData, format!("is damaged: {e}")))?;
            all.push(settings);
        }
        Ok(all)
    }

    pub(super) fn save(&self, settings: &Settings) -> io::Result<()> {
        platform::replace_private_file(&self.settings, &serde_json::to_vec_pretty(settings)?)
    }

    pub(super) fn places(&self) -> io::Result<Places> {
        Places::open(self.places.clone())
    }

    /// Forgets the mapping; its settings first, so that a half-deleted one does not come back.
    pub(super) fn remove(&self) {
        for path in [&self.settings, &self.places] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a file of a deleted mapping stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_and_a_torn_line_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.places");
        let window = Window {
            start_ms: 0,
            end_ms: 60_000,
            state: Bytes::from_static(b"{\"n\":\n1}"),
        };
        let mut places = Places::open(path.clone()).unwrap();
        places.reset(7, [(0, Place::default())]).unwrap();
        let place = |next| Place {
            next,
            ..Place::default()
        };
        places.set(0, place(5)).unwrap();
        places
            .set(
                1,
                Place {
                    window: Some(window.clone()),
                    ..place(9)
                },
            )
            .unwrap();
        drop(places);
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"shard\":0,\"next\":99")
            .unwrap();
        let mut places = Places::open(path.clone()).unwrap();
        assert_eq!(places.stream(), Some(7));
        assert_eq!(places.get(0), Some(&place(5)));
        let kept = places.get(1).unwrap().window.clone().unwrap();
        assert_eq!(kept.state, Bytes::from_static(b"{\"n\": 1}"));
        places.set(0, place(6)).unwrap();
        let places = Places::open(path).unwrap();
        assert_eq!(places.get(0), Some(&place(6)));
    }

    #[test]
    fn a_long_log_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.places");
        let mut places = Places::open(path.clone()).unwrap();
        places.reset(1, []).unwrap();
        for next in 0..60_000 {
            let place = Place {
                next,
                ..Place::default()
            };
            places.set(0, place).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= LEAST_REWRITTEN + 100);
        assert_eq!(Places::open(path).unwrap().get(0).unwrap().next, 59_999);
    }
}
