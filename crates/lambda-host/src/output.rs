//! What a process prints: standard output and standard error through one pipe, which keeps their order.

use std::io;
use std::process::Stdio;

#[cfg(unix)]
pub(crate) use unix::Output;

/// A longer line is passed on in pieces.
const MAX_LINE: usize = 256 * 1024;

/// Takes what a process prints. A closure that takes a line is one.
pub trait OutputSink: Send {
    /// Takes a line, without its end. Invalid UTF-8 is replaced.
    fn line(&mut self, line: &str);

    /// Whether [`OutputSink::flush`] should be called soon.
    fn is_full(&self) -> bool {
        false
    }

    /// Called while an invocation runs: regularly, and when the sink is full. Nothing is read from the process while this
    /// waits.
    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

impl<F: FnMut(&str) + Send> OutputSink for F {
    fn line(&mut self, line: &str) {
        self(line);
    }
}

/// Splits output into lines.
#[derive(Default)]
pub(crate) struct Lines {
    /// The line that has not ended yet.
    partial: Vec<u8>,
}

impl Lines {
    pub fn feed(&mut self, mut chunk: &[u8], sink: &mut impl OutputSink) {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            if self.partial.is_empty() {
                pass_on(&chunk[..end], sink);
            } else {
                self.partial.extend_from_slice(&chunk[..end]);
                self.end_line(sink);
            }
            chunk = &chunk[end + 1..];
        }
        self.partial.extend_from_slice(chunk);
        if self.partial.len() >= MAX_LINE {
            self.end_line(sink);
        }
    }

    /// Ends a line that the process left open.
    pub fn end_line(&mut self, sink: &mut impl OutputSink) {
        if !self.partial.is_empty() {
            pass_on(&self.partial, sink);
            self.partial.clear();
        }
    }
}

fn pass_on(line: &[u8], sink: &mut impl OutputSink) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    sink.line(&String::from_utf8_lossy(line));
}

#[cfg(unix)]
mod unix {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use tokio::net::unix::pipe::Receiver;

    use super::{Stdio, io};

    /// The reading end.
    pub(crate) struct Output {
        pipe: Receiver,
        /// The same end. Tokio reads only after an event of the system; this reads what is there.
        direct: io::PipeReader,
    }

    impl Output {
        /// A pipe: its reading end, and its writing end twice.
        pub fn new() -> io::Result<(Self, Stdio, Stdio)> {
            let (direct, writer) = io::pipe()?;
            let second = writer.try_clone()?;
            // Makes both reading ends non-blocking.
            let pipe = Receiver::from_owned_fd(OwnedFd::from(direct.try_clone()?))?;
            Ok((Self { pipe, direct }, writer.into(), second.into()))
        }

        /// Waits for something to read; 0 at the end.
        pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            loop {
                self.pipe.readable().await?;
                match self.pipe.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                }
            }
        }

        /// Reads what is there now; 0 if there is nothing.
        pub fn read_now(&self, buffer: &mut [u8]) -> usize {
            (&self.direct).read(buffer).unwrap_or(0)
        }
    }
}

/// Processes run only where there are pipes and process groups.
#[cfg(not(unix))]
pub(crate) struct Output;

#[cfg(not(unix))]
impl Output {
    pub fn new() -> io::Result<(Self, Stdio, Stdio)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub async fn read(&self, _buffer: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    pub fn read_now(&self, _buffer: &mut [u8]) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_split_into_lines() {
        let mut got = Vec::new();
        let mut sink = |line: &str| got.push(line.to_owned());
        let mut lines = Lines::default();
        lines.feed(b"one\r\ntw", &mut sink);
        lines.feed(b"o\n\nthr\xff", &mut sink);
        lines.end_line(&mut sink);
        lines.end_line(&mut sink);
        lines.feed(&vec![b'x'; MAX_LINE], &mut sink);
        lines.feed(b"y\n", &mut sink);
        assert_eq!(got[..4], ["one", "two", "", "thr\u{fffd}"]);
        assert_eq!((got[4].len(), got[5].as_str(), got.len()), (MAX_LINE, "y", 6));
    }
}
