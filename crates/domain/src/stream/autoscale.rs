//! Decides from measured traffic whether a stream needs more shards or fewer.
//!
//! Pure: given the same history, policy and time, the decision is the same. Measures and changes nothing.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::change::MAX_SHARDS;
use super::reshard;
use ground::duration;
use ground::error::{Error, Result};

/// When to change the shard count, and to what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Shards, at least 1.
    pub min: u32,
    pub max: u32,
    /// Utilisation to scale to, 0 to 1. Above it for `up_after` minutes, shards are added.
    pub target: f64,
    /// Utilisation below which for `down_after` minutes shards are removed; less than `target`.
    pub down_below: f64,
    pub up_after: usize,
    pub down_after: usize,
    /// Nothing is changed for so long after a change.
    pub cool_off: Duration,
}

impl Policy {
    /// # Errors
    /// Exit 2 when the policy contradicts itself.
    pub fn check(&self) -> Result<()> {
        let wrong = |text: &str, hint: &str| Err(Error::usage(text).hint(hint));
        if self.min == 0 || self.max > MAX_SHARDS || self.min > self.max {
            return wrong(
                "the minimum must be at least 1 shard, and not more than the maximum",
                "use for example --min 2 --max 20",
            );
        }
        if !(self.target > 0.0 && self.target <= 1.0) {
            return wrong(
                "the target utilization must be more than 0% and at most 100%",
                "use for example --target-utilization 70%",
            );
        }
        if !(self.down_below >= 0.0 && self.down_below < self.target) {
            return wrong(
                "the utilization below which shards are removed must be less than the target",
                "use for example --target-utilization 70% --down-below 50%",
            );
        }
        if self.up_after == 0 || self.down_after == 0 {
            return wrong(
                "a threshold must be exceeded for at least a minute",
                "use for example --up-after 5m --down-after 1h",
            );
        }
        Ok(())
    }

    /// Minutes of history that a decision needs.
    pub fn minutes(&self) -> usize {
        self.up_after.max(self.down_after)
    }
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Open shards now.
    pub shards: u32,
    /// The write traffic of each minute, oldest first, in shards that it would use up completely. `None` without figures.
    pub minutes: Vec<Option<f64>>,
    /// When the shard count was last changed, as far as it is known.
    pub last_change: Option<Timestamp>,
    /// UpdateShardCount calls that the stream still takes; `None` if unknown.
    pub steps_left: Option<usize>,
}

impl History {
    /// The utilisation of the newest minute with figures, 0 to 1 or more.
    pub fn utilisation(&self) -> Option<f64> {
        let newest = self.minutes.iter().rev().flatten().next()?;
        Some(newest / f64::from(self.shards.max(1)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Up,
    Down,
    None,
}

/// What to do, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "ShardDecision")
)]
pub struct Decision {
    pub direction: Direction,
    /// The shard count that the stream has or should have.
    pub shards: u32,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Reason {
    /// The last change was too recent.
    CoolOff {
        until: Timestamp,
    },
    /// The count is outside the policy's range.
    OutOfRange {
        min: u32,
        max: u32,
    },
    /// Figures of some minutes are missing.
    NoFigures {
        missing: usize,
        of: usize,
    },
    /// The stream allows no more steps for now; one is kept for adding shards.
    NoStepsLeft {
        left: usize,
    },
    AboveTarget {
        minutes: usize,
        utilisation: f64,
    },
    BelowThreshold {
        minutes: usize,
        utilisation: f64,
    },
    /// The utilisation asks for another count, and the policy's range or the traffic does not allow it.
    AtLimit {
        utilisation: f64,
    },
    Steady {
        utilisation: f64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: &f64| format!("{:.0} %", share * 100.0);
        match self {
            Self::CoolOff { until } => {
                write!(
                    f,
                    "cooling down until {}",
                    until.strftime("%Y-%m-%d %H:%M:%S UTC")
                )
            }
            Self::OutOfRange { min, max } => write!(f, "the policy allows {min} to {max} shards"),
            Self::NoFigures { missing, of } => {
                write!(f, "CloudWatch has no figures for {missing} of {of} minutes")
            }
            Self::NoStepsLeft { left: 0 } => f.write_str("the steps of 24 hours are used up"),
            Self::NoStepsLeft { .. } => f.write_str("the last step of 24 hours is kept for adding shards"),
            Self::AboveTarget { minutes, utilisation } => {
                let minutes =
                    Duration::from_secs(60).saturating_mul(u32::try_from(*minutes).unwrap_or(u32::MAX));
                write!(
                    f,
                    "above the target for {}, at most {}",
                    duration::format(minutes),
                    percent(utilisation)
                )
            }
            Self::BelowThreshold { minutes, utilisation } => {
                let minutes =
                    Duration::from_secs(60).saturating_mul(u32::try_from(*minutes).unwrap_or(u32::MAX));
                write!(
                    f,
                    "low for {}, at most {}",
                    duration::format(minutes),
                    percent(utilisation)
                )
            }
            Self::AtLimit { utilisation } => {
                write!(
                    f,
                    "{} used, and no other allowed number of shards is better",
                    percent(utilisation)
                )
            }
            Self::Steady { utilisation } => write!(f, "{} used", percent(utilisation)),
        }
    }
}

/// Decides what to do at `now`. A change is one step of UpdateShardCount, unless the count is outside the policy's range.
pub fn decide(history: &History, policy: &Policy, now: Timestamp) -> Decision {
    let shards = history.shards.max(1);
    let stay = |reason| Decision {
        direction: Direction::None,
        shards: history.shards,
        reason,
    };
    if let Some(until) = cooling_until(history, policy).filter(|until| *until > now) {
        return stay(Reason::CoolOff { until });
    }
    let (min, max) = (policy.min, policy.max);
    let goal = match shards.clamp(min, max) {
        same if same == shards => by_traffic(history, policy, shards),
        other => Ok((other, Reason::OutOfRange { min, max })),
    };
    let (to, reason) = match goal {
        Ok(goal) => goal,
        Err(reason) => return stay(reason),
    };
    // A step is kept so that shards can be added when the traffic comes back.
    let (direction, kept) = if to > shards {
        (Direction::Up, 0)
    } else {
        (Direction::Down, 1)
    };
    let steps = reshard::plan(shards, to).len();
    match history.steps_left {
        Some(left) if steps + kept > left => stay(Reason::NoStepsLeft { left }),
        _ => Decision {
            direction,
            shards: to,
            reason,
        },
    }
}

fn cooling_until(history: &History, policy: &Policy) -> Option<Timestamp> {
    let length = SignedDuration::try_from(policy.cool_off).ok()?;
    history.last_change?.checked_add(length).ok()
}

/// The other count that the traffic asks for, or why there is none. `shards` is within the policy's range.
fn by_traffic(history: &History, policy: &Policy, shards: u32) -> Result<(u32, Reason), Reason> {
    let capacity = f64::from(shards);
    let up = last(&history.minutes, policy.up_after);
    let (lowest, highest) = match &up {
        Ok(minutes) => range(minutes),
        Err(reason) => return Err(reason.clone()),
    };
    let utilisation = highest / capacity;
    if lowest > policy.target * capacity {
        let to = needed(highest, policy.target)
            .clamp(shards, shards.saturating_mul(2))
            .min(policy.max);
        let minutes = policy.up_after;
        return match to > shards {
            true => Ok((to, Reason::AboveTarget { minutes, utilisation })),
            false => Err(Reason::AtLimit { utilisation }),
        };
    }
    if highest >= policy.down_below * capacity {
        return Err(Reason::Steady { utilisation });
    }
    let (_, highest) = range(&last(&history.minutes, policy.down_after)?);
    let utilisation = highest / capacity;
    if highest >= policy.down_below * capacity {
        return Err(Reason::Steady { utilisation });
    }
    let to = needed(highest, policy.target)
        .clamp(shards.div_ceil(2), shards)
        .max(policy.min);
    let minutes = policy.down_after;
    match to < shards {
        true => Ok((to, Reason::BelowThreshold { minutes, utilisation })),
        false => Err(Reason::AtLimit { utilisation }),
    }
}

/// The last `minutes` minutes, of which none may be missing.
fn last(minutes: &[Option<f64>], count: usize) -> Result<Vec<f64>, Reason> {
    let newest = minutes
        .get(minutes.len().saturating_sub(count)..)
        .unwrap_or_default();
    let known: Vec<f64> = newest.iter().copied().flatten().collect();
    match count.saturating_sub(known.len()) {
        0 => Ok(known),
        missing => Err(Reason::NoFigures { missing, of: count }),
    }
}

fn range(minutes: &[f64]) -> (f64, f64) {
    let lowest = minutes.iter().copied().fold(f64::INFINITY, f64::min);
    (lowest, minutes.iter().copied().fold(0.0, f64::max))
}

/// Shards that `traffic` uses to at most `target`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the number of shards of a stream"
)]
fn needed(traffic: f64, target: f64) -> u32 {
    // What a division of floats adds must not cost a shard.
    (traffic / target - 1e-9).ceil().clamp(1.0, f64::from(MAX_SHARDS)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> Policy {
        Policy {
            min: 1,
            max: 100,
            target: 0.7,
            down_below: 0.5,
            up_after: 5,
            down_after: 10,
            cool_off: Duration::from_secs(600),
        }
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    fn history(shards: u32, minutes: &[f64]) -> History {
        History {
            shards,
            minutes: minutes.iter().copied().map(Some).collect(),
            last_change: None,
            steps_left: None,
        }
    }

    fn said(history: &History, policy: &Policy) -> String {
        let decision = decide(history, policy, now());
        format!(
            "{:?} {}: {}",
            decision.direction, decision.shards, decision.reason
        )
    }

    #[test]
    fn a_decision_says_why() {
        let changed = |minutes_ago: i64, steps_left| History {
            last_change: Some(now() - SignedDuration::from_mins(minutes_ago)),
            steps_left,
            ..history(4, &[3.6; 10])
        };
        let mut gap = history(4, &[3.6; 10]);
        gap.minutes[7] = None;
        let low = History {
            steps_left: Some(1),
            ..history(8, &[1.0; 10])
        };
        let narrow = Policy {
            min: 2,
            max: 4,
            ..policy()
        };
        insta::assert_snapshot!(
            [
                said(&history(4, &[3.6; 10]), &policy()),
                said(&history(4, &[3.6, 3.6, 2.0, 3.6, 3.6]), &policy()),
                said(&history(4, &[9.0; 10]), &policy()),
                said(&history(8, &[1.0; 10]), &policy()),
                said(&history(8, &[1.0; 9]), &policy()),
                said(&history(8, &[0.0; 10]), &policy()),
                said(&low, &policy()),
                said(&changed(9, None), &policy()),
                said(&changed(10, Some(1)), &policy()),
                said(&changed(10, Some(0)), &policy()),
                said(&gap, &policy()),
                said(&history(4, &[]), &policy()),
                said(&history(4, &[9.0; 10]), &narrow),
                said(&history(1, &[]), &narrow),
                said(&history(9, &[]), &narrow),
                said(&history(2, &[0.1; 10]), &narrow),
            ]
            .join("\n"),
            @r"
            Up 6: above the target for 5m, at most 90 %
            None 4: 90 % used
            Up 8: above the target for 5m, at most 225 %
            Down 4: low for 10m, at most 12 %
            None 8: CloudWatch has no figures for 1 of 10 minutes
            Down 4: low for 10m, at most 0 %
            None 8: the last step of 24 hours is kept for adding shards
            None 4: cooling down until 2026-11-28 12:01:00 UTC
            Up 6: above the target for 5m, at most 90 %
            None 4: the steps of 24 hours are used up
            None 4: CloudWatch has no figures for 1 of 5 minutes
            None 4: CloudWatch has no figures for 5 of 5 minutes
            None 4: 225 % used, and no other allowed number of shards is better
            Up 2: the policy allows 2 to 4 shards
            Down 4: the policy allows 2 to 4 shards
            None 2: 5 % used, and no other allowed number of shards is better
            "
        );
    }

    #[test]
    fn a_policy_must_not_contradict_itself() {
        policy().check().unwrap();
        for wrong in [
            Policy { min: 0, ..policy() },
            Policy { min: 101, ..policy() },
            Policy {
                max: 10_001,
                ..policy()
            },
            Policy {
                target: 0.0,
                ..policy()
            },
            Policy {
                target: 1.1,
                ..policy()
            },
            Policy {
                target: f64::NAN,
                ..policy()
            },
            Policy {
                down_below: 0.7,
                ..policy()
            },
            Policy {
                up_after: 0,
                ..policy()
            },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        (
            1u32..50,
            0u32..50,
            0.05f64..=1.0,
            0.0f64..0.99,
            1usize..6,
            1usize..12,
            0u64..3_600,
        )
            .prop_map(
                |(min, more, target, share, up_after, down_after, cool_off)| Policy {
                    min,
                    max: min + more,
                    target,
                    down_below: target * share,
                    up_after,
                    down_after,
                    cool_off: Duration::from_secs(cool_off),
                },
            )
    }

    proptest! {
        #[test]
        fn never_outside_the_range_nor_within_the_cool_off(
            policy in any_policy(),
            shards in 1u32..120,
            minutes in proptest::collection::vec(proptest::option::weighted(0.95, 0.0f64..200.0), 0..14),
            changed in proptest::option::of(0u64..4_000),
            steps_left in proptest::option::of(0usize..11),
        ) {
            policy.check().unwrap();
            let last_change = changed.map(|ago| now() - SignedDuration::from_secs(i64::try_from(ago).unwrap()));
            let history = History { shards, minutes, last_change, steps_left };
            let decision = decide(&history, &policy, now());
            if decision.direction == Direction::None {
                prop_assert_eq!(decision.shards, shards);
            } else {
                prop_assert!((policy.min..=policy.max).contains(&decision.shards));
                prop_assert!(changed.is_none_or(|ago| Duration::from_secs(ago) >= policy.cool_off));
                prop_assert!(steps_left.is_none_or(|left| reshard::plan(shards, decision.shards).len() <= left));
                prop_assert_eq!(decision.direction == Direction::Up, decision.shards > shards);
                let in_range = (policy.min..=policy.max).contains(&shards);
                prop_assert!(!in_range || reshard::plan(shards, decision.shards).len() == 1);
            }
        }

        #[test]
        fn a_constant_load_is_followed_in_one_direction_and_then_left_alone(
            policy in any_policy(),
            shards in 1u32..120,
            load in 0.0f64..100.0,
        ) {
            let mut at = shards;
            let mut directions = Vec::new();
            for _ in 0..20 {
                let decision = decide(&history(at, &[load; 14]), &policy, now());
                if decision.direction == Direction::None {
                    break;
                }
                // The first may bring the count into the policy's range.
                if (policy.min..=policy.max).contains(&at) {
                    directions.push(decision.direction);
                }
                at = decision.shards;
            }
            prop_assert!(directions.windows(2).all(|pair| pair[0] == pair[1]), "{directions:?}");
            let rest = decide(&history(at, &[load; 14]), &policy, now());
            prop_assert_eq!(rest.direction, Direction::None);
        }
    }
}
