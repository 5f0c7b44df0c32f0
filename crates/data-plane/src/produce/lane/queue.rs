//! The records of a lane that wait, in the order in which they are sent.

use std::collections::VecDeque;

use super::super::pending::{Pending, Track};
use crate::record::Record;

/// Records and what is known of each, apart: a request needs the records side by side, and moving them costs the most.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: VecDeque<Record>,
    tracks: VecDeque<Track>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    pub(super) fn push(&mut self, record: Record, track: Track) {
        self.records.push_back(record);
        self.tracks.push_back(track);
    }

    /// Adds a record in the order of the input.
    pub(super) fn insert(&mut self, record: Record, track: Track) {
        let at = self.tracks.partition_point(|other| other.place < track.place);
        self.records.insert(at, record);
        self.tracks.insert(at, track);
    }

    pub(super) fn pop(&mut self) -> Option<Pending> {
        Some(Pending {
            record: self.records.pop_front()?,
            track: self.tracks.pop_front()?,
        })
    }

    /// Moves the first `count` records.
    pub(super) fn take(&mut self, count: usize, records: &mut Vec<Record>, tracks: &mut Vec<Track>) {
        let count = count.min(self.len());
        records.extend(self.records.drain(..count));
        tracks.extend(self.tracks.drain(..count));
    }

    pub(super) fn into_records(self) -> impl Iterator<Item = Pending> {
        let pairs = self.records.into_iter().zip(self.tracks);
        pairs.map(|(record, track)| Pending { record, track })
    }
}
