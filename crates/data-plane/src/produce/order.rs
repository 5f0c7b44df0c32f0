//! Keeps the order of the records of each key: only one of a key is on its way at a time.
//!
//! PutRecords may store an entry and refuse an earlier one of the same key ("PutRecords doesn't guarantee the ordering of
//! records", Kinesis API reference), and requests overtake each other. So the next record of a key waits until the one
//! before it is acknowledged or given up. A key is known by its hash key: records with the same one are in the same shard.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::pending::Pending;

/// The keys of which a record is on its way, each with those that wait for it.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    keys: HashMap<u128, VecDeque<Pending>, BuildHasherDefault<HashKeyHasher>>,
    waiting: usize,
}

impl KeyOrder {
    /// Lets the record go, or keeps it until those before it are settled.
    pub(super) fn admit(&mut self, pending: Pending) -> Option<Pending> {
        use std::collections::hash_map::Entry;
        match self.keys.entry(pending.track.hash) {
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                Some(pending)
            }
            Entry::Occupied(mut taken) => {
                taken.get_mut().push_back(pending);
                self.waiting += 1;
                None
            }
        }
    }

    /// The record of the key `hash` that was on its way is settled; returns the next.
    pub(super) fn settled(&mut self, hash: u128) -> Option<Pending> {
        let next = self.keys.get_mut(&hash)?.pop_front();
        match &next {
            Some(_) => self.waiting -= 1,
            None => {
                self.keys.remove(&hash);
            }
        }
        next
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// All records that wait.
    pub(super) fn into_waiting(self) -> impl Iterator<Item = Pending> {
        self.keys.into_values().flatten()
    }
}

/// Hash keys are MD5 hashes, so their lowest bits are a hash already. Those that a user chose need not be: bits of all
/// parts are mixed.
#[derive(Debug, Default)]
pub(super) struct HashKeyHasher(u64);

impl Hasher for HashKeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn write_u128(&mut self, key: u128) {
        // From u128 to u64, `as` takes the lowest bits.
        let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
