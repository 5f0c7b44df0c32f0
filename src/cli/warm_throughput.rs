//! `streamctl warm-throughput`.

use clap::Args;

use super::shared::change::{ChangeArgs, change, no_more};
use super::shared::{Session, StreamArg};
use domain::stream::Desired;
use ground::error::Result;
use ground::exit::Exit;

/// Keep an on-demand stream ready for a write throughput
///
/// Kinesis scales the stream before the traffic comes. The account must have the minimum throughput billing commitment
/// (On-demand Advantage). This can take minutes.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  streamctl warm-throughput 100           the default stream, 100 MiB/s
  streamctl warm-throughput orders 1024   1 GiB/s")]
pub struct WarmThroughputArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// In MiB/s, at most 10240
    #[arg(value_name = "MIBPS")]
    mibps: u32,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: WarmThroughputArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let desired = Desired {
        warm_throughput_mibps: Some(args.mibps),
        ..Desired::default()
    };
    change(session, &stream, &desired, args.change, no_more).await
}
