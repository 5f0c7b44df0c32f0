//! All functions, in memory and in one file each.
//!
//! ```text
//! functions/<account>/<region>/<name>.json
//! ```

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::error::{ApiError, Result};
use super::model::Function;
use super::name::FunctionName;
use crate::Caller;
use crate::service::arn;
use crate::state_file;
use daemon::protocol::Damage;
use ground::platform;

type ByName = BTreeMap<String, Arc<Function>>;

pub(super) struct Registry {
    dir: PathBuf,
    functions: RwLock<HashMap<Caller, ByName>>,
    /// Functions whose file is damaged: path, and why.
    damaged: Mutex<HashMap<(Caller, String), (PathBuf, String)>>,
    /// Held from reading the old state until the new state is written.
    changing: Mutex<()>,
}

/// Exclusive permission to change functions.
pub(super) struct Change<'a> {
    registry: &'a Registry,
    _one: MutexGuard<'a, ()>,
}

impl Registry {
    /// Reads the functions in `dir`. A damaged file stays as it is, and requests to its function are refused.
    pub fn open(dir: &Path) -> io::Result<Self> {
        platform::create_private_dir(dir)?;
        let mut functions: HashMap<Caller, ByName> = HashMap::new();
        let mut damaged = HashMap::new();
        for (account, accounts) in directories(dir)? {
            for (region, path) in directories(&accounts)? {
                let caller = Caller {
                    account: account.clone(),
                    region,
                };
                let all = functions.entry(caller.clone()).or_default();
                platform::remove_unfinished(&path)?;
                for path in state_file::list(&path, "json")? {
                    match state_file::load_json::<Function>(&path) {
                        Ok(Some(function)) => {
                            all.insert(function.name.clone(), Arc::new(function));
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(%error, "a function cannot be read");
                            let name = path.file_stem().unwrap_or_default().to_string_lossy();
                            let key = (caller.clone(), name.into_owned());
                            damaged.insert(key, (path, error.to_string()));
                        }
                    }
                }
            }
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            functions: RwLock::new(functions),
            damaged: Mutex::new(damaged),
            changing: Mutex::new(()),
        })
    }

    pub fn get(&self, caller: &Caller, name: &str) -> Option<Arc<Function>> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        functions.get(caller)?.get(name).cloned()
    }

    /// The function, or Lambda's error if it does not exist.
    pub fn find(&self, name: &FunctionName) -> Result<Arc<Function>> {
        self.require_readable(&name.caller, &name.name)?;
        self.get(&name.caller, &name.name)
            .ok_or_else(|| ApiError::not_found(format!("Function not found: {}", name.qualified_arn())))
    }

    /// Refuses a function whose file is damaged.
    fn require_readable(&self, caller: &Caller, name: &str) -> Result<()> {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        match damaged.get(&(caller.clone(), name.to_owned())) {
            Some((_, why)) => Err(ApiError::service(format!("The function cannot be read: {why}."))),
            None => Ok(()),
        }
    }

    /// The damaged files.
    pub fn damage(&self) -> Vec<Damage> {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let all = damaged.iter();
        all.map(|((caller, name), (path, why))| Damage {
            file: path.display().to_string(),
            resource: Some(arn(caller, "lambda", &format!("function:{name}"))),
            records: 0,
            message: format!("the function cannot be read: {why}"),
        })
        .collect()
    }

    /// All functions of `caller`, by name.
    pub fn list(&self, caller: &Caller) -> Vec<Arc<Function>> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        functions
            .get(caller)
            .map(|all| all.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether `wanted` is true for any function.
    pub fn any(&self, mut wanted: impl FnMut(&Caller, &Function) -> bool) -> bool {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        functions
            .iter()
            .any(|(caller, all)| all.values().any(|function| wanted(caller, function)))
    }

    /// Starts a change. Blocks while another one is in progress.
    pub fn change(&self) -> Change<'_> {
        Change {
            registry: self,
            _one: self.changing.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn path(&self, caller: &Caller, name: &str) -> PathBuf {
        // Safe: account, region and name are validated in requests.
        self.dir
            .join(&caller.account)
            .join(&caller.region)
            .join(format!("{name}.json"))
    }
}

impl Change<'_> {
    /// Saves the function, then publishes it. Blocks.
    pub fn put(&self, caller: &Caller, function: Function) -> Result<()> {
        self.registry.require_readable(caller, &function.name)?;
        let path = self.registry.path(caller, &function.name);
        let written = path
            .parent()
            .map_or(Ok(()), platform::create_private_dir)
            .and_then(|()| Ok(serde_json::to_vec(&function)?))
            .and_then(|bytes| state_file::save(&path, &bytes));
        written.map_err(|error| ApiError::service(format!("The function could not be written: {error}.")))?;
        let mut functions = self
            .registry
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let all = functions.entry(caller.clone()).or_default();
        all.insert(function.name.clone(), Arc::new(function));
        Ok(())
    }

    /// Blocks.
    pub fn remove(&self, caller: &Caller, name: &str) -> Result<()> {
        state_file::remove(&self.registry.path(caller, name))
            .map_err(|error| ApiError::service(format!("The function could not be removed: {error}.")))?;
        let mut functions = self
            .registry
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = functions.get_mut(caller) {
            all.remove(name);
        }
        Ok(())
    }
}

fn directories(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}
