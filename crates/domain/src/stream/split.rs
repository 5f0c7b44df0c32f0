//! Splits one shard, or merges two: reshards where a uniform change of the shard count does not fit.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::change::Changer;
use super::shards::{self, Listing, Shard, ShardMap};
use super::state::{Mode, StreamState};
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

/// The split of shard `id` of `map` at `point`.
///
/// # Errors
/// Exit 2 when there is no such open shard, or `point` is not inside its hash key range.
pub fn split(map: &ShardMap, id: &str, point: SplitPoint) -> Result<ShardChange> {
    let shard = open_shard(map, id)?;
    let at = match point {
        SplitPoint::At(at) => at,
        SplitPoint::Half => shard.first_hash + (shard.last_hash - shard.first_hash) / 2 + 1,
    };
    // Both children need a hash key. Source: SplitShard, `NewStartingHashKey`, Kinesis API reference.
    if shard.first_hash == shard.last_hash {
        return Err(Error::usage(format!(
            "shard {id} has one hash key and cannot be split"
        )));
    }
    if at <= shard.first_hash || at > shard.last_hash {
        let (first, last) = (shard.first_hash, shard.last_hash);
        return Err(Error::usage(format!("hash key {at} does not divide shard {id}"))
            .hint(format!("choose a hash key from {} to {last}", first + 1)));
    }
    Ok(ShardChange::Split {
        shard: shard.id.clone(),
        at,
    })
}

/// The merge of the shards `a` and `b` of `map`, in either order.
///
/// # Errors
/// Exit 2 when one of them is not an open shard, or their hash key ranges are not adjacent.
pub fn merge(map: &ShardMap, a: &str, b: &str) -> Result<ShardChange> {
    let (a, b) = (open_shard(map, a)?, open_shard(map, b)?);
    let (lower, upper) = if a.first_hash <= b.first_hash {
        (a, b)
    } else {
        (b, a)
    };
    if lower.last_hash.checked_add(1) != Some(upper.first_hash) {
        let text = format!("shards {} and {} are not adjacent", a.id, b.id);
        return Err(Error::usage(text)
            .hint("merge two open shards whose hash key ranges touch: `streamctl describe --shards`"));
    }
    Ok(ShardChange::Merge {
        lower: lower.id.clone(),
        upper: upper.id.clone(),
    })
}

/// The open shard `id`; a number stands for the shard with that number.
fn open_shard<'a>(map: &'a ShardMap, id: &str) -> Result<&'a Shard> {
    let full = shards::full_shard_id(id).unwrap_or_else(|| id.to_owned());
    let shard = map.get(&full).ok_or_else(|| {
        Error::usage(format!("there is no shard {id}")).hint("`streamctl describe --shards` lists them")
    })?;
    if shard.is_open() {
        return Ok(shard);
    }
    let children: Vec<&str> = map.children_of(&full).map(|child| child.id.as_str()).collect();
    Err(
        Error::usage(format!("shard {full} is closed")).hint(match children.as_slice() {
            [] => "`streamctl describe --shards` lists the open shards".to_owned(),
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
        let deadline = self.deadline();
        let now = self.ready(deadline).await?;
        if now.mode == Mode::OnDemand {
            return Err(Error::usage(format!(
                "stream {} is on-demand: Kinesis sets its shards",
                self.name
            ))
            .hint(format!("`streamctl mode {} provisioned` switches it", self.name)));
        }
        let kinesis = self.ctx.kinesis();
        match change {
            ShardChange::Split { shard, at } => {
                self.step(format!("splitting {shard}"));
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
                self.step(format!("merging {lower} and {upper}"));
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
    }

    fn said<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        format!("{error} ({})", error.hint_text().unwrap_or("no hint"))
    }

    #[test]
    fn a_split_divides_the_range() {
        let at = |point| match split(&map(), "1", point).unwrap() {
            ShardChange::Split { shard, at } => (shard, at),
            other => panic!("{other:?}"),
        };
        assert_eq!(at(SplitPoint::Half), ("shardId-000000000001".to_owned(), 50));
        assert_eq!(at(SplitPoint::At(1)).1, 1);
        assert_eq!(at(SplitPoint::At(99)).1, 99);
    }

    #[test]
    fn what_cannot_be_split_or_merged_is_refused() {
        let map = map();
        insta::assert_snapshot!(
            [
                said(split(&map, "9", SplitPoint::Half)),
                said(split(&map, "0", SplitPoint::Half)),
                said(split(&map, "2", SplitPoint::Half)),
                said(split(&map, "1", SplitPoint::At(0))),
                said(split(&map, "1", SplitPoint::At(100))),
                said(merge(&map, "1", "3")),
                said(merge(&map, "1", "1")),
            ]
            .join("\n"),
            @r"
            there is no shard 9 (`streamctl describe --shards` lists them)
            shard shardId-000000000000 is closed (its hash keys belong to shardId-000000000001 now)
            shard 2 has one hash key and cannot be split (no hint)
            hash key 0 does not divide shard 1 (choose a hash key from 1 to 99)
            hash key 100 does not divide shard 1 (choose a hash key from 1 to 99)
            shards shardId-000000000001 and shardId-000000000003 are not adjacent (merge two open shards whose hash key ranges touch: `streamctl describe --shards`)
            shards shardId-000000000001 and shardId-000000000001 are not adjacent (merge two open shards whose hash key ranges touch: `streamctl describe --shards`)
            "
        );
    }

    #[test]
    fn a_merge_takes_neighbours_in_either_order() {
        let map = map();
        let merged = ShardChange::Merge {
            lower: "shardId-000000000001".to_owned(),
            upper: "shardId-000000000002".to_owned(),
        };
        assert_eq!(merge(&map, "1", "2").unwrap(), merged);
        assert_eq!(
            merge(&map, "shardId-000000000002", "shardId-000000000001").unwrap(),
            merged
        );
    }

    proptest::proptest! {
        #[test]
        fn the_middle_is_always_inside(first: u128, length in 1u128..) {
            let last = first.saturating_add(length);
            proptest::prop_assume!(last > first);
            let map = ShardMap::new(vec![shard(0, first, last, true)]);
            let ShardChange::Split { at, .. } = split(&map, "0", SplitPoint::Half).unwrap() else { unreachable!() };
            proptest::prop_assert!(at > first && at <= last);
        }
    }
}
