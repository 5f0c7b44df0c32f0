//! Control plane of one stream.

use crate::error::{Error, Result};

/// Refuses what cannot be the name of a stream: 1 to 128 characters of `a-zA-Z0-9_.-`.
/// Source: CreateStream, `StreamName`, Kinesis API reference.
///
/// # Errors
/// Exit 2.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if !name.is_empty() && name.len() <= 128 && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::usage(format!("{name:?} is not a stream name"))
        .hint("use 1 to 128 letters, digits, `_`, `.` or `-`"))
}
