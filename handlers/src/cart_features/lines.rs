//! Splits a file that arrives in parts into lines, and decompresses it if it is gzip.

use std::io::Write;

use flate2::write::MultiGzDecoder;

/// Maximum size of a line, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Maximum size of a part, in bytes. Decompressed it is at most a thousand times as large.
pub const STEP: usize = 4 << 10;

/// The part of a file that is no complete line yet.
#[derive(Default)]
pub struct Lines {
    /// `None` before the first byte.
    input: Option<Input>,
    rest: Vec<u8>,
    number: u64,
}

enum Input {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Lines {
    /// Passes each complete line of what arrived so far to `each`, at the end of the file the last one too. Empty lines are
    /// left out.
    ///
    /// # Errors
    /// The error of `each`, a line that is too long, or damaged gzip: a sentence with the number of the line.
    pub fn push(
        &mut self,
        part: &[u8],
        is_last: bool,
        each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        self.receive(part, is_last)?;
        let data = std::mem::take(&mut self.rest);
        let mut left = &data[..];
        while let Some(end) = left.iter().position(|byte| *byte == b'\n') {
            self.line(&left[..end], each)?;
            left = &left[end + 1..];
        }
        if left.len() > MAX_LINE_BYTES {
            return Err(format!(
                "line {} has more than {MAX_LINE_BYTES} bytes",
                self.number + 1
            ));
        }
        if is_last {
            return self.line(left, each);
        }
        self.rest = left.to_vec();
        Ok(())
    }

    /// Appends `part`, decompressed, to the rest.
    fn receive(&mut self, part: &[u8], is_last: bool) -> Result<(), String> {
        let damaged = |error: std::io::Error| format!("the file is damaged gzip: {error}");
        if self.input.is_none() && !part.is_empty() {
            self.input = Some(match part {
                [0x1f, 0x8b, ..] => Input::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
                _ => Input::Plain,
            });
        }
        match &mut self.input {
            Some(Input::Gzip(decoder)) => {
                decoder.write_all(part).map_err(damaged)?;
                if is_last {
                    decoder.try_finish().map_err(damaged)?;
                }
                self.rest.append(decoder.get_mut());
            }
            Some(Input::Plain) | None => self.rest.extend_from_slice(part),
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], each: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        self.number += 1;
        match line.trim_ascii() {
            [] => Ok(()),
            line => each(line).map_err(|reason| format!("line {}: {reason}", self.number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn split(file: &[u8], size: usize) -> Result<Vec<String>, String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut each = |line: &[u8]| {
            found.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        };
        for part in file.chunks(size) {
            lines.push(part, false, &mut each)?;
        }
        lines.push(b"", true, &mut each)?;
        Ok(found)
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn damage_and_long_lines_are_refused() {
        let whole = gzip(b"a\nb\n");
        assert!(
            split(&whole[..whole.len() - 9], 5)
                .unwrap_err()
                .starts_with("the file is damaged gzip")
        );
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(
            split(&long, STEP).unwrap_err(),
            "line 1 has more than 1048576 bytes"
        );
        let mut lines = Lines::default();
        let error = lines.push(b"a\n\nb\n", false, &mut |line| match line {
            b"b" => Err("no".to_owned()),
            _ => Ok(()),
        });
        assert_eq!(error.unwrap_err(), "line 3: no");
    }

    proptest! {
        #[test]
        fn parts_make_no_difference(lines in proptest::collection::vec("[a-z]{1,9}", 0..20), size in 1..50_usize, is_ended in any::<bool>()) {
            let mut file = lines.join("\n");
            if is_ended {
                file.push('\n');
            }
            prop_assert_eq!(&split(file.as_bytes(), size.max(2)).unwrap(), &lines);
            prop_assert_eq!(&split(&gzip(file.as_bytes()), size.max(2)).unwrap(), &lines);
        }
    }
}
