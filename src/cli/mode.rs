//! `streamctl mode`.

use clap::{Args, ValueEnum};

use super::shared::change::{ChangeArgs, change};
use super::shared::{Session, StreamArg};
use domain::context::Context;
use domain::cost::price_book;
use domain::stream::{Desired, Difference, Mode, StreamState};
use ground::error::Result;
use ground::exit::Exit;

/// Switch a stream between provisioned and on-demand mode
///
/// Kinesis takes two switches of a stream in 24 hours. A stream keeps its shards when it is switched; on-demand mode then
/// changes their number with the traffic.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  streamctl mode on-demand                       the default stream
  streamctl mode orders provisioned --shards 4   and set the shard count")]
pub struct ModeArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// The mode: provisioned or on-demand
    #[arg(value_enum, value_name = "MODE", hide_possible_values = true)]
    mode: ModeArg,
    /// Number of shards of the provisioned stream [default: those that it has]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    Provisioned,
    OnDemand,
}

pub(super) async fn run(args: ModeArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let desired = Desired {
        mode: Some(match args.mode {
            ModeArg::Provisioned => Mode::Provisioned,
            ModeArg::OnDemand => Mode::OnDemand,
        }),
        shards: args.shards,
        ..Desired::default()
    };
    change(session, &stream, &desired, args.change, prices).await
}

/// What each mode costs, where the region's prices are known.
fn prices(context: &Context, state: &StreamState, changes: &[Difference]) -> Vec<String> {
    let is_switched = changes.iter().any(|change| change.setting == "mode");
    let Some(book) = price_book(context.region()).filter(|_| is_switched && !context.is_local()) else {
        return Vec::new();
    };
    let shards = u64::from(state.open_shards);
    let dollars = |price: domain::cost::Price, quantity| price.of(quantity).rounded(3);
    vec![
        format!(
            "Provisioned: {} USD an hour for {shards} shards, and {} USD for a million PUT payload units of 25 KB",
            dollars(book.provisioned.shard_hour, shards),
            dollars(book.provisioned.put_units, 1_000_000),
        ),
        format!(
            "On-demand: {} USD an hour, {} USD for a GB written and {} USD for a GB read ({}, as of {})",
            dollars(book.on_demand.stream_hour, 1),
            dollars(book.on_demand.bytes_in, 1 << 30),
            dollars(book.on_demand.bytes_out, 1 << 30),
            book.region,
            book.as_of,
        ),
        "Kinesis takes two switches of the mode in 24 hours".to_owned(),
    ]
}
