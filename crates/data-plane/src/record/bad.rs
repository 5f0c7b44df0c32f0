//! Records that cannot be read and do not end the run: they are counted, and perhaps saved.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RecordError;

/// What happened to the bad records of an input. Shared by the reader and by who reports.
pub struct BadRecords {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    count: u64,
    /// The message of the first.
    first: Option<String>,
    /// Where the text of each is written, with a line end.
    output: Option<Box<dyn Write + Send>>,
}

impl BadRecords {
    /// Only counts them.
    pub fn skipped() -> Self {
        Self {
            inner: Mutex::default(),
        }
    }

    /// Counts them, and writes the text of each and a line end to `output`.
    pub fn saved(output: Box<dyn Write + Send>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                output: Some(output),
                ..Inner::default()
            }),
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// What was wrong with the first.
    pub fn first(&self) -> Option<String> {
        self.lock().first.clone()
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&self) -> io::Result<()> {
        self.lock()
            .output
            .as_mut()
            .map_or(Ok(()), |output| output.flush())
    }

    /// Counts a record with the error `error`; `input` names its input.
    pub(super) fn add(&self, error: RecordError, input: &str) {
        let mut inner = self.lock();
        inner.count += 1;
        if inner.first.is_none() {
            inner.first = Some(error.into_error(input).to_string());
        }
    }

    /// Writes a part of a record.
    pub(super) fn write(&self, part: &[u8]) -> io::Result<()> {
        self.lock()
            .output
            .as_mut()
            .map_or(Ok(()), |output| output.write_all(part))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BadRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BadRecords")
            .field("count", &self.count())
            .finish()
    }
}
