//! The input formats, and what the name of a file says about its format.

use std::path::Path;

/// How an input is split into records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InputFormat {
    /// Detect the format from the input, or from the name of the file.
    #[default]
    Auto,
    /// One JSON array.
    Array,
    /// JSON values one after another.
    Values,
    /// The put-records shape of the AWS CLI.
    PutRecords,
    /// Answers of GetRecords.
    GetRecords,
    /// Records that `tail -o json` has written.
    Recording,
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// One record for each line, whatever the line holds.
    Lines,
    /// Each record after its length: four bytes, most significant first.
    LengthDelimited,
    /// Each record after its length, a varint: what protobuf's `writeDelimitedTo` writes.
    VarintDelimited,
    /// The whole input is one record.
    Whole,
}

impl InputFormat {
    /// The format that the name of a file says; `Auto` if it says none.
    pub fn of_name(path: &Path) -> Self {
        let extension = |path: &Path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.map(str::to_ascii_lowercase).unwrap_or_default()
        };
        let named = match extension(path).as_str() {
            "gz" | "zst" => path
                .file_stem()
                .map_or_else(String::new, |stem| extension(Path::new(stem))),
            other => other.to_owned(),
        };
        match named.as_str() {
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            _ => Self::Auto,
        }
    }

    /// Whether the input may be compressed. The bytes of a whole file are a record as they are.
    pub(super) fn may_be_compressed(self) -> bool {
        self != Self::Whole
    }
}

/// What the `Data` of a put-records entry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataEncoding {
    /// As version 2 of the AWS CLI reads it.
    #[default]
    Base64,
    /// The text itself.
    Plain,
}
