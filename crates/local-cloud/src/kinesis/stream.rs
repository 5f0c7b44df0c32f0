//! A stream: its metadata, the logs of its shards, and consistent changes of both.
//!
//! Readers take a [`View`], an immutable snapshot, and never wait for a change. A change holds `change`, makes a new
//! snapshot, saves it, and then publishes it.
//!
//! Lock order in the engine: `Catalog::create` → `Catalog::streams` → `Stream::change` → `Stream::view` → a shard's
//! locks. No lock is held across an `await`.

pub mod lineage;
pub mod meta;
pub mod persist;
pub mod throttle;
pub mod traffic;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use self::lineage::ShardMeta;
use self::meta::StreamMeta;
use self::throttle::ShardLimits;
use self::traffic::{ShardTraffic, StreamTraffic};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::hash_key::HashKey;
use crate::kinesis::store::{DamagedFile, Ends, ShardStore};

/// Takes a lock and ignores poisoning: guarded values are replaced as a whole.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub struct Shard {
    /// Number in the stream.
    pub index: u32,
    /// `shardId-000000000000`.
    pub id: String,
    pub store: ShardStore,
    pub limits: Mutex<ShardLimits>,
    pub traffic: ShardTraffic,
    trimmed_ms: AtomicI64,
    /// The number of the stream's appends at the last one of this shard.
    appended: AtomicU64,
}

impl Shard {
    fn new(index: u32, store: ShardStore) -> Self {
        Self {
            index,
            id: lineage::shard_id(index),
            store,
            limits: Mutex::new(ShardLimits::default()),
            traffic: ShardTraffic::default(),
            trimmed_ms: AtomicI64::new(i64::MIN),
            appended: AtomicU64::new(0),
        }
    }

    /// Whether records were appended after the stream's append number `count`.
    pub fn appended_after(&self, count: u64) -> bool {
        self.appended.load(Ordering::Acquire) > count
    }

    /// Applies retention for records older than `horizon_ms`, at most once a second. A failure is only logged: neither
    /// reads nor puts depend on it, and a full disk must not prevent reads.
    pub fn trim(&self, horizon_ms: i64) {
        let last = self.trimmed_ms.load(Ordering::Relaxed);
        if horizon_ms >= last.saturating_add(1000) {
            self.trimmed_ms.store(horizon_ms, Ordering::Relaxed);
            if let Err(error) = self.store.trim_before(horizon_ms) {
                tracing::warn!(shard = self.id, %error, "expired records could not be deleted");
            }
        }
    }
}

/// A snapshot of a stream.
#[derive(Debug)]
pub struct View {
    pub meta: StreamMeta,
    /// All shards, by index.
    pub shards: Vec<Arc<Shard>>,
    /// Open shards: last hash key and index, ordered by range.
    routes: Vec<(u128, u32)>,
    settle_at: i64,
}

impl View {
    fn new(meta: StreamMeta, shards: Vec<Arc<Shard>>) -> Self {
        let routes = lineage::open_in_order(&meta.shards)
            .iter()
            .map(|s| (s.end, s.index))
            .collect();
        let settle_at = meta.settle_at();
        Self {
            meta,
            shards,
            routes,
            settle_at,
        }
    }

    /// The index, among the open shards, of the one for `key`.
    pub fn route(&self, key: HashKey) -> usize {
        self.routes
            .partition_point(|&(end, _)| end < key.0)
            .min(self.routes.len().saturating_sub(1))
    }

    pub fn open_shard(&self, route: usize) -> Option<&Arc<Shard>> {
        self.routes
            .get(route)
            .and_then(|&(_, index)| self.shards.get(index as usize))
    }

    pub fn open_start(&self, route: usize) -> u128 {
        let before = route.checked_sub(1).and_then(|before| self.routes.get(before));
        before.map_or(0, |&(end, _)| end.wrapping_add(1))
    }

    pub fn open_count(&self) -> usize {
        self.routes.len()
    }

    /// The listed shard with this id.
    ///
    /// # Errors
    /// `ResourceNotFoundException`.
    pub fn shard(&self, id: &str, now_ms: i64) -> Result<(&ShardMeta, &Arc<Shard>)> {
        lineage::shard_index(id)
            .and_then(|index| {
                self.meta
                    .shards
                    .get(index as usize)
                    .zip(self.shards.get(index as usize))
            })
            .filter(|(meta, _)| !meta.expired(self.meta.horizon_ms(now_ms)))
            .ok_or_else(|| {
                let id = lineage::shard_index(id).map_or_else(|| id.to_owned(), lineage::shard_id);
                ApiError::shard_does_not_exist(&id, &self.meta.name, &self.meta.account)
            })
    }

    /// The child shards of `index`.
    pub fn children(&self, index: u32) -> impl Iterator<Item = &ShardMeta> {
        self.meta.shards.iter().filter(move |s| s.descends_from(index))
    }
}

#[derive(Debug)]
pub struct Stream {
    /// Id of this incarnation of the name.
    pub id: u64,
    pub traffic: StreamTraffic,
    dir: PathBuf,
    ends: Arc<Ends>,
    /// Damage of the stream's own files when it was opened.
    damage: Vec<DamagedFile>,
    change: Mutex<()>,
    view: RwLock<Arc<View>>,
    changed: watch::Sender<u64>,
    /// The number of appends to all shards since the stream was opened.
    appends: watch::Sender<u64>,
}

impl Stream {
    /// Creates a stream in `dir`, which must not contain one.
    ///
    /// # Errors
    /// If the files cannot be written. Nothing remains then.
    pub fn create(dir: PathBuf, meta: StreamMeta) -> io::Result<Self> {
        let ends = Arc::new(Ends::new(&dir));
        let made = make_shards(&dir, &meta.shards, &ends).and_then(|shards| {
            persist::save(&dir, &meta)?;
            Ok(shards)
        });
        match made {
            Ok(shards) => Ok(Self::with(dir, ends, meta, shards)),
            Err(error) => {
                // Best effort: without metadata, the next start removes the rest.
                let _ = std::fs::remove_dir_all(&dir);
                Err(error)
            }
        }
    }

    /// Opens the stream in `dir`, and completes what a crash interrupted. Damaged shards are served as far as they can
    /// be; see [`Stream::damage`].
    pub fn open(dir: PathBuf, mut meta: StreamMeta) -> Self {
        let ends = Arc::new(Ends::new(&dir));
        let mut damage = Vec::new();
        if meta.version > 1
            && let Some(what) = ends.fault(meta.shards.len())
        {
            tracing::warn!(path = %ends.path().display(), "{what}");
            damage.push(DamagedFile {
                path: ends.path().to_owned(),
                records: 0,
                what,
            });
        }
        meta.version = StreamMeta::VERSION;
        let mut shards = Vec::with_capacity(meta.shards.len());
        for shard in &meta.shards {
            let path = shard_dir(&dir, shard.index);
            let store = ShardStore::open(&path, shard.index, shard.epoch_ms, &ends);
            if let Some(closed) = shard.closed_ms
                && store.ending_sequence_number().is_none()
            {
                store.close_saved(closed);
            }
            shards.push(Arc::new(Shard::new(shard.index, store)));
        }
        let mut stream = Self::with(dir, ends, meta, shards);
        stream.damage = damage;
        stream
    }

    /// The damaged and missing files of the stream.
    pub fn damage(&self) -> Vec<DamagedFile> {
        let view = self.shown();
        let of_shards = view.shards.iter().flat_map(|shard| shard.store.damage());
        self.damage.iter().cloned().chain(of_shards).collect()
    }

    /// Applies retention to all shards, including those without readers.
    pub fn trim(&self, now_ms: i64) {
        let view = self.view(now_ms);
        let horizon_ms = view.meta.horizon_ms(now_ms);
        view.shards.iter().for_each(|shard| shard.trim(horizon_ms));
    }

    fn with(dir: PathBuf, ends: Arc<Ends>, meta: StreamMeta, shards: Vec<Arc<Shard>>) -> Self {
        Self {
            id: meta.id,
            traffic: StreamTraffic::default(),
            dir,
            ends,
            damage: Vec::new(),
            change: Mutex::new(()),
            view: RwLock::new(Arc::new(View::new(meta, shards))),
            changed: watch::Sender::new(0),
            appends: watch::Sender::new(0),
        }
    }

    /// Counts an append to `shard`. Wakes those that wait for records of any shard.
    pub fn count_append(&self, shard: &Shard) {
        self.appends.send_modify(|count| {
            *count += 1;
            shard.appended.store(*count, Ordering::Release);
        });
    }

    /// The number of appends to all shards since the stream was opened.
    pub fn appends(&self) -> watch::Receiver<u64> {
        self.appends.subscribe()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The current snapshot.
    pub fn view(&self, now_ms: i64) -> Arc<View> {
        let view = self.shown();
        if now_ms < view.settle_at {
            return view;
        }
        self.settled(&locked(&self.change), now_ms)
    }

    /// The stream after every transition that is due. `_change` excludes other changes.
    fn settled(&self, _change: &MutexGuard<'_, ()>, now_ms: i64) -> Arc<View> {
        let view = self.shown();
        // A deletion that is due never settles: the catalog removes the stream.
        if now_ms < view.settle_at || view.meta.is_gone(now_ms) {
            return view;
        }
        let mut meta = view.meta.clone();
        meta.settle(now_ms);
        // Else a restart with the clock set back would find the stream as it was before.
        if let Err(error) = persist::save_transitions(&self.dir, &meta) {
            tracing::warn!(%error, "the new status of a stream could not be saved");
        }
        self.show(meta, view.shards.clone())
    }

    pub fn is_gone(&self, now_ms: i64) -> bool {
        self.view(now_ms).meta.is_gone(now_ms)
    }

    fn shown(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, meta: StreamMeta, shards: Vec<Arc<Shard>>) -> Arc<View> {
        let view = Arc::new(View::new(meta, shards));
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&view);
        self.changed.send_modify(|count| *count += 1);
        view
    }

    /// Waits for a change in progress. A caller that found a shard closed then sees its children.
    pub fn after_change(&self, now_ms: i64) -> Arc<View> {
        drop(locked(&self.change));
        self.view(now_ms)
    }

    /// Changes with each change of the stream. Wakes subscriptions.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Changes the stream. `edit` works on a copy, which is saved before it is published. Shards that `edit` adds get a
    /// log, and shards that it closes are closed. If `edit` fails, nothing changes.
    ///
    /// # Errors
    /// Errors of `edit`; `InternalFailureException` if the files cannot be written.
    pub fn change<T>(&self, now_ms: i64, edit: impl FnOnce(&mut StreamMeta) -> Result<T>) -> Result<T> {
        let guard = locked(&self.change);
        // Publish first: no reader then has to settle the stream and wait for a slow change.
        let before = self.settled(&guard, now_ms);
        let mut meta = before.meta.clone();
        if meta.is_gone(now_ms) {
            return Err(ApiError::no_stream(&meta.name, &meta.account));
        }
        let answer = edit(&mut meta)?;
        let new = meta.shards.get(before.shards.len()..).unwrap_or_default();
        let made = make_shards(&self.dir, new, &self.ends)
            .map_err(|e| ApiError::internal("a shard could not be made", &e))?;
        persist::save(&self.dir, &meta)
            .map_err(|e| ApiError::internal("the stream could not be saved", &e))?;

        // The change is saved from here on: a restart would complete it.
        let mut shards = before.shards.clone();
        shards.extend(made);
        for (shard, handle) in meta.shards.iter().zip(&shards) {
            if let Some(closed) = shard.closed_ms
                && handle.store.ending_sequence_number().is_none()
            {
                handle.store.close_saved(closed);
            }
        }
        self.show(meta, shards);
        drop(guard);
        Ok(answer)
    }

    /// Like [`Stream::change`], but requires an ACTIVE stream.
    ///
    /// # Errors
    /// `ResourceInUseException`, and errors of [`Stream::change`].
    pub fn change_active<T>(
        &self,
        now_ms: i64,
        edit: impl FnOnce(&mut StreamMeta) -> Result<T>,
    ) -> Result<T> {
        self.change(now_ms, |meta| {
            meta.require_active()?;
            edit(meta)
        })
    }
}

fn shard_dir(dir: &Path, index: u32) -> PathBuf {
    dir.join("shards").join(lineage::shard_id(index))
}

fn make_shards(dir: &Path, shards: &[ShardMeta], ends: &Arc<Ends>) -> io::Result<Vec<Arc<Shard>>> {
    let mut made = Vec::with_capacity(shards.len());
    for shard in shards {
        let path = shard_dir(dir, shard.index);
        // Left over from a change that was not saved.
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let store = ShardStore::create(&path, shard.index, shard.epoch_ms, ends)?;
        made.push(Arc::new(Shard::new(shard.index, store)));
    }
    Ok(made)
}
