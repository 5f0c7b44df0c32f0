//! The content of objects: compression, and the extension of their names.
//!
//! Source: "Understand data delivery in Amazon S3" and `CompressionFormat`, Amazon Data Firehose developer guide and API
//! reference.

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
}

impl Compression {
    /// Of a `CompressionFormat` that has been checked.
    pub fn of(format: &str) -> Self {
        match format {
            "GZIP" => Self::Gzip,
            "ZIP" => Self::Zip,
            _ => Self::None,
        }
    }

    /// The end of the names of objects without a `FileExtension`.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zip => ".zip",
        }
    }

    pub const fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip"),
            Self::None | Self::Zip => None,
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
        }
    }
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
}
