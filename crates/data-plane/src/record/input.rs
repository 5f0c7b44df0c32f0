//! The inputs of one run: files, globs, pipes, the text of an argument; one after another, and perhaps again.

mod identity;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

pub use identity::InputIdentity;

use super::compression::decompressed;
use super::{
    BadRecords, HotKey, HotKeys, InputFormat, KeyRule, LARGEST_RECORD_BYTES, ReadOptions, Record,
    RecordError, RecordErrorKind, RecordReader, RecordSource,
};
use ground::error::{Error, Result};

/// How much of the input is checked before anything is sent, after decompression.
const CHECKED_BYTES: u64 = 16 * 1024 * 1024;
/// The same of a larger input, most of which is not checked anyway. The beginning shows whether the format and the keys are
/// right; more would be read twice for little.
const BEGINNING_BYTES: u64 = 1024 * 1024;
/// Counts are shared after this many records.
const SHARED_EVERY: u64 = 1024;

/// One part of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A regular file.
    File(PathBuf),
    /// A named pipe or device.
    Stream(PathBuf),
    /// A pipe into this process.
    Stdin,
    /// The text of an argument.
    Text(Bytes),
}

/// How often the input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    Times(u64),
    Forever,
}

/// The input of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    parts: Vec<Part>,
    repeat: Repeat,
    /// The most records that are read.
    limit: Option<u64>,
}

/// Result of the check of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    largest: usize,
    largest_number: u64,
    largest_line: u64,
    largest_file: Option<Arc<str>>,
}

impl Inputs {
    /// The input that names of files or a text select; stdin, unless it is a terminal, where neither is given. A name may
    /// be a glob such as `logs/*.ndjson`, and `-` is stdin.
    ///
    /// # Errors
    /// Exit 2 for a file that does not exist or cannot be read, a directory, or nothing to read.
    pub fn choose(files: &[String], data: Option<String>, stdin_is_terminal: bool) -> Result<Self> {
        let parts = match (files, data) {
            (_, Some(text)) => vec![Part::Text(Bytes::from(text))],
            ([], None) if stdin_is_terminal => {
                return Err(Error::usage("there is nothing to send")
                    .hint("name a file with --file, a record with --data, or pipe records in"));
            }
            ([], None) => vec![Part::Stdin],
            (files, None) => {
                let mut parts = Vec::new();
                for file in files {
                    parts.extend(named(file)?);
                }
                parts
            }
        };
        let pipes = parts.iter().filter(|part| **part == Part::Stdin).count();
        if pipes > 1 {
            return Err(Error::usage("stdin is named twice"));
        }
        let inputs = Self {
            parts,
            repeat: Repeat::Times(1),
            limit: None,
        };
        if inputs.is_repeatable() && inputs.size() == Some(0) && inputs.text().is_none() {
            return Err(Error::usage(format!(
                "{} {} empty",
                inputs.name(),
                if inputs.parts.len() == 1 { "is" } else { "are" }
            )));
        }
        Ok(inputs)
    }

    /// The input of a recording: a file, or all files of a directory in the order of their names.
    ///
    /// # Errors
    /// As [`Inputs::choose`].
    pub fn recorded(path: &str) -> Result<Self> {
        let unreadable = |error| Error::usage(format!("{path} could not be read")).cause(error);
        if path == "-" || !Path::new(path).is_dir() {
            return Self::choose(&[path.to_owned()], None, true);
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if file.is_file() {
                files.push(file);
            }
        }
        if files.is_empty() {
            return Err(Error::usage(format!("{path} has no files")));
        }
        files.sort();
        Ok(Self {
            parts: files.into_iter().map(Part::File).collect(),
            repeat: Repeat::Times(1),
            limit: None,
        })
    }

    /// Reads the input `repeat` times, and at most `limit` records.
    ///
    /// # Errors
    /// Exit 2 for a pipe that is to be read more than once.
    pub fn repeated(self, repeat: Repeat, limit: Option<u64>) -> Result<Self> {
        if repeat != Repeat::Times(1) && !self.is_repeatable() {
            return Err(
                Error::usage(format!("{} can be read only once", self.name())).hint("leave out --repeat")
            );
        }
        Ok(Self {
            repeat,
            limit,
            ..self
        })
    }

    /// The name in messages.
    pub fn name(&self) -> String {
        match self.parts.as_slice() {
            [part] => part.name(),
            parts => format!("{} files", parts.len()),
        }
    }

    /// The file, if the input is one regular file.
    pub fn single_file(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [Part::File(path)] => Some(path),
            _ => None,
        }
    }

    /// The text, if the input is one.
    pub fn text(&self) -> Option<&Bytes> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it can be read again.
    pub fn is_repeatable(&self) -> bool {
        let again = |part: &Part| matches!(part, Part::File(_) | Part::Text(_));
        self.parts.iter().all(again)
    }

    /// The size of all that is read, before decompression; `None` where it is not known.
    fn size(&self) -> Option<u64> {
        let Repeat::Times(times) = self.repeat else {
            return None;
        };
        let sizes = self.parts.iter().map(|part| match part {
            Part::File(path) => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
            Part::Text(text) => Some(text.len() as u64),
            Part::Stream(_) | Part::Stdin => None,
        });
        sizes.sum::<Option<u64>>().map(|size| size.saturating_mul(times))
    }

    /// A reader from the start. Nothing is opened before its first read.
    pub fn open(&self, options: &ReadOptions) -> InputReader {
        let counts_keys = !matches!(options.key, Some(KeyRule::Random | KeyRule::Constant(_)));
        InputReader {
            parts: self.parts.iter().cloned().collect(),
            again: self.parts.clone(),
            repeat: self.repeat,
            limit: self.limit,
            is_only: self.parts.len() == 1,
            options: options.clone(),
            current: None,
            number: 0,
            returned: 0,
            keys: counts_keys.then(HotKeys::default),
            progress: ReadProgress {
                shared: Arc::default(),
                total: self.size(),
            },
            ended: false,
        }
    }

    /// Reads a repeatable input of up to 16 MiB, after decompression, so that its errors are known before anything is sent;
    /// of a larger one its first 1 MiB, or its first 16 MiB where it is smaller before decompression or has a limit. `None`
    /// for an input that can be read only once. Blocks.
    ///
    /// # Errors
    /// The first error of the input, unless `options` pass over bad records.
    pub fn check(&self, options: &ReadOptions) -> std::result::Result<Option<Check>, RecordError> {
        if !self.is_repeatable() {
            return Ok(None);
        }
        let options = ReadOptions {
            max_record_bytes: LARGEST_RECORD_BYTES,
            bad: options.bad.as_ref().map(|_| Arc::new(BadRecords::skipped())),
            ..options.clone()
        };
        let once = Self {
            repeat: Repeat::Times(1),
            ..self.clone()
        };
        let is_large = self.limit.is_none() && once.size().is_some_and(|size| size > CHECKED_BYTES);
        let most = if is_large { BEGINNING_BYTES } else { CHECKED_BYTES };
        let mut reader = once.open(&options);
        let mut check = Check::default();
        while reader.position() <= most {
            let Some(record) = reader.read()? else { break };
            if record.size() > check.largest {
                check = Check {
                    largest: record.size(),
                    largest_number: record.number,
                    largest_line: record.line,
                    largest_file: reader.file(),
                };
            }
        }
        Ok(Some(check))
    }
}

impl Check {
    /// Refuses an input whose largest record is larger than `limit` bytes.
    ///
    /// # Errors
    /// That error.
    pub fn fits(&self, limit: usize) -> std::result::Result<(), RecordError> {
        if self.largest <= limit {
            return Ok(());
        }
        Err(RecordError {
            kind: RecordErrorKind::TooLarge { limit },
            file: self.largest_file.clone(),
            record: self.largest_number,
            line: self.largest_line,
            column: None,
            started: None,
        })
    }
}

/// The files that `name` names.
fn named(name: &str) -> Result<Vec<Part>> {
    if name == "-" {
        return Ok(vec![Part::Stdin]);
    }
    let is_glob = name.contains(['*', '?', '[']) && !Path::new(name).exists();
    if !is_glob {
        return part(Path::new(name)).map(|part| vec![part]);
    }
    let paths = glob::glob(name).map_err(|error| {
        Error::usage(format!("{name} is not a valid pattern of file names")).cause(error.to_string())
    })?;
    let mut parts = Vec::new();
    for path in paths {
        let path =
            path.map_err(|error| Error::usage(format!("{name} could not be searched")).cause(error))?;
        // A pattern such as `logs/**` also finds the directories.
        if !path.is_dir() {
            parts.push(part(&path)?);
        }
    }
    match parts.is_empty() {
        true => Err(Error::usage(format!("no file matches {name}"))),
        false => Ok(parts),
    }
}

fn part(path: &Path) -> Result<Part> {
    let shown = path.display();
    let unreadable = |error| Error::usage(format!("{shown} could not be read")).cause(error);
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::usage(format!("{shown} does not exist")),
        _ => unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(Error::usage(format!("{shown} is a directory"))
            .hint(format!("name its files: `--file '{shown}/*.ndjson'`")));
    }
    if !metadata.is_file() {
        return Ok(Part::Stream(path.to_owned()));
    }
    // Known before anything is sent. It is opened again when it is its turn: there may be more files than can be open.
    File::open(path).map_err(unreadable)?;
    Ok(Part::File(path.to_owned()))
}

impl Part {
    fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Stream(path) => path.display().to_string(),
            Self::Stdin => "stdin".to_owned(),
            Self::Text(_) => "--data".to_owned(),
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::File(path) | Self::Stream(path) => Box::new(File::open(path)?),
            Self::Stdin => Box::new(io::stdin()),
            Self::Text(text) => Box::new(Cursor::new(text.clone())),
        })
    }

    /// The format of the part, where the options leave it open.
    fn format(&self, format: InputFormat) -> InputFormat {
        match self {
            // One record, whatever it looks like.
            Self::Text(_) => InputFormat::Whole,
            Self::File(path) | Self::Stream(path) if format == InputFormat::Auto => {
                InputFormat::of_name(path)
            }
            _ => format,
        }
    }
}

/// How far an input was read. Shared with the thread that reads.
#[derive(Debug, Clone)]
pub struct ReadProgress {
    shared: Arc<Shared>,
    total: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes read, before decompression.
    read: AtomicU64,
    hottest: Mutex<Option<HotKey>>,
}

impl ReadProgress {
    /// The part that was read, 0 to 1; `None` where the size of the input is not known.
    #[allow(clippy::cast_precision_loss, reason = "a share to show")]
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        let read = self.shared.read.load(Ordering::Relaxed);
        Some((read as f64 / total as f64).min(1.0))
    }

    /// The partition key that at least half of the records have, where the user chose the keys.
    pub fn hottest(&self) -> Option<HotKey> {
        self.shared
            .hottest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Counts what is read.
struct Counted {
    input: Box<dyn Read + Send>,
    shared: Arc<Shared>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.shared.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Reads one file, which may be compressed.
type FileReader = RecordReader<Box<dyn Read + Send>>;

/// Reads the records of [`Inputs`]. Numbers of records go on from one part to the next; lines begin again.
pub struct InputReader {
    parts: VecDeque<Part>,
    /// The parts of the next time.
    again: Vec<Part>,
    repeat: Repeat,
    limit: Option<u64>,
    is_only: bool,
    options: ReadOptions,
    current: Option<(Arc<str>, FileReader)>,
    /// Number of the last record.
    number: u64,
    /// Records returned so far.
    returned: u64,
    keys: Option<HotKeys>,
    progress: ReadProgress,
    ended: bool,
}

impl InputReader {
    /// How far it has read, also while another thread reads.
    pub fn progress(&self) -> ReadProgress {
        self.progress.clone()
    }

    /// Whether partition keys are generated at random while reading.
    pub fn makes_up_keys(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|(_, reader)| reader.makes_up_keys())
    }

    /// When the last record arrived at the stream that it was read from, in milliseconds since the Unix epoch.
    pub fn arrival_ms(&self) -> Option<i64> {
        self.current.as_ref().and_then(|(_, reader)| reader.arrival_ms())
    }

    /// Bytes taken from the current part, after decompression.
    fn position(&self) -> u64 {
        self.current.as_ref().map_or(0, |(_, reader)| reader.position())
    }

    /// The current file, if there are several.
    fn file(&self) -> Option<Arc<str>> {
        let (name, _) = self.current.as_ref().filter(|_| !self.is_only)?;
        Some(Arc::clone(name))
    }

    fn next(&mut self, record: &mut Record) -> std::result::Result<bool, RecordError> {
        loop {
            if self.current.is_none() && !self.open_next()? {
                return self.at_end().map(|()| false);
            }
            let Some((_, reader)) = &mut self.current else {
                return Ok(false);
            };
            let outcome = reader.read_into(record);
            self.number = reader.number();
            match outcome {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // Other files may have some.
                Err(error) if matches!(error.kind, RecordErrorKind::Empty) && !self.is_only => {}
                Err(error) => return Err(error),
            }
            self.current = None;
        }
    }

    /// Opens the next part; `false` where there is none.
    fn open_next(&mut self) -> std::result::Result<bool, RecordError> {
        if self.parts.is_empty() {
            let once_more = match &mut self.repeat {
                Repeat::Forever => true,
                Repeat::Times(times) => {
                    *times = times.saturating_sub(1);
                    *times > 0
                }
            };
            // An input without records never gets any.
            if once_more && self.number > 0 {
                self.parts.extend(self.again.iter().cloned());
            }
        }
        let Some(part) = self.parts.pop_front() else {
            return Ok(false);
        };
        let options = ReadOptions {
            format: part.format(self.options.format),
            ..self.options.clone()
        };
        let name: Arc<str> = part.name().into();
        let input = part.open().and_then(|input| {
            let input: Box<dyn Read + Send> = Box::new(Counted {
                input,
                shared: Arc::clone(&self.progress.shared),
            });
            match options.format.may_be_compressed() {
                true => decompressed(input),
                false => Ok(input),
            }
        });
        let input = input.map_err(|error| RecordError {
            file: (!self.is_only).then(|| Arc::clone(&name)),
            ..self.whole(RecordErrorKind::Io(error))
        })?;
        let reader = RecordReader::after(input, options, self.number, name.to_string());
        self.current = Some((name, reader));
        Ok(true)
    }

    fn at_end(&self) -> std::result::Result<(), RecordError> {
        let (skip, found) = (self.options.skip, self.number);
        if found == 0 {
            return Err(self.whole(RecordErrorKind::Empty));
        }
        if self.returned == 0 && skip > found {
            return Err(self.whole(RecordErrorKind::SkipBeyond { skip, found }));
        }
        Ok(())
    }

    /// An error of the whole input.
    fn whole(&self, kind: RecordErrorKind) -> RecordError {
        RecordError {
            kind,
            file: None,
            record: self.number,
            line: 1,
            column: None,
            started: None,
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.publish();
    }

    fn publish(&self) {
        if let Some(keys) = &self.keys {
            let mut hottest = self
                .progress
                .shared
                .hottest
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *hottest = keys.hottest();
        }
    }
}

impl RecordSource for InputReader {
    fn read_into(&mut self, record: &mut Record) -> std::result::Result<bool, RecordError> {
        if self.ended || self.limit.is_some_and(|limit| self.returned >= limit) {
            return Ok(false);
        }
        match self.next(record) {
            Ok(true) => {
                self.returned += 1;
                let makes_up_keys = self.makes_up_keys();
                if let Some(keys) = self.keys.as_mut().filter(|_| !makes_up_keys) {
                    keys.add(&record.partition_key);
                }
                if self.returned.is_multiple_of(SHARED_EVERY) || self.limit == Some(self.returned) {
                    self.publish();
                }
                Ok(true)
            }
            Ok(false) => {
                self.end();
                Ok(false)
            }
            Err(mut error) => {
                self.end();
                error.file = error.file.or_else(|| self.file());
                Err(error)
            }
        }
    }

    fn may_wait(&self) -> bool {
        self.current.as_ref().is_none_or(|(_, reader)| reader.may_wait())
    }
}

impl std::fmt::Debug for InputReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputReader")
            .field("number", &self.number)
            .finish()
    }
}

#[cfg(test)]
mod tests;
