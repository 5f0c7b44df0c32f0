//! The records that were read but not acknowledged.

use std::io;
use std::path::PathBuf;

use super::{Origin, is_failure};
use crate::cli::shared::failed_file::{FailedFile, ranges, with_suffix};
use crate::ui::shell_quoted;
use domain::produce::{PutSummary, Unsent};
use domain::record::Record;
use ground::error::{Error, Result};

/// How many ranges of lines a message names.
const RANGES: usize = 20;

/// Keeps unacknowledged records in a file.
pub(crate) struct Unacknowledged {
    /// `None` where there is no place for one, and the command itself has the record.
    file: Option<FailedFile>,
    /// Whether the input can be read again.
    repeatable: bool,
    /// Whether a later run sends what was not sent now.
    resumes: bool,
    kept: Kept,
    /// Lines of the records that could not be written.
    lost: Vec<u64>,
    trouble: Option<io::Error>,
}

/// The records that were not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The file they are in.
    pub(crate) path: Option<PathBuf>,
    /// How many the file has.
    pub(crate) records: u64,
    /// How many could not be written.
    pub(crate) lost: u64,
    /// The lines of the input that have those.
    pub(crate) lost_lines: String,
    /// Why the first failed record was refused.
    pub(crate) reason: Option<String>,
    /// Why the first lost record could not be written.
    pub(crate) trouble: Option<String>,
}

impl Unacknowledged {
    /// Creates the file: `named`, else beside the input, else in the current directory.
    ///
    /// # Errors
    /// Exit 2 when it cannot be created, unless the record is on the command line.
    pub(crate) fn open(origin: &Origin, named: Option<PathBuf>) -> Result<Self> {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let here = PathBuf::from(format!("put-failed-{time}.ndjson"));
        let file = match (&named, &origin.file) {
            (Some(path), _) => Some(FailedFile::named(path)?),
            (None, Some(path)) => {
                let beside = with_suffix(path, ".failed.ndjson");
                Some(FailedFile::first_of(&[beside, here])?)
            }
            (None, None) if origin.is_argument => FailedFile::first_of(&[here]).ok(),
            (None, None) => Some(FailedFile::first_of(&[here])?),
        };
        Ok(Self {
            file,
            repeatable: origin.is_repeatable,
            resumes: false,
            kept: Kept::default(),
            lost: Vec::new(),
            trouble: None,
        })
    }

    /// Leaves out records that were not sent, because a later run sends them (`--resume`).
    pub(crate) fn resumed_later(mut self) -> Self {
        self.resumes = true;
        self
    }

    /// Writes one record; `false` where it could not be written. `untouched` means that no record was acknowledged: then an
    /// input that can be read again still has the records that were not sent, and they are not written.
    pub(crate) fn keep(&mut self, record: &Record, reason: &Unsent, untouched: bool) -> bool {
        let empty = self.file.as_ref().is_none_or(|file| file.records() == 0);
        let is_safe = self.resumes || (self.repeatable && untouched && empty);
        if is_safe && !is_failure(reason) {
            return true;
        }
        if let Unsent::Failed(reason) = reason {
            self.kept.reason.get_or_insert_with(|| reason.clone());
        }
        let written = match &mut self.file {
            // What comes after the first that could not be written is not kept in part.
            Some(file) if self.trouble.is_none() => file.write_with(record, told(reason)),
            Some(_) => Err(io::Error::other("an earlier write to the file failed")),
            None => return true,
        };
        match written {
            Ok(()) => true,
            Err(error) => {
                self.lost.push(record.line);
                self.trouble.get_or_insert(error);
                false
            }
        }
    }

    /// The error that ended the run; `None` where all records were kept.
    pub(crate) fn failure(&self, input: &str) -> Option<Error> {
        let (trouble, file) = (self.trouble.as_ref()?, self.file.as_ref()?);
        let what = format!(
            "the failed records could not be written to {}",
            file.path().display()
        );
        Some(Error::failed(what).cause(trouble.to_string()).hint(format!(
            "free some space on the disk, then send again the lines of {input} that are named above"
        )))
    }

    pub(crate) fn close(mut self) -> Kept {
        if let Some(file) = &self.file {
            self.kept.records = file.records();
            if let Err(error) = file.sync() {
                self.trouble.get_or_insert(error);
            }
            self.kept.path = (file.records() > 0).then(|| file.path().to_owned());
        }
        self.kept.lost = self.lost.len() as u64;
        self.kept.lost_lines = ranges(&mut self.lost, RANGES);
        self.kept.trouble = self.trouble.map(|error| error.to_string());
        self.kept
    }
}

/// The reason as the file has it.
fn told(reason: &Unsent) -> &str {
    match reason {
        Unsent::Failed(reason) => reason,
        Unsent::Stopped => "the run ended before it was acknowledged",
    }
}

impl Kept {
    /// Messages to the user.
    pub(crate) fn lines(&self, summary: &PutSummary, stream: Option<&str>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(reason) = &self.reason {
            lines.push(match summary.failed {
                1 => format!("1 record failed: {reason}"),
                failed => format!("{failed} records failed; the first: {reason}"),
            });
        }
        if let (Some(path), 1..) = (&self.path, self.records) {
            let path = path.display();
            let (what, them) = match self.records {
                1 => ("1 record that was not acknowledged is".to_owned(), "it"),
                count => (format!("{count} records that were not acknowledged are"), "them"),
            };
            let stream = stream.map_or_else(String::new, |name| format!(" --stream {name}"));
            let file = shell_quoted(&path.to_string());
            lines.push(format!(
                "{what} in {path}; send {them} with `streamctl put{stream} --file {file}`"
            ));
        }
        if let Some(trouble) = &self.trouble {
            let (what, those) = match self.lost {
                0 => ("the file may be incomplete".to_owned(), String::new()),
                1 => (
                    "1 record was not acknowledged and is not in a file".to_owned(),
                    self.where_they_are(),
                ),
                count => (
                    format!("{count} records were not acknowledged and are not in a file"),
                    self.where_they_are(),
                ),
            };
            lines.push(format!("{what}: {trouble}{those}"));
        }
        lines
    }

    fn where_they_are(&self) -> String {
        let plural = if self.lost == 1 { "" } else { "s" };
        format!("; only the input has them, on line{plural} {}", self.lost_lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        Record {
            data: bytes::Bytes::from_static(b"x"),
            partition_key: "k".into(),
            explicit_hash_key: None,
            has_random_key: false,
            number,
            line: number,
        }
    }

    fn input(dir: &std::path::Path) -> Origin {
        Origin {
            name: "in.json".to_owned(),
            file: Some(dir.join("in.json")),
            is_repeatable: true,
            is_argument: false,
            has_chosen_keys: false,
        }
    }

    #[test]
    fn nothing_is_written_for_records_that_are_safe_in_the_input() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = Unacknowledged::open(&input(dir.path()), None).unwrap();
        assert!(records.keep(&record(1), &Unsent::Stopped, true));
        assert_eq!(records.close().records, 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn failed_records_are_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = Unacknowledged::open(&input(dir.path()), None).unwrap();
        let reason = Unsent::Failed("InternalFailure".into());
        assert!(records.keep(&record(1), &reason, true) && records.keep(&record(2), &Unsent::Stopped, true));
        let kept = records.close();
        assert_eq!((kept.records, kept.lost), (2, 0));
        let path = dir.path().join("in.json.failed.ndjson");
        assert_eq!(kept.path.as_ref(), Some(&path));
        let text = std::fs::read_to_string(path).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"Data":"eA==","PartitionKey":"k","FailureReason":"InternalFailure"}
        {"Data":"eA==","PartitionKey":"k","FailureReason":"the run ended before it was acknowledged"}
        "#);
    }

    #[test]
    fn what_a_later_run_sends_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let records = Unacknowledged::open(&input(dir.path()), None).unwrap();
        let mut records = records.resumed_later();
        let failed = Unsent::Failed("InternalFailure".into());
        assert!(
            records.keep(&record(1), &failed, false) && records.keep(&record(2), &Unsent::Stopped, false)
        );
        assert_eq!(records.close().records, 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_anything_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let named = Some(dir.path().join("no/such/dir/f.ndjson"));
        let stdin = Origin {
            file: None,
            is_repeatable: false,
            ..input(dir.path())
        };
        let error = Unacknowledged::open(&stdin, named).err().unwrap();
        assert_eq!(error.exit(), ground::exit::Exit::Usage);
        assert!(error.hint_text().unwrap().contains("--failed-file"));
    }

    #[test]
    fn lines_that_only_the_input_has_are_named() {
        let kept = Kept {
            lost: 3,
            lost_lines: "4, 7-8".to_owned(),
            trouble: Some("No space left on device".to_owned()),
            ..Kept::default()
        };
        insta::assert_snapshot!(
            kept.lines(&PutSummary::default(), None)[0],
            @"3 records were not acknowledged and are not in a file: No space left on device; only the input has them, on lines 4, 7-8"
        );
    }
}
