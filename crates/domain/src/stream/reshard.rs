//! Changes the shard count within the API's limits for one step.
//!
//! UpdateShardCount at most doubles and at least halves the number of open shards, and is accepted ten times in a
//! rolling 24 hours (UpdateShardCount, Kinesis API reference).

use std::str::FromStr;
use std::time::Duration;

use aws_sdk_kinesis::types as sdk;
use serde::Serialize;

use super::change::{Changer, as_i32, check_shards};
use super::event::{Event, Events};
use super::quota;
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
        at = if to > at {
            to.min(at.saturating_mul(2))
        } else {
            to.max(at.div_ceil(2))
        };
        steps.push(at);
    }
    steps
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
        "go to {reachable} shards today and on tomorrow, or make a new stream with {to} shards"
    )))
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    #[serde(flatten)]
    pub action: Action,
    /// Open shards after it.
    pub shards: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// UpdateShardCount.
    Resize { from: u32 },
    /// SplitShard. The hash key is text, since many JSON readers round numbers this long.
    Split { shard: String, hash_key: String },
    /// MergeShards.
    Merge { lower: String, upper: String },
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

/// A change of the shard count in proportion: `+50%`, `-25%`, `200%` or `2x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// In percent.
    percent: u32,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let grammar = || "not a change; write it like +50%, -25%, 200% or 2x".to_owned();
        let number = |text: &str| text.parse::<u32>().ok().filter(|_| !text.starts_with('+'));
        let percent = if let Some(times) = text.strip_suffix('x') {
            number(times).and_then(|times| times.checked_mul(100))
        } else {
            let figure = text.strip_suffix('%').ok_or_else(grammar)?;
            match (figure.strip_prefix('+'), figure.strip_prefix('-')) {
                (Some(more), _) => number(more).and_then(|more| more.checked_add(100)),
                (_, Some(less)) => number(less).and_then(|less| 100u32.checked_sub(less)),
                _ => number(figure),
            }
        };
        percent
            .filter(|percent| *percent > 0)
            .map(|percent| Self { percent })
            .ok_or_else(grammar)
    }
}

impl Scale {
    /// The shard count that `shards` shards become, rounded up, so that there is never less than was asked for.
    ///
    /// # Errors
    /// Exit 2 when it is more than a stream can have.
    pub fn of(self, shards: u32) -> Result<u32> {
        let scaled = (u64::from(shards) * u64::from(self.percent)).div_ceil(100).max(1);
        let scaled = u32::try_from(scaled).unwrap_or(u32::MAX);
        check_shards(scaled)?;
        Ok(scaled)
    }
}

/// Rejects a plan that would exceed the account's shard limit.
fn check_account_limit(from: u32, steps: &[u32], open_in_account: u32, limit: u32) -> Result<()> {
    let peak = steps.iter().copied().max().unwrap_or(from);
    let added = peak.saturating_sub(from);
    if added == 0 || open_in_account.saturating_add(added) <= limit {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{added} more shards would exceed the account's limit of {limit} in this region ({open_in_account} are open)"
    ))
    .hint(quota::MORE_SHARDS))
}

impl Changer<'_> {
    /// Changes the number of open shards to `to`, step by step; does nothing if it is equal. Each step has the full
    /// timeout, and more for each shard it changes.
    ///
    /// # Errors
    /// Exit 2 for an on-demand stream or an impossible plan, exit 1 when the account's shard limit is reached or a step
    /// fails. A second run continues where the first stopped.
    pub async fn set_shard_count(&self, to: u32) -> Result<StreamState> {
        check_shards(to)?;
        let mut now = self.ready(self.deadline()).await?;
        if now.mode == Mode::OnDemand {
            return Err(Error::usage(format!(
                "stream {} is on-demand: Kinesis sets its shards",
                self.name
            ))
            .hint("switch it to provisioned mode to set a shard count"));
        }
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

    /// Calls DescribeLimits before the first step, so that a plan does not stop half way.
    async fn check_limits(&self, from: u32, steps: &[u32]) -> Result<()> {
        let limits = match self.ctx.kinesis_once().describe_limits().send().await {
            Ok(limits) => limits,
            // Few policies allow this call, an account has one per second, and some endpoints do not have it. Without it,
            // the service itself enforces the limit.
            Err(e) => match error::aws::class(&e) {
                Class::Denied | Class::Throttle | Class::Refused => return Ok(()),
                class if class.is_outage() => return Ok(()),
                _ => return Err(error::aws::failed("could not read the account's shard limit", e)),
            },
        };
        let count = |n: i32| u32::try_from(n).unwrap_or(0);
        check_account_limit(
            from,
            steps,
            count(limits.open_shard_count),
            count(limits.shard_limit),
        )
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
    use std::collections::VecDeque;

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
            Some("go to 1024 shards today and on tomorrow, or make a new stream with 1025 shards")
        );
        assert!(checked_plan(1, 0).is_err() && checked_plan(1, 10_001).is_err());
    }

    #[test]
    fn the_limit_of_the_account_counts_what_is_added() {
        check_account_limit(4, &[8, 10], 494, 500).unwrap();
        assert!(check_account_limit(4, &[8, 10], 495, 500).is_err());
        // A decrease is fine even over the limit.
        check_account_limit(4, &[2], 600, 500).unwrap();
    }

    #[test]
    fn scales_are_read_and_rounded_up() {
        let scaled = |text: &str, shards| text.parse::<Scale>().unwrap().of(shards).unwrap();
        assert_eq!(scaled("+50%", 4), 6);
        assert_eq!(scaled("+50%", 3), 5);
        assert_eq!(scaled("-25%", 4), 3);
        assert_eq!(scaled("-99%", 4), 1);
        assert_eq!(scaled("200%", 4), 8);
        assert_eq!(scaled("2x", 4), 8);
        for bad in [
            "",
            "50",
            "%",
            "+%",
            "0%",
            "-100%",
            "x",
            "++1%",
            "+-1%",
            "1.5x",
            "-200%",
            "99999999999%",
        ] {
            assert!(bad.parse::<Scale>().is_err(), "{bad}");
        }
        assert!("100x".parse::<Scale>().unwrap().of(101).is_err());
    }

    fn legal(from: u32, to: u32) -> bool {
        to >= 1 && to <= from * 2 && to * 2 >= from
    }

    /// The minimal number of steps, by trying all.
    fn fewest(from: u32, to: u32) -> usize {
        let mut seen = vec![false; 600];
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((at, steps)) = queue.pop_front() {
            if at == to {
                return steps;
            }
            if !std::mem::replace(&mut seen[at as usize], true) {
                queue.extend(
                    (1..600)
                        .filter(|&next| legal(at, next))
                        .map(|next| (next, steps + 1)),
                );
            }
        }
        unreachable!("every count can be reached")
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
        fn no_plan_has_fewer_steps(from in 1u32..150, to in 1u32..150) {
            prop_assert_eq!(plan(from, to).len(), fewest(from, to));
        }

        #[test]
        fn no_input_goes_on_for_ever(from: u32, to: u32) {
            prop_assert!(plan(from, to).len() <= 32);
        }
    }
}
