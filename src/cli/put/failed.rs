//! The file of records that were read but not acknowledged. It is created with the first such record.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::input::PutInput;
use super::is_failure;
use domain::produce::{PutSummary, Unsent};
use domain::record::{Record, to_entry_json};
use ground::error::{Error, Result};
use ground::platform;

/// How many file names are tried.
const NAMES: u32 = 1000;

/// Writes failed records as lines of the put-records shape.
pub(super) struct FailedFile {
    /// The first path to try.
    path: PathBuf,
    /// Whether the user chose the path.
    named: bool,
    /// Whether the input can be read again.
    repeatable: bool,
    open: Option<(PathBuf, BufWriter<File>)>,
    kept: Kept,
    trouble: Option<io::Error>,
}

/// The records that were not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The file they are in.
    pub(super) path: Option<PathBuf>,
    /// How many the file has.
    pub(super) records: u64,
    /// How many could not be written.
    pub(super) lost: u64,
    /// Why the first failed record was refused.
    pub(super) reason: Option<String>,
    /// Why the first lost record could not be written.
    pub(super) trouble: Option<String>,
}

impl FailedFile {
    /// Chooses the path: `named`, else beside the input, else in the current directory.
    pub(super) fn new(input: &PutInput, named: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = &named
            && path.exists()
        {
            return Err(Error::usage(format!("{} exists already", path.display()))
                .hint("name another file with --failed-file, or move it away: it may hold records"));
        }
        let path = named.clone().unwrap_or_else(|| match input {
            PutInput::File(path) => with_suffix(path, ".failed.ndjson"),
            _ => PathBuf::from(format!(
                "put-failed-{}.ndjson",
                jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ")
            )),
        });
        Ok(Self {
            path,
            named: named.is_some(),
            repeatable: input.is_repeatable(),
            open: None,
            kept: Kept::default(),
            trouble: None,
        })
    }

    /// Writes one record. `untouched` means that no record was acknowledged: then an input that can be read again still has
    /// the records that were not sent, and they are not written.
    pub(super) fn keep(&mut self, record: &Record, reason: &Unsent, untouched: bool) {
        if self.repeatable && untouched && self.open.is_none() && !is_failure(reason) {
            return;
        }
        if let Unsent::Failed(reason) = reason {
            self.kept.reason.get_or_insert_with(|| reason.clone());
        }
        match self.write(record) {
            Ok(()) => self.kept.records += 1,
            Err(error) => {
                self.kept.lost += 1;
                self.trouble.get_or_insert(error);
            }
        }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.create()?,
        };
        let (_, writer) = self.open.insert(open);
        writeln!(writer, "{}", to_entry_json(record))
    }

    /// Never overwrites a file: it may have the failed records of an earlier run.
    fn create(&self) -> io::Result<(PathBuf, BufWriter<File>)> {
        for number in 1..=NAMES {
            let path = match number {
                1 => self.path.clone(),
                _ => with_suffix(&self.path.with_extension(""), &format!(".{number}.ndjson")),
            };
            let created = platform::private_file().write(true).create_new(true).open(&path);
            match created {
                Ok(file) => return Ok((path, BufWriter::new(file))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !self.named => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many files of failed records"))
    }

    pub(super) fn close(mut self) -> Kept {
        if let Some((path, mut writer)) = self.open.take() {
            if let Err(error) = writer.flush() {
                self.kept.lost += std::mem::take(&mut self.kept.records);
                self.trouble.get_or_insert(error);
            }
            self.kept.path = Some(path);
        }
        self.kept.trouble = self.trouble.map(|error| error.to_string());
        self.kept
    }
}

impl Kept {
    /// Messages to the user.
    pub(super) fn lines(&self, summary: &PutSummary, stream: Option<&str>) -> Vec<String> {
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
            lines.push(format!(
                "{what} in {path}; send {them} with `streamctl put{stream} --file {path}`"
            ));
        }
        if self.lost > 0 {
            let trouble = self.trouble.as_deref().unwrap_or("unknown");
            let what = match self.lost {
                1 => "1 record that was".to_owned(),
                count => format!("{count} records that were"),
            };
            lines.push(format!(
                "{what} not acknowledged could not be written to a file: {trouble}"
            ));
        }
        lines
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        Record {
            data: bytes::Bytes::from_static(b"x"),
            partition_key: "k".into(),
            explicit_hash_key: None,
            number,
            line: number,
        }
    }

    fn input(dir: &Path) -> PutInput {
        PutInput::File(dir.join("in.json"))
    }

    #[test]
    fn an_earlier_file_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        for expected in ["in.json.failed.ndjson", "in.json.failed.2.ndjson"] {
            let mut file = FailedFile::new(&input(dir.path()), None).unwrap();
            file.keep(&record(1), &Unsent::Failed("InternalFailure".into()), true);
            let kept = file.close();
            assert_eq!(kept.path, Some(dir.path().join(expected)));
            assert_eq!(
                std::fs::read_to_string(dir.path().join(expected)).unwrap(),
                "{\"Data\":\"eA==\",\"PartitionKey\":\"k\"}\n"
            );
        }
        let named = Some(dir.path().join("in.json.failed.ndjson"));
        assert!(FailedFile::new(&input(dir.path()), named).is_err());
    }

    #[test]
    fn no_file_is_made_for_records_that_are_safe_in_the_input() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = FailedFile::new(&input(dir.path()), None).unwrap();
        file.keep(&record(1), &Unsent::Stopped, true);
        assert_eq!(file.close().records, 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn records_that_cannot_be_kept_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let named = Some(dir.path().join("no/such/dir/f.ndjson"));
        let mut file = FailedFile::new(&input(dir.path()), named).unwrap();
        file.keep(&record(1), &Unsent::Stopped, false);
        let kept = file.close();
        assert_eq!((kept.records, kept.lost), (0, 1));
        assert!(
            kept.lines(&PutSummary::default(), None)[0]
                .starts_with("1 record that was not acknowledged could not")
        );
    }
}
