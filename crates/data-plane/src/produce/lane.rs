//! Lanes: the records of each shard that wait to be sent, and how fast the shard takes them.

mod aggregate;

use std::collections::VecDeque;

use tokio::time::Instant;

use super::pending::{Pending, Track};
use super::rate::ShardRate;
use super::route::{ShardRange, in_order, index_of};
use super::{Batch, BatchLimits};
use crate::record::Record;

pub(super) use aggregate::Group;

/// The records of one shard.
#[derive(Debug)]
pub(super) struct Lane {
    /// `None` where the shards are not known: the lane has the records of all.
    pub(super) shard_id: Option<String>,
    first: u128,
    /// Records to send again, which go first.
    again: VecDeque<Pending>,
    fresh: VecDeque<Pending>,
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
            again: VecDeque::new(),
            fresh: VecDeque::new(),
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

    /// The size of the next record, in bytes.
    pub(super) fn next_size(&self) -> Option<usize> {
        let next = self.again.front().or_else(|| self.fresh.front())?;
        Some(next.record.size())
    }

    fn pop(&mut self) -> Option<Pending> {
        let pending = self.again.pop_front().or_else(|| self.fresh.pop_front())?;
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

    /// Adds a record to send again, in the order of the input.
    fn push_again(&mut self, pending: Pending) {
        let place = pending.track.place;
        let at = self.again.partition_point(|other| other.track.place < place);
        self.again.insert(at, pending);
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
    pub(super) fn push(&mut self, pending: Pending, now: Instant) {
        let is_again = pending.track.tries > 0;
        let Some(lane) = self.lane_of(pending.track.hash) else {
            return;
        };
        if lane.len() == 0 && lane.in_flight == 0 && !is_again {
            lane.progress = now;
        }
        lane.bytes += pending.record.size();
        lane.is_keyed |= pending.track.is_serial;
        match is_again {
            true => lane.push_again(pending),
            false => lane.fresh.push_back(pending),
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
        let most = self.len.min(limits.records);
        let mut batch = Batch::with_capacity(limits, most);
        let mut tracks = Vec::with_capacity(most);
        let count = self.lanes.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            let full = self.take_of(index, &mut batch, &mut tracks, now);
            if full {
                self.next = (index + 1) % count;
                break;
            }
        }
        self.len -= batch.len();
        (batch.into_items(), tracks)
    }

    /// Takes what one lane may send; whether the batch is full.
    fn take_of(
        &mut self,
        index: usize,
        batch: &mut Batch<Record>,
        tracks: &mut Vec<Track>,
        now: Instant,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(index) else {
            return false;
        };
        let Some(first) = lane.next_size() else {
            return false;
        };
        let (mut records, mut bytes) = lane.rate.available(now, first, lane.in_flight == 0);
        // A key that has one record on its way leaves nothing in the lane that could wait behind it.
        let waited = std::mem::take(&mut lane.waits);
        lane.starved |= waited;
        while let Some(size) = lane.next_size() {
            if records == 0 || bytes < size {
                lane.starved = true;
                return false;
            }
            if !batch.fits(size) {
                return true;
            }
            records -= 1;
            bytes -= size;
            lane.rate.take(size);
            lane.in_flight += 1;
            if let Some(Pending { record, track }) = lane.pop() {
                batch.push(record, size);
                tracks.push(track);
            }
        }
        lane.starved = waited;
        false
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
                self.push(pending, now);
            }
        }
        true
    }

    /// All records that were not sent.
    pub(super) fn into_records(self) -> impl Iterator<Item = Pending> {
        self.lanes
            .into_iter()
            .flat_map(|lane| lane.again.into_iter().chain(lane.fresh))
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
                    lanes.push(pending(numbers.next().unwrap(), *key, *hash), now);
                }
            }
            let count = numbers.start;
            prop_assert_eq!(lanes.len() as u64, count);
            for lane in &lanes.lanes {
                let id = lane.shard_id.as_deref().unwrap();
                let queued: Vec<&Pending> = lane.again.iter().chain(&lane.fresh).collect();
                prop_assert!(queued.iter().all(|pending| covers(id, pending.track.hash)));
                prop_assert_eq!(lane.bytes, queued.iter().map(|pending| pending.record.size()).sum::<usize>());
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
