//! Where `put` reads from.

use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ui::Progress;
use domain::produce::PutSummary;
use domain::record::{InputFormat, ReadOptions, Record, RecordError, RecordErrorKind, RecordReader};
use ground::error::{Error, Result};

pub(super) type Reader = RecordReader<Box<dyn Read + Send>>;

/// The largest maximum record size that a stream can have: 10,240 KiB.
/// Source: UpdateMaxRecordSize, Kinesis API reference.
const LARGEST_RECORD_BYTES: usize = 10_240 * 1024;

/// Result of the check of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Data and partition keys of all records, in bytes.
    pub(super) bytes: u64,
    largest: usize,
    largest_number: u64,
    largest_line: u64,
}

impl Checked {
    /// Refuses an input whose largest record is larger than `limit` bytes.
    pub(super) fn fits(&self, limit: usize, input: &PutInput) -> Result<()> {
        if self.largest <= limit {
            return Ok(());
        }
        let error = RecordError {
            kind: RecordErrorKind::TooLarge { limit },
            record: self.largest_number,
            line: self.largest_line,
            column: None,
            started: None,
        };
        Err(error.into_error(&input.name()))
    }
}

/// The input of one `put`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PutInput {
    /// A regular file. It is read twice: first to check it.
    File(PathBuf),
    /// A named pipe or device.
    Stream(PathBuf),
    /// A pipe into this process.
    Stdin,
    /// The text of `--data`.
    Text(String),
}

impl PutInput {
    /// The input that `--file` and `--data` select.
    pub(super) fn choose(file: Option<&str>, data: Option<String>) -> Result<Self> {
        match (file, data) {
            (_, Some(text)) => Ok(Self::Text(text)),
            (Some("-"), None) => Ok(Self::Stdin),
            (Some(path), None) => Self::file(Path::new(path)),
            (None, None) if io::stdin().is_terminal() => Err(Error::usage("there is nothing to send")
                .hint("name a file with --file, a record with --data, or pipe records in")),
            (None, None) => Ok(Self::Stdin),
        }
    }

    fn file(path: &Path) -> Result<Self> {
        let shown = path.display();
        let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::usage(format!("{shown} does not exist")),
            _ => Error::usage(format!("{shown} could not be read")).cause(error),
        })?;
        if metadata.is_dir() {
            return Err(Error::usage(format!("{shown} is a directory"))
                .hint("name one file, or pipe several: `cat DIR/*.ndjson | streamctl put`"));
        }
        if !metadata.is_file() {
            return Ok(Self::Stream(path.to_owned()));
        }
        if metadata.len() == 0 {
            return Err(Error::usage(format!("{shown} is empty")));
        }
        Ok(Self::File(path.to_owned()))
    }

    /// The name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Stream(path) => path.display().to_string(),
            Self::Stdin => "stdin".to_owned(),
            Self::Text(_) => "--data".to_owned(),
        }
    }

    /// Whether it can be read again.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self, Self::File(_) | Self::Text(_))
    }

    /// A reader from the start.
    pub(super) fn open(&self, options: &ReadOptions) -> Result<Reader> {
        let mut options = options.clone();
        let input: Box<dyn Read + Send> = match self {
            Self::File(path) => Box::new(File::open(path).map_err(|error| {
                Error::usage(format!("{} could not be read", path.display())).cause(error)
            })?),
            Self::Stream(path) => Box::new(OnRead::Closed(path.clone())),
            Self::Stdin => Box::new(io::stdin()),
            Self::Text(text) => {
                options.format = InputFormat::Text;
                Box::new(Cursor::new(text.clone().into_bytes()))
            }
        };
        Ok(RecordReader::new(input, options))
    }

    /// Reads a repeatable input to its end, so that an error is known before anything is sent. `None` for an input that can
    /// be read only once.
    pub(super) async fn check(&self, options: &ReadOptions, progress: &Progress) -> Result<Option<Checked>> {
        if !self.is_repeatable() {
            return Ok(None);
        }
        let length = match self {
            Self::File(path) => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
            _ => None,
        };
        let step = Arc::new(progress.bytes("checking", length));
        let shown = Arc::clone(&step);
        let mut checked = Checked::default();
        let options = ReadOptions {
            max_record_bytes: LARGEST_RECORD_BYTES,
            ..options.clone()
        };
        let outcome = self
            .visit(&options, move |record, reader| {
                checked.bytes += record.size() as u64;
                if record.size() > checked.largest {
                    checked.largest = record.size();
                    checked.largest_number = record.number;
                    checked.largest_line = record.line;
                }
                if record.number.is_multiple_of(1000) {
                    shown.position(reader.position());
                }
                checked
            })
            .await;
        step.clear();
        outcome
    }

    /// Calls `each` with every record, on another thread. Returns the last result.
    pub(super) async fn visit<T: Send + 'static>(
        &self,
        options: &ReadOptions,
        mut each: impl FnMut(&Record, &Reader) -> T + Send + 'static,
    ) -> Result<Option<T>> {
        let mut reader = self.open(options)?;
        let name = self.name();
        let visit = tokio::task::spawn_blocking(move || {
            let mut last = None;
            loop {
                match reader.read() {
                    Ok(Some(record)) => last = Some(each(&record, &reader)),
                    Ok(None) => return Ok(last),
                    Err(error) => return Err(error.into_error(&name)),
                }
            }
        });
        visit
            .await
            .map_err(|e| Error::failed("reading the input ended unexpectedly").cause(e))?
    }

    /// A message about what was not read; `None` when the whole input was read.
    pub(super) fn rest(&self, summary: &PutSummary, input_ended: bool) -> Option<String> {
        let name = self.name();
        match summary.last_number {
            _ if input_ended => None,
            0 => Some(format!("nothing was read from {name}")),
            number if self.is_repeatable() => Some(format!(
                "{name} was read up to record {number} (line {}); the same command with `--skip {number}` sends the rest",
                summary.last_line
            )),
            number => Some(format!(
                "{name} was read up to record {number} (line {}); what follows was not read",
                summary.last_line
            )),
        }
    }
}

/// A pipe that is opened with the first read, on the thread that reads: opening it waits for a writer, and Ctrl-C must be
/// handled meanwhile.
enum OnRead {
    Closed(PathBuf),
    Open(File),
}

impl Read for OnRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Closed(path) = self {
            *self = Self::Open(File::open(path)?);
        }
        match self {
            Self::Open(file) => file.read(buffer),
            Self::Closed(_) => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use ground::exit::Exit;

    #[test]
    fn files_that_cannot_be_sent_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |name: &str| {
            let path = dir.path().join(name);
            let error = PutInput::choose(path.to_str(), None).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            error.to_string().replace(dir.path().to_str().unwrap(), "DIR")
        };
        std::fs::write(dir.path().join("empty.json"), "").unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        assert_snapshot!(refused("missing.json"), @"DIR/missing.json does not exist");
        assert_snapshot!(refused("empty.json"), @"DIR/empty.json is empty");
        assert_snapshot!(refused("sub"), @"DIR/sub is a directory");
    }

    #[tokio::test]
    async fn the_largest_record_is_held_against_the_streams_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.ndjson");
        std::fs::write(&path, format!("1\n\"{}\"\n2\n", "x".repeat(2_000_000))).unwrap();
        let input = PutInput::choose(path.to_str(), None).unwrap();
        let printer = crate::ui::Printer::new(crate::ui::UiOptions::default());
        let checked = input.check(&ReadOptions::default(), printer.progress()).await;
        let checked = checked.unwrap().unwrap();
        assert!(checked.fits(LARGEST_RECORD_BYTES, &input).is_ok());
        let error = checked.fits(1024 * 1024, &input).unwrap_err().to_string();
        assert_snapshot!(error.replace(dir.path().to_str().unwrap(), "DIR"), @"DIR/in.ndjson, record 2 (line 2): larger than the stream takes (1048576 bytes, partition key included)");
    }

    #[test]
    fn what_was_not_read_is_named() {
        let summary = PutSummary {
            last_number: 18,
            last_line: 20,
            ..PutSummary::default()
        };
        assert_snapshot!(PutInput::Stdin.rest(&summary, false).unwrap(), @"stdin was read up to record 18 (line 20); what follows was not read");
        assert_snapshot!(PutInput::Stdin.rest(&PutSummary::default(), false).unwrap(), @"nothing was read from stdin");
        assert_eq!(PutInput::Stdin.rest(&summary, true), None);
    }
}
