//! Distributions and origin access controls, in memory and in one file each: `ID.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use super::model::{AccessControl, Distribution};
use crate::state_file;
use daemon::protocol::Damage;
use ground::platform;

/// What a [`Table`] keeps.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// What messages call it.
    const NOUN: &'static str;

    fn id(&self) -> &str;
}

impl Kept for Distribution {
    const NOUN: &'static str = "distribution";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Kept for AccessControl {
    const NOUN: &'static str = "origin access control";

    fn id(&self) -> &str {
        &self.id
    }
}

pub(super) struct Store {
    pub distributions: Table<Distribution>,
    pub access_controls: Table<AccessControl>,
    /// Held from reading the old state until the new state is written.
    changing: Mutex<()>,
}

impl Store {
    /// Reads what is in `dir`.
    pub fn open(dir: &Path) -> io::Result<Self> {
        platform::create_private_dir(dir)?;
        Ok(Self {
            distributions: Table::open(dir.join("distributions"))?,
            access_controls: Table::open(dir.join("origin-access-controls"))?,
            changing: Mutex::new(()),
        })
    }

    pub fn damage(&self) -> Vec<Damage> {
        let mut all = self.distributions.damage();
        all.extend(self.access_controls.damage());
        all
    }

    /// Starts a change. Blocks while another one is in progress.
    pub fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything of one type.
pub(super) struct Table<T> {
    dir: PathBuf,
    all: RwLock<BTreeMap<String, Arc<T>>>,
    /// Files that cannot be read, by id: path, and why.
    damaged: BTreeMap<String, (PathBuf, String)>,
}

impl<T: Kept> Table<T> {
    /// A damaged file stays as it is, and what it describes is not served.
    fn open(dir: PathBuf) -> io::Result<Self> {
        platform::create_private_dir(&dir)?;
        platform::remove_unfinished(&dir)?;
        let mut all = BTreeMap::new();
        let mut damaged = BTreeMap::new();
        for path in state_file::list(&dir, "json")? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            match state_file::load_json::<T>(&path) {
                Ok(Some(one)) => {
                    all.insert(one.id().to_owned(), Arc::new(one));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, noun = T::NOUN, "a file of CloudFront cannot be read");
                    damaged.insert(name.into_owned(), (path.clone(), error.to_string()));
                }
            }
        }
        Ok(Self {
            dir,
            all: RwLock::new(all),
            damaged,
        })
    }

    fn damage(&self) -> Vec<Damage> {
        let damaged = self.damaged.values();
        damaged
            .map(|(path, why)| Damage {
                file: path.display().to_string(),
                resource: None,
                records: 0,
                message: format!("the {} cannot be read: {why}", T::NOUN),
            })
            .collect()
    }

    /// The one with this id, in any account.
    ///
    /// # Errors
    /// If its file is damaged.
    pub fn get(&self, id: &str) -> Result<Option<Arc<T>>> {
        if let Some((path, why)) = self.damaged.get(id) {
            return Err(Error::internal(format!(
                "The file {} of this {} cannot be read: {why}.",
                path.display(),
                T::NOUN
            )));
        }
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        Ok(all.get(id).cloned())
    }

    /// All that `is_wanted`, by id.
    pub fn list(&self, is_wanted: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|one| is_wanted(one)).cloned().collect()
    }

    pub fn is_taken(&self, id: &str) -> bool {
        !matches!(self.get(id), Ok(None))
    }

    /// Saves it, then publishes it. Blocks.
    pub fn put(&self, one: T) -> Result<Arc<T>> {
        let saved = state_file::save_json(&self.path(one.id()), &one);
        saved.map_err(|error| Error::internal(format!("The {} could not be written: {error}.", T::NOUN)))?;
        let one = Arc::new(one);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(one.id().to_owned(), Arc::clone(&one));
        Ok(one)
    }

    /// Blocks.
    pub fn remove(&self, id: &str) -> Result<()> {
        state_file::remove(&self.path(id))
            .map_err(|error| Error::internal(format!("The {} could not be removed: {error}.", T::NOUN)))?;
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(id);
        Ok(())
    }

    /// Ids are of letters and digits.
    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}
