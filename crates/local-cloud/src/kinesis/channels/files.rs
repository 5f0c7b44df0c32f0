//! The files of one channel: its settings, and how far each shard is delivered.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::meta::ChannelMeta;
use crate::state_file;
use ground::platform;

const SETTINGS: &str = "channel.json";
const PROGRESS: &str = "progress.json";

/// How far a shard is delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Index of the next record.
    pub next: u64,
    /// The shard is closed and delivered to its end.
    pub ended: bool,
}

/// How far a channel is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Objects delivered so far: the number of the next one.
    pub objects: u64,
    /// By shard: those that have records for the channel.
    pub shards: BTreeMap<u32, Delivered>,
}

#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    pub fn new(dir: &Path, id: &str) -> Self {
        Self { dir: dir.join(id) }
    }

    /// The channels in `dir`.
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

    /// The file of the settings.
    pub fn path(&self) -> PathBuf {
        self.dir.join(SETTINGS)
    }

    /// The settings. `None` if the channel was never created or is deleted.
    ///
    /// # Errors
    /// If they cannot be read. The error names the file.
    pub fn load(&self) -> io::Result<Option<ChannelMeta>> {
        let loaded: Option<ChannelMeta> = state_file::load_json(&self.path())?;
        match loaded {
            Some(meta) if meta.version > ChannelMeta::VERSION => {
                let text = format!(
                    "is of version {}, this program reads version {}",
                    meta.version,
                    ChannelMeta::VERSION
                );
                Err(platform::at_path(io::Error::other(text), &self.path()))
            }
            loaded => Ok(loaded),
        }
    }

    /// # Errors
    /// If they cannot be written. The old ones are then intact.
    pub fn save(&self, meta: &ChannelMeta) -> io::Result<()> {
        platform::create_private_dir(&self.dir).map_err(|error| platform::at_path(error, &self.dir))?;
        state_file::save_json(&self.path(), meta)
    }

    /// # Errors
    /// If it cannot be read. The error names the file.
    pub fn progress(&self) -> io::Result<Progress> {
        Ok(state_file::load_json(&self.dir.join(PROGRESS))?.unwrap_or_default())
    }

    /// # Errors
    /// If it cannot be written. The old one is then intact.
    pub fn save_progress(&self, progress: &Progress) -> io::Result<()> {
        state_file::save_json(&self.dir.join(PROGRESS), progress)
    }

    /// Deletes the files, the settings first: without them there is no channel.
    pub fn remove(&self) {
        let removed =
            state_file::remove(&self.path()).and_then(|()| match std::fs::remove_dir_all(&self.dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            });
        if let Err(error) = removed {
            tracing::warn!(path = %self.dir.display(), %error, "the files of a deleted channel stay until the next start");
        }
    }
}
