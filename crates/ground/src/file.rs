//! Reads small files whose size and kind the user, or somebody else, decides.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads `path` as UTF-8. Never reads more than `most` bytes, whatever the file is: a device or a pipe has no size.
///
/// Blocks for as long as a pipe has no writer.
///
/// # Errors
/// If the file cannot be read, is larger than `most`, or is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = read(path, most)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// As [`read_text`], for any bytes.
///
/// # Errors
/// If the file cannot be read or is larger than `most`.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, most)
}

/// Reads all of `input`, at most `most` bytes.
///
/// # Errors
/// If it cannot be read or is larger than `most`.
pub fn read_from(input: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let limit = match most >> 20 {
            0 => format!("{most} bytes"),
            mebibytes => format!("{mebibytes} MiB"),
        };
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit}"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_refused() {
        let error = read_from(io::repeat(b'x'), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1 MiB");
        assert_eq!(read_from(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(
            read_from(&b"abcd"[..], 3).unwrap_err().to_string(),
            "it is larger than 3 bytes"
        );
    }
}
