//! The content of objects: compression, and the extension of their names.
//!
//! Source: "Understand data delivery in Amazon S3" and `CompressionFormat`, Amazon Data Firehose developer guide and API
//! reference. Both Snappy formats, their extension and the content encodings are those of objects that AWS delivered, as
//! issue 2328 of floci-io/floci records them; the developer guide has the extension `.hsnappy`, which AWS does not use.

use std::io::{self, Cursor, Write};

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use zip::write::{SimpleFileOptions, ZipWriter};

/// What S3 stores as the content type of all objects.
pub(super) const CONTENT_TYPE: &str = "application/octet-stream";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zip,
    /// The stream of snappy-java.
    Snappy,
    /// The blocks of Hadoop's `SnappyCodec`.
    HadoopSnappy,
}

/// What a stream of snappy-java begins with: a name, its version, and the oldest version that can read it.
const SNAPPY_JAVA: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Bytes that are compressed together, by default of snappy-java.
const SNAPPY_BLOCK: usize = 32 << 10;

impl Compression {
    /// Of a `CompressionFormat` that has been checked.
    pub fn of(format: &str) -> Self {
        match format {
            "GZIP" => Self::Gzip,
            "ZIP" => Self::Zip,
            "Snappy" => Self::Snappy,
            "HADOOP_SNAPPY" => Self::HadoopSnappy,
            _ => Self::None,
        }
    }

    /// The end of the names of objects without a `FileExtension`.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zip => ".zip",
            Self::Snappy | Self::HadoopSnappy => ".snappy",
        }
    }

    pub const fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zip => Some("zip"),
            Self::Snappy => Some("snappy-java"),
            Self::HadoopSnappy => Some("hadoop-snappy"),
        }
    }

    /// The same content is compressed to the same bytes. `key` names the file in an archive.
    ///
    /// # Errors
    /// If memory cannot be had.
    pub fn apply(self, content: Vec<u8>, key: &str) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(content),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Level::default());
                encoder.write_all(&content)?;
                encoder.finish()
            }
            Self::Zip => {
                let name = key.rsplit('/').next().unwrap_or(key);
                let name = name.strip_suffix(".zip").unwrap_or(name);
                let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
                archive.start_file(name, SimpleFileOptions::default())?;
                archive.write_all(&content)?;
                Ok(archive.finish()?.into_inner())
            }
            Self::Snappy => snappy(&content, &SNAPPY_JAVA, false),
            Self::HadoopSnappy => snappy(&content, &[], true),
        }
    }
}

/// Blocks with their lengths before them, big endian: that of the block itself, if `has_plain_length`, and that of its
/// compressed form.
fn snappy(content: &[u8], header: &[u8], has_plain_length: bool) -> io::Result<Vec<u8>> {
    let mut packed = header.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in content.chunks(SNAPPY_BLOCK) {
        let compressed = encoder.compress_vec(block).map_err(io::Error::other)?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        if has_plain_length {
            packed.extend_from_slice(&length(block));
        }
        packed.extend_from_slice(&length(&compressed));
        packed.extend_from_slice(&compressed);
    }
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn compressed_content_is_the_same_after_unpacking() {
        let content = b"{\"a\":1}\n".repeat(1000);
        let packed = Compression::Gzip.apply(content.clone(), "a/b.gz").unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(unpacked == content && packed.len() < content.len() / 10);
        let packed = Compression::Zip.apply(content.clone(), "a/b.zip").unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(&packed)).unwrap();
        let mut unpacked = Vec::new();
        archive.by_name("b").unwrap().read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, content);
        assert_eq!(
            Compression::Zip.apply(content.clone(), "a/b.zip").unwrap(),
            packed
        );
        assert_eq!(Compression::None.apply(content.clone(), "a/b").unwrap(), content);
    }

    /// The blocks after a header.
    fn unpacked(mut packed: &[u8], has_plain_length: bool) -> Vec<u8> {
        let mut content = Vec::new();
        let take = |packed: &mut &[u8]| {
            let (length, rest) = packed.split_at(4);
            *packed = rest;
            u32::from_be_bytes(length.try_into().unwrap()) as usize
        };
        while !packed.is_empty() {
            let plain = has_plain_length.then(|| take(&mut packed));
            let length = take(&mut packed);
            let (block, rest) = packed.split_at(length);
            let block = snap::raw::Decoder::new().decompress_vec(block).unwrap();
            assert!(plain.is_none_or(|plain| plain == block.len()) && block.len() <= SNAPPY_BLOCK);
            content.extend(block);
            packed = rest;
        }
        content
    }

    #[test]
    fn snappy_has_the_blocks_of_snappy_java_and_of_hadoop() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let packed = Compression::Snappy.apply(content.clone(), "a").unwrap();
        assert_eq!(packed[..8], *b"\x82SNAPPY\0");
        assert_eq!(packed[8..16], [0, 0, 0, 1, 0, 0, 0, 1]);
        assert!(unpacked(&packed[16..], false) == content && packed.len() < content.len());
        let packed = Compression::HadoopSnappy.apply(content.clone(), "a").unwrap();
        assert_eq!(packed[..4], 32_768_u32.to_be_bytes());
        assert!(unpacked(&packed, true) == content);
        assert!(
            Compression::HadoopSnappy
                .apply(Vec::new(), "a")
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            Compression::of("HADOOP_SNAPPY").content_encoding(),
            Some("hadoop-snappy")
        );
        assert_eq!(Compression::of("Snappy").extension(), ".snappy");
    }
}
