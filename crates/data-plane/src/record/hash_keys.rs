//! Remembers the hash keys of partition keys that were met before, since MD5 is the most that a record costs otherwise.

use super::{KEYS_IN_TURN, PartitionKey, RANDOM_KEY_LENGTH, Record, hash_of};

/// Places for the keys that users choose.
const PLACES: usize = 1 << 14;
/// A longer key takes memory of its own.
const LONGEST: usize = 24;

/// Hash keys of partition keys. Bounded: a key takes the place of another.
#[derive(Debug)]
pub(crate) struct HashKeys {
    places: Vec<(PartitionKey, u128)>,
    /// Those of random keys, in the order of their turn: the next one is beside the last.
    in_turn: Vec<([u8; RANDOM_KEY_LENGTH], u128)>,
    next: usize,
}

impl Default for HashKeys {
    fn default() -> Self {
        let no_key = [0; RANDOM_KEY_LENGTH];
        Self {
            // No record has an empty key.
            places: vec![(PartitionKey::default(), 0); PLACES],
            in_turn: vec![(no_key, hash_of(&no_key)); KEYS_IN_TURN],
            next: 0,
        }
    }
}

impl HashKeys {
    /// The hash key of a record, as [`Record::hash_key`] computes it.
    pub(crate) fn of(&mut self, record: &Record) -> u128 {
        let key = &record.partition_key;
        if record.explicit_hash_key.is_some() || key.len() > LONGEST || key.is_empty() {
            return record.hash_key();
        }
        match key.as_bytes().try_into() {
            Ok(key) if record.has_random_key => self.of_random(key),
            _ => self.of_chosen(key),
        }
    }

    /// The lengths of random keys are the same, so that they are compared as numbers are.
    fn of_random(&mut self, key: [u8; RANDOM_KEY_LENGTH]) -> u128 {
        let next = self.next;
        self.next = (next + 1) % KEYS_IN_TURN;
        let (known, hash) = &mut self.in_turn[next];
        if *known != key {
            (*known, *hash) = (key, hash_of(&key));
        }
        *hash
    }

    fn of_chosen(&mut self, key: &PartitionKey) -> u128 {
        let (known, hash) = &mut self.places[place(key.as_bytes())];
        if known != key {
            known.clone_from(key);
            *hash = hash_of(key.as_bytes());
        }
        *hash
    }
}

fn place(key: &[u8]) -> usize {
    // An odd number whose bits are spread, as in multiplicative hashing.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = key.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    let mixed = words.fold(0_u64, |mixed, word| {
        (mixed.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(SPREAD)
    });
    (mixed >> (u64::BITS - PLACES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::record::random_key;

    fn record(key: &str, explicit_hash_key: Option<String>) -> Record {
        Record {
            data: b"x"[..].into(),
            partition_key: key.into(),
            explicit_hash_key,
            has_random_key: false,
            number: 1,
            line: 1,
        }
    }

    #[test]
    fn random_keys_are_known_in_their_turn() {
        let mut hashes = HashKeys::default();
        let rounds = std::thread::spawn(|| (0..2 * KEYS_IN_TURN).map(|_| random_key()).collect::<Vec<_>>());
        for key in rounds.join().unwrap() {
            let at = hashes.next;
            let record = Record {
                has_random_key: true,
                ..record(&key, None)
            };
            assert_eq!(hashes.of(&record), record.hash_key());
            assert_eq!(hashes.in_turn[at].0, key.as_bytes());
        }
        assert!(hashes.places.iter().all(|(key, _)| key.is_empty()));
    }

    #[test]
    fn few_keys_share_a_place() {
        let random = std::thread::spawn(|| (0..2000).map(|_| random_key().to_string()).collect());
        let numbers = (0..2000).map(|number| format!("user-{number}")).collect();
        // Random keys are used again.
        let different: [BTreeSet<String>; 2] = [random.join().unwrap(), numbers];
        for keys in different {
            let places: BTreeSet<usize> = keys.iter().map(|key| place(key.as_bytes())).collect();
            assert!(
                places.len() * 100 > keys.len() * 85,
                "{} of {}",
                places.len(),
                keys.len()
            );
        }
    }

    proptest! {
        #[test]
        fn it_is_the_hash_key_of_the_record(
            keys in prop::collection::vec(("[a-c]{1,2}|\0{8}|.{1,40}", prop::option::of(any::<u128>()), any::<bool>()), 1..200),
        ) {
            let mut hashes = HashKeys::default();
            for (key, explicit, has_random_key) in keys {
                let explicit = explicit.map(|hash| hash.to_string());
                let record = Record { has_random_key, ..record(&key, explicit) };
                prop_assert_eq!(hashes.of(&record), record.hash_key());
            }
        }
    }
}
