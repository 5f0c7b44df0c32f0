//! Splits one shard, or merges two: reshards where a uniform change of the shard count does not fit.

use std::ops::RangeInclusive;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::change::Changer;
use super::shards::{self, Listing, Shard, ShardMap};
use super::state::StreamState;
use ground::error::{Error, Result};

/// A change of one or two shards. Made by [`split`] and [`merge`], which check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardChange {
    Split {
        shard: String,
        /// The first hash key of the second child.
        at: u128,
    },
    Merge {
        lower: String,
        upper: String,
    },
}

/// Where to split a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitPoint {
    /// In the middle of its hash key range.
    Half,
    /// So that the second child begins at this hash key.
    At(u128),
}

/// The hash keys at which `shard` can be split: both children need at least two. `None` if it has too few.
/// Source: the answer of SplitShard to others, "both greater than one plus the shard's StartingHashKey and less than the
/// shard's EndingHashKey".
pub fn split_range(shard: &Shard) -> Option<RangeInclusive<u128>> {
    let (first, last) = (shard.first_hash.checked_add(2)?, shard.last_hash.checked_sub(1)?);
    (first <= last).then_some(first..=last)
}

/// The split of shard `id` of `map` at `point`; `None` if it was made already, by a run that was interrupted.
///
/// # Errors
/// Exit 2 when there is no such open shard, or `point` is not inside its hash key range.
pub fn split(map: &ShardMap, id: &str, point: SplitPoint) -> Result<Option<ShardChange>> {
    let shard = listed(map, id)?;
    let range = split_range(shard).ok_or_else(|| {
        Error::usage(format!("shard {id} has too few hash keys to be split")).hint(format!(
            "merge it with a neighbour: `streamctl describe {} --shards` lists them",
            map.stream()
        ))
    })?;
    let at = match point {
        SplitPoint::At(at) => at,
        SplitPoint::Half => shard.first_hash + (shard.last_hash - shard.first_hash) / 2 + 1,
    };
    if !range.contains(&at) {
        let (first, last) = range.into_inner();
        return Err(Error::usage(format!("hash key {at} does not divide shard {id}"))
            .hint(format!("choose a hash key from {first} to {last}")));
    }
    if split_made(map, shard) == Some(at) {
        return Ok(None);
    }
    check_open(map, shard)?;
    Ok(Some(ShardChange::Split {
        shard: shard.id.clone(),
        at,
    }))
}

/// The hash key at which `shard` was split; `None` if it was not.
pub fn split_made(map: &ShardMap, shard: &Shard) -> Option<u128> {
    let children: Vec<&Shard> = map.children_of(&shard.id).collect();
    match children.as_slice() {
        [a, b] => Some(a.first_hash.max(b.first_hash)),
        _ => None,
    }
}

/// The merge of the shards `a` and `b` of `map`, in either order; `None` if it was made already, by a run that was
/// interrupted.
///
/// # Errors
/// Exit 2 when one of them is not an open shard, or their hash key ranges are not adjacent.
pub fn merge(map: &ShardMap, a: &str, b: &str) -> Result<Option<ShardChange>> {
    let (a, b) = (listed(map, a)?, listed(map, b)?);
    let made = map
        .children_of(&a.id)
        .any(|child| a.id != b.id && child.parents().any(|parent| parent == b.id));
    if made {
        return Ok(None);
    }
    check_open(map, a)?;
    check_open(map, b)?;
    let (lower, upper) = if a.first_hash <= b.first_hash {
        (a, b)
    } else {
        (b, a)
    };
    if lower.last_hash.checked_add(1) != Some(upper.first_hash) {
        let text = format!("shards {} and {} are not adjacent", a.id, b.id);
        return Err(Error::usage(text).hint(format!(
            "merge two open shards whose hash key ranges touch: `streamctl describe {} --shards`",
            map.stream()
        )));
    }
    Ok(Some(ShardChange::Merge {
        lower: lower.id.clone(),
        upper: upper.id.clone(),
    }))
}

/// The open shard `id`; a number stands for the shard with that number.
///
/// # Errors
/// Exit 2 when there is no such open shard.
pub fn open_shard<'a>(map: &'a ShardMap, id: &str) -> Result<&'a Shard> {
    let shard = listed(map, id)?;
    check_open(map, shard)?;
    Ok(shard)
}

/// The shard `id`, open or closed; a number stands for the shard with that number.
///
/// # Errors
/// Exit 2 when there is no such shard.
pub fn listed<'a>(map: &'a ShardMap, id: &str) -> Result<&'a Shard> {
    let full = shards::full_shard_id(id).unwrap_or_else(|| id.to_owned());
    map.get(&full).ok_or_else(|| {
        Error::usage(format!("there is no shard {id}")).hint(format!(
            "`streamctl describe {} --shards` lists them",
            map.stream()
        ))
    })
}

fn check_open(map: &ShardMap, shard: &Shard) -> Result<()> {
    if shard.is_open() {
        return Ok(());
    }
    let children: Vec<&str> = map
        .children_of(&shard.id)
        .map(|child| child.id.as_str())
        .collect();
    Err(
        Error::usage(format!("shard {} is closed", shard.id)).hint(match children.as_slice() {
            [] => format!(
                "`streamctl describe {} --shards` lists the open shards",
                map.stream()
            ),
            children => format!("its hash keys belong to {} now", children.join(" and ")),
        }),
    )
}

impl Changer<'_> {
    /// Makes `change` and waits until its shards are open. A change that was made already, by an earlier attempt whose
    /// response was lost, is not made again.
    ///
    /// # Errors
    /// Exit 2 for an on-demand stream, exit 1 when the call fails.
    pub async fn change_shards(&self, change: &ShardChange) -> Result<StreamState> {
        self.change_shards_as(change, "").await
    }

    /// As [`Changer::change_shards`]; `place` follows what progress says, such as " (step 1 of 3)".
    pub(super) async fn change_shards_as(&self, change: &ShardChange, place: &str) -> Result<StreamState> {
        let now = self.ready(self.deadline()).await?;
        self.require_provisioned(&now)?;
        let kinesis = self.ctx.kinesis_once();
        match change {
            ShardChange::Split { shard, at } => {
                self.step(format!("splitting {shard}{place}"));
                let what = format!("split shard {shard} of");
                let send = || {
                    let request = kinesis.split_shard().stream_name(self.name);
                    request
                        .shard_to_split(shard)
                        .new_starting_hash_key(at.to_string())
                        .send()
                };
                self.made(now.open_shards + 1, &what, send, &[shard]).await
            }
            ShardChange::Merge { lower, upper } => {
                self.step(format!("merging {lower} and {upper}{place}"));
                let what = format!("merge shards {lower} and {upper} of");
                let send = || {
                    let request = kinesis.merge_shards().stream_name(self.name);
                    request
                        .shard_to_merge(lower)
                        .adjacent_shard_to_merge(upper)
                        .send()
                };
                self.made(now.open_shards.saturating_sub(1), &what, send, &[lower, upper])
                    .await
            }
        }
    }

    /// Calls until accepted, then waits for `open` open shards. After a refusal it looks whether `parents` are closed: the
    /// change was made by an earlier attempt.
    async fn made<T, E, Sending>(
        &self,
        open: u32,
        what: &str,
        send: impl FnMut() -> Sending,
        parents: &[&String],
    ) -> Result<StreamState>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let deadline = self.deadline();
        match self.call(deadline, what, send).await {
            Ok(_) => {
                self.shown(deadline, "the number of shards", &|s| s.open_shards == open)
                    .await
            }
            Err(refused) => {
                let map = shards::list(self.ctx, self.name, &Listing::All).await?;
                let is_closed = |id: &&String| map.get(id).is_some_and(|shard| !shard.is_open());
                match parents.iter().all(is_closed) {
                    true => self.ready(deadline).await,
                    false => Err(refused),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u32, first_hash: u128, last_hash: u128, open: bool) -> Shard {
        Shard {
            id: format!("shardId-{number:012}"),
            parent: None,
            adjacent_parent: None,
            first_hash,
            last_hash,
            first_sequence: "1".to_owned(),
            last_sequence: (!open).then(|| "2".to_owned()),
        }
    }

    fn map() -> ShardMap {
        let child = Shard {
            parent: Some("shardId-000000000000".to_owned()),
            ..shard(1, 0, 99, true)
        };
        ShardMap::new(vec![
            shard(0, 0, 99, false),
            child,
            shard(2, 100, 100, true),
            shard(3, 101, u128::MAX, true),
        ])
        .of("orders")
    }

    fn said<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        format!("{error} ({})", error.hint_text().unwrap_or("no hint"))
    }

    #[test]
    fn a_split_divides_the_range() {
        let at = |point| match split(&map(), "1", point).unwrap() {
            Some(ShardChange::Split { shard, at }) => (shard, at),
            other => panic!("{other:?}"),
        };
        assert_eq!(at(SplitPoint::Half), ("shardId-000000000001".to_owned(), 50));
        assert_eq!(at(SplitPoint::At(2)).1, 2);
        assert_eq!(at(SplitPoint::At(98)).1, 98);
    }

    #[test]
    fn what_cannot_be_split_or_merged_is_refused() {
        let map = map();
        insta::assert_snapshot!(
            [
                said(split(&map, "9", SplitPoint::Half)),
                said(split(&map, "0", SplitPoint::Half)),
                said(split(&map, "2", SplitPoint::Half)),
                said(split(&map, "1", SplitPoint::At(1))),
                said(split(&map, "1", SplitPoint::At(99))),
                said(merge(&map, "1", "3")),
                said(merge(&map, "1", "1")),
            ]
            .join("\n"),
            @r"
            there is no shard 9 (`streamctl describe orders --shards` lists them)
            shard shardId-000000000000 is closed (its hash keys belong to shardId-000000000001 now)
            shard 2 has too few hash keys to be split (merge it with a neighbour: `streamctl describe orders --shards` lists them)
            hash key 1 does not divide shard 1 (choose a hash key from 2 to 98)
            hash key 99 does not divide shard 1 (choose a hash key from 2 to 98)
            shards shardId-000000000001 and shardId-000000000003 are not adjacent (merge two open shards whose hash key ranges touch: `streamctl describe orders --shards`)
            shards shardId-000000000001 and shardId-000000000001 are not adjacent (merge two open shards whose hash key ranges touch: `streamctl describe orders --shards`)
            "
        );
    }

    #[test]
    fn a_merge_takes_neighbours_in_either_order() {
        let map = map();
        let merged = Some(ShardChange::Merge {
            lower: "shardId-000000000001".to_owned(),
            upper: "shardId-000000000002".to_owned(),
        });
        assert_eq!(merge(&map, "1", "2").unwrap(), merged);
        assert_eq!(
            merge(&map, "shardId-000000000002", "shardId-000000000001").unwrap(),
            merged
        );
    }

    #[test]
    fn what_was_made_already_is_not_made_again() {
        let of = |parents: [Option<u32>; 2], shard: Shard| Shard {
            parent: parents[0].map(|n| format!("shardId-{n:012}")),
            adjacent_parent: parents[1].map(|n| format!("shardId-{n:012}")),
            ..shard
        };
        let map = ShardMap::new(vec![
            shard(0, 0, 99, false),
            of([Some(0), None], shard(1, 0, 49, false)),
            of([Some(0), None], shard(2, 50, 99, false)),
            of([Some(1), Some(2)], shard(3, 0, 99, true)),
        ]);
        assert_eq!(split(&map, "0", SplitPoint::Half).unwrap(), None);
        assert_eq!(split(&map, "0", SplitPoint::At(50)).unwrap(), None);
        assert!(split(&map, "0", SplitPoint::At(51)).is_err());
        assert_eq!(merge(&map, "2", "1").unwrap(), None);
        assert!(merge(&map, "1", "1").is_err() && merge(&map, "1", "3").is_err());
    }

    proptest::proptest! {
        #[test]
        fn the_middle_is_always_inside(first: u128, length in 3u128..) {
            let last = first.saturating_add(length);
            proptest::prop_assume!(last - first >= 3);
            let map = ShardMap::new(vec![shard(0, first, last, true)]);
            let made = split(&map, "0", SplitPoint::Half).unwrap();
            let Some(ShardChange::Split { at, .. }) = made else { unreachable!() };
            proptest::prop_assert!(at > first + 1 && at < last);
        }
    }
}
