//! How many of the UpdateShardCount calls of 24 hours a stream has used.
//!
//! CloudTrail knows them exactly, about 15 minutes late. Without permission for it, the lineage of the shards is a hint:
//! each call makes children of shards. Splits and merges do so too, and one call can make more than one generation, so
//! the lineage says at most how many there were.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::reshard::STEPS_A_DAY;
use super::shards::{self, Listing, ShardMap};
use super::state::StreamState;
use super::trail;
use crate::context::Context;
use ground::error::aws::Class;
use ground::error::{Error, Result};

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The time of a reshard is found to within this.
const PRECISION: SignedDuration = SignedDuration::from_mins(2);
/// The most shards whose lineage is looked at more than once: a page of ListShards. Source: Kinesis API reference.
const ONE_PAGE: usize = 1_000;

/// Where the number of steps comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    #[serde(rename = "cloudtrail")]
    CloudTrail,
    /// An estimate: at most this many.
    Lineage,
}

/// The steps of the last 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "CallBudget")
)]
pub struct Budget {
    pub basis: Basis,
    pub used: usize,
    pub left: usize,
    /// When the first of the used steps is free again.
    pub next_free: Option<Timestamp>,
    /// When the newest was made.
    pub last: Option<Timestamp>,
}

impl Budget {
    fn new(basis: Basis, used: usize, first: Option<Timestamp>, last: Option<Timestamp>) -> Self {
        Self {
            basis,
            used,
            left: STEPS_A_DAY.saturating_sub(used),
            next_free: first.and_then(|first| first.checked_add(DAY).ok()),
            last,
        }
    }

    /// Refuses a plan that needs more steps than are left. `counts` are the shard counts to pass through. An estimate
    /// refuses nothing.
    ///
    /// # Errors
    /// Exit 1, with what can be reached now and when the next step is free.
    pub fn check(&self, counts: &[u32]) -> Result<()> {
        if self.basis == Basis::Lineage || counts.len() <= self.left {
            return Ok(());
        }
        let text = format!(
            "the plan needs {} steps, and the stream allows {} more in these 24 hours",
            counts.len(),
            self.left
        );
        let free = self.next_free.map_or_else(String::new, |time| {
            format!("the next step is free at {}", time.strftime("%Y-%m-%d %H:%M UTC"))
        });
        let reachable = self.left.checked_sub(1).and_then(|last| counts.get(last));
        let now = reachable.map_or_else(String::new, |count| format!("; `--to {count}` is possible now"));
        Err(Error::failed(text)
            .with_class(Class::Quota)
            .hint(format!("{free}{now}")))
    }
}

/// The steps of `stream` in the 24 hours before `now`.
///
/// # Errors
/// When the shards cannot be listed. What CloudTrail does not tell is no error.
pub async fn budget(ctx: &Context, stream: &StreamState, map: &ShardMap, now: Timestamp) -> Result<Budget> {
    let since = now.checked_sub(DAY).unwrap_or(Timestamp::UNIX_EPOCH);
    if let Some(known) = from_trail(ctx, stream).await {
        return Ok(known);
    }
    let (used, born) = count(ctx, stream, map, since).await?;
    times(ctx, stream, map, (since, now), used, &born).await
}

/// [`budget`], unless it takes many calls to find out: then `None`. The lineage gives times, which are estimates, only where no
/// step is left. For a stream of the credentials' account.
///
/// # Errors
/// When the shards cannot be listed.
pub async fn cheap_budget(ctx: &Context, stream: &StreamState, now: Timestamp) -> Result<Option<Budget>> {
    if let Some(known) = from_trail(ctx, stream).await {
        return Ok(Some(known));
    }
    if usize::try_from(stream.open_shards).is_ok_and(|open| open >= ONE_PAGE) {
        return Ok(None);
    }
    let since = now.checked_sub(DAY).unwrap_or(Timestamp::UNIX_EPOCH);
    let map = shards::list(ctx, &stream.name, &Listing::All).await?;
    let (used, born) = count(ctx, stream, &map, since).await?;
    match used < STEPS_A_DAY {
        true => Ok(Some(Budget::new(Basis::Lineage, used, None, None))),
        false => times(ctx, stream, &map, (since, now), used, &born)
            .await
            .map(Some),
    }
}

async fn from_trail(ctx: &Context, stream: &StreamState) -> Option<Budget> {
    let times = trail::last_day(ctx, "UpdateShardCount", &stream.arn).await?;
    let (first, last) = (times.first().copied(), times.last().copied());
    Some(Budget::new(Basis::CloudTrail, times.len(), first, last))
}

/// The steps since `since` by the lineage, and the shards that they made.
async fn count(
    ctx: &Context,
    stream: &StreamState,
    map: &ShardMap,
    since: Timestamp,
) -> Result<(usize, BTreeSet<String>)> {
    let born = match stream.created {
        Some(created) if created >= since => children(map, |_| true),
        _ => {
            let from = shards::list(ctx, &stream.name, &Listing::FromTimestamp(since)).await?;
            let at = shards::list(ctx, &stream.name, &Listing::AtTimestamp(since)).await?;
            children(&from, |id| at.get(id).is_none())
        }
    };
    Ok((generations(map, &born), born))
}

/// When the first and the last of the `used` steps in this range were made, which made the shards `born`.
async fn times(
    ctx: &Context,
    stream: &StreamState,
    map: &ShardMap,
    (since, now): (Timestamp, Timestamp),
    used: usize,
    born: &BTreeSet<String>,
) -> Result<Budget> {
    if used == 0 || map.all().len() > ONE_PAGE {
        return Ok(Budget::new(Basis::Lineage, used, None, None));
    }
    let start = stream.created.map_or(since, |created| created.max(since));
    let newest = born.last().cloned().unwrap_or_default();
    let first = first_time(start, now, async |at| {
        let open = shards::list(ctx, &stream.name, &Listing::AtTimestamp(at)).await?;
        Ok(open.all().iter().any(|shard| born.contains(&shard.id)))
    });
    let first = first.await?;
    let last = first_time(first, now, async |at| {
        let open = shards::list(ctx, &stream.name, &Listing::AtTimestamp(at)).await?;
        Ok(open.get(&newest).is_some())
    });
    let last = last.await?;
    Ok(Budget::new(Basis::Lineage, used, Some(first), Some(last)))
}

/// The shards of `map` that a reshard made, and that `is_new`. Ids increase with the time of creation.
fn children(map: &ShardMap, is_new: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let made = map.all().iter().filter(|shard| shard.parent.is_some());
    made.filter(|shard| is_new(&shard.id))
        .map(|shard| shard.id.clone())
        .collect()
}

/// The length of the longest line of descent within `born`.
fn generations(map: &ShardMap, born: &BTreeSet<String>) -> usize {
    let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
    // Parents have lower ids than their children, and `map` is sorted by id.
    for shard in map.all().iter().filter(|shard| born.contains(&shard.id)) {
        let of_parents = shard.parents().filter_map(|parent| depth.get(parent)).max();
        depth.insert(&shard.id, of_parents.copied().unwrap_or(0) + 1);
    }
    depth.into_values().max().unwrap_or(0)
}

/// The first time from `start` to `end`, to within [`PRECISION`], at which `has` holds; it holds at `end`, and from the
/// first time on.
async fn first_time(
    start: Timestamp,
    end: Timestamp,
    has: impl AsyncFn(Timestamp) -> Result<bool>,
) -> Result<Timestamp> {
    let (mut before, mut at) = (start, end);
    while at.duration_since(before) > PRECISION {
        let middle = before.checked_add(at.duration_since(before) / 2).unwrap_or(at);
        match has(middle).await? {
            true => at = middle,
            false => before = middle,
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::super::shards::Shard;
    use super::*;

    fn shard(number: u32, parents: &[u32]) -> Shard {
        let id = |n: u32| format!("shardId-{n:012}");
        Shard {
            id: id(number),
            parent: parents.first().copied().map(id),
            adjacent_parent: parents.get(1).copied().map(id),
            first_hash: 0,
            last_hash: u128::MAX,
            first_sequence: "1".to_owned(),
            last_sequence: None,
        }
    }

    #[test]
    fn each_generation_of_shards_is_a_step() {
        // 0 is older; it was split, its halves were merged, and the result was split.
        let map = ShardMap::new(vec![
            shard(0, &[]),
            shard(1, &[0]),
            shard(2, &[0]),
            shard(3, &[1, 2]),
            shard(4, &[3]),
            shard(5, &[3]),
        ]);
        assert_eq!(generations(&map, &children(&map, |_| true)), 3);
        let newer = children(&map, |id| id > "shardId-000000000002");
        assert_eq!(generations(&map, &newer), 2);
        assert_eq!(generations(&map, &BTreeSet::new()), 0);
        let budget = Budget::new(
            Basis::Lineage,
            3,
            Some("2026-11-28T12:00:00Z".parse().unwrap()),
            None,
        );
        assert_eq!(budget.left, 7);
        assert_eq!(budget.next_free.unwrap().to_string(), "2026-11-29T12:00:00Z");
        assert_eq!(Budget::new(Basis::Lineage, 14, None, None).left, 0);
        budget.check(&[2; 9]).unwrap();
    }

    #[test]
    fn a_plan_beyond_the_budget_says_what_can_be_reached() {
        let first = "2026-11-28T12:00:00Z".parse().ok();
        let budget = Budget::new(Basis::CloudTrail, 8, first, first);
        budget.check(&[8, 16]).unwrap();
        let error = budget.check(&[8, 16, 20]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the plan needs 3 steps, and the stream allows 2 more in these 24 hours"
        );
        assert_eq!(
            error.hint_text(),
            Some("the next step is free at 2026-11-29 12:00 UTC; `--to 16` is possible now")
        );
    }

    #[tokio::test]
    async fn a_time_is_found_in_few_looks() {
        let start: Timestamp = "2026-11-28T00:00:00Z".parse().unwrap();
        let wanted = start + SignedDuration::from_mins(777);
        let looks = std::cell::Cell::new(0);
        let found = first_time(start, start + DAY, async |at| {
            looks.set(looks.get() + 1);
            Ok(at >= wanted)
        });
        let found = found.await.unwrap();
        assert!(found >= wanted && found.duration_since(wanted) <= PRECISION);
        assert!(looks.get() <= 10, "{looks:?}");
    }
}
