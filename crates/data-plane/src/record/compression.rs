//! Decompresses inputs that begin like gzip or zstd.

use std::io::{self, Cursor, ErrorKind, Read};

/// Source: RFC 1952, section 2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// Source: RFC 8878, section 3.1.1.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

type Input = Box<dyn Read + Send>;

/// `input`, decompressed if it is compressed. Blocks until enough is read to know it.
///
/// A zstd frame that needs a window of more than 128 MiB is refused while it is read: the decoder's default.
pub(super) fn decompressed(mut input: Input) -> io::Result<Input> {
    let mut start = Vec::with_capacity(ZSTD.len());
    // A writer may pause after its first record, so no more is read than the magic numbers need.
    while start.len() < ZSTD.len()
        && [GZIP, ZSTD].iter().any(|magic| magic.starts_with(&start))
        && start != GZIP
    {
        let mut byte = [0];
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => start.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let (is_gzip, is_zstd) = (start == GZIP, start == ZSTD);
    let whole = Cursor::new(start).chain(input);
    Ok(match (is_gzip, is_zstd) {
        // Several members, as `cat a.gz b.gz` makes them.
        (true, _) => Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::new(whole))),
        (_, true) => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}
