//! A buffered input that tracks its line and column.

use std::io::{ErrorKind, Read, Result};

const WINDOW: usize = 64 * 1024;

/// Reads `input` in pieces of at most [`WINDOW`] bytes; more only when the caller needs to look further ahead.
#[derive(Debug)]
pub(super) struct Source<R> {
    input: R,
    window: Vec<u8>,
    start: usize,
    end: usize,
    /// Line of the first unread byte, from 1.
    pub(super) line: u64,
    /// Column of the first unread byte, in bytes, from 1.
    pub(super) column: u64,
    /// Bytes taken so far.
    pub(super) taken: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            window: vec![0; WINDOW],
            start: 0,
            end: 0,
            line: 1,
            column: 1,
            taken: 0,
        }
    }

    /// Bytes read and not taken.
    pub(super) fn available(&self) -> &[u8] {
        &self.window[self.start..self.end]
    }

    /// Reads more, keeping what is not taken; `false` at the end of the input.
    pub(super) fn fill(&mut self) -> Result<bool> {
        if self.start > 0 {
            self.window.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.window.len() {
            self.window.resize(self.window.len() * 2, 0);
        }
        loop {
            match self.input.read(&mut self.window[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next byte; reads more if needed.
    pub(super) fn peek(&mut self) -> Result<Option<u8>> {
        if self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.window[self.start]))
    }

    /// Moves past `count` available bytes.
    pub(super) fn take(&mut self, count: usize) {
        let taken = &self.window[self.start..self.start + count];
        match taken.iter().rposition(|&b| b == b'\n') {
            Some(last) => {
                self.line += taken.iter().filter(|&&b| b == b'\n').count() as u64;
                self.column = (taken.len() - last) as u64;
            }
            None => self.column += taken.len() as u64,
        }
        self.start += count;
        self.taken += count as u64;
    }

    /// Skips bytes that are not part of the text, such as a byte order mark.
    pub(super) fn skip_unseen(&mut self, count: usize) {
        self.start += count;
        self.taken += count as u64;
    }

    /// Skips white space; returns the byte after it, if any.
    pub(super) fn skip_space(&mut self) -> Result<Option<u8>> {
        loop {
            let Some(_) = self.peek()? else { return Ok(None) };
            let available = self.available();
            let space = available
                .iter()
                .position(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
            match space {
                Some(count) => {
                    self.take(count);
                    return self.peek();
                }
                None => self.take(available.len()),
            }
        }
    }
}
