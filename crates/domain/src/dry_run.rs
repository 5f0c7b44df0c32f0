//! What a put would do: where records would go, how much they would be billed as, and what that costs. Calls nothing that
//! changes something.

use std::collections::{BTreeMap, HashSet};

use md5::{Digest as _, Md5};

use crate::context::Context;
use crate::cost::{Item, Money, billed_bytes, payload_units, price_book};
use crate::produce::{Batch, BatchLimits};
use crate::record::{HotKey, HotKeys, Record};
use crate::stream::shards::{self, Listing};
use crate::stream::{Mode as StreamMode, state};
use ground::error::{Error, Result};

/// Limit of the set of distinct keys, so that memory does not grow with the input.
pub const MOST_KEYS: usize = 100_000;

/// The stream that records would go to.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The open shards in the order of their ranges: lowest hash key and id.
    shards: Vec<(u128, String)>,
    pub mode: StreamMode,
    /// Whether records are distributed without regard to their keys.
    pub ignores_keys: bool,
    pub max_record_bytes: usize,
    region: String,
}

impl Destination {
    /// Describes the stream `stream`.
    ///
    /// # Errors
    /// When it does not exist or the calls fail.
    pub async fn of(context: &Context, stream: &str) -> Result<Self> {
        let state = state::observe_as_allowed(context, stream).await?;
        let (state, _) = state.ok_or_else(|| Error::failed(format!("stream {stream} does not exist")))?;
        let map = shards::list(context, stream, &Listing::Open).await?;
        Ok(Self {
            shards: in_order(map.open().map(|shard| (shard.first_hash, shard.id.clone()))),
            mode: state.mode,
            ignores_keys: state.ignores_partition_keys(),
            max_record_bytes: state.max_record_size_kib as usize * 1024,
            region: context.region().to_owned(),
        })
    }

    /// The index of the shard that takes the record.
    fn route(&self, record: &Record) -> Option<usize> {
        let hash = match &record.explicit_hash_key {
            Some(key) => key.parse().ok()?,
            // Source: "Partition key", Kinesis terminology and concepts.
            None => u128::from_be_bytes(Md5::digest(record.partition_key.as_bytes()).into()),
        };
        self.shards
            .partition_point(|(first, _)| *first <= hash)
            .checked_sub(1)
    }
}

fn in_order(shards: impl Iterator<Item = (u128, String)>) -> Vec<(u128, String)> {
    let mut shards: Vec<_> = shards.collect();
    shards.sort();
    shards
}

/// What one shard would take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    pub records: u64,
    /// Data and partition keys.
    pub bytes: u64,
}

/// The sum of the records of an input.
#[derive(Debug, Clone)]
pub struct Tally {
    destination: Option<Destination>,
    pub records: u64,
    /// Data and partition keys.
    pub bytes: u64,
    pub largest: u64,
    /// The fewest requests.
    pub requests: u64,
    /// PUT payload units of 25 KB, as provisioned streams are billed.
    pub put_units: u64,
    /// Bytes with each record rounded up to 1 KB, as on-demand streams are billed.
    pub billed_bytes: u64,
    pub first_key: Option<String>,
    keys: HashSet<String>,
    hot: HotKeys,
    has_random_keys: bool,
    shares: Vec<Share>,
    batch: Batch<()>,
}

impl Tally {
    /// Counts records for `destination`, if it is known.
    pub fn new(destination: Option<Destination>) -> Self {
        let shards = destination
            .as_ref()
            .map_or(0, |destination| destination.shards.len());
        Self {
            destination,
            records: 0,
            bytes: 0,
            largest: 0,
            requests: 0,
            put_units: 0,
            billed_bytes: 0,
            first_key: None,
            keys: HashSet::new(),
            hot: HotKeys::default(),
            has_random_keys: false,
            shares: vec![Share::default(); shards],
            batch: Batch::new(BatchLimits::default()),
        }
    }

    pub fn add(&mut self, record: &Record) {
        let size = record.size();
        if !self.batch.fits(size) {
            self.batch = Batch::new(BatchLimits::default());
        }
        self.requests += u64::from(self.batch.is_empty());
        self.batch.push((), size);
        let size = size as u64;
        self.records += 1;
        self.bytes += size;
        self.largest = self.largest.max(size);
        self.put_units += payload_units(size);
        self.billed_bytes += billed_bytes(size);
        self.has_random_keys |= record.has_random_key;
        if !record.has_random_key {
            self.first_key
                .get_or_insert_with(|| record.partition_key.to_string());
            self.hot.add(&record.partition_key);
            if self.keys.len() <= MOST_KEYS && !self.keys.contains(record.partition_key.as_str()) {
                self.keys.insert(record.partition_key.to_string());
            }
        }
        let route = self
            .destination
            .as_ref()
            .and_then(|destination| destination.route(record));
        if let Some(share) = route.and_then(|route| self.shares.get_mut(route)) {
            share.records += 1;
            share.bytes += size;
        }
    }

    /// The number of distinct keys; `None` if they are random or more than [`MOST_KEYS`].
    pub fn distinct_keys(&self) -> Option<usize> {
        (!self.has_random_keys && self.keys.len() <= MOST_KEYS).then_some(self.keys.len())
    }

    pub fn has_random_keys(&self) -> bool {
        self.has_random_keys
    }

    /// The key that at least half of the records have.
    pub fn hottest(&self) -> Option<HotKey> {
        self.hot.hottest()
    }

    pub fn destination(&self) -> Option<&Destination> {
        self.destination.as_ref()
    }

    /// What each shard would take, by id. Not known where the stream ignores keys.
    pub fn shares(&self) -> Option<BTreeMap<&str, Share>> {
        let destination = self
            .destination
            .as_ref()
            .filter(|destination| !destination.ignores_keys)?;
        let ids = destination.shards.iter().map(|(_, id)| id.as_str());
        Some(ids.zip(self.shares.iter().copied()).collect())
    }

    /// What the records cost, without the hours of the stream. On-demand Advantage costs less. `None` where the prices of
    /// the region, or the stream, are not known.
    pub fn cost(&self) -> Option<Money> {
        let destination = self.destination.as_ref()?;
        let book = price_book(&destination.region)?;
        match destination.mode {
            StreamMode::Provisioned => book.amount(Item::PutUnits, self.put_units),
            StreamMode::OnDemand => book.amount(Item::OnDemandIn, self.billed_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::DEFAULT_MAX_RECORD_BYTES;

    fn record(key: &str, hash_key: Option<&str>, size: usize) -> Record {
        Record {
            data: vec![b'x'; size].into(),
            partition_key: key.into(),
            explicit_hash_key: hash_key.map(str::to_owned),
            has_random_key: false,
            number: 1,
            line: 1,
        }
    }

    fn destination(mode: StreamMode) -> Destination {
        let quarter = u128::MAX / 4 + 1;
        Destination {
            shards: in_order((0..4).rev().map(|n| (quarter * n, format!("shard-{n}")))),
            mode,
            ignores_keys: false,
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            region: "us-east-1".to_owned(),
        }
    }

    #[test]
    fn records_are_counted_where_they_go() {
        let mut tally = Tally::new(Some(destination(StreamMode::Provisioned)));
        // MD5 of "a" begins with 0c, of "b" with 92.
        for (key, hash_key) in [
            ("a", None),
            ("a", None),
            ("b", None),
            ("b", Some("0")),
            ("b", Some(&*u128::MAX.to_string())),
        ] {
            tally.add(&record(key, hash_key, 25 * 1024));
        }
        let shares = tally.shares().unwrap();
        let records: Vec<_> = shares.values().map(|share| share.records).collect();
        assert_eq!(records, [3, 0, 1, 1]);
        assert_eq!(
            (tally.records, tally.put_units, tally.billed_bytes),
            (5, 10, 5 * 26 * 1024)
        );
        assert_eq!(tally.distinct_keys(), Some(2));
        assert_eq!(tally.cost().unwrap().nanos(), 140);
    }

    #[test]
    fn an_on_demand_stream_is_billed_by_bytes() {
        let mut tally = Tally::new(Some(destination(StreamMode::OnDemand)));
        tally.add(&record("k", None, 1024));
        assert_eq!(tally.billed_bytes, 2048);
        assert_eq!(tally.cost().unwrap().nanos(), 153);
        let ignores = Destination {
            ignores_keys: true,
            ..destination(StreamMode::OnDemand)
        };
        assert_eq!(Tally::new(Some(ignores)).shares(), None);
        assert_eq!(Tally::new(None).cost(), None);
    }

    #[test]
    fn requests_are_as_few_as_their_limits_allow() {
        let mut tally = Tally::new(None);
        (0..501).for_each(|_| tally.add(&record("k", None, 10)));
        assert_eq!((tally.requests, tally.largest), (2, 11));
        assert_eq!(tally.hottest().unwrap().key, "k");
    }
}
