//! What `group list`, `group show` and `group reset` do: the positions of groups, without being a member.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::KeyType;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::sleep;

use super::member::new_leases;
use super::{Checkpoint, Lease, Leases, Table};
use crate::consume::{KinesisShards, ReadError, ShardInfo, ShardSource, Start};
use crate::context::Context;
use ground::error::{self, Error, Result};

/// Calls at once.
const AT_ONCE: usize = 16;
/// The KCL renews its leases at least every ten seconds (`failoverTimeMillis`).
const RENEWAL: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);

/// A group, by its lease table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Group {
    pub name: String,
    /// Shards that are not read to their end.
    pub shards: usize,
    /// Shards that are read to their end.
    pub ended: usize,
    /// The owners of leases. One that died is listed until its leases are taken.
    pub members: BTreeSet<String>,
}

/// The lease of a shard, as `group show` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct LeaseState {
    /// The id of the shard, or of stream and shard.
    pub shard_id: String,
    /// A sequence number, TRIM_HORIZON, LATEST, AT_TIMESTAMP or SHARD_END.
    pub checkpoint: String,
    /// Position within an aggregated record.
    pub sub_sequence_number: i64,
    /// The member that reads the shard; `None` if nobody does.
    pub owner: Option<String>,
    /// The age of the next record that is to be read, in milliseconds; 0 if there is none, and `None` if not known.
    pub behind_ms: Option<i64>,
}

/// All groups: the tables whose key is that of leases.
///
/// # Errors
/// Exit 1 when the tables cannot be listed or read.
pub async fn list(ctx: &Context) -> Result<Vec<Group>> {
    let mut names = Vec::new();
    let mut pages = ctx.dynamodb().list_tables().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| error::aws::failed("could not list the tables", e))?;
        names.extend(page.table_names.unwrap_or_default());
    }
    let mut groups = Vec::new();
    for names in names.chunks(AT_ONCE) {
        for group in join_all(names.iter().map(|name| group(ctx, name))).await {
            groups.extend(group?);
        }
    }
    Ok(groups)
}

async fn group(ctx: &Context, name: &str) -> Result<Option<Group>> {
    let table = match ctx.dynamodb().describe_table().table_name(name).send().await {
        Ok(answer) => answer.table,
        // Deleted since.
        Err(e) if e.code() == Some("ResourceNotFoundException") => return Ok(None),
        Err(e) => return Err(error::aws::failed(format!("could not describe table {name}"), e)),
    };
    let is_lease_table = table.is_some_and(|table| {
        let keys = table.key_schema();
        keys.len() == 1
            && keys[0].attribute_name() == super::lease::KEY
            && *keys[0].key_type() == KeyType::Hash
    });
    if !is_lease_table {
        return Ok(None);
    }
    let leases = Table::new(ctx, name).list().await?;
    let ended = leases.iter().filter(|lease| lease.is_ended()).count();
    Ok(Some(Group {
        name: name.to_owned(),
        shards: leases.len() - ended,
        ended,
        members: leases.into_iter().filter_map(|lease| lease.owner).collect(),
    }))
}

/// The leases of a group. `source` is its stream, if it is known: then the lag of each shard is found out.
///
/// # Errors
/// Exit 1 when the table cannot be read.
pub async fn show(table: &Table, source: Option<&KinesisShards>, now_ms: i64) -> Result<Vec<LeaseState>> {
    let leases = table.list().await?;
    let mut states = Vec::new();
    for leases in leases.chunks(AT_ONCE) {
        let behind = leases.iter().map(async |lease| match source {
            Some(source) if !lease.is_ended() => behind_ms(source, lease, now_ms).await,
            _ => None,
        });
        for (lease, behind_ms) in leases.iter().zip(join_all(behind).await) {
            states.push(LeaseState {
                shard_id: lease.key.clone(),
                checkpoint: lease.checkpoint.to_string(),
                sub_sequence_number: match lease.checkpoint {
                    Checkpoint::At { sub_sequence, .. } => sub_sequence,
                    _ => 0,
                },
                owner: lease.owner.clone(),
                behind_ms,
            });
        }
    }
    Ok(states)
}

async fn behind_ms(source: &KinesisShards, lease: &Lease, now_ms: i64) -> Option<i64> {
    let shard_id = Arc::from(lease.key.as_str());
    let iterator = source.iterator(&shard_id, &lease.start()).await.ok()?;
    let page = source.page(&shard_id, &iterator, 1).await.ok()?;
    let next = page.records.first().and_then(|record| record.arrival_ms);
    Some(match next {
        Some(arrival) => now_ms.saturating_sub(arrival).max(0),
        None => page.behind_ms.unwrap_or(0),
    })
}

/// The leases of a group after a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetPlan {
    pub put: Vec<Lease>,
    /// Keys of leases that are not needed.
    pub delete: Vec<String>,
}

/// Plans to set the group of `leases`, which reads `stream`, to `start`, all shards or those that `only` names.
///
/// # Errors
/// Exit 2 if the leases are of another stream, or a named shard does not exist.
pub fn reset_plan(
    stream: &str,
    shards: &[ShardInfo],
    leases: &[Lease],
    start: &Start,
    now_ms: i64,
    only: &[String],
) -> Result<ResetPlan> {
    let is_shard = |id: &str| shards.iter().any(|shard| shard.id == id);
    if !leases.is_empty() && !leases.iter().any(|lease| is_shard(&lease.key)) {
        return Err(Error::usage(
            "the group reads another stream: none of its leases belongs to a shard of this stream",
        )
        .hint("name the group's stream with --stream"));
    }
    let only: Vec<&str> = match start {
        Start::Sequence { shard_id, .. } => vec![shard_id.as_str()],
        _ => only.iter().map(String::as_str).collect(),
    };
    if let Some(absent) = only.iter().find(|id| !is_shard(id)) {
        return Err(Error::usage(format!("the stream has no shard {absent}"))
            .hint(format!("`streamctl describe {stream} --shards` lists them")));
    }
    let mut put = match (start, only.as_slice()) {
        (Start::Last(_), _) => {
            return Err(
                Error::usage("a group cannot be set to a number of records before the end")
                    .hint("use trim, latest, a time or seq:SHARD:NUMBER"),
            );
        }
        (_, []) => new_leases(shards, &[], start, now_ms),
        (_, only) => shards
            .iter()
            .filter(|shard| only.contains(&shard.id.as_str()))
            .map(|shard| one_lease(shard, start, now_ms))
            .collect(),
    };
    for new in &mut put {
        let old = leases.iter().find(|lease| lease.key == new.key);
        new.counter = old.map_or(0, |old| old.counter.wrapping_add(1));
    }
    let is_put = |key: &str| put.iter().any(|lease| lease.key == key);
    let unneeded = leases
        .iter()
        .filter(|lease| only.is_empty() && !is_put(&lease.key));
    Ok(ResetPlan {
        delete: unneeded.map(|lease| lease.key.clone()).collect(),
        put,
    })
}

fn one_lease(shard: &ShardInfo, start: &Start, now_ms: i64) -> Lease {
    let (checkpoint, start_ms) = match start {
        Start::Latest => (Checkpoint::Latest, Some(now_ms)),
        Start::Timestamp(ms) => (Checkpoint::AtTimestamp, Some(*ms)),
        Start::Sequence { number, .. } => {
            let number = number.clone();
            (
                Checkpoint::At {
                    number,
                    sub_sequence: 0,
                },
                None,
            )
        }
        Start::TrimHorizon | Start::Last(_) => (Checkpoint::TrimHorizon, None),
    };
    Lease {
        key: shard.id.clone(),
        checkpoint,
        start_ms,
        parents: shard.parents.clone(),
        hash_keys: shard.hash_keys,
        ..Lease::default()
    }
}

/// Makes the changes of a plan. Refuses while a member renews its leases: it would go on from where it was.
///
/// # Errors
/// Exit 1 while a member lives, or if the table cannot be written.
pub async fn write_reset(table: &Table, plan: &ResetPlan) -> Result<()> {
    check_quiet(table, RENEWAL).await?;
    for leases in plan.put.chunks(AT_ONCE) {
        for put in join_all(leases.iter().map(|lease| table.put(lease))).await {
            put?;
        }
    }
    for keys in plan.delete.chunks(AT_ONCE) {
        for deleted in join_all(keys.iter().map(|key| table.delete(key))).await {
            deleted?;
        }
    }
    Ok(())
}

/// Checks that no counter of a lease with an owner changes for as long as a renewal may take.
async fn check_quiet(leases: &dyn Leases, renewal: Duration) -> Result<()> {
    let owned = async || -> Result<Vec<(String, i64, String)>> {
        let owned = leases.list().await?.into_iter();
        Ok(owned
            .filter_map(|lease| Some((lease.key, lease.counter, lease.owner?)))
            .collect())
    };
    let before = owned().await?;
    if before.is_empty() {
        return Ok(());
    }
    let mut waited = Duration::ZERO;
    while waited < renewal {
        sleep(LOOK).await;
        waited += LOOK;
        let now = owned().await?;
        if let Some((_, _, owner)) = now.iter().find(|one| !before.contains(one)) {
            return Err(Error::failed(format!("{owner} reads for the group"))
                .hint("stop all members of the group, then run the command again"));
        }
    }
    Ok(())
}

/// The shards of the stream that `source` reads.
///
/// # Errors
/// Exit 1 when they cannot be listed.
pub async fn shards(source: &KinesisShards) -> Result<Vec<ShardInfo>> {
    source.shards().await.map_err(|failure| match failure {
        ReadError::Expired => Error::failed("could not list the shards"),
        ReadError::Throttled(error)
        | ReadError::Transient(error)
        | ReadError::Fatal(error)
        | ReadError::Damaged { error, .. } => error,
    })
}
