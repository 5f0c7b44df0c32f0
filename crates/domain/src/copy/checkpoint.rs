//! How far each shard of the source was copied, in a file that is replaced as a whole.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::consume::{IteratorStart, Progress};
use ground::error::{Error, Result};
use ground::{file, platform};

/// The largest file that is read: more than 10,000 shards need.
const MOST_BYTES: u64 = 64 << 20;

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    source: String,
    destination: String,
    /// By shard id of the source.
    shards: BTreeMap<String, Position>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    TrimHorizon,
    /// In milliseconds since the Unix epoch.
    AtTimestamp(i64),
    AtSequenceNumber(String),
    AfterSequenceNumber(String),
    ShardEnd,
}

/// How far a copy has come.
#[derive(Debug)]
pub struct CopyCheckpoint {
    /// `None` where nothing is kept.
    path: Option<PathBuf>,
    content: Content,
}

impl CopyCheckpoint {
    /// Opens the checkpoint in `path`, which need not exist; without a path nothing is kept. `source` and `destination` name
    /// the streams with their regions and accounts.
    ///
    /// # Errors
    /// Exit 2 for a file that is no checkpoint, or that of another copy; exit 1 if it cannot be read.
    pub fn open(path: Option<&Path>, source: &str, destination: &str) -> Result<Self> {
        let empty = Content {
            source: source.to_owned(),
            destination: destination.to_owned(),
            shards: BTreeMap::new(),
        };
        let Some(path) = path else {
            return Ok(Self {
                path: None,
                content: empty,
            });
        };
        let shown = path.display();
        let content = match file::read(path, MOST_BYTES) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => empty,
            Err(error) => return Err(Error::failed(format!("{shown} could not be read")).cause(error)),
            Ok(bytes) => {
                let content: Content = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::usage(format!("{shown} is not a checkpoint of a copy"))
                        .cause(error)
                        .hint("name a file that `streamctl copy FROM TO --checkpoint FILE` wrote, or one that does not exist")
                })?;
                if (content.source.as_str(), content.destination.as_str()) != (source, destination) {
                    return Err(Error::usage(format!(
                        "{shown} is the checkpoint of a copy from {} to {}",
                        content.source, content.destination
                    ))
                    .hint("give each copy a file of its own with --checkpoint"));
                }
                content
            }
        };
        Ok(Self {
            path: Some(path.to_owned()),
            content,
        })
    }

    /// Whether a copy goes on.
    pub fn is_begun(&self) -> bool {
        !self.content.shards.is_empty()
    }

    /// How far the shards were copied.
    pub fn progress(&self) -> HashMap<String, Progress> {
        let shards = self.content.shards.iter();
        shards
            .map(|(id, position)| (id.clone(), Progress::from(position)))
            .collect()
    }

    /// Keeps how far shards were copied: all of it or nothing.
    ///
    /// # Errors
    /// Exit 1 if the file cannot be written.
    pub fn keep(&mut self, progress: &[(Arc<str>, Progress)]) -> Result<()> {
        for (id, progress) in progress {
            self.content
                .shards
                .insert(id.to_string(), Position::from(progress));
        }
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |cause: String| {
            Error::failed(format!("could not write the checkpoint to {}", path.display())).cause(cause)
        };
        let bytes = serde_json::to_vec_pretty(&self.content).map_err(|error| failed(error.to_string()))?;
        platform::replace_private_file(path, &bytes).map_err(|error| failed(error.to_string()))
    }
}

impl From<&Progress> for Position {
    fn from(progress: &Progress) -> Self {
        match progress {
            Progress::Ended => Self::ShardEnd,
            Progress::After(number) | Progress::From(IteratorStart::After(number)) => {
                Self::AfterSequenceNumber(number.clone())
            }
            Progress::From(IteratorStart::At(number)) => Self::AtSequenceNumber(number.clone()),
            Progress::From(IteratorStart::AtTimestamp(ms)) => Self::AtTimestamp(*ms),
            // A copy names the time of its start instead of "latest".
            Progress::From(IteratorStart::TrimHorizon | IteratorStart::Latest) => Self::TrimHorizon,
        }
    }
}

impl From<&Position> for Progress {
    fn from(position: &Position) -> Self {
        match position.clone() {
            Position::ShardEnd => Self::Ended,
            Position::AfterSequenceNumber(number) => Self::After(number),
            Position::AtSequenceNumber(number) => Self::From(IteratorStart::At(number)),
            Position::AtTimestamp(ms) => Self::From(IteratorStart::AtTimestamp(ms)),
            Position::TrimHorizon => Self::From(IteratorStart::TrimHorizon),
        }
    }
}
