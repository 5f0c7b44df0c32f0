//! A buffered input that tracks its line and column, and gives out parts of its buffer without copying them.

use std::io::{ErrorKind, Read, Result};

use bytes::{Buf, Bytes, BytesMut};

/// How much is read at once. A record keeps the block that it is a part of in memory.
const BLOCK: usize = 64 * 1024;
/// A new block is begun when less than this is left of one.
const LEAST: usize = 4 * 1024;

/// Reads `input` in blocks; keeps more than one only when the caller needs to look further ahead.
#[derive(Debug)]
pub(super) struct Source<R> {
    input: R,
    buffer: BytesMut,
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
            buffer: BytesMut::with_capacity(BLOCK),
            line: 1,
            column: 1,
            taken: 0,
        }
    }

    /// The size of the current block.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Bytes read and not taken.
    pub(super) fn available(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads more, keeping what is not taken; `false` at the end of the input.
    pub(super) fn fill(&mut self) -> Result<bool> {
        let unread = self.buffer.len();
        if self.buffer.capacity() - unread < LEAST {
            // What is kept grows by its own size, so that a long value is not copied once for each block.
            self.buffer.reserve(BLOCK.max(unread));
        }
        let room = (self.buffer.capacity() - unread).min(BLOCK.max(unread));
        self.buffer.resize(unread + room, 0);
        let outcome = loop {
            match self.input.read(&mut self.buffer[unread..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        self.buffer
            .truncate(unread + outcome.as_ref().map_or(0, |read| (*read).min(room)));
        outcome.map(|read| read > 0)
    }

    /// The next byte; reads more if needed.
    pub(super) fn peek(&mut self) -> Result<Option<u8>> {
        if self.buffer.is_empty() && !self.fill()? {
            return Ok(None);
        }
        Ok(self.buffer.first().copied())
    }

    /// Moves past `count` available bytes.
    pub(super) fn take(&mut self, count: usize) {
        self.pass(count);
        self.buffer.advance(count);
    }

    /// Takes `count` available bytes, without copying them.
    pub(super) fn split(&mut self, count: usize) -> Bytes {
        self.pass(count);
        self.buffer.split_to(count).freeze()
    }

    /// As [`Source::split`] for bytes without a line end, which need not be looked at.
    #[inline(always)]
    pub(super) fn split_line(&mut self, count: usize) -> Bytes {
        self.column += count as u64;
        self.taken += count as u64;
        self.buffer.split_to(count).freeze()
    }

    fn pass(&mut self, count: usize) {
        (self.line, self.column) = self.place(count);
        self.taken += count as u64;
    }

    /// Line and column of the byte that is `offset` bytes ahead.
    pub(super) fn place(&self, offset: usize) -> (u64, u64) {
        let before = &self.buffer[..offset];
        match memchr::memrchr(b'\n', before) {
            Some(last) => {
                let lines = memchr::memchr_iter(b'\n', before).count() as u64;
                (self.line + lines, (offset - last) as u64)
            }
            None => (self.line, self.column + offset as u64),
        }
    }

    /// Skips bytes that are not part of the text, such as a byte order mark.
    pub(super) fn skip_unseen(&mut self, count: usize) {
        self.buffer.advance(count);
        self.taken += count as u64;
    }

    /// Skips white space; returns the byte after it, if any.
    pub(super) fn skip_space(&mut self) -> Result<Option<u8>> {
        let is_space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        // Most values have a line of their own.
        if let [b'\n', next, ..] = self.buffer[..]
            && !is_space(next)
        {
            (self.line, self.column) = (self.line + 1, 1);
            self.skip_unseen(1);
            return Ok(Some(next));
        }
        loop {
            let Some(_) = self.peek()? else { return Ok(None) };
            match self.buffer.iter().position(|byte| !is_space(*byte)) {
                Some(0) => return Ok(self.buffer.first().copied()),
                Some(count) => self.take(count),
                None => self.take(self.buffer.len()),
            }
        }
    }
}
