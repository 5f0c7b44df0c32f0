//! Finds a partition key that most records have, in a few words of memory.
//! Source: Misra and Gries, "Finding repeated elements", 1982: a key of more than a share of 1 in [`COUNTERS`] + 1 has a
//! counter, whose count is at most that much of all too low.

use std::hash::{DefaultHasher, Hasher as _};

/// How many keys are counted at the same time.
const COUNTERS: usize = 8;
/// The share from which a key is reported.
const MOST: f64 = 0.5;
/// With fewer records, a share says nothing.
const FEWEST: u64 = 100;

/// The text of a key is kept from this count on: most keys never reach it, so most records allocate nothing.
const KEPT: u64 = 16;

/// Counts of the most frequent keys.
#[derive(Debug, Clone, Default)]
pub struct HotKeys {
    counters: Vec<Counter>,
    total: u64,
}

#[derive(Debug, Clone)]
struct Counter {
    /// Of the key.
    hash: u64,
    count: u64,
    key: Option<String>,
}

/// A key that most records have.
#[derive(Debug, Clone, PartialEq)]
pub struct HotKey {
    pub key: String,
    /// A lower bound of its share of the records, 0 to 1.
    pub share: f64,
}

impl HotKeys {
    pub fn add(&mut self, key: &str) {
        self.total += 1;
        let mut hasher = DefaultHasher::new();
        hasher.write(key.as_bytes());
        let hash = hasher.finish();
        if let Some(counter) = self.counters.iter_mut().find(|counter| counter.hash == hash) {
            counter.count += 1;
            if counter.count == KEPT && counter.key.is_none() {
                counter.key = Some(key.to_owned());
            }
            return;
        }
        if self.counters.len() < COUNTERS {
            self.counters.push(Counter {
                hash,
                count: 1,
                key: None,
            });
            return;
        }
        for counter in &mut self.counters {
            counter.count -= 1;
        }
        self.counters.retain(|counter| counter.count > 0);
    }

    /// The key that at least half of the records have.
    #[allow(clippy::cast_precision_loss, reason = "a share to report")]
    pub fn hottest(&self) -> Option<HotKey> {
        let counter = self.counters.iter().max_by_key(|counter| counter.count)?;
        let share = counter.count as f64 / self.total as f64;
        let key = counter
            .key
            .clone()
            .filter(|_| self.total >= FEWEST && share >= MOST)?;
        Some(HotKey { key, share })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_of_most_records_is_found() {
        let mut keys = HotKeys::default();
        for n in 0..1000 {
            keys.add("hot");
            if n % 4 == 0 {
                keys.add(&n.to_string());
            }
        }
        let hottest = keys.hottest().unwrap();
        assert_eq!(hottest.key, "hot");
        assert!((0.6..=0.8).contains(&hottest.share), "{hottest:?}");
        let mut even = HotKeys::default();
        (0..1000).for_each(|n| even.add(&(n % 3).to_string()));
        assert_eq!(even.hottest(), None);
        let mut few = HotKeys::default();
        (0..10).for_each(|_| few.add("k"));
        assert_eq!(few.hottest(), None);
    }

    proptest! {
        #[test]
        fn a_share_is_never_too_high(keys in prop::collection::vec(0u8..20, 100..400)) {
            let mut counted = HotKeys::default();
            keys.iter().for_each(|key| counted.add(&key.to_string()));
            if let Some(hot) = counted.hottest() {
                let count = keys.iter().filter(|key| key.to_string() == hot.key).count();
                prop_assert!(hot.share <= count as f64 / keys.len() as f64 + 1e-9);
            }
        }
    }
}
