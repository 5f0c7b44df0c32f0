//! Changes the shard count within the API's limits for one step.
//!
//! UpdateShardCount at most doubles and at least halves the number of open shards, and is accepted ten times in a
//! rolling 24 hours (UpdateShardCount, Kinesis API reference).

use std::time::Duration;

use aws_sdk_kinesis::types as sdk;
use serde::Serialize;

use super::change::{Changer, as_i32, check_shards};
use super::event::{Event, Events};
use super::quota;
pub use super::scale::Scale;
use super::split::ShardChange;
use super::state::{Mode, StreamState};
use crate::context::Context;
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

/// UpdateShardCount calls per stream in a rolling 24 hours.
pub const STEPS_A_DAY: usize = 10;

/// Additional timeout of a step for each shard it adds or removes.
const PATIENCE_PER_SHARD: Duration = Duration::from_secs(10);

/// The shard counts to pass through from `from` to `to`, ending with `to`; empty if they are equal. Each step at most
/// doubles or halves, and the number of steps is minimal. A count of 0 is treated as 1.
pub fn plan(from: u32, to: u32) -> Vec<u32> {
    let (mut at, to) = (from.max(1), to.max(1));
    let mut steps = Vec::new();
    while at != to {
        at = next(at, to);
        steps.push(at);
    }
    steps
}

/// The count after one step from `at` to `to`: as near to `to` as one step leads.
fn next(at: u32, to: u32) -> u32 {
    if to > at {
        to.min(at.saturating_mul(2))
    } else {
        to.max(at.div_ceil(2))
    }
}

/// As [`plan`], but an error if it cannot be carried out.
///
/// # Errors
/// Exit 2 when `to` is out of range or needs more than [`STEPS_A_DAY`] steps.
pub fn checked_plan(from: u32, to: u32) -> Result<Vec<u32>> {
    check_shards(to)?;
    let steps = plan(from, to);
    if steps.len() <= STEPS_A_DAY {
        return Ok(steps);
    }
    let reachable = steps[STEPS_A_DAY - 1];
    Err(Error::usage(format!(
        "from {from} to {to} shards takes {} steps, and a stream takes {STEPS_A_DAY} in 24 hours",
        steps.len()
    ))
    .hint(format!(
        "reshard to {reachable} shards today and continue tomorrow, or create a new stream with {to} shards"
    )))
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "ReshardStep")
)]
pub struct Step {
    #[serde(flatten)]
    pub action: Action,
    /// Open shards after it.
    pub shards: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "ReshardAction")
)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// UpdateShardCount.
    Resize { from: u32 },
    /// SplitShard. The hash key is text, since many JSON readers round numbers this long.
    Split { shard: String, hash_key: String },
    /// MergeShards.
    Merge { lower: String, upper: String },
    /// SplitShard of the shard that has this hash key by then, so that a new shard begins at it.
    AddBoundary { hash_key: String },
    /// MergeShards of the two shards that meet at this hash key by then.
    RemoveBoundary { hash_key: String },
}

impl Step {
    /// The step that makes `change` of a stream with `open` open shards.
    pub fn of(change: &ShardChange, open: u32) -> Self {
        match change.clone() {
            ShardChange::Split { shard, at } => Self {
                action: Action::Split {
                    shard,
                    hash_key: at.to_string(),
                },
                shards: open + 1,
            },
            ShardChange::Merge { lower, upper } => Self {
                action: Action::Merge { lower, upper },
                shards: open.saturating_sub(1),
            },
        }
    }

    /// What it does, such as `2 → 4`.
    pub fn words(&self) -> String {
        match &self.action {
            Action::Resize { from } => format!("{from} → {}", self.shards),
            Action::Split { shard, hash_key } => format!("split {shard} at {hash_key}"),
            Action::Merge { lower, upper } => format!("merge {lower} and {upper}"),
            Action::AddBoundary { hash_key } => format!("split at {hash_key}"),
            Action::RemoveBoundary { hash_key } => format!("merge at {hash_key}"),
        }
    }
}

/// The steps of the plan `counts` from `from` shards.
pub fn steps_of(from: u32, counts: &[u32]) -> Vec<Step> {
    let before = std::iter::once(from).chain(counts.iter().copied());
    before
        .zip(counts)
        .map(|(from, &shards)| Step {
            action: Action::Resize { from },
            shards,
        })
        .collect()
}

/// How long a plan takes on AWS. An estimate: UpdateShardCount "could take a few minutes to complete", and longer where the
/// target is not a multiple of 25 % (Kinesis API reference). A split or a merge is one such change of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Expected {
    pub least_seconds: u64,
    pub most_seconds: u64,
}

impl Expected {
    /// The time for `steps`; `None` if there are none.
    pub fn of(steps: &[Step]) -> Option<Self> {
        let time = |step: &Step| match step.action {
            Action::Resize { from } if (step.shards * 4).is_multiple_of(from.max(1)) => (60, 300),
            Action::Resize { .. } => (60, 600),
            _ => (10, 60),
        };
        let times = steps.iter().map(time);
        let sum = times.reduce(|sum: (u64, u64), time| (sum.0 + time.0, sum.1 + time.1))?;
        Some(Self {
            least_seconds: sum.0,
            most_seconds: sum.1,
        })
    }
}

/// Rejects a plan that would exceed the account's shard limit.
fn check_account_limit(from: u32, steps: &[u32], account: AccountShards) -> Result<()> {
    let AccountShards { open, limit } = account;
    let peak = steps.iter().copied().max().unwrap_or(from);
    let added = peak.saturating_sub(from);
    if added == 0 || open.saturating_add(added) <= limit {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{added} more shards would exceed the account's limit of {limit} in this region ({open} are open)"
    ))
    .hint(quota::MORE_SHARDS))
}

impl Changer<'_> {
    /// Waits until the stream accepts a change: until one that is in progress is complete.
    ///
    /// # Errors
    /// Exit 1 when it does not become ACTIVE.
    pub async fn wait_until_ready(&self) -> Result<StreamState> {
        self.ready(self.deadline()).await
    }

    /// Changes the number of open shards to `to`, step by step; does nothing if it is equal. Each step has the full
    /// timeout, and more for each shard it changes.
    ///
    /// # Errors
    /// Exit 2 for an on-demand stream or an impossible plan, exit 1 when the account's shard limit is reached or a step
    /// fails. A second run continues where the first stopped.
    pub async fn set_shard_count(&self, to: u32) -> Result<StreamState> {
        check_shards(to)?;
        let mut now = self.ready(self.deadline()).await?;
        self.require_provisioned(&now)?;
        let steps = checked_plan(now.open_shards, to)?;
        if steps.is_empty() {
            return Ok(now);
        }
        self.check_limits(now.open_shards, &steps).await?;
        for (index, &target) in steps.iter().enumerate() {
            let from = now.open_shards;
            let (step, of) = (index + 1, steps.len());
            (self.events)(Event::Resharding {
                from,
                to: target,
                step,
                of,
            });
            let deadline = self.deadline() + PATIENCE_PER_SHARD * target.abs_diff(from);
            let what = format!("reshard from {from} to {target} (step {step} of {of})");
            let kinesis = self.ctx.kinesis_once();
            let send = || {
                let request = kinesis.update_shard_count().stream_name(self.name);
                request
                    .target_shard_count(as_i32(target))
                    .scaling_type(sdk::ScalingType::UniformScaling)
                    .send()
            };
            let is_set = |s: &StreamState| s.open_shards == target;
            now = self
                .call_until(deadline, &what, send, "the shard count", &is_set)
                .await
                .map_err(|error| quota::RESHARDS.explain(error))?;
        }
        Ok(now)
    }

    pub(super) fn require_provisioned(&self, state: &StreamState) -> Result<()> {
        if state.mode == Mode::Provisioned {
            return Ok(());
        }
        let text = format!("stream {} is on-demand: Kinesis sets its shards", self.name);
        Err(Error::usage(text).hint(format!("`streamctl mode {} provisioned` switches it", self.name)))
    }

    /// Checks the account's limit before the first step, so that a plan does not stop half way.
    async fn check_limits(&self, from: u32, steps: &[u32]) -> Result<()> {
        match account_shards(self.ctx).await? {
            Some(account) => check_account_limit(from, steps, account),
            // The service itself enforces the limit.
            None => Ok(()),
        }
    }
}

/// Shards of the account in the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct AccountShards {
    /// Open shards of all provisioned streams.
    pub open: u32,
    pub limit: u32,
}

/// DescribeLimits; `None` where it cannot be asked: few policies allow this call, an account has one a second, and some
/// endpoints do not have it.
///
/// # Errors
/// When the call fails for another reason.
pub async fn account_shards(ctx: &Context) -> Result<Option<AccountShards>> {
    let count = |n: i32| u32::try_from(n).unwrap_or(0);
    match ctx.kinesis_once().describe_limits().send().await {
        Ok(limits) => Ok(Some(AccountShards {
            open: count(limits.open_shard_count),
            limit: count(limits.shard_limit),
        })),
        Err(e) => match error::aws::class(&e) {
            Class::Denied | Class::Throttle | Class::Refused => Ok(None),
            class if class.is_outage() => Ok(None),
            _ => Err(error::aws::failed("could not read the account's shard limit", e)),
        },
    }
}

/// As [`Changer::set_shard_count`].
///
/// # Errors
/// As [`Changer::set_shard_count`].
pub async fn set_shard_count(ctx: &Context, name: &str, to: u32, events: Events<'_>) -> Result<StreamState> {
    Changer::new(ctx, name, events).set_shard_count(to).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_plans() {
        assert_eq!(plan(1, 5), [2, 4, 5]);
        assert_eq!(plan(10, 1), [5, 3, 2, 1]);
        assert_eq!(plan(2, 4), [4]);
        assert_eq!(plan(4, 3), [3]);
        assert_eq!(plan(7, 7), [0u32; 0]);
    }

    #[test]
    fn more_than_a_day_of_steps_is_refused() {
        assert_eq!(checked_plan(1, 1_024).unwrap().len(), 10);
        let error = checked_plan(1, 1_025).unwrap_err();
        assert_eq!(
            error.to_string(),
            "from 1 to 1025 shards takes 11 steps, and a stream takes 10 in 24 hours"
        );
        assert_eq!(
            error.hint_text(),
            Some(
                "reshard to 1024 shards today and continue tomorrow, or create a new stream with 1025 shards"
            )
        );
        assert!(checked_plan(1, 0).is_err() && checked_plan(1, 10_001).is_err());
    }

    #[test]
    fn a_step_that_is_no_quarter_takes_longer() {
        let expected = |counts: &[u32]| {
            Expected::of(&steps_of(4, counts)).map(|time| (time.least_seconds, time.most_seconds))
        };
        assert_eq!(expected(&[8, 10]), Some((120, 600)));
        assert_eq!(expected(&[7]), Some((60, 300)));
        assert_eq!(expected(&[8, 11]), Some((120, 900)));
        assert_eq!(expected(&[]), None);
    }

    #[test]
    fn the_limit_of_the_account_counts_what_is_added() {
        let account = |open| AccountShards { open, limit: 500 };
        check_account_limit(4, &[8, 10], account(494)).unwrap();
        assert!(check_account_limit(4, &[8, 10], account(495)).is_err());
        // A decrease is fine even over the limit.
        check_account_limit(4, &[2], account(600)).unwrap();
    }

    fn legal(from: u32, to: u32) -> bool {
        to >= 1 && to <= from * 2 && to * 2 >= from
    }

    /// Every plan between counts up to 10,000 consists of legal steps and has the fewest possible.
    ///
    /// The counts from which `to` can be reached in at most k steps are an interval: a step leads from `at` into
    /// `first..=last` exactly if `at` is in `ceil(first / 2)..=2 * last`. A plan has the fewest steps if each of its steps
    /// leads from the counts that need k steps to those that need k - 1. `next` grows with `at`, so it is enough to look at
    /// the ends of each interval. This covers all 100 million pairs.
    #[test]
    fn every_plan_up_to_ten_thousand_is_legal_and_shortest() {
        const MOST: u32 = 10_000;
        for to in 1..=MOST {
            let (mut first, mut last) = (to, to);
            while first > 1 || last < MOST {
                let (before, after) = (first.div_ceil(2), (last * 2).min(MOST));
                for at in [before, first - 1, last + 1, after] {
                    let is_new = (before..first).contains(&at) || (last + 1..=after).contains(&at);
                    if is_new {
                        let to_next = next(at, to);
                        assert!(legal(at, to_next), "{at} → {to_next} on the way to {to}");
                        assert!((first..=last).contains(&to_next), "{at} → {to_next} → {to}");
                    }
                }
                (first, last) = (before, after);
            }
        }
    }

    #[test]
    fn the_interval_of_one_step_is_what_is_legal() {
        for (first, last) in [(1, 1), (1, 7), (5, 9), (40, 41)] {
            for at in 1..=100u32 {
                let leads = (first..=last).any(|to| legal(at, to));
                assert_eq!(
                    leads,
                    (first.div_ceil(2)..=last * 2).contains(&at),
                    "{at} into {first}..={last}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn every_step_is_legal_and_the_last_is_the_target(from in 1u32..=10_000, to in 1u32..=10_000) {
            let steps = plan(from, to);
            let mut at = from;
            for next in steps {
                prop_assert!(legal(at, next), "{at} → {next}");
                at = next;
            }
            prop_assert_eq!(at, to);
        }

        #[test]
        fn a_step_grows_with_the_count(at in 1u32..20_000, to in 1u32..=10_000) {
            if (at < to) == (at + 1 < to) {
                prop_assert!(next(at, to) <= next(at + 1, to));
            }
        }

        #[test]
        fn no_input_goes_on_for_ever(from: u32, to: u32) {
            prop_assert!(plan(from, to).len() <= 32);
        }
    }
}
