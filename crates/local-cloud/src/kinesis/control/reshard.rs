//! SplitShard, MergeShards, UpdateShardCount.
//!
//! When the call returns, the children exist and the parents are closed. The stream then stays UPDATING for the
//! configured time.

use std::sync::Arc;

use super::lifecycle::{MAX_SHARDS, admit_shards};
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::hash_key::HashKey;
use crate::kinesis::model::input::{self, Target, Targeted, text};
use crate::kinesis::model::output;
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::lineage::{self, ShardMeta};
use crate::kinesis::stream::meta::{Mode, StreamMeta, count_in_day};

/// UpdateShardCount calls allowed in 24 hours.
const UPDATES_PER_DAY: usize = 10;

pub fn split_shard(engine: &Engine, context: &Context, input: input::SplitShard) -> Result<()> {
    let (stream, open) = find(engine, context, input.target())?;
    let due_ms = engine.due(context.now_ms);
    let wanted = text(&input.new_starting_hash_key);
    stream.change_active(context.now_ms, |meta| {
        meta.require_provisioned()?;
        let shard = open_shard(meta, text(&input.shard_to_split))?;
        admit_shards(&meta.account, &meta.region, open, 1)?;
        let at = HashKey::parse(wanted).filter(|at| at.0 > shard.start.saturating_add(1) && at.0 < shard.end);
        let Some(at) = at else {
            return Err(ApiError::invalid_argument(format!(
                "NewStartingHashKey {wanted} used in SplitShard() on shard {} in stream {} under account {} is not \
                 both greater than one plus the shard's StartingHashKey {} and less than the shard's EndingHashKey {}.",
                shard.id(),
                meta.name,
                meta.account,
                shard.start,
                shard.end
            )));
        };
        let index = shard.index;
        lineage::split(&mut meta.shards, index, at.0, context.now_ms);
        meta.update_until(due_ms);
        Ok(())
    })
}

pub fn merge_shards(engine: &Engine, context: &Context, input: input::MergeShards) -> Result<()> {
    let (stream, _) = find(engine, context, input.target())?;
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        meta.require_provisioned()?;
        let left = open_shard(meta, text(&input.shard_to_merge))?.clone();
        let right = open_shard(meta, text(&input.adjacent_shard_to_merge))?.clone();
        let merged = if left.end.checked_add(1) == Some(right.start) {
            lineage::merge(&mut meta.shards, left.index, right.index, context.now_ms)
        } else {
            // A request may name the shards in either order. The first is the parent, the second the adjacent parent.
            lineage::merge(&mut meta.shards, right.index, left.index, context.now_ms) && {
                if let Some(child) = meta.shards.last_mut() {
                    child.parent = Some(left.index);
                    child.adjacent_parent = Some(right.index);
                }
                true
            }
        };
        if !merged {
            return Err(ApiError::invalid_argument(format!(
                "Shards {} and {} in stream {} under account {} are not an adjacent pair of shards eligible for merging",
                left.id(),
                right.id(),
                meta.name,
                meta.account
            )));
        }
        meta.update_until(due_ms);
        Ok(())
    })
}

pub fn update_shard_count(
    engine: &Engine,
    context: &Context,
    input: input::UpdateShardCount,
) -> Result<output::UpdateShardCount> {
    let (stream, open) = find(engine, context, input.target())?;
    let due_ms = engine.due(context.now_ms);
    let target = input.target_shard_count.unwrap_or_default();
    stream.change_active(context.now_ms, |meta| {
        meta.require_provisioned()?;
        let current = meta.open_shards().count() as i64;
        check_step(current, target)?;
        admit_shards(&meta.account, &meta.region, open, (target - current).max(0))?;
        let (name, account) = (meta.name.clone(), meta.account.clone());
        count_in_day(&mut meta.reshards_ms, context.now_ms, UPDATES_PER_DAY, || {
            format!(
                "Stream {name} under account {account} has already been scaled {UPDATES_PER_DAY} times in the last 24 \
                 hours."
            )
        })?;
        lineage::rescale(&mut meta.shards, target as u32, context.now_ms);
        meta.update_until(due_ms);
        Ok(output::UpdateShardCount { name: meta.name.clone(), current, target, arn: meta.arn() })
    })
}

/// Default limits of UpdateShardCount. Source: UpdateShardCount, Kinesis API reference. The wording is an observed
/// answer of AWS.
fn check_step(current: i64, target: i64) -> Result<()> {
    let refuse = |bound: &str| {
        Err(ApiError::limit_exceeded(format!(
            "UpdateShardCount cannot scale {bound}. Current open shard count: {current} Target shard count: {target}"
        )))
    };
    if target > MAX_SHARDS {
        return refuse(&format!("a stream beyond {MAX_SHARDS} shards"));
    }
    if target > current * 2 {
        return refuse("up over double your current open shard count");
    }
    if target * 2 < current {
        return refuse("down below half your current open shard count");
    }
    Ok(())
}

/// The stream, and the number of open shards in the account's provisioned streams.
fn find(engine: &Engine, context: &Context, target: Target<'_>) -> Result<(Arc<Stream>, i64)> {
    let stream = engine.catalog.find(&context.caller, target, context.now_ms)?;
    let all = engine.catalog.list(&context.caller, context.now_ms);
    let views = all
        .iter()
        .map(|s| s.view(context.now_ms))
        .filter(|v| v.meta.mode == Mode::Provisioned);
    Ok((stream, views.map(|v| v.open_count() as i64).sum()))
}

fn open_shard<'a>(meta: &'a StreamMeta, id: &str) -> Result<&'a ShardMeta> {
    let found = lineage::shard_index(id).and_then(|index| meta.shards.get(index as usize));
    let shard = found.ok_or_else(|| ApiError::could_not_find_shard(id, &meta.name, &meta.account))?;
    if shard.closed_ms.is_some() {
        return Err(ApiError::invalid_argument(format!(
            "Shard {} in stream {} under account {} has already been merged or split, and thus is not eligible for \
             merging or splitting.",
            shard.id(),
            meta.name,
            meta.account
        )));
    }
    Ok(shard)
}
