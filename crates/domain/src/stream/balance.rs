//! Splits and merges that make the shards of a stream even: in their hash key ranges, or in their traffic.
//!
//! UpdateShardCount makes even ranges too, but not at the count that a stream has, and ten times in 24 hours. A split adds
//! a boundary between two shards and a merge removes one, so a plan is the difference between two sets of boundaries. A
//! boundary is the first hash key of the shard above it. It names a step also after a crash, when the ids of shards differ.

use super::change::Changer;
use super::shards::{self, Listing, Shard, ShardMap};
use super::split::{ShardChange, SplitPoint, merge, split};
use super::state::StreamState;
use ground::error::{Error, Result};

/// Share of an even range by which a boundary may be off.
const TOLERANCE_DIVISOR: u128 = 100;
/// Share of an even part of the traffic by which a boundary may be off.
const TRAFFIC_TOLERANCE: f64 = 0.1;
/// A plan for traffic must lower the traffic of the hottest shard at least to this share of it.
const WORTH_IT: f64 = 0.9;
/// The fewest hash keys between a boundary and another one, so that SplitShard accepts both.
const GAP: u128 = 2;

/// A step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Split the shard with this hash key, so that a new shard begins at it.
    Add(u128),
    /// Merge the two shards that meet here.
    Remove(u128),
}

/// The boundaries between the open shards of `map`, sorted.
pub fn boundaries(map: &ShardMap) -> Vec<u128> {
    let mut all: Vec<u128> = map
        .open()
        .map(|shard| shard.first_hash)
        .filter(|&at| at != 0)
        .collect();
    all.sort_unstable();
    all
}

/// The steps from the boundaries `existing` to `shards` shards with even ranges. Boundaries that are off by at most 1 % of a
/// range are left where they are. No plan with that result has fewer steps: each adds or removes one boundary.
pub fn even(existing: &[u128], shards: u32) -> Vec<Boundary> {
    let width = width(shards.max(1));
    let tolerance = (width / TOLERANCE_DIVISOR).max(GAP);
    let wanted = (1..u128::from(shards.max(1))).map(|number| {
        let at = width.saturating_mul(number);
        nearest(existing, at)
            .filter(|found| found.abs_diff(at) <= tolerance)
            .unwrap_or(at)
    });
    steps(existing, &wanted.collect::<Vec<_>>())
}

/// The number of hash keys of each of `shards` even ranges.
fn width(shards: u32) -> u128 {
    let shards = u128::from(shards);
    // 2^128 / shards, without the number that does not fit.
    match shards.is_power_of_two() {
        true if shards > 1 => u128::MAX / shards + 1,
        _ => u128::MAX / shards,
    }
}

fn nearest(existing: &[u128], at: u128) -> Option<u128> {
    let above = existing.partition_point(|&other| other < at);
    let near = [above.checked_sub(1), Some(above)];
    let near = near.into_iter().flatten().filter_map(|index| existing.get(index));
    near.copied().min_by_key(|other| other.abs_diff(at))
}

/// The steps from `existing` to `wanted`, both sorted. Splits and merges alternate, so that there is never more than one
/// shard more than before or after.
fn steps(existing: &[u128], wanted: &[u128]) -> Vec<Boundary> {
    let is_in = |set: &[u128], at: &u128| set.binary_search(at).is_ok();
    let mut add = wanted.iter().filter(|at| !is_in(existing, at)).peekable();
    let mut remove = existing.iter().filter(|at| !is_in(wanted, at)).peekable();
    let most = existing.len().max(wanted.len());
    let mut count = existing.len();
    let mut steps = Vec::new();
    loop {
        let adds = add.peek().is_some() && (count <= most || remove.peek().is_none());
        let step = match adds {
            true => add.next().map(|&at| Boundary::Add(at)),
            false => remove.next().map(|&at| Boundary::Remove(at)),
        };
        match step {
            Some(Boundary::Add(_)) => count += 1,
            Some(Boundary::Remove(_)) => count -= 1,
            None => return steps,
        }
        steps.extend(step);
    }
}

/// A plan for even traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficPlan {
    /// Empty if no plan lowers the traffic of the hottest shard much.
    pub steps: Vec<Boundary>,
    /// Share of the stream's traffic that the hottest shard has, before and after the plan.
    pub before: f64,
    pub after: f64,
}

/// The steps from the boundaries `existing` to as many shards with traffic as even as `keys` allow. `keys` are hash keys and
/// their traffic, sorted by hash key.
pub fn by_traffic(existing: &[u128], keys: &[(u128, f64)]) -> TrafficPlan {
    let total: f64 = keys.iter().map(|key| key.1).sum();
    let before = hottest(existing, keys, total);
    let wanted = traffic_cuts(existing, keys, total);
    let after = hottest(&wanted, keys, total);
    if wanted.len() != existing.len() || after > before * WORTH_IT {
        return TrafficPlan {
            steps: Vec::new(),
            before,
            after: before,
        };
    }
    TrafficPlan {
        steps: steps(existing, &wanted),
        before,
        after,
    }
}

/// The share of the traffic `total` that the hottest of the shards between `boundaries` has.
fn hottest(boundaries: &[u128], keys: &[(u128, f64)], total: f64) -> f64 {
    let mut of_shard = vec![0.0; boundaries.len() + 1];
    for (hash, traffic) in keys {
        let shard = boundaries.partition_point(|at| at <= hash);
        if let Some(sum) = of_shard.get_mut(shard) {
            *sum += traffic;
        }
    }
    let most = of_shard.into_iter().fold(0.0, f64::max);
    if total > 0.0 { most / total } else { 0.0 }
}

/// Boundaries at the quantiles of the traffic, as many as there are. Fewer if there are too few keys.
fn traffic_cuts(existing: &[u128], keys: &[(u128, f64)], total: f64) -> Vec<u128> {
    let parts = existing.len() + 1;
    let part = total / count(parts);
    let below = Cumulative::new(keys);
    let mut cuts: Vec<u128> = Vec::with_capacity(existing.len());
    for number in 1..parts {
        let aim = part * count(number);
        let lowest = cuts.last().map_or(GAP, |last| last.saturating_add(GAP));
        let off = |at: u128| (below.at(at) - aim).abs();
        let kept = existing.iter().copied().filter(|&at| at >= lowest);
        let kept = kept
            .filter(|&at| off(at) <= part * TRAFFIC_TOLERANCE)
            .min_by(|a, b| off(*a).total_cmp(&off(*b)));
        // Leave keys for the boundaries that follow.
        let later = parts - 1 - number;
        let fresh = below
            .gaps(later)
            .filter(|&at| at >= lowest && existing.iter().all(|other| other.abs_diff(at) >= GAP))
            .min_by(|a, b| off(*a).total_cmp(&off(*b)));
        match kept.or(fresh) {
            Some(at) => cuts.push(at),
            None => return cuts,
        }
    }
    cuts
}

#[allow(clippy::cast_precision_loss, reason = "a number of shards")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Traffic below each hash key.
struct Cumulative<'a> {
    keys: &'a [(u128, f64)],
    /// Traffic of the keys before each, and of all.
    sums: Vec<f64>,
}

impl<'a> Cumulative<'a> {
    fn new(keys: &'a [(u128, f64)]) -> Self {
        let sums = keys.iter().scan(0.0, |sum, key| {
            *sum += key.1;
            Some(*sum)
        });
        Self {
            keys,
            sums: std::iter::once(0.0).chain(sums).collect(),
        }
    }

    fn at(&self, hash: u128) -> f64 {
        let before = self.keys.partition_point(|key| key.0 < hash);
        self.sums.get(before).copied().unwrap_or_default()
    }

    /// A hash key in the middle between each two keys that follow each other, without the last `without`.
    fn gaps(&self, without: usize) -> impl Iterator<Item = u128> {
        let pairs = self.keys.len().saturating_sub(1).saturating_sub(without);
        self.keys.windows(2).take(pairs).filter_map(|pair| match pair {
            [a, b] if b.0 - a.0 > 2 * GAP => Some(a.0 + (b.0 - a.0) / 2),
            _ => None,
        })
    }
}

/// The change of the shards of `map` that `step` means now; `None` if it was made already.
///
/// # Errors
/// Exit 1 when the shards were changed in another way since the plan was made.
pub fn change_of(map: &ShardMap, step: Boundary) -> Result<Option<ShardChange>> {
    let (Boundary::Add(at) | Boundary::Remove(at)) = step;
    let upper = map.for_hash(at).ok_or_else(|| moved(at))?;
    match step {
        Boundary::Add(_) if upper.first_hash == at => Ok(None),
        Boundary::Add(_) => split(map, &upper.id, SplitPoint::At(at)),
        Boundary::Remove(_) if upper.first_hash != at => Ok(None),
        Boundary::Remove(_) => {
            let lower: &Shard = at
                .checked_sub(1)
                .and_then(|below| map.for_hash(below))
                .ok_or_else(|| moved(at))?;
            merge(map, &lower.id, &upper.id)
        }
    }
}

fn moved(at: u128) -> Error {
    Error::failed(format!("no open shard has the hash key {at} now"))
        .hint("the shards were changed meanwhile: run the command again")
}

impl Changer<'_> {
    /// Carries out `steps`, one after the other.
    ///
    /// # Errors
    /// Exit 2 for an on-demand stream, exit 1 when a step fails. Steps that were made stay.
    pub async fn move_boundaries(&self, steps: &[Boundary]) -> Result<StreamState> {
        let mut now = self.ready(self.deadline()).await?;
        for (number, &step) in (1..).zip(steps) {
            let map = shards::list(self.ctx, self.name, &Listing::Open).await?;
            if let Some(change) = change_of(&map, step)? {
                let place = format!(" (step {number} of {})", steps.len());
                now = self.change_shards_as(&change, &place).await?;
            }
        }
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Applies `steps` to `boundaries` as the service does, and refuses what it refuses.
    fn applied(boundaries: &[u128], steps: &[Boundary]) -> Vec<u128> {
        let mut all = boundaries.to_vec();
        for step in steps {
            match *step {
                Boundary::Add(at) => {
                    let index = all.partition_point(|other| *other < at);
                    let first = index.checked_sub(1).map_or(0, |before| all[before]);
                    let last = all.get(index).map_or(u128::MAX, |next| next - 1);
                    assert!(at > first + 1 && at < last, "split of {first}..={last} at {at}");
                    all.insert(index, at);
                }
                Boundary::Remove(at) => {
                    let index = all.binary_search(&at).expect("two shards meet here");
                    all.remove(index);
                }
            }
        }
        all
    }

    fn widths(boundaries: &[u128]) -> Vec<u128> {
        let ends = boundaries.iter().copied().chain([u128::MAX]);
        let starts = std::iter::once(0).chain(boundaries.iter().copied());
        starts.zip(ends).map(|(start, end)| end - start).collect()
    }

    #[test]
    fn a_half_that_was_split_is_evened_at_the_same_count() {
        let half = u128::MAX / 2 + 1;
        // A half and two quarters, to three thirds.
        let existing = [half, half + half / 2];
        let steps = even(&existing, 3);
        assert_eq!(steps.len(), 4);
        let after = applied(&existing, &steps);
        assert_eq!(after.len(), 2);
        assert_eq!(even(&after, 3), []);
        // To four quarters one split is enough.
        assert_eq!(even(&existing, 4), [Boundary::Add(half / 2)]);
        assert_eq!(even(&existing, 1).len(), 2);
        assert_eq!(even(&[], 1), []);
    }

    #[test]
    fn even_shards_stay() {
        for shards in [1u32, 2, 3, 5, 7, 64, 1_000, 10_000] {
            let all: Vec<u128> = (1..u128::from(shards)).map(|n| width(shards) * n).collect();
            assert_eq!(even(&all, shards), [], "{shards}");
        }
    }

    #[test]
    fn traffic_is_divided_where_it_is() {
        let half = u128::MAX / 2 + 1;
        // All traffic is in the first quarter.
        let keys: Vec<(u128, f64)> = (1..=100).map(|n| (half / 200 * n, 1.0)).collect();
        let plan = by_traffic(&[half], &keys);
        assert_eq!((plan.before, plan.after), (1.0, 0.5));
        assert_eq!(plan.steps.len(), 2);
        let after = applied(&[half], &plan.steps);
        assert_eq!(by_traffic(&after, &keys).steps, []);
    }

    #[test]
    fn one_hot_key_has_no_plan() {
        let half = u128::MAX / 2 + 1;
        let plan = by_traffic(&[half], &[(5, 1.0), (500, 97.0), (half + 9, 2.0)]);
        assert_eq!(plan.steps, []);
        assert!((plan.before - 0.98).abs() < 1e-9);
        assert_eq!(by_traffic(&[half], &[]).steps, []);
    }

    #[test]
    fn a_step_finds_its_shards_and_sees_what_was_made() {
        let shard = |number: u32, first_hash: u128, last_hash: u128| Shard {
            id: format!("shardId-{number:012}"),
            parent: None,
            adjacent_parent: None,
            first_hash,
            last_hash,
            first_sequence: "1".to_owned(),
            last_sequence: None,
        };
        let map = ShardMap::new(vec![shard(4, 0, 99), shard(7, 100, u128::MAX)]);
        assert_eq!(boundaries(&map), [100]);
        let split = change_of(&map, Boundary::Add(50)).unwrap();
        assert!(matches!(split, Some(ShardChange::Split { at: 50, .. })));
        assert_eq!(change_of(&map, Boundary::Add(100)).unwrap(), None);
        assert!(matches!(
            change_of(&map, Boundary::Remove(100)).unwrap(),
            Some(ShardChange::Merge { .. })
        ));
        assert_eq!(change_of(&map, Boundary::Remove(50)).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_stream_becomes_even_with_no_step_in_vain(
            existing in proptest::collection::btree_set(4u128..u128::MAX - 4, 0..40),
            shards in 1u32..60,
        ) {
            // SplitShard leaves at least two hash keys on each side.
            let mut last = 0;
            let existing: Vec<u128> = existing.into_iter().filter(|at| at - last >= 2 && { last = *at; true }).collect();
            let steps = even(&existing, shards);
            let after = applied(&existing, &steps);
            prop_assert_eq!(after.len() + 1, shards as usize);
            let most = existing.len().max(after.len()) + 1;
            prop_assert!((0..steps.len()).all(|made| applied(&existing, &steps[..made]).len() <= most));
            let even_width = width(shards);
            for found in widths(&after) {
                prop_assert!(found.abs_diff(even_width) <= even_width / 50 + u128::from(shards), "{found} of {even_width}");
            }
            let changed = after.iter().filter(|at| !existing.contains(at)).count()
                + existing.iter().filter(|at| !after.contains(at)).count();
            prop_assert_eq!(steps.len(), changed);
            // Each boundary that was near enough is kept, so no plan has fewer steps.
            for number in 1..u128::from(shards) {
                let at = even_width * number;
                let near = existing.iter().any(|other| other.abs_diff(at) <= even_width / 100);
                let kept = after.iter().any(|other| existing.contains(other) && other.abs_diff(at) <= even_width / 100);
                prop_assert_eq!(near, kept);
            }
            prop_assert_eq!(even(&after, shards), []);
        }

        #[test]
        fn a_run_that_was_stopped_ends_at_the_same_shards(
            existing in proptest::collection::btree_set(1_000u128..u128::MAX - 4, 0..20),
            shards in 1u32..20,
            stop in 0usize..60,
        ) {
            let existing: Vec<u128> = existing.into_iter().collect();
            let steps = even(&existing, shards);
            let whole = applied(&existing, &steps);
            let part = applied(&existing, &steps[..stop.min(steps.len())]);
            prop_assert_eq!(applied(&part, &even(&part, shards)), whole);
        }

        #[test]
        fn a_plan_for_traffic_is_legal_and_lowers_the_hottest(
            existing in proptest::collection::btree_set(4u128..1_000_000, 0..12),
            keys in proptest::collection::btree_map(0u128..1_000_000, 0u32..1_000, 0..80),
        ) {
            let mut last = 0;
            let existing: Vec<u128> = existing.into_iter().filter(|at| at - last >= 2 && { last = *at; true }).collect();
            let keys: Vec<(u128, f64)> = keys.into_iter().map(|(hash, weight)| (hash, f64::from(weight))).collect();
            let plan = by_traffic(&existing, &keys);
            let after = applied(&existing, &plan.steps);
            prop_assert_eq!(after.len(), existing.len());
            let total: f64 = keys.iter().map(|key| key.1).sum();
            let found = hottest(&after, &keys, total);
            prop_assert!((found - plan.after).abs() < 1e-9);
            prop_assert!(plan.steps.is_empty() || found <= plan.before * WORTH_IT + 1e-9);
        }
    }
}
