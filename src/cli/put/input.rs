//! Values of the options of `put` that say how the input is read.

use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use domain::produce::Order;
use domain::record::{BadRecords, DataEncoding, InputFormat, Repeat};
use ground::error::{Error, Result};
use ground::platform;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OrderArg {
    /// Those with the same key (default); random keys have no order
    Key,
    /// Any order: as many records of a key at once as fit
    None,
}

impl From<OrderArg> for Order {
    fn from(arg: OrderArg) -> Self {
        match arg {
            OrderArg::Key => Self::Key,
            OrderArg::None => Self::None,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum FormatArg {
    /// Detected from the first record, or the name of the file
    Auto,
    /// One JSON array
    Array,
    /// JSON values, one on each line or pretty-printed
    #[value(alias = "values")]
    Ndjson,
    /// The AWS CLI's put-records shape
    PutRecords,
    /// Saved answers of GetRecords
    GetRecords,
    /// What `tail -o json` wrote
    Recording,
    /// Comma-separated rows with a header, as JSON objects
    Csv,
    /// Tab-separated rows with a header, as JSON objects
    Tsv,
    /// Each line is a record
    Lines,
    /// Each record after its length in 4 bytes, big-endian
    LengthDelimited,
    /// Each record after its length as a varint
    VarintDelimited,
    /// Each file is a record
    Whole,
}

impl From<FormatArg> for InputFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Auto => Self::Auto,
            FormatArg::Array => Self::Array,
            FormatArg::Ndjson => Self::Values,
            FormatArg::PutRecords => Self::PutRecords,
            FormatArg::GetRecords => Self::GetRecords,
            FormatArg::Recording => Self::Recording,
            FormatArg::Csv => Self::Csv,
            FormatArg::Tsv => Self::Tsv,
            FormatArg::Lines => Self::Lines,
            FormatArg::LengthDelimited => Self::LengthDelimited,
            FormatArg::VarintDelimited => Self::VarintDelimited,
            FormatArg::Whole => Self::Whole,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum EncodingArg {
    /// Base64, as version 2 of the AWS CLI reads it
    Base64,
    /// The text itself
    Plain,
}

impl From<EncodingArg> for DataEncoding {
    fn from(arg: EncodingArg) -> Self {
        match arg {
            EncodingArg::Base64 => Self::Base64,
            EncodingArg::Plain => Self::Plain,
        }
    }
}

/// What is done with a record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadArg {
    Fail,
    Skip,
    Save(PathBuf),
}

impl BadArg {
    pub(super) fn is_fail(&self) -> bool {
        *self == Self::Fail
    }

    /// What takes bad records. Creates the file for them.
    ///
    /// # Errors
    /// Exit 2 when the file exists or cannot be created.
    pub(super) fn open(&self) -> Result<Option<Arc<BadRecords>>> {
        Ok(match self {
            Self::Fail => None,
            Self::Skip => Some(Arc::new(BadRecords::skipped())),
            Self::Save(path) => {
                let file = platform::private_file().write(true).create_new(true).open(path);
                let file = file.map_err(|error| {
                    Error::usage(format!(
                        "the file for bad records, {}, cannot be created",
                        path.display()
                    ))
                    .cause(error)
                    .hint("name another one with `--on-bad-record save=FILE`; nothing was sent")
                })?;
                Some(Arc::new(BadRecords::saved(Box::new(BufWriter::new(file)))))
            }
        })
    }
}

/// Reads `fail`, `skip` or `save=FILE`.
pub(super) fn on_bad_record(text: &str) -> std::result::Result<BadArg, String> {
    match text.split_once('=') {
        None if text == "fail" => Ok(BadArg::Fail),
        None if text == "skip" => Ok(BadArg::Skip),
        Some(("save", path)) if !path.is_empty() => Ok(BadArg::Save(path.into())),
        _ => Err("not fail, skip or save=FILE".to_owned()),
    }
}

/// Reads a number of times from 1, or `forever`.
pub(super) fn repeat(text: &str) -> std::result::Result<Repeat, String> {
    match text {
        "forever" => Ok(Repeat::Forever),
        number => number
            .parse()
            .ok()
            .filter(|times| *times > 0)
            .map(Repeat::Times)
            .ok_or_else(|| "neither a whole number from 1 on nor forever".to_owned()),
    }
}

/// Reads a time of a recording, in milliseconds since the Unix epoch. The default zone is UTC.
pub(super) fn recorded_time(text: &str) -> std::result::Result<i64, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let local = text.parse::<jiff::civil::DateTime>().ok();
    local
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|time| time.timestamp().as_millisecond())
        .ok_or_else(|| "not a time; write it like 2026-11-21T10:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused() {
        assert_eq!(on_bad_record("save=a=b"), Ok(BadArg::Save("a=b".into())));
        for bad in ["", "save", "save=", "keep"] {
            assert!(on_bad_record(bad).is_err(), "{bad}");
        }
        assert_eq!(repeat("3"), Ok(Repeat::Times(3)));
        assert_eq!(repeat("forever"), Ok(Repeat::Forever));
        for bad in ["", "0", "-1", "ever"] {
            assert!(repeat(bad).is_err(), "{bad}");
        }
        assert_eq!(recorded_time("1970-01-01T00:00:01.5Z"), Ok(1500));
        assert_eq!(recorded_time("1970-01-02"), Ok(86_400_000));
        assert!(recorded_time("yesterday").is_err());
    }

    #[test]
    fn a_file_of_bad_records_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let save = BadArg::Save(dir.path().join("bad"));
        assert!(save.open().unwrap().is_some());
        assert_eq!(save.open().unwrap_err().exit(), ground::exit::Exit::Usage);
    }
}
