//! All APIs of a kind, in memory and in one file each: `ID.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use crate::state_file;
use crate::types::Caller;
use daemon::protocol::Damage;
use ground::platform;

/// APIs of an account in a region. Source: "Quotas for configuring and running an HTTP API" and "… a REST API", API Gateway
/// developer guide.
const MAX_APIS: usize = 600;

/// An API in a store.
pub(super) trait Stored: Serialize + DeserializeOwned {
    fn id(&self) -> &str;

    fn is_of(&self, caller: &Caller) -> bool;
}

pub(super) struct Store<A> {
    dir: PathBuf,
    apis: RwLock<BTreeMap<String, Arc<A>>>,
    /// Files that cannot be read, by id: path, and why.
    damaged: BTreeMap<String, (PathBuf, String)>,
    /// Held from reading the old state until the new state is written.
    changing: Mutex<()>,
}

/// Exclusive permission to change APIs.
pub(super) struct Change<'a, A> {
    store: &'a Store<A>,
    _one: MutexGuard<'a, ()>,
}

impl<A: Stored> Store<A> {
    /// Reads the APIs in `dir`. A damaged file stays as it is, and its API is not served.
    pub fn open(dir: &Path) -> io::Result<Self> {
        platform::create_private_dir(dir)?;
        platform::remove_unfinished(dir)?;
        let mut apis = BTreeMap::new();
        let mut damaged = BTreeMap::new();
        for path in state_file::list(dir, "json")? {
            let id = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            match state_file::load_json::<A>(&path) {
                Ok(Some(api)) => {
                    apis.insert(api.id().to_owned(), Arc::new(api));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "an API cannot be read");
                    damaged.insert(id, (path, error.to_string()));
                }
            }
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            apis: RwLock::new(apis),
            damaged,
            changing: Mutex::new(()),
        })
    }

    pub fn damage(&self) -> Vec<Damage> {
        let damaged = self.damaged.values();
        damaged
            .map(|(path, why)| Damage {
                file: path.display().to_string(),
                resource: None,
                records: 0,
                message: format!("the API cannot be read: {why}"),
            })
            .collect()
    }

    /// The API with this id, in any account and region.
    pub fn get(&self, id: &str) -> Option<Arc<A>> {
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        apis.get(id).cloned()
    }

    /// The API of `caller`.
    pub fn find(&self, caller: &Caller, id: &str) -> Result<Arc<A>> {
        if let Some((path, why)) = self.damaged.get(id) {
            return Err(Error::internal(format!(
                "The file {} of this API cannot be read: {why}.",
                path.display()
            )));
        }
        self.get(id)
            .filter(|api| api.is_of(caller))
            .ok_or_else(|| Error::not_found("API", &format!("{}:{id}", caller.account)))
    }

    /// All APIs of `caller`, by id.
    pub fn list(&self, caller: &Caller) -> Vec<Arc<A>> {
        let apis = self.apis.read().unwrap_or_else(PoisonError::into_inner);
        apis.values().filter(|api| api.is_of(caller)).cloned().collect()
    }

    /// Starts a change. Blocks while another one is in progress.
    pub fn change(&self) -> Change<'_, A> {
        Change {
            store: self,
            _one: self.changing.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Ids are of letters and digits.
    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

impl<A: Stored> Change<'_, A> {
    /// Adds an API with a new id, which `make` gets.
    pub fn add(&self, caller: &Caller, make: impl FnOnce(String) -> A) -> Result<Arc<A>> {
        if self.store.list(caller).len() >= MAX_APIS {
            return Err(Error::bad_request(format!(
                "Maximum number of APIs exceeded: {MAX_APIS}"
            )));
        }
        let id = loop {
            let id = new_id(10);
            if self.store.get(&id).is_none() && !self.store.damaged.contains_key(&id) {
                break id;
            }
        };
        self.put(make(id))
    }

    /// Saves an API, then publishes it. Blocks.
    pub fn put(&self, api: A) -> Result<Arc<A>> {
        let saved = state_file::save_json(&self.store.path(api.id()), &api);
        saved.map_err(|error| Error::internal(format!("The API could not be written: {error}.")))?;
        let api = Arc::new(api);
        let mut apis = self.store.apis.write().unwrap_or_else(PoisonError::into_inner);
        apis.insert(api.id().to_owned(), Arc::clone(&api));
        Ok(api)
    }

    /// Blocks.
    pub fn remove(&self, id: &str) -> Result<()> {
        state_file::remove(&self.store.path(id))
            .map_err(|error| Error::internal(format!("The API could not be removed: {error}.")))?;
        let mut apis = self.store.apis.write().unwrap_or_else(PoisonError::into_inner);
        apis.remove(id);
        Ok(())
    }
}

/// A random id of lower-case letters and digits.
pub(super) fn new_id(length: usize) -> String {
    use rand::Rng;
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}
