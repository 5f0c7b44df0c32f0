//! Where to split a shard so that both halves carry as equal a share of its traffic as possible.
//!
//! Pure: knows weights of hash keys, and not where they come from.

use super::shards::Shard;
use super::split::split_range;

/// A hash key and its share of the traffic, in any unit.
pub type Weighted = (u128, u64);

/// A division of a shard's traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Division {
    /// The first hash key of the second child.
    pub at: u128,
    /// Share of the traffic below it, 0 to 1.
    pub lower: f64,
    /// Share of the traffic from it on.
    pub upper: f64,
}

impl Division {
    /// The larger of the two shares.
    pub fn larger(&self) -> f64 {
        self.lower.max(self.upper)
    }
}

/// The division of `shard` whose halves are as equal as possible; `keys` are sorted by hash key. `None` if there is no
/// traffic, or the shard has too few hash keys.
///
/// Every hash key between two keys divides the traffic alike. The one in the middle is chosen, so that keys that were not
/// seen are divided too.
pub fn divide(shard: &Shard, keys: &[Weighted]) -> Option<Division> {
    let legal = split_range(shard)?;
    let total: u128 = keys.iter().map(|key| u128::from(key.1)).sum();
    if total == 0 {
        return None;
    }
    let mut below: u128 = 0;
    let mut best: Option<(u128, u128, u128)> = None;
    // A cut before the first key, between two, and after the last one.
    for index in 0..=keys.len() {
        let after = index.checked_sub(1).and_then(|before| keys.get(before));
        let lowest = after
            .map_or(*legal.start(), |key| key.0.saturating_add(1))
            .max(*legal.start());
        let highest = keys
            .get(index)
            .map_or(*legal.end(), |key| key.0)
            .min(*legal.end());
        if lowest <= highest {
            let difference = below.abs_diff(total - below);
            if best.is_none_or(|(least, ..)| difference < least) {
                best = Some((difference, lowest + (highest - lowest) / 2, below));
            }
        }
        below += keys.get(index).map_or(0, |key| u128::from(key.1));
    }
    let (_, at, below) = best?;
    Some(Division {
        at,
        lower: share(below, total),
        upper: share(total - below, total),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u128, total: u128) -> f64 {
    part as f64 / total as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shard(first_hash: u128, last_hash: u128) -> Shard {
        Shard {
            id: "shardId-000000000000".to_owned(),
            parent: None,
            adjacent_parent: None,
            first_hash,
            last_hash,
            first_sequence: "1".to_owned(),
            last_sequence: None,
        }
    }

    #[test]
    fn a_skewed_shard_is_not_split_in_the_middle() {
        let keys = [(100, 40), (110, 30), (120, 30), (900, 1)];
        let division = divide(&shard(0, 1_000), &keys).unwrap();
        assert_eq!(division.at, 105);
        assert!((division.lower - 40.0 / 101.0).abs() < 1e-9);
        let one_key = divide(&shard(0, 1_000), &[(100, 97), (700, 3)]).unwrap();
        assert!((one_key.larger() - 0.97).abs() < 1e-9);
        assert_eq!(divide(&shard(0, 1_000), &[]), None);
        assert_eq!(divide(&shard(0, 2), &[(1, 1)]), None);
    }

    fn below(keys: &[Weighted], at: u128) -> u128 {
        keys.iter()
            .filter(|key| key.0 < at)
            .map(|key| u128::from(key.1))
            .sum()
    }

    proptest! {
        #[test]
        fn no_legal_hash_key_divides_better(
            first in 0u128..50,
            length in 3u128..200,
            keys in proptest::collection::vec((0u128..200, 0u64..1_000), 0..12),
        ) {
            let shard = shard(first, first + length);
            let mut keys: Vec<Weighted> = keys.into_iter().map(|(at, weight)| (first + at % (length + 1), weight)).collect();
            keys.sort_unstable();
            keys.dedup_by_key(|key| key.0);
            let total: u128 = keys.iter().map(|key| u128::from(key.1)).sum();
            let legal = split_range(&shard).unwrap();
            let difference = |at| below(&keys, at).abs_diff(total - below(&keys, at));
            match divide(&shard, &keys) {
                None => prop_assert_eq!(total, 0),
                Some(found) => {
                    prop_assert!(legal.contains(&found.at), "{:?}", found);
                    let least = legal.map(difference).min().unwrap();
                    prop_assert_eq!(difference(found.at), least);
                    prop_assert!((found.lower + found.upper - 1.0).abs() < 1e-9);
                    prop_assert!((found.lower - share(below(&keys, found.at), total)).abs() < 1e-9);
                }
            }
        }
    }
}
