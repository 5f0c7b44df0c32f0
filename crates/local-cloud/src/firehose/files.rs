//! The files of one delivery stream: its settings, and how far it has delivered.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::model::Meta;
use super::prefix::Keys;
use crate::state_file;
use ground::platform;

const SETTINGS: &str = "stream.json";
const PROGRESS: &str = "progress.json";
/// A directory with a file for each partition.
const PARTITIONS: &str = "partitions";

/// A position in a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct At {
    /// Index of the next record.
    pub next: u64,
    /// The shard is closed, and this is its end.
    pub ended: bool,
}

/// An object that is about to be written. It is saved before the object, so that a process that is killed in between
/// writes the same records under the same key again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub key: String,
    /// The key of the object with the records that could not be transformed.
    pub error_key: String,
    /// The settings that the object follows: with others, it gets new keys.
    pub bucket_arn: String,
    pub compression: String,
    /// Where the object ends, by shard: only shards with something new.
    pub until: BTreeMap<u32, At>,
    /// Arrival of the oldest record.
    pub oldest_ms: i64,
    pub records: u64,
    pub bytes: u64,
}

/// What the records of a partition have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Group {
    /// A prefix with its expressions, and the values of its partition keys.
    Keys { prefix: String, keys: Keys },
    /// Lines about records that failed, with their type.
    Failed(String),
}

/// Records that wait for their object in a file of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partition {
    pub group: Group,
    /// Bytes of the file that count.
    pub length: u64,
    /// Bytes of the file that are delivered.
    #[serde(default)]
    pub delivered: u64,
    /// Records in the file, without those that are delivered.
    pub records: u64,
    /// Bytes of the records.
    pub bytes: u64,
    /// Arrival of the oldest record.
    pub oldest_ms: i64,
    pub target: Option<Target>,
}

/// An object that is about to be written, or could not be written. Its partition gets no more records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    pub key: String,
    /// The settings that the object follows: with others, it gets a new key.
    pub bucket_arn: String,
    pub compression: String,
    /// When it was first tried.
    pub since_ms: i64,
    /// The retries are over: the object has lines about the records, and is below the prefix of errors.
    #[serde(default)]
    pub is_failed: bool,
    /// The position in the file where the object ends.
    pub until: u64,
}

/// How far a delivery stream is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The incarnation of the source.
    pub source_id: u64,
    /// Shards of the source that have been seen: those with a higher index are new, and read from their beginning.
    pub known: u32,
    /// Where each shard continues. Shards that were closed before the delivery stream was created are left out.
    pub shards: BTreeMap<u32, At>,
    pub intent: Option<Intent>,
    /// With dynamic partitioning, the records that are read and not delivered. The older partition has the smaller number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions: BTreeMap<u64, Partition>,
    /// The number of the next partition.
    #[serde(default)]
    pub next_partition: u64,
}

#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub fn new(dir: &Path, id: &str) -> Self {
        Self { dir: dir.join(id) }
    }

    /// The delivery streams in `dir`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn list(dir: &Path) -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|error| platform::at_path(error, dir))? {
            let path = entry?.path();
            if path.is_dir() {
                platform::remove_unfinished(&path)?;
                all.push(Self { dir: path });
            }
        }
        Ok(all)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of the settings.
    pub fn path(&self) -> PathBuf {
        self.dir.join(SETTINGS)
    }

    /// The settings. `None` if the delivery stream was never created or is deleted.
    ///
    /// # Errors
    /// If they cannot be read. The error names the file.
    pub fn load(&self) -> io::Result<Option<Meta>> {
        let loaded: Option<Meta> = state_file::load_json(&self.path())?;
        match loaded {
            Some(meta) if meta.version > Meta::VERSION => {
                let text = format!(
                    "is of version {}, this program reads version {}",
                    meta.version,
                    Meta::VERSION
                );
                Err(platform::at_path(io::Error::other(text), &self.path()))
            }
            loaded => Ok(loaded),
        }
    }

    /// # Errors
    /// If the directory cannot be made.
    pub fn make(&self) -> io::Result<()> {
        platform::create_private_dir(&self.dir).map_err(|error| platform::at_path(error, &self.dir))
    }

    /// # Errors
    /// If they cannot be written. The old ones are then intact.
    pub fn save(&self, meta: &Meta) -> io::Result<()> {
        state_file::save_json(&self.path(), meta)
    }

    /// # Errors
    /// If it cannot be read. The error names the file.
    pub fn progress(&self) -> io::Result<Progress> {
        let path = self.dir.join(PROGRESS);
        let missing = || platform::at_path(io::ErrorKind::NotFound.into(), &path);
        state_file::load_json(&path)?.ok_or_else(missing)
    }

    /// # Errors
    /// If it cannot be written. The old one is then intact.
    pub fn save_progress(&self, progress: &Progress) -> io::Result<()> {
        state_file::save_json(&self.dir.join(PROGRESS), progress)
    }

    /// The file of a partition.
    pub fn partition(&self, number: u64) -> PathBuf {
        self.dir.join(PARTITIONS).join(number.to_string())
    }

    /// # Errors
    /// If the directory of the partitions cannot be made.
    pub fn make_partitions(&self) -> io::Result<()> {
        let dir = self.dir.join(PARTITIONS);
        platform::create_private_dir(&dir).map_err(|error| platform::at_path(error, &dir))
    }

    /// Deletes the file of a partition that is delivered. One that stays is deleted at the next start.
    pub fn remove_partition(&self, number: u64) {
        let path = self.partition(number);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "the file of a delivered partition stays until the next start");
            }
            _ => {}
        }
    }

    /// Deletes files of partitions that are delivered. Returns the files that are shorter than what counts, and how many
    /// records their partitions have.
    pub fn check_partitions(&self, progress: &Progress) -> Vec<(PathBuf, u64)> {
        let entries = std::fs::read_dir(self.dir.join(PARTITIONS));
        for entry in entries.into_iter().flatten().flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(number) = number.filter(|number| !progress.partitions.contains_key(number)) {
                self.remove_partition(number);
            }
        }
        let partitions = progress.partitions.iter();
        partitions
            .map(|(number, partition)| (self.partition(*number), partition))
            .filter(|(path, partition)| path.metadata().map_or(0, |found| found.len()) < partition.length)
            .map(|(path, partition)| (path, partition.records))
            .collect()
    }

    /// Deletes the files, the settings first: without them there is no delivery stream.
    pub fn remove(&self) {
        let removed =
            state_file::remove(&self.path()).and_then(|()| match std::fs::remove_dir_all(&self.dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            });
        if let Err(error) = removed {
            tracing::warn!(path = %self.dir.display(), %error, "the files of a deleted delivery stream stay until the next start");
        }
    }
}
