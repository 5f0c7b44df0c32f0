//! `streamctl monitoring`.

use std::collections::BTreeSet;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::shared::change::{ChangeArgs, change, existing};
use super::shared::{Session, StreamArg};
use domain::context::Context;
use domain::cost::{HOURS_A_MONTH, Item, PriceBook, price_book};
use domain::stream::{Desired, ShardMetric, StreamState};
use ground::error::Result;
use ground::exit::Exit;

/// Turn the shard-level metrics of a stream on or off
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl monitoring enable orders
  streamctl monitoring disable orders --metrics OutgoingBytes")]
pub struct MonitoringArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Turn shard-level metrics on
    ///
    /// CloudWatch bills each metric of each shard as a custom metric.
    #[command(after_help = "\
Examples:
  streamctl monitoring enable                          all seven, on the default stream
  streamctl monitoring enable orders --metrics IncomingBytes,OutgoingBytes")]
    Enable(MetricArgs),
    /// Turn shard-level metrics off
    #[command(after_help = "\
Examples:
  streamctl monitoring disable orders
  streamctl monitoring disable orders --metrics OutgoingBytes")]
    Disable(MetricArgs),
}

#[derive(Debug, Args)]
struct MetricArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Metrics, separated by commas [default: all]
    #[arg(long, value_name = "METRICS", value_delimiter = ',', value_parser = metric)]
    metrics: Vec<ShardMetric>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: MonitoringArgs, session: &Session) -> Result<Exit> {
    let (args, on) = match args.action {
        Action::Enable(args) => (args, true),
        Action::Disable(args) => (args, false),
    };
    let stream = args.stream.choose(session)?;
    let now = existing(session.context().await?, &stream.name).await?.monitoring;
    let named: BTreeSet<ShardMetric> = match args.metrics.as_slice() {
        [] => ShardMetric::all(),
        metrics => metrics.iter().copied().collect(),
    };
    let wanted = match on {
        true => now.union(&named).copied().collect(),
        false => now.difference(&named).copied().collect(),
    };
    let desired = Desired {
        monitoring: Some(wanted),
        ..Desired::default()
    };
    change(
        session,
        &stream,
        &desired,
        args.change,
        async |context, state, _| Ok(price(context, state, &desired).into()),
    )
    .await
}

/// What the shard-level metrics will cost, where the region's prices are known.
fn price(context: &Context, state: &StreamState, desired: &Desired) -> Vec<String> {
    let metrics = desired.monitoring.as_ref().map_or(0, BTreeSet::len) as u64;
    if metrics == 0 || context.is_local() {
        return Vec::new();
    }
    let shards = u64::from(state.open_shards);
    let month = |book: &'static PriceBook| {
        let amount = book.amount(Item::Metrics, metrics * shards * HOURS_A_MONTH)?;
        Some((book, amount))
    };
    let Some((book, amount)) = price_book(context.region()).and_then(month) else {
        return Vec::new();
    };
    vec![format!(
        "{metrics} metrics of {shards} shards cost {} USD in a month of 730 hours ({}, as of {})",
        amount.rounded(2),
        book.region,
        book.as_of
    )]
}

fn metric(text: &str) -> Result<ShardMetric, String> {
    ShardMetric::from_str(text).map_err(|error| {
        let hint = error.hint_text().unwrap_or_default();
        format!("is not a shard-level metric; {hint}")
    })
}
