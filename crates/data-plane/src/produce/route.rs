//! The shard map as the engine needs it: which shard takes a record.

/// An open shard and its range of hash keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRange {
    pub id: String,
    /// The lowest hash key. The range ends before that of the next shard.
    pub first: u128,
}

/// Sorts a shard map by hash key; the first of two shards with the same lowest hash key counts.
pub(super) fn in_order(mut shards: Vec<ShardRange>) -> Vec<ShardRange> {
    shards.sort_by(|a, b| (a.first, &a.id).cmp(&(b.first, &b.id)));
    shards.dedup_by_key(|shard| shard.first);
    shards
}

/// So many ranges are searched one by one. A processor does that without a branch, and cannot foresee those of a binary
/// search: hash keys are random.
const FEW: usize = 16;

/// The index of the range that contains `hash`, where `first` gives the lowest hash key of each range in order. A hash key
/// below all of them belongs to the first.
pub(super) fn index_of<T>(ranges: &[T], hash: u128, first: impl Fn(&T) -> u128) -> usize {
    let begins_before = |range: &T| first(range) <= hash;
    let count = match ranges.len() <= FEW {
        true => ranges.iter().filter(|range| begins_before(range)).count(),
        false => ranges.partition_point(begins_before),
    };
    count.saturating_sub(1)
}
