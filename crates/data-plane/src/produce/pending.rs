//! A record on its way, and what is known of its attempts.

use std::cmp::Ordering;

use tokio::time::Instant;

use crate::record::Record;

/// Overhead of a record in memory besides its data and key, in bytes.
const OVERHEAD: usize = 200;

/// What is known of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track {
    /// Its hash key, which selects its lane.
    pub(super) hash: u128,
    /// Its place among the records read.
    pub(super) place: u64,
    /// Failed attempts so far.
    pub(super) tries: u32,
    /// When it was first sent.
    pub(super) since: Option<Instant>,
    /// An attempt had no answer: the record may be stored.
    pub(super) is_open: bool,
    /// Whether later records of its hash key wait for it.
    pub(super) is_ordered: bool,
    /// Whether its aggregate waits for the one before it.
    pub(super) is_serial: bool,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: Record,
    pub(super) track: Track,
}

/// The size of a record in memory, in bytes.
pub(super) fn held(record: &Record) -> usize {
    record.size() + OVERHEAD
}

/// A record to retry at `due`. The earliest compares greatest, because the heap is a max-heap.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) due: Instant,
    pub(super) pending: Pending,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |w: &Self| (w.due, w.pending.track.place);
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}
