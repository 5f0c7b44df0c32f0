//! Counts of records: in all, by shard and by partition key, in bounded memory.
//!
//! The most frequent keys are found by the Space-Saving algorithm. Source: Metwally, Agrawal and El Abbadi, "Efficient
//! Computation of Frequent and Top-k Elements in Data Streams", 2005: a key that is more frequent than one record in
//! [`COUNTERS`] has a counter, and the count of a counter is too high by its error at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Item;

/// Keys that are counted at the same time.
const COUNTERS: usize = 512;

/// Counts of records, and of the bytes of their data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    pub bytes: u64,
    /// The sizes of the smallest and of the largest record, in bytes.
    pub sizes: Option<(usize, usize)>,
    /// The first and the last arrival, in milliseconds since the Unix epoch.
    pub arrivals: Option<(i64, i64)>,
}

impl Counts {
    fn add(&mut self, item: &Item<'_>) {
        let size = item.data.len();
        self.records += 1;
        self.bytes += size as u64;
        let (least, most) = self.sizes.unwrap_or((size, size));
        self.sizes = Some((least.min(size), most.max(size)));
        if let Some(ms) = item.record.arrival_ms {
            let (first, last) = self.arrivals.unwrap_or((ms, ms));
            self.arrivals = Some((first.min(ms), last.max(ms)));
        }
    }

    /// Records and bytes in a second, by the times of arrival; `None` for less than a second.
    #[allow(clippy::cast_precision_loss, reason = "rates to report")]
    pub fn rates(&self) -> Option<(f64, f64)> {
        let (first, last) = self.arrivals?;
        let seconds = last.saturating_sub(first) as f64 / 1000.0;
        (seconds >= 1.0).then(|| (self.records as f64 / seconds, self.bytes as f64 / seconds))
    }

    /// The mean size of a record, in bytes.
    pub fn mean(&self) -> u64 {
        self.bytes.checked_div(self.records).unwrap_or_default()
    }
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    total: Counts,
    /// By stream and shard.
    shards: BTreeMap<(Arc<str>, Arc<str>), Counts>,
    keys: HashMap<String, KeyCount>,
}

/// How many records have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCount {
    /// At most this many.
    pub records: u64,
    /// At least this many less.
    pub error: u64,
}

impl Stats {
    /// Counts an item of `stream`.
    pub fn add(&mut self, stream: &Arc<str>, item: &Item<'_>) {
        self.total.add(item);
        let place = (Arc::clone(stream), Arc::clone(&item.record.shard_id));
        self.shards.entry(place).or_default().add(item);
        self.count_key(item.partition_key);
    }

    fn count_key(&mut self, key: &str) {
        if let Some(count) = self.keys.get_mut(key) {
            count.records += 1;
            return;
        }
        let mut error = 0;
        if self.keys.len() >= COUNTERS {
            // The new key takes the place of the least frequent one, and may have been counted before.
            let least = self.keys.iter().min_by_key(|(_, count)| count.records);
            let Some((least, count)) = least.map(|(key, count)| (key.clone(), *count)) else {
                return;
            };
            self.keys.remove(&least);
            error = count.records;
        }
        let records = error + 1;
        self.keys.insert(key.to_owned(), KeyCount { records, error });
    }

    pub fn total(&self) -> &Counts {
        &self.total
    }

    /// The counts of each shard, by stream and shard id.
    pub fn shards(&self) -> impl Iterator<Item = (&str, &str, &Counts)> {
        self.shards
            .iter()
            .map(|((stream, shard), counts)| (&**stream, &**shard, counts))
    }

    /// The `most` most frequent keys, the most frequent one first. A key that may not be among them is left out.
    pub fn keys(&self, most: usize) -> Vec<(&str, KeyCount)> {
        let mut keys: Vec<(&str, KeyCount)> = self
            .keys
            .iter()
            .map(|(key, count)| (key.as_str(), *count))
            .collect();
        keys.sort_by(|(a, a_count), (b, b_count)| (b_count.records, *a).cmp(&(a_count.records, *b)));
        // A key without a counter can have as many records as the least frequent one with a counter.
        let unknown = match keys.len() < COUNTERS {
            true => 0,
            false => keys.last().map_or(0, |(_, count)| count.records),
        };
        keys.retain(|(_, count)| count.records - count.error >= unknown);
        keys.truncate(most);
        keys
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::consume::TailRecord;

    fn record(shard: &str, key: &str, size: usize, ms: i64) -> TailRecord {
        TailRecord {
            shard_id: Arc::from(shard),
            sequence_number: "1".into(),
            arrival_ms: Some(ms),
            partition_key: key.into(),
            data: Bytes::from(vec![0; size]),
            encryption: None,
        }
    }

    fn counted(records: &[TailRecord]) -> Stats {
        let mut stats = Stats::default();
        let stream = Arc::from("orders");
        records
            .iter()
            .for_each(|record| stats.add(&stream, &Item::of(record)));
        stats
    }

    #[test]
    fn sizes_shards_and_rates() {
        let records = [
            record("s-0", "a", 10, 1_000),
            record("s-1", "b", 30, 2_000),
            record("s-0", "a", 20, 5_000),
        ];
        let stats = counted(&records);
        let total = stats.total();
        assert_eq!(
            (total.records, total.bytes, total.sizes, total.mean()),
            (3, 60, Some((10, 30)), 20)
        );
        assert_eq!(total.rates(), Some((0.75, 15.0)));
        let shards: Vec<_> = stats
            .shards()
            .map(|(_, shard, counts)| (shard, counts.records))
            .collect();
        assert_eq!(shards, [("s-0", 2), ("s-1", 1)]);
        let exact = |records| KeyCount { records, error: 0 };
        assert_eq!(stats.keys(5), [("a", exact(2)), ("b", exact(1))]);
        assert_eq!(stats.keys(1), [("a", exact(2))]);
        assert_eq!(
            (counted(&[]).total().rates(), counted(&[]).total().mean()),
            (None, 0)
        );
    }

    #[test]
    fn frequent_keys_are_found_among_many() {
        let mut records = Vec::new();
        for n in 0..20_000 {
            records.push(record("s-0", &format!("rare-{n}"), 1, n));
            if n % 4 == 0 {
                records.push(record("s-0", "hot", 1, n));
            }
        }
        let stats = counted(&records);
        assert!(stats.keys.len() <= COUNTERS);
        let (key, count) = stats.keys(10)[0];
        assert_eq!(key, "hot");
        assert!(
            count.records >= 5_000 && count.records - count.error <= 5_000,
            "{count:?}"
        );
        // Nothing is said of keys that were seen once.
        assert_eq!(stats.keys(10).len(), 1);
    }

    proptest! {
        #[test]
        fn a_count_is_within_its_error(keys in prop::collection::vec(0_u32..2000, 0..3000)) {
            let records: Vec<_> = keys.iter().map(|key| record("s", &key.to_string(), 1, 0)).collect();
            for (key, count) in counted(&records).keys(COUNTERS) {
                let real = keys.iter().filter(|one| one.to_string() == key).count() as u64;
                prop_assert!((count.records - count.error..=count.records).contains(&real), "{key}: {count:?}, {real}");
            }
        }
    }
}
