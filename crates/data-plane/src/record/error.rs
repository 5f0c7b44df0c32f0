//! Errors of an input, and where they are.

use std::io;
use std::sync::Arc;

use super::entry::Shape;
use ground::error::Error;

/// An error in the input: its kind and where it is.
#[derive(Debug)]
pub struct RecordError {
    pub kind: RecordErrorKind,
    /// The file with the error, where the input has several.
    pub file: Option<Arc<str>>,
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
    #[error("it has none of the fields that the template uses for partition keys")]
    NoKeyPattern,
    /// The explicit hash key field is missing.
    #[error("it has no text or number in the field {0:?} for its explicit hash key")]
    NoHashKeyField(String),
    /// Not an object of the expected shape.
    #[error("not an object with {0}")]
    NotAnEntry(Members, #[source] Option<serde_json::Error>),
    /// `Data` is not base64.
    #[error("its Data is not base64")]
    NotBase64,
    /// An explicit hash key is not a decimal number below 2^128.
    #[error("its explicit hash key is not a whole number below 2^128")]
    HashKey,
    /// The arrival time is not a time.
    #[error("its ApproximateArrivalTimestamp is not a time")]
    Arrival,
    /// A record of a recording has no arrival time.
    #[error("it has no arrival time")]
    NoArrival,
    /// A row of CSV has more or fewer fields than the header.
    #[error("it has {found} fields, and the header has {expected}")]
    Fields { expected: usize, found: usize },
    /// The header of CSV cannot name the members of a JSON object.
    #[error("{0}")]
    Header(String),
    /// The input ends inside a record.
    #[error("the input ends after {found} of its {expected} bytes")]
    Truncated { expected: u64, found: u64 },
    /// A length is not a varint of at most 64 bits.
    #[error("its length is not a varint of at most 64 bits")]
    Varint,
    /// There are fewer records than are to be skipped.
    #[error("has {found} records, and --skip leaves out the first {skip}")]
    SkipBeyond { skip: u64, found: u64 },
    /// The input names another stream than the one that the records go to.
    #[error("names the stream {found}, and its records would go to {wanted}")]
    OtherStream { found: String, wanted: String },
    /// A bad record could not be saved.
    #[error("a bad record could not be saved")]
    Unsaved(#[source] io::Error),
}

/// The members that an object must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Members(&'static str);

impl std::fmt::Display for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl From<Shape> for Members {
    fn from(shape: Shape) -> Self {
        Self(match shape {
            Shape::PutRecords => "only Data, PartitionKey and optionally ExplicitHashKey",
            Shape::GetRecords => {
                "only SequenceNumber, Data, PartitionKey and other members of a GetRecords answer"
            }
            Shape::Recording => "partition_key, and data or data_base64",
        })
    }
}

impl RecordError {
    /// The message for the user; `input` names the input, such as its path. Exit 2.
    pub fn into_error(self, input: &str) -> Error {
        use RecordErrorKind as K;
        let sentence = self.sentence(self.file.as_deref().unwrap_or(input));
        let error = match &self.kind {
            // Not the fault of the input.
            K::Unsaved(_) => Error::failed(sentence),
            _ => Error::usage(sentence),
        };
        match self.kind {
            K::Io(cause) | K::Unsaved(cause) => error.cause(cause),
            K::Empty => error.hint("give a JSON array, one JSON value a line, or `--data TEXT` for one record"),
            K::Binary => error.hint(
                "decode it first, or choose `--format whole`, `--format length-delimited` or `--format varint-delimited`",
            ),
            K::Utf16 => error.hint("convert it first, for example with `iconv -f UTF-16 -t UTF-8`"),
            K::Unknown(_) => error.hint(
                "`--format lines` sends each line as it is, `--format csv` converts rows with a header to JSON",
            ),
            K::TooLarge { .. } => {
                error.hint("split or compress it, or raise the stream's record size (UpdateMaxRecordSize, up to 10 MiB)")
            }
            K::NotAnEntry(_, Some(cause)) => error.cause(cause).hint(AS_THEY_ARE),
            K::NotAnEntry(_, None) => error.hint(AS_THEY_ARE),
            K::OtherStream { found, wanted } => error.hint(format!(
                "use `--stream {found}` to send them there, or remove StreamName from the input to send them to {wanted}"
            )),
            K::NotBase64 => error.hint("`--data-encoding plain` takes Data as it is"),
            _ => error,
        }
    }

    fn sentence(&self, input: &str) -> String {
        use RecordErrorKind as K;
        let Self { record, line, .. } = self;
        match (&self.kind, self.column) {
            (
                K::Io(_)
                | K::Empty
                | K::Binary
                | K::Utf16
                | K::Unknown(_)
                | K::Header(_)
                | K::OtherStream { .. }
                | K::SkipBeyond { .. },
                _,
            ) => format!("{input} {}", self.kind),
            (K::Syntax(what), Some(column)) => {
                // In NDJSON, the line where the incomplete value starts is more useful than the line where parsing
                // fails.
                let begun = match self.started {
                    Some(started) if started < *line => {
                        format!(", in the value that starts at line {started}")
                    }
                    _ => String::new(),
                };
                format!("{input} is not valid JSON at line {line}, column {column}: {what}{begun}")
            }
            (K::NotUtf8, Some(column)) => format!("{input}, line {line}, column {column}: {}", self.kind),
            (kind, _) => format!("{input}, record {record} (line {line}): {kind}"),
        }
    }
}

const AS_THEY_ARE: &str =
    "the first record looks like one; `--format array` or `--format ndjson` sends records as they are";
