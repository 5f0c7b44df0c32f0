//! The delivery streams of all accounts and regions: in memory, and a directory each.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use super::error::{Error, Result};
use super::files::{Files, Progress};
use super::hose::Hose;
use super::model::Meta;
use super::source::Log;
use crate::answer::request_id;
use crate::kinesis::stream::locked;
use crate::types::Caller;
use daemon::protocol::Damage;
use ground::platform;

/// Delivery streams of an account in a region. Source: CreateDeliveryStream, Amazon Data Firehose API reference.
const MOST: usize = 5_000;

pub(super) struct Store {
    dir: PathBuf,
    /// By id.
    all: RwLock<BTreeMap<String, Arc<Hose>>>,
    /// Held by a creation: names and numbers are checked under it.
    creating: Mutex<()>,
    /// Files that could not be read.
    damage: Vec<Damage>,
    /// Changes when a delivery stream is created.
    created: watch::Sender<()>,
}

impl Store {
    /// Opens the delivery streams in `dir`. What is damaged stays as it is, and is listed by [`Store::damage`].
    ///
    /// # Errors
    /// When a directory cannot be made or read; the error names it.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        platform::create_private_dir(&dir).map_err(|error| platform::at_path(error, &dir))?;
        let (mut all, mut damage) = (BTreeMap::new(), Vec::new());
        for files in Files::list(&dir)? {
            let opened = files.load().and_then(|meta| match meta {
                Some(meta) => Ok(Some((meta, files.progress()?))),
                None => Ok(None),
            });
            match opened {
                Ok(Some((meta, progress))) => {
                    let log = match meta.source {
                        Some(_) => None,
                        None => Some(Log::open(files.dir(), meta.created_ms)),
                    };
                    let id = meta.id.clone();
                    all.insert(id, Arc::new(Hose::new(meta, files, log, progress)));
                }
                // A creation that was not acknowledged, or a deletion that is.
                Ok(None) => files.remove(),
                Err(error) => {
                    tracing::warn!(%error, "a delivery stream cannot be opened; its files are left as they are");
                    damage.push(Damage {
                        file: files.path().display().to_string(),
                        resource: None,
                        records: 0,
                        message: format!("the delivery stream cannot be opened: {error}"),
                    });
                }
            }
        }
        Ok(Self {
            dir,
            all: RwLock::new(all),
            creating: Mutex::new(()),
            damage,
            created: watch::Sender::new(()),
        })
    }

    pub fn damage(&self) -> Vec<Damage> {
        let mut damage = self.damage.clone();
        for hose in self.every() {
            let arn = hose.meta().arn();
            let files = hose.log.iter().flat_map(Log::damage);
            damage.extend(files.map(|(file, records, message)| Damage {
                file,
                resource: Some(arn.clone()),
                records,
                message,
            }));
            damage.extend(hose.damaged.iter().map(|(path, records)| {
                Damage {
                    file: path.display().to_string(),
                    resource: Some(arn.clone()),
                    records: *records,
                    message: "is missing or cut off: records of a partition that were not delivered are lost"
                        .to_owned(),
                }
            }));
        }
        damage
    }

    pub fn every(&self) -> Vec<Arc<Hose>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }

    /// Changes when a delivery stream is created.
    pub fn created(&self) -> watch::Receiver<()> {
        self.created.subscribe()
    }

    /// The delivery streams of `caller`, by name. Removes those whose deletion is complete.
    pub fn list(&self, caller: &Caller, now_ms: i64) -> Vec<(Arc<Meta>, Arc<Hose>)> {
        let all = self.every().into_iter();
        let mut own: Vec<_> = all
            .map(|hose| (hose.meta(), hose))
            .filter(|(meta, _)| meta.account == caller.account && meta.region == caller.region)
            .filter(|(meta, _)| self.keep(meta, now_ms))
            .collect();
        own.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        own
    }

    /// The delivery stream of `caller` with this name.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub fn find(&self, caller: &Caller, name: &str, now_ms: i64) -> Result<Arc<Hose>> {
        let is_named =
            |meta: &Meta| meta.name == name && meta.account == caller.account && meta.region == caller.region;
        let all = self.every().into_iter();
        let mut named = all
            .map(|hose| (hose.meta(), hose))
            .filter(|(meta, _)| is_named(meta));
        let found = named.find(|(meta, _)| self.keep(meta, now_ms));
        found
            .map(|(_, hose)| hose)
            .ok_or_else(|| Error::not_found(name, &caller.account))
    }

    /// Creates a delivery stream. `meta` gets an id. `start` says where it begins to read: its result is saved with the
    /// settings.
    ///
    /// # Errors
    /// `ResourceInUseException`, `LimitExceededException`, errors of `start`, `InternalFailure`.
    pub fn create(
        &self,
        caller: &Caller,
        mut meta: Meta,
        now_ms: i64,
        start: impl FnOnce() -> Result<Progress>,
    ) -> Result<()> {
        let _one = locked(&self.creating);
        let others = self.list(caller, now_ms);
        if others.iter().any(|(other, _)| other.name == meta.name) {
            return Err(Error::in_use(format!(
                "Firehose {} under accountId {} already exists",
                meta.name, meta.account
            )));
        }
        if others.len() >= MOST {
            return Err(Error::limit(format!(
                "You have already created {MOST} delivery streams, which is the limit."
            )));
        }
        meta.id = request_id();
        let files = Files::new(&self.dir, &meta.id);
        let hose = start().and_then(|progress| {
            let made = Self::make(&meta, &files, &progress);
            let log = made
                .map_err(|error| Error::internal(format!("The delivery stream could not be made: {error}.")));
            log.map(|log| (log, progress))
        });
        let (log, progress) = hose.inspect_err(|_| files.remove())?;
        let id = meta.id.clone();
        let hose = Arc::new(Hose::new(meta, files, log, progress));
        self.all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, hose);
        self.created.send_replace(());
        Ok(())
    }

    /// Writes the files, the settings last: without them there is no delivery stream.
    fn make(meta: &Meta, files: &Files, progress: &Progress) -> io::Result<Option<Log>> {
        files.make()?;
        let log = match meta.source {
            Some(_) => None,
            None => Some(Log::create(files.dir(), meta.created_ms)?),
        };
        files.save_progress(progress)?;
        files.save(meta)?;
        Ok(log)
    }

    /// Whether the delivery stream still exists. Removes it if its deletion is complete.
    fn keep(&self, meta: &Meta, now_ms: i64) -> bool {
        if !meta.is_gone(now_ms) {
            return true;
        }
        let removed = self
            .all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&meta.id);
        if let Some(hose) = removed {
            hose.remove();
        }
        false
    }

    /// Removes each delivery stream whose deletion is complete.
    pub fn sweep(&self, now_ms: i64) {
        for hose in self.every() {
            self.keep(&hose.meta(), now_ms);
        }
    }
}
