//! Getting from one shard count to another within the API's step rule.

use super::change::Changer;
use super::event::Events;
use super::state::StreamState;
use crate::context::Context;
use crate::error::{Error, Result};

/// The shard counts to pass through from `from` to `to`, the last being `to`; empty where they are equal.
/// Each step at most doubles and at least halves, and no plan has fewer steps.
pub fn plan(_from: u32, _to: u32) -> Vec<u32> {
    Vec::new()
}

/// As [`plan`], refused where it cannot be carried out.
///
/// # Errors
/// Exit 2 when `to` is out of range or needs more than [`STEPS_A_DAY`] steps.
pub fn checked_plan(from: u32, to: u32) -> Result<Vec<u32>> {
    Ok(plan(from, to))
}

/// UpdateShardCount calls per stream in a rolling 24 hours. Source: UpdateShardCount, Kinesis API reference.
pub const STEPS_A_DAY: usize = 10;

impl Changer<'_> {
    /// Changes the number of open shards to `to`, step by step; nothing is done where it is that already.
    ///
    /// # Errors
    /// Exit 2 for an on-demand stream or an impossible plan, exit 1 when the account's shard limit is in the way or a
    /// step fails. Running it again goes on from where it stopped.
    pub async fn set_shard_count(&self, _to: u32) -> Result<StreamState> {
        Err(Error::failed("not built yet"))
    }
}

/// As [`Changer::set_shard_count`].
///
/// # Errors
/// As [`Changer::set_shard_count`].
pub async fn set_shard_count(ctx: &Context, name: &str, to: u32, events: Events<'_>) -> Result<StreamState> {
    Changer::new(ctx, name, events).set_shard_count(to).await
}
