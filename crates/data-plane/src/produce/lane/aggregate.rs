//! Aggregates: the user records of one shard in one Kinesis record.
//!
//! An aggregate that is refused is taken apart again, so that a reshard in between cannot leave records of two shards in
//! one. It keeps the order of its user records, and one aggregate of a shard is on its way at a time where records have
//! keys: so those of a key stay in the order of the input.

use tokio::time::Instant;

use super::super::pending::{Pending, Track};
use super::super::{Batch, BatchLimits};
use super::{Lane, Lanes, Ready};
use crate::record::Record;
use crate::record::aggregate::Aggregate;

/// A Kinesis record and the user records in it.
#[derive(Debug)]
pub(in super::super) struct Group {
    /// `None` once it is in a request.
    pub(in super::super) record: Option<Record>,
    pub(in super::super) parts: Vec<Record>,
    pub(in super::super) tracks: Vec<Track>,
}

impl Group {
    /// The hash key of its first user record, which is that of the aggregate.
    pub(in super::super) fn hash(&self) -> u128 {
        self.tracks.first().map_or(0, |track| track.hash)
    }

    /// Its user records.
    pub(in super::super) fn into_parts(self) -> impl Iterator<Item = Pending> {
        let parts = self.parts.into_iter().zip(self.tracks);
        parts.map(|(record, track)| Pending { record, track })
    }
}

impl Lane {
    /// Whether an aggregate has to wait for the one before it.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_keyed && self.away > 0
    }

    /// The largest size that the next aggregate can have, in bytes; `None` if nothing waits.
    pub(super) fn next_aggregate(&self, limit: usize) -> Option<usize> {
        Some(
            self.next_size()?
                .max(limit.min(self.bytes + self.len() * PER_RECORD)),
        )
    }

    /// Takes the records of one aggregate.
    fn aggregate(&mut self, limit: usize) -> Option<Group> {
        let mut aggregate = Aggregate::new(limit);
        let mut tracks = Vec::new();
        while let Some(next) = self.next()
            && aggregate.fits(next)
            && let Some(Pending { record, track }) = self.pop()
        {
            aggregate.push(record);
            tracks.push(track);
        }
        let finished = aggregate.finish()?;
        self.away += tracks.len();
        self.in_flight += tracks.len();
        self.rate.take(1, finished.record.size());
        Some(Group {
            record: Some(finished.record),
            parts: finished.parts,
            tracks,
        })
    }
}

/// About what an aggregate adds to a record: its key, lengths and indexes, in bytes.
const PER_RECORD: usize = 48;

impl Lanes {
    /// As [`Lanes::ready`], for aggregates of at most `limit` bytes.
    pub(in super::super) fn ready_aggregates(
        &mut self,
        limits: BatchLimits,
        limit: usize,
        now: Instant,
    ) -> Ready {
        let (mut ready, mut lanes, mut bytes) = (Ready::default(), 0, 0);
        for lane in &mut self.lanes {
            let Some(size) = lane.next_aggregate(limit).filter(|_| !lane.is_blocked()) else {
                continue;
            };
            let (records, available) = lane.rate.available(now, size, lane.in_flight == 0);
            if records > 0 && available >= size {
                lanes += 1;
                bytes += lane.bytes;
                ready.records += lane.len();
            } else {
                lane.waits = true;
            }
        }
        ready.is_full = lanes > 0 && bytes >= limits.bytes.min(limit.saturating_mul(lanes));
        ready
    }

    /// Takes the aggregates of one request from the lanes in turn.
    pub(in super::super) fn take_aggregates(
        &mut self,
        limits: BatchLimits,
        limit: usize,
        now: Instant,
    ) -> Vec<Group> {
        let mut batch = Batch::new(limits);
        let count = self.lanes.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            if self.aggregates_of(index, &mut batch, limit, now) {
                self.next = (index + 1) % count;
                break;
            }
        }
        batch.into_items()
    }

    /// Takes what one lane may send; whether the batch is full.
    fn aggregates_of(&mut self, index: usize, batch: &mut Batch<Group>, limit: usize, now: Instant) -> bool {
        let Some(lane) = self.lanes.get_mut(index) else {
            return false;
        };
        if lane.is_blocked() {
            return false;
        }
        let waited = std::mem::take(&mut lane.waits);
        lane.starved |= waited;
        while !lane.is_blocked()
            && let Some(size) = lane.next_aggregate(limit)
        {
            let (records, bytes) = lane.rate.available(now, size, lane.in_flight == 0);
            if records == 0 || bytes < size {
                lane.starved = true;
                return false;
            }
            if !batch.fits(size) {
                return true;
            }
            let Some(group) = lane.aggregate(limit) else {
                return false;
            };
            self.len -= group.tracks.len();
            let size = group.record.as_ref().map_or(0, Record::size);
            batch.push(group, size);
        }
        lane.starved = waited;
        false
    }
}
