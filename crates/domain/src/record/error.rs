//! Errors of an input, and where they are.

use std::io;

use ground::error::Error;

/// An error in the input: its kind and where it is.
#[derive(Debug)]
pub struct RecordError {
    pub kind: RecordErrorKind,
    /// The record with the error, from 1; 0 for an error of the whole input.
    pub record: u64,
    /// The line of the error, from 1.
    pub line: u64,
    /// The column of the error in bytes, from 1, where known.
    pub column: Option<u64>,
    /// The line on which the value with the error starts.
    pub started: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordErrorKind {
    /// The input could not be read.
    #[error("could not be read")]
    Io(#[source] io::Error),
    /// There are no records.
    #[error("holds no records")]
    Empty,
    /// Binary data.
    #[error("is a binary file, not JSON")]
    Binary,
    /// UTF-16 text.
    #[error("is UTF-16 text; records are read as UTF-8")]
    Utf16,
    /// Text that does not start as JSON.
    #[error("is not JSON: it starts with {0:?}")]
    Unknown(String),
    /// Invalid JSON.
    #[error("{0}")]
    Syntax(&'static str),
    /// Invalid UTF-8 inside JSON.
    #[error("these bytes are not UTF-8")]
    NotUtf8,
    /// The record exceeds the stream's limit.
    #[error("larger than the stream takes ({limit} bytes, partition key included)")]
    TooLarge { limit: usize },
    /// The partition key is empty.
    #[error("its partition key is empty")]
    KeyEmpty,
    /// The partition key exceeds 256 characters.
    #[error("its partition key has {0} characters; 256 are allowed")]
    KeyTooLong(usize),
    /// The partition key field is missing, or is not a string, number or boolean.
    #[error("it has no text or number in the field {0:?}")]
    NoKeyField(String),
    /// No pattern of the template's keys fits the record.
    #[error("it has none of the fields that the template makes partition keys of")]
    NoKeyPattern,
    /// The records have their own partition keys.
    #[error("brings its own partition keys")]
    OwnKeys,
    /// Not an entry of the put-records shape.
    #[error("not an object with just Data, PartitionKey and perhaps ExplicitHashKey")]
    NotAnEntry(#[source] Option<serde_json::Error>),
    /// `Data` is not base64.
    #[error("its Data is not base64")]
    NotBase64,
    /// `ExplicitHashKey` is not a decimal number below 2^128.
    #[error("its ExplicitHashKey is not a whole number below 2^128")]
    HashKey,
}

impl RecordError {
    /// The message for the user; `input` names the input, such as its path. Exit 2.
    pub fn into_error(self, input: &str) -> Error {
        use RecordErrorKind as K;
        let Self {
            record,
            line,
            column,
            started,
            ..
        } = self;
        let sentence = match (&self.kind, column) {
            (K::Io(_) | K::Empty | K::Binary | K::Utf16 | K::Unknown(_) | K::OwnKeys, _) => {
                format!("{input} {}", self.kind)
            }
            (K::Syntax(what), Some(column)) => {
                // In NDJSON, the line where the incomplete value starts is more useful than the line where parsing
                // fails.
                let begun = match started {
                    Some(started) if started < line => {
                        format!(", in the value that starts at line {started}")
                    }
                    _ => String::new(),
                };
                format!("{input} is not valid JSON at line {line}, column {column}: {what}{begun}")
            }
            (K::NotUtf8, Some(column)) => format!("{input}, line {line}, column {column}: {}", self.kind),
            (kind, _) => format!("{input}, record {record} (line {line}): {kind}"),
        };
        let error = Error::usage(sentence);
        match self.kind {
            K::Io(cause) => error.cause(cause),
            K::Empty => error.hint("give a JSON array, one JSON value a line, or `--data TEXT` for one record"),
            K::Binary => error.hint("decompress or decode it first"),
            K::Utf16 => error.hint("convert it first, for example with `iconv -f UTF-16 -t UTF-8`"),
            K::Unknown(_) => error.hint("`--format lines` sends each line as it is"),
            K::TooLarge { .. } => {
                error.hint("split or compress it, or raise the stream's record size (UpdateMaxRecordSize, up to 10 MiB)")
            }
            K::OwnKeys => error.hint(
                "leave out --partition-key, --partition-key-field and --pipeline, or add `--format array` or `--format values` to send the entries as they are",
            ),
            K::NotAnEntry(Some(cause)) => error.cause(cause).hint(AS_THEY_ARE),
            K::NotAnEntry(None) | K::NotBase64 => error.hint(AS_THEY_ARE),
            _ => error,
        }
    }
}

const AS_THEY_ARE: &str = "the first record is in the put-records shape; `--format array` or `--format values` sends records as they are";
