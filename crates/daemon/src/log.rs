//! The output of the daemon's log.
//!
//! A full disk must not end the daemon or fail its requests: a line that cannot be written is left out and counted, and the
//! log says so when it can be written again.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Writes each line as a whole, or leaves it out. Writing never fails. Cheap to clone; all clones are one log.
#[derive(Debug)]
pub struct Log<W>(Arc<Mutex<Inner<W>>>);

#[derive(Debug)]
struct Inner<W> {
    out: W,
    /// Lines left out since the last one that was written.
    left_out: u64,
    cause: String,
}

impl<W: Write> Log<W> {
    pub fn new(out: W) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            out,
            left_out: 0,
            cause: String::new(),
        })))
    }
}

impl<W> Clone for Log<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Write> Inner<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.left_out > 0 {
            // A line may have been written in part.
            let note = format!(
                "\n{} lines could not be written to this log: {}\n",
                self.left_out, self.cause
            );
            self.out.write_all(note.as_bytes())?;
            self.left_out = 0;
        }
        self.out.write_all(line)
    }
}

impl<W: Write> Write for Log<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.write(line) {
            inner.left_out += 1;
            inner.cause = error.to_string();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for some bytes.
    #[derive(Debug)]
    struct Disk {
        room: usize,
        content: String,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(self.room);
            if length == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= length;
            self.content
                .push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_do_not_fit_are_left_out_and_counted() {
        let log = Log::new(Disk {
            room: 9,
            content: String::new(),
        });
        let mut writer = log.clone();
        for line in ["one\n", "two, long\n", "three\n"] {
            writer.write_all(line.as_bytes()).unwrap();
        }
        log.0.lock().unwrap().out.room = 1000;
        for line in ["four\n", "five\n"] {
            writer.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(
            log.0.lock().unwrap().out.content,
            "one\ntwo, \n2 lines could not be written to this log: no storage space\nfour\nfive\n"
        );
    }
}
