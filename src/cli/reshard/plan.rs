//! What `reshard` is asked to do, as steps.

use std::time::Duration;

use super::{BalanceBy, ReshardArgs};
use crate::ui::units::counted;
use domain::context::Context;
use domain::observe::scaling::decision;
use domain::observe::traffic::{ShardDivision, Source, Traffic, division, keys_of_stream, measure};
use domain::stream::autoscale::{Decision, Direction, Policy};
use domain::stream::balance::{self, Boundary, TrafficPlan};
use domain::stream::reshard::{Action, STEPS_A_DAY, Step, checked_plan, steps_of};
use domain::stream::shards::{self, Listing};
use domain::stream::split::{ShardChange, SplitPoint, listed, merge, open_shard, split, split_made};
use domain::stream::{ShardMap, StreamState};
use ground::duration;
use ground::error::{Error, Result};

/// Names the shard with the most traffic.
const HOTTEST: &str = "hottest";

/// What is to be done.
pub(super) enum Work {
    Uniform(u32),
    One(ShardChange),
    Boundaries(Vec<Boundary>),
    Nothing,
}

/// A plan, and what it was made from.
pub(super) struct Plan {
    pub(super) work: Work,
    pub(super) steps: Vec<Step>,
    pub(super) map: ShardMap,
    /// What the user should know before.
    pub(super) notes: Vec<String>,
    pub(super) traffic: Option<Traffic>,
    pub(super) division: Option<ShardDivision>,
    pub(super) decision: Option<Decision>,
}

impl Plan {
    /// The plan for `args`.
    ///
    /// # Errors
    /// Exit 2 when it is not possible, exit 1 when the traffic cannot be divided or a call fails.
    pub(super) async fn of(
        args: &ReshardArgs,
        policy: &Policy,
        context: &Context,
        state: &StreamState,
    ) -> Result<Self> {
        let map = shards::list(context, &state.name, &Listing::All).await?;
        let mut plan = Self {
            work: Work::Nothing,
            steps: Vec::new(),
            map,
            notes: Vec::new(),
            traffic: None,
            division: None,
            decision: None,
        };
        if let Some(by) = args.balance {
            plan.balance(by, args, context, state).await?;
        } else if let Some(text) = &args.split {
            plan.split(text, args, context, state).await?;
        } else if let Some([a, b]) = args.merge.as_deref() {
            let change = merge(&plan.map, a, b)?;
            plan.one(change, state);
        } else if args.auto.auto {
            let decided = decision(context, state, policy, None).await?;
            plan.notes.push(in_words(&decided.decision));
            plan.uniform(decided.decision.shards, state)?;
            plan.decision = Some(decided.decision);
        } else {
            let to = match (args.to, args.scale) {
                (Some(to), _) => to,
                (None, Some(scale)) => scale.of(state.open_shards)?,
                (None, None) => {
                    return Err(Error::usage("no change was given")
                        .hint("add --to, --scale, --split, --merge, --balance or --auto"));
                }
            };
            plan.uniform(to, state)?;
        }
        if plan.steps.is_empty() {
            plan.notes.push(format!(
                "Nothing to change: stream {} has {}",
                state.name,
                counted(state.open_shards.into(), "shard")
            ));
        }
        Ok(plan)
    }

    fn uniform(&mut self, to: u32, state: &StreamState) -> Result<()> {
        self.steps = steps_of(state.open_shards, &checked_plan(state.open_shards, to)?);
        if self.steps.is_empty() {
            return Ok(());
        }
        self.work = Work::Uniform(to);
        self.notes.push(format!(
            "{} of the {STEPS_A_DAY} that Kinesis allows in 24 hours",
            counted(self.steps.len() as u64, "step")
        ));
        if !balance::even(&balance::boundaries(&self.map), state.open_shards).is_empty() {
            self.notes.push(
                "The shards are uneven now. UniformScaling makes them equal, however they were split before"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn one(&mut self, change: Option<ShardChange>, state: &StreamState) {
        match change {
            Some(change) => {
                self.steps = vec![Step::of(&change, state.open_shards)];
                self.work = Work::One(change);
            }
            None => self
                .notes
                .push("This change was made already: the shards are closed".to_owned()),
        }
    }

    async fn split(
        &mut self,
        text: &str,
        args: &ReshardArgs,
        context: &Context,
        state: &StreamState,
    ) -> Result<()> {
        let by_default = if text == HOTTEST { "by-traffic" } else { "half" };
        let (id, point) = text.split_once('@').unwrap_or((text, by_default));
        let id = &match id {
            HOTTEST => self.hottest(args, context, state).await?,
            id => id.to_owned(),
        };
        let point = match point {
            "half" => SplitPoint::Half,
            "by-traffic" => {
                let is_split = split_made(&self.map, listed(&self.map, id)?).is_some();
                if is_split {
                    self.one(None, state);
                    return Ok(());
                }
                let shard = open_shard(&self.map, id)?;
                let found = division(context, state, &self.map, shard, args.window).await?;
                self.notes.push(divided(&found, args));
                let point = SplitPoint::At(found.hash_key);
                self.division = Some(found);
                point
            }
            key => SplitPoint::At(key.parse().map_err(|_| {
                Error::usage(format!("{key:?} is not a hash key"))
                    .hint("use a whole number from 1 to 340282366920938463463374607431768211455, half or by-traffic")
            })?),
        };
        let change = split(&self.map, id, point)?;
        self.one(change, state);
        Ok(())
    }

    /// The shard with the most traffic.
    async fn hottest(
        &mut self,
        args: &ReshardArgs,
        context: &Context,
        state: &StreamState,
    ) -> Result<String> {
        let traffic = measure(context, state, &self.map, args.window).await?;
        let hottest = traffic.hottest().filter(|shard| shard.utilisation > Some(0.0));
        let Some(id) = hottest.map(|shard| shard.shard.clone()) else {
            return Err(no_traffic(args, state));
        };
        self.notes.push(measured(&traffic));
        self.traffic = Some(traffic);
        Ok(id)
    }

    async fn balance(
        &mut self,
        by: BalanceBy,
        args: &ReshardArgs,
        context: &Context,
        state: &StreamState,
    ) -> Result<()> {
        let existing = balance::boundaries(&self.map);
        let steps = match by {
            BalanceBy::Ranges => {
                let to = args.to.unwrap_or(state.open_shards);
                domain::stream::change::check_shards(to)?;
                balance::even(&existing, to)
            }
            BalanceBy::Traffic => {
                let keys = keys_of_stream(context, state, &self.map, args.window).await?;
                if keys.is_empty() {
                    return Err(no_traffic(args, state));
                }
                let plan = balance::by_traffic(&existing, &keys);
                self.notes.push(hottest_share(&plan, args.window));
                plan.steps
            }
        };
        if steps.is_empty() {
            return Ok(());
        }
        let mut open = state.open_shards;
        for step in &steps {
            let action = match step {
                Boundary::Add(at) => Action::AddBoundary {
                    hash_key: at.to_string(),
                },
                Boundary::Remove(at) => Action::RemoveBoundary {
                    hash_key: at.to_string(),
                },
            };
            open = match step {
                Boundary::Add(_) => open.saturating_add(1),
                Boundary::Remove(_) => open.saturating_sub(1),
            };
            self.steps.push(Step { action, shards: open });
        }
        if by == BalanceBy::Ranges {
            self.notes.push(format!(
                "If it is interrupted: `streamctl reshard {} --balance --to {open}` continues",
                state.name
            ));
        }
        self.work = Work::Boundaries(steps);
        Ok(())
    }
}

fn no_traffic(args: &ReshardArgs, state: &StreamState) -> Error {
    let text = format!(
        "no traffic of the open shards of stream {} was measured in the last {}",
        state.name,
        duration::format(args.window)
    );
    Error::failed(text).hint("look further back with --window, or name the shards")
}

/// The share of the hottest shard before and after `plan`.
fn hottest_share(plan: &TrafficPlan, window: Duration) -> String {
    let before = format!(
        "The hottest shard has {:.0} % of the traffic of the last {}",
        plan.before * 100.0,
        duration::format(window)
    );
    match plan.steps.is_empty() {
        true => format!("{before}; no other division lowers that much"),
        false => format!("{before}, and {:.0} % after this", plan.after * 100.0),
    }
}

/// The shards with the most traffic.
fn measured(traffic: &Traffic) -> String {
    let mut known: Vec<(f64, &str)> = traffic
        .shards
        .iter()
        .filter_map(|shard| Some((shard.utilisation?, shard.shard.as_str())))
        .collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shards: Vec<String> = known
        .iter()
        .take(3)
        .map(|(share, id)| format!("{id} {} %", duration::decimal(share * 100.0)))
        .collect();
    let source = match traffic.source {
        Source::Metrics => "the metrics of shards",
        Source::Sample => "a sample of records",
    };
    format!(
        "Used of the limit of a shard in the last {}, from {source}: {}",
        duration::format(traffic.window),
        shards.join(", ")
    )
}

/// What was measured of the shard to split.
fn divided(found: &ShardDivision, args: &ReshardArgs) -> String {
    let used = found.utilisation.map_or_else(String::new, |share| {
        format!("{} % of its limit used, ", duration::decimal(share * 100.0))
    });
    format!(
        "Shard {}: {used}{} read from the last {}. The split leaves {:.0} % and {:.0} % of the traffic; the hottest key, \
         {:?}, has {:.0} %",
        found.shard,
        counted(found.records, "record"),
        duration::format(args.window),
        found.lower * 100.0,
        found.upper * 100.0,
        found.hottest_key.key,
        found.hottest_key.share * 100.0
    )
}

/// A decision in a sentence.
pub(super) fn in_words(decision: &Decision) -> String {
    let shards = counted(decision.shards.into(), "shard");
    match decision.direction {
        Direction::Up => format!("Up to {shards}: {}", decision.reason),
        Direction::Down => format!("Down to {shards}: {}", decision.reason),
        Direction::None => format!("No change of {shards}: {}", decision.reason),
    }
}
