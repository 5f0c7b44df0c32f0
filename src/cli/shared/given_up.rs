//! The records that a function running here has failed to process, in a file for `put --file`.

use std::path::Path;

use super::failed_file::FailedFile;
use crate::ui::{shell_quoted, units};
use domain::consume::TailRecord;
use domain::record::Record;
use ground::error::{Error, Result};

/// The records that were given up. The stream still has them, but only this file says which they are.
pub(crate) struct GivenUp {
    file: FailedFile,
}

impl GivenUp {
    pub(crate) fn new(file: FailedFile) -> Self {
        Self { file }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> u64 {
        self.file.records()
    }

    /// Where they are, and how they are sent to `stream` again.
    pub(crate) fn place(&self, stream: &str) -> String {
        let path = self.path().display().to_string();
        format!(
            "they are in {path}; `streamctl put --stream {stream} --file {}` sends them again",
            shell_quoted(&path)
        )
    }

    /// Writes records, which are on disk then.
    ///
    /// # Errors
    /// Exit 1 if they cannot be written; the error names those that are not.
    pub(crate) fn keep(&mut self, records: &[TailRecord]) -> Result<()> {
        for (index, record) in records.iter().enumerate() {
            let entry = Record {
                data: record.data.clone(),
                partition_key: record.partition_key.as_str().into(),
                explicit_hash_key: None,
                has_random_key: false,
                number: 1,
                line: 1,
            };
            if let Err(error) = self.file.write(&entry) {
                let left = &records[index..];
                let last = left.last().unwrap_or(record);
                return Err(Error::failed(format!(
                    "{} given up could not be written to {}",
                    units::counted(left.len() as u64, "record"),
                    self.path().display()
                ))
                .cause(error)
                .hint(format!(
                    "the stream has them: {}, sequence numbers {} to {}",
                    record.shard_id, record.sequence_number, last.sequence_number
                )));
            }
        }
        let what = || format!("could not write {}", self.path().display());
        self.file.sync().map_err(|e| Error::failed(what()).cause(e))
    }
}
