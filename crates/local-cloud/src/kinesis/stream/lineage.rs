//! Shards and their lineage: pure data, testable without files.
//!
//! Invariant: the ranges of the open shards partition `[0, 2^128)`.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMeta {
    /// Number in the stream, from 0. Also the position in the list.
    pub index: u32,
    #[serde(with = "decimal")]
    pub start: u128,
    #[serde(with = "decimal")]
    pub end: u128,
    /// The parent.
    pub parent: Option<u32>,
    /// The second parent, after a merge.
    pub adjacent_parent: Option<u32>,
    pub created_ms: i64,
    pub closed_ms: Option<i64>,
    /// Creation time in its sequence numbers. At least a second after its parents', so that its numbers are greater.
    pub epoch_ms: i64,
}

impl ShardMeta {
    /// `shardId-000000000000`.
    pub fn id(&self) -> String {
        shard_id(self.index)
    }

    /// Whether `index` is one of its parents.
    pub fn descends_from(&self, index: u32) -> bool {
        self.parent == Some(index) || self.adjacent_parent == Some(index)
    }

    /// Whether it was open at `ms`, both ends included.
    pub fn open_at(&self, ms: i64) -> bool {
        self.created_ms <= ms && self.closed_ms.is_none_or(|closed| closed >= ms)
    }

    /// Whether all its records are older than `horizon_ms`. It is then no longer listed.
    pub fn expired(&self, horizon_ms: i64) -> bool {
        self.closed_ms.is_some_and(|closed| closed < horizon_ms)
    }

    fn parents(&self) -> impl Iterator<Item = u32> {
        [self.parent, self.adjacent_parent].into_iter().flatten()
    }

    pub fn parent_ids(&self) -> Vec<String> {
        self.parents().map(shard_id).collect()
    }
}

pub fn shard_id(index: u32) -> String {
    format!("shardId-{index:012}")
}

/// The index of a shard id. As on AWS, the id may have another prefix or none.
pub fn shard_index(id: &str) -> Option<u32> {
    let digits = id.rsplit_once('-').map_or(id, |(_, digits)| digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits
        .parse::<u32>()
        .ok()
        .filter(|&index| index <= i32::MAX as u32)
}

/// First hash keys of `count` equal ranges. `count` is at least 1.
pub fn boundaries(count: u32) -> Vec<u128> {
    let count = u128::from(count.max(1));
    // 2^128 does not fit. (2^128 - 1) / n differs from 2^128 / n only if n divides 2^128.
    let width = if count.is_power_of_two() && count > 1 {
        u128::MAX / count + 1
    } else {
        u128::MAX / count
    };
    (0..count).map(|i| width * i).collect()
}

/// The shards of a new stream.
pub fn initial(count: u32, now_ms: i64) -> Vec<ShardMeta> {
    let starts = boundaries(count);
    let shard = |(index, &start): (usize, &u128)| ShardMeta {
        index: index as u32,
        start,
        end: starts.get(index + 1).map_or(u128::MAX, |next| next - 1),
        parent: None,
        adjacent_parent: None,
        created_ms: now_ms,
        closed_ms: None,
        epoch_ms: now_ms,
    };
    starts.iter().enumerate().map(shard).collect()
}

/// Splits the open shard `index` so that its second child starts at `at`, which must lie inside its range and not be
/// its first key. Returns whether it succeeded.
pub fn split(shards: &mut Vec<ShardMeta>, index: u32, at: u128, now_ms: i64) -> bool {
    let next = shards.len() as u32;
    let Some(parent) = shards.get_mut(index as usize) else {
        return false;
    };
    if parent.closed_ms.is_some() || at <= parent.start || at > parent.end {
        return false;
    }
    parent.closed_ms = Some(now_ms);
    let child = |index, start, end| ShardMeta {
        index,
        start,
        end,
        parent: Some(parent.index),
        adjacent_parent: None,
        created_ms: now_ms,
        closed_ms: None,
        epoch_ms: now_ms.max(parent.epoch_ms + 1000),
    };
    let children = [child(next, parent.start, at - 1), child(next + 1, at, parent.end)];
    shards.extend(children);
    true
}

/// Merges two open shards: `left` ends where `right` starts. Returns whether it succeeded.
pub fn merge(shards: &mut Vec<ShardMeta>, left: u32, right: u32, now_ms: i64) -> bool {
    let (Some(a), Some(b)) = (shards.get(left as usize), shards.get(right as usize)) else {
        return false;
    };
    let adjacent = a.end.checked_add(1) == Some(b.start);
    if a.closed_ms.is_some() || b.closed_ms.is_some() || !adjacent {
        return false;
    }
    let child = ShardMeta {
        index: shards.len() as u32,
        start: a.start,
        end: b.end,
        parent: Some(left),
        adjacent_parent: Some(right),
        created_ms: now_ms,
        closed_ms: None,
        epoch_ms: now_ms.max(a.epoch_ms.max(b.epoch_ms) + 1000),
    };
    for parent in [left, right] {
        shards[parent as usize].closed_ms = Some(now_ms);
    }
    shards.push(child);
    true
}

/// The open shards ordered by range.
pub fn open_in_order(shards: &[ShardMeta]) -> Vec<&ShardMeta> {
    let mut open: Vec<&ShardMeta> = shards.iter().filter(|s| s.closed_ms.is_none()).collect();
    open.sort_unstable_by_key(|s| s.start);
    open
}

/// Reshards to `target` equal ranges by splits and merges, as UpdateShardCount does. First splits each shard that
/// crosses a new boundary, then merges the shards between two boundaries. Intermediate shards stay in the lineage,
/// closed.
pub fn rescale(shards: &mut Vec<ShardMeta>, target: u32, now_ms: i64) {
    let starts = snapped(shards, target);
    for &start in &starts {
        if let Some(crossing) = open_containing(shards, start)
            && crossing.start != start
        {
            let index = crossing.index;
            split(shards, index, start, now_ms);
        }
    }
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).map_or(u128::MAX, |next| next - 1);
        while let Some(left) = open_containing(shards, start)
            && left.end < end
        {
            let (index, next_start) = (left.index, left.end + 1);
            let Some(right) = open_containing(shards, next_start).map(|s| s.index) else {
                return;
            };
            if !merge(shards, index, right, now_ms) {
                return;
            }
        }
    }
}

/// The new boundaries. A boundary that differs from an existing one only by rounding is moved to it, which avoids tiny
/// shards.
fn snapped(shards: &[ShardMeta], target: u32) -> Vec<u128> {
    let existing: Vec<u128> = open_in_order(shards).iter().map(|s| s.start).collect();
    let tolerance = u128::from(target).max(existing.len() as u128) * 2;
    let snap = |start: u128| {
        let at = existing.partition_point(|&e| e < start);
        let near = [at.checked_sub(1), Some(at)]
            .into_iter()
            .flatten()
            .filter_map(|i| existing.get(i));
        near.copied()
            .find(|e| e.abs_diff(start) <= tolerance)
            .unwrap_or(start)
    };
    boundaries(target).into_iter().map(snap).collect()
}

fn open_containing(shards: &[ShardMeta], key: u128) -> Option<&ShardMeta> {
    // The newest shard is the most likely.
    shards
        .iter()
        .rev()
        .find(|s| s.closed_ms.is_none() && s.start <= key && key <= s.end)
}

/// 128 bits as a decimal string: other JSON readers support 53 bits.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assert_partition(shards: &[ShardMeta]) {
        let open = open_in_order(shards);
        assert_eq!(open.first().map(|s| s.start), Some(0));
        assert_eq!(open.last().map(|s| s.end), Some(u128::MAX));
        for pair in open.windows(2) {
            assert_eq!(pair[0].end + 1, pair[1].start);
        }
    }

    fn assert_lineage(shards: &[ShardMeta]) {
        for shard in shards {
            for parent in shard.parents().map(|p| &shards[p as usize]) {
                assert!(parent.index < shard.index);
                assert!(parent.closed_ms.is_some(), "the parent of {} is open", shard.id());
                assert!(shard.epoch_ms >= parent.epoch_ms + 1000);
                assert!(parent.start <= shard.end && shard.start <= parent.end);
            }
            if shard.closed_ms.is_some() {
                let children: Vec<_> = shards.iter().filter(|s| s.descends_from(shard.index)).collect();
                assert!(
                    children
                        .iter()
                        .any(|c| c.start <= shard.start && shard.start <= c.end)
                );
                assert!(
                    children
                        .iter()
                        .any(|c| c.start <= shard.end && shard.end <= c.end)
                );
            }
        }
    }

    #[test]
    fn two_shards_split_where_aws_splits_them() {
        let shards = initial(2, 0);
        assert_eq!(shards[0].end, 170141183460469231731687303715884105727);
        assert_eq!(shards[1].start, 170141183460469231731687303715884105728);
        let thirds = initial(3, 0);
        assert_eq!(thirds[1].start, 113427455640312821154458202477256070485);
    }

    #[test]
    fn two_four_three_keeps_the_lineage() {
        let mut shards = initial(2, 0);
        rescale(&mut shards, 4, 10);
        assert_eq!(open_in_order(&shards).len(), 4);
        rescale(&mut shards, 3, 20);
        let open = open_in_order(&shards);
        let starts: Vec<u128> = open.iter().map(|s| s.start).collect();
        assert_eq!(starts, boundaries(3));
        assert_partition(&shards);
        assert_lineage(&shards);
    }

    #[test]
    fn six_to_three_only_merges() {
        let mut shards = initial(6, 0);
        rescale(&mut shards, 3, 10);
        assert_eq!(shards.len(), 9, "a rounding difference must not make tiny shards");
        assert!(shards[6..].iter().all(|s| s.adjacent_parent.is_some()));
    }

    #[test]
    fn an_id_is_read_with_and_without_its_prefix() {
        assert_eq!(shard_index("shardId-000000000012"), Some(12));
        assert_eq!(shard_index("12"), Some(12));
        for bad in ["shardId-", "shardId-x", "", "shardId-99999999999", "2147483648"] {
            assert_eq!(shard_index(bad), None, "{bad}");
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Split(usize, u128),
        Merge(usize),
        Rescale(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (any::<usize>(), any::<u128>()).prop_map(|(i, at)| Step::Split(i, at)),
            any::<usize>().prop_map(Step::Merge),
            (1u32..20).prop_map(Step::Rescale),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn open_ranges_always_partition_the_key_space(start in 1u32..8, steps in prop::collection::vec(step(), 0..12)) {
            let mut shards = initial(start, 0);
            for (now, step) in (1i64..).zip(steps) {
                let open: Vec<u32> = open_in_order(&shards).iter().map(|s| s.index).collect();
                match step {
                    Step::Split(i, at) => {
                        let shard = &shards[open[i % open.len()] as usize];
                        let (index, width) = (shard.index, shard.end - shard.start);
                        let at = shard.start + if width == 0 { 0 } else { at % width };
                        split(&mut shards, index, at, now);
                    }
                    Step::Merge(i) if open.len() > 1 => {
                        let i = i % (open.len() - 1);
                        prop_assert!(merge(&mut shards, open[i], open[i + 1], now));
                    }
                    Step::Merge(_) => {}
                    Step::Rescale(target) => {
                        rescale(&mut shards, target, now);
                        prop_assert_eq!(open_in_order(&shards).len(), target as usize);
                    }
                }
                assert_partition(&shards);
                assert_lineage(&shards);
            }
        }
    }
}
