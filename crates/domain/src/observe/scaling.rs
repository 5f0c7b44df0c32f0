//! Whether a stream needs another number of shards, from its measured traffic and its earlier changes.

use jiff::Timestamp;

use super::traffic::load;
use crate::context::Context;
use crate::stream::autoscale::{Decision, Direction, History, Policy, decide};
use crate::stream::budget::{Basis, budget};
use crate::stream::{Listing, StreamState, shards};
use ground::error::Result;

/// A decision and what it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub at: Timestamp,
    pub decision: Decision,
    /// Of the newest minute with figures, 0 to 1 or more.
    pub utilisation: Option<f64>,
}

/// Decides on `stream`. `last_change` is what the caller knows of earlier changes.
///
/// # Errors
/// When the metrics or the shards cannot be read.
pub async fn decision(
    context: &Context,
    stream: &StreamState,
    policy: &Policy,
    last_change: Option<Timestamp>,
) -> Result<Decided> {
    let at = Timestamp::now();
    let mut history = History {
        shards: stream.open_shards,
        minutes: load(context, &stream.name, policy.minutes(), at).await?,
        last_change,
        steps_left: None,
    };
    let mut decision = decide(&history, policy, at);
    // Earlier changes take several calls to find, and matter only where something would be changed.
    if decision.direction != Direction::None {
        let map = shards::list(context, &stream.name, &Listing::All).await?;
        let budget = budget(context, stream, &map, at).await?;
        history.last_change = history.last_change.max(budget.last);
        // The lineage only says how many steps there were at most.
        history.steps_left = (budget.basis == Basis::CloudTrail).then_some(budget.left);
        decision = decide(&history, policy, at);
    }
    Ok(Decided {
        at,
        decision,
        utilisation: history.utilisation(),
    })
}
