//! All streams of all accounts and regions, and the settings of an account.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::Target;
use crate::kinesis::stream::meta::{Status, StreamMeta};
use crate::kinesis::stream::{Stream, locked, persist};
use crate::{Caller, partition};
use ground::platform;

/// Suffix of a directory that is being deleted. A restart deletes the rest.
const DELETED: &str = "deleted";

/// Settings of an account in a region.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Account {
    /// 12-digit account id.
    pub account: String,
    pub region: String,
    /// Whether the minimum throughput billing commitment is on.
    pub commitment: bool,
    /// When it was last enabled.
    pub started_ms: Option<i64>,
    /// When it was, or will be, disabled.
    pub ended_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Streams {
    by_name: HashMap<(Caller, String), Arc<Stream>>,
    by_id: HashMap<u64, Arc<Stream>>,
}

#[derive(Debug)]
pub struct Catalog {
    dir: PathBuf,
    create: Mutex<()>,
    streams: RwLock<Streams>,
    accounts: Mutex<Vec<Account>>,
}

impl Catalog {
    /// Opens the catalog in `dir`, which is private to the user. Completes interrupted changes and deletions.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged; the error names it.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        let streams_dir = dir.join("streams");
        platform::create_private_dir(&streams_dir)?;
        let mut streams = Streams::default();
        for entry in fs::read_dir(&streams_dir)? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            let loaded = if path.extension().is_some_and(|e| e == DELETED) {
                None
            } else {
                persist::load(&path)?
            };
            match loaded {
                Some(meta) if meta.status != Status::Deleting => {
                    let key = (caller_of(&meta), meta.name.clone());
                    let stream = Arc::new(Stream::open(path, meta)?);
                    streams.by_id.insert(stream.id, Arc::clone(&stream));
                    streams.by_name.insert(key, stream);
                }
                // A stream that is half created, half deleted or marked for deletion: no caller was told that it
                // exists.
                _ => {
                    if let Err(error) = fs::remove_dir_all(&path) {
                        tracing::warn!(path = %path.display(), %error, "the rest of a deleted stream stays");
                    }
                }
            }
        }
        let accounts = persist::load_json(&dir.join("accounts.json"))?.unwrap_or_default();
        Ok(Self {
            dir,
            create: Mutex::new(()),
            streams: RwLock::new(streams),
            accounts: Mutex::new(accounts),
        })
    }

    /// The stream `name` of `caller`, in any status. Does not delete the files of a stream that is gone: deletion may
    /// take long, and put operations call this.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub fn by_name(&self, caller: &Caller, name: &str, now_ms: i64) -> Result<Arc<Stream>> {
        let found = self.read(|s| s.by_name.get(&(caller.clone(), name.to_owned())).cloned());
        found
            .filter(|s| !s.is_gone(now_ms))
            .ok_or_else(|| ApiError::no_stream(name, &caller.account))
    }

    /// The stream with this id, if it belongs to `caller`.
    pub fn by_id(&self, caller: &Caller, id: u64, now_ms: i64) -> Option<Arc<Stream>> {
        let found = self.read(|s| s.by_id.get(&id).cloned());
        found
            .filter(|s| !s.is_gone(now_ms))
            .filter(|s| caller_of(&s.view(now_ms).meta) == *caller)
    }

    /// The stream that a request identifies: by ARN, name or id.
    ///
    /// # Errors
    /// `InvalidArgumentException` if nothing identifies a stream or the identifiers differ;
    /// `ResourceNotFoundException`.
    pub fn find(&self, caller: &Caller, target: Target<'_>, now_ms: i64) -> Result<Arc<Stream>> {
        let from_arn = target
            .arn
            .map(|arn| stream_name_of_arn(caller, arn))
            .transpose()?;
        if let (Some(name), Some(from_arn)) = (target.name, from_arn)
            && name != from_arn
        {
            return Err(ApiError::invalid_argument(format!(
                "StreamARN {} and StreamName {name} do not name the same stream.",
                target.arn.unwrap_or_default()
            )));
        }
        match (from_arn.or(target.name), target.id) {
            (Some(name), _) => self.by_name(caller, name, now_ms),
            (None, Some(id)) => {
                let all = self.list(caller, now_ms);
                let found = all.into_iter().find(|s| s.view(now_ms).meta.stream_id() == id);
                found.ok_or_else(|| ApiError::no_stream(id, &caller.account))
            }
            (None, None) => Err(ApiError::invalid_argument(
                "Either StreamName or StreamARN must be provided.",
            )),
        }
    }

    /// Number of streams of all callers, including those being deleted.
    pub fn count(&self, now_ms: i64) -> u64 {
        let all: Vec<Arc<Stream>> = self.read(|s| s.by_id.values().cloned().collect());
        all.iter().filter(|s| !s.is_gone(now_ms)).count() as u64
    }

    /// All streams of `caller` by name. Removes streams whose deletion is complete.
    pub fn list(&self, caller: &Caller, now_ms: i64) -> Vec<Arc<Stream>> {
        let mut all: Vec<(String, Arc<Stream>)> = self.read(|s| {
            let own = s.by_name.iter().filter(|((owner, _), _)| owner == caller);
            own.map(|((_, name), stream)| (name.clone(), Arc::clone(stream)))
                .collect()
        });
        all.retain(|(_, s)| self.keep(s, now_ms));
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, s)| s).collect()
    }

    /// Creates a stream after `admit` has accepted it, given the caller's other streams.
    ///
    /// # Errors
    /// `ResourceInUseException` if the name is taken; errors of `admit`; `InternalFailureException`.
    pub fn create(
        &self,
        meta: StreamMeta,
        now_ms: i64,
        admit: impl FnOnce(&[Arc<Stream>]) -> Result<()>,
    ) -> Result<()> {
        let guard = locked(&self.create);
        let caller = caller_of(&meta);
        let others = self.list(&caller, now_ms);
        if others.iter().any(|s| s.view(now_ms).meta.name == meta.name) {
            let text = format!(
                "Stream {} under account {} already exists.",
                meta.name, meta.account
            );
            return Err(ApiError::in_use(text));
        }
        admit(&others)?;
        let name = meta.name.clone();
        let dir = self.dir.join("streams").join(format!("{:016x}", meta.id));
        let stream =
            Stream::create(dir, meta).map_err(|e| ApiError::internal("the stream could not be made", &e))?;
        let stream = Arc::new(stream);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.by_id.insert(stream.id, Arc::clone(&stream));
        streams.by_name.insert((caller, name), stream);
        drop(streams);
        drop(guard);
        Ok(())
    }

    /// Removes each stream whose deletion is complete. With `now_ms` at its maximum, also those being deleted.
    pub fn sweep(&self, now_ms: i64) {
        let all: Vec<Arc<Stream>> = self.read(|s| s.by_id.values().cloned().collect());
        for stream in all {
            self.keep(&stream, now_ms);
        }
    }

    /// Applies retention to all streams.
    pub fn trim(&self, now_ms: i64) {
        let all: Vec<Arc<Stream>> = self.read(|s| s.by_id.values().cloned().collect());
        for stream in all {
            if let Err(error) = stream.trim(now_ms) {
                tracing::warn!(dir = %stream.dir().display(), %error, "expired records could not be deleted");
            }
        }
    }

    /// Whether `stream` still exists. Removes it if its deletion is complete.
    fn keep(&self, stream: &Arc<Stream>, now_ms: i64) -> bool {
        let view = stream.view(now_ms);
        if !view.meta.is_gone(now_ms) {
            return true;
        }
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let ours = streams.by_id.remove(&stream.id).is_some();
        if ours {
            streams
                .by_name
                .remove(&(caller_of(&view.meta), view.meta.name.clone()));
        }
        drop(streams);
        if ours {
            remove_dir(stream.dir());
        }
        false
    }

    fn read<T>(&self, look: impl FnOnce(&Streams) -> T) -> T {
        look(&self.streams.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Settings of `caller`'s account in its region.
    pub fn account(&self, caller: &Caller) -> Account {
        own_account(&locked(&self.accounts), caller)
    }

    /// Changes and saves the settings of `caller`'s account.
    ///
    /// # Errors
    /// Errors of `edit`; `InternalFailureException`.
    pub fn change_account(
        &self,
        caller: &Caller,
        edit: impl FnOnce(&mut Account) -> Result<()>,
    ) -> Result<Account> {
        let mut accounts = locked(&self.accounts);
        let mut own = own_account(&accounts, caller);
        edit(&mut own)?;
        let mut all = accounts.clone();
        all.retain(|a| a.account != own.account || a.region != own.region);
        all.push(own.clone());
        persist::save_json(&self.dir.join("accounts.json"), &all)
            .map_err(|e| ApiError::internal("the account settings could not be saved", &e))?;
        *accounts = all;
        Ok(own)
    }
}

fn own_account(accounts: &[Account], caller: &Caller) -> Account {
    let own = accounts
        .iter()
        .find(|a| a.account == caller.account && a.region == caller.region);
    own.cloned().unwrap_or_else(|| Account {
        account: caller.account.clone(),
        region: caller.region.clone(),
        ..Account::default()
    })
}

/// Renames the directory first, so that an interrupted deletion does not leave a stream with some of its shards. The
/// next start removes what remains.
fn remove_dir(dir: &Path) {
    let doomed = dir.with_extension(DELETED);
    let doomed = if fs::rename(dir, &doomed).is_ok() {
        doomed
    } else {
        dir.to_owned()
    };
    let _ = fs::remove_dir_all(doomed);
}

/// The account and region of a stream.
pub fn caller_of(meta: &StreamMeta) -> Caller {
    Caller {
        account: meta.account.clone(),
        region: meta.region.clone(),
    }
}

/// The resource that an ARN identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    pub stream: &'a str,
    /// Consumer name and creation time in seconds.
    pub consumer: Option<(&'a str, &'a str)>,
}

/// Parses the ARN of a stream or consumer.
///
/// # Errors
/// `ResourceNotFoundException` if it belongs to another account or region.
pub fn parse_arn<'a>(caller: &Caller, arn: &'a str) -> Result<Arn<'a>> {
    let mut parts = arn.splitn(6, ':');
    let _ = parts.next();
    let (aws, _, region, account) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next().unwrap_or_default(),
    );
    let rest = parts
        .next()
        .and_then(|rest| rest.split_once("stream/"))
        .map_or("", |(_, rest)| rest);
    let (stream, consumer) = match rest.split_once("/consumer/") {
        Some((stream, consumer)) => (stream, consumer.split_once(':')),
        None => (rest, None),
    };
    let ours = account == caller.account
        && region == Some(caller.region.as_str())
        && aws == Some(partition(&caller.region));
    if ours {
        Ok(Arn { stream, consumer })
    } else {
        Err(ApiError::no_stream(stream, account))
    }
}

fn stream_name_of_arn<'a>(caller: &Caller, arn: &'a str) -> Result<&'a str> {
    parse_arn(caller, arn).map(|arn| arn.stream)
}
