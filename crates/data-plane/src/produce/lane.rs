//! Lanes: the records of each shard that wait to be sent, and how fast the shard takes them.

mod aggregate;
mod queue;

use tokio::time::Instant;

use super::BatchLimits;
use super::pending::{Pending, Track};
use super::rate::ShardRate;
use super::route::{ShardRange, in_order, index_of};
use crate::record::Record;

pub(super) use aggregate::Group;
use queue::Queue;

/// The records of one shard.
#[derive(Debug)]
pub(super) struct Lane {
    /// `None` where the shards are not known: the lane has the records of all.
    pub(super) shard_id: Option<String>,
    first: u128,
    /// Records to send again, which go first.
    again: Queue,
    fresh: Queue,
    /// Size of both, in bytes.
    bytes: usize,
    pub(super) rate: ShardRate,
    /// Records in flight.
    pub(super) in_flight: usize,
    /// User records of aggregates that are in flight, or wait for their next attempt.
    away: usize,
    /// Whether one aggregate may be away at a time.
    is_keyed: bool,
    /// A record waits for the rate, or has since the last request.
    waits: bool,
    /// Records waited for the rate before the last request, or since it.
    pub(super) starved: bool,
    /// When the shard last stored a record, or when the lane last had nothing to send.
    pub(super) progress: Instant,
}

impl Lane {
    fn new(shard_id: Option<String>, first: u128, rate: ShardRate, now: Instant) -> Self {
        Self {
            shard_id,
            first,
            again: Queue::default(),
            fresh: Queue::default(),
            bytes: 0,
            rate,
            in_flight: 0,
            away: 0,
            is_keyed: false,
            waits: false,
            starved: false,
            progress: now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.again.len() + self.fresh.len()
    }

    /// The records, in the order in which they are sent.
    fn records(&self) -> impl Iterator<Item = &Record> {
        self.again.records().chain(self.fresh.records())
    }

    fn next(&self) -> Option<&Record> {
        self.records().next()
    }

    /// The size of the next record, in bytes.
    pub(super) fn next_size(&self) -> Option<usize> {
        self.next().map(Record::size)
    }

    fn pop(&mut self) -> Option<Pending> {
        let pending = self.again.pop().or_else(|| self.fresh.pop())?;
        self.bytes -= pending.record.size();
        Some(pending)
    }

    /// How many records and bytes may be sent now.
    fn ready(&mut self, now: Instant) -> Ready {
        let Some(first) = self.next_size() else {
            return Ready::default();
        };
        let len = self.len();
        let (records, bytes) = self.rate.available(now, first, self.in_flight == 0);
        self.waits |= records == 0;
        let records = records.min(len);
        Ready {
            records,
            // Of records of average size.
            bytes: match records == len {
                true => self.bytes.min(bytes),
                false => (self.bytes / len * records).min(bytes),
            },
            is_full: false,
        }
    }

    /// Moves what may be sent now to a request; whether that is full.
    fn move_to(&mut self, request: &mut Request, now: Instant) -> bool {
        let Some(first) = self.next_size() else {
            return false;
        };
        let (most_records, most_bytes) = self.rate.available(now, first, self.in_flight == 0);
        // A key that has one record on its way leaves nothing in the lane that could wait behind it.
        let waited = std::mem::take(&mut self.waits);
        let mut starved = waited;
        let mut is_full = false;
        let (mut count, mut bytes) = (0, 0);
        let (all, all_bytes) = (self.len(), self.bytes);
        if all <= most_records && all_bytes <= most_bytes && request.has_room(all, all_bytes) {
            (count, bytes) = (all, all_bytes);
        } else {
            for size in self.records().map(Record::size) {
                let lacks_tokens = count == most_records || most_bytes - bytes < size;
                is_full = !lacks_tokens && !request.fits(count, bytes, size);
                if lacks_tokens || is_full {
                    starved = lacks_tokens || waited || self.starved;
                    break;
                }
                count += 1;
                bytes += size;
            }
        }
        self.starved = starved;
        self.rate.take(count, bytes);
        self.in_flight += count;
        self.bytes -= bytes;
        let again = count.min(self.again.len());
        for (queue, count) in [(&mut self.again, again), (&mut self.fresh, count - again)] {
            queue.take(count, &mut request.records, &mut request.tracks);
        }
        request.bytes += bytes;
        is_full
    }
}

/// The records of the next request.
struct Request {
    records: Vec<Record>,
    tracks: Vec<Track>,
    /// Size of the records, in bytes.
    bytes: usize,
    limits: BatchLimits,
}

impl Request {
    fn new(limits: BatchLimits, records: usize) -> Self {
        Self {
            records: Vec::with_capacity(records),
            tracks: Vec::with_capacity(records),
            bytes: 0,
            limits,
        }
    }

    /// Whether `count` more records of `bytes` bytes in all fit.
    fn has_room(&self, count: usize, bytes: usize) -> bool {
        self.records.len() + count <= self.limits.records && self.bytes + bytes <= self.limits.bytes
    }

    /// Whether a record of `size` bytes fits beside `count` more of `bytes` bytes in all.
    fn fits(&self, count: usize, bytes: usize, size: usize) -> bool {
        self.limits
            .fit(self.records.len() + count, self.bytes + bytes, size)
    }
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) records: usize,
    bytes: usize,
    /// Whether it fills a request.
    pub(super) is_full: bool,
}

/// All lanes, in the order of their hash keys.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// The lane that the next request begins with.
    next: usize,
    /// Records in all lanes.
    len: usize,
}

impl Lanes {
    /// The lanes of a shard map; one lane for all records if it is empty.
    pub(super) fn new(shards: Vec<ShardRange>, now: Instant) -> Self {
        let mut lanes: Vec<Lane> = in_order(shards)
            .into_iter()
            .map(|shard| Lane::new(Some(shard.id), shard.first, ShardRate::of_shard(now), now))
            .collect();
        if lanes.is_empty() {
            lanes.push(Lane::new(None, 0, ShardRate::unknown(now), now));
        }
        Self {
            lanes,
            next: 0,
            len: 0,
        }
    }

    /// Whether each lane is a shard.
    pub(super) fn are_known(&self) -> bool {
        self.lanes.first().is_some_and(|lane| lane.shard_id.is_some())
    }

    pub(super) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Records in all lanes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The index of the lane for a hash key.
    pub(super) fn index_of(&self, hash: u128) -> usize {
        index_of(&self.lanes, hash, |lane| lane.first)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Lane> {
        self.lanes.get_mut(index)
    }

    /// The lane for a hash key.
    pub(super) fn lane_of(&mut self, hash: u128) -> Option<&mut Lane> {
        let index = self.index_of(hash);
        self.lanes.get_mut(index)
    }

    /// Adds a record that is to be sent.
    pub(super) fn push(&mut self, record: Record, track: Track, now: Instant) {
        let is_again = track.tries > 0;
        let Some(lane) = self.lane_of(track.hash) else {
            return;
        };
        if lane.len() == 0 && lane.in_flight == 0 && !is_again {
            lane.progress = now;
        }
        lane.bytes += record.size();
        lane.is_keyed |= track.is_serial;
        match is_again {
            true => lane.again.insert(record, track),
            false => lane.fresh.push(record, track),
        }
        self.len += 1;
    }

    /// `count` user records with this hash key are no longer away.
    pub(super) fn came_back(&mut self, hash: u128, count: usize) {
        if let Some(lane) = self.lane_of(hash) {
            lane.away = lane.away.saturating_sub(count);
        }
    }

    /// What may be sent now, in requests within `limits`.
    pub(super) fn ready(&mut self, limits: BatchLimits, now: Instant) -> Ready {
        let mut all = Ready::default();
        for lane in &mut self.lanes {
            let ready = lane.ready(now);
            all.records += ready.records;
            all.bytes = all.bytes.saturating_add(ready.bytes);
        }
        all.is_full = all.records >= limits.records || all.bytes >= limits.bytes;
        all
    }

    /// When a lane that may send nothing now may send its next record.
    /// `aggregate` is the limit of aggregates.
    pub(super) fn due(&self, aggregate: Option<usize>, now: Instant) -> Option<Instant> {
        let due = |lane: &Lane| match aggregate {
            Some(_) if lane.is_blocked() => None,
            Some(limit) => Some(lane.rate.due(now, lane.next_aggregate(limit)?)),
            None => Some(lane.rate.due(now, lane.next_size()?)),
        };
        self.lanes.iter().filter_map(due).min()
    }

    /// Takes the records of one request from the lanes in turn.
    pub(super) fn take(&mut self, limits: BatchLimits, now: Instant) -> (Vec<Record>, Vec<Track>) {
        let mut request = Request::new(limits, self.len.min(limits.records));
        let count = self.lanes.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            let lane = self.lanes.get_mut(index);
            if lane.is_some_and(|lane| lane.move_to(&mut request, now)) {
                self.next = (index + 1) % count;
                break;
            }
        }
        self.len -= request.records.len();
        (request.records, request.tracks)
    }

    /// Uses the shard map `shards`. Records of shards that are closed go to the lanes of their children. Returns whether
    /// anything has changed.
    pub(super) fn adopt(&mut self, shards: Vec<ShardRange>, now: Instant) -> bool {
        let shards = in_order(shards);
        let same = |lane: &Lane, shard: &ShardRange| {
            lane.first == shard.first && lane.shard_id.as_ref() == Some(&shard.id)
        };
        let is_same = shards.len() == self.lanes.len()
            && self
                .lanes
                .iter()
                .zip(&shards)
                .all(|(lane, shard)| same(lane, shard));
        if shards.is_empty() || is_same {
            return false;
        }
        let old = std::mem::take(&mut self.lanes);
        let rates: Vec<(u128, ShardRate)> = old
            .iter()
            .map(|lane| (lane.first, lane.rate.of_child(now)))
            .collect();
        let mut old: Vec<Option<Lane>> = old.into_iter().map(Some).collect();
        for shard in shards {
            let known = old
                .iter_mut()
                .find(|lane| lane.as_ref().is_some_and(|lane| same(lane, &shard)));
            let lane = known.and_then(Option::take).unwrap_or_else(|| {
                let parent = rates.get(index_of(&rates, shard.first, |(first, _)| *first));
                let rate = parent.map_or_else(|| ShardRate::of_shard(now), |(_, rate)| rate.clone());
                Lane::new(Some(shard.id), shard.first, rate, now)
            });
            self.lanes.push(lane);
        }
        self.next = 0;
        for mut lane in old.into_iter().flatten() {
            self.len -= lane.len();
            while let Some(pending) = lane.pop() {
                self.push(pending.record, pending.track, now);
            }
        }
        true
    }

    /// All records that were not sent.
    pub(super) fn into_records(self) -> impl Iterator<Item = Pending> {
        self.lanes
            .into_iter()
            .flat_map(|lane| lane.again.into_records().chain(lane.fresh.into_records()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::pending::Track;
    use super::*;
    use crate::record::Record;

    fn pending(number: u64, key: u16, hash: Option<u128>) -> Pending {
        let record = Record {
            data: vec![0; 10].into(),
            partition_key: format!("k{key}").into(),
            explicit_hash_key: hash.map(|hash| hash.to_string()),
            has_random_key: false,
            number,
            line: number,
        };
        let track = Track {
            hash: record.hash_key(),
            place: number,
            tries: 0,
            since: None,
            is_open: false,
            is_ordered: false,
            is_serial: false,
        };
        Pending { record, track }
    }

    /// A map with these borders between shards; ids tell first and last hash key.
    fn map(borders: &[u128]) -> Vec<ShardRange> {
        let mut firsts = borders.to_vec();
        firsts.push(0);
        firsts.sort_unstable();
        firsts.dedup();
        let lasts = firsts.iter().skip(1).map(|first| first - 1).chain([u128::MAX]);
        firsts
            .iter()
            .zip(lasts)
            .map(|(first, last)| ShardRange {
                id: format!("{first}-{last}"),
                first: *first,
            })
            .collect()
    }

    fn covers(shard_id: &str, hash: u128) -> bool {
        let (first, last) = shard_id.split_once('-').unwrap();
        (first.parse().unwrap()..=last.parse().unwrap()).contains(&hash)
    }

    proptest! {
        #[test]
        fn every_record_is_in_the_lane_of_its_shard_through_reshards(
            maps in prop::collection::vec(prop::collection::vec(any::<u128>(), 0..8), 1..5),
            records in prop::collection::vec((any::<u16>(), prop::option::of(any::<u128>())), 1..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let _entered = runtime.enter();
            let now = Instant::now();
            let mut lanes = Lanes::new(map(&maps[0]), now);
            let mut numbers = 0..;
            for borders in &maps {
                lanes.adopt(map(borders), now);
                for (key, hash) in &records {
                    let Pending { record, track } = pending(numbers.next().unwrap(), *key, *hash);
                    lanes.push(record, track, now);
                }
            }
            let count = numbers.start;
            prop_assert_eq!(lanes.len() as u64, count);
            for lane in &lanes.lanes {
                let id = lane.shard_id.as_deref().unwrap();
                prop_assert!(lane.records().all(|record| covers(id, record.hash_key())));
                prop_assert_eq!(lane.bytes, lane.records().map(Record::size).sum::<usize>());
            }
            // Sent within the limits, each record once.
            let limits = BatchLimits { records: 7, bytes: 60 };
            let mut seen = BTreeMap::new();
            let later = now + Duration::from_secs(3600);
            loop {
                let (records, tracks) = lanes.take(limits, later);
                if records.is_empty() {
                    break;
                }
                prop_assert!(records.len() <= 7);
                prop_assert!(records.len() == 1 || records.iter().map(Record::size).sum::<usize>() <= 60);
                prop_assert!(records.iter().map(|record| record.number).eq(tracks.iter().map(|track| track.place)));
                tracks.iter().for_each(|track| *seen.entry(track.place).or_insert(0) += 1);
            }
            prop_assert_eq!(seen.len() as u64, count);
            prop_assert!(seen.values().all(|times| *times == 1));
        }
    }
}
