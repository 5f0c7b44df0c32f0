//! Where records wait until they are delivered: the log of a delivery stream itself, or the shards of a Kinesis stream.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::model::Meta;
use crate::kinesis::engine::Engine;
use crate::kinesis::reader;
use crate::kinesis::store::{Ends, NewRecord, Page, Position, ShardStore};
use crate::kinesis::stream::{Stream, View};

/// The log of direct puts has one shard.
const DIRECT: u32 = 0;

/// The log of direct puts. Acknowledged records survive the end of the process.
pub(super) struct Log {
    pub store: ShardStore,
    ends: Arc<Ends>,
}

impl Log {
    /// # Errors
    /// If files cannot be written.
    pub fn create(dir: &Path, created_ms: i64) -> io::Result<Self> {
        let ends = Arc::new(Ends::new(dir));
        let store = ShardStore::create(&dir.join("log"), DIRECT, created_ms, &ends)?;
        Ok(Self { store, ends })
    }

    pub fn open(dir: &Path, created_ms: i64) -> Self {
        let ends = Arc::new(Ends::new(dir));
        let store = ShardStore::open(&dir.join("log"), DIRECT, created_ms, &ends);
        Self { store, ends }
    }

    /// The damaged files: path, lost records, and what is damaged.
    pub fn damage(&self) -> Vec<(String, u64, String)> {
        let files = self.store.damage().into_iter();
        let of_files = files.map(|file| (file.path.display().to_string(), file.records, file.what));
        let fault = self.ends.fault(1);
        let of_ends = fault.map(|what| (self.ends.path().display().to_string(), 0, what));
        of_files.chain(of_ends).collect()
    }

    /// Appends records in order, all or none. Returns their numbers.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn append(&self, records: &[Vec<u8>], now_ms: i64) -> Result<Vec<String>, String> {
        let records: Vec<NewRecord<'_>> = records
            .iter()
            .map(|data| NewRecord {
                partition_key: "",
                data,
                encrypted: false,
            })
            .collect();
        let numbers = self.store.append(&records, now_ms);
        numbers
            .map(|numbers| numbers.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }
}

/// A shard of the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShardInfo {
    pub index: u32,
    pub parents: [Option<u32>; 2],
    /// Retention has deleted all of it.
    pub expired: bool,
}

/// The source at one moment.
pub(super) enum Source<'a> {
    Direct(&'a Log),
    Stream {
        stream: Arc<Stream>,
        view: Arc<View>,
        now_ms: i64,
    },
}

impl<'a> Source<'a> {
    /// `None` if the stream does not exist.
    pub fn open(meta: &Meta, log: Option<&'a Log>, kinesis: &Engine, now_ms: i64) -> Option<Self> {
        match (&meta.source, log) {
            (Some(source), _) => {
                let stream = kinesis.stream_of_arn(&meta.owner(), &source.stream_arn)?;
                let view = stream.view(now_ms);
                Some(Self::Stream { stream, view, now_ms })
            }
            (None, log) => log.map(Self::Direct),
        }
    }

    /// Id of this incarnation of the source.
    pub fn id(&self) -> u64 {
        match self {
            Self::Direct(_) => 0,
            Self::Stream { stream, .. } => stream.id,
        }
    }

    /// All shards, by index.
    pub fn shards(&self) -> Vec<ShardInfo> {
        match self {
            Self::Direct(_) => vec![ShardInfo {
                index: DIRECT,
                parents: [None, None],
                expired: false,
            }],
            Self::Stream { view, now_ms, .. } => {
                let horizon_ms = view.meta.horizon_ms(*now_ms);
                let shards = view.meta.shards.iter();
                shards
                    .map(|shard| ShardInfo {
                        index: shard.index,
                        parents: [shard.parent, shard.adjacent_parent],
                        expired: shard.expired(horizon_ms),
                    })
                    .collect()
            }
        }
    }

    fn store(&self, index: u32) -> Option<&ShardStore> {
        match self {
            Self::Direct(log) => Some(&log.store),
            Self::Stream { view, .. } => view.shards.get(index as usize).map(|shard| &shard.store),
        }
    }

    /// The position after the newest record of a shard, and whether the shard is closed.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn end(&self, index: u32) -> Result<(u64, bool), String> {
        use crate::kinesis::store::Start;
        let Some(store) = self.store(index) else {
            return Ok((0, false));
        };
        let position = store.position(Start::Latest).map_err(|error| error.to_string())?;
        Ok((position.index, store.ending_sequence_number().is_some()))
    }

    /// Reads a shard: at most `bytes`, but at least one record if there is one.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read(&self, index: u32, from: u64, records: usize, bytes: usize) -> Result<Page, String> {
        let from = Position::at(from);
        let page = match self {
            Self::Direct(log) => log.store.read(from, records, bytes),
            Self::Stream { stream, view, now_ms } => match view.shards.get(index as usize) {
                Some(shard) => reader::read(stream, shard, from, *now_ms, records, bytes),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        };
        page.map_err(|error| format!("shard {index} of the source cannot be read: {error}"))
    }

    /// Changes when there may be something to read.
    pub fn news(&self) -> Vec<watch::Receiver<u64>> {
        match self {
            Self::Direct(log) => vec![log.store.appended()],
            Self::Stream { stream, .. } => vec![stream.appends(), stream.changed()],
        }
    }
}
