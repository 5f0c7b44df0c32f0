//! Reused buffers for large reads: allocating new memory costs several times the copy.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use ground::platform;

/// Bytes of a pooled buffer, and the maximum of one read.
pub(super) const BUFFER: usize = 1 << 20;
/// Smaller reads are not pooled: their records would retain much more than their own bytes.
const SMALLEST: usize = BUFFER / 4;
/// Maximum number of idle buffers.
const KEPT: usize = 24;

static POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer that returns to the pool when its last slice is dropped.
struct Pooled {
    buffer: Box<[u8]>,
    length: usize,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < KEPT {
            pool.push(std::mem::take(&mut self.buffer));
        }
    }
}

/// Reads up to `length` bytes at `offset`. Fewer at the end of the file.
pub(super) fn read(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    if !(SMALLEST..=BUFFER).contains(&length) {
        return platform::read_at(file, offset, length).map(Bytes::from);
    }
    let idle = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut buffer = idle.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice());
    let length = platform::read_into(file, offset, &mut buffer[..length])?;
    Ok(Bytes::from_owner(Pooled { buffer, length }))
}
