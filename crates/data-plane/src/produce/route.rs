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

/// The index of the range that contains `hash`, where `firsts` gives the lowest hash key of each range in order. A hash key
/// below all of them belongs to the first.
pub(super) fn index_of<T>(ranges: &[T], hash: u128, first: impl Fn(&T) -> u128) -> usize {
    ranges
        .partition_point(|range| first(range) <= hash)
        .saturating_sub(1)
}
