//! All streams of all accounts and regions, and the settings of an account.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::model::input::Target;
use crate::kinesis::store::{DamagedFile, ShardStore};
use crate::kinesis::stream::meta::{Status, StreamMeta};
use crate::kinesis::stream::{Stream, locked, persist};
use crate::{Caller, partition, state_file};
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
    /// Files that could not be read when the catalog was opened.
    damage: Vec<DamagedFile>,
}

impl Catalog {
    /// Opens the catalog in `dir`, which is private to the user. Completes interrupted changes, and deletions in the
    /// background. What is damaged is left as it is and listed by [`Catalog::damage`].
    ///
    /// # Errors
    /// When a directory cannot be made or read; the error names it.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        let streams_dir = dir.join("streams");
        let named = |error| platform::at_path(error, &streams_dir);
        platform::create_private_dir(&streams_dir).map_err(named)?;
        platform::remove_unfinished(&dir)?;
        let (mut streams, mut damage, mut doomed) = (Streams::default(), Vec::new(), Vec::new());
        for entry in fs::read_dir(&streams_dir).map_err(named)? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            match open_stream(&path) {
                Ok(Some(stream)) => {
                    let meta = &stream.view(i64::MIN).meta;
                    let key = (caller_of(meta), meta.name.clone());
                    streams.by_id.insert(stream.id, Arc::clone(&stream));
                    streams.by_name.insert(key, stream);
                }
                Ok(None) => doomed.extend(set_aside(path)),
                Err(error) => {
                    tracing::warn!(%error, "a stream cannot be opened; its files are left as they are");
                    damage.push(unusable(
                        path.join(persist::FILE),
                        "the stream cannot be opened",
                        &error,
                    ));
                }
            }
        }
        delete_in_background(doomed);
        let file = dir.join("accounts.json");
        let accounts = state_file::load_json(&file).unwrap_or_else(|error| {
            tracing::warn!(%error, "the settings of accounts cannot be read; they cannot be changed");
            damage.push(unusable(file, "the settings of accounts cannot be read", &error));
            None
        });
        Ok(Self {
            dir,
            create: Mutex::new(()),
            streams: RwLock::new(streams),
            accounts: Mutex::new(accounts.unwrap_or_default()),
            damage,
        })
    }

    /// The damaged files, with the ARN of their stream where it is known.
    pub fn damage(&self) -> Vec<(Option<String>, DamagedFile)> {
        let all = self.all();
        let of_streams = all.iter().flat_map(|stream| {
            let arn = stream.view(i64::MIN).meta.arn();
            let files = stream.damage().into_iter();
            files.map(move |file| (Some(arn.clone()), file))
        });
        let own = self.damage.iter().map(|file| (None, file.clone()));
        own.chain(of_streams).collect()
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
        let all = self.all();
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
        let stream = Stream::create(dir, meta)
            .map_err(|e| ApiError::internal("the stream could not be created", &e))?;
        let stream = Arc::new(stream);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.by_id.insert(stream.id, Arc::clone(&stream));
        streams.by_name.insert((caller, name), stream);
        drop(streams);
        drop(guard);
        Ok(())
    }

    /// The streams of all callers.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        self.read(|s| s.by_id.values().cloned().collect())
    }

    /// Removes each stream whose deletion is complete. With `now_ms` at its maximum, also those being deleted.
    pub fn sweep(&self, now_ms: i64) {
        for stream in self.all() {
            self.keep(&stream, now_ms);
        }
    }

    /// Applies retention to all streams.
    pub fn trim(&self, now_ms: i64) {
        for stream in self.all() {
            stream.trim(now_ms);
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
            delete_in_background(set_aside(stream.dir().to_owned()));
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
        let file = self.dir.join("accounts.json");
        if let Some(damage) = self.damage.iter().find(|damage| damage.path == file) {
            let error = platform::at_path(io::Error::other(damage.what.clone()), &file);
            return Err(ApiError::internal(
                "the account settings cannot be changed",
                &error,
            ));
        }
        let mut all = accounts.clone();
        all.retain(|a| a.account != own.account || a.region != own.region);
        all.push(own.clone());
        state_file::save_json(&file, &all)
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

/// The stream in `dir`. `None` if it is being deleted, or was never created as a whole: no caller was told of it.
fn open_stream(dir: &Path) -> io::Result<Option<Arc<Stream>>> {
    if dir.extension().is_some_and(|extension| extension == DELETED) {
        return Ok(None);
    }
    platform::remove_unfinished(dir)?;
    match persist::load(dir)? {
        Some(meta) if meta.status == Status::Deleting => Ok(None),
        Some(meta) => Ok(Some(Arc::new(Stream::open(dir.to_owned(), meta)))),
        None if has_records(dir) => Err(platform::at_path(
            io::ErrorKind::NotFound.into(),
            &dir.join(persist::FILE),
        )),
        None => Ok(None),
    }
}

/// Whether there are records in the directory of a stream. Also true if that cannot be seen.
fn has_records(dir: &Path) -> bool {
    let any = || -> io::Result<bool> {
        for shard in fs::read_dir(dir.join("shards"))? {
            if ShardStore::has_records(&shard?.path())? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    any().unwrap_or_else(|error| error.kind() != io::ErrorKind::NotFound)
}

/// A file that cannot be opened.
pub fn unusable(path: PathBuf, what: &str, error: &io::Error) -> DamagedFile {
    DamagedFile {
        path,
        records: 0,
        what: format!("{what}: {error}"),
    }
}

/// Renames the directory of a deleted stream, so that an interrupted deletion does not leave a stream with some of its
/// shards. Returns its new path.
fn set_aside(dir: PathBuf) -> Option<PathBuf> {
    if dir.extension().is_some_and(|extension| extension == DELETED) {
        return Some(dir);
    }
    let doomed = dir.with_extension(DELETED);
    match fs::rename(&dir, &doomed) {
        Ok(()) => Some(doomed),
        Err(error) => {
            // Its metadata says that it is deleted.
            tracing::warn!(path = %dir.display(), %error, "a deleted stream stays until the next start");
            None
        }
    }
}

/// Deletes directories without delaying requests or the end of the process: thousands of shards take seconds. The next
/// start deletes what remains.
fn delete_in_background(doomed: impl IntoIterator<Item = PathBuf>) {
    let doomed: Vec<PathBuf> = doomed.into_iter().collect();
    if doomed.is_empty() {
        return;
    }
    let deleting = std::thread::Builder::new().name("deletion".to_owned());
    let started = deleting.spawn(move || {
        for dir in doomed {
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::warn!(path = %dir.display(), %error, "the rest of a deleted stream stays until the next start");
            }
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "deleted streams stay until the next start");
    }
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
