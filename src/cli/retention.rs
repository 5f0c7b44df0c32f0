//! `streamctl retention`.

use clap::Args;

use super::shared::change::{ChangeArgs, change};
use super::shared::duration::retention_hours;
use super::shared::{Session, StreamArg};
use domain::context::Context;
use domain::cost::Change;
use domain::stream::list::standing_cost;
use domain::stream::{Desired, Difference, Mode, StreamState};
use ground::error::Result;
use ground::exit::Exit;

/// Set how long a stream keeps its records
///
/// 24 hours to 365 days. A longer retention also applies to existing records, and costs more. A shorter retention makes
/// older records unreadable for good, so the command asks first.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  streamctl retention 7d                 the default stream
  streamctl retention orders 36h         another one
  streamctl retention orders 24h --yes   a shorter retention, without a question")]
pub struct RetentionArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// How long records are kept: 24h to 8760h, or 1d to 365d
    #[arg(value_name = "TIME", value_parser = retention_hours)]
    time: u32,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: RetentionArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let desired = Desired {
        retention_hours: Some(args.time),
        ..Desired::default()
    };
    change(
        session,
        &stream,
        &desired,
        args.change,
        async |context, state, changes| Ok(cost(context, state, changes, args.time).into()),
    )
    .await
}

/// What the longer or shorter retention costs, of which the price is one of the shards. That of the data of an on-demand
/// stream depends on its traffic.
fn cost(context: &Context, state: &StreamState, changes: &[Difference], hours: u32) -> Vec<String> {
    if changes.is_empty() || context.is_local() || state.mode == Mode::OnDemand {
        return Vec::new();
    }
    let after = StreamState {
        retention_hours: hours,
        ..state.clone()
    };
    let change = Change {
        before: standing_cost(state, context.region()),
        after: standing_cost(&after, context.region()),
    };
    vec![format!("Cost without traffic: {change}")]
}
